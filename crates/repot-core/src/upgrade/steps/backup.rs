//! The backup set and the fingerprint of the old server, taken at the same time from the fenced, read-only server.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use repot_store::codec::{Cipher, Compression};
use repot_store::{
    FileEntry, FileKind, FileWriter, MANIFEST_FORMAT, MANIFEST_NAME, MadeBy, Manifest, SetWriter, StoreError,
};
use serde_json::{Value, json};

use super::Context;
use crate::engine::postgres::facts::ClusterFacts;
use crate::engine::postgres::settings::{ACCESS_FILES, access_file, files_to_carry, from_arguments};
use crate::error::{Error, Result};
use crate::host::Role;
use crate::progress::{Event, human_bytes};
use crate::upgrade::plan::{Step, now};
use crate::verify::{ClusterFingerprint, TakeOptions, take};

/// Configuration files of the old data directory that go into the set, beside access rules, certificates and keys.
const CONFIG_FILES: [&str; 2] = ["postgresql.conf", "postgresql.auto.conf"];

/// Name in the set of a file of the data directory.
pub(super) fn config_name(path: &str) -> String {
    path.replace('/', "__")
}

pub(crate) fn store_error(e: StoreError) -> Error {
    match e {
        StoreError::Io { what, source } => Error::io(what, &source),
        other => Error::failed("backup-set", other.to_string()),
    }
}

fn set_dir(cx: &Context) -> Result<PathBuf> {
    cx.plan().backup_set.clone().ok_or_else(|| Error::failed("bug", "this plan makes no backup set"))
}

pub(super) fn is_complete(cx: &Context) -> Result<Option<Value>> {
    let dir = set_dir(cx)?;
    match repot_store::open(&dir) {
        Ok(m) if m.run == cx.run.id => {
            // Complete is not enough: somebody may have written to the old server since it was made, or the disk
            // does not give it back.
            let fenced = cx.result(Step::FenceDatabase)["next_transaction"].as_str();
            let current = m.next_transaction.is_some() && m.next_transaction.as_deref() == fenced;
            if !current || !repot_store::verify(&dir, &m).map_err(store_error)?.is_empty() {
                forget_stale(&dir)?;
                return Ok(None);
            }
            with_transaction(cx, summary(&dir, &m)?).map(Some)
        }
        Ok(_) | Err(StoreError::Incomplete(_)) => Ok(None),
        Err(e) => Err(store_error(e)),
    }
}

/// The set was made before somebody wrote to the old server again: it is no longer what is to be restored. Its
/// dumps are made anew in its place.
pub(crate) fn forget_stale(dir: &Path) -> Result<()> {
    match std::fs::remove_file(dir.join(MANIFEST_NAME)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot set the stale backup set {} aside", dir.display()), &e))
        }
        _ => Ok(()),
    }
}

fn summary(dir: &Path, m: &Manifest) -> Result<Value> {
    let fp = fingerprint_of(m)?;
    let tables: usize = fp.databases.values().map(|d| d.tables.len()).sum();
    let rows: u64 = fp.databases.values().flat_map(|d| d.tables.iter().map(|t| t.rows)).sum();
    let size: u64 = m.files.iter().map(|f| f.size_bytes).sum();
    Ok(
        json!({ "set": dir, "size_bytes": size, "databases": fp.databases.len(), "tables": tables, "rows": rows }),
    )
}

/// The fingerprint in a manifest.
pub(crate) fn fingerprint_of(m: &Manifest) -> Result<ClusterFingerprint> {
    serde_json::from_value(m.fingerprint.clone())
        .map_err(|e| Error::failed("backup-set", "the manifest's fingerprint does not parse").why(e))
}

/// A file name for a database: its own name where that is a plain one.
pub(crate) fn file_name(index: usize, database: &str) -> String {
    let plain = !database.is_empty()
        && !database.starts_with('.')
        && database.len() < 100
        && database.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if plain { format!("{database}.dump") } else { format!("database-{index}.dump") }
}

