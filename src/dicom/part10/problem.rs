//! What can be wrong with a file: [`ReadError`] when it cannot be taken, and
//! [`Warning`] when it can. Tags, byte offsets and UIDs only, never values.

use std::io;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::dicom::uid::UidError;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("this is not a DICOM file")]
    NotDicom,
    #[error("the file is cut off: {tag} at byte {offset} needs {needed} bytes and {left} are left")]
    Truncated { tag: Tag, offset: u64, needed: u64, left: u64 },
    #[error("the deflated data set is cut off or damaged at byte {offset}")]
    Deflate { offset: u64 },
    #[error("{tag} at byte {offset} is longer than the item or sequence that holds it")]
    Overrun { tag: Tag, offset: u64 },
    #[error("{tag} at byte {offset} {reason}")]
    Structure { tag: Tag, offset: u64, reason: &'static str },
    #[error("{tag} at byte {offset} is nested deeper than {max} sequences")]
    TooDeep { tag: Tag, offset: u64, max: usize },
    #[error("{tag} at byte {offset} exceeds the limit of {max} {what}")]
    Limit { what: &'static str, tag: Tag, offset: u64, max: u64 },
    #[error("the inflated data set exceeds the limit of {max} bytes")]
    InflatedTooLarge { max: u64 },
    #[error("{tag} is missing or empty")]
    MissingUid { tag: Tag },
    #[error("{tag} is no UID: {reason}")]
    BadUid { tag: Tag, reason: UidError },
    #[error("the transfer syntax is unknown, and the data set is in no encoding we know")]
    UnsupportedTransferSyntax,
    #[error("the pixel data are compressed")]
    Compressed,
    #[error("the file could not be read")]
    Io(#[from] io::Error),
}

/// What is wrong with a file that was read all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("{tag} is taken from the file meta information")]
    UidFromMeta { tag: Tag },
    #[error("{tag} of the file meta information contradicts the data set")]
    MetaContradicts { tag: Tag },
    #[error("the file meta information names no transfer syntax")]
    NoTransferSyntax,
    #[error("the data set at byte {offset} is not encoded as the transfer syntax says")]
    Encoding { offset: u64 },
    #[error("{tag} has a VR that is none")]
    UnknownVr { tag: Tag },
    #[error("{tag} has an odd length")]
    OddLength { tag: Tag },
    #[error("{tag} has a length that its VR cannot have")]
    WrongLength { tag: Tag },
    #[error("{tag} occurs twice; the last one counts")]
    Duplicate { tag: Tag },
    #[error("{tag} is out of order")]
    OutOfOrder { tag: Tag },
    #[error("{tag} does not belong in a data set")]
    ForeignGroup { tag: Tag },
    #[error("a delimiter at byte {offset} has nothing to end")]
    StrayDelimiter { offset: u64 },
    #[error("a delimiter is missing at byte {offset}")]
    MissingDelimiter { offset: u64 },
    #[error("{length} bytes from byte {offset} on are no part of the data set")]
    TrailingBytes { offset: u64, length: u64 },
    #[error("a Specific Character Set is misspelt")]
    MisspeltCharacterSet,
    #[error("a Specific Character Set is unknown")]
    UnknownCharacterSet,
    #[error("{tag} has characters outside its character set")]
    Undecodable { tag: Tag },
    #[error("Number of Frames says {declared}, the pixel data hold {held}")]
    FrameCount { declared: i64, held: u64 },
    #[error("the pixel data have no sensible dimensions")]
    NoDimensions,
    #[error("the pixel data are not in the form the transfer syntax says")]
    PixelForm,
    #[error("the offset table of the pixel data is wrong and is ignored")]
    OffsetTable,
    #[error("it is unclear which fragments make up a frame")]
    Fragments,
}

impl Warning {
    /// The attribute of the data set that it is about.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::UidFromMeta { tag }
            | Self::MetaContradicts { tag }
            | Self::UnknownVr { tag }
            | Self::OddLength { tag }
            | Self::WrongLength { tag }
            | Self::Duplicate { tag }
            | Self::OutOfOrder { tag }
            | Self::ForeignGroup { tag }
            | Self::Undecodable { tag } => Some(*tag),
            Self::MisspeltCharacterSet | Self::UnknownCharacterSet => Some(tags::SPECIFIC_CHARACTER_SET),
            Self::FrameCount { .. } => Some(tags::NUMBER_OF_FRAMES),
            Self::PixelForm | Self::OffsetTable | Self::Fragments => Some(tags::PIXEL_DATA),
            Self::NoTransferSyntax
            | Self::Encoding { .. }
            | Self::StrayDelimiter { .. }
            | Self::MissingDelimiter { .. }
            | Self::TrailingBytes { .. }
            | Self::NoDimensions => None,
        }
    }
}

/// Collects warnings up to a number that a hostile file cannot exceed.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<Warning>);

const WARNINGS_MAX: usize = 64;

impl Warnings {
    pub(crate) fn add(&mut self, warning: Warning) {
        if self.0.len() < WARNINGS_MAX && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Warning> {
        self.0
    }
}
