//! Reading along: a tar stream passes unchanged, is checked member by member, and its fingerprint is taken.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::entry::{Bytes, Entry, Kind, hex, keeps_xattr, xattr_name};
use super::error::{ArchiveError, Notes, Refusal, Result, io_error, shown};
use super::names::{Names, New, normalised};
use super::parser::{Member, Parser, Sink, Type};
use super::pax::Time;
use super::spool::{Order, Spool};

/// What becomes of symbolic links that may lead outside the root. They are never followed in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinksOutside {
    /// The archive is refused. For archives that come from elsewhere.
    #[default]
    Refuse,
    /// They are kept as they are, and noted: what they point to is not in the archive.
    Keep,
}

/// How to inspect.
#[derive(Debug, Clone)]
pub struct InspectOptions {
    /// An existing directory for unlinked scratch files; about 300 bytes an entry, twice while they are sorted.
    pub scratch_dir: PathBuf,
    /// What becomes of symbolic links that may lead outside.
    pub links_outside: LinksOutside,
    /// Most names that are accepted, implied directories included. It bounds the memory: 25 to 50 bytes a name.
    pub max_entries: u64,
    /// Most bytes of holes, all files together. Holes cost no space in the archive, but time to hash.
    pub max_hole_bytes: u64,
}

impl InspectOptions {
    /// Links outside are refused, twenty million names, 1 TiB of holes.
    pub fn new(scratch_dir: impl Into<PathBuf>) -> Self {
        InspectOptions {
            scratch_dir: scratch_dir.into(),
            links_outside: LinksOutside::Refuse,
            max_entries: 20_000_000,
            max_hole_bytes: 1 << 40,
        }
    }
}

/// Version of the fingerprint and of the entry list.
const FINGERPRINT_FORMAT: u32 = 1;

/// What a media tree is, whoever packed it and in whatever order.
///
/// The root directory itself is not part of it, nor are directories that no member names. Which names belong to one file
/// is not told, only how many more names than files there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Version of this form: 1.
    pub format: u32,
    /// Entries of all kinds.
    pub entries: u64,
    /// Names of regular files, hard links included.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Names that were hard links to a name before.
    pub hard_links: u64,
    /// Bytes of content of all names, holes included.
    pub total_bytes: u64,
    /// BLAKE3 of the entry list: a JSON line for each [`Entry`], in order of the bytes of the paths. `b3sum` of a saved
    /// list gives it.
    pub digest: String,
}

/// What an inspection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// What was met and is not an error.
    pub notes: Notes,
    /// Length of the stream.
    pub stream_bytes: u64,
}

