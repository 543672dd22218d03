//! DICOM files (PS3.10) to values: [`read`] understands a file once, at ingest.
//!
//! It must not trust a byte of it. Lengths are checked before they are used,
//! nesting, elements, fragments and memory are limited, nothing recurses, and
//! values too large to keep are skipped by their offset, so that a file of
//! 5 GB costs kilobytes. What real files do wrong is read all the same, with a
//! [`Warning`]; a file that is cut off is an error.
//!
//! `meta` finds the data set, `walk` tokenises it, `scan` builds the
//! [`DataSet`], `pixels` the frame table.

mod inflate;
mod meta;
mod pixels;
mod problem;
mod scan;
mod syntax;
mod value;
pub(crate) mod walk;
mod window;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

pub use inflate::{Inflated, inflate};
pub use problem::{ReadError, Warning};
pub use syntax::{
    DEFLATED_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, Encoding, IMPLICIT_LITTLE_ENDIAN,
    PixelForm, Syntax,
};

use super::dataset::DataSet;
use super::frames::FrameTable;
use super::source::Source;
use super::uid::{self, InstancePath, InstanceUid, SeriesUid, StudyUid, UidError};
use problem::Warnings;

/// What a file may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sequences within sequences.
    pub depth_max: usize,
    /// Elements and items in all.
    pub elements_max: usize,
    /// Memory for values that are kept.
    pub header_bytes_max: u64,
    /// Longer OB OD OF OL OV OW and UN values stay in the file.
    pub inline_bytes_max: u64,
    /// Longer text and number values stay in the file, if their VR may.
    pub text_bytes_max: u64,
    /// Frames and fragments of encapsulated pixel data.
    pub frames_max: usize,
    /// Bytes of a deflated data set once inflated.
    pub inflated_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 64,
            elements_max: 1_000_000,
            header_bytes_max: 64 << 20,
            inline_bytes_max: 1024,
            text_bytes_max: 64 << 10,
            frames_max: 1_000_000,
            inflated_bytes_max: 512 << 20,
        }
    }
}

/// How much of a Part 10 file a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Preamble, prefix and file meta information with a Transfer Syntax.
    Complete,
    /// File meta information, but no preamble before it.
    NoPreamble,
    /// No file meta information, or none that names a Transfer Syntax.
    NoMeta,
}

/// An instance as it is archived: a data set with its identity.
#[derive(Debug, Clone)]
pub struct Instance {
    pub form: Form,
    /// Bytes from the start of the file to the data set.
    pub dataset_offset: u64,
    /// As declared; the one the data set is in fact encoded in if none is.
    pub transfer_syntax: String,
    pub sop_class: String,
    pub path: InstancePath,
    pub dataset: DataSet,
    pub frames: FrameTable,
    pub warnings: Vec<Warning>,
}

/// Whatever a file holds, whether it has an identity or not.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub form: Form,
    pub dataset_offset: u64,
    pub transfer_syntax: String,
    /// Media Storage SOP Class and Instance UID, if there and well formed.
    pub meta_sop_class: Option<String>,
    pub meta_sop_instance: Option<String>,
    /// How the data set is in fact encoded.
    pub encoding: Encoding,
    pub dataset: DataSet,
    pub frames: FrameTable,
    pub warnings: Vec<Warning>,
}

/// Reads an instance.
///
/// # Errors
/// Why it cannot be archived: not DICOM, cut off, malformed beyond repair,
/// beyond a limit, or without the UIDs that name it.
pub fn read(source: &dyn Source, limits: &Limits) -> Result<Instance, ReadError> {
    let mut parsed = parse(source, limits)?;
    let (sop_class, instance) = sop_uids(&mut parsed)?;
    let study = required(&parsed.dataset, tags::STUDY_INSTANCE_UID)?;
    let series = required(&parsed.dataset, tags::SERIES_INSTANCE_UID)?;
    let bad = |tag| move |reason| ReadError::BadUid { tag, reason };
    let path = InstancePath {
        study: StudyUid::parse(study).map_err(bad(tags::STUDY_INSTANCE_UID))?,
        series: SeriesUid::parse(series).map_err(bad(tags::SERIES_INSTANCE_UID))?,
        instance: InstanceUid::parse(&instance).map_err(bad(tags::SOP_INSTANCE_UID))?,
    };
    Ok(Instance {
        form: parsed.form,
        dataset_offset: parsed.dataset_offset,
        transfer_syntax: parsed.transfer_syntax,
        sop_class,
        path,
        dataset: parsed.dataset,
        frames: parsed.frames,
        warnings: parsed.warnings,
    })
}

