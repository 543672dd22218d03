//! Hilum: an imaging archive that speaks only the web.
//!
//! **A DICOM file arrives once, is understood once, and is never understood
//! again.** What a read will need is computed while the file arrives and kept
//! beside it; the bytes themselves stay exactly as they came.
//!
//! The floors, top to bottom; each calls only floors below it:
//!
//! | floor | module | knows |
//! |---|---|---|
//! | 5 | [`cli`], [`server`], [`config`] | processes, arguments, signals |
//! | 4 | [`http`] | actix-web and PS3.18; no redb, tantivy or files |
//! | 3 | [`archive`] | the transactions; the only place that combines storages |
//! | 2 | [`storage`] | packs (tar), catalog (redb), index (tantivy), strangers to each other |
//! | 1 | [`dicom`], [`pixels`], [`render`] | bytes in, values and pictures out; nothing else |
//!
//! Side rooms: [`auth`] (who may do what), [`audit`] (who did what), [`control`] (the operator's line to a
//! running server).
//!
//! Invariants:
//! 1. Truth flows pack → catalog → index: no row without its bytes, and each
//!    can be rebuilt from the one before it.
//! 2. An acknowledged instance is in a flushed pack and visible to every read.
//! 3. A read parses no DICOM: it is a look-up and a range of bytes.

// Tests build small values by hand: a cast there loses nothing.
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, clippy::needless_pass_by_value, clippy::unnecessary_wraps)
)]

pub mod archive;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod dicom;
pub mod http;
pub mod pixels;
pub mod render;
pub mod server;
pub mod storage;
pub mod tls;
