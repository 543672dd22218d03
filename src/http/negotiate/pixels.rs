//! Instances, frames and bulk data: which media types and Transfer Syntaxes
//! are acceptable, in order, and per part which of them a stored instance can
//! satisfy (PS3.18 sections 8.7.3 and 8.7.8).
//!
//! Must not decode or read anything. Invariant: never Implicit VR Little Endian
//! and never Explicit VR Big Endian, even for `transfer-syntax=*` (8.7.3).

use super::{
    Accept, Items, NegotiateError,
    pattern::{Asked, Form, Offer, Pattern},
    table::{COMPRESSED, Media, default_transfer_syntax, media_of, names},
};
use crate::{
    dicom::{
        transfer_syntax::{self as syntax, DEFLATED, ENCAPSULATED_UNCOMPRESSED, EXPLICIT_LITTLE, Pixels},
        uid,
    },
    pixels,
};

/// A representation that would be acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub form: Form,
    pub media: Media,
    /// The name under which it was asked for, which may be an old one.
    pub name: String,
    pub transfer_syntax: Asked,
    pub charset: Option<String>,
    /// It was asked for by its name, not by a wildcard.
    pub is_named: bool,
    /// In thousandths.
    pub quality: u16,
}

/// What would be acceptable, best first, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    pub list: Vec<Choice>,
    /// Pixels may lose something where a lossy Transfer Syntax is named.
    pub with_loss: bool,
}

/// What is known of the thing to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// As in the file; an unknown one counts as a private coding of pixels.
    pub transfer_syntax: &'a str,
    pub content: Content<'a>,
    /// There are pixels, and they can be decoded here (if they are compressed)
    /// and encoded anew.
    pub decodable: bool,
}

/// What is to be sent of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// The whole of it, or its pixels.
    Pixels,
    /// Another bulk value: its bytes are never compressed.
    Bytes,
    /// An encapsulated document, with its own media type.
    Document(&'a str),
}

/// How the stored bytes become the sent ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// They are the same; of a compressed frame, its code stream.
    Stored,
    /// Written as Explicit VR Little Endian without a change to any value.
    LittleEndian,
    /// Pixels decoded, then written as Explicit VR Little Endian.
    Decoded,
    /// Pixels encoded in the Transfer Syntax of the delivery; with loss only if
    /// that one was named.
    Encoded,
}

/// What to send for one instance, frame or bulk value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    pub form: Form,
    pub media: Media,
    pub name: &'a str,
    /// None for a document.
    pub transfer_syntax: Option<&'a str>,
    pub how: How,
}

impl Delivery<'_> {
    /// The value of `Content-Type` for this part. The parameter is not quoted:
    /// a widespread viewer chooses its decoder by it.
    #[must_use]
    pub fn content_type(&self) -> String {
        match self.transfer_syntax {
            // The declared text of a strange file must not get into a header.
            Some(text) if uid::check(text).is_ok() => format!("{}; transfer-syntax={text}", self.name),
            Some(_) | None => self.name.to_owned(),
        }
    }
}

impl Accept {
    /// The instances of a study or a series, or one. The choices are either all
    /// [`Media::Dicom`], or none of them is: then the bulk data are asked for
    /// in place of the files (PS3.18 table 10.4.4-1).
    ///
    /// # Errors
    /// Nothing acceptable.
    pub fn instances(&self, items: Items) -> Result<Choices, NegotiateError> {
        let mut candidates = vec![Candidate::known(Form::Multipart, Media::Dicom)];
        if items == Items::One {
            candidates.push(Candidate::known(Form::Single, Media::Dicom));
        }
        candidates.extend(bulk_media().map(|media| Candidate::known(Form::Multipart, media)));
        let mut choices = self.choose(&candidates);
        let files = choices.first().is_some_and(|choice| choice.media == Media::Dicom);
        choices.retain(|choice| (choice.media == Media::Dicom) == files);
        Choices::new(choices)
    }

