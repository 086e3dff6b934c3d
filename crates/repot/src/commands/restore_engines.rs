//! `repot restore` of databases that are not PostgreSQL's.

use std::fmt::Write as _;
use std::time::Instant;

use repot_core::backup::restore::{Request, needs};
use repot_core::backup::restore_engines::{EngineRestore, Plan, Target};
use repot_core::backup::sets::{Checker, check, find};
use repot_core::progress::{Event, Observer};
use repot_core::{Error, Kind, Result};
use repot_store::codec::Keys;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::Level;
use repot_store::{FileEntry, Manifest};

use crate::cli::RestoreArgs;
use crate::config::Setting;
use crate::place::DatabaseUrl;
use crate::terminal::{Progress, confirm, out, out_json, say};

/// One database, to wherever a URL says.
pub fn to_url(
    args: &RestoreArgs,
    url: &str,
    setting: &Setting,
    storage: &Storage,
    keys: &Keys,
) -> Result<()> {
    let target = match DatabaseUrl::parse(url, &setting.env)? {
        DatabaseUrl::Sqlite(path) => Target::Sqlite(path),
        DatabaseUrl::Mysql(clients, database) => Target::Mysql(clients, database),
        DatabaseUrl::Postgresql(_) => {
            return Err(Error::refused(
                "to-postgresql",
                "repot does not restore to a PostgreSQL by its URL yet",
            )
            .help("the set's manifest says how to do it by hand: jq -r '.files[].restore' manifest.json"));
        }
    };
    let (set, manifest) = find(storage, &args.set, None)?;
    let request = Request {
        contents: [Content::Db].into(),
        database: args.database.clone(),
        scratch_dir: std::env::temp_dir(),
        restored_dir: setting.state_dir.join("restored"),
    };
    run(args, target, (&set.name, &manifest), &request, storage, keys)
}

/// Checks, shows, asks, restores.
pub fn run(
    args: &RestoreArgs,
    target: Target<'_>,
    (set, manifest): (&str, &Manifest),
    request: &Request,
    storage: &Storage,
    keys: &Keys,
) -> Result<()> {
    let restore = EngineRestore { target, storage, set, manifest, keys, request };
    restore.require_possible()?;
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
    let wanted = |f: &FileEntry| needs(request, f);
    let checker = Checker { storage, level: Level::Archive, keys, scratch_dir: &request.scratch_dir };
    let damages = check(&checker, set, manifest, &wanted, &progress)
        .inspect_err(|_| progress.event(Event::StepFailed))?;
    if !damages.is_empty() {
        progress.event(Event::StepFailed);
        let why: Vec<String> = damages.iter().map(|d| format!("{}: {}", d.file, d.what)).collect();
        return Err(Error::new(Kind::Differences, "set-damaged", format!("{set} is damaged"))
            .why(why.join("\n"))
            .help("nothing was touched; use another set, or another copy of this one"));
    }
    let plan = restore.plan().inspect_err(|_| progress.event(Event::StepFailed))?;
    done(since, "undamaged");
    if !args.dry_run {
        say(render(&plan, false).trim_end());
        confirm("Restore it?", args.yes)?;
        let since = step(2, "Restore");
        restore.carry_out(&plan, &progress).inspect_err(|_| progress.event(Event::StepFailed))?;
        done(since, "");
    }
    if args.at.json {
        out_json(&serde_json::json!({ "plan": plan, "restored": !args.dry_run }));
    } else {
        out(render(&plan, !args.dry_run));
    }
    Ok(())
}

fn render(plan: &Plan, restored: bool) -> String {
    let mut t = String::new();
    let verb = if restored { "Restored" } else { "To restore" };
    let _ = writeln!(t, "{verb} from {}:", plan.set);
    for d in &plan.databases {
        let _ = match &d.aside {
            Some(aside) => writeln!(t, "  database {}; what was live is kept as {aside}", d.to),
            None => writeln!(t, "  database {}, which was not there", d.to),
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
        let _ = writeln!(t, "  stopped meanwhile: {}", plan.services.join(", "));
    }
    t
}
