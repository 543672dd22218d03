//! Side room: who did what to whose images, and when (PS3.15 section A.5).
//!
//! [`trail`] gathers what a request touches, [`event`] is the record of it,
//! [`Journal`] keeps records in the log of [`crate::storage::audit`] before an
//! answer goes out, and [`sender`] sends them on. Everything else here is pure:
//! records as `AuditMessage` ([`xml`]), as FHIR ([`fhir`]), as a table
//! ([`csv`]), as syslog ([`syslog`]).

mod connection;
pub mod csv;
pub mod event;
pub mod fhir;
mod filter;
mod gathering;
mod journal;
pub mod sender;
pub mod syslog;
pub mod trail;
mod writer;
pub mod xml;

pub use event::{Action, Actor, Event, Object, Outcome, Record, Study};
pub use filter::{Archives, Filter, moment};
pub use gathering::Access;
pub use journal::{Journal, JournalError, Settings, folder_of, own, removal, start};
pub(crate) use trail::reason_of;
pub use trail::{Deed, Patient, Subject, Touched, Trail};
pub use xml::Source;

use base64::{Engine, engine::general_purpose::STANDARD};

/// A query as it stands in a record: method and URL, in base64, without tokens.
#[must_use]
pub fn query(method: &str, path: &str, query: &str) -> String {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("access_token=")).collect();
    let pairs = pairs.join("&");
    let mark = if pairs.is_empty() { "" } else { "?" };
    STANDARD.encode(format!("{method} {path}{mark}{pairs}"))
}

/// A query of a record to be read.
#[must_use]
pub fn plain_query(query: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(query).ok()?).ok()
}
