//! The archives of a server: that of the root, and one for each tenant; and the
//! sizes that the configuration gives them. What costs memory by itself is
//! divided among them, the rest they share ([`archive::Shared`]).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;

use crate::{
    archive::{self, Archive, Quota, Shared},
    config::{self, Config, Duplicates, TENANTS_FOLDER},
    control::Control,
    dicom::{coerce, part10},
    pixels,
    storage::{
        backups::folder,
        catalog, commitments, index,
        objects::Bucket,
        packs,
        seal::{KeyError, Master, MasterSource},
        uploads,
    },
};

/// The least that an archive's part of a budget is.
const CATALOG_BYTES_MIN: usize = 1 << 20;
const INDEX_OPENED_BYTES_MIN: usize = 1 << 20;
const INDEX_BYTES_MIN: usize = 15 << 20;
const CHUNKS_KEPT_MIN: usize = 16;
const PAGING_SESSIONS_MIN: usize = 8;
const SCRUB_BYTES_MIN: u64 = 64 << 10;
/// Indexes that are written at the same time, where there are several.
const INDEXING_MAX: usize = 2;

/// All of them, open.
pub struct Archives {
    pub root: Arc<Archive>,
    pub tenants: BTreeMap<String, Arc<Archive>>,
}

impl Archives {
    /// Opens all that the configuration names, and begins what they do in the
    /// background.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        warn_of(config);
        let shared = Shared::new(&whole_options(config));
        let open = |tenant: Option<&str>| -> anyhow::Result<Arc<Archive>> {
            let options = archive::Options { shared: Some(shared.clone()), ..options_of(config, tenant) };
            let archive = Archive::open(&config.folder_of(tenant), &options)?;
            archive.work_in_background()?;
            Ok(archive)
        };
        let root = open(None)?;
        let mut tenants = BTreeMap::new();
        for name in config.tenants.keys() {
            let archive = open(Some(name)).with_context(|| format!("the archive of tenant {name}"))?;
            tenants.insert(name.clone(), archive);
        }
        Ok(Self { root, tenants })
    }

    fn each(&self) -> impl Iterator<Item = (Option<&str>, &Arc<Archive>)> {
        let tenants = self.tenants.iter().map(|(name, archive)| (Some(name.as_str()), archive));
        std::iter::once((None, &self.root)).chain(tenants)
    }

    /// What answers commands on this machine.
    pub fn controls(&self, config: &Config) -> Vec<Control> {
        let start = |(tenant, archive): (Option<&str>, &Arc<Archive>)| {
            Control::start(&config.folder_of(tenant), archive)
                .inspect_err(|error| {
                    tracing::warn!(tenant, %error, "commands cannot reach this server: no backup while it runs");
                })
                .ok()
        };
        self.each().filter_map(start).collect()
    }

    /// Whether anybody else has one of them.
    pub fn are_in_use(&self) -> bool {
        self.each().any(|(_, archive)| Arc::strong_count(archive) > 1)
    }
}

/// Tells what of the configuration and of the disk does not fit together.
fn warn_of(config: &Config) {
    for (place, name) in config.unknown_tenants() {
        tracing::warn!(place, name, "a tenant is named that is not configured; this grants nothing");
    }
    for name in tenants_on_disk(config).unwrap_or_default() {
        if !config.tenants.contains_key(&name) {
            let path = config.folder_of(Some(&name));
            let path = path.display();
            tracing::warn!(name, %path, "this tenant is not configured: its archive is not served");
        }
    }
}

/// The tenants that have an archive in the folder, configured or not.
///
/// # Errors
/// When the folder cannot be read.
pub fn tenants_on_disk(config: &Config) -> std::io::Result<Vec<String>> {
    let mut names = folder::folders_in(&config.data.join(TENANTS_FOLDER))?;
    names.retain(|name| config::is_name(name));
    Ok(names)
}

/// The sizes of a tenant's archive; without a name those of the root's.
#[must_use]
pub fn options_of(config: &Config, tenant: Option<&str>) -> archive::Options {
    let Some(name) = tenant else { return archive_options(config) };
    let options = divided(whole_options(config), 1 + config.tenants.len());
    let own = config.tenants.get(name).cloned().unwrap_or_default();
    let tier = options.tier.map(|tier| archive::TierOptions {
        bucket: Bucket {
            prefix: [tier.bucket.prefix.as_str(), TENANTS_FOLDER, name]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("/"),
            ..tier.bucket
        },
        ..tier
    });
    let quota = Quota { bytes_max: own.quota_bytes_max, instances_max: own.quota_instances_max };
    bounded(archive::Options { tier, quota, ..options })
}

