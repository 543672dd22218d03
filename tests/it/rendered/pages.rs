//! What is no image: reports to be read, waveforms on paper.

use super::png_of;
use crate::{
    harness::Hilum,
    library::{header, problem},
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
