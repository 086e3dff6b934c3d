//! Operations: backups, checks, scheduled jobs; when, how they ended, and what follows from that.
//!
//! An index that may be lost: backups and their order live in the storage. Without it alerts don't know since when
//! something fails, and the agent begins to count anew.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::sqlite::{SqliteCatalog, err};
use crate::error::Result;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS operation (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, label TEXT NOT NULL, scheduled INTEGER NOT NULL,
    started_at TEXT NOT NULL, finished_at TEXT, outcome TEXT NOT NULL, code TEXT, what TEXT, backup_set TEXT
) STRICT;
";

/// How many are kept.
const KEPT: i64 = 10_000;

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It has not, or the process died in it.
    Running,
    /// It succeeded.
    Good,
    /// It failed.
    Failed,
    /// It was stopped, or died with its machine.
    CutOff,
    /// Nothing was done: from now on it is known. What was due before was nobody's business.
    Known,
}

impl Outcome {
    const ALL: [Outcome; 5] =
        [Outcome::Running, Outcome::Good, Outcome::Failed, Outcome::CutOff, Outcome::Known];

    /// Stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Good => "good",
            Outcome::Failed => "failed",
            Outcome::CutOff => "cut-off",
            Outcome::Known => "known",
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Number; a later one happened later, whatever the clock said.
    pub id: i64,
    /// The command, such as `backup`.
    pub kind: String,
    /// What people call it: the command, or the name of the scheduled job.
    pub label: String,
    /// Whether a schedule began it.
    pub scheduled: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
    /// The error's code.
    pub code: Option<String>,
    /// The error in words.
    pub what: Option<String>,
    /// The set it made.
    pub set: Option<String>,
}

/// How an operation ended, to be written down.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending<'a> {
    /// The error's code and words.
    pub error: Option<(&'a str, &'a str)>,
    /// The set it made.
    pub set: Option<&'a str>,
}

