//! `repot verify`.

use std::fmt::Write as _;
use std::time::Instant;

use jiff::Timestamp;
use repot_core::backup::drill::drill;
use repot_core::backup::drill_choice::{Drillable, choose};
use repot_core::backup::foreign;
use repot_core::backup::sets::{Checker, Damage, all, check, created, find};
use repot_core::journal::catalog::Verification;
use repot_core::progress::{Event, Observer, human_bytes};
use repot_core::upgrade::plan::now;
use repot_core::upgrade::run::Workspace;
use repot_core::{Error, Kind, Result};
use repot_store::Manifest;
use repot_store::dbbackup::shelf::Shelved;
use repot_store::storage::Storage;
use repot_store::stored::{Level, State};
use serde::Serialize;

use super::backups::owned;
use crate::cli::{LevelArg, VerifyArgs};
use crate::config::{Setting, setting};
use crate::schedule::duration;
use crate::storage::{Place, keys, places};
use crate::takeover::whereabouts;
use crate::terminal::{Progress, out, out_json, say};

/// What a drill takes, instead of a set's name.
const DUE: &str = "due";

/// What was found of one set.
#[derive(Serialize)]
struct Checked {
    set: String,
    /// Name of the storage.
    storage: String,
    #[serde(skip)]
    address: String,
    /// What was proved, where nothing is damaged.
    level: &'static str,
    files: usize,
    size_bytes: u64,
    damages: Vec<Damage>,
}

/// Whether the argument names a file of django-dbbackup's.
fn is_file(setting: &Setting, wanted: &str) -> Result<bool> {
    let name = wanted.rsplit('/').next().unwrap_or(wanted);
    Ok(!["latest", "all", DUE].contains(&wanted) && setting.names(false)?.parse(name).is_some())
}

