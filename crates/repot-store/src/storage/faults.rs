//! A storage that fails when told to, for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::backend::{Backend, Publish, Upload};
use super::error::{Refuser, Sort};
use super::{Entry, StorageError};

/// Calls that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A listing.
    List,
    /// Size and time of a file.
    Stat,
    /// The beginning of a read.
    Open,
    /// The beginning of an upload.
    Begin,
    /// One part of an upload.
    Part,
    /// The end of an upload.
    Finish,
    /// The rename that gives a file its name.
    Rename,
    /// A deletion.
    Delete,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails, and nothing is done.
    Fails,
    /// The call is done, and its answer is lost.
    AnswerLost,
    /// It takes this long.
    Stalls(Duration),
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    calls: BTreeMap<(Call, u64), Fault>,
    cut_at: Option<u64>,
    flip_at: Option<(u64, u8)>,
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Faults::default()
    }
    /// The `nth` call of this kind (the first is 1) has this fault.
    #[must_use]
    pub fn at(mut self, call: Call, nth: u64, fault: Fault) -> Self {
        self.calls.insert((call, nth), fault);
        self
    }
    /// Every read ends after so many bytes, as if the file did.
    #[must_use]
    pub fn cut_reads_at(mut self, offset_bytes: u64) -> Self {
        self.cut_at = Some(offset_bytes);
        self
    }
    /// Every read has one bit flipped.
    #[must_use]
    pub fn flip_reads_at(mut self, offset_bytes: u64, bit: u8) -> Self {
        self.flip_at = Some((offset_bytes, bit));
        self
    }
}

/// Counts calls and lets them fail.
#[derive(Debug)]
struct Plan {
    faults: Faults,
    counts: Mutex<BTreeMap<Call, u64>>,
    refuser: Refuser,
}

impl Plan {
    fn run<T>(
        &self,
        call: Call,
        what: &str,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let nth = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let n = counts.entry(call).or_default();
            *n += 1;
            *n
        };
        let fail = || self.refuser.refuse(Sort::Unreachable, what, format!("fault: {call:?} {nth}"));
        match self.faults.calls.get(&(call, nth)) {
            None => act(),
            Some(Fault::Fails) => Err(fail()),
            Some(Fault::AnswerLost) => act().and_then(|_| Err(fail())),
            Some(Fault::Stalls(time)) => {
                std::thread::sleep(*time);
                act()
            }
        }
    }
}

pub(crate) struct Faulty {
    inner: Arc<dyn Backend>,
    plan: Arc<Plan>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Backend>, faults: Faults, refuser: Refuser) -> Self {
        Faulty { inner, plan: Arc::new(Plan { faults, counts: Mutex::default(), refuser }) }
    }
}

impl Backend for Faulty {
    fn publish(&self) -> Publish {
        self.inner.publish()
    }
    fn largest(&self) -> (Option<u64>, Option<u64>) {
        self.inner.largest()
    }
    fn list(&self, dir: &str, max: usize) -> Result<Vec<Entry>, StorageError> {
        self.plan.run(Call::List, "list", || self.inner.list(dir, max))
    }
    fn stat(&self, name: &str) -> Result<Entry, StorageError> {
        self.plan.run(Call::Stat, "look", || self.inner.stat(name))
    }
    fn read(&self, name: &str, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        let inner = self.plan.run(Call::Open, "read", || self.inner.read(name, offset, length))?;
        Ok(Box::new(FaultyRead { inner, at: offset, faults: self.plan.faults.clone() }))
    }
    fn write(&self, name: &str, part_bytes: usize) -> Result<Box<dyn Upload>, StorageError> {
        let inner = self.plan.run(Call::Begin, "begin", || self.inner.write(name, part_bytes))?;
        Ok(Box::new(FaultyUpload { inner, plan: self.plan.clone() }))
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.plan.run(Call::Rename, "rename", || self.inner.rename(from, to))
    }
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.plan.run(Call::Delete, "delete", || self.inner.delete(name))
    }
    fn remove_empty_dirs(&self, dir: &str) -> Result<(), StorageError> {
        self.inner.remove_empty_dirs(dir)
    }
}

struct FaultyRead {
    inner: Box<dyn Read + Send>,
    at: u64,
    faults: Faults,
}

impl Read for FaultyRead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.faults.cut_at.map_or(u64::MAX, |cut| cut.saturating_sub(self.at));
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(&mut buf[..most])?;
        if let Some((offset, bit)) = self.faults.flip_at
            && let Some(i) = offset.checked_sub(self.at)
            && let Some(byte) = usize::try_from(i).ok().and_then(|i| buf[..n].get_mut(i))
        {
            *byte ^= 1 << (bit % 8);
        }
        self.at += n as u64;
        Ok(n)
    }
}

struct FaultyUpload {
    inner: Box<dyn Upload>,
    plan: Arc<Plan>,
}

impl Upload for FaultyUpload {
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError> {
        let (inner, plan) = (&mut self.inner, &self.plan);
        plan.run(Call::Part, "write a part", || inner.part(part))
    }
    fn finish(&mut self) -> Result<(), StorageError> {
        let (inner, plan) = (&mut self.inner, &self.plan);
        plan.run(Call::Finish, "finish", || inner.finish())
    }
    fn abort(&mut self) {
        self.inner.abort();
    }
}
