//! The two ends of every decoder: what it reads from, and what its reader is given.
//!
//! Decoders wrap, rename and lose the errors of what they read from. [`Source`] keeps the original aside, so that
//! a lost connection is never reported as a damaged backup, nor the other way round.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::CodecError;

#[derive(Default)]
struct Seen {
    failure: Option<CodecError>,
    ended: bool,
}

/// What has been seen of the source, shared between it and the one who judges a decoder's error.
#[derive(Clone, Default)]
pub(super) struct Latch(Arc<Mutex<Seen>>);

impl Latch {
    fn with<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The source's own failure, if it had one.
    pub(super) fn failure(&self) -> Option<CodecError> {
        self.with(|seen| seen.failure.take())
    }

    /// Notes a failure that is found between the source and the decoder.
    pub(super) fn fail(&self, e: CodecError) {
        self.with(|seen| _ = seen.failure.get_or_insert(e));
    }

    /// Whether the source was read to its end.
    pub(super) fn ended(&self) -> bool {
        self.with(|seen| seen.ended)
    }

    /// What an error of the decoder means.
    pub(super) fn judge(&self, e: io::Error) -> CodecError {
        if let Some(below) = self.failure() {
            return below;
        }
        match e.downcast::<CodecError>() {
            Ok(judged) => judged,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && self.ended() => CodecError::Truncated,
            Err(e) => CodecError::Damaged(e.to_string()),
        }
    }
}

/// A reader that remembers how it ended.
pub(super) struct Source<R> {
    inner: R,
    latch: Latch,
}

impl<R> Source<R> {
    pub(super) fn new(inner: R) -> (Self, Latch) {
        let latch = Latch::default();
        (Source { inner, latch: latch.clone() }, latch)
    }
}

// rpgp wants its sources to be Debug; what is read is nobody's business.
impl<R> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Ok(0) if !buf.is_empty() => {
                self.latch.with(|seen| seen.ended = true);
                Ok(0)
            }
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                let kind = e.kind();
                self.latch.with(|seen| seen.failure = Some(e.into()));
                Err(kind.into())
            }
            other => other,
        }
    }
}

enum State<D> {
    Reading(D),
    Ended,
    Failed,
}

/// A decoder whose end can be believed: it gives its end of file only after the decoder's last check, and after an
/// error it never gives anything else.
pub(super) struct Guarded<D> {
    state: State<D>,
    latch: Latch,
}

impl<D> Guarded<D> {
    pub(super) fn new(decoder: D, latch: Latch) -> Self {
        Guarded { state: State::Reading(decoder), latch }
    }
}

impl<D: Read> Read for Guarded<D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let decoder = match &mut self.state {
            State::Reading(decoder) => decoder,
            State::Ended => return Ok(0),
            State::Failed => {
                return Err(CodecError::Damaged("an error was found in it before".into()).into());
            }
        };
        match decoder.read(buf) {
            Ok(0) => {
                self.state = State::Ended;
                Ok(0)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                self.state = State::Failed;
                Err(self.latch.judge(e).into())
            }
            read => read,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    struct Breaks(u8);
    impl Read for Breaks {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, "it is gone"));
            }
            self.0 -= 1;
            buf[0] = 7;
            Ok(1)
        }
    }

    #[test]
    fn an_error_is_kept_and_never_becomes_an_end() {
        let (source, latch) = Source::new(Breaks(2));
        let mut guarded = Guarded::new(source, latch);
        let mut all = Vec::new();
        let e = CodecError::from(guarded.read_to_end(&mut all).unwrap_err());
        assert!(matches!(&e, CodecError::Io(e) if e.to_string() == "it is gone"), "{e:?}");
        assert_eq!(all, [7, 7]);
        assert!(guarded.read(&mut [0; 4]).is_err());
        assert!(guarded.read(&mut [0; 4]).is_err());
    }

    #[test]
    fn an_early_end_is_told_from_damage() {
        let (mut source, latch) = Source::new(&b"abc"[..]);
        let early = || io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(matches!(latch.judge(early()), CodecError::Damaged(_)));
        source.read_to_end(&mut Vec::new()).unwrap();
        assert!(matches!(latch.judge(early()), CodecError::Truncated));
        assert!(matches!(latch.judge(io::ErrorKind::InvalidData.into()), CodecError::Damaged(_)));
    }
}
