//! Loading the backup set into the new server, and, when only the application moved, back into the old one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use repot_store::{FileEntry, FileKind, Manifest};
use serde_json::{Value, json};

use super::Context;
use super::backup::{fingerprint_of, globals_sql, set_of};
use crate::engine::postgres::facts::ClusterFacts;
use crate::engine::postgres::session::{ident, literal};
use crate::error::{Error, Kind, Result, speaks_of_full_disk};
use crate::exec::{Cmd, Way};
use crate::host::{Role, ServerSpec};
use crate::upgrade::plan::Step;
use crate::verify::{TakeOptions, compare_databases, take};

/// Databases that every cluster has from the start.
const GIVEN: [&str; 2] = ["postgres", "template1"];

pub(super) fn restore(cx: &Context) -> Result<Value> {
    if cx.attempt > 1 || !cx.host.server_running(Role::New)? {
        // A load that was cut off cannot be carried on: start again from an empty cluster.
        super::server::start_new(cx)?;
    }
    let facts = cx.facts()?;
    let (dir, manifest) = set_of(cx)?;
    load_globals(cx, &dir, &manifest, &facts)?;
    let total: u64 =
        manifest.files.iter().filter(|f| f.kind == FileKind::Database).map(|f| f.size_bytes).sum();
    let mut done = 0;
    for entry in manifest.files.iter().filter(|f| f.kind == FileKind::Database) {
        let name = entry.database.as_deref().unwrap_or_default();
        create_database(cx, Role::New, &dir, entry, name, GIVEN.contains(&name))?;
        load_database(cx, Role::New, &dir, entry, name, done, total)?;
        keep_public_rights(cx, Role::New, &facts, name)?;
        done += entry.size_bytes;
    }
    Ok(json!({ "databases": manifest.files.iter().filter(|f| f.kind == FileKind::Database).count() }))
}

fn psql(cx: &Context, role: Role, database: &str, sql: Vec<u8>) -> Result<()> {
    let facts = cx.facts()?;
    let args = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "--no-password", "-f", "-"].map(str::to_owned);
    let cmd = cx.host.client(
        role,
        &facts.superuser,
        "psql",
        &args,
        &[("PGDATABASE".to_owned(), database.to_owned())],
    )?;
    let out = cmd.stdin(sql).output()?;
    if out.ok() {
        return Ok(());
    }
    Err(restore_error(&out.stderr))
}

fn restore_error(stderr: &str) -> Error {
    let full = speaks_of_full_disk(stderr);
    let e = Error::failed(
        if full { "disk-full" } else { "restore-failed" },
        "the new server did not take the old data",
    )
    .why(crate::exec::last_lines(stderr, 6));
    if full {
        e.help("free some space on the disk of the new data, then `repot resume`; or `repot rollback`")
    } else {
        e.help("the old data is untouched: `repot rollback` brings it back; or correct what is named and `repot resume`")
    }
}

fn load_globals(cx: &Context, dir: &Path, manifest: &Manifest, facts: &ClusterFacts) -> Result<()> {
    let entry = manifest
        .files
        .iter()
        .find(|f| f.kind == FileKind::Globals)
        .ok_or_else(|| Error::failed("backup-set", "the set has no globals"))?;
    cx.progress("roles", 0, 0);
    psql(cx, Role::New, "postgres", globals_sql(&dir.join(&entry.name), &facts.superuser)?)
}

fn open(dir: &Path, entry: &FileEntry) -> Result<File> {
    let path = dir.join(&entry.name);
    File::open(&path).map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))
}

/// Table-of-contents entries that make the database itself: itself, its settings, rights, comment, labels.
pub(crate) fn is_database_entry(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("; ") else { return false };
    // "3293; 1262 16385 DATABASE - inventree pguser": two numbers, then the kind.
    let kind = rest.splitn(3, ' ').nth(2).unwrap_or_default();
    [
        "DATABASE - ",
        "DATABASE PROPERTIES - ",
        "ACL - DATABASE ",
        "COMMENT - DATABASE ",
        "SECURITY LABEL - DATABASE ",
    ]
    .iter()
    .any(|p| kind.starts_with(p))
}

