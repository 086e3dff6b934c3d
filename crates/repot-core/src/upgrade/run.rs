//! Running a plan, resuming it, going back: the only place where the journal and the steps meet.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::doubt;
use super::failpoint::reach;
use super::files::{RunFiles, make_private_dir};
use super::plan::{Plan, Step};
use super::steps::{self, Context};
use crate::error::{Error, Kind, Result, speaks_of_full_disk};
use crate::host::{Host, Role};
use crate::interrupt;
use crate::journal::catalog::{Catalog, Run, RunState, StepState};
use crate::journal::lock::{self, Lock};
use crate::journal::sqlite::SqliteCatalog;
use crate::progress::{Event, Observer};

/// An application's state directory, opened: the lock held, the catalog at hand.
pub struct Workspace {
    dir: std::path::PathBuf,
    catalog: Box<dyn Catalog>,
    _lock: Option<Lock>,
}

impl Workspace {
    /// Opens for work: takes the lock, or fails at once.
    pub fn open(state_dir: &Path) -> Result<Self> {
        make_private_dir(state_dir)?;
        let lock = lock::take(state_dir)?;
        Ok(Workspace {
            dir: state_dir.to_owned(),
            catalog: Box::new(SqliteCatalog::open(state_dir)?),
            _lock: Some(lock),
        })
    }
    /// Opens beside whatever is at work: for results that touch no run.
    pub fn beside(state_dir: &Path) -> Result<Self> {
        make_private_dir(state_dir)?;
        let catalog = Box::new(SqliteCatalog::open(state_dir)?);
        Ok(Workspace { dir: state_dir.to_owned(), catalog, _lock: None })
    }
    /// Opens for looking only; `None` when there is no catalog yet.
    pub fn look(state_dir: &Path) -> Result<Option<Self>> {
        if !state_dir.join("catalog.sqlite").exists() {
            return Ok(None);
        }
        Ok(Some(Workspace {
            dir: state_dir.to_owned(),
            catalog: Box::new(SqliteCatalog::open(state_dir)?),
            _lock: None,
        }))
    }
    /// All runs, newest first.
    pub fn runs(&self) -> Result<Vec<Run>> {
        self.catalog.runs()
    }
    /// The state directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The catalog.
    pub fn catalog(&mut self) -> &mut dyn Catalog {
        self.catalog.as_mut()
    }
    /// One run: by id, or the newest when none is named.
    pub fn find(&self, id: Option<&str>) -> Result<Run> {
        match id {
            Some(id) => self.catalog.run(id)?.ok_or_else(|| {
                Error::usage("no-run", format!("there is no run {id}")).help("`repot history` lists the runs")
            }),
            None => self
                .runs()?
                .into_iter()
                .next()
                .ok_or_else(|| Error::usage("no-run", "repot has not run here yet")),
        }
    }
    /// The run that is unfinished, if any.
    pub fn unfinished(&self) -> Result<Option<Run>> {
        Ok(self.runs()?.into_iter().find(|r| r.state.unfinished()))
    }
    /// Files of a run.
    pub fn files(&self, id: &str) -> Result<RunFiles> {
        RunFiles::open(&self.dir, id)
    }

    fn load(&self, id: &str) -> Result<Run> {
        self.find(Some(id))
    }

    /// Refuses when an unfinished run is in the way.
    pub fn require_free(&self) -> Result<()> {
        match self.unfinished()? {
            None => Ok(()),
            Some(r) => Err(Error::new(
                Kind::Unfinished,
                "unfinished-run",
                format!("the run {} is unfinished ({})", r.id, r.state.name()),
            )
            .why(r.error.clone().unwrap_or_else(|| "it was cut off".to_owned()))
            .help(format!(
                "`repot resume` finishes it, `repot rollback` goes back to where you started{}",
                if holds_the_application(&r) {
                    "; do not start the application before one of them is done"
                } else {
                    ""
                }
            ))),
        }
    }

    /// Stores a plan (with the texts of the files it edits) and runs it.
    pub fn start(&mut self, plan: &Plan, texts: &[String], observer: &dyn Observer) -> Result<Run> {
        self.require_free()?;
        let files = self.files(&plan.run)?;
        for t in texts {
            files.save_text(t)?;
        }
        self.catalog.create(plan)?;
        self.go_on(&plan.run, observer)
    }

