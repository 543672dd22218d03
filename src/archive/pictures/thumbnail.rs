//! Thumbnails, and which instance stands for a series or a study.
//!
//! A thumbnail never tells who the patient is: no annotation, no overlay, and
//! no pixels in which somebody has written.

use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::{tags, uids};

use super::{Desk, Order, Output, What, key_of};
use crate::{
    archive::{Archive, ArchiveError, InstanceRow, Scope, View},
    auth::Permit,
    dicom::{DataSet, json},
    render::{
        encode::{self, Format, QUALITY_DEFAULT},
        geometry::{Source, Viewport},
        icc, icon,
        picture::Look,
        slide,
    },
};

/// Raised when thumbnails come to look otherwise, so that those on disk are not
/// shown any more.
const VERSION: u32 = 2;

/// Series of these modalities do not stand for a study if there is another.
const SECONDARY: [&str; 12] =
    ["SR", "KO", "PR", "SEG", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "DOC", "OT", "FID", "AU"];

/// A thumbnail as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbnail {
    /// Counted from 1; none: the one that stands for the instance.
    pub frame: Option<u32>,
    /// It fits into this.
    pub width: u32,
    pub height: u32,
    pub format: Format,
}

impl Archive {
    /// A small picture of an instance; of one without a picture, an icon of its
    /// modality.
    ///
    /// # Errors
    /// `Busy` when too many wait; when a storage fails.
    pub async fn thumbnail(
        &self,
        _permit: &Permit,
        row: InstanceRow,
        wanted: Thumbnail,
    ) -> Result<Bytes, ArchiveError> {
        let key = key_of(&row, &format!("thumbnail {VERSION} {wanted:?}"));
        let make = || {
            let desk = self.studio.desk(&self.core);
            let disk = self.studio.thumbnails.clone();
            self.pixel_pool.run(move || {
                if let Some(kept) = disk.as_ref().and_then(|disk| disk.get(&key)) {
                    return Ok(Bytes::from(kept));
                }
                let picture = desk.thumbnail(&row, wanted)?;
                if let Some(Err(error)) = disk.map(|disk| disk.put(&key, &picture)) {
                    tracing::warn!(%error, "a thumbnail cannot be kept on disk");
                }
                Ok::<_, ArchiveError>(Bytes::from(picture))
            })
        };
        self.studio.picture(key, make).await
    }
}

impl Desk {
    fn thumbnail(&self, row: &InstanceRow, wanted: Thumbnail) -> Result<Vec<u8>, ArchiveError> {
        let snapshot = self.core.catalog.read()?;
        let subject = match self.subject(&snapshot, row) {
            Ok(subject) => subject,
            Err(error) => return Self::icon_instead(row, None, wanted, &error),
        };
        let set = Arc::clone(&subject);
        let is_written_in =
            set.set.first_text(tags::BURNED_IN_ANNOTATION) == Some("YES") || slide::shows_label(&set.set);
        let is_drawn = row.frames.count() > 0 || !set.set.items(tags::WAVEFORM_SEQUENCE).is_empty();
        if is_written_in || !is_drawn {
            return Self::icon(&set.set, row, wanted);
        }
        let order = Order {
            what: wanted.frame.map_or(What::Representative, What::Frame),
            look: Look {
                viewport: Some(Viewport {
                    fits: Some((wanted.width, wanted.height)),
                    source: Source::default(),
                }),
                without_overlays: true,
                ..Look::default()
            },
            output: Output::Picture(wanted.format),
            quality: QUALITY_DEFAULT,
            profile: icc::Asked::No,
            presentation: None,
        };
        match self.draw(row, &order) {
            Ok(picture) => Ok(picture),
            Err(error) => Self::icon_instead(row, Some(&set.set), wanted, &error),
        }
    }

