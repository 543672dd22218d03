//! The store of uploads as its floor sees it: what a start finds after a stop of
//! any kind, the limits, how uploads end, and that nothing of an encrypted one
//! stands in the clear.

use super::*;
use crate::storage::seal::{Keyring, Master};

fn open_in(folder: &Path, change: impl FnOnce(&mut Options)) -> Uploads {
    open_with(folder, None, change)
}

fn ring() -> Keyring {
    Keyring::begin(&Master::random().unwrap(), 1).unwrap()
}

fn open_with(folder: &Path, ring: Option<&Keyring>, change: impl FnOnce(&mut Options)) -> Uploads {
    let mut options = Options { uploads_max: 3, bytes_max: 100, idle: Duration::from_mins(1) };
    change(&mut options);
    Uploads::open(folder, options, ring).unwrap()
}

fn note(length: Option<u64>) -> Note {
    Note {
        length,
        offset: 0,
        metadata: String::new(),
        content_type: "application/dicom".into(),
        base_url: "http://a".into(),
        owner: String::new(),
        touched: 0,
        result: None,
    }
}

#[test]
fn what_is_flushed_is_there_at_the_next_start() {
    for ring in [None, Some(&ring())] {
        let folder = tempfile::tempdir().unwrap();
        let uploads = open_with(folder.path(), ring, |_| {});
        uploads.begin("a", note(Some(10))).unwrap();
        let mut writer = uploads.take("a").unwrap();
        assert!(matches!(uploads.take("a"), Err(UploadError::Taken)));
        writer.write(b"01234").unwrap();
        assert_eq!(writer.flush().unwrap().offset, 5);
        writer.write(b"lost").unwrap();
        drop(writer);

        let uploads = open_with(folder.path(), ring, |_| {});
        assert_eq!(uploads.note("a").unwrap().offset, 5);
        let mut writer = uploads.take("a").unwrap();
        writer.write(b"56").unwrap();
        writer.discard();
        writer.write(b"56789").unwrap();
        assert!(writer.flush().unwrap().is_to_be_stored());
        assert_eq!(writer.read(3, 100).unwrap(), "3456789");
        drop(writer);
        let uploads = open_with(folder.path(), ring, |_| {});
        assert_eq!(uploads.to_be_stored(), ["a"]);
        let result = UploadResult { status: 200, content_type: "x".into(), body: "done".into() };
        uploads.take("a").unwrap().finish(result.clone()).unwrap();
        let uploads = open_with(folder.path(), ring, |_| {});
        assert_eq!(uploads.note("a").unwrap().result, Some(result));
        assert_eq!(uploads.to_be_stored(), [""; 0]);
        uploads.take("a").unwrap().remove().unwrap();
        assert!(uploads.note("a").is_none() && matches!(uploads.take("a"), Err(UploadError::Unknown)));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

#[test]
fn limits() {
    let folder = tempfile::tempdir().unwrap();
    let uploads = open_in(folder.path(), |_| {});
    uploads.begin("a", note(Some(60))).unwrap();
    assert!(matches!(uploads.begin("b", note(Some(41))), Err(UploadError::TooMuch)));
    uploads.begin("b", note(None)).unwrap();
    let mut writer = uploads.take("b").unwrap();
    writer.write(&[0; 30]).unwrap();
    assert!(matches!(writer.write(&[0; 11]), Err(UploadError::TooMuch)));
    assert!(matches!(writer.set_length(41), Err(UploadError::TooMuch)));
    writer.flush().unwrap();
    writer.set_length(40).unwrap();
    uploads.begin("c", note(Some(0))).unwrap();
    assert!(matches!(uploads.begin("d", note(Some(0))), Err(UploadError::TooMany)));
    assert_eq!(uploads.expire().unwrap(), 0);
    drop(writer);
    std::thread::sleep(Duration::from_millis(1100));
    let uploads = open_in(folder.path(), |options| options.idle = Duration::ZERO);
    assert_eq!(uploads.note("a"), None, "what has expired is not shown");
    assert_eq!(uploads.expire().unwrap(), 3);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// An upload that could not be removed once kept its place until the next start, and
/// so did those behind it.
#[test]
fn what_cannot_be_removed_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let uploads = open_in(folder.path(), |options| options.idle = Duration::ZERO);
    for id in ["a", "b"] {
        uploads.begin(id, note(Some(0))).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1100));
    let in_the_way = folder.path().join("a.sealed");
    fs::create_dir(&in_the_way).unwrap();
    uploads.expire().unwrap_err();
    assert_eq!(uploads.known().uploads.keys().collect::<Vec<_>>(), ["a"]);
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(uploads.expire().unwrap(), 1);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// With each upload that a full disk refused there was one file more.
#[test]
fn what_cannot_be_begun_leaves_nothing() {
    for ring in [None, Some(&ring())] {
        let folder = tempfile::tempdir().unwrap();
        let uploads = open_with(folder.path(), ring, |_| {});
        let in_the_way = folder.path().join("a.unfinished");
        fs::create_dir(&in_the_way).unwrap();
        uploads.begin("a", note(Some(1))).unwrap_err();
        fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        uploads.begin("a", note(Some(1))).unwrap();
        uploads.begin("a", note(Some(1))).unwrap_err();
        assert_eq!(uploads.take("a").unwrap().written(), 0, "another of the name takes nothing away");
    }
}

#[test]
fn what_a_crash_left_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.bytes", "b.unfinished", "b.json"] {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    open_in(folder.path(), |_| {});
    let left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["b.json"], "what is not understood is left alone");
}

