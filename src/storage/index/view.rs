//! One state of the index, searched: the hits of a query in the order of the
//! results, and how many there are, in one pass over ids and fast fields.

use std::collections::{BinaryHeap, HashMap};

use tantivy::columnar::{Column as FastColumn, StrColumn};
use tantivy::query::{BooleanQuery, EnableScoring, Query as Question, TermQuery, TermSetQuery};
use tantivy::schema::{Field, IndexRecordOption, Value};
use tantivy::{DocAddress, DocId, Searcher, SegmentReader, TantivyDocument, Term};

use super::clause::{self, Compiled};
use super::order::{PARTS_MAX, Plan, SortKeyWriter, is_by_rank, of_rank, rank};
use super::schema::{Fields, INSTANCES, SERIES, STUDY};
use super::text::{self, Ranks};
use super::{Hit, Hits, IndexError, terms};
use crate::dicom::query::{FullText, Level, Query};
use crate::storage::Digest;

/// Studies or series up to which hits are found by their ids instead of looking
/// at all documents.
const IDS_FEW: usize = 1024;

/// A state of the index. It does not change while commits go on; several calls
/// on one view see the same.
#[derive(Clone)]
pub struct View {
    pub(super) searcher: Searcher,
    pub(super) fields: Fields,
    pub(super) seq: u64,
    pub(super) candidates_max: usize,
}

impl View {
    /// The sequence number of the last commit in this state.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Finds what matches, except in studies that `skip` names: the first
    /// `need` hits in order and how many there are. If the index could answer
    /// only by a superset, all candidates in order, see [`Hits::exact`].
    ///
    /// # Errors
    /// If a superset is larger than the limit, or the index does not read.
    pub fn search(&self, query: &Query, need: usize, skip: &dyn Fn(u64) -> bool) -> Result<Hits, IndexError> {
        let Compiled { mut own, studies, blocks, exact } =
            clause::compile(query, &self.fields, &self.searcher)?;
        let mut hits = Hits { rows: Vec::new(), total: 0, instances: 0, exact };
        let ranks = match &query.text {
            Some(asked) => Some(text::ranks(&self.searcher, &self.fields, asked, query.target, skip)?),
            None => None,
        };
        if let Some(ranks) = &ranks {
            own = self.with_rarest(own, ranks);
            // Which instance of a series has a word is not known.
            hits.exact &= query.target != Level::Instance;
        }
        let mut within = Within::default();
        if let Some(studies) = studies {
            let ids = self.ids(STUDY, studies.as_ref(), skip)?;
            own = within.restrict(own, self.fields.study, ids, |within| &mut within.studies);
        }
        if let Some(blocks) = blocks {
            let ids = self.ids(SERIES, blocks.as_ref(), skip)?;
            own = within.restrict(own, self.fields.series, ids, |within| &mut within.series);
        }
        let plan = Plan::of(query);
        let by_rank = is_by_rank(query);
        let keep = if hits.exact { need } else { self.candidates_max };
        let weight = own.weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
        for segment in self.searcher.segment_readers() {
            let mut columns = Columns::open(segment, &plan)?;
            let mut top = Top { keep, heap: BinaryHeap::new() };
            weight.for_each_no_score(segment, &mut |docs| {
                for doc in docs.iter().copied().filter(|doc| !segment.is_deleted(*doc)) {
                    let study = columns.study.first(doc).unwrap_or_default();
                    if skip(study) || !within.holds(study, || columns.series.first(doc)) {
                        continue;
                    }
                    let score = match &ranks {
                        Some(ranks) => {
                            let Some(score) = ranks.of(study, columns.series.first(doc)) else { continue };
                            of_rank(score)
                        }
                        None => 0,
                    };
                    hits.total += 1;
                    if query.target == Level::Instance {
                        hits.instances += columns.instances.first(doc).unwrap_or_default();
                    }
                    top.offer(&columns, if by_rank { score } else { 0 }, study, doc);
                }
            })?;
            if !hits.exact && hits.total > self.candidates_max as u64 {
                return Err(IndexError::TooBroad { candidates_max: self.candidates_max });
            }
            for found in top.heap {
                hits.rows.push(columns.hit(&found, by_rank)?);
            }
            hits.rows.sort_unstable_by(|a, b| a.order.cmp(&b.order));
            hits.rows.truncate(keep);
        }
        Ok(hits)
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

    /// The ids of studies or series, by the name of their column, in the
    /// documents that a question finds.
    fn ids(
        &self,
        column: &str,
        question: &dyn Question,
        skip: &dyn Fn(u64) -> bool,
    ) -> Result<IdSet, IndexError> {
        let weight = question.weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
        let mut ids = IdSet::default();
        for segment in self.searcher.segment_readers() {
            let studies = segment.fast_fields().u64(STUDY)?;
            let wanted = segment.fast_fields().u64(column)?;
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

    fn holds(&self, study: u64, series: impl Fn() -> Option<u64>) -> bool {
        self.studies.as_ref().is_none_or(|ids| ids.contains(study))
            && self.series.as_ref().is_none_or(|ids| series().is_some_and(|id| ids.contains(id)))
    }
}

/// What stands in the order of one segment; texts as their ordinals in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Of how well words are found, where that is the order.
    score: u64,
    ranks: [u64; PARTS_MAX],
    study: u64,
    series: u64,
    doc: DocId,
}

/// The first hits of a segment.
struct Top {
    keep: usize,
    /// The last one in order on top.
    heap: BinaryHeap<Found>,
}

impl Top {
    fn offer(&mut self, columns: &Columns, score: u64, study: u64, doc: DocId) {
        if self.heap.len() < self.keep {
            self.heap.push(columns.found(score, study, doc));
            return;
        }
        let Some(mut last) = self.heap.peek_mut() else { return };
        // Most are beaten by the first part already.
        if (score, columns.rank(0, doc)) > (last.score, last.ranks[0]) {
            return;
        }
        let found = columns.found(score, study, doc);
        if found < *last {
            *last = found;
        }
    }
}

/// The fast fields of a segment that an order needs.
struct Columns<'a> {
    study: FastColumn<u64>,
    series: FastColumn<u64>,
    instances: FastColumn<u64>,
    plan: &'a Plan,
    parts: Vec<FastPart>,
    buffer: String,
}

enum FastPart {
    Number(FastColumn<u64>),
    Text(StrColumn),
    /// No document of the segment has a value.
    Absent,
}

impl<'a> Columns<'a> {
    fn open(segment: &SegmentReader, plan: &'a Plan) -> tantivy::Result<Self> {
        let fast = segment.fast_fields();
        let part = |name: &str, is_text: bool| -> tantivy::Result<FastPart> {
            Ok(if is_text {
                fast.str(name)?.map_or(FastPart::Absent, FastPart::Text)
            } else {
                fast.column_opt::<u64>(name)?.map_or(FastPart::Absent, FastPart::Number)
            })
        };
        let absent = || FastColumn::build_empty_column(segment.max_doc());
        Ok(Self {
            study: fast.u64(STUDY)?,
            series: fast.column_opt(SERIES)?.unwrap_or_else(absent),
            instances: fast.column_opt(INSTANCES)?.unwrap_or_else(absent),
            plan,
            parts: plan
                .parts
                .iter()
                .map(|wanted| part(wanted.column.name, wanted.column.is_text()))
                .collect::<tantivy::Result<_>>()?,
            buffer: String::new(),
        })
    }

