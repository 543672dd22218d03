//! The pixels of an instance from the parts that hold them: which Transfer
//! Syntax they make of it, how many frames they are, and what they say of
//! themselves that the metadata leave out (PS3.18 section 10.5.1.4, table
//! 10.5.2-1).

use std::cell::RefCell;
use std::collections::HashMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::{Coding, ComposeError, Part, Store, appended, is_absent, is_encapsulated, put_found};
use crate::dicom::bitstream::{self, Bitstream, Image, Kind};
use crate::dicom::dataset::{DataSet, Element, Value};
use crate::dicom::encode::{Content, Stretch};
use crate::dicom::raster::{self, Raster};
use crate::dicom::source::Source;
use crate::dicom::transfer_syntax::{self, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Loss};

/// Fragments of pixels that came inline.
const FRAGMENTS_MAX: usize = 100_000;

/// Pixels within a sequence that are looked at: they are those of icons.
const ICON_BYTES_MAX: u64 = 1 << 20;

/// Decoded bytes gathered before they go to the store.
const APPENDED_BYTES: usize = 256 * 1024;

/// The pixels of one instance.
pub(super) struct Job<'s> {
    pub(super) store: &'s mut dyn Store,
    pub(super) decoded_bytes_max: u64,
    /// The Transfer Syntax that the metadata say the pixels had elsewhere.
    pub(super) hint: Option<String>,
}

type Found = HashMap<String, Content>;

