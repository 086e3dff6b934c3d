//! The embedded catalog: one SQLite file in the state directory.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::catalog::{Catalog, Run, RunState, StepRecord, StepState, Verification};
use crate::error::{Error, Kind, Result};
use crate::upgrade::plan::{PLAN_FORMAT, Plan, Step, now};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, format INTEGER NOT NULL, plan TEXT NOT NULL,
    started_at TEXT NOT NULL, finished_at TEXT, error TEXT, cleaned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS step (
    run TEXT NOT NULL REFERENCES run (id), position INTEGER NOT NULL, step TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, started_at TEXT, finished_at TEXT, seconds REAL NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT 'null', PRIMARY KEY (run, step)
) STRICT;
CREATE TABLE IF NOT EXISTS verification (
    storage TEXT NOT NULL, set_name TEXT NOT NULL, level TEXT NOT NULL, at TEXT NOT NULL, damages INTEGER NOT NULL,
    what TEXT
) STRICT;
PRAGMA user_version = 1;
";

/// A catalog in a SQLite file.
#[derive(Debug)]
pub struct SqliteCatalog {
    pub(super) db: Connection,
}

pub(super) fn err(e: rusqlite::Error) -> Error {
    let full = matches!(&e, rusqlite::Error::SqliteFailure(f, _) if f.code == rusqlite::ErrorCode::DiskFull);
    let code = if full { "disk-full" } else { "catalog" };
    Error::failed(code, "the catalog (catalog.sqlite in the state directory) cannot be used").why(e)
}

impl SqliteCatalog {
    /// Opens or makes the catalog of a state directory.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("catalog.sqlite");
        // Made by us first, for its mode: the journal is nobody else's business.
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io(format!("cannot open {}", path.display()), &e))?;
        let db = Connection::open(&path).map_err(err)?;
        db.busy_timeout(std::time::Duration::from_secs(10)).map_err(err)?;
        // WAL with synchronous=FULL: a record that was acknowledged survives a power cut.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(err)?;
        let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(err)?;
        if version > 1 {
            return Err(Error::usage("catalog-newer", "the catalog was written by a newer repot")
                .help("use that version, or a newer one"));
        }
        db.execute_batch(SCHEMA).map_err(err)?;
        db.execute_batch(super::operations::SCHEMA).map_err(err)?;
        Ok(SqliteCatalog { db })
    }

    fn steps(&self, id: &str) -> Result<Vec<StepRecord>> {
        let mut q = self
            .db
            .prepare("SELECT step, state, attempts, started_at, finished_at, seconds, result FROM step WHERE run = ? ORDER BY position")
            .map_err(err)?;
        let rows = q
            .query_map([id], |r| {
                Ok((
                    r.get::<_, String>(0)?,
                    r.get::<_, String>(1)?,
                    r.get::<_, u32>(2)?,
                    r.get::<_, Option<String>>(3)?,
                    r.get::<_, Option<String>>(4)?,
                    r.get::<_, f64>(5)?,
                    r.get::<_, String>(6)?,
                ))
            })
            .map_err(err)?;
        let mut all = Vec::new();
        for row in rows {
            let (step, state, attempts, started_at, finished_at, seconds, result) = row.map_err(err)?;
            let odd = |what: &str| {
                Error::failed("catalog", format!("the journal of run {id} holds an unknown {what}"))
            };
            all.push(StepRecord {
                step: Step::ALL.into_iter().find(|s| s.name() == step).ok_or_else(|| odd("step"))?,
                state: StepState::parse(&state).ok_or_else(|| odd("state"))?,
                attempts,
                started_at,
                finished_at,
                seconds,
                result: serde_json::from_str(&result).unwrap_or(Value::Null),
            });
        }
        Ok(all)
    }

    fn change(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<()> {
        let n = self.db.execute(sql, params).map_err(err)?;
        if n == 1 { Ok(()) } else { Err(Error::failed("catalog", "the journal has no such run or step")) }
    }
}

impl Catalog for SqliteCatalog {
    fn create(&mut self, plan: &Plan) -> Result<()> {
        let text = serde_json::to_string(plan)
            .map_err(|e| Error::failed("catalog", "the plan cannot be written").why(e))?;
        let tx = self.db.transaction().map_err(err)?;
        tx.execute(
            "INSERT INTO run (id, state, format, plan, started_at) VALUES (?, 'running', ?, ?, ?)",
            params![plan.run, PLAN_FORMAT, text, now()],
        )
        .map_err(err)?;
        for (i, s) in plan.steps.iter().enumerate() {
            tx.execute(
                "INSERT INTO step (run, position, step, state) VALUES (?, ?, ?, 'pending')",
                params![plan.run, i64::try_from(i).unwrap_or(0), s.name()],
            )
            .map_err(err)?;
        }
        tx.commit().map_err(err)
    }

