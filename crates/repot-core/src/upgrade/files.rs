//! A run's own directory: originals and new texts of the edited files, fingerprints, the report. Mode 0700, files
//! 0600, since `.env` files hold passwords.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Files of one run.
#[derive(Debug, Clone)]
pub struct RunFiles {
    dir: PathBuf,
}

impl RunFiles {
    /// The directory of run `run` below a state directory; made when missing.
    pub fn open(state_dir: &Path, run: &str) -> Result<Self> {
        let dir = state_dir.join("runs").join(run);
        make_private_dir(&dir)?;
        Ok(RunFiles { dir })
    }
    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// Path of a file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
    /// Stores a file durably.
    pub fn save(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path(name);
        let partial = self.path(&format!("{name}.partial"));
        let io = |e| Error::io(format!("cannot write {}", path.display()), &e);
        let mut f = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(io)?;
        f.write_all(content).and_then(|()| f.sync_all()).map_err(io)?;
        fs::rename(&partial, &path).map_err(io)?;
        sync_dir(&self.dir).map_err(io)
    }
    /// Reads a file.
    pub fn load(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        fs::read(&path).map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))
    }
    /// Removes a file; none of that name is fine.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()), &e))
            }
            _ => Ok(()),
        }
    }
    /// Stores an edited file's two texts under their hashes.
    pub fn save_text(&self, text: &str) -> Result<String> {
        let hash = hash(text.as_bytes());
        self.save(&format!("text-{hash}"), text.as_bytes())?;
        Ok(hash)
    }
    /// Reads a text by its hash, and checks it.
    pub fn load_text(&self, hash: &str) -> Result<Vec<u8>> {
        let bytes = self.load(&format!("text-{hash}"))?;
        if self::hash(&bytes) == hash {
            return Ok(bytes);
        }
        Err(Error::failed(
            "run-files-damaged",
            format!("{} is damaged", self.path(&format!("text-{hash}")).display()),
        ))
    }
}

/// Directories in which a name appears when `dir` is made. The last of them always, since an earlier attempt may have
/// been cut off just before it was flushed.
fn holders(dir: &Path) -> Vec<&Path> {
    let mut all = Vec::new();
    for d in dir.ancestors() {
        let Some(parent) = d.parent() else { break };
        all.push(if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        if d.parent().is_some_and(Path::exists) {
            break;
        }
    }
    all
}

/// Makes the names in a directory durable: a file's own flush does not reach the directory that it is listed in.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    match fs::File::open(dir).and_then(|d| d.sync_all()) {
        // Some network file systems cannot flush a directory; one that may be entered and not read cannot be opened.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied) => Ok(()),
        other => other,
    }
}

/// Makes a directory that only its owner may enter, with its parents, durably.
pub fn make_private_dir(dir: &Path) -> Result<()> {
    let holders = holders(dir);
    let make = || -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        holders.iter().try_for_each(|h| sync_dir(h))
    };
    make().map_err(|e| {
        let e = Error::io(format!("cannot make the directory {}", dir.display()), &e);
        if e.help.is_some() {
            e
        } else {
            e.help("make its parent writable, or give another place with --backup-dir or state_dir")
        }
    })
}

/// BLAKE3, hexadecimal.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Replaces a file's content atomically, keeping its owner and mode; a symbolic link stays one, its target is
/// replaced.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let io = |e| Error::io(format!("cannot write {}", path.display()), &e);
    let real = path.canonicalize().map_err(io)?;
    let meta = fs::metadata(&real).map_err(io)?;
    let dir = real.parent().unwrap_or(Path::new("/"));
    let name = real.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = dir.join(format!(".{name}.repot-partial"));
    let mut f = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(io)?;
    let write = || -> std::io::Result<()> {
        f.write_all(content)?;
        std::os::unix::fs::fchown(&f, Some(meta.uid()), Some(meta.gid())).or_else(|e| {
            // Only root gives files away; the same owner needs no change.
            if e.kind() == std::io::ErrorKind::PermissionDenied { Ok(()) } else { Err(e) }
        })?;
        f.set_permissions(meta.permissions())?;
        f.sync_all()?;
        fs::rename(&partial, &real)?;
        fs::File::open(dir)?.sync_all()
    };
    let mut write = write;
    write().map_err(|e| {
        let _ = fs::remove_file(&partial);
        io(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replacing_keeps_mode_and_link() {
        let dir = tempfile::tempdir().expect("tempdir");
        let real = dir.path().join("real.env");
        fs::write(&real, "a").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("mode");
        let link = dir.path().join(".env");
        std::os::unix::fs::symlink("real.env", &link).expect("link");
        replace_file(&link, b"b").expect("replaced");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).expect("read"), b"b");
        assert_eq!(fs::metadata(&real).expect("meta").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 2, "nothing left behind");
    }

    #[test]
    fn every_directory_that_gets_a_new_name_is_flushed() {
        let base = tempfile::tempdir().expect("tempdir");
        let dir = base.path().join(".repot/runs/r1");
        let all = [base.path().join(".repot/runs"), base.path().join(".repot"), base.path().to_owned()];
        assert_eq!(holders(&dir), all);
        make_private_dir(&dir).expect("made");
        assert_eq!(holders(&dir), all[..1]);
        assert_eq!(holders(Path::new("nowhere")), [Path::new(".")]);
        assert!(holders(Path::new("/")).is_empty());
        assert!(sync_dir(&base.path().join("nothing")).is_err(), "a flush that fails is told");
    }

    #[test]
    fn a_damaged_original_is_noticed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let files = RunFiles::open(dir.path(), "r1").expect("made");
        let h = files.save_text("POSTGRES_PASSWORD=x").expect("saved");
        assert_eq!(files.load_text(&h).expect("loads"), b"POSTGRES_PASSWORD=x");
        fs::write(files.path(&format!("text-{h}")), "y").expect("written");
        assert_eq!(files.load_text(&h).expect_err("damaged").code, "run-files-damaged");
    }
}
