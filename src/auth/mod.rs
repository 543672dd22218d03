//! Who may do what: a caller becomes an [`Identity`], an identity a [`Permit`],
//! and every transaction of the archive asks for one, so that forgetting to
//! authorise does not compile.
//!
//! While authentication is off, Hilum listens on loopback only (see
//! [`crate::config::Config::check`]), and every caller is the local one.

pub mod event;
pub mod identity;
mod permit;
mod roles;
mod smart;

pub use identity::{Identity, Method};
pub use permit::{Action, Denied, Permit, Reach, Rights};
pub use roles::{RoleError, Roles};