impl Job<'_> {
    /// Pixels from the parts that their URI names; gives the Transfer Syntax.
    pub(super) fn parts(
        self,
        set: &mut DataSet,
        parts: &[&Part],
        found: &mut Found,
    ) -> Result<String, ComposeError> {
        let Some(first) = parts.first() else {
            return Err(ComposeError::Unresolved { tag: tags::PIXEL_DATA });
        };
        let alike = parts
            .iter()
            .all(|part| part.coding == first.coding && part.transfer_syntax == first.transfer_syntax);
        if !alike {
            return Err(ComposeError::Pixels("the parts of the pixel data are of different media types"));
        }
        let stretches: Vec<Stretch> = parts.iter().map(|part| part.stretch).collect();
        let named = first.transfer_syntax.as_deref();
        match &first.coding {
            Coding::Pixels(Kind::Png) => self.decoded(set, &stretches, raster::png, found),
            Coding::Pixels(Kind::Gif) => self.decoded(set, &stretches, raster::gif, found),
            Coding::Pixels(kind) => self.encapsulated(set, *kind, &stretches, named, found),
            Coding::Bytes => match named {
                None | Some(EXPLICIT_LITTLE | IMPLICIT_LITTLE) => native(set, stretches, found),
                Some(uid) if is_encapsulated(uid) => match kind_of(uid) {
                    Some(kind) => self.encapsulated(set, kind, &stretches, named, found),
                    None => named_only(set, uid, stretches, found),
                },
                Some(_) => Err(ComposeError::TransferSyntax),
            },
            Coding::Document(_) => {
                Err(ComposeError::Pixels("the pixel data have a media type that is none of pixels"))
            }
        }
    }

    /// Pixels that stand in the metadata, if there are any: native ones, or the
    /// items of encapsulated ones as some libraries write them.
    pub(super) fn inline(self, set: &mut DataSet, found: &mut Found) -> Result<String, ComposeError> {
        let Some(Element { value: Value::Inline(bytes), .. }) = set.get(tags::PIXEL_DATA) else {
            return Ok(EXPLICIT_LITTLE.to_owned());
        };
        if !bytes.starts_with(&[0xFE, 0xFF, 0x00, 0xE0]) {
            let bits = set.first_int(tags::BITS_ALLOCATED);
            if let Some(pixels) = set.get_mut(tags::PIXEL_DATA) {
                pixels.vr = native_vr(pixels.vr, bits);
            }
            return Ok(EXPLICIT_LITTLE.to_owned());
        }
        let fragments =
            items(bytes).ok_or(ComposeError::Pixels("the items of the pixel data are damaged"))?;
        let bytes = bytes.clone();
        let declared = declared_frames(set)?;
        let is_one = declared.unwrap_or(1) == 1;
        let mut frames = Vec::with_capacity(fragments.len());
        let from = self.store.len();
        for fragment in fragments {
            let start = self.store.len();
            self.store.append(bytes.get(fragment).unwrap_or_default())?;
            frames.push(appended(self.store, start));
        }
        if is_one {
            // However many fragments, it is one frame.
            frames = vec![appended(self.store, from)];
        }
        let first = *frames.first().ok_or(ComposeError::Pixels("the pixel data have no frame"))?;
        let kind = match self.hint.as_deref().and_then(kind_of) {
            Some(kind) => Some(kind),
            None => bitstream::guess(self.store, first)?,
        };
        let kind = kind.ok_or(ComposeError::Pixels(
            "the pixel data are encapsulated, and nothing says how they are compressed; send them as a part \
             with their media type",
        ))?;
        self.encapsulated(set, kind, &frames, None, found)
    }

    /// One code stream a frame, or one of a video.
    fn encapsulated(
        self,
        set: &mut DataSet,
        kind: Kind,
        stretches: &[Stretch],
        named: Option<&str>,
        found: &mut Found,
    ) -> Result<String, ComposeError> {
        let mut streams = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            streams.push(bitstream::describe(kind, self.store, *stretch)?);
        }
        if kind.is_video() {
            if streams.len() != 1 {
                return Err(ComposeError::Pixels("a video is one part"));
            }
        } else {
            count_frames(set, streams.len() as u64)?;
        }
        let Some(first) = streams.first() else {
            return Err(ComposeError::Pixels("the pixel data have no frame"));
        };
        if streams.iter().any(|stream| stream.image != first.image) {
            return Err(ComposeError::Pixels("the frames differ in size, depth or colour"));
        }
        let syntax = syntax_of(kind, first, named, self.hint.as_deref())?;
        let derived = describe_image(set, first.image.as_ref())?;
        let is_lossy = transfer_syntax::find(&syntax).is_some_and(|known| known.loss == Loss::Always)
            || first.transfer_syntax == Some("1.2.840.10008.1.2.4.91");
        if derived && is_lossy && is_absent(set, tags::LOSSY_IMAGE_COMPRESSION) {
            set.put_text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
        }
        let frames = streams.into_iter().map(|stream| stream.stretch).collect();
        put_found(set, VR::OB, Content::Frames(frames), found);
        Ok(syntax)
    }

    /// Images that are stored decoded.
    fn decoded(
        self,
        set: &mut DataSet,
        stretches: &[Stretch],
        decode: Decode,
        found: &mut Found,
    ) -> Result<String, ComposeError> {
        let start = self.store.len();
        let mut first: Option<Raster> = None;
        let (mut frames, mut delays_ms) = (0_u64, Vec::new());
        for stretch in stretches {
            let left = self.decoded_bytes_max.saturating_sub(self.store.len() - start);
            let raster = decode_behind(self.store, *stretch, left, decode)?;
            frames += u64::from(raster.frames);
            delays_ms.extend_from_slice(&raster.delays_ms);
            if first.as_ref().is_some_and(|first| first.image != raster.image) {
                return Err(ComposeError::Pixels("the images differ in size, depth or colour"));
            }
            first.get_or_insert(raster);
        }
        let image = first.ok_or(ComposeError::Pixels("the pixel data have no frame"))?.image;
        count_frames(set, frames)?;
        if frames > 1 {
            put_cine(set, &delays_ms);
        }
        // They are what was decoded, whatever the metadata say.
        put_image(set, &image, true);
        let vr = if image.bits_allocated > 8 { VR::OW } else { VR::OB };
        put_found(set, vr, Content::Value(vec![appended(self.store, start)]), found);
        Ok(EXPLICIT_LITTLE.to_owned())
    }
}

/// The pixels of an icon: compressed ones lie in items, as they do at the root (PS3.5
/// section A.4).
pub(super) fn within(part: &Part, store: &dyn Store) -> Result<Content, ComposeError> {
    let stretch = part.stretch;
    match (&part.coding, part.transfer_syntax.as_deref()) {
        (Coding::Pixels(Kind::Png | Kind::Gif), _) => {
            let why = "pixels within a sequence are PNG or GIF, which only those of the image may be";
            Err(ComposeError::Pixels(why))
        }
        (Coding::Pixels(_), _) => Ok(Content::Frames(vec![stretch])),
        (Coding::Bytes, Some(uid)) if is_encapsulated(uid) => Ok(Content::Frames(vec![stretch])),
        (Coding::Bytes, _) if stretch.length <= ICON_BYTES_MAX => {
            let mut bytes = vec![0; usize::try_from(stretch.length).unwrap_or(0)];
            store.read_exact_at(&mut bytes, stretch.offset)?;
            Ok(match items_length(&bytes) {
                Some(length) => Content::Fragments(Stretch { length, ..stretch }),
                None => Content::Value(vec![stretch]),
            })
        }
        (Coding::Bytes | Coding::Document(_), _) => Ok(Content::Value(vec![stretch])),
    }
}

