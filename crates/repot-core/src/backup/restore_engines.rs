//! Restoring databases that are not PostgreSQL's: what is common to them, and the plan that a person reads first.
//!
//! As with PostgreSQL, each database is made beside the live one and compared with the set's fingerprint while the
//! application runs; then the application is stopped, the new one takes the live one's place, and the live one is kept.

use std::collections::BTreeSet;
use std::path::PathBuf;

use repot_store::codec::Keys;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::{Engine, FileEntry, FileKind, Manifest};
use serde::Serialize;

use super::load_mysql::metered;
use super::restore::{self, Request, Restore, needs};
use super::sets::contents;
use super::source::Source;
use super::stopped::while_stopped;
use super::{engines, restore_mysql};
use crate::app::detect::Deployment;
use crate::app::others::Other;
use crate::engine::sqlite::{Swap, aside_path};
use crate::error::{Error, Result};
use crate::host::compose::project::MountKind;
use crate::host::{ServiceState, Store};
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::new_run_id;
use crate::upgrade::steps::backup::fingerprint_of;
use crate::verify::DatabaseFingerprint;

/// One database of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Its name in the set.
    pub name: String,
    /// What it becomes: a file's path, a database's name.
    pub to: String,
    /// Where what is live is kept; none where there is nothing live.
    pub aside: Option<String>,
    #[serde(skip)]
    pub(super) entry: FileEntry,
    #[serde(skip)]
    pub(super) want: DatabaseFingerprint,
}

/// What a restore will do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The set.
    pub set: String,
    /// The system of its databases.
    pub engine: Engine,
    /// Its databases.
    pub databases: Vec<Database>,
    /// Media and configuration, restored after the databases.
    pub rest: Option<restore::Plan>,
    /// Services that are stopped while the databases take their places.
    pub services: Vec<String>,
    #[serde(skip)]
    pub(super) run: String,
}

/// What such a restore needs to know.
#[derive(Debug)]
pub struct EngineRestore<'a> {
    /// Where to.
    pub to: &'a Source<'a>,
    /// Where from.
    pub storage: &'a Storage,
    /// The set's name.
    pub set: &'a str,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// What opens its files.
    pub keys: &'a Keys,
    /// What of it.
    pub request: &'a Request,
}

