//! Backup sets: ordinary files in one directory, with a manifest that is written last.
//!
//! Invariant: a directory without `manifest.json` is an incomplete set, whatever else it holds.

pub mod archive;
pub mod beside;
pub mod codec;
pub mod dbbackup;
pub mod destinations;
mod dump_form;
mod manifest;
pub mod retention;
mod set;
pub mod signature;
pub mod storage;
pub mod stored;

pub use manifest::{
    Engine, FileEntry, FileKind, MANIFEST_FORMAT, MANIFEST_FORMAT_AT_ROOT, MadeBy, Manifest, MovedSequence,
    Plain,
};
pub use set::{Damage, FileWriter, MANIFEST_NAME, SetWriter, StoreError, open, verify};
