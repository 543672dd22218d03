//! Who may do what: a caller becomes an [`Identity`], an identity a [`Permit`],
//! and every transaction of the archive asks for one, so that forgetting to
//! authorise does not compile.
//!
//! While authentication is off, Hilum listens on loopback only (see
//! [`crate::config::Config::check`]), and every caller is the local one.

mod attempts;
pub mod authentication;
mod certificate;
pub mod event;
pub mod identity;
pub mod jwt;
mod password;
mod permit;
mod roles;
pub mod secret;
pub mod sessions;
pub mod shares;
mod smart;
mod tenant;

pub use authentication::{Authentication, ChangeError, CredentialError, LoginError, NewToken};
pub use identity::{Identity, Method};
pub use permit::{Action, Denied, Permit, Reach, Rights};
pub use roles::{RoleError, Roles};
pub use tenant::Tenant;
