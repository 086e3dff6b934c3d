//! The one error type of the library: what happened, to what, why, what to do next.

use std::fmt;

/// What kind of failure this is; each kind has one stable code and one exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A step failed after work had begun. Exit status 1.
    Failed,
    /// The command or its configuration makes no sense. Exit status 2.
    Usage,
    /// Refused before anything was touched. Exit status 3.
    Refused,
    /// Old and new differ. Exit status 4.
    Differences,
    /// An unfinished run, or another repot, is in the way. Exit status 5.
    Unfinished,
    /// A person or the system asked us to stop (SIGINT, SIGTERM). Exit status 1.
    Interrupted,
}

impl Kind {
    /// The process exit status that the manual promises for this kind.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Kind::Failed | Kind::Interrupted => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Differences => 4,
            Kind::Unfinished => 5,
        }
    }
}

/// An error a person can act on.
#[derive(Debug, Clone)]
pub struct Error {
    /// The kind, which decides the exit status.
    pub kind: Kind,
    /// Stable identifier for scripts and the manual, such as `docker-unreachable`.
    pub code: &'static str,
    /// What happened, to which object.
    pub what: String,
    /// Why, in the words of whoever said it (a server, Docker, the kernel).
    pub why: Option<String>,
    /// What to do next.
    pub help: Option<String>,
    /// Whether the same call may succeed later with nothing changed.
    pub retryable: bool,
}

/// Shorthand used throughout.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A new error of `kind`.
    pub fn new(kind: Kind, code: &'static str, what: impl Into<String>) -> Self {
        Error { kind, code, what: what.into(), why: None, help: None, retryable: false }
    }
    /// A failure after work had begun.
    pub fn failed(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, code, what)
    }
    /// A refusal before anything was touched.
    pub fn refused(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Refused, code, what)
    }
    /// A wrong call.
    pub fn usage(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, code, what)
    }
    /// Adds the reason.
    #[must_use]
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        let text = why.to_string();
        let text = text.trim();
        if !text.is_empty() {
            self.why = Some(text.to_owned());
        }
        self
    }
    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// Marks the error as one that may pass by itself.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
    /// The same error with another kind: a probe's failure during `check` is a refusal, not a failed run.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        if self.kind != Kind::Interrupted {
            self.kind = kind;
        }
        self
    }
    /// An I/O error on a named object.
    pub fn io(what: impl Into<String>, source: &std::io::Error) -> Self {
        let code = if source.kind() == std::io::ErrorKind::StorageFull { "disk-full" } else { "io" };
        let e = Self::failed(code, what).why(source);
        match source.kind() {
            std::io::ErrorKind::StorageFull => {
                e.help("free some space on that disk, then run `repot resume`")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                e.help("make it writable for the user that runs repot")
            }
            _ => e,
        }
    }
}

/// Whether a program's words say that a disk is full (strerror of ENOSPC, which PostgreSQL and busybox print).
#[must_use]
pub fn speaks_of_full_disk(words: &str) -> bool {
    words.to_lowercase().contains("no space left")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
