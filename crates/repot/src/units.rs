//! Units of systemd for the entries of a schedule. Texts only; `commands/schedule.rs` writes them.

use std::path::Path;

use repot_core::{Error, Result};

use crate::schedule::Job;

/// Where and how the units work.
pub struct Place<'a> {
    /// The project's directory.
    pub dir: &'a Path,
    /// The state directory, where a variable names it.
    pub state_dir: Option<&'a str>,
    /// This program.
    pub program: &'a Path,
    /// Whether they are the user's units.
    pub user: bool,
    pub environment_file: Option<&'a Path>,
    /// By how much a start may be put off.
    pub random_delay_s: u64,
    pub catch_up: bool,
}

/// A unit's name and text.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    pub name: String,
    pub text: String,
}

/// What the first line of each unit says; what says something else is not ours.
pub fn marker(dir: &Path) -> String {
    format!("# Written by repot for {}; `repot schedule remove` there removes it.", dir.display())
}

/// The beginning of the names of all units of this directory.
pub fn prefix(dir: &Path) -> String {
    let name = dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).take(60).collect();
    format!("repot-{plain}-")
}

/// Service and timer of an entry.
pub fn of_job(place: &Place<'_>, job: &Job) -> Result<[Unit; 2]> {
    let name = &job.entry.name;
    let calendar = job.entry.schedule.to_systemd_calendar()?;
    let timer = format!(
        "OnCalendar={calendar}\nPersistent={}\nRandomizedDelaySec={}\nFixedRandomDelay=true\nAccuracySec=1s\n",
        place.catch_up, place.random_delay_s
    );
    units(place, name, &format!("schedule run {name}"), &timer)
}

/// Service and timer that look for silence.
pub fn of_silence(place: &Place<'_>) -> Result<[Unit; 2]> {
    units(place, "silence", "alerts check", "OnCalendar=*:0/15\nAccuracySec=1min\n")
}

fn units(place: &Place<'_>, name: &str, command: &str, timer: &str) -> Result<[Unit; 2]> {
    let dir = place.dir.display().to_string();
    let program = place.program.display().to_string();
    for (what, text) in [("directory", &dir), ("program", &program)] {
        if text.chars().any(char::is_control) {
            return Err(Error::usage("bad-unit", format!("the {what} {text:?} cannot be named in a unit")));
        }
    }
    let marker = marker(place.dir);
    let title = format!("repot: {name} of {}", percent(&dir));
    // The user's systemd knows no units of the system's.
    let after = if place.user {
        ""
    } else {
        "Wants=network-online.target\nAfter=network-online.target docker.service\n"
    };
    let mut environment = String::new();
    if let Some(s) = place.state_dir {
        environment.push_str(&format!("Environment={}\n", quoted(&format!("REPOT_STATE_DIR={s}"), false)));
    }
    if let Some(f) = place.environment_file {
        environment.push_str(&format!("EnvironmentFile={}\n", percent(&f.display().to_string())));
    }
    let service = format!(
        "{marker}\n\n[Unit]\nDescription={title}\n{after}\n[Service]\nType=oneshot\nWorkingDirectory={}\n{environment}\
         ExecStart={} {command} -C {}\n# repot asks its own children to stop, in its own order.\nKillMode=mixed\n\
         TimeoutStopSec=150\n",
        percent(&dir),
        quoted(&program, true),
        quoted(&dir, true),
    );
    let timer = format!(
        "{marker}\n\n[Unit]\nDescription={title}\n\n[Timer]\n{timer}\n[Install]\nWantedBy=timers.target\n"
    );
    let stem = format!("{}{name}", prefix(place.dir));
    Ok([
        Unit { name: format!("{stem}.service"), text: service },
        Unit { name: format!("{stem}.timer"), text: timer },
    ])
}

/// systemd.unit(5): `%` begins a specifier.
fn percent(text: &str) -> String {
    text.replace('%', "%%")
}

/// systemd.service(5): a word in double quotes; in a command line `$` names a variable.
fn quoted(text: &str, command: bool) -> String {
    let escaped = percent(text).replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = if command { escaped.replace('$', "$$") } else { escaped };
    format!("\"{escaped}\"")
}
