//! `repot cleanup`.

use repot_core::Result;
use repot_core::progress::human_bytes;
use repot_core::upgrade::cleanup::{leftovers, remove};

use super::open;
use crate::cli::CleanupArgs;
use crate::config::setting;
use crate::terminal::{confirm, out, out_json, say};

pub fn run(args: &CleanupArgs) -> Result<()> {
    let setting = setting(&args.run.at.dir)?;
    super::look(&setting)?;
    let mut workspace = open(&setting)?;
    let found = leftovers(&workspace, args.run.run.as_deref())?;
    let json = args.run.at.json;
    if found.is_empty() {
        if json {
            out_json(&serde_json::json!({ "set_aside": [], "removed": false }));
        } else {
            out("Nothing is set aside.\n");
        }
        return Ok(());
    }
    let lines: String = found
        .iter()
        .map(|l| {
            format!(
                "  {:>8}  {}\n            {} (run {})\n",
                human_bytes(l.size_bytes),
                l.place,
                l.what,
                l.run
            )
        })
        .collect();
    if args.dry_run {
        if json {
            out_json(&serde_json::json!({ "set_aside": found, "removed": false }));
        } else {
            out(format!("Set aside:\n{lines}"));
        }
        return Ok(());
    }
    say(format!("Set aside:\n{lines}Once removed, `repot rollback` cannot bring it back."));
    confirm("Remove it?", args.yes)?;
    remove(&mut workspace, &found)?;
    let freed: u64 = found.iter().map(|l| l.size_bytes).sum();
    if json {
        out_json(&serde_json::json!({ "set_aside": found, "removed": true }));
    } else {
        out(format!("Removed: {} freed.\n", human_bytes(freed)));
    }
    Ok(())
}
