//! libFuzzer's way in for the codings of pixels. What must hold stands in
//! `targets.rs`; here is nothing but the call. Runs under cargo-fuzz only (see README.md).

#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

/// libFuzzer ends at any panic. One on a decoder's own thread costs its frame
/// and nothing else, and whether it may is for [`targets::frame`] to say.
fn pass_over_decoders() {
    let ends = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("pixels") {
            ends(panic);
        }
    }));
}

libfuzzer_sys::fuzz_target!(init: pass_over_decoders(), |data: &[u8]| targets::frame(data));
