//! The catalog behind an interface: embedded SQLite today, a PostgreSQL that a fleet shares later.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operations::Operations;
use crate::error::Result;
use crate::upgrade::plan::{Plan, Step};

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Work is under way, or the process died in it.
    Running,
    /// A step failed; resume or roll back.
    Failed,
    /// All done and compared; the old data is set aside.
    Done,
    /// Going back is under way, or the process died in it.
    RollingBack,
    /// Back where it started.
    RolledBack,
}

impl RunState {
    /// Stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Failed => "failed",
            RunState::Done => "done",
            RunState::RollingBack => "rolling-back",
            RunState::RolledBack => "rolled-back",
        }
    }
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [RunState::Running, RunState::Failed, RunState::Done, RunState::RollingBack, RunState::RolledBack]
            .into_iter()
            .find(|s| s.name() == name)
    }
    /// Whether something has to be done about it.
    #[must_use]
    pub fn unfinished(self) -> bool {
        matches!(self, RunState::Running | RunState::Failed | RunState::RollingBack)
    }
}

/// State of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Intent written, result not.
    Running,
    /// Result written.
    Done,
    /// Undo intended.
    Undoing,
    /// Undone.
    Undone,
}

impl StepState {
    /// Stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StepState::Pending => "pending",
            StepState::Running => "running",
            StepState::Done => "done",
            StepState::Undoing => "undoing",
            StepState::Undone => "undone",
        }
    }
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [StepState::Pending, StepState::Running, StepState::Done, StepState::Undoing, StepState::Undone]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Id.
    pub id: String,
    /// State.
    pub state: RunState,
    /// The plan.
    pub plan: Plan,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// The last error, in words.
    pub error: Option<String>,
    /// Steps in order.
    pub steps: Vec<StepRecord>,
    /// Whether the set-aside data was removed by `cleanup`.
    pub cleaned: bool,
}

/// One step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepRecord {
    /// Which.
    pub step: Step,
    /// State.
    pub state: StepState,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was last begun.
    pub started_at: Option<String>,
    /// When its result was written.
    pub finished_at: Option<String>,
    /// Seconds of the attempt that succeeded.
    pub seconds: f64,
    /// What it found or made; later steps read it.
    pub result: Value,
}

impl Run {
    /// The record of a step.
    #[must_use]
    pub fn step(&self, step: Step) -> Option<&StepRecord> {
        self.steps.iter().find(|s| s.step == step)
    }
    /// Since when anything but repot may have written to the new data: the application's update command, or the
    /// application itself.
    #[must_use]
    pub fn writers_since(&self) -> Option<&str> {
        self.begun(|s| s.lets_writers_in())
    }
    /// Since when the application's users may have written to the new data.
    #[must_use]
    pub fn users_since(&self) -> Option<&str> {
        self.begun(|s| s == Step::StartApplication)
    }
    fn begun(&self, which: impl Fn(Step) -> bool) -> Option<&str> {
        self.steps
            .iter()
            .filter(|s| which(s.step) && s.state != StepState::Pending && s.state != StepState::Undone)
            .find_map(|s| s.started_at.as_deref())
    }
}

/// What a check of a backup set found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Address of the storage, without secrets.
    pub storage: String,
    /// The set.
    pub set: String,
    /// `files`, `archive` or `restore`.
    pub level: String,
    /// When, RFC 3339.
    pub at: String,
    /// How much was wrong; 0 is good.
    pub damages: u32,
    /// The first damage.
    pub what: Option<String>,
}

impl Verification {
    /// How closely it looked: of two checks that disagree, the closer one is believed.
    #[must_use]
    pub fn thoroughness(&self) -> u8 {
        match self.level.as_str() {
            "files" => 0,
            "archive" => 1,
            _ => 2,
        }
    }
}

/// Where runs are kept. Every write is durable when the call returns.
pub trait Catalog: Operations + Send {
    /// Stores a new run, state running, all steps pending.
    fn create(&mut self, plan: &Plan) -> Result<()>;
    /// One run.
    fn run(&self, id: &str) -> Result<Option<Run>>;
    /// All runs, newest first.
    fn runs(&self) -> Result<Vec<Run>>;
    /// Sets a run's state, with the error that led there.
    fn set_state(&mut self, id: &str, state: RunState, error: Option<&str>) -> Result<()>;
    /// Writes a step's intent; returns which attempt this is, from 1.
    fn intend(&mut self, id: &str, step: Step) -> Result<u32>;
    /// Writes a step's result.
    fn record(&mut self, id: &str, step: Step, seconds: f64, result: &Value) -> Result<()>;
    /// Forgets that a step was done: what it made was lost, and it has to be done again.
    fn reopen(&mut self, id: &str, step: Step) -> Result<()>;
    /// Writes the intent to undo a step.
    fn intend_undo(&mut self, id: &str, step: Step) -> Result<()>;
    /// Writes that a step is undone.
    fn record_undo(&mut self, id: &str, step: Step) -> Result<()>;
    /// Notes that `cleanup` removed what was set aside.
    fn set_cleaned(&mut self, id: &str) -> Result<()>;
    /// Keeps what a check of a set found.
    fn add_verification(&mut self, v: &Verification) -> Result<()>;
    /// What every check found, oldest first.
    fn verifications(&self) -> Result<Vec<Verification>>;
    /// Forgets the checks of a set that is gone.
    fn forget_verifications(&mut self, storage: &str, set: &str) -> Result<()>;
}