/// Makes a database as `pg_dump --create` has recorded it: encoding, locale, owner, settings, rights.
fn create_database(
    cx: &Context,
    role: Role,
    dir: &Path,
    entry: &FileEntry,
    name: &str,
    exists: bool,
) -> Result<()> {
    let facts = cx.facts()?;
    let client = |program: &str, args: &[&str], env: &[(String, String)]| {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        cx.host.client(role, &facts.superuser, program, &args, env)
    };
    let listing = read_head(&client("pg_restore", &["--list", "--create"], &[])?, dir, entry)?;
    let wanted: Vec<&str> = listing.lines().filter(|l| is_database_entry(l)).collect();
    if wanted.is_empty() {
        return Err(Error::failed(
            "backup-set",
            format!("the dump {} does not describe its database", entry.name),
        ));
    }
    let script = r#"f=$(mktemp) && printf '%s\n' "$TOC" > "$f" && pg_restore --create --use-list="$f" --file=- && rm -f "$f""#;
    let toc = [("TOC".to_owned(), wanted.join("\n"))];
    let sql = read_head(&client("sh", &["-c", script], &toc)?, dir, entry)?;
    let sql: String = sql
        .lines()
        .filter(|l| !(exists && (l.starts_with("CREATE DATABASE ") || l.starts_with("DROP DATABASE "))))
        .fold(String::new(), |mut s, l| {
            s.push_str(l);
            s.push('\n');
            s
        });
    cx.progress(format!("database {name}"), 0, 0);
    // Not through `postgres`: it may be the very one that is being made.
    psql(cx, role, "template1", sql.into_bytes())
}

/// Runs a pg_restore that needs only the head of the archive, and returns what it prints.
fn read_head(cmd: &Cmd, dir: &Path, entry: &FileEntry) -> Result<String> {
    let mut file = open(dir, entry)?;
    let mut out = Vec::new();
    let (status, stderr) = cmd.pump(Some(&mut file), &mut |chunk| {
        out.extend_from_slice(chunk);
        Ok(())
    })?;
    if !status.success() {
        return Err(restore_error(&stderr));
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A conninfo value, so that a database called `a=b` or `postgresql://…` is taken as a name.
pub(crate) fn conninfo_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn load_database(
    cx: &Context,
    role: Role,
    dir: &Path,
    entry: &FileEntry,
    name: &str,
    before: u64,
    total: u64,
) -> Result<()> {
    let facts = cx.facts()?;
    let args = [
        "--single-transaction".to_owned(),
        "--exit-on-error".to_owned(),
        "--no-password".to_owned(),
        format!("--dbname=dbname={}", conninfo_value(name)),
    ];
    let cmd = cx.host.client(role, &facts.superuser, "pg_restore", &args, &[])?.bulk(Way::In);
    let mut input = Metered { from: open(dir, entry)?, done: before, total, cx, name };
    let (status, stderr) = cmd.pump(Some(&mut input), &mut |_| Ok(()))?;
    if status.success() { Ok(()) } else { Err(restore_error(&stderr)) }
}

struct Metered<'a> {
    from: File,
    done: u64,
    total: u64,
    cx: &'a Context<'a>,
    name: &'a str,
}

impl Read for Metered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buf)?;
        self.done += n as u64;
        self.cx.progress(format!("database {}", self.name), self.done, self.total);
        Ok(n)
    }
}

/// Before 15, everybody could create in schema public, and pg_dump leaves that out because it was the default; the
/// new server's default is another. What the application could do yesterday it can do tomorrow.
fn keep_public_rights(cx: &Context, role: Role, facts: &ClusterFacts, name: &str) -> Result<()> {
    let Some(db) = facts.databases.iter().find(|d| d.name == name) else { return Ok(()) };
    if !db.public_may_create {
        return Ok(());
    }
    let session = cx.host.server_connector(role, &facts.superuser).connect(name)?;
    session.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public') THEN \
         GRANT CREATE ON SCHEMA public TO PUBLIC; END IF; END $$",
    )
}

/// The name under which a live database is kept while its copy takes its place: readable at the front, and of this
/// database alone, however alike two names begin. At most 63 bytes, or the server would cut it and it would not be
/// found again.
pub(crate) fn aside_name(name: &str, run: &str) -> String {
    let front: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(16).collect();
    let own = &crate::upgrade::files::hash(name.as_bytes())[..16];
    format!("{front}_{own}_repot_{}", run.replace('-', "_"))
}