    /// Carries an unfinished run on, forwards or backwards as it was going.
    pub fn resume(&mut self, id: &str, observer: &dyn Observer) -> Result<Run> {
        let run = self.load(id)?;
        if run.state.unfinished() {
            run.plan.host().end_leftovers().map_err(|e| standing(begun_error(e), &run))?;
        }
        match run.state {
            RunState::RollingBack => self.go_back(id, observer),
            RunState::Done | RunState::RolledBack => Ok(run),
            RunState::Running | RunState::Failed => {
                if run.steps.iter().any(|s| matches!(s.state, StepState::Undoing | StepState::Undone)) {
                    return self.go_back(id, observer);
                }
                self.reopen_doubtful(&run, observer).map_err(|e| standing(begun_error(e), &run))?;
                self.go_on(id, observer)
            }
        }
    }

    /// What the world may have done since the run stopped, before it is carried on: the steps that have to be done
    /// again are opened again.
    fn reopen_doubtful(&mut self, run: &Run, observer: &dyn Observer) -> Result<()> {
        let host = run.plan.host();
        for role in [Role::Old, Role::New] {
            host.stop_server(role)?;
        }
        let begun = |s: Step| run.step(s).is_some_and(|r| r.state != StepState::Pending);
        let again = if begun(Step::StartDatabase) {
            doubt::after_the_start(run, host.as_ref(), observer)?
        } else {
            doubt::before_the_start(run, host.as_ref(), observer)?
        };
        for step in again.into_iter().filter(|s| begun(*s)) {
            self.catalog.reopen(&run.id, step)?;
        }
        Ok(())
    }

    /// After the old server was fenced once more: a backup from before somebody wrote again is made anew.
    fn reopen_stale_backup(&mut self, id: &str, observer: &dyn Observer) -> Result<()> {
        let run = self.load(id)?;
        let result = |s: Step| run.step(s).filter(|r| r.state == StepState::Done).map(|r| r.result.clone());
        let (Some(backup), Some(fence)) = (result(Step::BackUp), result(Step::FenceDatabase)) else {
            return Ok(());
        };
        if backup["next_transaction"] == fence["next_transaction"] {
            return Ok(());
        }
        observer.event(Event::Note("somebody wrote since the backup: it is made again".to_owned()));
        if let Some(set) = &run.plan.backup_set {
            steps::forget_stale(set)?;
        }
        self.catalog.reopen(id, Step::BackUp)
    }

    fn go_on(&mut self, id: &str, observer: &dyn Observer) -> Result<Run> {
        let files = self.files(id)?;
        self.catalog.set_state(id, RunState::Running, None)?;
        let run = self.load(id)?;
        let host = run.plan.host();
        let total = run.steps.len();
        for (i, record) in run.steps.iter().enumerate() {
            let step = record.step;
            // As it is now: an earlier step may have found that this one has to be done again.
            let state = self.load(id)?.step(step).map_or(StepState::Pending, |s| s.state);
            if state == StepState::Done {
                continue;
            }
            observer.event(Event::StepStarted {
                number: i + 1,
                total,
                title: step.title().to_owned(),
                undo: false,
            });
            let started = Instant::now();
            match self.one(id, step, state, host.as_ref(), &files, observer) {
                Ok(result) => {
                    if step == Step::FenceDatabase {
                        self.reopen_stale_backup(id, observer)?;
                    }
                    let outcome = super::report::outcome(step, &result);
                    observer.event(Event::StepDone { seconds: started.elapsed().as_secs_f64(), outcome });
                }
                Err(e) => {
                    observer.event(Event::StepFailed);
                    // Nothing of ours keeps running on data that somebody may now start by hand.
                    let (log, running) = stop_own_servers(host.as_ref());
                    let e = still_running(begun_error(full_disk(e, &log)), &running);
                    // The journal must not hide the step's own error.
                    let _ =
                        self.catalog.set_state(id, RunState::Failed, Some(&format!("{}: {e}", step.title())));
                    return Err(standing(e, &self.load(id)?));
                }
            }
        }
        super::report::keep(&files, &self.load(id)?)?;
        self.catalog.set_state(id, RunState::Done, None)?;
        let run = self.load(id)?;
        if let (false, Some(set)) = (run.plan.keep_backup, &run.plan.backup_set) {
            // `--skip-backup`: the set was only the vehicle, and the old data itself is kept.
            let _ = std::fs::remove_dir_all(set);
        }
        Ok(run)
    }

