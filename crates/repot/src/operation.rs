//! Around an operation: it is written down, and alerts and pings go out, in this one place. Neither can fail it.

use std::path::Path;

use jiff::Timestamp;
use repot_alert::Event;
use repot_core::journal::operations::{Ending, Operations, Outcome, Standing, last_backup, standing};
use repot_core::journal::sqlite::SqliteCatalog;
use repot_core::upgrade::files::make_private_dir;
use repot_core::{Error, Kind, Result};

use crate::alerts::{Alerts, failure, whole_second};
use crate::config::{Setting, setting};
use crate::terminal::say;

/// The number of the operation that a schedule has begun, for the command that it starts.
pub const VARIABLE: &str = "REPOT_OPERATION";

/// What an operation says of itself.
#[derive(Default)]
pub struct Told {
    /// The set that it made.
    pub set: Option<String>,
    /// What a message says of it.
    pub details: Vec<String>,
    /// What went wrong although it succeeded: told as a failure is, or it would go on unheard for months.
    pub shortfall: Option<Error>,
}

/// An operation in the catalog; not kept where the catalog cannot be used.
pub struct Record {
    kept: Option<(SqliteCatalog, i64)>,
    /// What people call it.
    pub label: String,
}

/// Opens the catalog for operations; an index that may be missing.
pub fn catalog(setting: &Setting) -> Result<SqliteCatalog> {
    make_private_dir(&setting.state_dir)?;
    SqliteCatalog::open(&setting.state_dir)
}

impl Record {
    /// Writes that one begins; goes on with the one that a schedule has begun.
    fn begin(setting: &Setting, kind: &str) -> Record {
        let begun = || -> Result<(SqliteCatalog, i64, String)> {
            let mut catalog = catalog(setting)?;
            let id = setting.env.get(VARIABLE).and_then(|id| id.parse().ok());
            if let Some(o) = id.map(|id| catalog.operation(id)).transpose()?.flatten()
                && o.outcome == Outcome::Running
            {
                return Ok((catalog, o.id, o.label));
            }
            let id = catalog.begin_operation(kind, kind, false, Outcome::Running, Timestamp::now())?;
            Ok((catalog, id, kind.to_owned()))
        };
        match begun() {
            Ok((catalog, id, label)) => Record { kept: Some((catalog, id)), label },
            Err(e) => {
                say(format!("note: this operation is not written down: {e}"));
                Record { kept: None, label: kind.to_owned() }
            }
        }
    }

    /// One that a schedule has begun.
    pub fn of(catalog: SqliteCatalog, id: i64, label: &str) -> Record {
        Record { kept: Some((catalog, id)), label: label.to_owned() }
    }

    /// Writes how it ended.
    fn finish(&mut self, outcome: Outcome, error: Option<&Error>, set: Option<&str>) {
        let Some((catalog, id)) = &mut self.kept else { return };
        let words = error.map(ToString::to_string);
        let error = error.zip(words.as_deref()).map(|(e, w)| (e.code, w));
        if let Err(e) = catalog.finish_operation(*id, outcome, Ending { error, set }, Timestamp::now()) {
            say(format!("note: how this operation ended is not written down: {e}"));
        }
    }

    /// Whether whoever did it has written how it ended.
    pub fn is_finished(&self) -> bool {
        let Some((catalog, id)) = &self.kept else { return false };
        catalog.operation(*id).ok().flatten().is_some_and(|o| o.outcome != Outcome::Running)
    }

    /// How it stood before, and the last good set.
    fn before(&self) -> (Standing, Option<(String, Option<Timestamp>)>) {
        let Some((catalog, id)) = &self.kept else { return (Standing::default(), None) };
        let all = catalog.operations().unwrap_or_default();
        let set = last_backup(&all, Some(*id)).and_then(|o| Some((o.set.clone()?, o.finished_at)));
        (standing(&all, &self.label, Some(*id)), set)
    }

    /// When it began.
    fn started_at(&self) -> Option<Timestamp> {
        let (catalog, id) = self.kept.as_ref()?;
        Some(catalog.operation(*id).ok().flatten()?.started_at)
    }

    /// Writes how it ended and tells whoever wants to know.
    pub fn end(&mut self, alerts: &Alerts, result: &Result<()>, told: &Told) {
        let (before, last_good) = self.before();
        let outcome = match result {
            Ok(()) => Outcome::Good,
            // Somebody wanted it to stop, and knows.
            Err(e) if e.kind == Kind::Interrupted => Outcome::CutOff,
            Err(_) => Outcome::Failed,
        };
        self.finish(outcome, result.as_ref().err(), told.set.as_deref());
        let event = match outcome {
            Outcome::Good if told.shortfall.is_some() => Event::Failed,
            Outcome::Good => Event::Succeeded,
            Outcome::Failed => Event::Failed,
            _ => return,
        };
        let mut alert = alerts.alert(event, &self.label);
        alert.failure = result.as_ref().err().or(told.shortfall.as_ref()).map(failure);
        alert.failures = before.failures + u32::from(event == Event::Failed);
        alert.since = match (event, before.failing_since) {
            (Event::Failed, None) => self.started_at().map(whole_second).or_else(|| Some(alert.at.clone())),
            (_, since) => since.map(whole_second),
        };
        alert.set.clone_from(&told.set);
        (alert.last_good_set, alert.last_good_at) = match last_good {
            Some((set, at)) => (Some(set), at.map(whole_second)),
            None => (None, None),
        };
        alert.details.clone_from(&told.details);
        alerts.tell(&alert);
    }
}

/// Does `work` as an operation of this kind. Where the configuration does not parse nobody can be told.
pub fn around(
    dir: &Path,
    kind: &str,
    application: Option<String>,
    work: impl FnOnce(&Setting, &mut Told) -> Result<()>,
) -> Result<()> {
    let setting = setting(dir)?;
    let mut record = Record::begin(&setting, kind);
    let alerts = Alerts::open(&setting, application);
    alerts.say_unusable();
    alerts.tell(&alerts.alert(Event::Started, &record.label));
    let mut told = Told::default();
    let result = work(&setting, &mut told);
    record.end(&alerts, &result, &told);
    result
}

/// Does `work` as the operation that a schedule has begun, if one has.
#[allow(clippy::disallowed_methods, reason = "the binary: whether a schedule began this process")]
pub fn when_scheduled(work: impl FnOnce() -> Result<()>) -> Result<()> {
    if std::env::var_os(VARIABLE).is_none() {
        return work();
    }
    around(Path::new("."), "job", None, |_, _| work())
}
