//! Store: a file that has arrived ([`super::incoming`]) becomes an acknowledged
//! instance. It is parsed once, here, and everything a read will need is computed
//! from that. What is in memory is written by the committer together with its
//! neighbours; a file of some hundred KiB by itself, into a pack of its own lane.
//!
//! One instance failing is data ([`Outcome::Failed`]), never an error of the
//! request.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    task::{JoinHandle, spawn_blocking},
};

use super::{
    Archive, ArchiveError, Core, Duplicates,
    checked::{self, Whole},
    committer::Work,
    incoming::join,
    quota::Room,
    reserve::Reservation,
    sight::Sight,
    trails::{self, About},
};
use crate::{
    audit::Trail,
    auth::{Action, Permit},
    dicom::{
        Bulk, DataSet, InstancePath, InstanceUid, StudyUid, Tag, VR, Value, attributes,
        check::{self, Note},
        json,
        part10::{self, ReadError, Warning},
        reasons,
        source::Source,
    },
    storage::{
        Chunks, Digest, PackId, Place, Role, Stamp,
        catalog::{self, Form, NewInstance},
        packs::{Hashed, Hasher, Upload},
    },
};

const AVAILABLE_TRANSFER_SYNTAX: Tag = Tag(0x0008, 0x3002);

/// Said of a file that became a version and not the instance.
const KEPT: &str = "another file with this SOP Instance UID was stored before and stays the instance; this one \
                    is kept as a version of it";

/// A file that is large enough takes a lane while fewer than these are in use: two
/// fill the disk, more than eight gain nothing.
const ALONE_LANES_MAX: usize = 4;

/// What became of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// SOP Class UID, as far as it could be read.
    pub sop_class: Option<String>,
    /// SOP Instance UID, as far as it could be read.
    pub sop_instance: Option<String>,
    /// Whose it is, as far as it could be read.
    pub about: Option<Box<About>>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Durable and visible.
    Stored {
        path: InstancePath,
        warnings: Vec<Note>,
        /// What coercion has changed: the item of the Original Attributes Sequence.
        original: Option<Box<DataSet>>,
    },
    /// The same bytes were there already.
    AlreadyThere { path: InstancePath },
    /// Nothing of it was kept. `reason` is one of [`crate::dicom::reasons`].
    Failed { reason: u16, why: String },
}

/// An instance whose commit is under way.
pub struct Pending {
    sop_class: Option<String>,
    sop_instance: Option<String>,
    about: Option<Box<About>>,
    trail: Option<Trail>,
    original: Option<Box<DataSet>>,
    state: PendingState,
}

enum PendingState {
    Known(Outcome),
    /// Being written by itself.
    Writing(JoinHandle<Result<Pending, ArchiveError>>),
    Committing {
        path: InstancePath,
        warnings: Vec<Note>,
        answer: oneshot::Receiver<Result<catalog::Outcome, ArchiveError>>,
    },
}

impl Archive {
    /// A lane for a file of `bytes` that is in memory, if that is better than a
    /// flush shared with others: the disk then writes one file while the next
    /// is copied.
    fn lane_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let in_use = self.streams_max.saturating_sub(self.lanes.available_permits());
        if bytes < self.alone_bytes_min || in_use >= ALONE_LANES_MAX {
            return None;
        }
        Arc::clone(&self.lanes).try_acquire_owned().ok()
    }
}

impl Pending {
    /// One whose outcome is known.
    pub(super) fn known(stored: Stored) -> Self {
        let Stored { sop_class, sop_instance, about, outcome } = stored;
        let state = PendingState::Known(outcome);
        Self { sop_class, sop_instance, about, trail: None, original: None, state }
    }

    /// One that is being written.
    fn writing(writing: JoinHandle<Result<Self, ArchiveError>>) -> Self {
        let state = PendingState::Writing(writing);
        Self { sop_class: None, sop_instance: None, about: None, trail: None, original: None, state }
    }

    /// The same of a file that rules have changed.
    pub(super) fn changed_from(self, original: Option<Box<DataSet>>) -> Self {
        Self { original, ..self }
    }