    fn one(
        &mut self,
        id: &str,
        step: Step,
        state: StepState,
        host: &dyn crate::host::Host,
        files: &RunFiles,
        observer: &dyn Observer,
    ) -> Result<Value> {
        interrupt::check()?;
        reach(step.name(), "before-intent")?;
        let started = Instant::now();
        let attempt = self.catalog.intend(id, step)?;
        let run = self.load(id)?;
        let cx = Context { run: &run, host, observer, files, attempt, keep_new: false };
        // Intent without result: the process died in between, and the step may be done already.
        let found = if state == StepState::Running { steps::probe(step, &cx)? } else { None };
        let result = match found {
            Some(result) => result,
            None => steps::apply(step, &cx)?,
        };
        reach(step.name(), "after-apply")?;
        self.catalog.record(id, step, started.elapsed().as_secs_f64(), &result)?;
        reach(step.name(), "after-record")?;
        Ok(result)
    }

    /// How a rollback of this run stands: since when, and how much, the application has written to the new data.
    pub fn new_writes(&self, run: &Run) -> Result<Option<NewWrites>> {
        let begun = |s: Step| {
            let r = run.step(s).filter(|r| !matches!(r.state, StepState::Pending | StepState::Undone));
            r.and_then(|r| r.started_at.clone())
        };
        let let_in = begun(Step::StartApplication);
        // Before the application was let in, only somebody who started it by hand can have written.
        if steps::new_data_is_foreign(run, run.plan.host().as_ref())? {
            let since = run.step(Step::SetAside).and_then(|r| r.started_at.clone()).unwrap_or_default();
            return Ok(Some(NewWrites { since, rows: None }));
        }
        let Some(since) = let_in.clone().or_else(|| begun(Step::StartDatabase)) else { return Ok(None) };
        if run.state == RunState::RollingBack {
            return Ok(None);
        }
        let host = run.plan.host();
        let files = self.files(&run.id)?;
        let cx = Context {
            run,
            host: host.as_ref(),
            observer: &crate::progress::Silent,
            files: &files,
            attempt: 1,
            keep_new: false,
        };
        match (steps::rows_written_since(&cx), let_in) {
            (Some(0), _) | (None, None) => Ok(None),
            (rows, _) => Ok(Some(NewWrites { since, rows })),
        }
    }

    /// Fails when the old data was cleaned up.
    pub fn require_way_back(&self, run: &Run) -> Result<()> {
        if !run.cleaned {
            return Ok(());
        }
        let set = run.plan.backup_set.as_ref().filter(|s| s.is_dir());
        let e = format!("the old data of run {} was removed by `repot cleanup`", run.id);
        Err(Error::refused("cleaned", e).help(match set {
            Some(set) => {
                format!("the way back is the backup set of that run, from before it: {}", set.display())
            }
            None => "there is no way back but a backup".to_owned(),
        }))
    }

    /// Goes back to where the run started. `discard_new_writes`: what the application wrote since is set aside.
    pub fn rollback(
        &mut self,
        id: &str,
        discard_new_writes: bool,
        start_services: bool,
        observer: &dyn Observer,
    ) -> Result<Run> {
        let run = self.load(id)?;
        if run.state == RunState::RolledBack {
            return Ok(run);
        }
        self.require_way_back(&run)?;
        let all = self.runs()?;
        if let Some(other) = all.iter().find(|r| r.id != run.id && r.state.unfinished()) {
            return Err(Error::new(
                Kind::Unfinished,
                "unfinished-run",
                format!("the run {} is unfinished", other.id),
            )
            .help("`repot resume` or `repot rollback` it first"));
        }
        let newer = all.iter().take_while(|r| r.id != run.id).find(|r| r.state == RunState::Done);
        if let Some(newer) = newer {
            return Err(Error::refused("newer-run", format!("the run {} came after {id}", newer.id))
                .help(format!("roll back {} first", newer.id)));
        }
        let migrated = run.step(Step::MigrateApplication).is_some_and(|s| s.state != StepState::Pending);
        if migrated && run.plan.destination.is_none() && run.plan.backup_set.is_none() {
            return Err(Error::refused("no-way-back", "the application's update cannot be taken back")
                .why("the run was started with --skip-backup, so there is no copy of the data from before")
                .help("restore a backup of your own, or go forward with `repot resume`"));
        }
        if run.step(Step::SetAside).is_some_and(|s| s.state != StepState::Pending) {
            steps::require_old_data(&run.plan, run.plan.host().as_ref())?;
        }
        run.plan.host().end_leftovers()?;
        if let (false, Some(w)) = (discard_new_writes, self.new_writes(&run)?) {
            let how_much = match w.rows {
                Some(n) => format!("{n} rows were written, changed or deleted since {}", w.since),
                None => {
                    format!("it may have since {}: how much was written cannot be told", w.since)
                }
            };
            return Err(Error::refused("new-writes", "the application has written to the new server")
                .why(how_much)
                .help("`repot rollback --discard-new-writes` goes back without them; they are set aside, not deleted"));
        }
        self.catalog.set_state(id, RunState::RollingBack, run.error.as_deref())?;
        let files = self.files(id)?;
        if start_services {
            // An earlier rollback that was cut off may have been told otherwise.
            files.remove("no-start")?;
        } else {
            files.save("no-start", b"")?;
        }
        self.go_back(id, observer)
    }

