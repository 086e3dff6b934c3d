//! A set restored into a throw-away server and a throw-away directory, and compared: the proof that it can be restored.

use std::collections::BTreeSet;

use repot_store::archive::{Owners, PackOptions, RestoreMode, UnpackOptions, fingerprint_tree, unpack};
use repot_store::stored::{self, archive_error, inspect_options};
use repot_store::{Engine, FileEntry, FileKind, Manifest};

use super::restore::load::Loader;
use super::restore::part;
use super::restore::roles::missing_roles;
use super::sets::{Checker, Damage, contents};
use super::source::Server;
use super::{codec_error, drill_mysql};
use crate::engine::sqlite::Swap;
use crate::error::{Error, Kind, Result};
use crate::host::compose::throw_away::throw_away;
use crate::host::docker::Docker;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::new_run_id;
use crate::upgrade::steps::backup::fingerprint_of;
use crate::upgrade::steps::restore::aside_name;
use crate::verify::{ClusterFingerprint, DatabaseFingerprint};

/// Restores a set's databases and media into throw-away places; what differs from the manifest, or cannot be restored.
/// The files are expected to be good: [`super::sets::check`] comes first. To be called from a thread that lives as long
/// as the process.
pub fn drill(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    let mut damages = databases(checker, set, manifest, observer)?;
    damages.extend(trees(checker, set, manifest, observer)?);
    Ok(damages)
}

/// The image that the set's databases are restored with: the set's own, or the usual one of that version.
pub(super) fn image(manifest: &Manifest) -> Result<String> {
    let (major, minor) = (manifest.server_version_num / 10_000, manifest.server_version_num / 100 % 100);
    let usual = match manifest.engine() {
        Engine::Mysql => format!("mysql:{major}"),
        Engine::Mariadb => format!("mariadb:{major}.{minor}"),
        Engine::Postgresql | Engine::Sqlite => format!("postgres:{major}"),
    };
    let Some(image) = &manifest.image else { return Ok(usual) };
    // An id names an image of this machine, which no registry knows by that.
    if image.starts_with("sha256:") {
        let _ = Docker.ping()?;
        return Ok(if Docker.image(image)?.is_some() { image.clone() } else { usual });
    }
    Ok(image.clone())
}

/// Restores one database, and says in what it differs from its fingerprint.
pub(super) type Restored<'a> = dyn Fn(&FileEntry, &str, &DatabaseFingerprint) -> Result<Option<String>> + 'a;

/// Restores each database of a set as `restored` does it, which says in what it differs from the set's fingerprint.
pub(super) fn each_database(
    (set, manifest): (&str, &Manifest),
    wanted: &ClusterFingerprint,
    observer: &dyn Observer,
    restored: &Restored<'_>,
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    for entry in manifest.files.iter().filter(|f| f.kind == FileKind::Database) {
        interrupt::check()?;
        let name = entry.database.as_deref().unwrap_or_default();
        let Some(want) = wanted.databases.get(name) else {
            damages.push(damaged(&entry.name, format!("the set has no fingerprint of {name}")));
            continue;
        };
        let what = format!("restoring {set}/{}", entry.name);
        observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        let outcome = restored(entry, name, want);
        reach("verify", "restored")?;
        damages.extend(judged(&entry.name, name, outcome)?);
    }
    Ok(damages)
}

fn damaged(file: &str, what: String) -> Damage {
    Damage { file: file.to_owned(), what }
}

