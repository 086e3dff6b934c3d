//! What a run did, in words and as a value; kept with the run.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::RunFiles;
use super::plan::{Destination, Step};
use crate::error::Result;
use crate::host::{SetAside, Store};
use crate::journal::catalog::{Run, StepState};
use crate::progress::{human_bytes, human_seconds};

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Run id.
    pub run: String,
    /// Application, in words.
    pub application: String,
    /// Compose project.
    pub project: String,
    /// PostgreSQL major before.
    pub from: u32,
    /// PostgreSQL major now.
    pub to: u32,
    /// Full version of the new server.
    pub server_version: Option<String>,
    /// Application version before and now, where it moved.
    pub application_version: Option<(Option<String>, String)>,
    /// Method.
    pub method: String,
    /// Tables compared.
    pub tables: u64,
    /// Rows compared.
    pub rows: u64,
    /// Other objects compared.
    pub objects: u64,
    /// Seconds the application was down: from the stop to the healthy answer.
    pub downtime_seconds: f64,
    /// Seconds by step.
    pub steps: Vec<StepTime>,
    /// Backup set.
    pub backup_set: Option<String>,
    /// Where the old data is.
    pub old_data: Option<String>,
}

/// One step's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Stable name.
    pub step: String,
    /// In words.
    pub title: String,
    /// Seconds.
    pub seconds: f64,
    /// Whether the application was down meanwhile.
    pub down: bool,
    /// What came of it.
    pub outcome: String,
}

/// Where the old data is kept, in words.
#[must_use]
pub fn where_aside(d: &Destination) -> String {
    match &d.set_aside {
        SetAside::Rename { parent: Store::Bind(p), aside, .. } => {
            format!("{}/{aside}", p.trim_end_matches('/'))
        }
        SetAside::Rename { parent: Store::Volume(v), aside, .. } => format!("volume {v}, directory {aside}"),
        SetAside::NewVolume { old, .. } => format!("volume {old}"),
    }
}

