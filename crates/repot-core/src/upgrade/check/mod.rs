//! What would make the upgrade fail, found before anything is touched.
//!
//! Everything here only looks: no service is stopped, no file written, no image fetched. What cannot be seen now
//! (the server is down, the new image is not here yet) is a finding of its own, and the parts that look at it
//! ([`check_database`], [`check_image`]) are public, so that the upgrade asks again as soon as it can be seen and
//! before anything moves.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::app::detect::Deployment;
use crate::app::profile::{NEWEST_MAJOR, OLDEST_MAJOR};
use crate::engine::postgres::facts::{self, ClusterFacts};
use crate::engine::postgres::session::Connector;
use crate::error::{Error, Kind, Result};
use crate::host::{Host, ServiceState};
use crate::progress::{Event, Observer};
use crate::upgrade::planner::{self, Method, Options};

mod access;
mod configuration;
mod contents;
mod database;
mod fit;
mod image;
mod logins;
mod provenance;
mod render;
mod replication;
mod room;
mod stack;
mod target;
mod words;

pub use database::check_database;
pub use fit::check_image;
pub use image::{ImageFacts, examine};
pub use provenance::value_sources;
pub use render::render;
pub use room::Room;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// The upgrade goes on; something will be different or should be looked at.
    Warning,
    /// The upgrade is refused.
    Blocker,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable identifier, such as `prepared-transactions`.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// What was found, to which object.
    pub title: String,
    /// The particulars: names, numbers, why it matters.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    fn new(
        severity: Severity,
        code: &str,
        title: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Finding {
            code: code.to_owned(),
            severity,
            title: title.into(),
            detail: detail.into(),
            remedy: remedy.into(),
        }
    }
    pub(crate) fn blocker(
        code: &str,
        title: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Blocker, code, title, detail, remedy)
    }
    pub(crate) fn warning(
        code: &str,
        title: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, title, detail, remedy)
    }
    pub(crate) fn info(code: &str, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, title, detail, "")
    }
    /// An error met while looking, as a finding that refuses the upgrade.
    fn from_error(e: &Error) -> Self {
        Self::blocker(
            e.code,
            e.what.clone(),
            e.why.clone().unwrap_or_default(),
            e.help.clone().unwrap_or_default(),
        )
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// PostgreSQL major to go to.
    pub to: Option<u32>,
    /// Application version to go to.
    pub app_version: Option<String>,
    /// Where backup sets go.
    pub backup_dir: PathBuf,
    /// Image to use instead of the derived one (repot.toml).
    pub target_image: Option<String>,
    /// Environment of the calling shell, whose variables beat `.env`.
    #[serde(skip)]
    pub shell: Shell,
}

/// Variables of the calling shell. Some are secrets, so they are not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Shell(pub BTreeMap<String, String>);

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

/// The new server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Major.
    pub major: u32,
    /// Image reference.
    pub image: String,
    /// Whether it is here already.
    pub present: bool,
}

/// Everything that `check` found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// Major of the data.
    pub source_major: Option<u32>,
    /// The new server, where one was asked for.
    pub target: Option<Target>,
    /// What the running server said; none when it is down.
    pub facts: Option<ClusterFacts>,
    /// Findings, blockers first.
    pub findings: Vec<Finding>,
    /// What repot would do if nothing was asked for, and why.
    pub recommendation: Option<Recommendation>,
    /// Where the values that matter come from.
    #[serde(default)]
    pub sources: Vec<ValueSource>,
    /// Whether all that was asked for is so already.
    #[serde(default)]
    pub nothing_to_do: bool,
    /// Images of the application's new version, where one was asked for.
    #[serde(default)]
    pub application_images: Vec<String>,
    /// Disk space wanted and there.
    #[serde(default)]
    pub room: Option<Room>,
}

/// One value and the place that decides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSource {
    /// What it is, such as `image` or `POSTGRES_USER`.
    pub what: String,
    /// Its value; never a password's.
    pub value: String,
    /// `compose.yaml:7`, through what: `.env`, an anchor, a default.
    pub from: String,
}

/// What repot recommends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    /// PostgreSQL major.
    pub to: u32,
    /// Why.
    pub why: String,
}

impl CheckReport {
    /// Whether anything stands in the way.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Blocker)
    }
}

/// How long a server that is just starting (or recovering) is waited for.
const SERVER_PATIENCE: Duration = Duration::from_secs(20);

