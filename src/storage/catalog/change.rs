//! What can be done to the catalog, and what came of it. Invariant: every
//! change carries the stamp it has in its pack, so that applying it again, or
//! in another order, ends in the same catalog.

use super::{Form, InstancePath};
use crate::dicom::{Bulk, DataSet, FrameTable, SeriesPath, StudyUid};
use crate::storage::{Chunks, Digest, PackId, Place, Role, Stamp};

/// An instance as it is to stand in the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInstance {
    pub path: InstancePath,
    pub stamp: Stamp,
    pub role: Role,
    pub place: Place,
    pub digest: Digest,
    pub chunks: Chunks,
    pub form: Form,
    pub transfer_syntax: String,
    pub sop_class: String,
    pub frames: FrameTable,
    pub bulk: Vec<Bulk>,
    /// Its attributes on the Study level (with those of the patient).
    pub study: DataSet,
    /// Its attributes on the Series level.
    pub series: DataSet,
    /// Its attributes on the Instance level that searches look at.
    pub summary: DataSet,
    /// DICOM JSON of the whole, stored and given back as it is.
    pub metadata: Vec<u8>,
    /// Who stored it, for the feed; empty if unknown.
    pub by: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Store {
        instance: Box<NewInstance>,
        rule: Rule,
    },
    /// Deletes what is older than the stamp. The stamp is that of the
    /// tombstones in the packs, one for each instance there is. An instance
    /// named here counts as deleted from now on even if it was never there: the
    /// pack with it may come later.
    Delete {
        target: Target,
        stamp: Stamp,
        by: String,
    },
    /// The bytes of an instance were copied to another pack.
    Move {
        path: InstancePath,
        /// The version that was copied.
        stamp: Stamp,
        place: Place,
    },
    /// All entries of a pack before `until` have been applied. Belongs in one
    /// transaction with them.
    PackApplied {
        pack: PackId,
        until: u64,
    },
    PackSealed {
        pack: PackId,
    },
    /// The pack is gone; nothing may point to it.
    PackRemoved {
        pack: PackId,
    },
}

/// What happens to a SOP Instance UID that is there already with other bytes.
/// The same bytes under the same path are [`Outcome::AlreadyThere`], and another
/// path is [`Outcome::Conflict`], by every rule but [`Rule::Replay`]. What is
/// stored as [`Role::Kept`] takes no place and needs no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// What is there stays.
    Reject,
    /// The new one takes its place; what was there is a version of it.
    Replace,
    /// The one with the newer stamp takes the place, whichever comes first: for
    /// changes that have been decided before and come from a pack.
    Replay,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Study(StudyUid),
    Series(SeriesPath),
    Instance(InstancePath),
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `replaced`: the version that was there before, where its bytes are.
    Stored {
        seq: u64,
        replaced: Option<Place>,
    },
    /// It is a version of an instance. `beside`: whether that is there; else it
    /// was deleted before this one was stored.
    Kept {
        beside: bool,
    },
    /// The same bytes are there; nothing changed.
    AlreadyThere,
    /// Another instance has this SOP Instance UID; nothing changed.
    Conflict {
        existing: InstancePath,
    },
    /// A newer version or a newer deletion is known; nothing to see changed,
    /// though it may be a version now.
    Superseded,
    Deleted {
        instances: Vec<InstancePath>,
    },
    Moved,
    /// Nothing there that is older than the deletion, or of that version.
    NotFound,
    /// Pack bookkeeping.
    Noted,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One for each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// Studies in which something changed, in ascending order.
    pub changed: Vec<StudyUid>,
    /// Sequence number of the last change there is.
    pub seq: u64,
}

/// When a transaction is safe from a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// With the next durable one or the next checkpoint; until then the packs
    /// have what is needed to do it again.
    Fast,
    /// When it returns.
    Durable,
}
