//! Retrieve (WADO-RS): PS3.18 section 10.4, rows RET-01 to 10, and what HTTP
//! itself offers on each resource.

mod bulkdata;
mod conditional;
mod decoded;
mod described;
mod encoding;
mod frames;
mod golden;
mod instances;
mod lossy;
mod metadata;
mod metadata_xml;
mod negotiation;
mod oracle;
mod overload;
mod own_media;
mod partial;
mod pixeldata;
mod uri;
mod vectors;
mod zip;
