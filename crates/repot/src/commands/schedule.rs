//! `repot schedule`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use repot_core::exec::Cmd;
use repot_core::journal::operations::{Operation, Operations, Outcome};
use repot_core::{Error, Result};

use crate::cli::{ScheduleArgs, ScheduleCommand, UnitsArgs};
use crate::config::{Setting, setting};
use crate::operation::catalog;
use crate::schedule::{Job, duration, jobs, make_known, run as run_job, turn};
use crate::terminal::{out, out_json, say};
use crate::units::{Place, Unit, marker, of_job, of_silence, prefix};

/// How many of the next runs are shown.
const SHOWN: usize = 3;
/// How far changes of the clock are looked for.
const LOOK_AHEAD_HOURS: i64 = 400 * 24;

pub fn run(args: &ScheduleArgs) -> Result<()> {
    match &args.command {
        ScheduleCommand::Install { at, units } => install(&setting(&at.dir)?, units, at.json),
        ScheduleCommand::Show { at, units } => show(&setting(&at.dir)?, units, at.json),
        ScheduleCommand::Remove { at, units } => remove(&setting(&at.dir)?, units, at.json),
        ScheduleCommand::Run { at, name } => {
            let setting = setting(&at.dir)?;
            let all = jobs(&setting)?;
            let job = all.iter().find(|j| j.entry.name == *name).ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|j| j.entry.name.as_str()).collect();
                Error::usage("no-schedule", format!("the schedule has no entry {name}"))
                    .help(format!("it has {}", names.join(", ")))
            })?;
            let turn = turn(&setting, name)?;
            run_job(&setting, job, &turn)
        }
    }
}

fn some_jobs(setting: &Setting) -> Result<Vec<Job>> {
    let all = jobs(setting)?;
    if all.is_empty() {
        return Err(Error::usage("no-schedule", "repot.toml names nothing that could be due")
            .help("add for example `backup = \"daily at 03:00\"` under [schedule]"));
    }
    Ok(all)
}

fn unit_dir(setting: &Setting, args: &UnitsArgs) -> Result<PathBuf> {
    match (&args.unit_dir, args.user) {
        (Some(d), _) => Ok(d.clone()),
        (None, false) => Ok(PathBuf::from("/etc/systemd/system")),
        (None, true) => {
            let config = setting.env.get("XDG_CONFIG_HOME").map(PathBuf::from);
            let home = setting.env.get("HOME").map(|h| Path::new(h).join(".config"));
            config
                .or(home)
                .map(|c| c.join("systemd/user"))
                .ok_or_else(|| Error::usage("bad-unit", "neither HOME nor XDG_CONFIG_HOME is set"))
        }
    }
}

/// Units of this directory that are there.
fn written(setting: &Setting, dir: &Path) -> Vec<String> {
    let (prefix, marker) = (prefix(&setting.dir), marker(&setting.dir));
    let mut found: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| n.starts_with(&prefix) && (n.ends_with(".service") || n.ends_with(".timer")))
        .filter(|n| {
            std::fs::read_to_string(dir.join(n)).is_ok_and(|t| t.lines().next() == Some(marker.as_str()))
        })
        .collect();
    found.sort();
    found
}

fn systemctl(args: &UnitsArgs, words: &[&str]) -> Result<()> {
    let user = args.user.then_some("--user");
    let cmd = Cmd::new("systemctl").args(user).args(words).timeout(std::time::Duration::from_secs(60));
    cmd.run().map(|_| ()).map_err(|e| {
        Error { code: "systemd", ..e }.help("the units are written; start them once systemd answers")
    })
}

fn all_units(setting: &Setting, jobs: &[Job], user: bool) -> Result<Vec<Unit>> {
    let config = &setting.config.schedule;
    let program = std::env::current_exe().map_err(|e| Error::io("repot does not find itself", &e))?;
    let file = config.environment_file.as_ref().map(|f| setting.dir.join(f));
    let max = config.random_delay.as_deref().map(|t| duration("random_delay", t)).transpose()?;
    let place = Place {
        dir: &setting.dir,
        state_dir: setting.env.get("REPOT_STATE_DIR").map(String::as_str),
        program: &program,
        user,
        environment_file: file.as_deref(),
        random_delay_s: max.map_or(0, |m| m.as_secs()),
        catch_up: config.catch_up,
    };
    let mut units = Vec::new();
    for job in jobs {
        units.extend(of_job(&place, job)?);
    }
    if let Some(after) = &setting.config.alerts.silence_after {
        duration("silence_after", after)?;
        units.extend(of_silence(&place)?);
    }
    Ok(units)
}

