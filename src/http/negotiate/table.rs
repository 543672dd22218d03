//! The one table of which media type carries which Transfer Syntax (PS3.18
//! tables 8.7.3-2, -4 and -5), and the rendered media types (table 8.7.4-1).
//!
//! Must not choose anything. What a Transfer Syntax is, beyond its media type,
//! stands in [`crate::dicom::transfer_syntax`].

use crate::dicom::transfer_syntax::EXPLICIT_LITTLE;

/// A media type that DICOM files, frames and bulk data are sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Dicom,
    OctetStream,
    Jpeg,
    DicomRle,
    Jls,
    Jp2,
    Jpx,
    Jphc,
    Jxl,
    /// Deflated Image Frame.
    Deflate,
    Mpeg,
    Mp4,
    H265,
    /// The type an encapsulated document was stored with.
    Document,
}

/// What one media type carries.
#[derive(Debug)]
pub struct Row {
    pub media: Media,
    /// The registered name, then other names by which clients ask for it.
    pub names: &'static [&'static str],
    /// The Transfer Syntax meant when none is named.
    pub default: &'static str,
    pub others: &'static [&'static str],
}

impl Row {
    /// This media type carries that Transfer Syntax.
    #[must_use]
    pub fn carries(&self, transfer_syntax: &str) -> bool {
        self.default == transfer_syntax || self.others.contains(&transfer_syntax)
    }
}

pub const DICOM_NAMES: &[&str] = &["application/dicom"];
pub const OCTET_STREAM_NAMES: &[&str] = &["application/octet-stream"];

/// `image/jll` is not registered; who asks for it means JPEG Lossless SV1.
pub const JPEG_LOSSLESS_ALIAS: &str = "image/jll";
pub const JPEG_LOSSLESS_SV1: &str = "1.2.840.10008.1.2.4.70";

/// The media types of compressed pixels.
#[rustfmt::skip]
pub const COMPRESSED: &[Row] = &[
    Row { media: Media::Jpeg, names: &["image/jpeg", "image/jpg", JPEG_LOSSLESS_ALIAS], default: JPEG_LOSSLESS_SV1, others: &[
        "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57",
        // Retired, but stored in archives.
        "1.2.840.10008.1.2.4.52", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.54", "1.2.840.10008.1.2.4.55",
        "1.2.840.10008.1.2.4.56", "1.2.840.10008.1.2.4.58", "1.2.840.10008.1.2.4.59", "1.2.840.10008.1.2.4.60",
        "1.2.840.10008.1.2.4.61", "1.2.840.10008.1.2.4.62", "1.2.840.10008.1.2.4.63", "1.2.840.10008.1.2.4.64",
        "1.2.840.10008.1.2.4.65", "1.2.840.10008.1.2.4.66",
    ] },
    Row { media: Media::DicomRle, names: &["image/dicom-rle", "image/x-dicom-rle"], default: "1.2.840.10008.1.2.5", others: &[] },
    Row { media: Media::Jls, names: &["image/jls", "image/x-jls"], default: "1.2.840.10008.1.2.4.80", others: &["1.2.840.10008.1.2.4.81"] },
    Row { media: Media::Jp2, names: &["image/jp2"], default: "1.2.840.10008.1.2.4.90", others: &["1.2.840.10008.1.2.4.91"] },
    Row { media: Media::Jpx, names: &["image/jpx"], default: "1.2.840.10008.1.2.4.92", others: &["1.2.840.10008.1.2.4.93"] },
    Row { media: Media::Jphc, names: &["image/jphc", "image/jhc"], default: "1.2.840.10008.1.2.4.201", others: &["1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"] },
    Row { media: Media::Jxl, names: &["image/jxl"], default: "1.2.840.10008.1.2.4.110", others: &["1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"] },
    Row { media: Media::Deflate, names: &["application/x-deflate"], default: "1.2.840.10008.1.2.8.1", others: &[] },
    Row { media: Media::Mpeg, names: &["video/mpeg"], default: "1.2.840.10008.1.2.4.101", others: &[
        "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.100.1", "1.2.840.10008.1.2.4.101.1",
    ] },
    Row { media: Media::Mp4, names: &["video/mp4"], default: "1.2.840.10008.1.2.4.102", others: &[
        "1.2.840.10008.1.2.4.102.1", "1.2.840.10008.1.2.4.103", "1.2.840.10008.1.2.4.103.1",
        "1.2.840.10008.1.2.4.104", "1.2.840.10008.1.2.4.104.1", "1.2.840.10008.1.2.4.105",
        "1.2.840.10008.1.2.4.105.1", "1.2.840.10008.1.2.4.106", "1.2.840.10008.1.2.4.106.1",
    ] },
    // Media types compare without case; the register writes it as H265.
    Row { media: Media::H265, names: &["video/h265"], default: "1.2.840.10008.1.2.4.107", others: &["1.2.840.10008.1.2.4.108"] },
];

