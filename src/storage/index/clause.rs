//! The tests of a search as questions to the index.
//!
//! Each question finds at least what the test matches; where it may find more,
//! the search is no longer exact and the caller checks every candidate with
//! [`crate::dicom::query::matches`]. The terms are those of `terms.rs`.

use std::collections::BTreeSet;
use std::ops::Bound;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use tantivy::query::{
    BooleanQuery, EmptyQuery, InvertedIndexRangeQuery, Occur, PhraseQuery, Query as Question, RegexQuery,
    TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

use super::grams::{self, Need};
use super::ladder::{self, Cover, Rungs, Stretch};
use super::schema::Fields;
use super::terms;
use super::text::near;
use crate::dicom::attributes;
use crate::dicom::query::{
    Filter, Key, Level, NameTest, Part, Pattern, Query, Range, Test, edits_allowed, is_fuzzy_match, sound,
};

/// Characters at the start of a pattern that make a walk over all values that
/// begin so worth while.
const WALK_AFTER: usize = 2;

/// Gaps (`*`, `?`) in all patterns of one kind of document that are asked by a walk.
/// The automaton of a pattern is made before anything is looked at: one of some ten
/// gaps takes as long as it may, tens of milliseconds.
const GAPS_MAX: usize = 64;

/// A search as questions.
pub(super) struct Compiled {
    /// On the documents of what is searched for; of series for instances.
    pub own: Box<dyn Question>,
    /// On the documents of studies, where series are searched for and their
    /// studies are restricted: only series of those studies match.
    pub studies: Option<Box<dyn Question>>,
    /// On the blocks of instances, where these are searched for by attributes
    /// of their own: only series that have such a block match.
    pub blocks: Option<Box<dyn Question>>,
    /// On the documents of series, where studies are searched for and the caller
    /// sees only some series: only studies that have such a series match.
    pub holders: Option<Box<dyn Question>>,
    /// The questions find only what the search matches.
    pub exact: bool,
}

/// Compiles a search for the state that a searcher sees.
pub(super) fn compile(query: &Query, fields: &Fields, searcher: &Searcher) -> tantivy::Result<Compiled> {
    let mut own = Clauses::new(fields, searcher, true);
    let mut studies = Clauses::new(fields, searcher, true);
    let mut blocks = Clauses::new(fields, searcher, false);
    let mut holders = Clauses::new(fields, searcher, true);
    let filter = query.filter.as_deref();
    let is_partial = filter.is_some_and(Filter::parts_studies);
    for key in &query.keys {
        if is_partial && attributes::is_computed(key.tag) {
            // The index knows studies whole; of a part other numbers are true.
            own.exact &= key.test == Test::Any;
            if !shrinks(&key.test) {
                continue;
            }
        }
        match (query.target, key.level) {
            (Level::Study, Level::Study) | (Level::Series | Level::Instance, Level::Series) => {
                own.key(key)?;
            }
            (Level::Series | Level::Instance, Level::Study) => studies.key(key)?,
            (Level::Instance, Level::Instance) if key.tag == tags::SOP_CLASS_UID => {
                // A series knows its SOP classes, not which instance has which.
                own.key(key)?;
                own.exact = false;
            }
            (Level::Instance, Level::Instance) => {
                // A block knows its values, not which instance has which.
                blocks.exact &= key.test == Test::Any;
                blocks.key(key)?;
            }
            (Level::Study, Level::Series | Level::Instance) | (Level::Series, Level::Instance) => {
                own.exact &= key.test == Test::Any;
            }
        }
    }
    if let Some(filter) = filter {
        let of_study = filter.any_of.iter().map(|one| one.study.as_slice());
        let of_series = filter.any_of.iter().map(|one| one.series.as_slice());
        if query.target == Level::Study {
            own.any_of(of_study, terms::A_STUDY)?;
            holders.any_of(of_series, terms::A_SERIES)?;
            own.exact &= !is_partial;
        } else {
            studies.any_of(of_study, terms::A_STUDY)?;
            own.any_of(of_series, terms::A_SERIES)?;
            // Of several, each may hold by a part of another.
            own.exact &= !is_partial || filter.any_of.len() == 1;
        }
        own.exact &= !filter.asks_instances();
        // A study says its modalities, those of series that are not seen too.
        own.exact &= !is_partial || query.text.is_none();
    }
    let exact = own.exact && studies.exact && blocks.exact;
    let kind = match query.target {
        Level::Study => terms::A_STUDY,
        Level::Series | Level::Instance => terms::A_SERIES,
    };
    let studies = (!studies.clauses.is_empty()).then(|| studies.join(terms::A_STUDY));
    let blocks = (!blocks.clauses.is_empty()).then(|| blocks.join(terms::A_BLOCK));
    let holders = (!holders.clauses.is_empty()).then(|| holders.join(terms::A_SERIES));
    Ok(Compiled { own: own.join(kind), studies, blocks, holders, exact })
}

/// Whether what passes of a part passes of the whole: more values only help.
fn shrinks(test: &Test) -> bool {
    match test {
        Test::Any | Test::Uids(_) | Test::OneOf(_) | Test::AllOf(_) | Test::Wildcard(_) => true,
        Test::Empty
        | Test::Name(_)
        | Test::Number(_)
        | Test::Range(_)
        | Test::DateTime { .. }
        | Test::Item(_) => false,
    }
}

/// Clauses of one kind of document, all of which must hold.
struct Clauses<'a> {
    fields: &'a Fields,
    searcher: &'a Searcher,
    clauses: Vec<(Occur, Box<dyn Question>)>,
    /// The documents are of one study or series each, and have trigrams. Those
    /// of blocks tell of many instances, and have none.
    of_rows: bool,
    exact: bool,
    /// How many of [`GAPS_MAX`] are left.
    gaps_left: usize,
}

