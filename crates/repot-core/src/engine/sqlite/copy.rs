//! A private copy of a live file, made with the online backup API.
//!
//! SQLite's API writes to a file, so here, and only here, a backup has a temporary copy. It is 0600, and it loses its
//! name as soon as it is whole: its content goes with the process, however that ends. What an earlier process left
//! behind in the middle goes with the next copy.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::facts::damage;
use super::session::{BUSY, open_live, open_own, sqlite_error};
use crate::error::{Error, Result};
use crate::interrupt;

/// Pages between two looks at the interrupt flag.
const PAGES_AT_ONCE: i32 = 4096;
/// How long a busy source is waited for between two tries.
const PAUSE: Duration = Duration::from_millis(50);
const PREFIX: &str = "repot-sqlite-";

/// A whole, checked copy without a name.
#[derive(Debug)]
pub struct Copy {
    /// For reading what is in it.
    pub connection: Connection,
    /// Its bytes, from the first on.
    pub file: File,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// Removes the file when it goes.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        for end in ["", "-journal", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_end(&self.0, end));
        }
    }
}

/// A path with something after its last character.
pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

impl Copy {
    /// Copies the committed state of `live` at one instant, whoever writes meanwhile, and checks it. `seen` is told of
    /// pages done and all pages.
    pub fn of(live: &Path, scratch_dir: &Path, run: &str, seen: &dyn Fn(u64, u64)) -> Result<Copy> {
        remove_leftovers(scratch_dir);
        let path = scratch_dir.join(format!("{PREFIX}{run}-{:x}.tmp", std::process::id()));
        let io = |e| Error::io(format!("cannot write the temporary copy {}", path.display()), &e);
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        let scratch = Scratch(path.clone());
        // Tells the next process that this one is still at it.
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|e| io(e.into()))?;
        let source = open_live(live)?;
        copy_pages(&source, live, &path, seen)?;
        drop(source);
        let connection = open_own(&path)?;
        // Opened now, so that it needs no name any more.
        if let Some(why) = damage(&connection, &path)? {
            return Err(Error::refused("sqlite-damaged", format!("the database {} is damaged", live.display()))
                .why(why)
                .help("repair it first (`sqlite3 FILE .recover`), or restore an older set; a backup of damaged data is none"));
        }
        drop(scratch);
        let size_bytes = file.metadata().map_err(io)?.len();
        Ok(Copy { connection, file, size_bytes })
    }
}

fn copy_pages(source: &Connection, live: &Path, path: &Path, seen: &dyn Fn(u64, u64)) -> Result<()> {
    let error = |e: &rusqlite::Error| sqlite_error(live, "cannot be copied", e);
    let own = |e: &rusqlite::Error| sqlite_error(path, "the temporary copy cannot be written", e);
    let mut target =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| own(&e))?;
    // Worth nothing until it is whole, so it needs neither a journal nor a flush.
    for (name, value) in [("journal_mode", "OFF"), ("synchronous", "OFF"), ("locking_mode", "EXCLUSIVE")] {
        target.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|e| match e {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            e => Err(own(&e)),
        })?;
    }
    // One read transaction for all steps: without it, each write of others would start the copy anew. With a WAL,
    // writers go on meanwhile; without one they wait.
    source.execute_batch("BEGIN").map_err(|e| error(&e))?;
    let _: i64 =
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(|e| error(&e))?;
    let backup = Backup::new(source, &mut target).map_err(|e| error(&e))?;
    let started = std::time::Instant::now();
    loop {
        interrupt::check()?;
        match backup.step(PAGES_AT_ONCE).map_err(|e| error(&e))? {
            StepResult::Done => break,
            StepResult::More => {
                let p = backup.progress();
                let count = |n: i32| u64::try_from(n).unwrap_or_default();
                seen(count(p.pagecount - p.remaining), count(p.pagecount));
            }
            // The read transaction holds, so this is a short wait.
            _ if started.elapsed() < BUSY => std::thread::sleep(PAUSE),
            _ => {
                return Err(Error::refused("sqlite-busy", format!("{} stays locked", live.display()))
                    .help("see which program writes to it, then start it again"));
            }
        }
    }
    drop(backup);
    source.execute_batch("COMMIT").map_err(|e| error(&e))
}

/// Removes copies whose process is gone: nobody holds their lock.
fn remove_leftovers(scratch_dir: &Path) {
    for e in std::fs::read_dir(scratch_dir).into_iter().flatten().flatten() {
        let name = e.file_name().to_string_lossy().into_owned();
        if !(name.starts_with(PREFIX) && name.ends_with(".tmp")) {
            continue;
        }
        let Ok(file) = File::open(e.path()) else { continue };
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(Scratch(e.path()));
        }
    }
}
