//! PDF: one page as large as the picture, which it holds as a JPEG (ISO 32000-1
//! sections 7.5 and 8.9). A straight recipe of five objects.

use std::io::Write;

use super::jpeg;
use crate::render::{Channels, Image, RenderError};

/// Points of a pixel: 96 pixels are an inch.
const POINTS: f64 = 0.75;

pub fn encode(image: &Image, quality: u8) -> Result<Vec<u8>, RenderError> {
    let picture = jpeg::encode(image, quality, None)?;
    let (width, height) = (f64::from(image.width) * POINTS, f64::from(image.height) * POINTS);
    let color = match image.channels {
        Channels::Gray => "DeviceGray",
        Channels::Rgb => "DeviceRGB",
    };
    let draw = format!("q {width} 0 0 {height} 0 0 cm /Picture Do Q");
    let heads = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents 4 0 R \
             /Resources << /XObject << /Picture 5 0 R >> >> >>"
        ),
        format!("<< /Length {} >>", draw.len()),
        format!(
            "<< /Type /XObject /Subtype /Image /Width {} /Height {} /ColorSpace /{color} /BitsPerComponent 8 \
             /Filter /DCTDecode /Length {} >>",
            image.width,
            image.height,
            picture.len()
        ),
    ];
    let streams: [Option<&[u8]>; 5] = [None, None, None, Some(draw.as_bytes()), Some(&picture)];
    write(&heads, streams).map_err(RenderError::encode)
}

fn write(heads: &[String; 5], streams: [Option<&[u8]>; 5]) -> std::io::Result<Vec<u8>> {
    let mut file = b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut offsets = Vec::with_capacity(heads.len());
    for (number, (head, stream)) in (1..).zip(heads.iter().zip(streams)) {
        offsets.push(file.len());
        writeln!(file, "{number} 0 obj\n{head}")?;
        if let Some(stream) = stream {
            file.extend_from_slice(b"stream\n");
            file.extend_from_slice(stream);
            file.extend_from_slice(b"\nendstream\n");
        }
        file.extend_from_slice(b"endobj\n");
    }
    let table = file.len();
    let size = heads.len() + 1;
    write!(file, "xref\n0 {size}\n0000000000 65535 f \n")?;
    for offset in offsets {
        writeln!(file, "{offset:010} 00000 n ")?;
    }
    write!(file, "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n")?;
    Ok(file)
}
