//! Unpacking into a local directory, and never outside of it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;

use super::entry::{Bytes, Entry, Kind, keeps_xattr};
use super::error::{ArchiveError, Notes, Result, io_error, shown};
use super::inspect::{About, Fingerprint, Follow, InspectOptions, Inspection, READ_BYTES};
use super::place::{Place, is_not_possible, make_dir, mtime, names, open_dir, open_root, present};
use super::spool::{Order, Spool};

/// What becomes of what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreMode {
    /// The root must be empty; the caller swaps it with the old one afterwards.
    Fresh,
    /// The tree is filled in. What the archive does not have stays in any case.
    FillIn {
        /// Files and links that exist are replaced, each in one step, and directories get the archive's attributes.
        /// Otherwise they stay as they are. A directory is never replaced by something else.
        replace: bool,
    },
}

/// Who is to own what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Whom the archive says. Where the system does not let this user, it is noted.
    Archived,
    /// Whoever owns the root: for archives by django-dbbackup, which say root everywhere and do not mean it.
    OfRoot,
}

/// How to unpack.
#[derive(Debug, Clone)]
pub struct UnpackOptions {
    /// What is refused.
    pub inspect: InspectOptions,
    /// What becomes of what is there.
    pub mode: RestoreMode,
    /// Who owns it then.
    pub owners: Owners,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Of the archive.
    pub fingerprint: Fingerprint,
    /// What could not be restored, or was not.
    pub notes: Notes,
    /// Length of the stream.
    pub stream_bytes: u64,
    /// Entries that were made or replaced.
    pub written: u64,
    /// Entries that existed and stayed.
    pub kept: u64,
}

/// Unpacks a stream below `root`, an existing directory, and flushes the file system. `list` gets the entry list.
///
/// The root's own mode, owner and time are not touched: see [`RootAttributes`](super::RootAttributes).
///
/// # Errors
/// At the first member that is refused, at damage, if the stream ends early, or if the file system says no. What was
/// unpacked until then stays: after an error a fresh directory is to be thrown away. When filling in, each single file
/// is whole; a file named `.repot-unpack-…` may be left after a kill.
pub fn unpack(
    mut archive: impl Read,
    root: &Path,
    options: &UnpackOptions,
    list: Option<&mut dyn Write>,
) -> Result<Unpacked> {
    if options.mode == RestoreMode::Fresh {
        let found = names(&open_root(root)?).map_err(io_error(format!("cannot read {}", root.display())))?;
        if let Some(first) = found.first() {
            return Err(ArchiveError::Place {
                what: format!(
                    "{} is not empty (it has `{}`); unpack into an empty directory, or fill in",
                    root.display(),
                    shown(first)
                ),
            });
        }
    }
    let unpacker = Unpacker {
        place: Place::open(root)?,
        mode: options.mode,
        owners: options.owners,
        directories: Some(Spool::create(&options.inspect.scratch_dir)?),
        open: None,
        notes: Notes::default(),
        written: 0,
        kept: 0,
        partial: 0,
    };
    let mut inspection = Inspection::new(&options.inspect, unpacker)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match archive.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => inspection.feed(&buffer[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io_error("cannot read the archive")(e)),
        }
    }
    inspection.close()?;
    let unpacker = inspection.follower();
    unpacker.finish_directories()?;
    fs::syncfs(unpacker.place.root()).map_err(io_error(format!("cannot flush {}", root.display())))?;
    let (mut notes, written, kept) = (std::mem::take(&mut unpacker.notes), unpacker.written, unpacker.kept);
    let inspected = inspection.finish(list)?;
    notes.merge(inspected.notes);
    Ok(Unpacked {
        fingerprint: inspected.fingerprint,
        notes,
        stream_bytes: inspected.stream_bytes,
        written,
        kept,
    })
}

#[derive(Debug)]
struct Unpacker {
    place: Place,
    mode: RestoreMode,
    owners: Owners,
    /// Directories whose attributes come last: a time would be changed by what is made in it, a mode might forbid it,
    /// a default access control list would be inherited.
    directories: Option<Spool>,
    open: Option<Open>,
    notes: Notes,
    written: u64,
    kept: u64,
    /// Counts partial names.
    partial: u64,
}

/// A file that is being written.
#[derive(Debug)]
struct Open {
    entry: Entry,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    file: File,
    written_to: u64,
    spot: Spot,
}

/// Where something is made: under its own name, or under another that it leaves at the end.
#[derive(Debug)]
struct Spot {
    dir: Rc<OwnedFd>,
    name: Vec<u8>,
    partial: Option<Vec<u8>>,
    replace: bool,
}