pub(super) fn back_up(cx: &Context) -> Result<Value> {
    let dir = set_dir(cx)?;
    let facts = cx.facts()?;
    if !cx.host.server_running(Role::Old)? {
        super::server::fence(cx)?;
    }
    let set = SetWriter::create(&dir).map_err(store_error)?;
    let connector = cx.host.server_connector(Role::Old, &facts.superuser);
    let dumped = AtomicU64::new(0);
    let read = AtomicU64::new(0);
    let total = AtomicU64::new(0);
    let show = || {
        let what = format!("dumped {}, fingerprint", human_bytes(dumped.load(Ordering::Relaxed)));
        cx.progress(what, read.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
    };
    // The server is fenced and read-only: what the dump reads and what the fingerprint reads are the same data.
    let (files, fingerprint) = std::thread::scope(|scope| {
        let dumper = scope.spawn(|| {
            dump_all(cx, &set, &facts, &|n| {
                dumped.fetch_add(n, Ordering::Relaxed);
                show();
            })
        });
        let options = TakeOptions { jobs: 2, cluster: true, ..TakeOptions::default() };
        let fingerprint = take(connector.as_ref(), &options, &|p| {
            read.store(p.done_bytes, Ordering::Relaxed);
            total.store(p.total_bytes, Ordering::Relaxed);
            show();
        });
        let files = dumper.join().unwrap_or_else(|_| Err(Error::failed("bug", "the dump panicked")));
        (files, fingerprint)
    });
    let files = files?;
    let fingerprint = fingerprint?;
    cx.files.save("fingerprint-old.json", &serde_json::to_vec_pretty(&fingerprint).unwrap_or_default())?;
    let plan = cx.plan();
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        created_at: now(),
        repot: env!("CARGO_PKG_VERSION").to_owned(),
        application: plan.profile.title.clone(),
        application_version: plan.application_version.clone(),
        application_facts: None,
        project: plan.project.name.clone(),
        place: crate::backup::source::place_of(&plan.project.dir),
        run: plan.run.clone(),
        made_by: MadeBy::Upgrade,
        label: None,
        server_version_num: facts.version_num,
        client: client_version(cx)?,
        files,
        fingerprint: serde_json::to_value(&fingerprint).unwrap_or(Value::Null),
        signed_by: None,
        moved_sequences: Vec::new(),
        image: Some(cx.plan().source.image.clone()),
        next_transaction: cx.result(Step::FenceDatabase)["next_transaction"].as_str().map(str::to_owned),
    };
    set.finish(&manifest).map_err(store_error)?;
    // Read back what was written: a set is counted on only when the disk gives it back.
    let damages = repot_store::verify(&dir, &manifest).map_err(store_error)?;
    if let Some(d) = damages.first() {
        forget_stale(&dir)?;
        return Err(Error::failed(
            "backup-damaged",
            format!("the backup set {} cannot be read back: {} {}", dir.display(), d.name, d.what),
        )
        .help("the disk is at fault; give another place with --backup-dir after `repot rollback`"));
    }
    with_transaction(cx, summary(&dir, &manifest)?)
}

/// Adds the number of the old server's next transaction, as the fence found it: see `reopen_stale_backup`.
fn with_transaction(cx: &Context, mut result: Value) -> Result<Value> {
    result["next_transaction"] = cx.result(Step::FenceDatabase)["next_transaction"].clone();
    Ok(result)
}

fn client_version(cx: &Context) -> Result<String> {
    let cmd = cx.host.client(Role::Old, "postgres", "pg_dump", &["--version".to_owned()], &[])?;
    Ok(cmd.run()?.text())
}

fn dump_all(
    cx: &Context,
    set: &SetWriter,
    facts: &ClusterFacts,
    count: &(dyn Fn(u64) + Sync),
) -> Result<Vec<FileEntry>> {
    let plan = cx.plan();
    let mut files = Vec::new();
    let globals = vec!["--globals-only".to_owned()];
    files.push(dump_one(
        cx,
        set,
        "globals.sql",
        FileKind::Globals,
        None,
        &mut |sink| {
            let cmd = cx.host.client(Role::Old, &facts.superuser, "pg_dumpall", &globals, &[])?;
            checked(&cmd, sink)
        },
        count,
    )?);
    for (i, db) in facts.databases.iter().filter(|d| d.allows_connections).enumerate() {
        let name = file_name(i, &db.name);
        let own = needs_own_client(cx, facts, &db.name)?;
        let entry = dump_one(
            cx,
            set,
            &name,
            FileKind::Database,
            Some(&db.name),
            &mut |sink| {
                let run = |compress: &str, sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send)| {
                    let args = ["--format=custom", compress, "--no-password", "--verbose"].map(str::to_owned);
                    let env = [("PGDATABASE".to_owned(), db.name.clone())];
                    let cmd = if own {
                        cx.host.own_client(Role::Old, &facts.superuser, "pg_dump", &args, &env)?
                    } else {
                        cx.host.client(Role::Old, &facts.superuser, "pg_dump", &args, &env)?
                    };
                    checked(&cmd, sink)
                };
                let mut written = 0;
                let first = run("--compress=zstd:1", &mut |chunk: &[u8]| {
                    written += chunk.len();
                    sink(chunk)
                });
                match first {
                    // pg_dump before 16 does not know zstd, and a later one may be built without it; both say so
                    // before they write anything.
                    Err(e) if written == 0 && e.why.as_deref().is_some_and(|w| w.contains("compress")) => {
                        run("--compress=1", sink)
                    }
                    other => other,
                }
            },
            count,
        )?;
        files.push(entry);
    }
    for (path, name) in config_files(facts, &plan.extras.arguments) {
        if let Some(bytes) = cx.host.read_data_file(plan.helper_image(), &plan.source.data, &path)? {
            files.push(dump_one(cx, set, &name, FileKind::Config, None, &mut |sink| sink(&bytes), count)?);
        } else if ACCESS_FILES.iter().any(|(_, usual)| *usual == name && *usual != path) {
            return Err(Error::failed("config-missing", format!("{path}, which the settings name, is not in the data directory"))
                .why(format!("without it the new server would get other rules ({name}) than the old one had"))
                .help("nothing was moved; `repot rollback` starts the application again, then write its full path into the setting"));
        }
    }
    Ok(files)
}

