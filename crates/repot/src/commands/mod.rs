//! One short file a command: its arguments and one call.

pub mod agent;
pub mod alerts;
pub mod backup;
pub mod backups;
pub mod check;
pub mod cleanup;
pub mod compare;
pub mod demo;
pub mod history;
pub mod prune;
pub mod restore;
pub mod restore_engines;
mod restore_foreign;
pub mod resume;
pub mod rollback;
pub mod schedule;
pub mod status;
pub mod upgrade;
pub mod verify;

use clap::CommandFactory;
use repot_core::upgrade::run::Workspace;
use repot_core::{Error, Result};

use crate::cli::{Cli, Command};
use crate::config::Setting;

/// Whether the command was asked for JSON: then its error is JSON too.
pub fn wants_json(command: &Command) -> bool {
    match command {
        Command::Check(a) => a.at.json,
        Command::Upgrade(a) => a.check.at.json,
        Command::Status(a) | Command::History(a) => a.at.json,
        Command::Resume(a) => a.run.at.json,
        Command::Rollback(a) => a.run.at.json,
        Command::Cleanup(a) => a.run.at.json,
        Command::Backup(a) => a.at.json,
        Command::Backups(a) => a.at.json,
        Command::Verify(a) => a.at.json,
        Command::Prune(a) => a.at.json,
        Command::Restore(a) => a.at.json,
        Command::Compare(a) => a.json,
        Command::Alerts(a) => a.json(),
        Command::Schedule(a) => a.json(),
        Command::Agent(_) | Command::Demo(_) | Command::Completions { .. } | Command::Man => false,
    }
}

/// Opens the workspace for work; whatever goes wrong there, nothing was touched yet.
pub fn open(setting: &Setting) -> Result<Workspace> {
    Workspace::open(&setting.state_dir).map_err(|e| {
        if e.kind == repot_core::Kind::Failed { e.with_kind(repot_core::Kind::Refused) } else { e }
    })
}

/// Opens the workspace for looking; an error where repot has not run yet.
pub fn look(setting: &Setting) -> Result<Workspace> {
    Workspace::look(&setting.state_dir)?.ok_or_else(|| {
        Error::usage("no-run", "repot has not run here yet")
            .help("`repot check` looks at the application in this directory")
    })
}

pub fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "repot", &mut std::io::stdout());
}

pub fn man() -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|e| Error::io("cannot write the manual page", &e))?;
    for sub in Cli::command().get_subcommands() {
        let mut part = Vec::new();
        let title = format!("repot {}", sub.get_name());
        let named = sub.clone().bin_name(title);
        clap_mangen::Man::new(named)
            .render(&mut part)
            .map_err(|e| Error::io("cannot write the manual page", &e))?;
        // One page for all: only the first part keeps its header.
        let text = String::from_utf8_lossy(&part);
        let body: String = text
            .lines()
            .filter(|l| !l.starts_with(".TH ") && !l.starts_with(".ie") && !l.starts_with(".el"))
            .fold(String::new(), |mut s, l| {
                s.push_str(l);
                s.push('\n');
                s
            });
        page.extend_from_slice(body.as_bytes());
    }
    crate::terminal::out(String::from_utf8_lossy(&page));
    Ok(())
}
