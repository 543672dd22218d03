//! Floor 2: the storages, that do not know each other. [`crate::archive`]
//! is the only place that combines them.

pub mod accounts;
pub mod audit;
pub mod backups;
pub mod catalog;
pub mod commitments;
pub mod index;
pub mod objects;
pub mod packs;
pub mod place;
pub mod pseudonyms;
pub mod scrub_state;
pub mod seal;
pub mod shares;
pub mod thumbnails;
pub mod uploads;
pub mod waiting;
mod whole_file;

pub use place::{CHUNK_BYTES, Chunks, Digest, PackId, Place, Role, Stamp};
