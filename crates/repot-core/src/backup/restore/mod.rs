//! Restoring a set into the running service, or into another server: each database into a fresh one beside the live one,
//! compared with the set's fingerprint, and only then, with the application stopped, all names changed in one
//! transaction. Media are unpacked beside the live ones, compared, and swapped in the same moment. What was live is kept
//! under another name.

mod configuration;
pub(in crate::backup) mod load;
mod media;
pub(in crate::backup) mod names;
pub(in crate::backup) mod part;
pub(in crate::backup) mod roles;

use std::collections::BTreeSet;
use std::path::PathBuf;

use repot_store::codec::Keys;
use repot_store::dbbackup::settings::Programs;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::{FileEntry, FileKind, Manifest};
use serde::Serialize;

use self::load::Loader;
use self::roles::missing_roles;
use super::sets::contents;
use super::source::{Server, Source};
use crate::error::{Error, Kind, Result};
use crate::host::ServiceState;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::new_run_id;
use crate::upgrade::steps::backup::fingerprint_of;
use crate::upgrade::steps::restore::aside_name;
use crate::verify::DatabaseFingerprint;

pub use configuration::restore_configuration;
pub use media::{MediaAction, MediaPlan};
pub use part::Part;

/// What a database that is being restored has in its name, where [`aside_name`] has `_repot_`.
pub(in crate::backup) const FRESH: &str = "_fresh_";

/// The name that a live database is kept under, and the one that a fresh one has until it takes its place.
pub(in crate::backup) fn other_names(name: &str, run: &str) -> (String, String) {
    let aside = aside_name(name, run);
    let fresh = aside.replace("_repot_", FRESH);
    (aside, fresh)
}

/// What to restore.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which kinds of content.
    pub contents: BTreeSet<Content>,
    /// Only this database.
    pub database: Option<String>,
    /// Only rows of these schemas and tables, into a database of their own.
    pub part: Part,
    /// Media are filled in: what is there and not in the set stays, what is in both is overwritten.
    pub replace: bool,
    /// An existing directory for unlinked scratch files.
    pub scratch_dir: PathBuf,
    /// Directory below which configuration is unpacked.
    pub restored_dir: PathBuf,
    /// How the client programs are started.
    pub programs: Programs,
}

/// What becomes of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It takes the place of the live one, which is kept under another name.
    Replaces,
    /// There is none of that name.
    Made,
    /// The live one is as the set's.
    Same,
    /// It differs, but every new database is made from it, so it is left alone.
    LeftAlone,
    /// A part of it is put into a database of another name, and stays there.
    Part,
}

/// One database of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub action: Action,
    /// The name under which the live one is kept; for a part, the name of the database that it is put into.
    pub aside: Option<String>,
    #[serde(skip)]
    pub(in crate::backup) fresh: String,
    #[serde(skip)]
    pub(in crate::backup) entry: FileEntry,
    #[serde(skip)]
    pub(in crate::backup) want: DatabaseFingerprint,
}

/// What a restore will do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The set.
    pub set: String,
    /// Its databases.
    pub databases: Vec<Database>,
    /// Its media roots.
    pub media: Vec<MediaPlan>,
    /// Roles that the server lacks and the set has.
    pub roles: Vec<String>,
    /// Where the configuration is unpacked.
    pub configuration: Option<PathBuf>,
    /// Services that are stopped while the names change.
    pub services: Vec<String>,
    #[serde(skip)]
    role_sql: Vec<String>,
    #[serde(skip)]
    run: String,
}

impl Plan {
    /// A plan that does nothing yet.
    pub(in crate::backup) fn empty(set: &str) -> Self {
        Plan {
            set: set.to_owned(),
            databases: Vec::new(),
            media: Vec::new(),
            roles: Vec::new(),
            configuration: None,
            services: Vec::new(),
            role_sql: Vec::new(),
            run: new_run_id(),
        }
    }
    pub(in crate::backup) fn run(&self) -> &str {
        &self.run
    }
    fn to_load(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|d| matches!(d.action, Action::Replaces | Action::Made))
    }
    fn parts(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|d| d.action == Action::Part)
    }
}

/// What a restore needs to know.
#[derive(Debug)]
pub struct Restore<'a> {
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

/// Whether a file of a set is needed for what is asked; so that only those are checked.
#[must_use]
pub fn needs(request: &Request, entry: &FileEntry) -> bool {
    let wanted = request.contents.contains(&entry.content());
    let named = request.database.as_ref().is_none_or(|d| entry.database.as_ref().is_none_or(|e| e == d));
    wanted && named
}

