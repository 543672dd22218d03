//! What a Transfer Syntax UID says: how the data set is written, how the
//! pixels are, and whether they may have lost something (PS3.5 section 10 and
//! annex A, PS3.6 table A-1).
//!
//! One table. It says nothing of media types (that is the http floor's) and
//! nothing of what this server can decode.

pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
pub const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";

/// How the data set around the pixels is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
    /// Explicit VR Little Endian, the whole data set deflated.
    Deflated,
}

/// How the pixels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// Plainly, in the byte order of the data set.
    Native,
    /// As items, but not compressed.
    EncapsulatedUncompressed,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    /// JPEG 2000 part 2 multi-component.
    Jpeg2000Part2,
    HtJpeg2000,
    JpegXl,
    /// Each frame a deflate stream.
    DeflatedFrame,
    Mpeg2,
    Mpeg4,
    Hevc,
    /// Not in the file: a URL (JPIP) or a real-time stream (SMPTE ST 2110).
    Elsewhere,
}

/// Whether the coding of the pixels may have lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Every image in this syntax is what it was before the coding.
    Never,
    /// Both kinds occur under this UID.
    Maybe,
    Always,
}

/// One Transfer Syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSyntax {
    pub uid: &'static str,
    pub name: &'static str,
    pub encoding: Encoding,
    pub pixels: Pixels,
    pub loss: Loss,
}

impl TransferSyntax {
    /// The pixels lie in items (PS3.5 section A.4).
    #[must_use]
    pub fn is_encapsulated(&self) -> bool {
        !matches!(self.pixels, Pixels::Native | Pixels::Elsewhere)
    }

    /// The pixels are one stream, without single frames.
    #[must_use]
    pub fn is_video(&self) -> bool {
        matches!(self.pixels, Pixels::Mpeg2 | Pixels::Mpeg4 | Pixels::Hevc)
    }

    #[must_use]
    pub fn is_lossless(&self) -> bool {
        self.loss == Loss::Never
    }

    /// PS3.18 section 8.7.3 forbids it in a response, whatever was asked for.
    #[must_use]
    pub fn is_barred_from_web(&self) -> bool {
        matches!(self.encoding, Encoding::ImplicitLittle | Encoding::ExplicitBig)
    }
}

/// The facts of a Transfer Syntax, if it is a known one.
#[must_use]
pub fn find(uid: &str) -> Option<&'static TransferSyntax> {
    TABLE.iter().find(|row| row.uid == uid)
}

/// An unknown Transfer Syntax counts as encapsulated: private ones are all
/// codings of pixels in an Explicit VR Little Endian data set.
#[must_use]
pub fn is_encapsulated(uid: &str) -> bool {
    find(uid).is_none_or(TransferSyntax::is_encapsulated)
}

#[must_use]
pub fn is_video(uid: &str) -> bool {
    find(uid).is_some_and(TransferSyntax::is_video)
}

#[must_use]
pub fn is_deflated(uid: &str) -> bool {
    uid == DEFLATED
}

#[must_use]
pub fn is_big_endian(uid: &str) -> bool {
    find(uid).is_some_and(|row| row.encoding == Encoding::ExplicitBig)
}

#[must_use]
pub fn is_implicit(uid: &str) -> bool {
    find(uid).is_some_and(|row| row.encoding == Encoding::ImplicitLittle)
}

/// Known, and nothing is ever lost in it.
#[must_use]
pub fn is_lossless(uid: &str) -> bool {
    find(uid).is_some_and(TransferSyntax::is_lossless)
}

/// Must be converted before it may leave (PS3.18 section 8.7.3).
#[must_use]
pub fn is_barred_from_web(uid: &str) -> bool {
    find(uid).is_some_and(TransferSyntax::is_barred_from_web)
}

const fn row(
    uid: &'static str,
    name: &'static str,
    encoding: Encoding,
    pixels: Pixels,
    loss: Loss,
) -> TransferSyntax {
    TransferSyntax { uid, name, encoding, pixels, loss }
}

use Encoding::{Deflated, ExplicitBig, ExplicitLittle, ImplicitLittle};
use Loss::{Always, Maybe, Never};
use Pixels::{
    DeflatedFrame, Elsewhere, EncapsulatedUncompressed, Hevc, HtJpeg2000, Jpeg, Jpeg2000, Jpeg2000Part2,
    JpegLs, JpegXl, Mpeg2, Mpeg4, Native, Rle,
};

