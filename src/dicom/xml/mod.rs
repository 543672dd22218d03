//! The Native DICOM Model (PS3.19 section A.1): data sets to XML and back.
//!
//! The same model as the JSON (PS3.18 Table F.3.1-1) with three differences:
//! names are parted into their components, private attributes stand by the name
//! of their creator instead of by a block, and XML 1.0 has no word for most
//! control characters. A bulk value is what its URI says: `Bulk::path` is the
//! whole URI, both in what is read and in what is written.
//! What is read may be anyone's XML, so the reader is lenient in form and
//! strict in bounds; it takes no document type and no entities of one.

mod blocks;
mod error;
mod read;
mod values;
mod write;

pub use super::form::Limits;
pub use error::{Reason, XmlError};
pub use read::read;
pub use write::write;

#[cfg(test)]
mod tests;
