//! The only place that starts processes.
//!
//! Invariants: children run in their own process group, so that Ctrl-C at a terminal reaches repot alone
//! and repot decides in which order things stop; no child outlives repot (`PR_SET_PDEATHSIG`), so that after
//! `kill -9` a resumed run does not race with the leftovers of the old one; secrets travel in the child's
//! environment or standard input, never in its arguments.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;

mod conversation;
mod filter;
mod pipes;
pub use conversation::Conversation;
pub use filter::{Filter, JudgeEnd};
use pipes::{Fifo, Other};
pub use pipes::{Pipes, Way};

/// How much of a captured stream is kept, in bytes; what tools print beyond it is dropped.
const CAPTURE_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// How much of standard error is kept for messages, in bytes.
const STDERR_LIMIT_BYTES: usize = 64 * 1024;
/// How often a waiting parent looks at the child and at the interrupt flag.
const POLL: Duration = Duration::from_millis(15);

/// A command to run, built up and then run once.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    env_remove: Vec<OsString>,
    cwd: Option<PathBuf>,
    stdin: Vec<u8>,
    timeout: Option<Duration>,
    interruptible: bool,
    grace: Duration,
    /// Where the program's own words begin, among those of docker, and what it is if not the first of them.
    pipes: Option<(Arc<Pipes>, usize, Option<String>)>,
    fifo: Option<Arc<Fifo>>,
}

/// What a finished child said.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output, at most [`CAPTURE_LIMIT_BYTES`].
    pub stdout: Vec<u8>,
    /// The last part of standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Standard output as text, without trailing white space.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
    /// Whether the child succeeded.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.status.success()
    }
}

