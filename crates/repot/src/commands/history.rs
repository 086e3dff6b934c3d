//! `repot history`.

use repot_core::Result;

use super::look;
use crate::cli::RunArgs;
use crate::config::setting;
use crate::terminal::{out, out_json};

pub fn run(args: &RunArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let workspace = look(&setting)?;
    if let Some(id) = &args.run {
        let run = workspace.find(Some(id))?;
        let report = workspace.files(id)?.load("report.txt").ok();
        if args.at.json {
            out_json(&run);
        } else {
            out(super::status::render(&run));
            out(report.map_or_else(String::new, |r| format!("\n{}", String::from_utf8_lossy(&r))));
        }
        return Ok(());
    }
    let runs = workspace.runs()?;
    if args.at.json {
        let short: Vec<_> = runs
            .iter()
            .map(|r| {
                serde_json::json!({
                    "run": r.id, "state": r.state.name(), "started_at": r.started_at, "finished_at": r.finished_at,
                    "from": r.plan.source.major, "to": r.plan.destination.as_ref().map(|d| d.major),
                    "application_version": r.plan.app_move.as_ref().map(|a| a.to.clone()), "error": r.error, "cleaned": r.cleaned,
                })
            })
            .collect();
        out_json(&short);
        return Ok(());
    }
    for r in runs {
        let to = r
            .plan
            .destination
            .as_ref()
            .map_or_else(String::new, |d| format!("PostgreSQL {} -> {}", r.plan.source.major, d.major));
        let app = r.plan.app_move.as_ref().map_or_else(String::new, |a| format!(" application -> {}", a.to));
        out(format!("{}  {:<12} {to}{app}\n", r.id, r.state.name()));
    }
    Ok(())
}
