//! The reader against bodies as clients send them, cut everywhere.

use proptest::prelude::*;

use super::*;

type Part = (PartHeaders, Vec<u8>);

/// All parts, and whether the body was terminated.
fn read_chunks<'a>(
    boundary: &str,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<Part>, bool), MultipartError> {
    let mut reader = Reader::new(boundary, Limits::default());
    let mut parts: Vec<Part> = Vec::new();
    let mut open = false;
    let mut terminated = None;
    let mut chunks = chunks.into_iter();
    while !reader.is_done() {
        while let Some(event) = reader.next()? {
            assert_eq!(terminated, None, "nothing comes after the end");
            match event {
                Event::Part(headers) => {
                    assert!(!std::mem::replace(&mut open, true), "a part within a part");
                    parts.push((headers, Vec::new()));
                }
                Event::Data(bytes) => {
                    assert!(open && !bytes.is_empty(), "data outside of a part");
                    parts.last_mut().expect("open").1.extend_from_slice(&bytes);
                }
                Event::EndPart => assert!(std::mem::replace(&mut open, false), "no part to end"),
                Event::End { terminated: flag } => {
                    assert!(!open, "the last part has ended");
                    terminated = Some(flag);
                }
            }
        }
        match chunks.next() {
            Some(chunk) => reader.feed(Bytes::copy_from_slice(chunk)),
            None => reader.finish(),
        }
    }
    Ok((parts, terminated.expect("the end is always said")))
}

