//! Numbers with which nothing would run: limits of nothing, and values at which
//! times overflow, or memory that is taken at the start. Such a value is a
//! mistake of typing, told at the start with its key, and not by whoever first
//! meets it.

use toml::{Table, Value};

use super::{Config, ConfigError, keys_of, value_at};

const SECONDS_OF_A_CENTURY: u64 = 36_525 * 86_400;

/// What else is a number has bounds of its own, or none but its type.
const RANGES: [(&str, u64, u64); 17] = [
    ("workers", 0, 1024),
    ("store.streams_max", 1, 1024),
    ("limits.request_parts_max", 1, u64::MAX),
    ("limits.body_silent_seconds_max", 1, SECONDS_OF_A_CENTURY),
    ("limits.uploads_max", 1, 65_536),
    ("limits.queue_max", 1, 1_000_000),
    ("limits.results_max", 1, u64::MAX),
    ("limits.request_frames_max", 1, u64::MAX),
    // Names on a medium number the instances with six digits.
    ("limits.zip_instances_max", 1, 999_999),
    ("pixels.threads", 0, 1024),
    ("pixels.waiting_max", 0, 1_000_000),
    ("pixels.frame_time_max_ms", 1, SECONDS_OF_A_CENTURY * 1000),
    ("uploads.count_max", 1, u64::MAX),
    ("uploads.idle_seconds_max", 1, SECONDS_OF_A_CENTURY),
    ("render.side_max", 1, 65_535),
    ("render.thumbnail_side", 1, 8192),
    ("search.time_max_ms", 1, SECONDS_OF_A_CENTURY * 1000),
];

/// Whether every number is one to run with.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let limits = &config.limits;
    let above_zero = [
        ("store.pack_bytes_max", config.store.pack_bytes_max),
        ("store.small_bytes_max", config.store.small_bytes_max),
        ("commitment.references_max", config.commitment.references_max as u64),
        ("commitment.transactions_max", config.commitment.transactions_max as u64),
        ("limits.part_bytes_max", limits.part_bytes_max),
        ("limits.request_bytes_max", limits.request_bytes_max),
        ("limits.part_header_bytes_max", limits.part_header_bytes_max),
        ("limits.dataset_bytes_max", limits.dataset_bytes_max),
        ("limits.inflated_bytes_max", limits.inflated_bytes_max),
        ("limits.zip_list_bytes_max", limits.zip_list_bytes_max),
        ("pixels.frame_bytes_max", config.pixels.frame_bytes_max),
        ("uploads.bytes_max", config.uploads.bytes_max),
        ("render.animation_frames_max", config.render.animation_frames_max as u64),
        ("render.animation_bytes_max", config.render.animation_bytes_max),
    ];
    let refused = |key, why: &str| Err(ConfigError::Refused { key, why: why.to_owned() });
    if let Some((key, _)) = above_zero.into_iter().find(|(_, value)| *value == 0) {
        let why = "must be above 0: there is always a limit; name a high one to have none in practice";
        return refused(key, why);
    }
    if limits.upload_memory_bytes_max < config.store.small_bytes_max {
        return refused("limits.upload_memory_bytes_max", "must be at least store.small_bytes_max");
    }
    if config.index.writer_bytes < 15 << 20 {
        return refused("index.writer_bytes", "must be at least 15 MiB");
    }
    if limits.caller_requests_per_second_max > 0 && limits.caller_requests_burst_max == 0 {
        let why = "must be above 0 with limits.caller_requests_per_second_max: else every request is refused";
        return refused("limits.caller_requests_burst_max", why);
    }
    let values = Table::try_from(config).expect("every field has a TOML form");
    for key in keys_of(&values) {
        let Some(Value::Integer(value)) = value_at(&values, &key) else { continue };
        let value = u64::try_from(*value).unwrap_or(0);
        let (least, most) = range_of(&key);
        if value < least || value > most {
            return Err(ConfigError::OutOfRange { key, value, least, most });
        }
    }
    Ok(())
}

fn range_of(key: &str) -> (u64, u64) {
    if let Some((_, least, most)) = RANGES.iter().find(|(known, ..)| *known == key) {
        return (*least, *most);
    }
    let most = match () {
        () if key.contains("_ms") => SECONDS_OF_A_CENTURY * 1000,
        () if key.contains("_seconds") => SECONDS_OF_A_CENTURY,
        () if key.contains("_minutes") => SECONDS_OF_A_CENTURY / 60,
        () if key.contains("_hours") => SECONDS_OF_A_CENTURY / 3600,
        () if key.contains("_days") || key.contains("days_") => SECONDS_OF_A_CENTURY / 86_400,
        () => u64::MAX,
    };
    (0, most)
}
