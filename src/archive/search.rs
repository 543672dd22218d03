//! Search: which studies, series and instances match, in which order, and
//! what is said of them (PS3.18 section 10.6).
//!
//! Three ways lead to candidates: a study named by its UID is read from the
//! catalog; everything else is narrowed down by the index; what the index does
//! not hold yet stands in the overlay. The predicate
//! ([`query::matches`]) is one and the same for all three.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};

use super::{
    Archive, ArchiveError, Core,
    full_text::{Asked, Best},
    instances::each_instance,
    overlay::{Moment, StudyView},
};
use crate::{
    auth::Permit,
    dicom::{
        DataSet, InstanceUid, SeriesPath, SeriesUid, StudyUid, Tag, VR, json,
        query::{self, Level, Projection, Query, Test},
    },
    storage::{
        catalog::{SeriesRow, Snapshot},
        index::{Hit, SortKey, order_of},
    },
};

const STUDY_UID: Tag = Tag(0x0020, 0x000D);
const SERIES_UID: Tag = Tag(0x0020, 0x000E);
const SOP_UID: Tag = Tag(0x0008, 0x0018);
const INSTANCE_NUMBER: Tag = Tag(0x0020, 0x0013);
const RETRIEVE_URL: Tag = Tag(0x0008, 0x1190);

/// Studies read directly rather than through the index, when named by UID.
const NAMED_STUDIES_MAX: usize = 1000;

/// Where the search is rooted: in a study, a series, or nowhere.
#[derive(Debug, Clone, Default)]
pub struct Root {
    pub study: Option<StudyUid>,
    pub series: Option<SeriesUid>,
}

/// The page of results that was asked for.
#[derive(Debug)]
pub struct Found {
    /// What is said of each result, in order.
    pub results: Vec<DataSet>,
    /// Matches in all.
    pub total: u64,
}

/// One match: the attributes of its levels.
pub(super) struct Match {
    pub(super) study: Arc<DataSet>,
    series: Option<Arc<DataSet>>,
    instance: Option<DataSet>,
}

impl Archive {
    /// Finds what matches `query` under `root`. `base_url` is the absolute URL
    /// that Retrieve URLs begin with; at most `results_max` results come back.
    ///
    /// # Errors
    /// When a storage fails or the archive is busy.
    pub async fn search(
        &self,
        _permit: &Permit,
        query: Query,
        root: Root,
        base_url: String,
        results_max: usize,
    ) -> Result<Found, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool
            .run(move || {
                let asked = Asked::of(&core, &query)?;
                let search = Search { core: &core, query: &query, asked, root: &root, base_url: &base_url };
                search.run(results_max)
            })
            .await
    }
}

/// What orders the instances of a series.
type InstanceOrder = (i64, InstanceUid);

pub(super) struct Search<'a> {
    pub(super) core: &'a Core,
    pub(super) query: &'a Query,
    /// The words it asks for.
    pub(super) asked: Option<Asked<'a>>,
    pub(super) root: &'a Root,
    pub(super) base_url: &'a str,
}

/// A study or series that may match.
struct Candidate {
    order: SortKey,
    /// Results it makes if it matches, and its instances with it.
    results: usize,
    source: Source,
}

enum Source {
    /// In the catalog, by ids.
    Row { study: u64, series: Option<u64> },
    /// In the overlay; the position of the series in it.
    View { study: Arc<Option<StudyView>>, series: Option<usize> },
}

/// Takes matches in order and keeps those of the page.
pub(super) struct Page<'p> {
    offset: usize,
    limit: usize,
    seen: usize,
    kept: Vec<Match>,
    /// Gets every match, in place of the page.
    sink: Option<&'p mut dyn FnMut(&Match)>,
}

impl<'p> Page<'p> {
    fn new(offset: usize, limit: usize) -> Self {
        Self { offset, limit, seen: 0, kept: Vec::new(), sink: None }
    }

    /// Takes all there are, keeps none.
    pub(super) fn into(sink: &'p mut dyn FnMut(&Match)) -> Self {
        Self { sink: Some(sink), ..Self::new(0, usize::MAX) }
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= self.limit
    }

    /// Whether any of the next `count` matches is on the page.
    fn touches(&self, count: usize) -> bool {
        !self.is_full() && self.seen + count > self.offset
    }

    fn take(&mut self, found: Match) {
        if let Some(sink) = &mut self.sink {
            sink(&found);
        } else if self.seen >= self.offset && !self.is_full() {
            self.kept.push(found);
        }
        self.seen += 1;
    }
}

