//! Sets in a storage: written as a stream, listed, read, checked.
//!
//! A set is the files below one directory of the storage, named as the set. `manifest.json` is written last and makes
//! it complete; `manifest.sha256`, written just before, is what tells a damaged manifest.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::Digest;

use crate::archive::{ArchiveError, InspectOptions, Inspector, LinksOutside};
use crate::beside::{BESIDE_NAME, beside};
use crate::codec::{
    CodecError, Compression, Compressor, Decompressor, Decryptor, Effort, Encryption, Encryptor, Keys,
};
use crate::destinations::{Copies, Destinations};
use crate::dump_form::Ends;
use crate::manifest::{FileEntry, FileKind, MadeBy, Manifest, Plain};
use crate::set::{MANIFEST_NAME, hex};
use crate::signature::SIGNATURE_NAME;
use crate::storage::{Reader, Storage, StorageError};

/// Name of the manifest's checksum, in the form of `sha256sum`.
pub const MANIFEST_SUM_NAME: &str = "manifest.sha256";
/// A manifest larger than this is none: fingerprints of ten thousand tables take a few MiB.
const MANIFEST_MAX_BYTES: u64 = 512 << 20;

#[derive(Clone)]
struct Hashes {
    blake3: blake3::Hasher,
    sha256: sha2::Sha256,
    size_bytes: u64,
}

impl Hashes {
    fn new() -> Self {
        Hashes { blake3: blake3::Hasher::new(), sha256: sha2::Sha256::new(), size_bytes: 0 }
    }
    fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        self.sha256.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }
    /// What is wrong with a file that has these hashes.
    fn damage(&self, entry: &FileEntry) -> Option<String> {
        if self.size_bytes != entry.size_bytes {
            return Some(format!("{} bytes instead of {}", self.size_bytes, entry.size_bytes));
        }
        let blake3 = self.blake3.finalize().to_hex();
        let sha256 = hex(&self.sha256.clone().finalize());
        (blake3.as_str() != entry.blake3 || sha256 != entry.sha256).then(|| "its checksum differs".to_owned())
    }
}

/// Hashes what goes through to the storages.
struct Hashed {
    out: Copies,
    hashes: Hashes,
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buf)?;
        self.hashes.update(&buf[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One file of a set on its way into the storage: hashed, compressed, encrypted, hashed again. Dropped before
/// [`FileSink::finish`], it leaves nothing.
pub struct FileSink {
    layers: Compressor<Encryptor<Hashed>>,
    plain: blake3::Hasher,
    plain_bytes: u64,
}

impl std::fmt::Debug for FileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSink").field("plain_bytes", &self.plain_bytes).finish_non_exhaustive()
    }
}

/// What a finished file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Size of what is stored.
    pub size_bytes: u64,
    /// BLAKE3 of what is stored, hexadecimal.
    pub blake3: String,
    /// SHA-256 of what is stored, hexadecimal.
    pub sha256: String,
    /// The content.
    pub plain: Plain,
}

impl FileSink {
    /// Starts a file by its name in the storages (its suffixes included).
    pub fn create(
        to: &Destinations,
        path: &str,
        compression: Compression,
        encryption: &Encryption,
    ) -> Result<Self, CodecError> {
        let out = to.writer(path).map_err(storage_io)?;
        let encrypted = encryption.writer(Hashed { out, hashes: Hashes::new() })?;
        let layers = compression.writer(encrypted, Effort::default())?;
        Ok(FileSink { layers, plain: blake3::Hasher::new(), plain_bytes: 0 })
    }

    /// Ends the layers and gives the file its name.
    pub fn finish(self) -> Result<Written, CodecError> {
        let hashed = self.layers.finish()?.finish()?;
        let size_bytes = hashed.out.finish().map_err(storage_io)?;
        debug_assert_eq!(size_bytes, hashed.hashes.size_bytes);
        Ok(Written {
            size_bytes,
            blake3: hashed.hashes.blake3.finalize().to_hex().to_string(),
            sha256: hex(&hashed.hashes.sha256.finalize()),
            plain: Plain { size_bytes: self.plain_bytes, blake3: self.plain.finalize().to_hex().to_string() },
        })
    }
}

