//! Patients as what a search finds: the studies that match, by whom they are of.
//!
//! PS3.18 has no such resource; its results are those of a search of the
//! Patient Root (PS3.4 section C.6.1.1.2). A patient is a Patient ID with its
//! issuer; without an ID, a name with a date of birth.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Archive, ArchiveError, Core, Found, Root,
    full_text::Asked,
    page::{Match, Page},
    search::Search,
    sight::Deadline,
};
use crate::{
    auth::Permit,
    dicom::{
        DataSet, Element, Tag, VR, Value, attributes,
        query::{Key, Level, Projection, Query, Resource, Test},
    },
};

const PATIENT_NAME: Tag = attributes::PATIENT_NAME;
const PATIENT_ID: Tag = attributes::PATIENT_ID;
const ISSUER: Tag = Tag(0x0010, 0x0021);
const BIRTH_DATE: Tag = Tag(0x0010, 0x0030);
const SEX: Tag = Tag(0x0010, 0x0040);
const STUDY_UID: Tag = attributes::STUDY_INSTANCE_UID;
const STUDY_SERIES: Tag = Tag(0x0020, 0x1206);
const STUDY_INSTANCES: Tag = Tag(0x0020, 0x1208);

/// What is said of a patient even when it is not known.
const REQUIRED: [Tag; 4] = [PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX];

/// Patients of one search: all of them are known by name while it goes on.
const PATIENTS_MAX: usize = 500_000;

/// Who a study is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    id: String,
    issuer: String,
    /// Name and date of birth, where there is no ID.
    otherwise: Option<(String, String)>,
}

impl Identity {
    fn of(study: &DataSet) -> Self {
        let text = |tag| study.first_text(tag).unwrap_or_default().to_owned();
        let id = text(PATIENT_ID);
        let otherwise = id.is_empty().then(|| {
            let name = study.get(PATIENT_NAME).map(|element| &element.value);
            let name = match name {
                Some(Value::Names(names)) => names.first().map(|name| name.alphabetic.clone()),
                _ => None,
            };
            (name.unwrap_or_default(), text(BIRTH_DATE))
        });
        Self { id, issuer: text(ISSUER), otherwise }
    }
}

/// What there is of a patient.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    studies: i64,
    series: i64,
    instances: i64,
}

impl Numbers {
    fn add(&mut self, study: &DataSet) {
        self.studies += 1;
        self.series += study.first_int(STUDY_SERIES).unwrap_or_default();
        self.instances += study.first_int(STUDY_INSTANCES).unwrap_or_default();
    }
}

impl Archive {
    /// Finds the patients of whom a study matches, in the order of the first
    /// such study of each.
    ///
    /// # Errors
    /// When a storage fails or the archive is busy.
    pub async fn patients<T: Send + 'static>(
        &self,
        permit: &Permit,
        mut query: Query,
        results_max: usize,
        shape: impl FnOnce(Found) -> T + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let core = Arc::clone(&self.core);
        query.filter = permit.required()?.filter().cloned();
        self.pool.run(move || find(&core, &query, results_max).map(shape)).await
    }
}

fn find(core: &Core, query: &Query, results_max: usize) -> Result<Found, ArchiveError> {
    let limit = query.limit.unwrap_or(usize::MAX).min(results_max);
    let (from, to) = (query.offset, query.offset.saturating_add(limit));
    let mut places: HashMap<Identity, usize> = HashMap::new();
    let mut page: Vec<(Identity, Arc<DataSet>)> = Vec::new();
    let until = Deadline::after(core.search_time_max);
    each_study(core, query, until, &mut |study| {
        let identity = Identity::of(study);
        let next = places.len();
        if next > PATIENTS_MAX {
            return;
        }
        let place = *places.entry(identity.clone()).or_insert(next);
        if place == next && (from..to).contains(&place) {
            page.push((identity, Arc::clone(study)));
        }
    })?;
    if places.len() > PATIENTS_MAX {
        let why = format!("more than {PATIENTS_MAX} patients match");
        return Err(ArchiveError::TooBroad(why));
    }
    let numbers = numbers_of(core, query, until, page.iter().map(|(identity, _)| identity))?;
    let projection = Projection::new(query);
    let total = places.len() as u64;
    let remaining = if from < places.len() { total - from as u64 - page.len() as u64 } else { 0 };
    let results = page
        .into_iter()
        .map(|(identity, study)| {
            describe(&projection.apply(&study, None, None), numbers.get(&identity).copied())
        })
        .collect();
    Ok(Found { results, total, remaining })
}

fn each_study(
    core: &Core,
    query: &Query,
    until: Option<Deadline>,
    take: &mut dyn FnMut(&Arc<DataSet>),
) -> Result<(), ArchiveError> {
    let mut sink = |found: &Match| take(&found.study);
    let asked = Asked::of(core, query)?;
    let search = Search { core, query, asked, root: &Root::default(), base_url: "", until };
    search.find_all(&mut Page::into(&mut sink))
}

/// What the caller sees of these patients in all, whatever was searched for.
fn numbers_of<'a>(
    core: &Core,
    asked: &Query,
    until: Option<Deadline>,
    wanted: impl Iterator<Item = &'a Identity>,
) -> Result<HashMap<Identity, Numbers>, ArchiveError> {
    let mut numbers: HashMap<Identity, Numbers> = HashMap::new();
    let mut ids: HashSet<String> = HashSet::new();
    for identity in wanted {
        numbers.insert(identity.clone(), Numbers::default());
        ids.insert(identity.id.clone());
    }
    let mut tests = Vec::new();
    if ids.remove("") {
        tests.push(Test::Empty);
    }
    if !ids.is_empty() {
        tests.push(Test::OneOf(ids.into_iter().collect()));
    }
    for test in tests {
        let mut query = Query::new(Resource::Studies);
        query.filter.clone_from(&asked.filter);
        query.keys.push(Key::new(PATIENT_ID, VR::LO, Level::Study, test));
        each_study(core, &query, until, &mut |study| {
            if let Some(numbers) = numbers.get_mut(&Identity::of(study)) {
                numbers.add(study);
            }
        })?;
    }
    Ok(numbers)
}

/// Of what would be said of a study, what is of its patient; and the numbers.
fn describe(study: &DataSet, numbers: Option<Numbers>) -> DataSet {
    let of_patient = |tag: Tag| tag.group() == 0x0010 || tag == attributes::SPECIFIC_CHARACTER_SET;
    let mut said: DataSet = study
        .iter()
        .filter(|(tag, _)| *tag != STUDY_UID && of_patient(*tag))
        .map(|(tag, element)| (tag, element.clone()))
        .collect();
    for tag in REQUIRED {
        if said.get(tag).is_none() {
            said.put(tag, Element::new(attributes::vr(tag), Value::Empty));
        }
    }
    let Numbers { studies, series, instances } = numbers.unwrap_or_default();
    let related = [(0x1200, studies), (0x1202, series), (0x1204, instances)];
    for (element, number) in related {
        said.put_text(Tag(0x0020, element), VR::IS, &number.to_string());
    }
    said
}
