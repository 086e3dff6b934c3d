//! Removing what was set aside, on request only.

use serde::Serialize;

use super::plan::Step;
use super::run::Workspace;
use crate::app::detect::{credentials, detect_again};
use crate::engine::postgres::session::{Connector, ident, literal};
use crate::error::{Error, Result};
use crate::host::compose::project::MountKind;
use crate::host::{Role, SetAside, Store};
use crate::journal::catalog::{Run, RunState, StepState};

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
        let Some(d) = &run.plan.destination else {
            found.extend(kept_databases(&run)?);
            continue;
        };
        // A directory that was removed in part is still there to be removed; a volume goes in one piece.
        if run.cleaned && !matches!(d.set_aside, SetAside::Rename { .. }) {
            continue;
        }
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
        let Some(d) = &run.plan.destination else {
            drop_kept_databases(&run)?;
            continue;
        };
        require_unused(&run, &d.set_aside)?;
        let host = run.plan.host();
        let remove = || host.remove_set_aside(run.plan.helper_image(), &d.set_aside, live(&run));
        match d.set_aside {
            // Noted first: a removal that was cut off in the middle must not be rolled back to.
            SetAside::Rename { .. } => {
                workspace.catalog().set_cleaned(id)?;
                remove()?;
            }
            // All of it or nothing: what Docker refuses to remove is still whole, and still the way back.
            SetAside::NewVolume { .. } => {
                remove()?;
                workspace.catalog().set_cleaned(id)?;
            }
        }
    }
    Ok(())
}

/// Fails when the project, as it is now, uses what is to be removed: somebody may have gone back by hand.
fn require_unused(run: &Run, aside: &SetAside) -> Result<()> {
    let now = detect_again(&run.plan.project, &run.plan.profile, &run.plan.service)?;
    if now.source_major().is_none() {
        return Err(Error::refused(
            "live-data-missing",
            "nothing was removed: the application has no other data",
        )
        .why(format!("there is no database in {}", now.database.data.describe()))
        .help("start the application once and see that all is there; then `repot cleanup` again"));
    }
    let used: Vec<String> = now
        .resolved
        .services
        .values()
        .flat_map(|s| &s.mounts)
        .map(|m| match m.kind {
            MountKind::Bind => m.source.trim_end_matches('/').to_owned(),
            MountKind::Volume => now.resolved.volumes.get(&m.source).map_or(&m.source, |v| &v.0).clone(),
        })
        .collect();
    let gone: Vec<String> = match aside {
        SetAside::NewVolume { old, new, .. } => vec![if live(run) == Role::New { old } else { new }.clone()],
        SetAside::Rename { parent: Store::Bind(p), aside, new_aside, .. } => {
            [aside, new_aside].iter().map(|n| format!("{}/{n}", p.trim_end_matches('/'))).collect()
        }
        // Below a volume: the place that the database uses is another directory, which was just looked at.
        SetAside::Rename { .. } => Vec::new(),
    };
    let below = |path: &str, dir: &str| path == dir || path.starts_with(&format!("{dir}/"));
    match used.iter().find(|u| gone.iter().any(|g| below(u, g))) {
        None => Ok(()),
        Some(u) => {
            Err(Error::refused("in-use", format!("nothing was removed: the application uses {u} now"))
                .why("the Compose files name it, so somebody has gone back by hand since the run")
                .help("what a run has set aside is removed only while the Compose files name the other data"))
        }
    }
}

/// The part of the name that a rollback gives to a database that it keeps aside.
fn mark(run: &Run) -> String {
    format!("_repot_{}", run.id.replace('-', "_"))
}

fn service(run: &Run) -> Result<Box<dyn Connector>> {
    let plan = &run.plan;
    let logins = credentials(&plan.project, &plan.profile, &plan.service)?;
    plan.host().service_connector(&plan.source.superuser, logins.superuser_password(), "template1")
}

/// What a rollback of an application's own update kept: databases beside the live ones.
fn kept_databases(run: &Run) -> Result<Vec<Leftover>> {
    let undone = run.step(Step::MigrateApplication).is_some_and(|s| s.state == StepState::Undone);
    if run.state != RunState::RolledBack || !undone || run.cleaned {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT datname, pg_database_size(oid) FROM pg_database WHERE right(datname, {n}) = {mark} ORDER BY 1",
        n = mark(run).len(),
        mark = literal(&mark(run)),
    );
    let service = service(run)?;
    let rows = service.connect("template1")?.query(&sql)?;
    Ok(rows
        .into_iter()
        .filter_map(|r| match <[Option<String>; 2]>::try_from(r) {
            Ok([Some(name), Some(size)]) => Some((name, size.parse().unwrap_or(0))),
            _ => None,
        })
        .map(|(name, size_bytes)| Leftover {
            run: run.id.clone(),
            what: "what the application's update had made of its database".to_owned(),
            place: format!("database {name} of the service {}", run.plan.service),
            size_bytes,
        })
        .collect())
}

fn drop_kept_databases(run: &Run) -> Result<()> {
    let service = service(run)?;
    let session = service.connect("template1")?;
    let sql = format!(
        "SELECT datname FROM pg_database WHERE right(datname, {}) = {}",
        mark(run).len(),
        literal(&mark(run))
    );
    for name in session.query(&sql)?.into_iter().flatten().flatten() {
        session.execute(&format!("DROP DATABASE {}", ident(&name)))?;
    }
    Ok(())
}
