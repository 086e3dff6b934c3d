//! Removing what was set aside, on request only.

use serde::Serialize;

use super::run::Workspace;
use crate::error::{Error, Result};
use crate::host::Role;
use crate::journal::catalog::{Run, RunState};

/// One thing that could be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The run it belongs to.
    pub run: String,
    /// What it is, in words.
    pub what: String,
    /// Where it is.
    pub place: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

fn live(run: &Run) -> Role {
    if run.state == RunState::Done { Role::New } else { Role::Old }
}

/// What is set aside, over one run or all finished ones.
pub fn leftovers(workspace: &Workspace, id: Option<&str>) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    let runs = match id {
        Some(id) => vec![workspace.find(Some(id))?],
        None => workspace.runs()?,
    };
    for run in runs {
        if run.state.unfinished() {
            if id.is_some() {
                return Err(Error::new(
                    crate::error::Kind::Unfinished,
                    "unfinished-run",
                    format!("the run {} is unfinished: its old data is still needed", run.id),
                )
                .help("`repot resume` or `repot rollback` first"));
            }
            continue;
        }
        let (Some(d), false) = (&run.plan.destination, run.cleaned) else { continue };
        let what = if live(&run) == Role::New {
            format!("data of PostgreSQL {} from before the upgrade", run.plan.source.major)
        } else {
            format!("data of PostgreSQL {} that a rollback set aside", d.major)
        };
        for (place, size_bytes) in
            run.plan.host().set_aside_sizes(run.plan.helper_image(), &d.set_aside, live(&run))?
        {
            found.push(Leftover { run: run.id.clone(), what: what.clone(), place, size_bytes });
        }
    }
    Ok(found)
}

/// Removes what is set aside for the runs named in `leftovers`.
pub fn remove(workspace: &mut Workspace, leftovers: &[Leftover]) -> Result<()> {
    let mut ids: Vec<&str> = leftovers.iter().map(|l| l.run.as_str()).collect();
    ids.dedup();
    for id in ids {
        let run = workspace.find(Some(id))?;
        if let Some(d) = &run.plan.destination {
            // Noted first: a removal that was cut off in the middle must not be rolled back to.
            workspace.catalog().set_cleaned(id)?;
            run.plan.host().remove_set_aside(run.plan.helper_image(), &d.set_aside, live(&run))?;
        }
    }
    Ok(())
}