impl Restore<'_> {
    /// What would be done. Changes nothing.
    pub fn plan(&self) -> Result<Plan> {
        let request = self.request;
        let there = contents(self.manifest);
        let mut plan = Plan::empty(self.set);
        if request.contents.contains(&Content::Db) && there.contains(&Content::Db) {
            self.plan_databases(&mut plan)?;
        }
        // A part of a database is looked at, not put into use; so is nothing else.
        if request.part.is_whole() {
            if request.contents.contains(&Content::Media) && there.contains(&Content::Media) {
                plan.media = self.plan_media(&plan.run)?;
            }
            let config = request.contents.contains(&Content::Config);
            if config && configuration::files(self.manifest).next().is_some() {
                plan.configuration = Some(request.restored_dir.join(self.set));
            }
        }
        if plan.databases.is_empty() && plan.configuration.is_none() && plan.media.is_empty() {
            return Err(Error::usage(
                "nothing-wanted",
                format!("the set {} holds nothing of that kind", self.set),
            ));
        }
        if plan.to_load().next().is_some() || !plan.media.is_empty() {
            plan.services = self.application().map(|s| s.service.clone()).collect();
        }
        Ok(plan)
    }

    fn server(&self, run: &str) -> Result<Server> {
        Ok(self.to.server(run)?.started(&self.request.programs))
    }

    fn loader<'a>(&'a self, server: &'a Server) -> Loader<'a> {
        Loader { server, storage: self.storage, set: self.set, manifest: self.manifest, keys: self.keys }
    }

    fn plan_databases(&self, plan: &mut Plan) -> Result<()> {
        let wanted = fingerprint_of(self.manifest)?;
        let server = self.server(&plan.run)?;
        let loader = self.loader(&server);
        loader.require_client()?;
        let session = server.connector.connect("template1")?;
        let first = |sql: &str| -> Result<BTreeSet<String>> {
            Ok(session.query(sql)?.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect())
        };
        let live = first("SELECT datname FROM pg_database")?;
        let roles = first("SELECT rolname FROM pg_roles")?;
        drop(session);
        let whole = self.request.part.is_whole();
        let files = self.manifest.files.iter().filter(|f| f.kind == FileKind::Database);
        for entry in files.filter(|f| needs(self.request, f)) {
            let name = entry.database.clone().unwrap_or_default();
            let Some(want) = wanted.databases.get(&name) else {
                return Err(Error::failed("backup-set", format!("the set has no fingerprint of {name}")));
            };
            if whole && !want.only_schemas.is_empty() {
                return Err(part::refused(self.set, &name, want));
            }
            // Those that every server has are usually empty; a restore that changes nothing is none.
            let given = ["postgres", "template1"].contains(&name.as_str());
            let action = if !whole {
                if !self.request.part.is_in(want) {
                    continue;
                }
                Action::Part
            } else if !live.contains(&name) {
                Action::Made
            } else if given && loader.differs((&name, &name), want)?.is_none() {
                Action::Same
            } else if name == "template1" {
                Action::LeftAlone
            } else {
                Action::Replaces
            };
            let (aside, fresh) = other_names(&name, &plan.run);
            let part = aside.replace("_repot_", part::PART);
            plan.databases.push(Database {
                fresh: if whole { fresh } else { part.clone() },
                aside: match action {
                    Action::Replaces => Some(aside),
                    Action::Part => Some(part),
                    _ => None,
                },
                action,
                entry: entry.clone(),
                want: want.clone(),
                name,
            });
        }
        if plan.databases.is_empty() {
            if let Some(d) = &self.request.database {
                let what = format!("the set {} has no database {d}", self.set);
                return Err(Error::usage("database-missing", what));
            }
            if !whole {
                return Err(self.request.part.missing(self.set));
            }
        }
        if let Some(entry) = self.manifest.files.iter().find(|f| f.kind == FileKind::Globals) {
            (plan.roles, plan.role_sql) = missing_roles(&loader.globals(entry)?, &roles);
        }
        Ok(())
    }

    pub(in crate::backup) fn application(&self) -> impl Iterator<Item = &ServiceState> {
        let d = self.to.deployment();
        d.into_iter().flat_map(|d| {
            let server = if d.is_sqlite() { "" } else { d.database.service.as_str() };
            d.services.iter().filter(move |s| (s.running || s.restarting) && s.service != server)
        })
    }

    /// Does what the plan says.
    pub fn carry_out(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        let tell = |what: String| observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        if let Some(dir) = &plan.configuration {
            tell("unpacking the configuration".to_owned());
            self.unpack_configuration(dir)?;
        }
        let databases = plan.databases.iter().any(|d| !matches!(d.action, Action::Same | Action::LeftAlone));
        let server = if databases { Some(self.server(&plan.run)?) } else { None };
        let prepared = server
            .as_ref()
            .map_or(Ok(()), |server| {
                names::drop_leftovers(server, observer)?;
                if !plan.role_sql.is_empty() {
                    tell(format!("roles {}", plan.roles.join(", ")));
                    server.connector.connect("template1")?.execute(&plan.role_sql.join("\n"))?;
                }
                self.load_all(plan, server, observer)
            })
            .and_then(|()| self.unpack_media(plan, observer))
            .and_then(|()| {
                reach("restore", "before-names")?;
                interrupt::check()
            });
        if let Err(e) = prepared {
            // What was live has not been touched.
            if let Some(server) = &server {
                let _ = names::drop_fresh(plan, server);
            }
            self.drop_unpacked(plan);
            return Err(match e.code {
                "interrupted" => e.help("nothing was changed; start it again at any time"),
                _ => e,
            });
        }
        if plan.to_load().next().is_none() && plan.media.is_empty() {
            return Ok(());
        }
        self.change_names(plan, server.as_ref(), observer)
    }

    fn load_all(&self, plan: &Plan, server: &Server, observer: &dyn Observer) -> Result<()> {
        let loader = self.loader(server);
        for d in plan.parts() {
            part::load(&loader, d, &self.request.part, observer)?;
        }
        for d in plan.to_load() {
            loader.load(&d.entry, (&d.name, &d.fresh), observer)?;
            let what = format!("comparing {}", d.name);
            observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
            if let Some(why) = loader.differs((&d.name, &d.fresh), &d.want)? {
                return Err(Error::new(
                    Kind::Differences,
                    "restored-differs",
                    format!("the database {}, restored from the backup set, is not what it was", d.name),
                )
                .why(why)
                .help("the live database was not touched"));
            }
            reach("restore", "after-database")?;
        }
        Ok(())
    }
}
