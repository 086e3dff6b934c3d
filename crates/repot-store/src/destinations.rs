//! Where the copies of a set go: one storage, or several at once.
//!
//! Invariant: a set that is called done is whole on every storage that is required. One that is not required and fails
//! is left out from then on, said so, and never has a manifest.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::set::MANIFEST_NAME;
use crate::storage::{Storage, StorageError, Writer};

/// One storage of several.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its name in the configuration, or its address.
    pub name: String,
    /// The storage.
    pub storage: Storage,
    /// Whether a set is done without it.
    pub required: bool,
}

/// All storages that a set is written to. Clones share what is known of failed ones.
#[derive(Debug, Clone)]
pub struct Destinations {
    all: Arc<[Destination]>,
    lost: Arc<Mutex<BTreeMap<usize, String>>>,
}

impl Destinations {
    /// These storages, of which at least one must be required: else a set could be done that is nowhere.
    pub fn new(all: Vec<Destination>) -> Result<Self, StorageError> {
        if !all.iter().any(|d| d.required) {
            return Err(StorageError::Config(
                "none of the storages is required, so a backup could succeed without being anywhere: let at least one be `required = true`".to_owned(),
            ));
        }
        Ok(Destinations { all: all.into(), lost: Arc::default() })
    }

    /// One storage.
    #[must_use]
    pub fn one(storage: Storage) -> Self {
        let name = storage.describe().to_owned();
        Destinations { all: [Destination { name, storage, required: true }].into(), lost: Arc::default() }
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that have not failed.
    pub fn alive(&self) -> impl Iterator<Item = &Destination> {
        let lost: Vec<usize> = self.lost().keys().copied().collect();
        self.all.iter().enumerate().filter(move |(i, _)| !lost.contains(i)).map(|(_, d)| d)
    }

    /// Those that failed and are not required, with the reason.
    #[must_use]
    pub fn failed(&self) -> Vec<(String, String)> {
        self.lost().iter().map(|(i, why)| (self.all[*i].name.clone(), why.clone())).collect()
    }

    /// Takes an error of the `i`th: an error still where it is required, and known where it is not.
    fn bear(&self, i: usize, e: StorageError) -> Result<(), StorageError> {
        if self.all[i].required {
            return Err(e);
        }
        self.lost().entry(i).or_insert_with(|| e.to_string());
        Ok(())
    }

    /// Does something with each that has not failed.
    fn each<T>(
        &self,
        act: impl Fn(&Storage) -> Result<T, StorageError>,
    ) -> Result<Vec<(usize, T)>, StorageError> {
        let mut done = Vec::new();
        for (i, d) in self.all.iter().enumerate() {
            if self.lost().contains_key(&i) {
                continue;
            }
            match act(&d.storage) {
                Ok(t) => done.push((i, t)),
                Err(e) => self.bear(i, e)?,
            }
        }
        Ok(done)
    }

    /// Writes, reads and deletes a small file on each: says early what would fail late.
    pub fn check(&self) -> Result<(), StorageError> {
        self.each(Storage::check).map(drop)
    }

    /// Writes a file of this name to all of them.
    pub fn writer(&self, name: &str) -> Result<Copies, StorageError> {
        let outs = self.each(|s| s.writer(name))?;
        Ok(Copies { to: self.clone(), outs, size_bytes: 0 })
    }

    /// Says which files of the storages' roots are a set's ([`crate::beside::announce`]).
    pub fn announce(&self, set: &str, names: &[String]) -> Result<(), StorageError> {
        self.each(|s| crate::beside::announce(s, set, names)).map(drop)
    }

    /// Removes a set from all of them, as far as that can be done, those that failed included.
    pub fn remove_set(&self, set: &str) -> Result<(), StorageError> {
        let mut first = Ok(());
        for d in self.all.iter() {
            let removed = remove_set(&d.storage, set);
            if first.is_ok() {
                first = removed;
            }
        }
        first
    }

    /// Removes a set from those that failed: what is there is not complete and never will be.
    pub fn remove_from_failed(&self, set: &str) {
        for i in self.lost().keys() {
            // It failed before, so this may fail too; without a manifest it counts for nothing.
            let _ = remove_set(&self.all[*i].storage, set);
        }
    }
}

/// Removes a set: its manifest first, so that what is left after a failure is an incomplete set.
pub fn remove_set(storage: &Storage, set: &str) -> Result<(), StorageError> {
    storage.delete(&format!("{set}/{MANIFEST_NAME}"))?;
    // Those in the storage's root next, while it is known whose they are.
    let mine = crate::beside::beside(storage, set)?;
    let others = if mine.is_empty() { Vec::new() } else { crate::beside::claimed(storage, set)? };
    for name in mine.iter().filter(|n| !others.contains(n)) {
        storage.delete(name)?;
    }
    storage.remove_dir(set)
}

/// One file on its way to several storages. Dropped before [`Copies::finish`], it leaves nothing.
pub struct Copies {
    to: Destinations,
    outs: Vec<(usize, Writer)>,
    size_bytes: u64,
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copies").field("storages", &self.outs.len()).finish_non_exhaustive()
    }
}