impl Spot {
    fn made_as(&self) -> &[u8] {
        self.partial.as_deref().unwrap_or(&self.name)
    }

    /// Gives it its name. A file that appeared meanwhile is not replaced unless that is wanted.
    fn publish(mut self, path: &[u8]) -> Result<()> {
        let Some(partial) = self.partial.take() else { return Ok(()) };
        let flags = if self.replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let mut done = fs::renameat_with(&self.dir, &partial, &self.dir, &self.name, flags);
        if matches!(done, Err(Errno::INVAL | Errno::NOSYS)) {
            // Some network file systems cannot promise it.
            done = fs::renameat(&self.dir, &partial, &self.dir, &self.name);
        }
        // Renaming one name of a file to another name of the same file does nothing and leaves both.
        let _ = fs::unlinkat(&self.dir, &partial, AtFlags::empty());
        done.map_err(io_error(format!("cannot give `{}` its name", shown(path))))
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        if let Some(partial) = self.partial.take() {
            let _ = fs::unlinkat(&self.dir, &partial, AtFlags::empty());
        }
    }
}

/// Attempts to find a name that is free; leftovers of killed runs are the only ones in the way.
const PARTIAL_ATTEMPTS: u64 = 1000;

impl Unpacker {
    /// Where to make a file or link; None if what is there stays.
    fn spot(&mut self, path: &[u8]) -> Result<Option<Spot>> {
        let (dir, name) = self.place.parent(path)?;
        let name = name.to_vec();
        let RestoreMode::FillIn { replace } = self.mode else {
            return Ok(Some(Spot { dir, name, partial: None, replace: false }));
        };
        match present(&dir, &name, path)? {
            Some(FileType::Directory) if replace => {
                return Err(ArchiveError::Place {
                    what: format!(
                        "`{}` is a directory here and something else in the archive; move it away, or unpack into a fresh directory",
                        shown(path)
                    ),
                });
            }
            Some(_) if !replace => {
                self.kept += 1;
                return Ok(None);
            }
            _ => {}
        }
        for _ in 0..PARTIAL_ATTEMPTS {
            self.partial += 1;
            let partial = format!(".repot-unpack-{}-{}", std::process::id(), self.partial).into_bytes();
            if present(&dir, &partial, path)?.is_none() {
                return Ok(Some(Spot { dir, name, partial: Some(partial), replace }));
            }
        }
        Err(ArchiveError::Place {
            what: format!("beside `{}` lie too many files named `.repot-unpack-…`; remove them", shown(path)),
        })
    }

