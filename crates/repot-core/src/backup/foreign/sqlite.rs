//! Restoring a copy of an SQLite database that django-dbbackup wrote: beside the live file, checked, then in its place.

use std::path::Path;

use repot_store::codec::Keys;
use repot_store::dbbackup::naming::{Content, DumpFormat};
use repot_store::dbbackup::shelf::Shelved;
use repot_store::storage::Storage;
use serde::Serialize;

use super::check::read;
use super::dump_words;
use crate::engine::sqlite::Swap;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::new_run_id;

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct SqliteRestored {
    /// Where the live file is kept; none where there was none.
    pub aside: Option<String>,
    /// Tables in the restored one.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
}

/// Refuses what is no copy of an SQLite database.
pub fn require_copy(s: &Shelved) -> Result<()> {
    match &s.file.content {
        Content::Database(DumpFormat::Sqlite) => Ok(()),
        Content::Media => {
            Err(Error::usage("no-file", format!("{} holds media, not a database", s.file.name)))
        }
        Content::Database(other) => Err(Error::refused(
            "other-engine",
            format!("{} is {}, and the database there is SQLite", s.file.name, dump_words(other)),
        )
        .help("nothing was touched; SQL of SQLite is restored by hand: sqlite3 NEW.sqlite3 < FILE")),
    }
}

/// Puts the copy in the place of `live`, which nobody may use meanwhile: whoever holds a lock on it is a refusal.
pub fn restore_sqlite(storage: &Storage, s: &Shelved, keys: &Keys, live: &Path) -> Result<SqliteRestored> {
    require_copy(s)?;
    let swap = Swap::new(live, &new_run_id());
    let looked = swap.receive(&mut read(storage, s, keys)?).and_then(|()| swap.look()).and_then(|found| {
        reach("restore", "before-names")?;
        interrupt::check()?;
        Ok(found)
    });
    let found = looked.inspect_err(|_| swap.discard())?;
    let aside = swap.put_in_place().inspect_err(|_| swap.discard())?;
    Ok(SqliteRestored {
        aside: aside.map(|p| p.display().to_string()),
        tables: found.tables.len(),
        rows: found.tables.iter().map(|t| t.rows).sum(),
    })
}