impl Cmd {
    /// A command that runs `program`, found in PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Cmd {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            timeout: None,
            interruptible: true,
            grace: Duration::from_secs(5),
            pipes: None,
            fifo: None,
        }
    }
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }
    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }
    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }
    /// Removes a variable from the child's environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env_remove.push(name.as_ref().to_owned());
        self
    }
    /// Runs in `dir`.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }
    /// Feeds `bytes` to standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }
    /// Gives up after `limit`.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
    /// Lets the child finish even when a stop was asked for: for short steps that must not be cut in half.
    #[must_use]
    pub fn uninterruptible(mut self) -> Self {
        self.interruptible = false;
        self
    }

    /// How long a child that was asked to stop has before it is ended.
    #[must_use]
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }

    /// Says that what follows are the words of a program in a container that sees these pipes; the program is
    /// `entrypoint`, a shell, or else the first of the words.
    #[must_use]
    pub fn pipes(mut self, pipes: Option<Arc<Pipes>>, entrypoint: Option<&str>) -> Self {
        self.pipes = pipes.map(|p| (p, self.args.len(), entrypoint.map(str::to_owned)));
        self
    }

    /// Much is to come or go on this stream: it takes a pipe of its own, where there can be one. To be run with
    /// [`Cmd::pump`], once at a time.
    #[must_use]
    pub fn bulk(mut self, way: Way) -> Self {
        let Some((pipes, at, entrypoint)) = &self.pipes else { return self };
        // Without one it is only slower.
        let Ok(fifo) = pipes.pipe(way) else { return self };
        let mut words = vec!["-c".to_owned(), fifo.script(), "sh".to_owned()];
        match entrypoint {
            // The shell that is the entrypoint takes the script first.
            Some(e) => words.push(e.clone()),
            None => words.insert(0, "sh".to_owned()),
        }
        self.args.splice(*at..*at, words.into_iter().map(OsString::from));
        self.fifo = Some(Arc::new(fifo));
        self
    }

    fn name(&self) -> String {
        let mut words = vec![self.program.to_string_lossy().into_owned()];
        for a in self.args.iter().take(4) {
            let a = a.to_string_lossy();
            words.push(if a.len() > 60 { "…".to_owned() } else { a.into_owned() });
        }
        words.join(" ")
    }

    #[allow(clippy::disallowed_methods, reason = "the one place")]
    fn build(&self) -> Command {
        let mut cmd = Command::new(&self.program);
        cmd.args(&self.args).process_group(0);
        for n in &self.env_remove {
            cmd.env_remove(n);
        }
        for (n, v) in &self.env {
            cmd.env(n, v);
        }
        if let Some(dir) = &self.cwd {
            cmd.current_dir(dir);
        }
        die_with_parent(&mut cmd);
        cmd
    }

    fn start_error(&self, e: &std::io::Error) -> Error {
        let program = self.program.to_string_lossy();
        let err = Error::failed("cannot-start", format!("cannot start `{program}`")).why(e);
        if e.kind() == std::io::ErrorKind::NotFound {
            return Error { code: "program-missing", ..err }
                .help(format!("install `{program}` or put it in PATH"));
        }
        err
    }

    /// Runs to the end and returns what it said, whatever its exit status.
    pub fn output(&self) -> Result<Output> {
        let input = self.stdin.clone();
        let mut out = Vec::new();
        let (status, stderr) = self.pump(Some(&mut input.as_slice()), &mut |chunk| {
            if out.len() < CAPTURE_LIMIT_BYTES {
                out.extend_from_slice(chunk);
            }
            Ok(())
        })?;
        Ok(Output { status, stdout: out, stderr })
    }

    /// Runs to the end; a non-zero exit is an error that quotes the child's own words.
    pub fn run(&self) -> Result<Output> {
        let out = self.output()?;
        if out.ok() { Ok(out) } else { Err(self.exit_error(out.status, &out.stderr)) }
    }

    /// The error for a child that ended with `status`.
    #[must_use]
    pub fn exit_error(&self, status: ExitStatus, stderr: &str) -> Error {
        let e = Error::failed("command-failed", format!("`{}` ended with {status}", self.name()));
        e.why(last_lines(stderr, 12))
    }

    /// Streams: everything read from `input` goes to the child's standard input, every chunk it prints goes to
    /// `sink`. Neither side is ever held in memory. Returns the exit status and the end of standard error.
    ///
    /// An error of `sink` or of reading `input` stops the child and is returned; a child that stops reading
    /// early (EPIPE) is not an error of ours, its exit status tells.
    pub fn pump(
        &self,
        input: Option<&mut (dyn Read + Send)>,
        sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<(ExitStatus, String)> {
        let by_pipe = |way| self.fifo.as_deref().filter(|f| f.way == way);
        let (fifo_in, fifo_out) = (by_pipe(Way::In), by_pipe(Way::Out));
        let other = &Other::default();
        let no_pipe = |e| Error::io("cannot open a pipe to a container", &e);
        let reader = fifo_out.map(|f| f.reader(other).map_err(no_pipe)).transpose()?;
        let stream = |piped| if piped { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .build()
            .stdin(stream(input.is_some() && fifo_in.is_none()))
            .stdout(stream(fifo_out.is_none()))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.start_error(&e))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take().expect("stderr is piped");

        let pid = child.id();
        let (status, stderr, fed, drained) = std::thread::scope(|scope| {
            let errors = scope.spawn(move || tail(stderr));
            let feeder = scope.spawn(move || match (stdin, fifo_in, input) {
                (_, Some(fifo), from) => match fifo.writer(other).map_err(no_pipe)? {
                    Some(to) => feed(from.unwrap_or(&mut std::io::empty()), to),
                    None => Ok(()),
                },
                (Some(to), _, Some(from)) => feed(from, to),
                _ => Ok(()),
            });
            let drainer = scope.spawn(move || {
                let r = match (reader, stdout) {
                    (Some(from), _) => drain(from, sink),
                    (_, Some(from)) => drain(from, sink),
                    _ => Ok(()),
                };
                if r.is_err() {
                    // Nobody reads any more: end the child rather than leave it blocked on a full pipe.
                    signal_group(pid, rustix::process::Signal::TERM);
                }
                r
            });
            let status = self.wait(&mut child);
            // A program that ended badly has said all the same what it said.
            other.has_ended(status.as_ref().is_ok_and(|s| s.code().is_some()));
            (
                status,
                errors.join().unwrap_or_default(),
                feeder.join().unwrap_or(Ok(())),
                drainer.join().unwrap_or(Ok(())),
            )
        });
        drained?;
        fed?;
        Ok((status?, stderr))
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let started = Instant::now();
        let mut asked: Option<(Instant, Error)> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(|e| self.start_error(&e))? {
                return match asked {
                    Some((_, error)) => Err(error),
                    None => Ok(status),
                };
            }
            match &asked {
                None => {
                    if self.interruptible && interrupt::requested() {
                        signal_group(child.id(), rustix::process::Signal::TERM);
                        asked = Some((Instant::now(), interrupt::check().expect_err("requested")));
                    } else if let Some(limit) = self.timeout.filter(|l| started.elapsed() > *l) {
                        signal_group(child.id(), rustix::process::Signal::TERM);
                        let what = format!("`{}` did not finish within {} s", self.name(), limit.as_secs());
                        asked = Some((Instant::now(), Error::failed("timeout", what).retryable()));
                    }
                }
                Some((when, _)) if when.elapsed() > self.grace => {
                    signal_group(child.id(), rustix::process::Signal::KILL);
                }
                Some(_) => {}
            }
            std::thread::sleep(POLL);
        }
    }

    /// Runs to the end with our own standard output and error as its own; its standard input is empty. Where a stop
    /// is asked for meanwhile, the child is asked too, and its status is what it makes of that.
    pub fn pass_through(&self) -> Result<ExitStatus> {
        let mut child = self
            .build()
            .stdin(Stdio::null())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|e| self.start_error(&e))?;
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(|e| self.start_error(&e))? {
                return Ok(status);
            }
            match asked {
                None if interrupt::requested() => {
                    signal_process(child.id(), rustix::process::Signal::TERM);
                    asked = Some(Instant::now());
                }
                Some(when) if when.elapsed() > self.grace => {
                    signal_group(child.id(), rustix::process::Signal::KILL);
                }
                _ => {}
            }
            std::thread::sleep(POLL);
        }
    }

    /// Starts the command and keeps its standard input open until the result is dropped. Its output is discarded.
    /// To be called from a thread that lives as long as the process: the child dies with the thread.
    pub fn hold(&self) -> Result<Held> {
        let child = self
            .build()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| self.start_error(&e))?;
        Ok(Held { child })
    }

    /// Starts the command with both streams in the hands of the caller, as one two-way byte stream. Used to
    /// speak the PostgreSQL protocol through `docker exec`. Must be called inside a tokio runtime.
    pub fn duplex(&self) -> Result<Duplex> {
        let mut cmd = tokio::process::Command::from(self.build());
        let mut child = cmd
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.start_error(&e))?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let sink = said.clone();
        tokio::spawn(async move {
            use tokio::io::AsyncReadExt;
            let mut stderr = stderr;
            let mut buf = [0_u8; 4096];
            while let Ok(n) = stderr.read(&mut buf).await {
                if n == 0 {
                    break;
                }
                if let Ok(mut s) = sink.lock().map_err(|_| ())
                    && s.len() < STDERR_LIMIT_BYTES
                {
                    s.push_str(&String::from_utf8_lossy(&buf[..n]));
                }
            }
        });
        Ok(Duplex { io: tokio::io::join(stdout, stdin), stderr: said, child })
    }
}

