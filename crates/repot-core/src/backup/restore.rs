//! Restoring a set into the running service: each database into a fresh one beside the live one, compared with the
//! set's fingerprint, and only then, with the application stopped, all names changed in one transaction. What was live
//! is kept under another name.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use repot_store::archive::{Owners, RestoreMode, UnpackOptions, unpack};
use repot_store::codec::Keys;
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::{self, archive_error, inspect_options};
use repot_store::{FileEntry, FileKind, MadeBy, Manifest, MovedSequence};
use serde::Serialize;

use super::codec_error;
use super::sets::contents;
use super::source::{self, Server};
use crate::app::detect::Deployment;
use crate::engine::postgres::session::{ident, literal};
use crate::error::{Error, Kind, Result, speaks_of_full_disk};
use crate::exec::{Cmd, last_lines};
use crate::host::{Host, ServiceState};
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::files::make_private_dir;
use crate::upgrade::plan::new_run_id;
use crate::upgrade::steps::backup::fingerprint_of;
use crate::upgrade::steps::restore::{aside_name, conninfo_value, is_database_entry};
use crate::verify::{DatabaseFingerprint, SequenceFingerprint, TakeOptions, compare_databases, take};

/// Globals larger than this are none.
const GLOBALS_MAX_BYTES: u64 = 64 << 20;
/// What a database that is being restored has in its name, where [`aside_name`] has `_repot_`.
const FRESH: &str = "_fresh_";

/// What to restore.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which kinds of content.
    pub contents: BTreeSet<Content>,
    /// Only this database.
    pub database: Option<String>,
    /// An existing directory for unlinked scratch files.
    pub scratch_dir: PathBuf,
    /// Directory below which configuration is unpacked.
    pub restored_dir: PathBuf,
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
}

/// One database of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub action: Action,
    /// The name under which the live one is kept.
    pub aside: Option<String>,
    #[serde(skip)]
    fresh: String,
    #[serde(skip)]
    entry: FileEntry,
    #[serde(skip)]
    want: DatabaseFingerprint,
}

/// What a restore will do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The set.
    pub set: String,
    /// Its databases.
    pub databases: Vec<Database>,
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
    fn to_load(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|d| matches!(d.action, Action::Replaces | Action::Made))
    }
    fn swaps(&self) -> Vec<Swap> {
        let of = |d: &Database| Swap { name: d.name.clone(), fresh: d.fresh.clone(), aside: d.aside.clone() };
        self.to_load().map(of).collect()
    }
}

/// A fresh database that is to take a name, and the name under which the live one is kept.
pub(super) struct Swap {
    pub(super) name: String,
    pub(super) fresh: String,
    pub(super) aside: Option<String>,
}

impl Swap {
    /// `live`: whether there is a database of that name.
    pub(super) fn new(name: &str, run: &str, live: bool) -> Self {
        let aside = aside_name(name, run);
        Swap {
            name: name.to_owned(),
            fresh: aside.replace("_repot_", FRESH),
            aside: live.then_some(aside),
        }
    }
}

