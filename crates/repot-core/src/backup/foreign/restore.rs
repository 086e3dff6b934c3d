//! Restoring a database's file of django-dbbackup's: into a fresh database beside the live one, and only then under
//! its name, as the restore of a set does.
//!
//! The fresh database is made as the live one is: encoding, locale, owner, settings, rights. What is loaded belongs to
//! the application's role afterwards, as it does after django-dbbackup's own restore, which logs in as that role. It
//! is loaded by the superuser all the same: extensions and comments on them want one.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use repot_store::codec::Keys;
use repot_store::dbbackup::naming::{Content, DumpFormat};
use repot_store::dbbackup::shelf::Shelved;
use repot_store::storage::Storage;
use serde::Serialize;

use super::super::restore::{
    Metered, Swap, application, change_names, create, drop_fresh, drop_leftovers, load_error,
};
use super::super::source::{self, Server};
use super::check::read;
use super::dump_words;
use crate::app::detect::Deployment;
use crate::engine::postgres::session::{ident, literal};
use crate::error::{Error, Kind, Result, speaks_of_full_disk};
use crate::exec::last_lines;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::new_run_id;
use crate::upgrade::steps::restore::conninfo_value;

/// Relations but the system's and those of extensions.
const OWN: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e \
                   WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype = 'e')";

/// What a restore needs to know.
#[derive(Debug)]
pub struct ForeignRestore<'a> {
    /// Where to.
    pub deployment: &'a Deployment,
    /// Where from.
    pub storage: &'a Storage,
    /// The file.
    pub file: &'a Shelved,
    /// What opens it.
    pub keys: &'a Keys,
    /// The database that it is restored as; the application's where none is named.
    pub database: Option<&'a str>,
    /// What its sidecar makes one say before.
    pub warnings: Vec<String>,
}

/// What a restore will do.
#[derive(Debug, Clone, Serialize)]
pub struct ForeignPlan {
    /// The file.
    pub file: String,
    /// The database that it takes the place of.
    pub database: String,
    /// The name under which the live one is kept.
    pub aside: Option<String>,
    /// The role that everything belongs to afterwards.
    pub owner: String,
    /// What should be known before.
    pub warnings: Vec<String>,
    /// Services that are stopped while the names change.
    pub services: Vec<String>,
    #[serde(skip)]
    run: String,
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

impl ForeignRestore<'_> {
    /// What would be done. Changes nothing.
    pub fn plan(&self) -> Result<ForeignPlan> {
        let format = match &self.file.file.content {
            Content::Database(f) => f,
            Content::Media => {
                return Err(Error::usage("no-file", format!("{} holds media, not a database", self.file.file.name))
                    .help("name it with --media-file"));
            }
        };
        if !matches!(format, DumpFormat::PgCustom | DumpFormat::PgSql) {
            return Err(Error::refused(
                "other-engine",
                format!("{} is {}, and the database here is PostgreSQL", self.file.file.name, dump_words(format)),
            )
            .help("nothing was touched; restore it into the database system that it is of"));
        }
        let mut warnings = self.warnings.clone();
        if self.file.metadata.is_none() {
            warnings.push(match &self.file.sidecar_damage {
                Some(why) => format!("its sidecar cannot be read ({why}): of which version it is cannot be told"),
                None => "it has no sidecar: of which version it is cannot be told".to_owned(),
            });
        }
        let d = self.deployment;
        let run = new_run_id();
        let server = source::open(d, &run)?;
        let session = server.connector.connect("template1")?;
        let name = self.database.unwrap_or(&d.database.name).to_owned();
        if ["postgres", "template0", "template1"].contains(&name.as_str()) {
            return Err(Error::refused(
                "system-database",
                format!("{} is not restored as {name}, which every server has", self.file.file.name),
            )
            .help("name the application's database with --database"));
        }
        let is = |sql: &str, what: &str| -> Result<bool> {
            Ok(session.scalar(&format!("SELECT count(*) FROM {sql} = {}", literal(what)))? != "0")
        };
        let live = is("pg_database WHERE datname", &name)?;
        let role = &d.database.application_user;
        let owner = if is("pg_roles WHERE rolname", role)? { role } else { &d.database.superuser };
        let swap = Swap::new(&name, &run, live);
        Ok(ForeignPlan {
            file: self.file.file.name.clone(),
            database: name,
            aside: swap.aside,
            owner: owner.clone(),
            warnings,
            services: application(d).map(|s| s.service.clone()).collect(),
            run,
        })
    }

