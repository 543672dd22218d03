//! The bucket to which closed packs move. Knows the form of its address and no
//! more; credentials are never a value of the configuration.

use serde::{Deserialize, Serialize};

use super::{ConfigError, bytes};

/// Packs in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// `s3://BUCKET/PREFIX`. Empty: there is none.
    pub bucket: String,
    pub endpoint: String,
    pub region: String,
    pub acknowledge: Acknowledge,
    pub after_days: u64,
    #[serde(with = "bytes")]
    pub local_bytes_max: u64,
    #[serde(with = "bytes")]
    pub cache_bytes_max: u64,
    pub read_seconds_max: u64,
    pub check_seconds: u64,
}

/// Where a stored instance is before that is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    Disk,
    Bucket,
}

impl Tier {
    /// The bucket's name and what stands in front of every object's name; none
    /// when there is no bucket.
    #[must_use]
    pub fn address(&self) -> Option<(&str, &str)> {
        let rest = self.bucket.strip_prefix("s3://")?;
        Some(rest.split_once('/').unwrap_or((rest, "")))
    }

    /// # Errors
    /// Names the key and how to mend it.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refused = |key, why: &str| Err(ConfigError::Refused { key, why: why.to_owned() });
        if !self.bucket.is_empty() && self.address().is_none_or(|(name, _)| name.is_empty()) {
            return refused("tier.bucket", "is no address of a bucket: write it like s3://BUCKET/PREFIX");
        }
        if self.bucket.is_empty() && self.acknowledge == Acknowledge::Bucket {
            return refused("tier.acknowledge", "is \"bucket\", and tier.bucket names none");
        }
        if self.read_seconds_max == 0 {
            return refused(
                "tier.read_seconds_max",
                "must be above 0: a bucket is never waited for for ever",
            );
        }
        if self.check_seconds == 0 {
            return refused("tier.check_seconds", "must be above 0");
        }
        Ok(())
    }
}
