//! A dump and its fingerprint, of one snapshot; and loading a dump.
//!
//! The dump program opens its own snapshot, so the two are begun under one short `FLUSH TABLES WITH READ LOCK`. It ends
//! with the first line that the program writes after its snapshot is open. Where the user may not take that lock, and for
//! tables without snapshots, what was hashed is hashed again at the end: if nothing was written meanwhile, the dump holds
//! the same.

use std::io::Read;

use repot_store::Engine;

use super::clients::{Clients, Program};
use super::facts::Version;
use super::fingerprint::{Content, rows, sequences, take};
use super::session::{Session, literal};
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::exec::{Way, last_lines};
use crate::verify::{DatabaseFingerprint, SequenceFingerprint};

/// How long the lock is waited for, in seconds; a long query of somebody else would otherwise hold up everybody.
const LOCK_WAIT_S: u32 = 10;
/// How often it is tried.
const LOCK_TRIES: u32 = 3;
/// After how many seconds the server itself ends a lock that is not given back.
const LOCK_HELD_S: u32 = 60;
/// What the dump program writes before its snapshot is open has none of these lines.
const OPEN: [&[u8]; 7] = [
    b"\n-- Table structure",
    b"\n-- Sequence structure",
    b"\n-- Temporary",
    b"\n-- Dumping",
    b"\n-- Current Database",
    b"\n-- Final view",
    b"\n-- Dump completed",
];

/// What a dump holds.
#[derive(Debug)]
pub struct Dumped {
    /// Its fingerprint.
    pub fingerprint: DatabaseFingerprint,
    /// Counters that went on meanwhile, before and after: they are in no snapshot.
    pub moved: Vec<(SequenceFingerprint, SequenceFingerprint)>,
    /// What a person should read.
    pub notes: Vec<String>,
}

/// Takes the lock that holds up every write; none where this user may not.
fn lock(clients: &Clients) -> Result<Option<Session>> {
    let mut last = None;
    for _ in 0..LOCK_TRIES {
        let mut session = Session::open(clients, None)?;
        session.execute(&format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_S}, wait_timeout = {LOCK_HELD_S}"
        ))?;
        match session.execute("FLUSH TABLES WITH READ LOCK") {
            Ok(()) => return Ok(Some(session)),
            Err(e) if e.code == "not-allowed" => return Ok(None),
            Err(e) if e.code == "lock-timeout" => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    let e = last.unwrap_or_else(|| Error::failed("lock-timeout", "the lock was not given"));
    Err(e.help("a long query is in the way (SHOW FULL PROCESSLIST); start it again when it is done"))
}

/// Arguments of the dump program.
fn arguments(database: &str, engine: Engine) -> Vec<&str> {
    let mut args = vec![
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--no-tablespaces",
        "--skip-lock-tables",
    ];
    if engine == Engine::Mysql {
        args.extend(["--set-gtid-purged=OFF", "--column-statistics=0"]);
    }
    args.extend(["--", database]);
    args
}