    /// The same, noted on a trail.
    pub(super) fn on_trail(self, trail: Option<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// Waits until the instance is durable and visible, or refused.
    ///
    /// # Errors
    /// When the archive cannot store anything at the moment.
    pub async fn outcome(mut self) -> Result<Stored, ArchiveError> {
        if let PendingState::Writing(writing) = self.state {
            let written = writing.await.map_err(|_| ArchiveError::Stopping)??;
            self = Self { original: self.original, trail: self.trail, ..written };
        }
        let outcome = match self.state {
            PendingState::Known(outcome) => outcome,
            // What has been written is not written again.
            PendingState::Writing(_) => return Err(ArchiveError::Stopping),
            PendingState::Committing { path, warnings, answer } => {
                let answer = answer.await.map_err(|_| ArchiveError::Stopping)??;
                committed(answer, path, warnings)
            }
        };
        let outcome = match outcome {
            Outcome::Stored { path, warnings, .. } => {
                Outcome::Stored { path, warnings, original: self.original }
            }
            other @ (Outcome::AlreadyThere { .. } | Outcome::Failed { .. }) => other,
        };
        let stored =
            Stored { sop_class: self.sop_class, sop_instance: self.sop_instance, about: self.about, outcome };
        trails::stored(self.trail.as_ref(), &stored);
        Ok(stored)
    }
}

/// A file that is whole.
pub(super) enum Content {
    Memory {
        bytes: Bytes,
        held: Vec<OwnedSemaphorePermit>,
    },
    /// In a pack, without its record. The lane is dropped last.
    Stream {
        upload: Box<Upload>,
        lane: OwnedSemaphorePermit,
    },
}

/// What became of a file that is whole.
pub(super) enum Finished {
    /// Its commit is under way, or its outcome is known.
    Pending(Pending),
    /// Another upload of its SOP Instance UID is under way.
    Waiting(Box<Waiting>),
}

/// A file that was parsed and needs the reservation of its SOP Instance UID.
pub(super) struct Waiting {
    content: Content,
    read: part10::Instance,
    hashed: Hashed,
}

pub(super) fn finish_in_memory(
    archive: &Arc<Archive>,
    chunks: Vec<Bytes>,
    held: Vec<OwnedSemaphorePermit>,
    study: Option<&StudyUid>,
    permit: &Permit,
) -> Result<Finished, ArchiveError> {
    let bytes = join(chunks);
    let hashed = Hasher::hash(&bytes);
    let read = match parse(archive, &bytes.as_ref(), study, permit)? {
        Ok(read) => read,
        Err(settled) => return Ok(Finished::Pending(settled)),
    };
    Waiting { content: Content::Memory { bytes, held }, read, hashed }.try_on(archive, permit)
}

pub(super) fn finish_stream(
    archive: &Arc<Archive>,
    lane: OwnedSemaphorePermit,
    upload: Box<Upload>,
    hashed: Hashed,
    study: Option<&StudyUid>,
    permit: &Permit,
) -> Result<Finished, ArchiveError> {
    let read = match parse(archive, &upload.source()?, study, permit)? {
        Ok(read) => read,
        // Dropping the upload cuts the bytes off again.
        Err(settled) => return Ok(Finished::Pending(settled)),
    };
    Waiting { content: Content::Stream { upload, lane }, read, hashed }.try_on(archive, permit)
}

impl Waiting {
    /// Whose reservation it needs.
    pub(super) fn instance(&self) -> &InstanceUid {
        &self.read.path.instance
    }

    /// Goes on, if no other upload of the SOP Instance UID is under way.
    fn try_on(self, archive: &Arc<Archive>, permit: &Permit) -> Result<Finished, ArchiveError> {
        match archive.core.reservations.try_take(self.instance()) {
            Some(reservation) => self.go_on(archive, reservation, permit).map(Finished::Pending),
            None => Ok(Finished::Waiting(Box::new(self))),
        }
    }

