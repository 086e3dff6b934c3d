//! Loading a database of a set into a fresh one, and comparing it with the set's fingerprint.

use std::io::Read;

use repot_store::codec::Keys;
use repot_store::storage::Storage;
use repot_store::{FileEntry, Manifest, MovedSequence, stored};

use crate::backup::codec_error;
use crate::backup::source::Server;
use crate::engine::postgres::session::ident;
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::exec::{Cmd, Way, last_lines};
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::steps::restore::{conninfo_value, is_database_entry};
use crate::verify::{DatabaseFingerprint, SequenceFingerprint, TakeOptions, compare_databases, take};

/// Globals larger than this are none.
const GLOBALS_MAX_BYTES: u64 = 64 << 20;

/// Loads databases of one set into one server.
pub(in crate::backup) struct Loader<'a> {
    pub(in crate::backup) server: &'a Server,
    pub(in crate::backup) storage: &'a Storage,
    pub(in crate::backup) set: &'a str,
    pub(in crate::backup) manifest: &'a Manifest,
    pub(in crate::backup) keys: &'a Keys,
}

impl Loader<'_> {
    /// The content of a file.
    pub(in crate::backup) fn read(&self, entry: &FileEntry) -> Result<impl Read + Send + use<>> {
        stored::read(self.storage, self.set, entry, self.keys).map_err(|e| codec_error(&entry.name, e))
    }

    /// The text of the globals.
    pub(in crate::backup) fn globals(&self, entry: &FileEntry) -> Result<String> {
        let mut text = String::new();
        self.read(entry)?
            .take(GLOBALS_MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| codec_error(&entry.name, e.into()))?;
        Ok(text)
    }

    /// Refuses a pg_restore that is older than the pg_dump that made the set: it does not read its archives.
    pub(in crate::backup) fn require_client(&self) -> Result<()> {
        let out = self.server.clients.program("pg_restore", &["--version"], &[]).output()?;
        if !out.ok() {
            return Err(Error::refused("no-client", "there is no pg_restore")
                .why(last_lines(&out.stderr, 2))
                .help("use an image of the database that has it, such as Debian's; by URL, install postgresql-client"));
        }
        let (have, want) = (major(&out.text()), major(&self.manifest.client));
        match (have, want) {
            (Some(have), Some(want)) if have < want => Err(Error::refused(
                "client-too-old",
                format!("pg_restore {have} does not read the set {}, which pg_dump {want} made", self.set),
            )
            .help(format!("use a pg_restore of version {want} or later"))),
            _ => Ok(()),
        }
    }

    /// Loads the database `name` into a fresh one of another name.
    pub(in crate::backup) fn load(
        &self,
        entry: &FileEntry,
        (name, fresh): (&str, &str),
        observer: &dyn Observer,
    ) -> Result<()> {
        interrupt::check()?;
        self.create(entry, (name, fresh))?;
        self.fill(entry, (name, fresh), &[], observer)
    }

    /// Loads what the dump holds into a database that is there; `more` are further arguments of pg_restore.
    pub(in crate::backup) fn fill(
        &self,
        entry: &FileEntry,
        (name, there): (&str, &str),
        more: &[&str],
        observer: &dyn Observer,
    ) -> Result<()> {
        let target = format!("--dbname=dbname={}", conninfo_value(there));
        let mut args = vec!["--single-transaction", "--exit-on-error", "--no-password", &target];
        args.extend(more);
        let cmd = self.server.clients.program("pg_restore", &args, &[]).bulk(Way::In);
        let total_bytes = entry.plain.as_ref().map_or(entry.size_bytes, |p| p.size_bytes);
        let mut input = Metered { from: self.read(entry)?, done_bytes: 0, total_bytes, name, observer };
        let (status, stderr) = cmd.pump(Some(&mut input), &mut |_| Ok(()))?;
        if status.success() { Ok(()) } else { Err(load_error(name, &stderr)) }
    }

    /// In what a database of the server (its second name) differs from one of the set; none where it does not.
    pub(in crate::backup) fn differs(
        &self,
        (name, there): (&str, &str),
        want: &DatabaseFingerprint,
    ) -> Result<Option<String>> {
        let only = TakeOptions { jobs: 2, databases: Some(vec![there.to_owned()]), ..TakeOptions::default() };
        let now = take(self.server.connector.as_ref(), &only, &|_| {})?;
        let then = self.manifest.server_version_num;
        let Some(found) = now.databases.get(there) else { return Ok(Some("it is missing".to_owned())) };
        let (mut want, mut found) = (want.clone(), found.clone());
        if name != there && ["postgres", "template1"].contains(&name) {
            // The comment that every server gives them is left out under these names only.
            found.settings.retain(|s| !s.starts_with("comment: "));
        }
        for m in self.manifest.moved_sequences.iter().filter(|m| m.database == name) {
            settle(m, &mut want.sequences, &found.sequences);
        }
        let c = compare_databases((&want, then), (&found, now.server_version_num));
        Ok(if c.same() { None } else { Some(c.summary(10)) })
    }

    /// Makes the fresh database as `pg_dump --create` has recorded it, under its own name: encoding, locale, owner,
    /// settings, rights.
    pub(in crate::backup) fn create(&self, entry: &FileEntry, names: (&str, &str)) -> Result<()> {
        create(self.server, names, &|| Ok(Box::new(self.read(entry)?)))
    }
}

/// Opens an archive anew.
pub(in crate::backup) type Open<'a> = dyn Fn() -> Result<Box<dyn Read + Send>> + 'a;

