//! Rules that change what arrives (STO-12, STO-08).

use hilum::config::Config;
use serde_json::json;

use crate::{
    harness::{Hilum, fixture},
    library::{outcome, text, values},
    sample::Sample,
};

fn rules(config: &mut Config, text: &str) {
    let table: toml::Table = text.parse().expect("TOML");
    config.store.coerce = table["coerce"].clone().try_into().expect("rules");
}

const SITE: &str = r#"
[[coerce]]
peers = ["127.0.0.0/8"]
set = { InstitutionName = "Clinic A" }
default = { IssuerOfPatientID = "A" }
"#;

/// The item that tells of the change, which is the same in the answer and in
/// the stored instance.
#[test]
fn sto_08_12_what_is_coerced_is_told_and_kept() {
    let hilum = Hilum::with(|config| {
        rules(
            config,
            r#"
            [[coerce]]
            match = { Modality = "MG*" }
            map = { Modality = { MG3D = "MG" } }
            default = { AccessionNumber = "NONE" }
            reason = "CORRECT"
            "#,
        );
    });
    let base = |uid: &str| Sample::new("1.2", "1.2.1", uid).text(0x0010_0020, "LO", "7").pixels(4, 4, 1);
    let file = base("1.2.1.1").text(0x0008_0060, "CS", "MG3D").file();
    let (status, module) = outcome(hilum.store(&[&file]));
    assert_eq!(status, 202, "{module}");
    let item = values(&module, "00081199")[0];
    assert_eq!(item["00081196"]["Value"][0], 0xB000);
    let told = values(item, "04000561")[0];
    assert_eq!(text(told, "04000563"), "HILUM");
    assert_eq!(text(told, "04000564"), "127.0.0.1");
    assert_eq!(text(told, "04000565"), "CORRECT");
    let old = values(told, "04000550")[0];
    assert_eq!(text(old, "00080060"), "MG3D");
    assert_eq!(old["00080050"], json!({ "vr": "SH" }));
    let metadata = &hilum.json("/studies/1.2/metadata")[0];
    assert_eq!((text(metadata, "00080060"), text(metadata, "00080050")), ("MG", "NONE"));
    assert_eq!(values(metadata, "04000561"), [told]);
    assert_eq!(hilum.json("/studies?ModalitiesInStudy=MG").as_array().map(Vec::len), Some(1));
    // Pixels are what they were.
    let frame = "/studies/1.2/series/1.2.1/instances/1.2.1.1/frames/1";
    assert_eq!(hilum.get_as(frame, "application/octet-stream").bytes().unwrap(), vec![1; 16]);

    // The same file once more is the same instance, though time has passed.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let (status, module) = outcome(hilum.store(&[&file]));
    assert_eq!(status, 200, "{module}");

    // What no rule matches stays byte for byte.
    let other = base("1.2.1.2").text(0x0008_0060, "CS", "CT").file();
    assert_eq!(outcome(hilum.store(&[&other])).0, 200);
    let stored =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.2", "application/dicom; transfer-syntax=*");
    assert_eq!(stored.bytes().unwrap(), other);
}

#[test]
fn sto_12_coercion_works_in_every_transfer_syntax() {
    let hilum = Hilum::with(|config| rules(config, SITE));
    let plain = Hilum::start();
    for name in [
        "CT_small.dcm",
        "ExplVR_BigEnd.dcm",
        "image_dfl.dcm",
        "rtplan.dcm",
        "693_J2KI.dcm",
        "SC_rgb_rle_2frame.dcm",
        "test-SR.dcm",
        "charset/chrRuss.dcm",
    ] {
        let (status, module) = outcome(hilum.store(&[&fixture(name)]));
        assert_eq!(status, 202, "{name}: {module}");
        let url = text(values(&module, "00081199")[0], "00081190").to_owned();
        let path = url.strip_prefix(&hilum.base).unwrap();
        let expected = plain.json(&format!("{}/metadata", plain.store_fixture(name).path));
        let found = hilum.json(&format!("{path}/metadata"));
        assert_eq!(text(&found[0], "00080080"), "Clinic A", "{name}");
        for (tag, value) in expected[0].as_object().unwrap() {
            let is_changed = ["00080080", "00100021", "04000561", "00083002"].contains(&tag.as_str());
            let is_bulk = value.get("BulkDataURI").is_some() || value.to_string().contains("BulkDataURI");
            assert!(is_changed || is_bulk || found[0][tag] == *value, "{name} {tag}: {}", found[0][tag]);
        }
        let (_, again) = outcome(hilum.store(&[&fixture(name)]));
        assert!(again["00081198"].is_null(), "{name}: {again}");
    }
}

/// A file that is too large for memory is changed on its way too, and by as
/// many requests at once as there are lanes: nobody waits for a second lane
/// while he holds one.
#[test]
fn sto_12_large_files_are_coerced_without_a_second_lane() {
    let hilum = Hilum::with(|config| {
        config.store.small_bytes_max = 100_000;
        config.store.streams_max = 1;
        rules(config, SITE);
    });
    let pixels: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let files: Vec<Vec<u8>> = (0..3)
        .map(|number| {
            Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}"))
                .pixels(1000, 1000, 1)
                .bytes(0x7FE0_0010, "OB", pixels.clone())
                .file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let (status, module) = outcome(hilum.store(&files));
    assert_eq!((status, values(&module, "00081199").len()), (202, 3), "{module}");
    let frame = "/studies/1.2/series/1.2.1/instances/1.2.1.2/frames/1";
    assert!(hilum.get_as(frame, "application/octet-stream").bytes().unwrap() == pixels);
    assert_eq!(text(&hilum.json("/studies/1.2/metadata")[0], "00080080"), "Clinic A");
}

#[test]
fn rules_that_must_not_be_are_refused() {
    for (wrong, why) in [
        (
            r#"[[coerce]]
            set = { StudyInstanceUID = "1.2" }"#,
            "is a UID",
        ),
        (
            r#"[[coerce]]
            set = { PixelData = "x" }"#,
            "no text attribute",
        ),
        (
            r#"[[coerce]]
            set = { InstitutionName = "Köln" }"#,
            "ASCII",
        ),
        (
            r#"[[coerce]]
            set = { Institution = "x" }"#,
            "keyword",
        ),
        (
            r#"[[coerce]]
            sets = { InstitutionName = "x" }"#,
            "unknown field",
        ),
        (
            r#"[[coerce]]
            peers = ["here"]"#,
            "IP address",
        ),
    ] {
        let table: toml::Table = wrong.parse().expect("TOML");
        let error = table["coerce"].clone().try_into::<Vec<hilum::config::Coercion>>().expect_err(wrong);
        assert!(error.to_string().contains(why), "{error}");
    }
}
