//! What is stored: CT slices of 512 × 512, small instances of a study each, and
//! a slide of many compressed tiles, all made up here.

const ROOT: &str = "2.25.4711";
const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const ENHANCED_CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2.1";
const SLIDE_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// The study whose series grows.
const SERIES_STUDY: usize = 90_000_004;
const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

/// Where an instance is, and the bytes by which its frames are known again.
#[derive(Clone)]
pub struct Known {
    pub study: String,
    pub series: String,
    pub instance: String,
    pub frames: Vec<Vec<u8>>,
}

impl Known {
    pub fn series_path(&self) -> String {
        format!("/studies/{}/series/{}", self.study, self.series)
    }

    pub fn path(&self) -> String {
        format!("{}/instances/{}", self.series_path(), self.instance)
    }
}

pub struct Made {
    pub known: Known,
    pub file: Vec<u8>,
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(length).collect()
    }
}

/// A slice of a CT series; `study` numbers the study.
pub fn ct(study: usize, slice: usize) -> Made {
    image(study, slice, 512, "CT", &format!("CT{study:06}"))
}

/// An image of so many rows and columns that compresses as real ones do: slopes,
/// an edge, and noise in the lowest bits.
pub fn smooth(study: usize, side: u16) -> Made {
    let mut noise = Noise(study as u64 + 1);
    let pixels = (0..u32::from(side) * u32::from(side)).flat_map(|at| {
        let (row, column) = (at / u32::from(side), at % u32::from(side));
        let inside = u32::from(row.abs_diff(u32::from(side) / 2) < u32::from(side) / 3);
        let value = 200 + inside * (900 + row % 512 + column) + (noise.next() % 16) as u32;
        u16::to_le_bytes((value % 4096) as u16)
    });
    gray(study, 0, side, "MG", &patient(study), pixels.collect())
}

/// A tile of a slide in colour, not compressed.
pub fn tile(study: usize) -> Made {
    const SIDE: u16 = 256;
    let known = known(study, 0);
    let mut noise = Noise(study as u64 + 1);
    let pixels: Vec<u8> = (0..u32::from(SIDE) * u32::from(SIDE))
        .flat_map(|at| {
            let (row, column) = (at / u32::from(SIDE), at % u32::from(SIDE));
            let cell = (row % 32).abs_diff(16) + (column % 32).abs_diff(16) < 10;
            let colour: [u8; 3] = if cell { [150, 70, 160] } else { [240, 225, 238] };
            colour.map(|value| value + (noise.next() % 12) as u8)
        })
        .collect();
    let mut set = head(&known, SLIDE_IMAGE, "SM", &patient(study), study, 0);
    put(&mut set, 0x0028, 0x0002, "US", &3_u16.to_le_bytes());
    put(&mut set, 0x0028, 0x0004, "CS", b"RGB");
    for (element, value) in
        [(0x0006, 0), (0x0010, SIDE), (0x0011, SIDE), (0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0)]
    {
        put(&mut set, 0x0028, element, "US", &u16::to_le_bytes(value));
    }
    put(&mut set, 0x7FE0, 0x0010, "OB", &pixels);
    let file = file(SLIDE_IMAGE, &known.instance, EXPLICIT_LITTLE, &set);
    Made { known, file }
}

/// A study of one instance with 4 KiB of pixels.
pub fn small(study: usize) -> Made {
    image(study, 0, 45, modality(study), &patient(study))
}

/// The slice of that number in one series of small slices.
pub fn small_slice(slice: usize) -> Made {
    image(SERIES_STUDY, slice, 45, "CT", &patient(SERIES_STUDY))
}

/// The Patient ID of a small study.
pub fn patient(study: usize) -> String {
    format!("P{study:07}")
}

/// The Study Date of a study: ten years of months of 28 days, one day a study.
pub fn date(study: usize) -> String {
    format!("{}{:02}{:02}", 2015 + study / 336 % 10, 1 + study / 28 % 12, 1 + study % 28)
}

/// The modality of a small study.
pub fn modality(study: usize) -> &'static str {
    ["CT", "MR", "US", "CR"][study % 4]
}

fn image(study: usize, slice: usize, size: u16, modality: &str, patient: &str) -> Made {
    let length = usize::from(size) * usize::from(size) * 2;
    let pixels = Noise(((study as u64) << 20) + slice as u64 + 1).bytes(length);
    gray(study, slice, size, modality, patient, pixels)
}

fn gray(study: usize, slice: usize, size: u16, modality: &str, patient: &str, pixels: Vec<u8>) -> Made {
    let known = known(study, slice);
    let mut set = head(&known, CT_IMAGE, modality, patient, study, slice);
    put(&mut set, 0x0028, 0x0002, "US", &1_u16.to_le_bytes());
    put(&mut set, 0x0028, 0x0004, "CS", b"MONOCHROME2");
    for (element, value) in
        [(0x0010, size), (0x0011, size), (0x0100, 16), (0x0101, 12), (0x0102, 11), (0x0103, 0)]
    {
        put(&mut set, 0x0028, element, "US", &u16::to_le_bytes(value));
    }
    put(&mut set, 0x7FE0, 0x0010, "OW", &pixels);
    let frames = vec![pixels.into_iter().take(64).collect()];
    let file = file(CT_IMAGE, &known.instance, EXPLICIT_LITTLE, &set);
    Made { known: Known { frames, ..known }, file }
}

