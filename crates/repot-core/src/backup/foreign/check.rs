//! Checking a file that has no checksum: its layers to their ends, and what its own format lets one tell.

use std::io::Read;
use std::path::Path;

use repot_store::archive::Inspector;
use repot_store::codec::{Cipher, CodecError, Compression, Keys, Layers};
use repot_store::dbbackup::naming::{Content, DumpFormat, Wrapping};
use repot_store::dbbackup::shelf::Shelved;
use repot_store::storage::Storage;
use repot_store::stored::{Level, archive_error, inspect_options};
use serde::Serialize;

use super::super::{codec_error, storage_error};
use super::dump_words;
use crate::error::Result;
use crate::interrupt;
use crate::progress::{Event, Observer, human_bytes};

/// What every archive of pg_dump's custom format begins with.
const PG_MAGIC: &[u8] = b"PGDMP";
/// What every SQLite database begins with (sqlite.org/fileformat2.html).
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// The last words of what pg_dump writes as SQL; `\unrestrict` may follow (13.22, 17.6 and later).
const PG_SQL_END: &str = "-- PostgreSQL database dump complete";
/// Bytes of the content's head and tail that are kept.
const HEAD_BYTES: usize = 100;
const TAIL_BYTES: usize = 2048;

/// What was found of one file.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The file.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// What is proved, in words.
    pub proved: Vec<String>,
    /// What cannot be proved, in words.
    pub unproved: Vec<String>,
}

/// The layers that a name speaks of.
pub(super) fn layers(wrapping: Wrapping) -> Layers {
    Layers {
        compression: if wrapping.compressed { Compression::Gzip } else { Compression::None },
        cipher: if wrapping.encrypted { Cipher::OpenPgp } else { Cipher::None },
    }
}

/// Opens a file's content.
pub(super) fn read(storage: &Storage, s: &Shelved, keys: &Keys) -> Result<impl Read + Send + use<>> {
    let stored = storage.reader(&s.file.name).map_err(|e| storage_error(&e))?;
    layers(s.file.wrapping).reader(stored, keys).map_err(|e| codec_error(&s.file.name, e))
}

/// Checks a file.
pub fn check(
    storage: &Storage,
    s: &Shelved,
    level: Level,
    keys: &Keys,
    scratch_dir: &Path,
    observer: &dyn Observer,
) -> Result<Checked> {
    let name = &s.file.name;
    let mut c = Checked {
        file: name.clone(),
        size_bytes: s.size_bytes,
        damage: None,
        proved: Vec::new(),
        unproved: Vec::new(),
    };
    if s.size_bytes == 0 {
        c.damage = Some("it is empty".to_owned());
        return Ok(c);
    }
    if level == Level::Files {
        c.proved.push("it is there".to_owned());
        c.unproved.push("anything of its content: django-dbbackup records no checksum".to_owned());
        return Ok(c);
    }
    let from = match read(storage, s, keys) {
        Ok(r) => r,
        Err(e) if e.code == "set-damaged" => {
            c.damage = Some(e.what);
            return Ok(c);
        }
        Err(e) => return Err(e),
    };
    let mut watch = Watch { from, name, bytes: 0, head: Vec::new(), tail: Vec::new(), observer };
    match content(&mut watch, s, scratch_dir, &mut c) {
        Ok(()) => {}
        Err(e @ (CodecError::Io(_) | CodecError::WrongKey | CodecError::Outside(_))) => {
            return Err(codec_error(name, e));
        }
        Err(e) => c.damage = Some(e.to_string()),
    }
    interrupt::check()?;
    if c.proved.is_empty() {
        c.proved.push("it can be read to its end".to_owned());
    }
    if s.file.wrapping.encrypted && c.damage.is_none() {
        c.proved.insert(0, "decrypted, and not tampered with since".to_owned());
    }
    if s.file.wrapping.compressed && c.damage.is_none() {
        c.proved.insert(0, "decompressed to the end, gzip's checksum is right".to_owned());
    }
    if let Some(why) = s.sidecar_damage.as_ref().filter(|_| c.damage.is_none()) {
        c.damage = Some(format!("the file is good, its sidecar is not: {why}"));
    }
    Ok(c)
}

