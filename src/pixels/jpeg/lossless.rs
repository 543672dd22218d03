//! Lossless JPEG (annex H): each sample is predicted from its neighbours, and
//! the difference is coded.

use super::{
    super::{
        PixelError,
        samples::{Samples, Values},
    },
    NAME,
    huffman::{Differences, Reader},
    segments::{self, Frame, Scan, Tables},
};

pub fn decode(code: &[u8], frame: &Frame) -> Result<Samples, PixelError> {
    if frame.components.iter().any(|component| (component.horizontal, component.vertical) != (1, 1))
        && frame.components.len() > 1
    {
        return Err(PixelError::Unsupported("lossless JPEG with sub-sampled components".to_owned()));
    }
    let (columns, rows, per_pixel) = (frame.columns as usize, frame.rows as usize, frame.components.len());
    let mut values = vec![0u16; columns * rows * per_pixel];
    let mut tables = Tables::default();
    let (mut at, mut done) = (2, 0);
    while done < per_pixel {
        let Some(scan) = segments::scan(code, at, frame, &mut tables)? else {
            return Err(PixelError::damaged(NAME, at, "it ends before its last component"));
        };
        done += scan.components.len();
        at = decode_scan(code, &scan, frame, &tables, &mut values)?;
    }
    let values = if frame.precision <= 8 {
        Values::Bytes(values.into_iter().map(|value| value as u8).collect())
    } else {
        Values::Words(values)
    };
    Ok(Samples {
        columns: frame.columns,
        rows: frame.rows,
        per_pixel: per_pixel as u16,
        precision: frame.precision,
        values,
    })
}

fn decode_scan(
    code: &[u8],
    scan: &Scan,
    frame: &Frame,
    tables: &Tables,
    values: &mut [u16],
) -> Result<usize, PixelError> {
    let mut reader = Reader::new(code, scan.start);
    if !(1..=7).contains(&scan.selection) || scan.shift >= u32::from(frame.precision) {
        return Err(reader.damaged("an impossible predictor or point transform"));
    }
    let (columns, per_pixel) = (frame.columns as usize, frame.components.len());
    let row_length = columns * per_pixel;
    let components = scan.components.iter().map(|(place, table, _)| {
        let table = tables.dc[*table].as_ref()?;
        Some((*place, Differences::new(table)))
    });
    let components: Option<Vec<(usize, Differences)>> = components.collect();
    let components = components.ok_or_else(|| reader.damaged("a scan without its Huffman table"))?;
    let start = 1i32 << (u32::from(frame.precision) - scan.shift - 1);
    // Intervals of whole lines are all that lossless JPEG allows.
    let lines_to_restart = if tables.restart == 0 { usize::MAX } else { tables.restart / columns.max(1) };
    if lines_to_restart == 0 {
        return Err(reader.damaged("a restart within a line"));
    }
    for row in 0..frame.rows as usize {
        let is_first = row % lines_to_restart == 0;
        if is_first && row > 0 {
            reader.restart();
        }
        let (before, current) = values.split_at_mut(row * row_length);
        let above = before.get(before.len().saturating_sub(row_length)..).unwrap_or_default();
        let current = &mut current[..row_length];
        if let ([(_, table)], 1) = (&components[..], per_pixel) {
            let above = (!is_first).then_some(above);
            line_of_one(&mut reader, table, current, above, scan.selection, start)?;
        } else {
            for column in 0..columns {
                for (place, table) in &components {
                    let at = column * per_pixel + place;
                    let difference = table.read(&mut reader)?;
                    let predicted = match (is_first, column) {
                        (true, 0) => start,
                        (true, _) => i32::from(current[at - per_pixel]),
                        (false, 0) => i32::from(above[at]),
                        (false, _) => {
                            let left = i32::from(current[at - per_pixel]);
                            let corner = i32::from(above[at - per_pixel]);
                            predict(scan.selection, left, i32::from(above[at]), corner)
                        }
                    };
                    current[at] = (predicted + difference) as u16;
                }
            }
        }
        if reader.is_beyond() {
            return Err(reader.damaged("it ends before its last line"));
        }
    }
    if scan.shift > 0 {
        // Only this scan's components: another scan may shift otherwise.
        for pixel in values.chunks_exact_mut(per_pixel) {
            components.iter().for_each(|(place, _)| pixel[*place] <<= scan.shift);
        }
    }
    Ok(reader.position())
}

/// A line of a grey image, the usual case: what is left and what is above the
/// next sample stay at hand.
fn line_of_one(
    reader: &mut Reader<'_>,
    table: &Differences<'_>,
    current: &mut [u16],
    above: Option<&[u16]>,
    selection: u8,
    start: i32,
) -> Result<(), PixelError> {
    let Some(above) = above else {
        let mut left = start;
        for sample in current {
            *sample = (left + table.read(reader)?) as u16;
            left = i32::from(*sample);
        }
        return Ok(());
    };
    // Before the first sample of a line stands the one above it.
    let first = above.first().map_or(start, |sample| i32::from(*sample));
    let (mut left, mut corner) = (first, first);
    for (index, (sample, over)) in current.iter_mut().zip(above).enumerate() {
        let over = i32::from(*over);
        let predicted = if index == 0 { first } else { predict(selection, left, over, corner) };
        *sample = (predicted + table.read(reader)?) as u16;
        (left, corner) = (i32::from(*sample), over);
    }
    Ok(())
}

#[inline]
fn predict(selection: u8, left: i32, above: i32, corner: i32) -> i32 {
    match selection {
        1 => left,
        2 => above,
        3 => corner,
        4 => left + above - corner,
        5 => left + ((above - corner) >> 1),
        6 => above + ((left - corner) >> 1),
        _ => (left + above) >> 1,
    }
}
