//! What becomes of a data set in Implicit VR or Big Endian on its way out
//! (GEN-07, 08, ENC-1, 2): VRs from the dictionary and from what surrounds
//! them, and no value another one. Read by a second reader, dicom-rs.

use dicom_core::VR;
use dicom_object::{InMemDicomObject, Tag};

use super::oracle;
use crate::{harness::Hilum, library::header};

const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

/// Elements in Implicit VR Little Endian, as some writer might write them.
#[derive(Default)]
struct Implicit(Vec<u8>);

impl Implicit {
    fn head(&mut self, tag: u32, length: u32) -> &mut Self {
        let [g1, g0, e1, e0] = tag.to_be_bytes();
        self.0.extend_from_slice(&[g0, g1, e0, e1]);
        self.0.extend_from_slice(&length.to_le_bytes());
        self
    }

    fn value(&mut self, tag: u32, value: &[u8]) -> &mut Self {
        self.head(tag, u32::try_from(value.len()).expect("small"));
        self.0.extend_from_slice(value);
        self
    }

    fn open(&mut self, tag: u32) -> &mut Self {
        self.head(tag, u32::MAX)
    }

    fn file(&self) -> Vec<u8> {
        let envelope = crate::sample::Sample::new("1.2", "1.2.1", "1.2.1.1");
        let mut file = envelope.file_as("1.2.840.10008.1.2");
        file.truncate(file.len() - envelope.data_set().len());
        file.extend_from_slice(&self.0);
        file
    }
}

/// Everything that a converter can get wrong, in one data set. `signed` is the
/// Pixel Representation, on which the VR of other values depends.
fn tricky(signed: u16) -> Vec<u8> {
    let mut set = Implicit::default();
    set.value(0x0008_0016, b"1.2.840.10008.5.1.4.1.1.7\0")
        .value(0x0008_0018, b"1.2.1.1\0")
        .open(0x0008_1140)
        .open(0xFFFE_E000)
        // A sequence within, its items of undefined length, one of them empty.
        .open(0x0008_1199)
        .open(0xFFFE_E000)
        .value(0x0008_1155, b"1.2.9\0")
        .value(0xFFFE_E00D, b"")
        .open(0xFFFE_E000)
        .value(0xFFFE_E00D, b"")
        .value(0xFFFE_E0DD, b"")
        .value(0xFFFE_E00D, b"")
        .value(0xFFFE_E0DD, b"")
        .value(0x0020_000D, b"1.2\0")
        .value(0x0020_000E, b"1.2.1\0")
        .value(0x0028_0002, &1_u16.to_le_bytes())
        .value(0x0028_0010, &2_u16.to_le_bytes())
        .value(0x0028_0011, &2_u16.to_le_bytes())
        .value(0x0028_0100, &16_u16.to_le_bytes())
        .value(0x0028_0103, &signed.to_le_bytes())
        .value(0x0028_0106, &(-5_i16).to_le_bytes())
        .value(0x0028_0120, &(-2000_i16).to_le_bytes())
        .open(0x0028_3000)
        .open(0xFFFE_E000)
        .value(0x0028_3002, &[0, 1, 0x9C, 0xFF, 16, 0])
        .value(0x0028_3006, &[1, 2, 3, 4])
        .value(0xFFFE_E00D, b"")
        .value(0xFFFE_E0DD, b"")
        .value(0x0029_0010, b"HILUM TEST")
        .value(0x0029_1001, b"hello ")
        // A private sequence of undefined length, which nobody has a dictionary for.
        .open(0x0029_1002)
        .open(0xFFFE_E000)
        .value(0x0029_0010, b"HILUM TEST")
        .value(0x0029_1003, b"inside")
        .value(0xFFFE_E00D, b"")
        .value(0xFFFE_E0DD, b"")
        // Longer than a short length can say.
        .value(0x0070_0022, &1.5_f32.to_le_bytes().repeat(20_000))
        .value(0x6000_0010, &8_u16.to_le_bytes())
        .value(0x6000_3000, &[1; 8])
        .value(0x7FE0_0010, &[1, 0, 2, 0, 3, 0, 4, 0]);
    set.file()
}

#[test]
fn gen_07_gen_08_enc_1_enc_2_implicit_vr_gets_its_vrs() {
    for (signed, vr) in [(0, VR::US), (1, VR::SS)] {
        let hilum = Hilum::start();
        let file = tricky(signed);
        assert!(hilum.store(&[&file]).status().is_success());
        for accept in ["application/dicom", "application/dicom; transfer-syntax=*"] {
            let answer = hilum.get_as(PATH, accept);
            assert_eq!(
                header(&answer, "content-type"),
                "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
            );
            let sent = answer.bytes().unwrap();
            let (ours, theirs) = (oracle::open(&sent), oracle::open(&file));
            let at = |set: &InMemDicomObject, tag: u32| {
                let [g1, g0, e1, e0] = tag.to_be_bytes();
                set.element(Tag(u16::from_be_bytes([g1, g0]), u16::from_be_bytes([e1, e0]))).unwrap().clone()
            };
            let bytes = |set: &InMemDicomObject, tag: u32| at(set, tag).to_bytes().unwrap().into_owned();
            for (tag, expected) in [
                (0x0028_0106, vr),
                (0x0028_0120, vr),
                (0x0029_0010, VR::LO),
                (0x0029_1001, VR::UN),
                (0x6000_3000, VR::OW),
                (0x7FE0_0010, VR::OW),
                // PS3.5 section 6.2.2: too long for a short header.
                (0x0070_0022, VR::UN),
            ] {
                assert_eq!(at(&ours, tag).vr(), expected, "{tag:08X}");
                assert_eq!(bytes(&ours, tag), bytes(&theirs, tag), "{tag:08X}");
            }
            let lut = at(&ours, 0x0028_3000);
            let lut = &lut.items().unwrap()[0];
            assert_eq!(at(lut, 0x0028_3002).vr(), vr);
            assert_eq!(bytes(lut, 0x0028_3002), [0, 1, 0x9C, 0xFF, 16, 0]);
            assert_eq!(bytes(lut, 0x0028_3006), [1, 2, 3, 4]);
            let outer = at(&ours, 0x0008_1140);
            let inner = at(&outer.items().unwrap()[0], 0x0008_1199);
            assert_eq!(inner.items().unwrap().len(), 2);
            let private = at(&ours, 0x0029_1002);
            assert_eq!(bytes(&private.items().unwrap()[0], 0x0029_1003), b"inside");
            // The meta information is of what is sent, and as long as it says.
            let group = u32::from_le_bytes(sent[140..144].try_into().unwrap());
            let first = 144 + usize::try_from(group).unwrap();
            assert_eq!(sent[first..first + 4], [0x08, 0x00, 0x16, 0x00]);
            assert_eq!(ours.meta().media_storage_sop_instance_uid.trim_end_matches('\0'), "1.2.1.1");
        }
        // What it means did not change on the way.
        let metadata = hilum.json(&format!("{PATH}/metadata"));
        assert_eq!(metadata[0]["00280106"]["vr"], vr.to_string());
        let value = if signed == 1 { -5 } else { 65_531 };
        assert_eq!(metadata[0]["00280106"]["Value"][0], value);
    }
}