impl Copies {
    /// Gives the file its name everywhere; its size.
    pub fn finish(self) -> Result<u64, StorageError> {
        for (i, out) in self.outs {
            match out.finish() {
                Ok(n) => debug_assert_eq!(n, self.size_bytes),
                Err(e) => self.to.bear(i, e)?,
            }
        }
        Ok(self.size_bytes)
    }
}

impl Write for Copies {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut kept = Vec::with_capacity(self.outs.len());
        for (i, mut out) in std::mem::take(&mut self.outs) {
            match out.write_all(buf) {
                Ok(()) => kept.push((i, out)),
                Err(e) => {
                    let e =
                        e.downcast::<StorageError>().unwrap_or_else(|e| StorageError::Config(e.to_string()));
                    self.to.bear(i, e).map_err(io::Error::other)?;
                }
            }
        }
        self.outs = kept;
        self.size_bytes += buf.len() as u64;
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageConfig;

    fn local(dir: &std::path::Path) -> Storage {
        Storage::open(&StorageConfig::parse(&dir.display().to_string()).expect("path")).expect("opens")
    }

    #[test]
    fn a_set_of_which_nobody_needs_a_copy_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let d = Destination { name: "a".into(), storage: local(dir.path()), required: false };
        assert!(Destinations::new(vec![d]).is_err());
    }

    #[cfg(feature = "faults")]
    #[test]
    fn one_that_fails_is_left_out_unless_it_is_required() {
        use crate::storage::{Call, Fault, Faults};
        for call in [Call::Begin, Call::Part, Call::Finish, Call::Rename] {
            for required in [false, true] {
                let (a, b) = (tempfile::tempdir().expect("tempdir"), tempfile::tempdir().expect("tempdir"));
                let faulty = local(b.path()).with_faults(Faults::none().at(call, 1, Fault::Fails));
                let all = Destinations::new(vec![
                    Destination { name: "bad".into(), storage: faulty, required },
                    Destination { name: "good".into(), storage: local(a.path()), required: true },
                ])
                .expect("one is required");
                let wrote = all.writer("set/x").and_then(|mut w| {
                    w.write_all(&vec![7; 20 << 20])
                        .map_err(|e| e.downcast::<StorageError>().expect("a storage's"))?;
                    w.finish()
                });
                assert_eq!(wrote.is_err(), required, "{call:?}: {wrote:?}");
                assert_eq!(all.failed().len(), usize::from(!required), "{call:?}");
                assert_eq!(all.alive().count(), if required { 2 } else { 1 });
                assert_eq!(
                    a.path().join("set/x").exists(),
                    !required,
                    "{call:?}: nothing looks finished after a failure"
                );
                assert!(!b.path().join("set/x").exists(), "{call:?}");
                all.remove_set("set").expect("is removed");
                assert!(!a.path().join("set").exists());
            }
        }
    }
}