/// What a test asks of an attribute.
enum Asked {
    /// Nothing that the index could answer.
    Nothing,
    All(Vec<Box<dyn Question>>),
    AnyOf(Vec<Box<dyn Question>>),
}

impl<'a> Clauses<'a> {
    fn new(fields: &'a Fields, searcher: &'a Searcher, of_rows: bool) -> Self {
        Self { fields, searcher, clauses: Vec::new(), of_rows, exact: true, gaps_left: GAPS_MAX }
    }

    fn join(mut self, kind: &str) -> Box<dyn Question> {
        let kind = self.term(kind);
        if self.clauses.is_empty() {
            return kind;
        }
        self.clauses.push((Occur::Must, kind));
        Box::new(BooleanQuery::new(self.clauses))
    }

    fn key(&mut self, key: &Key) -> tantivy::Result<()> {
        if key.test == Test::Any {
            return Ok(());
        }
        let Some(path) = self.path(key) else { return Ok(()) };
        if key.test == Test::Empty {
            if !self.of_rows {
                // That some instances have a value says nothing of the others.
                return Ok(());
            }
            self.clauses.push((Occur::MustNot, self.term(&terms::present(&path))));
            return Ok(());
        }
        let question = match self.ask(&path, key.tag, key.vr, &key.test) {
            Asked::Nothing => return Ok(()),
            Asked::All(questions) => all(questions),
            Asked::AnyOf(questions) => any(questions),
        };
        // What could not be indexed whole is always a candidate.
        let overflow = Term::from_field_text(self.fields.terms, &terms::overflow(&path));
        let question = if self.searcher.doc_freq(&overflow)? > 0 {
            self.exact = false;
            any(vec![question, Box::new(TermQuery::new(overflow, IndexRecordOption::Basic))])
        } else {
            question
        };
        self.clauses.push((Occur::Must, question));
        Ok(())
    }

