//! Packing a local directory.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use tar::EntryType;

use super::entry::keeps_xattr;
use super::error::{ArchiveError, Notes, Result, io_error, shown};
use super::header::BLOCK_BYTES;
use super::inspect::{Fingerprint, InspectOptions, Inspection, LinksOutside, READ_BYTES};
use super::names::MAX_DEPTH;
use super::pax::Time;
use super::place::{names, open_dir, open_root};
use super::sparse::{Segment, map_text};
use super::write::{Spec, head, padding};

/// More parts than this, and a file is packed without its holes: its map would cost more than it saves.
const MAX_PACKED_SEGMENTS: usize = 100_000;
/// Linux's limit of an attribute's value, and of the list of names.
const MAX_XATTR_BYTES: usize = 64 << 10;

/// How to pack.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// How the stream is inspected on the way. [`PackOptions::new`] keeps links that lead outside: they are part of the
    /// media as they are.
    pub inspect: InspectOptions,
    /// Paths within the root that are left out, with everything below them: the folder that backups are written to, for
    /// one (media that hold their own backups double with every run).
    pub exclude: BTreeSet<Vec<u8>>,
}

impl PackOptions {
    /// Everything, links that lead outside included.
    pub fn new(scratch_dir: impl Into<std::path::PathBuf>) -> Self {
        let mut inspect = InspectOptions::new(scratch_dir);
        inspect.links_outside = LinksOutside::Keep;
        PackOptions { inspect, exclude: BTreeSet::new() }
    }
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Of the stream as it was written.
    pub fingerprint: Fingerprint,
    /// What is not in the archive, or not as it was, and why.
    pub notes: Notes,
    /// Length of the stream.
    pub stream_bytes: u64,
    /// Entries that changed or vanished while they were read. With the application stopped there are none.
    pub unsteady: u64,
}

/// Packs what lies in `root` as a tar stream, in order of the names, so that the same tree gives the same bytes.
///
/// What changes or vanishes while it is read is noted; the archive's structure stays whole: a file is padded with zeros
/// or cut to the size that its header says. `list` gets the entry list.
///
/// # Errors
/// If something cannot be read for another reason (an archive that silently lacks a file is no backup), or the stream
/// cannot be written. What was written is then useless: it has no end mark.
pub fn pack(
    root: &Path,
    out: impl Write,
    options: &PackOptions,
    list: Option<&mut dyn Write>,
) -> Result<Packed> {
    let fd = open_root(root)?;
    let mut packer = Packer {
        out,
        inspection: Inspection::new(&options.inspect, ())?,
        notes: Notes::default(),
        unsteady: 0,
        first_names: HashMap::new(),
        buffer: vec![0; READ_BYTES],
        names_buffer: vec![0; MAX_XATTR_BYTES],
        value_buffer: vec![0; MAX_XATTR_BYTES],
    };
    packer.walk(fd, &options.exclude)?;
    packer.write(&[0; BLOCK_BYTES * 2])?;
    packer.out.flush().map_err(io_error("cannot write the archive"))?;
    packer.inspection.close()?;
    let inspected = packer.inspection.finish(list)?;
    let mut notes = packer.notes;
    notes.merge(inspected.notes);
    Ok(Packed {
        fingerprint: inspected.fingerprint,
        notes,
        stream_bytes: inspected.stream_bytes,
        unsteady: packer.unsteady,
    })
}

/// The fingerprint of a directory: what [`pack`] would say, with the archive thrown away.
///
/// # Errors
/// As [`pack`].
pub fn fingerprint_tree(root: &Path, options: &PackOptions, list: Option<&mut dyn Write>) -> Result<Packed> {
    pack(root, io::sink(), options, list)
}

struct Packer<W> {
    out: W,
    inspection: Inspection<()>,
    notes: Notes,
    unsteady: u64,
    /// Device and inode of files with several names, and the first of these.
    first_names: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    names_buffer: Vec<u8>,
    value_buffer: Vec<u8>,
}

