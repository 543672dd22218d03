//! The integration tests: one binary, so that it links once.

mod capabilities;
mod crash;
mod delete;
mod errors;
mod harness;
mod library;
mod mutations;
mod openapi;
mod process;
mod recovery;
mod retrieve;
mod sample;
mod search;
mod store;
mod tidy;
