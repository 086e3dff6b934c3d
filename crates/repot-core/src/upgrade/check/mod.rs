//! What would make the upgrade fail, found before anything is touched.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::postgres::facts::ClusterFacts;

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

/// temporary
pub fn check_facts(
    _f: &ClusterFacts,
    _c: &dyn crate::engine::postgres::session::Connector,
    _t: u32,
    _s: &str,
    _d: &str,
) -> crate::Result<Vec<Finding>> {
    Ok(Vec::new())
}

/// temporary
pub fn check(
    d: &crate::app::detect::Deployment,
    r: &Request,
    _o: &dyn crate::progress::Observer,
) -> crate::Result<CheckReport> {
    let reference = crate::host::compose::edit::ImageRef::parse(&d.database.image)?;
    Ok(CheckReport {
        source_major: d.source_major(),
        target: r.to.filter(|t| Some(*t) != d.source_major()).map(|major| Target {
            major,
            image: crate::app::detect::with_major(&reference, major),
            present: true,
        }),
        ..CheckReport::default()
    })
}
/// temporary
pub fn render(r: &CheckReport, _d: &crate::app::detect::Deployment) -> String {
    format!("{r:#?}")
}