/// Makes a fresh database (the second name) as `pg_dump --create` has recorded the first in an archive.
pub(in crate::backup) fn create(server: &Server, (name, fresh): (&str, &str), open: &Open<'_>) -> Result<()> {
    let head = |cmd: &Cmd| -> Result<String> {
        let mut input = open()?;
        let mut out = Vec::new();
        let (status, stderr) = cmd.pump(Some(&mut *input), &mut |chunk| {
            out.extend_from_slice(chunk);
            Ok(())
        })?;
        if status.success() {
            Ok(String::from_utf8_lossy(&out).into_owned())
        } else {
            Err(load_error(name, &stderr))
        }
    };
    let listing = head(&server.clients.program("pg_restore", &["--list", "--create"], &[]))?;
    let wanted: Vec<&str> = listing.lines().filter(|l| is_database_entry(l)).collect();
    if wanted.is_empty() {
        let what = format!("the dump of {name} does not describe its database");
        return Err(Error::failed("backup-set", what));
    }
    let script = r#"f=$(mktemp) && printf '%s\n' "$TOC" > "$f" && pg_restore --create --use-list="$f" --file=- && rm -f "$f""#;
    let sql = head(&server.clients.program("sh", &["-c", script], &[("TOC", &wanted.join("\n"))]))?;
    let sql: String = sql
        .lines()
        .filter(|l| !l.starts_with("\\connect ") && !l.starts_with("DROP DATABASE "))
        .map(|l| under_another_name(l, name, fresh) + "\n")
        .collect();
    let args = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "--no-password", "-f", "-"];
    let psql = server.clients.program("psql", &args, &[("PGDATABASE", "template1")]);
    let out = psql.stdin(sql).output()?;
    if out.ok() { Ok(()) } else { Err(load_error(name, &out.stderr)) }
}

/// A sequence that went on while the set was made is right where it is between its two values: not before what it had
/// right after the snapshot, or rows of the snapshot could have numbers that it gives again.
pub(in crate::backup) fn settle(
    m: &MovedSequence,
    want: &mut [SequenceFingerprint],
    found: &[SequenceFingerprint],
) {
    let is = |s: &&SequenceFingerprint| s.schema == m.schema && s.name == m.name;
    let Some(found) = found.iter().find(is) else { return };
    let between = m.from.min(m.to)..=m.from.max(m.to);
    if let Some(want) = want.iter_mut().find(|s| is(&&**s)).filter(|_| between.contains(&found.last_value)) {
        want.last_value = found.last_value;
        want.is_called = found.is_called;
    }
}

/// Tells how much of a database's file was read.
pub(in crate::backup) struct Metered<'a, R> {
    pub(in crate::backup) from: R,
    pub(in crate::backup) done_bytes: u64,
    pub(in crate::backup) total_bytes: u64,
    pub(in crate::backup) name: &'a str,
    pub(in crate::backup) observer: &'a dyn Observer,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buf)?;
        self.done_bytes += n as u64;
        let what = format!("database {}", self.name);
        self.observer.event(Event::Progress {
            what,
            done_bytes: self.done_bytes,
            total_bytes: self.total_bytes,
        });
        Ok(n)
    }
}

/// The major version in what a client calls itself, such as `pg_dump (PostgreSQL) 17.2 (Debian 17.2-1)`.
fn major(client: &str) -> Option<u32> {
    let number = client.split("(PostgreSQL)").nth(1)?.trim_start();
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(in crate::backup) fn load_error(name: &str, stderr: &str) -> Error {
    let code = if speaks_of_full_disk(stderr) { "disk-full" } else { "restore-failed" };
    Error::failed(code, format!("the server did not take the database {name} of the set"))
        .why(last_lines(stderr, 6))
        .help("the live database was not touched; correct what is named and start it again")
}

/// A name as pg_dump writes it, in either form.
fn forms(name: &str) -> [String; 2] {
    [ident(name), name.to_owned()]
}

/// A statement about a database, about another one instead.
fn under_another_name(line: &str, old: &str, new: &str) -> String {
    for form in forms(old) {
        let pattern = format!("DATABASE {form}");
        let found = line.match_indices(&pattern).map(|(i, _)| i).find(|i| {
            let before = line[..*i].chars().next_back();
            let after = line[i + pattern.len()..].chars().next();
            before.is_none_or(|c| c == ' ') && after.is_none_or(|c| c == ' ' || c == ';')
        });
        if let Some(i) = found {
            return format!("{}DATABASE {}{}", &line[..i], ident(new), &line[i + pattern.len()..]);
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_about_another_database() {
        let of = |line| under_another_name(line, "app", "new");
        for (line, want) in [
            (
                "CREATE DATABASE app WITH TEMPLATE = template0;",
                "CREATE DATABASE \"new\" WITH TEMPLATE = template0;",
            ),
            ("ALTER DATABASE app OWNER TO app;", "ALTER DATABASE \"new\" OWNER TO app;"),
            (
                "ALTER ROLE app IN DATABASE app SET x TO 'y';",
                "ALTER ROLE app IN DATABASE \"new\" SET x TO 'y';",
            ),
            ("GRANT CONNECT ON DATABASE app TO app;", "GRANT CONNECT ON DATABASE \"new\" TO app;"),
            (
                "COMMENT ON DATABASE app IS 'DATABASE app ';",
                "COMMENT ON DATABASE \"new\" IS 'DATABASE app ';",
            ),
            ("ALTER DATABASE apple OWNER TO app;", "ALTER DATABASE apple OWNER TO app;"),
        ] {
            assert_eq!(of(line), want);
        }
        assert_eq!(
            under_another_name("ALTER DATABASE \"a\"\"b\" OWNER TO x;", "a\"b", "n"),
            "ALTER DATABASE \"n\" OWNER TO x;"
        );
    }
}