/// What a restore needs to know.
#[derive(Debug)]
pub struct Restore<'a> {
    /// Where to.
    pub deployment: &'a Deployment,
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
    /// Refuses what is not there yet: media.
    pub fn require_possible(&self) -> Result<()> {
        let media: Vec<&FileEntry> =
            self.manifest.files.iter().filter(|f| f.kind == FileKind::Media).collect();
        if media.is_empty() || !self.request.contents.contains(&Content::Media) {
            return Ok(());
        }
        let by_hand: Vec<&str> = media.iter().map(|f| f.restore.as_str()).collect();
        Err(Error::refused("media-by-hand", "repot does not restore media yet")
            .why(format!("nothing was touched; the set {} holds media", self.set))
            .help(format!("add --skip-media, and unpack them by hand: {}", by_hand.join("; "))))
    }

    /// What would be done. Changes nothing.
    pub fn plan(&self) -> Result<Plan> {
        self.require_possible()?;
        let request = self.request;
        let there = contents(self.manifest);
        let run = new_run_id();
        let mut plan = Plan {
            set: self.set.to_owned(),
            databases: Vec::new(),
            roles: Vec::new(),
            configuration: None,
            services: Vec::new(),
            role_sql: Vec::new(),
            run,
        };
        if request.contents.contains(&Content::Db) && there.contains(&Content::Db) {
            self.plan_databases(&mut plan)?;
        }
        if request.contents.contains(&Content::Config) && self.configuration().next().is_some() {
            plan.configuration = Some(request.restored_dir.join(self.set));
        }
        if plan.databases.is_empty() && plan.configuration.is_none() {
            return Err(Error::usage(
                "nothing-wanted",
                format!("the set {} holds nothing of that kind", self.set),
            ));
        }
        Ok(plan)
    }

    fn configuration(&self) -> impl Iterator<Item = &FileEntry> {
        let backup = self.manifest.made_by == MadeBy::Backup;
        self.manifest.files.iter().filter(move |f| backup && f.kind == FileKind::Config)
    }

    fn plan_databases(&self, plan: &mut Plan) -> Result<()> {
        let wanted = fingerprint_of(self.manifest)?;
        let server = source::open(self.deployment, &plan.run)?;
        let session = server.connector.connect("template1")?;
        let first = |sql: &str| -> Result<BTreeSet<String>> {
            Ok(session.query(sql)?.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect())
        };
        let live = first("SELECT datname FROM pg_database")?;
        let roles = first("SELECT rolname FROM pg_roles")?;
        drop(session);
        let files = self.manifest.files.iter().filter(|f| f.kind == FileKind::Database);
        for entry in files.filter(|f| needs(self.request, f)) {
            let name = entry.database.clone().unwrap_or_default();
            let Some(want) = wanted.databases.get(&name) else {
                return Err(Error::failed("backup-set", format!("the set has no fingerprint of {name}")));
            };
            // Those that every server has are usually empty; a restore that changes nothing is none.
            let given = ["postgres", "template1"].contains(&name.as_str());
            let action = if !live.contains(&name) {
                Action::Made
            } else if given && self.differs(&server, (&name, &name), want)?.is_none() {
                Action::Same
            } else if name == "template1" {
                Action::LeftAlone
            } else {
                Action::Replaces
            };
            let aside = aside_name(&name, &plan.run);
            plan.databases.push(Database {
                fresh: aside.replace("_repot_", FRESH),
                aside: (action == Action::Replaces).then_some(aside),
                action,
                entry: entry.clone(),
                want: want.clone(),
                name,
            });
        }
        if let Some(d) = self.request.database.as_ref().filter(|_| plan.databases.is_empty()) {
            return Err(Error::usage(
                "database-missing",
                format!("the set {} has no database {d}", self.set),
            ));
        }
        if let Some(entry) = self.manifest.files.iter().find(|f| f.kind == FileKind::Globals) {
            let mut text = String::new();
            self.read(entry)?
                .take(GLOBALS_MAX_BYTES)
                .read_to_string(&mut text)
                .map_err(|e| codec_error(&entry.name, e.into()))?;
            (plan.roles, plan.role_sql) = missing_roles(&text, &roles);
        }
        if plan.to_load().next().is_some() {
            plan.services = application(self.deployment).map(|s| s.service.clone()).collect();
        }
        Ok(())
    }

    fn read(&self, entry: &FileEntry) -> Result<impl Read + Send + use<>> {
        stored::read(self.storage, self.set, entry, self.keys).map_err(|e| codec_error(&entry.name, e))
    }

    /// In what a database of the server (its second name) differs from one of the set; none where it does not.
    fn differs(
        &self,
        server: &Server,
        (name, there): (&str, &str),
        want: &DatabaseFingerprint,
    ) -> Result<Option<String>> {
        let only = TakeOptions { jobs: 2, databases: Some(vec![there.to_owned()]), ..TakeOptions::default() };
        let now = take(server.connector.as_ref(), &only, &|_| {})?;
        let then = self.manifest.server_version_num;
        let Some(found) = now.databases.get(there) else { return Ok(Some("it is missing".to_owned())) };
        let mut want = want.clone();
        for m in self.manifest.moved_sequences.iter().filter(|m| m.database == name) {
            settle(m, &mut want.sequences, &found.sequences);
        }
        let c = compare_databases((&want, then), (found, now.server_version_num));
        Ok(if c.same() { None } else { Some(c.summary(10)) })
    }

    /// Does what the plan says.
    pub fn carry_out(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        let tell = |what: String| observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        if let Some(dir) = &plan.configuration {
            tell("unpacking the configuration".to_owned());
            self.unpack_configuration(dir)?;
        }
        if plan.to_load().next().is_none() {
            return Ok(());
        }
        let server = source::open(self.deployment, &plan.run)?;
        drop_leftovers(&server, observer)?;
        if !plan.role_sql.is_empty() {
            tell(format!("roles {}", plan.roles.join(", ")));
            server.connector.connect("template1")?.execute(&plan.role_sql.join("\n"))?;
        }
        let loaded = self.load_all(plan, &server, observer).and_then(|()| {
            reach("restore", "before-names")?;
            interrupt::check()
        });
        if let Err(e) = loaded {
            // What was live has not been touched.
            let _ = drop_fresh(&plan.swaps(), &server);
            return Err(match e.code {
                "interrupted" => e.help("nothing was changed; start it again at any time"),
                _ => e,
            });
        }
        change_names(self.deployment, &plan.run, &plan.swaps(), &server, observer)
    }

    fn load_all(&self, plan: &Plan, server: &Server, observer: &dyn Observer) -> Result<()> {
        for d in plan.to_load() {
            interrupt::check()?;
            let name = &d.name;
            create(server, (&d.name, &d.fresh), &|| Ok(Box::new(self.read(&d.entry)?)))?;
            let args = [
                "--single-transaction",
                "--exit-on-error",
                "--no-password",
                &format!("--dbname=dbname={}", conninfo_value(&d.fresh)),
            ];
            let cmd = server.clients.program("pg_restore", &args, &[]);
            let total_bytes = d.entry.plain.as_ref().map_or(d.entry.size_bytes, |p| p.size_bytes);
            let mut input =
                Metered { from: self.read(&d.entry)?, done_bytes: 0, total_bytes, name, observer };
            let (status, stderr) = cmd.pump(Some(&mut input), &mut |_| Ok(()))?;
            if !status.success() {
                return Err(load_error(name, &stderr));
            }
            observer.event(Event::Progress {
                what: format!("comparing {name}"),
                done_bytes: 0,
                total_bytes: 0,
            });
            if let Some(why) = self.differs(server, (&d.name, &d.fresh), &d.want)? {
                return Err(Error::new(
                    Kind::Differences,
                    "restored-differs",
                    format!("the database {name}, restored from the backup set, is not what it was"),
                )
                .why(why)
                .help("the live database was not touched"));
            }
            reach("restore", "after-database")?;
        }
        Ok(())
    }

    fn unpack_configuration(&self, dir: &std::path::Path) -> Result<()> {
        make_private_dir(&self.request.restored_dir)?;
        make_private_dir(dir)?;
        for entry in self.configuration() {
            let options = UnpackOptions {
                inspect: inspect_options(&self.request.scratch_dir),
                mode: RestoreMode::FillIn { replace: true },
                owners: Owners::OfRoot,
            };
            unpack(self.read(entry)?, dir, &options, None)
                .map_err(|e| codec_error(&entry.name, archive_error(e)))?;
        }
        Ok(())
    }
}