/// A directory on the way down.
struct Level {
    fd: OwnedFd,
    /// Length of its path.
    path_bytes: usize,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl<W: Write> Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.inspection.feed(bytes)?;
        self.out.write_all(bytes).map_err(io_error("cannot write the archive"))
    }

    fn walk(&mut self, root: OwnedFd, exclude: &BTreeSet<Vec<u8>>) -> Result<()> {
        let mut path = Vec::new();
        let mut levels = vec![level(root, &path)?];
        while let Some(top) = levels.last_mut() {
            path.truncate(top.path_bytes);
            let Some(name) = top.names.next() else {
                levels.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(&name);
            if exclude.contains(&path) {
                continue;
            }
            if let Some(below) = self.entry(&top.fd, &name, &path)? {
                if levels.len() >= MAX_DEPTH {
                    return Err(ArchiveError::Place {
                        what: format!(
                            "`{}` lies more than {MAX_DEPTH} directories deep; archives are not made that deep",
                            shown(&path)
                        ),
                    });
                }
                levels.push(level(below, &path)?);
            }
        }
        Ok(())
    }

    /// Packs one entry; a directory is given back to be entered.
    fn entry(&mut self, above: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<OwnedFd>> {
        match self.try_entry(above, name, path) {
            Err(ArchiveError::Io { source, .. }) if is_gone(&source) => {
                self.unsteady += 1;
                self.notes.add(
                    path,
                    "it vanished, or became something else, while the directory was read; left out",
                );
                Ok(None)
            }
            other => other,
        }
    }

    fn try_entry(&mut self, above: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<OwnedFd>> {
        let failed = || format!("cannot read `{}`", shown(path));
        let stat = fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io_error(failed()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let fd = open_dir(above, name).map_err(io_error(failed()))?;
                let stat = fs::fstat(&fd).map_err(io_error(failed()))?;
                let xattrs = self.xattrs(&fd, path)?;
                let head = head(&Spec { xattrs: &xattrs, ..spec(path, EntryType::Directory, &stat) });
                self.write(&head)?;
                Ok(Some(fd))
            }
            FileType::RegularFile => {
                // Should it have become a fifo in between, opening must not wait for a writer.
                let flags =
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let fd = fs::openat(above, name, flags, Mode::empty()).map_err(io_error(failed()))?;
                let stat = fs::fstat(&fd).map_err(io_error(failed()))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(io_error(failed())(Errno::NOENT));
                }
                self.file(&fd, &stat, path)?;
                Ok(None)
            }
            FileType::Symlink => {
                let target = fs::readlinkat(above, name, Vec::new()).map_err(io_error(failed()))?;
                let spec = Spec {
                    target: Some(target.as_bytes()),
                    mode: 0o777,
                    ..spec(path, EntryType::Symlink, &stat)
                };
                self.write(&head(&spec))?;
                Ok(None)
            }
            _ => {
                self.notes.add(path, "a device, fifo or socket; left out");
                Ok(None)
            }
        }
    }

    fn file(&mut self, fd: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<()> {
        let inode = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.first_names.get(&inode)
        {
            let head = head(&Spec { target: Some(first), ..spec(path, EntryType::Link, stat) });
            return self.write(&head);
        }
        let xattrs = self.xattrs(fd, path)?;
        let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let segments = segments(fd, stat, size_bytes);
        let spec = Spec {
            size_bytes,
            segments: segments.as_deref(),
            xattrs: &xattrs,
            ..spec(path, EntryType::Regular, stat)
        };
        self.write(&head(&spec))?;
        let segments = segments.unwrap_or_else(|| vec![Segment { offset: 0, len: size_bytes }]);
        let mut short = false;
        for segment in &segments {
            short |= self.segment(fd, *segment, path)?;
        }
        let stored: u64 = segments.iter().map(|s| s.len).sum();
        self.write(&[0; BLOCK_BYTES][..padding(stored)])?;
        let after = fs::fstat(fd).map_err(io_error(format!("cannot read `{}`", shown(path))))?;
        let state = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
        if short || state(stat) != state(&after) {
            self.unsteady += 1;
            self.notes.add(
                path,
                "it changed while it was read; what is in the archive may be neither before nor after",
            );
        }
        if stat.st_nlink > 1 {
            self.first_names.insert(inode, path.to_vec());
        }
        Ok(())
    }

    /// Copies a part of a file; true if the file ended before it, and zeros took the place of the rest.
    fn segment(&mut self, fd: &OwnedFd, segment: Segment, path: &[u8]) -> Result<bool> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut short = false;
        let mut done = 0;
        while done < segment.len {
            let want = buffer.len().min(usize::try_from(segment.len - done).unwrap_or(usize::MAX));
            let n = match rustix::io::pread(fd, &mut buffer[..want], segment.offset + done) {
                Err(Errno::INTR) => continue,
                other => other.map_err(io_error(format!("cannot read `{}`", shown(path))))?,
            };
            if n == 0 {
                short = true;
                buffer[..want].fill(0);
            }
            let n = if n == 0 { want } else { n };
            self.write(&buffer[..n])?;
            done += n as u64;
        }
        self.buffer = buffer;
        Ok(short)
    }

    fn xattrs(&mut self, fd: &OwnedFd, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let failed = || format!("cannot read the extended attributes of `{}`", shown(path));
        let len = match fs::flistxattr(fd, self.names_buffer.as_mut_slice()) {
            Err(Errno::OPNOTSUPP) => 0,
            other => other.map_err(io_error(failed()))?,
        };
        let mut out = Vec::new();
        for name in self.names_buffer[..len].split(|b| *b == 0).filter(|n| !n.is_empty()) {
            if !keeps_xattr(name) {
                self.notes.add(path, format!("the extended attribute `{}` is not kept", shown(name)));
                continue;
            }
            match fs::fgetxattr(fd, name, self.value_buffer.as_mut_slice()) {
                Ok(len) => out.push((name.to_vec(), self.value_buffer[..len].to_vec())),
                // Removed in between.
                Err(Errno::NODATA) => {}
                Err(e) => return Err(io_error(failed())(e)),
            }
        }
        out.sort_unstable();
        Ok(out)
    }
}

