//! The URI service (PS3.18 chapter 9, rows URI-1 to 5 and 7).

use reqwest::blocking::Response;

use super::oracle;
use crate::{
    harness::{Hilum, Stored, fixture},
    library::{header, problem},
    sample::Sample,
};

const FILE: &str = "contentType=application/dicom";

fn ask(hilum: &Hilum, stored: &Stored, more: &str) -> Response {
    ask_as(hilum, stored, more, "*/*")
}

fn ask_as(hilum: &Hilum, stored: &Stored, more: &str, accept: &str) -> Response {
    let Stored { study, series, instance, .. } = stored;
    let path =
        format!("/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}&{more}");
    hilum.get_as(&path, accept)
}

#[test]
fn uri_1_four_parameters_say_which_instance() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let Stored { study, series, instance, path } = &stored;
    // In any order, at either place.
    let query =
        format!("objectUID={instance}&{FILE}&seriesUID={series}&studyUID={study}&unknown=1&requestType=WADO");
    for url in [format!("{}/wado?{query}", hilum.base), format!("{}/wado?{query}", hilum.root)] {
        let answer = hilum.client.get(url).send().unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), "application/dicom");
        assert_eq!(header(&answer, "content-location"), format!("{}{path}", hilum.base));
        assert_eq!(header(&answer, "accept-ranges"), "bytes");
        assert!(answer.bytes().unwrap() == fixture("CT_small.dcm"));
    }
    let all = [
        ("requestType", "WADO"),
        ("studyUID", study.as_str()),
        ("seriesUID", series.as_str()),
        ("objectUID", instance.as_str()),
    ];
    let query = |change: &dyn Fn(&str, &str) -> Option<String>| -> String {
        let pairs = all.iter().filter_map(|(name, value)| Some(format!("{name}={}", change(name, value)?)));
        format!("/wado?{}&{FILE}", pairs.collect::<Vec<_>>().join("&"))
    };
    for (name, _) in all {
        let missing = query(&|key, value| (key != name).then(|| value.to_owned()));
        let refused = problem(hilum.get_as(&missing, "*/*"), 400, "invalid-parameter");
        assert_eq!(refused["parameter"], name);
        let wrong = query(&|key, value| Some(if key == name { "x".to_owned() } else { value.to_owned() }));
        let code = if name == "requestType" { "invalid-parameter" } else { "invalid-uid" };
        assert_eq!(problem(hilum.get_as(&wrong, "*/*"), 400, code)["parameter"], name);
        let twice = format!("{}&{name}=1.2", query(&|_, value| Some(value.to_owned())));
        assert_eq!(problem(hilum.get_as(&twice, "*/*"), 400, "invalid-parameter")["parameter"], name);
        if name != "requestType" {
            let other =
                query(&|key, value| Some(if key == name { "1.2.3".to_owned() } else { value.to_owned() }));
            problem(hilum.get_as(&other, "*/*"), 404, "not-found");
        }
    }
    // Names and values are case-sensitive (GEN-04).
    problem(hilum.get_as(&query(&|_, value| Some(value.to_lowercase())), "*/*"), 400, "invalid-parameter");
    assert_eq!(hilum.delete(path).status(), 204);
    problem(ask(&hilum, &stored, FILE), 410, "gone");
}

#[test]
fn uri_2_uri_3_v28_the_content_type() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    for wrong in [
        "contentType=application/dicom;transfer-syntax=1.2.840.10008.1.2.1",
        "contentType=application/dicom%3Btransfer-syntax%3D*",
        "contentType=text/html;charset=utf-8",
        "contentType=image/*",
        "contentType=application/dicom,image/png",
        "contentType=nonsense",
    ] {
        let refused = problem(ask(&hilum, &stored, wrong), 400, "invalid-parameter");
        assert_eq!(refused["parameter"], "contentType", "{wrong}");
    }
    // V28: without one it is a JPEG.
    for (rendered, kind) in [
        ("", "image/jpeg"),
        ("contentType=image/jpeg", "image/jpeg"),
        ("contentType=image/png,image/gif", "image/png"),
        ("windowCenter=40&windowWidth=400&rows=64&imageQuality=50&region=0,0,0.5,0.5", "image/jpeg"),
    ] {
        let answer = ask(&hilum, &stored, rendered);
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type")),
            (200, kind.to_owned()),
            "{rendered}"
        );
        assert!(header(&answer, "content-location").ends_with(&stored.path));
    }
    assert_eq!(ask_as(&hilum, &stored, "", "application/dicom").status(), 200);
    // The header must allow it (NEG-01), else it decides.
    assert_eq!(header(&ask_as(&hilum, &stored, FILE, "image/png"), "content-type"), "image/png");
    problem(ask_as(&hilum, &stored, FILE, "text/html"), 406, "not-acceptable");
    assert_eq!(ask_as(&hilum, &stored, FILE, "text/html, application/*;q=0.5").status(), 200);
}

/// OHIF with `imageRendering: 'wadouri'` showed nothing: it sends the Accept of
/// its frames along with every request, also to this service, which has no
/// parts to give, and was told 406.
#[test]
fn uri_2_an_accept_of_parts_alone_says_nothing() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let of_frames = "multipart/related; type=application/octet-stream; transfer-syntax=*";
    let answer = ask_as(&hilum, &stored, &format!("{FILE}&transferSyntax=*"), of_frames);
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-type")),
        (200, "application/dicom".into())
    );
    assert!(answer.bytes().unwrap() == fixture("CT_small.dcm"));
    let picture = ask_as(&hilum, &stored, "contentType=image/png", of_frames);
    assert_eq!(header(&picture, "content-type"), "image/png");
    // Nothing else says what is meant, or the header takes something beside parts.
    problem(ask_as(&hilum, &stored, "", of_frames), 406, "not-acceptable");
    problem(ask_as(&hilum, &stored, FILE, &format!("{of_frames}, text/html")), 406, "not-acceptable");
}

