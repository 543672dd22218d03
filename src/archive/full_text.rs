//! Full text matched directly: for what the index does not hold yet, for what
//! is named by its UIDs, and for instances, of which the index knows only
//! blocks. What answers a word stands in `dicom/query/full_text.rs`.

use std::ops::ControlFlow;

use super::{ArchiveError, Core, instances::Attributes, sight::Sight};
use crate::{
    dicom::{
        DataSet, SeriesPath, Tag, VR, attributes,
        prose::each_text,
        query::{FullText, Hearing, Level, Query},
    },
    storage::catalog::{InstanceRow, Snapshot},
};

/// The block in which a snippet is told: private creator, the text, and the
/// attribute that says it.
const SNIPPET_CREATOR: (Tag, &str) = (Tag(0x0099, 0x0010), "HILUM");
const SNIPPET: Tag = Tag(0x0099, 0x1001);
const SNIPPET_OF: Tag = Tag(0x0099, 0x1002);

const ENCAPSULATED_DOCUMENT: Tag = Tag(0x0042, 0x0011);

/// Instances of one result that are looked through for a snippet.
const SNIPPET_INSTANCES_MAX: usize = 200;
/// Characters of a snippet, and those of them before the word.
const SNIPPET_CHARS: usize = 160;
const SNIPPET_CHARS_BEFORE: usize = 60;

/// The words of a search, and what each is worth.
pub(super) struct Asked<'a> {
    core: &'a Core,
    pub text: &'a FullText,
    rarity: Vec<f32>,
}

impl<'a> Asked<'a> {
    /// None if the search asks for no words.
    pub fn of(core: &'a Core, query: &'a Query) -> Result<Option<Self>, ArchiveError> {
        let Some(text) = &query.text else { return Ok(None) };
        Ok(Some(Self { core, text, rarity: core.index.reader().rarity(text)? }))
    }

    /// Listens to what a study or series says of itself.
    pub fn hear_row(hearing: &mut Hearing<'_>, set: &DataSet) {
        each_text(set, |_| true, &mut |_, is_private, text| _ = hearing.hear(is_private, text));
    }

    /// Listens to what an instance says of itself, and to the document that it
    /// encapsulates.
    pub fn hear_instance(
        &self,
        snapshot: &Snapshot,
        hearing: &mut Hearing<'_>,
        row: &InstanceRow,
        set: &DataSet,
    ) -> Result<(), ArchiveError> {
        let of = attributes::is_of_instance;
        each_text(set, of, &mut |_, is_private, text| _ = hearing.hear(is_private, text));
        if !hearing.is_complete()
            && let Some(text) = self.core.documents.text_of(self.core, snapshot, row, set)?
        {
            hearing.hear(false, &text);
        }
        Ok(())
    }

    /// Listens to the instances of a series until nothing is left to be found.
    pub fn hear_series(
        &self,
        snapshot: &Sight<'_>,
        path: &SeriesPath,
        hearing: &mut Hearing<'_>,
    ) -> Result<(), ArchiveError> {
        if hearing.is_complete() {
            return Ok(());
        }
        snapshot.each_instance(path, Attributes::All, &mut |row, set| {
            self.hear_instance(snapshot.raw(), hearing, &row, &set)?;
            Ok(if hearing.is_complete() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// The rank of a result; none if it lacks a word.
    pub fn score(&self, hearing: &Hearing<'_>) -> Option<f32> {
        hearing.is_complete().then(|| hearing.score(&self.rarity))
    }
}

/// The text of a result that answers the most words.
pub(super) struct Best<'a> {
    core: &'a Core,
    asked: &'a FullText,
    answers: usize,
    found: Option<(Tag, String)>,
}

impl<'a> Best<'a> {
    pub fn new(core: &'a Core, asked: &'a FullText) -> Self {
        Self { core, asked, answers: 0, found: None }
    }

    fn offer(&mut self, tag: Tag, is_private: bool, text: &str) {
        let mut hearing = self.asked.listen();
        if hearing.hear(is_private, text) && hearing.answers() > self.answers {
            self.answers = hearing.answers();
            self.found = Some((tag, cut(self.asked, text)));
        }
    }

    fn is_enough(&self) -> bool {
        self.answers == self.asked.words.len()
    }

    pub fn look_into(&mut self, set: &DataSet, level: Level) {
        let of = |tag| level != Level::Instance || attributes::is_of_instance(tag);
        each_text(set, of, &mut |tag, is_private, text| self.offer(tag, is_private, text));
    }

    /// Looks into an instance, and into the document that it encapsulates.
    pub fn look_into_instance(
        &mut self,
        snapshot: &Snapshot,
        row: &InstanceRow,
        set: &DataSet,
    ) -> Result<(), ArchiveError> {
        self.look_into(set, Level::Instance);
        if !self.is_enough()
            && let Some(text) = self.core.documents.text_of(self.core, snapshot, row, set)?
        {
            self.offer(ENCAPSULATED_DOCUMENT, false, &text);
        }
        Ok(())
    }

    /// Looks into the first instances of a series.
    pub fn look_into_series(&mut self, snapshot: &Sight<'_>, path: &SeriesPath) -> Result<(), ArchiveError> {
        let mut left = SNIPPET_INSTANCES_MAX;
        if self.is_enough() {
            return Ok(());
        }
        snapshot.each_instance(path, Attributes::All, &mut |row, set| {
            self.look_into_instance(snapshot.raw(), &row, &set)?;
            left -= 1;
            Ok(if left == 0 || self.is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// Puts what was found into a result.
    pub fn tell(self, result: &mut DataSet) {
        let Some((tag, snippet)) = self.found else { return };
        let (at, creator) = SNIPPET_CREATOR;
        let attribute = attributes::keyword(tag)
            .map_or_else(|| format!("{:04X}{:04X}", tag.group(), tag.element()), str::to_owned);
        result.put_text(at, VR::LO, creator);
        result.put_text(SNIPPET, VR::UT, &snippet);
        result.put_text(SNIPPET_OF, VR::LO, &attribute);
    }
}

/// The part of a text around the first word that answers.
fn cut(asked: &FullText, text: &str) -> String {
    let starts = std::iter::once(0).chain(
        text.char_indices()
            .zip(text.chars().skip(1))
            .filter(|((_, before), after)| {
                before.is_alphanumeric() != after.is_alphanumeric() || !after.is_ascii()
            })
            .map(|((at, before), _)| at + before.len_utf8()),
    );
    let answers = |at: &usize| {
        let word: String =
            text[*at..].chars().take_while(|c| c.is_alphanumeric()).take(SNIPPET_CHARS).collect();
        asked.listen().hear(asked.private, &word) && !word.is_empty()
    };
    let at = starts.into_iter().find(answers).unwrap_or_default();
    let before =
        text[..at].char_indices().rev().take(SNIPPET_CHARS_BEFORE).last().map_or(at, |(start, _)| start);
    let snippet: String = text[before..].chars().take(SNIPPET_CHARS).collect();
    snippet.split_whitespace().collect::<Vec<_>>().join(" ")
}
