//! The fields of the index, and how texts become tokens. Whoever changes what
//! is here, in `terms.rs` or in [`super::order::COLUMNS`] raises
//! [`super::FORMAT`], and the index is built anew from the catalog.
//!
//! Nothing is stored but the text of documents, which no attribute has: a hit is
//! the ids of the catalog and what orders it.

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::TokenizerManager;

use super::grams::Grams;
use super::order::COLUMNS;
use super::text::Words;

const RAW: &str = "raw";
const GRAMS: &str = "grams";
const WORDS: &str = "words";

#[derive(Clone)]
pub(super) struct Fields {
    /// Whole terms, see `terms.rs`.
    pub terms: Field,
    /// Trigrams with positions, see `grams.rs`.
    pub grams: Field,
    /// The words of all texts, see `text.rs`.
    pub text: Field,
    /// Those of private attributes.
    pub private_text: Field,
    /// The text of an encapsulated document.
    pub document: Field,
    /// The catalog's id of the study: of every document, for delete and join.
    pub study: Field,
    /// The catalog's id of the series; absent on the document of a study, for
    /// join too.
    pub series: Field,
    /// Instances of the study or series.
    pub instances: Field,
    /// One per [`COLUMNS`], in their order.
    pub columns: Vec<Field>,
}

pub(super) const STUDY: &str = "study";
pub(super) const SERIES: &str = "series";
pub(super) const INSTANCES: &str = "instances";

pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let indexing = |tokenizer, record, ranked| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_index_option(record)
                .set_fieldnorms(ranked),
        )
    };
    let indexed = |tokenizer, record| indexing(tokenizer, record, false);
    let words = || indexing(WORDS, IndexRecordOption::WithFreqs, true);
    let terms = builder.add_text_field("terms", indexed(RAW, IndexRecordOption::Basic));
    let grams = builder.add_text_field("grams", indexed(GRAMS, IndexRecordOption::WithFreqsAndPositions));
    let text = builder.add_text_field("text", words());
    let private_text = builder.add_text_field("private_text", words());
    let document = builder.add_text_field("document", STORED);
    let study = builder.add_u64_field(STUDY, INDEXED | FAST);
    let series = builder.add_u64_field(SERIES, INDEXED | FAST);
    let instances = builder.add_u64_field(INSTANCES, FAST);
    let columns = COLUMNS
        .iter()
        .map(|column| {
            if column.is_text() {
                builder.add_text_field(column.name, TextOptions::default().set_fast(RAW))
            } else {
                builder.add_u64_field(column.name, FAST)
            }
        })
        .collect();
    (
        builder.build(),
        Fields { terms, grams, text, private_text, document, study, series, instances, columns },
    )
}

pub(super) fn tokenizers() -> TokenizerManager {
    // It has `raw`, and the `default` that fields of numbers are asked for.
    let manager = TokenizerManager::default();
    manager.register(GRAMS, Grams::default());
    manager.register(WORDS, Words);
    manager
}
