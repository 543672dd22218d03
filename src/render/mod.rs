//! Floor 1, beside [`crate::dicom`] and [`crate::pixels`]: data sets and decoded
//! frames to what a person looks at (PS3.18 sections 8.3.5 and 10.4.1.1.3). Pure:
//! bytes in, pictures and text out; no archive, no HTTP.
//!
//! [`picture::draw`] is the way of a frame: values (`stored`, `modality`, `voi`,
//! `palette`, `color`), `overlay`, `geometry`, `annotate`; [`presentation::draw`]
//! the way that a presentation state prescribes; [`encode`] makes a file of the
//! result.

pub mod annotate;
mod color;
pub mod encode;
mod error;
mod fill;
mod font;
mod functional;
pub mod geometry;
mod gray;
pub mod icc;
pub mod icon;
mod image;
mod lut;
mod modality;
mod overlay;
mod palette;
pub mod picture;
pub mod presentation;
pub mod report;
mod segment;
pub mod slide;
mod stored;
mod stroke;
mod values;
pub mod voi;
pub mod waveform;

pub use error::RenderError;
pub use image::{Channels, Image};

/// Text that is nothing but text, in an element or an attribute of HTML or SVG.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            character if character.is_control() => {}
            character => out.push(character),
        }
    }
    out
}
