//! Storages: one blocking, streaming face for a local directory, S3, SFTP, FTP, WebDAV, Google Cloud Storage, Azure
//! and Dropbox.
//!
//! Invariants: a file has its name only once [`Writer::finish`] has succeeded, and then it is complete (its size is
//! asked for and compared); what is read is as long as the storage says, or an error; memory is bounded by a few
//! parts of a file, whatever its size; no secret is in an error, in `Debug` or in [`Storage::describe`].
//!
//! What is not promised: a checksum. The storage's own are not relied upon; callers compare theirs (the manifest's
//! BLAKE3). Of two writers of one name at the same time, either may win.
//!
//! Calls block. They must not be made from inside an asynchronous task.

#![cfg_attr(
    not(feature = "all-storages"),
    allow(dead_code, reason = "what one kind wants, another does not")
)]

mod backend;
mod config;
mod django;
mod error;
#[cfg(feature = "faults")]
mod faults;
#[cfg(feature = "ftp")]
mod ftp;
mod local;
mod name;
#[cfg(feature = "remote")]
mod operator;
mod options;
mod probe;
#[cfg(feature = "webdav")]
mod put;
#[cfg(feature = "remote")]
mod remote;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

pub use config::{Kind, StorageConfig};
pub use django::{Mapped, from_django};
pub use error::{Refusal, StorageError};
#[cfg(feature = "faults")]
pub use faults::{Call, Fault, Faults};
pub use name::PARTIAL_SUFFIX;
pub use options::{Known, OPTIONS};
pub use stream::{Reader, Writer};

use backend::Backend;
use error::{Refuser, Sort};

/// Size of the parts that files are written in. Memory per writer is about four of them.
pub const PART_BYTES: usize = 8 << 20;
/// Most files that a listing may have.
const LIST_MAX: usize = 1_000_000;

/// One file of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, from the storage's directory on.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was last changed; none where the storage does not say. FTP's listings know minutes only.
    pub modified: Option<SystemTime>,
}

/// An opened storage. Clones share its connections.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn Backend>,
    refuser: Refuser,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Storage").field(&self.refuser.storage).finish()
    }
}

impl Storage {
    /// Opens a storage. Does not contact it: [`Storage::check`] does.
    pub fn open(config: &StorageConfig) -> Result<Self, StorageError> {
        let refuser = Refuser { storage: config.describe() };
        let backend: Arc<dyn Backend> = match config.kind() {
            Kind::Local => Arc::new(local::Local::open(config, refuser.clone())?),
            #[cfg(feature = "ftp")]
            Kind::Ftp | Kind::Ftps => Arc::new(ftp::Ftp::open(config, refuser.clone())?),
            #[cfg(feature = "remote")]
            _ => Arc::new(remote::Remote::open(config, refuser.clone())?),
            #[cfg(not(feature = "remote"))]
            kind => return Err(not_built(kind)),
        };
        Ok(Storage { backend, refuser })
    }

