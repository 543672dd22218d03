//! The integration tests: one binary, so that it links once.

mod capabilities;
mod delete;
mod errors;
mod harness;
mod library;
mod retrieve;
mod sample;
mod search;
mod store;
mod tidy;