    /// Frames, bulk data and pixel data.
    ///
    /// # Errors
    /// Nothing acceptable.
    pub fn bulk(&self, items: Items) -> Result<Choices, NegotiateError> {
        let forms: &[Form] =
            if items == Items::One { &[Form::Multipart, Form::Single] } else { &[Form::Multipart] };
        let known: Vec<Media> = bulk_media().collect();
        let mut candidates: Vec<Candidate<'_>> =
            forms.iter().flat_map(|form| known.iter().map(|media| Candidate::known(*form, *media))).collect();
        // Whatever else is named may be the type of a document.
        let named: Vec<(Form, &str)> = self
            .param
            .iter()
            .chain(&self.header)
            .filter(|range| !range.has_wildcard() && range.essence != "application/dicom")
            .filter_map(|range| Some((range.form?, range.essence.as_str())))
            .filter(|(form, name)| forms.contains(form) && !known.iter().any(|m| names(*m).contains(name)))
            .collect();
        candidates.extend(named.iter().map(|(form, name)| Candidate {
            form: *form,
            media: Media::Document,
            names: std::slice::from_ref(name),
        }));
        Choices::new(self.choose(&candidates))
    }

    fn choose(&self, candidates: &[Candidate<'_>]) -> Vec<Choice> {
        let table: Vec<Offer<'_>> = candidates
            .iter()
            .map(|candidate| Offer { form: candidate.form, names: candidate.names })
            .collect();
        let ranked = self.ranked(&table);
        let mut choices: Vec<Choice> =
            ranked.iter().filter_map(|(offer, range)| candidates[*offer].choice(range)).collect();
        // Who takes everything also takes the stored form of what cannot be
        // decoded, under its own name.
        let wildcard =
            ranked.iter().find(|(_, range)| range.is_full_wildcard() && range.asked == Asked::Default);
        let Some((offer, range)) = wildcard else { return choices };
        let default = candidates[*offer];
        for candidate in candidates {
            let fits = candidate.form == default.form
                && candidate.media != Media::Document
                && (default.media != Media::Dicom || candidate.media == Media::Dicom);
            let refused = self.header.iter().any(|other| {
                other.quality == 0
                    && !other.is_full_wildcard()
                    && other.covers(candidate.form, candidate.names)
            });
            if let Some(choice) = candidate.choice(range)
                && fits
                && !refused
            {
                choices.push(Choice { transfer_syntax: Asked::Any, ..choice });
            }
        }
        choices
    }
}

/// A representation that could be given.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    form: Form,
    media: Media,
    names: &'a [&'a str],
}

impl Candidate<'_> {
    fn known(form: Form, media: Media) -> Self {
        Self { form, media, names: names(media) }
    }

    /// As a member of `Accept` asks for it, under the name it uses.
    fn choice(&self, range: &Pattern) -> Option<Choice> {
        let name = self.names.iter().find(|name| **name == range.essence).or(self.names.first())?;
        Some(Choice {
            form: self.form,
            media: self.media,
            name: (*name).to_owned(),
            transfer_syntax: range.asked.clone(),
            charset: range.charset.clone(),
            is_named: self.names.contains(&range.essence.as_str()),
            quality: range.quality,
        })
    }
}

/// Bytes first, as the default of every category.
fn bulk_media() -> impl Iterator<Item = Media> {
    std::iter::once(Media::OctetStream).chain(COMPRESSED.iter().map(|row| row.media))
}

impl Choices {
    /// Whole files in the transfer syntax that was asked for, and no other.
    #[must_use]
    pub fn files(transfer_syntax: Asked) -> Self {
        let name = names(Media::Dicom)[0].to_owned();
        let choice = Choice {
            form: Form::Single,
            media: Media::Dicom,
            name,
            transfer_syntax,
            charset: None,
            is_named: true,
            quality: 1000,
        };
        Self { list: vec![choice], with_loss: false }
    }

