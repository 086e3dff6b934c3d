//! Directories by descriptor: no step from the root down ever follows a symbolic link.
//!
//! Each part of a path is opened from the directory above it, which is held open, with O_NOFOLLOW. That needs no
//! `openat2`, so it is the same on old kernels and under container runtimes that do not let that call through.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::{ArchiveError, Result, io_error, shown};
use super::names::parent;

/// Opens a directory below one that is open.
pub(super) fn open_dir(above: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    fs::openat(
        above,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Opens the root, which the caller chose, links and all.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd> {
    fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(io_error(format!("cannot open the directory {}", root.display())))
}

/// Seconds and nanoseconds as the system wants them; the access time stays as it is.
pub(super) fn mtime(s: i64, ns: u32) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: s, tv_nsec: ns.into() },
    }
}

/// Whether an error says that the system does not let this user do it, or the file system cannot.
pub(super) fn is_not_possible(e: Errno) -> bool {
    matches!(e, Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS)
}

/// Mode, owner and time of a media root. They are not in an archive: they belong to the place, so that whoever makes a
/// fresh directory to unpack into must carry them over from the old one, or from where they were written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootAttributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since 1970.
    pub mtime_s: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
}

impl RootAttributes {
    /// Reads them.
    ///
    /// # Errors
    /// If the directory cannot be opened.
    pub fn of(dir: &Path) -> Result<Self> {
        let stat = fs::fstat(open_root(dir)?).map_err(io_error(format!("cannot read {}", dir.display())))?;
        Ok(RootAttributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime_s: stat.st_mtime,
            mtime_ns: stat.st_mtime_nsec as u32,
        })
    }

    /// Gives them to a directory.
    ///
    /// # Errors
    /// If the system does not let this user.
    pub fn apply(&self, dir: &Path) -> Result<()> {
        let fd = open_root(dir)?;
        let failed = |what: &str| io_error(format!("cannot set the {what} of {}", dir.display()));
        fs::fchown(&fd, fs::Uid::from_raw(self.uid).into(), fs::Gid::from_raw(self.gid).into())
            .map_err(failed("owner"))?;
        fs::fchmod(&fd, Mode::from_raw_mode(self.mode)).map_err(failed("mode"))?;
        fs::futimens(&fd, &mtime(self.mtime_s, self.mtime_ns)).map_err(failed("time"))
    }
}

/// A root to write below.
#[derive(Debug)]
pub(super) struct Place {
    root: Rc<OwnedFd>,
    /// The directory that was asked for last: members mostly come directory by directory.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Place {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let fd = open_root(root)?;
        let stat = fs::fstat(&fd).map_err(io_error(format!("cannot read {}", root.display())))?;
        Ok(Place { root: Rc::new(fd), last: None, uid: stat.st_uid, gid: stat.st_gid })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory that a path lies in, made where it is missing, and the last part of the path.
    pub(super) fn parent<'a>(&mut self, path: &'a [u8]) -> Result<(Rc<OwnedFd>, &'a [u8])> {
        let Some(up) = parent(path) else { return Ok((Rc::clone(&self.root), path)) };
        let name = &path[up.len() + 1..];
        if let Some((last, fd)) = &self.last
            && last == up
        {
            return Ok((Rc::clone(fd), name));
        }
        let mut fd = Rc::clone(&self.root);
        let mut len = 0;
        for part in up.split(|b| *b == b'/') {
            len += part.len();
            fd = Rc::new(self.step(&fd, part, &up[..len])?);
            len += 1;
        }
        self.last = Some((up.to_vec(), Rc::clone(&fd)));
        Ok((fd, name))
    }

    fn step(&self, above: &OwnedFd, name: &[u8], path: &[u8]) -> Result<OwnedFd> {
        match open_dir(above, name) {
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(ArchiveError::Place {
                    what: format!(
                        "`{}` is not a directory here (a link perhaps), but the archive has something below it; nothing is \
                         written through it: move it away, or unpack into a fresh directory",
                        shown(path)
                    ),
                });
            }
            other => return other.map_err(io_error(format!("cannot open the directory `{}`", shown(path)))),
        }
        // A directory that no member names, or not yet: it gets what it should have where nothing is said.
        let fd = make_dir(above, name, path)?;
        let failed = || format!("cannot set owner and mode of the directory `{}`", shown(path));
        match fs::fchown(&fd, fs::Uid::from_raw(self.uid).into(), fs::Gid::from_raw(self.gid).into()) {
            Err(e) if !is_not_possible(e) => return Err(io_error(failed())(e)),
            _ => {}
        }
        fs::fchmod(&fd, Mode::from_raw_mode(0o755)).map_err(io_error(failed()))?;
        Ok(fd)
    }
}

/// Makes a directory that only its owner may enter, and opens it.
pub(super) fn make_dir(above: &OwnedFd, name: &[u8], path: &[u8]) -> Result<OwnedFd> {
    let failed = || format!("cannot make the directory `{}`", shown(path));
    fs::mkdirat(above, name, Mode::RWXU).map_err(io_error(failed()))?;
    open_dir(above, name).map_err(io_error(failed()))
}

/// What stands under a name, links not followed.
pub(super) fn present(above: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<FileType>> {
    match fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(io_error(format!("cannot look at `{}`", shown(path)))(e)),
    }
}

/// The names in a directory, sorted by their bytes.
pub(super) fn names(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}
