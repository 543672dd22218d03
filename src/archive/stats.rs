//! How much there is, and whether the archive can do its work.

use std::sync::Arc;

use serde::Serialize;

use super::{Archive, ArchiveError, Core};
use crate::auth::Permit;

/// The size of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub studies: u64,
    pub series: u64,
    pub instances: u64,
    /// Bytes of the DICOM files.
    pub file_bytes: u64,
    /// Versions that are not the instance itself, and the bytes of their files.
    pub versions: u64,
    pub version_bytes: u64,
    pub packs: u64,
    /// Bytes of the packs.
    pub pack_bytes: u64,
    /// Packs that are only in the bucket, their bytes, and those of them that
    /// are kept on the disk.
    pub bucket_packs: u64,
    pub bucket_bytes: u64,
    pub cache_bytes: u64,
    /// Bytes in packs that no instance uses any more.
    pub dead_bytes: u64,
    /// Studies that the index does not hold yet.
    pub overlay_studies: u64,
    /// Sequence number of the last change.
    pub seq: u64,
}

impl Archive {
    /// The size of the archive.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn stats(&self, _permit: &Permit) -> Result<Stats, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool.run(move || stats(&core)).await
    }

    /// Puts the size of the archive into the metrics, a tenant's with its name.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    #[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub async fn record_stats(&self, permit: &Permit, tenant: Option<&str>) -> Result<(), ArchiveError> {
        let stats = self.stats(permit).await?;
        let set = |name: &'static str, value: u64| match tenant {
            Some(tenant) => metrics::gauge!(name, "tenant" => tenant.to_owned()).set(value as f64),
            None => metrics::gauge!(name).set(value as f64),
        };
        set("hilum_studies", stats.studies);
        set("hilum_series", stats.series);
        set("hilum_instances", stats.instances);
        set("hilum_versions", stats.versions);
        set("hilum_version_bytes", stats.version_bytes);
        set("hilum_file_bytes", stats.file_bytes);
        set("hilum_pack_bytes", stats.pack_bytes);
        set("hilum_bucket_packs", stats.bucket_packs);
        set("hilum_bucket_bytes", stats.bucket_bytes);
        set("hilum_bucket_cache_bytes", stats.cache_bytes);
        set("hilum_dead_bytes", stats.dead_bytes);
        set("hilum_overlay_studies", stats.overlay_studies);
        let scrubbed = self.scrubbed(permit);
        set("hilum_scrub_findings", scrubbed.findings().len() as u64);
        set("hilum_scrub_last_complete_seconds", scrubbed.last_complete.unwrap_or_default());
        set("hilum_catalog_damaged_reads", self.core.catalog.damaged_reads());
        let quota = self.core.ledger.quota();
        if quota.bytes_max > 0 {
            set("hilum_quota_bytes", quota.bytes_max);
            set("hilum_quota_used_bytes", stats.file_bytes + stats.version_bytes);
        }
        if quota.instances_max > 0 {
            set("hilum_quota_instances", quota.instances_max);
            set("hilum_quota_used_instances", stats.instances);
        }
        Ok(())
    }

    /// Whether requests can be served: the catalog answers and the pool has room.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self, permit: &Permit) -> Result<(), ArchiveError> {
        self.stats(permit).await.map(drop)
    }
}

pub(super) fn stats(core: &Core) -> Result<Stats, ArchiveError> {
    let snapshot = core.catalog.read()?;
    let totals = snapshot.totals()?;
    let packs = core.packs.list();
    let tier = core.packs.tier_stats();
    let rows = snapshot.packs()?;
    let live_bytes: u64 = rows.iter().map(|(_, row)| row.live_bytes).sum();
    Ok(Stats {
        studies: totals.studies,
        series: totals.series,
        instances: totals.instances,
        file_bytes: totals.bytes,
        versions: totals.versions,
        version_bytes: live_bytes.saturating_sub(totals.bytes),
        packs: packs.len() as u64,
        pack_bytes: packs.iter().map(|pack| pack.length).sum(),
        bucket_packs: tier.packs,
        bucket_bytes: tier.bytes,
        cache_bytes: tier.cache_bytes,
        dead_bytes: rows.iter().map(|(_, row)| row.dead_bytes).sum(),
        overlay_studies: core.overlay.len() as u64,
        seq: snapshot.seq()?,
    })
}
