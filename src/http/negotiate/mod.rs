//! From `Accept` to a representation (PS3.18 sections 8.3.3.1, 8.7.4 to 8.7.8).
//!
//! [`Accept`] is what the client can take, from the header and the `accept`
//! parameter. Each resource category has a method that matches it with what
//! the server offers there. Nothing acceptable is 406, never the default type.
//!
//! Must not look at an instance: per part, [`Choices::deliver`] does that with
//! the two facts it is given.

mod pattern;
mod pixels;
pub mod table;
#[cfg(test)]
mod vectors;

pub use pattern::{Asked, Form};
pub use pixels::{Choice, Choices, Content, Delivery, How, Stored};
pub use table::{Media, Rendered, compressed, default_transfer_syntax, media_of, names};

use self::pattern::{Offer, Pattern};
use super::media::parse_accept;

/// Why no representation was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// 400
    #[error("the accept parameter must name media types, without wildcards")]
    Parameter,
    /// 400 (PS3.18 section 9.1.2.2.1)
    #[error("contentType takes neither a transfer-syntax nor a charset")]
    ParameterOfType,
    /// 400
    #[error("DICOM and rendered media types cannot both be acceptable")]
    Mixed,
    /// 406
    #[error("no acceptable media type can be produced")]
    NotAcceptable,
}

/// How many items the resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Items {
    /// Exactly one: a single part may carry it.
    One,
    /// A collection: single-part types are not eligible (table 10.4.4-1 note 3).
    Many,
    /// A collection of which one item may stand for all, as the preview of a
    /// rendered study: single part is what `*/*` means.
    Preview,
}

/// How a data set, or a list of them, is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSetMedia {
    /// `application/dicom+json`, which is also the answer to `application/json`.
    Json,
    /// `multipart/related; type="application/dicom+xml"`, one part a data set.
    XmlParts,
    /// `application/dicom+xml`, a single one.
    Xml,
}

impl DataSetMedia {
    /// The media type of a data set, which for [`Self::XmlParts`] is that of a
    /// part.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "application/dicom+json",
            Self::XmlParts | Self::Xml => "application/dicom+xml",
        }
    }
}

/// A rendered representation that would be acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderedChoice {
    pub form: Form,
    pub media: Rendered,
}

/// What the URI service is to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UriMedia {
    Dicom,
    Rendered(Rendered),
}

/// What the client can take.
#[derive(Debug, Clone)]
pub struct Accept {
    param: Vec<Pattern>,
    header: Vec<Pattern>,
}

