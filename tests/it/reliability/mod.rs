//! What docs/RELIABILITY.md promises, tried on the real process: killed at each
//! call, cut off from power, on disks that fail, under load, among slow and
//! hostile clients. Each has a short form here and a long one, by variables
//! (`tests/reliability/run` sets them).

pub mod disk;
mod faults;
mod gone;
mod hostile;
mod kills;
mod load;
mod meeting;
mod power;
mod slow;

/// A number that the environment may set for the long form.
pub fn times(variable: &str, short: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

/// `TEST_SEED`, or one of the clock; it is said, so that a run can be repeated.
pub fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = times("TEST_SEED", u64::from(now.subsec_nanos()));
    println!("TEST_SEED={seed}");
    seed
}
