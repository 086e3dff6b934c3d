//! Writing and reading a set's directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::Digest;

use crate::manifest::{FileEntry, Manifest};

/// Name of the manifest in a set.
pub const MANIFEST_NAME: &str = "manifest.json";

/// What can go wrong with a set.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{what}")]
    Io {
        /// What was attempted, on which file.
        what: String,
        /// The file system's word.
        #[source]
        source: io::Error,
    },
    /// There is no manifest: the set was never finished.
    #[error("{} is not a complete backup set (it has no {MANIFEST_NAME})", .0.display())]
    Incomplete(PathBuf),
    /// The manifest is not one.
    #[error("the manifest of {} does not parse: {why}", .set.display())]
    BadManifest {
        /// The set.
        set: PathBuf,
        /// Why.
        why: String,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> StoreError {
    let what = what.into();
    move |source| StoreError::Io { what, source }
}

/// Writes one set.
#[derive(Debug)]
pub struct SetWriter {
    dir: PathBuf,
}

impl SetWriter {
    /// Starts a set in `dir`, which becomes (or already is) a directory that only its owner may enter. Leftovers
    /// of an earlier attempt without manifest are overwritten; a complete set is not touched.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        if dir.join(MANIFEST_NAME).exists() {
            return Err(StoreError::Io {
                what: format!("{} holds a complete backup set already", dir.display()),
                source: io::ErrorKind::AlreadyExists.into(),
            });
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_error(format!("cannot make the directory {}", dir.display())))?;
        Ok(SetWriter { dir: dir.to_owned() })
    }

    /// Starts a file of the set. It gets its name when it is finished.
    pub fn file(&self, name: &str) -> Result<FileWriter, StoreError> {
        let path = self.dir.join(name);
        let partial = self.dir.join(format!("{name}.partial"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(io_error(format!("cannot write {}", partial.display())))?;
        Ok(FileWriter {
            out: BufWriter::with_capacity(1 << 20, file),
            blake3: blake3::Hasher::new(),
            sha256: sha2::Sha256::new(),
            size_bytes: 0,
            path,
            partial,
        })
    }

    /// Writes the manifest, which makes the set complete.
    pub fn finish(self, manifest: &Manifest) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| StoreError::BadManifest { set: self.dir.clone(), why: e.to_string() })?;
        let mut f = self.file(MANIFEST_NAME)?;
        f.write_all(&text).map_err(io_error(format!("cannot write {}", f.partial.display())))?;
        f.finish()?;
        sync_dir(&self.dir)?;
        if let Some(parent) = self.dir.parent() {
            sync_dir(parent)?;
        }
        Ok(())
    }
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(format!("cannot flush {}", dir.display())))
}

/// One file of a set, being written; hashed on the way.
#[derive(Debug)]
pub struct FileWriter {
    out: BufWriter<File>,
    blake3: blake3::Hasher,
    sha256: sha2::Sha256,
    size_bytes: u64,
    path: PathBuf,
    partial: PathBuf,
}

