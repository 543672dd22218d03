//! What orders the documents of one segment: the fast fields of a plan, and
//! the first so many documents by them.

use std::collections::BinaryHeap;
use std::ops::Deref;
use std::sync::Arc;

use tantivy::columnar::{Column as FastColumn, StrColumn};
use tantivy::{DocId, SegmentReader};

use super::Hit;
use super::order::{PARTS_MAX, Plan, SortKeyWriter, rank};
use super::schema::{INSTANCES, SERIES, STUDY};

/// What stands in the order of one segment; texts as their ordinals in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Of how well words are found, where that is the order.
    pub score: u64,
    ranks: [u64; PARTS_MAX],
    study: u64,
    series: u64,
    pub doc: DocId,
}

/// The first hits of a segment, of any number that are offered.
pub(super) struct Top {
    keep: usize,
    /// The last one in order on top.
    heap: BinaryHeap<Found>,
}

impl Top {
    pub fn of(keep: usize) -> Self {
        Self { keep, heap: BinaryHeap::new() }
    }

    /// In order.
    pub fn into_sorted(self) -> Vec<Found> {
        self.heap.into_sorted_vec()
    }

    pub fn offer(&mut self, columns: &Columns, score: u64, doc: DocId) {
        if self.heap.len() < self.keep {
            self.heap.push(columns.found(score, doc));
            return;
        }
        let Some(mut last) = self.heap.peek_mut() else { return };
        // Most are beaten by the first part already.
        if (score, columns.rank(0, doc)) > (last.score, last.ranks[0]) {
            return;
        }
        let found = columns.found(score, doc);
        if found < *last {
            *last = found;
        }
    }
}

/// The fast fields of a segment that an order needs.
pub(super) struct Columns<'a> {
    fast: Arc<Fast>,
    plan: &'a Plan,
    buffer: String,
}

/// Fast fields, opened. To find each takes longer than to look for a term.
pub(super) struct Fast {
    pub study: FastColumn<u64>,
    pub series: FastColumn<u64>,
    pub instances: FastColumn<u64>,
    parts: Vec<FastPart>,
}

enum FastPart {
    Number(FastColumn<u64>),
    Text(StrColumn),
    /// No document of the segment has a value.
    Absent,
}

impl Fast {
    pub fn open(segment: &SegmentReader, plan: &Plan) -> tantivy::Result<Self> {
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
            parts: plan
                .parts
                .iter()
                .map(|wanted| part(wanted.column.name, wanted.column.is_text()))
                .collect::<tantivy::Result<_>>()?,
        })
    }
}

impl Deref for Columns<'_> {
    type Target = Fast;

    fn deref(&self) -> &Fast {
        &self.fast
    }
}

impl<'a> Columns<'a> {
    /// `fast`: opened for the plan.
    pub fn new(fast: Arc<Fast>, plan: &'a Plan) -> Self {
        Self { fast, plan, buffer: String::new() }
    }

    pub fn rank(&self, part: usize, doc: DocId) -> u64 {
        let value = match self.parts.get(part) {
            Some(FastPart::Number(column)) => column.first(doc),
            Some(FastPart::Text(column)) => column.ords().first(doc),
            Some(FastPart::Absent) | None => None,
        };
        let descending = self.plan.parts.get(part).is_some_and(|wanted| wanted.descending);
        rank(value, descending)
    }

    pub fn found(&self, score: u64, doc: DocId) -> Found {
        let study = self.study.first(doc).unwrap_or_default();
        let mut ranks = [0; PARTS_MAX];
        for (part, rank) in ranks.iter_mut().enumerate().take(self.parts.len()) {
            *rank = self.rank(part, doc);
        }
        Found { score, ranks, study, series: self.series.first(doc).unwrap_or_default(), doc }
    }

    /// Documents of one kind in order, all there are.
    pub fn sorted(&self, mut docs: Vec<DocId>) -> Vec<DocId> {
        // Most differ in the first part.
        let mut keyed: Vec<(u64, DocId)> = docs.iter().map(|doc| (self.rank(0, *doc), *doc)).collect();
        let rest = |doc: DocId| (1..self.parts.len()).map(move |part| self.rank(part, doc));
        let ids = |doc: DocId| (self.study.first(doc), self.series.first(doc), doc);
        keyed.sort_unstable_by(|(a, doc), (b, other)| {
            a.cmp(b).then_with(|| rest(*doc).cmp(rest(*other))).then_with(|| ids(*doc).cmp(&ids(*other)))
        });
        docs.clear();
        docs.extend(keyed.iter().map(|(_, doc)| doc));
        docs
    }

    /// A hit with an order that holds beyond the segment.
    pub fn hit(&mut self, found: &Found, by_rank: bool) -> tantivy::Result<Hit> {
        let mut key = SortKeyWriter::default();
        if by_rank {
            key.rank(found.score);
        }
        for ((part, wanted), rank) in self.fast.parts.iter().zip(&self.plan.parts).zip(found.ranks) {
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
