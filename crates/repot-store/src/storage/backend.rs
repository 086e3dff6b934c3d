//! What a kind of storage has to be able to do.

use std::fmt::Debug;
use std::io::Read;

use super::{Entry, StorageError};

/// How a finished upload gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publish {
    /// The upload is invisible until it is finished.
    AtFinish,
    /// The upload is a file of its own, `NAME.partial`, and is renamed.
    ByRename,
}

/// One kind of storage. Names have been checked.
pub(crate) trait Backend: Send + Sync + Debug {
    /// How a finished upload gets its name.
    fn publish(&self) -> Publish;
    /// Files below a directory, however deep, at most one more than `max`.
    fn list(&self, dir: &str, max: usize) -> Result<Vec<Entry>, StorageError>;
    /// One file.
    fn stat(&self, name: &str) -> Result<Entry, StorageError>;
    /// `length` bytes from `offset` on.
    fn read(&self, name: &str, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, StorageError>;
    /// Begins an upload in parts of `part_bytes`.
    fn write(&self, name: &str, part_bytes: usize) -> Result<Box<dyn Upload>, StorageError>;
    /// Renames a file, replacing what has the name.
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;
    /// Deletes a file.
    fn delete(&self, name: &str) -> Result<(), StorageError>;
    /// Removes a directory that has no files any more, and those in it.
    fn remove_empty_dirs(&self, dir: &str) -> Result<(), StorageError>;
    /// Largest number of parts, and of bytes in all, where there is a limit.
    fn largest(&self) -> (Option<u64>, Option<u64>) {
        (None, None)
    }
}

/// A file on its way to the storage.
pub(crate) trait Upload: Send {
    /// Sends one part.
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError>;
    /// Ends the upload; all of it is safe where it is.
    fn finish(&mut self) -> Result<(), StorageError>;
    /// Gives the upload up. What is left of it is removed as far as the storage lets us.
    fn abort(&mut self);
}
