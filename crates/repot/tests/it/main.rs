//! repot against real servers. Build with `--features repot/failpoints`; images come from `scripts/setup.sh`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests start the real tools and read the real environment")]
#![allow(
    clippy::assertions_on_constants,
    reason = "whether the feature is on is a constant, and must be told"
)]

use repot_testkit::Stack;

mod alerts;
mod backups;
mod cli;
mod engines;
mod faults;
mod kills;
mod scenarios;
mod takeover;

/// A stack with the program under test.
#[track_caller]
fn stack(name: &str) -> Stack {
    assert!(cfg!(feature = "failpoints"), "these tests need failpoints: --features repot/failpoints");
    Stack::new(name, env!("CARGO_BIN_EXE_repot"))
}

/// Tables of the test stacks that their programs write all the time.
const GROWING: [&str; 2] = ["public.beat", "public.heartbeat"];
