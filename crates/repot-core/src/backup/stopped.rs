//! The moment of a restore in which the application stands still.

use crate::app::detect::Deployment;
use crate::error::{Error, Result};
use crate::host::{Host, ServiceState};
use crate::interrupt;
use crate::progress::Observer;
use crate::upgrade::failpoint::reach;

/// Stops `services`, does `act`, and starts them again, whatever came of it, on what is in place then; only over data
/// that is not whole (`restore-halfway`) they stay stopped. `give_up` is called where it does not come to `act`.
///
/// A request to stop waits meanwhile: half of it would be neither the old state nor the new one, with the application
/// stopped.
pub(super) fn while_stopped(
    (d, run): (&Deployment, &str),
    services: &[ServiceState],
    observer: &dyn Observer,
    give_up: &dyn Fn(),
    act: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let host = d.host(run);
    let names: Vec<String> = services.iter().map(|s| s.service.clone()).collect();
    let shield = interrupt::shield();
    let changed = host
        .stop_services(services, 0, observer)
        // Given back at once: nothing would do it after a kill. What was stopped stays so until it is started.
        .and_then(|()| host.restore_restart_policies(services))
        .and_then(|()| reach("restore", "in-names"))
        .inspect_err(|_| give_up())
        .and_then(|()| act());
    if let Err(e) = &changed
        && e.code == "restore-halfway"
    {
        return changed;
    }
    let started =
        host.start_services(&names, false, observer).and_then(|()| host.restore_restart_policies(services));
    drop(shield);
    changed?;
    started.map_err(|e| {
        let stands = "what was asked for is restored, the application is not running";
        let why = e.why.clone().unwrap_or_else(|| e.what.clone());
        Error { why: Some(format!("{stands}: {why}")), ..e }
    })?;
    let timeout_s = d.profile.health.timeout_s.unwrap_or(120);
    host.wait_healthy(&names, timeout_s, observer).map_err(|e| {
        e.help("the restore is done and compared; look at the service's log. What was live is kept under its other name")
    })
}
