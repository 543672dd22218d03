//! The integration tests: one binary, so that it links once.

mod crash;
mod harness;
<<<<<<< HEAD
mod process;
mod recovery;
=======
mod openapi;
>>>>>>> n4
mod tidy;