/// Files of the data directory that go into the set, each with its name there. The access rules in use go by their
/// usual names, whatever they are called.
fn config_files(facts: &ClusterFacts, arguments: &[String]) -> Vec<(String, String)> {
    let arguments = from_arguments(arguments);
    let rules = ACCESS_FILES.iter().map(|(setting, usual)| {
        let path = access_file(facts, &arguments, setting).unwrap_or_else(|| (*usual).to_owned());
        (path, (*usual).to_owned())
    });
    let others = CONFIG_FILES.iter().map(|n| (*n).to_owned()).chain(files_to_carry(facts, &arguments));
    rules.chain(others.map(|path| (path.clone(), config_name(&path)))).collect()
}

/// Where recent minor versions (seen in 15.20 and 17.12) put a number of their own on every column. Their own
/// pg_dump leaves it out; that of a newer major with an older release date (seen in 18.6) writes it down, and no
/// such server takes it.
const SERVER_OPTION: &str = "pg_attver=";

/// Whether a database must be dumped by the old server's own pg_dump, because the newer one's would write down what
/// the new server refuses.
fn needs_own_client(cx: &Context, facts: &ClusterFacts, database: &str) -> Result<bool> {
    let session = cx.host.server_connector(Role::Old, &facts.superuser).connect(database)?;
    let marked = session.scalar(&format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute a, pg_catalog.unnest(a.attoptions) o WHERE o LIKE '{}%')",
        SERVER_OPTION.replace('_', "\\_")
    ))?;
    if marked != "t" {
        return Ok(false);
    }
    let args = ["--schema-only", "--no-password"].map(str::to_owned);
    let env = [("PGDATABASE".to_owned(), database.to_owned())];
    let cmd = cx.host.client(Role::Old, &facts.superuser, "pg_dump", &args, &env)?;
    let wanted = format!("SET ({SERVER_OPTION}").into_bytes();
    let (mut found, mut tail) = (false, Vec::new());
    checked(&cmd, &mut |chunk| {
        tail.extend_from_slice(chunk);
        found |= tail.windows(wanted.len()).any(|w| w == wanted);
        // The words may lie across two chunks.
        tail.drain(..tail.len().saturating_sub(wanted.len()));
        Ok(())
    })?;
    Ok(found)
}

fn checked(cmd: &crate::exec::Cmd, sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send)) -> Result<()> {
    let (status, stderr) = cmd.clone().bulk(crate::exec::Way::Out).pump(None, sink)?;
    if status.success() {
        return Ok(());
    }
    let e = cmd.exit_error(status, &stderr);
    Err(Error { code: "dump-failed", what: "the dump of the old server failed".to_owned(), ..e }
        .help("nothing was changed; correct what is named and `repot resume`, or `repot rollback`"))
}

type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + Send + 'a;