/// Looks at everything that would make the upgrade of `deployment` fail. Touches nothing.
///
/// # Errors
/// When Docker itself fails or a stop was asked for. What is wrong with the deployment is a finding, not an error.
pub fn check(deployment: &Deployment, request: &Request, observer: &dyn Observer) -> Result<CheckReport> {
    let host = deployment.host("check");
    let note = |what: &str| {
        observer.event(Event::Progress { what: what.to_owned(), done_bytes: 0, total_bytes: 0 });
    };
    let mut report = CheckReport { source_major: deployment.source_major(), ..CheckReport::default() };
    let mut found = Vec::new();

    note("looking at the services");
    found.extend(stack::check(deployment, request)?);

    note("asking the database");
    let mut connector = None;
    match reach(deployment, &host)? {
        Ok((way, facts)) => {
            connector = Some(way);
            report.facts = Some(facts);
        }
        Err(finding) => found.push(finding),
    }
    if connector.is_some() {
        found.extend(access::application_login(deployment, &host)?);
    }

    note("asking the application");
    let choice = target::choose(deployment, request)?;
    found.extend(choice.findings);
    report.target = choice.target;
    report.recommendation = choice.recommendation;
    report.nothing_to_do = choice.nothing_to_do;
    report.application_images = choice.application_images;

    // With nothing asked for, what is found is told for the major that repot would recommend.
    let moves_to = match (&report.target, &request.app_version) {
        (Some(t), _) => Some(t.major),
        (None, None) => report.recommendation.as_ref().map(|r| r.to),
        (None, Some(_)) => None,
    };
    let sound = report.source_major.is_some_and(|m| (OLDEST_MAJOR..=NEWEST_MAJOR).contains(&m));
    if let (Some(facts), Some(connector), Some(to), true) = (&report.facts, &connector, moves_to, sound) {
        note("looking into every database");
        found.extend(check_database(deployment, facts, connector.as_ref(), to)?);
        let image = match &report.target {
            Some(t) => t.present.then(|| t.image.clone()),
            None => target::image_for(deployment, request, to)
                .ok()
                .filter(|i| target::is_present(i).unwrap_or(false)),
        };
        if let Some(image) = image {
            note("looking into the new image");
            found.extend(check_image(deployment, facts, &image, to)?);
        }
    }
    if connector.is_none() {
        found.extend(logins::rules_at_rest(deployment, &host, moves_to)?);
    }
    let (room, tight) = room::check(deployment, request, report.facts.as_ref(), moves_to.is_some())?;
    report.room = room;
    found.extend(tight);

    note("reading the Compose files");
    found.extend(compose_files(deployment, request, &mut report, &found)?);
    report.findings = in_order(found);
    Ok(report)
}

/// Where the values come from; and whether the files can be edited, proved by planning the very edit.
fn compose_files(
    deployment: &Deployment,
    request: &Request,
    report: &mut CheckReport,
    found: &[Finding],
) -> Result<Option<Finding>> {
    let sources = planner::sources(&deployment.project, &request.shell.0);
    let refused = match sources.and_then(|s| value_sources(deployment, &s)) {
        Ok(values) => {
            report.sources = values;
            // Something is in the way already, or nothing is to be changed: then there is no edit to try.
            let blocked = found.iter().any(|f| f.severity == Severity::Blocker);
            if blocked || report.nothing_to_do || (report.target.is_none() && request.app_version.is_none()) {
                return Ok(None);
            }
            let options = Options { method: Method::Auto, skip_backup: false, env: request.shell.0.clone() };
            match planner::plan(deployment, report, request, &options) {
                Ok(_) => return Ok(None),
                Err(e) => e,
            }
        }
        Err(e) => e,
    };
    if refused.kind == Kind::Interrupted { Err(refused) } else { Ok(Some(Finding::from_error(&refused))) }
}

/// A way into the running server and what it says of itself.
type Reached = (Box<dyn Connector>, ClusterFacts);

/// Asks the running server for its facts; or the reason why that cannot be done.
fn reach(deployment: &Deployment, host: &dyn Host) -> Result<std::result::Result<Reached, Finding>> {
    let db = &deployment.database;
    if !db.running {
        return Ok(Err(stack::database_down(deployment, "")));
    }
    let password = db.password.as_ref().map(|p| p.expose_secret().to_owned());
    let started = Instant::now();
    let mut names = vec!["postgres".to_owned(), db.name.clone(), "template1".to_owned()];
    names.dedup();
    let mut at = 0;
    loop {
        crate::interrupt::check()?;
        let attempt = host
            .service_connector(&db.superuser, password.as_deref(), &names[at])
            .and_then(|c| facts::gather(c.as_ref()).map(|f| (c, f)));
        match attempt {
            Ok(reached) => return Ok(Ok(reached)),
            // It answers, but not as a server that can be upgraded does.
            Err(e) if ["not-superuser", "sql", "no-row", "not-allowed"].contains(&e.code) => {
                return Ok(Err(Finding::from_error(&e)));
            }
            Err(e) if e.kind == Kind::Interrupted => return Err(e),
            Err(e) if e.code == "database-missing" && at + 1 < names.len() => at += 1,
            // A server that fails to start is there for a moment each time; then Docker's word is no longer true.
            Err(e) if e.code != "login-refused" && !stays_up(deployment, host)? => {
                return Ok(Err(stack::database_down(deployment, &e.to_string())));
            }
            Err(e) if e.retryable && started.elapsed() < SERVER_PATIENCE => {
                std::thread::sleep(Duration::from_millis(300));
            }
            Err(e) => return Ok(Err(access::no_way_in(deployment, &e))),
        }
    }
}

/// Whether the database's container runs, and does so without being started again and again.
fn stays_up(deployment: &Deployment, host: &dyn Host) -> Result<bool> {
    let own = |s: &&ServiceState| s.service == deployment.database.service;
    let before = deployment.services.iter().find(own).map_or(0, |s| s.restarts);
    let now = host.services()?;
    Ok(now.iter().find(own).is_some_and(|s| s.running && !s.restarting && s.restarts == before)
        && !stack::cannot_open(deployment))
}

/// Blockers first, each finding once.
fn in_order(found: Vec<Finding>) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    for f in found {
        if !out.contains(&f) {
            out.push(f);
        }
    }
    out.sort_by_key(|f| std::cmp::Reverse(f.severity));
    out
}
