//! What a search says of what it found: the attributes that were asked for, the
//! URL where it can be had, and the place of the words, if they were looked for.

use super::{
    ArchiveError,
    full_text::Best,
    page::Match,
    search::{RETRIEVE_URL, SERIES_UID, SOP_UID, STUDY_UID, Search, series_path},
    tier::NEARLINE,
};
use crate::dicom::{
    DataSet, InstancePath, InstanceUid, SeriesPath, StudyUid, VR,
    attributes::INSTANCE_AVAILABILITY,
    json,
    query::{Level, Projection},
};

impl Search<'_> {
    /// What is said of a match.
    pub(super) fn describe(&self, projection: &Projection, found: Match) -> Result<DataSet, ArchiveError> {
        let Match { study, series, instance, .. } = found;
        let mut said = projection.apply(&study, series.as_deref(), instance.as_ref());
        let mut url = self.base_url.to_owned();
        let levels = [
            ("/studies/", study.first_text(STUDY_UID)),
            ("/series/", series.as_ref().and_then(|set| set.first_text(SERIES_UID))),
            ("/instances/", instance.as_ref().and_then(|set| set.first_text(SOP_UID))),
        ];
        for (name, uid) in levels {
            if let Some(uid) = uid {
                url.push_str(name);
                url.push_str(uid);
            }
        }
        if instance.is_some() {
            json::link(&mut said, &url);
        }
        said.put_text(RETRIEVE_URL, VR::UR, &url);
        if self.core.packs.any_is_far() && said.first_text(INSTANCE_AVAILABILITY).is_some() {
            let sets = (&*study, series.as_deref(), instance.as_ref());
            if !self.is_at_hand(sets)? {
                said.put_text(INSTANCE_AVAILABILITY, VR::CS, NEARLINE);
            }
        }
        if let Some(text) = self.query.text.as_ref().filter(|text| text.snippet) {
            let mut best = Best::new(self.core, text);
            best.look_into(&study, Level::Study);
            if let Some(series) = &series {
                best.look_into(series, Level::Series);
            }
            match (&instance, &series) {
                (Some(instance), Some(series)) => self.look_into(&study, series, instance, &mut best)?,
                (_, series) => self.look_below(&study, series.as_deref(), &mut best)?,
            }
            best.tell(&mut said);
        }
        Ok(said)
    }

    /// Whether all of a match can be read without the bucket.
    fn is_at_hand(
        &self,
        (study, series, instance): (&DataSet, Option<&DataSet>, Option<&DataSet>),
    ) -> Result<bool, ArchiveError> {
        let sight = self.sight()?;
        let Some(series) = series else {
            let uid = study.first_text(STUDY_UID).and_then(|uid| StudyUid::parse(uid).ok());
            return uid.map_or(Ok(true), |uid| self.core.study_is_at_hand(&sight, &uid));
        };
        let Some(path) = series_path(study, series) else { return Ok(true) };
        match instance.map(|set| set.first_text(SOP_UID).and_then(|uid| InstanceUid::parse(uid).ok())) {
            Some(Some(instance)) => {
                let SeriesPath { study, series } = path;
                self.core.instance_is_at_hand(&sight, &InstancePath { study, series, instance })
            }
            Some(None) => Ok(true),
            None => match sight.series(&path)? {
                Some(row) => self.core.series_is_at_hand(&sight, &row),
                None => Ok(true),
            },
        }
    }

    /// Looks for a snippet in an instance.
    fn look_into(
        &self,
        study: &DataSet,
        series: &DataSet,
        instance: &DataSet,
        best: &mut Best<'_>,
    ) -> Result<(), ArchiveError> {
        let path = series_path(study, series);
        let uid = instance.first_text(SOP_UID).and_then(|uid| InstanceUid::parse(uid).ok());
        let Some((SeriesPath { study, series }, uid)) = path.zip(uid) else { return Ok(()) };
        let snapshot = self.sight()?;
        match snapshot.instance(&InstancePath { study, series, instance: uid })? {
            Some(row) => best.look_into_instance(snapshot.raw(), &row, instance),
            None => Ok(()),
        }
    }

    /// Looks for a snippet in the series of a study or in one series, and in
    /// their instances.
    fn look_below(
        &self,
        study: &DataSet,
        series: Option<&DataSet>,
        best: &mut Best<'_>,
    ) -> Result<(), ArchiveError> {
        let snapshot = self.sight()?;
        if let Some(path) = series.and_then(|series| series_path(study, series)) {
            return best.look_into_series(&snapshot, &path);
        }
        let Some(uid) = study.first_text(STUDY_UID).and_then(|uid| StudyUid::parse(uid).ok()) else {
            return Ok(());
        };
        let all = snapshot.series_of(&uid)?;
        for series in &all {
            best.look_into(&series.attributes, Level::Series);
        }
        for series in &all {
            best.look_into_series(&snapshot, &series.path)?;
        }
        Ok(())
    }
}