fn dump_one(
    cx: &Context,
    set: &SetWriter,
    name: &str,
    kind: FileKind,
    database: Option<&str>,
    produce: &mut dyn FnMut(&mut Sink) -> Result<()>,
    count: &(dyn Fn(u64) + Sync),
) -> Result<FileEntry> {
    cx.observer.event(Event::Progress { what: name.to_owned(), done_bytes: 0, total_bytes: 0 });
    let mut file: FileWriter = set.file(name).map_err(store_error)?;
    produce(&mut |chunk: &[u8]| {
        count(chunk.len() as u64);
        file.write_all(chunk).map_err(|e| Error::io(format!("cannot write the backup file {name}"), &e))
    })?;
    let done = file.finish().map_err(store_error)?;
    if done.size_bytes == 0 && kind != FileKind::Config {
        return Err(Error::failed("dump-failed", format!("the dump {name} is empty")));
    }
    let restore = match (kind, database) {
        (FileKind::Globals, _) => "psql -X -v ON_ERROR_STOP=1 -d postgres -f globals.sql   (leave out the CREATE ROLE line of the superuser, which exists)".to_owned(),
        (FileKind::Database, Some("postgres")) => format!("pg_restore --exit-on-error -d postgres {name}"),
        (FileKind::Database, _) => format!("pg_restore --create --exit-on-error -d postgres {name}"),
        (FileKind::Config | FileKind::Media, _) => "copy into the data directory".to_owned(),
    };
    Ok(FileEntry {
        name: name.to_owned(),
        kind,
        database: database.map(str::to_owned),
        engine: repot_store::Engine::Postgresql,
        size_bytes: done.size_bytes,
        blake3: done.blake3,
        sha256: done.sha256,
        restore,
        compression: Compression::None,
        encryption: Cipher::None,
        plain: None,
        tree: None,
        root: None,
        at_root: false,
    })
}

/// On rollback: a set that was never finished is worth nothing and is removed; a complete one stays.
pub(super) fn remove_incomplete(cx: &Context) -> Result<()> {
    let Some(dir) = cx.plan().backup_set.as_ref().filter(|d| d.is_dir() && !d.join(MANIFEST_NAME).exists())
    else {
        return Ok(());
    };
    std::fs::remove_dir_all(dir)
        .map_err(|e| Error::io(format!("cannot remove the incomplete set {}", dir.display()), &e))
}

/// A manifest and an opened file of the plan's set.
pub(super) fn set_of(cx: &Context) -> Result<(PathBuf, Manifest)> {
    let dir = set_dir(cx)?;
    let manifest = repot_store::open(&dir).map_err(store_error)?;
    Ok((dir, manifest))
}

/// The globals as SQL for a fresh server: everything but the creation of the superuser, which exists there.
pub(crate) fn globals_sql(path: &Path, superuser: &str) -> Result<Vec<u8>> {
    let io = |e| Error::io(format!("cannot read {}", path.display()), &e);
    let create =
        [format!("CREATE ROLE {superuser};"), format!("CREATE ROLE \"{}\";", superuser.replace('"', "\"\""))];
    let mut out = Vec::new();
    for line in BufReader::new(std::fs::File::open(path).map_err(io)?).split(b'\n') {
        let line = line.map_err(io)?;
        if create.iter().any(|c| c.as_bytes() == line) {
            continue;
        }
        out.extend_from_slice(&line);
        out.push(b'\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dump_files_stay_in_the_set() {
        assert_eq!(file_name(0, "inventree"), "inventree.dump");
        for odd in ["../etc/passwd", "", "a b", ".hidden", "ünïcode"] {
            assert_eq!(file_name(3, odd), "database-3.dump", "{odd}");
        }
    }

    #[test]
    fn the_access_rules_in_use_go_by_their_usual_name() {
        let setting = crate::engine::postgres::facts::FileSetting {
            name: "hba_file".to_owned(),
            value: "/data/custom_hba.conf".to_owned(),
            ..Default::default()
        };
        let facts = ClusterFacts {
            data_directory: "/data".to_owned(),
            hba_file: "/tmp/repot_hba.conf".to_owned(),
            file_settings: vec![setting],
            ..ClusterFacts::default()
        };
        let files = config_files(&facts, &["-c".to_owned(), "ssl=on".to_owned()]);
        let pairs: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("custom_hba.conf", "pg_hba.conf"),
                ("pg_ident.conf", "pg_ident.conf"),
                ("postgresql.conf", "postgresql.conf"),
                ("postgresql.auto.conf", "postgresql.auto.conf"),
                ("server.crt", "server.crt"),
                ("server.key", "server.key"),
            ]
        );
    }

    #[test]
    fn only_the_superusers_creation_is_left_out() {
        let f = tempfile::NamedTempFile::new().expect("tempfile");
        std::fs::write(f.path(), "CREATE ROLE app;\nCREATE ROLE pguser;\nALTER ROLE pguser WITH SUPERUSER;\n-- CREATE ROLE pguser;\n").expect("written");
        let text = String::from_utf8(globals_sql(f.path(), "pguser").expect("read")).expect("text");
        assert_eq!(text, "CREATE ROLE app;\nALTER ROLE pguser WITH SUPERUSER;\n-- CREATE ROLE pguser;\n");
    }
}
