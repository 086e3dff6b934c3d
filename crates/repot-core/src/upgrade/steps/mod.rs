//! The steps: for each, `probe` (is it already so?), `apply`, `undo`, all idempotent.

use serde_json::Value;

use crate::engine::postgres::facts::ClusterFacts;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::journal::catalog::Run;
use crate::progress::{Event, Observer};
use crate::upgrade::files::RunFiles;
use crate::upgrade::plan::{Destination, Plan, Step};

mod application;
pub(crate) mod backup;
mod compare;
mod configuration;
mod edit;
pub(crate) mod restore;
mod server;

pub(crate) use application::rows_written_since;
pub(crate) use backup::forget_stale;
pub(crate) use server::{control_hash, new_data_is_foreign, old_data_place, require_old_data};

/// What a step works with.
pub(crate) struct Context<'a> {
    /// The run, with the results of the steps so far.
    pub run: &'a Run,
    /// Where the application runs.
    pub host: &'a dyn Host,
    /// Who listens.
    pub observer: &'a dyn Observer,
    /// The run's own files.
    pub files: &'a RunFiles,
    /// Which attempt at this step this is, from 1.
    pub attempt: u32,
    /// On rollback: the application has written to the new data, which is kept beside the old.
    pub keep_new: bool,
}

impl Context<'_> {
    fn plan(&self) -> &Plan {
        &self.run.plan
    }
    fn destination(&self) -> Result<&Destination> {
        self.plan().destination.as_ref().ok_or_else(|| Error::failed("bug", "this plan moves no database"))
    }
    fn result(&self, step: Step) -> &Value {
        self.run.step(step).map_or(&Value::Null, |s| &s.result)
    }
    /// What the fenced old server said.
    fn facts(&self) -> Result<ClusterFacts> {
        serde_json::from_slice(&self.files.load("facts.json")?)
            .map_err(|e| Error::failed("run-files-damaged", "the run lacks what the old server said").why(e))
    }
    fn note(&self, text: impl Into<String>) {
        self.observer.event(Event::Note(text.into()));
    }
    fn progress(&self, what: impl Into<String>, done_bytes: u64, total_bytes: u64) {
        self.observer.event(Event::Progress { what: what.into(), done_bytes, total_bytes });
    }
}

/// Whether the step is done already, though its result was not written; with that result.
pub(super) fn probe(step: Step, cx: &Context) -> Result<Option<Value>> {
    match step {
        Step::FetchImages => application::images_are_present(cx),
        Step::StopApplication => application::is_stopped(cx),
        Step::BackUp => backup::is_complete(cx),
        Step::StopOldServer => server::old_is_shut_down(cx),
        Step::SetAside => server::is_set_aside(cx),
        Step::EditDatabaseFiles | Step::EditApplicationFiles => edit::is_edited(cx, step),
        // Applying these again is cheap and right, or (restore) only a fresh start is safe.
        Step::FenceDatabase
        | Step::StartNewServer
        | Step::Restore
        | Step::CarryConfiguration
        | Step::UpdateExtensions
        | Step::Analyze
        | Step::Compare
        | Step::StopNewServer
        | Step::StartDatabase
        | Step::CheckLogin
        | Step::MigrateApplication
        | Step::StartApplication
        | Step::CheckHealth => Ok(None),
    }
}

/// Does the step.
pub(super) fn apply(step: Step, cx: &Context) -> Result<Value> {
    match step {
        Step::FetchImages => application::fetch_images(cx),
        Step::StopApplication => application::stop(cx),
        Step::FenceDatabase => server::fence(cx),
        Step::BackUp => backup::back_up(cx),
        Step::StopOldServer => server::stop_old(cx),
        Step::SetAside => server::set_aside(cx),
        Step::EditDatabaseFiles | Step::EditApplicationFiles => edit::apply(cx, step),
        Step::StartNewServer => server::start_new(cx),
        Step::Restore => restore::restore(cx),
        Step::CarryConfiguration => configuration::carry(cx),
        Step::UpdateExtensions => configuration::update_extensions(cx),
        Step::Analyze => configuration::analyze(cx),
        Step::Compare => compare::compare(cx),
        Step::StopNewServer => server::stop_new(cx),
        Step::StartDatabase => application::start_database(cx),
        Step::CheckLogin => application::check_login(cx),
        Step::MigrateApplication => application::migrate(cx),
        Step::StartApplication => application::start(cx),
        Step::CheckHealth => application::check_health(cx),
    }
}

/// Whether taking the step back does anything; what does not is not shown.
pub(super) fn has_undo(step: Step) -> bool {
    matches!(
        step,
        Step::StopApplication
            | Step::FenceDatabase
            | Step::SetAside
            | Step::EditDatabaseFiles
            | Step::EditApplicationFiles
            | Step::StartNewServer
            | Step::StartDatabase
            | Step::MigrateApplication
            | Step::StartApplication
    )
}

/// Takes the step back.
pub(super) fn undo(step: Step, cx: &Context) -> Result<()> {
    match step {
        Step::StopApplication => application::start_as_it_was(cx),
        Step::FenceDatabase => cx.host.stop_server(crate::host::Role::Old).map(drop),
        Step::BackUp => backup::remove_incomplete(cx),
        Step::SetAside => server::put_back(cx),
        Step::EditDatabaseFiles | Step::EditApplicationFiles => edit::undo(cx, step),
        Step::StartNewServer => cx.host.stop_server(crate::host::Role::New).map(drop),
        Step::StartDatabase => application::stop_database(cx),
        Step::MigrateApplication => restore::undo_migration(cx),
        Step::StartApplication => application::stop_again(cx),
        // These leave nothing behind that another undo does not remove: images stay, the new data goes with
        // `set-aside`, a stopped server stays stopped.
        Step::FetchImages
        | Step::StopOldServer
        | Step::Restore
        | Step::CarryConfiguration
        | Step::UpdateExtensions
        | Step::Analyze
        | Step::Compare
        | Step::StopNewServer
        | Step::CheckLogin
        | Step::CheckHealth => Ok(()),
    }
}
