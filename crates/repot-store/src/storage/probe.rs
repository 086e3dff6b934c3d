//! Says early that a storage cannot be written, read or deleted from.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Sort;
use super::{Storage, StorageError};

/// Distinguishes probes of one process.
static PROBES: AtomicU64 = AtomicU64::new(0);

pub(super) fn check(storage: &Storage) -> Result<(), StorageError> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let n = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!("repot-probe-{}-{nanos}-{n}", std::process::id());
    let content = format!("repot writes, reads and deletes this file to see whether it can: {name}\n");
    let result = round(storage, &name, content.as_bytes());
    if result.is_err() {
        // What went wrong before is what counts.
        let _ = storage.delete(&name);
    }
    result
}

fn round(storage: &Storage, name: &str, content: &[u8]) -> Result<(), StorageError> {
    let r = &storage.refuser;
    let mut w = storage.writer(name)?;
    w.write_all(content).map_err(|e| inner(e, |e| r.io(format!("write `{name}`"), e)))?;
    w.finish()?;
    let mut back = Vec::new();
    storage
        .reader(name)?
        .read_to_end(&mut back)
        .map_err(|e| inner(e, |e| r.io(format!("read `{name}`"), e)))?;
    if back != content {
        return Err(r.refuse(Sort::Other, format!("read `{name}`"), "what was read is not what was written"));
    }
    storage.delete(name)?;
    if storage.exists(name)? {
        return Err(r.refuse(Sort::Other, format!("delete `{name}`"), "it is still there"));
    }
    Ok(())
}

/// The storage's own error in an I/O error, or one made from it.
fn inner(e: std::io::Error, otherwise: impl FnOnce(&std::io::Error) -> StorageError) -> StorageError {
    match e.downcast::<StorageError>() {
        Ok(s) => s,
        Err(e) => otherwise(&e),
    }
}