/// Reads a file without asking for its identity.
///
/// # Errors
/// As [`read`], but for the UIDs.
pub fn parse(source: &dyn Source, limits: &Limits) -> Result<Parsed, ReadError> {
    parse_and_keep(source, limits).map(|(parsed, _)| parsed)
}

/// As [`parse`], and hands over the inflated data set if there is one.
pub(crate) fn parse_and_keep(
    source: &dyn Source,
    limits: &Limits,
) -> Result<(Parsed, Option<Inflated>), ReadError> {
    let mut warnings = Warnings::default();
    let head = meta::locate(source, limits, &mut warnings)?;
    if !Syntax::of(&head.transfer_syntax).deflated {
        return Ok((parse_data_set(head, source, warnings, limits)?, None));
    }
    let inflated = inflate(source, head.dataset_offset, limits)?;
    Ok((parse_data_set(head, &inflated, warnings, limits)?, Some(inflated)))
}

/// Reads the data set that `head` announces; a deflated one is read from its
/// inflated form, which starts with the data set.
fn parse_data_set(
    head: meta::Head,
    source: &dyn Source,
    mut warnings: Warnings,
    limits: &Limits,
) -> Result<Parsed, ReadError> {
    let syntax = Syntax::of(&head.transfer_syntax);
    let offset = if syntax.deflated { 0 } else { head.dataset_offset };
    let scanned = scan::scan(source, offset, syntax.encoding, &mut warnings, limits)?;
    let frames = pixels::frame_table(source, &scanned, syntax, &mut warnings, limits)?;
    let transfer_syntax = match (&scanned.pixels, head.is_guessed) {
        (Some(pixels), true) => pixels::guess_syntax(source, pixels)?.map(str::to_owned),
        (Some(_), false) | (None, _) => None,
    };
    Ok(Parsed {
        form: head.form,
        dataset_offset: head.dataset_offset,
        transfer_syntax: transfer_syntax.unwrap_or(head.transfer_syntax),
        meta_sop_class: head.sop_class,
        meta_sop_instance: head.sop_instance,
        encoding: scanned.encoding,
        dataset: scanned.dataset,
        frames,
        warnings: warnings.into_vec(),
    })
}

/// SOP Class and SOP Instance UID.
pub(crate) fn sop_uids(parsed: &mut Parsed) -> Result<(String, String), ReadError> {
    Ok((identity(parsed, tags::SOP_CLASS_UID)?, identity(parsed, tags::SOP_INSTANCE_UID)?))
}

/// SOP Class or SOP Instance UID: the data set's, or else the meta's.
fn identity(parsed: &mut Parsed, tag: Tag) -> Result<String, ReadError> {
    let meta = if tag == tags::SOP_CLASS_UID { &parsed.meta_sop_class } else { &parsed.meta_sop_instance };
    let (uid, warning) = match (parsed.dataset.first_text(tag), meta) {
        (Some(own), Some(meta)) if own != meta => (own, Some(Warning::MetaContradicts { tag })),
        (Some(own), _) => (own, None),
        (None, Some(meta)) => (meta.as_str(), Some(Warning::UidFromMeta { tag })),
        (None, None) => return Err(ReadError::MissingUid { tag }),
    };
    uid::check(uid).map_err(|reason| ReadError::BadUid { tag, reason })?;
    let uid = uid.to_owned();
    parsed.warnings.extend(warning);
    Ok(uid)
}

fn required(dataset: &DataSet, tag: Tag) -> Result<&str, ReadError> {
    dataset.first_text(tag).ok_or(ReadError::MissingUid { tag })
}

/// A UID as it stands in a file, without its padding.
fn uid_of(bytes: &[u8]) -> Result<String, UidError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches([' ', '\0']);
    uid::check(text).map(|()| text.to_owned())
}