/// Dumps a database into `sink`.
pub fn dump(
    clients: &Clients,
    database: &str,
    version: &Version,
    sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<Dumped> {
    let mut reader = Session::open(clients, Some(database))?;
    match version.engine {
        Engine::Mysql => {
            reader.execute("SET SESSION information_schema_stats_expiry = 0, max_execution_time = 0")?
        }
        _ => reader.execute("SET SESSION max_statement_time = 0")?,
    }
    let mut held = lock(clients)?;
    let locked = held.is_some();
    reader.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    reader.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
    let before = sequences(&mut reader, database)?;
    let args = arguments(database, version.engine);
    let cmd = clients.program(Program::Dump, &args).bulk(Way::Out);
    let (taken, ended) = std::thread::scope(|scope| {
        // The session's program dies with the thread that started it, so the dump is what gets another.
        let dumper = scope.spawn(move || {
            let mut tail: Vec<u8> = Vec::new();
            cmd.pump(None, &mut |chunk| {
                if let Some(session) = &mut held {
                    tail.extend_from_slice(chunk);
                    if OPEN.iter().any(|line| tail.windows(line.len()).any(|w| w == *line)) {
                        session.execute("UNLOCK TABLES").map_err(|e| {
                            Error::failed(
                                "lock-lost",
                                format!("the dump of {database} did not begin while writes were held up"),
                            )
                            .why(e)
                            .retryable()
                        })?;
                        held = None;
                        tail = Vec::new();
                    }
                }
                sink(chunk)
            })
        });
        let taken = take(&mut reader, database);
        (taken, dumper.join().unwrap_or_else(|_| Err(Error::failed("bug", "the dump panicked"))))
    });
    let (status, stderr) = ended?;
    if !status.success() {
        return Err(Error::failed("dump-failed", format!("the dump of the database {database} failed"))
            .why(last_lines(&stderr, 6))
            .help("nothing was changed; correct what is named and start it again"));
    }
    let Content { fingerprint, without_snapshot } = taken?;
    reader.execute("COMMIT")?;
    let mut notes: Vec<String> = fingerprint.notes.iter().map(|n| format!("{database}: {n}")).collect();
    if !without_snapshot.is_empty() {
        let names = without_snapshot.join(", ");
        notes.push(format!("{database}: tables without snapshots, read while nobody wrote to them: {names}"));
    }
    let again: Vec<&str> = fingerprint
        .tables
        .iter()
        .map(|t| t.name.as_str())
        .filter(|n| !locked || without_snapshot.iter().any(|w| w == n))
        .collect();
    let mut changed = Vec::new();
    for name in again {
        let now = rows(&mut reader, &literal(database), name, &mut Vec::new())?;
        let then = fingerprint.tables.iter().find(|t| t.name == name);
        if then.is_none_or(|t| (t.rows, &t.digest) != (now.rows, &now.digest)) {
            changed.push(name);
        }
    }
    if !changed.is_empty() {
        let help = if locked {
            "give these tables the engine InnoDB (ALTER TABLE ... ENGINE=InnoDB), or stop what writes to them meanwhile"
        } else {
            "grant the user RELOAD, so that dump and comparison can begin at one instant, or back up while nobody writes"
        };
        return Err(Error::refused(
            "not-consistent",
            format!("the database {database} was written to meanwhile"),
        )
        .why(format!("changed during the dump: {}", changed.join(", ")))
        .help(help));
    }
    let after = sequences(&mut reader, database)?;
    let moved = before
        .iter()
        .filter_map(|b| Some((b, after.iter().find(|a| a.name == b.name)?)))
        .filter(|(b, a)| b != a)
        .map(|(b, a)| (b.clone(), a.clone()))
        .collect();
    Ok(Dumped { fingerprint, moved, notes })
}

/// Loads SQL into a database that is there and empty.
pub fn load(clients: &Clients, database: &str, input: &mut (dyn Read + Send)) -> Result<()> {
    let named = format!("--database={database}");
    // A dump is SQL: the client's own commands (`system`, `\!`) in it are not run.
    let cmd = clients.program(Program::Client, &["--batch", "--binary-mode", &named]).bulk(Way::In);
    let (status, stderr) = cmd.pump(Some(input), &mut |_| Ok(()))?;
    if status.success() {
        return Ok(());
    }
    let code = if speaks_of_full_disk(&stderr) || stderr.contains("is full") {
        "disk-full"
    } else {
        "restore-failed"
    };
    Err(Error::failed(code, format!("the server did not take the database {database}"))
        .why(last_lines(&stderr, 6)))
}

/// A program that writes a database as it is now, for a copy while nobody writes.
pub fn plain_dump(clients: &Clients, database: &str, engine: Engine) -> crate::exec::Cmd {
    clients.program(Program::Dump, &arguments(database, engine)).bulk(Way::Out)
}
