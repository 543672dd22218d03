//! The tables of the catalog and what their keys and values are. Values are
//! postcard unless said otherwise. Owns [`FORMAT`]: a change to any table or
//! row that older code would misread makes a new number.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

use super::{CatalogError, keys};

/// The number of this layout. 1 had no versions, 2 every dictionary in one row.
pub(super) const FORMAT: u32 = 3;

pub(super) type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;
pub(super) type ById = TableDefinition<'static, u64, &'static [u8]>;
/// Pieces of an instance too large for its row, by (seq, kind, block).
pub(super) type PartKey = (u64, u8, u32);
/// Pieces of a dictionary, by (series id, number).
pub(super) type PieceKey = (u64, u32);

/// `format` → u32 little endian; `id`, `stamp` (the newest there was) → u64
/// little endian; `state` → [`super::rows::State`].
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Study UID → [`super::StudyRow`].
pub(super) const STUDIES: Bytes = TableDefinition::new("studies");
/// Study id → Study UID.
pub(super) const STUDY_IDS: ById = TableDefinition::new("study_ids");
/// study 0 series → [`super::SeriesRow`].
pub(super) const SERIES: Bytes = TableDefinition::new("series");
/// Series id → study 0 series. Outlives its series, for the feed names series by it.
pub(super) const SERIES_IDS: ById = TableDefinition::new("series_ids");
/// Series id (8 bytes, big endian) SOP Instance UID → [`super::instance`].
pub(super) const INSTANCES: Bytes = TableDefinition::new("instances");
/// See [`super::instance::part`].
pub(super) const PARTS: TableDefinition<PartKey, &[u8]> = TableDefinition::new("parts");
/// SOP Instance UID → [`super::rows::SopRow`]. Outlives its instance.
pub(super) const SOPS: Bytes = TableDefinition::new("sops");
/// study 0 series 0 instance → stamp of its latest deletion. Rows stay.
pub(super) const TOMBSTONES: TableDefinition<&[u8], u64> = TableDefinition::new("tombstones");
/// study 0 series 0 instance 0 stamp (8 bytes, big endian) → [`super::versions`].
pub(super) const VERSIONS: Bytes = TableDefinition::new("versions");
/// Series id → zstd frame of the dictionary of its metadata, of series that format 2 began.
pub(super) const DICTIONARIES: ById = TableDefinition::new("dictionaries");
/// Pieces of such a frame: see [`super::dictionaries`].
pub(super) const DICTIONARY_PIECES: TableDefinition<PieceKey, &[u8]> =
    TableDefinition::new("dictionary_pieces");
/// Sequence number → [`super::rows::FeedRow`].
pub(super) const FEED: ById = TableDefinition::new("feed");
/// Pack number → [`super::PackRow`].
pub(super) const PACKS: TableDefinition<u32, &[u8]> = TableDefinition::new("packs");

/// All tables, opened for writing.
pub(super) struct Tables<'t> {
    pub meta: Table<'t, &'static str, &'static [u8]>,
    pub studies: Table<'t, &'static [u8], &'static [u8]>,
    pub study_ids: Table<'t, u64, &'static [u8]>,
    pub series: Table<'t, &'static [u8], &'static [u8]>,
    pub series_ids: Table<'t, u64, &'static [u8]>,
    pub instances: Table<'t, &'static [u8], &'static [u8]>,
    pub parts: Table<'t, PartKey, &'static [u8]>,
    pub sops: Table<'t, &'static [u8], &'static [u8]>,
    pub tombstones: Table<'t, &'static [u8], u64>,
    pub versions: Table<'t, &'static [u8], &'static [u8]>,
    pub dictionaries: Table<'t, u64, &'static [u8]>,
    pub dictionary_pieces: Table<'t, PieceKey, &'static [u8]>,
    pub feed: Table<'t, u64, &'static [u8]>,
    pub packs: Table<'t, u32, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub fn open(write: &'t WriteTransaction) -> Result<Self, CatalogError> {
        Ok(Self {
            meta: write.open_table(META)?,
            studies: write.open_table(STUDIES)?,
            study_ids: write.open_table(STUDY_IDS)?,
            series: write.open_table(SERIES)?,
            series_ids: write.open_table(SERIES_IDS)?,
            instances: write.open_table(INSTANCES)?,
            parts: write.open_table(PARTS)?,
            sops: write.open_table(SOPS)?,
            tombstones: write.open_table(TOMBSTONES)?,
            versions: write.open_table(VERSIONS)?,
            dictionaries: write.open_table(DICTIONARIES)?,
            dictionary_pieces: write.open_table(DICTIONARY_PIECES)?,
            feed: write.open_table(FEED)?,
            packs: write.open_table(PACKS)?,
        })
    }
}

/// The format a database says it has; none while it is empty.
pub(super) fn format_of(read: &ReadTransaction) -> Result<Option<u32>, CatalogError> {
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let format = ReadableTable::get(&meta, "format")?
        .map(|value| <[u8; 4]>::try_from(value.value()).map_or(u32::MAX, u32::from_le_bytes));
    Ok(format)
}

/// The number that tells a catalog from every other.
pub(super) fn id_of(read: &ReadTransaction) -> Result<u64, CatalogError> {
    let meta = read.open_table(META)?;
    let id = ReadableTable::get(&meta, "id")?;
    let id = id.and_then(|value| <[u8; 8]>::try_from(value.value()).ok());
    id.map(u64::from_le_bytes).ok_or_else(|| CatalogError::Missing { table: "meta", key: "id".to_owned() })
}

pub(super) fn decode<T: DeserializeOwned>(
    table: &'static str,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, CatalogError> {
    postcard::from_bytes(bytes).map_err(|source| CatalogError::Row { table, key: keys::show(key), source })
}

pub(super) fn encode<T: Serialize>(table: &'static str, row: &T) -> Result<Vec<u8>, CatalogError> {
    postcard::to_stdvec(row).map_err(|source| CatalogError::Row { table, key: String::new(), source })
}