/// How long the items are of which a value consists, if it does; as the archive gives the
/// pixels of an icon, and some libraries put them into metadata.
pub(super) fn items_length(bytes: &[u8]) -> Option<u64> {
    let end = items(bytes)?.last()?.end;
    let is_all = matches!(bytes.get(end..)?, [] | [0xFE, 0xFF, 0xDD, 0xE0, ..]);
    is_all.then_some(end as u64)
}

/// Items of a syntax whose streams say nothing.
fn named_only(
    set: &mut DataSet,
    uid: &str,
    stretches: Vec<Stretch>,
    found: &mut Found,
) -> Result<String, ComposeError> {
    count_frames(set, stretches.len() as u64)?;
    describe_image(set, None)?;
    put_found(set, VR::OB, Content::Frames(stretches), found);
    Ok(uid.to_owned())
}

type Decode = fn(&dyn Source, Stretch, u64, raster::Sink<'_>) -> Result<Raster, raster::RasterError>;

/// Decodes what the store holds and puts the pixels behind it while it goes.
fn decode_behind(
    store: &mut dyn Store,
    stretch: Stretch,
    bytes_max: u64,
    decode: Decode,
) -> Result<Raster, ComposeError> {
    let shared = Shared(RefCell::new(store));
    let mut waiting = Vec::new();
    let raster = decode(&shared, stretch, bytes_max, &mut |bytes| {
        waiting.extend_from_slice(bytes);
        if waiting.len() < APPENDED_BYTES {
            return Ok(());
        }
        shared.0.borrow_mut().append(&waiting)?;
        waiting.clear();
        Ok(())
    })?;
    shared.0.borrow_mut().append(&waiting)?;
    Ok(raster)
}

/// A store that is read and written in turn.
struct Shared<'s>(RefCell<&'s mut dyn Store>);

impl Source for Shared<'_> {
    fn len(&self) -> u64 {
        self.0.borrow().len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.borrow().read_exact_at(buffer, offset)
    }
}

/// Native pixels: parts that follow each other are frames.
fn native(set: &mut DataSet, mut stretches: Vec<Stretch>, found: &mut Found) -> Result<String, ComposeError> {
    if stretches.len() > 1 {
        count_frames(set, stretches.len() as u64)?;
    }
    for tag in [tags::ROWS, tags::COLUMNS, tags::BITS_ALLOCATED] {
        if is_absent(set, tag) {
            return Err(ComposeError::MissingMacro { tag });
        }
    }
    if stretches.len() > 1 {
        let bytes = frame_bytes(set)?;
        for stretch in &mut stretches {
            // Each may have been padded.
            if stretch.length != bytes && stretch.length != bytes + bytes % 2 {
                return Err(ComposeError::Pixels(
                    "a part of the pixel data does not have the bytes of one frame",
                ));
            }
            stretch.length = bytes;
        }
    }
    let vr = set.get(tags::PIXEL_DATA).map_or(VR::OW, |pixels| pixels.vr);
    let vr = native_vr(vr, set.first_int(tags::BITS_ALLOCATED));
    put_found(set, vr, Content::Value(stretches), found);
    Ok(EXPLICIT_LITTLE.to_owned())
}

/// Bytes of one of several native frames, which lie one after the other without a gap.
fn frame_bytes(set: &DataSet) -> Result<u64, ComposeError> {
    let number = |tag| set.first_int(tag).and_then(|number| u64::try_from(number).ok());
    let photometric = set.first_text(tags::PHOTOMETRIC_INTERPRETATION);
    let is_shared = matches!(photometric, Some("YBR_FULL_422" | "YBR_PARTIAL_422"));
    let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let samples = if is_shared && samples == 3 { 2 } else { samples };
    let factors = [tags::ROWS, tags::COLUMNS, tags::BITS_ALLOCATED].map(number);
    let bits = factors.into_iter().try_fold(samples, |product, factor| product.checked_mul(factor?));
    let bits = bits.ok_or(ComposeError::Pixels("the size of a frame makes no sense"))?;
    if !bits.is_multiple_of(8) {
        let why = "frames whose bits do not fill their bytes share bytes: send the pixel data as one part";
        return Err(ComposeError::Pixels(why));
    }
    Ok(bits / 8)
}

