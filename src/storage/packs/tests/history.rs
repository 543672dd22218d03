//! Random histories of appends, uploads, failures, restarts and power cuts,
//! held against a model: what was acknowledged is there, and nothing is that was
//! not sent.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::faulty::Fault;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    Delete,
    Begin,
    Write { stream: usize, length: usize },
    Finish { stream: usize },
    Abort { stream: usize },
    Seal { pack: usize },
    Fail { after: u64, full: bool },
    Restart,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0..3_usize, 500..520_usize, 0..9_000_usize, 60_000..140_000_usize];
    prop_oneof![
        6 => prop::collection::vec(length.clone(), 1..6).prop_map(Step::Append),
        1 => Just(Step::Delete),
        3 => Just(Step::Begin),
        6 => (0..4_usize, length).prop_map(|(stream, length)| Step::Write { stream, length }),
        3 => (0..4_usize).prop_map(|stream| Step::Finish { stream }),
        1 => (0..4_usize).prop_map(|stream| Step::Abort { stream }),
        1 => (0..4_usize).prop_map(|pack| Step::Seal { pack }),
        2 => (0..6_u64, any::<bool>()).prop_map(|(after, full)| Step::Fail { after, full }),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

/// What a history must have left behind.
#[derive(Default)]
struct Model {
    acknowledged: BTreeMap<Stamp, Item>,
    /// Refused with an error: may be there after a start, or not.
    refused: BTreeSet<Stamp>,
    next: u64,
}

impl Model {
    fn settle<T>(&mut self, items: Vec<Item>, outcome: Result<T, PackError>) {
        for item in items {
            if outcome.is_ok() {
                self.acknowledged.insert(item.stamp, item);
            } else {
                self.refused.insert(item.stamp);
            }
        }
    }

    fn check(&mut self, found: Vec<Item>) {
        let count = found.len();
        let found: BTreeMap<Stamp, Item> = found.into_iter().map(|item| (item.stamp, item)).collect();
        assert_eq!(found.len(), count, "nothing is there twice");
        for (stamp, item) in &self.acknowledged {
            assert_eq!(found.get(stamp), Some(item));
        }
        for stamp in found.keys() {
            assert!(self.acknowledged.contains_key(stamp) || self.refused.contains(stamp));
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn histories_against_a_model(steps in prop::collection::vec(step(), 1..60), encrypted: bool) {
        sealed::ENCRYPTED.set(encrypted);
        let options = small(200_000);
        let mut disk = Faulty::new();
        let mut packs = on(disk.clone(), options);
        let mut streams: Vec<(Upload, Item)> = Vec::new();
        let mut model = Model::default();
        for step in steps.into_iter().chain([Step::Crash(1)]) {
            match step {
                Step::Append(lengths) => {
                    let batch: Vec<Item> = lengths.into_iter().map(|length| item(model.number(), length)).collect();
                    let outcome = append(&packs, &batch);
                    model.settle(batch, outcome);
                }
                Step::Delete => {
                    let item = tombstone(model.number());
                    let outcome = append(&packs, std::slice::from_ref(&item));
                    model.settle(vec![item], outcome);
                }
                Step::Begin => match packs.begin() {
                    Ok(upload) => streams.push((upload, item(model.number(), 0))),
                    Err(PackError::Busy { .. }) => prop_assert_eq!(streams.len(), 3),
                    Err(_) => {}
                },
                Step::Write { stream, length } => {
                    if let Some((upload, item)) = streams.get_mut(stream) {
                        let piece = super::item(length as u64, length);
                        if upload.write(piece.bytes()).is_ok() {
                            item.bytes.as_mut().unwrap().extend(piece.bytes());
                        }
                    }
                }
                Step::Finish { stream } if stream < streams.len() => {
                    let (upload, item) = streams.remove(stream);
                    let outcome = upload.finish(&item.path, item.stamp, item.role, item.digest());
                    model.settle(vec![item], outcome);
                }
                Step::Abort { stream } if stream < streams.len() => drop(streams.remove(stream)),
                Step::Finish { .. } | Step::Abort { .. } => {}
                Step::Seal { pack } => {
                    if let Some(info) = packs.list().get(pack) {
                        let _ = packs.seal(info.pack);
                    }
                }
                Step::Fail { after, full } => {
                    disk.fail(after, if full { Fault::NoSpace } else { Fault::Broken });
                }
                Step::Restart | Step::Crash(_) => {
                    disk = if let Step::Crash(seed) = step { disk.crash(seed) } else { disk.restart() };
                    streams.clear();
                    packs = on(disk.clone(), options);
                    model.check(recover(&packs));
                }
            }
        }
    }
}
