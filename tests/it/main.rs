//! The integration tests: one binary, so that it links once.

mod crash;
mod harness;
mod process;
mod recovery;
mod tidy;
