//! Side room: who did what to whose images, and when (PS3.15 section A.5).
//!
//! [`trail`] gathers what a request touches, [`event`] is the record that is made
//! of it. Nothing keeps such records yet. Pure: it writes nothing itself.

pub mod event;
pub mod trail;

pub use event::{Action, Actor, Event, Object, Outcome, Record, Study};
pub use trail::{Deed, Patient, Subject, Touched, Trail};
