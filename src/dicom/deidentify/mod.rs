//! De-identification by the Basic Application Level Confidentiality Profile
//! (PS3.15 annex E): an instance becomes another one that says nothing of its
//! patient in its attributes. Pixels are copied as they are; what may name
//! somebody in them, in prose or in sound, is left out as a whole (`safety.rs`).
//!
//! Invariants: the same original with the same secret and options is always the
//! same bytes, so that references between instances hold and a copy made again is
//! the same copy. Nothing leads back to the original but the secret.

mod rules;
mod safety;
mod secret;
mod shift;
mod table;
#[cfg(test)]
mod tests;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::{
    dataset::{Bulk, DataSet, Element, Value},
    encode::{self, Content, EncodeError, Meta, Stretch},
    part10::{self, EXPLICIT_LITTLE_ENDIAN, Limits, Parsed, PixelForm, ReadError, Syntax},
    plan::Plan,
    source::Source,
    uid::{InstancePath, InstanceUid, SeriesUid, StudyUid},
};
use rules::Whose;
pub use safety::Pixels;
pub use secret::Secret;

/// What (0012,0063) says. The edition is that of the table.
const METHOD: &str = "Hilum: PS3.15 Annex E Basic Profile, edition 2026c";
/// What begins an encapsulated value.
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];

/// What is done with dates and times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dates {
    #[default]
    Removed,
    /// All of them earlier by the same number of days, which is the patient's own.
    Modified,
    Full,
}

/// The options of the profile: what is kept that it would take away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retain {
    pub dates: Dates,
    pub patient_characteristics: bool,
    pub device_identity: bool,
    pub institution_identity: bool,
}

/// Why an instance is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LeftOut {
    #[error("it says itself that its pixels name somebody (BurnedInAnnotation = YES)")]
    BurnedIn,
    #[error("it says itself that its pixels show who it is (RecognizableVisualFeatures = YES)")]
    Recognizable,
    #[error("pixels of its kind often name the patient, and it does not say BurnedInAnnotation = NO")]
    InDoubt,
    #[error("an overlay is hidden in bits of its pixels")]
    HiddenOverlay,
    #[error("it shows the label of a slide")]
    SlideLabel,
    #[error("structured reports name people in prose")]
    Report,
    #[error("documents name people in prose")]
    Document,
    #[error("presentation states write text over images")]
    PresentationState,
    #[error("sound has voices in it")]
    Sound,
    #[error("raw data are of no known form")]
    RawData,
    #[error("it is of no storage class of the standard, so nobody knows what is in it")]
    UnknownClass,
    #[error("it cannot be read")]
    Unreadable,
    #[error("it cannot be written anew")]
    Unwritable,
    #[error("the archive did not take its copy")]
    NotTaken,
}

impl LeftOut {
    /// For programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BurnedIn => "burned-in-annotation",
            Self::Recognizable => "recognizable-visual-features",
            Self::InDoubt => "pixels-in-doubt",
            Self::HiddenOverlay => "hidden-overlay",
            Self::SlideLabel => "slide-label",
            Self::Report => "structured-report",
            Self::Document => "document",
            Self::PresentationState => "presentation-state",
            Self::Sound => "sound",
            Self::RawData => "raw-data",
            Self::UnknownClass => "unknown-class",
            Self::Unreadable => "unreadable",
            Self::Unwritable => "unwritable",
            Self::NotTaken => "not-taken",
        }
    }
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum DeidentifyError {
    #[error("{0}")]
    LeftOut(LeftOut),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<LeftOut> for DeidentifyError {
    fn from(why: LeftOut) -> Self {
        Self::LeftOut(why)
    }
}

/// De-identifies with the secret of one archive and some options.
#[derive(Debug, Clone, Copy)]
pub struct Deidentifier<'a> {
    secret: &'a Secret,
    retain: Retain,
    /// Of the data set at hand.
    patient_id_of_set: &'a str,
}

impl<'a> Deidentifier<'a> {
    #[must_use]
    pub fn new(secret: &'a Secret, retain: Retain) -> Self {
        Self { secret, retain, patient_id_of_set: "" }
    }

    /// The UID in place of another. Copies with other options are other instances.
    fn uid(&self, uid: &str) -> String {
        self.secret.uid(&self.retain.scope(), uid.trim())
    }

    /// # Panics
    /// Never: what is made is a UID.
    #[must_use]
    pub fn study(&self, study: &StudyUid) -> StudyUid {
        StudyUid::parse(&self.uid(study.as_str())).expect("2.25. and up to 39 digits")
    }

    /// Where the copy of an instance belongs.
    ///
    /// # Panics
    /// Never: what is made are UIDs.
    #[must_use]
    pub fn path(&self, path: &InstancePath) -> InstancePath {
        let made = "2.25. and up to 39 digits";
        InstancePath {
            study: self.study(&path.study),
            series: SeriesUid::parse(&self.uid(path.series.as_str())).expect(made),
            instance: InstanceUid::parse(&self.uid(path.instance.as_str())).expect(made),
        }
    }

