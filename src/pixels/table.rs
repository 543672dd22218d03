//! The table of what is decoded and encoded, and by what. `docs/PIXELS.md` shows
//! it, and a test holds the two together.

/// What can be done with one Transfer Syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    pub uid: &'static str,
    /// Who decodes it.
    pub decoder: &'static str,
    /// Who encodes it.
    pub encoder: Option<&'static str>,
    /// Its encoder loses something.
    pub is_lossy: bool,
}

const OWN: &str = "hilum";
const J2K: &str = "openjp2";

const fn row(uid: &'static str, decoder: &'static str, encoder: Option<&'static str>) -> Codec {
    Codec { uid, decoder, encoder, is_lossy: false }
}

const fn lossy(uid: &'static str, decoder: &'static str, encoder: &'static str) -> Codec {
    Codec { uid, decoder, encoder: Some(encoder), is_lossy: true }
}

/// All that is decoded. Of what is not here, the stored bytes can be had.
#[rustfmt::skip]
pub const TABLE: &[Codec] = &[
    row("1.2.840.10008.1.2", OWN, None),
    row("1.2.840.10008.1.2.1", OWN, Some(OWN)),
    row("1.2.840.10008.1.2.1.98", OWN, Some(OWN)),
    row("1.2.840.10008.1.2.1.99", OWN, None),
    row("1.2.840.10008.1.2.2", OWN, None),
    row("1.2.840.10008.1.20", OWN, None),
    row("1.2.840.10008.1.2.5", OWN, Some(OWN)),
    lossy("1.2.840.10008.1.2.4.50", "zune-jpeg", "jpeg-encoder"),
    row("1.2.840.10008.1.2.4.51", "zune-jpeg; hilum (12 bits)", None),
    row("1.2.840.10008.1.2.4.53", "zune-jpeg", None),
    row("1.2.840.10008.1.2.4.55", "zune-jpeg", None),
    row("1.2.840.10008.1.2.4.57", OWN, None),
    row("1.2.840.10008.1.2.4.70", OWN, Some(OWN)),
    row("1.2.840.10008.1.2.4.80", OWN, Some(OWN)),
    lossy("1.2.840.10008.1.2.4.81", OWN, OWN),
    row("1.2.840.10008.1.2.4.90", J2K, Some(J2K)),
    lossy("1.2.840.10008.1.2.4.91", J2K, J2K),
    row("1.2.840.10008.1.2.4.92", J2K, None),
    row("1.2.840.10008.1.2.4.93", J2K, None),
    row("1.2.840.10008.1.2.4.110", "jxl-oxide", Some("zune-jpegxl")),
    row("1.2.840.10008.1.2.4.111", "jxl-oxide", None),
    row("1.2.840.10008.1.2.4.112", "jxl-oxide", None),
    row("1.2.840.10008.1.2.4.201", J2K, Some("openjph-core")),
    row("1.2.840.10008.1.2.4.202", J2K, None),
    row("1.2.840.10008.1.2.4.203", J2K, None),
    row("1.2.840.10008.1.2.8.1", OWN, Some(OWN)),
];

#[must_use]
pub fn can_decode(transfer_syntax: &str) -> bool {
    TABLE.iter().any(|codec| codec.uid == transfer_syntax)
}

/// Whether pixels can be encoded in it without loss.
#[must_use]
pub fn can_encode(transfer_syntax: &str) -> bool {
    TABLE.iter().any(|codec| codec.uid == transfer_syntax && codec.encoder.is_some() && !codec.is_lossy)
}

/// Whether pixels can be encoded in it, and lose something.
#[must_use]
pub fn can_encode_lossy(transfer_syntax: &str) -> bool {
    TABLE.iter().any(|codec| codec.uid == transfer_syntax && codec.encoder.is_some() && codec.is_lossy)
}