    /// For people: kind, place and user. Never a secret.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.refuser.storage
    }

    /// The files below a directory (empty: all), by name, however deep. A directory that is not there is empty; a
    /// storage that is not there (no such bucket, a disk that is not mounted) is an error.
    /// Files that are still being written are left out.
    pub fn list(&self, prefix: &str) -> Result<Vec<Entry>, StorageError> {
        let mut found = self.everything(name::check_dir(prefix)?)?;
        found.retain(|e| !e.name.ends_with(PARTIAL_SUFFIX));
        Ok(found)
    }

    /// As [`Storage::list`], with the files that are still being written, where the storage shows them.
    pub(crate) fn everything(&self, dir: &str) -> Result<Vec<Entry>, StorageError> {
        let mut found = self.backend.list(dir, LIST_MAX)?;
        if found.len() > LIST_MAX {
            return Err(self.refuser.refuse(
                Sort::Other,
                format!("list `{dir}`"),
                format!("there are more than {LIST_MAX} files; give the sets a directory of their own"),
            ));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Size and time of one file.
    pub fn stat(&self, name: &str) -> Result<Entry, StorageError> {
        name::check(name)?;
        self.backend.stat(name)
    }

    /// Whether a file of this name is there.
    pub fn exists(&self, name: &str) -> Result<bool, StorageError> {
        match self.stat(name) {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Reads a file from its beginning to its end.
    pub fn reader(&self, name: &str) -> Result<Reader, StorageError> {
        self.reader_at(name, 0, None)
    }

    /// Reads from `offset_bytes` on, at most `length_bytes` (none: to the end). An end that comes before the size that
    /// the storage gave is an error, not an end.
    pub fn reader_at(
        &self,
        name: &str,
        offset_bytes: u64,
        length_bytes: Option<u64>,
    ) -> Result<Reader, StorageError> {
        name::check(name)?;
        let size = self.backend.stat(name)?.size_bytes;
        let rest = size.saturating_sub(offset_bytes);
        let length = length_bytes.map_or(rest, |l| l.min(rest));
        Reader::open(self.backend.clone(), self.refuser.clone(), name, offset_bytes, length)
    }

    /// Writes a file. It gets its name at [`Writer::finish`], replacing what had it; dropped before, it leaves nothing.
    pub fn writer(&self, name: &str) -> Result<Writer, StorageError> {
        self.writer_of(name, None)
    }

    /// As [`Storage::writer`], for a file whose size is about known. Object stores take 10,000 parts: without a size
    /// parts have 8 MiB, which ends at 78 GiB; with one they are as large as it takes.
    pub fn writer_of(&self, name: &str, expected_bytes: Option<u64>) -> Result<Writer, StorageError> {
        name::check(name)?;
        Writer::open(self.backend.clone(), self.refuser.clone(), name, expected_bytes)
    }

    /// Deletes a file. One that is not there is deleted already.
    pub fn delete(&self, name: &str) -> Result<(), StorageError> {
        name::check(name)?;
        absent_is_fine(self.backend.delete(name))
    }

    /// Deletes all that is below a directory, and the directory; also files whose writing never ended. The manifest
    /// should have been deleted before: then what is left after a failure is an incomplete set.
    pub fn remove_dir(&self, prefix: &str) -> Result<(), StorageError> {
        let dir = name::check_dir(prefix)?;
        if dir.is_empty() {
            return Err(StorageError::Config(
                "the whole storage is not removed: name a directory".to_owned(),
            ));
        }
        for e in self.everything(dir)? {
            absent_is_fine(self.backend.delete(&e.name))?;
        }
        absent_is_fine(self.backend.remove_empty_dirs(dir))
    }

    /// Writes, lists, reads and deletes a small file: says early what would fail late.
    pub fn check(&self) -> Result<(), StorageError> {
        probe::check(self)
    }

    /// This storage, failing as told.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn with_faults(&self, faults: Faults) -> Self {
        let backend = Arc::new(faults::Faulty::new(self.backend.clone(), faults, self.refuser.clone()));
        Storage { backend, refuser: self.refuser.clone() }
    }
}

fn absent_is_fine(result: Result<(), StorageError>) -> Result<(), StorageError> {
    match result {
        Err(e) if e.is_not_found() => Ok(()),
        other => other,
    }
}

/// A storage of a kind that this build leaves out.
fn not_built(kind: Kind) -> StorageError {
    StorageError::Config(format!("this build of repot has no {}: use a build with it", kind.title()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "remote"))]
    #[test]
    fn a_storage_that_was_left_out_says_so() {
        let c = StorageConfig::parse("s3://bucket").expect("parses");
        assert!(Storage::open(&c).expect_err("not built").to_string().contains("S3"));
    }

    #[test]
    fn the_whole_storage_is_never_removed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let s = Storage::open(&StorageConfig::parse(&dir.path().display().to_string()).expect("path"))
            .expect("opens");
        for prefix in ["", "/", "."] {
            assert!(s.remove_dir(prefix).is_err(), "{prefix:?}");
        }
    }
}
