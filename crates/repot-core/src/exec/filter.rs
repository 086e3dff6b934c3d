//! A child as a reader: what it makes of another reader's bytes.

use std::io::{self, Read};
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, sync_channel};

use super::Cmd;
use crate::error::{Error, Result};

/// Blocks that wait to be read; the child waits beyond them. One has at most the size that `drain` reads at once.
const BLOCKS_AHEAD: usize = 4;

enum Piece {
    Block(Vec<u8>),
    End(Result<(ExitStatus, String)>),
}

/// What is to be made of a child's end: its status and what it said on standard error, or why that cannot be told. `Ok`
/// makes it the end of the stream.
pub type JudgeEnd = dyn FnOnce(Result<(ExitStatus, String)>) -> io::Result<()> + Send;

/// What a child prints, see [`Cmd::filter`].
pub struct Filter {
    pieces: Receiver<Piece>,
    block: Vec<u8>,
    taken: usize,
    /// None once the end has been judged.
    judge: Option<Box<JudgeEnd>>,
    failed: bool,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("ended", &self.judge.is_none()).finish_non_exhaustive()
    }
}

impl Cmd {
    /// Starts the command with `input` on its standard input; what it prints is read. Its end of file comes only after
    /// the child has ended and `judge` has said yes to how: whatever was read before is not proved. A child whose output
    /// nobody wants any more (the reader is dropped) is ended.
    ///
    /// The child has a thread of its own, so it does not matter which one reads.
    pub fn filter(&self, mut input: Box<dyn Read + Send>, judge: Box<JudgeEnd>) -> io::Result<Filter> {
        let (send, pieces) = sync_channel(BLOCKS_AHEAD);
        let cmd = self.clone();
        std::thread::Builder::new().name("filter".into()).spawn(move || {
            let ended = cmd.pump(Some(&mut *input), &mut |chunk| {
                let gone = |_| Error::failed("bug", "nobody reads any more");
                send.send(Piece::Block(chunk.to_vec())).map_err(gone)
            });
            // Where nobody reads any more, nobody wants to know.
            let _ = send.send(Piece::End(ended));
        })?;
        Ok(Filter { pieces, block: Vec::new(), taken: 0, judge: Some(judge), failed: false })
    }
}

impl Read for Filter {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.taken == self.block.len() {
            let Some(judge) = self.judge.take() else {
                let again = || Err(io::Error::other("the command that gives this has failed before"));
                return if self.failed { again() } else { Ok(0) };
            };
            let ended = match self.pieces.recv() {
                Ok(Piece::Block(block)) => {
                    (self.block, self.taken, self.judge) = (block, 0, Some(judge));
                    continue;
                }
                Ok(Piece::End(ended)) => ended,
                Err(_) => Err(Error::failed("bug", "the thread of a command stopped")),
            };
            self.failed = true;
            judge(ended)?;
            self.failed = false;
        }
        let n = buf.len().min(self.block.len() - self.taken);
        buf[..n].copy_from_slice(&self.block[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(script: &str, input: impl Read + Send + 'static) -> Filter {
        let judge = |ended: Result<(ExitStatus, String)>| match ended {
            Ok((status, _)) if status.success() => Ok(()),
            Ok((_, stderr)) => Err(io::Error::other(stderr)),
            Err(e) => Err(io::Error::other(e)),
        };
        Cmd::new("sh").args(["-c", script]).filter(Box::new(input), Box::new(judge)).expect("starts")
    }

    #[test]
    fn the_end_comes_after_a_status_that_is_good() {
        let mut all = Vec::new();
        let n = filter("cat", io::repeat(7).take(3_000_000)).read_to_end(&mut all).expect("is read");
        assert_eq!((n, all.iter().all(|b| *b == 7)), (3_000_000, true));
        let mut all = Vec::new();
        let mut bad = filter("cat; echo no >&2; exit 2", &b"abc"[..]);
        let e = bad.read_to_end(&mut all).expect_err("a bad status is no end");
        assert_eq!((all.as_slice(), e.to_string().trim()), (&b"abc"[..], "no"));
        assert!(bad.read(&mut [0; 4]).is_err(), "nor is it one later");
    }

    #[test]
    fn a_child_that_nobody_reads_is_ended() {
        let mut endless = filter("echo $$; exec cat /dev/zero", io::empty());
        let mut head = [0; 64];
        let n = endless.read(&mut head).expect("is read");
        let text = String::from_utf8_lossy(&head[..n]).into_owned();
        let pid = text.split('\n').next().expect("a line").to_owned();
        let there = || std::path::Path::new("/proc").join(&pid).exists();
        assert!(there());
        drop(endless);
        for _ in 0..500 {
            if !there() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{pid} still runs");
    }
}
