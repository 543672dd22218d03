//! One state of the index, searched: the hits of a query in the order of the
//! results, and how many there are. Of each segment it finds the set of what
//! matches; where that is large, the first hits are those of the segment's
//! documents in order that are in the set.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use tantivy::query::{BooleanQuery, EnableScoring, Query as Question, TermQuery, TermSetQuery, Weight};
use tantivy::schema::{Field, IndexRecordOption, Value};
use tantivy::{DocAddress, DocId, DocSet, Searcher, SegmentReader, TERMINATED, TantivyDocument, Term};

use super::clause::{self, Compiled};
use super::matched::{Kept, Matched, question_of};
use super::order::{Plan, SortKey, is_by_rank, of_rank};
use super::ranking::{Columns, Found, Top};
use super::schema::Fields;
use super::text::{self, Ranks};
use super::{Hit, Hits, IndexError, terms};
use crate::dicom::query::{FullText, Level, Query, Resource};
use crate::storage::Digest;

/// Studies or series up to which hits are found by their ids instead of looking
/// at all documents.
const IDS_FEW: usize = 1024;
/// Matches that are looked at in the time that an id takes to be looked up.
const LOOK_UP_COST: u64 = 20;
/// Documents of a segment whose order is made ready beforehand.
const WARM_FROM: DocId = 20_000;

/// A state of the index. It does not change while commits go on; several calls
/// on one view see the same.
#[derive(Clone)]
pub struct View {
    pub(super) searcher: Searcher,
    pub(super) fields: Fields,
    pub(super) seq: u64,
    pub(super) candidates_max: usize,
    /// What earlier searches found, of this state and of others.
    pub(super) kept: Arc<Kept>,
}

impl View {
    /// The sequence number of the last commit in this state.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Finds what matches, except in studies that `skip` names: of the hits in
    /// order those at `wanted`, and how many there are. If the index could answer
    /// only by a superset, all candidates in order, see [`Hits::exact`].
    ///
    /// # Errors
    /// If a superset is larger than the limit, or the index does not read.
    pub fn search(
        &self,
        query: &Query,
        wanted: Range<usize>,
        skip: &BTreeSet<u64>,
    ) -> Result<Hits, IndexError> {
        let Compiled { mut own, studies, blocks, holders, exact } =
            clause::compile(query, &self.fields, &self.searcher)?;
        let mut hits = Hits { rows: Vec::new(), total: 0, instances: 0, exact };
        let skipped = |id: u64| skip.contains(&id);
        let ranks = match &query.text {
            Some(asked) => Some(text::ranks(&self.searcher, &self.fields, asked, query.target, &skipped)?),
            None => None,
        };
        if let Some(ranks) = &ranks {
            own = self.with_rarest(own, ranks);
            // Which instance of a series has a word is not known.
            hits.exact &= query.target != Level::Instance;
        }
        let own_alone = studies.is_none() && blocks.is_none() && holders.is_none() && ranks.is_none();
        let mut within = Within::default();
        if let Some(studies) = studies {
            let ids = self.ids(Level::Study, studies.as_ref(), &skipped)?;
            own = within.restrict(own, self.fields.study, ids, |within| &mut within.studies);
        }
        if let Some(holders) = holders {
            let ids = self.ids(Level::Study, holders.as_ref(), &skipped)?;
            own = within.restrict(own, self.fields.study, ids, |within| &mut within.studies);
        }
        if let Some(blocks) = blocks {
            let ids = self.ids(Level::Series, blocks.as_ref(), &skipped)?;
            own = within.restrict(own, self.fields.series, ids, |within| &mut within.series);
        }
        let plan = Plan::of(query);
        let wanted = if hits.exact { wanted } else { 0..self.candidates_max };
        let weight = own.weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
        let mut lists = Vec::new();
        let question = question_of(query);
        for segment in self.searcher.segment_readers() {
            let make = || self.matched_of(query, &plan, weight.as_ref(), segment, &within, ranks.as_ref());
            let matched =
                if own_alone { self.kept.matched(segment, &question, make)? } else { Arc::new(make()?) };
            if matched.total == 0 {
                continue;
            }
            let columns = self.columns(segment, &plan)?;
            let hidden = self.hidden(segment, &columns, &matched, skip)?;
            hits.total += matched.total;
            hits.instances += matched.instances;
            hidden.each(|doc| {
                hits.total -= 1;
                if query.target == Level::Instance {
                    hits.instances -= columns.instances.first(doc).unwrap_or_default();
                }
            });
            if !hits.exact && hits.total > self.candidates_max as u64 {
                return Err(IndexError::TooBroad { candidates_max: self.candidates_max });
            }
            let is_hit = |doc: DocId| !hidden.contains(doc);
            let docs = match &ranks {
                None if matched.is_dense(wanted.end, segment.max_doc()) => {
                    self.in_order(query, &plan, segment, &columns, &matched, wanted.end, is_hit)
                }
                _ => None,
            };
            let found = match docs {
                Some(docs) => InOrder::Docs(docs),
                None => InOrder::Found(first(query, &columns, &matched, ranks.as_ref(), wanted.end, is_hit)),
            };
            lists.push(List { columns, found, at: 0 });
        }
        hits.rows = window(&mut lists, wanted, is_by_rank(query))?;
        Ok(hits)
    }

