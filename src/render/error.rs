//! Why something cannot be rendered, as meanings: whose fault it is decides on
//! the status of the answer.

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The data set is none that this version can draw.
    #[error("{0}")]
    Unsupported(String),
    /// The attributes and the pixels do not fit each other.
    #[error("{0}")]
    Inconsistent(String),
    /// A parameter of the request that does not fit this image.
    #[error("{detail}")]
    Parameter { name: &'static str, detail: String },
    /// An encoder gave up.
    #[error("the picture cannot be encoded: {0}")]
    Encode(String),
}

impl RenderError {
    pub(super) fn encode(error: impl std::fmt::Display) -> Self {
        Self::Encode(error.to_string())
    }
}