    /// Writes the file, or lets it be written, if it is to be stored.
    pub(super) fn go_on(
        self,
        archive: &Arc<Archive>,
        reservation: Reservation,
        permit: &Permit,
    ) -> Result<Pending, ArchiveError> {
        let Self { content, read, hashed } = self;
        let understood = match understand(archive, read, hashed, reservation, permit)? {
            Ok(understood) => understood,
            Err(settled) => return Ok(settled),
        };
        let (bytes, held) = match content {
            Content::Stream { upload, lane } => return place(archive, lane, *upload, understood),
            Content::Memory { bytes, held } => (bytes, held),
        };
        if let Some(lane) = archive.lane_for(bytes.len()) {
            let archive = Arc::clone(archive);
            // What the request has next arrives meanwhile. It takes no turn of the
            // pool, for this is work of the pool, which must not wait for more of
            // it; there are never more than lanes.
            return Ok(Pending::writing(spawn_blocking(move || {
                let mut upload = archive.core.packs.begin()?;
                upload.write(&bytes)?;
                drop((bytes, held));
                place(&archive, lane, upload, understood)
            })));
        }
        let Understood { instance, about, warnings, reservation, room } = understood;
        let (path, sop_class) = (instance.path.clone(), instance.sop_class.clone());
        let answer = archive.committer.submit(Work::File { bytes, held, instance, reservation, room })?;
        Ok(Pending { about, ..committing(path, sop_class, warnings, answer) })
    }
}

/// Completes what a lane holds, and queues its commit.
///
/// The lane is given back when the upload is over, after it (parameters are
/// dropped from the last to the first), and not when the commit is: a request
/// with more large files than there are lanes would wait for itself.
fn place(
    archive: &Archive,
    _lane: OwnedSemaphorePermit,
    upload: Upload,
    understood: Understood,
) -> Result<Pending, ArchiveError> {
    let Understood { mut instance, about, warnings, reservation, room } = understood;
    instance.stamp = archive.core.clock.stamp();
    instance.place = upload.finish(&instance.path, instance.stamp, instance.role, instance.digest)?;
    let (path, sop_class) = (instance.path.clone(), instance.sop_class.clone());
    let answer = archive.committer.submit(Work::Placed { instance, reservation, room })?;
    Ok(Pending { about, ..committing(path, sop_class, warnings, answer) })
}

fn committing(
    path: InstancePath,
    sop_class: String,
    warnings: Vec<Note>,
    answer: oneshot::Receiver<Result<catalog::Outcome, ArchiveError>>,
) -> Pending {
    Pending {
        sop_class: Some(sop_class),
        sop_instance: Some(path.instance.to_string()),
        about: None,
        trail: None,
        original: None,
        state: PendingState::Committing { path, warnings, answer },
    }
}

/// Parses a file, and looks whether it is one that the caller may store. The inner
/// error is an outcome: nothing is to be written.
fn parse(
    archive: &Archive,
    source: &dyn Source,
    study: Option<&StudyUid>,
    permit: &Permit,
) -> Result<Result<part10::Instance, Pending>, ArchiveError> {
    let read = match part10::read(source, &archive.core.limits) {
        Ok(read) => read,
        Err(error) => return Ok(Err(unreadable(&error))),
    };
    if study.is_some_and(|study| *study != read.path.study) {
        let why = "the Study Instance UID (0020,000D) is not the one in the request's URL".to_owned();
        return Ok(Err(settled(Outcome::Failed { reason: reasons::STUDY_MISMATCH, why }, &read)));
    }
    if !is_permitted(&archive.core, permit, &read)? {
        return Ok(Err(settled(refused(), &read)));
    }
    Ok(Ok(read))
}

/// What is known of a file of which nothing is written.
fn settled(outcome: Outcome, read: &part10::Instance) -> Pending {
    Pending::known(Stored {
        sop_class: Some(read.sop_class.clone()),
        sop_instance: Some(read.path.instance.to_string()),
        about: Some(Box::new(about(read, false))),
        outcome,
    })
}

fn about(read: &part10::Instance, replaces: bool) -> About {
    let subject = trails::subject_of(&read.dataset);
    About { study: read.path.study.clone(), subject, replaces }
}

/// A file that was parsed, is not known yet, and may be written.
struct Understood {
    instance: Box<NewInstance>,
    about: Option<Box<About>>,
    warnings: Vec<Note>,
    reservation: Reservation,
    room: Room,
}

/// Looks whether the SOP Instance UID of a file is free, and gathers what the
/// catalog keeps of it. The inner error is an outcome: nothing is to be written.
fn understand(
    archive: &Archive,
    read: part10::Instance,
    hashed: Hashed,
    reservation: Reservation,
    permit: &Permit,
) -> Result<Result<Understood, Pending>, ArchiveError> {
    let (role, replaces) = match known(&archive.core, &read.path, hashed.digest)? {
        Ok(free) => free,
        Err(outcome) => return Ok(Err(settled(outcome, &read))),
    };
    let is_new = role == Role::Current && !replaces;
    let room = match archive.core.ledger.reserve(hashed.length, is_new) {
        Ok(room) => room,
        Err(error) => {
            let (reason, why) = (reasons::OUT_OF_RESOURCES, error.to_string());
            return Ok(Err(settled(Outcome::Failed { reason, why }, &read)));
        }
    };
    let envelope = match read.form {
        part10::Form::Complete => None,
        part10::Form::NoPreamble => Some("the file came without preamble"),
        part10::Form::NoMeta => {
            Some("the file came without file meta information that names a transfer syntax")
        }
    };
    let findings = if archive.core.warn_attributes { check::check(&read.dataset) } else { Vec::new() };
    let warnings = envelope
        .into_iter()
        .map(Note::from)
        .chain(read.warnings.iter().map(Note::from))
        .chain(findings.into_iter().map(Note::from))
        .collect();
    let about = Some(Box::new(about(&read, replaces)));
    let instance = NewInstance { role, ..new_instance(read, hashed.digest, hashed.chunks, permit.caller()) };
    let instance = Box::new(instance);
    Ok(Ok(Understood { instance, about, warnings, reservation, room }))
}

/// Whether the caller may store an instance where it says it belongs. What is
/// stored last speaks for its study and series, so these must be the caller's
/// already if they are there: else storing into them would be a way to see them.
fn is_permitted(core: &Core, permit: &Permit, read: &part10::Instance) -> Result<bool, ArchiveError> {
    let Ok(reach) = permit.require(Action::Store) else { return Ok(false) };
    let own = reach.filter();
    let reads = Action::READS.map(|action| permit.reach(action).filter());
    if own.is_none() && reads.iter().all(Option::is_none) {
        return Ok(true);
    }
    if let Some(own) = own {
        let parts = attributes::split(&read.dataset);
        if !own.admits(&parts.study, &parts.series) {
            return Ok(false);
        }
    }
    let series = read.path.series_path();
    for filter in own.into_iter().chain(reads.into_iter().flatten()) {
        let sight = Sight::through(core, core.catalog.read()?, Some(Arc::clone(filter)));
        let study_is_there = sight.raw().study(&series.study)?.is_some();
        let series_is_there = sight.raw().series(&series)?.is_some();
        if study_is_there && sight.study(&series.study)?.is_none()
            || series_is_there && sight.series(&series)?.is_none()
        {
            return Ok(false);
        }
        // In use elsewhere, where the caller does not see it.
        let elsewhere = sight.raw().locate(&read.path.instance)?.is_some();
        if elsewhere && sight.locate(&read.path.instance)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Said whether something is there or not, so that it tells neither.
fn refused() -> Outcome {
    let why = "the caller may not store this instance here".to_owned();
    Outcome::Failed { reason: reasons::NOT_AUTHORIZED, why }
}

/// As what a file is to be stored and whether in the place of another, or what
/// it comes to without that, when its
/// SOP Instance UID is there already.
fn known(
    core: &Core,
    path: &InstancePath,
    digest: Digest,
) -> Result<Result<(Role, bool), Outcome>, ArchiveError> {
    let snapshot = core.catalog.read()?;
    let Some(existing) = snapshot.locate(&path.instance)? else { return Ok(Ok((Role::Current, false))) };
    if existing != *path {
        return Ok(Err(conflict(path, &existing)));
    }
    if let Some(row) = snapshot.instance(path)?.filter(|row| row.digest == digest) {
        let there = Outcome::AlreadyThere { path: existing };
        return Ok(Err(if is_held(core, path, &row.place, digest)? { there } else { lost() }));
    }
    if core.duplicates == Duplicates::Reject {
        return Ok(Err(conflict(path, &existing)));
    }
    let versions = snapshot.versions(path)?;
    let same = versions.iter().find(|version| version.digest == digest);
    if let (Duplicates::Keep, Some(same)) = (core.duplicates, same) {
        let kept = || Outcome::Stored { path: existing, warnings: vec![KEPT.into()], original: None };
        return Ok(Err(if is_held(core, path, &same.place, digest)? { kept() } else { lost() }));
    }
    if versions.len() >= core.versions_max {
        let why = format!(
            "the instance has {} versions already, as many as it may (store.versions_max)",
            versions.len()
        );
        return Ok(Err(Outcome::Failed { reason: reasons::DUPLICATE_SOP_INSTANCE, why }));
    }
    Ok(Ok(if core.duplicates == Duplicates::Keep { (Role::Kept, false) } else { (Role::Current, true) }))
}

/// Whether the bytes of a file that the catalog knows are there: who is told so may
/// delete his own. What a bucket has was held against its digest when it came there.
fn is_held(core: &Core, path: &InstancePath, place: &Place, digest: Digest) -> Result<bool, ArchiveError> {
    if core.packs.is_far(place.pack) {
        return Ok(!core.packs.is_lost(place.pack));
    }
    let why = match checked::is_whole(&core.packs, place, digest, &|| true)? {
        Whole::Yes => return Ok(true),
        Whole::No(why) => why,
        Whole::CutOff => "it was not read to its end".to_owned(),
    };
    tracing::error!(instance = %path, pack = %place.pack, why, "a file came again whose bytes are damaged");
    Ok(false)
}

/// Of a file that the catalog knows and whose bytes are not there any more.
fn lost() -> Outcome {
    let why =
        "the instance was stored before and its bytes are lost or damaged; delete it, and store it again"
            .to_owned();
    Outcome::Failed { reason: reasons::PROCESSING_FAILURE, why }
}

fn conflict(path: &InstancePath, existing: &InstancePath) -> Outcome {
    let why = if existing == path {
        "another instance with this SOP Instance UID and other bytes is stored; delete it first to replace it"
            .to_owned()
    } else {
        format!("the SOP Instance UID (0008,0018) is in use by {existing}")
    };
    Outcome::Failed { reason: reasons::DUPLICATE_SOP_INSTANCE, why }
}

/// What the catalog keeps of a file; its place and stamp are still to come.
pub(super) fn new_instance(read: part10::Instance, digest: Digest, chunks: Chunks, by: &str) -> NewInstance {
    let part10::Instance { form, transfer_syntax, sop_class, path, mut dataset, frames, warnings, .. } = read;
    // A data set that is not encoded as its envelope says needs a new one.
    let misdeclared = warnings.iter().any(|warning| matches!(warning, Warning::Encoding { .. }));
    // Viewers take the stored transfer syntax from here (PS3.18 section
    // 10.4.1.1.2 note 3): group 0002 has no place in metadata.
    dataset.put_text(AVAILABLE_TRANSFER_SYNTAX, VR::UI, &transfer_syntax);
    let mut metadata = Vec::with_capacity(8 * 1024);
    json::write(&dataset, &mut metadata);
    let parts = attributes::split(&dataset);
    let mut bulk = Vec::new();
    gather_bulk(&dataset, &mut bulk);
    NewInstance {
        path,
        stamp: Stamp::default(),
        role: Role::default(),
        place: Place { pack: PackId(0), offset: 0, length: 0 },
        digest,
        chunks,
        form: match form {
            _ if misdeclared => Form::NoMeta,
            part10::Form::Complete => Form::Complete,
            part10::Form::NoPreamble => Form::NoPreamble,
            part10::Form::NoMeta => Form::NoMeta,
        },
        transfer_syntax,
        sop_class,
        frames,
        bulk,
        study: parts.study,
        series: parts.series,
        summary: parts.instance,
        metadata,
        by: by.to_owned(),
    }
}

/// The values left in the file, at any depth (the scanner bounds it).
fn gather_bulk(set: &DataSet, found: &mut Vec<Bulk>) {
    for (_, element) in set.iter() {
        match &element.value {
            Value::Bulk(bulk) => found.push(bulk.clone()),
            Value::Items(items) => items.iter().for_each(|item| gather_bulk(item, found)),
            Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Inline(_) => {}
        }
    }
}

fn committed(outcome: catalog::Outcome, path: InstancePath, mut warnings: Vec<Note>) -> Outcome {
    match outcome {
        catalog::Outcome::Kept { beside: true } => {
            warnings.push(KEPT.into());
            Outcome::Stored { path, warnings, original: None }
        }
        catalog::Outcome::Stored { .. } => Outcome::Stored { path, warnings, original: None },
        catalog::Outcome::AlreadyThere => Outcome::AlreadyThere { path },
        catalog::Outcome::Conflict { existing } => conflict(&path, &existing),
        catalog::Outcome::Kept { beside: false }
        | catalog::Outcome::Superseded
        | catalog::Outcome::Deleted { .. }
        | catalog::Outcome::Moved
        | catalog::Outcome::NotFound
        | catalog::Outcome::Noted => Outcome::Failed {
            reason: reasons::PROCESSING_FAILURE,
            why: "the instance was deleted while it was being stored; store it again".to_owned(),
        },
    }
}

fn unreadable(error: &ReadError) -> Pending {
    let reason = match error {
        ReadError::MissingUid { .. } | ReadError::BadUid { .. } => reasons::DATA_SET_MISMATCH,
        ReadError::UnsupportedTransferSyntax => reasons::TRANSFER_SYNTAX_NOT_SUPPORTED,
        ReadError::Io(_) => reasons::PROCESSING_FAILURE,
        ReadError::NotDicom
        | ReadError::Truncated { .. }
        | ReadError::Deflate { .. }
        | ReadError::Overrun { .. }
        | ReadError::Structure { .. }
        | ReadError::TooDeep { .. }
        | ReadError::Limit { .. }
        | ReadError::InflatedTooLarge { .. }
        | ReadError::Compressed => reasons::CANNOT_UNDERSTAND,
    };
    let outcome = Outcome::Failed { reason, why: error.to_string() };
    Pending::known(Stored { sop_class: None, sop_instance: None, about: None, outcome })
}
