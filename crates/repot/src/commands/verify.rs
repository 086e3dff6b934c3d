//! `repot verify`.

use std::fmt::Write as _;
use std::time::Instant;

use repot_core::backup::drill::drill;
use repot_core::backup::sets::{Checker, Damage, all, check, find};
use repot_core::journal::catalog::Verification;
use repot_core::progress::{Event, Observer, human_bytes};
use repot_core::upgrade::plan::now;
use repot_core::upgrade::run::Workspace;
use repot_core::{Error, Kind, Result};
use repot_store::Manifest;
use repot_store::stored::{Level, State};
use serde::Serialize;

use crate::cli::{LevelArg, VerifyArgs};
use crate::config::{Setting, setting};
use crate::storage::{Place, keys, places};
use crate::terminal::{Progress, out, out_json, say};

/// What was found of one set.
#[derive(Serialize)]
struct Checked {
    set: String,
    /// Name of the storage.
    storage: String,
    #[serde(skip)]
    address: String,
    files: usize,
    size_bytes: u64,
    damages: Vec<Damage>,
}

pub fn run(args: &VerifyArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let places = places(&setting, &args.storage.storage)?;
    let keys = keys(&setting, &args.identity)?;
    let level = match args.level {
        LevelArg::Files => Level::Files,
        LevelArg::Archive | LevelArg::Restore => Level::Archive,
    };
    let progress = Progress::new();
    progress.event(Event::StepStarted { number: 1, total: 1, title: "Check".to_owned(), undo: false });
    let started = Instant::now();
    let one = |place: &Place, name: &str, m: &Manifest| -> Result<Checked> {
        let checker =
            Checker { storage: &place.storage, level, keys: &keys, scratch_dir: &std::env::temp_dir() };
        let mut damages = check(&checker, name, m, &|_| true, &progress)?;
        if args.level == LevelArg::Restore && damages.is_empty() {
            damages = drill(&checker, name, m, &progress)?;
        }
        Ok(Checked {
            set: name.to_owned(),
            storage: place.name.clone(),
            address: place.address.clone(),
            files: m.files.len(),
            size_bytes: m.size_bytes(),
            damages,
        })
    };
    let (mut checked, mut incomplete) = (Vec::new(), Vec::new());
    if args.set == "all" {
        for place in &places {
            for s in all(&place.storage)? {
                match &s.state {
                    State::Complete(m) => checked.push(one(place, &s.name, m)?),
                    State::Incomplete => incomplete.push(s.name),
                    State::Damaged(why) => checked.push(Checked {
                        set: s.name.clone(),
                        storage: place.name.clone(),
                        address: place.address.clone(),
                        files: 0,
                        size_bytes: s.size_bytes,
                        damages: vec![Damage { file: "manifest.json".to_owned(), what: why.clone() }],
                    }),
                }
            }
        }
        if checked.is_empty() {
            let all: Vec<&str> = places.iter().map(|p| p.storage.describe()).collect();
            return Err(Error::usage(
                "no-set",
                format!("there is no complete backup set in {}", all.join(", ")),
            )
            .help("`repot backup` makes one"));
        }
    } else {
        // Every copy is checked: one that is good says nothing of another.
        let found: Vec<_> = places.iter().map(|p| (p, find(&p.storage, &args.set, None))).collect();
        let absent = |e: &Error| e.code == "no-set";
        let nowhere = found.iter().all(|(_, f)| f.as_ref().is_err_and(absent));
        for (place, f) in found {
            match f {
                Ok((s, m)) => checked.push(one(place, &s.name, &m)?),
                Err(e) if absent(&e) && !nowhere => {}
                Err(e) => return Err(e),
            }
        }
    }
    let damages: usize = checked.iter().map(|c| c.damages.len()).sum();
    let outcome = format!("{} sets, {damages} damages", checked.len());
    progress.event(Event::StepDone { seconds: started.elapsed().as_secs_f64(), outcome });
    keep(&setting, &checked, level_name(args.level));
    if args.at.json {
        out_json(
            &serde_json::json!({ "level": level_name(args.level), "sets": checked, "incomplete": incomplete }),
        );
    } else {
        out(render(&checked, &incomplete, args.level));
    }
    if damages > 0 {
        return Err(Error::new(Kind::Differences, "set-damaged", format!("{damages} damages were found"))
            .help("use another set, or another copy of this one, and see to the storage"));
    }
    Ok(())
}

/// Keeps the results in the catalog. What was found is told all the same where that fails.
fn keep(setting: &Setting, checked: &[Checked], level: &str) {
    let kept = Workspace::beside(&setting.state_dir).and_then(|mut w| {
        for c in checked {
            w.catalog().add_verification(&Verification {
                storage: c.address.clone(),
                set: c.set.clone(),
                level: level.to_owned(),
                at: now(),
                damages: u32::try_from(c.damages.len()).unwrap_or(u32::MAX),
                what: c.damages.first().map(|d| format!("{}: {}", d.file, d.what)),
            })?;
        }
        Ok(())
    });
    if let Err(e) = kept {
        say(format!("note: the result was not kept: {e}"));
    }
}

fn level_name(level: LevelArg) -> &'static str {
    match level {
        LevelArg::Files => "files",
        LevelArg::Archive => "archive",
        LevelArg::Restore => "restore",
    }
}

fn render(checked: &[Checked], incomplete: &[String], level: LevelArg) -> String {
    let mut t = String::new();
    let many = checked.iter().any(|c| c.storage != checked[0].storage);
    for c in checked {
        let at = if many { format!(" in {}", c.storage) } else { String::new() };
        if c.damages.is_empty() {
            let (n, size) = (c.files, human_bytes(c.size_bytes));
            let _ = writeln!(t, "{}{at}: good ({}, {n} files, {size})", c.set, level_name(level));
        } else {
            let _ = writeln!(t, "{}{at}: damaged", c.set);
            for d in &c.damages {
                let _ = writeln!(t, "  {}: {}", d.file, d.what);
            }
        }
    }
    for i in incomplete {
        let _ = writeln!(t, "{i}: incomplete, not checked");
    }
    t
}
