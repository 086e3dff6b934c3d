//! Reading and writing one file of a storage.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::Arc;

use super::backend::{Backend, Publish, Upload};
use super::error::{Refuser, Sort};
use super::{PART_BYTES, PARTIAL_SUFFIX, StorageError};

/// Reads a file. An error's inner error is a [`StorageError`].
pub struct Reader {
    inner: Box<dyn Read + Send>,
    left_bytes: u64,
    length_bytes: u64,
    name: String,
    refuser: Refuser,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .field("left_bytes", &self.left_bytes)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn open(
        backend: Arc<dyn Backend>,
        refuser: Refuser,
        name: &str,
        offset: u64,
        length: u64,
    ) -> Result<Self, StorageError> {
        let inner: Box<dyn Read + Send> =
            if length == 0 { Box::new(io::empty()) } else { backend.read(name, offset, length)? };
        Ok(Reader { inner, left_bytes: length, length_bytes: length, name: name.to_owned(), refuser })
    }

    /// How many bytes it gives in all.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buf[..most])?;
        if n == 0 {
            let why = format!("it ended {} bytes early", self.left_bytes);
            let e = self.refuser.refuse(Sort::Unreachable, format!("read `{}`", self.name), why);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, e));
        }
        self.left_bytes -= n as u64;
        Ok(n)
    }
}

/// Writes a file, which appears under its name at [`Writer::finish`]. Dropped before, it leaves nothing. An error's
/// inner error is a [`StorageError`].
pub struct Writer {
    backend: Arc<dyn Backend>,
    refuser: Refuser,
    /// The name it is to have.
    name: String,
    /// The name it has while it is written.
    target: String,
    upload: Option<Box<dyn Upload>>,
    part: Vec<u8>,
    part_bytes: usize,
    parts: u64,
    size_bytes: u64,
    failed: bool,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("name", &self.name)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn open(
        backend: Arc<dyn Backend>,
        refuser: Refuser,
        name: &str,
        expected_bytes: Option<u64>,
    ) -> Result<Self, StorageError> {
        let what = || format!("write `{name}`");
        let (parts_max, size_max) = backend.largest();
        if let (Some(expected), Some(max)) = (expected_bytes, size_max)
            && expected > max
        {
            return Err(refuser.refuse(
                Sort::Full,
                what(),
                format!("it takes {max} bytes in a file at most"),
            ));
        }
        let part_bytes = part_size(expected_bytes, parts_max)
            .ok_or_else(|| refuser.refuse(Sort::Full, what(), "the file is too large for one"))?;
        let target = match backend.publish() {
            Publish::AtFinish => name.to_owned(),
            Publish::ByRename => format!("{name}{PARTIAL_SUFFIX}"),
        };
        let upload = backend.write(&target, part_bytes)?;
        Ok(Writer {
            backend,
            refuser,
            name: name.to_owned(),
            target,
            upload: Some(upload),
            part: Vec::new(),
            part_bytes,
            parts: 0,
            size_bytes: 0,
            failed: false,
        })
    }

    /// How many bytes have been written.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn send(&mut self) -> Result<(), StorageError> {
        let part = mem::take(&mut self.part);
        self.parts += 1;
        let (parts_max, size_max) = self.backend.largest();
        let too_large =
            parts_max.is_some_and(|m| self.parts > m) || size_max.is_some_and(|m| self.size_bytes > m);
        if too_large {
            return Err(self.refuser.refuse(
                Sort::Full,
                format!("write `{}`", self.name),
                format!(
                    "a file of more than {} bytes does not go in parts of {} bytes",
                    self.size_bytes, self.part_bytes
                ),
            ));
        }
        match &mut self.upload {
            Some(u) => u.part(part),
            None => Ok(()),
        }
    }

    /// Ends the upload, compares the size that the storage has, and gives the file its name. Returns the size in bytes.
    ///
    /// After an error nothing has the name that did not have it before, with one exception that no protocol spares us:
    /// the storage did the last step and its answer was lost. What has the name then is whole.
    pub fn finish(mut self) -> Result<u64, StorageError> {
        if self.failed {
            return Err(self.refuser.refuse(
                Sort::Other,
                format!("finish `{}`", self.name),
                "a write of it failed",
            ));
        }
        self.failed = true;
        if !self.part.is_empty() {
            self.send()?;
        }
        if let Some(u) = &mut self.upload {
            u.finish()?;
        }
        self.compare_size()?;
        if self.target != self.name {
            self.backend.rename(&self.target, &self.name)?;
        }
        self.upload = None;
        Ok(self.size_bytes)
    }

    fn compare_size(&mut self) -> Result<(), StorageError> {
        let there = self.backend.stat(&self.target).map(|e| e.size_bytes);
        if there.as_ref() == Ok(&self.size_bytes) {
            return Ok(());
        }
        if self.target == self.name {
            // It has its name already, and must not keep it. The error below is the one to tell.
            let _ = self.backend.delete(&self.name);
        }
        let there = there?;
        let why = format!("{} bytes were sent and {there} are there", self.size_bytes);
        Err(self.refuser.refuse(Sort::Other, format!("write `{}`", self.name), why))
    }
}

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("a write of this file failed before"));
        }
        if self.part.capacity() == 0 {
            self.part.reserve_exact(self.part_bytes);
        }
        let n = buf.len().min(self.part_bytes - self.part.len());
        self.part.extend_from_slice(&buf[..n]);
        self.size_bytes += n as u64;
        if self.part.len() == self.part_bytes
            && let Err(e) = self.send()
        {
            self.failed = true;
            return Err(io::Error::other(e));
        }
        Ok(n)
    }

    /// Does nothing: parts go when they are full, the last one at [`Writer::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        upload.abort();
        drop(upload);
        if self.target != self.name {
            // A leftover `.partial` harms nobody, and there is no one to tell.
            let _ = self.backend.delete(&self.target);
        }
    }
}

/// Size of the parts: 8 MiB, more where the expected size (and a tenth) would not go into the parts that there may be.
fn part_size(expected_bytes: Option<u64>, parts_max: Option<u64>) -> Option<usize> {
    let (Some(expected), Some(max)) = (expected_bytes, parts_max) else { return Some(PART_BYTES) };
    let wanted = expected.saturating_add(expected / 10).div_ceil(max);
    // Whole MiB; S3 takes parts of up to 5 GiB, and a machine has to hold four of them.
    let mib = wanted.div_ceil(1 << 20);
    (mib <= 1024).then(|| usize::try_from(mib << 20).unwrap_or(PART_BYTES).max(PART_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_8_mib_unless_that_is_too_many() {
        assert_eq!(part_size(None, Some(10_000)), Some(PART_BYTES));
        assert_eq!(part_size(Some(1 << 50), None), Some(PART_BYTES));
        assert_eq!(part_size(Some(1 << 30), Some(10_000)), Some(PART_BYTES));
        assert_eq!(part_size(Some(u64::MAX), Some(10_000)), None);
    }

    proptest! {
        #[test]
        fn an_expected_size_always_fits(expected in 0..(5_u64 << 40), max in 1_000..50_000_u64) {
            if let Some(part) = part_size(Some(expected), Some(max)) {
                prop_assert!(part as u64 * max >= expected);
            } else {
                prop_assert!(expected / max > 900 << 20);
            }
        }
    }
}