fn read(boundary: &str, body: &[u8]) -> Result<(Vec<Part>, bool), MultipartError> {
    let whole = read_chunks(boundary, [body]);
    // Cut at every single position, and into single bytes.
    for cut in 0..=body.len() {
        assert_eq!(read_chunks(boundary, [&body[..cut], &body[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(read_chunks(boundary, body.chunks(1)), whole, "byte by byte");
    whole
}

fn dicom(data: &[u8]) -> Part {
    let headers =
        PartHeaders { content_type: Some("application/dicom".to_owned()), ..PartHeaders::default() };
    (headers, data.to_vec())
}

#[test]
fn bodies_of_real_clients() {
    let cases: &[(&str, &[u8], &[&[u8]], bool)] = &[
        ("plain", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X--\r\n", &[b"abc"], true),
        ("no final line end", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X--", &[b"abc"], true),
        ("leading line end", b"\r\n--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X--", &[b"abc"], true),
        ("preamble", b"hello\r\n--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X--", &[b"abc"], true),
        ("epilogue", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X--\r\n--X\r\n\r\nz", &[b"abc"], true),
        (
            "two parts, blank lines in the data",
            b"--X\r\nContent-Type: application/dicom\r\n\r\na\r\n\r\nb\r\n--X\r\ncontent-type:application/dicom\r\n\r\n\r\n\r\n--X--",
            &[b"a\r\n\r\nb", b"\r\n"],
            true,
        ),
        ("space after the boundary", b"--X \t\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X  \r\nContent-Type: application/dicom\r\n\r\nd\r\n--X--  \r\n", &[b"abc", b"d"], true),
        ("look-alikes", b"--X\r\nContent-Type: application/dicom\r\n\r\n\r\n--\r\n--Y\r\n--Xy\n--X.\r\n-\r\n--X-a\r\n--X--", &[b"\r\n--\r\n--Y\r\n--Xy\n--X.\r\n-\r\n--X-a"], true),
        ("bare line feeds keep a final CR", b"--X\nContent-Type: application/dicom\n\nabc\r\n--X--\n", &[b"abc\r"], true),
        ("a line feed after the boundary only", b"--X\nContent-Type: application/dicom\r\n\r\nabc\r\n--X--", &[b"abc"], true),
        ("no final dashes", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X", &[b"abc"], false),
        ("no final dashes but a line end", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X\r\n", &[b"abc"], false),
        ("one final dash", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--X-", &[b"abc"], false),
        ("no final delimiter", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--", &[b"abc\r\n--"], false),
        ("no final delimiter, CR", b"--X\r\nContent-Type: application/dicom\r\n\r\nabc\r", &[b"abc\r"], false),
        ("empty part", b"--X\r\nContent-Type: application/dicom\r\n\r\n\r\n--X--", &[b""], true),
        ("folded header", b"--X\r\nContent-Type:\r\n application/dicom\r\n\r\nabc\r\n--X--", &[b"abc"], true),
        ("no part", b"--X--\r\n", &[], true),
    ];
    for (name, body, data, terminated) in cases {
        let expected: Vec<Part> = data.iter().map(|data| dicom(data)).collect();
        assert_eq!(read("X", body), Ok((expected, *terminated)), "{name}");
    }
}

#[test]
fn headers() {
    let body = b"--X\r\nContent-Type: application/octet-stream; transfer-syntax=1.2\r\nContent-Location:  http://h/b/1 \r\n\
        CONTENT-LENGTH: 3\r\nContent-Transfer-Encoding: binary\r\nX-Other: 1\r\n\r\nabc\r\n--X\r\n\r\nd\r\n--X--";
    let (parts, _) = read("X", body).expect("valid");
    assert_eq!(
        parts[0].0,
        PartHeaders {
            content_type: Some("application/octet-stream; transfer-syntax=1.2".to_owned()),
            content_location: Some("http://h/b/1".to_owned()),
            content_length: Some(3),
            content_transfer_encoding: Some("binary".to_owned()),
            content_encoding: None,
        }
    );
    assert_eq!(parts[1], (PartHeaders::default(), b"d".to_vec()));
}

#[test]
fn malformed_bodies() {
    assert_eq!(read("X", b""), Err(MultipartError::NoDelimiter));
    assert_eq!(read("X", b"DICM and no boundary"), Err(MultipartError::NoDelimiter));
    assert_eq!(read("X", b"--X\r\nContent-Type: a/b\r\n"), Err(MultipartError::Truncated { part: 1 }));
    assert!(matches!(
        read("X", b"--X\r\nDICM\r\n\r\n\r\n--X--"),
        Err(MultipartError::Header { part: 1, .. })
    ));
    let long = [b"--X\r\nA: ".as_slice(), &vec![b'a'; 20_000]].concat();
    assert_eq!(
        read_chunks("X", long.chunks(7)),
        Err(MultipartError::HeaderTooLong { part: 1, max: 16 * 1024 })
    );
    let preamble = vec![b'a'; 40_000];
    let mut reader = Reader::new("X", Limits::default());
    reader.feed(Bytes::from(preamble));
    assert_eq!(reader.next(), Err(MultipartError::NoDelimiter), "before the body has ended");
    assert_eq!(reader.next(), Ok(None));

    let mut reader = Reader::new("X", Limits { parts_max: 1, ..Limits::default() });
    reader.feed(Bytes::from_static(b"--X\r\n\r\na\r\n--X\r\n\r\nb\r\n--X--"));
    let error = loop {
        match reader.next() {
            Ok(event) => assert_ne!(event, None),
            Err(error) => break error,
        }
    };
    assert_eq!(error, MultipartError::TooManyParts { max: 1 });
}

#[test]
fn boundaries() {
    let boundary = |text: &str| boundary_of(&MediaType::parse(text).expect("media type")).map(str::to_owned);
    assert_eq!(boundary("multipart/related; boundary=\"a b'()+_,-./:=?\""), Ok("a b'()+_,-./:=?".to_owned()));
    assert_eq!(boundary("multipart/related;type=application/dicom;boundary=abc; x=y"), Ok("abc".to_owned()));
    for bad in ["multipart/related", "multipart/related; boundary=", "multipart/related; boundary=\"a\nb\""] {
        assert_eq!(boundary(bad), Err(MultipartError::Boundary), "{bad}");
    }
}

#[test]
fn data_are_slices_of_the_chunks() {
    let body = Bytes::from_static(b"--X\r\n\r\n");
    let mut reader = Reader::new("X", Limits::default());
    reader.feed(body);
    assert!(matches!(reader.next(), Ok(Some(Event::Part(_)))));
    assert_eq!(reader.next(), Ok(None));
    let chunk = Bytes::from(vec![7_u8; 100_000]);
    reader.feed(chunk.clone());
    let Ok(Some(Event::Data(data))) = reader.next() else { panic!("data") };
    assert_eq!((data.as_ptr(), data.len()), (chunk.as_ptr(), chunk.len()));
}

#[test]
fn hostile_bodies_take_linear_time() {
    let fillers: [&[u8]; 5] = [b"\r\n--", b"\r\n--boundarx", b"\r\n--boundary \t \t \t \tx", b"\n", b"\r"];
    for filler in fillers {
        let mut body = b"--boundary\r\n\r\n".to_vec();
        while body.len() < 4 << 20 {
            body.extend_from_slice(filler);
        }
        let started = std::time::Instant::now();
        let length = body.len() - 14;
        let (parts, terminated) = read_chunks("boundary", body.chunks(1000)).expect("valid");
        assert!(!terminated);
        assert_eq!(parts[0].1.len(), length);
        // Quadratic time would be hours.
        assert!(started.elapsed().as_secs() < 20, "{filler:?} took {:?}", started.elapsed());
    }
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        parts in prop::collection::vec(
            prop::collection::vec(prop_oneof![
                Just(b"\r\n--".to_vec()),
                Just(b"\r\n--bou".to_vec()),
                Just(b"\n--boundar".to_vec()),
                Just(b"\r\n--boundaryx".to_vec()),
                Just(b"\r\n\r\n".to_vec()),
                Just(b"\r".to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ], 0..6).prop_map(|pieces| pieces.concat()),
            0..4,
        ),
        cuts in prop::collection::vec(0_usize..400, 0..12),
    ) {
        // A random piece may complete a delimiter by itself.
        let ambiguous = |data: &Vec<u8>| {
            memmem::find_iter(data, b"\n--boundary").any(|at| data.get(at + 11).is_none_or(|byte| *byte != b'x'))
        };
        prop_assume!(!parts.iter().any(ambiguous));
        let mut body = Vec::new();
        for data in &parts {
            body.extend_from_slice(b"--boundary\r\nContent-Type: application/dicom\r\n\r\n");
            body.extend_from_slice(data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--boundary--\r\n");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([body.len()]) {
            chunks.push(&body[from..cut]);
            from = cut;
        }
        let expected: Vec<Part> = parts.iter().map(|data| dicom(data)).collect();
        prop_assert_eq!(read_chunks("boundary", chunks), Ok((expected, true)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"\r\n--b".to_vec()),
            Just(b"--b\r\n".to_vec()),
            Just(b"--".to_vec()),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"A: b".to_vec()),
            Just(b" ".to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ], 0..30),
    ) {
        let body = pieces.concat();
        let whole = read_chunks("b", [body.as_slice()]);
        let cut = read_chunks("b", pieces.iter().map(Vec::as_slice));
        prop_assert_eq!(whole, cut);
    }
}
