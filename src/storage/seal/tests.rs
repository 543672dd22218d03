//! What is sealed opens with its key at its place, and nothing else does.

use proptest::prelude::*;

use super::keyring::master_of;
use super::*;
use crate::storage::CHUNK_BYTES;

const ARCHIVE: [u8; 32] = [9; 32];

fn patterned(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[test]
fn only_the_key_at_the_place_opens() {
    let key = Key::random().unwrap();
    for length in [0, 1, 100, 5000] {
        let plain = patterned(length);
        let sealed = key.seal(b"here", &plain).unwrap();
        assert_eq!(sealed.len(), length + SEAL_BYTES);
        assert_eq!(key.open(b"here", sealed.clone()).unwrap(), plain);
        assert_ne!(key.seal(b"here", &plain).unwrap(), sealed, "never twice the same");
        assert_eq!(key.open(b"there", sealed.clone()), Err(Unsealed));
        assert_eq!(Key::random().unwrap().open(b"here", sealed.clone()), Err(Unsealed));
        assert_eq!(key.derive("other", b"").open(b"here", sealed.clone()), Err(Unsealed));
        for at in (0..sealed.len()).step_by(7).chain(sealed.len() - SEAL_BYTES..sealed.len()) {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(key.open(b"here", flipped), Err(Unsealed), "byte {at} of {length}");
        }
        for left in [0, 1, SEAL_BYTES - 1, sealed.len() - 1] {
            assert_eq!(key.open(b"here", sealed[..left].to_vec()), Err(Unsealed));
        }
    }
    assert_eq!(format!("{key:?} {:?}", master_of("a")), format!("Key Master({})", master_of("a").id()));
}

fn read(sealed: &Sealed, bytes: &[u8], range: std::ops::Range<u64>) -> Result<Vec<u8>, ChunkError> {
    let (opened, at) = sealed.read(range.clone(), |buffer, at| {
        let bytes = bytes.get(at as usize..).and_then(|bytes| bytes.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    })?;
    Ok(opened[(range.start - at) as usize..(range.end - at) as usize].to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_pieces_and_any_ranges(
        length in prop_oneof![0..300_000_usize, (0..4_usize).prop_map(|n| n * 65_536)],
        piece in 1..200_000_usize, a: u64, b: u64,
    ) {
        let (key, plain) = (Key::random().unwrap(), patterned(length));
        let mut sealer = Sealer::new(key.clone(), 7);
        let mut out = Vec::new();
        for piece in plain.chunks(piece) {
            sealer.push(piece, &mut out).unwrap();
        }
        sealer.finish(&mut out).unwrap();
        prop_assert_eq!(Some(out.len() as u64), sealed_length(length as u64));
        let sealed = Sealed { key: key.clone(), thing: 7, length: length as u64, chunk_bytes: CHUNK_BYTES };
        let (a, b) = (a % (length as u64 + 1), b % (length as u64 + 1));
        let range = a.min(b)..a.max(b);
        let expected = &plain[range.start as usize..range.end as usize];
        prop_assert_eq!(read(&sealed, &out, range.clone()).unwrap(), expected);
        let at_once = Sealer::seal(&key, 7, &plain).unwrap();
        prop_assert_eq!(read(&sealed, &at_once, range).unwrap(), expected);
    }
}

#[test]
fn chunks_stay_in_their_order_and_none_is_left_out() {
    let key = Key::random().unwrap();
    let chunk = CHUNK_BYTES as usize + SEAL_BYTES;
    let plain = patterned(3 * CHUNK_BYTES as usize + 10);
    let bytes = Sealer::seal(&key, 7, &plain).unwrap();
    let length = plain.len() as u64;
    let sealed = Sealed { key: key.clone(), thing: 7, length, chunk_bytes: CHUNK_BYTES };
    assert_eq!(read(&sealed, &bytes, 0..length).unwrap(), plain);

    let mut swapped = bytes.clone();
    swapped[..2 * chunk].rotate_left(chunk);
    assert!(matches!(read(&sealed, &swapped, 0..10), Err(ChunkError::Unsealed { at: 0 })));
    // Cut after a whole chunk, with a length that fits: the last is not the last.
    let cut = Sealed { length: 3 * CHUNK_BYTES, ..sealed.clone() };
    let at = 2 * chunk as u64;
    assert!(
        matches!(read(&cut, &bytes[..3 * chunk], 0..3 * CHUNK_BYTES), Err(ChunkError::Unsealed { at: found }) if found == at)
    );
    assert!(matches!(read(&sealed, &bytes[..3 * chunk + 20], 0..length), Err(ChunkError::Read(_))));
    let other = Sealed { thing: 8, ..sealed.clone() };
    assert!(matches!(read(&other, &bytes, 0..10), Err(ChunkError::Unsealed { .. })));
    // Only what is asked for is read.
    let mut asked = None;
    let opened = sealed.read(65_530..65_540, |buffer, at| {
        asked = Some((at, buffer.len()));
        buffer.copy_from_slice(&bytes[..buffer.len()]);
        Ok(())
    });
    assert_eq!((opened.unwrap().0.len(), asked), (2 * CHUNK_BYTES as usize, Some((0, 2 * chunk))));
}

#[test]
fn the_ring_opens_with_its_master_key_only() {
    let (master, other) = (master_of("one"), master_of("two"));
    let ring = Keyring::begin(&master, 5).unwrap();
    let text = ring.write(&master, &ARCHIVE).unwrap();
    let again = Keyring::open(&text, Some(&master), &ARCHIVE).unwrap();
    assert_eq!(*again.newest().key.0, *ring.newest().key.0);
    assert!(again.of_pack(4).is_none() && again.of_pack(5).is_some_and(|key| key.number == 1));

    assert!(
        matches!(Keyring::open(&text, None, &ARCHIVE), Err(KeyError::None { wanted }) if wanted == master.id())
    );
    let wrong = Keyring::open(&text, Some(&other), &ARCHIVE);
    assert!(matches!(wrong, Err(KeyError::Wrong { given, .. }) if given == other.id()));
    assert!(matches!(ring.write(&other, &ARCHIVE), Err(KeyError::Wrong { .. })));
    assert!(matches!(Keyring::open(&text, Some(&master), &[8; 32]), Err(KeyError::Ring { .. })));
    assert!(matches!(Keyring::open(b"{}", Some(&master), &ARCHIVE), Err(KeyError::Ring { .. })));
    for at in 0..text.len() {
        let mut flipped = text.clone();
        flipped[at] ^= 1;
        // White space, and the name of the master key's id, hide nothing.
        if let Ok(opened) = Keyring::open(&flipped, Some(&master), &ARCHIVE) {
            assert_eq!(*opened.newest().key.0, *ring.newest().key.0, "byte {at}");
            assert_eq!(opened.newest().from, 5);
        }
    }
}

#[test]
fn another_master_key_and_the_same_data_keys() {
    let (old, new) = (master_of("one"), master_of("two"));
    let ring = Keyring::begin(&old, 1).unwrap();
    let rotated = ring.rotate(&new, 9).unwrap();
    let text = rotated.write(&new, &ARCHIVE).unwrap();
    assert!(matches!(Keyring::open(&text, Some(&old), &ARCHIVE), Err(KeyError::Wrong { .. })));
    let rotated = Keyring::open(&text, Some(&new), &ARCHIVE).unwrap();
    assert_eq!((rotated.master(), rotated.keys().len()), (new.id(), 2));
    assert_eq!(*rotated.of_pack(8).unwrap().key.0, *ring.newest().key.0);
    assert_eq!(rotated.of_pack(9).unwrap().number, 2);
    assert_ne!(*rotated.newest().key.0, *ring.newest().key.0);
    assert!(rotated.numbered(1).is_some() && rotated.numbered(3).is_none());
}

#[test]
fn keys_as_they_are_written() {
    let master = Master::random().unwrap();
    let text = master.reveal();
    assert_eq!(text.len(), 64);
    assert_eq!(Master::parse(&format!("{}\n", *text)).unwrap().id(), master.id());
    for bad in ["", "ab", &text[1..], &format!("{}00", *text), &"zz".repeat(32), &"ä".repeat(32)] {
        assert!(matches!(Master::parse(bad), Err(KeyError::Form)));
    }
}

#[test]
fn a_file_has_a_key_of_its_own() {
    let master = Master::random().unwrap();
    let ring = Keyring::begin(&master, 1).unwrap();
    let sealed = seal_file(&ring, "a", b"name", b"what is in it").unwrap();
    assert!(FileKey::is_head(&sealed));
    assert_eq!(sealed.len(), FILE_HEAD_BYTES + 13 + SEAL_BYTES);
    let open = |ring: Option<&Keyring>, purpose, name: &[u8], bytes: &[u8]| {
        open_file(ring, purpose, name, bytes.to_vec()).map_err(|error| error.kind())
    };
    assert_eq!(open(Some(&ring), "a", b"name", &sealed), Ok(b"what is in it".to_vec()));
    assert_ne!(seal_file(&ring, "a", b"name", b"what is in it").unwrap(), sealed);
    let damaged = Err(io::ErrorKind::InvalidData);
    assert_eq!(open(Some(&ring), "a", b"other", &sealed), damaged);
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 0x10;
        assert_eq!(open(Some(&ring), "a", b"name", &bytes), damaged, "{at}");
        assert_eq!(open(Some(&ring), "a", b"name", &sealed[..at]), damaged, "{at}");
    }
    // Another master key makes no difference; other data keys do, and are no damage.
    let rotated = ring.rotate(&Master::random().unwrap(), 5).unwrap();
    assert_eq!(open(Some(&rotated), "a", b"name", &sealed), Ok(b"what is in it".to_vec()));
    let newer = seal_file(&rotated, "a", b"name", b"").unwrap();
    let missing = Err(io::ErrorKind::Other);
    assert_eq!(open(Some(&ring), "a", b"name", &newer), missing);
    assert_eq!(open(Some(&Keyring::begin(&master, 1).unwrap()), "a", b"name", &sealed), missing);
    assert_eq!(open(None, "a", b"name", &sealed), missing);
}

#[test]
fn chunks_have_any_size() {
    let key = Key::random().unwrap();
    for chunk in [1_usize, 7, 16] {
        for length in 0..50_usize {
            let (plain, mut bytes) = (patterned(length), Vec::new());
            let mut sealer = Sealer::in_chunks(key.clone(), 0, chunk);
            plain.chunks(5).for_each(|piece| sealer.push(piece, &mut bytes).unwrap());
            sealer.finish(&mut bytes).unwrap();
            let chunk_bytes = chunk as u64;
            assert_eq!(plain_length(chunk_bytes, bytes.len() as u64), length as u64);
            let open = |bytes: &[u8], range| {
                let length = plain_length(chunk_bytes, bytes.len() as u64);
                let sealed = Sealed { key: key.clone(), thing: 0, length, chunk_bytes };
                sealed.read(range, |buffer, at| {
                    let at = usize::try_from(at).unwrap();
                    buffer.copy_from_slice(
                        bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?,
                    );
                    Ok(())
                })
            };
            assert_eq!(open(&bytes, 0..length as u64).unwrap().0, plain);
            for from in 0..length {
                let (found, at) = open(&bytes, from as u64..from as u64 + 1).unwrap();
                assert_eq!(found[from - usize::try_from(at).unwrap()], plain[from]);
            }
            // Cut anywhere, its end does not open.
            for cut in 0..bytes.len() {
                let left = plain_length(chunk_bytes, cut as u64);
                assert!(left == 0 || open(&bytes[..cut], 0..left).is_err(), "{chunk} {length} {cut}");
            }
        }
    }
}
