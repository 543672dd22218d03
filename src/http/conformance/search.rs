//! The statement's section on Search (QIDO-RS): PS3.18 sections 8.3.4 and 10.6,
//! PS3.4 section C.2.2.2.

use super::{
    super::described::Resource,
    page::Page,
    tables::{attributes_of, parameters, statuses, transactions},
};
use crate::{
    config::{Config, EmptyStatus},
    dicom::query::Level,
};

pub(super) fn search(page: &mut Page, resources: &[Resource], config: &Config) {
    page.heading(3, "N.5.3.2 Search (QIDO-RS)");
    page.text(
        "Origin server, native: the resources of all levels (Table 10.6.1-1) are supported, the relational ones included.",
    );
    page.table(
        &["Method", "Resource", "Transaction", "Request", "Response"],
        transactions(resources, "Search"),
    );
    page.heading(4, "Query parameters");
    page.table(&["Parameter", "In", "Meaning"], parameters(resources, "Search"));
    page.text(format!(
        "Results of one search at most: {}. A greater or a missing `limit` means this number. What remains is said \
         in `Warning: 299`, the number of all matches in `X-Total-Count`. A search without results answers {}.",
        config.limits.results_max,
        match config.search.empty_status {
            EmptyStatus::EmptyList => "200 with an empty array",
            EmptyStatus::NoContent => "204 without a body",
        }
    ));
    page.text(
        "Unasked the order is Study Date and Study Time, the newest first and those without a date last, then Series \
         Number, then Instance Number; what is alike in all of these comes in the order in which it was first stored. \
         A client that pages sees one state of the archive, whatever is stored meanwhile, while it asks for a further \
         page within `search.paging_seconds_max`.",
    );
    matching(page);
    page.heading(4, "Attributes");
    page.text(
        "Every attribute is a match key at the levels that section 10.6.1.2.1 allows, by its keyword or its tag, \
         inside sequences by a path (`RequestAttributesSequence.ScheduledProcedureStepID`), private ones together \
         with their Private Creator. The tables say what comes back. An attribute of none of the tables belongs to \
         the instance.",
    );
    for (level, name) in [(Level::Study, "Study"), (Level::Series, "Series"), (Level::Instance, "Instance")] {
        page.heading(5, format!("{name} level"));
        page.table(&["Tag", "Attribute", "VR", "Returned"], attributes_of(level));
    }
    page.heading(4, "Status codes");
    page.table(&["Status", "Meaning"], statuses(resources, "Search"));
}

fn matching(page: &mut Page) {
    page.heading(4, "Matching");
    page.table(
        &["Kind", "Supported", "Behaviour"],
        [
            ("Single value", "yes", "Exact and case-sensitive but for person names; padding is not significant."),
            (
                "List of UIDs",
                "yes",
                "Separated by commas or `\\`, or as repeated parameters; matches any of them.",
            ),
            (
                "Universal",
                "yes",
                "An empty value, a bare name, or `*`; the attribute comes back, and nothing is excluded.",
            ),
            (
                "Wildcard",
                "yes",
                "`*` and `?` in AE, CS, LO, LT, PN, SH, ST, UC, UR and UT; in any other VR they are refused with 400.",
            ),
            (
                "Range",
                "yes",
                "DA, TM and DT: `a-b`, `a-`, `-b`, both ends included; shortened values are filled to the lowest or \
                 the highest moment.",
            ),
            (
                "Combined date and time",
                "yes",
                "Ranges of a date and of its time are one range, from the first moment to the last (8.3.4.1.1).",
            ),
            (
                "Time zone",
                "yes",
                "`TimezoneOffsetFromUTC` in the query: dates and times of the query are in that zone, and stored \
                 ones are brought to it. Without it stored values are compared as they stand.",
            ),
            (
                "Sequence",
                "yes",
                "All keys of one sequence match within one item; only the items that match come back.",
            ),
            (
                "Multiple values",
                "yes",
                "`multiplevaluematching=true`: all of the values, separated by `\\`, are there. Without it several \
                 values of a code string match any.",
            ),
            (
                "Empty value",
                "yes",
                "`emptyvaluematching=true`: `\"\"` matches what is absent or empty.",
            ),
            (
                "Fuzzy, of person names",
                "yes",
                "`fuzzymatching=true`: every word of the key is found in the name as the beginning of a word, by its \
                 sound (Cologne phonetics), or with other letters: one from four letters on, two from eight on.",
            ),
            (
                "Full text (an extension)",
                "yes",
                "`q=`: words that are all found in the text of a result, of the levels above it and of all below it, \
                 whichever attribute says them; the last one also as a beginning, longer ones with other letters as \
                 above. The best answers come first unless `orderby` says otherwise. `qprivate=true` looks into \
                 private attributes too, `snippet=true` says where the words were found.",
            ),
        ]
        .map(|row: (&str, &str, &str)| vec![row.0.to_owned(), row.1.to_owned(), row.2.to_owned()]),
    );
    page.text(
        "Person names are compared without regard to case, accents and width, and by component group: a key without \
         `=` matches any of the alphabetic, ideographic and phonetic groups, a key with `=` those that it names. \
         Wildcards work as in other text. Empty components at the end are not significant.",
    );
    page.text(
        "`ModalitiesInStudy`, `SOPClassesInStudy`, the `NumberOf…Related…` attributes, `InstanceAvailability` and \
         `RetrieveURL` are computed, the last of which is not matched. `InstanceAvailability` is NEARLINE where something has to be fetched from a bucket, else \
         ONLINE; where packs may move to one it is not matched. The counts are those of the whole entity, not of what matches. Where instances of \
         one study contradict each other, the one stored last speaks for the study.",
    );
    page.text(
        "A match parameter that cannot be understood as an attribute, or is of a level that the resource does not \
         match, is ignored with a `Warning`, or refused with 400 if `strict.query` is set. An `includefield` that is \
         not known is left out. `all` means all attributes of the tables. A malformed value is refused with 400.",
    );
}
