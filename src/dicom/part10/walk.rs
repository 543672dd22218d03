//! The walk over a data set: a flat stream of [`Token`]s from its bytes.
//!
//! It never recurses, never reads a value it is not asked for, and never looks
//! past the end of what holds an element: each length is checked before it is
//! used. It decides each element's VR, so that whoever follows the walk (the
//! data set, the transcoder) sees the same one.
//! PS3.5 sections 6.2.2, 7.1 and 7.5; the tolerances are those real files need.

mod header;

use std::mem;

use dicom_core::dictionary::VirtualVr;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::Limits;
use super::problem::{ReadError, Warning, Warnings};
use super::syntax::{self, Encoding};
use super::window::Window;
use crate::dicom::source::Source;
use crate::dicom::vr;

pub(crate) use header::{Context, Header};

const UNDEFINED: u32 = 0xFFFF_FFFF;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const TRAILING_PADDING: Tag = Tag(0xFFFC, 0xFFFC);

/// An item of encapsulated pixel data; the first is the Basic Offset Table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment {
    pub offset: u64,
    pub length: u64,
}

#[derive(Debug)]
pub(crate) enum Token {
    Element(Header),
    /// Encapsulated pixels: the header spans from the first item to before the
    /// sequence delimiter.
    Fragments(Header, Vec<Fragment>),
    Sequence(Header),
    Item,
    EndItem,
    EndSequence,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Root,
    Sequence,
    Item,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    kind: Kind,
    /// The sequence's tag, or the one that holds the item.
    tag: Tag,
    /// Where it ends; none if a delimiter ends it.
    end: Option<u64>,
    /// What nothing inside may pass.
    bound: u64,
    encoding: Encoding,
    last: Option<Tag>,
    context: Context,
}

pub(crate) struct Walk<'a> {
    pub window: Window<'a>,
    pub warnings: Warnings,
    limits: Limits,
    position: u64,
    levels: Vec<Level>,
    /// Levels below a trial's own.
    levels_below: usize,
    elements: usize,
    pixels_seen: bool,
    in_trial: bool,
    guessed_sign: bool,
}

impl<'a> Walk<'a> {
    /// A walk from `offset` to the end of the source. The encoding is a claim
    /// that the first element may refute.
    pub(crate) fn new(
        source: &'a dyn Source,
        offset: u64,
        claimed: Encoding,
        context: Context,
        limits: &Limits,
    ) -> Result<Self, ReadError> {
        let window = Window::new(source);
        let end = window.length();
        let mut walk = Self {
            window,
            warnings: Warnings::default(),
            limits: *limits,
            position: offset,
            levels: Vec::with_capacity(8),
            levels_below: 0,
            elements: 0,
            pixels_seen: false,
            in_trial: false,
            guessed_sign: false,
        };
        let mut encoding = claimed;
        if end.saturating_sub(offset) >= 8 {
            let first = walk.window.array(offset)?;
            if let Some(guessed) =
                syntax::guess(first).filter(|guessed| header::is_other_order(first, *guessed, claimed))
            {
                encoding = guessed;
            }
            encoding = walk.encoding_at(offset, end, encoding)?;
            if encoding != claimed {
                walk.warnings.add(Warning::Encoding { offset });
            }
        }
        walk.levels.push(Level {
            kind: Kind::Root,
            tag: ITEM,
            end: Some(end),
            bound: end,
            encoding,
            last: None,
            context,
        });
        Ok(walk)
    }

    /// The encoding of the data set the walk stands in.
    pub(crate) fn encoding(&self) -> Encoding {
        self.levels.last().map_or(Encoding::EXPLICIT, |level| level.encoding)
    }

    /// Whether the walk stands in the outermost data set.
    pub(crate) fn is_at_root(&self) -> bool {
        self.levels.len() == 1
    }

    /// Whether a VR was chosen before Pixel Representation was known.
    pub(crate) fn guessed_sign(&self) -> bool {
        self.guessed_sign
    }

    /// A value's bytes. The caller has checked that it wants as many.
    pub(crate) fn value(&mut self, header: &Header) -> Result<&[u8], ReadError> {
        let count = usize::try_from(header.length).map_err(|_| ReadError::Limit {
            what: "bytes of a value",
            tag: header.tag,
            offset: header.offset,
            max: usize::MAX as u64,
        })?;
        Ok(self.window.bytes(header.offset, count)?)
    }

