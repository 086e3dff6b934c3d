//! Named pipes between repot and a process in a container, beside Docker's own streams.
//!
//! What a program prints through `docker exec` is copied by the shim, the daemon and the docker command, each in small
//! pieces: of a dump of 2 GB on two cores that takes as much time as the dump itself. A named pipe in a directory that
//! the container mounts is one copy in the kernel. Where the daemon runs elsewhere there is no such directory, and
//! Docker's streams are what remains.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;

/// How much a pipe holds: with the kernel's 64 KiB, both sides would be woken for each piece.
const PIPE_BYTES: usize = 1 << 20;
/// How long either side waits before it looks whether the other is still alive.
const LOOK: Duration = Duration::from_millis(50);

/// Which of a program's streams goes through a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Its standard input.
    In,
    /// Its standard output.
    Out,
}

/// What the names of such directories begin with.
const PREFIX: &str = "repot-pipes-";
/// A directory that is younger may not have been locked yet.
const LOCKED_AFTER: Duration = Duration::from_secs(60);

/// A directory of named pipes that containers of this process mount.
#[derive(Debug)]
pub struct Pipes {
    dir: tempfile::TempDir,
    /// Locked as long as it is used, so that one that a killed process has left can be told from it.
    _lock: File,
    inside: &'static str,
    next: AtomicUsize,
}

impl Pipes {
    /// A directory of ours alone, which containers see as `inside`.
    pub fn new(inside: &'static str) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let lock = File::open(dir.path())?;
        lock.try_lock()?;
        if let Some(parent) = dir.path().parent() {
            remove_left(parent, LOCKED_AFTER);
        }
        Ok(Pipes { dir, _lock: lock, inside, next: AtomicUsize::new(0) })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where containers have it.
    #[must_use]
    pub fn inside(&self) -> &str {
        self.inside
    }

    /// A new pipe.
    pub(super) fn pipe(self: &Arc<Self>, way: Way) -> io::Result<Fifo> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.dir.path().join(&name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Fifo { inside: format!("{}/{name}", self.inside), path, way, _dir: self.clone() })
    }
}