    /// The data set without what tells of its patient. Values left in the file
    /// are still where they were.
    #[must_use]
    pub fn data_set(&self, set: DataSet) -> DataSet {
        let whose = Whose::of(&set, self.secret);
        let patient_id = set.first_text(tags::PATIENT_ID).unwrap_or_default().to_owned();
        let this = Deidentifier { secret: self.secret, retain: self.retain, patient_id_of_set: &patient_id };
        let mut set = this.items(set, &whose, true);
        set.put_text(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES");
        set.put_text(tags::DEIDENTIFICATION_METHOD, VR::LO, METHOD);
        let codes = self.retain.codes().into_iter().map(code).collect();
        set.put(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, Element::new(VR::SQ, Value::Items(codes)));
        let modified = match self.retain.dates {
            Dates::Removed => "REMOVED",
            Dates::Modified => "MODIFIED",
            Dates::Full => "UNMODIFIED",
        };
        set.put_text(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, VR::CS, modified);
        // Both are Type 2, and who reads the copy tells patients apart by them.
        whose.name(&mut set);
        set
    }

    /// The whole file, as a plan of pieces of the stored one.
    ///
    /// # Errors
    /// Why the instance is left out, or cannot be read or written.
    pub fn file(
        &self,
        source: &dyn Source,
        limits: &Limits,
        pixels: Pixels,
    ) -> Result<Plan, DeidentifyError> {
        let (mut parsed, inflated) = part10::parse_and_keep(source, limits)?;
        let (sop_class, sop_instance) = part10::sop_uids(&mut parsed)?;
        safety::check(&parsed.dataset, &sop_class, pixels)?;
        let body: &dyn Source = match &inflated {
            Some(inflated) => inflated,
            None => source,
        };
        let mut set = std::mem::take(&mut parsed.dataset);
        empty_false_numbers(&mut set, body);
        let bits_allocated = set.first_int(tags::BITS_ALLOCATED);
        let places = Places { parsed: &parsed, body, bits_allocated };
        let mut set = self.data_set(set);
        set.put_text(tags::SOP_CLASS_UID, VR::UI, &sop_class);
        let sop_instance = self.uid(&sop_instance);
        set.put_text(tags::SOP_INSTANCE_UID, VR::UI, &sop_instance);
        let syntax = Syntax::of(&parsed.transfer_syntax);
        let is_native = syntax.deflated || syntax.pixels == PixelForm::Native;
        let transfer_syntax = if is_native { EXPLICIT_LITTLE_ENDIAN } else { &parsed.transfer_syntax };
        let meta = Meta { sop_class: &sop_class, sop_instance: &sop_instance, transfer_syntax };
        let plan = encode::file(&set, meta, &|tag, bulk| Some(places.find(tag, bulk)))?;
        Ok(Plan { inflated, ..plan })
    }
}

impl Retain {
    /// Tells one set of options from another.
    fn scope(self) -> String {
        let codes: Vec<&str> = self.codes().into_iter().map(|(code, _)| code).collect();
        codes.join(" ")
    }

    /// Codes of CID 7050.
    fn codes(self) -> Vec<(&'static str, &'static str)> {
        let dates = match self.dates {
            Dates::Removed => None,
            Dates::Full => Some(("113106", "Retain Longitudinal Temporal Information Full Dates Option")),
            Dates::Modified => {
                Some(("113107", "Retain Longitudinal Temporal Information Modified Dates Option"))
            }
        };
        let one = |is_wanted: bool, code| is_wanted.then_some(code);
        std::iter::once(("113100", "Basic Application Confidentiality Profile"))
            .chain(dates)
            .chain(one(self.patient_characteristics, ("113108", "Retain Patient Characteristics Option")))
            .chain(one(self.device_identity, ("113109", "Retain Device Identity Option")))
            .chain(one(self.institution_identity, ("113112", "Retain Institution Identity Option")))
            .collect()
    }
}

fn code((value, meaning): (&str, &str)) -> DataSet {
    let mut item = DataSet::new();
    item.put_text(tags::CODE_VALUE, VR::SH, value);
    item.put_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
    item.put_text(tags::CODE_MEANING, VR::LO, meaning);
    item
}

/// Empties numbers in digits (DS, IS) that were left in the file for their length and are none.
fn empty_false_numbers(set: &mut DataSet, body: &dyn Source) {
    for (_, element) in set.iter_mut() {
        match &mut element.value {
            Value::Items(items) => items.iter_mut().for_each(|item| empty_false_numbers(item, body)),
            Value::Bulk(bulk)
                if matches!(element.vr, VR::DS | VR::IS) && !is_of_digits(bulk, body).unwrap_or(false) =>
            {
                element.value = Value::Empty;
            }
            Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Inline(_)
            | Value::Bulk(_) => {}
        }
    }
}

fn is_of_digits(bulk: &Bulk, body: &dyn Source) -> std::io::Result<bool> {
    let end = bulk.offset + bulk.length;
    let mut at = bulk.offset;
    let mut buffer = [0; 4096];
    while at < end {
        let length = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let bytes = &mut buffer[..length];
        body.read_exact_at(bytes, at)?;
        if !bytes.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE\\ \0".contains(byte)) {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

/// Where the values are that were left in the file.
struct Places<'a> {
    parsed: &'a Parsed,
    body: &'a dyn Source,
    bits_allocated: Option<i64>,
}

impl Places<'_> {
    fn find(&self, tag: Tag, bulk: &Bulk) -> Content {
        let stretch = Stretch { offset: bulk.offset, length: bulk.length };
        if tag == tags::PIXEL_DATA && self.is_encapsulated(bulk) {
            return Content::Fragments(stretch);
        }
        if self.parsed.encoding.big_endian {
            return Content::BigEndian(stretch, self.bits_allocated);
        }
        Content::Value(vec![stretch])
    }

    /// A transfer syntax may say so, and the value be native all the same.
    fn is_encapsulated(&self, bulk: &Bulk) -> bool {
        let mut begin = [0; 4];
        Syntax::of(&self.parsed.transfer_syntax).pixels != PixelForm::Native
            && bulk.length >= 8
            && self.body.read_exact_at(&mut begin, bulk.offset).is_ok()
            && begin == ITEM
    }
}
