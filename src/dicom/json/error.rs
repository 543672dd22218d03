//! Why the reader refuses. No value is repeated.

use dicom_core::Tag;

/// Why a text is not a data set, and where. No value is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}{}", .tag.map(|tag| format!(" in attribute {tag}")).unwrap_or_default())]
pub struct JsonError {
    pub offset: usize,
    /// The innermost attribute it is in.
    pub tag: Option<Tag>,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("this is not JSON")]
    Syntax,
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("the nesting is too deep")]
    Depth,
    #[error("there are too many attributes or values")]
    Elements,
    #[error("an object, array, string or number stands where another is needed")]
    Shape,
    #[error("a number is missing, malformed or outside the range of its VR")]
    Number,
    #[error("this VR has no such form of value")]
    Form,
    #[error("an InlineBinary is not base64")]
    Base64,
}