    fn go_back(&mut self, id: &str, observer: &dyn Observer) -> Result<Run> {
        let run = self.load(id)?;
        let host = run.plan.host();
        let files = self.files(id)?;
        self.catalog.set_state(id, RunState::RollingBack, run.error.as_deref())?;
        // From the moment the service runs on the new data, somebody may have written to it.
        let served = run.step(Step::StartDatabase).is_some_and(|s| s.state != StepState::Pending);
        let keep_new =
            served || files.path("keep-new").exists() || steps::new_data_is_foreign(&run, host.as_ref())?;
        if keep_new {
            // Remembered, because the steps that tell are themselves undone on the way.
            files.save("keep-new", b"")?;
        }
        let no_start = files.path("no-start").exists();
        let todo: Vec<_> = run
            .steps
            .iter()
            .rev()
            // A step that a resume has opened again, to be done once more, was begun all the same.
            .filter(|s| match s.state {
                StepState::Pending => s.started_at.is_some(),
                StepState::Undone => false,
                _ => true,
            })
            .collect();
        let total = todo.iter().filter(|s| steps::has_undo(s.step)).count();
        let mut number = 0;
        for record in todo {
            let step = record.step;
            let shown = steps::has_undo(step);
            if shown {
                number += 1;
                observer.event(Event::StepStarted {
                    number,
                    total,
                    title: step.title().to_owned(),
                    undo: true,
                });
            }
            let started = Instant::now();
            let cx =
                Context { run: &run, host: host.as_ref(), observer, files: &files, attempt: 1, keep_new };
            let mut undo = || -> Result<()> {
                interrupt::check()?;
                reach(&format!("undo-{}", step.name()), "before-intent")?;
                self.catalog.intend_undo(id, step)?;
                if no_start && step == Step::StopApplication {
                    // Stopped they stay, but the next boot is to find them as it always did.
                    host.restore_restart_policies(&run.plan.services)?;
                    // Containers of the new side would be started on the new data by `docker compose start`.
                    let names: Vec<String> =
                        run.plan.services.iter().filter(|s| s.running).map(|s| s.service.clone()).collect();
                    host.create_services(&names)?;
                } else {
                    steps::undo(step, &cx)?;
                }
                reach(&format!("undo-{}", step.name()), "after-apply")?;
                self.catalog.record_undo(id, step)?;
                reach(&format!("undo-{}", step.name()), "after-record")
            };
            if let Err(e) = undo() {
                observer.event(Event::StepFailed);
                let (_, running) = stop_own_servers(host.as_ref());
                let e = still_running(begun_error(e), &running);
                let _ = self.catalog.set_state(
                    id,
                    RunState::RollingBack,
                    Some(&format!("undo {}: {e}", step.title())),
                );
                let help = e.help.clone().unwrap_or_default();
                let next = "nothing is lost: correct what is named, then `repot resume` goes on going back";
                return Err(if help.is_empty() { e.help(next) } else { e.help(format!("{help}\n{next}")) });
            }
            if shown {
                let seconds = started.elapsed().as_secs_f64();
                observer.event(Event::StepDone { seconds, outcome: String::new() });
            }
        }
        self.catalog.set_state(id, RunState::RolledBack, None)?;
        self.load(id)
    }
}