fn install(setting: &Setting, args: &UnitsArgs, json: bool) -> Result<()> {
    let jobs = some_jobs(setting)?;
    let dir = unit_dir(setting, args)?;
    let units = all_units(setting, &jobs, args.user)?;
    let ours = written(setting, &dir);
    for u in &units {
        if dir.join(&u.name).exists() && !ours.contains(&u.name) {
            return Err(Error::refused(
                "bad-unit",
                format!("{} is there and not ours", dir.join(&u.name).display()),
            )
            .why("its first line does not say that repot wrote it for this directory")
            .help("give one of the two directories another name, or remove that unit"));
        }
    }
    make_known(setting, &jobs)?;
    std::fs::create_dir_all(&dir).map_err(|e| Error::io(format!("cannot make {}", dir.display()), &e))?;
    for u in &units {
        let path = dir.join(&u.name);
        std::fs::write(&path, &u.text)
            .map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))?;
    }
    let gone: Vec<&String> = ours.iter().filter(|o| !units.iter().any(|u| u.name == **o)).collect();
    let timers: Vec<&str> = units.iter().map(|u| u.name.as_str()).filter(|n| n.ends_with(".timer")).collect();
    let started = args.unit_dir.is_none();
    if started {
        let old: Vec<&str> = gone.iter().map(|g| g.as_str()).filter(|g| g.ends_with(".timer")).collect();
        if !old.is_empty() {
            systemctl(args, &[&["disable", "--now"], old.as_slice()].concat())?;
        }
    }
    delete(&dir, &gone)?;
    if started {
        systemctl(args, &["daemon-reload"])?;
        systemctl(args, &[&["enable", "--now"], timers.as_slice()].concat())?;
    }
    let warnings = warnings(&jobs);
    if json {
        let names: Vec<&str> = units.iter().map(|u| u.name.as_str()).collect();
        out_json(
            &serde_json::json!({ "directory": dir, "units": names, "started": started, "warnings": warnings }),
        );
        return Ok(());
    }
    for t in &timers {
        out(format!("{}\n", dir.join(t).display()));
    }
    for w in &warnings {
        say(format!("warning: {w}"));
    }
    if !started {
        out("Written, not started: another directory than systemd's own was named.\n");
    }
    Ok(())
}

/// What systemd does otherwise than the agent.
fn warnings(jobs: &[Job]) -> Vec<String> {
    let now = Timestamp::now();
    let until = now + jiff::SignedDuration::from_hours(LOOK_AHEAD_HOURS);
    jobs.iter()
        .filter_map(|j| {
            let skipped = j.entry.schedule.skipped_times(now, until);
            let first = skipped.first()?;
            Some(format!(
                "{}: systemd will not run it on {}: the clock is set forward past {} then; choose another hour, or \
                 `repot agent`",
                j.entry.name,
                first.date(),
                first.time()
            ))
        })
        .collect()
}

fn delete(dir: &Path, names: &[&String]) -> Result<()> {
    for n in names {
        let path = dir.join(n);
        std::fs::remove_file(&path)
            .map_err(|e| Error::io(format!("cannot remove {}", path.display()), &e))?;
    }
    Ok(())
}

fn remove(setting: &Setting, args: &UnitsArgs, json: bool) -> Result<()> {
    let dir = unit_dir(setting, args)?;
    let ours = written(setting, &dir);
    if args.unit_dir.is_none() && !ours.is_empty() {
        let timers: Vec<&str> = ours.iter().map(String::as_str).filter(|n| n.ends_with(".timer")).collect();
        if !timers.is_empty() {
            systemctl(args, &[&["disable", "--now"], timers.as_slice()].concat())?;
        }
    }
    delete(&dir, &ours.iter().collect::<Vec<_>>())?;
    if args.unit_dir.is_none() && !ours.is_empty() {
        systemctl(args, &["daemon-reload"])?;
    }
    if json {
        out_json(&serde_json::json!({ "directory": dir, "removed": ours }));
    } else if ours.is_empty() {
        out(format!("There is no unit of repot's for this directory in {}.\n", dir.display()));
    } else {
        out(format!("Removed from {}: {}\n", dir.display(), ours.join(", ")));
    }
    Ok(())
}

fn show(setting: &Setting, args: &UnitsArgs, json: bool) -> Result<()> {
    let jobs = some_jobs(setting)?;
    let dir = unit_dir(setting, args)?;
    let ours = written(setting, &dir);
    // Only looking: nothing is made where repot has not worked yet.
    let operations = match setting.state_dir.join("catalog.sqlite").exists() {
        true => catalog(setting)?.operations()?,
        false => Vec::new(),
    };
    let mut shown = Vec::new();
    for j in &jobs {
        let (mut t, mut following) = (Timestamp::now(), Vec::new());
        while following.len() < SHOWN
            && let Some(next) = j.entry.schedule.next_after(t)
        {
            following.push(next);
            t = next;
        }
        let last =
            operations.iter().find(|o| o.scheduled && o.label == j.entry.name && o.outcome != Outcome::Known);
        let installed = ours.contains(&format!("{}{}.timer", prefix(&setting.dir), j.entry.name));
        shown.push((j, following, last, installed));
    }
    if json {
        let each = shown.iter().map(|(j, following, last, installed)| {
            serde_json::json!({
                "name": j.entry.name, "when": j.entry.schedule.to_string(), "args": j.args, "next": following,
                "delay_s": j.entry.delay.as_secs(), "last": last, "systemd": installed,
            })
        });
        out_json(&serde_json::json!({ "entries": each.collect::<Vec<_>>(), "unit_directory": dir }));
        return Ok(());
    }
    let mut text = String::new();
    let local = |t: &Timestamp| t.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M %:z").to_string();
    for (j, following, last, installed) in &shown {
        let _ =
            writeln!(text, "{}: {} (repot {})", j.entry.name, j.entry.schedule.describe(), j.args.join(" "));
        let times: Vec<String> = following.iter().map(local).collect();
        let _ = writeln!(text, "  next     {}", times.join(", "));
        if !j.entry.delay.is_zero() {
            let _ = writeln!(text, "  delay    {} s here, with the agent", j.entry.delay.as_secs());
        }
        let _ =
            writeln!(text, "  last     {}", last.map_or_else(|| "never".to_owned(), |o| outcome(o, &local)));
        let _ =
            writeln!(text, "  systemd  {}", if *installed { "its timer is installed" } else { "no timer" });
    }
    out(text);
    Ok(())
}

fn outcome(o: &Operation, local: &dyn Fn(&Timestamp) -> String) -> String {
    let what = o.what.as_ref().map_or_else(String::new, |w| format!(": {w}"));
    format!("{}, {}{what}", local(&o.started_at), o.outcome.name())
}