pub fn run(args: &VerifyArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let places = places(&setting, &args.storage.storage)?;
    let keys = keys(&setting, &args.identity)?;
    let asked = args.level.unwrap_or(if args.set == DUE { LevelArg::Restore } else { LevelArg::Archive });
    let level = match asked {
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
        if asked == LevelArg::Restore && damages.is_empty() {
            damages = drill(&checker, name, m, &progress)?;
        }
        Ok(Checked {
            set: name.to_owned(),
            storage: place.name.clone(),
            address: place.address.clone(),
            level: level_name(asked),
            files: m.files.len(),
            size_bytes: m.size_bytes(),
            damages,
        })
    };
    let names = setting.names(args.storage.storage.is_empty())?;
    let file = |from: &Storage, f: &Shelved| -> Result<foreign::Checked> {
        foreign::check(from, f, level, &keys, &std::env::temp_dir(), &progress)
    };
    let mut files = Vec::new();
    let (mut checked, mut incomplete) = (Vec::new(), Vec::new());
    // What cannot be checked does not keep the others from it, nor what was found from being told.
    let mut failed: Option<Error> = None;
    let mut put_off = |what: &str, e: Error| -> Result<()> {
        if e.code == "interrupted" {
            return Err(e);
        }
        say(format!("{what} was not checked: {e}"));
        let _ = failed.get_or_insert(e);
        Ok(())
    };
    if args.set == DUE {
        for place in &places {
            match due(&setting, place, &args.every) {
                Ok(sets) => {
                    for (name, m) in sets {
                        match one(place, &name, &m) {
                            Ok(c) => checked.push(c),
                            Err(e) => put_off(&name, e)?,
                        }
                    }
                }
                Err(e) => put_off(&place.name, e)?,
            }
        }
    } else if args.set == "all" {
        for place in &places {
            let stored = match all(&place.storage) {
                Ok(stored) => stored,
                Err(e) => {
                    put_off(&place.name, e)?;
                    continue;
                }
            };
            for f in foreign::all(&place.storage, &names, &owned(&stored))? {
                match file(&place.storage, &f) {
                    Ok(c) => files.push(c),
                    Err(e) => put_off(&f.file.name, e)?,
                }
            }
            for s in stored {
                match &s.state {
                    State::Complete(m) => match one(place, &s.name, m) {
                        Ok(c) => checked.push(c),
                        Err(e) => put_off(&s.name, e)?,
                    },
                    State::Incomplete => incomplete.push(s.name),
                    State::Damaged(why) => checked.push(Checked {
                        set: s.name.clone(),
                        storage: place.name.clone(),
                        address: place.address.clone(),
                        level: level_name(asked),
                        files: 0,
                        size_bytes: s.size_bytes,
                        damages: vec![Damage { file: "manifest.json".to_owned(), what: why.clone() }],
                    }),
                }
            }
        }
    } else if is_file(&setting, &args.set)? {
        let storages: Vec<Storage> = places.iter().map(|p| p.storage.clone()).collect();
        let (from, name) = whereabouts(&storages, &args.set)?;
        files.push(file(&from, &foreign::find(&from, &names, &name)?)?);
    } else {
        // Every copy is checked: one that is good says nothing of another.
        let whose = setting.whose();
        let one_of = |p: &Place| match find(&p.storage, &args.set, whose.as_ref()) {
            Err(e) if e.code == "no-set" => find(&p.storage, &args.set, None),
            other => other,
        };
        let found: Vec<_> = places.iter().map(|p| (p, one_of(p))).collect();
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
    if checked.is_empty() && files.is_empty() {
        return Err(failed.unwrap_or_else(|| nothing(&places)));
    }
    let damages: usize = checked.iter().map(|c| c.damages.len()).sum();
    let damages = damages + files.iter().filter(|f| f.damage.is_some()).count();
    let what =
        if checked.is_empty() { format!("{} files", files.len()) } else { format!("{} sets", checked.len()) };
    let outcome = format!("{what}, {damages} damages");
    progress.event(Event::StepDone { seconds: started.elapsed().as_secs_f64(), outcome });
    keep(&setting, &checked);
    if args.at.json {
        out_json(
            &serde_json::json!({ "level": level_name(asked), "sets": checked, "incomplete": incomplete, "django_dbbackup": files }),
        );
    } else {
        out(render(&checked, &incomplete) + &files.iter().map(render_file).collect::<String>());
    }
    if damages > 0 {
        return Err(Error::new(Kind::Differences, "set-damaged", format!("{damages} damages were found"))
            .help("use another set, or another copy of this one, and see to the storage"));
    }
    failed.map_or(Ok(()), Err)
}

fn nothing(places: &[Place]) -> Error {
    let all: Vec<&str> = places.iter().map(|p| p.storage.describe()).collect();
    Error::usage("no-set", format!("there is no complete backup set in {}", all.join(", ")))
        .help("`repot backup` makes one")
}

/// The sets of a storage that a drill takes now. A damaged manifest is not among them: `all` names it.
fn due(setting: &Setting, place: &Place, every: &str) -> Result<Vec<(String, Manifest)>> {
    let every = duration("--every", every)?;
    let drills: Vec<Verification> = Workspace::beside(&setting.state_dir)?
        .catalog()
        .verifications()?
        .into_iter()
        .filter(|v| v.storage == place.address && v.level == level_name(LevelArg::Restore))
        .collect();
    let at = |v: &Verification| v.at.parse::<Timestamp>().ok();
    let now = Timestamp::now();
    let since = drills.iter().filter_map(at).min().unwrap_or(now);
    let sets = all(&place.storage)?;
    let drillable: Vec<Drillable> = sets
        .iter()
        .filter(|s| s.manifest().is_some())
        .map(|s| Drillable {
            name: s.name.clone(),
            made_at: created(s),
            drilled_at: drills.iter().filter(|v| v.set == s.name).filter_map(at).max(),
        })
        .collect();
    let chosen = choose(&drillable, since, every, now);
    let of = |name: String| {
        let m = sets.iter().find(|s| s.name == name)?.manifest()?.clone();
        Some((name, m))
    };
    Ok(chosen.into_iter().filter_map(of).collect())
}

/// Keeps the results in the catalog. What was found is told all the same where that fails.
fn keep(setting: &Setting, checked: &[Checked]) {
    let kept = Workspace::beside(&setting.state_dir).and_then(|mut w| {
        for c in checked {
            w.catalog().add_verification(&Verification {
                storage: c.address.clone(),
                set: c.set.clone(),
                level: c.level.to_owned(),
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

fn render(checked: &[Checked], incomplete: &[String]) -> String {
    let mut t = String::new();
    let many = checked.iter().any(|c| c.storage != checked[0].storage);
    for c in checked {
        let at = if many { format!(" in {}", c.storage) } else { String::new() };
        if c.damages.is_empty() {
            let (n, size) = (c.files, human_bytes(c.size_bytes));
            let _ = writeln!(t, "{}{at}: good ({}, {n} files, {size})", c.set, c.level);
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

/// A file of django-dbbackup's: what was proved, and what it does not let one prove.
fn render_file(c: &foreign::Checked) -> String {
    let mut t = String::new();
    let _ = match &c.damage {
        Some(what) => writeln!(t, "{}: damaged\n  {what}", c.file),
        None => writeln!(t, "{}: no damage found ({})", c.file, human_bytes(c.size_bytes)),
    };
    if c.damage.is_none() {
        let _ = writeln!(t, "  proved: {}", c.proved.join("; "));
        let _ = writeln!(t, "  not proved: {}", c.unproved.join("; "));
    }
    t
}
