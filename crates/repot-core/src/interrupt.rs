//! One flag that says "somebody asked us to stop"; set by the binary's signal handler, read by every wait.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Asks the running operation to stop at the next safe place. Safe to call from any thread.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether a stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Returns an error when a stop was asked for; called wherever stopping is safe.
pub fn check() -> Result<()> {
    if requested() {
        return Err(Error::new(Kind::Interrupted, "interrupted", "stopped on request")
            .help("`repot resume` carries on, `repot rollback` goes back to where you started"));
    }
    Ok(())
}
