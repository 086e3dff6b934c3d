//! Gzip on several cores, as one member.
//!
//! The input is cut into blocks; each is deflated by itself up to a byte border (a sync flush) and they are written
//! one after another, as pigz does. One member, and not many: some readers stop after the first without a word.
//! The same bytes give the same file, whatever the number of threads.
//!
//! The gzp crate does the same, but a writer of it that is dropped half way writes a proper trailer, and a backup
//! that was broken off would look whole.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::{Compress, Crc, FlushCompress};

/// Large enough that starting without a dictionary costs well under one per cent.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that a worker holds: one at work, one waiting.
const BLOCKS_PER_WORKER: usize = 2;
/// Deflate, no flags, no time, no hint, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty final block with fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

struct Deflated {
    bytes: Vec<u8>,
    crc: Crc,
}

struct Worker {
    jobs: SyncSender<Vec<u8>>,
    done: Receiver<io::Result<Deflated>>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(level: u32) -> io::Result<Self> {
        let (jobs, todo) = sync_channel::<Vec<u8>>(BLOCKS_PER_WORKER);
        let (results, done) = sync_channel(BLOCKS_PER_WORKER);
        let thread = std::thread::Builder::new().name("gzip".into()).spawn(move || {
            let mut compress = Compress::new(flate2::Compression::new(level), false);
            while let Ok(block) = todo.recv() {
                if results.send(deflate(&mut compress, &block)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Worker { jobs, done, thread })
    }
}

fn deflate(compress: &mut Compress, block: &[u8]) -> io::Result<Deflated> {
    compress.reset();
    let mut crc = Crc::new();
    crc.update(block);
    let mut bytes = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let taken = compress.total_in() as usize;
        compress.compress_vec(&block[taken..], &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
        // Room left over means that the flush came to its end.
        if compress.total_in() as usize == block.len() && bytes.len() < bytes.capacity() {
            return Ok(Deflated { bytes, crc });
        }
        bytes.reserve(block.len() / 2 + 1024);
    }
}

/// Writes one gzip member. Without [`GzipWriter::finish`] there is no trailer, and every reader refuses the file.
pub(super) struct GzipWriter<W> {
    out: W,
    workers: Vec<Worker>,
    block: Vec<u8>,
    submitted: usize,
    written: usize,
    crc: Crc,
}

impl<W: Write> GzipWriter<W> {
    /// `level` is 1 to 9, `threads` at least 1.
    pub(super) fn new(mut out: W, level: u32, threads: usize) -> io::Result<Self> {
        let workers = (0..threads).map(|_| Worker::start(level)).collect::<io::Result<Vec<_>>>()?;
        out.write_all(&HEADER)?;
        Ok(GzipWriter { out, workers, block: Vec::new(), submitted: 0, written: 0, crc: Crc::new() })
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.submitted - self.written == self.workers.len() * BLOCKS_PER_WORKER {
            self.write_oldest()?;
        }
        // Turn by turn keeps the order without a queue of its own; blocks are alike, so nobody waits long.
        let worker = &self.workers[self.submitted % self.workers.len()];
        worker.jobs.send(std::mem::take(&mut self.block)).map_err(|_| stopped())?;
        self.submitted += 1;
        Ok(())
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let worker = &self.workers[self.written % self.workers.len()];
        let block = worker.done.recv().map_err(|_| stopped())??;
        self.written += 1;
        self.crc.combine(&block.crc);
        self.out.write_all(&block.bytes)
    }

    fn drain(&mut self) -> io::Result<()> {
        self.submit()?;
        while self.written < self.submitted {
            self.write_oldest()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.drain()?;
        for worker in self.workers.drain(..) {
            drop(worker.jobs);
            worker.thread.join().map_err(|_| stopped())?;
        }
        self.out.write_all(&LAST_BLOCK)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn stopped() -> io::Error {
    io::Error::other("a compression thread stopped")
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.block.capacity() == 0 {
            self.block.reserve_exact(BLOCK_BYTES);
        }
        let n = buf.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&buf[..n]);
        if self.block.len() == BLOCK_BYTES {
            self.submit()?;
        }
        Ok(n)
    }

    /// Ends a block early, which costs compression: for the end of something, not for every record.
    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.out.flush()
    }
}
