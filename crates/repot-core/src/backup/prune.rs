//! Deleting the sets that no rule keeps.
//!
//! Only sets of one project are looked at: others in the same storage are somebody else's, with other rules. The
//! manifest of a set goes first, so that a set that is half deleted is an incomplete one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use repot_store::destinations::remove_set;
use repot_store::retention::{Group, KeepRules, SetFacts, decide};
use repot_store::storage::Storage;
use repot_store::stored::{State, Stored, is_set_name};
use repot_store::{FileEntry, MANIFEST_NAME, MadeBy};
use serde::Serialize;

use super::sets::{contents, created};
use super::storage_error;
use crate::error::Result;
use crate::interrupt;
use crate::journal::catalog::{Run, RunState, Verification};
use crate::upgrade::failpoint::reach;

/// The label that the rules know sets of upgrades by.
const OF_UPGRADES: &str = "upgrade";

/// What becomes of one set.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Its name.
    pub set: String,
    /// When it was finished or, without a manifest, last written.
    pub created_at: String,
    /// Size of its files.
    pub size_bytes: u64,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// What becomes of the sets of one storage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pruning {
    /// The storage, in words.
    pub storage: String,
    /// The project's sets, newest first.
    pub sets: Vec<Item>,
    /// How many sets belong to other projects.
    pub others: usize,
}

/// What else the decision wants to know.
#[derive(Debug)]
pub struct Known<'a> {
    /// The project whose sets are looked at.
    pub project: &'a str,
    /// Where it runs: sets of another place are another installation's. None: those of all places, each for itself.
    pub place: Option<&'a str>,
    /// The storage's address.
    pub address: &'a str,
    /// What every check found, oldest first.
    pub verifications: &'a [Verification],
    /// All runs.
    pub runs: &'a [Run],
    /// Now.
    pub now: Timestamp,
    /// Where days begin.
    pub tz: &'a TimeZone,
}

/// Decides. Changes nothing.
#[must_use]
pub fn plan(storage: &Storage, sets: &[Stored], rules: &KeepRules, known: &Known<'_>) -> Pruning {
    let verified = verified(known);
    let needed = needed(known.runs);
    let of_project = |s: &&Stored| match &s.state {
        State::Complete(m) => {
            let elsewhere = known.place.zip(m.place.as_deref()).is_some_and(|(here, there)| here != there);
            m.project == known.project && !elsewhere
        }
        // Its manifest would say; without it, the name does.
        _ => {
            is_set_name(&s.name)
                && s.name.len() == known.project.len() + 21
                && s.name.starts_with(known.project)
        }
    };
    let mine: Vec<&Stored> = sets.iter().filter(of_project).collect();
    let facts: Vec<SetFacts> = mine
        .iter()
        .filter(|s| !matches!(s.state, State::Damaged(_)))
        .map(|s| {
            let m = s.manifest();
            let label = m.and_then(|m| match m.made_by {
                MadeBy::Upgrade => Some(OF_UPGRADES.to_owned()),
                MadeBy::Backup => m.label.clone(),
            });
            SetFacts {
                id: s.name.clone(),
                group: Group {
                    application: m.map(|m| m.application.clone()).unwrap_or_default(),
                    // Without a place given, one installation's sets do not push out another's.
                    project: format!(
                        "{}, {}",
                        known.project,
                        m.and_then(|m| m.place.as_deref())
                            .filter(|_| known.place.is_none())
                            .unwrap_or_default()
                    ),
                    storage: known.address.to_owned(),
                },
                created_at: created(s),
                label,
                contents: m.map(contents).unwrap_or_default(),
                databases: m
                    .iter()
                    .flat_map(|m| &m.files)
                    .filter_map(|f: &FileEntry| f.database.clone())
                    .collect(),
                size_bytes: s.size_bytes,
                complete: m.is_some(),
                verified_at: verified.get(s.name.as_str()).copied(),
                needed_by_run: needed.contains(&s.name),
                foreign: false,
            }
        })
        .collect();
    let decisions: BTreeMap<String, (bool, Vec<String>)> = decide(&facts, rules, known.now, known.tz)
        .into_iter()
        .map(|d| (d.id, (d.keep, d.reasons.iter().map(ToString::to_string).collect())))
        .collect();
    let mut items: Vec<Item> = mine
        .iter()
        .map(|s| {
            let damaged = || (true, vec!["damaged: look at it, and remove it by hand".to_owned()]);
            let (keep, reasons) = decisions.get(&s.name).cloned().unwrap_or_else(damaged);
            let created_at = created(s).to_string();
            Item { set: s.name.clone(), created_at, size_bytes: s.size_bytes, keep, reasons }
        })
        .collect();
    items.sort_by(|a, b| (&b.created_at, &b.set).cmp(&(&a.created_at, &a.set)));
    Pruning { storage: storage.describe().to_owned(), sets: items, others: sets.len() - mine.len() }
}

