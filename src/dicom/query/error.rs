//! What is wrong with a search request, in words that say how to mend it. The
//! name of the parameter is said, its value never: it may be a patient's.

/// Characters of a parameter's name that are repeated to the client.
const NAME_MAX: usize = 64;

/// A parameter that makes no search, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {parameter} {reason}")]
pub struct QueryError {
    pub parameter: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("is longer than the {0} bytes allowed")]
    TooLong(usize),
    #[error("has more than the {0} values allowed")]
    TooMany(usize),
    #[error("makes more than the {0} attributes to match that are allowed")]
    TooManyKeys(usize),
    #[error("is not percent-encoded UTF-8")]
    Encoding,
    #[error("must be true or false")]
    Flag,
    #[error("must be a whole number, 0 or more")]
    Count,
    #[error("is given more than once and takes one value")]
    Twice,
    #[error("has no value in its list")]
    NoValue,
    #[error("is of a kind that takes no wildcards")]
    Wildcard,
    #[error("must be a UID or a list of UIDs: digits and dots, at most 64, no wildcards")]
    Uid,
    #[error("must be a number, without wildcards")]
    Number,
    #[error("must be a tag of 8 hexadecimal digits")]
    TagValue,
    #[error(
        "must be a date (YYYYMMDD), a time (HHMMSS) or both, as its attribute is, or a range of two joined by '-'"
    )]
    Moment,
    #[error("must be an offset from UTC such as %2B0100")]
    Zone,
    #[error("is a sequence or binary: match the attributes of its items (Sequence.Attribute) instead")]
    NoMatching,
    #[error(
        "must list attributes of the level searched for or above, each with a '-' before it for descending order"
    )]
    Order,
    #[error("is no attribute that this archive knows")]
    Unknown,
    #[error("is an attribute that cannot be matched on this resource")]
    WrongLevel,
    #[error("is returned and not matched")]
    Returned,
    #[error("is a private attribute: give its private creator too (such as 00091001=...&00090010=CREATOR)")]
    NoCreator,
}

impl QueryError {
    pub(super) fn at(name: &str, reason: Reason) -> Self {
        Self { parameter: printable(name), reason }
    }
}

/// A name of a parameter as it may stand in a header or a log. A name that no
/// attribute could have might be anything, even a misplaced value.
pub(super) fn printable(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(|c| plain(&c)) && name.len() <= NAME_MAX {
        name.to_owned()
    } else {
        "(unprintable)".to_owned()
    }
}