/// Where operations are kept.
pub trait Operations {
    /// Writes that one begins, or with [`Outcome::Known`] that it is known from now on; returns its number.
    fn begin_operation(
        &mut self,
        kind: &str,
        label: &str,
        scheduled: bool,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<i64>;
    /// Writes how one ended.
    fn finish_operation(
        &mut self,
        id: i64,
        outcome: Outcome,
        ending: Ending<'_>,
        now: Timestamp,
    ) -> Result<()>;
    /// One operation.
    fn operation(&self, id: i64) -> Result<Option<Operation>>;
    /// The operations that are kept, the latest to happen first.
    fn operations(&self) -> Result<Vec<Operation>>;
}

const COLUMNS: &str =
    "id, kind, label, scheduled, started_at, finished_at, outcome, code, what, backup_set FROM operation";

fn read(row: &Row<'_>) -> rusqlite::Result<Operation> {
    let time = |t: String| t.parse::<Timestamp>().unwrap_or(Timestamp::UNIX_EPOCH);
    let outcome: String = row.get(6)?;
    Ok(Operation {
        id: row.get(0)?,
        kind: row.get(1)?,
        label: row.get(2)?,
        scheduled: row.get(3)?,
        started_at: time(row.get(4)?),
        finished_at: row.get::<_, Option<String>>(5)?.map(time),
        // A word of a newer repot's is an end that we don't know.
        outcome: Outcome::ALL.into_iter().find(|o| o.name() == outcome).unwrap_or(Outcome::Failed),
        code: row.get(7)?,
        what: row.get(8)?,
        set: row.get(9)?,
    })
}

impl Operations for SqliteCatalog {
    fn begin_operation(
        &mut self,
        kind: &str,
        label: &str,
        scheduled: bool,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<i64> {
        self.db
            .execute(
                "INSERT INTO operation (kind, label, scheduled, started_at, outcome) VALUES (?, ?, ?, ?, ?)",
                params![kind, label, scheduled, now.to_string(), outcome.name()],
            )
            .map_err(err)?;
        let id = self.db.last_insert_rowid();
        self.db.execute("DELETE FROM operation WHERE id <= ?", [id - KEPT]).map_err(err)?;
        Ok(id)
    }

    fn finish_operation(
        &mut self,
        id: i64,
        outcome: Outcome,
        ending: Ending<'_>,
        now: Timestamp,
    ) -> Result<()> {
        let (code, what) = ending.error.unzip();
        self.db
            .execute(
                "UPDATE operation SET outcome = ?, finished_at = ?, code = ?, what = ?, backup_set = ? WHERE id = ?",
                params![outcome.name(), now.to_string(), code, what, ending.set, id],
            )
            .map(|_| ())
            .map_err(err)
    }

    fn operation(&self, id: i64) -> Result<Option<Operation>> {
        let sql = format!("SELECT {COLUMNS} WHERE id = ?");
        self.db.query_row(&sql, [id], read).optional().map_err(err)
    }

    fn operations(&self) -> Result<Vec<Operation>> {
        let mut q =
            self.db.prepare(&format!("SELECT {COLUMNS} ORDER BY id DESC LIMIT {KEPT}")).map_err(err)?;
        q.query_map([], read).map_err(err)?.collect::<rusqlite::Result<_>>().map_err(err)
    }
}

/// How something stands that is done again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the first failure after the last success began.
    pub failing_since: Option<Timestamp>,
    /// Failures since then.
    pub failures: u32,
    /// The last success.
    pub last_good: Option<Operation>,
}

/// How what is called `label` stood before the operation `before`, from all operations, the latest first. What was
/// cut off counts neither way.
#[must_use]
pub fn standing(all: &[Operation], label: &str, before: Option<i64>) -> Standing {
    let mut s = Standing::default();
    let earlier = |o: &&Operation| o.label == label && before.is_none_or(|b| o.id < b);
    for o in all.iter().filter(earlier) {
        match o.outcome {
            Outcome::Good => {
                s.last_good = Some(o.clone());
                break;
            }
            Outcome::Failed => {
                s.failing_since = Some(o.started_at);
                s.failures += 1;
            }
            Outcome::Running | Outcome::CutOff | Outcome::Known => {}
        }
    }
    s
}

/// The last backup that succeeded, whatever it is called.
#[must_use]
pub fn last_backup(all: &[Operation], before: Option<i64>) -> Option<&Operation> {
    all.iter().find(|o| {
        o.kind == "backup" && o.outcome == Outcome::Good && o.set.is_some() && before.is_none_or(|b| o.id < b)
    })
}

/// How often what was cut off is begun again at once, before it waits for its next time: what takes its machine down
/// with it must not do so forever.
const CUT_OFF_TRIES: usize = 3;

/// When the schedule's entry `label` last ran; what was cut off did not.
#[must_use]
pub fn last_run(all: &[Operation], label: &str) -> Option<Timestamp> {
    let mut cut = 0;
    for o in all.iter().filter(|o| o.scheduled && o.label == label) {
        match o.outcome {
            Outcome::Running | Outcome::CutOff => {
                cut += 1;
                if cut >= CUT_OFF_TRIES {
                    return Some(o.started_at);
                }
            }
            Outcome::Good | Outcome::Failed | Outcome::Known => return Some(o.started_at),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).expect("a time")
    }

    #[test]
    fn what_was_written_tells_since_when_it_fails_and_what_was_last_good() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut c = SqliteCatalog::open(dir.path()).expect("opens");
        let mut did = |label: &str, outcome, set: Option<&str>, s: i64| {
            let id = c.begin_operation("backup", label, true, Outcome::Running, at(s)).expect("begins");
            let error = (outcome == Outcome::Failed).then_some(("io", "no space"));
            c.finish_operation(id, outcome, Ending { error, set }, at(s + 5)).expect("ends");
            id
        };
        did("backup", Outcome::Good, Some("a-1"), 100);
        did("backup", Outcome::Failed, None, 200);
        did("other", Outcome::Good, Some("a-2"), 250);
        did("backup", Outcome::CutOff, None, 280);
        // The clock was set back; the order of happening counts.
        let last = did("backup", Outcome::Failed, None, 150);
        let all = c.operations().expect("reads");
        let s = standing(&all, "backup", None);
        assert_eq!((s.failing_since, s.failures), (Some(at(200)), 2));
        assert_eq!(s.last_good.as_ref().and_then(|o| o.set.as_deref()), Some("a-1"));
        assert_eq!(standing(&all, "backup", Some(last)).failures, 1);
        assert_eq!(last_backup(&all, None).and_then(|o| o.set.as_deref()), Some("a-2"));
        assert_eq!(last_run(&all, "backup"), Some(at(150)));
        let found = c.operation(last).expect("reads").expect("is there");
        assert_eq!((found.code.as_deref(), found.what.as_deref()), (Some("io"), Some("no space")));
        assert_eq!(found.finished_at, Some(at(155)));
    }

    #[test]
    fn what_was_cut_off_runs_again_but_not_forever() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut c = SqliteCatalog::open(dir.path()).expect("opens");
        c.begin_operation("backup", "backup", true, Outcome::Known, at(10)).expect("known");
        for (s, runs) in [(20, at(10)), (30, at(10)), (40, at(20))] {
            c.begin_operation("backup", "backup", true, Outcome::Running, at(s)).expect("begins");
            let seen = last_run(&c.operations().expect("reads"), "backup");
            assert_eq!(seen, Some(runs), "after the one at {s}");
        }
    }
}