    /// Does what the plan says.
    pub fn carry_out(&self, plan: &ForeignPlan, observer: &dyn Observer) -> Result<ForeignRestored> {
        let server = source::open(self.deployment, &plan.run)?;
        drop_leftovers(&server, observer)?;
        let swap = Swap::new(&plan.database, &plan.run, plan.aside.is_some());
        let loaded = self.load(plan, &swap, &server, observer).and_then(|found| {
            reach("restore", "before-names")?;
            interrupt::check()?;
            Ok(found)
        });
        let swaps = [swap];
        let found = loaded.map_err(|e| {
            // What was live has not been touched.
            let _ = drop_fresh(&swaps, &server);
            if e.code == "interrupted" { e.help("nothing was changed; start it again at any time") } else { e }
        })?;
        change_names(self.deployment, &plan.run, &swaps, &server, observer)?;
        Ok(found)
    }

    fn load(
        &self,
        plan: &ForeignPlan,
        swap: &Swap,
        server: &Server,
        observer: &dyn Observer,
    ) -> Result<ForeignRestored> {
        make_like_live(plan, swap, server)?;
        let custom = self.file.file.content == Content::Database(DumpFormat::PgCustom);
        let to = format!("--dbname=dbname={}", conninfo_value(&swap.fresh));
        let cmd = if custom {
            let args =
                ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password", &to];
            server.clients.program("pg_restore", &args, &[])
        } else {
            let args = [
                "-X", "-q", "--single-transaction", "-v", "ON_ERROR_STOP=1", "--no-password", "-o", "/dev/null", &to, "-f", "-",
            ];
            server.clients.program("psql", &args, &[])
        };
        let mut input = Metered {
            from: read(self.storage, self.file, self.keys)?,
            done_bytes: 0,
            total_bytes: 0,
            name: &plan.database,
            observer,
        };
        let (status, stderr) = cmd.pump(Some(&mut input), &mut |_| Ok(()))?;
        // A client that was content before the file's end has not seen that the end is damaged.
        let rest = std::io::copy(&mut input, &mut std::io::sink());
        if !status.success() {
            return Err(taken_error(&plan.file, &stderr));
        }
        rest.map_err(|e| super::super::codec_error(&plan.file, e.into()))?;
        let tell = |what: String| observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        tell(format!("giving {} to {}", plan.database, plan.owner));
        own(plan, swap, server)?;
        tell(format!("counting {}", plan.database));
        let wanted = if custom { Some(self.listed(server)?) } else { None };
        let found = counted(swap, server, wanted.as_ref());
        reach("restore", "after-database")?;
        found
    }

    /// Tables that the archive lists, quoted as it has them.
    fn listed(&self, server: &Server) -> Result<BTreeSet<(String, String)>> {
        let cmd = server.clients.program("pg_restore", &["--list"], &[]);
        let mut text = Vec::new();
        let mut input = read(self.storage, self.file, self.keys)?;
        let (status, stderr) = cmd.pump(Some(&mut input), &mut |chunk| {
            text.extend_from_slice(chunk);
            Ok(())
        })?;
        if !status.success() {
            return Err(taken_error(&self.file.file.name, &stderr));
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
    if speaks_of_full_disk(stderr) { e } else { e.with_kind(Kind::Failed) }
}

/// Makes the fresh database as the live one is; without one, as the server makes databases.
fn make_like_live(plan: &ForeignPlan, swap: &Swap, server: &Server) -> Result<()> {
    if plan.aside.is_none() {
        let session = server.connector.connect("template1")?;
        return session.execute(&format!(
            "CREATE DATABASE {} TEMPLATE template0 OWNER {}",
            ident(&swap.fresh),
            ident(&plan.owner)
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
    create(server, (&swap.name, &swap.fresh), &|| Ok(Box::new(Cursor::new(head.clone())) as Box<dyn Read + Send>))
}

/// Gives what was loaded to the application's role.
fn own(plan: &ForeignPlan, swap: &Swap, server: &Server) -> Result<()> {
    let session = server.connector.connect(&swap.fresh)?;
    let role = literal(&plan.owner);
    let member = |class: &str, oid: &str| {
        format!("NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = {oid} AND e.classid = '{class}'::regclass AND e.deptype = 'e')")
    };
    let others = format!("n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'");
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
            session.execute(&format!("ALTER {what} OWNER TO {}", ident(&plan.owner)))?;
        }
    }
    Ok(())
}

/// Counts what was restored, and finds the tables that the archive lists.
fn counted(
    swap: &Swap,
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
                Kind::Differences,
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
        return Err(Error::new(Kind::Differences, "restored-differs", "the restored database has no table")
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
