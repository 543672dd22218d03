//! A search by somebody who sees a part of an archive finds what anybody finds
//! in an archive that holds that part alone: for random archives, filters and
//! searches, totals and pages included, from the overlay and from the index.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dicom_core::{Tag, VR};
use proptest::{prelude::*, sample::select, test_runner::Config as Runs};
use tempfile::TempDir;

use super::{tests::options, *};
use crate::{
    auth::{Identity, Method, Roles},
    config::{Config, Role},
    dicom::{
        part10::{Encoding, samples::Sample},
        query::{self, Query, Resource},
    },
};

const PATIENTS: [&str; 3] = ["A", "B", ""];
const INSTITUTIONS: [&str; 3] = ["North", "South", ""];
const MODALITIES: [&str; 3] = ["CT", "MR", ""];
const WORDS: [&str; 3] = ["liver", "brain", "heart"];

const FILTERS: [&str; 7] = [
    "PatientID=A",
    "InstitutionName=North",
    "Modality=CT",
    "PatientID=A,B&Modality=MR",
    "InstitutionName=S*",
    "StudyDate=20240103-",
    "PatientID=B&InstitutionName=North&Modality=CT",
];

const SEARCHES: [(Resource, &str); 21] = [
    (Resource::Studies, ""),
    (Resource::Studies, "limit=2&offset=1"),
    (Resource::Studies, "ModalitiesInStudy=CT"),
    (Resource::Studies, "ModalitiesInStudy=MR&limit=1"),
    (Resource::Studies, "emptyvaluematching=true&ModalitiesInStudy=\"\""),
    (Resource::Studies, "NumberOfStudyRelatedInstances=1"),
    (Resource::Studies, "NumberOfStudyRelatedSeries=1&includefield=all"),
    (Resource::Studies, "orderby=-NumberOfStudyRelatedInstances,StudyTime"),
    (Resource::Studies, "orderby=NumberOfStudyRelatedSeries"),
    (Resource::Studies, "StudyDescription=liver*"),
    (Resource::Studies, "q=liver"),
    (Resource::Studies, "q=brain&snippet=true"),
    (Resource::Series, ""),
    (Resource::Series, "Modality=CT&limit=2"),
    (Resource::Series, "NumberOfStudyRelatedSeries=1"),
    (Resource::Series, "q=heart"),
    (Resource::Series, "q=mr"),
    (Resource::Series, "q=ct%20study&limit=1"),
    (Resource::Instances, "limit=3&offset=1"),
    (Resource::Instances, "ModalitiesInStudy=MR"),
    (Resource::Instances, "InstanceNumber=1"),
];

#[derive(Debug, Clone)]
struct Series {
    institution: &'static str,
    modality: &'static str,
    word: &'static str,
    instances: usize,
}

#[derive(Debug, Clone)]
struct Study {
    patient: &'static str,
    series: Vec<Series>,
}

fn study() -> impl Strategy<Value = Study> {
    let series =
        (select(&INSTITUTIONS[..]), select(&MODALITIES[..]), select(&WORDS[..]), 1..3_usize).prop_map(
            |(institution, modality, word, instances)| Series { institution, modality, word, instances },
        );
    (select(&PATIENTS[..]), prop::collection::vec(series, 1..4))
        .prop_map(|(patient, series)| Study { patient, series })
}

