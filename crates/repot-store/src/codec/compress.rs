//! Gzip and zstd streams that gzip, zstd and Python's gzip module read, and that never end short without an error.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZero;

use flate2::bufread::MultiGzDecoder;
use zstd::zstd_safe::{CParameter, DParameter};

use super::CodecError;
use super::gzip::GzipWriter;
use super::source::{Guarded, Latch, Source};

/// More threads than this give little and cost memory: a gzip thread holds about 4 MiB, a zstd thread about 16 MiB.
const MAX_THREADS: usize = 8;
const READ_BUFFER_BYTES: usize = 128 << 10;
/// What a zstd thread works on at a time. Fixed, so that the file does not depend on the number of threads.
const ZSTD_JOB_BYTES: u32 = 4 << 20;
/// Windows up to 128 MiB are accepted, as the zstd command does without `--long`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a backup file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all, for files that are compressed already.
    None,
    /// One gzip member, written on several cores.
    Gzip,
    /// One zstd frame with a checksum, written on several cores.
    #[default]
    Zstd,
}

/// How much effort goes into compressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Gzip: 1 to 9, by default 6. Zstd: 1 to 19, by default 3.
    pub level: Option<u8>,
    /// Threads, by default one for each core; at most 8, and fewer for zstd's slowest levels, which need much memory.
    pub threads: Option<NonZero<usize>>,
}

impl Compression {
    /// What names of such files end in, with the dot; empty for none.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// What a file that starts with these bytes (4 are enough) looks like. A damaged start looks like
    /// [`Compression::None`]: where a name or a manifest says how a file is compressed, believe that instead.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 8, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame: pzstd's files start with one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// Compresses what is written into `out`. Without [`Compressor::finish`] the file is refused by every reader.
    pub fn writer<W: Write>(self, out: W, effort: Effort) -> Result<Compressor<W>, CodecError> {
        let threads = effort
            .threads
            .map_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get), NonZero::get)
            .min(MAX_THREADS);
        let inner = match self {
            Compression::None => Writer::Plain(out),
            Compression::Gzip => {
                let level = checked_level(effort.level, 6, 9, "gzip")?;
                Writer::Gzip(GzipWriter::new(out, level.into(), threads)?)
            }
            Compression::Zstd => {
                let level = checked_level(effort.level, 3, 19, "zstd")?;
                // The match finders of the slow levels take from 30 to 90 MiB each.
                let threads = match level {
                    0..=9 => threads,
                    10..=15 => threads.min(4),
                    _ => threads.min(2),
                };
                let mut encoder = zstd::Encoder::new(out, level.into())?;
                encoder.include_checksum(true)?;
                encoder.multithread(threads as u32)?;
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB_BYTES))?;
                Writer::Zstd(encoder)
            }
        };
        Ok(Compressor { inner, broken: false })
    }

    /// Reads what was compressed this way.
    ///
    /// Gzip checks the CRC and the length at the end of each member, zstd a checksum at the end of each frame if
    /// there is one (files of [`Compression::writer`] and of the zstd command have it). Data is handed out before
    /// that check, so the end of the file is what proves it: `Ok(0)` comes only after every check has passed, and
    /// truncated files, damaged ones and ones with anything behind their end give an error instead. What neither
    /// format can show: that whole members or frames are missing at the end of a file that has several.
    pub fn reader<R: Read>(self, input: R) -> Result<Decompressor<R>, CodecError> {
        let (source, latch) = Source::new(input);
        let mut buffered = BufReader::with_capacity(READ_BUFFER_BYTES, source);
        let inner = match self {
            Compression::None => Reader::Plain(buffered),
            Compression::Gzip => {
                require_start(&mut buffered, &latch)?;
                Reader::Gzip(Box::new(MultiGzDecoder::new(buffered)))
            }
            Compression::Zstd => {
                require_start(&mut buffered, &latch)?;
                let mut decoder = zstd::Decoder::with_buffer(buffered)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                Reader::Zstd(decoder)
            }
        };
        Ok(Decompressor(Guarded::new(inner, latch)))
    }
}

fn checked_level(level: Option<u8>, default: u8, max: u8, format: &str) -> Result<u8, CodecError> {
    match level.unwrap_or(default) {
        level if (1..=max).contains(&level) => Ok(level),
        level => Err(CodecError::Unsupported(format!(
            "{format} has no compression level {level} here; choose one from 1 to {max}"
        ))),
    }
}

/// An empty file is no compressed file, though some decoders think so.
fn require_start<R: BufRead>(input: &mut R, latch: &Latch) -> Result<(), CodecError> {
    if input.fill_buf().map_err(|e| latch.judge(e))?.is_empty() { Err(CodecError::Truncated) } else { Ok(()) }
}

enum Writer<W: Write> {
    Plain(W),
    Gzip(GzipWriter<W>),
    Zstd(zstd::Encoder<'static, W>),
}

/// Compresses into a writer; see [`Compression::writer`].
pub struct Compressor<W: Write> {
    inner: Writer<W>,
    /// Something got lost on the way; what follows must not be given a proper end.
    broken: bool,
}

impl<W: Write> fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl<W: Write> Compressor<W> {
    /// Writes the end of the stream and flushes. Fails if any write before failed.
    pub fn finish(self) -> io::Result<W> {
        if self.broken {
            return Err(io::Error::other("a write failed before, so the file cannot be finished"));
        }
        match self.inner {
            Writer::Plain(mut out) => out.flush().map(|()| out),
            Writer::Gzip(gzip) => gzip.finish(),
            Writer::Zstd(zstd) => zstd.finish().and_then(|mut out| out.flush().map(|()| out)),
        }
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.broken |= matches!(&result, Err(e) if e.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = match &mut self.inner {
            Writer::Plain(out) => out.write(buf),
            Writer::Gzip(gzip) => gzip.write(buf),
            Writer::Zstd(zstd) => zstd.write(buf),
        };
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.inner {
            Writer::Plain(out) => out.flush(),
            Writer::Gzip(gzip) => gzip.flush(),
            Writer::Zstd(zstd) => zstd.flush(),
        };
        self.noted(flushed)
    }
}

enum Reader<R: Read> {
    Plain(BufReader<Source<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<Source<R>>>>),
    Zstd(zstd::Decoder<'static, BufReader<Source<R>>>),
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Reader::Plain(input) => input.read(buf),
            Reader::Gzip(gzip) => gzip.read(buf),
            Reader::Zstd(zstd) => zstd.read(buf).map_err(too_large_window),
        }
    }
}

/// Zstd's errors come as text only.
fn too_large_window(e: io::Error) -> io::Error {
    if e.to_string().contains("requires too much memory") {
        let what = "the zstd file was written with a window of more than 128 MiB; decompress it with \
                    `zstd -d --long=31` first";
        return CodecError::Unsupported(what.into()).into();
    }
    e
}

/// Decompresses from a reader; see [`Compression::reader`] for what it proves and when.
pub struct Decompressor<R: Read>(Guarded<Reader<R>>);

impl<R: Read> fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}
