//! What a storage can answer, sorted by what a person can do about it.

use std::fmt;
use std::io;

/// One refusal: what was attempted, where, why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was attempted, with the name of the object.
    pub what: String,
    /// The storage, as [`crate::storage::Storage::describe`] names it.
    pub storage: String,
    /// The storage's own word. Never holds a secret.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} on {}: {}", self.what, self.storage, self.why)
    }
}

/// Why a storage did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The configuration makes no sense; nothing was contacted.
    #[error("{0}")]
    Config(String),
    /// The object, bucket or directory is not there.
    #[error("{0}. Check the bucket's or directory's name, and whether something else removes files there")]
    NotFound(Refusal),
    /// The storage knows us and says no, or does not know us.
    #[error(
        "{0}. Check user, key or password, and that this user may list, read, write, rename and delete there"
    )]
    Denied(Refusal),
    /// No room: disk, quota or largest file.
    #[error("{0}. Make room there, or delete old sets")]
    Full(Refusal),
    /// Nobody answers, or the answer took too long. Trying again later may help.
    #[error("{0}. Check address, port and network; a later attempt may succeed")]
    Unreachable(Refusal),
    /// Anything else.
    #[error("{0}")]
    Other(Refusal),
}

impl StorageError {
    /// Whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, StorageError::NotFound(_))
    }

    /// The refusal; none when the configuration is at fault.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            StorageError::Config(_) => None,
            StorageError::NotFound(r)
            | StorageError::Denied(r)
            | StorageError::Full(r)
            | StorageError::Unreachable(r)
            | StorageError::Other(r) => Some(r),
        }
    }
}

/// What kind of refusal a text or an error number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    NotFound,
    Denied,
    Full,
    Unreachable,
    Other,
}

/// Makes errors of one storage.
#[derive(Debug, Clone)]
pub(crate) struct Refuser {
    pub(crate) storage: String,
}

impl Refuser {
    pub(crate) fn refuse(&self, sort: Sort, what: impl Into<String>, why: impl fmt::Display) -> StorageError {
        let r = Refusal { what: what.into(), storage: self.storage.clone(), why: why.to_string() };
        match sort {
            Sort::NotFound => StorageError::NotFound(r),
            Sort::Denied => StorageError::Denied(r),
            Sort::Full => StorageError::Full(r),
            Sort::Unreachable => StorageError::Unreachable(r),
            Sort::Other => StorageError::Other(r),
        }
    }

    pub(crate) fn io(&self, what: impl Into<String>, e: &io::Error) -> StorageError {
        self.refuse(sort_io(e), what, e)
    }
}

pub(crate) fn sort_io(e: &io::Error) -> Sort {
    use io::ErrorKind as K;
    match e.kind() {
        K::NotFound => Sort::NotFound,
        K::PermissionDenied | K::ReadOnlyFilesystem => Sort::Denied,
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => Sort::Full,
        K::ConnectionRefused
        | K::ConnectionReset
        | K::ConnectionAborted
        | K::HostUnreachable
        | K::NetworkUnreachable
        | K::NetworkDown
        | K::NotConnected
        | K::TimedOut
        | K::WouldBlock
        | K::UnexpectedEof
        | K::BrokenPipe
        | K::StaleNetworkFileHandle => Sort::Unreachable,
        _ => Sort::Other,
    }
}

/// Sorts by words, for protocols that say more in words than in numbers.
#[cfg(any(feature = "remote", feature = "ftp"))]
pub(crate) fn sort_words(text: &str) -> Option<Sort> {
    const FULL: [&str; 8] = [
        "no space",
        "disk full",
        "quota",
        "insufficient storage",
        "entitytoolarge",
        "notenoughspace",
        "file too large",
        "insufficient_space",
    ];
    const DENIED: [&str; 12] = [
        "permission denied",
        "host key verification failed",
        "accessdenied",
        "access denied",
        "invalidaccesskeyid",
        "signaturedoesnotmatch",
        "authenticationfailed",
        "unauthorized",
        "forbidden",
        "not enough privileges",
        "certificate",
        "notallowed",
    ];
    const MISSING: [&str; 4] = ["nosuchbucket", "containernotfound", "no such file", "not found"];
    const AWAY: [&str; 12] = [
        "connection refused",
        "connection reset",
        "connection closed",
        "connection timed out",
        "could not resolve",
        "name or service not known",
        "dns error",
        "timed out",
        "timeout",
        "no route to host",
        "network is unreachable",
        "broken pipe",
    ];
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    if has(&FULL) {
        Some(Sort::Full)
    } else if has(&DENIED) {
        Some(Sort::Denied)
    } else if has(&AWAY) {
        Some(Sort::Unreachable)
    } else if has(&MISSING) {
        Some(Sort::NotFound)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_why_and_what_next() {
        let r = Refuser { storage: "S3 bucket b".into() };
        let text = r.refuse(Sort::Denied, "write `set/app.dump`", "AccessDenied").to_string();
        for words in ["write `set/app.dump`", "S3 bucket b", "AccessDenied", "Check user"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn io_errors_are_sorted() {
        assert_eq!(sort_io(&io::Error::from_raw_os_error(28)), Sort::Full);
        assert_eq!(sort_io(&io::Error::from_raw_os_error(122)), Sort::Full);
        assert_eq!(sort_io(&io::Error::from_raw_os_error(30)), Sort::Denied);
        assert_eq!(sort_io(&io::ErrorKind::ConnectionRefused.into()), Sort::Unreachable);
    }

    #[cfg(any(feature = "remote", feature = "ftp"))]
    #[test]
    fn words_are_sorted() {
        assert_eq!(sort_words("552 Disk full"), Some(Sort::Full));
        assert_eq!(sort_words("Host key verification failed."), Some(Sort::Denied));
        assert_eq!(sort_words("NoSuchBucket"), Some(Sort::NotFound));
        assert_eq!(sort_words("all is well"), None);
    }
}