    fn rank(&self, part: usize, doc: DocId) -> u64 {
        let value = match self.parts.get(part) {
            Some(FastPart::Number(column)) => column.first(doc),
            Some(FastPart::Text(column)) => column.ords().first(doc),
            Some(FastPart::Absent) | None => None,
        };
        let descending = self.plan.parts.get(part).is_some_and(|wanted| wanted.descending);
        rank(value, descending)
    }

    fn found(&self, score: u64, study: u64, doc: DocId) -> Found {
        let mut ranks = [0; PARTS_MAX];
        for (part, rank) in ranks.iter_mut().enumerate().take(self.parts.len()) {
            *rank = self.rank(part, doc);
        }
        Found { score, ranks, study, series: self.series.first(doc).unwrap_or_default(), doc }
    }

    /// A hit with an order that holds beyond the segment.
    fn hit(&mut self, found: &Found, by_rank: bool) -> tantivy::Result<Hit> {
        let mut key = SortKeyWriter::default();
        if by_rank {
            key.rank(found.score);
        }
        for ((part, wanted), rank) in self.parts.iter().zip(&self.plan.parts).zip(found.ranks) {
            match part {
                FastPart::Text(column) => {
                    let text = match column.ords().first(found.doc) {
                        Some(ord) => {
                            column.ord_to_str(ord, &mut self.buffer)?.then_some(self.buffer.as_str())
                        }
                        None => None,
                    };
                    key.text(text, wanted.descending);
                }
                FastPart::Absent if wanted.column.is_text() => key.text(None, wanted.descending),
                FastPart::Number(_) | FastPart::Absent => key.rank(rank),
            }
        }
        let series_id = self.series.first(found.doc);
        Ok(Hit {
            order: key.finish(found.study, series_id),
            study_id: found.study,
            series_id,
            instances: self.instances.first(found.doc).unwrap_or_default(),
        })
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
