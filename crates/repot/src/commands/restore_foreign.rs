//! `repot restore` of a file that django-dbbackup wrote.

use std::fmt::Write as _;
use std::time::Instant;

use repot_core::backup::foreign;
use repot_core::backup::foreign::restore::{ForeignPlan, ForeignRestore, ForeignRestored};
use repot_core::backup::foreign::sqlite::{require_copy, restore_sqlite};
use repot_core::backup::source::Source;
use repot_core::progress::{Event, Observer};
use repot_core::{Error, Kind, Result};
use repot_store::codec::Keys;
use repot_store::dbbackup::naming::Content;
use repot_store::dbbackup::shelf::Shelved;
use repot_store::storage::Storage;
use repot_store::stored::Level;

use super::open;
use crate::cli::RestoreArgs;
use crate::config::Setting;
use crate::place::DatabaseUrl;
use crate::storage::{keys, places};
use crate::takeover::{judged, programs, whereabouts};
use crate::terminal::{Progress, confirm, out, out_json, say};

/// Whether the arguments name files of django-dbbackup's, and not a set.
pub fn wanted(setting: &Setting, args: &RestoreArgs) -> Result<bool> {
    if args.db_file.is_some() || args.media_file.is_some() {
        return Ok(true);
    }
    // A set's name is never one of its names: it has no ending.
    Ok(args.set != "latest" && setting.names(false)?.parse(file_name(&args.set)).is_some())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub fn run(setting: &Setting, args: &RestoreArgs) -> Result<()> {
    let names = setting.names(args.storage.storage.is_empty())?;
    let stored: Vec<Storage> =
        places(setting, &args.storage.storage)?.into_iter().map(|p| p.storage).collect();
    let keys = keys(setting, &args.identity)?;
    let find = |file: &Option<String>| -> Result<Option<(Storage, Shelved)>> {
        let Some(file) = file else { return Ok(None) };
        let (storage, name) = whereabouts(&stored, file)?;
        let found = foreign::find(&storage, &names, &name)?;
        Ok(Some((storage, found)))
    };
    let (mut db, mut media) = (find(&args.db_file)?, find(&args.media_file)?);
    if db.is_none() && media.is_none() {
        let one = find(&Some(args.set.clone()))?;
        match &one {
            Some((_, s)) if s.file.content == Content::Media => media = one,
            _ => db = one,
        }
    }
    if args.skip_db {
        db = None;
    }
    if args.skip_media {
        media = None;
    }
    if let Some(url) = &args.to {
        if media.is_some() {
            return Err(Error::usage(
                "no-project",
                "media are restored into a Compose project, not to a URL",
            )
            .help("leave them out with --skip-media"));
        }
        let Some((from, file)) = &db else {
            return Err(Error::usage("nothing-wanted", "the arguments leave nothing to do"));
        };
        return to_url(setting, args, url, (from, file), &keys);
    }
    let workspace = open(setting)?;
    workspace.require_free()?;
    if args.replace {
        return Err(Error::usage("nothing-wanted", "--replace is for media of repot's own sets: an archive of django-dbbackup's knows no owners to fill in with")
            .help("without it the archive takes the place of the live directory, which is kept"));
    }
    let deployment = setting.detect(args.service.as_deref())?;
    let mut warnings = Vec::new();
    if let Some((_, s)) = &db
        && let Some(m) = &s.metadata
    {
        warnings = judged(setting, args.allow_newer_version, &deployment, &s.file.name, m)?;
    }
    let to = Source::Compose(&deployment);
    let restore = ForeignRestore {
        to: &to,
        db: db.as_ref(),
        media: media.as_ref(),
        keys: &keys,
        database: args.database.as_deref(),
        warnings,
        scratch_dir: std::env::temp_dir(),
        programs: programs(&setting.django(true)?, false),
    };
    let progress = Progress::new();
    let plan = checked(&restore, &keys, &progress)?;
    if args.dry_run {
        if args.at.json {
            out_json(&serde_json::json!({ "plan": plan, "restored": false }));
        } else {
            out(render(&plan, false, None));
        }
        return Ok(());
    }
    say(render(&plan, false, None).trim_end());
    confirm("Restore it?", args.yes)?;
    let since = Instant::now();
    progress.event(Event::StepStarted { number: 2, total: 2, title: "Restore".to_owned(), undo: false });
    let found = restore.carry_out(&plan, &progress).inspect_err(|_| progress.event(Event::StepFailed))?;
    progress.event(Event::StepDone { seconds: since.elapsed().as_secs_f64(), outcome: String::new() });
    if args.at.json {
        out_json(&serde_json::json!({ "plan": plan, "restored": true, "found": found }));
    } else {
        out(render(&plan, true, found.as_ref()));
    }
    Ok(())
}

/// Restores a copy of an SQLite database by the URL of the file that it is to be.
fn to_url(
    setting: &Setting,
    args: &RestoreArgs,
    url: &str,
    (from, file): (&Storage, &Shelved),
    keys: &Keys,
) -> Result<()> {
    let DatabaseUrl::Sqlite(live) = DatabaseUrl::parse(url, &setting.env)? else {
        return Err(Error::usage(
            "no-project",
            "files of django-dbbackup's are restored into a Compose project, or to sqlite:///PATH",
        ));
    };
    require_copy(file)?;
    let progress = Progress::new();
    let name = &file.file.name;
    let checked = foreign::check(from, file, Level::Archive, keys, &std::env::temp_dir(), &progress)?;
    if let Some(what) = &checked.damage {
        return Err(Error::new(Kind::Differences, "set-damaged", format!("{name} is damaged"))
            .why(what)
            .help("nothing was touched; use another file, or another copy of this one"));
    }
    say(format!(
        "To restore from {name}: {}; stop what uses it first. What was live is kept.",
        live.display()
    ));
    if args.dry_run {
        return Ok(());
    }
    confirm("Restore it?", args.yes)?;
    let done = restore_sqlite(from, file, keys, &live)?;
    if args.at.json {
        out_json(&serde_json::json!({ "file": name, "to": live, "restored": true, "found": done }));
    } else {
        let kept = done.aside.map_or_else(String::new, |a| format!("; what was live is kept as {a}"));
        out(format!(
            "Restored from {name}: {}, {} tables, {} rows{kept}\n",
            live.display(),
            done.tables,
            done.rows
        ));
    }
    Ok(())
}

/// Checks the files and plans.
fn checked(restore: &ForeignRestore<'_>, keys: &Keys, progress: &Progress) -> Result<ForeignPlan> {
    let since = Instant::now();
    progress.event(Event::StepStarted {
        number: 1,
        total: 2,
        title: "Check the files".to_owned(),
        undo: false,
    });
    let check = || -> Result<ForeignPlan> {
        for (from, file) in [restore.db, restore.media].into_iter().flatten() {
            let c = foreign::check(from, file, Level::Archive, keys, &restore.scratch_dir, progress)?;
            if let Some(what) = &c.damage {
                let name = &file.file.name;
                return Err(Error::new(Kind::Differences, "set-damaged", format!("{name} is damaged"))
                    .why(what)
                    .help("nothing was touched; use another file, or another copy of this one"));
            }
        }
        restore.plan()
    };
    let plan = check().inspect_err(|_| progress.event(Event::StepFailed))?;
    let outcome = "no damage found".to_owned();
    progress.event(Event::StepDone { seconds: since.elapsed().as_secs_f64(), outcome });
    Ok(plan)
}

fn render(plan: &ForeignPlan, restored: bool, found: Option<&ForeignRestored>) -> String {
    let mut t = String::new();
    let verb = if restored { "Restored" } else { "To restore" };
    let _ = writeln!(t, "{verb} from {}, of django-dbbackup's:", plan.files.join(" and "));
    if let Some(name) = &plan.database {
        let _ = match &plan.aside {
            Some(aside) => writeln!(t, "  database {name}; what was live is kept as {aside}"),
            None => writeln!(t, "  database {name}, which was not there"),
        };
        let _ = writeln!(t, "  everything in it belongs to {}", plan.owner);
    }
    if let Some(f) = found {
        let list = if f.list_compared { ", all that the archive lists" } else { "" };
        let _ = writeln!(t, "  {} tables{list}; {} rows", f.tables, f.rows);
        let _ = writeln!(t, "  not proved: that every row is there, the file has no checksum of its content");
    }
    for m in &plan.media {
        let _ = match &m.aside {
            Some(aside) => {
                writeln!(t, "  media {}, in {}; what was live is kept as {aside}", m.root, m.place)
            }
            None => writeln!(t, "  media {}, in {}, where there was nothing", m.root, m.place),
        };
    }
    if !restored {
        for w in &plan.warnings {
            let _ = writeln!(t, "  note: {w}");
        }
        if !plan.services.is_empty() {
            let _ = writeln!(t, "  stopped for a moment: {}", plan.services.join(", "));
        }
    }
    t
}