impl EngineRestore<'_> {
    /// What would be done. Changes nothing.
    pub fn plan(&self) -> Result<Plan> {
        let engine = self.manifest.engine();
        if !self.request.part.is_whole() {
            return Err(Error::usage(
                "nothing-wanted",
                "single schemas and tables are restored from PostgreSQL's sets only",
            )
            .help("restore the database to another place with --to, and take the table from there"));
        }
        let mut plan = Plan {
            set: self.set.to_owned(),
            engine,
            databases: Vec::new(),
            rest: None,
            services: Vec::new(),
            run: new_run_id(),
        };
        if self.request.contents.contains(&Content::Db) {
            self.plan_databases(&mut plan)?;
        }
        let there = contents(self.manifest);
        let wanted: BTreeSet<Content> = self.request.contents.intersection(&there).copied().collect();
        if self.to.deployment().is_some() && wanted.iter().any(|c| *c != Content::Db) {
            let request = self.rest();
            plan.rest = Some(self.restore(&request).plan()?);
        }
        if plan.databases.is_empty() && plan.rest.is_none() {
            return Err(Error::usage(
                "nothing-wanted",
                format!("the set {} holds nothing of that kind", self.set),
            ));
        }
        if !plan.databases.is_empty() {
            plan.services = self.application().into_iter().map(|s| s.service).collect();
        }
        Ok(plan)
    }

    /// What is asked for but for databases.
    fn rest(&self) -> Request {
        let mut request = self.request.clone();
        request.contents.remove(&Content::Db);
        request
    }

    fn restore<'r>(&'r self, request: &'r Request) -> Restore<'r> {
        Restore {
            to: self.to,
            storage: self.storage,
            set: self.set,
            manifest: self.manifest,
            keys: self.keys,
            request,
        }
    }

    fn plan_databases(&self, plan: &mut Plan) -> Result<()> {
        let wanted = fingerprint_of(self.manifest)?;
        let files = self.manifest.files.iter().filter(|f| f.kind == FileKind::Database);
        for entry in files.filter(|f| needs(self.request, f)) {
            let name = entry.database.clone().unwrap_or_default();
            let Some(want) = wanted.databases.get(&name) else {
                return Err(Error::failed("backup-set", format!("the set has no fingerprint of {name}")));
            };
            plan.databases.push(Database {
                to: name.clone(),
                name,
                aside: None,
                entry: entry.clone(),
                want: want.clone(),
            });
        }
        if let Some(d) = self.request.database.as_ref().filter(|_| plan.databases.is_empty()) {
            return Err(Error::usage(
                "database-missing",
                format!("the set {} has no database {d}", self.set),
            ));
        }
        let one_only = self.to.deployment().is_none();
        if one_only && plan.databases.len() > 1 {
            let names: Vec<&str> = plan.databases.iter().map(|d| d.name.as_str()).collect();
            return Err(Error::usage(
                "which-database",
                format!("the set {} has several databases", self.set),
            )
            .help(format!("say which one goes there, with --database: {}", names.join(", "))));
        }
        match (plan.engine, self.to) {
            (Engine::Sqlite, Source::Sqlite(path)) => {
                for d in &mut plan.databases {
                    place(d, path, &plan.run);
                }
                Ok(())
            }
            (Engine::Sqlite, Source::Compose(Deployment { other: Some(Other::Sqlite(files)), .. })) => {
                for d in &mut plan.databases {
                    let Some(file) = files.iter().find(|f| f.name == d.name) else {
                        let what = format!("the application has no SQLite file called {}", d.name);
                        return Err(Error::refused("database-missing", what)
                            .help("correct the profile, or restore it to a file with --to sqlite:///PATH"));
                    };
                    place(d, &file.host_path()?, &plan.run);
                }
                Ok(())
            }
            (Engine::Mariadb | Engine::Mysql, Source::Mysql(clients, database)) => {
                plan.databases.iter_mut().for_each(|d| d.to.clone_from(database));
                restore_mysql::plan(clients, plan)
            }
            (
                Engine::Mariadb | Engine::Mysql,
                Source::Compose(d @ Deployment { other: Some(Other::Mysql), .. }),
            ) => restore_mysql::plan(&engines::mysql_clients(d, &plan.run)?, plan),
            (engine, _) => {
                let what = format!(
                    "the set {} holds databases of {}, and there is no such database",
                    self.set,
                    engine.title()
                );
                Err(Error::refused("wrong-engine", what)
                    .help("restore it where it came from, or name a place with --to"))
            }
        }
    }

    /// The services that are stopped: whoever mounts the file, or all but the database's.
    fn application(&self) -> Vec<ServiceState> {
        let Some(d) = self.to.deployment() else { return Vec::new() };
        let users: BTreeSet<&str> = match &d.other {
            Some(Other::Sqlite(files)) => {
                let stores: Vec<&Store> = files.iter().map(|f| &f.at.store).collect();
                let mounts = |m: &crate::host::compose::project::Mount| {
                    match m.kind {
                    MountKind::Bind => stores.iter().any(|s| {
                        matches!(s, Store::Bind(path) if within(path, &m.source) || within(&m.source, path))
                    }),
                    MountKind::Volume => {
                        let real = d.resolved.volumes.get(&m.source).map_or(&m.source, |(real, _)| real);
                        stores.iter().any(|s| matches!(s, Store::Volume(v) if v == real))
                    }
                }
                };
                let all = d.resolved.services.values();
                all.filter(|s| s.mounts.iter().any(mounts)).map(|s| s.name.as_str()).collect()
            }
            _ => {
                let all = d.services.iter().map(|s| s.service.as_str());
                all.filter(|s| *s != d.database.service).collect()
            }
        };
        let running = d.services.iter().filter(|s| s.running || s.restarting);
        running.filter(|s| users.contains(s.service.as_str())).cloned().collect()
    }

    /// Does what the plan says.
    pub fn carry_out(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        if !plan.databases.is_empty() {
            self.databases(plan, observer)?;
        }
        let Some(rest) = &plan.rest else { return Ok(()) };
        let request = self.rest();
        self.restore(&request).carry_out(rest, observer).map_err(|e| {
            let stands = "the databases are restored, media or configuration are not";
            let why = e.why.clone().map_or_else(|| stands.to_owned(), |w| format!("{stands}: {w}"));
            if plan.databases.is_empty() { e } else { Error { why: Some(why), ..e } }
        })
    }

    fn databases(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        match plan.engine {
            Engine::Sqlite => self.sqlite(plan, observer),
            _ => {
                let clients = match self.to {
                    Source::Mysql(clients, _) => (**clients).clone(),
                    Source::Compose(d) => engines::mysql_clients(d, &plan.run)?,
                    Source::Sqlite(_) | Source::Url(_) => {
                        return Err(Error::failed("bug", "the plan is for another engine"));
                    }
                };
                restore_mysql::carry_out(self, plan, &clients, observer)
            }
        }
    }

    fn sqlite(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        let swaps: Vec<(Swap, &Database)> =
            plan.databases.iter().map(|d| (Swap::new(&PathBuf::from(&d.to), &plan.run), d)).collect();
        let made = swaps.iter().try_for_each(|(swap, d)| {
            swap.receive(&mut metered((self.storage, self.set, self.keys), &d.entry, observer)?)?;
            tell(observer, format!("comparing {}", d.name));
            swap.compare((&d.want, self.manifest.server_version_num))?;
            reach("restore", "after-database")
        });
        let made = made.and_then(|()| reach("restore", "before-names")).and_then(|()| interrupt::check());
        if let Err(e) = made {
            swaps.iter().for_each(|(s, _)| s.discard());
            return Err(untouched(e));
        }
        let changed = self.while_stopped(observer, &|| {
            for (swap, _) in &swaps {
                swap.put_in_place()?;
            }
            Ok(())
        });
        // Those that are in place have no file under that name any more.
        swaps.iter().for_each(|(s, _)| s.discard());
        changed
    }

    /// Stops the application, does it, starts the application again, whatever came of it.
    pub(super) fn while_stopped(&self, observer: &dyn Observer, act: &dyn Fn() -> Result<()>) -> Result<()> {
        let Some(d) = self.to.deployment() else {
            let _shield = interrupt::shield();
            return act();
        };
        while_stopped((d, "restore"), &self.application(), observer, &|| {}, act)
    }
}

/// A file's place in a plan.
fn place(d: &mut Database, path: &std::path::Path, run: &str) {
    d.to = path.display().to_string();
    d.aside = path.exists().then(|| aside_path(path, run).display().to_string());
}

fn within(path: &str, dir: &str) -> bool {
    path == dir || path.starts_with(&format!("{}/", dir.trim_end_matches('/')))
}

pub(super) fn tell(observer: &dyn Observer, what: String) {
    observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
}

/// An error before anything live was touched.
pub(super) fn untouched(e: Error) -> Error {
    match (e.code, &e.help) {
        ("interrupted", _) => e.help("nothing was changed; start it again at any time"),
        (_, None) => e.help("the live database was not touched; correct what is named and start it again"),
        _ => e,
    }
}
