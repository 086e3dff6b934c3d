//! A restored file's way into its place: written beside the live one, checked, compared, and given its name by one
//! rename. The live one stays beside it under another name.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::copy::with_end;
use super::facts::damage;
use super::fingerprint::take;
use super::session::{BUSY, open_live, open_own, sqlite_error};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::upgrade::failpoint::reach;
use crate::verify::{DatabaseFingerprint, compare_databases};

/// What SQLite keeps beside a file while it is open; with changes that the file itself lacks.
const COMPANIONS: [&str; 2] = ["-wal", "-journal"];
const FRESH: &str = ".fresh-";

/// The name under which a live file is kept.
#[must_use]
pub fn aside_path(live: &Path, run: &str) -> PathBuf {
    with_end(live, &format!(".repot-{run}"))
}

/// One file that takes the place of another.
#[derive(Debug)]
pub struct Swap {
    live: PathBuf,
    fresh: PathBuf,
    aside: PathBuf,
}

impl Swap {
    /// `live` need not exist; its directory must.
    #[must_use]
    pub fn new(live: &Path, run: &str) -> Self {
        Swap {
            live: live.to_owned(),
            fresh: with_end(live, &format!("{FRESH}{run}")),
            aside: aside_path(live, run),
        }
    }

    /// Writes the file beside the live one. What an earlier restore left there, cut off, goes first.
    pub fn receive(&self, input: &mut dyn Read) -> Result<()> {
        self.remove_leftovers();
        let io = |e| Error::io(format!("cannot write {}", self.fresh.display()), &e);
        let mut to = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.fresh)
            .map_err(io)?;
        let mut buf = vec![0_u8; 256 << 10];
        loop {
            interrupt::check()?;
            match input.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => to.write_all(&buf[..n]).map_err(io)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("cannot read the database of the set", &e)),
            }
        }
        self.like_the_live_one(&to)?;
        to.sync_all().map_err(io)
    }

    /// Owner and permissions of the live file; without one, the owner of the directory.
    fn like_the_live_one(&self, to: &File) -> Result<()> {
        let io = |e| Error::io(format!("cannot give {} its owner", self.fresh.display()), &e);
        let (owner, mode) = match std::fs::metadata(&self.live) {
            Ok(m) => (m.clone(), m.permissions().mode() & 0o777),
            Err(_) => (std::fs::metadata(self.live.parent().unwrap_or(Path::new("/"))).map_err(io)?, 0o600),
        };
        let own = to.metadata().map_err(io)?;
        if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
            std::os::unix::fs::fchown(to, Some(owner.uid()), Some(owner.gid())).map_err(io)?;
        }
        to.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(io)
    }

    /// Checks the new file and compares it with what it must be.
    pub fn compare(&self, (want, version): (&DatabaseFingerprint, u32)) -> Result<()> {
        let differs = |why: String| {
            Error::new(
                Kind::Differences,
                "restored-differs",
                format!(
                    "the database {}, restored from the backup set, is not what it was",
                    self.live.display()
                ),
            )
            .why(why)
            .help("the live database was not touched")
        };
        let connection = open_own(&self.fresh)?;
        if let Some(why) = damage(&connection, &self.fresh)? {
            return Err(differs(why));
        }
        let (found, now) = take(&connection, &self.fresh)?;
        let c = compare_databases((want, version), (&found, now));
        if c.same() { Ok(()) } else { Err(differs(c.summary(10))) }
    }

    /// Checks the new file, of which nothing is recorded to compare it with: its fingerprint.
    pub fn look(&self) -> Result<DatabaseFingerprint> {
        let connection = open_own(&self.fresh)?;
        if let Some(why) = damage(&connection, &self.fresh)? {
            let what = format!("the copy that is to become {} is damaged", self.live.display());
            return Err(Error::new(Kind::Differences, "set-damaged", what)
                .why(why)
                .help("the live database was not touched; use another copy"));
        }
        Ok(take(&connection, &self.fresh)?.0)
    }

    /// Removes the new file again.
    pub fn discard(&self) {
        let _ = std::fs::remove_file(&self.fresh);
    }

    /// Gives the new file its name. Whoever used the live one must have been stopped; one that holds a lock is a refusal.
    /// Where the live one is kept, or none where there was none.
    pub fn put_in_place(&self) -> Result<Option<PathBuf>> {
        let io = |e| Error::io(format!("cannot set {} aside", self.live.display()), &e);
        let there = self.live.exists();
        if there {
            match self.settle() {
                Ok(()) => {}
                // It is being replaced because it is damaged; with all that belongs to it, it stays as it is.
                Err(e) if ["sqlite-damaged", "sqlite"].contains(&e.code) => {}
                Err(e) => return Err(e),
            }
        }
        for end in COMPANIONS {
            match std::fs::rename(with_end(&self.live, end), with_end(&self.aside, end)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(io(e)),
                _ => {}
            }
        }
        // An index of the log, made anew by whoever opens it.
        let _ = std::fs::remove_file(with_end(&self.live, "-shm"));
        if there {
            // A second name first, so that there is a file under the live one's name at every moment.
            match std::fs::hard_link(&self.live, &self.aside) {
                Ok(()) => {}
                Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                    std::fs::rename(&self.live, &self.aside).map_err(io)?;
                }
                Err(e) => return Err(io(e)),
            }
        }
        reach("restore", "in-place")?;
        std::fs::rename(&self.fresh, &self.live).map_err(io)?;
        let dir = self.live.parent().unwrap_or(Path::new("/"));
        File::open(dir).and_then(|d| d.sync_all()).map_err(io)?;
        Ok(there.then(|| self.aside.clone()))
    }

    /// Takes the live file for itself, and brings all that stands in its log into the file. A log that stays beside the
    /// name would be played into the new file.
    fn settle(&self) -> Result<()> {
        let error = |e: &rusqlite::Error| {
            let e = sqlite_error(&self.live, "cannot be set aside", e);
            if e.code == "sqlite-busy" {
                return e.help(
                    "stop the program that uses it, then start it again; the live database was not touched",
                );
            }
            e
        };
        let live = open_live(&self.live)?;
        let mode: String =
            live.pragma_query_value(None, "journal_mode", |r| r.get(0)).map_err(|e| error(&e))?;
        live.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(())).map_err(|e| error(&e))?;
        live.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(|e| error(&e))?;
        if mode == "wal" {
            let busy: i64 =
                live.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0)).map_err(|e| error(&e))?;
            if busy != 0 {
                return Err(Error::refused("sqlite-busy", format!("{} is in use", self.live.display()))
                    .why(format!("its log could not be taken over within {} s", BUSY.as_secs()))
                    .help("stop the program that uses it, then start it again; the live database was not touched"));
            }
        }
        live.close().map_err(|(_, e)| error(&e))
    }

    fn remove_leftovers(&self) {
        let Some(name) = self.live.file_name().map(|n| format!("{}{FRESH}", n.to_string_lossy())) else {
            return;
        };
        let dir = self.live.parent().unwrap_or(Path::new("/"));
        for e in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let file = e.file_name().to_string_lossy().into_owned();
            // Only what has a run's number after it: anything else is somebody's own.
            let ours = file.strip_prefix(&name).is_some_and(|run| {
                repot_store::stored::is_set_name(&format!(
                    "x-{}",
                    run.trim_end_matches("-wal").trim_end_matches("-shm")
                ))
            });
            if ours {
                let _ = std::fs::remove_file(e.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn made(path: &Path, sql: &str) -> Connection {
        let c = Connection::open(path).expect("opens");
        let _: String = c.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0)).expect("wal");
        c.execute_batch(sql).expect("sql");
        c
    }

    fn count(path: &Path) -> i64 {
        let c = Connection::open(path).expect("opens");
        c.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).expect("counts")
    }

    #[test]
    fn the_live_file_is_kept_with_all_that_stood_in_its_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let (live, source) = (dir.path().join("app.db"), dir.path().join("source.db"));
        let c = made(&live, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)");
        drop(made(&source, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)"));
        // Killed: its log stays.
        let log = dir.path().join("log");
        std::fs::copy(with_end(&live, "-wal"), &log).expect("a log");
        let main = std::fs::read(&live).expect("the file");
        drop(c);
        std::fs::write(&live, main).expect("the file as it was");
        std::fs::copy(&log, with_end(&live, "-wal")).expect("the log as it was");
        let swap = Swap::new(&live, "20260101-000000-0001");
        swap.receive(&mut File::open(&source).expect("source")).expect("written");
        let (want, v) = take(&open_own(&source).expect("opens"), &source).expect("taken");
        swap.compare((&want, v)).expect("the same");
        let aside = swap.put_in_place().expect("in place").expect("kept");
        assert_eq!((count(&live), count(&aside)), (3, 2));
    }

    #[test]
    fn a_file_in_use_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let live = dir.path().join("app.db");
        let c = made(&live, "CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
        let swap = Swap::new(&live, "20260101-000000-0002");
        swap.receive(&mut &b"x"[..]).expect("written");
        c.execute_batch("COMMIT; BEGIN; SELECT * FROM t").expect("reads");
        let e = swap.put_in_place().expect_err("in use");
        assert_eq!(e.code, "sqlite-busy", "{e}");
        drop(c);
        assert_eq!(count(&live), 1);
    }

    #[test]
    fn what_differs_or_is_damaged_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let source = dir.path().join("source.db");
        drop(made(&source, "CREATE TABLE t (a); INSERT INTO t VALUES (1)"));
        let (mut want, v) = take(&open_own(&source).expect("opens"), &source).expect("taken");
        let swap = Swap::new(&dir.path().join("app.db"), "20260101-000000-0003");
        let mut bytes = std::fs::read(&source).expect("read");
        swap.receive(&mut bytes.as_slice()).expect("written");
        want.tables[0].rows = 2;
        assert_eq!(swap.compare((&want, v)).expect_err("differs").code, "restored-differs");
        bytes[4096..].fill(7);
        swap.receive(&mut bytes.as_slice()).expect("written");
        assert!(swap.compare((&want, v)).is_err());
    }
}