/// Who acts on checked members.
pub(super) trait Follow {
    /// A member that is safe. `original`: for a hard link, the path of the first name.
    fn begin(&mut self, entry: &Entry, about: &About<'_>) -> Result<()>;
    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    fn end(&mut self) -> Result<()>;
}

/// What an entry does not say of its member.
pub(super) struct About<'a> {
    pub(super) hard_link_to: Option<&'a [u8]>,
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// For inspection alone.
impl Follow for () {
    fn begin(&mut self, _: &Entry, _: &About<'_>) -> Result<()> {
        Ok(())
    }
    fn data(&mut self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Checks members, hashes contents, spools entries.
#[derive(Debug)]
struct Checker<F> {
    options: InspectOptions,
    names: Names,
    spool: Spool,
    fingerprint: Fingerprint,
    notes: Notes,
    hole_bytes: u64,
    /// The file whose content comes.
    open: Option<Open>,
    follow: F,
}

#[derive(Debug)]
struct Open {
    entry: Entry,
    /// Where its header begins.
    at_bytes: u64,
    hasher: blake3::Hasher,
    hashed_bytes: u64,
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

impl Open {
    fn hash_hole(&mut self, until: u64) {
        while self.hashed_bytes < until {
            let n = ZEROS.len().min(usize::try_from(until - self.hashed_bytes).unwrap_or(usize::MAX));
            self.hasher.update(&ZEROS[..n]);
            self.hashed_bytes += n as u64;
        }
    }
}

impl<F: Follow> Checker<F> {
    fn enter(&mut self, path: &[u8], typ: &Type) -> Result<Option<u64>, Refusal> {
        let target;
        let new = match typ {
            Type::File => New::File,
            Type::Directory => New::Directory,
            Type::Symlink { target } if target.is_empty() || target.contains(&0) => {
                return Err(Refusal::BadName);
            }
            Type::Symlink { target } => New::Symlink { target },
            Type::HardLink { target: raw } => {
                target = normalised(raw).map_err(|_| Refusal::HardLink)?;
                New::HardLink { target: &target }
            }
        };
        let at = self.spool.next_position();
        let entered = self.names.enter(path, new, at)?;
        if entered.outside {
            if self.options.links_outside == LinksOutside::Refuse {
                return Err(Refusal::LinkOutside);
            }
            self.notes
                .add(path, "a symbolic link that may lead outside; what it points to is not in the archive");
        }
        Ok(entered.original)
    }

    fn note_what_is_lost(&mut self, path: &[u8], member: &Member) {
        if member.typ == Type::File && member.mode & 0o6000 != 0 {
            self.notes.add(path, "setuid or setgid is not kept");
        }
        for (name, _) in member.xattrs.iter().filter(|(n, _)| !keeps_xattr(n)) {
            self.notes.add(path, format!("the extended attribute `{}` is not kept", shown(name)));
        }
        for key in &member.unknown {
            // The text of an access control list stands beside the attribute, which is kept.
            let attribute: &[u8] = match key.as_slice() {
                b"SCHILY.acl.access" => b"system.posix_acl_access",
                b"SCHILY.acl.default" => b"system.posix_acl_default",
                _ => b"",
            };
            if !member.xattrs.iter().any(|(n, _)| n == attribute) {
                self.notes.add(path, format!("`{}` of its pax header is not kept", shown(key)));
            }
        }
    }

    /// The entry of a member, except for its content's hash.
    fn entry(path: Vec<u8>, member: &Member) -> Result<Entry, Refusal> {
        let (kind, mode) = match member.typ {
            Type::Directory => (Kind::Directory, member.mode),
            Type::Symlink { .. } => (Kind::Symlink, 0o777),
            Type::File | Type::HardLink { .. } => (Kind::File, member.mode & !0o6000),
        };
        let id = |n: u64| u32::try_from(n).ok().filter(|n| *n != u32::MAX).ok_or(Refusal::Special);
        let Time { s: mtime_s, ns: mtime_ns } = member.mtime;
        let xattrs: BTreeMap<String, String> = member
            .xattrs
            .iter()
            .filter(|(n, _)| keeps_xattr(n) && kind != Kind::Symlink)
            .map(|(n, v)| (xattr_name(n), blake3::hash(v).to_hex().to_string()))
            .collect();
        Ok(Entry {
            path: Bytes(path),
            kind,
            size_bytes: member.size_bytes,
            mode,
            uid: id(member.uid)?,
            gid: id(member.gid)?,
            mtime_s,
            mtime_ns,
            target: match &member.typ {
                Type::Symlink { target } => Some(Bytes(target.clone())),
                _ => None,
            },
            xattrs,
            blake3: None,
        })
    }

    fn record(&mut self, entry: &Entry) -> Result<()> {
        let f = &mut self.fingerprint;
        f.entries += 1;
        f.total_bytes = f.total_bytes.saturating_add(entry.size_bytes);
        match entry.kind {
            Kind::File => f.files += 1,
            Kind::Directory => f.directories += 1,
            Kind::Symlink => f.symlinks += 1,
        }
        let line = serde_json::to_vec(entry).map_err(io_error("cannot write an entry"))?;
        self.spool.push(&entry.path.0, &line).map(|_| ())
    }
}

impl<F: Follow> Sink for Checker<F> {
    fn member(&mut self, member: Member) -> Result<()> {
        let refused = |refusal| ArchiveError::Refused {
            member: shown(&member.name),
            at_bytes: member.at_bytes,
            refusal,
        };
        let path = normalised(&member.name).map_err(refused)?;
        if path.is_empty() {
            // The root as GNU tar packs `.`: its attributes belong to the place, not to the tree.
            return if member.typ == Type::Directory { Ok(()) } else { Err(refused(Refusal::BadName)) };
        }
        let original = self.enter(&path, &member.typ).map_err(refused)?;
        self.note_what_is_lost(&path, &member);
        let mut entry = Self::entry(path, &member).map_err(refused)?;
        let mut about = About { hard_link_to: None, xattrs: &member.xattrs };
        if let Some(at) = original {
            let first: Entry = serde_json::from_slice(&self.spool.value_at(at)?)
                .map_err(io_error("cannot read a scratch file"))?;
            let first_path = first.path.0;
            about.hard_link_to = Some(&first_path);
            // Attributes as this member says them: the same as the first's, unless the file changed in between or the
            // archive is damaged, and then it is to be seen. Content and extended attributes come once.
            if first.kind == Kind::Symlink {
                entry.mode = first.mode;
            }
            entry = Entry {
                kind: first.kind,
                size_bytes: first.size_bytes,
                target: first.target,
                xattrs: first.xattrs,
                blake3: first.blake3,
                ..entry
            };
            self.follow.begin(&entry, &about)?;
            self.fingerprint.hard_links += 1;
            return self.record(&entry);
        }
        self.follow.begin(&entry, &about)?;
        if entry.kind != Kind::File {
            return self.record(&entry);
        }
        self.open =
            Some(Open { entry, at_bytes: member.at_bytes, hasher: blake3::Hasher::new(), hashed_bytes: 0 });
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.skip_hole(offset)?;
        if let Some(open) = &mut self.open {
            open.hasher.update(bytes);
            open.hashed_bytes += bytes.len() as u64;
        }
        self.follow.data(offset, bytes)
    }

    fn end(&mut self) -> Result<()> {
        if let Some(size) = self.open.as_ref().map(|o| o.entry.size_bytes) {
            self.skip_hole(size)?;
        }
        if let Some(mut open) = self.open.take() {
            self.follow.end()?;
            open.entry.blake3 = Some(open.hasher.finalize().to_hex().to_string());
            self.record(&open.entry)?;
        }
        Ok(())
    }
}

impl<F: Follow> Checker<F> {
    fn skip_hole(&mut self, until: u64) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if until > open.hashed_bytes {
            self.hole_bytes = self.hole_bytes.saturating_add(until - open.hashed_bytes);
            if self.hole_bytes > self.options.max_hole_bytes {
                return Err(ArchiveError::Refused {
                    member: open.entry.path.to_string(),
                    at_bytes: open.at_bytes,
                    refusal: Refusal::HolesTooLarge,
                });
            }
            open.hash_hole(until);
        }
        Ok(())
    }
}

/// An inspection that is fed bytes.
#[derive(Debug)]
pub(super) struct Inspection<F> {
    parser: Parser,
    checker: Checker<F>,
    stream_bytes: u64,
    failed: bool,
}

impl<F: Follow> Inspection<F> {
    pub(super) fn new(options: &InspectOptions, follow: F) -> Result<Self> {
        let fingerprint = Fingerprint {
            format: FINGERPRINT_FORMAT,
            entries: 0,
            files: 0,
            directories: 0,
            symlinks: 0,
            hard_links: 0,
            total_bytes: 0,
            digest: String::new(),
        };
        Ok(Inspection {
            parser: Parser::new(),
            checker: Checker {
                names: Names::new(options.max_entries),
                spool: Spool::create(&options.scratch_dir)?,
                options: options.clone(),
                fingerprint,
                notes: Notes::default(),
                hole_bytes: 0,
                open: None,
                follow,
            },
            stream_bytes: 0,
            failed: false,
        })
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        if self.failed {
            return Err(again());
        }
        self.stream_bytes += bytes.len() as u64;
        let done = self.parser.feed(bytes, &mut self.checker);
        self.failed = done.is_err();
        done
    }

    /// The stream is at its end.
    pub(super) fn close(&mut self) -> Result<()> {
        if self.failed {
            return Err(again());
        }
        let done = self.parser.finish();
        self.failed = done.is_err();
        done
    }

    pub(super) fn follower(&mut self) -> &mut F {
        &mut self.checker.follow
    }

    /// After `close`: sorts the entries, writes them as lines, and gives the result.
    pub(super) fn finish(mut self, list: Option<&mut dyn Write>) -> Result<Inspected> {
        let checker = &mut self.checker;
        let mut hasher = blake3::Hasher::new();
        let mut list = list;
        checker.spool.sorted(Order::Ascending, |_, line| {
            hasher.update(line);
            hasher.update(b"\n");
            if let Some(list) = &mut list {
                list.write_all(line)
                    .and_then(|()| list.write_all(b"\n"))
                    .map_err(io_error("cannot write the entry list"))?;
            }
            Ok(())
        })?;
        checker.fingerprint.digest = hex(hasher.finalize().as_bytes());
        Ok(Inspected {
            fingerprint: self.checker.fingerprint,
            notes: self.checker.notes,
            stream_bytes: self.stream_bytes,
        })
    }
}

fn again() -> ArchiveError {
    ArchiveError::Place { what: "the archive was refused before; nothing more is read of it".to_owned() }
}

/// Lets a tar stream pass unchanged and inspects it.
///
/// `read` fails as soon as a bad member is seen, instead of handing out the bytes that hold its header; the error within
/// the [`io::Error`] is an [`ArchiveError`] ([`Inspector::refusal`] takes it out). At the end of the stream it fails if
/// the archive is cut.
#[derive(Debug)]
pub struct Inspector<R> {
    inner: R,
    inspection: Inspection<()>,
    ended: bool,
}

impl<R: Read> Inspector<R> {
    /// Begins.
    ///
    /// # Errors
    /// If no scratch file can be made.
    pub fn new(inner: R, options: &InspectOptions) -> Result<Self> {
        Ok(Inspector { inner, inspection: Inspection::new(options, ())?, ended: false })
    }

    /// The result. Reads what is left of the stream first: a program that unpacks stops reading at the end mark.
    /// `list` gets the entry list, sorted JSON lines, uncompressed; the caller may hand in a compressor.
    ///
    /// # Errors
    /// As `read`, and if the list cannot be written.
    pub fn finish(mut self, list: Option<&mut dyn Write>) -> Result<Inspected> {
        let mut buffer = vec![0; READ_BYTES];
        while !self.ended {
            self.read_some(&mut buffer)?;
        }
        self.inspection.finish(list)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let n = match self.inner.read(buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return self.read_some(buffer),
            Err(e) => return Err(io_error("cannot read the archive")(e)),
        };
        if n == 0 && !buffer.is_empty() {
            self.inspection.close()?;
            self.ended = true;
        } else {
            self.inspection.feed(&buffer[..n])?;
        }
        Ok(n)
    }

    /// The refusal within an error that `read` gave, if it is one.
    pub fn refusal(error: &io::Error) -> Option<&ArchiveError> {
        error.get_ref()?.downcast_ref()
    }
}

impl<R: Read> Read for Inspector<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        self.read_some(buffer).map_err(|e| match e {
            ArchiveError::Io { source, .. } => source,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })
    }
}

pub(super) const READ_BYTES: usize = 256 << 10;

/// Inspects a whole stream.
///
/// # Errors
/// At the first member that is refused, at damage, and if the stream ends early.
pub fn inspect(
    archive: impl Read,
    options: &InspectOptions,
    list: Option<&mut dyn Write>,
) -> Result<Inspected> {
    Inspector::new(archive, options)?.finish(list)
}