    fn new(list: Vec<Choice>) -> Result<Self, NegotiateError> {
        if list.is_empty() { Err(NegotiateError::NotAcceptable) } else { Ok(Self { list, with_loss: false }) }
    }

    /// DICOM files are asked for, not bulk data.
    #[must_use]
    pub fn is_dicom(&self) -> bool {
        self.list.first().is_some_and(|choice| choice.media == Media::Dicom)
    }

    /// A lossy Transfer Syntax is named that could be encoded here.
    #[must_use]
    pub fn name_loss(&self) -> bool {
        let is_lossy = |choice: &Choice| matches!(&choice.transfer_syntax, Asked::Uid(uid) if pixels::can_encode_lossy(uid));
        self.list.iter().any(is_lossy)
    }

    /// The best choice that this instance can satisfy; of two that are equally
    /// acceptable, one that needs no encoding. None: leave it out (206), and if
    /// nothing is left, 406.
    #[must_use]
    pub fn deliver<'a>(&'a self, stored: &Stored<'a>) -> Option<Delivery<'a>> {
        self.deliver_if(stored, |_| true)
    }

    /// As [`Self::deliver`]; `is_encodable` tells of a Transfer Syntax whether
    /// it takes these pixels. If that leaves nothing, the best of what it
    /// refused: then the answer can say what is wrong with it.
    #[must_use]
    pub fn deliver_if<'a>(
        &'a self,
        stored: &Stored<'a>,
        is_encodable: impl Fn(&str) -> bool,
    ) -> Option<Delivery<'a>> {
        let satisfied = || {
            self.list.iter().filter_map(|choice| {
                let (how, transfer_syntax) = satisfy(choice, stored, self.with_loss)?;
                let (form, media, name) = (choice.form, choice.media, choice.name.as_str());
                Some((choice, Delivery { form, media, name, transfer_syntax, how }))
            })
        };
        let is_possible = |delivery: &Delivery<'_>| {
            delivery.how != How::Encoded || delivery.transfer_syntax.is_some_and(&is_encodable)
        };
        let best = best_of(satisfied().filter(|(_, delivery)| is_possible(delivery)));
        best.or_else(|| best_of(satisfied()))
    }
}

fn best_of<'a>(mut satisfied: impl Iterator<Item = (&'a Choice, Delivery<'a>)>) -> Option<Delivery<'a>> {
    let (choice, first) = satisfied.next()?;
    if first.how != How::Encoded {
        return Some(first);
    }
    let other = satisfied.find(|(_, delivery)| delivery.how != How::Encoded);
    // A wildcard says that anything will do, as the defaults of HTTP libraries do.
    let as_good = |other: &Choice| other.quality == choice.quality || !other.is_named;
    Some(other.filter(|(other, _)| as_good(other)).map_or(first, |(_, other)| other))
}

fn satisfy<'a>(choice: &'a Choice, stored: &Stored<'a>, with_loss: bool) -> Option<(How, Option<&'a str>)> {
    let own = stored.transfer_syntax;
    let found = match (choice.media, stored.content) {
        (Media::Document, Content::Document(kind)) => {
            return kind.trim().eq_ignore_ascii_case(&choice.name).then_some((How::Stored, None));
        }
        (Media::Dicom, _) => satisfy_file(&choice.transfer_syntax, stored, with_loss),
        (Media::OctetStream, Content::Pixels) => satisfy_pixels(&choice.transfer_syntax, stored),
        (Media::OctetStream, Content::Bytes | Content::Document(_)) => match &choice.transfer_syntax {
            Asked::Uid(wanted) if wanted != EXPLICIT_LITTLE && wanted != own => None,
            Asked::Default | Asked::Any | Asked::Uid(_) => Some((how_bytes(own), EXPLICIT_LITTLE)),
        },
        // The code stream goes out as it is or not at all. Without a parameter
        // the standard means one Transfer Syntax a media type; whatever the
        // media type carries is given, labelled, since the alternative is 406
        // for every JPEG Baseline image asked for as image/jpeg.
        (media, Content::Pixels) if media_of(own) == media => match &choice.transfer_syntax {
            Asked::Uid(wanted) if wanted != own => None,
            Asked::Default | Asked::Any | Asked::Uid(_) => Some((How::Stored, own)),
        },
        (media, Content::Pixels) if stored.decodable && choice.is_named => match &choice.transfer_syntax {
            Asked::Uid(wanted) if media_of(wanted) == media => encoded(wanted, with_loss),
            Asked::Default => encoded(default_transfer_syntax(media), false),
            Asked::Any | Asked::Uid(_) => None,
        },
        (_, Content::Pixels | Content::Bytes | Content::Document(_)) => None,
    };
    found.map(|(how, transfer_syntax)| (how, Some(transfer_syntax)))
}