impl Write for FileSink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.layers.write(buf)?;
        self.plain.update(&buf[..n]);
        self.plain_bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.layers.flush()
    }
}

fn storage_io(e: StorageError) -> CodecError {
    CodecError::Io(io::Error::other(e))
}

/// Writes the manifest's text, which makes the set complete; before it its checksum and its signature, where it has one.
pub fn complete(
    to: &Destinations,
    set: &str,
    text: &[u8],
    signature: Option<&[u8]>,
) -> Result<(), StorageError> {
    let sum = format!("{}  {MANIFEST_NAME}\n", hex(&sha2::Sha256::digest(text)));
    let signature = signature.map(|s| (SIGNATURE_NAME, s));
    let last = [(MANIFEST_SUM_NAME, sum.as_bytes()), (MANIFEST_NAME, text)];
    for (name, bytes) in signature.into_iter().chain(last) {
        let config = |e: io::Error| StorageError::Config(format!("{name} of {set}: {e}"));
        let mut out = to.writer(&format!("{set}/{name}"))?;
        out.write_all(bytes).map_err(|e| e.downcast::<StorageError>().unwrap_or_else(config))?;
        let _ = out.finish()?;
    }
    Ok(())
}

/// What a set is worth.
#[derive(Debug, Clone)]
pub enum State {
    /// It has its manifest.
    Complete(Box<Manifest>),
    /// It has none: it was never finished, or is being written.
    Incomplete,
    /// Its manifest is damaged; why.
    Damaged(String),
}

/// A set in a storage.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its name, which is its directory.
    pub name: String,
    /// What it is worth.
    pub state: State,
    /// Size of all its files, unfinished ones included.
    pub size_bytes: u64,
    /// When one of its files was last written, where the storage says so.
    pub changed: Option<SystemTime>,
    /// Its files in the storage's root, those that are not there included.
    pub beside: Vec<String>,
}

impl Stored {
    /// The manifest, if the set is complete.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.state {
            State::Complete(m) => Some(m),
            _ => None,
        }
    }
}

/// Whether a directory is called as repot calls its sets: `PROJECT-YYYYMMDD-HHMMSS-xxxx`.
#[must_use]
pub fn is_set_name(name: &str) -> bool {
    let mut parts = name.rsplitn(4, '-');
    let mut next = |digits: usize, hex: bool| {
        let good = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        parts.next().is_some_and(|p| p.len() == digits && p.chars().all(good))
    };
    next(4, true) && next(6, false) && next(8, false) && parts.next().is_some_and(|p| !p.is_empty())
}

/// The sets of a storage, by name. Directories that are no sets of repot's are left out.
pub fn list(storage: &Storage) -> Result<Vec<Stored>, StorageError> {
    struct Dir {
        size_bytes: u64,
        changed: Option<SystemTime>,
        manifest: bool,
        beside: bool,
    }
    let mut root: BTreeMap<String, u64> = BTreeMap::new();
    let mut dirs: BTreeMap<String, Dir> = BTreeMap::new();
    for e in storage.everything("")? {
        let Some((dir, file)) = e.name.split_once('/') else {
            root.insert(e.name, e.size_bytes);
            continue;
        };
        let d = dirs.entry(dir.to_owned()).or_insert(Dir {
            size_bytes: 0,
            changed: None,
            manifest: false,
            beside: false,
        });
        d.beside |= file == BESIDE_NAME;
        d.size_bytes += e.size_bytes;
        d.changed = d.changed.max(e.modified);
        d.manifest |= file == MANIFEST_NAME;
    }
    let mut found = Vec::new();
    for (name, d) in dirs {
        let state = if d.manifest {
            match read_manifest(storage, &name) {
                Ok(state) => state,
                // It goes while we look: somebody prunes.
                Err(e) if e.is_not_found() => continue,
                Err(e) => return Err(e),
            }
        } else {
            State::Incomplete
        };
        if is_set_name(&name) || matches!(state, State::Complete(_)) {
            let beside = if d.beside { beside(storage, &name)? } else { Vec::new() };
            let outside: u64 = beside.iter().filter_map(|n| root.get(n)).sum();
            let size_bytes = d.size_bytes + outside;
            found.push(Stored { name, state, size_bytes, changed: d.changed, beside });
        }
    }
    Ok(found)
}

