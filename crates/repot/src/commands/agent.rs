//! `repot agent`: runs what is due, where there is no systemd.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use repot_core::schedule::{Entry, due, next};
use repot_core::{Error, Kind, Result, interrupt};

use super::alerts::check;
use crate::cli::AgentArgs;
use crate::config::{Setting, setting};
use crate::schedule::{Job, duration, jobs, last_runs, make_known, run as run_job, turn};
use crate::terminal::say;

/// How long it sleeps at most: a machine that was suspended, or whose clock was set, is noticed by then.
const NAP: Duration = Duration::from_secs(30);
/// How often it looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);

/// A line of the log, with the time.
fn log(text: impl AsRef<str>) {
    let now = Timestamp::now().to_zoned(TimeZone::system());
    say(format!("{} agent: {}", now.strftime("%Y-%m-%d %H:%M:%S %:z"), text.as_ref()));
}

pub fn run(args: &AgentArgs) -> Result<()> {
    let setting = setting(&args.dir)?;
    let jobs = jobs(&setting)?;
    if let Some(after) = &setting.config.alerts.silence_after {
        duration("silence_after", after)?;
    }
    if jobs.is_empty() {
        return Err(Error::usage("no-schedule", "repot.toml names nothing that could be due")
            .help("add for example `backup = \"daily at 03:00\"` under [schedule]"));
    }
    if let Err(e) = make_known(&setting, &jobs) {
        log(format!("the catalog cannot be used, the state of the last runs is kept in memory only: {e}"));
    }
    let agent = Agent { setting: &setting, jobs: &jobs, since: Timestamp::now() };
    if args.once {
        let done = agent.run_due(&mut BTreeMap::new());
        agent.check_silence();
        return done;
    }
    // A thread of its own: a run that hangs must not keep silence from being told.
    std::thread::scope(|scope| {
        scope.spawn(|| agent.watch());
        agent.go_on();
    });
    log("stopped");
    Ok(())
}

struct Agent<'a> {
    setting: &'a Setting,
    jobs: &'a [Job],
    since: Timestamp,
}

impl Agent<'_> {
    fn entries(&self) -> Vec<Entry> {
        self.jobs.iter().map(|j| j.entry.clone()).collect()
    }

    /// From the catalog, and of this process's own runs whatever the catalog has lost.
    fn last_runs(&self, own: &BTreeMap<String, Timestamp>) -> BTreeMap<String, Timestamp> {
        let mut all = last_runs(self.setting, self.jobs);
        let now = Timestamp::now();
        for (name, ran) in own {
            if all.get(name).is_none_or(|t| t < ran || *t > now) {
                all.insert(name.clone(), *ran);
            }
        }
        all
    }

    /// Runs what is due, one after the other, until nothing is. The first failure is what it returns; none keeps the
    /// others from running.
    fn run_due(&self, own: &mut BTreeMap<String, Timestamp>) -> Result<()> {
        let entries = self.entries();
        let mut first = Ok(());
        loop {
            interrupt::check()?;
            let waiting = due(&entries, &self.last_runs(own), self.since, Timestamp::now());
            let Some(d) = waiting.into_iter().next() else { return first };
            let Some(job) = self.jobs.iter().find(|j| j.entry.name == d.name) else { return first };
            let turn = turn(self.setting, &d.name)?;
            // Another repot may have run it while this one waited.
            let now = Timestamp::now();
            if !due(&entries, &self.last_runs(own), self.since, now).iter().any(|s| s.name == d.name) {
                continue;
            }
            log(format!("{}: begins, due since {}", d.name, d.at));
            own.insert(d.name.clone(), now);
            let result = run_job(self.setting, job, &turn);
            let seconds = Timestamp::now().duration_since(now).as_secs_f64();
            match result {
                Ok(()) => log(format!("{}: succeeded after {seconds:.0} s", d.name)),
                Err(e) => {
                    log(format!("{}: failed after {seconds:.0} s: {e}", d.name));
                    first = first.and(Err(e));
                }
            }
        }
    }

    fn go_on(&self) {
        let mut own = BTreeMap::new();
        let mut announced = None;
        loop {
            if let Err(e) = self.run_due(&mut own)
                && e.kind != Kind::Interrupted
                && e.code != "job-failed"
            {
                log(format!("{e}"));
            }
            let now = Timestamp::now();
            let following = next(&self.entries(), &self.last_runs(&own), self.since, now);
            if following != announced
                && let Some(d) = &following
            {
                log(format!("next: {} at {}", d.name, d.at.to_zoned(TimeZone::system())));
                announced = following.clone();
            }
            let left = following.and_then(|d| Duration::try_from(d.at.duration_since(now)).ok());
            if !sleep(left.unwrap_or(NAP).clamp(POLL, NAP)) {
                return;
            }
        }
    }

    fn watch(&self) {
        let Some(after) = &self.setting.config.alerts.silence_after else { return };
        let after = duration("silence_after", after).unwrap_or(NAP);
        let pause = (after / 20).clamp(Duration::from_secs(1), Duration::from_secs(600));
        while sleep(pause) {
            self.check_silence();
        }
    }

    fn check_silence(&self) {
        if let Err(e) = check(self.setting) {
            log(format!("silence: cannot be looked for: {e}"));
        }
    }
}

/// Sleeps; whether to go on afterwards.
fn sleep(how_long: Duration) -> bool {
    let started = std::time::Instant::now();
    while started.elapsed() < how_long {
        if interrupt::requested() {
            return false;
        }
        std::thread::sleep(POLL.min(how_long));
    }
    !interrupt::requested()
}