/// What is under way may not take more of the disk than what is stored.
fn bounded(options: archive::Options) -> archive::Options {
    let mut options = options;
    if options.quota.bytes_max > 0 {
        options.uploads.bytes_max = options.uploads.bytes_max.min(options.quota.bytes_max);
    }
    options
}

/// What one of so many archives has, of what costs each of them memory or disk.
fn divided(options: archive::Options, archives: usize) -> archive::Options {
    if archives < 2 {
        return options;
    }
    let parts = archives as u64;
    let mut options = options;
    options.packs.chunks_kept_max = (options.packs.chunks_kept_max / archives).max(CHUNKS_KEPT_MIN);
    options.catalog.cache_bytes = (options.catalog.cache_bytes / archives).max(CATALOG_BYTES_MIN);
    options.index.writer_bytes = (options.index.writer_bytes / INDEXING_MAX).max(INDEX_BYTES_MIN);
    options.index.opened_bytes_max = (options.index.opened_bytes_max / archives).max(INDEX_OPENED_BYTES_MIN);
    options.paging.sessions_max = (options.paging.sessions_max / archives).max(PAGING_SESSIONS_MIN);
    options.pictures.thumbnail_bytes_max /= parts;
    if options.scrub.bytes_per_second > 0 {
        options.scrub.bytes_per_second = (options.scrub.bytes_per_second / parts).max(SCRUB_BYTES_MIN);
    }
    if let Some(tier) = &mut options.tier {
        tier.cache_bytes_max /= parts;
        tier.local_bytes_max /= parts;
    }
    options
}

/// The sizes of the root archive as the configuration has them.
#[must_use]
pub fn archive_options(config: &Config) -> archive::Options {
    bounded(divided(whole_options(config), 1 + config.tenants.len()))
}

/// The sizes of an archive that has all for itself.
fn whole_options(config: &Config) -> archive::Options {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    archive::Options {
        packs: packs::Options {
            pack_bytes_max: config.store.pack_bytes_max,
            streams_max: config.store.streams_max,
            ..packs::Options::default()
        },
        encryption: master_source(config.encryption.clone()),
        tier: tier_options(&config.tier),
        catalog: catalog::Options { cache_bytes: size(config.catalog.cache_bytes) },
        index: index::Options { writer_bytes: size(config.index.writer_bytes), ..index::Options::default() },
        documents: archive::DocumentLimits {
            document_bytes_max: config.search.document_bytes_max,
            text_bytes_max: size(config.search.text_bytes_max),
            time_max: Duration::from_secs(config.search.document_seconds_max),
        },
        sorted_max: config.search.sorted_max,
        search_time_max: Duration::from_millis(config.search.time_max_ms),
        parse: part10::Limits {
            header_bytes_max: config.limits.dataset_bytes_max,
            inflated_bytes_max: config.limits.inflated_bytes_max,
            ..part10::Limits::default()
        },
        duplicates: match config.store.duplicates {
            Duplicates::Reject => archive::Duplicates::Reject,
            Duplicates::Replace => archive::Duplicates::Replace,
            Duplicates::Keep => archive::Duplicates::Keep,
        },
        warn_attributes: config.store.warn_attributes,
        coercion: config.store.coerce.iter().map(coercion_rule).collect(),
        versions_max: config.store.versions_max,
        uploads: uploads::Options {
            uploads_max: config.uploads.count_max,
            bytes_max: config.uploads.bytes_max,
            idle: Duration::from_secs(config.uploads.idle_seconds_max),
        },
        commitments: commitments::Options {
            transactions_max: config.commitment.transactions_max,
            keep: Duration::from_secs(config.commitment.result_days.saturating_mul(24 * 60 * 60)),
        },
        small_bytes_max: size(config.store.small_bytes_max),
        alone_bytes_min: size(config.store.alone_bytes_min),
        upload_memory_bytes_max: config.limits.upload_memory_bytes_max,
        queue_max: config.limits.queue_max,
        paging: archive::PagingOptions {
            idle: Duration::from_secs(config.search.paging_seconds_max),
            sessions_max: config.search.paging_sessions_max,
        },
        pool_running_max: super::cores() * 4,
        pool_waiting_max: 4096,
        pixels: archive::PixelOptions {
            limits: pixels::Limits {
                frame_bytes_max: config.pixels.frame_bytes_max,
                frame_time_max: Duration::from_millis(config.pixels.frame_time_max_ms),
            },
            running_max: if config.pixels.threads == 0 { super::cores() } else { config.pixels.threads },
            waiting_max: config.pixels.waiting_max,
            cache_bytes: size(config.pixels.cache_bytes),
            ahead_bytes_max: config.pixels.ahead_bytes_max,
        },
        scrub: archive::ScrubOptions {
            bytes_per_second: config.scrub.bytes_per_second,
            interval: Duration::from_secs(config.scrub.interval_days.saturating_mul(24 * 60 * 60)),
            bucket: config.scrub.bucket,
        },
        pictures: archive::PictureOptions {
            cache_bytes: size(config.render.cache_bytes),
            animation_frames_max: config.render.animation_frames_max,
            animation_bytes_max: size(config.render.animation_bytes_max),
            thumbnail_bytes_max: config.render.thumbnail_disk_bytes_max,
        },
        quota: Quota {
            bytes_max: config.store.quota_bytes_max,
            instances_max: config.store.quota_instances_max,
        },
        shared: None,
    }
}

