//! Metadata: the DICOM JSON that ingest wrote, given instance by instance to
//! whoever makes the body of an answer of it. No pack is touched, and where the
//! whole of it is wanted as JSON, nothing is parsed.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;

use super::{Archive, ArchiveError, Core, Scope, retrieve::missing, trails};
use crate::{
    audit::Action,
    auth::Permit,
    dicom::{InstancePath, InstanceUid, SeriesPath},
};

/// Bytes handed on at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Makes a body of the metadata of one instance after another.
pub trait Assembly: Send {
    /// Appends an instance: its absolute URL, and the JSON that ingest wrote,
    /// see [`crate::dicom::json::fill`].
    ///
    /// # Errors
    /// When the JSON is not what ingest writes.
    fn put(&mut self, url: &str, json: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError>;

    /// Appends what comes after the last instance.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// The metadata of a study, a series or an instance, on their way into a body.
pub struct Metadata {
    core: Arc<Core>,
    permit: Permit,
    assembly: Box<dyn Assembly>,
    base_url: String,
    /// Series that are still to come, the next one last.
    series: Vec<SeriesPath>,
    /// Where in the next series to go on.
    after: Option<InstanceUid>,
    /// The only instance wanted.
    single: Option<InstancePath>,
    done: bool,
    /// Changes whenever anything in the scope does, and is another for who sees
    /// other series of it.
    pub version: blake3::Hash,
}

impl Archive {
    /// The metadata of everything in `scope`, made into a body by `assembly`, to
    /// be read chunk by chunk.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is nothing.
    pub async fn metadata(
        &self,
        permit: &Permit,
        scope: Scope,
        base_url: String,
        assembly: Box<dyn Assembly>,
    ) -> Result<Metadata, ArchiveError> {
        let core = Arc::clone(&self.core);
        let permit = permit.clone();
        self.pool
            .run(move || {
                let trail = permit.trail().cloned();
                let is_filtered = permit.required()?.filter().is_some();
                let metadata = open(core, permit, &scope, base_url, assembly)?;
                if is_filtered && metadata.single.is_none() {
                    for series in metadata.series.iter().cloned() {
                        trails::scope(trail.as_ref(), &metadata.core, &Scope::Series(series), Action::Read)?;
                    }
                } else {
                    trails::scope(trail.as_ref(), &metadata.core, &scope, Action::Read)?;
                }
                Ok(metadata)
            })
            .await
    }

    /// The next chunk of a body of metadata, and the rest of it.
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

fn open(
    core: Arc<Core>,
    permit: Permit,
    scope: &Scope,
    base_url: String,
    assembly: Box<dyn Assembly>,
) -> Result<Metadata, ArchiveError> {
    let snapshot = core.sight(&permit)?;
    let found = match scope {
        Scope::Study(study) => snapshot.study(study)?.map(|row| row.seq),
        Scope::Series(path) => snapshot.series(path)?.map(|row| row.seq),
        Scope::Instance(path) => snapshot.instance(path)?.map(|row| row.seq),
    };
    let Some(seq) = found else { return Err(missing(&snapshot, scope)?) };
    let (mut series, single): (Vec<SeriesPath>, _) = match scope {
        Scope::Study(study) => {
            (snapshot.series_of(study)?.into_iter().map(|series| series.path).collect(), None)
        }
        Scope::Series(path) => (vec![path.clone()], None),
        Scope::Instance(path) => (Vec::new(), Some(path.clone())),
    };
    let mut version = blake3::Hasher::new();
    version.update(&seq.to_le_bytes());
    for path in &series {
        version.update(path.series.as_str().as_bytes()).update(&[0]);
    }
    let version = version.finalize();
    series.reverse();
    drop(snapshot);
    Ok(Metadata { core, permit, assembly, base_url, series, after: None, single, done: false, version })
}

impl Metadata {
    /// Everything was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The next bytes of the body; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, ArchiveError> {
        if self.done {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        // A snapshot lives for one chunk, never across a write to a client.
        let core = Arc::clone(&self.core);
        let snapshot = core.sight(&self.permit)?;
        if let Some(path) = self.single.take() {
            let json = snapshot.metadata_of(&path)?.ok_or(ArchiveError::Gone("instance"))?;
            self.put(&mut out, &path.series_path(), &path.instance, &json)?;
        }
        while let Some(series) = self.series.last().cloned() {
            let after = self.after.clone();
            let mut last = None;
            let mut outcome = Ok(());
            let whole = snapshot.metadata(&series, after.as_ref(), &mut |instance, json| {
                outcome = self.put(&mut out, &series, instance, json);
                last = Some(instance.clone());
                if outcome.is_err() || out.len() >= CHUNK_BYTES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            outcome?;
            if !whole {
                self.after = last;
                return Ok(Some(out.into()));
            }
            self.after = None;
            self.series.pop();
        }
        self.done = true;
        self.assembly.end(&mut out);
        Ok(Some(out.into()))
    }

    fn put(
        &mut self,
        out: &mut Vec<u8>,
        series: &SeriesPath,
        instance: &InstanceUid,
        stored: &[u8],
    ) -> Result<(), ArchiveError> {
        let url = instance_url(&self.base_url, series, instance);
        self.assembly.put(&url, stored, out)
    }
}

/// The absolute URL of an instance.
fn instance_url(base_url: &str, series: &SeriesPath, instance: &InstanceUid) -> String {
    format!("{base_url}/studies/{}/series/{}/instances/{instance}", series.study, series.series)
}
