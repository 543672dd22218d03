//! Where the dictionary of a series' metadata is: in pieces, for redb keeps a row of
//! some two KiB in a page of four for itself, and those of series of one instance
//! were most of the catalog. Format 2 had each in one row; such rows stay.

use redb::{AccessGuard, ReadableTable};

use super::CatalogError;
use super::guarded::Guarded;
use super::tables::{PieceKey, Tables};

/// Several to a page, and not so many that what leads each of them counts.
const PIECE_BYTES: usize = 480;

type Rows<K> = Guarded<K, &'static [u8]>;
type Piece<'r> = (AccessGuard<'r, PieceKey>, AccessGuard<'r, &'static [u8]>);

/// Writes that of a series that has none.
pub(super) fn put(tables: &mut Tables, series_id: u64, frame: &[u8]) -> Result<(), CatalogError> {
    for (number, piece) in (0..).zip(frame.chunks(PIECE_BYTES)) {
        tables.dictionary_pieces.insert((series_id, number), piece)?;
    }
    Ok(())
}

/// That of a series, as a zstd frame; none if nothing of the series was ever compressed.
pub(super) fn get(tables: &Tables, series_id: u64) -> Result<Option<Vec<u8>>, CatalogError> {
    if let Some(frame) = joined(tables.dictionary_pieces.range(of(series_id))?)? {
        return Ok(Some(frame));
    }
    Ok(tables.dictionaries.get(series_id)?.map(|frame| frame.value().to_vec()))
}

/// The same, of a snapshot's tables.
pub(super) fn read(
    pieces: &Rows<PieceKey>,
    whole: impl FnOnce() -> Result<Rows<u64>, CatalogError>,
    series_id: u64,
) -> Result<Option<Vec<u8>>, CatalogError> {
    if let Some(frame) = joined(pieces.range(of(series_id))?)? {
        return Ok(Some(frame));
    }
    Ok(whole()?.get(series_id)?.map(|frame| frame.value().to_vec()))
}

pub(super) fn remove(tables: &mut Tables, series_id: u64) -> Result<(), CatalogError> {
    tables.dictionary_pieces.retain_in(of(series_id), |_, _| false)?;
    tables.dictionaries.remove(series_id)?;
    Ok(())
}

fn of(series_id: u64) -> std::ops::RangeInclusive<PieceKey> {
    (series_id, 0)..=(series_id, u32::MAX)
}

fn joined<'r, E>(rows: impl Iterator<Item = Result<Piece<'r>, E>>) -> Result<Option<Vec<u8>>, CatalogError>
where
    CatalogError: From<E>,
{
    let mut frame = Vec::new();
    for row in rows {
        frame.extend_from_slice(row?.1.value());
    }
    Ok((!frame.is_empty()).then_some(frame))
}