    fn run(&self, id: &str) -> Result<Option<Run>> {
        let row = self
            .db
            .query_row(
                "SELECT state, format, plan, started_at, finished_at, error, cleaned FROM run WHERE id = ?",
                [id],
                |r| {
                    Ok((
                        r.get::<_, String>(0)?,
                        r.get::<_, u32>(1)?,
                        r.get::<_, String>(2)?,
                        r.get::<_, String>(3)?,
                        r.get::<_, Option<String>>(4)?,
                        r.get::<_, Option<String>>(5)?,
                        r.get::<_, bool>(6)?,
                    ))
                },
            )
            .optional()
            .map_err(err)?;
        let Some((state, format, plan, started_at, finished_at, error, cleaned)) = row else {
            return Ok(None);
        };
        if format != PLAN_FORMAT {
            return Err(Error::new(
                Kind::Unfinished,
                "other-version",
                format!("run {id} was planned by another version of repot"),
            )
            .help("finish or roll it back with the version that began it"));
        }
        let plan: Plan = serde_json::from_str(&plan)
            .map_err(|e| Error::failed("catalog", format!("the plan of run {id} does not parse")).why(e))?;
        Ok(Some(Run {
            id: id.to_owned(),
            state: RunState::parse(&state)
                .ok_or_else(|| Error::failed("catalog", format!("run {id} is in an unknown state")))?,
            plan,
            started_at,
            finished_at,
            error,
            steps: self.steps(id)?,
            cleaned,
        }))
    }

    fn runs(&self) -> Result<Vec<Run>> {
        let mut q = self.db.prepare("SELECT id FROM run ORDER BY rowid DESC").map_err(err)?;
        let ids: Vec<String> =
            q.query_map([], |r| r.get(0)).map_err(err)?.collect::<Result<_, _>>().map_err(err)?;
        let mut all = Vec::new();
        for id in ids {
            all.extend(self.run(&id)?);
        }
        Ok(all)
    }

    fn set_state(&mut self, id: &str, state: RunState, error: Option<&str>) -> Result<()> {
        let finished = (!state.unfinished()).then(now);
        self.change(
            "UPDATE run SET state = ?, error = ?, finished_at = ? WHERE id = ?",
            &[&state.name(), &error, &finished, &id],
        )
    }

    fn intend(&mut self, id: &str, step: Step) -> Result<u32> {
        self.change(
            "UPDATE step SET state = 'running', attempts = attempts + 1, started_at = coalesce(started_at, ?), finished_at = NULL WHERE run = ? AND step = ?",
            &[&now(), &id, &step.name()],
        )?;
        self.db
            .query_row(
                "SELECT attempts FROM step WHERE run = ? AND step = ?",
                params![id, step.name()],
                |r| r.get(0),
            )
            .map_err(err)
    }

    fn record(&mut self, id: &str, step: Step, seconds: f64, result: &Value) -> Result<()> {
        self.change(
            "UPDATE step SET state = 'done', finished_at = ?, seconds = ?, result = ? WHERE run = ? AND step = ?",
            &[&now(), &seconds, &result.to_string(), &id, &step.name()],
        )
    }

    fn reopen(&mut self, id: &str, step: Step) -> Result<()> {
        self.change(
            "UPDATE step SET state = 'pending', attempts = 0, finished_at = NULL WHERE run = ? AND step = ?",
            &[&id, &step.name()],
        )
    }

    fn intend_undo(&mut self, id: &str, step: Step) -> Result<()> {
        self.change("UPDATE step SET state = 'undoing' WHERE run = ? AND step = ?", &[&id, &step.name()])
    }

    fn record_undo(&mut self, id: &str, step: Step) -> Result<()> {
        self.change("UPDATE step SET state = 'undone' WHERE run = ? AND step = ?", &[&id, &step.name()])
    }

    fn set_cleaned(&mut self, id: &str) -> Result<()> {
        self.change("UPDATE run SET cleaned = 1 WHERE id = ?", &[&id])
    }

    fn add_verification(&mut self, v: &Verification) -> Result<()> {
        self.change(
            "INSERT INTO verification (storage, set_name, level, at, damages, what) VALUES (?, ?, ?, ?, ?, ?)",
            &[&v.storage, &v.set, &v.level, &v.at, &v.damages, &v.what],
        )
    }

    fn verifications(&self) -> Result<Vec<Verification>> {
        let mut q = self
            .db
            .prepare("SELECT storage, set_name, level, at, damages, what FROM verification ORDER BY rowid")
            .map_err(err)?;
        let rows = q.query_map([], |r| {
            Ok(Verification {
                storage: r.get(0)?,
                set: r.get(1)?,
                level: r.get(2)?,
                at: r.get(3)?,
                damages: r.get(4)?,
                what: r.get(5)?,
            })
        });
        rows.map_err(err)?.collect::<std::result::Result<_, _>>().map_err(err)
    }

    fn forget_verifications(&mut self, storage: &str, set: &str) -> Result<()> {
        let sql = "DELETE FROM verification WHERE storage = ? AND set_name = ?";
        self.db.execute(sql, params![storage, set]).map_err(err).map(drop)
    }
}
