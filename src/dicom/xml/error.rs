//! Why the reader refuses. No value is repeated.

use dicom_core::Tag;

/// Why a text is not a data set, and where. No value is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}{}", .tag.map(|tag| format!(" in attribute {tag}")).unwrap_or_default())]
pub struct XmlError {
    pub offset: usize,
    /// The innermost attribute it is in.
    pub tag: Option<Tag>,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("this is not well-formed XML")]
    Syntax,
    #[error("the text is not UTF-8, the only encoding that is read")]
    Encoding,
    #[error("a document type or a reference to an entity of one is not read")]
    DocumentType,
    #[error("the root element is not NativeDicomModel")]
    Root,
    #[error("an attribute has neither a tag of 8 hexadecimal digits nor a keyword of PS3.6")]
    Attribute,
    #[error("the nesting is too deep")]
    Depth,
    #[error("there are too many attributes or values")]
    Elements,
    #[error("an element or text stands where another is needed")]
    Shape,
    #[error("a number attribute is no number from 1, or is there twice")]
    Position,
    #[error("a number is missing, malformed or outside the range of its VR")]
    Number,
    #[error("this VR has no such form of value")]
    Form,
    #[error("an InlineBinary is not base64")]
    Base64,
    #[error("a group has more private creators than it has blocks")]
    Blocks,
}