impl Study {
    /// Each file with the series it is of.
    fn files(&self, number: usize) -> Vec<(usize, Bytes)> {
        let mut files = Vec::new();
        for (at, series) in self.series.iter().enumerate() {
            for instance in 0..series.instances {
                let mut sample = Sample::new(Encoding { explicit: true, big_endian: false });
                sample
                    .text(Tag(0x0008, 0x0016), VR::UI, "1.2.840.10008.5.1.4.1.1.2")
                    .text(Tag(0x0008, 0x0018), VR::UI, &format!("1.2.{number}.{at}.{instance}"))
                    .text(Tag(0x0008, 0x0020), VR::DA, &format!("2024010{number}"))
                    .text(Tag(0x0008, 0x0030), VR::TM, &format!("0{number}00"))
                    .text(Tag(0x0008, 0x0060), VR::CS, series.modality)
                    .text(Tag(0x0008, 0x0080), VR::LO, series.institution)
                    .text(Tag(0x0008, 0x1030), VR::LO, &format!("{} study", self.series[0].word))
                    .text(Tag(0x0008, 0x103E), VR::LO, series.word)
                    .text(Tag(0x0010, 0x0020), VR::LO, self.patient)
                    .text(Tag(0x0020, 0x000D), VR::UI, &format!("1.2.{number}"))
                    .text(Tag(0x0020, 0x000E), VR::UI, &format!("1.2.{number}.{at}"))
                    .text(Tag(0x0020, 0x0011), VR::IS, &at.to_string())
                    .text(Tag(0x0020, 0x0013), VR::IS, &instance.to_string());
                files.push((at, sample.file("1.2.840.10008.1.2.1").into()));
            }
        }
        files
    }

    /// Whether a filter admits a series, said without the code it tests.
    fn admits(&self, number: usize, series: usize, filter: &str) -> bool {
        let Series { institution, modality, .. } = &self.series[series];
        filter.split('&').all(|pair| match pair.split_once('=').expect("a pair") {
            ("PatientID", ids) => ids.split(',').any(|id| id == self.patient),
            ("InstitutionName", "S*") => institution.starts_with('S'),
            ("InstitutionName", name) => *institution == name,
            ("Modality", name) => *modality == name,
            ("StudyDate", "20240103-") => number >= 3,
            other => unreachable!("{other:?}"),
        })
    }
}

/// The permit of who has these filters, each as a role.
fn permit(filters: &[&str]) -> Permit {
    let mut roles = Config::default().roles;
    for filter in filters {
        let role = Role {
            allow: vec!["search".to_owned(), "view".to_owned()],
            r#where: (*filter).to_owned(),
            deidentified: false,
            tenants: Vec::new(),
        };
        roles.insert((*filter).to_owned(), role);
    }
    let identity = Identity {
        method: Method::Certificate,
        roles: filters.iter().map(|&filter| filter.to_owned()).collect(),
        ..Identity::anonymous()
    };
    Roles::new(&roles).expect("roles").permit(&identity).to(crate::auth::Action::Search)
}

fn open(folder: &TempDir) -> Arc<Archive> {
    Archive::open(folder.path(), &options()).expect("an archive")
}