fn bytes_of(folder: &Path) -> Vec<u8> {
    folder.read_dir().unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn with_keys_nothing_stands_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let says = || memchr::memmem::find(&bytes_of(folder.path()), b"Secret").is_some();
    let text: Vec<u8> = b"Secret^Patient ".iter().copied().cycle().take(200_000).collect();
    let begun = |length: u64| Note { metadata: "Secret.dcm".into(), ..note(Some(length)) };
    let large = |options: &mut Options| options.bytes_max = 1 << 20;
    // Two of before: one cut off, one of which there is a result.
    let uploads = open_with(folder.path(), None, large);
    for id in ["a", "b"] {
        uploads.begin(id, begun(text.len() as u64)).unwrap();
        let mut writer = uploads.take(id).unwrap();
        writer.write(&text[..70_000]).unwrap();
        writer.flush().unwrap();
    }
    let body = "Secret".to_owned();
    let result = UploadResult { status: 200, content_type: "x".into(), body };
    uploads.take("b").unwrap().finish(result.clone()).unwrap();
    assert!(says(), "it is found where it is");
    drop(uploads);

    let ring = ring();
    let uploads = open_with(folder.path(), Some(&ring), large);
    assert!(!says());
    assert_eq!(uploads.note("b").unwrap().result, Some(result));
    let mut writer = uploads.take("a").unwrap();
    assert_eq!(writer.written(), 70_000);
    // Small pieces, cut off at odd places.
    for piece in text[70_000..150_000].chunks(777) {
        writer.write(piece).unwrap();
        if piece[0] % 3 == 0 {
            writer.flush().unwrap();
        }
    }
    let flushed = usize::try_from(writer.flush().unwrap().offset).unwrap();
    writer.write(&vec![b'x'; 70_000]).unwrap();
    writer.discard();
    writer.write(&text[flushed..flushed + 5]).unwrap();
    drop(writer);
    drop(uploads);
    let uploads = open_with(folder.path(), Some(&ring), large);
    let mut writer = uploads.take("a").unwrap();
    writer.write(&text[flushed..]).unwrap();
    assert!(writer.flush().unwrap().is_to_be_stored());
    for (from, length) in [(0, text.len()), (69_999, 2), (65_535, 3), (150_000, 7), (10, 4), (199_999, 9)] {
        let wanted = &text[from..text.len().min(from + length)];
        assert!(writer.read(from as u64, length).unwrap() == wanted, "{from} {length}");
    }
    assert!(!says());
    drop(writer);
    // Changed bytes are an error, and never bytes.
    let path = folder.path().join("a.sealed");
    let whole = fs::read(&path).unwrap();
    for at in [200, 70_030, 150_000] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(uploads.take("a").unwrap().read(0, text.len()).is_err(), "{at}");
    }
    fs::write(&path, &whole).unwrap();
    drop(uploads);
    // Without the keys nothing is known of it, and nothing is removed.
    let without = open_with(folder.path(), None, large);
    assert!(without.note("a").is_none());
    assert_eq!(fs::read(&path).unwrap(), whole);
    uploads_end(&open_with(folder.path(), Some(&ring), large), folder.path());
}

fn uploads_end(uploads: &Uploads, folder: &Path) {
    for id in ["a", "b"] {
        uploads.take(id).unwrap().remove().unwrap();
    }
    assert_eq!(folder.read_dir().unwrap().count(), 0);
}
