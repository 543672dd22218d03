//! Why pixels could not be decoded or encoded. Says where and what, never a
//! pixel's value.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PixelError {
    /// The attributes that describe the pixels are missing or contradict each
    /// other.
    #[error("the image is not described well enough to read its pixels: {0}")]
    Description(String),
    /// More than a configured limit allows.
    #[error(
        "a frame of {bytes} bytes is more than the {limit} that are decoded at once (pixels.frame_bytes_max)"
    )]
    TooLarge { bytes: u64, limit: u64 },
    /// A coding, or a part of one, that is not known here.
    #[error("these pixels cannot be decoded or encoded here: {0}")]
    Unsupported(String),
    /// The code stream breaks its own rules.
    #[error("the {coding} code stream is damaged at byte {offset}: {what}")]
    Damaged { coding: &'static str, offset: usize, what: String },
    /// The code stream is sound, and of another image than the data set says.
    #[error("the code stream does not fit its data set: {0}")]
    Mismatch(String),
    #[error("decoding took longer than {0:?} (pixels.frame_time_max_ms)")]
    TooSlow(Duration),
    /// So many decoders are still busy with frames that took too long that no
    /// more are started.
    #[error("too many frames that take too long are being decoded")]
    Busy,
}

impl PixelError {
    pub(super) fn damaged(coding: &'static str, offset: usize, what: impl Into<String>) -> Self {
        Self::Damaged { coding, offset, what: what.into() }
    }
}
