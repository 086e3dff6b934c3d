//! A local directory. Files are 0600 and directories 0700 unless told otherwise; a file is flushed, renamed, and its
//! directory flushed, so that it survives a power cut once it has its name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::backend::{Backend, Publish, Upload};
use super::error::Refuser;
use super::{Entry, StorageConfig, StorageError};

/// How deep directories may be.
const DEPTH_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Local {
    root: PathBuf,
    file_mode: u32,
    dir_mode: u32,
    refuser: Refuser,
}

impl Local {
    pub(crate) fn open(config: &StorageConfig, refuser: Refuser) -> Result<Self, StorageError> {
        let mode = |name: &str, default: u32| match config.option(name).map(|v| u32::from_str_radix(v, 8)) {
            None => Ok(default),
            Some(Ok(m)) if m & 0o600 == 0o600 && m <= 0o7777 => Ok(m),
            _ => Err(StorageError::Config(format!(
                "`{name}` is an octal number with 600 in it, for example 640"
            ))),
        };
        Ok(Local {
            root: PathBuf::from(&config.path),
            file_mode: mode("file_mode", 0o600)?,
            dir_mode: mode("dir_mode", 0o700)?,
            refuser,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    /// Makes the directories that a file wants, and flushes those that they are in.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        let missing: Vec<&Path> =
            parent.ancestors().filter(|d| !d.as_os_str().is_empty()).take_while(|d| !d.is_dir()).collect();
        for dir in missing.into_iter().rev() {
            match DirBuilder::new().mode(self.dir_mode).create(dir) {
                Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(self.dir_mode))?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
            sync_parent(dir)?;
        }
        Ok(())
    }

    fn walk(&self, dir: &str, depth: usize, max: usize, found: &mut Vec<Entry>) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("directories are more than {DEPTH_MAX} deep")));
        }
        for item in fs::read_dir(self.path(dir))? {
            let item = item?;
            // A name that is not UTF-8 is none of ours. A link is not followed: it may lead out of the storage.
            let Ok(own) = item.file_name().into_string() else { continue };
            let name = if dir.is_empty() { own } else { format!("{dir}/{own}") };
            let meta = match item.metadata() {
                Ok(m) => m,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if meta.is_dir() {
                self.walk(&name, depth + 1, max, found)?;
            } else if meta.is_file() {
                found.push(Entry { name, size_bytes: meta.len(), modified: meta.modified().ok() });
            }
            if found.len() > max {
                return Ok(());
            }
        }
        Ok(())
    }

    fn remove_dirs(dir: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("directories are more than {DEPTH_MAX} deep")));
        }
        for item in fs::read_dir(dir)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                Self::remove_dirs(&item.path(), depth + 1)?;
            }
        }
        fs::remove_dir(dir)
    }
}

/// Flushes the directory that holds `path`.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => File::open(p)?.sync_all(),
        Some(_) => File::open(".")?.sync_all(),
        None => Ok(()),
    }
}

impl Backend for Local {
    fn publish(&self) -> Publish {
        Publish::ByRename
    }