    fn owner(&self, entry: &Entry) -> (fs::Uid, fs::Gid) {
        let (uid, gid) = match self.owners {
            Owners::Archived => (entry.uid, entry.gid),
            Owners::OfRoot => (self.place.uid, self.place.gid),
        };
        (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid))
    }

    fn note_owner(&mut self, path: &[u8], done: Result<(), Errno>) -> Result<()> {
        match done {
            Ok(()) => Ok(()),
            Err(e) if is_not_possible(e) => {
                self.notes.add(path, "its owner was not restored: only root may give files away");
                Ok(())
            }
            Err(e) => Err(io_error(format!("cannot set the owner of `{}`", shown(path)))(e)),
        }
    }

    /// Owner first, which takes bits from the mode; then what the mode is part of; the time last.
    fn attributes(&mut self, fd: &OwnedFd, entry: &Entry, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        let path = &entry.path.0;
        let (uid, gid) = self.owner(entry);
        self.note_owner(path, fs::fchown(fd, Some(uid), Some(gid)))?;
        for (name, value) in xattrs.iter().filter(|(n, _)| keeps_xattr(n)) {
            match fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(e) if is_not_possible(e) => {
                    self.notes
                        .add(path, format!("the extended attribute `{}` was not restored: {e}", shown(name)));
                }
                Err(e) => {
                    let what =
                        format!("cannot set the extended attribute `{}` of `{}`", shown(name), shown(path));
                    return Err(io_error(what)(e));
                }
            }
        }
        fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
            .map_err(io_error(format!("cannot set the mode of `{}`", shown(path))))?;
        fs::futimens(fd, &mtime(entry.mtime_s, entry.mtime_ns))
            .map_err(io_error(format!("cannot set the time of `{}`", shown(path))))
    }

    fn directory(&mut self, entry: &Entry, about: &About<'_>) -> Result<()> {
        let path = &entry.path.0;
        let (above, name) = self.place.parent(path)?;
        match present(&above, name, path)? {
            None => drop(make_dir(&above, name, path)?),
            // In a fresh place this is one that an earlier member lies in.
            Some(FileType::Directory) => {
                if self.mode == (RestoreMode::FillIn { replace: false }) {
                    self.kept += 1;
                    return Ok(());
                }
            }
            Some(_) => {
                return Err(ArchiveError::Place {
                    what: format!(
                        "`{}` is a directory in the archive and something else here (a link perhaps); nothing is written \
                         through it: move it away, or unpack into a fresh directory",
                        shown(path)
                    ),
                });
            }
        }
        self.written += 1;
        let xattrs: Vec<(Bytes, Bytes)> =
            about.xattrs.iter().map(|(n, v)| (Bytes(n.clone()), Bytes(v.clone()))).collect();
        let value = serde_json::to_vec(&(entry, xattrs)).map_err(io_error("cannot write a scratch file"))?;
        self.directories.as_mut().map_or(Ok(()), |d| d.push(path, &value).map(|_| ()))
    }

    /// From the last name to the first: what lies in a directory comes before it.
    fn finish_directories(&mut self) -> Result<()> {
        let Some(mut directories) = self.directories.take() else { return Ok(()) };
        directories.sorted(Order::Descending, |path, value| {
            let (entry, xattrs): (Entry, Vec<(Bytes, Bytes)>) =
                serde_json::from_slice(value).map_err(io_error("cannot read a scratch file"))?;
            let xattrs: Vec<_> = xattrs.into_iter().map(|(n, v)| (n.0, v.0)).collect();
            let (above, name) = self.place.parent(path)?;
            let fd = open_dir(&above, name)
                .map_err(io_error(format!("cannot open the directory `{}`", shown(path))))?;
            self.attributes(&fd, &entry, &xattrs)
        })
    }

    fn symlink(&mut self, entry: &Entry) -> Result<()> {
        let path = &entry.path.0;
        let Some(spot) = self.spot(path)? else { return Ok(()) };
        let target = entry.target.as_ref().map(|t| t.0.as_slice()).unwrap_or_default();
        fs::symlinkat(target, &spot.dir, spot.made_as())
            .map_err(io_error(format!("cannot make the link `{}`", shown(path))))?;
        let (uid, gid) = self.owner(entry);
        let owned = fs::chownat(&spot.dir, spot.made_as(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        self.note_owner(path, owned)?;
        let time = mtime(entry.mtime_s, entry.mtime_ns);
        fs::utimensat(&spot.dir, spot.made_as(), &time, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io_error(format!("cannot set the time of `{}`", shown(path))))?;
        self.written += 1;
        spot.publish(path)
    }

    fn hard_link(&mut self, entry: &Entry, first: &[u8]) -> Result<()> {
        let path = &entry.path.0;
        let Some(spot) = self.spot(path)? else { return Ok(()) };
        let (dir, name) = self.place.parent(first)?;
        fs::linkat(&dir, name, &spot.dir, spot.made_as(), AtFlags::empty()).map_err(io_error(format!(
            "cannot link `{}` to `{}`",
            shown(path),
            shown(first)
        )))?;
        self.written += 1;
        spot.publish(path)
    }
}

impl Follow for Unpacker {
    fn begin(&mut self, entry: &Entry, about: &About<'_>) -> Result<()> {
        let path = &entry.path.0;
        match (entry.kind, about.hard_link_to) {
            (_, Some(first)) => return self.hard_link(entry, first),
            (Kind::Directory, _) => return self.directory(entry, about),
            (Kind::Symlink, _) => return self.symlink(entry),
            (Kind::File, None) => {}
        }
        let Some(spot) = self.spot(path)? else { return Ok(()) };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&spot.dir, spot.made_as(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(io_error(format!("cannot make the file `{}`", shown(path))))?;
        self.open = Some(Open {
            entry: entry.clone(),
            xattrs: about.xattrs.to_vec(),
            file: fd.into(),
            written_to: 0,
            spot,
        });
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file
            .write_all_at(bytes, offset)
            .map_err(io_error(format!("cannot write `{}`", open.entry.path)))?;
        open.written_to = offset + bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if open.written_to != open.entry.size_bytes {
            // It ends in a hole.
            open.file
                .set_len(open.entry.size_bytes)
                .map_err(io_error(format!("cannot write `{}`", open.entry.path)))?;
        }
        let fd = OwnedFd::from(open.file);
        self.attributes(&fd, &open.entry, &open.xattrs)?;
        self.written += 1;
        open.spot.publish(&open.entry.path.0)
    }
}