/// Services that are stopped while names change.
pub(super) fn application(d: &Deployment) -> impl Iterator<Item = &ServiceState> {
    d.services.iter().filter(|s| (s.running || s.restarting) && s.service != d.database.service)
}

/// Opens an archive anew.
pub(super) type Open<'a> = dyn Fn() -> Result<Box<dyn Read + Send>> + 'a;

/// Makes a fresh database (the second name) as `pg_dump --create` has recorded the first in an archive, under its own
/// name: encoding, locale, owner, settings, rights.
pub(super) fn create(server: &Server, (name, fresh): (&str, &str), open: &Open<'_>) -> Result<()> {
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

/// Stops the application, changes all names in one transaction, starts it again.
pub(super) fn change_names(
    deployment: &Deployment,
    run: &str,
    swaps: &[Swap],
    server: &Server,
    observer: &dyn Observer,
) -> Result<()> {
    let host = deployment.host(run);
    let services: Vec<ServiceState> = application(deployment).cloned().collect();
    let names: Vec<String> = services.iter().map(|s| s.service.clone()).collect();
    let changed = host
        .stop_services(&services, 0, observer)
        .and_then(|()| reach("restore", "in-names"))
        .and_then(|()| rename(swaps, server));
    if changed.is_err() {
        let _ = drop_fresh(swaps, server);
    }
    // Whatever came of it: the application runs again, on what has the name now.
    let started = host
        .start_services(&names, false, observer)
        .and_then(|()| host.restore_restart_policies(&services));
    changed?;
    started.map_err(|e| {
        let stands = "the databases are restored, the application is not running";
        let why = e.why.clone().unwrap_or_else(|| e.what.clone());
        Error { why: Some(format!("{stands}: {why}")), ..e }
    })?;
    let timeout_s = deployment.profile.health.timeout_s.unwrap_or(120);
    host.wait_healthy(&names, timeout_s, observer).map_err(|e| {
        e.help("the databases are restored and compared; look at the service's log. What was live is kept under its other name")
    })
}

/// A sequence that went on while the set was made is right where it is between its two values: not before what it had
/// right after the snapshot, or rows of the snapshot could have numbers that it gives again.
fn settle(m: &MovedSequence, want: &mut [SequenceFingerprint], found: &[SequenceFingerprint]) {
    let is = |s: &&SequenceFingerprint| s.schema == m.schema && s.name == m.name;
    let Some(found) = found.iter().find(is) else { return };
    let between = m.from.min(m.to)..=m.from.max(m.to);
    if let Some(want) = want.iter_mut().find(|s| is(&&**s)).filter(|_| between.contains(&found.last_value)) {
        want.last_value = found.last_value;
        want.is_called = found.is_called;
    }
}

/// Tells how much of a database's file was read.
pub(super) struct Metered<'a, R> {
    pub(super) from: R,
    pub(super) done_bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) name: &'a str,
    pub(super) observer: &'a dyn Observer,
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

