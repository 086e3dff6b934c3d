//! `repot upgrade`.

use std::fmt::Write as _;

use repot_core::progress::{Silent, human_bytes};
use repot_core::upgrade::check::{CheckReport, check, render};
use repot_core::upgrade::plan::Plan;
use repot_core::upgrade::planner::{Method, Options, plan};
use repot_core::upgrade::report::{self, where_aside};
use repot_core::upgrade::run::Workspace;
use repot_core::{Error, Result};

use super::{check::request, open};
use crate::cli::{MethodArg, UpgradeArgs};
use crate::config::setting;
use crate::terminal::{Progress, confirm, out, out_json, say};

pub fn run(args: &UpgradeArgs) -> Result<()> {
    let json = args.check.at.json;
    let setting = setting(&args.check.at.dir)?;
    // The lock comes first: what is checked must still be so when it is done.
    let mut workspace = if args.dry_run { None } else { Some(open(&setting)?) };
    match (&workspace, Workspace::look(&setting.state_dir)?) {
        (Some(w), _) => w.require_free()?,
        (None, Some(w)) => w.require_free()?,
        (None, None) => {}
    }
    let deployment = setting.detect(args.check.service.as_deref())?;
    let request = request(&setting, &args.check);
    let checked = check(&deployment, &request, &Silent)?;
    if checked.blocked() {
        say(render(&checked, &deployment));
        return Err(Error::refused("blocked", "the upgrade would fail as things are; nothing was touched")
            .help("do what is said at each blocker above, then try again"));
    }
    if request.to.is_none() && request.app_version.is_none() {
        return recommend(&checked, json);
    }
    let same_version = request.app_version.is_none() || request.app_version == deployment.application_version;
    if checked.target.is_none() && same_version {
        let text = format!(
            "Nothing to do: the database is on PostgreSQL {} already.",
            checked.source_major.unwrap_or_default()
        );
        if json {
            out_json(&serde_json::json!({ "state": "nothing-to-do", "message": text }));
        } else {
            out(format!("{text}\n"));
        }
        return Ok(());
    }
    let method = match args.method {
        MethodArg::Auto => Method::Auto,
        MethodArg::Dump => Method::Dump,
    };
    let planned = plan(
        &deployment,
        &checked,
        &request,
        &Options { method, skip_backup: args.skip_backup, env: setting.env.clone() },
    )?;
    let findings: Vec<_> = checked
        .findings
        .iter()
        .filter(|f| f.severity == repot_core::upgrade::check::Severity::Warning)
        .collect();
    if args.dry_run {
        if json {
            out_json(&serde_json::json!({ "plan": planned.plan, "warnings": findings }));
        } else {
            out(render_plan(&planned.plan));
        }
        return Ok(());
    }
    for f in &findings {
        say(format!("warning: {}\n         {}\n      -> {}", f.title, f.detail, f.remedy));
    }
    say(render_plan(&planned.plan));
    confirm("Go on?", args.yes)?;
    let Some(workspace) = workspace.as_mut() else { return Ok(()) };
    let run = workspace.start(&planned.plan, &planned.texts, &Progress::new())?;
    print_report(&run, json);
    Ok(())
}

/// The report of a finished run, on standard output.
pub fn print_report(run: &repot_core::journal::catalog::Run, json: bool) {
    let r = report::report(run);
    if json {
        out_json(&r);
    } else {
        say("");
        out(report::render(&r));
    }
}

fn recommend(checked: &CheckReport, json: bool) -> Result<()> {
    if json {
        out_json(&serde_json::json!({ "state": "recommendation", "recommendation": checked.recommendation }));
        return Ok(());
    }
    match &checked.recommendation {
        Some(r) => out(format!(
            "Nothing was done: say which version to go to.\nPostgreSQL {} is what repot recommends: {}\n  repot upgrade --to {}\n",
            r.to, r.why, r.to
        )),
        None => out(
            "The database is on the newest PostgreSQL that this application is known to accept: nothing to do.\n",
        ),
    }
    Ok(())
}

/// The plan as people read it.
pub fn render_plan(p: &Plan) -> String {
    let mut t = String::new();
    let _ = writeln!(t, "Plan {} for {} (Compose project {})\n", p.run, p.profile.title, p.project.name);
    if let Some(d) = &p.destination {
        let _ = writeln!(
            t,
            "  PostgreSQL {} -> {}   service {}, image {}, {} of data",
            p.source.major,
            d.major,
            p.service,
            d.image,
            human_bytes(p.source.size_bytes)
        );
        let _ = writeln!(t, "  method: {} ({})", p.method, p.method_reason);
        let _ = writeln!(t, "  the old data stays, set aside as {}", where_aside(d));
    }
    if let Some(a) = &p.app_move {
        let _ = writeln!(t, "  application {} -> {}", a.from.as_deref().unwrap_or("?"), a.to);
    }
    match &p.backup_set {
        Some(b) if p.keep_backup => {
            let _ = writeln!(t, "  backup set: {}", b.display());
        }
        Some(_) => {
            let _ =
                writeln!(t, "  no backup set is kept; the dump is removed once old and new were compared");
        }
        None => {
            let _ = writeln!(
                t,
                "  no backup: what the application's update does to the data cannot be taken back"
            );
        }
    }
    for e in &p.edits {
        let _ = writeln!(t, "\n  {}", e.path.display());
        for l in e.diff.lines() {
            let _ = writeln!(t, "    {l}");
        }
    }
    let _ = writeln!(t, "\n  Steps:");
    for (i, s) in p.steps.iter().enumerate() {
        let _ = writeln!(t, "   {:>2}. {}", i + 1, s.title());
    }
    t
}
