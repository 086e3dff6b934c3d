//! `repot check`.

use repot_core::progress::Silent;
use repot_core::upgrade::check::{Request, Shell, check, render};
use repot_core::upgrade::run::Workspace;
use repot_core::{Error, Result};

use crate::cli::CheckArgs;
use crate::config::{Setting, setting};
use crate::terminal::{out, out_json};

/// What the arguments and the configuration ask for.
pub fn request(setting: &Setting, args: &CheckArgs) -> Request {
    Request {
        to: args.to,
        app_version: args.app_version.clone(),
        backup_dir: setting.backup_dir(args.backup_dir.as_deref()),
        target_image: setting.config.target_image.clone(),
        shell: Shell(setting.env.clone()),
    }
}

pub fn run(args: &CheckArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    // What an unfinished run has left half made is nothing to judge, and nothing to give advice on.
    if let Some(workspace) = Workspace::look(&setting.state_dir)? {
        workspace.require_free()?;
    }
    let deployment = setting.detect(args.service.as_deref())?;
    let report = check(&deployment, &request(&setting, args), &Silent)?;
    if args.at.json {
        out_json(
            &serde_json::json!({ "deployment": deployment, "report": report, "blocked": report.blocked() }),
        );
    } else {
        out(render(&report, &deployment));
    }
    if report.blocked() {
        return Err(Error::refused("blocked", "the upgrade would fail as things are; nothing was touched")
            .help("do what is said at each blocker above, then check again"));
    }
    Ok(())
}
