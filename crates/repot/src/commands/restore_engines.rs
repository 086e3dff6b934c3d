//! `repot restore` of databases that are not PostgreSQL's.

use std::fmt::Write as _;
use std::time::Instant;

use repot_core::Result;
use repot_core::backup::restore_engines::{EngineRestore, Plan};
use repot_core::progress::{Event, Observer};

use super::restore::undamaged;
use crate::cli::RestoreArgs;
use crate::terminal::{Progress, confirm, out, out_json, say};

/// Checks, shows, asks, restores.
pub fn run(args: &RestoreArgs, restore: &EngineRestore<'_>) -> Result<()> {
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
    let set = (restore.storage, restore.set, restore.manifest);
    let plan = undamaged(set, restore.request, restore.keys, &progress)
        .and_then(|()| restore.plan())
        .inspect_err(|_| progress.event(Event::StepFailed))?;
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
    if !restored && !plan.services.is_empty() {
        let _ = writeln!(t, "  stopped meanwhile: {}", plan.services.join(", "));
    }
    if let Some(rest) = &plan.rest {
        // Without its own heading.
        let text = super::restore::render(rest, restored);
        t.extend(text.split_inclusive('\n').skip(1));
    }
    t
}
