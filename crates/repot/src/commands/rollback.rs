//! `repot rollback`.

use repot_core::Result;
use repot_core::journal::catalog::{Run, RunState};
use repot_core::upgrade::cleanup::leftovers;
use repot_core::upgrade::report::where_aside;

use super::open;
use crate::cli::RollbackArgs;
use crate::config::setting;
use crate::terminal::{Progress, confirm, out, out_json, say};

pub fn run(args: &RollbackArgs) -> Result<()> {
    let setting = setting(&args.run.at.dir)?;
    super::look(&setting)?;
    let mut workspace = open(&setting)?;
    let run = match &args.run.run {
        Some(id) => workspace.find(Some(id))?,
        None => match workspace.unfinished()? {
            Some(r) => r,
            None => workspace.find(None)?,
        },
    };
    if run.state == RunState::RolledBack {
        print_done(&run, args.run.at.json);
        return Ok(());
    }
    // What cannot be is not announced.
    workspace.require_way_back(&run)?;
    say(question(&run));
    if !args.discard_new_writes
        && let Some(w) = workspace.new_writes(&run)?
    {
        say(format!("The application may have written to the new server since {}.", w.since));
    }
    confirm("Go back?", args.yes)?;
    let run = workspace.rollback(&run.id, args.discard_new_writes, !args.no_start, &Progress::new())?;
    print_done(&run, args.run.at.json);
    if args.no_start && !args.run.at.json {
        out("Its services are stopped: `docker compose up -d` starts them.\n");
    }
    if !args.run.at.json && leftovers(&workspace, Some(&run.id)).is_ok_and(|l| !l.is_empty()) {
        out("The new data is set aside, not deleted: `repot cleanup --dry-run` shows where.\n");
    }
    Ok(())
}

fn question(run: &Run) -> String {
    let p = &run.plan;
    match &p.destination {
        Some(d) => format!(
            "Run {} goes back to PostgreSQL {}: Compose files byte for byte, the old data ({}) in its place.",
            run.id,
            p.source.major,
            where_aside(d)
        ),
        None => format!(
            "Run {} goes back: Compose files byte for byte, the databases as they were before the update.",
            run.id
        ),
    }
}

/// What a finished rollback says.
pub fn print_done(run: &Run, json: bool) {
    if json {
        out_json(
            &serde_json::json!({ "run": run.id, "state": run.state.name(), "postgresql": run.plan.source.major }),
        );
        return;
    }
    out(format!(
        "Rolled back: {} ({}) is on PostgreSQL {} again, as before run {}.\n",
        run.plan.profile.title, run.plan.project.name, run.plan.source.major, run.id
    ));
}
