//! Restoring files of django-dbbackup's: the database into a fresh one beside the live one, media beside the live
//! directory, and only then, with the application stopped, both in their place. It is the restore of a set, but for
//! the loading and for what can be compared.
//!
//! The fresh database is made as the live one is: encoding, locale, owner, settings, rights. What is loaded belongs to
//! the application's role afterwards, as it does after django-dbbackup's own restore, which logs in as that role. It
//! is loaded by the superuser all the same: extensions and comments on them want one. Media know no owners and modes;
//! they get the live directory's owner.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::PathBuf;

use repot_store::codec::Keys;
use repot_store::dbbackup::naming::{Content as Kind, DumpFormat};
use repot_store::dbbackup::shelf::Shelved;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::{FileEntry, FileKind, MANIFEST_FORMAT_AT_ROOT, MadeBy, Manifest};
use serde::Serialize;

use super::super::restore::load::{Metered, create, load_error};
use super::super::restore::{
    Action, Database, MediaPlan, Part, Plan, Request, Restore, names, other_names,
};
use super::super::source::{Server, Source};
use super::check::{layers, read};
use super::dump_words;
use crate::engine::postgres::session::{ident, literal};
use crate::error::{Error, Kind as ErrorKind, Result, speaks_of_full_disk};
use crate::exec::last_lines;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::now;
use crate::upgrade::steps::restore::conninfo_value;
use crate::verify::DatabaseFingerprint;

/// Relations but the system's and those of extensions.
const OWN: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e \
                   WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype = 'e')";

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
            run: String::new(),
            made_by: MadeBy::Backup,
            label: None,
            server_version_num: 0,
            image: None,
            client: String::new(),
            files,
            next_transaction: None,
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
        };
        let Some((storage, _)) = self.media.or(self.db) else {
            return Err(Error::usage("nothing-wanted", "the arguments leave nothing to do"));
        };
        act(&Restore { to: self.to, storage, set: "", manifest: &manifest, keys: self.keys, request: &request })
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
            return Err(Error::usage("no-project", "files of django-dbbackup's are restored into a Compose project"));
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
                Some(why) => format!("its sidecar cannot be read ({why}): of which version it is cannot be told"),
                None => "it has no sidecar: of which version it is cannot be told".to_owned(),
            });
        }
        let server = self.to.server(plan.run())?;
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
            let server = if self.db.is_some() { Some(self.to.server(set.run())?) } else { None };
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
        let binary = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password", &to];
        let text =
            ["-X", "-q", "--single-transaction", "-v", "ON_ERROR_STOP=1", "--no-password", "-o", "/dev/null", &to, "-f", "-"];
        let cmd = if custom {
            server.clients.program("pg_restore", &binary, &[])
        } else {
            server.clients.program("psql", &text, &[])
        };
        let from = read(storage, s, self.keys)?;
        let mut input = Metered { from, done_bytes: 0, total_bytes: 0, name: &d.name, observer };
        let (status, stderr) = cmd.pump(Some(&mut input), &mut |_| Ok(()))?;
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

/// Schema and name of a table's line in `pg_restore --list`: `215; 1259 16386 TABLE public item clerk`. Names with
/// blanks cannot be told apart, and are left out.
fn table_of(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once("; ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    match words.as_slice() {
        [_, _, "TABLE", schema, name, _] => Some(((*schema).to_owned(), (*name).to_owned())),
        _ => None,
    }
}

/// What the server said to a file.
fn taken_error(file: &str, stderr: &str) -> Error {
    let e = load_error(file, stderr);
    if stderr.contains("unsupported version") {
        return Error::refused("newer-client", format!("{file} was written by a newer pg_dump than this server's"))
            .why(last_lines(stderr, 2))
            .help("the live database was not touched; upgrade the server first (`repot upgrade`), or take a file that a pg_dump of the server's own version wrote");
    }
    if stderr.contains("role") && stderr.contains("does not exist") {
        return e.help("the live database was not touched; make the role that is named (CREATE ROLE), and start it again");
    }
    if speaks_of_full_disk(stderr) { e } else { e.with_kind(ErrorKind::Failed) }
}

/// Makes the fresh database as the live one is; without one, as the server makes databases.
fn make_like_live(swap: &Database, owner: &str, server: &Server) -> Result<()> {
    if swap.aside.is_none() {
        let session = server.connector.connect("template1")?;
        return session.execute(&format!(
            "CREATE DATABASE {} TEMPLATE template0 OWNER {}",
            ident(&swap.fresh),
            ident(owner)
        ));
    }
    // Nothing but the database itself: a few kilobytes.
    let args = ["--format=custom", "--schema-only", "--exclude-schema=*", "--no-password"];
    let cmd = server.clients.program("pg_dump", &args, &[("PGDATABASE", &swap.name)]);
    let mut head = Vec::new();
    let (status, stderr) = cmd.pump(None, &mut |chunk| {
        head.extend_from_slice(chunk);
        Ok(())
    })?;
    if !status.success() {
        return Err(Error::failed("dump-failed", format!("the definition of the database {} cannot be read", swap.name))
            .why(last_lines(&stderr, 3)));
    }
    create(server, (&swap.name, &swap.fresh), &|| {
        Ok(Box::new(Cursor::new(head.clone())) as Box<dyn Read + Send>)
    })
}

