//! Storage commitment: what is asked for and what is answered (PS3.18 Annex J),
//! as data sets. A request names instances one by one or as a tree of studies,
//! and is answered in the same form.

use std::fmt;

use super::{DataSet, Element, InstanceUid, SeriesUid, StudyUid, Tag, VR, Value};

const REFERENCED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1199);
const FAILED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1198);
const REFERENCED_STUDY_SEQUENCE: Tag = Tag(0x0008, 0x1110);
const FAILED_STUDY_SEQUENCE: Tag = Tag(0x0008, 0x119B);
const REFERENCED_SERIES_SEQUENCE: Tag = Tag(0x0008, 0x1115);
const INSTANCES_BY_CLASS_SEQUENCE: Tag = Tag(0x0008, 0x1112);
const REFERENCED_INSTANCE_SEQUENCE: Tag = Tag(0x0008, 0x114A);
const SOP_CLASS: Tag = Tag(0x0008, 0x1150);
const SOP_INSTANCE: Tag = Tag(0x0008, 0x1155);
const FAILURE_REASON: Tag = Tag(0x0008, 0x1197);
const STUDY: Tag = Tag(0x0020, 0x000D);
const SERIES: Tag = Tag(0x0020, 0x000E);

/// The instances for which storage is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub form: Form,
    pub references: Vec<Reference>,
}

/// How a request names its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Referenced SOP Sequence.
    Instances,
    /// Referenced Study Sequence.
    Studies,
}

/// One instance of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it is said to be, in a tree.
    pub series: Option<(StudyUid, SeriesUid)>,
    pub sop_class: String,
    pub instance: InstanceUid,
}

/// Why a request cannot be understood: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error(
        "the request has neither a ReferencedSOPSequence (0008,1199) nor a ReferencedStudySequence (0008,1110)"
    )]
    Nothing,
    #[error(
        "the request has both a ReferencedSOPSequence (0008,1199) and a ReferencedStudySequence (0008,1110)"
    )]
    Both,
    #[error("{at} has no {tag} or one that is no UID")]
    Uid { at: At, tag: Tag },
    #[error("{at} has no {tag} or one without items")]
    Empty { at: At, tag: Tag },
    #[error("the request names more than {max} instances; send several")]
    TooMany { max: usize },
}

/// Items by their numbers from 1 on, from the outermost to the innermost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct At(Vec<usize>);

impl At {
    fn item(&self, index: usize) -> Self {
        Self(self.0.iter().copied().chain([index + 1]).collect())
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the request");
        }
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "item {}", numbers.join("."))
    }
}

/// Reads a request of at most `references_max` instances.
///
/// # Errors
/// What is missing, and in which item.
pub fn read(set: &DataSet, references_max: usize) -> Result<Request, RequestError> {
    let mut reader = Reader { references: Vec::new(), max: references_max };
    let at = At::default();
    let form = match (set.get(REFERENCED_SOP_SEQUENCE), set.get(REFERENCED_STUDY_SEQUENCE)) {
        (None, None) => return Err(RequestError::Nothing),
        (Some(_), Some(_)) => return Err(RequestError::Both),
        (Some(_), None) => {
            for (at, item) in items(set, REFERENCED_SOP_SEQUENCE, &at)? {
                reader.add(None, uid(item, SOP_CLASS, &at)?, item, &at)?;
            }
            Form::Instances
        }
        (None, Some(_)) => {
            for (at, study) in items(set, REFERENCED_STUDY_SEQUENCE, &at)? {
                reader.study(study, &at)?;
            }
            Form::Studies
        }
    };
    Ok(Request { form, references: reader.references })
}

struct Reader {
    references: Vec<Reference>,
    max: usize,
}

