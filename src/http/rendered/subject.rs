//! What can be made of an instance: by its SOP class and its frames, without a
//! look at its data set.

use crate::{
    archive::{ArchiveError, Frames, InstanceRow, Output, Page, View},
    http::{Problem, negotiate::Rendered, wado::Presented},
    render::{encode::Format, presentation},
};

/// What an instance is to who wants to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has frames.
    Image,
    /// A video or an encapsulated document, shown as it is.
    Own,
    /// A structured report, to be read.
    Report,
    /// A recording of voltages or pressures, drawn on paper.
    Waveform,
    /// How images are to be shown.
    Presentation,
    /// Nothing that can be seen.
    Other,
}

/// The SOP classes of structured reports begin with this, those of waveforms
/// with the next, and of these sounds with the last.
const REPORTS: &str = "1.2.840.10008.5.1.4.1.1.88.";
const WAVEFORMS: &str = "1.2.840.10008.5.1.4.1.1.9.";
const SOUNDS: &str = "1.2.840.10008.5.1.4.1.1.9.4.";

/// Where an encapsulated document stands.
const DOCUMENT: &str = "00420011";

impl Kind {
    pub fn of(view: &View<'_>, row: &InstanceRow) -> Result<Self, ArchiveError> {
        Ok(match row.frames {
            Frames::Video(_) => Self::Own,
            Frames::Native { .. } | Frames::Single(_) | Frames::Table { .. } => Self::Image,
            Frames::None if view.bulk_paths(row)?.iter().any(|path| path == DOCUMENT) => Self::Own,
            Frames::None if row.sop_class.starts_with(REPORTS) => Self::Report,
            Frames::None if row.sop_class.starts_with(WAVEFORMS) && !row.sop_class.starts_with(SOUNDS) => {
                Self::Waveform
            }
            Frames::None if presentation::is_drawn(&row.sop_class) => Self::Presentation,
            Frames::None => Self::Other,
        })
    }

    /// The media types it can be given as, the default first (PS3.18 table
    /// 8.7.4-1).
    pub fn offers(self) -> &'static [Rendered] {
        match self {
            Self::Image | Self::Presentation => {
                &[Rendered::Jpeg, Rendered::Png, Rendered::Gif, Rendered::Jxl, Rendered::Tiff, Rendered::Pdf]
            }
            Self::Report => &[Rendered::Html, Rendered::PlainText, Rendered::Xml],
            Self::Waveform => &[
                Rendered::Svg,
                Rendered::Png,
                Rendered::Jpeg,
                Rendered::Gif,
                Rendered::Jxl,
                Rendered::Tiff,
                Rendered::Pdf,
            ],
            Self::Own | Self::Other => &[],
        }
    }

    /// Why there is nothing to see.
    pub fn refusal(self, row: &InstanceRow) -> Problem {
        let what = match self {
            Self::Own => {
                "a video or a document is given as itself, from its own instance only: GET …/instances/{uid}/rendered"
            }
            Self::Image | Self::Report | Self::Waveform | Self::Presentation | Self::Other => {
                "it has no pixels and is of a kind that is not rendered"
            }
        };
        Problem::not_acceptable(format!("SOP class {}: {what}", row.sop_class))
    }
}

/// What is made for a media type.
pub fn output_of(media: Rendered) -> Option<Output> {
    match media {
        Rendered::Jpeg => Some(Output::Picture(Format::Jpeg)),
        Rendered::Png => Some(Output::Picture(Format::Png)),
        Rendered::Gif => Some(Output::Picture(Format::Gif)),
        Rendered::Tiff => Some(Output::Picture(Format::Tiff)),
        Rendered::Pdf => Some(Output::Picture(Format::Pdf)),
        Rendered::Html => Some(Output::Page(Page::Html)),
        Rendered::PlainText => Some(Output::Page(Page::Text)),
        Rendered::Xml => Some(Output::Page(Page::Xml)),
        Rendered::Svg => Some(Output::Page(Page::Svg)),
        Rendered::Jxl => Some(Output::Picture(Format::Jxl)),
        Rendered::Jp2 | Rendered::Jph | Rendered::Mpeg | Rendered::Mp4 | Rendered::H265 | Rendered::Rtf => {
            None
        }
    }
}

/// The value of `Content-Type`: what is text is in UTF-8.
pub fn content_type(media: Rendered) -> String {
    match output_of(media) {
        Some(Output::Page(Page::Html | Page::Text | Page::Xml)) => format!("{}; charset=utf-8", media.name()),
        _ => media.name().to_owned(),
    }
}

/// How a browser is to treat a page that was made of a stranger's data: it may
/// show it, not run or fetch anything.
pub fn presented(media: Rendered, row: &InstanceRow) -> Option<Presented> {
    let ending = match output_of(media) {
        Some(Output::Page(Page::Html)) => "html",
        Some(Output::Page(Page::Text)) => "txt",
        Some(Output::Page(Page::Xml)) => "xml",
        Some(Output::Page(Page::Svg)) => "svg",
        Some(Output::Picture(_)) | None => return None,
    };
    Some(Presented {
        disposition: format!("inline; filename=\"{}.{ending}\"", row.path.instance),
        policy: Some("sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    })
}

/// Names what an answer is made from.
pub fn identity(row: &InstanceRow, wanted: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&row.digest.0).update(env!("CARGO_PKG_VERSION").as_bytes()).update(wanted.as_bytes());
    hasher
}

pub fn instance_url(base_url: &str, row: &InstanceRow) -> String {
    let path = &row.path;
    format!("{base_url}/studies/{}/series/{}/instances/{}", path.study, path.series, path.instance)
}
