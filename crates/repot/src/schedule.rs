//! `[schedule]` of `repot.toml`: its entries, and running one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use repot_core::exec::Cmd;
use repot_core::journal::lock::{self, Lock};
use repot_core::journal::operations::{Operations, Outcome, last_run};
use repot_core::schedule::{Entry, Schedule, delay};
use repot_core::upgrade::files::make_private_dir;
use repot_core::{Error, Kind, Result, interrupt};
use serde::Deserialize;

use crate::alerts::Alerts;
use crate::cli::{Cli, Command};
use crate::config::Setting;
use crate::operation::{Record, Told, VARIABLE, catalog};
use crate::terminal::say;

/// `[schedule]` of `repot.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// When `repot backup` runs.
    pub backup: Option<String>,
    /// When `repot prune` runs.
    pub prune: Option<String>,
    /// When `repot verify` runs.
    pub verify: Option<String>,
    /// When `repot verify due` runs: sets restored into a throw-away server.
    pub drill: Option<String>,
    /// The zone of all entries that name none, instead of the machine's.
    pub timezone: Option<String>,
    /// How much later an entry may begin, such as `10m`.
    pub random_delay: Option<String>,
    /// Whether what was due while nothing ran is made up for.
    pub catch_up: bool,
    /// A file with variables for the systemd units.
    pub environment_file: Option<PathBuf>,
    /// More entries.
    pub job: Vec<JobConfig>,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        ScheduleConfig {
            backup: None,
            prune: None,
            verify: None,
            drill: None,
            timezone: None,
            random_delay: None,
            catch_up: true,
            environment_file: None,
            job: Vec::new(),
        }
    }
}

/// `[[schedule.job]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub when: String,
    /// Arguments of repot.
    pub args: Vec<String>,
}

/// An entry with what it does.
pub struct Job {
    pub entry: Entry,
    pub args: Vec<String>,
}

/// How long an entry waits for another repot that is at work here.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(12 * 3600);
/// How long a command that was asked to stop has before it is ended.
const GRACE: Duration = Duration::from_secs(120);

fn bad(what: String) -> Error {
    Error::usage("bad-config", what).help("correct [schedule] or [alerts] in repot.toml")
}

/// A duration such as `26h`, `10m` or `2 days`.
pub fn duration(key: &str, text: &str) -> Result<Duration> {
    let span: Result<Span, _> = text.parse();
    let whole = span.and_then(|s| s.to_duration(SpanRelativeTo::days_are_24_hours()));
    whole.ok().and_then(|d| Duration::try_from(d).ok()).ok_or_else(|| {
        bad(format!("{key}: `{text}` is no duration; write one such as `90s`, `10m`, `26h` or `2d`"))
    })
}

/// The jobs of a configuration, each checked.
pub fn jobs(setting: &Setting) -> Result<Vec<Job>> {
    let config = &setting.config.schedule;
    let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let mut all: Vec<(String, &String, Vec<String>)> = Vec::new();
    for (name, when) in [("backup", &config.backup), ("prune", &config.prune), ("verify", &config.verify)] {
        all.extend(when.as_ref().map(|w| (name.to_owned(), w, words(&[name]))));
    }
    if let Some(when) = &config.drill {
        let every = format!("{}s", between(&in_zone(when, config.timezone.as_deref())?).as_secs());
        all.push(("drill".to_owned(), when, words(&["verify", "due", "--every", &every])));
    }
    all.extend(config.job.iter().map(|j| (j.name.clone(), &j.when, j.args.clone())));
    let max = config.random_delay.as_deref().map(|t| duration("random_delay", t)).transpose()?;
    let mut jobs: Vec<Job> = Vec::new();
    for (name, when, args) in all {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 60 || !name.chars().all(plain) || name == "silence" {
            return Err(bad(format!(
                "`{name}` cannot be the name of a job: letters, digits, - and _, and not `silence`"
            )));
        }
        if jobs.iter().any(|j| j.entry.name == name) {
            return Err(bad(format!("two entries of the schedule are called {name}")));
        }
        check_args(&name, &args)?;
        let schedule = in_zone(when, config.timezone.as_deref())?;
        let seed = format!("{}/{name}", setting.dir.display());
        let delay = max.map_or(Duration::ZERO, |m| delay(&seed, m));
        jobs.push(Job { entry: Entry { name, schedule, delay, catch_up: config.catch_up }, args });
    }
    Ok(jobs)
}

/// How long it is from one time to the next, at the most of the coming ones: a month may have 31 days.
fn between(schedule: &Schedule) -> Duration {
    let mut longest = Duration::from_secs(3600);
    let mut at = Timestamp::now();
    for i in 0..14 {
        let Some(next) = schedule.next_after(at) else { break };
        if i > 0 {
            longest = longest.max(next.duration_since(at).try_into().unwrap_or_default());
        }
        at = next;
    }
    longest
}

