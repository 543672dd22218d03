//! The integration tests: one binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::cast_possible_truncation, reason = "tests build small values by hand")]

mod access;
mod audit;
mod auth;
mod backup;
mod capabilities;
mod commands;
mod commitment;
mod crash;
mod damage;
mod deidentify;
mod delete;
mod encryption;
mod errors;
mod formats;
mod harness;
mod library;
mod limits;
mod mutations;
mod openapi;
mod process;
mod protocol;
mod recovery;
mod reliability;
mod rendered;
mod retrieve;
mod rows;
mod s3;
mod s3_fs;
mod sample;
mod scrub;
mod search;
mod store;
mod tenants;
mod tidy;
mod tier;
mod uploads;
mod versions;