pub(crate) fn read_small(storage: &Storage, name: &str) -> Result<Vec<u8>, StorageError> {
    let mut text = Vec::new();
    let reader = storage.reader(name)?;
    match reader.take(MANIFEST_MAX_BYTES).read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(e) => Err(match e.downcast::<StorageError>() {
            Ok(inner) => inner,
            Err(e) => StorageError::Config(format!("{name} cannot be read: {e}")),
        }),
    }
}

fn read_manifest(storage: &Storage, set: &str) -> Result<State, StorageError> {
    let text = read_small(storage, &format!("{set}/{MANIFEST_NAME}"))?;
    let sum = match read_small(storage, &format!("{set}/{MANIFEST_SUM_NAME}")) {
        Ok(sum) => Some(sum),
        Err(e) if e.is_not_found() => None,
        Err(e) => return Err(e),
    };
    if let Some(sum) = &sum {
        let want = format!("{}  {MANIFEST_NAME}\n", hex(&sha2::Sha256::digest(&text)));
        if want.as_bytes() != sum {
            return Ok(State::Damaged(format!("{MANIFEST_NAME} and {MANIFEST_SUM_NAME} disagree")));
        }
    }
    Ok(match Manifest::parse(&text) {
        Ok(m) if m.made_by == MadeBy::Backup && sum.is_none() => {
            State::Damaged(format!("{MANIFEST_SUM_NAME} is missing"))
        }
        Ok(m) => State::Complete(Box::new(m)),
        Err(why) => State::Damaged(format!("{MANIFEST_NAME}: {why}")),
    })
}

/// Reads a file's content, layers taken off. The [codec's page](crate::codec) says what is proved when.
pub fn read(
    storage: &Storage,
    set: &str,
    entry: &FileEntry,
    keys: &Keys,
) -> Result<Decompressor<Decryptor>, CodecError> {
    let stored = storage.reader(&entry.path(set)).map_err(storage_io)?;
    entry.layers().reader(stored, keys)
}

/// How thoroughly a file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is there, and its size and checksums are right.
    Files,
    /// It also decrypts and decompresses, its content's checksum is right, and it is the archive that it should be.
    Archive,
}

/// Checks one file of a set; says what is wrong with it. An error is not damage: the storage does not answer, or a key
/// is missing. `seen` is told of every stored byte.
pub fn check_file(
    storage: &Storage,
    set: &str,
    entry: &FileEntry,
    level: Level,
    keys: &Keys,
    scratch_dir: &Path,
    seen: &(dyn Fn(u64) + Sync),
) -> Result<Option<String>, CodecError> {
    let name = entry.path(set);
    match storage.stat(&name) {
        Ok(e) if e.size_bytes == entry.size_bytes => {}
        Ok(e) => return Ok(Some(format!("{} bytes instead of {}", e.size_bytes, entry.size_bytes))),
        Err(e) if e.is_not_found() => return Ok(Some("missing".to_owned())),
        Err(e) => return Err(storage_io(e)),
    }
    let reader = || storage.reader(&name).map_err(storage_io);
    if level == Level::Files {
        return Ok(hashes_of(reader()?, seen)?.damage(entry));
    }
    let hashes = Arc::new(Mutex::new(Hashes::new()));
    let stored = Tee { inner: reader()?, hashes: hashes.clone() };
    let result = entry
        .layers()
        .reader(stored, keys)
        .and_then(|content| check_content(content, entry, scratch_dir, seen));
    match result {
        Ok(Some(damage)) => Ok(Some(damage)),
        Ok(None) => {
            let hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(hashes.damage(entry))
        }
        Err(e @ CodecError::Io(_)) => Err(e),
        // A damaged head looks like a wrong key, and the other way round: the checksum knows.
        Err(e) => match hashes_of(reader()?, &|_| {})?.damage(entry) {
            Some(damage) => Ok(Some(damage)),
            None if matches!(e, CodecError::Damaged(_) | CodecError::Truncated) => Ok(Some(e.to_string())),
            None => Err(e),
        },
    }
}