/// A whole file.
fn satisfy_file<'a>(asked: &'a Asked, stored: &Stored<'a>, with_loss: bool) -> Option<(How, &'a str)> {
    let own = stored.transfer_syntax;
    let plain = || how_plain(stored).map(|how| (how, EXPLICIT_LITTLE));
    match asked {
        Asked::Default => plain(),
        Asked::Any if syntax::is_barred_from_web(own) => plain(),
        Asked::Any => Some((How::Stored, own)),
        Asked::Uid(wanted) if wanted == EXPLICIT_LITTLE => plain(),
        Asked::Uid(wanted) if wanted == own && !syntax::is_barred_from_web(own) => Some((How::Stored, own)),
        Asked::Uid(wanted) if stored.decodable => encoded(wanted, with_loss),
        Asked::Uid(_) => None,
    }
}

/// Pixels encoded anew. With loss only where the archive was told to: that makes
/// another image of it, with a SOP Instance UID of its own, and a client that
/// tries what it can get must not be given less than there is.
fn encoded(wanted: &str, with_loss: bool) -> Option<(How, &str)> {
    let can = pixels::can_encode(wanted) || (with_loss && pixels::can_encode_lossy(wanted));
    (can && syntax::is_encapsulated(wanted)).then_some((How::Encoded, wanted))
}

/// Frames and pixel data as bytes: decoded, or the code stream if that is
/// asked for.
fn satisfy_pixels<'a>(asked: &Asked, stored: &Stored<'a>) -> Option<(How, &'a str)> {
    let own = stored.transfer_syntax;
    let plain = || how_plain(stored).map(|how| (how, EXPLICIT_LITTLE));
    let coded = syntax::is_encapsulated(own).then_some((How::Stored, own));
    match asked {
        Asked::Default => plain(),
        Asked::Any => coded.or_else(plain),
        Asked::Uid(wanted) if wanted == own && coded.is_some() => coded,
        Asked::Uid(wanted) if wanted == EXPLICIT_LITTLE || wanted == ENCAPSULATED_UNCOMPRESSED => plain(),
        Asked::Uid(_) => None,
    }
}

/// How to get to Explicit VR Little Endian, if it can be done. PS3.18 section
/// 8.7.3.4 lets lossy pixels go out as they are instead; but who names a media
/// type and no Transfer Syntax reads the bytes as pixels, so that is 406 too.
fn how_plain(stored: &Stored<'_>) -> Option<How> {
    let own = stored.transfer_syntax;
    if own == EXPLICIT_LITTLE {
        return Some(How::Stored);
    }
    match syntax::find(own).map(|known| known.pixels) {
        Some(Pixels::Native) => Some(How::LittleEndian),
        Some(Pixels::Elsewhere) => None,
        Some(_) if stored.content != Content::Pixels => Some(How::LittleEndian),
        Some(_) | None => stored.decodable.then_some(How::Decoded),
    }
}

/// Bulk values other than pixels are uncompressed under every Transfer Syntax.
fn how_bytes(own: &str) -> How {
    if syntax::is_big_endian(own) || own == DEFLATED { How::LittleEndian } else { How::Stored }
}
