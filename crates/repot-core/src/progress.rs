//! How a running operation tells what it does; who listens (a terminal, a log, a web page) is not known here.

/// One thing worth telling.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step begins. `number` counts from 1.
    StepStarted {
        /// Position in the plan, from 1.
        number: usize,
        /// How many steps the plan has.
        total: usize,
        /// The step's title, such as `Stop the application`.
        title: String,
        /// Whether this undoes the step (rollback).
        undo: bool,
    },
    /// Progress inside the step. `total_bytes` is 0 when the size is not known.
    Progress {
        /// What is being worked on, such as a table.
        what: String,
        /// Bytes done.
        done_bytes: u64,
        /// Bytes in all, or 0.
        total_bytes: u64,
    },
    /// Something a person should read.
    Note(String),
    /// The step ended well after `seconds`; `outcome` says in few words what came of it.
    StepDone {
        /// Seconds it took.
        seconds: f64,
        /// What came of it.
        outcome: String,
    },
    /// The step failed; the error follows as the operation's result.
    StepFailed,
}

/// Receives events. Called from several threads.
pub trait Observer: Sync {
    /// Takes one event; must not block for long.
    fn event(&self, event: Event);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event) {}
}

/// Bytes as people read them: `1.4 GB`. Decimal units, as disks and networks are sold.
#[must_use]
pub fn human_bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut v = n as f64;
    let mut unit = 0;
    while v >= 999.5 && unit + 1 < UNITS.len() {
        v /= 1000.0;
        unit += 1;
    }
    match (unit, v) {
        (0, _) => format!("{n} B"),
        (_, v) if v < 9.995 => format!("{v:.1} {}", UNITS[unit]),
        (_, v) => format!("{v:.0} {}", UNITS[unit]),
    }
}

/// Seconds as people read them: `48 s`, `3 min 20 s`.
#[must_use]
pub fn human_seconds(s: f64) -> String {
    if s < 9.95 {
        return format!("{s:.1} s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let s = s.round() as u64;
    match (s / 3600, s % 3600 / 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        for (n, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_234_567, "1.2 MB"),
            (45_600_000, "46 MB"),
            (999_600, "1.0 MB"),
            (2_000_000_000, "2.0 GB"),
        ] {
            assert_eq!(human_bytes(n), want);
        }
        for (s, want) in
            [(0.04, "0.0 s"), (9.9, "9.9 s"), (48.2, "48 s"), (200.0, "3 min 20 s"), (3700.0, "1 h 1 min")]
        {
            assert_eq!(human_seconds(s), want);
        }
    }
}