#[test]
fn uri_4_the_transfer_syntax() {
    let hilum = Hilum::start();
    for name in ["CT_small.dcm", "rtdose.dcm", "ExplVR_BigEnd.dcm", "image_dfl.dcm", "693_J2KI.dcm"] {
        let stored = hilum.store_fixture(name);
        let own = oracle::declared(&fixture(name));
        let syntax = |more: &str| -> Option<String> {
            let answer = ask(&hilum, &stored, &format!("{FILE}{more}"));
            if answer.status() == 406 {
                return None;
            }
            assert_eq!(answer.status(), 200, "{name} {more}");
            Some(oracle::declared(&answer.bytes().unwrap()))
        };
        let plain = Some(oracle::EXPLICIT.to_owned());
        assert_eq!(syntax(""), plain, "{name}");
        assert_eq!(syntax("&transferSyntax=1.2.840.10008.1.2.1"), plain, "{name}");
        let barred = [oracle::IMPLICIT, oracle::BIG_ENDIAN].contains(&own.as_str());
        let any = if barred { oracle::EXPLICIT } else { own.as_str() };
        assert_eq!(syntax("&transferSyntax=*").as_deref(), Some(any), "{name}");
        assert_eq!(syntax(&format!("&transferSyntax={own}")).is_some(), !barred, "{name}");
        // Nothing is made lossy.
        assert_eq!(syntax("&transferSyntax=1.2.840.10008.1.2.4.50"), None, "{name}");
        for wrong in
            ["", "jpeg", "1.2.840.10008.1.2.1,1.2.840.10008.1.2.4.50", "*&transferSyntax=1.2.840.10008.1.2.1"]
        {
            let refused = ask(&hilum, &stored, &format!("{FILE}&transferSyntax={wrong}"));
            assert_eq!(problem(refused, 400, "invalid-parameter")["parameter"], "transferSyntax", "{wrong}");
        }
    }
}

#[test]
fn uri_5_uri_7_what_is_refused() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let refused = problem(ask(&hilum, &stored, "contentType=image/png&anonymize=yes"), 406, "not-acceptable");
    assert!(refused["detail"].as_str().unwrap().contains("anonymize"));
    problem(ask(&hilum, &stored, &format!("{FILE}&anonymize=no")), 400, "invalid-parameter");
    problem(ask(&hilum, &stored, &format!("{FILE}&windowCenter=1&windowWidth=2")), 400, "invalid-parameter");
    problem(ask(&hilum, &stored, "contentType=image/jpeg&windowCenter=1"), 400, "invalid-parameter");
    problem(ask(&hilum, &stored, &format!("{FILE}&rows=10")), 406, "not-acceptable");
    let posted = hilum.post("/wado", "text/plain", "");
    problem(posted, 405, "method-not-allowed");
}

/// What is not an image comes as what it is.
#[test]
fn uri_3_a_document_comes_as_its_own_type() {
    let hilum = Hilum::start();
    let document = b"%PDF-1.7 of a report".to_vec();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0042_0012, "LO", "application/pdf")
        .bytes(0x0042_0011, "OB", document.clone())
        .file();
    assert!(hilum.store(&[&file]).status().is_success());
    let of = |uid: &str| uid.to_owned();
    let stored =
        Stored { study: of("1.2"), series: of("1.2.1"), instance: of("1.2.1.1"), path: String::new() };
    for more in ["", "contentType=application/pdf", "contentType=text/html,application/pdf"] {
        let answer = ask(&hilum, &stored, more);
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type")),
            (200, of("application/pdf")),
            "{more}"
        );
        assert!(answer.bytes().unwrap() == document);
    }
    problem(ask_as(&hilum, &stored, "contentType=image/jpeg", "image/*"), 406, "not-acceptable");
}

#[test]
fn uri_6_the_parameters_of_a_rendered_image() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("emri_small.dcm");
    for (query, parameter) in [
        ("frameNumber=0", "frameNumber"),
        ("frameNumber=11", "frameNumber"),
        ("rows=0", "rows"),
        ("region=0,0,2,2", "region"),
        ("windowCenter=1&windowWidth=0", "windowCenter"),
        ("imageQuality=101", "imageQuality"),
        ("annotation=", "annotation"),
    ] {
        let refused = problem(ask(&hilum, &stored, query), 400, "invalid-parameter");
        assert_eq!(refused["parameter"], parameter, "{query}");
    }
    problem(ask(&hilum, &stored, "presentationUID=1.2&presentationSeriesUID=1.3"), 400, "invalid-parameter");
    let size = |query: &str| {
        let answer = ask(&hilum, &stored, &format!("contentType=image/png&{query}"));
        assert_eq!(answer.status(), 200, "{query}");
        let (width, height, _) = crate::rendered::png_bytes(&answer.bytes().unwrap());
        (width, height)
    };
    assert_eq!(size(""), (64, 64));
    assert_eq!(size("rows=32"), (32, 32));
    assert_eq!(size("rows=32&columns=16"), (16, 16));
    assert_eq!(size("region=0,0.25,0.5,1"), (32, 48));
    assert_eq!(size("region=0,0.5,1,1&columns=128"), (128, 64));
    let frame = ask(&hilum, &stored, "frameNumber=3");
    assert!(header(&frame, "content-location").ends_with("/frames/3"));
    let single = hilum.store_fixture("MR_small.dcm");
    problem(ask(&hilum, &single, "frameNumber=1"), 400, "invalid-parameter");
}
