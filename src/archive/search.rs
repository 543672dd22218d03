//! Search: which studies, series and instances match, and in which order (PS3.18
//! section 10.6).
//!
//! Three ways lead to candidates: a study named by its UID is read from the
//! catalog; everything else is narrowed down by the index; what the index does
//! not hold yet stands in the overlay. The predicate
//! ([`query::matches`]) is one and the same for all three.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Archive, ArchiveError, Core,
    candidates::{Candidate, Candidates, Source, results_of},
    full_text::Asked,
    in_series::Within,
    instances::{summary_of, whole_instance},
    overlay::{Moment, StudyView},
    page::{Match, Page, Place, Places, Position},
    paging::{Asker, Held},
    sight::{Deadline, Sight},
};
use crate::{
    auth::Permit,
    dicom::{
        DataSet, InstancePath, InstanceUid, SeriesPath, SeriesUid, StudyUid, Tag, attributes,
        query::{self, Level, Projection, Query, Test},
    },
    storage::{
        catalog::{SeriesRow, Snapshot},
        index::{SortKey, key_of_rows, needs_rows, order_of},
    },
};

pub(super) const STUDY_UID: Tag = Tag(0x0020, 0x000D);
pub(super) const SERIES_UID: Tag = Tag(0x0020, 0x000E);
pub(super) const SOP_UID: Tag = Tag(0x0008, 0x0018);
pub(super) const RETRIEVE_URL: Tag = Tag(0x0008, 0x1190);

/// Candidates more than a page needs, in case some were deleted since.
const DELETED_ROOM: usize = 64;
/// Studies read directly rather than through the index, when named by UID.
const NAMED_STUDIES_MAX: usize = 1000;

/// Where the search is rooted: in a study, a series, or nowhere.
#[derive(Debug, Clone, Default)]
pub struct Root {
    pub study: Option<StudyUid>,
    pub series: Option<SeriesUid>,
}

/// What is searched for, and how much of it.
#[derive(Debug)]
pub struct SearchRequest {
    pub query: Query,
    pub root: Root,
    /// The absolute URL that Retrieve URLs begin with.
    pub base_url: String,
    /// Results at most, whatever the query says.
    pub results_max: usize,
    /// Whose pages of one search belong together.
    pub asker: Option<Asker>,
}

/// The page of results that was asked for.
#[derive(Debug)]
pub struct Found {
    /// What is said of each result, in order.
    pub results: Vec<DataSet>,
    /// Matches in all.
    pub total: u64,
    /// Matches behind this page.
    pub remaining: u64,
}

impl Archive {
    /// Finds what matches. `shape` makes of it what is wanted where the search
    /// runs: to write down thousands of results takes long.
    ///
    /// # Errors
    /// When a storage fails or the archive is busy.
    pub async fn search<T: Send + 'static>(
        &self,
        permit: &Permit,
        mut request: SearchRequest,
        shape: impl FnOnce(Found) -> T + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let core = Arc::clone(&self.core);
        request.query.filter = permit.required()?.filter().cloned();
        self.pool
            .run(move || {
                let SearchRequest { query, root, base_url, results_max, asker } = &request;
                let asked = Asked::of(&core, query)?;
                let until = Deadline::after(core.search_time_max);
                let search = Search { core: &core, query, asked, root, base_url, until };
                search.run(*results_max, asker.as_ref()).map(shape)
            })
            .await
    }
}

pub(super) struct Search<'a> {
    pub(super) core: &'a Core,
    pub(super) query: &'a Query,
    /// The words it asks for.
    pub(super) asked: Option<Asked<'a>>,
    pub(super) root: &'a Root,
    pub(super) base_url: &'a str,
    /// When it is given up.
    pub(super) until: Option<Deadline>,
}

