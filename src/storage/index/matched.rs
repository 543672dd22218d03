//! What of one segment matches a search, and the documents of a segment in the
//! order of results. Both are kept, and opened fast fields: a segment never changes
//! but for what is deleted of it, so that a search which comes again, or a page that
//! follows, counts and sorts only what is new. What is kept has a limit in bytes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lru::LruCache;
use tantivy::index::SegmentId;
use tantivy::{DocId, SegmentReader};

use super::order::{Part, Plan};
use super::ranking::Fast;
use crate::dicom::query::{Level, Query};

/// Matches up to which they are a list, and are ordered one by one.
const FEW: usize = if cfg!(test) { 2 } else { 2048 };
/// Bytes of all that is kept.
const KEPT_BYTES_MAX: usize = 48 * 1024 * 1024;
/// What opened fast fields are taken to be: they point into files.
const FAST_BYTES: usize = 4096;

/// A set of documents of a segment.
#[derive(Default)]
pub(super) struct DocSet {
    words: Vec<u64>,
}

impl DocSet {
    pub fn insert(&mut self, doc: DocId) {
        let at = doc as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= 1 << (doc % 64);
    }

    pub fn contains(&self, doc: DocId) -> bool {
        self.words.get(doc as usize / 64).is_some_and(|word| word >> (doc % 64) & 1 == 1)
    }