fn databases(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    if !contents(manifest).contains(&repot_store::retention::Content::Db) {
        return Ok(damages);
    }
    let wanted = fingerprint_of(manifest)?;
    match manifest.engine() {
        Engine::Postgresql => {}
        Engine::Sqlite => return sqlite(checker, set, manifest, &wanted, observer),
        Engine::Mariadb | Engine::Mysql => {
            return drill_mysql::databases(checker, set, manifest, &wanted, observer);
        }
    }
    let run = new_run_id();
    // initdb's own database, which is nobody else's.
    let superuser = wanted.databases.get("template1").map_or("postgres", |d| d.owner.as_str());
    let (_guard, (connector, clients)) = throw_away(&image(manifest)?, superuser, &run, observer)?;
    let server = Server { connector, clients };
    let loader = Loader { server: &server, storage: checker.storage, set, manifest, keys: checker.keys };
    if let Some(entry) = manifest.files.iter().find(|f| f.kind == FileKind::Globals) {
        let session = server.connector.connect("template1")?;
        let there: BTreeSet<String> = session
            .query("SELECT rolname FROM pg_roles")?
            .into_iter()
            .filter_map(|r| r.into_iter().next().flatten())
            .collect();
        let (_, sql) = missing_roles(&loader.globals(entry)?, &there);
        if let Err(e) = session.execute(&sql.join("\n")) {
            damages.push(damaged(&entry.name, e.to_string()));
        }
    }
    damages.extend(each_database((set, manifest), &wanted, observer, &|entry, name, want| {
        let fresh = aside_name(name, &run);
        if !want.only_schemas.is_empty() {
            return part::proved(&loader, entry, (name, &fresh), want, observer);
        }
        loader.load(entry, (name, &fresh), observer)?;
        loader.differs((name, &fresh), want)
    })?);
    Ok(damages)
}

/// What came of restoring a database, as a damage of its file. An error that says nothing of the set is passed on.
fn judged(file: &str, name: &str, outcome: Result<Option<String>>) -> Result<Option<Damage>> {
    let what = match outcome {
        Ok(None) => return Ok(None),
        Ok(Some(why)) => format!("restored, {name} differs: {why}"),
        Err(e) if ["restored-differs", "sqlite-damaged"].contains(&e.code) => {
            format!("restored, {name} differs: {}", words(&e))
        }
        // The server's own words about the dump.
        Err(e) if e.code == "restore-failed" || e.kind == Kind::Differences => {
            format!("{name} cannot be restored: {}", words(&e))
        }
        Err(e) => return Err(e),
    };
    Ok(Some(damaged(file, what)))
}

/// A file of SQLite needs no server.
fn sqlite(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    wanted: &ClusterFingerprint,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    each_database((set, manifest), wanted, observer, &|entry, _, want| {
        let dir = scratch(checker)?;
        let swap = Swap::new(&dir.path().join("database"), "drill");
        let mut input = stored::read(checker.storage, set, entry, checker.keys)
            .map_err(|e| codec_error(&entry.name, e))?;
        swap.receive(&mut input)?;
        swap.compare((want, manifest.server_version_num)).map(|()| None)
    })
}

fn scratch(checker: &Checker<'_>) -> Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("repot-verify-").tempdir_in(checker.scratch_dir);
    made.map_err(|e| Error::io(format!("cannot make a directory in {}", checker.scratch_dir.display()), &e))
}

fn words(e: &Error) -> String {
    e.why.clone().unwrap_or_else(|| e.what.clone())
}

/// Unpacks every archive into a directory that is removed again. Without root, owners cannot be given: they are proved
/// by the inspection alone.
fn trees(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    for entry in &manifest.files {
        let Some(want) = &entry.tree else { continue };
        interrupt::check()?;
        let what = format!("unpacking {set}/{}", entry.name);
        observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        let dir = scratch(checker)?;
        let root = rustix::process::geteuid().is_root();
        let options = UnpackOptions {
            inspect: inspect_options(checker.scratch_dir),
            mode: RestoreMode::Fresh,
            owners: if root { Owners::Archived } else { Owners::OfRoot },
        };
        let content = stored::read(checker.storage, set, entry, checker.keys)
            .map_err(|e| codec_error(&entry.name, e))?;
        match unpack(content, dir.path(), &options, None) {
            Ok(found) => {
                let tree = fingerprint_tree(dir.path(), &PackOptions::new(checker.scratch_dir), None)
                    .map_err(|e| codec_error(&entry.name, archive_error(e)))?;
                if found.fingerprint != *want || (root && tree.fingerprint != *want) {
                    damages.push(Damage {
                        file: entry.name.clone(),
                        what: "unpacked, it is not what the manifest says".to_owned(),
                    });
                }
            }
            Err(e) => return Err(codec_error(&entry.name, archive_error(e))),
        }
    }
    Ok(damages)
}