/// PS3.5 section A.2: words of more than 8 bits are OW.
fn native_vr(vr: VR, bits_allocated: Option<i64>) -> VR {
    if vr == VR::OB && bits_allocated.is_none_or(|bits| bits <= 8) { VR::OB } else { VR::OW }
}

/// The Transfer Syntax: as the part says; as the metadata say; as the stream
/// says; the default of the media type.
fn syntax_of(
    kind: Kind,
    stream: &Bitstream,
    named: Option<&str>,
    hint: Option<&str>,
) -> Result<String, ComposeError> {
    let own = stream.transfer_syntax;
    let may_be = |uid: &str| kind.carries(uid) && own.is_none_or(|own| includes(uid, own));
    if let Some(named) = named {
        return if may_be(named) { Ok(named.to_owned()) } else { Err(ComposeError::TransferSyntax) };
    }
    let hint = hint.filter(|hint| may_be(hint));
    Ok(hint.or(own).unwrap_or(kind.default_transfer_syntax()).to_owned())
}

/// Is a stream of one Transfer Syntax also one of another?
fn includes(uid: &str, own: &str) -> bool {
    let known = |uid: &str| transfer_syntax::find(uid).map(|syntax| (syntax.pixels, syntax.loss));
    let (Some((pixels, loss)), Some((own_pixels, own_loss))) = (known(uid), known(own)) else { return false };
    if uid == own {
        return true;
    }
    if pixels != own_pixels {
        return false;
    }
    match pixels {
        // Levels and profiles of videos include each other.
        transfer_syntax::Pixels::Mpeg2 | transfer_syntax::Pixels::Mpeg4 | transfer_syntax::Pixels::Hevc => {
            true
        }
        // The processes do not, but for extended and general lossless ones.
        transfer_syntax::Pixels::Jpeg => {
            let last = |uid: &str| uid.rsplit('.').next().and_then(|last| last.parse().ok()).unwrap_or(0);
            matches!((last(uid), last(own)), (51, 50) | (57, 70) | (52..=66, _))
        }
        transfer_syntax::Pixels::Native
        | transfer_syntax::Pixels::EncapsulatedUncompressed
        | transfer_syntax::Pixels::Rle
        | transfer_syntax::Pixels::JpegLs
        | transfer_syntax::Pixels::Jpeg2000
        | transfer_syntax::Pixels::Jpeg2000Part2
        | transfer_syntax::Pixels::HtJpeg2000
        | transfer_syntax::Pixels::JpegXl
        | transfer_syntax::Pixels::DeflatedFrame
        | transfer_syntax::Pixels::Elsewhere => loss == Loss::Maybe || own_loss == Loss::Never,
    }
}

/// The kind of stream of an encapsulated Transfer Syntax.
fn kind_of(uid: &str) -> Option<Kind> {
    use Kind::{DeflatedFrame, Hevc, HtJpeg2000, Jpeg, Jpeg2000, JpegLs, JpegXl, Jpx, Mpeg2, Mpeg4, Rle};
    [Jpeg, JpegLs, Jpeg2000, Jpx, HtJpeg2000, JpegXl, Rle, DeflatedFrame, Mpeg2, Mpeg4, Hevc]
        .into_iter()
        .find(|kind| kind.carries(uid))
}

/// Number of Frames; none if it is absent.
fn declared_frames(set: &DataSet) -> Result<Option<i64>, ComposeError> {
    if is_absent(set, tags::NUMBER_OF_FRAMES) {
        return Ok(None);
    }
    let number = set.first_int(tags::NUMBER_OF_FRAMES);
    number.map(Some).ok_or(ComposeError::Pixels("Number of Frames (0028,0008) is no number"))
}

/// Holds the number of frames against the metadata, which may leave it out.
fn count_frames(set: &mut DataSet, held: u64) -> Result<(), ComposeError> {
    match declared_frames(set)? {
        Some(declared) if u64::try_from(declared) == Ok(held) => Ok(()),
        Some(declared) => Err(ComposeError::Frames { declared, held }),
        None => {
            if held > 1 {
                set.put_text(tags::NUMBER_OF_FRAMES, VR::IS, &held.to_string());
            }
            Ok(())
        }
    }
}

