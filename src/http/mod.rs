//! Floor 4: PS3.18 over actix-web. Text becomes typed values here, the archive
//! does the work, and what comes back becomes a representation. Knows no redb,
//! no tantivy and no files.

pub mod access;
mod audit;
mod auth;
pub mod base_url;
mod body;
mod capabilities;
mod commitment;
pub mod conformance;
mod deidentified;
mod delete;
mod described;
pub mod encoding;
mod flood;
mod health;
pub mod media;
mod metadata;
mod middleware;
pub mod multipart;
pub mod negotiate;
pub mod openapi;
mod pace;
mod params;
mod problem;
mod qido;
pub mod range;
mod rendered;
mod routes;
mod shares;
mod small;
mod state;
mod stow;
mod tenants;
mod uploads;
mod uri;
mod versions;
mod wado;
mod zip;

pub use access::authorise;
pub use audit::{record as audit, tend_findings};
pub use auth::{authenticate, client_certificate, tell, tend as tend_accounts};
pub use flood::{forget_the_quiet, limit_addresses, limit_callers};
pub use middleware::{cors, observe, strict_transport};
pub use problem::Problem;
pub use routes::routes;
pub use shares::shared::take_secret;
pub use state::State;
pub use tenants::{OF_AN_ARCHIVE, Tenants, choose_tenant};
pub use uploads::tend as tend_uploads;
