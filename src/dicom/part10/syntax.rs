//! Transfer Syntaxes (PS3.5 section 10 and annex A): how a data set of each is
//! encoded and in what form its pixels come. Knows nothing of codecs.

use crate::dicom::vr;

pub const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
pub const DEFLATED_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1.99";
pub const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    pub explicit: bool,
    pub big_endian: bool,
}

impl Encoding {
    pub const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub const EXPLICIT: Self = Self { explicit: true, big_endian: false };
    pub const BIG_ENDIAN: Self = Self { explicit: true, big_endian: true };

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The form Pixel Data takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelForm {
    Native,
    /// Items of one or more fragments a frame.
    Encapsulated,
    /// One stream of the MPEG family in one or more fragments.
    Video,
}

/// What a Transfer Syntax UID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    pub encoding: Encoding,
    pub deflated: bool,
    pub pixels: PixelForm,
    /// Whether the UID is one of the standard; every other is read as explicit
    /// little endian with encapsulated pixels.
    pub standard: bool,
}

impl Syntax {
    #[must_use]
    pub fn of(uid: &str) -> Self {
        let plain =
            Self { encoding: Encoding::EXPLICIT, deflated: false, pixels: PixelForm::Native, standard: true };
        let encapsulated = Self { pixels: PixelForm::Encapsulated, ..plain };
        let video = Self { pixels: PixelForm::Video, ..plain };
        match uid {
            // Papyrus 3 is implicit too.
            IMPLICIT_LITTLE_ENDIAN | "1.2.840.10008.1.20" => Self { encoding: Encoding::IMPLICIT, ..plain },
            EXPLICIT_LITTLE_ENDIAN => plain,
            EXPLICIT_BIG_ENDIAN => Self { encoding: Encoding::BIG_ENDIAN, ..plain },
            // The latter two: JPIP and JPIP HTJ2K Referenced Deflate.
            DEFLATED_LITTLE_ENDIAN | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => {
                Self { deflated: true, ..plain }
            }
            _ => match uid.strip_prefix("1.2.840.10008.1.2.") {
                // JPIP and JPIP HTJ2K: pixels by reference, none in the file.
                Some("4.94" | "4.204") => plain,
                Some(rest) if is_video(rest) => video,
                Some(rest) if rest == "5" || rest.starts_with("4.") || rest.starts_with("8.") => encapsulated,
                Some(_) | None => Self { standard: false, ..encapsulated },
            },
        }
    }
}

/// 4.100 to 4.108, with or without the `.1` of the fragmentable ones.
fn is_video(rest: &str) -> bool {
    rest.strip_prefix("4.10")
        .map(|end| end.strip_suffix(".1").unwrap_or(end))
        .is_some_and(|end| matches!(end.as_bytes(), [b'0'..=b'8']))
}

/// The encoding of a data set, from the first eight bytes of it.
pub(crate) fn guess(first: [u8; 8]) -> Option<Encoding> {
    let group_le = u16::from_le_bytes([first[0], first[1]]);
    let group_be = u16::from_be_bytes([first[0], first[1]]);
    let is_first_group = |group: u16| group != 0 && group <= 0x00FF;
    let explicit = vr::from_letters([first[4], first[5]]).is_some();
    match (is_first_group(group_le), is_first_group(group_be)) {
        (true, _) => Some(Encoding { explicit, big_endian: false }),
        (false, true) if explicit => Some(Encoding::BIG_ENDIAN),
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families() {
        assert_eq!(Syntax::of("1.2.840.10008.1.2.4.50").pixels, PixelForm::Encapsulated);
        assert_eq!(Syntax::of("1.2.840.10008.1.2.5").pixels, PixelForm::Encapsulated);
        assert_eq!(Syntax::of("1.2.840.10008.1.2.4.110").pixels, PixelForm::Encapsulated, "JPEG XL");
        assert_eq!(Syntax::of("1.2.840.10008.1.2.4.100").pixels, PixelForm::Video);
        assert_eq!(Syntax::of("1.2.840.10008.1.2.4.102.1").pixels, PixelForm::Video);
        assert_eq!(Syntax::of("1.2.840.10008.1.2.4.108").pixels, PixelForm::Video);
        assert!(Syntax::of("1.2.840.10008.1.2.1.99").deflated);
        assert!(!Syntax::of("1.3.46.670589.33.1.4.1").standard);
        assert!(Syntax::of("1.2.840.10008.1.2.4.201").standard);
    }

    #[test]
    fn guesses_from_the_first_tag() {
        assert_eq!(guess(*b"\x08\0\x05\0CS\x0A\0"), Some(Encoding::EXPLICIT));
        assert_eq!(guess(*b"\0\x08\0\x05CS\0\x0A"), Some(Encoding::BIG_ENDIAN));
        assert_eq!(guess(*b"\x08\0\x05\0\x0A\0\0\0"), Some(Encoding::IMPLICIT));
        assert_eq!(guess(*b"<!DOCTYP"), None);
        assert_eq!(guess([0; 8]), None);
    }
}
