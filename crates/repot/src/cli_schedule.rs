//! Arguments of the schedule's commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Where;

#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Directory of the Compose file
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Run what is due now, look for silence, and end
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    pub command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Send a test message by every channel, and say of each whether it went out
    Test(Where),
    /// Tell it if no backup has succeeded for longer than silence_after; exit status 1 then
    Check(Where),
}

impl AlertsArgs {
    pub fn json(&self) -> bool {
        let (AlertsCommand::Test(at) | AlertsCommand::Check(at)) = &self.command;
        at.json
    }
}

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    #[command(subcommand)]
    pub command: ScheduleCommand,
}

/// Which systemd.
#[derive(Debug, Clone, Args)]
pub struct UnitsArgs {
    /// The user's systemd instead of the system's
    #[arg(long)]
    pub user: bool,
    /// Another directory for the units; nothing is started there
    #[arg(long, value_name = "DIR")]
    pub unit_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Write a timer for each entry and one that looks for silence, and start them
    Install {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        units: UnitsArgs,
    },
    /// Show each entry: when it runs next, when it last ran and how that ended, whether its timer is there
    Show {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        units: UnitsArgs,
    },
    /// Stop and remove the timers that `install` has written for this directory, and no others
    Remove {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        units: UnitsArgs,
    },
    /// Run one entry now, as its timer does
    Run {
        #[command(flatten)]
        at: Where,
        /// The entry
        name: String,
    },
}

impl ScheduleArgs {
    pub fn json(&self) -> bool {
        match &self.command {
            ScheduleCommand::Install { at, .. }
            | ScheduleCommand::Show { at, .. }
            | ScheduleCommand::Remove { at, .. }
            | ScheduleCommand::Run { at, .. } => at.json,
        }
    }
}