impl Reader {
    fn study(&mut self, study: &DataSet, at: &At) -> Result<(), RequestError> {
        let malformed = |at: &At, tag| RequestError::Uid { at: at.clone(), tag };
        let study_uid = StudyUid::parse(uid(study, STUDY, at)?).map_err(|_| malformed(at, STUDY))?;
        for (at, series) in items(study, REFERENCED_SERIES_SEQUENCE, at)? {
            let series_uid =
                SeriesUid::parse(uid(series, SERIES, &at)?).map_err(|_| malformed(&at, SERIES))?;
            let place = Some((study_uid.clone(), series_uid));
            for (at, class) in items(series, INSTANCES_BY_CLASS_SEQUENCE, &at)? {
                let sop_class = uid(class, SOP_CLASS, &at)?;
                for (at, item) in items(class, REFERENCED_INSTANCE_SEQUENCE, &at)? {
                    self.add(place.clone(), sop_class, item, &at)?;
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        series: Option<(StudyUid, SeriesUid)>,
        sop_class: &str,
        item: &DataSet,
        at: &At,
    ) -> Result<(), RequestError> {
        if self.references.len() >= self.max {
            return Err(RequestError::TooMany { max: self.max });
        }
        let instance = InstanceUid::parse(uid(item, SOP_INSTANCE, at)?)
            .map_err(|_| RequestError::Uid { at: at.clone(), tag: SOP_INSTANCE })?;
        self.references.push(Reference { series, sop_class: sop_class.to_owned(), instance });
        Ok(())
    }
}

fn uid<'s>(set: &'s DataSet, tag: Tag, at: &At) -> Result<&'s str, RequestError> {
    let text = set.first_text(tag).filter(|text| super::uid::check(text).is_ok());
    text.ok_or_else(|| RequestError::Uid { at: at.clone(), tag })
}

fn items<'s>(
    set: &'s DataSet,
    tag: Tag,
    at: &At,
) -> Result<impl Iterator<Item = (At, &'s DataSet)> + use<'s>, RequestError> {
    let items = set.items(tag);
    if items.is_empty() {
        return Err(RequestError::Empty { at: at.clone(), tag });
    }
    let at = at.clone();
    Ok(items.iter().enumerate().map(move |(index, item)| (at.item(index), item)))
}

/// Writes a request, as [`read`] reads it.
#[must_use]
pub fn write(request: &Request) -> DataSet {
    let all: Vec<Outcome> = request.references.iter().map(|reference| (reference, None)).collect();
    let mut set = DataSet::new();
    put(&mut set, request.form, &all, false);
    set
}

/// The result: `failures` has for each reference why it is not committed, or
/// nothing if it is.
#[must_use]
pub fn result(request: &Request, failures: &[Option<u16>]) -> DataSet {
    let all = request.references.iter().zip(failures.iter().copied());
    let (committed, failed): (Vec<Outcome>, Vec<Outcome>) = all.partition(|(_, failure)| failure.is_none());
    let mut set = DataSet::new();
    put(&mut set, request.form, &committed, false);
    put(&mut set, request.form, &failed, true);
    set
}

type Outcome<'r> = (&'r Reference, Option<u16>);

fn put(set: &mut DataSet, form: Form, outcomes: &[Outcome], failed: bool) {
    if outcomes.is_empty() {
        return;
    }
    let (tag, items) = match form {
        Form::Instances => {
            let tag = if failed { FAILED_SOP_SEQUENCE } else { REFERENCED_SOP_SEQUENCE };
            (tag, outcomes.iter().map(|outcome| instance(outcome, true)).collect())
        }
        Form::Studies => {
            (if failed { FAILED_STUDY_SEQUENCE } else { REFERENCED_STUDY_SEQUENCE }, studies(outcomes))
        }
    };
    set.put(tag, Element::new(VR::SQ, Value::Items(items)));
}

fn instance((reference, failure): &Outcome, with_class: bool) -> DataSet {
    let mut item = DataSet::new();
    if with_class {
        item.put_text(SOP_CLASS, VR::UI, &reference.sop_class);
    }
    item.put_text(SOP_INSTANCE, VR::UI, reference.instance.as_str());
    if let Some(reason) = failure {
        item.put(FAILURE_REASON, Element::new(VR::US, Value::Unsigned(vec![u64::from(*reason)])));
    }
    item
}

/// The tree, in the order in which its parts are first met.
fn studies(outcomes: &[Outcome]) -> Vec<DataSet> {
    let series = |outcome: &Outcome| outcome.0.series.clone();
    group(outcomes, |outcome| series(outcome).map(|(study, _)| study))
        .into_iter()
        .map(|in_study| {
            let series = group(&in_study, series).into_iter().map(|in_series| {
                let classes = group(&in_series, |outcome| outcome.0.sop_class.clone());
                let classes = classes.into_iter().map(|of_class| {
                    let mut item = DataSet::new();
                    item.put_text(SOP_CLASS, VR::UI, &of_class[0].0.sop_class);
                    let instances = of_class.iter().map(|outcome| instance(outcome, false)).collect();
                    item.put(REFERENCED_INSTANCE_SEQUENCE, Element::new(VR::SQ, Value::Items(instances)));
                    item
                });
                let mut item = DataSet::new();
                if let Some((_, uid)) = &in_series[0].0.series {
                    item.put_text(SERIES, VR::UI, uid.as_str());
                }
                let classes = Value::Items(classes.collect());
                item.put(INSTANCES_BY_CLASS_SEQUENCE, Element::new(VR::SQ, classes));
                item
            });
            let mut item = DataSet::new();
            if let Some((uid, _)) = &in_study[0].0.series {
                item.put_text(STUDY, VR::UI, uid.as_str());
            }
            item.put(REFERENCED_SERIES_SEQUENCE, Element::new(VR::SQ, Value::Items(series.collect())));
            item
        })
        .collect()
}