impl Search<'_> {
    fn run(&self, results_max: usize) -> Result<Found, ArchiveError> {
        let limit = self.query.limit.unwrap_or(usize::MAX).min(results_max);
        let mut page = Page::new(self.query.offset, limit);
        let total = self.find(&mut page)?;
        let projection = Projection::new(self.query);
        let results: Result<_, _> =
            page.kept.into_iter().map(|found| self.describe(&projection, found)).collect();
        Ok(Found { results: results?, total })
    }

    /// Gives the page what matches; the number of matches.
    pub(super) fn find(&self, page: &mut Page<'_>) -> Result<u64, ArchiveError> {
        match self.named_studies()? {
            Some(studies) => self.in_named(&studies, page),
            None => self.through_index(page),
        }
    }

    /// The studies that the request names by UID, itself or through its
    /// instances; none when it does not.
    fn named_studies(&self) -> Result<Option<Vec<StudyUid>>, ArchiveError> {
        if let Some(study) = &self.root.study {
            return Ok(Some(vec![study.clone()]));
        }
        if let Some(uids) = self.uids_of(STUDY_UID) {
            // A UID named twice is still one study.
            let studies: BTreeSet<StudyUid> =
                uids.iter().filter_map(|uid| StudyUid::parse(uid).ok()).collect();
            return Ok(Some(studies.into_iter().collect()));
        }
        let Some(uids) = self.uids_of(SOP_UID).filter(|_| self.query.target == Level::Instance) else {
            return Ok(None);
        };
        let snapshot = self.core.catalog.read()?;
        let mut studies = Vec::new();
        for uid in uids.iter().filter_map(|uid| InstanceUid::parse(uid).ok()) {
            if let Some(path) = snapshot.locate(&uid)?
                && !studies.contains(&path.study)
            {
                studies.push(path.study);
            }
        }
        Ok(Some(studies))
    }

    fn uids_of(&self, tag: Tag) -> Option<&[String]> {
        self.query.keys.iter().find(|key| key.tag == tag).and_then(|key| match &key.test {
            Test::Uids(uids) if uids.len() <= NAMED_STUDIES_MAX => Some(uids.as_slice()),
            Test::Any
            | Test::Empty
            | Test::Uids(_)
            | Test::OneOf(_)
            | Test::AllOf(_)
            | Test::Wildcard(_)
            | Test::Name(_)
            | Test::Number(_)
            | Test::Range(_)
            | Test::DateTime { .. }
            | Test::Item(_) => None,
        })
    }

    /// Searches in named studies, read from the catalog.
    fn in_named(&self, studies: &[StudyUid], page: &mut Page<'_>) -> Result<u64, ArchiveError> {
        let snapshot = self.core.catalog.read()?;
        let mut candidates = Vec::new();
        let mut views = BTreeMap::new();
        for uid in studies {
            let Some(row) = snapshot.study(uid)? else { continue };
            let study_id = row.id;
            let study = Arc::new(row.computed());
            if self.query.target == Level::Study {
                let series = match self.asked {
                    Some(_) => snapshot.series_of(uid)?.into_iter().map(SeriesRow::computed).collect(),
                    None => Vec::new(),
                };
                let Some(rank) = self.rank(&snapshot, &study, &series.iter().collect::<Vec<_>>())? else {
                    continue;
                };
                let order = order_of(self.query, &study, None, study_id, None).ranked(self.query, rank);
                candidates.push((order, study_id, None));
            } else {
                for series in snapshot.series_of(uid)? {
                    if self.root.series.as_ref().is_some_and(|wanted| *wanted != series.path.series) {
                        continue;
                    }
                    let (path, series_id) = (series.path.clone(), series.id);
                    let set = Arc::new(series.computed());
                    let Some(rank) = self.rank(&snapshot, &study, &[&set])? else { continue };
                    let order = order_of(self.query, &study, Some(&set), study_id, Some(series_id));
                    candidates.push((order.ranked(self.query, rank), study_id, Some((path, set))));
                }
            }
            views.insert(study_id, study);
        }
        candidates.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, study, series) in candidates {
            let Some(study) = views.get(&study) else { continue };
            match series {
                None => self.try_one(study, None, page),
                Some((_, set)) if self.query.target == Level::Series => self.try_one(study, Some(&set), page),
                Some((path, set)) => self.try_instances(&snapshot, study, &path, &set, page)?,
            }
        }
        Ok(page.seen as u64)
    }

    /// The rank of a study with its series, or of a series of it, matched
    /// directly; none if not all words are found in it or in its instances.
    fn rank(
        &self,
        snapshot: &Snapshot,
        study: &DataSet,
        series: &[&DataSet],
    ) -> Result<Option<f32>, ArchiveError> {
        let Some(asked) = &self.asked else { return Ok(Some(0.0)) };
        let mut hearing = asked.text.listen();
        Asked::hear_row(&mut hearing, study);
        for set in series {
            Asked::hear_row(&mut hearing, set);
        }
        for path in series.iter().filter_map(|set| series_path(study, set)) {
            Asked::hear_series(snapshot, &path, &mut hearing)?;
        }
        Ok(asked.score(&hearing))
    }

    /// Takes a study or series if it matches. Its words were looked for before.
    fn try_one(&self, study: &Arc<DataSet>, series: Option<&Arc<DataSet>>, page: &mut Page<'_>) {
        if query::matches(self.query, study, series.map(Arc::as_ref), None) {
            page.take(Match { study: Arc::clone(study), series: series.cloned(), instance: None });
        }
    }

    /// Takes the matching instances of one series.
    fn try_instances(
        &self,
        snapshot: &Snapshot,
        study: &Arc<DataSet>,
        path: &SeriesPath,
        series: &Arc<DataSet>,
        page: &mut Page<'_>,
    ) -> Result<(), ArchiveError> {
        let upper = self.query.keys.iter().filter(|key| key.level != Level::Instance);
        for key in upper {
            let set = if key.level == Level::Study { study } else { series };
            if !query::matches_key(key, set) {
                return Ok(());
            }
        }
        let mut instances = self.instances_of(snapshot, path)?;
        instances.sort_by(|(a, _), (b, _)| a.cmp(b));
        let heard_above = self.asked.as_ref().map(|asked| {
            let mut hearing = asked.text.listen();
            Asked::hear_row(&mut hearing, study);
            Asked::hear_row(&mut hearing, series);
            hearing
        });
        for (_, instance) in instances {
            let has_words = heard_above.clone().is_none_or(|mut hearing| {
                Asked::hear_instance(&mut hearing, &instance);
                hearing.is_complete()
            });
            if has_words && query::matches(self.query, study, Some(series), Some(&instance)) {
                page.take(Match {
                    study: Arc::clone(study),
                    series: Some(Arc::clone(series)),
                    instance: Some(instance),
                });
            }
        }
        Ok(())
    }

    /// The attributes of the instances of a series, with what orders them.
    fn instances_of(
        &self,
        snapshot: &Snapshot,
        path: &SeriesPath,
    ) -> Result<Vec<(InstanceOrder, DataSet)>, ArchiveError> {
        let mut found = Vec::new();
        each_instance(snapshot, path, self.query.wants_whole_instances(), &mut |row, set| {
            let number = set.first_int(INSTANCE_NUMBER).unwrap_or(i64::MAX);
            found.push(((number, row.path.instance), set));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Searches everything, by index and overlay.
    fn through_index(&self, page: &mut Page<'_>) -> Result<u64, ArchiveError> {
        let Moment { studies: marked, snapshot, index } =
            self.core.overlay.moment(&self.core.catalog, &self.core.index)?;
        // Of series as many as of instances at most: each has one at least.
        let need = page.offset.saturating_add(page.limit);
        let skip = |study: u64| marked.contains_key(&study);
        let hits = index.search(self.query, need, &skip)?;
        let mut candidates: Vec<Candidate> =
            hits.rows.into_iter().map(|hit| self.candidate_of(hit)).collect();
        let mut overlaid = 0;
        for (id, view) in &marked {
            overlaid += self.overlaid(&snapshot, *id, view, &mut candidates)?;
        }
        candidates.sort_by(|a, b| a.order.cmp(&b.order));
        for candidate in &candidates {
            if hits.exact && page.is_full() {
                break;
            }
            if hits.exact && !page.touches(candidate.results) {
                page.seen += candidate.results;
                continue;
            }
            self.try_candidate(&snapshot, candidate, page)?;
        }
        let indexed = if self.query.target == Level::Instance { hits.instances } else { hits.total };
        Ok(if hits.exact { indexed + overlaid } else { page.seen as u64 })
    }

    fn candidate_of(&self, hit: Hit) -> Candidate {
        Candidate {
            order: hit.order,
            results: self.results_of(hit.instances),
            source: Source::Row { study: hit.study_id, series: hit.series_id },
        }
    }

    /// Adds what matches of an overlaid study; the number of results if no key
    /// is left to be tried on instances.
    fn overlaid(
        &self,
        snapshot: &Snapshot,
        id: u64,
        view: &Arc<Option<StudyView>>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<u64, ArchiveError> {
        let Some(study) = view.as_ref() else { return Ok(0) };
        let before = candidates.len();
        if self.query.target == Level::Study {
            let series: Vec<&DataSet> = study.series.iter().map(|series| &series.set).collect();
            if query::matches(self.query, &study.set, None, None)
                && let Some(rank) = self.rank(snapshot, &study.set, &series)?
            {
                let order = order_of(self.query, &study.set, None, id, None).ranked(self.query, rank);
                let source = Source::View { study: Arc::clone(view), series: None };
                candidates.push(Candidate { order, results: 1, source });
            }
        } else {
            for (position, series) in study.series.iter().enumerate() {
                if query::matches(self.query, &study.set, Some(&series.set), None)
                    && let Some(rank) = self.rank(snapshot, &study.set, &[&series.set])?
                {
                    let order = order_of(self.query, &study.set, Some(&series.set), id, Some(series.id));
                    let order = order.ranked(self.query, rank);
                    let source = Source::View { study: Arc::clone(view), series: Some(position) };
                    let results = self.results_of(series.instances);
                    candidates.push(Candidate { order, results, source });
                }
            }
        }
        Ok(candidates.iter().skip(before).map(|candidate| candidate.results as u64).sum())
    }

    /// Results that a series makes if it matches, and its instances with it.
    fn results_of(&self, instances: u64) -> usize {
        match self.query.target {
            Level::Study | Level::Series => 1,
            Level::Instance => usize::try_from(instances).unwrap_or(usize::MAX),
        }
    }

    fn try_candidate(
        &self,
        snapshot: &Snapshot,
        candidate: &Candidate,
        page: &mut Page<'_>,
    ) -> Result<(), ArchiveError> {
        let (study, series) = match &candidate.source {
            Source::Row { study, series } => {
                // A row that is gone was deleted after the index was asked.
                let Some(row) = snapshot.study_by_id(*study)? else { return Ok(()) };
                let series = match series {
                    Some(id) => {
                        let Some(series) = snapshot.series_by_id(*id)? else { return Ok(()) };
                        Some(series.computed())
                    }
                    None => None,
                };
                (Arc::new(row.computed()), series)
            }
            Source::View { study, series } => {
                let Some(view) = study.as_ref() else { return Ok(()) };
                let series =
                    series.and_then(|position| view.series.get(position)).map(|view| view.set.clone());
                (Arc::new(view.set.clone()), series)
            }
        };
        let series = series.map(Arc::new);
        match (&series, self.query.target) {
            (Some(set), Level::Instance) => {
                let Some(path) = series_path(&study, set) else { return Ok(()) };
                self.try_instances(snapshot, &study, &path, set, page)
            }
            (series, _) => {
                self.try_one(&study, series.as_ref(), page);
                Ok(())
            }
        }
    }

    /// What is said of a match.
    fn describe(&self, projection: &Projection, found: Match) -> Result<DataSet, ArchiveError> {
        let Match { study, series, instance } = found;
        let mut said = projection.apply(&study, series.as_deref(), instance.as_ref());
        let mut url = self.base_url.to_owned();
        let levels = [
            ("/studies/", study.first_text(STUDY_UID)),
            ("/series/", series.as_ref().and_then(|set| set.first_text(SERIES_UID))),
            ("/instances/", instance.as_ref().and_then(|set| set.first_text(SOP_UID))),
        ];
        for (name, uid) in levels {
            if let Some(uid) = uid {
                url.push_str(name);
                url.push_str(uid);
            }
        }
        if instance.is_some() {
            json::link(&mut said, &url);
        }
        said.put_text(RETRIEVE_URL, VR::UR, &url);
        if let Some(text) = self.query.text.as_ref().filter(|text| text.snippet) {
            let mut best = Best::new(text);
            best.look_into(&study, Level::Study);
            if let Some(series) = &series {
                best.look_into(series, Level::Series);
            }
            match (&instance, &series) {
                (Some(instance), _) => best.look_into(instance, Level::Instance),
                (None, series) => self.look_below(&study, series.as_deref(), &mut best)?,
            }
            best.tell(&mut said);
        }
        Ok(said)
    }

    /// Looks for a snippet in the series of a study or in one series, and in
    /// their instances.
    fn look_below(
        &self,
        study: &DataSet,
        series: Option<&DataSet>,
        best: &mut Best<'_>,
    ) -> Result<(), ArchiveError> {
        let snapshot = self.core.catalog.read()?;
        if let Some(path) = series.and_then(|series| series_path(study, series)) {
            return best.look_into_series(&snapshot, &path);
        }
        let Some(uid) = study.first_text(STUDY_UID).and_then(|uid| StudyUid::parse(uid).ok()) else {
            return Ok(());
        };
        let all = snapshot.series_of(&uid)?;
        for series in &all {
            best.look_into(&series.attributes, Level::Series);
        }
        for series in &all {
            best.look_into_series(&snapshot, &series.path)?;
        }
        Ok(())
    }
}

fn series_path(study: &DataSet, series: &DataSet) -> Option<SeriesPath> {
    Some(SeriesPath {
        study: StudyUid::parse(study.first_text(STUDY_UID)?).ok()?,
        series: SeriesUid::parse(series.first_text(SERIES_UID)?).ok()?,
    })
}
