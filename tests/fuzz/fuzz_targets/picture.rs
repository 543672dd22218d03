//! libFuzzer's way in for what is drawn. What must hold stands in `targets.rs`; here
//! is nothing but the call. Runs under cargo-fuzz only (see README.md).

#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::picture(data));
