//! `repot restore`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use repot_core::app::detect::Deployment;
use repot_core::backup::restore::{
    Action, MediaAction, Part, Plan, Request, Restore, needs, restore_configuration,
};
use repot_core::backup::restore_engines::EngineRestore;
use repot_core::backup::sets::{Checker, Whose, check, find_among};
use repot_core::backup::signature::require_signature;
use repot_core::backup::source::Source;
use repot_core::progress::{Event, Observer};
use repot_core::{Error, Kind, Result};
use repot_store::codec::Keys;
use repot_store::dbbackup::metadata::Metadata;
use repot_store::dbbackup::settings::Programs;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::{Level, Stored};
use repot_store::{Engine, FileEntry, FileKind, Manifest};

use super::backup::contents;
use super::{open, restore_foreign};
use crate::cli::RestoreArgs;
use crate::config::{Setting, setting};
use crate::place::DatabaseUrl;
use crate::storage::{keys, places};
use crate::takeover::{judged, programs};
use crate::terminal::{Progress, confirm, out, out_json, say};

pub fn run(args: &RestoreArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    if restore_foreign::wanted(&setting, args)? {
        return restore_foreign::run(&setting, args);
    }
    let mut contents = contents(&args.only, args.skip_db, args.skip_media)?;
    if args.only.is_empty() && (args.database.is_some() || args.to.is_some()) {
        // Who names a database, or another server, does not mean the media.
        contents.retain(|c| *c == Content::Db);
    }
    let places = places(&setting, &args.storage.storage)?;
    let storages: Vec<&Storage> = places.iter().map(|p| &p.storage).collect();
    let keys = keys(&setting, &args.identity)?;
    let config_only = args.to.is_none() && contents == BTreeSet::from([Content::Config]);
    let request = Request {
        contents,
        database: args.database.clone(),
        part: Part { schemas: args.schema.clone(), tables: args.table.clone() },
        replace: args.replace,
        scratch_dir: std::env::temp_dir(),
        restored_dir: setting.state_dir.join("restored"),
        programs: if config_only {
            Programs::default()
        } else {
            programs(&setting.django(args.to.is_none())?, args.to.is_some())
        },
    };
    if config_only {
        return configuration(args, &request, &storages, &keys);
    }
    // One at a time, and not while an upgrade is half done.
    let workspace = open(&setting)?;
    let deployment;
    let to = match &args.to {
        Some(url) => DatabaseUrl::parse(url, &setting.env)?.source(),
        None => {
            workspace.require_free()?;
            deployment = setting.detect_any(args.service.as_deref())?;
            Source::Compose(&deployment)
        }
    };
    let whose = setting.whose();
    let (storage, set, manifest) = match found(&storages, &args.set, whose.as_ref()) {
        // Into another server also what this project has not made.
        Err(e) if e.code == "no-set" && args.to.is_some() => found(&storages, &args.set, None)?,
        other => other?,
    };
    if !is_postgresql(&to) || manifest.engine() != Engine::Postgresql {
        let of = EngineRestore {
            to: &to,
            storage,
            set: &set.name,
            manifest: &manifest,
            keys: &keys,
            request: &request,
        };
        return super::restore_engines::run(args, &of);
    }
    let restore =
        Restore { to: &to, storage, set: &set.name, manifest: &manifest, keys: &keys, request: &request };
    if let Some(d) = to.deployment().filter(|_| request.contents.contains(&Content::Db)) {
        for w in of_another_version(&setting, args, d, &set.name, &manifest)? {
            say(format!("note: {w}"));
        }
    }
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
    let plan = undamaged((storage, &set.name, &manifest), &request, &keys, &progress)
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

fn is_postgresql(to: &Source<'_>) -> bool {
    match to {
        Source::Compose(d) => d.other.is_none(),
        Source::Url(_) => true,
        Source::Sqlite(_) | Source::Mysql(..) => false,
    }
}

/// The set that is meant, in the first storage that has it whole.
fn found<'a>(
    storages: &[&'a Storage],
    set: &str,
    whose: Option<&Whose>,
) -> Result<(&'a Storage, Stored, Manifest)> {
    let (at, set, manifest, notes) = find_among(storages, set, whose)?;
    for n in notes {
        say(format!("note: {n}"));
    }
    Ok((storages[at], set, manifest))
}

/// InvenTree's rules on restoring from another version, for what the manifest says of it.
fn of_another_version(
    setting: &Setting,
    args: &RestoreArgs,
    d: &Deployment,
    set: &str,
    manifest: &Manifest,
) -> Result<Vec<String>> {
    let facts = manifest.application_facts.as_ref();
    if let Some(m) = facts.and_then(|f| Metadata::read(f.to_string().as_bytes()).ok()) {
        return judged(setting, args.allow_newer_version, d, set, &m);
    }
    Ok(match (&manifest.application_version, &d.application_version) {
        (Some(then), Some(now)) if then != now => {
            vec![format!("the set is of {} {then}, and this is {now}", manifest.application)]
        }
        _ => Vec::new(),
    })
}

/// Checks what will be needed of the set.
pub(super) fn undamaged(
    (storage, set, manifest): (&Storage, &str, &Manifest),
    request: &Request,
    keys: &Keys,
    observer: &dyn Observer,
) -> Result<()> {
    let wanted = |f: &FileEntry| needs(request, f);
    let checker = Checker { storage, level: Level::Archive, keys, scratch_dir: &request.scratch_dir };
    let damages = check(&checker, set, manifest, &wanted, observer)?;
    if damages.is_empty() {
        return Ok(());
    }
    let why: Vec<String> = damages.iter().map(|d| format!("{}: {}", d.file, d.what)).collect();
    Err(Error::new(Kind::Differences, "set-damaged", format!("{set} is damaged"))
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
    require_signature(storage, &set.name, &manifest, &keys.signers, &Progress::new())?;
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

pub(super) fn render(plan: &Plan, restored: bool) -> String {
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
