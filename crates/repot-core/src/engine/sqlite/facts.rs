//! What a file says of itself.

use std::path::Path;

use rusqlite::Connection;

use super::session::sqlite_error;
use crate::error::Result;

/// Number of this SQLite: 3053002 is 3.53.2.
#[must_use]
pub fn version_num() -> u32 {
    u32::try_from(rusqlite::version_number()).unwrap_or_default()
}

/// Version of this SQLite, in words.
#[must_use]
pub fn version() -> &'static str {
    rusqlite::version()
}

/// What `PRAGMA integrity_check` finds, at most ten lines; none where all is well.
pub(super) fn damage(connection: &Connection, path: &Path) -> Result<Option<String>> {
    let error = |e: &rusqlite::Error| sqlite_error(path, "cannot be checked", e);
    let mut statement = connection.prepare("PRAGMA integrity_check(10)").map_err(|e| error(&e))?;
    let lines: Vec<String> =
        statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(|e| error(&e))?;
    Ok((lines != ["ok"]).then(|| lines.join("\n")))
}

/// Settings that are stored in the file.
pub(super) fn settings(connection: &Connection, path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in ["application_id", "auto_vacuum", "page_size", "user_version"] {
        let value: i64 = connection
            .pragma_query_value(None, name, |r| r.get(0))
            .map_err(|e| sqlite_error(path, "its settings cannot be read", &e))?;
        found.push(format!("{name}={value}"));
    }
    Ok(found)
}
