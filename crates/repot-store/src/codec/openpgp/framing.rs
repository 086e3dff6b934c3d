//! Watches over the packets of a file on their way to rpgp.
//!
//! rpgp 0.21 takes an input that stops inside a packet header for a proper end, also where it looks for what
//! follows the data. Anybody could make such an end, and the MDC would never be compared. So the packets' lengths
//! are followed here: a file ends where its encrypted packet ends, or reading it fails.

use std::fmt;
use std::io::{self, Read};

use crate::codec::CodecError;
use crate::codec::source::Latch;

/// Symmetrically encrypted data: old, with an MDC, GnuPG's AEAD.
const DATA_TAGS: [u8; 3] = [9, 18, 20];

enum At {
    /// Before a packet.
    Border,
    /// In a header: its tag, whether it is of the new kind, whether it goes on a partial packet.
    Length { tag: u8, new: bool, digits: Vec<u8>, wanted: usize },
    /// In a body: how much is left, and whether another part follows.
    Body { tag: u8, left: u64, partial: bool },
    /// In a body without a length.
    Rest,
    /// Behind the encrypted data.
    End,
}

/// A reader of binary OpenPGP packets that ends after the encrypted one, or fails.
pub(super) struct Framing<R> {
    inner: R,
    at: At,
    latch: Latch,
}

impl<R> fmt::Debug for Framing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Framing")
    }
}

impl<R: Read> Framing<R> {
    pub(super) fn new(inner: R, latch: Latch) -> Self {
        Framing { inner, at: At::Border, latch }
    }

    fn fail(&self, e: CodecError) -> io::Error {
        self.latch.fail(e);
        // Not UnexpectedEof: rpgp would pass over it.
        io::ErrorKind::InvalidData.into()
    }

    fn body(tag: u8, left: u64, partial: bool) -> At {
        match (left, partial) {
            (0, false) if DATA_TAGS.contains(&tag) => At::End,
            (0, false) => At::Border,
            (0, true) => At::Length { tag, new: true, digits: Vec::new(), wanted: 1 },
            _ => At::Body { tag, left, partial },
        }
    }

    /// Follows one byte of a header.
    fn header(&mut self, byte: u8) -> Result<(), CodecError> {
        self.at = match std::mem::replace(&mut self.at, At::End) {
            At::Border if byte & 0xc0 == 0xc0 => {
                At::Length { tag: byte & 0x3f, new: true, digits: Vec::new(), wanted: 1 }
            }
            At::Border if byte & 0x80 != 0 => match byte & 3 {
                3 => At::Rest,
                kind => {
                    At::Length { tag: (byte >> 2) & 15, new: false, digits: Vec::new(), wanted: 1 << kind }
                }
            },
            At::Border => return Err(CodecError::Damaged("a packet has no header".into())),
            At::Length { tag, new, mut digits, mut wanted } => {
                digits.push(byte);
                if new && digits.len() == 1 {
                    wanted = match byte {
                        192..=223 => 2,
                        255 => 5,
                        _ => 1,
                    };
                }
                if digits.len() < wanted {
                    At::Length { tag, new, digits, wanted }
                } else {
                    let number = |d: &[u8]| d.iter().fold(0, |n: u64, b| n << 8 | u64::from(*b));
                    match (new, digits.as_slice()) {
                        (true, [d @ 0..=191]) => Self::body(tag, u64::from(*d), false),
                        (true, [d @ 224..=254]) => Self::body(tag, 1 << (d & 31), true),
                        (true, [a, b]) => {
                            Self::body(tag, (u64::from(*a) - 192) * 256 + u64::from(*b) + 192, false)
                        }
                        (true, [_, long @ ..]) => Self::body(tag, number(long), false),
                        (_, digits) => Self::body(tag, number(digits), false),
                    }
                }
            }
            At::End => return Err(CodecError::Damaged("something follows its end".into())),
            body => body,
        };
        Ok(())
    }

    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), CodecError> {
        while let [first, rest @ ..] = bytes {
            match self.at {
                At::Rest => return Ok(()),
                At::Body { tag, left, partial } => {
                    let n = left.min(bytes.len() as u64);
                    bytes = &bytes[n as usize..];
                    self.at = Self::body(tag, left - n, partial);
                }
                _ => {
                    self.header(*first)?;
                    bytes = rest;
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Framing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n == 0 && !buf.is_empty() && !matches!(self.at, At::End | At::Rest) {
            return Err(self.fail(CodecError::Truncated));
        }
        self.follow(&buf[..n]).map_err(|e| self.fail(e))?;
        Ok(n)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ends(file: &[u8]) -> Result<(), CodecError> {
        let latch = Latch::default();
        let read = Framing::new(file, latch.clone()).read_to_end(&mut Vec::new());
        read.map(|_| ()).map_err(|e| latch.judge(e))
    }

    #[test]
    fn a_file_ends_where_its_data_ends() {
        let session = [0x84, 2, 7, 7];
        let data = |body: &[u8]| [&session[..], body].concat();
        for whole in [
            &[0xd2, 3, 1, 2, 3][..],
            &[0xd2, 225, 1, 2, 1, 9],
            &[0xd2, 255, 0, 0, 0, 1, 5],
            &[0xd2, 224, 1, 0],
        ] {
            ends(&data(whole)).unwrap();
            for behind in [0xd4, 0xff, 0xca, 0, 0x80] {
                let e = ends(&[data(whole), vec![behind]].concat()).unwrap_err();
                assert!(matches!(e, CodecError::Damaged(_)), "{whole:?} {behind}");
            }
            for cut in 0..data(whole).len() {
                assert!(matches!(ends(&data(whole)[..cut]), Err(CodecError::Truncated)), "{whole:?} {cut}");
            }
        }
        // The last part made one that goes on: what rpgp would take for an end.
        assert!(matches!(ends(&data(&[0xd2, 225, 1, 2, 224, 9])), Err(CodecError::Truncated)));
    }
}
