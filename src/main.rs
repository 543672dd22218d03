//! The `hilum` binary.

fn main() {}