/// An enhanced CT of 100 frames of 512 x 512 x 16 bits, 52 MB, each with functional
/// groups of its own.
pub fn enhanced(study: usize) -> Made {
    const FRAMES: usize = 100;
    const FRAME_BYTES: usize = 512 * 512 * 2;
    let known = known(study, 0);
    let mut set = head(&known, ENHANCED_CT_IMAGE, "CT", &format!("EN{study:06}"), study, 0);
    put(&mut set, 0x0028, 0x0002, "US", &1_u16.to_le_bytes());
    put(&mut set, 0x0028, 0x0004, "CS", b"MONOCHROME2");
    put(&mut set, 0x0028, 0x0008, "IS", FRAMES.to_string().as_bytes());
    for (element, value) in
        [(0x0010, 512), (0x0011, 512), (0x0100, 16), (0x0101, 12), (0x0102, 11), (0x0103, 0)]
    {
        put(&mut set, 0x0028, element, "US", &u16::to_le_bytes(value));
    }
    let groups: Vec<Vec<u8>> = (0..FRAMES).map(functional_groups).collect();
    sequence(&mut set, 0x5200, 0x9230, &groups);
    let pixels = Noise(((study as u64) << 20) + 1).bytes(FRAMES * FRAME_BYTES);
    put(&mut set, 0x7FE0, 0x0010, "OW", &pixels);
    let frames = pixels.chunks(FRAME_BYTES).map(|frame| frame[..64].to_vec()).collect();
    let file = file(ENHANCED_CT_IMAGE, &known.instance, EXPLICIT_LITTLE, &set);
    Made { known: Known { frames, ..known }, file }
}

/// Content, position, orientation, measures and window of one frame.
fn functional_groups(frame: usize) -> Vec<u8> {
    let mut content = Vec::new();
    put(&mut content, 0x0018, 0x9074, "DT", format!("20200101101500.{frame:06}").as_bytes());
    put(&mut content, 0x0018, 0x9220, "FD", &0.5_f64.to_le_bytes());
    put(&mut content, 0x0020, 0x9056, "SH", b"1");
    put(&mut content, 0x0020, 0x9057, "UL", &u32::to_le_bytes(u32::try_from(frame + 1).expect("few")));
    let mut position = Vec::new();
    put(&mut position, 0x0020, 0x0032, "DS", format!("-250\\-250\\{frame}.5").as_bytes());
    let mut orientation = Vec::new();
    put(&mut orientation, 0x0020, 0x0037, "DS", b"1\\0\\0\\0\\1\\0");
    let mut measures = Vec::new();
    put(&mut measures, 0x0018, 0x0050, "DS", b"1.5");
    put(&mut measures, 0x0028, 0x0030, "DS", b"0.976562\\0.976562");
    let mut window = Vec::new();
    put(&mut window, 0x0028, 0x1050, "DS", b"40");
    put(&mut window, 0x0028, 0x1051, "DS", b"400");
    let mut groups = Vec::new();
    for (group, element, macro_) in [
        (0x0020, 0x9111, content),
        (0x0020, 0x9113, position),
        (0x0020, 0x9116, orientation),
        (0x0028, 0x9110, measures),
        (0x0028, 0x9132, window),
    ] {
        sequence(&mut groups, group, element, &[macro_]);
    }
    groups
}