/// What came of a step, in few words.
#[must_use]
pub fn outcome(step: Step, result: &Value) -> String {
    let n = |k: &str| result[k].as_u64().unwrap_or(0);
    let list = |k: &str| -> Vec<String> {
        result[k].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    match step {
        Step::FetchImages => match list("fetched").as_slice() {
            [] => "all present".to_owned(),
            some => some.join(", "),
        },
        Step::StopApplication => list("stopped").join(", "),
        Step::FenceDatabase => "no other connection can reach it".to_owned(),
        Step::BackUp => format!(
            "{} in {} databases, {} tables, {} rows",
            human_bytes(n("size_bytes")),
            n("databases"),
            n("tables"),
            n("rows")
        ),
        Step::StopOldServer => "shut down cleanly".to_owned(),
        Step::EditDatabaseFiles | Step::EditApplicationFiles => list("files")
            .iter()
            .map(|f| f.rsplit('/').next().unwrap_or(f).to_owned())
            .collect::<Vec<_>>()
            .join(", "),
        Step::CarryConfiguration => {
            let mut all = list("files");
            let settings = list("settings").len();
            if settings > 0 {
                all.push(format!("{settings} settings"));
            }
            all.join(", ")
        }
        Step::UpdateExtensions => match list("updated").as_slice() {
            [] => "none needed".to_owned(),
            some => some.join(", "),
        },
        Step::Compare => {
            format!("equal: {} tables, {} rows, {} other objects", n("tables"), n("rows"), n("objects"))
        }
        Step::StopNewServer => human_bytes(n("size_bytes")),
        Step::StartDatabase => format!("PostgreSQL {}", result["server_version"].as_str().unwrap_or("?")),
        Step::CheckLogin => match result["user"].as_str() {
            Some(u) => format!("as {u}"),
            None => "not tried: no password known".to_owned(),
        },
        Step::MigrateApplication => {
            result["command"].as_str().or(result["note"].as_str()).unwrap_or_default().to_owned()
        }
        Step::StartApplication => list("started").join(", "),
        Step::CheckHealth => "all well".to_owned(),
        Step::SetAside | Step::StartNewServer | Step::Restore | Step::Analyze => String::new(),
    }
}

/// The report of a run.
#[must_use]
pub fn report(run: &Run) -> Report {
    let plan = &run.plan;
    let down_from = Step::StopApplication;
    let mut down = false;
    let mut steps = Vec::new();
    for s in &run.steps {
        down |= s.step == down_from;
        if s.state == StepState::Done {
            steps.push(StepTime {
                step: s.step.name().to_owned(),
                title: s.step.title().to_owned(),
                seconds: s.seconds,
                down,
                outcome: outcome(s.step, &s.result),
            });
        }
    }
    let compared = run.step(Step::Compare).map_or(&Value::Null, |s| &s.result);
    let n = |k: &str| compared[k].as_u64().unwrap_or(0);
    Report {
        run: run.id.clone(),
        application: plan.profile.title.clone(),
        project: plan.project.name.clone(),
        from: plan.source.major,
        to: plan.destination.as_ref().map_or(plan.source.major, |d| d.major),
        server_version: run
            .step(Step::StartDatabase)
            .and_then(|s| s.result["server_version"].as_str().map(str::to_owned)),
        application_version: plan.app_move.as_ref().map(|a| (a.from.clone(), a.to.clone())),
        method: plan.method.clone(),
        tables: n("tables"),
        rows: n("rows"),
        objects: n("objects"),
        downtime_seconds: downtime(run)
            .unwrap_or_else(|| steps.iter().filter(|s| s.down).map(|s| s.seconds).sum()),
        steps,
        backup_set: plan.backup_set.as_ref().filter(|_| plan.keep_backup).map(|p| p.display().to_string()),
        old_data: plan.destination.as_ref().map(where_aside),
    }
}

/// Wall-clock seconds from the first stop to the healthy answer: what users of the application noticed, waiting
/// between a crash and its resume included.
fn downtime(run: &Run) -> Option<f64> {
    let from: jiff::Timestamp = run.step(Step::StopApplication)?.started_at.as_deref()?.parse().ok()?;
    let to: jiff::Timestamp = run.steps.last()?.finished_at.as_deref()?.parse().ok()?;
    Some(to.duration_since(from).as_secs_f64())
}

/// The report in words.
#[must_use]
pub fn render(r: &Report) -> String {
    let mut t = String::new();
    let _ = match (r.from == r.to, &r.application_version) {
        (false, _) => writeln!(
            t,
            "{} ({}) moved from PostgreSQL {} to {}.",
            r.application,
            r.project,
            r.from,
            r.server_version.as_deref().unwrap_or(&r.to.to_string())
        ),
        (true, _) => {
            writeln!(t, "{} ({}) was updated; PostgreSQL stays at {}.", r.application, r.project, r.from)
        }
    };
    if let Some((from, to)) = &r.application_version {
        let _ = writeln!(
            t,
            "The application went from {} to {to}.",
            from.as_deref().unwrap_or("an unnamed version")
        );
    }
    if r.from != r.to {
        let _ = writeln!(
            t,
            "Old and new were compared and are equal: {} tables, {} rows, {} other objects.",
            r.tables, r.rows, r.objects
        );
    }
    let _ = writeln!(t, "\nThe application was down for {}:", human_seconds(r.downtime_seconds));
    for s in &r.steps {
        let mark = if s.down { "" } else { "  (still up)" };
        let _ = writeln!(t, "  {:<30} {:>9}  {}{mark}", s.title, human_seconds(s.seconds), s.outcome);
    }
    let _ = writeln!(t);
    if let Some(d) = &r.old_data {
        let _ = writeln!(t, "The old data is set aside, untouched: {d}");
    }
    if let Some(b) = &r.backup_set {
        let _ = writeln!(t, "The backup set: {b}");
    }
    let _ = writeln!(t, "To go back:      repot rollback {}", r.run);
    if r.old_data.is_some() {
        let _ = writeln!(t, "To free its space, once you are sure:  repot cleanup {}", r.run);
    }
    t
}

/// Keeps the report with the run.
pub fn keep(files: &RunFiles, run: &Run) -> Result<()> {
    let r = report(run);
    files.save("report.json", &serde_json::to_vec_pretty(&r).unwrap_or_default())?;
    files.save("report.txt", render(&r).as_bytes())
}