    fn iter(&self) -> impl Iterator<Item = DocId> {
        (0..).zip(&self.words).flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// The documents of a segment that match, of all that are not deleted.
pub(super) struct Matched {
    docs: Docs,
    pub total: u64,
    /// In all of these; zero unless they are asked for.
    pub instances: u64,
}

enum Docs {
    Few(Vec<DocId>),
    Many(DocSet),
}

impl Matched {
    pub fn none() -> Self {
        Self { docs: Docs::Few(Vec::new()), total: 0, instances: 0 }
    }

    pub fn add(&mut self, doc: DocId) {
        self.total += 1;
        match &mut self.docs {
            Docs::Many(set) => set.insert(doc),
            Docs::Few(list) if list.len() < FEW => list.push(doc),
            Docs::Few(list) => {
                let mut set = DocSet::default();
                for doc in list.iter() {
                    set.insert(*doc);
                }
                set.insert(doc);
                self.docs = Docs::Many(set);
            }
        }
    }

    pub fn contains(&self, doc: DocId) -> bool {
        match &self.docs {
            Docs::Few(list) => list.binary_search(&doc).is_ok(),
            Docs::Many(set) => set.contains(doc),
        }
    }

    pub fn each(&self, mut work: impl FnMut(DocId)) {
        match &self.docs {
            Docs::Few(list) => list.iter().for_each(|doc| work(*doc)),
            Docs::Many(set) => set.iter().for_each(work),
        }
    }

    /// Whether it is less work to go through all `documents` in order until
    /// there are `need` of these, than to put these in order.
    pub fn is_dense(&self, need: usize, documents: u32) -> bool {
        let walked = (need as u64).saturating_mul(u64::from(documents)) / self.total.max(1);
        match self.docs {
            Docs::Few(_) => false,
            Docs::Many(_) => walked.min(u64::from(documents)) < self.total.saturating_mul(8),
        }
    }

    /// What it takes to keep it; none if it is found again as fast.
    fn bytes(&self) -> Option<usize> {
        match &self.docs {
            Docs::Few(_) => None,
            Docs::Many(set) => Some(set.words.len() * 8),
        }
    }
}

/// Answers to the next searches, the least used of which go first.
pub(super) struct Kept {
    inner: Mutex<Inner>,
    /// Whether fast fields stay open: not where their bytes would stay in memory.
    keeps_open: bool,
}

struct Inner {
    cache: LruCache<Key, Value>,
    bytes: usize,
}

#[derive(PartialEq, Eq, Hash, Clone)]
enum Key {
    /// The documents of studies or of series, by a plan.
    Order { segment: SegmentId, level: Level, parts: Vec<(&'static str, bool)> },
    /// What a search matches of the segment, with so much deleted of it.
    Matched { segment: SegmentId, deleted: Option<u64>, question: Arc<str> },
    /// The fast fields for a plan.
    Fast { segment: SegmentId, parts: Vec<&'static str> },
}

impl Key {
    fn segment(&self) -> SegmentId {
        match self {
            Self::Order { segment, .. } | Self::Matched { segment, .. } | Self::Fast { segment, .. } => {
                *segment
            }
        }
    }
}

enum Value {
    Order(Arc<OnceLock<Vec<DocId>>>, usize),
    Matched(Arc<Matched>, usize),
    Fast(Arc<Fast>),
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Order(_, bytes) | Self::Matched(_, bytes) => *bytes,
            Self::Fast(_) => FAST_BYTES,
        }
    }
}

impl Kept {
    pub fn new(keeps_open: bool) -> Self {
        Self { inner: Mutex::new(Inner { cache: LruCache::unbounded(), bytes: 0 }), keeps_open }
    }

    /// The fast fields of a segment for a plan.
    pub fn fast(&self, segment: &SegmentReader, plan: &Plan) -> tantivy::Result<Arc<Fast>> {
        if !self.keeps_open {
            return Fast::open(segment, plan).map(Arc::new);
        }
        let parts = plan.parts.iter().map(|part| part.column.name).collect();
        let key = Key::Fast { segment: segment.segment_id(), parts };
        if let Some(Value::Fast(fast)) = self.lock().cache.get(&key) {
            return Ok(Arc::clone(fast));
        }
        let fast = Arc::new(Fast::open(segment, plan)?);
        self.lock().put(key, Value::Fast(Arc::clone(&fast)));
        Ok(fast)
    }

    /// Forgets all of segments that are not among these: they were merged, and
    /// what is open of them keeps their files on the disk.
    pub fn retain(&self, segments: &HashSet<SegmentId>) {
        let mut inner = self.lock();
        let keys = inner.cache.iter().map(|(key, _)| key);
        let gone: Vec<Key> = keys.filter(|key| !segments.contains(&key.segment())).cloned().collect();
        for key in gone {
            if let Some(value) = inner.cache.pop(&key) {
                inner.bytes -= value.bytes();
            }
        }
    }

    /// All documents of a kind in the order of a plan, deleted ones too. Made
    /// once, however many wait for it; none if the segment is too large for that.
    pub fn order(
        &self,
        segment: &SegmentReader,
        target: Level,
        plan: &Plan,
        make: impl FnOnce() -> Vec<DocId>,
    ) -> Option<Arc<OnceLock<Vec<DocId>>>> {
        let bytes = segment.max_doc() as usize * size_of::<DocId>();
        if bytes > KEPT_BYTES_MAX / 2 {
            return None;
        }
        let parts = plan.parts.iter().map(|Part { column, descending }| (column.name, *descending)).collect();
        let level = if target == Level::Study { Level::Study } else { Level::Series };
        let key = Key::Order { segment: segment.segment_id(), level, parts };
        let order = {
            let mut inner = self.lock();
            if let Some(Value::Order(order, _)) = inner.cache.get(&key) {
                Arc::clone(order)
            } else {
                let order = Arc::new(OnceLock::new());
                inner.put(key, Value::Order(Arc::clone(&order), bytes));
                order
            }
        };
        order.get_or_init(make);
        Some(order)
    }

    /// What a search without words matches of a segment, from here or made now.
    /// `question`: see [`question_of`].
    pub fn matched<E>(
        &self,
        segment: &SegmentReader,
        question: &Arc<str>,
        make: impl FnOnce() -> Result<Matched, E>,
    ) -> Result<Arc<Matched>, E> {
        if segment.max_doc() as usize <= FEW {
            return make().map(Arc::new);
        }
        let key = Key::Matched {
            segment: segment.segment_id(),
            deleted: segment.delete_opstamp(),
            question: Arc::clone(question),
        };
        if let Some(Value::Matched(matched, _)) = self.lock().cache.get(&key) {
            return Ok(Arc::clone(matched));
        }
        let matched = Arc::new(make()?);
        if let (Some(bytes), Key::Matched { question, .. }) = (matched.bytes(), &key) {
            let bytes = bytes + question.len() + size_of::<Key>();
            self.lock().put(key, Value::Matched(Arc::clone(&matched), bytes));
        }
        Ok(matched)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a search asks for, whatever the order of its results. Callers who see
/// different parts have different answers.
pub(super) fn question_of(query: &Query) -> Arc<str> {
    format!("{:?} {:?} {:?}", query.target, query.keys, query.filter).into()
}

impl Inner {
    fn put(&mut self, key: Key, value: Value) {
        self.bytes += value.bytes();
        if let Some(before) = self.cache.put(key, value) {
            self.bytes -= before.bytes();
        }
        while self.bytes > KEPT_BYTES_MAX {
            let Some((_, gone)) = self.cache.pop_lru() else { break };
            self.bytes -= gone.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_the_same_set() {
        for step in [1, 3, 64, 65] {
            let mut matched = Matched::none();
            let docs: Vec<DocId> = (0..5000).map(|n| n * step + 1).collect();
            for (count, doc) in docs.iter().enumerate() {
                assert!(!matched.contains(*doc));
                matched.add(*doc);
                assert!(matched.contains(*doc) && !matched.contains(*doc + 1));
                assert_eq!(matched.total, count as u64 + 1);
            }
            let mut seen = Vec::new();
            matched.each(|doc| seen.push(doc));
            assert_eq!(seen, docs);
        }
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut inner = Inner { cache: LruCache::unbounded(), bytes: 0 };
        for number in 0..100 {
            let key = Key::Matched {
                segment: SegmentId::generate_random(),
                deleted: None,
                question: number.to_string().into(),
            };
            inner.put(key, Value::Matched(Arc::new(Matched::none()), KEPT_BYTES_MAX / 10));
        }
        assert_eq!(inner.cache.len(), 10);
        assert!(inner.bytes <= KEPT_BYTES_MAX);
    }
}
