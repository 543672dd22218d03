//! The commands of the `hilum` binary, one file (or folder) each. A command
//! reads its arguments, calls the floors below and prints; it holds no rule of
//! the archive itself.

pub mod import;
