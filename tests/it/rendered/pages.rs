//! What is no image: reports to be read, waveforms on paper.

use super::png_of;
use crate::{
    harness::Hilum,
    library::{header, problem},
    sample::Sample,
};

#[test]
fn v25_rnd_13_a_report_is_a_page() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("test-SR.dcm");
    let path = format!("{}/rendered", stored.path);
    for accept in ["*/*", "text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"] {
        let answer = hilum.get_as(&path, accept);
        assert_eq!(answer.status(), 200, "{accept}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
        assert!(header(&answer, "content-security-policy").contains("default-src 'none'"));
        assert!(header(&answer, "content-disposition").starts_with("inline"));
        let page = answer.text().unwrap();
        for expected in [
            "<h1 id=\"item-1\">Diagnosis</h1>",
            "A mass of",
            "<th>Diameter</th><td>3</td><td>",
            "&amp;%$§&quot;!()&lt;&gt;",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }
    let text = hilum.get_as(&path, "text/plain");
    assert_eq!(header(&text, "content-type"), "text/plain; charset=utf-8");
    assert!(text.text().unwrap().contains("Diameter: 3 "));
    let tree = hilum.get_as(&path, "text/xml");
    assert_eq!(header(&tree, "content-type"), "text/xml; charset=utf-8");
    assert!(header(&tree, "content-disposition").ends_with(".xml\""));
    assert!(tree.text().unwrap().contains("<report title=\"Diagnosis\">"));
    problem(hilum.get_as(&path, "image/jpeg"), 406, "not-acceptable");
    problem(hilum.get_as(&path, "application/dicom, text/html"), 400, "invalid-parameter");
}

/// A text of more than 64 KiB is left in the file, and the page had nothing in its place.
#[test]
fn rnd_13_a_report_has_its_longest_text() {
    let hilum = Hilum::start();
    let text = |name: &str, value: &[u8]| {
        let concept = Sample::empty().text(0x0008_0100, "SH", "1").text(0x0008_0104, "LO", name);
        let item = Sample::empty().text(0x0040_A010, "CS", "CONTAINS").text(0x0040_A040, "CS", "TEXT");
        item.items(0x0040_A043, &[concept]).bytes(0x0040_A160, "UT", value.to_vec())
    };
    // In Latin-1, as the report is.
    let long = b"gr\xF6\xDFer, ".repeat(10_000);
    let report = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0008_0005, "CS", "ISO_IR 100")
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.88.11")
        .text(0x0040_A040, "CS", "CONTAINER")
        .items(0x0040_A730, &[text("Short", b"klein "), text("Long", &long)]);
    hilum.must_store(&[&report.file()]);
    let page = |accept| hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.1/rendered", accept);
    for accept in ["text/html", "text/plain", "text/xml"] {
        let text = page(accept).text().unwrap();
        assert_eq!(text.matches("größer").count(), 10_000, "{accept}");
        assert!(text.contains("klein"), "{accept}");
    }
}

#[test]
fn rnd_13_a_waveform_is_drawn_on_paper() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("waveform_ecg.dcm");
    let path = format!("{}/rendered", stored.path);
    let answer = hilum.get_as(&path, "*/*");
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type").as_str()), (200, "image/svg+xml"));
    assert!(header(&answer, "content-security-policy").contains("sandbox"));
    let drawing = answer.text().unwrap();
    for lead in ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"] {
        assert!(drawing.contains(&format!(">{lead}</text>")), "{lead}");
    }
    // The + of a query is a space, and who writes the media type there means neither.
    for encoded in ["image/svg+xml", "image%2Fsvg%2Bxml"] {
        let answer = hilum.get_as(&format!("{path}?accept={encoded}"), "*/*");
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type").as_str()),
            (200, "image/svg+xml")
        );
    }
    let (width, height, _) = png_of(hilum.get_as(&path, "image/png"));
    assert!(width > 1000 && height > 400, "{width} by {height}");
    let (width, _, _) =
        png_of(hilum.get_as(&format!("{}/thumbnail?viewport=200,200", stored.path), "image/png"));
    assert_eq!(width, 200);
}

#[test]
fn ret_09_a_study_of_a_report_is_its_page() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("reportsi.dcm");
    let answer = hilum.get_as(&format!("/studies/{}/rendered", stored.study), "*/*");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    let all =
        hilum.get_as(&format!("/studies/{}/rendered", stored.study), "multipart/related; type=\"text/html\"");
    assert_eq!(all.status(), 200);
    assert_eq!(crate::harness::parts(all).len(), 1);
}
