//! Metadata: the DICOM JSON that ingest wrote, given back instance by instance
//! with the absolute URLs put in. No pack is touched and nothing is parsed.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;

use super::{Archive, ArchiveError, Core, Scope, retrieve::missing};
use crate::{
    auth::Permit,
    dicom::{InstancePath, InstanceUid, SeriesPath, json},
};

/// Bytes of JSON handed on at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The metadata of a study, a series or an instance: one JSON array.
pub struct Metadata {
    core: Arc<Core>,
    base_url: String,
    /// Series that are still to come, the next one last.
    series: Vec<SeriesPath>,
    /// Where in the next series to go on.
    after: Option<InstanceUid>,
    /// The only instance wanted.
    single: Option<InstancePath>,
    begun: bool,
    done: bool,
    /// Changes whenever anything in the scope does.
    pub version: u64,
}

impl Archive {
    /// The metadata of everything in `scope`, to be read chunk by chunk.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is nothing.
    pub async fn metadata(
        &self,
        _permit: &Permit,
        scope: Scope,
        base_url: String,
    ) -> Result<Metadata, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool.run(move || open(core, &scope, base_url)).await
    }

    /// The next chunk of an array of metadata, and the rest of it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn read_metadata(
        &self,
        mut metadata: Metadata,
    ) -> Result<(Option<Bytes>, Metadata), ArchiveError> {
        self.pool.run(move || Ok((metadata.next()?, metadata))).await
    }
}

fn open(core: Arc<Core>, scope: &Scope, base_url: String) -> Result<Metadata, ArchiveError> {
    let snapshot = core.catalog.read()?;
    let found = match scope {
        Scope::Study(study) => snapshot.study(study)?.map(|row| row.seq),
        Scope::Series(path) => snapshot.series(path)?.map(|row| row.seq),
        Scope::Instance(path) => snapshot.instance(path)?.map(|row| row.seq),
    };
    let Some(version) = found else { return Err(missing(&snapshot, scope)?) };
    let (mut series, single) = match scope {
        Scope::Study(study) => {
            (snapshot.series_of(study)?.into_iter().map(|series| series.path).collect(), None)
        }
        Scope::Series(path) => (vec![path.clone()], None),
        Scope::Instance(path) => (Vec::new(), Some(path.clone())),
    };
    series.reverse();
    drop(snapshot);
    Ok(Metadata { core, base_url, series, after: None, single, begun: false, done: false, version })
}

impl Metadata {
    /// Everything was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The next bytes of the array; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, ArchiveError> {
        if self.done {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        // A snapshot lives for one chunk, never across a write to a client.
        let snapshot = self.core.catalog.read()?;
        if let Some(path) = self.single.take() {
            let json = snapshot.metadata_of(&path)?.ok_or(ArchiveError::Gone("instance"))?;
            self.put(&mut out, &path.series_path(), &path.instance, &json);
        }
        while let Some(series) = self.series.last().cloned() {
            let after = self.after.clone();
            let mut last = None;
            let whole = snapshot.metadata(&series, after.as_ref(), &mut |instance, json| {
                self.put(&mut out, &series, instance, json);
                last = Some(instance.clone());
                if out.len() >= CHUNK_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if !whole {
                self.after = last;
                return Ok(Some(out.into()));
            }
            self.after = None;
            self.series.pop();
        }
        self.done = true;
        out.extend_from_slice(if self.begun { b"]" } else { b"[]" });
        Ok(Some(out.into()))
    }

    fn put(&mut self, out: &mut Vec<u8>, series: &SeriesPath, instance: &InstanceUid, stored: &[u8]) {
        out.push(if self.begun { b',' } else { b'[' });
        self.begun = true;
        let url = instance_url(&self.base_url, series, instance);
        json::fill(stored, &url, out);
    }
}

/// The absolute URL of an instance.
fn instance_url(base_url: &str, series: &SeriesPath, instance: &InstanceUid) -> String {
    format!("{base_url}/studies/{}/series/{}/instances/{instance}", series.study, series.series)
}