/// The media type of pixels as they are stored: their own for a compressed
/// Transfer Syntax, bytes for a native or unknown one.
#[must_use]
pub fn media_of(transfer_syntax: &str) -> Media {
    COMPRESSED.iter().find(|row| row.carries(transfer_syntax)).map_or(Media::OctetStream, |row| row.media)
}

/// The names of a media type, the registered one first. A document has none of
/// its own.
#[must_use]
pub fn names(media: Media) -> &'static [&'static str] {
    match media {
        Media::Dicom => DICOM_NAMES,
        Media::OctetStream => OCTET_STREAM_NAMES,
        Media::Document => &[],
        Media::Jpeg
        | Media::DicomRle
        | Media::Jls
        | Media::Jp2
        | Media::Jpx
        | Media::Jphc
        | Media::Jxl
        | Media::Deflate
        | Media::Mpeg
        | Media::Mp4
        | Media::H265 => {
            COMPRESSED.iter().find(|row| row.media == media).map_or(OCTET_STREAM_NAMES, |row| row.names)
        }
    }
}

/// The media type of compressed pixels that has this name, in lower case.
#[must_use]
pub fn compressed(name: &str) -> Option<Media> {
    COMPRESSED.iter().find(|row| row.names.contains(&name)).map(|row| row.media)
}

/// The Transfer Syntax meant by a media type without a parameter.
#[must_use]
pub fn default_transfer_syntax(media: Media) -> &'static str {
    COMPRESSED.iter().find(|row| row.media == media).map_or(EXPLICIT_LITTLE, |row| row.default)
}

/// A rendered media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendered {
    Jpeg,
    Png,
    Gif,
    Jp2,
    Jph,
    Jxl,
    Mpeg,
    Mp4,
    H265,
    Html,
    PlainText,
    Xml,
    Rtf,
    Pdf,
    Tiff,
    Svg,
}

impl Rendered {
    pub const ALL: [Self; 16] = [
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::Jp2,
        Self::Jph,
        Self::Jxl,
        Self::Mpeg,
        Self::Mp4,
        Self::H265,
        Self::Html,
        Self::PlainText,
        Self::Xml,
        Self::Rtf,
        Self::Pdf,
        Self::Tiff,
        Self::Svg,
    ];

    /// The names of this type, the registered one first.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["image/jpeg", "image/jpg"],
            Self::Png => &["image/png"],
            Self::Gif => &["image/gif"],
            Self::Jp2 => &["image/jp2"],
            Self::Jph => &["image/jph"],
            Self::Jxl => &["image/jxl"],
            Self::Mpeg => &["video/mpeg"],
            Self::Mp4 => &["video/mp4"],
            Self::H265 => &["video/h265"],
            Self::Html => &["text/html"],
            Self::PlainText => &["text/plain"],
            Self::Xml => &["text/xml", "application/xml"],
            Self::Rtf => &["text/rtf", "application/rtf"],
            Self::Pdf => &["application/pdf"],
            Self::Tiff => &["image/tiff"],
            Self::Svg => &["image/svg+xml"],
        }
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::transfer_syntax::{Pixels, TABLE};

    #[test]
    fn every_compressed_transfer_syntax_has_one_media_type_that_fits() {
        for syntax in TABLE {
            let rows: Vec<_> = COMPRESSED.iter().filter(|row| row.carries(syntax.uid)).collect();
            let expected = match syntax.pixels {
                Pixels::Native | Pixels::EncapsulatedUncompressed | Pixels::Elsewhere => Media::OctetStream,
                Pixels::Rle => Media::DicomRle,
                Pixels::Jpeg => Media::Jpeg,
                Pixels::JpegLs => Media::Jls,
                Pixels::Jpeg2000 => Media::Jp2,
                Pixels::Jpeg2000Part2 => Media::Jpx,
                Pixels::HtJpeg2000 => Media::Jphc,
                Pixels::JpegXl => Media::Jxl,
                Pixels::DeflatedFrame => Media::Deflate,
                Pixels::Mpeg2 => Media::Mpeg,
                Pixels::Mpeg4 => Media::Mp4,
                Pixels::Hevc => Media::H265,
            };
            assert_eq!(media_of(syntax.uid), expected, "{}", syntax.uid);
            assert!(rows.len() <= 1, "{}", syntax.uid);
        }
    }

    #[test]
    fn every_row_names_known_transfer_syntaxes() {
        for row in COMPRESSED {
            for uid in row.others.iter().chain([&row.default]) {
                assert!(crate::dicom::transfer_syntax::find(uid).is_some(), "{uid}");
            }
            assert_eq!(names(row.media), row.names);
            assert_eq!(default_transfer_syntax(row.media), row.default);
        }
        assert_eq!(default_transfer_syntax(Media::OctetStream), EXPLICIT_LITTLE);
    }
}
