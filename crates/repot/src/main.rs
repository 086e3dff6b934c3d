//! The command: arguments in, words out.

#![allow(
    unreachable_pub,
    reason = "a binary has no public items; `pub` says what a module offers its siblings"
)]

mod alerts;
mod cli;
mod cli_schedule;
mod commands;
mod config;
mod operation;
mod place;
mod schedule;
mod signing;
mod storage;
mod takeover;
mod terminal;
mod units;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use repot_core::{Error, interrupt};

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let cli = Cli::parse();
    listen_for_signals();
    let json = commands::wants_json(&cli.command);
    let result = match cli.command {
        // An operation by itself, scheduled or not.
        command @ Command::Backup(_) => run(command),
        command => operation::when_scheduled(|| run(command)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if json && !terminal::json_is_out() {
                terminal::out_json(&serde_json::json!({ "error": {
                    "code": e.code, "message": e.what, "why": e.why, "help": e.help, "retryable": e.retryable,
                    "exit_status": e.kind.exit_status(),
                }}));
            }
            terminal::say(terminal::render_error(&e).trim_end());
            ExitCode::from(e.kind.exit_status())
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Check(a) => commands::check::run(&a),
        Command::Upgrade(a) => commands::upgrade::run(&a),
        Command::Status(a) => commands::status::run(&a),
        Command::History(a) => commands::history::run(&a),
        Command::Resume(a) => commands::resume::run(&a),
        Command::Rollback(a) => commands::rollback::run(&a),
        Command::Cleanup(a) => commands::cleanup::run(&a),
        Command::Backup(a) => commands::backup::run(&a),
        Command::Agent(a) => commands::agent::run(&a),
        Command::Schedule(a) => commands::schedule::run(&a),
        Command::Alerts(a) => commands::alerts::run(&a),
        Command::Backups(a) => commands::backups::run(&a),
        Command::Verify(a) => commands::verify::run(&a),
        Command::Prune(a) => commands::prune::run(&a),
        Command::Restore(a) => commands::restore::run(&a),
        Command::Compare(a) => commands::compare::run(&a),
        Command::Demo(a) => commands::demo::run(&a),
        Command::Completions { shell } => {
            commands::completions(shell);
            Ok(())
        }
        Command::Man => commands::man(),
    }
}

/// SIGINT, SIGTERM and SIGHUP ask for a stop at the next safe place; the journal makes any place safe, so that
/// even a second, harder signal loses nothing.
fn listen_for_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if !interrupt::requested() && !terminal::is_asking() {
                terminal::say("stopping at the next safe place ...");
            }
            interrupt::request();
        }
    });
}
