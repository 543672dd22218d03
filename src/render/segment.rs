//! Segmentations in the colours that they recommend (PS3.3 section C.8.20.2).

use dicom_dictionary_std::tags;

use super::{Channels, Image, functional::FrameAttributes, values};

/// Gives a gray frame of a segmentation the colour of its segment, if the
/// segment has one.
#[must_use]
pub fn colored(image: Image, attributes: &FrameAttributes<'_>) -> Image {
    let number_tag = tags::REFERENCED_SEGMENT_NUMBER;
    let number = attributes
        .group(tags::SEGMENT_IDENTIFICATION_SEQUENCE, number_tag)
        .and_then(|item| item.first_int(number_tag));
    let segment = attributes
        .set
        .items(tags::SEGMENT_SEQUENCE)
        .iter()
        .find(|segment| number.is_some() && segment.first_int(tags::SEGMENT_NUMBER) == number);
    let lab = segment.map(|segment| values::numbers(segment, tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE));
    let Some(&[lightness, a, b]) = lab.as_deref() else { return image };
    if image.channels != Channels::Gray {
        return image;
    }
    let color = rgb_of(lightness, a, b);
    let data = image
        .data
        .iter()
        .flat_map(|value| color.map(|channel| super::image::byte(f64::from(*value) / 255.0 * channel)))
        .collect();
    Image { channels: Channels::Rgb, data, ..image }
}

/// sRGB, 0 to 1, of CIELab as PS3.3 section C.10.7.1.1 writes it: each of the
/// three over the whole range of 16 bits.
pub fn rgb_of(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let lightness = lightness / 65_535.0 * 100.0;
    let (a, b) = (a / 65_535.0 * 255.0 - 128.0, b / 65_535.0 * 255.0 - 128.0);
    let middle = (lightness + 16.0) / 116.0;
    let linear = |value: f64| {
        if value > 6.0 / 29.0 { value.powi(3) } else { 3.0 * (6.0_f64 / 29.0).powi(2) * (value - 4.0 / 29.0) }
    };
    // Under D50, as profiles connect, with the matrix to sRGB that adapts it.
    let x = 0.9642 * linear(middle + a / 500.0);
    let y = linear(middle);
    let z = 0.8249 * linear(middle - b / 200.0);
    [
        3.1339 * x - 1.6169 * y - 0.4906 * z,
        -0.9785 * x + 1.9160 * y + 0.0333 * z,
        0.0720 * x - 0.2290 * y + 1.4057 * z,
    ]
    .map(|channel: f64| {
        let channel = channel.clamp(0.0, 1.0);
        if channel <= 0.003_130_8 { 12.92 * channel } else { 1.055 * channel.powf(1.0 / 2.4) - 0.055 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{DataSet, Element, VR, Value};

    fn sequence(item: DataSet) -> Element {
        Element::new(VR::SQ, Value::Items(vec![item]))
    }

    #[test]
    fn rnd_01_a_segment_has_its_colour() {
        // Red of sRGB: L 54.3, a 80.8, b 69.9 under D50.
        let lab = [
            54.29 / 100.0 * 65_535.0,
            (80.81 + 128.0) / 255.0 * 65_535.0,
            (69.89 + 128.0) / 255.0 * 65_535.0,
        ];
        #[allow(clippy::cast_sign_loss, reason = "positive")]
        let lab = lab.map(|value: f64| value.round() as u64);
        let mut segment = DataSet::new();
        segment.put(tags::SEGMENT_NUMBER, Element::new(VR::US, Value::Unsigned(vec![2])));
        segment.put(
            tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE,
            Element::new(VR::US, Value::Unsigned(lab.to_vec())),
        );
        let mut reference = DataSet::new();
        reference.put(tags::REFERENCED_SEGMENT_NUMBER, Element::new(VR::US, Value::Unsigned(vec![2])));
        let mut group = DataSet::new();
        group.put(tags::SEGMENT_IDENTIFICATION_SEQUENCE, sequence(reference));
        let mut set = DataSet::new();
        set.put(tags::SEGMENT_SEQUENCE, sequence(segment));
        set.put(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, sequence(group));
        let draw = |frame| colored(Image::gray(2, 1, vec![0, 255]), &FrameAttributes::of(&set, frame));
        let red = draw(0).data;
        assert_eq!(red[..3], [0; 3]);
        assert!(red[3] > 250 && red[4] < 8 && red[5] < 8, "{red:?}");
        assert_eq!(draw(1).channels, Channels::Gray, "a frame of no known segment");
    }
}
