//! One flag that says "somebody asked us to stop"; set by the binary's signal handler, read by every wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Kind, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static SHIELDS: AtomicUsize = AtomicUsize::new(0);

/// Asks the running operation to stop at the next safe place. Safe to call from any thread.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether a stop was asked for, and nobody is at something that must come to its end first.
pub fn requested() -> bool {
    SHIELDS.load(Ordering::SeqCst) == 0 && REQUESTED.load(Ordering::SeqCst)
}

/// As long as one is there, a request waits: what is being done must come to its end, or be taken back, first.
#[must_use]
#[derive(Debug)]
pub struct Shield(());

/// Lets requests wait.
pub fn shield() -> Shield {
    SHIELDS.fetch_add(1, Ordering::SeqCst);
    Shield(())
}

impl Drop for Shield {
    fn drop(&mut self) {
        SHIELDS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns an error when a stop was asked for; called wherever stopping is safe.
pub fn check() -> Result<()> {
    if requested() {
        return Err(Error::new(Kind::Interrupted, "interrupted", "stopped on request")
            .help("`repot resume` carries on, `repot rollback` goes back to where you started"));
    }
    Ok(())
}
