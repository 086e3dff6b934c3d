//! Comparing two entry lists line by line. Both are sorted, so nothing is held but one entry of each.

use std::cmp::Ordering;
use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind};
use super::error::{ArchiveError, Result};

/// Longest line that is read. A path of 4095 bytes in hexadecimal and many attributes fit.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything that an entry says.
    Everything,
    /// Everything but owner and group: for a tree that was restored without root.
    WithoutOwners,
    /// Names, contents and targets of files and links, directories left out: what an archive by django-dbbackup holds.
    Content,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path within the root, made printable.
    pub path: String,
    /// How, in words: left value, then right value.
    pub what: String,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Entries that were compared, on the left.
    pub left: u64,
    /// And on the right.
    pub right: u64,
    /// How many paths differ.
    pub differing: u64,
    /// The first of them, as many as were asked for.
    pub first: Vec<Difference>,
}

struct Lines<R> {
    reader: R,
    which: &'static str,
    line: u64,
    last: Option<Vec<u8>>,
    text: Vec<u8>,
    depth: Depth,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R, which: &'static str, depth: Depth) -> Self {
        Lines { reader, which, line: 0, last: None, text: Vec::new(), depth }
    }

    fn bad(&self, why: impl Into<String>) -> ArchiveError {
        ArchiveError::List { which: self.which, line: self.line, why: why.into() }
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            self.line += 1;
            self.text.clear();
            let n = (&mut self.reader)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut self.text)
                .map_err(|e| self.bad(e.to_string()))?;
            if n == 0 {
                return Ok(None);
            }
            if self.text.last() != Some(&b'\n') {
                return Err(self.bad("it is cut off, or longer than 1 MiB"));
            }
            let entry: Entry = serde_json::from_slice(&self.text).map_err(|e| self.bad(e.to_string()))?;
            if self.last.as_ref().is_some_and(|l| *l >= entry.path.0) {
                return Err(self.bad("the list is not sorted"));
            }
            self.last = Some(entry.path.0.clone());
            if self.depth != Depth::Content || entry.kind != Kind::Directory {
                return Ok(Some(entry));
            }
        }
    }
}

/// Compares two entry lists, and names the first `limit` paths that differ.
///
/// # Errors
/// If one is not a sorted list, or cannot be read.
pub fn compare(left: impl BufRead, right: impl BufRead, depth: Depth, limit: usize) -> Result<Comparison> {
    let (mut lefts, mut rights) = (Lines::new(left, "first", depth), Lines::new(right, "second", depth));
    let mut out = Comparison::default();
    let (mut a, mut b) = (lefts.next()?, rights.next()?);
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(out),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.path.cmp(&b.path),
        };
        let what = match (&a, &b) {
            (Some(a), Some(b)) if order == Ordering::Equal => difference(a, b, depth),
            _ if order == Ordering::Less => Some("only in the first".to_owned()),
            _ => Some("only in the second".to_owned()),
        };
        if let Some(what) = what {
            out.differing += 1;
            let entry = if order == Ordering::Greater { &b } else { &a };
            if let Some(entry) = entry.as_ref().filter(|_| out.first.len() < limit) {
                out.first.push(Difference { path: entry.path.to_string(), what });
            }
        }
        if order != Ordering::Greater {
            out.left += 1;
            a = lefts.next()?;
        }
        if order != Ordering::Less {
            out.right += 1;
            b = rights.next()?;
        }
    }
}

fn difference(a: &Entry, b: &Entry, depth: Depth) -> Option<String> {
    let mut parts = Vec::new();
    let mut put = |name: &str, a: String, b: String| {
        if a != b {
            parts.push(format!("{name} {a}, then {b}"));
        }
    };
    put("kind", format!("{:?}", a.kind), format!("{:?}", b.kind));
    put("size in bytes", a.size_bytes.to_string(), b.size_bytes.to_string());
    let target = |e: &Entry| e.target.as_ref().map(ToString::to_string).unwrap_or_default();
    put("target", target(a), target(b));
    if depth != Depth::Content {
        put("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode));
        let mtime = |e: &Entry| format!("{} s {} ns", e.mtime_s, e.mtime_ns);
        put("modification time", mtime(a), mtime(b));
    }
    if depth == Depth::Everything {
        put("owner", format!("{}:{}", a.uid, a.gid), format!("{}:{}", b.uid, b.gid));
    }
    if a.blake3 != b.blake3 {
        parts.push("content".to_owned());
    }
    if depth != Depth::Content && a.xattrs != b.xattrs {
        parts.push("extended attributes".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
