//! The words of texts: what goes into the index for full text, and which studies
//! and series have a word that a search asks for, with what it adds to their
//! rank. What a word is stands in `dicom/prose.rs`, what answers a word in
//! `dicom/query/full_text.rs`.
//!
//! A word found as it stands ranks by BM25 among the documents (a study, a
//! series, a block of instances, an encapsulated document); of several documents
//! of one result the best counts.

use std::collections::{HashMap, HashSet};

use dicom_core::Tag;
use tantivy::columnar::Column;
use tantivy::postings::TermInfo;
use tantivy::query::{DfaWrapper, EnableScoring, FuzzyTermQuery, Query as Question, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::termdict::TermDictionary;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use tantivy::{DocId, DocSet, Searcher, SegmentReader, TERMINATED, TantivyDocument, Term};

use super::schema::{Fields, SERIES, STUDY};
use crate::dicom::dataset::DataSet;
use crate::dicom::prose::{each_text, words};
use crate::dicom::query::{Closeness, FullText, Level, Word};

/// Cuts a text into its words.
#[derive(Clone)]
pub struct Words;

pub struct WordStream {
    words: std::vec::IntoIter<String>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream {
        let mut found = Vec::new();
        words(text, &mut |word, _| found.push(word.to_owned()));
        WordStream { words: found.into_iter(), token: Token::default() }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.text = word;
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// The texts of a document while they are collected, each once.
#[derive(Default)]
pub(super) struct Texts {
    said: HashSet<String>,
    private: HashSet<String>,
    bytes: usize,
}

impl Texts {
    /// Takes in the texts of the attributes of a data set for which `of` holds.
    pub fn add_set(&mut self, set: &DataSet, of: impl Fn(Tag) -> bool) {
        each_text(set, of, &mut |_, is_private, text| {
            let texts = if is_private { &mut self.private } else { &mut self.said };
            if !texts.contains(text) {
                self.bytes += text.len();
                texts.insert(text.to_owned());
            }
        });
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts all into a document.
    pub fn pour(self, doc: &mut TantivyDocument, fields: &Fields) {
        for text in self.said {
            doc.add_text(fields.text, text);
        }
        for text in self.private {
            doc.add_text(fields.private_text, text);
        }
    }
}

/// What the words of a search add to the rank of studies and series.
pub(super) struct Ranks {
    words: Vec<Hits>,
}

/// Where one word is: what it adds, by the ids of the catalog. In a search of
/// studies all stands under the study; else what a study says of itself does,
/// and what is said of a series stands under the series.
#[derive(Default)]
struct Hits {
    studies: HashMap<u64, f32>,
    series: HashMap<u64, f32>,
}

impl Ranks {
    /// The rank of a result; none if it lacks a word.
    pub fn of(&self, study: u64, series: Option<u64>) -> Option<f32> {
        let mut sum = 0.0;
        for word in &self.words {
            let of_study = word.studies.get(&study).copied();
            let of_series = series.and_then(|id| word.series.get(&id).copied());
            sum += match (of_study, of_series) {
                (Some(a), Some(b)) => a.max(b),
                (Some(score), None) | (None, Some(score)) => score,
                (None, None) => return None,
            };
        }
        Some(sum)
    }

    /// The studies and the series that have the rarest word: no other has all.
    pub fn rarest(&self) -> (Vec<u64>, Vec<u64>) {
        let rarest = self.words.iter().min_by_key(|word| word.studies.len() + word.series.len());
        let ids = |map: &HashMap<u64, f32>| map.keys().copied().collect();
        rarest.map_or_else(Default::default, |word| (ids(&word.studies), ids(&word.series)))
    }
}

/// Looks all words of a search up.
pub(super) fn ranks(
    searcher: &Searcher,
    fields: &Fields,
    text: &FullText,
    target: Level,
    skip: &dyn Fn(u64) -> bool,
) -> tantivy::Result<Ranks> {
    let mut places = vec![fields.text];
    if text.private {
        places.push(fields.private_text);
    }
    let mut ranks = Ranks { words: Vec::with_capacity(text.words.len()) };
    for word in &text.words {
        let mut hits = Hits::default();
        for field in &places {
            look_up(searcher, *field, word, target, skip, &mut hits)?;
        }
        ranks.words.push(hits);
    }
    Ok(ranks)
}

fn look_up(
    searcher: &Searcher,
    field: Field,
    word: &Word,
    target: Level,
    skip: &dyn Fn(u64) -> bool,
    hits: &mut Hits,
) -> tantivy::Result<()> {
    let exact = TermQuery::new(Term::from_field_text(field, &word.text), IndexRecordOption::WithFreqs);
    let exact = exact.weight(EnableScoring::enabled_from_searcher(searcher))?;
    for segment in searcher.segment_readers() {
        let mut ids = Ids::open(segment, target, skip)?;
        exact.for_each(segment, &mut |doc, score| {
            ids.add(doc, Closeness::Exact.score() + score, hits);
        })?;
        let inverted = segment.inverted_index(field)?;
        for (closeness, info) in others(inverted.terms(), field, word)? {
            let mut postings = inverted.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                ids.add(postings.doc(), closeness.score(), hits);
                postings.advance();
            }
        }
    }
    Ok(())
}

/// The terms of a segment that answer a word otherwise than as it stands.
fn others(terms: &TermDictionary, field: Field, word: &Word) -> tantivy::Result<Vec<(Closeness, TermInfo)>> {
    let mut found = Vec::new();
    let mut take = |key: &[u8], info: &TermInfo| {
        let closeness = std::str::from_utf8(key).ok().and_then(|key| word.closeness(key));
        if let Some(closeness) = closeness.filter(|closeness| *closeness != Closeness::Exact) {
            found.push((closeness, info.clone()));
        }
    };
    if word.prefix {
        let last = format!("{}{}", word.text, char::MAX);
        let mut stream = terms.range().ge(&word.text).le(&last).into_stream()?;
        while stream.advance() {
            take(stream.key(), stream.value());
        }
    }
    if word.edits > 0 {
        let automaton = near(Term::from_field_text(field, &word.text), word.edits)?;
        let mut stream = terms.search(automaton).into_stream()?;
        while stream.advance() {
            // What begins so was taken above.
            if !(word.prefix && stream.key().starts_with(word.text.as_bytes())) {
                take(stream.key(), stream.value());
            }
        }
    }
    Ok(found)
}

/// Accepts what differs from a term in so many letters.
pub(super) fn near(term: Term, edits: u8) -> tantivy::Result<DfaWrapper> {
    FuzzyTermQuery::new(term, edits, true).automaton()
}

/// How much each word adds to a rank where it stands once in a text of average
/// length: more, the fewer documents have it.
pub(super) fn rarity(searcher: &Searcher, fields: &Fields, text: &FullText) -> tantivy::Result<Vec<f32>> {
    let all = searcher.segment_readers().iter().map(|segment| u64::from(segment.max_doc())).sum::<u64>();
    let of_word = |word: &Word| {
        let having = searcher.doc_freq(&Term::from_field_text(fields.text, &word.text))?;
        let (all, having) = (all.max(having) as f32, having as f32);
        Ok((1.0 + (all - having + 0.5) / (having + 0.5)).ln())
    };
    text.words.iter().map(of_word).collect()
}

/// The ids of the documents of one segment, and where their hits belong.
struct Ids<'a> {
    segment: &'a SegmentReader,
    study: Column<u64>,
    series: Column<u64>,
    target: Level,
    skip: &'a dyn Fn(u64) -> bool,
}

impl<'a> Ids<'a> {
    fn open(
        segment: &'a SegmentReader,
        target: Level,
        skip: &'a dyn Fn(u64) -> bool,
    ) -> tantivy::Result<Self> {
        let fast = segment.fast_fields();
        let absent = || Column::build_empty_column(segment.max_doc());
        let series = fast.column_opt(SERIES)?.unwrap_or_else(absent);
        Ok(Self { segment, study: fast.u64(STUDY)?, series, target, skip })
    }

    fn add(&mut self, doc: DocId, score: f32, hits: &mut Hits) {
        let Some(study) = self.study.first(doc) else { return };
        if self.segment.is_deleted(doc) || (self.skip)(study) {
            return;
        }
        let series = self.series.first(doc).filter(|_| self.target != Level::Study);
        let best = match series {
            Some(series) => hits.series.entry(series).or_default(),
            None => hits.studies.entry(study).or_default(),
        };
        *best = best.max(score);
    }
}
