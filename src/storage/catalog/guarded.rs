//! Reads of redb's tables that a damaged page fails as an error. redb asserts
//! that its pages are well-formed, which one whose checksum does not hold is
//! made not to be (see [`super::checked`]); its session stays usable after such
//! a panic, for nothing is locked meanwhile and a read changes nothing.

use std::borrow::Borrow;
use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use redb::{AccessGuard, Key, Range, ReadOnlyTable, ReadableTableMetadata, Value};

use super::CatalogError;

/// Runs a piece of work that may meet a damaged page.
pub(super) fn guard<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, CatalogError>
where
    CatalogError: From<E>,
{
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(CatalogError::Page),
    }
}

/// A table that is opened when it is first asked: redb looks for it by its name among
/// all tables each time, which is half of a look at one row.
pub(super) struct Once<K: Key + 'static, V: Value + 'static>(OnceLock<Guarded<K, V>>);

impl<K: Key + 'static, V: Value + 'static> Default for Once<K, V> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K: Key + 'static, V: Value + 'static> Once<K, V> {
    pub fn get(
        &self,
        open: impl FnOnce() -> Result<Guarded<K, V>, CatalogError>,
    ) -> Result<&Guarded<K, V>, CatalogError> {
        if let Some(table) = self.0.get() {
            return Ok(table);
        }
        let table = open()?;
        Ok(self.0.get_or_init(|| table))
    }
}

/// A table.
pub(super) struct Guarded<K: Key + 'static, V: Value + 'static>(pub ReadOnlyTable<K, V>);

type Entry<K, V> = (AccessGuard<'static, K>, AccessGuard<'static, V>);

impl<K: Key + 'static, V: Value + 'static> Guarded<K, V> {
    pub fn get<'a>(
        &self,
        key: impl Borrow<K::SelfType<'a>>,
    ) -> Result<Option<AccessGuard<'static, V>>, CatalogError> {
        guard(|| self.0.get(key))
    }

    pub fn range<'a, Q: Borrow<K::SelfType<'a>>>(
        &self,
        range: impl RangeBounds<Q>,
    ) -> Result<GuardedRange<K, V>, CatalogError> {
        guard(|| self.0.range(range)).map(GuardedRange)
    }

    pub fn len(&self) -> Result<u64, CatalogError> {
        guard(|| self.0.len())
    }
}

/// Rows of a table.
pub(super) struct GuardedRange<K: Key + 'static, V: Value + 'static>(Range<'static, K, V>);

impl<K: Key + 'static, V: Value + 'static> Iterator for GuardedRange<K, V> {
    type Item = Result<Entry<K, V>, CatalogError>;

    fn next(&mut self) -> Option<Self::Item> {
        guard(|| self.0.next().transpose()).transpose()
    }
}