    fn columns<'a>(&self, segment: &SegmentReader, plan: &'a Plan) -> tantivy::Result<Columns<'a>> {
        Ok(Columns::new(self.kept.fast(segment, plan)?, plan))
    }

    /// What matches of a segment, in whatever study.
    fn matched_of(
        &self,
        query: &Query,
        plan: &Plan,
        weight: &dyn Weight,
        segment: &SegmentReader,
        within: &Within,
        ranks: Option<&Ranks>,
    ) -> tantivy::Result<Matched> {
        let mut matched = Matched::none();
        let alive = |doc: &DocId| !segment.is_deleted(*doc);
        let all = within.is_all() && ranks.is_none();
        if all && query.target != Level::Instance {
            // Most segments have nothing of what is rare: nothing is opened for them.
            weight.for_each_no_score(segment, &mut |docs| {
                docs.iter().copied().filter(alive).for_each(|doc| matched.add(doc));
            })?;
            return Ok(matched);
        }
        let columns = self.columns(segment, plan)?;
        weight.for_each_no_score(segment, &mut |docs| {
            for doc in docs.iter().copied().filter(alive) {
                if !all {
                    let study = columns.study.first(doc).unwrap_or_default();
                    let series = || columns.series.first(doc);
                    if !within.holds(study, series)
                        || ranks.is_some_and(|ranks| ranks.of(study, series()).is_none())
                    {
                        continue;
                    }
                }
                matched.add(doc);
                if query.target == Level::Instance {
                    matched.instances += columns.instances.first(doc).unwrap_or_default();
                }
            }
        })?;
        Ok(matched)
    }

    /// Of the documents that match, those in skipped studies.
    fn hidden(
        &self,
        segment: &SegmentReader,
        columns: &Columns,
        matched: &Matched,
        skip: &BTreeSet<u64>,
    ) -> tantivy::Result<Matched> {
        let mut hidden = Matched::none();
        if skip.is_empty() || matched.total == 0 {
            return Ok(hidden);
        }
        if skip.len() as u64 * LOOK_UP_COST > matched.total {
            matched.each(|doc| {
                if columns.study.first(doc).is_some_and(|study| skip.contains(&study)) {
                    hidden.add(doc);
                }
            });
            return Ok(hidden);
        }
        let inverted = segment.inverted_index(self.fields.study)?;
        let mut docs = Vec::new();
        for id in skip {
            let term = Term::from_field_u64(self.fields.study, *id);
            let Some(mut postings) = inverted.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            while postings.doc() != TERMINATED {
                if matched.contains(postings.doc()) {
                    docs.push(postings.doc());
                }
                postings.advance();
            }
        }
        docs.sort_unstable();
        for doc in &docs {
            hidden.add(*doc);
        }
        Ok(hidden)
    }

    /// The first so many hits, from the documents of the segment in order; none
    /// if that order is not kept.
    #[allow(clippy::too_many_arguments, reason = "one step of a search, and what it is about")]
    fn in_order(
        &self,
        query: &Query,
        plan: &Plan,
        segment: &SegmentReader,
        columns: &Columns,
        matched: &Matched,
        need: usize,
        is_hit: impl Fn(DocId) -> bool,
    ) -> Option<Vec<DocId>> {
        let order = self.kept.order(segment, query.target, plan, || {
            self.all_in_order(query.target, segment, columns).unwrap_or_default()
        })?;
        let all = order.get().filter(|all| all.len() as u64 >= matched.total)?;
        let hits = all.iter().copied().filter(|doc| matched.contains(*doc) && is_hit(*doc));
        Some(hits.take(need).collect())
    }

    fn all_in_order(
        &self,
        target: Level,
        segment: &SegmentReader,
        columns: &Columns,
    ) -> tantivy::Result<Vec<DocId>> {
        let kind = if target == Level::Study { terms::A_STUDY } else { terms::A_SERIES };
        let term = Term::from_field_text(self.fields.terms, kind);
        let weight = TermQuery::new(term, IndexRecordOption::Basic)
            .weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
        let mut docs = Vec::new();
        weight.for_each_no_score(segment, &mut |some| docs.extend_from_slice(some))?;
        Ok(columns.sorted(docs))
    }

    /// Sorts the studies of large segments before a search has to wait for it.
    pub(super) fn warm(&self) -> tantivy::Result<()> {
        let query = Query::new(Resource::Studies);
        let plan = Plan::of(&query);
        for segment in self.searcher.segment_readers() {
            if segment.max_doc() >= WARM_FROM {
                let columns = self.columns(segment, &plan)?;
                self.kept.order(segment, Level::Study, &plan, || {
                    self.all_in_order(Level::Study, segment, &columns).unwrap_or_default()
                });
            }
        }
        Ok(())
    }

    /// Where a word of the search is rare, only what has it is looked at.
    fn with_rarest(&self, own: Box<dyn Question>, ranks: &Ranks) -> Box<dyn Question> {
        let (studies, series) = ranks.rarest();
        if studies.len() + series.len() > IDS_FEW {
            return own;
        }
        let of = |field, ids: Vec<u64>| -> Box<dyn Question> {
            Box::new(TermSetQuery::new(ids.into_iter().map(|id| Term::from_field_u64(field, id))))
        };
        let having = vec![of(self.fields.study, studies), of(self.fields.series, series)];
        Box::new(BooleanQuery::intersection(vec![own, Box::new(BooleanQuery::union(having))]))
    }

    /// How much each word of a search adds to the rank of what is not in the
    /// index yet.
    ///
    /// # Errors
    /// The index does not read.
    pub fn rarity(&self, asked: &FullText) -> Result<Vec<f32>, IndexError> {
        Ok(text::rarity(&self.searcher, &self.fields, asked)?)
    }

    /// The text of an encapsulated document, by the digest of its instance.
    ///
    /// # Errors
    /// The index does not read.
    pub fn document_text(&self, digest: &Digest) -> Result<Option<String>, IndexError> {
        let term = Term::from_field_text(self.fields.terms, &terms::of_document(digest));
        let question = TermQuery::new(term, IndexRecordOption::Basic);
        let weight = question.weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
        for (number, segment) in (0..).zip(self.searcher.segment_readers()) {
            let mut found = None;
            weight.for_each_no_score(segment, &mut |docs| {
                found = docs.iter().copied().find(|doc| !segment.is_deleted(*doc)).or(found);
            })?;
            if let Some(doc) = found {
                let doc: TantivyDocument = self.searcher.doc(DocAddress::new(number, doc))?;
                let text = doc.get_first(self.fields.document).and_then(|value| value.as_str());
                return Ok(text.map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// The ids of studies or series in the
    /// documents that a question finds.
    fn ids(
        &self,
        level: Level,
        question: &dyn Question,
        skip: &dyn Fn(u64) -> bool,
    ) -> Result<IdSet, IndexError> {
        let weight = question.weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
        let mut ids = IdSet::default();
        let no_order = Plan { parts: Vec::new() };
        for segment in self.searcher.segment_readers() {
            let fast = self.kept.fast(segment, &no_order)?;
            let studies = &fast.study;
            let wanted = if level == Level::Study { studies } else { &fast.series };
            weight.for_each_no_score(segment, &mut |docs| {
                let alive = docs.iter().copied().filter(|doc| !segment.is_deleted(*doc));
                let known = alive.filter(|doc| studies.first(*doc).is_some_and(|study| !skip(study)));
                for id in known.filter_map(|doc| wanted.first(doc)) {
                    ids.insert(id);
                }
            })?;
        }
        Ok(ids)
    }
}

/// The first so many hits, by putting all of them in order.
fn first(
    query: &Query,
    columns: &Columns,
    matched: &Matched,
    ranks: Option<&Ranks>,
    need: usize,
    is_hit: impl Fn(DocId) -> bool,
) -> Vec<Found> {
    let mut top = Top::of(need);
    let by_rank = ranks.filter(|_| is_by_rank(query));
    matched.each(|doc| {
        if is_hit(doc) {
            let score = by_rank.and_then(|ranks| {
                ranks.of(columns.study.first(doc).unwrap_or_default(), columns.series.first(doc))
            });
            top.offer(columns, score.map_or(0, of_rank), doc);
        }
    });
    top.into_sorted()
}

/// The first hits of one segment.
struct List<'a> {
    columns: Columns<'a>,
    found: InOrder,
    /// Those before it have gone by.
    at: usize,
}

enum InOrder {
    Found(Vec<Found>),
    Docs(Vec<DocId>),
}

impl List<'_> {
    fn len(&self) -> usize {
        match &self.found {
            InOrder::Found(found) => found.len(),
            InOrder::Docs(docs) => docs.len(),
        }
    }

    fn hit(&mut self, at: usize, by_rank: bool) -> tantivy::Result<Option<Hit>> {
        let found = match &self.found {
            InOrder::Found(found) => found.get(at).copied(),
            InOrder::Docs(docs) => docs.get(at).map(|doc| self.columns.found(0, *doc)),
        };
        found.map(|found| self.columns.hit(&found, by_rank)).transpose()
    }
}

/// The hits at `wanted` of all lists together.
fn window(lists: &mut [List], wanted: Range<usize>, by_rank: bool) -> tantivy::Result<Vec<Hit>> {
    let mut before = wanted.start;
    while before > 0 {
        // Of each list as many as could all be before: of the one whose last of
        // these comes first they are.
        let left = lists.iter().filter(|list| list.at < list.len()).count();
        let step = (before / left.max(1)).max(1);
        let mut least: Option<(SortKey, usize, usize)> = None;
        for (number, list) in lists.iter_mut().enumerate() {
            let next = (list.at + step).min(list.len());
            if next > list.at
                && let Some(last) = list.hit(next - 1, by_rank)?
                && least.as_ref().is_none_or(|(key, ..)| last.order < *key)
            {
                least = Some((last.order, number, next));
            }
        }
        let Some((_, number, next)) = least else { break };
        before -= next - lists[number].at;
        lists[number].at = next;
    }
    let mut rows = Vec::new();
    for list in lists {
        for at in list.at..list.len().min(list.at.saturating_add(wanted.len())) {
            rows.extend(list.hit(at, by_rank)?);
        }
    }
    rows.sort_unstable_by(|a, b| a.order.cmp(&b.order));
    rows.truncate(wanted.len());
    Ok(rows)
}

/// The studies and series among which hits are; none: among all.
#[derive(Default)]
struct Within {
    studies: Option<IdSet>,
    series: Option<IdSet>,
}

impl Within {
    /// Restricts a question to documents that have one of these ids in a field;
    /// of more than a few it is asked document by document.
    fn restrict(
        &mut self,
        own: Box<dyn Question>,
        field: Field,
        ids: IdSet,
        place: impl Fn(&mut Self) -> &mut Option<IdSet>,
    ) -> Box<dyn Question> {
        if ids.len() > IDS_FEW {
            *place(self) = Some(ids);
            return own;
        }
        let of: Box<dyn Question> =
            Box::new(TermSetQuery::new(ids.iter().map(|id| Term::from_field_u64(field, id))));
        Box::new(BooleanQuery::intersection(vec![own, of]))
    }

    fn is_all(&self) -> bool {
        self.studies.is_none() && self.series.is_none()
    }

    fn holds(&self, study: u64, series: impl Fn() -> Option<u64>) -> bool {
        self.studies.as_ref().is_none_or(|ids| ids.contains(study))
            && self.series.as_ref().is_none_or(|ids| series().is_some_and(|id| ids.contains(id)))
    }
}

/// A set of ids that rise from the start: bits by the 64.
#[derive(Default)]
struct IdSet {
    words: HashMap<u64, u64>,
    len: usize,
}

impl IdSet {
    fn insert(&mut self, id: u64) {
        let word = self.words.entry(id / 64).or_default();
        let bit = 1 << (id % 64);
        self.len += usize::from(*word & bit == 0);
        *word |= bit;
    }

    fn contains(&self, id: u64) -> bool {
        self.words.get(&(id / 64)).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        self.words.iter().flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }
}