impl Search<'_> {
    fn run(&self, results_max: usize, asker: Option<&Asker>) -> Result<Found, ArchiveError> {
        let limit = self.query.limit.unwrap_or(usize::MAX).min(results_max);
        let offset = self.query.offset;
        let resumed = asker.and_then(|asker| self.core.paging.resume(asker, offset));
        let start = match &resumed {
            Some(resumed) => resumed.start.clone(),
            None => Position { seen: offset, cut: None },
        };
        let listed = asker.is_some() && resumed.is_none() && limit > 0;
        let mut page = Page::new(start, limit, listed);
        let (total, held) = match &resumed {
            Some(resumed) => (self.go_on(&resumed.held, &mut page)?, None),
            None if self.needs_rows() => self.find_in_order(&mut page)?,
            None => self.find(&mut page)?,
        };
        let remaining = match &page.end {
            Some(end) => total.saturating_sub(end.seen as u64),
            // Nothing was asked for.
            None if limit == 0 => total.saturating_sub(offset as u64),
            None => 0,
        };
        // Some clients find the end by asking for what is behind it.
        let at_end = Position { seen: usize::try_from(total).unwrap_or(usize::MAX), cut: None };
        let next = offset.saturating_add(page.kept.len());
        let is_paging = remaining > 0 || self.query.limit.is_some();
        if let (Some(asker), true) = (asker, is_paging && next > offset) {
            let end = page.end.take().unwrap_or(at_end);
            match (resumed, held) {
                (Some(resumed), _) => self.core.paging.advance(&resumed, next, end),
                (None, Some(held)) => self.core.paging.begin(asker, held, next, end),
                (None, None) => {}
            }
        }
        let projection = Projection::new(self.query);
        let results: Result<_, _> =
            page.kept.into_iter().map(|found| self.describe(&projection, found)).collect();
        Ok(Found { results: results?, total, remaining })
    }

    /// The catalog now, as the caller sees it.
    pub(super) fn sight(&self) -> Result<Sight<'_>, ArchiveError> {
        Ok(self.through(self.core.catalog.read()?))
    }

    fn through(&self, snapshot: Snapshot) -> Sight<'_> {
        Sight::through(self.core, snapshot, self.query.filter.clone()).until(self.until)
    }

    /// Whether studies are seen in part, so that the index, which knows them
    /// whole, tells more of them than the caller may know.
    fn is_partial(&self) -> bool {
        self.query.filter.as_ref().is_some_and(|filter| filter.parts_studies())
    }

    /// Whether the results are to be read to be put in order.
    fn needs_rows(&self) -> bool {
        let computed = || self.query.order.iter().any(|order| attributes::is_computed(order.tag));
        needs_rows(self.query) || self.is_partial() && computed()
    }

    /// Gives the page all that matches, in the order that is asked for.
    pub(super) fn find_all(&self, page: &mut Page<'_>) -> Result<(), ArchiveError> {
        if self.needs_rows() { self.find_in_order(page).map(drop) } else { self.find(page).map(drop) }
    }

    /// As [`Self::find`], in an order that the index does not hold: everything
    /// that matches is read. What ties stays in the default order.
    fn find_in_order(&self, page: &mut Page<'_>) -> Result<(u64, Option<Held>), ArchiveError> {
        let mut keyed: Vec<(SortKey, usize, Place)> = Vec::new();
        // Series come in the default order, the instances of each in any.
        let mut ordinal = 0;
        let mut sink = |found: &Match| {
            let (series, instance) = (found.series.as_deref(), found.instance.as_ref());
            let place = found.place.clone();
            if keyed.last().is_some_and(|(_, _, last)| !last.is_beside(&place)) {
                ordinal += 1;
            }
            keyed.push((key_of_rows(self.query, &found.study, series, instance), ordinal, place));
        };
        let mut all = Page::into(&mut sink);
        all.matches_max = self.core.sorted_max;
        if self.is_partial() {
            // What ties would stand as the index counts it, which knows studies whole.
            let is_seen = |tag, level| level == Level::Instance || !attributes::is_computed(tag);
            let mut query = self.query.clone();
            query.order.retain(|order| is_seen(order.tag, order.level));
            let asked = Asked::of(self.core, &query)?;
            Search { query: &query, asked, ..*self }.find(&mut all)?;
        } else {
            self.find(&mut all)?;
        }
        keyed.sort_by(|(a, first, of_a), (b, second, of_b)| {
            a.cmp(b).then_with(|| first.cmp(second)).then_with(|| of_a.instance.cmp(&of_b.instance))
        });
        let held = Held::List(keyed.into_iter().map(|(_, _, place)| place).collect::<Places>());
        let total = self.go_on(&held, page)?;
        Ok((total, Some(held)))
    }

    /// Gives the page what matches; the number of matches, and what the next
    /// pages can be cut from.
    pub(super) fn find(&self, page: &mut Page<'_>) -> Result<(u64, Option<Held>), ArchiveError> {
        let (total, held) = match self.named_studies()? {
            Some(studies) => (self.in_named(&studies, page)?, None),
            None => self.through_index(page)?,
        };
        Ok((total, held.or_else(|| page.places().map(Held::List))))
    }

    /// Gives the page what follows in a search that was begun before.
    fn go_on(&self, held: &Held, page: &mut Page<'_>) -> Result<u64, ArchiveError> {
        let snapshot = self.sight()?;
        match held {
            Held::List(places) => {
                page.seen = page.start.seen.min(places.len());
                for place in places.after(page.seen) {
                    if page.is_full() {
                        break;
                    }
                    match self.at(&snapshot, &place)? {
                        Some(found) => page.take(found),
                        None => page.seen += 1,
                    }
                }
                Ok(places.len() as u64)
            }
            Held::View { overlaid, skipped, index, seq } => {
                let mut more = DELETED_ROOM;
                loop {
                    let need = page.start.seen.saturating_add(page.limit).saturating_add(more);
                    let state =
                        Candidates::of(self.query, overlaid.clone(), skipped, index, page.start.seen..need)?;
                    self.walk(&snapshot, &state, Some(*seq), page)?;
                    if page.is_full() || state.is_all {
                        return Ok(state.total);
                    }
                    // So much was deleted that the page is not full yet.
                    more = more.saturating_mul(8);
                    *page = Page::new(page.start.clone(), page.limit, false);
                }
            }
        }
    }

    /// What is there of a match that was found before.
    fn at(&self, snapshot: &Sight<'_>, place: &Place) -> Result<Option<Match>, ArchiveError> {
        let Some(study) = snapshot.study_by_id(place.study)? else { return Ok(None) };
        let study = Arc::new(study.computed());
        let Some(series_id) = place.series else {
            return Ok(Some(Match { place: place.clone(), study, series: None, instance: None }));
        };
        let Some(series) = snapshot.series_by_id(series_id)? else { return Ok(None) };
        let SeriesPath { study: study_uid, series: series_uid } = series.path.clone();
        let set = Some(Arc::new(series.computed()));
        let Some((_, uid)) = &place.instance else {
            return Ok(Some(Match { place: place.clone(), study, series: set, instance: None }));
        };
        let path = InstancePath { study: study_uid, series: series_uid, instance: uid.clone() };
        let Some(row) = snapshot.instance(&path)? else { return Ok(None) };
        let instance = if self.query.wants_whole_instances() {
            whole_instance(snapshot.raw(), &row)?
        } else {
            summary_of(&row)?
        };
        Ok(Some(Match { place: place.clone(), study, series: set, instance: Some(instance) }))
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
        let snapshot = self.sight()?;
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

    pub(super) fn uids_of(&self, tag: Tag) -> Option<&[String]> {
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
        let snapshot = self.sight()?;
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
                for series in self.series_of(&snapshot, uid)? {
                    let (path, series_id) = (series.path.clone(), series.id);
                    let set = Arc::new(series.computed());
                    let Some(rank) = self.rank(&snapshot, &study, &[&set])? else { continue };
                    let order = order_of(self.query, &study, Some(&set), study_id, Some(series_id));
                    let series = Some((series_id, path, set));
                    candidates.push((order.ranked(self.query, rank), study_id, series));
                }
            }
            views.insert(study_id, study);
        }
        candidates.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, study_id, series) in candidates {
            let Some(study) = views.get(&study_id) else { continue };
            let mut place = Place { study: study_id, series: None, instance: None };
            match series {
                None => self.try_one(place, study, None, page),
                Some((series_id, path, set)) => {
                    place.series = Some(series_id);
                    if self.query.target == Level::Series {
                        self.try_one(place, study, Some(&set), page);
                    } else {
                        let within = Within { path: &path, place: &place, study, series: &set, since: None };
                        self.try_instances(&snapshot, &within, page)?;
                    }
                }
            }
        }
        Ok(page.seen as u64)
    }

    /// The series of a study in which there may be matches: those that are named, by
    /// their UIDs or those of instances, or all.
    fn series_of(&self, snapshot: &Sight<'_>, study: &StudyUid) -> Result<Vec<SeriesRow>, ArchiveError> {
        let mut named = BTreeSet::new();
        if let Some(series) = &self.root.series {
            named.insert(series.clone());
        } else if let Some(uids) = self.uids_of(SERIES_UID) {
            named.extend(uids.iter().filter_map(|uid| SeriesUid::parse(uid).ok()));
        } else if let (Some(uids), Level::Instance) = (self.uids_of(SOP_UID), self.query.target) {
            for uid in uids.iter().filter_map(|uid| InstanceUid::parse(uid).ok()) {
                let path = snapshot.locate(&uid)?.filter(|path| path.study == *study);
                named.extend(path.map(|path| path.series));
            }
        } else {
            return snapshot.series_of(study);
        }
        let paths = named.into_iter().map(|series| SeriesPath { study: study.clone(), series });
        paths.filter_map(|path| snapshot.series(&path).transpose()).collect()
    }

    /// The rank of a study with its series, or of a series of it, matched
    /// directly; none if not all words are found in it or in its instances.
    fn rank(
        &self,
        snapshot: &Sight<'_>,
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
            asked.hear_series(snapshot, &path, &mut hearing)?;
        }
        Ok(asked.score(&hearing))
    }

    /// Takes a study or series if it matches. Its words were looked for before.
    fn try_one(
        &self,
        place: Place,
        study: &Arc<DataSet>,
        series: Option<&Arc<DataSet>>,
        page: &mut Page<'_>,
    ) {
        if query::matches(self.query, study, series.map(Arc::as_ref), None) {
            page.take(Match { place, study: Arc::clone(study), series: series.cloned(), instance: None });
        }
    }

    /// Searches everything, by index and overlay.
    fn through_index(&self, page: &mut Page<'_>) -> Result<(u64, Option<Held>), ArchiveError> {
        let Moment { studies: marked, snapshot, index } =
            self.core.overlay.moment(&self.core.catalog, &self.core.index)?;
        let snapshot = self.through(snapshot);
        // Of series as many as of instances at most: each has one at least.
        let need = page.start.seen.saturating_add(page.limit);
        let need = need.min(usize::try_from(page.matches_max).unwrap_or(usize::MAX));
        let skipped: BTreeSet<u64> = marked.keys().copied().collect();
        let mut overlaid = Vec::new();
        for (id, view) in &*marked {
            snapshot.check_time()?;
            self.overlay(&snapshot, *id, &snapshot.view(view)?, &mut overlaid)?;
        }
        let placed = overlaid.iter().map(Candidate::as_row).collect();
        let state = Candidates::of(self.query, overlaid, &skipped, &index, page.start.seen.min(need)..need)?;
        if state.total > page.matches_max {
            let max = page.matches_max;
            return Err(ArchiveError::TooBroad(format!(
                "more than {max} results would have to be read for this order"
            )));
        }
        self.walk(&snapshot, &state, None, page)?;
        if !state.exact {
            return Ok((page.seen as u64, None));
        }
        Ok((state.total, Some(Held::View { overlaid: placed, skipped, index, seq: snapshot.seq()? })))
    }

    /// Gives the page the candidates that are on it. Where the index answers
    /// exactly, each counts as it says, whatever became of it.
    fn walk(
        &self,
        snapshot: &Sight<'_>,
        state: &Candidates,
        since: Option<u64>,
        page: &mut Page<'_>,
    ) -> Result<(), ArchiveError> {
        page.seen += state.before;
        for candidate in &state.rows {
            if state.exact && page.is_full() {
                break;
            }
            if !state.exact || page.touches(candidate.results) {
                page.base = page.seen;
                self.try_candidate(snapshot, candidate, since, page)?;
                if state.exact {
                    page.seen = page.base + candidate.results;
                }
            } else {
                page.seen += candidate.results;
            }
        }
        Ok(())
    }

    /// Adds what matches of an overlaid study.
    fn overlay(
        &self,
        snapshot: &Sight<'_>,
        id: u64,
        view: &Arc<Option<StudyView>>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), ArchiveError> {
        let Some(study) = view.as_ref() else { return Ok(()) };
        if self.query.target == Level::Study {
            let series: Vec<&DataSet> = study.series.iter().map(|series| &series.set).collect();
            if query::matches(self.query, &study.set, None, None)
                && let Some(rank) = self.rank(snapshot, &study.set, &series)?
            {
                let order = order_of(self.query, &study.set, None, id, None).ranked(self.query, rank);
                let source = Source::View { study: Arc::clone(view), series: None };
                candidates.push(Candidate { order, results: 1, source });
            }
            return Ok(());
        }
        for (position, series) in study.series.iter().enumerate() {
            if query::matches(self.query, &study.set, Some(&series.set), None)
                && let Some(rank) = self.rank(snapshot, &study.set, &[&series.set])?
            {
                let order = order_of(self.query, &study.set, Some(&series.set), id, Some(series.id));
                let order = order.ranked(self.query, rank);
                let source = Source::View { study: Arc::clone(view), series: Some(position) };
                let results = results_of(self.query, series.instances);
                candidates.push(Candidate { order, results, source });
            }
        }
        Ok(())
    }

    fn try_candidate(
        &self,
        snapshot: &Sight<'_>,
        candidate: &Candidate,
        since: Option<u64>,
        page: &mut Page<'_>,
    ) -> Result<(), ArchiveError> {
        let place = candidate.place();
        if since.is_some() && self.query.target != Level::Instance {
            // It matched when the search began, and is said as it is now.
            if let Some(found) = self.at(snapshot, &place)? {
                page.take(found);
            }
            return Ok(());
        }
        let (study, series) = match &candidate.source {
            Source::View { study, series } => {
                let Some(view) = study.as_ref() else { return Ok(()) };
                let series =
                    series.and_then(|position| view.series.get(position)).map(|view| view.set.clone());
                (Arc::new(view.set.clone()), series)
            }
            Source::Row { .. } => {
                // A row that is gone was deleted after the index was asked.
                let Some(row) = snapshot.study_by_id(place.study)? else { return Ok(()) };
                let series = match place.series {
                    Some(id) => {
                        let Some(series) = snapshot.series_by_id(id)? else { return Ok(()) };
                        Some(series.computed())
                    }
                    None => None,
                };
                (Arc::new(row.computed()), series)
            }
        };
        let series = series.map(Arc::new);
        if self.is_partial() && self.asked.is_some() {
            // The words may be in a series that is not seen, or be said of one.
            let has_words = match (&series, self.query.target) {
                // Looked for in each instance.
                (_, Level::Instance) => true,
                (Some(set), _) => self.rank(snapshot, &study, &[set])?.is_some(),
                (None, _) => {
                    let below = series_below(snapshot, &study)?;
                    self.rank(snapshot, &study, &below.iter().collect::<Vec<_>>())?.is_some()
                }
            };
            if !has_words {
                return Ok(());
            }
        }
        match (&series, self.query.target) {
            (Some(set), Level::Instance) => {
                let Some(path) = series_path(&study, set) else { return Ok(()) };
                let within = Within { path: &path, place: &place, study: &study, series: set, since };
                self.try_instances(snapshot, &within, page)
            }
            (series, _) => {
                self.try_one(place, &study, series.as_ref(), page);
                Ok(())
            }
        }
    }
}

pub(super) fn series_path(study: &DataSet, series: &DataSet) -> Option<SeriesPath> {
    Some(SeriesPath {
        study: StudyUid::parse(study.first_text(STUDY_UID)?).ok()?,
        series: SeriesUid::parse(series.first_text(SERIES_UID)?).ok()?,
    })
}

/// The series of a study.
fn series_below(snapshot: &Sight<'_>, study: &DataSet) -> Result<Vec<DataSet>, ArchiveError> {
    match study.first_text(STUDY_UID).and_then(|uid| StudyUid::parse(uid).ok()) {
        Some(uid) => Ok(snapshot.series_of(&uid)?.into_iter().map(SeriesRow::computed).collect()),
        None => Ok(Vec::new()),
    }
}
