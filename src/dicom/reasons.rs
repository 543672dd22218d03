//! Failure and warning reasons of the Store transaction (PS3.18 Annex I.2,
//! PS3.4 table B.2-1, PS3.7 annex C), as the numbers that stand in
//! (0008,1197) and (0008,1196).

/// 0110: processing failure.
pub const PROCESSING_FAILURE: u16 = 0x0110;
/// 0111: another instance has this SOP Instance UID.
pub const DUPLICATE_SOP_INSTANCE: u16 = 0x0111;
/// A700: out of resources.
pub const OUT_OF_RESOURCES: u16 = 0xA700;
/// A900: the data set does not match its SOP Class: an identifying attribute
/// is missing or malformed.
pub const DATA_SET_MISMATCH: u16 = 0xA900;
/// A901: the Study Instance UID is not the one of the request's URL.
pub const STUDY_MISMATCH: u16 = 0xA901;
/// C000: the bytes cannot be understood as DICOM.
pub const CANNOT_UNDERSTAND: u16 = 0xC000;
/// C122: the referenced transfer syntax is not supported.
pub const TRANSFER_SYNTAX_NOT_SUPPORTED: u16 = 0xC122;

/// B000: data elements were coerced.
pub const COERCED: u16 = 0xB000;
/// B007: stored, but the data set departs from the standard.
pub const DEPARTS_FROM_STANDARD: u16 = 0xB007;
