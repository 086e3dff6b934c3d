//! Sets whose database and media django-dbbackup lists and restores: those files are in the storage's root, under
//! names by its templates, with the sidecar that it writes; the manifest, the roles and the configuration are in the
//! set's own directory, as for every set.
//!
//! Only what Django has a name for goes there: the application's database and the first media root.

use std::io::Write as _;

use jiff::civil::DateTime;
use repot_store::codec::{Cipher, Compression, Layers};
use repot_store::dbbackup::metadata::{InvenTree, Metadata};
use repot_store::dbbackup::naming::{DumpFormat, Naming, Wrapping};
use repot_store::retention::Content;
use repot_store::stored;

use super::make::Maker;
use super::source::Source;
use super::storage_error;
use crate::error::{Error, Result};

/// The connector that reads what `pg_dump --format=custom` writes.
const CONNECTOR: &str = "dbbackup.db.postgresql.PgDumpBinaryConnector";

/// How the files are named, and what their sidecar says.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Templates, date format and server.
    pub naming: Naming,
    /// Django's alias of the application's database.
    pub alias: String,
    /// Local time of the application.
    pub taken_at: DateTime,
    /// Django's `ENGINE`.
    pub engine: String,
    /// What InvenTree says of itself; none for other applications.
    pub inventree: Option<InvenTree>,
}

/// The names of a set's files in the storage's root.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) database: Option<String>,
    pub(super) media: Option<String>,
    /// The media root that `media` is of.
    pub(super) root: Option<String>,
}

impl Named {
    pub(super) fn has(&self, name: &str) -> bool {
        self.database.as_deref() == Some(name) || self.media.as_deref() == Some(name)
    }
    pub(super) fn any(&self) -> bool {
        self.database.is_some() || self.media.is_some()
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
        return wrong("age", "name recipients of OpenPGP: `gpg_recipient` or `openpgp_recipients` in [backup] of repot.toml");
    }
    Ok(Wrapping {
        compressed: layers.compression == Compression::Gzip,
        encrypted: layers.cipher == Cipher::OpenPgp,
    })
}

impl Maker<'_> {
    /// Gives the names, and says whose they are before the first file is written.
    pub(super) fn announce(&mut self, source: &Source<'_>) -> Result<()> {
        let Some(layout) = &self.request.django else { return Ok(()) };
        let wrapping = wrapping(self.layers())?;
        let named = |r: std::result::Result<String, repot_store::dbbackup::naming::NamingError>| {
            r.map_err(|e| Error::usage("bad-settings", "a file cannot be named as the settings say").why(e))
        };
        if self.wants(Content::Db) {
            let file = layout.naming.database_file(&layout.alias, &DumpFormat::PgCustom, wrapping, layout.taken_at);
            self.django.database = Some(named(file)?);
        }
        let root = match source {
            Source::Compose(d) => d.profile.media.roots.first().map(|r| r.name.clone()),
            Source::Url(_) => None,
        };
        if self.wants(Content::Media) && root.is_some() {
            self.django.media = Some(named(layout.naming.media_file(wrapping, layout.taken_at))?);
            self.django.root = root;
        }
        let mut names: Vec<String> = Vec::new();
        if let Some(d) = &self.django.database {
            names.extend([d.clone(), Naming::sidecar(d)]);
        }
        names.extend(self.django.media.clone());
        if !layout.naming.names_the_database() {
            self.notes.push(
                "the filename template does not name the database: django-dbbackup's own --clean never removes such files; repot counts by its manifests"
                    .to_owned(),
            );
        }
        self.begun = false;
        stored::announce(self.storage, &self.set, &names).map_err(|e| storage_error(&e))?;
        self.begun = true;
        Ok(())
    }

    /// Writes the sidecar of the database's file.
    pub(super) fn sidecar(&self, file: &str) -> Result<()> {
        let Some(layout) = &self.request.django else { return Ok(()) };
        let mut m = Metadata::new(&layout.engine, CONNECTOR);
        if let Some(app) = &layout.inventree {
            m = m.with_inventree(app, layout.taken_at);
        }
        let failed = |e: &dyn std::fmt::Display| {
            Error::failed("storage", format!("the sidecar of {file} cannot be written")).why(e)
        };
        let mut out = self.storage.writer(&Naming::sidecar(file)).map_err(|e| storage_error(&e))?;
        out.write_all(m.write().as_bytes()).map_err(|e| failed(&e))?;
        out.finish().map(drop).map_err(|e| storage_error(&e))
    }
}
