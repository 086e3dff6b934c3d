//! Commands with an end.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that takes seconds on an idle machine.
pub const LIMIT: Duration = Duration::from_mins(10);

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command, in words.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Fails the test unless the command succeeded.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }
    /// Fails the test unless the command ended with this status.
    #[must_use]
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }
    /// Fails the test unless the command was killed with SIGKILL.
    #[must_use]
    #[track_caller]
    pub fn was_killed(self) -> Self {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(self.status.signal(), Some(9), "should have been killed\n{self}");
        self
    }
    /// Fails the test unless standard error holds all of these.
    #[must_use]
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for w in words {
            assert!(self.stderr.contains(w), "standard error lacks {w:?}\n{self}");
        }
        self
    }
    /// Fails the test unless standard output holds all of these.
    #[must_use]
    #[track_caller]
    pub fn prints(self, words: &[&str]) -> Self {
        for w in words {
            assert!(self.stdout.contains(w), "standard output lacks {w:?}\n{self}");
        }
        self
    }
    /// Standard output as the one JSON document that it must be.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(v) => v,
            Err(e) => panic!("standard output is not one JSON document: {e}\n{self}"),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}\n{}", self.command, self.status)?;
        writeln!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout.trim_end(), self.stderr.trim_end())
    }
}

/// Words of a command, for messages.
pub(crate) fn words(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|a| a.to_string_lossy().chars().take(200).collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn spawn(command: &mut Command, input: bool) -> Child {
    let stdin = if input { Stdio::piped() } else { Stdio::null() };
    let started = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    match started {
        Ok(child) => child,
        Err(e) => panic!("cannot start {}: {e}; {}", words(command), crate::SETUP),
    }
}

/// Reads both streams in the background.
pub(crate) struct Streams(std::thread::JoinHandle<String>, std::thread::JoinHandle<String>);

impl Streams {
    pub(crate) fn of(child: &mut Child) -> Self {
        fn drain(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut s) = stream {
                    let _ = s.read_to_end(&mut bytes);
                }
                String::from_utf8_lossy(&bytes).into_owned()
            })
        }
        Streams(drain(child.stdout.take()), drain(child.stderr.take()))
    }
    pub(crate) fn join(self) -> (String, String) {
        (self.0.join().unwrap_or_default(), self.1.join().unwrap_or_default())
    }
}

/// Waits for a child; kills it and fails the test when it takes too long.
#[track_caller]
pub(crate) fn finish(mut child: Child, streams: Streams, command: String, limit: Duration) -> Ran {
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(e) => panic!("cannot wait for {command}: {e}"),
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            let (stdout, stderr) = streams.join();
            panic!("{command} did not end within {} s\n{stdout}\n{stderr}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = streams.join();
    Ran { command, status, stdout, stderr }
}

/// Runs a command to its end, feeding it `input`.
#[track_caller]
pub fn run(command: &mut Command, input: Option<&[u8]>) -> Ran {
    let name = words(command);
    let mut child = spawn(command, input.is_some());
    let streams = Streams::of(&mut child);
    let feeder = input.map(|bytes| {
        let mut stdin = child.stdin.take();
        let bytes = bytes.to_vec();
        std::thread::spawn(move || {
            if let Some(s) = stdin.as_mut() {
                // A child that stops reading says why itself.
                let _ = s.write_all(&bytes);
            }
        })
    });
    let ran = finish(child, streams, name, LIMIT);
    if let Some(f) = feeder {
        let _ = f.join();
    }
    ran
}

/// Runs `docker` with these arguments.
#[track_caller]
pub(crate) fn docker<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(args: I) -> Ran {
    run(Command::new("docker").args(args), None)
}