/// In the words of the error after which there is no way on: somebody's own server ran on the new data.
pub const NOT_OURS: &str = "a server that is not repot's has run on the new data";

/// What the application wrote to the new server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWrites {
    /// Since when it could, RFC 3339.
    pub since: String,
    /// Rows inserted, changed or deleted; none when it cannot be told.
    pub rows: Option<u64>,
}

/// "Refused" and "wrong call" promise that nothing was touched; once a run has begun they are failures.
fn begun_error(e: Error) -> Error {
    match e.kind {
        Kind::Refused | Kind::Usage => e.with_kind(Kind::Failed),
        _ => e,
    }
}

/// Stops both servers of repot's own; returns what their logs say, and who could not be stopped.
fn stop_own_servers(host: &dyn Host) -> (String, Vec<String>) {
    let (mut log, mut running) = (String::new(), Vec::new());
    for role in [Role::Old, Role::New] {
        match host.stop_server(role) {
            Ok(said) => log.push_str(&said),
            Err(e) => running.push(format!("the {} server could not be stopped: {e}", role.name())),
        }
    }
    (log, running)
}

/// Adds to an error that a server of repot's own may still have the data open.
fn still_running(e: Error, running: &[String]) -> Error {
    if running.is_empty() {
        return e;
    }
    let help =
        "do not start the application before `docker ps` shows no container called repot-…; `docker stop` it";
    let help = e.help.iter().map(String::as_str).chain([help]).collect::<Vec<_>>().join("\n");
    let why = e.why.iter().chain(running).cloned().collect::<Vec<_>>().join("\n");
    e.why(why).help(help)
}

/// A server whose disk is full may end without a word to whoever is connected; its log says it.
fn full_disk(e: Error, server_log: &str) -> Error {
    let said = e.why.as_deref().is_some_and(speaks_of_full_disk);
    if said || e.kind == Kind::Interrupted || !speaks_of_full_disk(server_log) {
        return e;
    }
    let why = format!("{}\n{server_log}", e.why.as_deref().unwrap_or_default());
    Error { code: "disk-full", ..e }
        .why(why)
        .help("free some space on the disk of the data, then `repot resume`; or `repot rollback`")
}

/// Whether the run keeps the application stopped: what the Compose files name may be half made.
fn holds_the_application(run: &Run) -> bool {
    let begun = |s: Step| run.step(s).is_some_and(|r| r.state != StepState::Pending);
    run.state.unfinished() && begun(Step::StopApplication) && !begun(Step::StartApplication)
}

/// What stands where, so that nobody has to guess: the old data, the backup set, the application.
#[must_use]
pub fn what_stands_where(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    let plan = &run.plan;
    let place = plan.source.data.describe();
    let aside = plan.destination.as_ref().map(super::report::where_aside).unwrap_or_default();
    lines.push(match run.step(Step::SetAside).map(|r| r.state) {
        Some(StepState::Done) => format!("the old data is whole, set aside: {aside}"),
        Some(StepState::Running | StepState::Undoing) => {
            format!("the old data is whole, in its place ({place}) or set aside ({aside})")
        }
        _ => format!("the old data is whole, in its place: {place}"),
    });
    if run.step(Step::BackUp).is_some_and(|r| r.state == StepState::Done)
        && let Some(set) = &plan.backup_set
    {
        lines.push(format!("the backup set is complete: {}", set.display()));
    }
    if holds_the_application(run) {
        lines.push("the application is stopped, and is not to be started before `repot resume` or `repot rollback` is done".to_owned());
    }
    lines
}

/// Adds to a failed step's error what stands where.
fn standing(e: Error, run: &Run) -> Error {
    let lines = what_stands_where(run);
    // Where only one way is left, the error itself names it.
    let one_way = ["new-data-in-use", "old-data-changed"].contains(&e.code);
    let next = format!(
        "`repot resume` carries on with run {}, `repot rollback` goes back to where you started",
        run.id
    );
    let mut help = e.help.clone().map(|h| vec![h]).unwrap_or_default();
    help.push(format!("What stands where: {}.", lines.join("; ")));
    let both = e.help.as_ref().is_some_and(|h| h.contains("repot resume") && h.contains("repot rollback"));
    if !one_way && !both {
        help.push(next);
    }
    Error { help: Some(help.join("\n")), ..e }
}