/// All known Transfer Syntaxes.
#[rustfmt::skip]
pub const TABLE: &[TransferSyntax] = &[
    row(IMPLICIT_LITTLE, "Implicit VR Little Endian", ImplicitLittle, Native, Never),
    row(EXPLICIT_LITTLE, "Explicit VR Little Endian", ExplicitLittle, Native, Never),
    row(ENCAPSULATED_UNCOMPRESSED, "Encapsulated Uncompressed Explicit VR Little Endian", ExplicitLittle, EncapsulatedUncompressed, Never),
    row(DEFLATED, "Deflated Explicit VR Little Endian", Deflated, Native, Never),
    row(EXPLICIT_BIG, "Explicit VR Big Endian", ExplicitBig, Native, Never),
    row("1.2.840.10008.1.20", "Papyrus 3 Implicit VR Little Endian", ImplicitLittle, Native, Never),
    row("1.2.840.10008.1.2.5", "RLE Lossless", ExplicitLittle, Rle, Never),
    row("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 & 4)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 & 5)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 & 12)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 & 13)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", ExplicitLittle, Jpeg, Never),
    row("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)", ExplicitLittle, Jpeg, Never),
    row("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 & 18)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 & 19)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27)", ExplicitLittle, Jpeg, Always),
    row("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)", ExplicitLittle, Jpeg, Never),
    row("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)", ExplicitLittle, Jpeg, Never),
    row("1.2.840.10008.1.2.4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])", ExplicitLittle, Jpeg, Never),
    row("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression", ExplicitLittle, JpegLs, Never),
    row("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", ExplicitLittle, JpegLs, Maybe),
    row("1.2.840.10008.1.2.4.90", "JPEG 2000 Image Compression (Lossless Only)", ExplicitLittle, Jpeg2000, Never),
    row("1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression", ExplicitLittle, Jpeg2000, Maybe),
    row("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)", ExplicitLittle, Jpeg2000Part2, Never),
    row("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression", ExplicitLittle, Jpeg2000Part2, Maybe),
    row("1.2.840.10008.1.2.4.94", "JPIP Referenced", ExplicitLittle, Elsewhere, Maybe),
    row("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", Deflated, Elsewhere, Maybe),
    row("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", ExplicitLittle, Mpeg2, Always),
    row("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", ExplicitLittle, Mpeg2, Always),
    row("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", ExplicitLittle, Mpeg2, Always),
    row("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level", ExplicitLittle, Mpeg2, Always),
    row("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", ExplicitLittle, Mpeg4, Always),
    row("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", ExplicitLittle, Hevc, Always),
    row("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", ExplicitLittle, Hevc, Always),
    row("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", ExplicitLittle, JpegXl, Never),
    // Lossless to the JPEG it was made from, which was lossy itself.
    row("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", ExplicitLittle, JpegXl, Always),
    row("1.2.840.10008.1.2.4.112", "JPEG XL", ExplicitLittle, JpegXl, Maybe),
    row("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)", ExplicitLittle, HtJpeg2000, Never),
    row("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)", ExplicitLittle, HtJpeg2000, Never),
    row("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000 Image Compression", ExplicitLittle, HtJpeg2000, Maybe),
    row("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", ExplicitLittle, Elsewhere, Maybe),
    row("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", Deflated, Elsewhere, Maybe),
    row("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", ExplicitLittle, Elsewhere, Never),
    row("1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", ExplicitLittle, Elsewhere, Never),
    row("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", ExplicitLittle, Elsewhere, Never),
    row("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", ExplicitLittle, DeflatedFrame, Never),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_uid_stands_once() {
        for (position, row) in TABLE.iter().enumerate() {
            assert!(crate::dicom::uid::check(row.uid).is_ok(), "{}", row.uid);
            assert!(!TABLE[..position].iter().any(|earlier| earlier.uid == row.uid), "{} twice", row.uid);
        }
    }

    #[test]
    fn facts() {
        assert!(is_barred_from_web(IMPLICIT_LITTLE) && is_barred_from_web(EXPLICIT_BIG));
        assert!(!is_barred_from_web(DEFLATED) && is_deflated(DEFLATED));
        assert!(is_implicit(IMPLICIT_LITTLE) && !is_implicit(EXPLICIT_LITTLE));
        assert!(is_big_endian(EXPLICIT_BIG));
        assert!(is_encapsulated("1.2.840.10008.1.2.4.90") && !is_encapsulated(EXPLICIT_LITTLE));
        assert!(is_encapsulated("1.3.6.1.4.1.5962.300.2"), "a private coding");
        assert!(is_video("1.2.840.10008.1.2.4.102") && !is_video("1.2.840.10008.1.2.4.90"));
        assert!(is_lossless("1.2.840.10008.1.2.4.80") && !is_lossless("1.2.840.10008.1.2.4.91"));
    }
}
