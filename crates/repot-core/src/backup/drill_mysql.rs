//! The drill of a set of MariaDB or MySQL.

use std::io::Read;

use repot_store::Manifest;

use super::drill::{each_database, image};
use super::load_mysql::Loader;
use super::sets::{Checker, Damage};
use crate::engine::mysql::dump::load;
use crate::error::Result;
use crate::host::compose::throw_away_mysql::throw_away_mysql;
use crate::progress::Observer;
use crate::upgrade::plan::new_run_id;
use crate::verify::ClusterFingerprint;

/// Restores each database into a throw-away server; what differs from the manifest, or cannot be restored.
pub(super) fn databases(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    wanted: &ClusterFingerprint,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    let (_guard, clients) = throw_away_mysql(&image(manifest)?, &new_run_id(), observer)?;
    let loader =
        Loader { clients: &clients, storage: checker.storage, set, manifest, keys: checker.keys, observer };
    // An event whose only time has passed since is not made at all: the server is to think that it is then.
    let made_at = manifest.created_at.parse::<jiff::Timestamp>().map_or(0, |t| t.as_second());
    let clock = format!("SET TIMESTAMP = {made_at};\n");
    each_database((set, manifest), wanted, observer, &|entry, name, want| {
        loader.create(name, want)?;
        load(&clients, name, &mut clock.as_bytes().chain(loader.read(entry)?))?;
        loader.compare(name, name, want, manifest.server_version_num, true).map(|()| None)
    })
}
