//! The drill of a set of MariaDB or MySQL.

use std::io::Read;

use repot_store::{Engine, FileKind, Manifest};

use super::drill::judged;
use super::load_mysql::Loader;
use super::sets::{Checker, Damage};
use crate::engine::mysql::dump::load;
use crate::error::Result;
use crate::host::compose::throw_away_mysql::throw_away_mysql;
use crate::host::docker::Docker;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::new_run_id;
use crate::verify::ClusterFingerprint;

/// The image that the set's databases are restored with: the set's own, or one of that version.
fn image(manifest: &Manifest) -> Result<String> {
    let (major, minor) = (manifest.server_version_num / 10_000, manifest.server_version_num / 100 % 100);
    let usual = match manifest.engine() {
        Engine::Mysql => format!("mysql:{major}"),
        _ => format!("mariadb:{major}.{minor}"),
    };
    match &manifest.image {
        // An id names an image of this machine, which no registry knows by that.
        Some(id) if id.starts_with("sha256:") && Docker.image(id)?.is_none() => Ok(usual),
        Some(image) => Ok(image.clone()),
        None => Ok(usual),
    }
}

/// Restores each database into a throw-away server; what differs from the manifest, or cannot be restored.
pub(super) fn databases(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    wanted: &ClusterFingerprint,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    Docker.ping()?;
    let (_guard, clients) = throw_away_mysql(&image(manifest)?, &new_run_id(), observer)?;
    let loader =
        Loader { clients: &clients, storage: checker.storage, set, manifest, keys: checker.keys, observer };
    // An event whose only time has passed since is not made at all: the server is to think that it is then.
    let made_at = manifest.created_at.parse::<jiff::Timestamp>().map_or(0, |t| t.as_second());
    let clock = format!("SET TIMESTAMP = {made_at};\n");
    for entry in manifest.files.iter().filter(|f| f.kind == FileKind::Database) {
        interrupt::check()?;
        let name = entry.database.as_deref().unwrap_or_default();
        let Some(want) = wanted.databases.get(name) else {
            damages.push(Damage {
                file: entry.name.clone(),
                what: format!("the set has no fingerprint of {name}"),
            });
            continue;
        };
        let what = format!("restoring {set}/{}", entry.name);
        observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        let outcome = loader
            .create(name, want)
            .and_then(|()| load(&clients, name, &mut clock.as_bytes().chain(loader.read(entry)?)))
            .and_then(|()| loader.compare(name, name, want, manifest.server_version_num, true))
            .map(|()| None);
        reach("verify", "restored")?;
        damages.extend(judged(&entry.name, name, outcome)?);
    }
    Ok(damages)
}
