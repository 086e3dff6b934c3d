//! `repot restore`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use repot_core::backup::restore::{
    Action, MediaAction, Part, Plan, Request, Restore, needs, restore_configuration,
};
use repot_core::backup::sets::{Checker, check, find_among};
use repot_core::backup::source::{Source, UrlSource};
use repot_core::engine::postgres::session::UrlConnector;
use repot_core::progress::{Event, Observer};
use repot_core::{Error, Kind, Result};
use repot_store::codec::Keys;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::{Level, Stored};
use repot_store::{FileEntry, FileKind, Manifest};
use secrecy::SecretString;

use super::backup::contents;
use super::open;
use crate::cli::RestoreArgs;
use crate::config::setting;
use crate::storage::{keys, places};
use crate::terminal::{Progress, confirm, out, out_json, say};

pub fn run(args: &RestoreArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let contents = contents(&args.only, args.skip_db, args.skip_media)?;
    let places = places(&setting, &args.storage.storage)?;
    let storages: Vec<&Storage> = places.iter().map(|p| &p.storage).collect();
    let keys = keys(&setting, &args.identity)?;
    let request = Request {
        contents,
        database: args.database.clone(),
        part: Part { schemas: args.schema.clone(), tables: args.table.clone() },
        replace: args.replace,
        scratch_dir: std::env::temp_dir(),
        restored_dir: setting.state_dir.join("restored"),
    };
    if args.to.is_none() && request.contents == BTreeSet::from([Content::Config]) {
        return configuration(args, &request, &storages, &keys);
    }
    // One at a time, and not while an upgrade is half done.
    let workspace = open(&setting)?;
    let deployment;
    let to = match &args.to {
        Some(url) => {
            let password = setting.env.get("PGPASSWORD").map(|p| SecretString::from(p.clone()));
            let connector = UrlConnector::parse(url, password.as_ref())?;
            Source::Url(Box::new(UrlSource::new(connector)))
        }
        None => {
            workspace.require_free()?;
            deployment = setting.detect(args.service.as_deref())?;
            Source::Compose(&deployment)
        }
    };
    let project = to.deployment().map(|d| d.project.name.as_str());
    let (storage, set, manifest) = found(&storages, &args.set, project)?;
    let restore =
        Restore { to: &to, storage, set: &set.name, manifest: &manifest, keys: &keys, request: &request };
    let progress = Progress::new();
    let step = |number: usize, title: &str| {
        progress.event(Event::StepStarted { number, total: 2, title: title.to_owned(), undo: false });
        Instant::now()
    };
    let done = |since: Instant, outcome: &str| {
        progress
            .event(Event::StepDone { seconds: since.elapsed().as_secs_f64(), outcome: outcome.to_owned() });
    };
    let since = step(1, "Check the set");
    let plan = undamaged(&restore, &progress)
        .and_then(|()| restore.plan())
        .inspect_err(|_| progress.event(Event::StepFailed))?;
    done(since, "undamaged");
    if args.dry_run {
        if args.at.json {
            out_json(&serde_json::json!({ "plan": plan, "restored": false }));
        } else {
            out(render(&plan, false));
        }
        return Ok(());
    }
    say(render(&plan, false).trim_end());
    confirm("Restore it?", args.yes)?;
    let since = step(2, "Restore");
    restore.carry_out(&plan, &progress).inspect_err(|_| progress.event(Event::StepFailed))?;
    done(since, "");
    if args.at.json {
        out_json(&serde_json::json!({ "plan": plan, "restored": true }));
    } else {
        out(render(&plan, true));
    }
    Ok(())
}

/// The set that is meant, in the first storage that has it whole.
fn found<'a>(
    storages: &[&'a Storage],
    set: &str,
    project: Option<&str>,
) -> Result<(&'a Storage, Stored, Manifest)> {
    let (at, set, manifest, notes) = find_among(storages, set, project)?;
    for n in notes {
        say(format!("note: {n}"));
    }
    Ok((storages[at], set, manifest))
}

