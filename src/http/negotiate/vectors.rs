//! The negotiation vectors: a request's `Accept`, an instance, and what must
//! come of it. A straight table; each row is one line.

use super::*;
use crate::dicom::transfer_syntax::{DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE};

const J2K: &str = "1.2.840.10008.1.2.4.90";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const JPEG_SV1: &str = "1.2.840.10008.1.2.4.70";
const JLS: &str = "1.2.840.10008.1.2.4.80";
const RLE: &str = "1.2.840.10008.1.2.5";
const H264: &str = "1.2.840.10008.1.2.4.102";
const MO: &str = "multipart/related; type=\"application/octet-stream\"";

fn read(header: &str) -> Accept {
    Accept::read([header], [], false).expect("lenient")
}

fn with_param(header: &str, param: &str) -> Result<Accept, NegotiateError> {
    Accept::read([header], [param], false)
}

fn stored(transfer_syntax: &str) -> Stored<'_> {
    Stored { transfer_syntax, content: Content::Pixels, decodable: true }
}

/// Form, content type of the part, how. None: 406.
fn outcome(choices: Result<Choices, NegotiateError>, stored: &Stored<'_>) -> Option<(Form, String, How)> {
    match choices {
        Ok(choices) => {
            choices.deliver(stored).map(|delivery| (delivery.form, delivery.content_type(), delivery.how))
        }
        Err(NegotiateError::NotAcceptable) => None,
        Err(other) => panic!("{other}"),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what it is compared with")]
fn part(form: Form, name: &str, transfer_syntax: &str, how: How) -> Option<(Form, String, How)> {
    Some((form, format!("{name}; transfer-syntax={transfer_syntax}"), how))
}

use Form::{Multipart, Single};

#[test]
fn neg_01_15_v01_a_missing_accept_is_everything_or_nothing() {
    assert_eq!(Accept::read([], [], true).err(), Some(NegotiateError::NotAcceptable));
    let lenient = Accept::read([], [], false).expect("lenient");
    assert_eq!(
        outcome(lenient.bulk(Items::One), &stored(J2K)),
        part(Multipart, "application/octet-stream", EXPLICIT_LITTLE, How::Decoded)
    );
}

#[test]
fn neg_15_v02_to_v10_frames() {
    let octets = "application/octet-stream";
    let decoded = part(Multipart, octets, EXPLICIT_LITTLE, How::Decoded);
    let jp2 = part(Multipart, "image/jp2", J2K, How::Stored);
    let cases = [
        ("*/*", J2K, Items::One, decoded.clone()),
        (MO, J2K, Items::One, decoded.clone()),
        ("multipart/related", J2K, Items::One, decoded.clone()),
        ("multipart/*;null", J2K, Items::Many, decoded.clone()),
        (
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            J2K,
            Items::One,
            part(Multipart, octets, J2K, How::Stored),
        ),
        ("multipart/related; type=\"image/jp2\"", J2K, Items::One, jp2.clone()),
        ("multipart/related; type=\"image/*\"; transfer-syntax=*", J2K, Items::Many, jp2.clone()),
        ("multipart/related; type=\"image/*\"", J2K, Items::Many, jp2.clone()),
        ("image/jp2", J2K, Items::One, part(Single, "image/jp2", J2K, How::Stored)),
        ("image/jp2", J2K, Items::Many, None),
        (
            "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.50",
            J2K,
            Items::One,
            None,
        ),
        (
            "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.50, \
             multipart/related; type=\"image/jp2\"; transfer-syntax=1.2.840.10008.1.2.4.90;q=0.1",
            J2K,
            Items::One,
            jp2.clone(),
        ),
        (MO, JPEG, Items::One, decoded.clone()),
        // Not among the vectors, but met:
        (
            "multipart/related; type=\"image/jpeg\"",
            JPEG,
            Items::One,
            part(Multipart, "image/jpeg", JPEG, How::Stored),
        ),
        ("image/jll", JPEG, Items::One, None),
        ("image/jll", JPEG_SV1, Items::One, part(Single, "image/jll", JPEG_SV1, How::Stored)),
        ("image/x-jls", JLS, Items::One, part(Single, "image/x-jls", JLS, How::Stored)),
        (
            "multipart/related; type=image/x-dicom-rle",
            RLE,
            Items::One,
            part(Multipart, "image/x-dicom-rle", RLE, How::Stored),
        ),
        ("multipart/related; type=image/*", EXPLICIT_LITTLE, Items::One, None),
        ("text/html", J2K, Items::One, None),
        (
            "application/octet-stream",
            IMPLICIT_LITTLE,
            Items::One,
            part(Single, octets, EXPLICIT_LITTLE, How::LittleEndian),
        ),
        (
            "application/octet-stream;transfer-syntax=*",
            EXPLICIT_BIG,
            Items::One,
            part(Single, octets, EXPLICIT_LITTLE, How::LittleEndian),
        ),
        ("application/octet-stream;transfer-syntax=1.2.840.10008.1.2.2", EXPLICIT_BIG, Items::One, None),
        (
            "application/octet-stream;transfer-syntax=null",
            J2K,
            Items::One,
            part(Single, octets, EXPLICIT_LITTLE, How::Decoded),
        ),
        ("video/mp4", H264, Items::One, part(Single, "video/mp4", H264, How::Stored)),
        ("video/*;q=0.9, */*;q=0.5", H264, Items::One, part(Single, "video/mp4", H264, How::Stored)),
    ];
    for (header, transfer_syntax, items, expected) in cases {
        assert_eq!(
            outcome(read(header).bulk(items), &stored(transfer_syntax)),
            expected,
            "{header} {transfer_syntax}"
        );
    }
}

#[test]
fn neg_08_v08_v09_with_loss_only_what_is_named() {
    let lossy = |accept: &str| {
        let choices = read(accept).bulk(Items::One).expect("something");
        Choices { with_loss: true, ..choices }
    };
    let named = lossy("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50");
    assert!(named.name_loss());
    assert_eq!(outcome(Ok(named), &stored(J2K)), part(Single, "image/jpeg", JPEG, How::Encoded));
    let alone = lossy("image/jpeg");
    assert!(!alone.name_loss());
    assert_eq!(outcome(Ok(alone), &stored(J2K)), part(Single, "image/jpeg", JPEG_SV1, How::Encoded));
    for wildcard in ["image/*", "image/*; transfer-syntax=1.2.840.10008.1.2.4.50", "*/*"] {
        let outcome = outcome(Ok(lossy(wildcard)), &stored(RLE));
        assert!(outcome.is_none_or(|(_, content_type, _)| !content_type.contains(JPEG)), "{wildcard}");
    }
    // What cannot be encoded gives way to what can.
    let both = lossy(
        "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50, image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90; q=0.1",
    );
    let stored = stored(J2K);
    let delivery = both.deliver_if(&stored, |syntax| syntax != JPEG).expect("the other");
    assert_eq!(delivery.transfer_syntax, Some(J2K));
}

#[test]
fn neg_15_v11_to_v15_instances() {
    let dicom = "application/dicom";
    let cases = [
        ("application/dicom", J2K, Items::One, part(Single, dicom, EXPLICIT_LITTLE, How::Decoded)),
        ("application/dicom; transfer-syntax=*", J2K, Items::One, part(Single, dicom, J2K, How::Stored)),
        (
            "application/dicom; transfer-syntax=*",
            DEFLATED,
            Items::One,
            part(Single, dicom, DEFLATED, How::Stored),
        ),
        (
            "application/dicom; transfer-syntax=*",
            IMPLICIT_LITTLE,
            Items::One,
            part(Single, dicom, EXPLICIT_LITTLE, How::LittleEndian),
        ),
        (
            "application/dicom; transfer-syntax=*",
            EXPLICIT_BIG,
            Items::One,
            part(Single, dicom, EXPLICIT_LITTLE, How::LittleEndian),
        ),
        (
            "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2",
            IMPLICIT_LITTLE,
            Items::One,
            None,
        ),
        ("application/dicom", J2K, Items::Many, None),
        ("*/*", EXPLICIT_LITTLE, Items::Many, part(Multipart, dicom, EXPLICIT_LITTLE, How::Stored)),
        ("*/*", EXPLICIT_LITTLE, Items::One, part(Multipart, dicom, EXPLICIT_LITTLE, How::Stored)),
        ("application/*", EXPLICIT_LITTLE, Items::One, part(Single, dicom, EXPLICIT_LITTLE, How::Stored)),
        (
            "*/*, application/dicom;q=0",
            EXPLICIT_LITTLE,
            Items::One,
            part(Multipart, dicom, EXPLICIT_LITTLE, How::Stored),
        ),
        (
            "*/*, multipart/related;type=application/dicom;q=0",
            EXPLICIT_LITTLE,
            Items::One,
            part(Single, dicom, EXPLICIT_LITTLE, How::Stored),
        ),
        (
            "application/dicom;q=0.1, */*",
            EXPLICIT_LITTLE,
            Items::One,
            part(Single, dicom, EXPLICIT_LITTLE, How::Stored),
        ),
        ("image/png", EXPLICIT_LITTLE, Items::One, None),
    ];
    for (header, transfer_syntax, items, expected) in cases {
        assert_eq!(
            outcome(read(header).instances(items), &stored(transfer_syntax)),
            expected,
            "{header} {transfer_syntax}"
        );
    }
}

#[test]
fn v15_a_mixed_study_gives_what_it_can() {
    let accept =
        read("multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.90");
    let choices = accept.instances(Items::Many).expect("possible in principle");
    assert!(choices.deliver(&stored(J2K)).is_some());
    let video =
        Stored { transfer_syntax: "1.2.840.10008.1.2.4.102", content: Content::Pixels, decodable: false };
    assert!(choices.deliver(&video).is_none());
}

#[test]
fn instances_asked_for_as_bulk_data() {
    let choices = read(MO).instances(Items::Many).expect("required by table 10.4.4-1");
    assert!(!choices.is_dicom());
    let both = format!("{MO};q=0.5, multipart/related; type=application/dicom");
    assert!(read(&both).instances(Items::Many).expect("both").is_dicom());
}

#[test]
fn what_cannot_be_decoded() {
    let sealed = |transfer_syntax| Stored { decodable: false, ..stored(transfer_syntax) };
    let dicom = "application/dicom";
    // Who names no transfer syntax wants pixels, not a code stream.
    assert_eq!(outcome(read(dicom).instances(Items::One), &sealed(J2K)), None);
    assert_eq!(outcome(read(dicom).instances(Items::One), &sealed(JPEG)), None);
    let explicit = "application/dicom;transfer-syntax=1.2.840.10008.1.2.1";
    assert_eq!(outcome(read(explicit).instances(Items::One), &sealed(JPEG)), None);
    // Who takes anything gets it as it is, with its label.
    assert_eq!(
        outcome(read("*/*").instances(Items::One), &sealed(J2K)),
        part(Multipart, dicom, J2K, How::Stored)
    );
    assert_eq!(
        outcome(
            read("*/*, multipart/related;type=application/octet-stream;q=0").bulk(Items::One),
            &sealed(J2K)
        ),
        part(Multipart, "image/jp2", J2K, How::Stored)
    );
    // A declared text that is no UID never reaches a header.
    let hostile = sealed("1.2\r\nSet-Cookie: a=b");
    assert_eq!(
        outcome(read("application/dicom;transfer-syntax=*").instances(Items::One), &hostile),
        Some((Single, dicom.to_owned(), How::Stored))
    );
}

#[test]
fn neg_14_15_v16_to_v19_metadata() {
    use DataSetMedia::{Json, XmlParts};
    let cases = [
        ("application/json", Some(Json)),
        ("*/*", Some(Json)),
        ("application/*", Some(Json)),
        ("application/dicom+json;q=0.1, text/html", Some(Json)),
        ("application/dicom+json;q=0.1, */*", Some(Json)),
        ("APPLICATION/DICOM+JSON; transfer-syntax=*", Some(Json)),
        ("multipart/related; type=\"application/dicom+xml\"", Some(XmlParts)),
        (
            "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*",
            Some(Json),
        ),
        ("multipart/related; type=application/dicom+xml;q=0.4, application/dicom+json", Some(Json)),
        ("application/dicom", None),
        ("application/dicom+json;q=0", None),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Some(Json)),
        ("*", Some(Json)),
    ];
    for (header, expected) in cases {
        let chosen = read(header).data_set(&[Json, XmlParts]).ok();
        assert_eq!(chosen, expected, "{header}");
    }
    // What is not offered is not acceptable.
    assert!(read("multipart/related; type=\"application/dicom+xml\"").data_set(&[Json]).is_err());
    // The + of a query, decoded as a form.
    assert_eq!(
        with_param("*/*", "application/dicom json").expect("valid").data_set(&[XmlParts, Json]),
        Ok(Json)
    );
}

#[test]
fn neg_04_15_v20_to_v25_rendered() {
    use Rendered::{Gif, Html, Jpeg, PlainText, Png, Xml};
    let image = [Jpeg, Png, Gif];
    let best = |accept: Result<Accept, NegotiateError>, offers: &[Rendered], items| {
        accept
            .and_then(|accept| accept.rendered(offers, items))
            .map(|choices| (choices[0].form, choices[0].media))
    };
    let lenient = |header: &str| Accept::read([header], [], false);
    let one = Items::One;
    assert_eq!(best(lenient("image/png;q=0.9, image/jpeg;q=0.4"), &image, one), Ok((Single, Png)));
    assert_eq!(best(lenient("application/dicom, image/jpeg"), &image, one), Err(NegotiateError::Mixed));
    assert_eq!(best(lenient("image/avif,image/webp,image/*,*/*;q=0.8"), &image, one), Ok((Single, Jpeg)));
    assert_eq!(best(with_param("*/*", "image/png"), &image, one), Ok((Single, Png)));
    assert_eq!(best(with_param("image/jpeg", "image/png"), &image, one), Ok((Single, Jpeg)));
    assert_eq!(best(with_param("*/*, image/png;q=0", "image/png"), &image, one), Ok((Single, Jpeg)));
    assert_eq!(best(with_param("*/*", "image/*"), &image, one), Err(NegotiateError::Parameter));
    assert_eq!(best(with_param("*/*", "multipart/related"), &image, one), Err(NegotiateError::Parameter));
    assert_eq!(best(with_param("*/*", "nonsense"), &image, one), Err(NegotiateError::Parameter));
    assert_eq!(best(with_param("*/*", ""), &image, one), Ok((Single, Jpeg)));
    assert_eq!(
        best(with_param("*/*", "application/dicom,image/png"), &image, one),
        Err(NegotiateError::Mixed)
    );
    assert_eq!(best(lenient("*/*"), &[Html, PlainText, Xml], one), Ok((Single, Html)));
    assert_eq!(best(lenient("image/jpeg"), &[Html, PlainText, Xml], one), Err(NegotiateError::NotAcceptable));
    // Collections.
    assert_eq!(best(lenient("*/*"), &image, Items::Many), Ok((Multipart, Jpeg)));
    assert_eq!(best(lenient("*/*"), &image, Items::Preview), Ok((Single, Jpeg)));
    assert_eq!(best(lenient("image/jpeg"), &image, Items::Many), Err(NegotiateError::NotAcceptable));
    assert_eq!(best(lenient("image/jpeg"), &image, Items::Preview), Ok((Single, Jpeg)));
    assert_eq!(
        best(lenient("multipart/related; type=\"image/png\""), &image, Items::Preview),
        Ok((Multipart, Png))
    );
}

#[test]
fn neg_15_v27_documents() {
    let pdf = Stored {
        transfer_syntax: EXPLICIT_LITTLE,
        content: Content::Document("application/pdf"),
        decodable: false,
    };
    let single = Some((Single, "application/pdf".to_owned(), How::Stored));
    let octets = part(Multipart, "application/octet-stream", EXPLICIT_LITTLE, How::Stored);
    assert_eq!(outcome(read("application/pdf").bulk(Items::One), &pdf), single);
    assert_eq!(outcome(read("application/pdf, */*;q=0.1").bulk(Items::One), &pdf), single);
    assert_eq!(outcome(with_param("*/*", "application/pdf").expect("valid").bulk(Items::One), &pdf), single);
    assert_eq!(outcome(read("*/*").bulk(Items::One), &pdf), octets);
    assert_eq!(outcome(read(MO).bulk(Items::One), &pdf), octets);
    assert_eq!(
        outcome(read("multipart/related; type=application/pdf").bulk(Items::Many), &pdf),
        Some((Multipart, "application/pdf".to_owned(), How::Stored))
    );
    assert_eq!(outcome(read("text/xml").bulk(Items::One), &pdf), None);
    // Another bulk value of a compressed instance is not compressed.
    let palette = Stored { transfer_syntax: J2K, content: Content::Bytes, decodable: false };
    let stored_syntax = "multipart/related; type=application/octet-stream; transfer-syntax=*";
    assert_eq!(outcome(read(stored_syntax).bulk(Items::One), &palette), octets);
    assert_eq!(outcome(read("image/jp2").bulk(Items::One), &palette), None);
}

#[test]
fn neg_15_v28_uri_service() {
    use Rendered::{Jpeg, Png};
    let offers = [Jpeg, Png];
    let uri = |header, kind| with_param(header, kind).and_then(|accept| accept.uri_service(&offers));
    assert_eq!(uri("*/*", ""), Ok(UriMedia::Rendered(Jpeg)));
    assert_eq!(uri("*/*", "application/dicom"), Ok(UriMedia::Dicom));
    assert_eq!(uri("*/*", "image/png"), Ok(UriMedia::Rendered(Png)));
    assert_eq!(
        uri("*/*", "application/dicom;transfer-syntax=1.2.840.10008.1.2.1"),
        Err(NegotiateError::ParameterOfType)
    );
    assert_eq!(uri("*/*", "application/dicom,image/png"), Err(NegotiateError::Mixed));
}

#[test]
fn one_of_many() {
    let offers = ["application/json", "text/html"];
    assert_eq!(read("text/html;q=0.5, application/json;q=0.6").one_of(&offers), Ok(0));
    assert_eq!(read("text/html, */*;q=0.1").one_of(&offers), Ok(1));
    assert_eq!(read("image/png").one_of(&offers), Err(NegotiateError::NotAcceptable));
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::dicom::transfer_syntax::TABLE;

    /// Members of `Accept` that are nearly right.
    fn member() -> impl Strategy<Value = String> {
        (
            prop::sample::select(vec![
                "*/*",
                "*",
                "application/dicom",
                "application/*",
                "image/jp2",
                "image/*",
                "multipart/related",
                "multipart/related; type=\"application/dicom\"",
                "multipart/related; type=application/octet-stream",
                "multipart/related; type=\"image/*\"",
                "multipart/*;type=*/*",
                "application/pdf",
                "video/mp4",
            ]),
            prop::sample::select(vec![
                "",
                "; transfer-syntax=*",
                ";transfer-syntax=1.2.840.10008.1.2",
                ";transfer-syntax=1.2.840.10008.1.2.2",
                ";transfer-syntax=1.2.840.10008.1.2.1",
                ";transfer-syntax=1.2.840.10008.1.2.4.90",
                ";transfer-syntax=",
            ]),
            prop::sample::select(vec!["", ";q=0", ";q=.5", ";q=x", ";null"]),
        )
            .prop_map(|(media, syntax, quality)| format!("{media}{syntax}{quality}"))
    }

    proptest! {
        #[test]
        fn gen_07_what_the_standard_bars_never_leaves(
            members in prop::collection::vec(member(), 0..5),
            own in prop::sample::select(TABLE.iter().map(|row| row.uid).chain(["1.3.6.1.4.1.5962.300.2"]).collect::<Vec<_>>()),
            one in any::<bool>(),
            decodable in any::<bool>(),
            file in any::<bool>(),
        ) {
            let items = if one { Items::One } else { Items::Many };
            let accept = read(&members.join(", "));
            let choices = if file { accept.instances(items) } else { accept.bulk(items) };
            let Ok(choices) = choices else { return Ok(()) };
            prop_assert!(choices.list.iter().all(|choice| (choice.media == Media::Dicom) == choices.is_dicom()));
            let stored = Stored { decodable, ..stored(own) };
            let Some(delivery) = choices.deliver(&stored) else { return Ok(()) };
            prop_assert!(one || delivery.form == Multipart);
            let sent = delivery.transfer_syntax.expect("not a document");
            prop_assert_ne!(sent, IMPLICIT_LITTLE);
            prop_assert_ne!(sent, EXPLICIT_BIG);
            match delivery.how {
                How::Stored => prop_assert_eq!(sent, own),
                How::LittleEndian => prop_assert_eq!(sent, EXPLICIT_LITTLE),
                How::Decoded => prop_assert!(decodable && sent == EXPLICIT_LITTLE),
                How::Encoded => prop_assert!(decodable && sent != EXPLICIT_LITTLE),
            }
        }

        #[test]
        fn a_weight_of_zero_refuses(quality in prop::sample::select(vec!["", ";q=0.3"])) {
            let accept = read(&format!("image/*{quality}, image/jp2;q=0, */*;q=0"));
            let choices = accept.bulk(Items::One);
            prop_assert_eq!(outcome(choices, &stored(J2K)), None);
        }
    }
}
