//! What can be wrong with an archive, and what is merely worth a note.

use std::io;

use serde::{Deserialize, Serialize};

/// Why a member is refused. Stable: callers and tests tell the classes apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name begins with `/`.
    #[error("its name is absolute")]
    Absolute,
    /// The name has a `..`.
    #[error("its name has a `..`")]
    ParentReference,
    /// No name, or one with a NUL byte.
    #[error("its name is empty or has a NUL byte")]
    BadName,
    /// The name, or a part of it, is longer than a file system takes, or it lies too deep.
    #[error("its name is too long or too deep (4095 bytes, 255 a part, 256 parts)")]
    NameTooLong,
    /// A symbolic link that may lead outside.
    #[error("it is a symbolic link that may lead outside the archive")]
    LinkOutside,
    /// A hard link to something that no earlier member made.
    #[error("it is a hard link to what is not an earlier file of this archive")]
    HardLink,
    /// Device, fifo, socket, or a type that only other programs know.
    #[error("it is a device, a fifo or of an unknown type")]
    Special,
    /// Something above it is a link or a file.
    #[error("it lies below something that is not a directory")]
    BelowNonDirectory,
    /// The name came before, as a member or as a directory that an earlier member lies in.
    #[error("its name came before")]
    Twice,
    /// More members than the caller allows.
    #[error("it is one more than the limit of members")]
    TooMany,
    /// Holes that would take longer to write or read than the caller allows.
    #[error("its holes are larger than the limit")]
    HolesTooLarge,
}

/// What can go wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A member that must not be unpacked. Nothing of it was passed on or written.
    #[error(
        "the archive is refused: member `{member}` (its header is at byte {at_bytes}): {refusal}; do not unpack it with other tools either before you know where it comes from"
    )]
    Refused {
        /// Name of the member, made printable.
        member: String,
        /// Where its header begins.
        at_bytes: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The stream is not a whole, undamaged tar archive.
    #[error("the archive is damaged at byte {at_bytes}: {why}; use another copy of it")]
    Damaged {
        /// Where it was seen.
        at_bytes: u64,
        /// What was seen.
        why: String,
    },
    /// The stream ends before the archive does.
    #[error("the archive is cut off: it ends at byte {at_bytes}, {why}; use another copy of it")]
    Cut {
        /// Length of the stream.
        at_bytes: u64,
        /// What was expected there.
        why: &'static str,
    },
    /// An entry list that is not one.
    #[error("line {line} of the {which} entry list is not one: {why}")]
    List {
        /// Which of the two.
        which: &'static str,
        /// Counted from 1.
        line: u64,
        /// Why.
        why: String,
    },
    /// The place to unpack to, or to pack, is not as it must be.
    #[error("{what}")]
    Place {
        /// What, and what to do.
        what: String,
    },
    /// The file system or the stream said no.
    #[error("{what}")]
    Io {
        /// What was attempted, on which file.
        what: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

pub(super) type Result<T, E = ArchiveError> = std::result::Result<T, E>;

pub(super) fn io_error<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> ArchiveError {
    let what = what.into();
    move |source| ArchiveError::Io { what, source: source.into() }
}

/// A name as it may be shown: control bytes and what is not UTF-8 are escaped.
pub(super) fn shown(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}

/// Something that was not as expected, and did not stop the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The path within the root, made printable.
    pub path: String,
    /// What was met, and what was done with it.
    pub what: String,
}

/// Notes, of which the first hundred are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// How many there were.
    pub total: u64,
    /// The first of them.
    pub first: Vec<Note>,
}

impl Notes {
    /// How many notes are kept with their words.
    pub const KEPT: usize = 100;

    pub(super) fn add(&mut self, path: &[u8], what: impl Into<String>) {
        self.total += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(Note { path: shown(path), what: what.into() });
        }
    }

    pub(super) fn merge(&mut self, other: Notes) {
        self.total += other.total;
        let room = Self::KEPT.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }
}
