//! `repot resume`.

use repot_core::Result;
use repot_core::journal::catalog::RunState;

use super::{open, upgrade::print_report};
use crate::cli::ResumeArgs;
use crate::config::setting;
use crate::terminal::{Progress, out, out_json, say};

pub fn run(args: &ResumeArgs) -> Result<()> {
    let setting = setting(&args.run.at.dir)?;
    super::look(&setting)?;
    let mut workspace = open(&setting)?;
    let run = match &args.run.run {
        Some(id) => workspace.find(Some(id))?,
        None => match workspace.unfinished()? {
            Some(r) => r,
            None => {
                if args.run.at.json {
                    out_json(&serde_json::json!({ "state": "nothing-to-do" }));
                } else {
                    out("Nothing to do: no run is unfinished.\n");
                }
                return Ok(());
            }
        },
    };
    say(format!("run {} is {}; carrying on", run.id, run.state.name()));
    let run = workspace.resume(&run.id, &Progress::new())?;
    match run.state {
        RunState::RolledBack => super::rollback::print_done(&run, args.run.at.json),
        _ => print_report(&run, args.run.at.json),
    }
    Ok(())
}