async fn settle(archive: &Archive) {
    for _ in 0..500 {
        if archive.core.overlay.len() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the index does not follow");
}

/// What a search says, as JSON text, and its numbers.
async fn search(
    archive: &Archive,
    permit: &Permit,
    resource: Resource,
    text: &str,
) -> (Vec<String>, u64, u64) {
    let query = query::parse(resource, text, &query::Options::default()).expect("a query");
    let is_ranked = query.text.is_some();
    let (root, base_url) = (Root::default(), String::new());
    let request = SearchRequest { query, root, base_url, results_max: 100, asker: None };
    let found = archive.search(permit, request, |found| found).await;
    let found = found.expect("an answer");
    let mut said: Vec<String> = found
        .results
        .iter()
        .map(|set| {
            let mut json = Vec::new();
            json::write(set, &mut json);
            String::from_utf8_lossy(&json).into_owned()
        })
        .collect();
    if is_ranked {
        // How rare a word is, is known of the whole.
        said.sort();
    }
    (said, found.total, found.remaining)
}

async fn check(studies: Vec<Study>, filters: Vec<&'static str>, searches: Vec<(Resource, &'static str)>) {
    let (whole_folder, part_folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (whole, part) = (open(&whole_folder), open(&part_folder));
    let operator = Permit::operator();
    for (number, study) in studies.iter().enumerate() {
        for (series, file) in study.files(number) {
            whole.store_bytes(&operator, file.clone()).await.expect("an outcome");
            if filters.iter().any(|filter| study.admits(number, series, filter)) {
                part.store_bytes(&operator, file).await.expect("an outcome");
            }
        }
    }
    let permit = permit(&filters);
    for settled in [false, true] {
        if settled {
            settle(&whole).await;
            settle(&part).await;
        }
        for (resource, text) in &searches {
            let found = search(&whole, &permit, *resource, text).await;
            let expected = search(&part, &operator, *resource, text).await;
            assert_eq!(found, expected, "{resource:?}?{text} of {filters:?}, settled: {settled}");
        }
        let patients = |archive: Arc<Archive>, permit: Permit| async move {
            let found = archive
                .patients(&permit, Query::new(Resource::Studies), 100, |found| found)
                .await
                .expect("patients");
            (format!("{:?}", found.results), found.total)
        };
        assert_eq!(
            patients(Arc::clone(&whole), permit.clone()).await,
            patients(Arc::clone(&part), operator.clone()).await,
            "patients of {filters:?}"
        );
    }
}

/// What the index keeps of one caller's search is not another's: whoever sees a
/// part once got the number of the whole, and after them everybody the part.
#[tokio::test]
async fn what_is_kept_of_a_search_is_the_callers() {
    let folder = TempDir::new().expect("a folder");
    let archive = open(&folder);
    let operator = Permit::operator();
    let series = Series { institution: "North", modality: "CT", word: "liver", instances: 1 };
    for number in 0..9 {
        let patient = if number % 3 == 0 { "A" } else { "B" };
        let study = Study { patient, series: vec![series.clone()] };
        for (_, file) in study.files(number) {
            archive.store_bytes(&operator, file).await.expect("an outcome");
        }
    }
    settle(&archive).await;
    let part = permit(&["PatientID=A"]);
    for resource in [Resource::Studies, Resource::Series, Resource::Instances] {
        for (permit, expected) in [(&operator, 9), (&part, 3), (&operator, 9), (&part, 3)] {
            let (said, total, _) = search(&archive, permit, resource, "").await;
            assert_eq!((said.len(), total), (expected, expected as u64), "{resource:?}");
        }
    }
}

/// A study says the modalities of all its series: a word found those of series that
/// are not seen, and results that tie stood as many series as they have, seen or not.
#[tokio::test]
async fn what_a_study_says_of_series_that_are_not_seen() {
    let folder = TempDir::new().expect("a folder");
    let archive = open(&folder);
    let series = |modality| Series { institution: "North", modality, word: "liver", instances: 1 };
    for (number, hidden) in [(1, 0), (2, 2), (3, 1)] {
        let modalities = std::iter::once("CT").chain(std::iter::repeat_n("MR", hidden));
        let study = Study { patient: "A", series: modalities.map(series).collect() };
        for (_, file) in study.files(number) {
            archive.store_bytes(&Permit::operator(), file).await.expect("an outcome");
        }
    }
    let part = permit(&["Modality=CT"]);
    for round in ["overlay", "index"] {
        for resource in [Resource::Studies, Resource::Series, Resource::Instances] {
            let (said, total, _) = search(&archive, &part, resource, "q=mr").await;
            assert_eq!((said.len(), total), (0, 0), "{resource:?} {round}");
            let (said, total, _) = search(&archive, &part, resource, "q=ct").await;
            assert_eq!((said.len(), total), (3, 3), "{resource:?} {round}");
        }
        let query = "orderby=-NumberOfStudyRelatedSeries";
        let (said, ..) = search(&archive, &part, Resource::Studies, query).await;
        let place = |date| said.iter().position(|study| study.contains(date));
        let places = ["20240103", "20240102", "20240101"].map(place);
        assert_eq!(places, [Some(0), Some(1), Some(2)], "the newest first, {round}");
        settle(&archive).await;
    }
}

#[test]
fn a_part_is_an_archive_of_its_own() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let strategy = (
        prop::collection::vec(study(), 1..7),
        prop::collection::vec(select(&FILTERS[..]), 1..3),
        prop::collection::vec(select(&SEARCHES[..]), 14),
    );
    let cases = std::env::var("HILUM_SIGHT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5);
    proptest!(Runs { cases, ..Runs::default() }, |((studies, filters, searches) in strategy)| {
        runtime.block_on(check(studies, filters, searches));
    });
}
