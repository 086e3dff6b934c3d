//! Encrypted files of either kind behind one writer and one reader.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::age::{self, AgeKeys, AgeRecipients};
use super::openpgp::{OpenPgpKeys, OpenPgpRecipients, OpenPgpWriter, Signers};
use super::source::{Guarded, Source};
use super::{Cipher, CodecError};

/// How a backup file is to be encrypted, and for whom.
#[derive(Debug, Default)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// With age.
    Age(AgeRecipients),
    /// With OpenPGP.
    OpenPgp(OpenPgpRecipients),
}

/// What opens encrypted files, and whose signature of a set counts.
#[derive(Debug, Default)]
pub struct Keys {
    /// For age.
    pub age: AgeKeys,
    /// For OpenPGP.
    pub openpgp: OpenPgpKeys,
    /// Opens files of OpenPGP in place of `openpgp`, where the secret key is out of this process's reach.
    pub outside: Option<Arc<dyn Opener>>,
    /// Whose signature counts.
    pub signers: Signers,
}

/// Opens OpenPGP files outside of this process: with gpg, whose agent or smartcard has the secret key.
pub trait Opener: fmt::Debug + Send + Sync {
    /// The content of an encrypted file. The reader keeps [the promise](super) of all readers here: `Ok(0)` only after
    /// whatever opens the file has said that all of it is right. Its errors are [`CodecError`]s where it is the file's
    /// fault, or the key's.
    fn open(&self, input: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, CodecError>;
}

impl Encryption {
    /// The format.
    pub fn cipher(&self) -> Cipher {
        match self {
            Encryption::None => Cipher::None,
            Encryption::Age(_) => Cipher::Age,
            Encryption::OpenPgp(_) => Cipher::OpenPgp,
        }
    }

    /// Encrypts what is written into `out`. Without [`Encryptor::finish`] the file is refused by every reader.
    /// Compress before encrypting: nothing is compressed here.
    pub fn writer<W: Write + Send + 'static>(&self, out: W) -> Result<Encryptor<W>, CodecError> {
        let inner = match self {
            Encryption::None => Writer::Plain(out),
            Encryption::Age(to) => Writer::Age(Box::new(to.writer(out)?)),
            Encryption::OpenPgp(to) => Writer::OpenPgp(OpenPgpWriter::new(to, out)?),
        };
        Ok(Encryptor { inner, broken: false })
    }
}

impl Cipher {
    /// Decrypts what was encrypted this way; [the module's page](super) says what is proved when. For
    /// [`Cipher::None`] the input is passed on as it is.
    pub fn reader<R: Read + Send + 'static>(self, input: R, keys: &Keys) -> Result<Decryptor, CodecError> {
        Ok(Decryptor(match self {
            Cipher::None => {
                let (source, latch) = Source::new(input);
                Box::new(Guarded::new(source, latch))
            }
            Cipher::Age => Box::new(keys.age.reader(input)?),
            Cipher::OpenPgp => match &keys.outside {
                Some(outside) => {
                    let (source, latch) = Source::new(input);
                    Box::new(Guarded::new(outside.open(Box::new(source))?, latch))
                }
                None => Box::new(keys.openpgp.reader(input)?),
            },
        }))
    }
}

enum Writer<W: Write> {
    Plain(W),
    Age(Box<::age::stream::StreamWriter<W>>),
    OpenPgp(OpenPgpWriter<W>),
}

/// Encrypts into a writer; see [`Encryption::writer`].
pub struct Encryptor<W: Write> {
    inner: Writer<W>,
    /// Something got lost on the way; what follows must not be given a proper end.
    broken: bool,
}

impl<W: Write> fmt::Debug for Encryptor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl<W: Write + Send + 'static> Encryptor<W> {
    /// Writes the end of the file and flushes. Fails if any write before failed.
    pub fn finish(self) -> io::Result<W> {
        if self.broken {
            return Err(io::Error::other("a write failed before, so the file cannot be finished"));
        }
        match self.inner {
            Writer::Plain(mut out) => out.flush().map(|()| out),
            Writer::Age(writer) => age::finish(*writer),
            Writer::OpenPgp(writer) => writer.finish(),
        }
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.broken |= matches!(&result, Err(e) if e.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl<W: Write + Send + 'static> Write for Encryptor<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = match &mut self.inner {
            Writer::Plain(out) => out.write(buf),
            Writer::Age(writer) => writer.write(buf),
            Writer::OpenPgp(writer) => writer.write(buf),
        };
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.inner {
            Writer::Plain(out) => out.flush(),
            Writer::Age(writer) => writer.flush(),
            Writer::OpenPgp(writer) => writer.flush(),
        };
        self.noted(flushed)
    }
}

/// Decrypts from a reader; see [`Cipher::reader`].
pub struct Decryptor(Box<dyn Read + Send>);

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decryptor")
    }
}

impl Read for Decryptor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}
