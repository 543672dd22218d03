//! Side room: who did what to whose images, and when (PS3.15 section A.5).
//!
//! [`trail`] gathers what a request touches, [`event`] is the record of it,
//! [`Journal`] keeps records in the log of [`crate::storage::audit`] before an
//! answer goes out. Everything else here is pure: records as `AuditMessage`
//! ([`xml`]), as FHIR ([`fhir`]), as a table ([`csv`]), as syslog ([`syslog`]).

pub mod event;
pub mod trail;

pub use event::{Action, Actor, Event, Object, Outcome, Record, Study};
pub use trail::{Deed, Patient, Subject, Touched, Trail};