fn hashes_of(mut reader: Reader, seen: &dyn Fn(u64)) -> Result<Hashes, CodecError> {
    let mut hashes = Hashes::new();
    let mut buf = vec![0_u8; 256 << 10];
    loop {
        match reader.read(&mut buf) {
            Ok(0) => return Ok(hashes),
            Ok(n) => {
                hashes.update(&buf[..n]);
                seen(n as u64);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Hashes what is read of the stored file.
struct Tee {
    inner: Reader,
    hashes: Arc<Mutex<Hashes>>,
}

impl Read for Tee {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).update(&buf[..n]);
        Ok(n)
    }
}

/// Hashes the content and remembers its ends.
struct Content<'a, R> {
    inner: R,
    blake3: blake3::Hasher,
    size_bytes: u64,
    ends: Ends,
    seen: &'a (dyn Fn(u64) + Sync),
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.blake3.update(&buf[..n]);
        self.size_bytes += n as u64;
        self.ends.update(&buf[..n]);
        (self.seen)(n as u64);
        Ok(n)
    }
}

fn check_content(
    inner: impl Read,
    entry: &FileEntry,
    scratch_dir: &Path,
    seen: &(dyn Fn(u64) + Sync),
) -> Result<Option<String>, CodecError> {
    let mut content =
        Content { inner, blake3: blake3::Hasher::new(), size_bytes: 0, ends: Ends::default(), seen };
    if let Some(want) = &entry.tree {
        let inspected =
            Inspector::new(&mut content, &inspect_options(scratch_dir)).and_then(|i| i.finish(None));
        match inspected {
            Ok(found) if found.fingerprint == *want => {}
            Ok(found) => {
                return Ok(Some(format!(
                    "it holds {} files of {} bytes that are not the recorded ones",
                    found.fingerprint.files, found.fingerprint.total_bytes
                )));
            }
            Err(e) => return Err(archive_error(e)),
        }
    }
    let mut buf = vec![0_u8; 128 << 10];
    loop {
        match content.read(&mut buf) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    if let Some(want) = &entry.plain {
        if content.size_bytes != want.size_bytes {
            return Ok(Some(format!(
                "its content has {} bytes instead of {}",
                content.size_bytes, want.size_bytes
            )));
        }
        if content.blake3.finalize().to_hex().as_str() != want.blake3 {
            return Ok(Some("its content's checksum differs".to_owned()));
        }
    }
    if entry.kind == FileKind::Database {
        return Ok(content.ends.damage(entry.engine, content.size_bytes));
    }
    Ok(None)
}

/// How the tars of sets are inspected: links that lead outside are kept, as they were found.
#[must_use]
pub fn inspect_options(scratch_dir: &Path) -> InspectOptions {
    InspectOptions { links_outside: LinksOutside::Keep, ..InspectOptions::new(scratch_dir) }
}

/// What an archive's error means: one of reading is that of what is read.
#[must_use]
pub fn archive_error(e: ArchiveError) -> CodecError {
    match e {
        ArchiveError::Io { source, .. } => CodecError::from(source),
        other => CodecError::Damaged(other.to_string()),
    }
}

/// A small tar of files that are in memory: name, content, permission bits.
pub fn tar_of(files: &[(String, Vec<u8>, u32)]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        tar.append_data(&mut header, name, content.as_slice())?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sets() {
        for (name, want) in [
            ("inventree-20260301-101500-3f2a", true),
            ("my-app-2-20260301-101500-3f2a", true),
            ("20260301-101500-3f2a", false),
            ("lost+found", false),
            ("-20260301-101500-3f2a", false),
            ("inventree-2026031-101500-3f2a", false),
            ("inventree-20260301-101500-3f2x", false),
        ] {
            assert_eq!(is_set_name(name), want, "{name}");
        }
    }
}
