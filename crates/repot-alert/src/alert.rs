//! What there is to tell.

use serde::Serialize;

use crate::Redactor;
use crate::config::When;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// An operation begins. Only dead-man pings hear of it.
    Started,
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// Nothing has succeeded for too long.
    Silent,
    /// Somebody tries whether messages arrive.
    Test,
}

impl Event {
    /// The word of the configuration that asks for it; a test goes to everybody.
    #[must_use]
    pub fn asked_by(self) -> Option<When> {
        match self {
            Event::Succeeded => Some(When::Success),
            Event::Failed => Some(When::Failure),
            Event::Silent => Some(When::Silence),
            Event::Started | Event::Test => None,
        }
    }
}

/// An error, as the command printed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Stable code, such as `docker-unreachable`.
    pub code: String,
    /// What happened, to which object.
    pub what: String,
    /// Why.
    pub why: Option<String>,
    /// What to do next.
    pub help: Option<String>,
}

/// One thing to tell. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What happened.
    pub event: Event,
    /// The application, in words.
    pub application: String,
    /// The Compose project, or whatever names the installation.
    pub project: String,
    /// The machine.
    pub host: String,
    /// The operation: `backup`, `prune`, `verify`, or the name of a scheduled job.
    pub operation: String,
    /// When it happened.
    pub at: String,
    /// What failed.
    pub failure: Option<Failure>,
    /// The first failure after the last success; for silence, since when nothing has succeeded.
    pub since: Option<String>,
    /// Failures in a row, this one included.
    pub failures: u32,
    /// The set that was made.
    pub set: Option<String>,
    /// The newest good set before this.
    pub last_good_set: Option<String>,
    /// When it was finished.
    pub last_good_at: Option<String>,
    /// More lines, such as what a set holds.
    pub details: Vec<String>,
}

impl Alert {
    /// The same without secrets. Names of the application, the project and the machine stay as they are.
    #[must_use]
    pub fn cleaned(mut self, redactor: &Redactor) -> Alert {
        let clean = |t: &mut String| *t = redactor.clean(t);
        if let Some(f) = &mut self.failure {
            clean(&mut f.what);
            f.why.iter_mut().for_each(clean);
            f.help.iter_mut().for_each(clean);
        }
        self.details.iter_mut().for_each(clean);
        self
    }
}

#[cfg(test)]
pub(crate) fn sample(event: Event) -> Alert {
    let failed = event == Event::Failed;
    Alert {
        event,
        application: "InvenTree".to_owned(),
        project: "inventree".to_owned(),
        host: "web1".to_owned(),
        operation: "backup".to_owned(),
        at: "2026-03-01T03:00:09Z".to_owned(),
        failure: failed.then(|| Failure {
            code: "docker-unreachable".to_owned(),
            what: "the Docker daemon does not answer".to_owned(),
            why: Some("connection <refused> & gone".to_owned()),
            help: Some("start it".to_owned()),
        }),
        since: failed.then(|| "2026-02-27T03:00:07Z".to_owned()),
        failures: if failed { 3 } else { 0 },
        set: (event == Event::Succeeded).then(|| "inventree-20260301-030000-1a2b".to_owned()),
        last_good_set: Some("inventree-20260226-030000-3c4d".to_owned()),
        last_good_at: Some("2026-02-26T03:04:00Z".to_owned()),
        details: Vec::new(),
    }
}
