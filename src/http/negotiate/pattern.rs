//! One member of `Accept` as a pattern over representations, and the order in
//! which patterns choose among offers (PS3.18 section 8.7.8.1).
//!
//! Invariants: a full wildcard never goes before a type that is named, whatever
//! their weights; the most specific pattern decides on an offer, so that `q=0`
//! takes it out of a wildcard's reach.

use std::cmp::Reverse;

use super::table::{JPEG_LOSSLESS_ALIAS, JPEG_LOSSLESS_SV1};
use crate::{dicom::uid, http::media::MediaRange};

/// One part, or a `multipart/related` body of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Single,
    Multipart,
}

/// The `transfer-syntax` that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// No parameter: Explicit VR Little Endian, or for a compressed media type
    /// the one that it means.
    Default,
    /// `*`: as stored.
    Any,
    Uid(String),
}

/// A representation the server could give, under one of these names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    pub form: Form,
    pub names: &'a [&'a str],
}

/// One member of `Accept`.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// None: both.
    pub form: Option<Form>,
    /// Of the part: `type/subtype`, `type/*` or `*/*`.
    pub essence: String,
    pub quality: u16,
    pub asked: Asked,
    pub charset: Option<String>,
}

impl Pattern {
    pub fn anything() -> Self {
        Self { form: None, essence: "*/*".to_owned(), quality: 1000, asked: Asked::Default, charset: None }
    }

    fn read(range: &MediaRange) -> Option<Self> {
        let media = &range.media;
        let (form, essence) = match media.essence.as_str() {
            "*/*" => (None, "*/*".to_owned()),
            // Without a type of its parts, or with an unreadable one, it means
            // the category's default.
            "multipart/related" | "multipart/*" => {
                (Some(Form::Multipart), media.root_type().unwrap_or_else(|| "*/*".to_owned()))
            }
            // Understood, and never given.
            other if other.starts_with("multipart/") => (Some(Form::Multipart), other.to_owned()),
            other => (Some(Form::Single), other.to_owned()),
        };
        // `*/xml` is not a range.
        if essence.starts_with("*/") && essence != "*/*" {
            return None;
        }
        let asked = match media.param("transfer-syntax").map(str::trim) {
            Some("*") => Asked::Any,
            Some(text) if uid::check(text).is_ok() => Asked::Uid(text.to_owned()),
            _ if essence == JPEG_LOSSLESS_ALIAS => Asked::Uid(JPEG_LOSSLESS_SV1.to_owned()),
            // A value that can be nothing is ignored, as unknown parameters are.
            Some(_) | None => Asked::Default,
        };
        let charset = media.param("charset").map(str::to_owned);
        Some(Self { form, essence, quality: range.quality, asked, charset })
    }

    pub fn has_wildcard(&self) -> bool {
        self.essence.ends_with("/*")
    }

    /// `*/*`, or a multipart of it.
    pub fn is_full_wildcard(&self) -> bool {
        self.essence == "*/*"
    }

    fn matches_name(&self, name: &str) -> bool {
        self.is_full_wildcard()
            || self.essence == name
            || self
                .essence
                .strip_suffix('*')
                .is_some_and(|kind| kind.ends_with('/') && name.starts_with(kind))
    }

    pub fn covers(&self, form: Form, names: &[&str]) -> bool {
        self.form.is_none_or(|own| own == form) && names.iter().any(|name| self.matches_name(name))
    }

    /// The most specific member of the header that covers this one, which
    /// stands in the parameter, does not refuse it.
    pub fn is_allowed_by(&self, header: &[Self]) -> bool {
        header
            .iter()
            .filter(|member| {
                (member.form.is_none() || member.form == self.form) && member.matches_name(&self.essence)
            })
            .max_by_key(|member| (member.rank(), member.quality))
            .is_some_and(|member| member.quality > 0)
    }

    /// Higher is more specific.
    fn rank(&self) -> u8 {
        match (self.is_full_wildcard(), self.has_wildcard(), &self.asked) {
            (true, _, _) => u8::from(self.form.is_some()),
            (false, true, _) => 2,
            (false, false, Asked::Default) => 3,
            (false, false, Asked::Any | Asked::Uid(_)) => 4,
        }
    }
}

/// Reads and orders the members of `Accept`.
pub(super) fn patterns(ranges: &[MediaRange]) -> Vec<Pattern> {
    let mut patterns: Vec<Pattern> = ranges.iter().filter_map(Pattern::read).collect();
    sort(&mut patterns);
    patterns
}

/// Best first; equals stay in the order in which the client wrote them.
pub(super) fn sort(patterns: &mut [Pattern]) {
    patterns.sort_by_key(|pattern| {
        (pattern.is_full_wildcard(), Reverse(pattern.quality), pattern.has_wildcard(), pattern.form.is_none())
    });
}

/// Adds the offers that a pattern chooses: all that it covers, or for a full
/// wildcard the first. Left out are those on which a more specific pattern of
/// `all` decides.
pub(super) fn collect<'p>(
    pattern: &'p Pattern,
    all: &[Pattern],
    offers: &[Offer<'_>],
    ranked: &mut Vec<(usize, &'p Pattern)>,
) {
    for (position, offer) in offers.iter().enumerate() {
        if !pattern.covers(offer.form, offer.names) {
            continue;
        }
        let decided_elsewhere = all.iter().any(|other| {
            other.rank() > pattern.rank()
                && (other.asked == Asked::Default || other.asked == pattern.asked)
                && (other.quality == 0 || !pattern.is_full_wildcard())
                && other.covers(offer.form, offer.names)
        });
        if decided_elsewhere {
            continue;
        }
        if !ranked.iter().any(|(known, by)| *known == position && by.asked == pattern.asked) {
            ranked.push((position, pattern));
        }
        if pattern.is_full_wildcard() {
            return;
        }
    }
}
