//! `multipart/related` bodies (RFC 2046 section 5.1, RFC 2387, PS3.18 sections
//! 8.6.1.2 and 8.7.1): a reader for uploads and a writer for downloads.
//!
//! Must not know what is in a part. The reader takes what real clients send;
//! the writer sends what the most fragile of them can read.

mod read;
mod stream;
mod write;

pub use read::{Event, Limits, MultipartError, PartHeaders, Reader, boundary_of};
pub use stream::{Parts, PartsError};
pub use write::{Layout, PartHead, Slice, boundary, content_type, head, tail};