/// The bucket of packs, if there is one.
fn tier_options(tier: &config::Tier) -> Option<archive::TierOptions> {
    let (name, prefix) = tier.address()?;
    let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Some(archive::TierOptions {
        bucket: Bucket {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: said(&tier.endpoint),
            region: said(&tier.region),
            ..Bucket::default()
        },
        mirrored: tier.acknowledge == config::Acknowledge::Bucket,
        after: Duration::from_secs(tier.after_days.saturating_mul(24 * 60 * 60)),
        local_bytes_max: tier.local_bytes_max,
        cache_bytes_max: tier.cache_bytes_max,
        read_time_max: Duration::from_secs(tier.read_seconds_max),
        every: Duration::from_secs(tier.check_seconds),
    })
}

/// The master key is fetched when an archive is opened, and not before.
fn master_source(encryption: config::Encryption) -> MasterSource {
    MasterSource::new(move || match encryption.fetch() {
        Ok(Some(text)) => Master::parse(&text).map(Some),
        Ok(None) => Ok(None),
        Err(why) => Err(KeyError::Source(why)),
    })
}

/// A rule of the configuration as the archive has it.
fn coercion_rule(coercion: &config::Coercion) -> archive::CoercionRule {
    let pairs = |map: &std::collections::BTreeMap<config::Attribute, String>| {
        map.iter().map(|(attribute, value)| (attribute.tag(), value.clone())).collect()
    };
    let rule = coerce::Rule {
        matching: pairs(&coercion.matching),
        set: pairs(&coercion.set),
        default: pairs(&coercion.default),
        map: coercion
            .map
            .iter()
            .map(|(attribute, map)| (attribute.tag(), map.clone().into_iter().collect()))
            .collect(),
        reason: match coercion.reason {
            config::CoercionReason::Coerce => coerce::Reason::Coerce,
            config::CoercionReason::Correct => coerce::Reason::Correct,
        },
    };
    archive::CoercionRule { peers: coercion.peers.clone(), rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tenant;

    #[test]
    fn many_archives_cost_little_more_than_one() {
        let alone = Config::default();
        let mut many = Config::default();
        for number in 0..20 {
            many.tenants.insert(format!("t{number}"), Tenant { quota_bytes_max: 7, ..Tenant::default() });
        }
        many.tier = toml::from_str(&toml::to_string(&alone.tier).expect("TOML")).expect("a tier");
        many.tier.bucket = "s3://bucket/hilum".to_owned();
        let (one, each) = (options_of(&alone, None), options_of(&many, Some("t7")));
        assert!(each.catalog.cache_bytes * 21 <= one.catalog.cache_bytes);
        assert!(each.index.writer_bytes * INDEXING_MAX <= one.index.writer_bytes.max(2 * INDEX_BYTES_MIN));
        assert!(each.scrub.bytes_per_second * 21 <= one.scrub.bytes_per_second);
        assert!(each.pictures.thumbnail_bytes_max * 21 <= one.pictures.thumbnail_bytes_max);
        assert_eq!((each.quota.bytes_max, options_of(&many, None).quota), (7, Quota::default()));
        assert_eq!((each.uploads.bytes_max, one.uploads.bytes_max), (7, alone.uploads.bytes_max));
        let prefix = |tenant| options_of(&many, tenant).tier.expect("a bucket").bucket.prefix;
        assert_eq!((prefix(None).as_str(), prefix(Some("t7")).as_str()), ("hilum", "hilum/tenants/t7"));
        // Without tenants nothing is divided.
        assert_eq!(one.catalog.cache_bytes as u64, alone.catalog.cache_bytes);
        assert_eq!(one.index.writer_bytes as u64, alone.index.writer_bytes);
    }
}
