//! The sheet: which line goes where, in millimetres. Twelve leads stand as they
//! are read, four columns of two and a half seconds and the second lead below
//! them in full; anything else has a line of ten seconds for each channel.

use super::channels::Channel;

const MM_PER_SECOND: f64 = 25.0;
const MM_PER_MILLIVOLT: f64 = 10.0;
const SECONDS: f64 = 10.0;
const MARGIN: f64 = 10.0;
/// Room for the pulse of 1 mV at the start of each line.
const PULSE: f64 = 10.0;
const ROW: f64 = 25.0;
/// Points closer than this are not told apart; their extremes are drawn.
const STEP: f64 = 0.1;

/// What is drawn, in millimetres from the upper left corner.
#[derive(Debug, Clone)]
pub struct Sheet {
    pub width: f64,
    pub height: f64,
    pub lines: Vec<Vec<(f64, f64)>>,
    pub texts: Vec<(f64, f64, String)>,
}

const STANDARD: [[&str; 4]; 3] =
    [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"]];
const RHYTHM: &str = "II";

pub fn draw(channels: &[Channel]) -> Sheet {
    let find = |name: &str| channels.iter().find(|channel| channel.label.eq_ignore_ascii_case(name));
    let standard: Option<Vec<Vec<&Channel>>> =
        STANDARD.iter().map(|row| row.iter().map(|name| find(name)).collect()).collect();
    let is_long = channels.iter().all(|channel| channel.values.len() as f64 >= 9.9 * channel.frequency);
    let rows: Vec<Vec<&Channel>> = match (standard, find(RHYTHM)) {
        (Some(mut rows), Some(rhythm)) if is_long => {
            rows.push(vec![rhythm]);
            rows
        }
        _ => channels.iter().map(|channel| vec![channel]).collect(),
    };
    let mut sheet = Sheet {
        width: 2.0 * MARGIN + PULSE + SECONDS * MM_PER_SECOND,
        height: 2.0 * MARGIN + rows.len() as f64 * ROW + 5.0,
        lines: Vec::new(),
        texts: Vec::new(),
    };
    for (number, row) in rows.iter().enumerate() {
        sheet.row(row, MARGIN + (number as f64 + 0.5) * ROW);
    }
    let is_voltage = channels.iter().all(|channel| channel.is_voltage);
    let scale = if is_voltage { "25 mm/s   10 mm/mV" } else { "25 mm/s" };
    sheet.texts.push((MARGIN, sheet.height - MARGIN + 4.0, scale.to_owned()));
    sheet
}

impl Sheet {
    /// Channels one after the other, each with its part of the time.
    fn row(&mut self, channels: &[&Channel], middle: f64) {
        let seconds = SECONDS / channels.len() as f64;
        if channels.first().is_some_and(|channel| channel.is_voltage) {
            let (left, top) = (MARGIN, middle - MM_PER_MILLIVOLT);
            let edge = |x: f64, y: f64| (left + x, y);
            self.lines.push(vec![
                edge(0.0, middle),
                edge(2.0, middle),
                edge(2.0, top),
                edge(7.0, top),
                edge(7.0, middle),
                edge(9.0, middle),
            ]);
        }
        for (number, channel) in channels.iter().enumerate() {
            let start = number as f64 * seconds;
            let left = MARGIN + PULSE + start * MM_PER_SECOND;
            self.lines.extend(curves(channel, start, seconds, left, middle));
            let label = if channel.is_voltage || channel.unit.is_empty() {
                channel.label.clone()
            } else {
                format!("{} [{}]", channel.label, channel.unit)
            };
            self.texts.push((left + 1.0, middle - ROW / 2.0 + 4.0, label));
        }
    }
}

/// A part of a channel as points, one line for each stretch with a signal. A voltage has
/// its scale; any other channel fills its row.
fn curves(channel: &Channel, start: f64, seconds: f64, left: f64, middle: f64) -> Vec<Vec<(f64, f64)>> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let index = |second: f64| ((second * channel.frequency).round() as usize).min(channel.values.len());
    let part = &channel.values[index(start)..index(start + seconds)];
    let (zero, scale) = if channel.is_voltage {
        (0.0, MM_PER_MILLIVOLT)
    } else {
        let low = part.iter().copied().fold(f64::MAX, f64::min);
        let high = part.iter().copied().fold(f64::MIN, f64::max);
        if high > low { (f64::midpoint(low, high), ROW * 0.8 / (high - low)) } else { (low, 1.0) }
    };
    // What leaves its row by far is cut at the next but one.
    let height = |value: f64| middle - ((value - zero) * scale).clamp(-2.0 * ROW, 2.0 * ROW);
    let per_sample = MM_PER_SECOND / channel.frequency;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let together = ((STEP / per_sample) as usize).max(1);
    let mut lines = Vec::new();
    let mut points = Vec::with_capacity(part.len() / together * 2 + 2);
    for (number, samples) in part.chunks(together).enumerate() {
        let x = left + (number * together) as f64 * per_sample;
        let low = samples.iter().copied().fold(f64::MAX, f64::min);
        let high = samples.iter().copied().fold(f64::MIN, f64::max);
        if samples.iter().all(|sample| sample.is_nan()) {
            lines.push(std::mem::take(&mut points));
        } else if samples.len() < 2 || high <= low {
            points.push((x, height(low)));
        } else if samples.first() < samples.last() {
            points.extend([(x, height(low)), (x + STEP / 2.0, height(high))]);
        } else {
            points.extend([(x, height(high)), (x + STEP / 2.0, height(low))]);
        }
    }
    lines.push(points);
    lines.retain(|points| !points.is_empty());
    lines
}