    /// What cannot be drawn has an icon all the same; what is damaged or too
    /// much at the moment has not.
    fn icon_instead(
        row: &InstanceRow,
        set: Option<&DataSet>,
        wanted: Thumbnail,
        error: &ArchiveError,
    ) -> Result<Vec<u8>, ArchiveError> {
        if !matches!(error, ArchiveError::Render(_) | ArchiveError::Pixels { .. }) {
            return Err(error.again());
        }
        tracing::warn!(%error, instance = %row.path, "shown as an icon");
        Self::icon(set.unwrap_or(&DataSet::new()), row, wanted)
    }

    fn icon(set: &DataSet, row: &InstanceRow, wanted: Thumbnail) -> Result<Vec<u8>, ArchiveError> {
        let document = set.first_text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT);
        let label = match (document, row.frames) {
            (Some("application/pdf"), _) => "PDF",
            (_, crate::archive::Frames::Video(_)) => "VIDEO",
            _ => set.first_text(tags::MODALITY).unwrap_or("DICOM"),
        };
        let image = icon::draw(label, wanted.width, wanted.height)?;
        Ok(encode::encode(&image, wanted.format, QUALITY_DEFAULT, None)?)
    }
}

impl View<'_> {
    /// The instance that stands for a scope. Of a study: one of its series with
    /// the lowest number that has pictures and is made from patients, not from
    /// other series. Of a series: the one in the middle, by Instance Number; of
    /// a whole slide, its smallest level.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is nothing; when the catalog fails.
    pub fn representative(&self, scope: &Scope) -> Result<InstanceRow, ArchiveError> {
        let row = self.choose(scope)?;
        self.note(&row);
        Ok(row)
    }

    fn choose(&self, scope: &Scope) -> Result<InstanceRow, ArchiveError> {
        let Scope::Study(study) = scope else { return self.middle(self.unseen(scope)?) };
        let mut series = self.sight.series_of(study)?;
        let rank = |attributes: &DataSet| {
            let modality = attributes.first_text(tags::MODALITY).unwrap_or_default();
            let number = attributes.first_int(tags::SERIES_NUMBER).unwrap_or(i64::MAX);
            (SECONDARY.contains(&modality), number)
        };
        series.sort_by_key(|row| rank(&row.attributes));
        let mut without_picture = None;
        for row in series {
            let found = self.middle(self.unseen(&Scope::Series(row.path))?)?;
            if found.frames.count() > 0 {
                return Ok(found);
            }
            without_picture.get_or_insert(found);
        }
        match without_picture {
            Some(found) => Ok(found),
            None => Err(super::super::retrieve::missing(&self.sight, scope)?),
        }
    }

    /// The row in the middle of those that have a picture, or of all.
    fn middle(&self, rows: Vec<InstanceRow>) -> Result<InstanceRow, ArchiveError> {
        let has_picture = |row: &InstanceRow| row.frames.count() > 0;
        let only_pictures = rows.iter().any(has_picture);
        let mut rows: Vec<_> = rows.into_iter().filter(|row| has_picture(row) || !only_pictures).collect();
        if rows.iter().all(|row| row.sop_class == uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE) {
            return self.smallest_level(rows);
        }
        rows.sort_by_cached_key(|row| {
            row.summary_of(&|tag, _| tag == tags::INSTANCE_NUMBER)
                .ok()
                .and_then(|summary| summary.first_int(tags::INSTANCE_NUMBER))
                .unwrap_or(i64::MAX)
        });
        let at = rows.len().saturating_sub(1) / 2;
        if rows.is_empty() { Err(ArchiveError::NotFound("instance")) } else { Ok(rows.swap_remove(at)) }
    }

    /// The level of a slide with the fewest tiles that does not show the label.
    fn smallest_level(&self, mut rows: Vec<InstanceRow>) -> Result<InstanceRow, ArchiveError> {
        rows.sort_by_key(|row| row.frames.count());
        for row in &rows {
            let metadata = self.snapshot().metadata_of(&row.path)?.unwrap_or_default();
            let set = json::read(&metadata, json::Limits::OWN)
                .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
            if !slide::shows_label(&set) {
                return Ok(row.clone());
            }
        }
        rows.into_iter().next().ok_or(ArchiveError::NotFound("instance"))
    }
}
