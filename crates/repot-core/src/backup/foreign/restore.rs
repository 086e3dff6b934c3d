//! Restoring files of django-dbbackup's: the database into a fresh one beside the live one, media beside the live
//! directory, and only then, with the application stopped, both in their place. It is the restore of a set, but for
//! the loading and for what can be compared.
//!
//! The fresh database is made as the live one is: encoding, locale, owner, settings, rights. What is loaded belongs to
//! the application's role afterwards, as it does after django-dbbackup's own restore, which logs in as that role. It
//! is loaded by the superuser all the same: extensions and comments on them want one. Media know no owners and modes;
//! they get the live directory's owner.

use std::collections::BTreeSet;
use std::path::PathBuf;

use repot_store::codec::Keys;
use repot_store::dbbackup::naming::{Content as Kind, DumpFormat};
use repot_store::dbbackup::settings::Programs;
use repot_store::dbbackup::shelf::Shelved;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::{Engine, FileEntry, FileKind, MANIFEST_FORMAT_AT_ROOT, MadeBy, Manifest};
use serde::Serialize;

use super::super::restore::load::Metered;
use super::super::restore::{Action, Database, MediaPlan, Part, Plan, Request, Restore, names, other_names};
use super::super::source::{Server, Source};
use super::check::{layers, read};
use super::dump_words;
use super::loaded::{counted, make_like_live, own, table_of, taken_error};
use crate::engine::postgres::session::literal;
use crate::error::{Error, Result};
use crate::exec::Way;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::now;
use crate::upgrade::steps::restore::conninfo_value;
use crate::verify::DatabaseFingerprint;

/// A file, and where it is.
pub type Located = (Storage, Shelved);

/// What a restore needs to know.
#[derive(Debug)]
pub struct ForeignRestore<'a> {
    /// Where to: a Compose project.
    pub to: &'a Source<'a>,
    /// A database's file.
    pub db: Option<&'a Located>,
    /// A media archive.
    pub media: Option<&'a Located>,
    /// What opens them.
    pub keys: &'a Keys,
    /// The database that the file is restored as; the application's where none is named.
    pub database: Option<&'a str>,
    /// What the sidecar makes one say before.
    pub warnings: Vec<String>,
    /// An existing directory for unlinked scratch files.
    pub scratch_dir: PathBuf,
    /// How the client programs are started.
    pub programs: Programs,
}

/// What a restore will do.
#[derive(Debug, Clone, Serialize)]
pub struct ForeignPlan {
    /// The files.
    pub files: Vec<String>,
    /// The database that one of them takes the place of.
    pub database: Option<String>,
    /// The name under which the live one is kept.
    pub aside: Option<String>,
    /// The role that everything in it belongs to afterwards.
    pub owner: String,
    /// The media root.
    pub media: Vec<MediaPlan>,
    /// What should be known before.
    pub warnings: Vec<String>,
    /// Services that are stopped while the names change.
    pub services: Vec<String>,
    #[serde(skip)]
    plan: Plan,
}

/// What was proved of a restored database.
#[derive(Debug, Clone, Serialize)]
pub struct ForeignRestored {
    /// Tables in it.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
    /// Whether the archive's list of tables was compared with what is there; SQL has no list.
    pub list_compared: bool,
}

/// A file as an entry of a manifest that there is not.
fn entry(s: &Shelved, kind: FileKind, name: Option<&str>) -> FileEntry {
    let layers = layers(s.file.wrapping);
    let name = name.map(str::to_owned);
    let media = kind == FileKind::Media;
    FileEntry {
        name: s.file.name.clone(),
        kind,
        database: name.clone().filter(|_| !media),
        engine: Engine::Postgresql,
        size_bytes: s.size_bytes,
        blake3: String::new(),
        sha256: String::new(),
        restore: format!("tar -xf {}, after gpg and gzip as its name says", s.file.name),
        compression: layers.compression,
        encryption: layers.cipher,
        plain: None,
        tree: None,
        root: name.filter(|_| media),
        at_root: true,
    }
}

