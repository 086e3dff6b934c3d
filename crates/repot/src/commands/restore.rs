//! `repot restore`.

use std::fmt::Write as _;
use std::time::Instant;

use repot_core::app::detect::Deployment;
use repot_core::backup::restore::{Action, Plan, Request, Restore, needs};
use repot_core::backup::sets::{Checker, check, find_among};
use repot_core::progress::{Event, Observer};
use repot_core::{Error, Kind, Result};
use repot_store::Manifest;
use repot_store::dbbackup::metadata::Metadata;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::Level;

use super::backup::contents;
use super::{open, restore_foreign};
use crate::cli::RestoreArgs;
use crate::config::{Setting, setting};
use crate::storage::{keys, places};
use crate::takeover::judged;
use crate::terminal::{Progress, confirm, out, out_json, say};

pub fn run(args: &RestoreArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    if restore_foreign::wanted(&setting, args)? {
        return restore_foreign::run(&setting, args);
    }
    let places = places(&setting, &args.storage.storage)?;
    let keys = keys(&setting, &args.identity)?;
    // One at a time, and not while an upgrade is half done.
    let workspace = open(&setting)?;
    workspace.require_free()?;
    let deployment = setting.detect(args.service.as_deref())?;
    let storages: Vec<&Storage> = places.iter().map(|p| &p.storage).collect();
    let (at, set, manifest, notes) = find_among(&storages, &args.set, Some(&deployment.project.name))?;
    for n in notes {
        say(format!("note: {n}"));
    }
    let storage = storages[at];
    let request = Request {
        contents: contents(&args.only, args.skip_db, args.skip_media)?,
        database: args.database.clone(),
        scratch_dir: std::env::temp_dir(),
        restored_dir: setting.state_dir.join("restored"),
    };
    let restore = Restore {
        deployment: &deployment,
        storage,
        set: &set.name,
        manifest: &manifest,
        keys: &keys,
        request: &request,
    };
    restore.require_possible()?;
    if request.contents.contains(&Content::Db) {
        for w in of_another_version(&setting, args, &deployment, &set.name, &manifest)? {
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
    let wanted = |f: &repot_store::FileEntry| needs(&request, f);
    let checker = Checker { storage, level: Level::Archive, keys: &keys, scratch_dir: &request.scratch_dir };
    let damages = check(&checker, &set.name, &manifest, &wanted, &progress)
        .inspect_err(|_| progress.event(Event::StepFailed))?;
    if !damages.is_empty() {
        progress.event(Event::StepFailed);
        let why: Vec<String> = damages.iter().map(|d| format!("{}: {}", d.file, d.what)).collect();
        return Err(Error::new(Kind::Differences, "set-damaged", format!("{} is damaged", set.name))
            .why(why.join("\n"))
            .help("nothing was touched; use another set, or another copy of this one"));
    }
    let plan = restore.plan().inspect_err(|_| progress.event(Event::StepFailed))?;
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

/// InvenTree's rules on restoring from another version, for what the manifest says of it.
fn of_another_version(
    setting: &Setting,
    args: &RestoreArgs,
    d: &Deployment,
    set: &str,
    manifest: &Manifest,
) -> Result<Vec<String>> {
    let facts = manifest.application_facts.as_ref().and_then(|f| Metadata::read(f.to_string().as_bytes()).ok());
    if let Some(m) = facts {
        return judged(setting, args.allow_newer_version, d, set, &m);
    }
    Ok(match (&manifest.application_version, &d.application_version) {
        (Some(then), Some(now)) if then != now => {
            vec![format!("the set is of {} {then}, and this is {now}", manifest.application)]
        }
        _ => Vec::new(),
    })
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