/// Groups by a key; no group is empty.
fn group<'r, K: Ord>(outcomes: &[Outcome<'r>], key: impl Fn(&Outcome<'r>) -> K) -> Vec<Vec<Outcome<'r>>> {
    let mut places = std::collections::BTreeMap::new();
    let mut groups: Vec<Vec<Outcome<'r>>> = Vec::new();
    for outcome in outcomes {
        let place = *places.entry(key(outcome)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(*outcome),
            None => groups.push(vec![*outcome]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    fn reference(series: Option<(&str, &str)>, class: &str, instance: &str) -> Reference {
        Reference {
            series: series
                .map(|(study, series)| (StudyUid::parse(study).unwrap(), SeriesUid::parse(series).unwrap())),
            sop_class: class.to_owned(),
            instance: InstanceUid::parse(instance).unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let place = |series| Some(("1.2", series));
        for (form, references) in [
            (Form::Instances, vec![reference(None, CT, "1.9"), reference(None, "1.5", "1.8")]),
            (
                Form::Studies,
                vec![
                    reference(place("1.3"), CT, "1.9"),
                    reference(place("1.3"), "1.5", "1.8"),
                    reference(place("1.4"), CT, "1.7"),
                    reference(Some(("1.1", "1.3")), CT, "1.6"),
                ],
            ),
        ] {
            let request = Request { form, references };
            assert_eq!(read(&write(&request), 10), Ok(request.clone()));
            assert_eq!(read(&write(&request), 1), Err(RequestError::TooMany { max: 1 }));
        }
    }

    #[test]
    fn a_result_has_both_halves_in_the_form_of_the_request() {
        let references =
            ["1.7", "1.8", "1.9"].map(|instance| reference(Some(("1.2", "1.3")), CT, instance)).to_vec();
        let failures = [None, Some(0x0112), None];
        let set = result(&Request { form: Form::Studies, references: references.clone() }, &failures);
        let leaves = |tag| {
            let class =
                &set.items(tag)[0].items(REFERENCED_SERIES_SEQUENCE)[0].items(INSTANCES_BY_CLASS_SEQUENCE)[0];
            class.items(REFERENCED_INSTANCE_SEQUENCE).to_vec()
        };
        assert_eq!(leaves(REFERENCED_STUDY_SEQUENCE).len(), 2);
        assert_eq!(leaves(FAILED_STUDY_SEQUENCE)[0].first_int(FAILURE_REASON), Some(274));
        let set = result(&Request { form: Form::Instances, references }, &failures);
        assert_eq!(set.items(REFERENCED_SOP_SEQUENCE).len(), 2);
        let failed = &set.items(FAILED_SOP_SEQUENCE)[0];
        assert_eq!((failed.first_text(SOP_CLASS), failed.first_text(SOP_INSTANCE)), (Some(CT), Some("1.8")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut set = DataSet::new();
        assert_eq!(read(&set, 9), Err(RequestError::Nothing));
        let mut item = DataSet::new();
        item.put_text(SOP_CLASS, VR::UI, CT);
        let whole = instance(&(&reference(None, CT, "1.9"), None), true);
        set.put(REFERENCED_SOP_SEQUENCE, Element::new(VR::SQ, Value::Items(vec![whole, item])));
        let error = read(&set, 9).unwrap_err().to_string();
        assert_eq!(error, "item 2 has no (0008,1155) or one that is no UID");
        set.put(REFERENCED_SOP_SEQUENCE, Element::new(VR::SQ, Value::Empty));
        let error = read(&set, 9).unwrap_err().to_string();
        assert_eq!(error, "the request has no (0008,1199) or one without items");
    }
}
