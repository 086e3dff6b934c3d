//! Records in an unlinked scratch file, read back by position or in order of their keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{ArchiveError, Result, io_error};

/// Bytes of records that are sorted in memory at once.
const CHUNK_BYTES: usize = 4 << 20;
/// Sorted files that are merged at once; more are merged into one before.
const RUNS_AT_ONCE: usize = 32;
const WRITE_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 8;

/// In which order the records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    file: File,
    /// What is not in the file yet.
    tail: Vec<u8>,
    flushed_bytes: u64,
}

fn failed(dir: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError + use<> {
    io_error(format!("cannot use a scratch file in {}", dir.display()))
}

impl Spool {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(dir).map_err(failed(dir))?;
        Ok(Spool { dir: dir.to_owned(), file, tail: Vec::with_capacity(WRITE_BYTES * 2), flushed_bytes: 0 })
    }

    /// Where the next record will be.
    pub(super) fn next_position(&self) -> u64 {
        self.flushed_bytes + self.tail.len() as u64
    }

    /// Appends a record and says where it is.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<u64> {
        let at = self.next_position();
        for part in [key, value] {
            let len = u32::try_from(part.len())
                .map_err(|_| ArchiveError::Place { what: "an entry is larger than 4 GiB".to_owned() })?;
            self.tail.extend_from_slice(&len.to_le_bytes());
        }
        self.tail.extend_from_slice(key);
        self.tail.extend_from_slice(value);
        if self.tail.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(at)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.tail).map_err(failed(&self.dir))?;
        self.flushed_bytes += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    /// The value of the record at a position that `push` gave.
    pub(super) fn value_at(&mut self, at: u64) -> Result<Vec<u8>> {
        self.flush()?;
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact_at(&mut head, at).map_err(failed(&self.dir))?;
        let (key, value) = lengths(head);
        let mut out = vec![0; value];
        self.file.read_exact_at(&mut out, at + (HEAD_BYTES + key) as u64).map_err(failed(&self.dir))?;
        Ok(out)
    }

    /// Hands over every record in order of the keys.
    pub(super) fn sorted(
        &mut self,
        order: Order,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut reader = self.reader()?;
        let mut runs: Vec<Spool> = Vec::new();
        let mut chunk = Vec::new();
        let mut chunk_bytes = 0;
        let mut record = Record::default();
        while record.read(&mut reader).map_err(failed(&self.dir))? {
            chunk_bytes += record.key.len() + record.value.len() + size_of::<Record>();
            chunk.push(std::mem::take(&mut record));
            if chunk_bytes >= CHUNK_BYTES {
                runs.push(self.run(&mut chunk, order)?);
                chunk_bytes = 0;
                if runs.len() == RUNS_AT_ONCE {
                    let mut merged = Spool::create(&self.dir)?;
                    merge(&mut runs, order, |k, v| merged.push(k, v).map(|_| ()))?;
                    runs = vec![merged];
                }
            }
        }
        drop(reader);
        if runs.is_empty() {
            sort(&mut chunk, order);
            return chunk.iter().try_for_each(|r| each(&r.key, &r.value));
        }
        runs.push(self.run(&mut chunk, order)?);
        merge(&mut runs, order, each)
    }

    fn run(&self, chunk: &mut Vec<Record>, order: Order) -> Result<Spool> {
        sort(chunk, order);
        let mut run = Spool::create(&self.dir)?;
        for r in chunk.drain(..) {
            run.push(&r.key, &r.value)?;
        }
        Ok(run)
    }

    fn reader(&mut self) -> Result<BufReader<std::io::Take<File>>> {
        self.flush()?;
        // The clone shares its position with the file: nothing is pushed while a reader lives, and the position is
        // put back to the end by what was read, which is all.
        let mut file = self.file.try_clone().map_err(failed(&self.dir))?;
        file.seek(SeekFrom::Start(0)).map_err(failed(&self.dir))?;
        Ok(BufReader::with_capacity(WRITE_BYTES, file.take(self.flushed_bytes)))
    }
}

fn lengths(head: [u8; HEAD_BYTES]) -> (usize, usize) {
    let [a, b, c, d, e, f, g, h] = head;
    (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize)
}

#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Record {
    fn read(&mut self, from: &mut impl Read) -> std::io::Result<bool> {
        let mut head = [0; HEAD_BYTES];
        if from.read(&mut head[..1])? == 0 {
            return Ok(false);
        }
        from.read_exact(&mut head[1..])?;
        let (key, value) = lengths(head);
        self.key.resize(key, 0);
        self.value.resize(value, 0);
        from.read_exact(&mut self.key)?;
        from.read_exact(&mut self.value)?;
        Ok(true)
    }
}

fn sort(chunk: &mut [Record], order: Order) {
    match order {
        Order::Ascending => chunk.sort_unstable(),
        Order::Descending => chunk.sort_unstable_by(|a, b| b.cmp(a)),
    }
}

/// A record under merge: the heap gives its largest, so ascending order wants them turned round.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Ascending(Reverse<Record>, usize),
    Descending(Record, usize),
}

fn merge(runs: &mut [Spool], order: Order, mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let wrap = |r: Record, i: usize| match order {
        Order::Ascending => Next::Ascending(Reverse(r), i),
        Order::Descending => Next::Descending(r, i),
    };
    let mut readers = Vec::with_capacity(runs.len());
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for (i, run) in runs.iter_mut().enumerate() {
        let mut reader = run.reader()?;
        let mut record = Record::default();
        if record.read(&mut reader).map_err(failed(&run.dir))? {
            heap.push(wrap(record, i));
        }
        readers.push(reader);
    }
    while let Some(Next::Ascending(Reverse(mut record), i) | Next::Descending(mut record, i)) = heap.pop() {
        each(&record.key, &record.value)?;
        if record.read(&mut readers[i]).map_err(failed(&runs[i].dir))? {
            heap.push(wrap(record, i));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_records_come_in_order_and_by_position() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut spool = Spool::create(dir.path()).expect("spool");
        // Enough for more runs than are merged at once: about 1 KiB each.
        let count = RUNS_AT_ONCE as u32 * 2 * (CHUNK_BYTES as u32 / 1024);
        let value = vec![7_u8; 960];
        let mut middle = 0;
        for i in 0..count {
            let key = i.wrapping_mul(2_654_435_761).to_be_bytes();
            let at = spool.push(&key, &value[..(i % 960) as usize]).expect("pushed");
            if i == count / 2 {
                middle = at;
            }
        }
        assert_eq!(spool.value_at(middle).expect("read").len(), (count / 2 % 960) as usize);
        let mut last: Option<Vec<u8>> = None;
        let mut seen = 0;
        spool
            .sorted(Order::Ascending, |k, _| {
                assert!(last.as_deref().is_none_or(|l| l < k));
                last = Some(k.to_vec());
                seen += 1;
                Ok(())
            })
            .expect("sorted");
        assert_eq!(seen, count);
        let mut seen = 0;
        spool
            .sorted(Order::Descending, |k, _| {
                assert!(seen == 0 || last.as_deref().is_some_and(|l| l > k));
                last = Some(k.to_vec());
                seen += 1;
                Ok(())
            })
            .expect("sorted");
        assert_eq!(seen, count);
    }
}
