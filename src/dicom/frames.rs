//! Where the frames of an instance lie: computed once at ingest, so that a
//! frame is one range of bytes for ever after.
//!
//! Offsets count from the start of the file as it was received; for a Deflated
//! Transfer Syntax from the start of the inflated data set.

use serde::{Deserialize, Serialize};

/// The frames of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameTable {
    /// No pixel data.
    None,
    /// Native pixel data: frame n is at a computed place.
    Native {
        /// Byte offset of the first frame's first byte.
        offset: u64,
        /// Bits of one frame: a multiple of 8 unless Bits Allocated is 1.
        frame_bits: u64,
        frames: u32,
    },
    /// Encapsulated pixel data, one span a frame (PS3.5 section A.4).
    Encapsulated(Vec<FrameSpan>),
    /// A video (MPEG family): one stream, no single frames.
    Video(FrameSpan),
}

/// The bytes of one encapsulated frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameSpan {
    /// With one fragment: the first byte of its value. With several: the first
    /// byte of the first fragment's item header.
    pub offset: u64,
    /// Bytes from `offset` to the end of the last fragment.
    pub length: u64,
    /// With more than one, the 8-byte item headers between the fragments are
    /// inside the range and must be left out.
    pub fragments: u32,
}
