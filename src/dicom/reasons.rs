//! Failure and warning reasons of the Store and Storage Commitment transactions
//! (PS3.18 Annex I.2 and J, PS3.3 section C.14.1.1, PS3.4 table B.2-1, PS3.7
//! annex C), as the numbers that stand in (0008,1197) and (0008,1196). One
//! table, which the conformance statement prints.

/// Whether the instance is there all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Failure,
    Warning,
}

/// One reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    pub kind: Kind,
    pub code: u16,
    pub meaning: &'static str,
}

macro_rules! reasons {
    ($($kind:ident $name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: u16 = $code;)*
        /// All of them, in the order of their codes.
        pub const TABLE: &[Reason] =
            &[$(Reason { kind: Kind::$kind, code: $code, meaning: $meaning }),*];
    };
}

reasons! {
    Failure PROCESSING_FAILURE = 0x0110, "Processing failure.";
    Failure DUPLICATE_SOP_INSTANCE = 0x0111, "Another instance has this SOP Instance UID.";
    Failure NO_SUCH_INSTANCE = 0x0112, "Storage commitment: there is no such instance, or not in the series it is said to be in.";
    Failure CLASS_INSTANCE_CONFLICT = 0x0119, "Storage commitment: the instance is of another SOP Class.";
    Failure NOT_AUTHORIZED = 0x0124, "Not authorized: the caller may not store this instance here.";
    Failure OUT_OF_RESOURCES = 0xA700, "Out of resources: the disk is full, or too much is under way.";
    Failure DATA_SET_MISMATCH = 0xA900, "The data set does not match its SOP Class: an identifying attribute is missing or malformed.";
    Failure STUDY_MISMATCH = 0xA901, "The Study Instance UID is not the one of the request's URL.";
    Warning COERCED = 0xB000, "Data elements were coerced.";
    Warning DEPARTS_FROM_STANDARD = 0xB007, "Stored, but the data set departs from the standard.";
    Failure CANNOT_UNDERSTAND = 0xC000, "The bytes cannot be understood as DICOM.";
    Failure TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122, "The transfer syntax is not supported.";
}