/// When each set was last found good; a check that failed since clears it. What only looked at checksums counts too: it
/// proves that the files are those that were written.
fn verified<'a>(known: &Known<'a>) -> BTreeMap<&'a str, Timestamp> {
    let (mut found, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for v in known.verifications.iter().filter(|v| v.storage == known.address) {
        let set = v.set.as_str();
        if v.damages > 0 {
            found.remove(set);
            failed.insert(set, v.thoroughness().max(failed.get(set).copied().unwrap_or_default()));
        } else if failed.get(set).is_none_or(|f| v.thoroughness() >= *f) {
            // A check that looks less closely does not find what a closer one has found.
            failed.remove(set);
            found.extend(v.at.parse().ok().map(|at| (set, at)));
        }
    }
    found
}

/// Sets that a run would go back with: of unfinished ones, and of those that moved the application alone, whose old data
/// is nowhere else.
fn needed(runs: &[Run]) -> BTreeSet<String> {
    let needs = |r: &&Run| {
        r.state.unfinished() || (r.state == RunState::Done && !r.cleaned && r.plan.destination.is_none())
    };
    let set = |r: &Run| Some(r.plan.backup_set.as_ref()?.file_name()?.to_string_lossy().into_owned());
    runs.iter().filter(needs).filter_map(set).collect()
}

/// Deletes what the plan does not keep; `gone` is told of each set.
pub fn carry_out(storage: &Storage, plan: &Pruning, gone: &mut dyn FnMut(&Item) -> Result<()>) -> Result<()> {
    for item in plan.sets.iter().filter(|i| !i.keep) {
        interrupt::check()?;
        reach("prune", "before-set")?;
        storage.delete(&format!("{}/{MANIFEST_NAME}", item.set)).map_err(|e| storage_error(&e))?;
        reach("prune", "in-set")?;
        remove_set(storage, &item.set).map_err(|e| storage_error(&e))?;
        reach("prune", "after-set")?;
        gone(item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use repot_store::storage::StorageConfig;

    use super::*;

    fn set(n: u32, place: &str) -> Stored {
        let name = format!("app-20260301-10150{n}-3f2a");
        let manifest = serde_json::json!({
            "format": 2, "created_at": format!("2026-03-01T10:15:0{n}Z"), "repot": "0", "application": "App",
            "application_version": null, "project": "app", "place": place, "run": "r", "made_by": "backup",
            "server_version_num": 170_000, "client": "", "fingerprint": null,
            "files": [{ "name": "app.dump", "kind": "database", "database": "app", "size_bytes": 1, "blake3": "",
                "sha256": "", "restore": "" }],
        });
        let manifest = serde_json::from_value(manifest).expect("a manifest");
        let state = State::Complete(Box::new(manifest));
        Stored { name, state, size_bytes: 1, changed: None, beside: Vec::new() }
    }

    fn gone(sets: &[Stored], place: Option<&str>, verifications: &[Verification]) -> Vec<String> {
        let dir = std::env::temp_dir().display().to_string();
        let config = StorageConfig::parse(&dir).expect("a path");
        let storage = Storage::open(&config).expect("opens");
        let rules: KeepRules = serde_json::from_str(r#"{"last": 1}"#).expect("rules");
        let known = Known {
            project: "app",
            place,
            address: "there",
            verifications,
            runs: &[],
            now: "2026-04-01T00:00:00Z".parse().expect("a time"),
            tz: &TimeZone::UTC,
        };
        plan(&storage, sets, &rules, &known).sets.into_iter().filter(|i| !i.keep).map(|i| i.set).collect()
    }

    #[test]
    fn installations_of_one_name_do_not_push_each_other_out() {
        let sets = [set(1, "here"), set(2, "here"), set(3, "there"), set(4, "there")];
        assert_eq!(gone(&sets, Some("here"), &[]), [sets[0].name.clone()]);
        assert_eq!(gone(&sets, None, &[]), [sets[2].name.clone(), sets[0].name.clone()]);
    }

    #[test]
    fn what_a_drill_could_not_restore_is_not_good_because_its_checksums_are() {
        let sets = [set(1, "here"), set(2, "here"), set(3, "here")];
        let check = |n: usize, level: &str, damages: u32| Verification {
            storage: "there".to_owned(),
            set: sets[n].name.clone(),
            level: level.to_owned(),
            at: "2026-03-02T00:00:00Z".to_owned(),
            damages,
            what: None,
        };
        let checks = [check(0, "restore", 0), check(1, "restore", 1), check(1, "archive", 0)];
        assert_eq!(gone(&sets, None, &checks), [sets[1].name.clone()], "the first is the newest good one");
        let mended = [check(0, "restore", 0), check(1, "restore", 1), check(1, "restore", 0)];
        assert_eq!(gone(&sets, None, &mended), [sets[0].name.clone()]);
    }
}