/// A child that is held, see [`Cmd::hold`].
#[derive(Debug)]
pub struct Held {
    child: Child,
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended with what it was tied to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child's two streams as one, see [`Cmd::duplex`].
#[derive(Debug)]
pub struct Duplex {
    /// Reads from the child's standard output, writes to its standard input.
    pub io: tokio::io::Join<tokio::process::ChildStdout, tokio::process::ChildStdin>,
    /// What the child said on standard error so far.
    pub stderr: std::sync::Arc<std::sync::Mutex<String>>,
    /// The child itself; it ends when this is dropped.
    pub child: tokio::process::Child,
}

#[allow(unsafe_code, reason = "pre_exec is the only way to set PDEATHSIG before the program starts")]
fn die_with_parent(cmd: &mut Command) {
    // SAFETY: only async-signal-safe system calls between fork and exec.
    unsafe {
        cmd.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .map_err(std::io::Error::from)
        });
    }
}

/// To the child alone: it decides in which order its own children stop.
fn signal_process(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn signal_group(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // The child may be gone already; that is fine.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

fn tail(mut from: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buf = [0_u8; 8192];
    while let Ok(n) = from.read(&mut buf) {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&buf[..n]);
        if kept.len() > 2 * STDERR_LIMIT_BYTES {
            kept.drain(..kept.len() - STDERR_LIMIT_BYTES);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn feed(from: &mut (dyn Read + Send), mut to: impl Write) -> Result<()> {
    let mut buf = vec![0_u8; 256 * 1024];
    loop {
        let n = match from.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io("cannot read the data to send", &e)),
        };
        if to.write_all(&buf[..n]).is_err() {
            return Ok(());
        }
    }
}

fn drain(mut from: impl Read, sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send)) -> Result<()> {
    let mut buf = vec![0_u8; 256 * 1024];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => sink(&buf[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("cannot read what a child printed", &e)),
        }
    }
}

/// The last `n` non-empty lines of `text`: what tools say last is what matters.
#[must_use]
pub fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_keeps_streams_and_status_apart() {
        let out =
            Cmd::new("sh").args(["-c", "cat; echo oops >&2; exit 3"]).stdin("hi").output().expect("runs");
        assert_eq!((out.text().as_str(), out.stderr.trim(), out.status.code()), ("hi", "oops", Some(3)));
    }

    #[test]
    fn a_missing_program_is_named() {
        let e = Cmd::new("no-such-program-here").run().expect_err("cannot run");
        assert_eq!(e.code, "program-missing");
        assert!(e.to_string().contains("no-such-program-here"), "{e}");
    }

    #[test]
    fn a_time_limit_ends_the_child() {
        let e = Cmd::new("sleep").arg("60").timeout(Duration::from_millis(50)).run().expect_err("too slow");
        assert_eq!(e.code, "timeout");
    }

    #[test]
    fn a_failing_sink_stops_the_child() {
        let r = Cmd::new("yes").pump(None, &mut |_| Err(Error::failed("disk-full", "no space")));
        assert_eq!(r.expect_err("sink failed").code, "disk-full");
    }

    #[test]
    fn a_child_that_stops_reading_is_judged_by_its_status() {
        let mut input = std::io::repeat(b'x').take(10_000_000);
        let (status, _) = Cmd::new("true").pump(Some(&mut input), &mut |_| Ok(())).expect("no error of ours");
        assert!(status.success());
    }
}