/// Gives what was loaded to the application's role.
fn own(swap: &Database, owner: &str, server: &Server) -> Result<()> {
    let session = server.connector.connect(&swap.fresh)?;
    let role = literal(owner);
    let member = |class: &str, oid: &str| {
        format!("NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = {oid} AND e.classid = '{class}'::regclass AND e.deptype = 'e')")
    };
    let others = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let is_not = |column: &str| format!("pg_get_userbyid({column}) <> {role}");
    let queries = [
        format!(
            "SELECT format('SCHEMA %I', n.nspname) FROM pg_namespace n WHERE {others} AND n.nspname <> 'public' AND {} AND {}",
            is_not("n.nspowner"),
            member("pg_namespace", "n.oid")
        ),
        // Sequences of a column go with their table.
        format!(
            "SELECT format('TABLE %I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r','p','v','m','f','S') AND {OWN} AND {} AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d \
             WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a','i')))",
            is_not("c.relowner")
        ),
        format!(
            "SELECT format('TYPE %I.%I', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
             LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE (t.typtype IN ('e','d','r') OR c.relkind = 'c') AND {others} AND {} AND {}",
            is_not("t.typowner"),
            member("pg_type", "t.oid")
        ),
        format!(
            "SELECT format('ROUTINE %s', p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE {others} AND {} AND {}",
            is_not("p.proowner"),
            member("pg_proc", "p.oid")
        ),
        format!("SELECT format('LARGE OBJECT %s', oid) FROM pg_largeobject_metadata WHERE {}", is_not("lomowner")),
    ];
    for q in queries {
        for row in session.query(&q)? {
            let Some(what) = row.into_iter().next().flatten() else { continue };
            session.execute(&format!("ALTER {what} OWNER TO {}", ident(owner)))?;
        }
    }
    Ok(())
}

/// Counts what was restored, and finds the tables that the archive lists.
fn counted(
    swap: &Database,
    server: &Server,
    wanted: Option<&BTreeSet<(String, String)>>,
) -> Result<ForeignRestored> {
    let session = server.connector.connect(&swap.fresh)?;
    let rows = session.query(&format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r','p') AND NOT c.relispartition AND {OWN} ORDER BY 1, 2"
    ))?;
    let there: BTreeSet<(String, String)> = rows
        .into_iter()
        .filter_map(|r| {
            let mut r = r.into_iter();
            Some((r.next()??, r.next()??))
        })
        .collect();
    if let Some(wanted) = wanted {
        let partitions = session.query(&format!(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','f') AND {OWN}"
        ))?;
        let all: BTreeSet<(String, String)> = partitions
            .into_iter()
            .filter_map(|r| {
                let mut r = r.into_iter();
                Some((r.next()??, r.next()??))
            })
            .collect();
        let missing: Vec<String> = wanted.difference(&all).map(|(s, n)| format!("{s}.{n}")).collect();
        if !missing.is_empty() {
            return Err(Error::new(
                ErrorKind::Differences,
                "restored-differs",
                format!("{} tables of the archive are not in the restored database", missing.len()),
            )
            .why(missing.join(", "))
            .help("the live database was not touched"));
        }
    }
    let mut total: u64 = 0;
    for (schema, name) in &there {
        let n = session.scalar(&format!("SELECT count(*) FROM {}.{}", ident(schema), ident(name)))?;
        total += n.parse::<u64>().unwrap_or(0);
    }
    if there.is_empty() {
        return Err(Error::new(ErrorKind::Differences, "restored-differs", "the restored database has no table")
            .help("the live database was not touched; the file is no backup of an application"));
    }
    Ok(ForeignRestored { tables: there.len(), rows: total, list_compared: wanted.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_a_list() {
        let of = |l| table_of(l).map(|(s, n)| format!("{s}.{n}"));
        assert_eq!(of("215; 1259 16386 TABLE public item clerk").as_deref(), Some("public.item"));
        assert_eq!(of("3330; 0 16386 TABLE DATA public item clerk"), None);
        assert_eq!(of(";     Format: CUSTOM"), None);
        assert_eq!(of("215; 1259 16386 TABLE public odd name clerk"), None);
    }
}
