//! Waveforms on paper (PS3.3 section C.10.9): an electrocardiogram on the usual
//! grid, 25 mm a second and 10 mm a millivolt, in lines of ten seconds. Drawn
//! once as lines and letters in millimetres; `svg` and `raster` write them.

mod channels;
mod raster;
mod sheet;
mod svg;

use super::{Image, RenderError};
use crate::dicom::DataSet;

/// The waveform as a drawing in SVG.
///
/// # Errors
/// It has no samples, or such as are not drawn.
pub fn svg(set: &DataSet) -> Result<String, RenderError> {
    Ok(svg::write(&sheet::draw(&channels::read(set)?)))
}

/// The waveform as a picture that fits into this, or four pixels a millimetre.
///
/// # Errors
/// As [`svg`].
pub fn picture(set: &DataSet, fits: Option<(u32, u32)>) -> Result<Image, RenderError> {
    Ok(raster::draw(&sheet::draw(&channels::read(set)?), fits))
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;
    use crate::dicom::{Element, VR, Value};

    fn sequence(items: Vec<DataSet>) -> Element {
        Element::new(VR::SQ, Value::Items(items))
    }

    /// Two leads of two seconds: a step of 1 mV, and nothing.
    fn ecg(leads: &[&str]) -> DataSet {
        let channels = leads.iter().map(|lead| {
            let mut source = DataSet::new();
            source.put_text(tags::CODE_MEANING, VR::LO, lead);
            let mut unit = DataSet::new();
            unit.put_text(tags::CODE_VALUE, VR::SH, "uV");
            let mut channel = DataSet::new();
            channel.put(tags::CHANNEL_SOURCE_SEQUENCE, sequence(vec![source]));
            channel.put_text(tags::CHANNEL_SENSITIVITY, VR::DS, "10");
            channel.put(tags::CHANNEL_SENSITIVITY_UNITS_SEQUENCE, sequence(vec![unit]));
            channel
        });
        let count = leads.len();
        let samples: Vec<u8> = (0..200 * count)
            .flat_map(|at| {
                let value: i16 = if at % count == 0 && at / count >= 100 { 100 } else { 0 };
                value.to_le_bytes()
            })
            .collect();
        let mut group = DataSet::new();
        group.put(tags::CHANNEL_DEFINITION_SEQUENCE, sequence(channels.collect()));
        group.put(
            tags::NUMBER_OF_WAVEFORM_CHANNELS,
            Element::new(VR::US, Value::Unsigned(vec![count as u64])),
        );
        group.put(tags::NUMBER_OF_WAVEFORM_SAMPLES, Element::new(VR::UL, Value::Unsigned(vec![200])));
        group.put_text(tags::SAMPLING_FREQUENCY, VR::DS, "100");
        group.put(tags::WAVEFORM_BITS_ALLOCATED, Element::new(VR::US, Value::Unsigned(vec![16])));
        group.put_text(tags::WAVEFORM_SAMPLE_INTERPRETATION, VR::CS, "SS");
        group.put(tags::WAVEFORM_DATA, Element::new(VR::OW, Value::Inline(samples)));
        let mut set = DataSet::new();
        set.put(tags::WAVEFORM_SEQUENCE, sequence(vec![group]));
        set
    }

    #[test]
    fn rnd_13_a_millivolt_is_ten_millimetres() {
        let channels = channels::read(&ecg(&["Lead I (Einthoven)", "Lead <II>"])).expect("valid");
        assert_eq!((channels[0].label.as_str(), channels[0].is_voltage), ("I", true));
        assert_eq!((channels[0].values[0], channels[0].values[150]), (0.0, 1.0));
        let drawing = svg(&ecg(&["Lead I (Einthoven)", "Lead <II>"])).expect("valid");
        assert!(drawing.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(drawing.contains(">I</text>") && drawing.contains(">&lt;II&gt;</text>"), "{drawing}");
        assert!(drawing.contains("25 mm/s") && drawing.contains("10 mm/mV"));
        assert!(!drawing.contains("<II>"));
    }

    /// Of leads that are recorded one after the other, each is filled with a padding value for
    /// the rest of the time. That was drawn as a voltage, right across the other leads.
    #[test]
    fn rnd_13_where_there_is_no_signal_there_is_no_line() {
        let mut set = ecg(&["Lead I"]);
        let mut group = set.items(tags::WAVEFORM_SEQUENCE)[0].clone();
        let samples = (0..200).flat_map(|at: i16| if (50..150).contains(&at) { [0, 0x80] } else { [10, 0] });
        group.put(tags::WAVEFORM_DATA, Element::new(VR::OW, Value::Inline(samples.collect())));
        group.put(tags::WAVEFORM_PADDING_VALUE, Element::new(VR::OW, Value::Inline(vec![0, 0x80])));
        set.put(tags::WAVEFORM_SEQUENCE, sequence(vec![group]));
        let sheet = sheet::draw(&channels::read(&set).expect("valid"));
        // The pulse that shows the scale, and the two parts of the lead.
        let heights = |line: &Vec<(f64, f64)>| line.iter().map(|(_, y)| *y).fold(f64::MIN, f64::max);
        let [_, first, second] = &sheet.lines[..] else { panic!("{} lines", sheet.lines.len()) };
        assert!(first.last().map(|(x, _)| x) < second.first().map(|(x, _)| x));
        assert!(heights(first) < 25.0 && heights(second) < 25.0, "near the middle of the row");
    }

    #[test]
    fn rnd_13_a_picture_has_the_size_that_is_asked_for() {
        let image = picture(&ecg(&["Lead I", "Lead II"]), Some((300, 300))).expect("valid");
        assert!(image.width == 300 || image.height == 300);
        assert!(image.width <= 300 && image.height <= 300);
        let dark =
            image.data.chunks_exact(3).filter(|pixel| pixel.iter().all(|channel| *channel < 90)).count();
        assert!(dark > 50, "the lines can be seen: {dark}");
        assert!(picture(&DataSet::new(), None).is_err());
    }
}
