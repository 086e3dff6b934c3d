//! `repot status`.

use std::fmt::Write as _;

use repot_core::Result;
use repot_core::journal::catalog::{Run, RunState, StepState};
use repot_core::upgrade::report::where_aside;
use repot_core::upgrade::run::{NOT_OURS, what_stands_where};

use super::look;
use crate::cli::RunArgs;
use crate::config::setting;
use crate::terminal::{out, out_json};

pub fn run(args: &RunArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let workspace = look(&setting)?;
    let run = match &args.run {
        Some(id) => workspace.find(Some(id))?,
        None => match workspace.unfinished()? {
            Some(r) => r,
            None => workspace.find(None)?,
        },
    };
    if args.at.json {
        out_json(&run);
    } else {
        out(render(&run));
    }
    Ok(())
}

/// A run as people read it.
pub fn render(run: &Run) -> String {
    let mut t = String::new();
    let p = &run.plan;
    let _ = writeln!(t, "Run {}: {} ({}), {}", run.id, p.profile.title, p.project.name, run.state.name());
    if let Some(d) = &p.destination {
        let _ = writeln!(t, "  PostgreSQL {} -> {}, method {}", p.source.major, d.major, p.method);
    }
    if let Some(a) = &p.app_move {
        let _ = writeln!(t, "  application {} -> {}", a.from.as_deref().unwrap_or("?"), a.to);
    }
    let _ = writeln!(
        t,
        "  started {}{}",
        run.started_at,
        run.finished_at.as_ref().map_or(String::new(), |f| format!(", ended {f}"))
    );
    if let Some(e) = &run.error {
        let _ = writeln!(t, "  stopped at: {e}");
    }
    for s in &run.steps {
        let mark = match s.state {
            StepState::Pending => " ",
            StepState::Running => ">",
            StepState::Done => "x",
            StepState::Undoing => "<",
            StepState::Undone => "-",
        };
        let _ = writeln!(t, "  [{mark}] {}", s.step.title());
    }
    if let Some(d) = &p.destination {
        match run.state {
            RunState::Done if run.cleaned => {
                let _ = writeln!(t, "  the old data was removed by `repot cleanup`");
            }
            RunState::Done => {
                let _ = writeln!(t, "  the old data is set aside: {}", where_aside(d));
            }
            _ => {}
        }
    }
    if run.state.unfinished() {
        for line in what_stands_where(run) {
            let _ = writeln!(t, "  {line}");
        }
    }
    let next = match run.state {
        RunState::Running | RunState::Failed if run.error.as_ref().is_some_and(|e| e.contains(NOT_OURS)) => {
            "`repot rollback --discard-new-writes` goes back; what is in the new data is set aside, not deleted"
        }
        RunState::Running | RunState::Failed => {
            "`repot resume` carries on, `repot rollback` goes back to where it started"
        }
        RunState::RollingBack => "`repot resume` goes on going back",
        RunState::Done if run.cleaned => "",
        RunState::Done => "`repot rollback` goes back, `repot cleanup` removes the old data",
        RunState::RolledBack => "",
    };
    if !next.is_empty() {
        let _ = writeln!(t, "  next: {next}");
    }
    t
}
