//! Named pipes between repot and a process in a container, beside Docker's own streams.
//!
//! What a program prints through `docker exec` is copied by the shim, the daemon and the docker command, each in small
//! pieces: of a dump of 2 GB on two cores that takes as much time as the dump itself. A named pipe in a directory that
//! the container mounts is one copy in the kernel. Where the daemon runs elsewhere there is no such directory, and
//! Docker's streams are what remains.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::error::{Error, Result};

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

/// A directory of named pipes that containers of this process mount.
#[derive(Debug)]
pub struct Pipes {
    dir: tempfile::TempDir,
    inside: &'static str,
    next: AtomicUsize,
}

impl Pipes {
    /// A directory of ours alone, which containers see as `inside`.
    pub fn new(inside: &'static str) -> std::io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("repot-pipes-").tempdir()?;
        Ok(Pipes { dir, inside, next: AtomicUsize::new(0) })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new pipe.
    pub(super) fn pipe(self: &Arc<Self>, way: Way) -> std::io::Result<Fifo> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.dir.path().join(&name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Fifo { inside: format!("{}/{name}", self.inside), path, way, _dir: self.clone() })
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
    const WELL: u8 = 1;
    const BADLY: u8 = 2;

    pub(super) fn has_ended(&self, well: bool) {
        self.0.store(if well { Self::WELL } else { Self::BADLY }, Ordering::Release);
    }
    fn runs(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
    fn failed(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::BADLY
    }
}

impl Fifo {
    /// What a shell in the container runs, with the program and its arguments as `$@`.
    pub(super) fn script(&self) -> String {
        let sign = if self.way == Way::In { '<' } else { '>' };
        format!(r#"exec "$@" {sign}{}"#, self.inside)
    }

    fn open(&self, options: &mut OpenOptions) -> std::io::Result<File> {
        let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.path)?;
        // A limit of the user's may forbid it; then it is only slower.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_BYTES);
        Ok(file)
    }

    /// The end that reads; opened before the process starts, so that nothing of it is missed.
    pub(super) fn reader(&self) -> std::io::Result<File> {
        self.open(OpenOptions::new().read(true))
    }

    /// Hands everything that the process writes to `sink`.
    pub(super) fn drain(
        mut from: File,
        other: &Other,
        sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let mut buf = vec![0_u8; PIPE_BYTES];
        let mut begun = false;
        loop {
            // Looked at before reading: what was written before its end is there by then.
            let (runs, failed) = (other.runs(), other.failed());
            if failed {
                // Its status tells; what else comes is of no use.
                return Ok(());
            }
            match from.read(&mut buf) {
                // Nobody has it open for writing: not yet, or not any more.
                Ok(0) if begun || !runs => return Ok(()),
                Ok(0) => {
                    if waited(&from, PollFlags::IN)?.contains(PollFlags::HUP) {
                        begun = true;
                    } else {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                Ok(n) => {
                    begun = true;
                    sink(&buf[..n])?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock && runs => drop(waited(&from, PollFlags::IN)?),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("cannot read what a program in a container printed", &e)),
            }
        }
    }

    /// Gives everything of `from` to the process. One that does not read to the end is judged by its status.
    pub(super) fn feed(&self, from: &mut (dyn Read + Send), other: &Other) -> Result<()> {
        let mut to = loop {
            match self.open(OpenOptions::new().write(true)) {
                Ok(file) => break file,
                // Nobody reads yet.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                    if !other.runs() {
                        return Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(e) => return Err(Error::io("cannot open a pipe to a container", &e)),
            }
        };
        let mut buf = vec![0_u8; 256 * 1024];
        loop {
            let n = match from.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("cannot read the data to send", &e)),
            };
            let mut left = &buf[..n];
            while !left.is_empty() {
                match to.write(left) {
                    Ok(n) => left = &left[n..],
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        if !other.runs() {
                            return Ok(());
                        }
                        waited(&to, PollFlags::OUT)?;
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Ok(()),
                }
            }
        }
    }
}

/// Waits until something can be done with a pipe, or it is time to look at the other side.
fn waited(file: &File, wanted: PollFlags) -> Result<PollFlags> {
    let mut fds = [PollFd::new(file, wanted)];
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds[0].revents()),
        Err(e) => Err(Error::io("cannot wait for a pipe", &e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_failing_sink_stops_the_program() {
        let r = cmd(&["yes"], Way::Out).pump(None, &mut |_| Err(Error::failed("disk-full", "no space")));
        assert_eq!(r.expect_err("sink failed").code, "disk-full");
    }
}
