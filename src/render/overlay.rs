//! Overlay planes (PS3.3 section C.9.2): graphics of one bit a pixel, on their
//! own or in unused bits of the pixels. They are drawn in white over the
//! picture; regions of interest, which are measured and not looked at, are not.

use super::{Image, values};
use crate::{
    dicom::{DataSet, Tag},
    pixels::Description,
};

/// Groups 6000, 6002 to 601E.
const GROUPS: u16 = 16;

/// Elements of such a group.
const ROWS: u16 = 0x0010;
const COLUMNS: u16 = 0x0011;
const NUMBER_OF_FRAMES: u16 = 0x0015;
const TYPE: u16 = 0x0040;
const ORIGIN: u16 = 0x0050;
const IMAGE_FRAME_ORIGIN: u16 = 0x0051;
const BIT_POSITION: u16 = 0x0102;
const DATA: u16 = 0x3000;

/// Draws the overlays of a frame, `frame_index` counting from 0. Planes that
/// make no sense are left out: the picture is worth more than they.
pub fn draw(image: &mut Image, bytes: &[u8], description: &Description, set: &DataSet, frame_index: u32) {
    for group in groups() {
        if set.first_text(Tag(group, TYPE)) != Some("R") {
            draw_group(image, bytes, description, set, group, frame_index, [255; 3]);
        }
    }
}

/// Whether there are any, of whatever type.
pub fn any(set: &DataSet) -> bool {
    groups().any(|group| set.get(Tag(group, ROWS)).is_some())
}

fn groups() -> impl Iterator<Item = u16> {
    (0..GROUPS).map(|number| 0x6000 + number * 2)
}

/// Draws one overlay, of whatever type, in a colour.
pub fn draw_group(
    image: &mut Image,
    bytes: &[u8],
    description: &Description,
    set: &DataSet,
    group: u16,
    frame_index: u32,
    color: [u8; 3],
) {
    let has_plane = Plane::read(set, &|element| Tag(group, element), frame_index).is_some();
    if !draw_plane(image, set, group, frame_index, color) && has_plane {
        embedded(image, bytes, description, values::whole(set, Tag(group, BIT_POSITION)), color);
    }
}

/// Draws an overlay that has data of its own; says whether it has.
pub fn draw_plane(image: &mut Image, set: &DataSet, group: u16, frame_index: u32, color: [u8; 3]) -> bool {
    let tag = |element: u16| Tag(group, element);
    let Some(data) = values::bytes(set, tag(DATA)) else { return false };
    if let Some(plane) = Plane::read(set, &tag, frame_index) {
        plane.draw(image, color, |at| data.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1));
    }
    true
}

struct Plane {
    rows: usize,
    columns: usize,
    /// Where the plane's first pixel is, counted from 0.
    top: i64,
    left: i64,
    /// Bits before those of this frame.
    skip: usize,
}

impl Plane {
    fn read(set: &DataSet, tag: &dyn Fn(u16) -> Tag, frame_index: u32) -> Option<Self> {
        let rows: usize = values::whole(set, tag(ROWS))?;
        let columns: usize = values::whole(set, tag(COLUMNS))?;
        let origin = values::numbers(set, tag(ORIGIN));
        #[allow(clippy::cast_possible_truncation, reason = "saturates")]
        let at = |position: usize| origin.get(position).map_or(0, |number| *number as i64 - 1);
        let frames: u32 = values::whole(set, tag(NUMBER_OF_FRAMES)).unwrap_or(1);
        let first: u32 = values::whole(set, tag(IMAGE_FRAME_ORIGIN)).unwrap_or(1);
        // One plane of one frame lies over all of the image's.
        let index = if frames <= 1 { 0 } else { (frame_index + 1).checked_sub(first)? };
        if index > 0 && index >= frames {
            return None;
        }
        let skip = rows.checked_mul(columns)?.checked_mul(index as usize)?;
        Some(Self { rows, columns, top: at(0), left: at(1), skip })
    }

    fn draw(&self, image: &mut Image, color: [u8; 3], is_set: impl Fn(usize) -> bool) {
        let rows = self.rows.min(image.height as usize * 2);
        let columns = self.columns.min(image.width as usize * 2);
        for (y, row) in (self.top..).zip(0..rows) {
            for (x, column) in (self.left..).zip(0..columns) {
                if is_set(self.skip + row * self.columns + column) {
                    image.blend(x, y, color, 255);
                }
            }
        }
    }
}

/// A plane in a bit above those stored; within them it would be a part of the
/// picture.
fn embedded(
    image: &mut Image,
    bytes: &[u8],
    description: &Description,
    position: Option<u16>,
    color: [u8; 3],
) {
    let Some(position) = position else { return };
    let stored =
        description.high_bit.saturating_add(1).saturating_sub(description.bits_stored)..=description.high_bit;
    let width = usize::from(description.bits_allocated / 8);
    let outside = position > 0 && position < description.bits_allocated && !stored.contains(&position);
    if !outside || description.samples_per_pixel != 1 || width == 0 {
        return;
    }
    let columns = i64::from(image.width);
    for (at, word) in (0..).zip(bytes.chunks_exact(width)) {
        if word[usize::from(position / 8)] >> (position % 8) & 1 == 1 {
            image.blend(at % columns, at / columns, color, 255);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dicom::{Element, VR, Value},
        pixels::{Number, Photometric},
    };

    fn unsigned(set: &mut DataSet, tag: Tag, value: u64) {
        set.put(tag, Element::new(VR::US, Value::Unsigned(vec![value])));
    }

    fn description() -> Description {
        Description {
            rows: 2,
            columns: 2,
            samples_per_pixel: 1,
            bits_allocated: 16,
            bits_stored: 12,
            high_bit: 11,
            number: Number::Unsigned,
            photometric: Photometric::Monochrome2,
            by_plane: false,
            frames: 1,
        }
    }

    #[test]
    fn rnd_01_overlays_of_their_own_and_in_the_pixels() {
        let mut set = DataSet::new();
        unsigned(&mut set, Tag(0x6000, 0x0010), 1);
        unsigned(&mut set, Tag(0x6000, 0x0011), 2);
        set.put(Tag(0x6000, 0x0050), Element::new(VR::SS, Value::Signed(vec![2, 1])));
        set.put(Tag(0x6000, 0x3000), Element::new(VR::OW, Value::Inline(vec![0b10])));
        let mut image = Image::gray(2, 2, vec![0; 4]);
        draw(&mut image, &[], &description(), &set, 0);
        assert_eq!(image.data, [0, 0, 0, 255], "the second row's second pixel");
        set.remove(Tag(0x6000, 0x3000));
        unsigned(&mut set, Tag(0x6000, 0x0102), 15);
        let mut image = Image::gray(2, 2, vec![0; 4]);
        draw(&mut image, &[0, 0x80, 0, 0, 0xFF, 0x0F, 0, 0], &description(), &set, 0);
        assert_eq!(image.data, [255, 0, 0, 0]);
        set.put_text(Tag(0x6000, 0x0040), VR::CS, "R");
        let mut image = Image::gray(2, 2, vec![0; 4]);
        draw(&mut image, &[0, 0x80, 0, 0, 0, 0, 0, 0], &description(), &set, 0);
        assert_eq!(image.data, [0; 4]);
    }
}