pub(super) fn load_error(name: &str, stderr: &str) -> Error {
    let code = if speaks_of_full_disk(stderr) { "disk-full" } else { "restore-failed" };
    Error::failed(code, format!("the server did not take the database {name} of the set"))
        .why(last_lines(stderr, 6))
        .help("the live database was not touched; correct what is named and start it again")
}

/// Removes what was being restored.
pub(super) fn drop_fresh(swaps: &[Swap], server: &Server) -> Result<()> {
    let session = server.connector.connect("template1")?;
    for d in swaps {
        session.execute(&format!("DROP DATABASE IF EXISTS {}", ident(&d.fresh)))?;
    }
    Ok(())
}

/// Removes what a restore that was killed left: this one holds the lock, so there is no other.
pub(super) fn drop_leftovers(server: &Server, observer: &dyn Observer) -> Result<()> {
    let session = server.connector.connect("template1")?;
    let left = session.query(&format!(
        "SELECT datname FROM pg_database WHERE datname ~ '^.{{0,16}}_[0-9a-f]{{16}}{FRESH}[0-9]{{8}}_[0-9]{{6}}_[0-9a-f]{{4}}$'"
    ))?;
    for name in left.into_iter().filter_map(|r| r.into_iter().next().flatten()) {
        session.execute(&format!("DROP DATABASE {}", ident(&name)))?;
        observer.event(Event::Note(format!("{name}, left by a restore that was cut off, was removed")));
    }
    Ok(())
}

/// Gives the fresh databases their names and the live ones others, all in one transaction.
fn rename(swaps: &[Swap], server: &Server) -> Result<()> {
    let session = server.connector.connect("template1")?;
    let mut sql = "BEGIN;".to_owned();
    for d in swaps {
        for name in [&d.name, &d.fresh] {
            // Whoever is still connected is not one of the application's services.
            session.query(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
                literal(name)
            ))?;
        }
        if let Some(aside) = &d.aside {
            sql.push_str(&format!("ALTER DATABASE {} RENAME TO {};", ident(&d.name), ident(aside)));
        }
        sql.push_str(&format!("ALTER DATABASE {} RENAME TO {};", ident(&d.fresh), ident(&d.name)));
    }
    sql.push_str("COMMIT");
    let deadline = Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match session.execute(&sql) {
            Ok(()) => return Ok(()),
            // A session that was ended takes a moment to go.
            Err(e) if Instant::now() < deadline && e.why.as_deref().is_some_and(|w| w.contains("55006")) => {
                session.execute("ROLLBACK")?;
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            Err(e) => {
                session.execute("ROLLBACK")?;
                return Err(e);
            }
        }
    }
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

/// Roles of the globals that a server lacks, and the statements that make them.
fn missing_roles(globals: &str, there: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let unquoted = |id: &str| match id.strip_prefix('"').and_then(|i| i.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => id.to_owned(),
    };
    let ids: Vec<&str> = globals
        .lines()
        .filter_map(|l| l.strip_prefix("CREATE ROLE ")?.strip_suffix(';'))
        .filter(|id| !there.contains(&unquoted(id)))
        .collect();
    let about = |l: &str| {
        ids.iter().any(|id| {
            l == format!("CREATE ROLE {id};")
                || l.starts_with(&format!("ALTER ROLE {id} "))
                || l.starts_with(&format!("GRANT {id} TO "))
                || (l.starts_with("GRANT ")
                    && (l.contains(&format!(" TO {id};")) || l.contains(&format!(" TO {id} "))))
        })
    };
    let sql = globals.lines().filter(|l| about(l)).map(str::to_owned).collect();
    (ids.into_iter().map(unquoted).collect(), sql)
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

    #[test]
    fn only_roles_that_are_missing_are_made() {
        let globals = "CREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nCREATE ROLE \"o\"\"dd\";\nALTER ROLE \"o\"\"dd\" WITH NOLOGIN;\nGRANT \"o\"\"dd\" TO app;\n";
        let (roles, sql) = missing_roles(globals, &BTreeSet::from(["app".to_owned()]));
        assert_eq!(roles, ["o\"dd"]);
        assert_eq!(sql.len(), 3, "{sql:?}");
        assert!(missing_roles(globals, &BTreeSet::from(["app".to_owned(), "o\"dd".to_owned()])).1.is_empty());
    }
}