/// Removes what processes that were killed have left. What cannot be removed is somebody else's.
fn remove_left(parent: &Path, older_than: Duration) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        let left = age.is_some_and(|a| a >= older_than)
            && entry.file_type().is_ok_and(|t| t.is_dir())
            && File::open(entry.path()).is_ok_and(|f| f.try_lock().is_ok());
        if left {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// One pipe; its name goes with it.
#[derive(Debug)]
pub(super) struct Fifo {
    path: PathBuf,
    inside: String,
    pub(super) way: Way,
    _dir: Arc<Pipes>,
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// How the process at the other end stands.
#[derive(Debug, Default)]
pub(super) struct Other(AtomicU8);

impl Other {
    const ENDED: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// It ended by itself, with whatever status; or else it was ended, and what runs in the container may go on.
    pub(super) fn has_ended(&self, by_itself: bool) {
        self.0.store(if by_itself { Self::ENDED } else { Self::GIVEN_UP }, Ordering::Release);
    }
    fn runs(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
    fn given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::GIVEN_UP
    }
}

impl Fifo {
    /// What a shell in the container runs, with the program and its arguments as `$@`.
    pub(super) fn script(&self) -> String {
        let sign = if self.way == Way::In { '<' } else { '>' };
        format!(r#"exec "$@" {sign}{}"#, self.inside)
    }

    fn open(&self, options: &mut OpenOptions) -> io::Result<File> {
        let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.path)?;
        // A limit of the user's may forbid it; then it is only slower.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_BYTES);
        Ok(file)
    }

    /// What the process writes. Opened before it starts, so that nothing of it is missed.
    pub(super) fn reader<'o>(&self, other: &'o Other) -> io::Result<FifoReader<'o>> {
        Ok(FifoReader { from: self.open(OpenOptions::new().read(true))?, other, begun: false })
    }

    /// What the process reads, once it does; none where it ended before.
    pub(super) fn writer<'o>(&self, other: &'o Other) -> io::Result<Option<FifoWriter<'o>>> {
        loop {
            match self.open(OpenOptions::new().write(true)) {
                Ok(to) => return Ok(Some(FifoWriter { to, other })),
                // Nobody reads yet.
                Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                    if !other.runs() {
                        return Ok(None);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// Our end of what a process writes. It ends when all of it has been read and the process has closed it or ended.
pub(super) struct FifoReader<'o> {
    from: File,
    other: &'o Other,
    begun: bool,
}

impl Read for FifoReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            // Looked at before reading: what was written before its end is there by then.
            let runs = self.other.runs();
            if self.other.given_up() {
                return Ok(0);
            }
            match self.from.read(buf) {
                // Nobody has it open for writing: not yet, or not any more.
                Ok(0) if self.begun || !runs => return Ok(0),
                Ok(0) => {
                    if waited(&self.from, PollFlags::IN)?.contains(PollFlags::HUP) {
                        self.begun = true;
                    } else {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                Ok(n) => {
                    self.begun = true;
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock && runs => {
                    waited(&self.from, PollFlags::IN)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(e) => return Err(e),
            }
        }
    }
}

/// Our end of what a process reads.
pub(super) struct FifoWriter<'o> {
    to: File,
    other: &'o Other,
}

impl Write for FifoWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match self.to.write(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !self.other.runs() {
                        return Err(ErrorKind::BrokenPipe.into());
                    }
                    waited(&self.to, PollFlags::OUT)?;
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until something can be done with a pipe, or it is time to look at the other side.
fn waited(file: &File, wanted: PollFlags) -> io::Result<PollFlags> {
    let mut fds = [PollFd::new(file, wanted)];
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(fds[0].revents()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::exec::Cmd;

    /// A command that finds the directory at its real place, as a container finds it at its own.
    fn cmd(words: &[&str], way: Way) -> Cmd {
        let mut pipes = Pipes::new("").expect("a directory");
        pipes.inside = Box::leak(pipes.dir().display().to_string().into_boxed_str());
        Cmd::new("env").pipes(Some(Arc::new(pipes)), None).args(words).bulk(way)
    }

    #[test]
    fn everything_comes_out_and_the_directory_goes() {
        let cmd = cmd(&["sh", "-c", "head -c 5000000 /dev/zero; printf end; echo said >&2"], Way::Out);
        let dir = cmd.fifo.as_ref().map(|f| f.path.clone()).expect("a pipe");
        let mut out = Vec::new();
        let (status, stderr) = cmd
            .pump(None, &mut |c| {
                out.extend_from_slice(c);
                Ok(())
            })
            .expect("runs");
        assert!(status.success() && stderr == "said\n");
        assert!(out.len() == 5_000_003 && out.ends_with(b"\0end"), "{}", out.len());
        drop(cmd);
        assert!(!dir.parent().expect("a directory").exists());
    }

    #[test]
    fn everything_goes_in() {
        let mut input = std::io::repeat(b'x').take(5_000_000).chain(&b"end"[..]);
        let mut out = Vec::new();
        let (status, _) = cmd(&["sh", "-c", "wc -c; echo done"], Way::In)
            .pump(Some(&mut input), &mut |c| {
                out.extend_from_slice(c);
                Ok(())
            })
            .expect("runs");
        assert!(status.success());
        assert_eq!(String::from_utf8_lossy(&out), "5000003\ndone\n");
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_used_stays() {
        let parent = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).expect("is made");
            std::fs::write(path.join("0"), "").expect("is written");
            path
        };
        let (left, used, other) = (make("repot-pipes-a"), make("repot-pipes-b"), make("else"));
        let lock = File::open(&used).expect("is opened");
        lock.try_lock().expect("is locked");
        remove_left(parent.path(), Duration::from_secs(60));
        assert!(left.exists(), "it is too young to tell");
        remove_left(parent.path(), Duration::ZERO);
        assert!(!left.exists() && used.exists() && other.exists());
        drop(lock);
        remove_left(parent.path(), Duration::ZERO);
        assert!(!used.exists());
    }

    #[test]
    fn nothing_is_the_end_too() {
        for (words, way) in [(["true"], Way::Out), (["cat"], Way::In), (["true"], Way::In)] {
            let mut none = std::io::empty();
            let input: Option<&mut (dyn Read + Send)> = if way == Way::In { Some(&mut none) } else { None };
            let (status, _) =
                cmd(&words, way).pump(input, &mut |_| panic!("nothing was printed")).expect("runs");
            assert!(status.success());
        }
    }

    #[test]
    fn a_program_that_fails_or_never_starts_is_not_waited_for() {
        let out = |words: &[&str], way| {
            let mut input = std::io::repeat(b'x');
            let input: Option<&mut (dyn Read + Send)> = if way == Way::In { Some(&mut input) } else { None };
            cmd(words, way).pump(input, &mut |_| Ok(())).map(|(status, _)| status.code())
        };
        assert_eq!(out(&["sh", "-c", "printf some; exit 3"], Way::Out).expect("runs"), Some(3));
        assert_eq!(out(&["no-such-program"], Way::Out).expect("runs"), Some(127));
        assert_eq!(out(&["sh", "-c", "head -c 9 >/dev/null; exit 4"], Way::In).expect("runs"), Some(4));
        assert_eq!(out(&["no-such-program"], Way::In).expect("runs"), Some(127));
        let limit = Duration::from_millis(200);
        let late = cmd(&["sleep", "60"], Way::Out).timeout(limit).pump(None, &mut |_| Ok(()));
        assert_eq!(late.expect_err("too slow").code, "timeout");
        let mut input = std::io::repeat(b'x');
        let late = cmd(&["sleep", "60"], Way::In).timeout(limit).pump(Some(&mut input), &mut |_| Ok(()));
        assert_eq!(late.expect_err("too slow").code, "timeout");
    }

    #[test]
    fn everything_comes_out_also_of_a_program_that_ends_badly() {
        // As GNU tar does when a file changed while it was read: its archive is whole all the same.
        let mut seen = 0;
        let (status, _) = cmd(&["sh", "-c", "head -c 3000000 /dev/zero; exit 1"], Way::Out)
            .pump(None, &mut |c| {
                seen += c.len();
                std::thread::sleep(Duration::from_millis(60));
                Ok(())
            })
            .expect("runs");
        assert_eq!((status.code(), seen), (Some(1), 3_000_000));
    }

    #[test]
    fn a_failing_sink_stops_the_program() {
        let r = cmd(&["yes"], Way::Out).pump(None, &mut |_| Err(Error::failed("disk-full", "no space")));
        assert_eq!(r.expect_err("sink failed").code, "disk-full");
    }
}
