//! django-dbbackup's files in a storage: in its root, where django-dbbackup lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::metadata::{LARGEST_BYTES, Metadata};
use super::naming::{
    DEFAULT_DATABASE_TEMPLATE, DEFAULT_MEDIA_TEMPLATE, ForeignFile, INVENTREE_DATABASE_TEMPLATE,
    INVENTREE_MEDIA_TEMPLATE, Naming, NamingSpec,
};
use crate::dbbackup::date_format::DEFAULT_DATE_FORMAT;
use crate::storage::{Storage, StorageError};
use crate::stored::read_small;

/// One file with its sidecar.
#[derive(Debug, Clone)]
pub struct Shelved {
    /// What its name says.
    pub file: ForeignFile,
    /// Its size.
    pub size_bytes: u64,
    /// When it was written, where the storage says so.
    pub modified: Option<SystemTime>,
    /// What its sidecar says; none where there is no sidecar, or where it is none.
    pub metadata: Option<Metadata>,
    /// Why its sidecar cannot be read.
    pub sidecar_damage: Option<String>,
}

/// How names are read: the configured way first, then django-dbbackup's own and InvenTree's.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<Naming>);

impl Names {
    /// `configured`: the naming of the settings in use, if there are any.
    #[must_use]
    pub fn new(configured: Option<Naming>, server: &str) -> Self {
        let usual = [
            (DEFAULT_DATABASE_TEMPLATE, DEFAULT_MEDIA_TEMPLATE),
            (INVENTREE_DATABASE_TEMPLATE, INVENTREE_MEDIA_TEMPLATE),
        ];
        let usual = usual.into_iter().filter_map(|(database_template, media_template)| {
            let server = if server.trim_matches('-').is_empty() { "localhost" } else { server };
            Naming::new(&NamingSpec {
                database_template,
                media_template,
                date_format: DEFAULT_DATE_FORMAT,
                server,
                // Every Django project has this one; with it a name can be told apart.
                databases: &["default"],
                extensions: &[],
            })
            .ok()
        });
        Names(configured.into_iter().chain(usual).collect())
    }

    /// What a name says; by a template if one fits. Where several fit, what they do not agree on is not known:
    /// `InvenTree-db-…` is also a database `InvenTree` of a server `db` by django-dbbackup's own template.
    #[must_use]
    pub fn parse(&self, name: &str) -> Option<ForeignFile> {
        let mut readings: Vec<ForeignFile> = self.0.iter().filter_map(|n| n.parse(name)).collect();
        if readings.iter().any(|f| f.by_template) {
            readings.retain(|f| f.by_template);
        }
        let mut readings = readings.into_iter();
        let mut best = readings.next()?;
        for other in readings {
            if other.database != best.database {
                best.database = None;
            }
            if other.server != best.server {
                best.server = None;
            }
        }
        Some(best)
    }
}

/// The files in the root of a storage, by name. `ours`: names of files of repot's own sets, which are no others'.
pub fn list(storage: &Storage, names: &Names, ours: &BTreeSet<String>) -> Result<Vec<Shelved>, StorageError> {
    let mut data = Vec::new();
    let mut sidecars = BTreeMap::new();
    for e in storage.list("")? {
        if e.name.contains('/') || ours.contains(&e.name) {
            continue;
        }
        let Some(file) = names.parse(&e.name) else { continue };
        if file.sidecar {
            sidecars.insert(e.name, e.size_bytes);
        } else {
            data.push((file, e.size_bytes, e.modified));
        }
    }
    let mut found = Vec::new();
    for (file, size_bytes, modified) in data {
        let (metadata, sidecar_damage) = match sidecars.get(&Naming::sidecar(&file.name)) {
            Some(size) => sidecar(storage, &file.name, *size)?,
            None => (None, None),
        };
        found.push(Shelved { file, size_bytes, modified, metadata, sidecar_damage });
    }
    Ok(found)
}

/// Reads the sidecar of a file.
fn sidecar(
    storage: &Storage,
    name: &str,
    size_bytes: u64,
) -> Result<(Option<Metadata>, Option<String>), StorageError> {
    if size_bytes > LARGEST_BYTES as u64 {
        return Ok((None, Some(format!("its sidecar has {size_bytes} bytes"))));
    }
    match read_small(storage, &Naming::sidecar(name)) {
        Ok(text) => Ok(match Metadata::read(&text) {
            Ok(m) => (Some(m), None),
            Err(e) => (None, Some(e.to_string())),
        }),
        // It goes while we look.
        Err(e) if e.is_not_found() => Ok((None, None)),
        Err(e) => Err(e),
    }
}

/// One file by its name, whatever a listing would make of it: `None` where it is not there.
pub fn one(storage: &Storage, names: &Names, name: &str) -> Result<Option<Shelved>, StorageError> {
    let entry = match storage.stat(name) {
        Ok(e) => e,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    let Some(file) = names.parse(name).filter(|f| !f.sidecar) else { return Ok(None) };
    let (metadata, sidecar_damage) = match storage.stat(&Naming::sidecar(name)) {
        Ok(e) => sidecar(storage, name, e.size_bytes)?,
        Err(e) if e.is_not_found() => (None, None),
        Err(e) => return Err(e),
    };
    Ok(Some(Shelved {
        file,
        size_bytes: entry.size_bytes,
        modified: entry.modified,
        metadata,
        sidecar_damage,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbbackup::naming::{Content, DumpFormat};
    use crate::storage::StorageConfig;

    #[test]
    fn files_of_several_templates_are_found_and_nothing_else() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in [
            "InvenTree-db-2026-11-21-002902.psql.bin.gz",
            "InvenTree-db-2026-11-21-002902.psql.bin.gz.metadata",
            "InvenTree-media-2026-11-21-002907.tar.gz.gpg",
            "default-web-2026-11-21-002907.psql",
            "ours-web-2026-11-21-002907.psql",
            "notes.txt",
            "shop-20260301-101500-3f2a/app.dump",
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("made");
            std::fs::write(path, r#"{"engine": "x"}"#).expect("written");
        }
        let storage = Storage::open(&StorageConfig::parse(&dir.path().display().to_string()).expect("path"))
            .expect("opens");
        let ours = BTreeSet::from(["ours-web-2026-11-21-002907.psql".to_owned()]);
        let names = Names::new(None, "web");
        let found = list(&storage, &names, &ours).expect("listed");
        let seen: Vec<_> = found
            .iter()
            .map(|s| {
                (
                    s.file.content == Content::Media,
                    s.file.database.as_deref(),
                    s.file.wrapping.encrypted,
                    s.metadata.is_some(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [(false, None, false, true), (true, None, true, false), (false, Some("default"), false, false)]
        );
        assert_eq!(found[2].file.content, Content::Database(DumpFormat::PgSql));
        assert!(one(&storage, &names, "notes.txt").expect("looked").is_none());
        assert!(one(&storage, &names, &found[0].file.name).expect("looked").is_some());
    }
}