/// Takes back what the application's update command did to a database that did not move: each database of the
/// set is restored beside the live one, compared with the fingerprint, and only then takes its name; the live one
/// is kept under another.
pub(super) fn undo_migration(cx: &Context) -> Result<()> {
    if cx.plan().destination.is_some() {
        return Ok(());
    }
    if cx.plan().backup_set.is_none() {
        return Err(Error::new(Kind::Failed, "no-way-back", "the application's update cannot be taken back")
            .why("the run was started with --skip-backup, so there is no copy of the data from before")
            .help("restore a backup of your own, or go forward with `repot resume`"));
    }
    super::application::stop_again(cx)?;
    super::application::stop_database(cx)?;
    let plan = cx.plan();
    let facts = cx.facts()?;
    let spec = ServerSpec {
        role: Role::Old,
        image: plan.source.image.clone(),
        data: plan.source.data.clone(),
        settings: vec![
            ("autovacuum".to_owned(), "off".to_owned()),
            (
                "max_locks_per_transaction".to_owned(),
                (facts.most_objects / 50).clamp(256, 1_000_000).to_string(),
            ),
        ],
        init: None,
        superuser: plan.source.superuser.clone(),
    };
    cx.host.start_server(&spec, cx.observer)?;
    let (dir, manifest) = set_of(cx)?;
    let wanted = fingerprint_of(&manifest)?;
    let connector = cx.host.server_connector(Role::Old, &facts.superuser);
    for entry in manifest.files.iter().filter(|f| f.kind == FileKind::Database) {
        let name = entry.database.as_deref().unwrap_or_default();
        let Some(want) = wanted.databases.get(name) else { continue };
        let only = TakeOptions { jobs: 2, databases: Some(vec![name.to_owned()]), ..TakeOptions::default() };
        let is_as_it_was = match take(connector.as_ref(), &only, &|_| {}) {
            // An earlier attempt was cut off between the renaming and the restore.
            Err(e) if e.code == "database-missing" => false,
            other => {
                let now = other?;
                let version = now.server_version_num;
                let same = |d| compare_databases((want, wanted.server_version_num), (d, version)).same();
                now.databases.get(name).is_some_and(same)
            }
        };
        if is_as_it_was {
            continue;
        }
        let aside = aside_name(name, &plan.run);
        {
            let home = connector.connect("template1")?;
            let moved =
                home.query(&format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(&aside)))?;
            if moved.is_empty() {
                home.execute(&format!("ALTER DATABASE {} RENAME TO {}", ident(name), ident(&aside)))?;
            } else {
                // An earlier attempt renamed the live one and died while it restored: what has the name is half done.
                // The name that was found is this very database's, which is what makes it safe to drop the other.
                home.execute(&format!("DROP DATABASE IF EXISTS {}", ident(name)))?;
            }
        }
        create_database(cx, Role::Old, &dir, entry, name, false)?;
        load_database(cx, Role::Old, &dir, entry, name, 0, entry.size_bytes)?;
        keep_public_rights(cx, Role::Old, &facts, name)?;
        let back = take(connector.as_ref(), &only, &|_| {})?;
        let same = back
            .databases
            .get(name)
            .map(|d| compare_databases((want, wanted.server_version_num), (d, back.server_version_num)));
        match same {
            Some(c) if c.same() => {}
            other => {
                let why = other.map_or_else(|| "it is missing".to_owned(), |c| c.summary(10));
                return Err(Error::new(
                    Kind::Differences,
                    "restored-differs",
                    format!("the database {name}, restored from the backup set, is not what it was"),
                )
                .why(why));
            }
        }
        cx.note(format!("the database {name} is as it was; what the update made of it is kept as {aside}"));
    }
    debug_assert!(cx.run.step(Step::BackUp).is_some());
    cx.host.stop_server(Role::Old).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_database_itself() {
        for (line, want) in [
            ("3293; 1262 16385 DATABASE - inventree pguser", true),
            ("3294; 0 0 DATABASE PROPERTIES - inventree pguser", true),
            ("3295; 0 0 ACL - DATABASE inventree pguser", true),
            ("3296; 0 0 COMMENT - DATABASE inventree pguser", true),
            ("215; 1259 16400 TABLE public DATABASE pguser", false),
            ("216; 0 0 ACL public TABLE t pguser", false),
            (";     dbname: inventree", false),
        ] {
            assert_eq!(is_database_entry(line), want, "{line}");
        }
    }

    #[test]
    fn databases_with_like_names_are_kept_apart() {
        let run = "20261121-143005-3f2a";
        let long = "a_database_with_a_rather_long_name";
        let names = [
            format!("{long}_1"),
            format!("{long}_2"),
            "ä".repeat(31),
            format!("{}b", "ä".repeat(30)),
            String::from("a-b"),
            String::from("a.b"),
        ];
        let aside: std::collections::BTreeSet<String> = names.iter().map(|n| aside_name(n, run)).collect();
        assert_eq!(aside.len(), names.len(), "{aside:?}");
        assert!(aside.iter().all(|a| a.len() < 64), "NAMEDATALEN: {aside:?}");
        assert_eq!(aside_name(long, run), aside_name(long, run), "an attempt after the first finds it");
        assert!(aside_name(long, run).starts_with("a_database_with_"));
    }

    #[test]
    fn odd_names_are_names() {
        assert_eq!(conninfo_value("it's \\ odd=1"), r"'it\'s \\ odd=1'");
    }
}
