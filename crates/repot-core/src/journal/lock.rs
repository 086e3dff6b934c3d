//! One repot at a time on one application: the kernel's lock on an open file, so a stale lock cannot exist.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Held as long as this value lives; the kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock of a state directory, or says at once who has it.
pub fn take(state_dir: &Path) -> Result<Lock> {
    take_named(state_dir, "lock")
}

/// Takes another lock of a state directory: the schedule's, which holds while one of its entries runs.
pub fn take_named(state_dir: &Path, name: &str) -> Result<Lock> {
    let path = state_dir.join(name);
    let what = |e| Error::io(format!("cannot open {}", path.display()), &e);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(what)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message; the content decides nothing.
            let _ = file.read_to_string(&mut holder);
            return Err(Error::new(
                Kind::Unfinished,
                "locked",
                "another repot is at work on this application",
            )
            .why(format!("{} is locked {}", path.display(), holder.trim()))
            .help("wait until it is done, or look at it with `repot status`")
            .retryable());
        }
        Err(TryLockError::Error(e)) => return Err(what(e)),
    }
    // The words serve whoever meets the lock.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "by process {}", std::process::id()));
    Ok(Lock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_at_once_and_a_left_file_is_no_lock() {
        let dir = tempfile::tempdir().expect("tempdir");
        let first = take(dir.path()).expect("free");
        assert_eq!(take(dir.path()).expect_err("held").code, "locked");
        drop(first);
        assert!(dir.path().join("lock").exists());
        take(dir.path()).expect("free again, though the file is there");
    }
}
