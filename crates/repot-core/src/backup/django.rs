//! Sets whose database and media django-dbbackup lists and restores: those files are in the storage's root, under
//! names by its templates, with the sidecar that it writes; the manifest, the roles and the configuration are in the
//! set's own directory, as for every set.
//!
//! Only what Django has a name for goes there: the application's database and the first media root.

use std::io::Write as _;
use std::sync::atomic::Ordering;

use jiff::civil::DateTime;
use repot_store::codec::{Cipher, Compression, Layers};
use repot_store::dbbackup::metadata::{InvenTree, Metadata};
use repot_store::dbbackup::naming::{DumpFormat, Naming, NamingError, Wrapping};
use repot_store::retention::Content;

use super::make::{Maker, Request};
use super::source::Source;
use super::storage_error;
use crate::app::detect::Deployment;
use crate::app::others::Other;
use crate::error::{Error, Result};

/// The connector that reads what `pg_dump --format=custom` writes.
const PG_CONNECTOR: &str = "dbbackup.db.postgresql.PgDumpBinaryConnector";
/// The connector that reads a copy of an SQLite file.
const SQLITE_CONNECTOR: &str = "dbbackup.db.sqlite.SqliteBackupConnector";
/// Django's engine for SQLite.
pub const SQLITE_ENGINE: &str = "django.db.backends.sqlite3";

/// How the files are named, and what their sidecar says.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Templates, date format and server.
    pub naming: Naming,
    /// Django's alias of the application's database.
    pub alias: String,
    /// Local time of the application.
    pub taken_at: DateTime,
    /// The sidecar of the database's file.
    pub sidecar: Metadata,
}

/// What a sidecar says of a database: Django's `ENGINE` and, of InvenTree, its own words.
/// `taken_at`: local time of the application.
#[must_use]
pub fn sidecar(engine: &str, inventree: Option<&InvenTree>, taken_at: DateTime) -> Metadata {
    let m = Metadata::new(engine, if engine == SQLITE_ENGINE { SQLITE_CONNECTOR } else { PG_CONNECTOR });
    match inventree {
        Some(app) => m.with_inventree(app, taken_at),
        None => m,
    }
}

/// The names of a set's files in the storage's root.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// The application's database, and its file.
    pub(super) database: Option<(String, String)>,
    /// The first media root, and its file.
    pub(super) media: Option<(String, String)>,
}

impl Named {
    /// Gives the names; none where they are not asked for.
    pub(super) fn new(request: &Request, source: &Source<'_>) -> Result<Self> {
        let Some(layout) = &request.django else { return Ok(Named::default()) };
        let wrapping = wrapping(request.layers())?;
        let named = |r: std::result::Result<String, NamingError>| {
            r.map_err(|e| Error::usage("bad-settings", "a file cannot be named as the settings say").why(e))
        };
        let mut found = Named::default();
        if request.contents.contains(&Content::Db) {
            let at = layout.taken_at;
            let (database, format) = match source {
                Source::Sqlite(_) => (source.home_database(), DumpFormat::Sqlite),
                Source::Compose(Deployment { other: Some(Other::Sqlite(files)), .. }) => {
                    (files.first().map(|f| f.name.clone()).unwrap_or_default(), DumpFormat::Sqlite)
                }
                Source::Mysql(..) | Source::Compose(Deployment { other: Some(Other::Mysql), .. }) => {
                    return Err(Error::usage(
                        "bad-layout",
                        "files for django-dbbackup are not written of MariaDB or MySQL yet",
                    )
                    .help("leave the layout out: `--layout sets`"));
                }
                _ => (source.home_database(), DumpFormat::PgCustom),
            };
            let file = layout.naming.database_file(&layout.alias, &format, wrapping, at);
            found.database = Some((database, named(file)?));
        }
        if let Source::Compose(d) = source
            && let Some(root) = d.profile.media.roots.first()
            && request.contents.contains(&Content::Media)
        {
            let file = named(layout.naming.media_file(wrapping, layout.taken_at))?;
            found.media = Some((root.name.clone(), file));
        }
        Ok(found)
    }

    fn files(&self) -> impl Iterator<Item = &String> {
        self.database.iter().chain(&self.media).map(|(_, file)| file)
    }
    pub(super) fn has(&self, name: &str) -> bool {
        self.files().any(|f| f == name)
    }
    pub(super) fn any(&self) -> bool {
        self.files().next().is_some()
    }
}

/// Refuses layers that django-dbbackup cannot take off.
fn wrapping(layers: Layers) -> Result<Wrapping> {
    let wrong = |what: &str, help: &str| {
        Err(Error::usage("bad-layout", format!("django-dbbackup does not read {what}")).help(help.to_owned()))
    };
    if layers.compression == Compression::Zstd {
        return wrong("zstd", "use --compress gzip, or none");
    }
    if layers.cipher == Cipher::Age {
        return wrong(
            "age",
            "name recipients of OpenPGP: `gpg_recipient` or `openpgp_recipients` in [backup] of repot.toml",
        );
    }
    Ok(Wrapping {
        compressed: layers.compression == Compression::Gzip,
        encrypted: layers.cipher == Cipher::OpenPgp,
    })
}

impl Maker<'_> {
    /// Says whose the files in the root will be, before the first is written.
    pub(super) fn announce(&self) -> Result<()> {
        let Some(layout) = self.request.django.as_ref().filter(|_| self.django.any()) else { return Ok(()) };
        let mut names: Vec<String> = self.django.files().cloned().collect();
        names.extend(self.django.database.as_ref().map(|(_, file)| Naming::sidecar(file)));
        if !layout.naming.names_the_database() {
            self.note(
                "the filename template does not name the database: django-dbbackup's own --clean never removes such files; repot counts by its manifests"
                    .to_owned(),
            );
        }
        // A storage where a name is taken has no list, so nothing of it is removed when this fails.
        self.begun.store(true, Ordering::Relaxed);
        self.to.announce(&self.set, &names).map_err(|e| storage_error(&e))
    }

    /// Writes the sidecar of the database's file.
    pub(super) fn sidecar(&self, file: &str) -> Result<()> {
        let Some(layout) = &self.request.django else { return Ok(()) };
        let failed = |e: &dyn std::fmt::Display| {
            Error::failed("storage", format!("the sidecar of {file} cannot be written")).why(e)
        };
        let mut out = self.to.writer(&Naming::sidecar(file)).map_err(|e| storage_error(&e))?;
        out.write_all(layout.sidecar.write().as_bytes()).map_err(|e| failed(&e))?;
        out.finish().map(drop).map_err(|e| storage_error(&e))
    }
}
