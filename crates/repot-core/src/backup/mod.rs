//! Backup sets while the application runs: made, listed, checked, restored, pruned.
//!
//! Invariants: a set counts once its manifest is there, which is written last; a database's dump and its fingerprint
//! are read in one snapshot; nothing is restored that was not checked before, and no restored database takes a live
//! one's name before it was compared with the fingerprint.

mod configuration;
mod databases;
pub mod django;
pub mod drill;
pub mod drill_choice;
mod drill_mysql;
mod engines;
mod exclude;
pub mod foreign;
pub mod gnupg;
mod load_mysql;
mod make;
pub(crate) mod media;
mod programs;
pub mod prune;
pub mod restore;
pub mod restore_engines;
mod restore_mysql;
mod schemas;
pub mod sets;
pub mod signature;
pub mod source;
mod stopped;

use repot_store::codec::CodecError;
use repot_store::storage::StorageError;

use crate::error::{Error, Kind};

pub use make::{Made, Request, make};

/// A storage's error as ours.
pub fn storage_error(e: &StorageError) -> Error {
    match e {
        StorageError::Config(_) => Error::usage("bad-storage", e.to_string()),
        StorageError::Full(_) => Error::failed("disk-full", e.to_string()),
        StorageError::Unreachable(_) => Error::failed("storage", e.to_string()).retryable(),
        _ => Error::failed("storage", e.to_string()),
    }
}

/// An error of reading or writing `what`, a file of a set.
pub(crate) fn codec_error(what: &str, e: CodecError) -> Error {
    let about = |kind, code: &'static str| Error::new(kind, code, format!("{what}: {e}"));
    match &e {
        CodecError::WrongKey | CodecError::NeedsPassphrase | CodecError::Outside(_) => about(Kind::Usage, "no-key").help(
            "name the secret key with --identity, or in repot.toml: `age_identities` or `openpgp_secret_keys` of [backup]",
        ),
        CodecError::Damaged(_) | CodecError::Truncated => about(Kind::Differences, "set-damaged"),
        CodecError::Unsupported(_) => about(Kind::Usage, "encryption"),
        CodecError::Io(inner) => {
            if let Some(e) = inner.get_ref().and_then(|i| i.downcast_ref::<StorageError>()) {
                return storage_error(e);
            }
            // Of a command that a file goes through, such as gpg.
            let ours = inner.get_ref().and_then(|i| i.downcast_ref::<Error>());
            let other = || Error::io(format!("{what} cannot be read or written"), inner);
            ours.cloned().unwrap_or_else(other)
        }
    }
}
