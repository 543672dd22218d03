//! Metadata and bulk data as they come (PS3.18 sections 8.6.1.2 and 10.5.1.4):
//! which part is what, by its headers.

use super::super::{
    Problem,
    media::MediaType,
    multipart::PartHeaders,
    negotiate::{self, Media},
};
use crate::{
    archive::{Gathering, MetadataSyntax},
    dicom::{
        DataSet,
        bitstream::Kind,
        compose::{Coding, Part},
    },
};

/// What metadata cost in memory: as they came, and as values.
const MEMORY_PER_BYTE: usize = 2;

/// What has come of a request.
pub(super) struct Gathered {
    pub(super) gathering: Gathering,
    pub(super) syntax: MetadataSyntax,
    pub(super) sets: Vec<DataSet>,
    pub(super) parts: Vec<Part>,
    metadata_bytes: u64,
}

/// A bulk part that is arriving.
pub(super) struct Arriving {
    location: Option<String>,
    coding: Coding,
    transfer_syntax: Option<String>,
    offset: u64,
}

impl Gathered {
    pub(super) fn new(gathering: Gathering, syntax: MetadataSyntax) -> Self {
        Self { gathering, syntax, sets: Vec::new(), parts: Vec::new(), metadata_bytes: 0 }
    }

    /// Nothing has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.parts.is_empty() && self.metadata_bytes == 0
    }

    pub(super) fn is_metadata(&self, media: Option<&MediaType>) -> bool {
        let is = |essence: &str| media.is_some_and(|media| media.is(essence));
        match self.syntax {
            MetadataSyntax::Json => is("application/dicom+json") || is("application/json"),
            MetadataSyntax::Xml => is("application/dicom+xml"),
        }
    }

    /// Takes bytes of a part of metadata.
    pub(super) fn take_metadata(
        &mut self,
        metadata: &mut Vec<u8>,
        bytes: &[u8],
        bytes_max: u64,
    ) -> Result<(), Problem> {
        self.metadata_bytes += bytes.len() as u64;
        if self.metadata_bytes > bytes_max {
            return Err(Problem::too_large(format!(
                "the metadata of one request may have {bytes_max} bytes (limits.dataset_bytes_max); send the \
                 instances in several, and large values as bulk data"
            )));
        }
        self.gathering.account(bytes.len() * MEMORY_PER_BYTE)?;
        metadata.extend_from_slice(bytes);
        Ok(())
    }

    /// What a part with these headers is, or why it is nothing.
    pub(super) fn begin(&self, headers: PartHeaders, media: Option<&MediaType>) -> Result<Arriving, String> {
        for (name, value) in [
            ("Content-Encoding", &headers.content_encoding),
            ("Content-Transfer-Encoding", &headers.content_transfer_encoding),
        ] {
            let is_plain = |text: &String| {
                ["identity", "binary", "8bit", "7bit"].iter().any(|plain| text.eq_ignore_ascii_case(plain))
            };
            if !value.as_ref().is_none_or(is_plain) {
                return Err(format!("a part with a {name} is not understood; send its bytes as they are"));
            }
        }
        let transfer_syntax =
            media.and_then(|media| media.param("transfer-syntax")).map(|uid| uid.trim().to_owned());
        Ok(Arriving {
            location: headers.content_location,
            coding: coding(media),
            transfer_syntax: transfer_syntax.filter(|uid| uid != "*"),
            offset: self.gathering.length(),
        })
    }

    pub(super) fn length_of(&self, arriving: &Arriving) -> u64 {
        self.gathering.stretch_from(arriving.offset).length
    }

    pub(super) fn end(&mut self, arriving: Arriving) {
        let Arriving { location, coding, transfer_syntax, offset } = arriving;
        let stretch = self.gathering.stretch_from(offset);
        self.parts.push(Part { location, coding, transfer_syntax, stretch });
    }
}

/// What a media type says of the bytes.
fn coding(media: Option<&MediaType>) -> Coding {
    let Some(media) = media else { return Coding::Bytes };
    match media.essence.as_str() {
        "application/octet-stream" => Coding::Bytes,
        "image/png" => Coding::Pixels(Kind::Png),
        "image/gif" => Coding::Pixels(Kind::Gif),
        // High-throughput JPEG 2000 in its file format.
        "image/jph" => Coding::Pixels(Kind::HtJpeg2000),
        name => match negotiate::compressed(name) {
            Some(Media::Jpeg) => Coding::Pixels(Kind::Jpeg),
            Some(Media::DicomRle) => Coding::Pixels(Kind::Rle),
            Some(Media::Jls) => Coding::Pixels(Kind::JpegLs),
            Some(Media::Jp2) => Coding::Pixels(Kind::Jpeg2000),
            Some(Media::Jpx) => Coding::Pixels(Kind::Jpx),
            Some(Media::Jphc) => Coding::Pixels(Kind::HtJpeg2000),
            Some(Media::Jxl) => Coding::Pixels(Kind::JpegXl),
            Some(Media::Deflate) => Coding::Pixels(Kind::DeflatedFrame),
            Some(Media::Mpeg) => Coding::Pixels(Kind::Mpeg2),
            Some(Media::Mp4) => Coding::Pixels(Kind::Mpeg4),
            Some(Media::H265) => Coding::Pixels(Kind::Hevc),
            Some(Media::Dicom | Media::OctetStream | Media::Document) | None => {
                Coding::Document(name.to_owned())
            }
        },
    }
}
