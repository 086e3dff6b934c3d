//! Loading a database of a set into a server of MariaDB or MySQL, and comparing it with the set's fingerprint.

use std::io::Read;

use repot_store::codec::Keys;
use repot_store::storage::Storage;
use repot_store::{FileEntry, Manifest, stored};

use super::codec_error;
use super::restore::load::{Metered, settle};
use crate::engine::mysql::clients::Clients;
use crate::engine::mysql::facts::version;
use crate::engine::mysql::session::{Session, ident};
use crate::engine::mysql::take;
use crate::error::{Error, Kind, Result};
use crate::progress::Observer;
use crate::verify::{DatabaseFingerprint, compare_databases};

/// Kind of the objects that are compared, and loaded, last.
pub(super) const EVENT: &str = "event";

/// Loads databases of one set into one server.
pub(super) struct Loader<'a> {
    pub(super) clients: &'a Clients,
    pub(super) storage: &'a Storage,
    pub(super) set: &'a str,
    pub(super) manifest: &'a Manifest,
    pub(super) keys: &'a Keys,
    pub(super) observer: &'a dyn Observer,
}

impl Loader<'_> {
    pub(super) fn session(&self, database: Option<&str>) -> Result<Session> {
        Session::open(self.clients, database)
    }

    /// A database's content.
    pub(super) fn read<'o>(&'o self, entry: &'o FileEntry) -> Result<Metered<'o, impl Read + Send + use<>>> {
        metered((self.storage, self.set, self.keys), entry, self.observer)
    }

    /// Makes a database anew, with its character set.
    pub(super) fn create(&self, name: &str, like: &DatabaseFingerprint) -> Result<()> {
        let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain(&like.encoding) || !plain(&like.collate) {
            return Err(Error::failed("backup-set", "the set's character set is no name"));
        }
        let mut session = self.session(None)?;
        session.execute(&format!("DROP DATABASE IF EXISTS {}", ident(name)))?;
        let (set, collate) = (&like.encoding, &like.collate);
        session.execute(&format!("CREATE DATABASE {} CHARACTER SET {set} COLLATE {collate}", ident(name)))
    }

    /// Compares a database that is `there` with what it must be; `name` is the one of the set, if it is of the set.
    pub(super) fn compare(
        &self,
        there: &str,
        name: &str,
        want: &DatabaseFingerprint,
        then: u32,
        events: bool,
    ) -> Result<()> {
        let mut session = self.session(Some(there))?;
        let now = version(&mut session)?.num;
        let mut found = take(&mut session, there)?.fingerprint;
        let mut want = want.clone();
        for m in self.manifest.moved_sequences.iter().filter(|m| m.database == name) {
            settle(m, &mut want.sequences, &found.sequences);
        }
        for side in [&mut want, &mut found] {
            side.schema.retain(|o| events || o.kind != EVENT);
        }
        let c = compare_databases((&want, then), (&found, now));
        if c.same() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Differences,
            "restored-differs",
            format!("the database {there} is not what it must be"),
        )
        .why(c.summary(10)))
    }
}

/// The content of a set's database, which tells how much of it was read.
pub(super) fn metered<'o>(
    (storage, set, keys): (&Storage, &str, &Keys),
    entry: &'o FileEntry,
    observer: &'o dyn Observer,
) -> Result<Metered<'o, impl Read + Send + use<>>> {
    let from = stored::read(storage, set, entry, keys).map_err(|e| codec_error(&entry.name, e))?;
    let total_bytes = entry.plain.as_ref().map_or(entry.size_bytes, |p| p.size_bytes);
    let name = entry.database.as_deref().unwrap_or_default();
    Ok(Metered { from, done_bytes: 0, total_bytes, name, observer })
}