    /// All keys of one of these lists must hold. A list without keys always does.
    fn any_of<'k>(&mut self, lists: impl Iterator<Item = &'k [Key]>, kind: &str) -> tantivy::Result<()> {
        let mut questions = Vec::new();
        for keys in lists {
            let mut one = Clauses::new(self.fields, self.searcher, self.of_rows);
            for key in keys {
                one.key(key)?;
            }
            self.exact &= one.exact;
            if one.clauses.is_empty() {
                return Ok(());
            }
            questions.push(one.join(kind));
        }
        self.clauses.push((Occur::Must, any(questions)));
        Ok(())
    }

    /// The path of a key's attribute; none if it is not indexed.
    fn path(&mut self, key: &Key) -> Option<String> {
        if !attributes::is_private(key.tag) {
            return (key.tag != attributes::SOP_INSTANCE_UID).then(|| terms::path_of(key.tag));
        }
        // Where a creator reserved two blocks only one of them counts.
        self.exact = false;
        Some(terms::path_of_private(key.tag, key.creator.as_deref()?))
    }

    fn ask(&mut self, path: &str, tag: Tag, vr: VR, test: &Test) -> Asked {
        match test {
            Test::Any => Asked::Nothing,
            Test::Empty => {
                // Within an item: every item may lack it.
                self.exact = false;
                Asked::Nothing
            }
            Test::Uids(values) | Test::OneOf(values) => {
                Asked::All(vec![self.one_of(values.iter().map(|value| terms::text(path, value)))])
            }
            Test::AllOf(values) => {
                Asked::All(values.iter().map(|value| self.term(&terms::text(path, value))).collect())
            }
            Test::Number(values) => {
                #[allow(clippy::cast_possible_truncation, reason = "what is single is compared as single")]
                let terms = |value: &f64| [terms::number(path, *value), terms::float(path, *value as f32)];
                Asked::All(vec![self.one_of(values.iter().flat_map(terms))])
            }
            Test::Wildcard(patterns) => {
                Asked::AnyOf(patterns.iter().map(|pattern| self.pattern(path, pattern)).collect())
            }
            Test::Name(name) => self.name(path, name),
            Test::Range(range) => match terms::rungs(vr) {
                Some(rungs) => Asked::All(vec![self.range(path, rungs, range)]),
                None => self.unanswered(path),
            },
            Test::DateTime { time, range } => self.date_time(path, tag, *time, range),
            Test::Item(keys) => self.item(path, keys),
        }
    }

    fn unanswered(&mut self, path: &str) -> Asked {
        Asked::All(vec![self.unread(path)])
    }

    fn name(&mut self, path: &str, name: &NameTest) -> Asked {
        if !name.tokens.is_empty() {
            // One name must have all of them, not two names together.
            self.exact &= name.tokens.len() == 1;
            return Asked::All(name.tokens.iter().map(|token| self.fuzzy(path, token)).collect());
        }
        let mut questions: Vec<Box<dyn Question>> = Vec::new();
        for patterns in name.by_group.iter().filter(|patterns| !patterns.is_empty()) {
            // The index does not tell the groups apart.
            self.exact = false;
            questions.push(self.any_pattern(path, patterns));
        }
        if !name.any_group.is_empty() {
            questions.push(self.any_pattern(path, &name.any_group));
        }
        if questions.is_empty() { self.unanswered(path) } else { Asked::All(questions) }
    }

    /// A word of a name that begins so, sounds so, or is written nearly so.
    fn fuzzy(&mut self, path: &str, token: &str) -> Box<dyn Question> {
        let mut questions = vec![begins(self.fields.terms, &terms::word(path, token))];
        if let Some(code) = sound(token) {
            questions.push(self.term(&terms::sounds(path, &code)));
        }
        let edits = edits_allowed(token);
        if edits > 0 {
            match self.near(path, token, edits) {
                Ok(near) => questions.push(self.one_of(near.into_iter())),
                // Only a superset then: every name.
                Err(_) => questions.push(self.unread(path)),
            }
        }
        any(questions)
    }

    /// The terms of words that differ in so many letters.
    fn near(&self, path: &str, token: &str, edits: u8) -> tantivy::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let beginning = terms::word(path, "");
        let automaton = near(Term::from_field_text(self.fields.terms, &terms::word(path, token)), edits)?;
        for segment in self.searcher.segment_readers() {
            let inverted = segment.inverted_index(self.fields.terms)?;
            let mut stream = inverted.terms().search(&automaton).into_stream()?;
            while stream.advance() {
                let Ok(term) = std::str::from_utf8(stream.key()) else { continue };
                // The letters that differ may be of the path.
                if term.strip_prefix(&beginning).is_some_and(|other| is_fuzzy_match(token, other)) {
                    found.insert(term.to_owned());
                }
            }
        }
        Ok(found)
    }

    fn unread(&mut self, path: &str) -> Box<dyn Question> {
        self.exact = false;
        self.term(&terms::present(path))
    }

    /// An item in which all keys match: at least, items in which each does.
    fn item(&mut self, path: &str, keys: &[Key]) -> Asked {
        let asked = keys.iter().filter(|key| key.test != Test::Any);
        if asked.clone().count() != 1 {
            self.exact = false;
        }
        let mut questions = Vec::new();
        for key in asked {
            let Some(within) = self.path(key) else {
                self.exact = false;
                continue;
            };
            match self.ask(&terms::path_within(path, &within), key.tag, key.vr, &key.test) {
                Asked::Nothing => {}
                Asked::All(more) => questions.extend(more),
                Asked::AnyOf(more) => questions.push(any(more)),
            }
        }
        if questions.is_empty() { Asked::Nothing } else { Asked::All(questions) }
    }

    fn any_pattern(&mut self, path: &str, patterns: &[Pattern]) -> Box<dyn Question> {
        any(patterns.iter().map(|pattern| self.pattern(path, pattern)).collect())
    }

    fn pattern(&mut self, path: &str, pattern: &Pattern) -> Box<dyn Question> {
        if let Some(text) = pattern.as_literal() {
            return self.term(&terms::text(path, text));
        }
        if !self.of_rows {
            let question = self.walk(path, pattern);
            return question.unwrap_or_else(|| self.term(&terms::present(path)));
        }
        if let [Part::Literal(text), Part::Any] = pattern.parts.as_slice()
            && terms::has_edges(path)
        {
            return self.begins_so(path, text);
        }
        let plan = grams::plan(pattern);
        if !plan.exact
            && begins_with_enough(pattern)
            && let Some(question) = self.walk(path, pattern)
        {
            return question;
        }
        self.exact &= plan.exact;
        let grams = self.fields.grams;
        let mut questions: Vec<Box<dyn Question>> = Vec::new();
        for need in plan.needs {
            questions.push(match need {
                Need::Begins(text) => begins(grams, &terms::text(path, &text)),
                Need::Phrase(phrase) => phrase_of(
                    phrase
                        .into_iter()
                        .map(|(at, gram)| (at, Term::from_field_text(grams, &terms::text(path, &gram))))
                        .collect(),
                ),
            });
        }
        if questions.is_empty() {
            self.exact = false;
            questions.push(self.term(&terms::present(path)));
        }
        all(questions)
    }

    /// A value that begins so, of an attribute that has edges.
    fn begins_so(&self, path: &str, text: &str) -> Box<dyn Question> {
        let length = text.chars().count();
        match terms::EDGES.iter().copied().find(|edge| *edge >= length) {
            Some(edge) if edge == length => self.term(&terms::edge(path, edge, text)),
            Some(edge) => begins(self.fields.terms, &terms::edge(path, edge, text)),
            None => begins(self.fields.terms, &terms::text(path, text)),
        }
    }

    /// Walks the dictionary of whole values: exact where trigrams are not. None
    /// if the automaton of the pattern becomes too large, or there are too many.
    fn walk(&mut self, path: &str, pattern: &Pattern) -> Option<Box<dyn Question>> {
        let gaps = pattern.parts.iter().filter(|part| !matches!(part, Part::Literal(_))).count();
        self.gaps_left = self.gaps_left.checked_sub(gaps)?;
        let mut regex = "(?s)".to_owned();
        escape(&terms::text(path, ""), &mut regex);
        for part in &pattern.parts {
            match part {
                Part::Literal(text) => escape(text, &mut regex),
                Part::Any => regex.push_str(".*"),
                Part::One => regex.push('.'),
            }
        }
        let question = RegexQuery::from_pattern(&regex, self.fields.terms).ok()?;
        Some(Box::new(question))
    }

    fn range(&mut self, path: &str, rungs: Rungs, range: &Range) -> Box<dyn Question> {
        match ladder::cover(rungs, range) {
            Some(cover) => self.covered(path, cover),
            None => self.unread(path),
        }
    }

    fn covered(&mut self, path: &str, Cover { stretches, exact }: Cover) -> Box<dyn Question> {
        self.exact &= exact;
        any(stretches.iter().map(|stretch| self.stretch(path, stretch)).collect())
    }

    fn date_time(&mut self, path: &str, date: Tag, time: Tag, range: &Range) -> Asked {
        if path == terms::path_of(date) && terms::PAIRS.contains(&(date, time)) {
            let Some(cover) = ladder::cover(ladder::DATE_TIME, range) else { return self.unanswered(path) };
            return Asked::All(vec![self.covered(&terms::path_of_pair(date), cover)]);
        }
        // The days alone.
        self.exact = false;
        let day = |bound: &Option<String>| bound.as_ref().and_then(|text| Some(text.get(..8)?.to_owned()));
        let days = Range { from: day(&range.from), to: day(&range.to), zone: range.zone };
        Asked::All(vec![self.range(path, ladder::DATE, &days)])
    }

    fn stretch(&self, path: &str, stretch: &Stretch) -> Box<dyn Question> {
        let bound = |(digits, included): &(String, bool)| {
            let term = Term::from_field_text(self.fields.terms, &terms::rung(path, stretch.rung, digits));
            if *included { Bound::Included(term) } else { Bound::Excluded(term) }
        };
        Box::new(InvertedIndexRangeQuery::new(bound(&stretch.from), bound(&stretch.to)))
    }

    fn term(&self, text: &str) -> Box<dyn Question> {
        Box::new(TermQuery::new(Term::from_field_text(self.fields.terms, text), IndexRecordOption::Basic))
    }

    fn one_of(&self, texts: impl Iterator<Item = String>) -> Box<dyn Question> {
        let mut terms: Vec<Term> =
            texts.map(|text| Term::from_field_text(self.fields.terms, &text)).collect();
        match terms.pop() {
            None => Box::new(EmptyQuery),
            Some(term) if terms.is_empty() => Box::new(TermQuery::new(term, IndexRecordOption::Basic)),
            Some(term) => {
                terms.push(term);
                Box::new(TermSetQuery::new(terms))
            }
        }
    }
}

