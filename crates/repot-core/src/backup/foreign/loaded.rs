//! A database that is loaded from a file without fingerprint: made as the live one is, given to the application's role,
//! counted.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use super::super::restore::Database;
use super::super::restore::load::{create, load_error};
use super::super::source::Server;
use super::restore::ForeignRestored;
use crate::engine::postgres::session::{ident, literal};
use crate::error::{Error, Kind as ErrorKind, Result, speaks_of_full_disk};
use crate::exec::last_lines;

/// Relations but the system's and those of extensions.
const OWN: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e \
                   WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype = 'e')";

/// Schema and name of a table's line in `pg_restore --list`: `215; 1259 16386 TABLE public item clerk`. Names with
/// blanks cannot be told apart, and are left out.
pub(super) fn table_of(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once("; ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    match words.as_slice() {
        [_, _, "TABLE", schema, name, _] => Some(((*schema).to_owned(), (*name).to_owned())),
        _ => None,
    }
}

/// What the server said to a file.
pub(super) fn taken_error(file: &str, stderr: &str) -> Error {
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
pub(super) fn make_like_live(swap: &Database, owner: &str, server: &Server) -> Result<()> {
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
        return Err(Error::failed(
            "dump-failed",
            format!("the definition of the database {} cannot be read", swap.name),
        )
        .why(last_lines(&stderr, 3)));
    }
    create(server, (&swap.name, &swap.fresh), &|| {
        Ok(Box::new(Cursor::new(head.clone())) as Box<dyn Read + Send>)
    })
}

/// Gives what was loaded to the application's role.
pub(super) fn own(swap: &Database, owner: &str, server: &Server) -> Result<()> {
    let session = server.connector.connect(&swap.fresh)?;
    let role = literal(owner);
    let member = |class: &str, oid: &str| {
        format!(
            "NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = {oid} AND e.classid = '{class}'::regclass AND e.deptype = 'e')"
        )
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
        format!(
            "SELECT format('LARGE OBJECT %s', oid) FROM pg_largeobject_metadata WHERE {}",
            is_not("lomowner")
        ),
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
pub(super) fn counted(
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
        return Err(Error::new(
            ErrorKind::Differences,
            "restored-differs",
            "the restored database has no table",
        )
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