    fn list(&self, dir: &str, max: usize) -> Result<Vec<Entry>, StorageError> {
        let mut found = Vec::new();
        match self.walk(dir, 0, max, &mut found) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.root.is_dir() => Ok(Vec::new()),
            Err(e) => Err(self.refuser.io(format!("list `{dir}`"), &e)),
            Ok(()) => Ok(found),
        }
    }

    fn stat(&self, name: &str) -> Result<Entry, StorageError> {
        let refuse = |e: io::Error| self.refuser.io(format!("look at `{name}`"), &e);
        let meta = fs::metadata(self.path(name)).map_err(refuse)?;
        if !meta.is_file() {
            return Err(refuse(io::Error::new(io::ErrorKind::NotFound, "it is not a file")));
        }
        Ok(Entry { name: name.to_owned(), size_bytes: meta.len(), modified: meta.modified().ok() })
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        let refuse = |e: io::Error| self.refuser.io(format!("read `{name}`"), &e);
        let mut file = File::open(self.path(name)).map_err(refuse)?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(refuse)?;
        }
        Ok(Box::new(file.take(length)))
    }

    fn write(&self, name: &str, _part_bytes: usize) -> Result<Box<dyn Upload>, StorageError> {
        let what = format!("write `{name}`");
        let path = self.path(name);
        let open = || {
            self.make_parents(&path)?;
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(self.file_mode).open(&path)?;
            // The umask took its share, and a leftover of an earlier attempt may have other permissions.
            file.set_permissions(fs::Permissions::from_mode(self.file_mode))?;
            Ok(file)
        };
        let file = open().map_err(|e| self.refuser.io(what.clone(), &e))?;
        Ok(Box::new(LocalUpload { file, what, refuser: self.refuser.clone() }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let to_path = self.path(to);
        fs::rename(self.path(from), &to_path)
            .and_then(|()| sync_parent(&to_path))
            .map_err(|e| self.refuser.io(format!("rename `{from}` to `{to}`"), &e))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path(name);
        fs::remove_file(&path)
            .and_then(|()| sync_parent(&path))
            .map_err(|e| self.refuser.io(format!("delete `{name}`"), &e))
    }

    fn remove_empty_dirs(&self, dir: &str) -> Result<(), StorageError> {
        let path = self.path(dir);
        Self::remove_dirs(&path, 0)
            .and_then(|()| sync_parent(&path))
            .map_err(|e| self.refuser.io(format!("remove the directory `{dir}`"), &e))
    }
}

struct LocalUpload {
    file: File,
    what: String,
    refuser: Refuser,
}

impl Upload for LocalUpload {
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError> {
        self.file.write_all(&part).map_err(|e| self.refuser.io(self.what.clone(), &e))
    }
    fn finish(&mut self) -> Result<(), StorageError> {
        self.file.sync_all().map_err(|e| self.refuser.io(self.what.clone(), &e))
    }
    /// The file is deleted by whoever chose its name.
    fn abort(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::super::Storage;
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn storage(dir: &Path, options: &[(&str, &str)]) -> Storage {
        let c = StorageConfig::of(super::super::Kind::Local, &dir.display().to_string());
        Storage::open(&c.with_options(options.iter().copied()).expect("options")).expect("opens")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read() {
        let dir = tempfile::tempdir().expect("tempdir");
        let root = dir.path().join("deep/root");
        let mut w = storage(&root, &[]).writer("set/app.dump").expect("writer");
        w.write_all(b"x").expect("written");
        assert_eq!(mode(&root.join("set/app.dump.partial")), 0o600);
        assert!(!root.join("set/app.dump").exists());
        w.finish().expect("finished");
        assert_eq!(mode(&root.join("set/app.dump")), 0o600);
        assert_eq!(
            (mode(&root), mode(&root.join("set")), mode(&dir.path().join("deep"))),
            (0o700, 0o700, 0o700)
        );
    }

    #[test]
    fn permissions_can_be_wider() {
        let dir = tempfile::tempdir().expect("tempdir");
        let s = storage(dir.path(), &[("file_mode", "640"), ("dir_mode", "2750")]);
        s.writer("set/a").expect("writer").finish().expect("finished");
        assert_eq!(mode(&dir.path().join("set/a")), 0o640);
        assert_eq!(fs::metadata(dir.path().join("set")).expect("there").mode() & 0o7777, 0o2750);
    }

    #[test]
    fn links_are_not_followed_when_listing_or_removing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let outside = tempfile::tempdir().expect("tempdir");
        fs::write(outside.path().join("precious"), b"x").expect("written");
        fs::create_dir(dir.path().join("set")).expect("made");
        std::os::unix::fs::symlink(outside.path(), dir.path().join("set/link")).expect("linked");
        let s = storage(dir.path(), &[]);
        assert_eq!(s.list("").expect("listed"), vec![]);
        // A link is nothing that repot made: the directory stays, with an error.
        s.remove_dir("set").expect_err("not empty");
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn a_full_disk_is_called_full() {
        let e = Refuser { storage: "d".into() }.io("write", &io::Error::from_raw_os_error(28));
        assert!(matches!(e, StorageError::Full(_)));
    }
}