    pub(crate) fn next(&mut self) -> Result<Token, ReadError> {
        loop {
            let Some(level) = self.levels.last().copied() else { return Ok(Token::End) };
            if level.end == Some(self.position) {
                return Ok(self.close());
            }
            let token = match level.kind {
                Kind::Sequence => self.in_sequence(&level)?,
                Kind::Root | Kind::Item => self.in_data_set(&level)?,
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    fn close(&mut self) -> Token {
        match self.levels.pop().map(|level| level.kind) {
            Some(Kind::Sequence) => Token::EndSequence,
            Some(Kind::Item) => Token::EndItem,
            Some(Kind::Root) | None => Token::End,
        }
    }

    /// An item, or the end of the sequence.
    fn in_sequence(&mut self, level: &Level) -> Result<Option<Token>, ReadError> {
        let at = self.position;
        if level.bound - at < 8 {
            return self.close_without_delimiter(level).map(Some);
        }
        let (tag, length) = self.item_header(at, level.encoding)?;
        match tag {
            ITEM => self.open_item(level, length).map(Some),
            SEQUENCE_END if level.end.is_none() => {
                self.position += 8;
                Ok(Some(self.close()))
            }
            SEQUENCE_END | ITEM_END => {
                self.warnings.add(Warning::StrayDelimiter { offset: at });
                self.position += 8;
                Ok(None)
            }
            _ => Err(ReadError::Structure {
                tag: level.tag,
                offset: at,
                reason: "holds something else than items",
            }),
        }
    }

    fn open_item(&mut self, level: &Level, length: u32) -> Result<Token, ReadError> {
        let start = self.position + 8;
        self.count(ITEM)?;
        let (end, bound) = if length == UNDEFINED {
            (None, level.bound)
        } else {
            let end = self.end_of(ITEM, start, u64::from(length), level.bound)?;
            (Some(end), end)
        };
        let encoding = self.encoding_at(start, bound, level.encoding)?;
        if encoding != level.encoding {
            self.warnings.add(Warning::Encoding { offset: start });
        }
        self.position = start;
        self.levels.push(Level { kind: Kind::Item, end, bound, encoding, last: None, ..*level });
        Ok(Token::Item)
    }

    /// An element, a sequence, or the end of the data set.
    fn in_data_set(&mut self, level: &Level) -> Result<Option<Token>, ReadError> {
        let at = self.position;
        let left = level.bound - at;
        if left < 8 {
            return match level.kind {
                Kind::Root => self.few_bytes_left(left).map(Some),
                Kind::Item | Kind::Sequence => self.close_without_delimiter(level).map(Some),
            };
        }
        let (tag, _) = self.item_header(at, level.encoding)?;
        if tag.group() == 0xFFFE {
            return self.delimiter(level, tag);
        }
        if level.kind == Kind::Root && self.is_trailing(level, tag) {
            return Ok(Some(self.leave_trailing()));
        }
        self.count(tag)?;
        let header = self.header(level, tag)?;
        self.note_order(tag);
        if header.length == u64::from(UNDEFINED) {
            return self.open_undefined(level, header).map(Some);
        }
        let end = self.end_of(tag, header.offset, header.length, level.bound)?;
        if header.vr == VR::SQ {
            return self.open_sequence(level, header, Some(end), level.encoding).map(Some);
        }
        if self.is_sequence_in_disguise(&header)? {
            return self.open_sequence(level, header, Some(end), Encoding::IMPLICIT).map(Some);
        }
        self.position = end;
        self.element(level.kind, header)
    }

    /// The last touches on an element of defined length; none if it does not
    /// belong in a data set.
    fn element(&mut self, kind: Kind, mut header: Header) -> Result<Option<Token>, ReadError> {
        let tag = header.tag;
        if kind == Kind::Root && matches!(tag.group(), 0 | 2) {
            self.warnings.add(Warning::ForeignGroup { tag });
            return Ok(None);
        }
        if tag.element() == 0 || tag == TRAILING_PADDING {
            return Ok(None);
        }
        if vr::number_bytes(header.vr).is_some_and(|bytes| !header.length.is_multiple_of(bytes)) {
            self.warnings.add(Warning::WrongLength { tag });
            header.vr = VR::UN;
        } else if header.length % 2 == 1 {
            self.warnings.add(Warning::OddLength { tag });
        }
        self.note_context(&header)?;
        self.pixels_seen |= kind == Kind::Root && tag == tags::PIXEL_DATA;
        Ok(Some(Token::Element(header)))
    }

    /// Item and sequence delimiters where elements are expected.
    fn delimiter(&mut self, level: &Level, tag: Tag) -> Result<Option<Token>, ReadError> {
        let at = self.position;
        match (level.kind, tag) {
            (Kind::Item, ITEM_END) if level.end.is_none() => {
                self.position += 8;
                Ok(Some(self.close()))
            }
            // The item's own delimiter was forgotten; the sequence goes on.
            (Kind::Item, ITEM | SEQUENCE_END) if level.end.is_none() => {
                self.warnings.add(Warning::MissingDelimiter { offset: at });
                Ok(Some(self.close()))
            }
            (_, ITEM_END | SEQUENCE_END) => {
                self.warnings.add(Warning::StrayDelimiter { offset: at });
                self.position += 8;
                Ok(None)
            }
            _ => Err(ReadError::Structure { tag, offset: at, reason: "stands outside any sequence" }),
        }
    }

    /// What is left of a sequence or item is too short for a delimiter.
    fn close_without_delimiter(&mut self, level: &Level) -> Result<Token, ReadError> {
        let left = level.bound - self.position;
        let ends_with_parent = level.end.is_none() && left == 0 && level.bound < self.window.length();
        if !ends_with_parent {
            return Err(self.beyond(level.tag, self.position, 8, level.bound));
        }
        self.warnings.add(Warning::MissingDelimiter { offset: self.position });
        Ok(self.close())
    }

    /// Fewer bytes than a header at the end of the file: harmless after the
    /// pixels or if it is padding.
    fn few_bytes_left(&mut self, left: u64) -> Result<Token, ReadError> {
        #[allow(clippy::cast_possible_truncation, reason = "less than a header")]
        let rest = self.window.bytes(self.position, left as usize)?;
        let is_padding = rest.iter().all(|byte| matches!(byte, 0 | b' ' | b'\r' | b'\n'));
        if is_padding || self.pixels_seen {
            return Ok(self.leave_trailing());
        }
        Err(self.beyond(ITEM, self.position, 8, self.window.length()))
    }

    /// Whether what stands here is no part of the data set any more: tags fall
    /// back after the pixels, or zeros follow a data set without an image.
    fn is_trailing(&self, level: &Level, tag: Tag) -> bool {
        let falls_back = level.last.is_some_and(|last| tag <= last);
        let zeros = tag == Tag(0, 0) && level.last.is_some();
        let filled = tag.group() == 0xFFFF;
        ((falls_back || filled) && self.pixels_seen) || (zeros && level.context.bits_allocated.is_none())
    }

    fn leave_trailing(&mut self) -> Token {
        let length = self.window.length() - self.position;
        self.warnings.add(Warning::TrailingBytes { offset: self.position, length });
        self.levels.clear();
        Token::End
    }

    fn item_header(&mut self, at: u64, encoding: Encoding) -> Result<(Tag, u32), ReadError> {
        let [a, b, c, d, e, f, g, h] = self.window.array(at)?;
        Ok((Tag(encoding.u16([a, b]), encoding.u16([c, d])), encoding.u32([e, f, g, h])))
    }

    /// What an undefined length opens: a sequence, or encapsulated pixels.
    #[allow(clippy::wildcard_enum_match_arm, reason = "no other VR may have an undefined length")]
    fn open_undefined(&mut self, level: &Level, header: Header) -> Result<Token, ReadError> {
        let is_pixels = header.tag == tags::PIXEL_DATA || (vr::is_binary(header.vr) && header.vr != VR::UN);
        if is_pixels {
            return self.fragments(level, header);
        }
        // UN of undefined length holds implicit little endian whatever the
        // syntax of the file (PS3.5 section 6.2.2 note 4).
        let encoding = match header.vr {
            VR::SQ => level.encoding,
            VR::UN => Encoding::IMPLICIT,
            _ => {
                let reason = "has an undefined length, which its VR does not allow";
                return Err(ReadError::Structure { tag: header.tag, offset: self.position, reason });
            }
        };
        self.open_sequence(level, header, None, encoding)
    }

    fn open_sequence(
        &mut self,
        level: &Level,
        header: Header,
        end: Option<u64>,
        encoding: Encoding,
    ) -> Result<Token, ReadError> {
        // Below the sequences lies the root, and each has an item.
        let levels = self.levels.len() + self.levels_below;
        if levels / 2 >= self.limits.depth_max {
            return Err(ReadError::TooDeep {
                tag: header.tag,
                offset: self.position,
                max: self.limits.depth_max,
            });
        }
        self.position = header.offset;
        self.levels.push(Level {
            kind: Kind::Sequence,
            tag: header.tag,
            end,
            bound: end.unwrap_or(level.bound),
            encoding,
            last: None,
            context: level.context,
        });
        Ok(Token::Sequence(Header { vr: VR::SQ, length: 0, ..header }))
    }

    /// Whether an UN value of defined length is a sequence that the dictionary
    /// knows, and wholly reads as one.
    fn is_sequence_in_disguise(&mut self, header: &Header) -> Result<bool, ReadError> {
        let is_known = header.vr == VR::UN && vr::of(header.tag) == Some(VirtualVr::Exact(VR::SQ));
        if !is_known || self.in_trial || header.length < 8 {
            return Ok(false);
        }
        let end = header.offset + header.length;
        let trial = Level {
            kind: Kind::Sequence,
            tag: header.tag,
            end: Some(end),
            bound: end,
            encoding: Encoding::IMPLICIT,
            last: None,
            context: Context::default(),
        };
        let position = mem::replace(&mut self.position, header.offset);
        let levels = mem::replace(&mut self.levels, vec![trial]);
        let warnings = mem::take(&mut self.warnings);
        let guessed_sign = self.guessed_sign;
        self.levels_below = levels.len();
        self.in_trial = true;
        let result = loop {
            match self.next() {
                Ok(Token::End) => break Ok(true),
                Ok(_) => {}
                Err(error @ (ReadError::Io(_) | ReadError::Limit { .. })) => break Err(error),
                Err(_) => break Ok(false),
            }
        };
        self.position = position;
        self.levels = levels;
        self.warnings = warnings;
        self.guessed_sign = guessed_sign;
        self.levels_below = 0;
        self.in_trial = false;
        result
    }

    /// Encapsulated pixels: the items' places, without looking into them.
    fn fragments(&mut self, level: &Level, mut header: Header) -> Result<Token, ReadError> {
        let mut at = header.offset;
        let mut fragments = Vec::new();
        loop {
            if level.bound - at < 8 {
                return Err(self.beyond(header.tag, at, 8, level.bound));
            }
            let (tag, length) = self.item_header(at, level.encoding)?;
            match tag {
                SEQUENCE_END => break,
                ITEM if length != UNDEFINED => {}
                _ => {
                    let reason = "holds something else than fragments";
                    return Err(ReadError::Structure { tag: header.tag, offset: at, reason });
                }
            }
            // One more than the frames, for the Basic Offset Table.
            if fragments.len() > self.limits.frames_max {
                let max = self.limits.frames_max as u64;
                return Err(ReadError::Limit { what: "fragments", tag: header.tag, offset: at, max });
            }
            let offset = at + 8;
            at = self.end_of(header.tag, offset, u64::from(length), level.bound)?;
            fragments.push(Fragment { offset, length: u64::from(length) });
        }
        header.length = at - header.offset;
        header.vr = VR::OB;
        self.position = at + 8;
        self.pixels_seen |= level.kind == Kind::Root && header.tag == tags::PIXEL_DATA;
        Ok(Token::Fragments(header, fragments))
    }

    fn count(&mut self, tag: Tag) -> Result<(), ReadError> {
        self.elements += 1;
        if self.elements > self.limits.elements_max {
            let max = self.limits.elements_max as u64;
            return Err(ReadError::Limit { what: "elements", tag, offset: self.position, max });
        }
        Ok(())
    }

    /// Where a value ends, if it ends within its bound.
    fn end_of(&self, tag: Tag, start: u64, length: u64, bound: u64) -> Result<u64, ReadError> {
        // Both come from a file's offsets and 32-bit lengths: no overflow.
        let end = start + length;
        if end > bound {
            return Err(self.beyond(tag, start, length, bound));
        }
        Ok(end)
    }

    fn beyond(&self, tag: Tag, offset: u64, needed: u64, bound: u64) -> ReadError {
        if bound == self.window.length() {
            ReadError::Truncated { tag, offset, needed, left: bound.saturating_sub(offset) }
        } else {
            ReadError::Overrun { tag, offset }
        }
    }

    fn note_order(&mut self, tag: Tag) {
        let Some(level) = self.levels.last_mut() else { return };
        match level.last {
            Some(last) if tag < last => self.warnings.add(Warning::OutOfOrder { tag }),
            _ => level.last = Some(tag),
        }
    }
}