/// Whether few values begin as the pattern does, so that a walk over them is
/// short.
fn begins_with_enough(pattern: &Pattern) -> bool {
    matches!(pattern.parts.first(), Some(Part::Literal(text)) if text.chars().count() >= WALK_AFTER)
}

/// A term that begins so.
fn begins(field: Field, text: &str) -> Box<dyn Question> {
    let from = Term::from_field_text(field, text);
    let to = Term::from_field_text(field, &format!("{text}{}", char::MAX));
    Box::new(InvertedIndexRangeQuery::new(Bound::Included(from), Bound::Included(to)))
}

fn escape(text: &str, regex: &mut String) {
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            regex.push('\\');
        }
        regex.push(c);
    }
}

fn phrase_of(mut terms: Vec<(usize, Term)>) -> Box<dyn Question> {
    match terms.pop() {
        None => Box::new(EmptyQuery),
        Some((_, term)) if terms.is_empty() => Box::new(TermQuery::new(term, IndexRecordOption::Basic)),
        Some(last) => {
            terms.push(last);
            Box::new(PhraseQuery::new_with_offset(terms))
        }
    }
}

/// All of them must hold; there is at least one.
fn all(mut questions: Vec<Box<dyn Question>>) -> Box<dyn Question> {
    if questions.len() == 1
        && let Some(question) = questions.pop()
    {
        return question;
    }
    Box::new(BooleanQuery::intersection(questions))
}

/// One of them must hold; of none, none does.
fn any(mut questions: Vec<Box<dyn Question>>) -> Box<dyn Question> {
    if questions.len() == 1
        && let Some(question) = questions.pop()
    {
        return question;
    }
    if questions.is_empty() {
        return Box::new(EmptyQuery);
    }
    Box::new(BooleanQuery::union(questions))
}
