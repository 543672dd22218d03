//! Facts about Value Representations (PS3.5 section 6.2) and what the
//! dictionary (PS3.6) says of a tag's VR.
//!
//! Owns no parsing: tables only. A VR that depends on other attributes is
//! resolved where those are known, in the walk over a data set.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// The VR of two letters; none if the standard knows no such VR.
#[must_use]
pub fn from_letters(letters: [u8; 2]) -> Option<VR> {
    Some(match &letters {
        b"AE" => VR::AE,
        b"AS" => VR::AS,
        b"AT" => VR::AT,
        b"CS" => VR::CS,
        b"DA" => VR::DA,
        b"DS" => VR::DS,
        b"DT" => VR::DT,
        b"FL" => VR::FL,
        b"FD" => VR::FD,
        b"IS" => VR::IS,
        b"LO" => VR::LO,
        b"LT" => VR::LT,
        b"OB" => VR::OB,
        b"OD" => VR::OD,
        b"OF" => VR::OF,
        b"OL" => VR::OL,
        b"OV" => VR::OV,
        b"OW" => VR::OW,
        b"PN" => VR::PN,
        b"SH" => VR::SH,
        b"SL" => VR::SL,
        b"SQ" => VR::SQ,
        b"SS" => VR::SS,
        b"ST" => VR::ST,
        b"SV" => VR::SV,
        b"TM" => VR::TM,
        b"UC" => VR::UC,
        b"UI" => VR::UI,
        b"UL" => VR::UL,
        b"UN" => VR::UN,
        b"UR" => VR::UR,
        b"US" => VR::US,
        b"UT" => VR::UT,
        b"UV" => VR::UV,
        _ => return None,
    })
}

/// Whether the explicit header has two reserved bytes and a 32-bit length
/// (PS3.5 section 7.1.2).
#[must_use]
pub fn has_long_header(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

/// Bytes of the words whose order the byte order of the file decides; 1 for
/// text, bytes and unknown values.
#[must_use]
pub fn word_bytes(vr: VR) -> u8 {
    match vr {
        VR::AT | VR::OW | VR::SS | VR::US => 2,
        VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        VR::AE
        | VR::AS
        | VR::CS
        | VR::DA
        | VR::DS
        | VR::DT
        | VR::IS
        | VR::LO
        | VR::LT
        | VR::OB
        | VR::PN
        | VR::SH
        | VR::SQ
        | VR::ST
        | VR::TM
        | VR::UC
        | VR::UI
        | VR::UN
        | VR::UR
        | VR::UT => 1,
    }
}

/// Bytes of one value of a numeric VR; none for every other.
#[must_use]
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest are no numbers")]
pub fn number_bytes(vr: VR) -> Option<u64> {
    match vr {
        VR::SS | VR::US => Some(2),
        VR::AT | VR::FL | VR::SL | VR::UL => Some(4),
        VR::FD | VR::SV | VR::UV => Some(8),
        _ => None,
    }
}

/// OB OD OF OL OV OW and UN: bytes without further structure.
#[must_use]
pub fn is_binary(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

/// Number and text VRs whose value may stand behind a BulkDataURI (PS3.18
/// section F.2.2); the binary ones of [`is_binary`] always may.
#[must_use]
pub fn may_be_bulk_text(vr: VR) -> bool {
    matches!(
        vr,
        VR::DS
            | VR::FD
            | VR::FL
            | VR::IS
            | VR::LT
            | VR::SL
            | VR::SS
            | VR::ST
            | VR::SV
            | VR::UC
            | VR::UL
            | VR::US
            | VR::UT
            | VR::UV
    )
}

/// Texts that may stand behind a BulkDataURI and are written in the Specific
/// Character Set (PS3.5 section 6.1.2.2).
#[must_use]
pub fn is_encoded_text(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST | VR::UC | VR::UT)
}

/// What fills a value up to even length.
#[must_use]
pub fn padding(vr: VR) -> u8 {
    if vr == VR::UI || is_binary(vr) || number_bytes(vr).is_some() { 0 } else { b' ' }
}

/// What the dictionary says of a tag; none if it does not know it. Group
/// lengths and private creators are known by their form.
#[must_use]
pub fn of(tag: Tag) -> Option<VirtualVr> {
    if tag.element() == 0 {
        return Some(VirtualVr::Exact(VR::UL));
    }
    if is_private(tag) {
        // Repeating groups of the standard must not lend a private tag a VR.
        return matches!(tag.element(), 0x0010..=0x00FF).then_some(VirtualVr::Exact(VR::LO));
    }
    StandardDataDictionary.by_tag(tag).map(DataDictionaryEntry::vr)
}

/// Whether a tag is of an odd, so private, group.
#[must_use]
pub fn is_private(tag: Tag) -> bool {
    tag.group() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_agree_with_the_library() {
        for first in b'A'..=b'Z' {
            for second in b'A'..=b'Z' {
                assert_eq!(from_letters([first, second]), VR::from_binary([first, second]));
            }
        }
    }

    #[test]
    fn a_private_overlay_group_borrows_nothing() {
        assert_eq!(of(Tag(0x6000, 0x3000)), Some(VirtualVr::Ox));
        assert_eq!(of(Tag(0x6001, 0x3000)), None);
        assert_eq!(of(Tag(0x6001, 0x0010)), Some(VirtualVr::Exact(VR::LO)));
    }
}