impl ForeignRestore<'_> {
    /// The media archive as a set that holds nothing else.
    fn manifest(&self) -> Result<Manifest> {
        let d = self.to.deployment();
        let root = d.and_then(|d| d.profile.media.roots.first()).map(|r| r.name.clone());
        let mut files = Vec::new();
        if let Some((_, s)) = self.media {
            if s.file.content != Kind::Media {
                return Err(Error::usage("no-file", format!("{} holds a database, not media", s.file.name))
                    .help("name it with --db-file"));
            }
            let root = root.ok_or_else(|| {
                Error::refused("media-nowhere", "the profile of this application names no media")
                    .why(format!("{} holds media", s.file.name))
                    .help("add --skip-media, and unpack it by hand; or name the media root in a profile: docs/profiles.md")
            })?;
            files.push(entry(s, FileKind::Media, Some(&root)));
        }
        Ok(Manifest {
            format: MANIFEST_FORMAT_AT_ROOT,
            created_at: now(),
            repot: String::new(),
            application: String::new(),
            application_version: None,
            application_facts: None,
            project: String::new(),
            place: None,
            run: String::new(),
            made_by: MadeBy::Backup,
            label: None,
            server_version_num: 0,
            image: None,
            client: String::new(),
            files,
            next_transaction: None,
            signed_by: None,
            moved_sequences: Vec::new(),
            fingerprint: serde_json::Value::Null,
        })
    }

    /// Does something with the restore of a set that this is like.
    fn like_a_set<T>(&self, act: impl FnOnce(&Restore<'_>) -> Result<T>) -> Result<T> {
        let manifest = self.manifest()?;
        let request = Request {
            contents: BTreeSet::from([Content::Db, Content::Media]),
            database: None,
            part: Part::default(),
            replace: false,
            scratch_dir: self.scratch_dir.clone(),
            restored_dir: PathBuf::new(),
            programs: self.programs.clone(),
        };
        let Some((storage, _)) = self.media.or(self.db) else {
            return Err(Error::usage("nothing-wanted", "the arguments leave nothing to do"));
        };
        act(&Restore {
            to: self.to,
            storage,
            set: "",
            manifest: &manifest,
            keys: self.keys,
            request: &request,
        })
    }

    /// What would be done. Changes nothing.
    pub fn plan(&self) -> Result<ForeignPlan> {
        self.like_a_set(|r| {
            let mut plan = Plan::empty("");
            let (mut owner, mut warnings) = (String::new(), self.warnings.clone());
            if let Some((_, s)) = self.db {
                owner = self.plan_database(s, &mut plan, &mut warnings)?;
            }
            if self.media.is_some() {
                plan.media = r.plan_media(plan.run())?;
                warnings.push("media of django-dbbackup's know no owners, modes and times: they get the live directory's owner".to_owned());
            }
            plan.services = r.application().map(|s| s.service.clone()).collect();
            let database = plan.databases.first();
            Ok(ForeignPlan {
                files: [self.db, self.media].into_iter().flatten().map(|(_, s)| s.file.name.clone()).collect(),
                database: database.map(|d| d.name.clone()),
                aside: database.and_then(|d| d.aside.clone()),
                owner,
                media: plan.media.clone(),
                warnings,
                services: plan.services.clone(),
                plan,
            })
        })
    }

    /// Plans the database; the role that everything is to belong to.
    fn plan_database(&self, s: &Shelved, plan: &mut Plan, warnings: &mut Vec<String>) -> Result<String> {
        let Some(d) = self.to.deployment() else {
            return Err(Error::usage(
                "no-project",
                "files of django-dbbackup's are restored into a Compose project",
            ));
        };
        let Kind::Database(format) = &s.file.content else {
            return Err(Error::usage("no-file", format!("{} holds media, not a database", s.file.name))
                .help("name it with --media-file"));
        };
        if !matches!(format, DumpFormat::PgCustom | DumpFormat::PgSql) {
            return Err(Error::refused(
                "other-engine",
                format!("{} is {}, and the database here is PostgreSQL", s.file.name, dump_words(format)),
            )
            .help("nothing was touched; restore it into the database system that it is of"));
        }
        if s.metadata.is_none() {
            warnings.push(match &s.sidecar_damage {
                Some(why) => {
                    format!("its sidecar cannot be read ({why}): of which version it is cannot be told")
                }
                None => "it has no sidecar: of which version it is cannot be told".to_owned(),
            });
        }
        let server = self.to.server(plan.run())?.started(&self.programs);
        let session = server.connector.connect("template1")?;
        let name = self.database.unwrap_or(&d.database.name).to_owned();
        if ["postgres", "template0", "template1"].contains(&name.as_str()) {
            return Err(Error::refused(
                "system-database",
                format!("{} is not restored as {name}, which every server has", s.file.name),
            )
            .help("name the application's database with --database"));
        }
        let is = |sql: &str, what: &str| -> Result<bool> {
            Ok(session.scalar(&format!("SELECT count(*) FROM {sql} = {}", literal(what)))? != "0")
        };
        let live = is("pg_database WHERE datname", &name)?;
        let role = &d.database.application_user;
        let owner = if is("pg_roles WHERE rolname", role)? { role } else { &d.database.superuser };
        let (aside, fresh) = other_names(&name, plan.run());
        plan.databases.push(Database {
            action: if live { Action::Replaces } else { Action::Made },
            aside: live.then_some(aside),
            fresh,
            entry: entry(s, FileKind::Database, Some(&name)),
            want: DatabaseFingerprint::default(),
            name,
        });
        Ok(owner.clone())
    }

    /// Does what the plan says; of a database, what was proved of it.
    pub fn carry_out(&self, plan: &ForeignPlan, observer: &dyn Observer) -> Result<Option<ForeignRestored>> {
        self.like_a_set(|r| {
            let set = &plan.plan;
            let server = if self.db.is_some() {
                Some(self.to.server(set.run())?.started(&self.programs))
            } else {
                None
            };
            let prepared = self.prepare(r, plan, server.as_ref(), observer);
            let found = prepared.map_err(|e| {
                // What was live has not been touched.
                if let Some(server) = &server {
                    let _ = names::drop_fresh(set, server);
                }
                r.drop_unpacked(set);
                if e.code == "interrupted" {
                    e.help("nothing was changed; start it again at any time")
                } else {
                    e
                }
            })?;
            r.change_names(set, server.as_ref(), observer)?;
            Ok(found)
        })
    }

    fn prepare(
        &self,
        r: &Restore<'_>,
        plan: &ForeignPlan,
        server: Option<&Server>,
        observer: &dyn Observer,
    ) -> Result<Option<ForeignRestored>> {
        let mut found = None;
        if let (Some(server), Some(located), Some(d)) = (server, self.db, plan.plan.databases.first()) {
            names::drop_leftovers(server, observer)?;
            found = Some(self.load(located, d, &plan.owner, server, observer)?);
        }
        r.unpack_media(&plan.plan, observer)?;
        r.own_unpacked(&plan.plan)?;
        reach("restore", "before-names")?;
        interrupt::check()?;
        Ok(found)
    }

    fn load(
        &self,
        (storage, s): &Located,
        d: &Database,
        owner: &str,
        server: &Server,
        observer: &dyn Observer,
    ) -> Result<ForeignRestored> {
        make_like_live(d, owner, server)?;
        let custom = s.file.content == Kind::Database(DumpFormat::PgCustom);
        let to = format!("--dbname=dbname={}", conninfo_value(&d.fresh));
        let binary = [
            "--single-transaction",
            "--exit-on-error",
            "--no-owner",
            "--no-privileges",
            "--no-password",
            &to,
        ];
        let text = [
            "-X",
            "-q",
            "--single-transaction",
            "-v",
            "ON_ERROR_STOP=1",
            "--no-password",
            "-o",
            "/dev/null",
            &to,
            "-f",
            "-",
        ];
        let cmd = if custom {
            server.clients.program("pg_restore", &binary, &[])
        } else {
            server.clients.program("psql", &text, &[])
        };
        let from = read(storage, s, self.keys)?;
        let mut input = Metered { from, done_bytes: 0, total_bytes: 0, name: &d.name, observer };
        let (status, stderr) = cmd.bulk(Way::In).pump(Some(&mut input), &mut |_| Ok(()))?;
        if !status.success() {
            return Err(taken_error(&s.file.name, &stderr));
        }
        // A client that was content before the file's end has not seen that the end is damaged.
        let rest = std::io::copy(&mut input, &mut std::io::sink());
        let _ = rest.map_err(|e| super::super::codec_error(&s.file.name, e.into()))?;
        let tell = |what: String| observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        tell(format!("giving {} to {owner}", d.name));
        own(d, owner, server)?;
        tell(format!("counting {}", d.name));
        let wanted = if custom { Some(self.listed(storage, s, server)?) } else { None };
        let found = counted(d, server, wanted.as_ref())?;
        reach("restore", "after-database")?;
        Ok(found)
    }

    /// Tables that the archive lists.
    fn listed(&self, storage: &Storage, s: &Shelved, server: &Server) -> Result<BTreeSet<(String, String)>> {
        let cmd = server.clients.program("pg_restore", &["--list"], &[]);
        let mut text = Vec::new();
        let mut input = read(storage, s, self.keys)?;
        let (status, stderr) = cmd.pump(Some(&mut input), &mut |chunk| {
            text.extend_from_slice(chunk);
            Ok(())
        })?;
        if !status.success() {
            return Err(taken_error(&s.file.name, &stderr));
        }
        Ok(String::from_utf8_lossy(&text).lines().filter_map(table_of).collect())
    }
}
