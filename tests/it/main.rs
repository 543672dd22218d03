//! The integration tests: one binary, so that it links once.

mod crash;
mod harness;
mod openapi;
mod process;
mod recovery;
mod tidy;
