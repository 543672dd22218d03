//! Floor 1: DICOM itself. Pure functions from bytes to values: no clock, no
//! file system, no network. Every parser here is bounded (by the length of its
//! input, a nesting depth, a number of elements) and never panics.

pub mod attributes;
pub mod bitstream;
pub mod check;
pub mod coerce;
pub mod commitment;
pub mod compose;
pub mod dataset;
pub mod deidentify;
pub mod derived;
pub mod dicomdir;
pub mod document;
mod edit;
pub mod encode;
pub mod fold;
mod form;
pub mod frames;
pub mod json;
pub mod part10;
pub mod plan;
pub mod prose;
pub mod query;
pub mod raster;
pub mod reasons;
pub mod source;
pub mod text;
pub mod transcode;
pub mod transfer_syntax;
pub mod uid;
pub mod vr;
pub mod xml;

pub use dataset::{Bulk, DataSet, Element, PersonName, Value};
pub use dicom_core::{Tag, VR};
pub use frames::{FrameSpan, FrameTable};
pub use uid::{InstancePath, InstanceUid, SeriesPath, SeriesUid, StudyUid};