/// The schedule in the configured zone, else the machine's, unless it names one itself.
fn in_zone(when: &str, zone: Option<&str>) -> Result<Schedule> {
    let plain = Schedule::parse(when)?;
    let names_one = when.split_whitespace().rev().nth(1).is_some_and(|w| w.eq_ignore_ascii_case("in"));
    match zone {
        Some(zone) if !names_one => Schedule::parse(&format!("{when} in {zone}")),
        _ => Ok(plain.or_in(TimeZone::system())),
    }
}

/// Whether repot has such a command, and one that ends by itself.
fn check_args(name: &str, args: &[String]) -> Result<()> {
    if args.iter().any(|a| a.starts_with("-C") || a.starts_with("--directory")) {
        return Err(bad(format!("the job {name} names a directory; it is that of repot.toml")));
    }
    let command = Cli::try_parse_from(std::iter::once("repot").chain(args.iter().map(String::as_str)));
    match command.map(|c| c.command) {
        Ok(Command::Agent(_) | Command::Schedule(_) | Command::Alerts(_)) => {
            Err(bad(format!("the job {name} cannot be one of the schedule's own commands")))
        }
        Ok(_) => Ok(()),
        Err(e) => {
            Err(bad(format!("the arguments of the job {name} are no command of repot"))
                .why(e.kind().to_string()))
        }
    }
}

/// When each entry last ran.
pub fn last_runs(setting: &Setting, jobs: &[Job]) -> BTreeMap<String, Timestamp> {
    let all = catalog(setting).and_then(|c| c.operations()).unwrap_or_default();
    let of = |j: &Job| Some((j.entry.name.clone(), last_run(&all, &j.entry.name)?));
    jobs.iter().filter_map(of).collect()
}

/// Writes down entries that are seen for the first time: they are due from now on.
pub fn make_known(setting: &Setting, jobs: &[Job]) -> Result<()> {
    let mut catalog = catalog(setting)?;
    let all = catalog.operations()?;
    let now = Timestamp::now();
    for j in jobs {
        let name = &j.entry.name;
        if !all.iter().any(|o| o.scheduled && o.label == *name) {
            let kind = j.args.first().map_or("job", String::as_str);
            catalog.begin_operation(kind, name, true, Outcome::Known, now)?;
        }
    }
    if !all.iter().any(|o| o.kind == "silence") {
        catalog.begin_operation("silence", "silence", false, Outcome::Known, now)?;
    }
    Ok(())
}

/// Waits for a lock of the state directory while another repot has it.
fn wait_for(what: &str, take: impl Fn() -> Result<Lock>) -> Result<Lock> {
    let started = Instant::now();
    let mut said = false;
    loop {
        interrupt::check()?;
        match take() {
            Err(e) if e.code == "locked" && started.elapsed() < WAIT_FOR_OTHERS => {
                if !said {
                    say(format!("{what}: waiting for another repot that is at work here"));
                    said = true;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            other => return other,
        }
    }
}

/// One entry at a time, whoever runs it.
pub fn turn(setting: &Setting, name: &str) -> Result<Lock> {
    make_private_dir(&setting.state_dir)?;
    wait_for(name, || lock::take_named(&setting.state_dir, "schedule.lock"))
}

/// Runs an entry as a process of its own, to its end. `_turn` shows that no other runs. The command itself tells of its
/// failure; what it could not tell, because it died, is told here.
pub fn run(setting: &Setting, job: &Job, _turn: &Lock) -> Result<()> {
    let name = &job.entry.name;
    // Somebody's restore, or upgrade, by hand; what the entry does takes this lock itself.
    drop(wait_for(name, || lock::take(&setting.state_dir))?);
    let kind = job.args.first().map_or("job", String::as_str);
    let started = Timestamp::now();
    let begun = catalog(setting)
        .and_then(|mut c| c.begin_operation(kind, name, true, Outcome::Running, started).map(|id| (c, id)));
    let this = std::env::current_exe().map_err(|e| Error::io("repot does not find itself", &e))?;
    let mut cmd = Cmd::new(this).args(&job.args).cwd(&setting.dir).grace(GRACE);
    let mut record = match begun {
        Ok((catalog, id)) => {
            cmd = cmd.env(VARIABLE, id.to_string());
            Some(Record::of(catalog, id, name))
        }
        Err(e) => {
            say(format!("note: this operation is not written down: {e}"));
            // Unknown: the command begins one of its own, and tells of it.
            cmd = cmd.env(VARIABLE, "0");
            None
        }
    };
    let status = cmd.pass_through();
    let result = match status {
        Ok(s) if s.success() => Ok(()),
        Ok(_) if interrupt::requested() => {
            Err(Error::new(Kind::Interrupted, "interrupted", format!("{name} was stopped on request")))
        }
        Ok(s) => Err(Error::failed("job-failed", format!("the scheduled {name} ended with {s}"))
            .help("its own words stand above, in the log")),
        Err(e) => Err(e),
    };
    if let Some(record) = record.as_mut().filter(|r| !r.is_finished()) {
        record.end(&Alerts::open(setting, None), &result, &Told::default());
    }
    result
}
