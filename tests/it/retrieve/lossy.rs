//! Pixels encoded with loss (NEG-08, V08, V09, IOP-14): never unless the archive
//! was told to and the request names the Transfer Syntax, and then as another
//! instance that says what was lost.

use dicom_object::Tag;

use super::oracle;
use crate::{
    harness::{Hilum, fixture, json_of},
    library::{header, problem},
};

const JPEG: &str = "1.2.840.10008.1.2.4.50";
const NEAR: &str = "1.2.840.10008.1.2.4.81";
const J2K: &str = "1.2.840.10008.1.2.4.91";

fn lossy() -> Hilum {
    Hilum::with(|config| config.pixels.lossy = true)
}

fn file(syntax: &str) -> String {
    format!("application/dicom; transfer-syntax={syntax}")
}

#[test]
fn iop_14_neg_15_v08_without_the_configuration_nothing_is_lost() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("examples_rgb_color.dcm");
    for (syntax, media) in [(JPEG, "image/jpeg"), (NEAR, "image/jls"), (J2K, "image/jp2")] {
        let frame = format!("{}/frames/1", stored.path);
        let response = hilum.get_as(&frame, &format!("{media}; transfer-syntax={syntax}"));
        assert_eq!(response.status(), 406, "{syntax}");
        assert!(response.text().expect("a body").contains("pixels.lossy"), "{syntax}");
        problem(hilum.get_as(&stored.path, &file(syntax)), 406, "not-acceptable");
    }
}

#[test]
fn neg_08_v09_only_what_is_named_is_lost() {
    let hilum = lossy();
    let stored = hilum.store_fixture("examples_rgb_color.dcm");
    let frame = format!("{}/frames/1", stored.path);
    for (accept, expected) in [
        ("image/jpeg", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70"),
        ("image/jls", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        (
            "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50",
            "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50",
        ),
    ] {
        assert_eq!(header(&hilum.get_as(&frame, accept), "content-type"), expected, "{accept}");
    }
    let anything = hilum.get_as(&frame, "multipart/related; type=\"image/*\", */*; q=0.1");
    assert!(!header(&anything, "content-type").contains("image/jpeg"));
    // V09, for pixels that JPEG Baseline does not take: the other one.
    let ct = hilum.store_fixture("CT_small.dcm");
    let both = format!(
        "image/jpeg; transfer-syntax={JPEG}, image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90; q=0.1"
    );
    let response = hilum.get_as(&format!("{}/frames/1", ct.path), &both);
    assert_eq!(header(&response, "content-type"), "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90");
    let alone =
        hilum.get_as(&format!("{}/frames/1", ct.path), &format!("image/jpeg; transfer-syntax={JPEG}"));
    assert_eq!(alone.status(), 406);
    assert!(alone.text().expect("a body").contains("8 bits"));
}

#[test]
fn enc_1_enc_4_iop_16_a_lossy_instance_is_another_one() {
    let hilum = lossy();
    for (name, syntax, method, photometric) in [
        ("examples_rgb_color.dcm", JPEG, "ISO_10918_1", "YBR_FULL_422"),
        ("examples_rgb_color.dcm", NEAR, "ISO_14495_1", "RGB"),
        ("examples_rgb_color.dcm", J2K, "ISO_15444_1", "YBR_ICT"),
        ("CT_small.dcm", NEAR, "ISO_14495_1", "MONOCHROME2"),
        ("CT_small.dcm", J2K, "ISO_15444_1", "MONOCHROME2"),
    ] {
        let stored = hilum.store_fixture(name);
        let response = hilum.get_as(&stored.path, &file(syntax));
        assert_eq!(header(&response, "content-type"), file(syntax), "{name}");
        let body = response.bytes().expect("a body");
        assert!(body == hilum.get_as(&stored.path, &file(syntax)).bytes().expect("a body"), "the same again");
        assert_eq!(oracle::declared(&body), syntax);
        let (ours, theirs) = (oracle::open(&body), oracle::open(&fixture(name)));
        let text = |tag| ours.element(tag).expect("there").to_str().expect("text").trim().to_owned();
        let uid = text(Tag(0x0008, 0x0018));
        let uid = uid.trim_end_matches('\0');
        assert!(uid.starts_with("2.25.") && uid != stored.instance, "{uid}");
        assert_eq!(ours.meta().media_storage_sop_instance_uid.trim_end_matches('\0'), uid);
        assert!(text(Tag(0x0008, 0x0008)).starts_with("DERIVED"));
        assert_eq!(text(Tag(0x0028, 0x2110)), "01");
        assert!(text(Tag(0x0028, 0x2114)).ends_with(method));
        let ratio: f64 =
            text(Tag(0x0028, 0x2112)).rsplit('\\').next().expect("one").parse().expect("a number");
        assert!(ratio > 1.2, "{name} {syntax}: {ratio}");
        assert_eq!(text(Tag(0x0028, 0x0004)), photometric, "{name} {syntax}");
        let sources = ours.element(Tag(0x0008, 0x2112)).expect("there").items().expect("items");
        let source = sources.last().expect("one").element(Tag(0x0008, 0x1155)).expect("there").to_str();
        assert_eq!(source.expect("text").trim_end_matches('\0'), stored.instance);
        assert!(ours.element(Tag(0x0008, 0x9215)).is_ok(), "Derivation Code Sequence");
        // In ascending order, nothing twice, nothing missing.
        let tags: Vec<Tag> = ours.iter().map(|element| element.header().tag).collect();
        assert!(tags.is_sorted());
        let padding = Tag(0xFFFC, 0xFFFC);
        for tag in theirs.iter().map(|element| element.header().tag).filter(|tag| *tag != padding) {
            assert!(tag.element() == 0 || tags.contains(&tag), "{name}: {tag} is missing");
        }
        // Another archive takes it as an image of its own, and decodes it.
        let other = Hilum::start();
        let report = json_of(other.store(&[&body]));
        assert!(report["00081198"].is_null(), "{report}");
        let path = stored.path.replace(&stored.instance, uid);
        assert_eq!(other.get_as(&format!("{path}/frames/1"), "application/octet-stream").status(), 200);
        // Kept beside its source.
        assert_eq!(hilum.store(&[&body]).status(), 200);
    }
}
