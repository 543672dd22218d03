//! The DICOM JSON Model (PS3.18 Annex F): data sets to JSON and back.
//!
//! What is written is canonical: ascending tags, no white space, numbers where
//! JSON has them, absent rather than empty values. It is written once, when an
//! instance arrives, so the URL of the instance is not in it yet: a byte 0x01,
//! which no JSON text holds, stands for it until [`fill`] puts it in.
//! What is read may be anyone's JSON, so the reader is lenient in form and
//! strict in bounds.

mod error;
mod lexer;
mod read;
mod write;

pub use super::form::Limits;
pub use error::{JsonError, Reason};
pub use read::{read, read_all};
pub use write::{fill, link, write};

#[cfg(test)]
pub(in crate::dicom) mod tests;
