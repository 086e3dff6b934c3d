//! What can go wrong between a backup's bytes and its content.

use std::io;

/// Why a backup file could not be written or read.
///
/// Readers and writers speak [`io::Read`] and [`io::Write`], so the error travels inside an [`io::Error`];
/// `CodecError::from` takes it out again.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Nothing that was given opens the file.
    #[error(
        "no key or passphrase that was given opens the file; give the secret key of one of its recipients"
    )]
    WrongKey,
    /// The bytes are not what was written. What was read before this error may be wrong too.
    #[error("the file is damaged or was changed ({0}); use nothing of it and take another copy")]
    Damaged(String),
    /// The file stops before its end.
    #[error("the file ends too early, so a part is missing; take another copy")]
    Truncated,
    /// A secret key is locked, and its passphrase is missing or wrong.
    #[error("the secret key is locked and its passphrase is missing or wrong; give the right passphrase")]
    NeedsPassphrase,
    /// What opens files, or signs, outside of this process could not do it, for no fault of the file: its own words.
    #[error("gpg did not do it: {0}")]
    Outside(String),
    /// A file, key or setting of a kind that is not handled here. Says what it is and what to do.
    #[error("{0}")]
    Unsupported(String),
    /// Reading or writing failed below; the data itself was not judged.
    #[error("reading or writing the file failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for CodecError {
    fn from(e: io::Error) -> Self {
        match e.downcast::<CodecError>() {
            Ok(inner) => inner,
            Err(e) => CodecError::Io(e),
        }
    }
}

impl From<CodecError> for io::Error {
    fn from(e: CodecError) -> Self {
        let kind = match &e {
            CodecError::WrongKey | CodecError::NeedsPassphrase | CodecError::Outside(_) => {
                io::ErrorKind::PermissionDenied
            }
            CodecError::Damaged(_) => io::ErrorKind::InvalidData,
            CodecError::Truncated => io::ErrorKind::UnexpectedEof,
            CodecError::Unsupported(_) => io::ErrorKind::Unsupported,
            CodecError::Io(_) => {
                let CodecError::Io(inner) = e else { return io::ErrorKind::Other.into() };
                return inner;
            }
        };
        io::Error::new(kind, e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_through_io() {
        let through = |e: CodecError| CodecError::from(io::Error::from(e));
        assert!(matches!(through(CodecError::WrongKey), CodecError::WrongKey));
        assert!(matches!(through(CodecError::Truncated), CodecError::Truncated));
        assert!(matches!(through(CodecError::Damaged("x".into())), CodecError::Damaged(w) if w == "x"));
        let below = io::Error::from(io::ErrorKind::StorageFull);
        assert!(
            matches!(through(CodecError::Io(below)), CodecError::Io(e) if e.kind() == io::ErrorKind::StorageFull)
        );
    }
}