impl Write for FileWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buf)?;
        self.blake3.update(&buf[..n]);
        self.sha256.update(&buf[..n]);
        self.size_bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a finished file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Size in bytes.
    pub size_bytes: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl FileWriter {
    /// Flushes to disk and gives the file its name.
    pub fn finish(self) -> Result<Finished, StoreError> {
        let what = format!("cannot finish {}", self.path.display());
        let file = self
            .out
            .into_inner()
            .map_err(|e| StoreError::Io { what: what.clone(), source: e.into_error() })?;
        file.sync_all().map_err(io_error(what.clone()))?;
        fs::rename(&self.partial, &self.path).map_err(io_error(what))?;
        Ok(Finished {
            size_bytes: self.size_bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
            sha256: hex(&self.sha256.finalize()),
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads a set's manifest.
pub fn open(dir: &Path) -> Result<Manifest, StoreError> {
    let path = dir.join(MANIFEST_NAME);
    let text = match fs::read(&path) {
        Ok(t) => t,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::Incomplete(dir.to_owned())),
        Err(e) => return Err(io_error(format!("cannot read {}", path.display()))(e)),
    };
    Manifest::parse(&text).map_err(|why| StoreError::BadManifest { set: dir.to_owned(), why })
}

/// One file of a set that is not what the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Name of the file.
    pub name: String,
    /// What is wrong.
    pub what: String,
}

/// Checks presence, size and BLAKE3 of every file. What it does not prove: that a dump restores.
pub fn verify(dir: &Path, manifest: &Manifest) -> Result<Vec<Damage>, StoreError> {
    let mut damages = Vec::new();
    for entry in &manifest.files {
        if let Some(what) = damage(dir, entry)? {
            damages.push(Damage { name: entry.name.clone(), what });
        }
    }
    Ok(damages)
}

fn damage(dir: &Path, entry: &FileEntry) -> Result<Option<String>, StoreError> {
    let path = dir.join(&entry.name);
    let mut file = match File::open(&path) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some("missing".to_owned())),
        Err(e) => return Err(io_error(format!("cannot read {}", path.display()))(e)),
    };
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    let mut buf = vec![0_u8; 1 << 18];
    loop {
        let n = file.read(&mut buf).map_err(io_error(format!("cannot read {}", path.display())))?;
        if n == 0 {
            break;
        }
        hasher.update(&buf[..n]);
        size += n as u64;
    }
    if size != entry.size_bytes {
        return Ok(Some(format!("{size} bytes instead of {}", entry.size_bytes)));
    }
    if hasher.finalize().to_hex().as_str() != entry.blake3 {
        return Ok(Some("its checksum differs".to_owned()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Cipher, Compression};
    use crate::manifest::{FileKind, MANIFEST_FORMAT, MadeBy};
    use proptest::prelude::*;

    fn write(dir: &Path, content: &[u8]) -> Manifest {
        let set = SetWriter::create(dir).expect("directory");
        let mut f = set.file("app.dump").expect("file");
        f.write_all(content).expect("written");
        let done = f.finish().expect("finished");
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            created_at: "2026-01-01T00:00:00Z".into(),
            repot: "0".into(),
            application: "test".into(),
            application_version: None,
            application_facts: None,
            project: "p".into(),
            place: None,
            run: "r".into(),
            made_by: MadeBy::Upgrade,
            label: None,
            server_version_num: 130_023,
            client: "pg_dump 17".into(),
            files: vec![FileEntry {
                name: "app.dump".into(),
                kind: FileKind::Database,
                database: Some("app".into()),
                engine: crate::manifest::Engine::default(),
                size_bytes: done.size_bytes,
                blake3: done.blake3,
                sha256: done.sha256,
                restore: String::new(),
                compression: Compression::None,
                encryption: Cipher::None,
                plain: None,
                tree: None,
                root: None,
                at_root: false,
            }],
            signed_by: None,
            moved_sequences: Vec::new(),
            image: None,
            next_transaction: None,
            fingerprint: serde_json::Value::Null,
        };
        set.finish(&manifest).expect("finished");
        manifest
    }

    #[test]
    fn a_set_without_manifest_is_incomplete() {
        let dir = tempfile::tempdir().expect("tempdir");
        let set = SetWriter::create(dir.path()).expect("directory");
        set.file("app.dump").expect("file").finish().expect("finished");
        assert!(matches!(open(dir.path()), Err(StoreError::Incomplete(_))));
    }

    #[test]
    fn sha256_is_what_sha256sum_prints() {
        let dir = tempfile::tempdir().expect("tempdir");
        let m = write(&dir.path().join("set"), b"abc");
        assert_eq!(m.files[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_complete_set_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("tempdir");
        write(dir.path(), b"one");
        assert!(SetWriter::create(dir.path()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_flipped_bit_and_every_cut_is_found(content in proptest::collection::vec(any::<u8>(), 1..2000), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let dir = tempfile::tempdir().expect("tempdir");
            let m = write(dir.path(), &content);
            prop_assert_eq!(verify(dir.path(), &open(dir.path()).expect("opens")).expect("read"), vec![]);
            let mut bad = content.clone();
            let i = at.index(content.len());
            bad[i] ^= 1 << bit;
            fs::write(dir.path().join("app.dump"), &bad).expect("written");
            prop_assert_eq!(verify(dir.path(), &m).expect("read").len(), 1);
            fs::write(dir.path().join("app.dump"), &content[..i]).expect("written");
            prop_assert_eq!(verify(dir.path(), &m).expect("read").len(), 1);
        }

        #[test]
        fn a_manifest_of_noise_is_refused(noise in any::<String>()) {
            let dir = tempfile::tempdir().expect("tempdir");
            fs::write(dir.path().join(MANIFEST_NAME), noise).expect("written");
            prop_assert!(open(dir.path()).is_err());
        }
    }
}
