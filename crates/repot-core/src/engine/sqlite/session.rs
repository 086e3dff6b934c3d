//! Connections with SQLite files.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result, speaks_of_full_disk};

/// How long a lock that somebody else holds is waited for.
pub(super) const BUSY: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
/// How often a long statement looks whether somebody asked to stop, in instructions of SQLite's machine.
const LOOK_EVERY: i32 = 100_000;

/// An error of SQLite about a file.
pub(super) fn sqlite_error(path: &Path, doing: &str, e: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as C;
    let what = format!("{}: {doing}", path.display());
    match e.sqlite_error_code() {
        Some(C::OperationInterrupted) => match crate::interrupt::check() {
            Err(stop) => stop,
            Ok(()) => Error::failed("sqlite", what).why(e),
        },
        Some(C::NotADatabase) => {
            Error::refused("sqlite-damaged", what).why("it is no SQLite database, or it is encrypted")
        }
        Some(C::DatabaseCorrupt) => Error::refused("sqlite-damaged", what).why(e),
        Some(C::DatabaseBusy | C::DatabaseLocked) => Error::refused("sqlite-busy", what)
            .why(format!("another program has held its lock for {} s", BUSY.as_secs()))
            .help("see which program writes to it, then start it again"),
        Some(C::DiskFull) => Error::failed("disk-full", what).why(e),
        Some(C::CannotOpen | C::PermissionDenied | C::ReadOnly) => Error::refused("sqlite-open", what)
            .why(e)
            .help("repot must be able to read the file and to write beside it"),
        _ if speaks_of_full_disk(&e.to_string()) => Error::failed("disk-full", what).why(e),
        _ => Error::failed("sqlite", what).why(e),
    }
}

/// A connection that ends its statement when somebody asks to stop.
fn ready(mut connection: Connection, path: &Path) -> Result<Connection> {
    let error = |e| sqlite_error(path, "cannot be opened", &e);
    connection.busy_timeout(BUSY).map_err(error)?;
    connection.progress_handler(LOOK_EVERY, Some(crate::interrupt::requested)).map_err(error)?;
    // What stands in the file is read, not run: views and triggers of a foreign schema call no function with an effect.
    connection.pragma_update(None, "trusted_schema", false).map_err(error)?;
    Ok(connection)
}

/// Opens a live file, with the locks of everybody who uses it.
pub(super) fn open_live(path: &Path) -> Result<Connection> {
    if !path.is_file() {
        return Err(Error::refused("sqlite-open", format!("there is no database file {}", path.display())));
    }
    // Read and write: a reader of a WAL makes its index where there is none yet.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| sqlite_error(path, "cannot be opened", &e))?;
    ready(connection, path)
}

/// Opens a file that nobody else can reach: no locks, no `-wal` or `-shm` beside it.
pub fn open_own(path: &Path) -> Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection =
        Connection::open_with_flags(uri, flags).map_err(|e| sqlite_error(path, "cannot be opened", &e))?;
    ready(connection, path)
}