impl Accept {
    /// Reads all `Accept` headers and all (percent-decoded) `accept` parameters.
    /// Without any readable header member everything is acceptable, or with
    /// `strict` nothing (PS3.18 section 8.3.3.1).
    ///
    /// # Errors
    /// A wildcard or a text that is no media type in the parameter; with
    /// `strict`, a missing header.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = &'a str>,
        params: impl IntoIterator<Item = &'a str>,
        strict: bool,
    ) -> Result<Self, NegotiateError> {
        let mut header = pattern::patterns(&parse_accept(headers));
        if header.is_empty() {
            if strict {
                return Err(NegotiateError::NotAcceptable);
            }
            header.push(Pattern::anything());
        }
        let mut param = Vec::new();
        for value in params.into_iter().filter(|value| !value.trim().is_empty()) {
            // An unescaped + of a query is a space by now.
            let value = [("dicom json", "dicom+json"), ("dicom xml", "dicom+xml"), ("svg xml", "svg+xml")]
                .iter()
                .fold(value.to_owned(), |value, (spaced, meant)| value.replace(spaced, meant));
            let ranges = pattern::patterns(&parse_accept([value.as_str()]));
            if ranges.is_empty() || ranges.iter().any(Pattern::has_wildcard) {
                return Err(NegotiateError::Parameter);
            }
            param.extend(ranges);
        }
        // Sorted as one list, since each value was sorted on its own.
        pattern::sort(&mut param);
        Ok(Self { param, header })
    }

    /// For the URI service, which never answers in parts: a header that takes
    /// nothing but parts says nothing of it. Viewers send that of their frames
    /// along with every request, and `contentType` says what is meant.
    #[must_use]
    pub fn without_parts(mut self) -> Self {
        let only_parts = self.header.iter().all(|range| range.form == Some(Form::Multipart));
        if only_parts && !self.param.is_empty() {
            self.header = vec![Pattern::anything()];
        }
        self
    }

    /// Matches offers, whose order is the server's preference, with what is
    /// acceptable: the parameter's types that the header allows, then the
    /// header's types, then what a wildcard means.
    fn ranked(&self, offers: &[Offer<'_>]) -> Vec<(usize, &Pattern)> {
        let allowed =
            self.param.iter().filter(|range| range.quality > 0 && range.is_allowed_by(&self.header));
        let mut ranked = Vec::new();
        for range in allowed {
            pattern::collect(range, &self.param, offers, &mut ranked);
        }
        for range in self.header.iter().filter(|range| range.quality > 0) {
            pattern::collect(range, &self.header, offers, &mut ranked);
        }
        ranked
    }

    /// Metadata, search results and reports on storing.
    ///
    /// # Errors
    /// Nothing acceptable is offered.
    pub fn data_set(&self, offers: &[DataSetMedia]) -> Result<DataSetMedia, NegotiateError> {
        let table: Vec<Offer<'_>> = offers
            .iter()
            .map(|offer| match offer {
                DataSetMedia::Json => {
                    Offer { form: Form::Single, names: &["application/dicom+json", "application/json"] }
                }
                DataSetMedia::XmlParts => Offer { form: Form::Multipart, names: &["application/dicom+xml"] },
                DataSetMedia::Xml => Offer { form: Form::Single, names: &["application/dicom+xml"] },
            })
            .collect();
        let best = self.ranked(&table).first().map(|(offer, _)| offers[*offer]);
        best.ok_or(NegotiateError::NotAcceptable)
    }

    /// Any other resource of one part, such as the capabilities: the position
    /// of the best of `offers`, which are media types in lower case.
    ///
    /// # Errors
    /// Nothing acceptable is offered.
    pub fn one_of(&self, offers: &[&str]) -> Result<usize, NegotiateError> {
        let table: Vec<Offer<'_>> = offers
            .iter()
            .map(|name| Offer { form: Form::Single, names: std::slice::from_ref(name) })
            .collect();
        self.ranked(&table).first().map(|(offer, _)| *offer).ok_or(NegotiateError::NotAcceptable)
    }

    /// A zip file, if it is named, of what would else be DICOM parts: the
    /// transfer syntax that was asked for. One part may well carry a collection
    /// this way, since the zip file is one item; but never by a wildcard.
    #[must_use]
    pub fn zip(&self) -> Option<Asked> {
        let is_named = |range: &Pattern| range.essence == "application/zip" && range.quality > 0;
        if !self.param.iter().chain(&self.header).any(is_named) {
            return None;
        }
        let table = [
            Offer { form: Form::Multipart, names: table::DICOM_NAMES },
            Offer { form: Form::Single, names: table::DICOM_NAMES },
            Offer { form: Form::Multipart, names: table::OCTET_STREAM_NAMES },
            Offer { form: Form::Single, names: &["application/zip"] },
        ];
        let (best, range) = *self.ranked(&table).first()?;
        (best == 3).then(|| range.asked.clone())
    }

    /// Rendered resources. `offers` are the types that can be made of this
    /// target, the default first. Best choice first, never empty.
    ///
    /// # Errors
    /// Nothing acceptable is offered, or DICOM types are asked for beside
    /// rendered ones.
    pub fn rendered(&self, offers: &[Rendered], items: Items) -> Result<Vec<RenderedChoice>, NegotiateError> {
        self.refuse_mixed()?;
        let forms: &[Form] = match items {
            Items::One | Items::Preview => &[Form::Single, Form::Multipart],
            Items::Many => &[Form::Multipart],
        };
        let choices: Vec<RenderedChoice> = forms
            .iter()
            .flat_map(|form| offers.iter().map(|media| RenderedChoice { form: *form, media: *media }))
            .collect();
        let table: Vec<Offer<'_>> =
            choices.iter().map(|choice| Offer { form: choice.form, names: choice.media.names() }).collect();
        let mut ranked: Vec<RenderedChoice> = Vec::new();
        for (offer, _) in self.ranked(&table) {
            if !ranked.contains(&choices[offer]) {
                ranked.push(choices[offer]);
            }
        }
        if ranked.is_empty() { Err(NegotiateError::NotAcceptable) } else { Ok(ranked) }
    }

    /// The URI service: an `Accept` read with the values of `contentType` as
    /// its parameter (PS3.18 section 9.1.2.2.1). Without one, the default is
    /// the first of `offers`.
    ///
    /// # Errors
    /// Nothing acceptable is offered, DICOM and rendered types are mixed, or
    /// `contentType` carries a parameter that it must not.
    pub fn uri_service(&self, offers: &[Rendered]) -> Result<UriMedia, NegotiateError> {
        if self.param.iter().any(|range| range.asked != Asked::Default || range.charset.is_some()) {
            return Err(NegotiateError::ParameterOfType);
        }
        self.refuse_mixed()?;
        let mut table: Vec<Offer<'_>> =
            offers.iter().map(|media| Offer { form: Form::Single, names: media.names() }).collect();
        table.push(Offer { form: Form::Single, names: table::DICOM_NAMES });
        let best = self.ranked(&table).first().map(|(offer, _)| *offer);
        let best = best.ok_or(NegotiateError::NotAcceptable)?;
        Ok(offers.get(best).map_or(UriMedia::Dicom, |media| UriMedia::Rendered(*media)))
    }

    /// PS3.18 section 8.7.5. Only where the resource itself leaves it open; on
    /// metadata, `text/html` beside `application/dicom+json` is a browser.
    ///
    /// # Errors
    /// DICOM types are asked for beside rendered ones.
    pub fn refuse_mixed(&self) -> Result<(), NegotiateError> {
        let mixed = |ranges: &[Pattern]| {
            let names_any = |names: &[&str]| {
                ranges.iter().any(|range| range.quality > 0 && names.contains(&range.essence.as_str()))
            };
            names_any(&["application/dicom", "application/dicom+json", "application/dicom+xml"])
                && Rendered::ALL.iter().any(|media| names_any(media.names()))
        };
        if mixed(&self.param) || mixed(&self.header) { Err(NegotiateError::Mixed) } else { Ok(()) }
    }
}
