//! Every kind of storage against a real server: one contract, and what each says when something is wrong.
//!
//! Not tested against anything real: Dropbox, which has no server to run, and uploads in parts to Google Cloud Storage, which no
//! emulator has.

mod contract;
mod faulty;
mod file;
mod object;
mod sftp;

use repot_store::storage::{Storage, StorageConfig, StorageError};

/// What no output may hold.
const PASSWORD: &str = "hunter2-Tr0ub4dor";

/// Opens a storage; quick to give up, since everything is on this machine.
#[track_caller]
fn open(url: &str, options: &[(&str, &str)]) -> Storage {
    let config = StorageConfig::parse(url).and_then(|c| c.with_options(options.iter().copied()));
    let storage = config.and_then(|c| Storage::open(&c)).expect("opens");
    assert!(!format!("{storage:?} {}", storage.describe()).contains(PASSWORD));
    storage
}

/// A storage that cannot be used says why, with what to do, and without secrets.
#[track_caller]
fn refusal(storage: &Storage) -> StorageError {
    let e = storage.check().expect_err("cannot be used");
    let text = format!("{e} {e:?}");
    assert!(!text.contains(PASSWORD), "a secret is in {text}");
    assert!(text.contains(storage.describe()), "{text}");
    e
}
