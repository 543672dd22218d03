//! The channels of a waveform in physical units (PS3.3 section C.10.9.1).

use dicom_dictionary_std::tags;

use crate::{
    dicom::DataSet,
    render::{RenderError, values},
};

/// More channels than fit on a sheet.
const CHANNELS_MAX: usize = 64;

/// One channel.
#[derive(Debug, Clone)]
pub struct Channel {
    pub label: String,
    /// Samples a second.
    pub frequency: f64,
    /// In millivolts, or in whatever unit it has; NaN where there was no signal.
    pub values: Vec<f64>,
    pub is_voltage: bool,
    pub unit: String,
}

/// The channels of the first multiplex group that is a recording and not
/// computed from one.
///
/// # Errors
/// There is none, or its samples are of a kind that is not drawn.
pub fn read(set: &DataSet) -> Result<Vec<Channel>, RenderError> {
    let groups = set.items(tags::WAVEFORM_SEQUENCE);
    let is_original = |group: &&DataSet| group.first_text(tags::WAVEFORM_ORIGINALITY) != Some("DERIVED");
    let group = groups
        .iter()
        .find(is_original)
        .or(groups.first())
        .ok_or_else(|| RenderError::Unsupported("it has no Waveform Sequence (5400,0100)".to_owned()))?;
    let count: usize = values::whole(group, tags::NUMBER_OF_WAVEFORM_CHANNELS).unwrap_or(0);
    let frequency = values::number(group, tags::SAMPLING_FREQUENCY).filter(|hertz| *hertz > 0.0);
    let (Some(frequency), 1..=CHANNELS_MAX) = (frequency, count) else {
        return Err(RenderError::Unsupported(format!(
            "a waveform of {count} channels, or without a Sampling Frequency (003A,001A), is not drawn"
        )));
    };
    let samples = samples(group)?;
    let definitions = group.items(tags::CHANNEL_DEFINITION_SEQUENCE);
    let nothing = DataSet::new();
    Ok((0..count)
        .map(|number| {
            let definition = definitions.get(number).unwrap_or(&nothing);
            let (scale, baseline, unit, is_voltage) = scale(definition);
            Channel {
                label: label(definition, number),
                frequency,
                values: samples
                    .iter()
                    .skip(number)
                    .step_by(count)
                    .map(|sample| sample.mul_add(scale, baseline))
                    .collect(),
                is_voltage,
                unit,
            }
        })
        .collect())
}

/// All samples of a group, those of one moment together; what only fills a channel while
/// others record (Waveform Padding Value) is no number.
fn samples(group: &DataSet) -> Result<Vec<f64>, RenderError> {
    let bytes = values::bytes(group, tags::WAVEFORM_DATA).unwrap_or_default();
    let kind = group.first_text(tags::WAVEFORM_SAMPLE_INTERPRETATION).unwrap_or("SS");
    let bits: u32 = values::whole(group, tags::WAVEFORM_BITS_ALLOCATED).unwrap_or(16);
    // Zeros are a line at zero, also where a device has them for padding.
    let padding = values::bytes(group, tags::WAVEFORM_PADDING_VALUE)
        .filter(|padding| padding.iter().any(|byte| *byte != 0))
        .unwrap_or_default();
    let words = |width: usize, number: &dyn Fn(&[u8]) -> f64| {
        let number = |word: &[u8]| if padding.starts_with(word) { f64::NAN } else { number(word) };
        bytes.chunks_exact(width).map(number).collect()
    };
    let short = |word: &[u8]| [word[0], word[1]];
    let long = |word: &[u8]| [word[0], word[1], word[2], word[3]];
    let samples: Vec<f64> = match (kind, bits) {
        ("SB", 8) => words(1, &|word| f64::from(word[0].cast_signed())),
        ("UB", 8) => words(1, &|word| f64::from(word[0])),
        ("SS", 16) => words(2, &|word| f64::from(i16::from_le_bytes(short(word)))),
        ("US", 16) => words(2, &|word| f64::from(u16::from_le_bytes(short(word)))),
        ("SL", 32) => words(4, &|word| f64::from(i32::from_le_bytes(long(word)))),
        ("UL", 32) => words(4, &|word| f64::from(u32::from_le_bytes(long(word)))),
        _ => {
            return Err(RenderError::Unsupported(format!(
                "waveform samples of the interpretation {kind} in {bits} bits are not drawn"
            )));
        }
    };
    if samples.is_empty() {
        return Err(RenderError::Inconsistent("the waveform has no samples".to_owned()));
    }
    Ok(samples)
}

/// What a sample is multiplied by, what is added, the unit, and whether that is
/// the millivolt.
fn scale(definition: &DataSet) -> (f64, f64, String, bool) {
    let number = |tag| values::number(definition, tag);
    let sensitivity = number(tags::CHANNEL_SENSITIVITY).unwrap_or(1.0)
        * number(tags::CHANNEL_SENSITIVITY_CORRECTION_FACTOR).unwrap_or(1.0);
    let baseline = number(tags::CHANNEL_BASELINE).unwrap_or(0.0);
    let unit = definition
        .items(tags::CHANNEL_SENSITIVITY_UNITS_SEQUENCE)
        .first()
        .and_then(|unit| values::text(unit, tags::CODE_VALUE))
        .unwrap_or_default();
    let millivolts = match unit.as_str() {
        "uV" | "µV" => Some(0.001),
        "mV" => Some(1.0),
        "V" => Some(1000.0),
        _ => None,
    };
    let factor = millivolts.unwrap_or(1.0);
    (sensitivity * factor, baseline * factor, unit, millivolts.is_some())
}

/// A short name: `aVR` of `Lead aVR`, `I` of `Lead I (Einthoven)`.
fn label(definition: &DataSet, number: usize) -> String {
    let source = definition.items(tags::CHANNEL_SOURCE_SEQUENCE).first();
    let meaning = values::text(definition, tags::CHANNEL_LABEL)
        .or_else(|| source.and_then(|source| values::text(source, tags::CODE_MEANING)))
        .unwrap_or_else(|| format!("{}", number + 1));
    let short = meaning.strip_prefix("Lead ").unwrap_or(&meaning);
    short.split(" (").next().unwrap_or(short).trim().chars().take(24).collect()
}
