//! The fields of the index, and how texts become tokens. Whoever changes what
//! is here, in `terms.rs` or in [`super::order::COLUMNS`] raises
//! [`super::FORMAT`], and the index is built anew from the catalog.
//!
//! Nothing is stored: a hit is the ids of the catalog and what orders it.

use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::TokenizerManager;

use super::grams::Grams;
use super::order::COLUMNS;

const RAW: &str = "raw";
const GRAMS: &str = "grams";

#[derive(Clone)]
pub(super) struct Fields {
    /// Whole terms, see `terms.rs`.
    pub terms: Field,
    /// Trigrams with positions, see `grams.rs`.
    pub grams: Field,
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
    let indexed = |tokenizer, record| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_index_option(record)
                .set_fieldnorms(false),
        )
    };
    let terms = builder.add_text_field("terms", indexed(RAW, IndexRecordOption::Basic));
    let grams = builder.add_text_field("grams", indexed(GRAMS, IndexRecordOption::WithFreqsAndPositions));
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
    (builder.build(), Fields { terms, grams, study, series, instances, columns })
}

pub(super) fn tokenizers() -> TokenizerManager {
    // It has `raw`, and the `default` that fields of numbers are asked for.
    let manager = TokenizerManager::default();
    manager.register(GRAMS, Grams::default());
    manager
}