/// Completes the Image Pixel Description Macro; says whether the stream had to.
fn describe_image(set: &mut DataSet, image: Option<&Image>) -> Result<bool, ComposeError> {
    const REQUIRED: [Tag; 5] = [
        tags::ROWS,
        tags::COLUMNS,
        tags::BITS_ALLOCATED,
        tags::SAMPLES_PER_PIXEL,
        tags::PHOTOMETRIC_INTERPRETATION,
    ];
    let missing = REQUIRED.into_iter().find(|tag| is_absent(set, *tag));
    let Some(image) = image else {
        return match missing {
            Some(tag) => Err(ComposeError::MissingMacro { tag }),
            None => Ok(false),
        };
    };
    for (tag, number) in
        [(tags::ROWS, image.rows), (tags::COLUMNS, image.columns), (tags::SAMPLES_PER_PIXEL, image.samples)]
    {
        if !is_absent(set, tag) && set.first_int(tag) != Some(i64::from(number)) {
            return Err(ComposeError::Contradiction { tag });
        }
    }
    put_image(set, image, false);
    if let Some(frames) = image.frames
        && is_absent(set, tags::NUMBER_OF_FRAMES)
    {
        set.put_text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string());
    }
    Ok(missing.is_some())
}

/// Puts the macro, or what is missing of it.
fn put_image(set: &mut DataSet, image: &Image, over: bool) {
    let mut number = |tag, number: u16| {
        if over || is_absent(set, tag) {
            set.put(tag, Element::new(VR::US, Value::Unsigned(vec![u64::from(number)])));
        }
    };
    number(tags::SAMPLES_PER_PIXEL, image.samples);
    number(tags::ROWS, image.rows);
    number(tags::COLUMNS, image.columns);
    number(tags::BITS_ALLOCATED, image.bits_allocated);
    number(tags::BITS_STORED, image.bits_stored);
    number(tags::PIXEL_REPRESENTATION, u16::from(image.is_signed));
    if image.samples > 1 {
        number(tags::PLANAR_CONFIGURATION, 0);
    }
    let bits = set.first_int(tags::BITS_STORED).and_then(|bits| u64::try_from(bits).ok());
    if over || is_absent(set, tags::HIGH_BIT) {
        let high = bits.unwrap_or_else(|| image.bits_stored.into()).saturating_sub(1);
        set.put(tags::HIGH_BIT, Element::new(VR::US, Value::Unsigned(vec![high])));
    }
    if over || is_absent(set, tags::PHOTOMETRIC_INTERPRETATION) {
        set.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, image.photometric);
    }
    if over && image.samples == 1 {
        set.remove(tags::PLANAR_CONFIGURATION);
    }
}

/// How long each frame of an animation is shown (PS3.3 section C.7.6.5).
fn put_cine(set: &mut DataSet, delays_ms: &[u32]) {
    let Some(first) = delays_ms.first() else { return };
    if !is_absent(set, tags::FRAME_INCREMENT_POINTER) {
        return;
    }
    let all_alike = delays_ms.iter().all(|delay| delay == first);
    let (tag, values) = if all_alike {
        (tags::FRAME_TIME, vec![first.to_string()])
    } else {
        // Between a frame and the one before it; before the first is nothing.
        let between = delays_ms.iter().take(delays_ms.len() - 1);
        (tags::FRAME_TIME_VECTOR, std::iter::once(&0).chain(between).map(ToString::to_string).collect())
    };
    let pointer = u32::from(tag.group()) << 16 | u32::from(tag.element());
    set.put(tags::FRAME_INCREMENT_POINTER, Element::new(VR::AT, Value::Tags(vec![pointer])));
    set.put(tag, Element::new(VR::DS, Value::Text(values)));
}

/// The items of encapsulated pixels behind their offset table.
fn items(bytes: &[u8]) -> Option<Vec<std::ops::Range<usize>>> {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some([0xFE, 0xFF, mark @ ..]) = bytes.get(at..at + 8) {
        let [kind, 0xE0, a, b, c, d] = *mark else { return None };
        if kind == 0xDD {
            break;
        }
        let start = at + 8;
        let end = start.checked_add(usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?)?;
        if kind != 0 || end > bytes.len() || items.len() > FRAGMENTS_MAX {
            return None;
        }
        items.push(start..end);
        at = end;
    }
    (items.len() > 1).then(|| items.split_off(1))
}
