//! The catalog against a `BTreeMap`: any order of the same changes, in any
//! batches, ends in the same catalog, and that is the one the model says.

use proptest::prelude::*;

use super::*;

/// What a client asks for, before it has a stamp.
#[derive(Debug, Clone)]
enum Wish {
    Store(InstancePath, Rule),
    /// Beside the instance that is there.
    Keep(u8),
    /// The bytes that are there, once more.
    StoreAgain(u8),
    DeleteInstance(InstancePath),
    DeleteSeries(InstancePath),
    DeleteStudy(InstancePath),
}

/// Few studies, series and instances, so that they meet; an instance may turn
/// up in another study.
fn some_path() -> impl Strategy<Value = InstancePath> {
    (0..2u8, 0..2u8, 0..4u8).prop_map(|(study, series, instance)| path(study, series, instance))
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = prop_oneof![
        4 => (some_path(), any::<bool>())
            .prop_map(|(path, replace)| Wish::Store(path, if replace { Rule::Replace } else { Rule::Reject })),
        2 => any::<u8>().prop_map(Wish::Keep),
        1 => any::<u8>().prop_map(Wish::StoreAgain),
        2 => some_path().prop_map(Wish::DeleteInstance),
        1 => some_path().prop_map(Wish::DeleteSeries),
        1 => some_path().prop_map(Wish::DeleteStudy),
    ];
    prop::collection::vec(wish, 1..40)
}

type Inside = Box<dyn Fn(&InstancePath) -> bool>;

/// What the packs have in the end, and what is there.
#[derive(Default)]
struct Model {
    there: BTreeMap<InstanceUid, NewInstance>,
    /// Replaced ones and kept ones.
    versions: Vec<NewInstance>,
    log: Vec<Change>,
}

impl Model {
    /// The change a wish becomes, and the outcome it must have.
    fn act(&mut self, wish: &Wish, stamp: u64) -> Option<(Change, bool)> {
        let (target, inside): (Target, Inside) = match wish.clone() {
            Wish::Store(path, rule) => {
                let new = version(&path, stamp);
                let there = self.there.get(&path.instance);
                let stored = there.is_none_or(|there| rule == Rule::Replace && there.path == path);
                if stored {
                    self.log.push(store(new.clone(), Rule::Replay));
                    self.versions.extend(self.there.insert(path.instance.clone(), new.clone()));
                }
                return Some((store(new, rule), stored));
            }
            Wish::Keep(which) => {
                let there = self.there.values().nth(usize::from(which) % self.there.len().max(1))?;
                let kept = NewInstance { role: Role::Kept, ..version(&there.path, stamp) };
                self.log.push(store(kept.clone(), Rule::Replay));
                self.versions.push(kept.clone());
                return Some((store(kept, Rule::Reject), true));
            }
            Wish::StoreAgain(which) => {
                let there = self.there.values().nth(usize::from(which) % self.there.len().max(1))?;
                let again = NewInstance { stamp: Stamp(stamp), ..there.clone() };
                return Some((store(again, Rule::Reject), false));
            }
            Wish::DeleteInstance(path) => {
                // A tombstone that is in a pack counts even if it meets nothing.
                if !self.there.values().any(|new| new.path == path) {
                    self.log.push(delete(Target::Instance(path.clone()), stamp));
                }
                (Target::Instance(path.clone()), Box::new(move |other| *other == path))
            }
            Wish::DeleteSeries(path) => {
                let series = path.series_path();
                (Target::Series(series.clone()), Box::new(move |other| other.series_path() == series))
            }
            Wish::DeleteStudy(path) => {
                (Target::Study(path.study.clone()), Box::new(move |other| other.study == path.study))
            }
        };
        let before = self.there.len();
        for path in self.there.values().map(|new| &new.path).filter(|path| inside(path)) {
            self.log.push(delete(Target::Instance(path.clone()), stamp));
        }
        self.there.retain(|_, new| !inside(&new.path));
        self.versions.retain(|new| !inside(&new.path));
        Some((delete(target, stamp), self.there.len() < before))
    }