/// A slide of `tiles` JPEG tiles. They only look like JPEG from outside: no
/// server has to decode them here.
pub fn slide(study: usize, tiles: usize) -> Made {
    let known = known(study, 0);
    let mut noise = Noise(study as u64 + 1);
    let tiles: Vec<Vec<u8>> = (0..tiles)
        .map(|_| {
            let length = 8_000 + usize::try_from(noise.next() % 8_000).expect("a tile is small") * 2;
            [&[0xFF, 0xD8, 0xFF, 0xE0], noise.bytes(length).as_slice(), &[0xFF, 0xD9]].concat()
        })
        .collect();
    let mut set = head(&known, SLIDE_IMAGE, "SM", "SLIDE", study, 0);
    put(&mut set, 0x0028, 0x0002, "US", &3_u16.to_le_bytes());
    put(&mut set, 0x0028, 0x0004, "CS", b"YBR_FULL_422");
    put(&mut set, 0x0028, 0x0008, "IS", tiles.len().to_string().as_bytes());
    for (element, value) in [(0x0010, 256), (0x0011, 256), (0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0)]
    {
        put(&mut set, 0x0028, element, "US", &u16::to_le_bytes(value));
    }
    set.extend_from_slice(&[0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    let mut offset = 0_u32;
    let mut table = Vec::new();
    for tile in &tiles {
        table.extend_from_slice(&offset.to_le_bytes());
        offset += 8 + u32::try_from(tile.len()).expect("a tile is small");
    }
    item(&mut set, &table);
    for tile in &tiles {
        item(&mut set, tile);
    }
    set.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    let file = file(SLIDE_IMAGE, &known.instance, JPEG_BASELINE, &set);
    Made { known: Known { frames: tiles, ..known }, file }
}

fn known(study: usize, slice: usize) -> Known {
    Known {
        study: format!("{ROOT}.{study}"),
        series: format!("{ROOT}.{study}.1"),
        instance: format!("{ROOT}.{study}.1.{slice}"),
        frames: Vec::new(),
    }
}

/// The attributes up to group 0020.
fn head(known: &Known, class: &str, modality: &str, patient: &str, study: usize, slice: usize) -> Vec<u8> {
    let number = (slice + 1).to_string();
    let position = format!("-250\\-250\\{slice}.5");
    let texts: [(u16, u16, &str, &str); 27] = [
        (0x0008, 0x0005, "CS", "ISO_IR 192"),
        (0x0008, 0x0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        (0x0008, 0x0016, "UI", class),
        (0x0008, 0x0018, "UI", &known.instance),
        (0x0008, 0x0020, "DA", &date(study)),
        (0x0008, 0x0030, "TM", "101500"),
        (0x0008, 0x0050, "SH", patient),
        (0x0008, 0x0060, "CS", modality),
        (0x0008, 0x0070, "LO", "Synthetic"),
        (0x0008, 0x0090, "PN", "Referrer^Rita"),
        (0x0008, 0x1030, "LO", "Thorax with contrast"),
        (0x0008, 0x103E, "LO", "Axial 1.5 mm"),
        (0x0010, 0x0010, "PN", &format!("Bench^{patient}")),
        (0x0010, 0x0020, "LO", patient),
        (0x0010, 0x0030, "DA", "19700101"),
        (0x0010, 0x0040, "CS", "O"),
        (0x0018, 0x0050, "DS", "1.5"),
        (0x0018, 0x0060, "DS", "120"),
        (0x0020, 0x000D, "UI", &known.study),
        (0x0020, 0x000E, "UI", &known.series),
        (0x0020, 0x0010, "SH", "1"),
        (0x0020, 0x0011, "IS", "2"),
        (0x0020, 0x0012, "IS", "1"),
        (0x0020, 0x0013, "IS", &number),
        (0x0020, 0x0032, "DS", &position),
        (0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0"),
        (0x0020, 0x0052, "UI", &format!("{}.9", known.study)),
    ];
    let mut set = Vec::new();
    for (group, element, vr, text) in texts {
        put(&mut set, group, element, vr, text.as_bytes());
    }
    set
}

fn file(class: &str, instance: &str, syntax: &str, set: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    put(&mut meta, 0x0002, 0x0001, "OB", &[0, 1]);
    put(&mut meta, 0x0002, 0x0002, "UI", class.as_bytes());
    put(&mut meta, 0x0002, 0x0003, "UI", instance.as_bytes());
    put(&mut meta, 0x0002, 0x0010, "UI", syntax.as_bytes());
    put(&mut meta, 0x0002, 0x0012, "UI", b"2.25.4711.0");
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    let length = u32::try_from(meta.len()).expect("the meta group is small");
    put(&mut file, 0x0002, 0x0000, "UL", &length.to_le_bytes());
    file.extend_from_slice(&meta);
    file.extend_from_slice(set);
    file
}

fn put(set: &mut Vec<u8>, group: u16, element: u16, vr: &str, value: &[u8]) {
    set.extend_from_slice(&group.to_le_bytes());
    set.extend_from_slice(&element.to_le_bytes());
    set.extend_from_slice(vr.as_bytes());
    let length = value.len().next_multiple_of(2);
    if matches!(vr, "OB" | "OW" | "SQ") {
        set.extend_from_slice(&[0, 0]);
        set.extend_from_slice(&u32::try_from(length).expect("a value is small").to_le_bytes());
    } else {
        set.extend_from_slice(&u16::try_from(length).expect("a value is short").to_le_bytes());
    }
    set.extend_from_slice(value);
    if length > value.len() {
        set.push(if vr == "UI" || vr == "OB" { 0 } else { b' ' });
    }
}

fn item(set: &mut Vec<u8>, value: &[u8]) {
    set.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
    set.extend_from_slice(&u32::try_from(value.len()).expect("an item is small").to_le_bytes());
    set.extend_from_slice(value);
}

fn sequence(set: &mut Vec<u8>, group: u16, element: u16, items: &[Vec<u8>]) {
    let mut value = Vec::new();
    for one in items {
        item(&mut value, one);
    }
    put(set, group, element, "SQ", &value);
}
