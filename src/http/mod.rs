//! Floor 4: the web. The services of PS3.18 over actix-web, and the pieces of
//! protocol they stand on, which are text and bytes in, values out. Knows no
//! redb, no tantivy and no files.

pub mod base_url;
pub mod encoding;
pub mod media;
pub mod multipart;
pub mod negotiate;
pub mod range;