fn level(fd: OwnedFd, path: &[u8]) -> Result<Level> {
    let names = names(&fd).map_err(io_error(format!("cannot read the directory `{}`", shown(path))))?;
    Ok(Level { fd, path_bytes: path.len(), names: names.into_iter() })
}

fn spec<'a>(path: &'a [u8], kind: EntryType, stat: &Stat) -> Spec<'a> {
    Spec {
        path,
        kind,
        target: None,
        size_bytes: 0,
        segments: None,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { s: stat.st_mtime, ns: stat.st_mtime_nsec as u32 },
        xattrs: &[],
    }
}

fn is_gone(e: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NXIO];
    gone.iter().any(|g| e.raw_os_error() == Some(g.raw_os_error()))
}

/// The parts of a file that hold data, if it has holes that are worth it.
fn segments(fd: &OwnedFd, stat: &Stat, size_bytes: u64) -> Option<Vec<Segment>> {
    // Blocks are of 512 bytes here, whatever the file system's are.
    if u64::try_from(stat.st_blocks).ok()? * 512 >= size_bytes {
        return None;
    }
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let offset = match fs::seek(fd, SeekFrom::Data(at)) {
            Ok(offset) => offset,
            // No data behind this place.
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = fs::seek(fd, SeekFrom::Hole(offset)).ok()?.min(size_bytes);
        if offset >= end {
            break;
        }
        segments.push(Segment { offset, len: end - offset });
        if segments.len() > MAX_PACKED_SEGMENTS {
            return None;
        }
        at = end;
    }
    // GNU tar marks a hole at the end so.
    if at < size_bytes {
        segments.push(Segment { offset: size_bytes, len: 0 });
    }
    let stored: u64 = segments.iter().map(|s| s.len).sum();
    (stored + map_text(&segments).len() as u64 <= size_bytes).then_some(segments)
}
