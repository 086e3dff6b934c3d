//! A repot that is at work while the test goes on.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{LIMIT, Ran, Streams, finish};
use crate::wait_for;

/// A process at work. It ends when this value does.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    streams: Option<Streams>,
    command: String,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streams")
    }
}

impl Running {
    pub(crate) fn new(child: Child, streams: Streams, command: String) -> Self {
        Running { child: Some(child), streams: Some(streams), command }
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it still runs (stopped counts).
    pub fn at_work(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// Waits until it has stopped itself at a failpoint set to `stop`; fails the test if it ends instead.
    #[track_caller]
    pub fn wait_stopped(&mut self) {
        let pid = self.pid();
        wait_for("repot stops at its failpoint", || {
            if !self.at_work() {
                let (Some(child), Some(streams)) = (self.child.take(), self.streams.take()) else {
                    return None;
                };
                let ran = finish(child, streams, self.command.clone(), LIMIT);
                panic!("it ended before it reached its failpoint\n{ran}");
            }
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // "123 (repot) T ...": the state follows the last parenthesis.
            stat.rsplit(") ").next().is_some_and(|s| s.starts_with('T')).then_some(())
        });
    }

    /// Lets it go on after [`Running::wait_stopped`].
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for its end.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> Ran {
        let (Some(child), Some(streams)) = (self.child.take(), self.streams.take()) else {
            panic!("{} has been waited for already", self.command)
        };
        finish(child, streams, self.command.clone(), LIMIT)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}
