//! What may no longer be true when a run is carried on: the world went on while it stood still. Each function names
//! the steps that have to be done again.

use super::plan::Step;
use super::steps;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::journal::catalog::{Run, StepState};
use crate::progress::{Event, Observer};

/// Before the database service was started on its final data.
///
/// The new server loads without flushing to disk: a load that was cut off begins again from nothing, and what was
/// compared with it counts for nothing. Somebody may have started the application by hand: it is stopped again, and
/// what is in the old data now is what counts. Whether anybody opened it since the backup, its pg_control tells;
/// whether they wrote, the number of the next transaction, once the old server is fenced again.
pub(super) fn before_the_start(run: &Run, host: &dyn Host, observer: &dyn Observer) -> Result<Vec<Step>> {
    let plan = &run.plan;
    let state = |s: Step| run.step(s).map_or(StepState::Pending, |r| r.state);
    let begun = |s: Step| state(s) != StepState::Pending;
    let loading =
        || Step::ALL.into_iter().filter(|s| (Step::StartNewServer..=Step::StopNewServer).contains(s));
    let mut again: Vec<Step> = Vec::new();
    if begun(Step::StopApplication) && host.services()?.iter().any(|s| s.running || s.restarting) {
        observer.event(Event::Note("services were started meanwhile: they are stopped again".to_owned()));
        again.push(Step::StopApplication);
    }
    let place =
        if begun(Step::SetAside) { steps::old_data_place(plan, host)? } else { plan.source.data.clone() };
    let aside = place != plan.source.data;
    let stopped = run.step(Step::StopOldServer).filter(|s| s.state == StepState::Done);
    let untouched = match stopped {
        Some(s) if again.is_empty() || begun(Step::SetAside) => {
            s.result["pg_control"] == steps::control_hash(plan, host, &place)?
        }
        _ => false,
    };
    if !untouched && aside {
        return Err(Error::failed("old-data-changed", "the old data was opened since it was set aside")
            .why(format!("a server has run on {}: the backup may no longer be all of it", place.describe()))
            .help("`repot rollback` brings it back as it is now; then upgrade again"));
    }
    if !untouched {
        again.extend([Step::FenceDatabase, Step::StopOldServer]);
        if begun(Step::SetAside) {
            again.extend(loading());
        }
    }
    if begun(Step::StartNewServer) && state(Step::StopNewServer) != StepState::Done {
        let note = "the load of the new server was cut off: its data is loaded again";
        observer.event(Event::Note(note.to_owned()));
        again.extend(loading());
    }
    Ok(again)
}

/// After the database service was started on its final data: nobody may write while the application's update runs,
/// and what a boot did not bring back is started again.
pub(super) fn after_the_start(run: &Run, host: &dyn Host, observer: &dyn Observer) -> Result<Vec<Step>> {
    let plan = &run.plan;
    let begun = |s: Step| run.step(s).is_some_and(|r| r.state != StepState::Pending);
    let services = host.services()?;
    let up = |name: &str| services.iter().any(|s| s.service == name && (s.running || s.restarting));
    let mut again = Vec::new();
    if begun(Step::StartApplication) {
        if !up(&plan.service) || plan.application_services().iter().any(|s| !up(s)) {
            again.push(Step::StartApplication);
        }
        // A run is not called done on a health from before it was cut off.
        again.push(Step::CheckHealth);
        return Ok(again);
    }
    if begun(Step::StopApplication) && services.iter().any(|s| s.service != plan.service && up(&s.service)) {
        observer.event(Event::Note("services were started meanwhile: they are stopped again".to_owned()));
        again.push(Step::StopApplication);
    }
    if plan.destination.is_none() && !begun(Step::MigrateApplication) {
        // The data did not move, so the backup is what a rollback of the update restores: it must hold everything.
        again.extend([Step::FenceDatabase, Step::StopOldServer, Step::StartDatabase, Step::CheckLogin]);
    }
    Ok(again)
}
