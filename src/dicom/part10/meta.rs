//! The start of a file (PS3.10 section 7.1): preamble, prefix and file meta
//! information, or as much of them as there is. Takes three UIDs from group 2
//! and finds where the data set begins. Group 2 is explicit little endian, its
//! group length is not trusted.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::problem::{ReadError, Warning, Warnings};
use super::syntax::{self, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, Encoding};
use super::syntax::{IMPLICIT_LITTLE_ENDIAN, Syntax};
use super::window::Window;
use super::{Form, Limits, uid_of};
use crate::dicom::source::Source;
use crate::dicom::vr;

/// What stands before the data set.
pub(crate) struct Head {
    pub form: Form,
    pub dataset_offset: u64,
    pub transfer_syntax: String,
    /// The transfer syntax is ours, not the file's.
    pub is_guessed: bool,
    pub sop_class: Option<String>,
    pub sop_instance: Option<String>,
}

#[derive(Default)]
struct Meta {
    transfer_syntax: Option<String>,
    sop_class: Option<String>,
    sop_instance: Option<String>,
    /// Where the group length says that group 2 ends.
    declared_end: Option<u64>,
}

pub(crate) fn locate(
    source: &dyn Source,
    limits: &Limits,
    warnings: &mut Warnings,
) -> Result<Head, ReadError> {
    let mut window = Window::new(source);
    let (start, has_preamble) = start(&mut window)?;
    let mut meta = Meta::default();
    let dataset_offset = read_group_2(&mut window, start, &mut meta, limits)?;
    let has_meta = dataset_offset > start;
    if let Some(transfer_syntax) = meta.transfer_syntax {
        let form = if has_preamble { Form::Complete } else { Form::NoPreamble };
        let Meta { sop_class, sop_instance, .. } = meta;
        return Ok(Head {
            form,
            dataset_offset,
            transfer_syntax,
            is_guessed: false,
            sop_class,
            sop_instance,
        });
    }
    if has_meta {
        warnings.add(Warning::NoTransferSyntax);
    }
    let is_known_dicom = has_preamble || has_meta;
    let transfer_syntax = guess(&mut window, dataset_offset, is_known_dicom)?.to_owned();
    let Meta { sop_class, sop_instance, .. } = meta;
    Ok(Head {
        form: Form::NoMeta,
        dataset_offset,
        transfer_syntax,
        is_guessed: true,
        sop_class,
        sop_instance,
    })
}

/// Where group 2, or the data set if there is no group 2, begins.
fn start(window: &mut Window) -> Result<(u64, bool), ReadError> {
    let length = window.length();
    if length >= 132 && &window.array::<4>(128)? == b"DICM" {
        return Ok((132, true));
    }
    if length < 8 {
        return Err(ReadError::NotDicom);
    }
    Ok((if &window.array::<4>(0)? == b"DICM" { 4 } else { 0 }, false))
}

/// Reads the elements of group 2 and says where they end.
fn read_group_2(window: &mut Window, start: u64, meta: &mut Meta, limits: &Limits) -> Result<u64, ReadError> {
    let mut at = start;
    for _ in 0..limits.elements_max {
        if window.length() - at < 8 {
            return Ok(at);
        }
        let [a, b, c, d, e, f, g, h] = window.array(at)?;
        let tag = Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        // Deflated bytes may look like group 2: there the length must do.
        let deflated = meta.transfer_syntax.as_deref().is_some_and(|uid| Syntax::of(uid).deflated);
        if tag.group() != 2 || (deflated && meta.declared_end == Some(at)) {
            return Ok(at);
        }
        let (value, length) = match vr::from_letters([e, f]) {
            Some(vr) if vr::has_long_header(vr) => {
                if window.length() - at < 12 {
                    return Err(truncated(window, tag, at, 12));
                }
                (at + 12, u32::from_le_bytes(window.array(at + 8)?))
            }
            Some(_) => (at + 8, u32::from(u16::from_le_bytes([g, h]))),
            None => (at + 8, u32::from_le_bytes([e, f, g, h])),
        };
        let length = u64::from(length);
        if value + length > window.length() {
            return Err(truncated(window, tag, value, length));
        }
        take(window, tag, value, length, meta)?;
        at = value + length;
    }
    let max = limits.elements_max as u64;
    Err(ReadError::Limit { what: "elements", tag: tags::FILE_META_INFORMATION_GROUP_LENGTH, offset: at, max })
}

fn take(window: &mut Window, tag: Tag, value: u64, length: u64, meta: &mut Meta) -> Result<(), ReadError> {
    // A UID has 64 characters; leave room for padding.
    let Some(value_bytes) = usize::try_from(length).ok().filter(|bytes| *bytes <= 128) else {
        return Ok(());
    };
    let bytes = window.bytes(value, value_bytes)?;
    match tag {
        tags::FILE_META_INFORMATION_GROUP_LENGTH => {
            if let Ok(declared) = <[u8; 4]>::try_from(bytes) {
                meta.declared_end = Some(value + length + u64::from(u32::from_le_bytes(declared)));
            }
        }
        tags::MEDIA_STORAGE_SOP_CLASS_UID => meta.sop_class = uid_of(bytes).ok(),
        tags::MEDIA_STORAGE_SOP_INSTANCE_UID => meta.sop_instance = uid_of(bytes).ok(),
        tags::TRANSFER_SYNTAX_UID => meta.transfer_syntax = uid_of(bytes).ok(),
        _ => {}
    }
    Ok(())
}

fn guess(window: &mut Window, at: u64, is_known_dicom: bool) -> Result<&'static str, ReadError> {
    if window.length() - at < 8 {
        // Nothing follows, so any syntax describes it.
        return if is_known_dicom { Ok(EXPLICIT_LITTLE_ENDIAN) } else { Err(ReadError::NotDicom) };
    }
    let first = window.array(at)?;
    let Some(encoding) = syntax::guess(first) else {
        return Err(if is_known_dicom { ReadError::UnsupportedTransferSyntax } else { ReadError::NotDicom });
    };
    Ok(match encoding {
        Encoding { explicit: true, big_endian: false } => EXPLICIT_LITTLE_ENDIAN,
        Encoding { explicit: true, big_endian: true } => EXPLICIT_BIG_ENDIAN,
        Encoding { explicit: false, .. } => {
            let [_, _, _, _, length @ ..] = first;
            let length = u32::from_le_bytes(length);
            let fits = length == u32::MAX || u64::from(length) <= window.length() - at - 8;
            if !fits && !is_known_dicom {
                return Err(ReadError::NotDicom);
            }
            IMPLICIT_LITTLE_ENDIAN
        }
    })
}

fn truncated(window: &Window, tag: Tag, offset: u64, needed: u64) -> ReadError {
    ReadError::Truncated { tag, offset, needed, left: window.length().saturating_sub(offset) }
}