/// Checks what will be needed of the set.
fn undamaged(restore: &Restore<'_>, observer: &dyn Observer) -> Result<()> {
    let wanted = |f: &FileEntry| needs(restore.request, f);
    let checker = Checker {
        storage: restore.storage,
        level: Level::Archive,
        keys: restore.keys,
        scratch_dir: &restore.request.scratch_dir,
    };
    let damages = check(&checker, restore.set, restore.manifest, &wanted, observer)?;
    if damages.is_empty() {
        return Ok(());
    }
    let why: Vec<String> = damages.iter().map(|d| format!("{}: {}", d.file, d.what)).collect();
    Err(Error::new(Kind::Differences, "set-damaged", format!("{} is damaged", restore.set))
        .why(why.join("\n"))
        .help("nothing was touched; use another set, or another copy of this one"))
}

/// Configuration alone needs no application: on a new machine it is what there is first.
fn configuration(args: &RestoreArgs, request: &Request, storages: &[&Storage], keys: &Keys) -> Result<()> {
    let (storage, set, manifest) = found(storages, &args.set, None)?;
    let dir = request.restored_dir.join(&set.name);
    if !manifest.files.iter().any(|f| f.kind == FileKind::Config) {
        return Err(Error::usage("nothing-wanted", format!("the set {} holds no configuration", set.name)));
    }
    if !args.dry_run {
        restore_configuration((storage, &set.name, &manifest), keys, &request.scratch_dir, &dir)?;
    }
    if args.at.json {
        out_json(&serde_json::json!({ "set": set.name, "configuration": dir, "restored": !args.dry_run }));
    } else {
        let verb = if args.dry_run { "would be unpacked" } else { "is unpacked" };
        out(format!("The configuration of {} {verb} to {}\n", set.name, dir.display()));
    }
    Ok(())
}

fn render(plan: &Plan, restored: bool) -> String {
    let mut t = String::new();
    let verb = if restored { "Restored" } else { "To restore" };
    let _ = writeln!(t, "{verb} from {}:", plan.set);
    for d in &plan.databases {
        let name = &d.name;
        let _ = match (d.action, &d.aside) {
            (Action::Replaces, Some(aside)) => {
                writeln!(t, "  database {name}; what was live is kept as {aside}")
            }
            (Action::Part, Some(part)) => {
                writeln!(t, "  database {part}: all definitions of {name}, and the rows that were asked for")
            }
            (Action::Same, _) => writeln!(t, "  database {name} is as in the set and stays"),
            (Action::LeftAlone, _) => writeln!(
                t,
                "  database {name} differs from the set's and stays: every new database is made from it"
            ),
            _ => writeln!(t, "  database {name}, which was not there"),
        };
    }
    if !plan.roles.is_empty() {
        let _ = writeln!(t, "  roles that were missing: {}", plan.roles.join(", "));
    }
    for m in &plan.media {
        let (root, place) = (&m.root, &m.place);
        let files = m.files.map_or_else(String::new, |n| format!(", {n} files"));
        let _ = match (m.action, &m.aside) {
            (MediaAction::Replaces, Some(aside)) => {
                writeln!(t, "  media {root}{files}, in {place}; what was live is kept as {aside}")
            }
            (MediaAction::FillsIn, _) => {
                writeln!(t, "  media {root}{files}, into {place}; what else is there stays")
            }
            _ => writeln!(t, "  media {root}{files}, in {place}, where there was nothing"),
        };
    }
    if let Some(dir) = &plan.configuration {
        let _ = writeln!(
            t,
            "  configuration, unpacked to {}: no file in use is overwritten, copy what you need",
            dir.display()
        );
    }
    if !restored && !plan.services.is_empty() {
        let _ = writeln!(t, "  stopped for a moment: {}", plan.services.join(", "));
    }
    t
}
