//! Element headers: which VR and length an element has, and in which encoding a
//! data set is really written. The VR follows from the letters in the file, the
//! dictionary, and the attributes it depends on (PS3.5 sections 6.2.2, 7.1.2,
//! 7.1.3 and annex A).

use dicom_core::dictionary::VirtualVr;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::{Level, UNDEFINED, Walk};
use crate::dicom::part10::problem::{ReadError, Warning};
use crate::dicom::part10::syntax::Encoding;
use crate::dicom::vr;

/// An element without its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub tag: Tag,
    pub vr: VR,
    /// Place of the value's first byte.
    pub offset: u64,
    /// Bytes of the value; of a sequence: unknown here and 0.
    pub length: u64,
    pub big_endian: bool,
}

/// Attributes that decide the VR of others (PS3.5 annex A); an item inherits
/// those of the data set around it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context {
    pub signed: Option<bool>,
    pub bits_allocated: Option<u16>,
    pub lut_entries: Option<u16>,
}

/// Whether the first element of a data set refutes the byte order that is
/// claimed: only a tag of the dictionary does.
pub(super) fn is_other_order(first: [u8; 8], guessed: Encoding, claimed: Encoding) -> bool {
    let tag = |encoding: Encoding| {
        let [group_low, group_high, element_low, element_high, ..] = first;
        Tag(encoding.u16([group_low, group_high]), encoding.u16([element_low, element_high]))
    };
    guessed.big_endian != claimed.big_endian
        && vr::of(tag(guessed)).is_some()
        && vr::of(tag(claimed)).is_none()
}

impl Walk<'_> {
    /// The header of the element at the position; an undefined length is left
    /// as it is written.
    pub(super) fn header(&mut self, level: &Level, tag: Tag) -> Result<Header, ReadError> {
        let at = self.position;
        let encoding = level.encoding;
        let [_, _, _, _, e, f, g, h] = self.window.array(at)?;
        let word = encoding.u32([e, f, g, h]);
        let short = u64::from(encoding.u16([g, h]));
        let header = |written: Option<VR>, bytes: u64, length: u64| (written, at + bytes, length);
        let (written, offset, length) = if encoding.explicit {
            match vr::from_letters([e, f]) {
                Some(written) if vr::has_long_header(written) => {
                    header(Some(written), 12, self.long_length(level, tag)?)
                }
                Some(written) => header(Some(written), 8, short),
                None if e.is_ascii_uppercase() && f.is_ascii_uppercase() => {
                    self.warnings.add(Warning::UnknownVr { tag });
                    // VRs that are added to the standard have the long header.
                    let long = if short == 0 { self.long_length(level, tag).ok() } else { None };
                    match long.filter(|length| at + 12 + length <= level.bound) {
                        Some(length) => header(Some(VR::UN), 12, length),
                        None => header(Some(VR::UN), 8, short),
                    }
                }
                None => {
                    self.warnings.add(Warning::Encoding { offset: at });
                    header(None, 8, u64::from(word))
                }
            }
        } else {
            header(None, 8, u64::from(word))
        };
        let vr = match written {
            None | Some(VR::UN) => self.dictionary_vr(tag, level.context),
            Some(vr) => vr,
        };
        let unknown_words = written == Some(VR::UN) && encoding.big_endian && vr::word_bytes(vr) > 1;
        // The byte order of an unknown value in a big endian file is unknown.
        // A sequence of defined length is one only if it reads as one.
        let disguised = written == Some(VR::UN) && vr == VR::SQ;
        let vr = if unknown_words || disguised { VR::UN } else { vr };
        Ok(Header { tag, vr, offset, length, big_endian: encoding.big_endian })
    }

    fn long_length(&mut self, level: &Level, tag: Tag) -> Result<u64, ReadError> {
        if level.bound - self.position < 12 {
            return Err(self.beyond(tag, self.position, 12, level.bound));
        }
        let bytes = self.window.array(self.position + 8)?;
        Ok(u64::from(level.encoding.u32(bytes)))
    }

    fn dictionary_vr(&mut self, tag: Tag, context: Context) -> VR {
        match vr::of(tag) {
            Some(VirtualVr::Exact(vr)) => vr,
            Some(VirtualVr::Xs) => {
                self.guessed_sign |= context.signed.is_none();
                if context.signed == Some(true) { VR::SS } else { VR::US }
            }
            Some(VirtualVr::Ox) => VR::OW,
            Some(VirtualVr::Px) => {
                if context.bits_allocated.is_some_and(|bits| bits <= 8) {
                    VR::OB
                } else {
                    VR::OW
                }
            }
            Some(VirtualVr::Lt) => {
                if context.lut_entries == Some(1) {
                    VR::US
                } else {
                    VR::OW
                }
            }
            // The library's enum may grow.
            None | Some(_) => VR::UN,
        }
    }

    /// The encoding that the first element at `at` speaks for: real files hold
    /// implicit items in explicit data sets, and the other way round.
    pub(super) fn encoding_at(
        &mut self,
        at: u64,
        bound: u64,
        claimed: Encoding,
    ) -> Result<Encoding, ReadError> {
        if bound.saturating_sub(at) < 8 {
            return Ok(claimed);
        }
        let (tag, length) = self.item_header(at, claimed)?;
        if tag.group() == 0xFFFE {
            return Ok(claimed);
        }
        let [_, _, _, _, e, f, _, _] = self.window.array(at)?;
        let letters = vr::from_letters([e, f]);
        let fits_implicit = length == UNDEFINED || u64::from(length) <= bound - at - 8;
        let explicit = match letters {
            Some(vr) => claimed.explicit || !fits_implicit || vr::of(tag) == Some(VirtualVr::Exact(vr)),
            None => {
                claimed.explicit && (!fits_implicit || (e.is_ascii_uppercase() && f.is_ascii_uppercase()))
            }
        };
        Ok(Encoding { explicit, ..claimed })
    }

    pub(super) fn note_context(&mut self, header: &Header) -> Result<(), ReadError> {
        let is_context =
            matches!(header.tag, tags::PIXEL_REPRESENTATION | tags::BITS_ALLOCATED | tags::LUT_DESCRIPTOR);
        if !is_context || header.length < 2 {
            return Ok(());
        }
        let bytes = self.window.array(header.offset)?;
        let value = if header.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        match header.tag {
            tags::PIXEL_REPRESENTATION => level.context.signed = Some(value == 1),
            tags::BITS_ALLOCATED => level.context.bits_allocated = Some(value),
            _ => level.context.lut_entries = Some(value),
        }
        Ok(())
    }
}