/// Reads all of the content and judges it.
fn content<R: Read>(
    watch: &mut Watch<'_, R>,
    s: &Shelved,
    scratch_dir: &Path,
    c: &mut Checked,
) -> std::result::Result<(), CodecError> {
    if s.file.content == Content::Media {
        let inspected = Inspector::new(&mut *watch, &inspect_options(scratch_dir))
            .and_then(|i| i.finish(None))
            .map_err(archive_error)?;
        drain(watch)?;
        c.proved.push(format!(
            "every member of the tar read: {} files, {}",
            inspected.fingerprint.files,
            human_bytes(inspected.fingerprint.total_bytes)
        ));
        c.unproved.push(format!(
            "that each file is what it was{}, and that none is missing",
            if s.file.wrapping.compressed || s.file.wrapping.encrypted {
                " before it was packed"
            } else {
                ""
            }
        ));
        return Ok(());
    }
    drain(watch)?;
    let Content::Database(format) = &s.file.content else { return Ok(()) };
    let (head, tail) = (watch.head.as_slice(), String::from_utf8_lossy(&watch.tail));
    let text_ends = |end: &str| tail.lines().rev().take(8).any(|l| l.trim() == end || l.starts_with(end));
    let damage = match format {
        DumpFormat::PgCustom if !head.starts_with(PG_MAGIC) => Some("it is no archive of pg_dump"),
        DumpFormat::PgCustom => {
            c.proved.push("it begins as an archive of pg_dump".to_owned());
            let whole = s.file.wrapping.compressed || s.file.wrapping.encrypted;
            c.unproved.push(if whole {
                "that a server takes it: only a restore does".to_owned()
            } else {
                "that it is whole, and that a server takes it: only a restore does".to_owned()
            });
            None
        }
        DumpFormat::PgSql if !text_ends(PG_SQL_END) => {
            Some("its end is missing: pg_dump's last line is not there")
        }
        DumpFormat::PgSql => {
            c.proved.push("it is whole from pg_dump's first line to its last".to_owned());
            c.unproved.push("that nothing between was changed, and that a server takes it".to_owned());
            None
        }
        DumpFormat::Sqlite if !head.starts_with(SQLITE_MAGIC) => Some("it is no SQLite database"),
        DumpFormat::Dump | DumpFormat::Sqlite if head.starts_with(SQLITE_MAGIC) => match sqlite_bytes(head) {
            Some(want) if want > watch.bytes => Some("it is shorter than its own header says"),
            _ => {
                c.proved.push("it is an SQLite database of the length that its header says".to_owned());
                c.unproved.push("its pages: `sqlite3 FILE 'PRAGMA integrity_check'` reads them".to_owned());
                None
            }
        },
        DumpFormat::Dump
            if head.starts_with(b"-- MySQL dump") || head.windows(10).any(|w| w == b"MariaDB du") =>
        {
            if text_ends("-- Dump completed") {
                c.proved.push("it is whole from mysqldump's first line to its last".to_owned());
                None
            } else {
                Some("its end is missing: mysqldump's last line is not there")
            }
        }
        // SQL of SQLite by django-dbbackup: statements, and nothing that says which is the last.
        DumpFormat::Dump if head.starts_with(b"CREATE TABLE") => {
            if tail.ends_with(";\n") {
                c.proved.push("its last statement has its end".to_owned());
                c.unproved.push("that it is whole: such SQL of SQLite has no last line".to_owned());
                None
            } else {
                Some("it ends in the middle of a statement")
            }
        }
        DumpFormat::Json if !head.starts_with(b"[") || !tail.trim_end().ends_with(']') => {
            Some("it is no whole dumpdata: a list begins and ends with brackets")
        }
        other => {
            c.unproved.push(format!("that it is {}", dump_words(other)));
            None
        }
    };
    c.damage = damage.map(str::to_owned);
    Ok(())
}

/// Length of an SQLite database by its header: page size and number of pages, which counts where the two change
/// counters agree.
fn sqlite_bytes(head: &[u8]) -> Option<u64> {
    let number = |at: usize| head.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let page = match u16::from_be_bytes([*head.get(16)?, *head.get(17)?]) {
        1 => 65_536,
        n => u64::from(n),
    };
    (number(24)? == number(92)?).then_some(u64::from(number(28)?) * page)
}

fn drain(from: &mut impl Read) -> std::result::Result<(), CodecError> {
    let mut buf = vec![0_u8; 128 << 10];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Remembers head and tail of what goes through.
struct Watch<'a, R> {
    from: R,
    name: &'a str,
    bytes: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    observer: &'a dyn Observer,
}

impl<R: Read> Read for Watch<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buf)?;
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(n);
        self.head.extend_from_slice(&buf[..wanted]);
        self.tail.extend_from_slice(&buf[n.saturating_sub(TAIL_BYTES)..n]);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        self.bytes += n as u64;
        let what = format!("checking {}, {}", self.name, human_bytes(self.bytes));
        self.observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_sqlite_database() {
        let mut head = vec![0_u8; 100];
        head[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        head[28..32].copy_from_slice(&7_u32.to_be_bytes());
        assert_eq!(sqlite_bytes(&head), Some(7 * 4096));
        head[24] = 1;
        assert_eq!(sqlite_bytes(&head), None, "the number of pages is out of date");
        head[92] = 1;
        head[16..18].copy_from_slice(&1_u16.to_be_bytes());
        assert_eq!(sqlite_bytes(&head), Some(7 * 65_536));
        assert_eq!(sqlite_bytes(&head[..50]), None);
    }
}
