//! Files that django-dbbackup wrote: listed, checked as far as they allow, restored.
//!
//! They are never sets of repot's: they have no manifest, no checksum and no fingerprint. What a name leaves open
//! (which database, which server) stays open here, and nothing is counted or removed by it.

mod check;
pub mod keyring;
mod loaded;
pub mod restore;
pub mod settings;
pub mod sqlite;

use std::collections::BTreeSet;

use repot_store::dbbackup::naming::{Content as Kind, DumpFormat};
use repot_store::dbbackup::shelf::{self, Names, Shelved};
use repot_store::retention::Content;
use repot_store::storage::Storage;
use serde::Serialize;

pub use check::{Checked, check};

use super::storage_error;
use crate::error::{Error, Result};

/// A file of django-dbbackup's in one line.
#[derive(Debug, Clone, Serialize)]
pub struct ForeignSummary {
    /// Its name.
    pub file: String,
    /// `django-dbbackup`: what wrote it, or writes such names.
    pub made_by: &'static str,
    /// `db` or `media`.
    pub content: &'static str,
    /// `psql.bin`, `psql`, `sqlite3`, `dump`, `json` or a connector's own; `tar` for media.
    pub format: String,
    /// Django's alias of the database, where the name leaves no doubt.
    pub database: Option<String>,
    /// The server, where the name leaves no doubt.
    pub server: Option<String>,
    /// When it was made: local time of the application, as the name says it.
    pub taken_at: String,
    /// Whether it is gzip.
    pub compressed: bool,
    /// Whether it is OpenPGP.
    pub encrypted: bool,
    /// Its size.
    pub size_bytes: u64,
    /// Django's engine, of the sidecar.
    pub engine: Option<String>,
    /// The application's version, of the sidecar.
    pub application_version: Option<String>,
    /// The application's API version, of the sidecar.
    pub api_version: Option<i64>,
    /// Why the sidecar cannot be read.
    pub sidecar_damage: Option<String>,
}

/// The files of a storage, oldest first.
pub fn all(storage: &Storage, names: &Names, ours: &BTreeSet<String>) -> Result<Vec<Shelved>> {
    let mut found = shelf::list(storage, names, ours).map_err(|e| storage_error(&e))?;
    found.sort_by(|a, b| (a.file.taken_at, &a.file.name).cmp(&(b.file.taken_at, &b.file.name)));
    Ok(found)
}

/// What a file holds, in the words of the filters.
#[must_use]
pub fn content(s: &Shelved) -> Content {
    if s.file.content == Kind::Media { Content::Media } else { Content::Db }
}

/// A file in one line.
#[must_use]
pub fn summary(s: &Shelved) -> ForeignSummary {
    let m = s.metadata.as_ref();
    ForeignSummary {
        file: s.file.name.clone(),
        made_by: "django-dbbackup",
        content: if s.file.content == Kind::Media { "media" } else { "db" },
        format: match &s.file.content {
            Kind::Media => "tar".to_owned(),
            Kind::Database(f) => f.extension().to_owned(),
        },
        database: s.file.database.clone(),
        server: s.file.server.clone(),
        taken_at: s.file.taken_at.to_string(),
        compressed: s.file.wrapping.compressed,
        encrypted: s.file.wrapping.encrypted,
        size_bytes: s.size_bytes,
        engine: m.and_then(|m| m.engine()).map(str::to_owned),
        application_version: m.and_then(|m| m.inventree_version()).map(str::to_owned),
        api_version: m.and_then(|m| m.inventree_api_version()),
        sidecar_damage: s.sidecar_damage.clone(),
    }
}

/// A file by its name; an error where it is not there, or is none of django-dbbackup's by its name.
pub fn find(storage: &Storage, names: &Names, name: &str) -> Result<Shelved> {
    let found = shelf::one(storage, names, name).map_err(|e| storage_error(&e))?;
    found.ok_or_else(|| {
        Error::usage("no-file", format!("there is no file {name} in {} that can be restored", storage.describe()))
            .why("its name must have a date and one of the endings of django-dbbackup: .psql.bin, .psql, .sqlite3, .dump or .tar, then .gz, .gpg or both")
            .help("`repot backups` lists the files; a name without them is restored by its own tools")
    })
}

/// What a kind of dump is called.
pub(super) fn dump_words(format: &DumpFormat) -> &'static str {
    match format {
        DumpFormat::PgCustom => "an archive of pg_dump",
        DumpFormat::PgSql => "SQL of PostgreSQL",
        DumpFormat::Sqlite => "a copy of an SQLite database",
        DumpFormat::Dump => "SQL, or a copy, of the database's own tool",
        DumpFormat::Json => "Django's dumpdata",
        DumpFormat::Other(_) => "a dump with a connector's own ending",
    }
}
