//! Real stacks for tests: a Compose project in a directory of its own, everything about it that a test compares,
//! and its removal whatever happened.
//!
//! Invariants: two stacks never meet, in one process or in many (the project's name comes from a unique
//! directory); no wait is without an end; what a test leaves behind when it is killed goes when the next test
//! starts. A missing daemon or image fails the test: a test that skips itself proves nothing.

#![allow(clippy::disallowed_methods, reason = "tests start the real tools and read the real environment")]

mod command;
mod content;
mod mounts;
mod running;
pub mod servers;
mod stack;
mod sums;
mod sweep;

pub use command::{LIMIT, Ran, run};
pub use content::Content;
pub use mounts::{SmallDisk, make_immutable, make_mutable};
pub use running::Running;
pub use stack::{Container, Stack, require_images};
pub use sums::{FileState, Sums};

/// What to do when something is missing on this machine.
pub const SETUP: &str = "run scripts/setup.sh";

/// Waits until `ready` gives a value; fails the test with `what` after ten minutes.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "still waiting after {} s: {what}", LIMIT.as_secs());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