    /// The view the catalog must give, computed from nothing but what is there.
    fn check(&self, view: &View) {
        let there: BTreeMap<_, _> = self.there.values().map(|new| (&new.path, new)).collect();
        assert!(view.instances.keys().eq(there.keys().copied()));
        assert_eq!(view.bytes, there.values().map(|new| new.place.length).sum::<u64>());
        for (path, seen) in &view.instances {
            assert_eq!((seen.stamp, seen.place), (there[path].stamp, there[path].place));
            assert_eq!(seen.summary, there[path].summary);
            assert_eq!(seen.metadata, there[path].metadata);
        }
        for (path, row) in &view.series {
            let of: Vec<_> = there.values().filter(|new| new.path.series_path() == *path).collect();
            assert_eq!(row.attributes, of.iter().max_by_key(|new| new.stamp).unwrap().series);
            assert_eq!(Some(row.first), of.iter().map(|new| new.stamp).min());
            assert_eq!((row.instances, &row.sop_classes), (of.len() as u64, &classes(&of)));
            assert_eq!(row.bytes, of.iter().map(|new| new.place.length).sum::<u64>());
        }
        for (uid, row) in &view.studies {
            let of: Vec<_> = there.values().filter(|new| new.path.study == *uid).collect();
            assert_eq!(row.attributes, of.iter().max_by_key(|new| new.stamp).unwrap().study);
            assert_eq!(Some(row.first), of.iter().map(|new| new.stamp).min());
            assert_eq!((row.instances, &row.sop_classes), (of.len() as u64, &classes(&of)));
            let series: Vec<_> = view.series.values().filter(|series| series.path.study == *uid).collect();
            assert_eq!(row.series as usize, series.len());
            let mut modalities = BTreeMap::new();
            for series in series {
                let modality = series.attributes.first_text(Tag(0x0008, 0x0060)).unwrap();
                *modalities.entry(modality.to_owned()).or_default() += 1;
            }
            assert_eq!(row.modalities, modalities);
        }
        let versions = self.versions.iter().map(|new| {
            let seen = (new.role, new.place, new.digest, new.chunks.clone());
            ((new.path.clone(), new.stamp), seen)
        });
        assert_eq!(view.versions, versions.collect());
        for (pack, row) in &view.packs {
            let of = there.values().copied().chain(&self.versions);
            let of: Vec<_> = of.filter(|new| new.place.pack == *pack).collect();
            assert_eq!(row.live_files, of.len() as u64);
            assert_eq!(row.live_bytes, of.iter().map(|new| new.place.length).sum::<u64>());
        }
    }
}

fn classes(of: &[&&NewInstance]) -> BTreeMap<String, u64> {
    let mut classes = BTreeMap::new();
    for new in of {
        *classes.entry(new.sop_class.clone()).or_default() += 1;
    }
    classes
}

fn deleted(catalog: &Catalog) -> Vec<bool> {
    let read = catalog.read().unwrap();
    let mut all = Vec::new();
    for study in 0..2 {
        for series in 0..2 {
            for instance in 0..4 {
                let path = path(study, series, instance);
                let targets = [
                    Target::Study(path.study.clone()),
                    Target::Series(path.series_path()),
                    Target::Instance(path),
                ];
                all.extend(targets.map(|target| read.tombstone(&target).unwrap().is_some()));
            }
        }
    }
    all
}

fn in_batches(catalog: &Catalog, changes: &[Change], sizes: &[usize]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut rest = changes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, left) = rest.split_at((*size).min(rest.len()));
        outcomes.extend(fast(catalog, batch).outcomes);
        rest = left;
    }
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_catalog_is_what_the_model_says(
        wishes in wishes(),
        sizes in prop::collection::vec(1..9usize, 1..5),
        seed in any::<u64>(),
    ) {
        let mut model = Model::default();
        let mut changes = Vec::new();
        let mut done = Vec::new();
        for (wish, stamp) in wishes.iter().zip(100..) {
            if let Some((change, does)) = model.act(wish, stamp) {
                changes.push(change);
                done.push(does);
            }
        }
        let live = memory();
        let outcomes = in_batches(&live, &changes, &sizes);
        let did: Vec<bool> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Stored { .. } | Outcome::Deleted { .. } => true,
                Outcome::Kept { beside } => *beside,
                Outcome::AlreadyThere | Outcome::Conflict { .. } | Outcome::Superseded | Outcome::Moved | Outcome::NotFound | Outcome::Noted => false,
            })
            .collect();
        prop_assert_eq!(did, done);
        let seen = view(&live);
        model.check(&seen);

        // The packs hold what was decided; in whatever order they are replayed,
        // and whatever of them twice, the same catalog follows.
        let mut log = model.log.clone();
        for index in 1..log.len() as u64 {
            let other = seed.wrapping_mul(2 * index + 1).rotate_left(index as u32 * 7) % (index + 1);
            log.swap(index as usize, other as usize);
        }
        let replayed = memory();
        in_batches(&replayed, &log, &sizes);
        let again = view(&replayed);
        prop_assert_eq!(&again, &seen);
        prop_assert_eq!(deleted(&replayed), deleted(&live));

        in_batches(&replayed, &log[log.len() / 2..], &sizes);
        let mut twice = view(&replayed);
        for (pack, row) in &mut twice.packs {
            // No position was noted, so what is dead is counted again.
            row.dead_bytes = again.packs[pack].dead_bytes;
        }
        prop_assert_eq!(&twice, &again);
    }
}
