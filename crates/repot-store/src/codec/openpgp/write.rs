//! Encrypting, and signing where it is wanted.
//!
//! rpgp pulls its input from a reader; backups push. So it runs in a thread of its own behind a short queue, which
//! also takes encryption off the thread that compresses.

use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use pgp::composed::MessageBuilder;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use rand::rngs::OsRng;

use super::keys::{Certificate, EncryptTo, SecretKey};
use crate::codec::CodecError;

const BLOCK_BYTES: usize = 256 << 10;
/// Blocks on their way to the thread.
const QUEUE_BLOCKS: usize = 4;

/// Whom OpenPGP files are written for, and who signs them.
#[derive(Clone)]
pub struct OpenPgpRecipients {
    keys: Arc<Vec<EncryptTo>>,
    signer: Option<Arc<SecretKey>>,
}

impl fmt::Debug for OpenPgpRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenPgpRecipients({} keys, signer: {:?})", self.keys.len(), self.signer)
    }
}

impl OpenPgpRecipients {
    /// Fails if any of the certificates cannot be encrypted to today: a backup that one of its owners cannot open
    /// is noticed too late.
    pub fn new(certificates: &[Certificate]) -> Result<Self, CodecError> {
        if certificates.is_empty() {
            let why = "there is no OpenPGP recipient; give at least one certificate";
            return Err(CodecError::Unsupported(why.into()));
        }
        let now = SystemTime::now();
        let keys = certificates.iter().map(|c| c.encryption_key(now)).collect::<Result<Vec<_>, _>>()?;
        Ok(OpenPgpRecipients { keys: Arc::new(keys), signer: None })
    }

    /// Signs every file with this key, inside the encryption. Whoever opens it with gpg needs the signer's
    /// certificate too: without it gpg writes the content and ends with status 2.
    pub fn signed_by(mut self, signer: SecretKey) -> Result<Self, CodecError> {
        signer.signing_key(SystemTime::now())?;
        self.signer = Some(Arc::new(signer));
        Ok(self)
    }

    fn encrypt<W: Write>(&self, input: Input, out: W) -> Result<W, CodecError> {
        let mut builder =
            MessageBuilder::from_reader("", input).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
        for key in self.keys.iter() {
            match key {
                EncryptTo::Primary(key) => builder.encrypt_to_key(OsRng, key.as_ref()),
                EncryptTo::Subkey(key) => builder.encrypt_to_key(OsRng, key.as_ref()),
            }
            .map_err(judge)?;
        }
        if let Some(signer) = &self.signer {
            builder.sign(signer.signing_key(SystemTime::now())?, signer.password(), HashAlgorithm::Sha512);
        }
        let mut out = BufWriter::with_capacity(BLOCK_BYTES, out);
        let written = builder.to_writer(OsRng, &mut out).map_err(judge);
        // What a failed run has left in the buffer is not written: dropping it would do that.
        match written.and_then(|()| out.flush().map_err(CodecError::from)) {
            Ok(()) => Ok(out.into_parts().0),
            Err(e) => {
                let _ = out.into_parts();
                Err(e)
            }
        }
    }
}

fn judge(e: pgp::errors::Error) -> CodecError {
    match e {
        pgp::errors::Error::IO { source, .. } => source.into(),
        e => CodecError::Unsupported(format!("cannot write the OpenPGP file: {e}")),
    }
}

enum Piece {
    Data(Vec<u8>),
    End,
}

/// The thread's end of the queue.
struct Input {
    queue: Receiver<Piece>,
    block: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() && !self.ended {
            match self.queue.recv() {
                Ok(Piece::Data(block)) => (self.block, self.taken) = (block, 0),
                Ok(Piece::End) => self.ended = true,
                // Dropped half way: no end of file here, or the result would look finished.
                Err(_) => return Err(io::Error::other("the writer was given up before its end")),
            }
        }
        let n = buf.len().min(self.block.len() - self.taken);
        buf[..n].copy_from_slice(&self.block[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

/// Encrypts into a writer. Dropped without [`OpenPgpWriter::finish`], it leaves a file that every reader refuses.
pub(in crate::codec) struct OpenPgpWriter<W> {
    queue: Option<SyncSender<Piece>>,
    thread: Option<JoinHandle<Result<W, CodecError>>>,
    block: Vec<u8>,
}

impl<W: Write + Send + 'static> OpenPgpWriter<W> {
    pub(in crate::codec) fn new(to: &OpenPgpRecipients, out: W) -> io::Result<Self> {
        let (queue, pieces) = sync_channel(QUEUE_BLOCKS);
        let to = to.clone();
        let input = Input { queue: pieces, block: Vec::new(), taken: 0, ended: false };
        let thread =
            std::thread::Builder::new().name("openpgp".into()).spawn(move || to.encrypt(input, out))?;
        Ok(OpenPgpWriter { queue: Some(queue), thread: Some(thread), block: Vec::with_capacity(BLOCK_BYTES) })
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(piece).is_ok());
        if sent { Ok(()) } else { Err(self.end().err().unwrap_or_else(stopped)) }
    }

    /// Waits for the thread.
    fn end(&mut self) -> io::Result<W> {
        self.queue = None;
        let thread = self.thread.take().ok_or_else(stopped)?;
        Ok(thread.join().map_err(|_| stopped())??)
    }

    fn send_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.send(Piece::Data(block))
    }

    pub(in crate::codec) fn finish(mut self) -> io::Result<W> {
        self.send_block()?;
        self.send(Piece::End)?;
        let mut out = self.end()?;
        out.flush()?;
        Ok(out)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the encryption thread stopped")
}

impl<W: Write + Send + 'static> Write for OpenPgpWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&buf[..n]);
        if self.block.len() == BLOCK_BYTES {
            self.send_block()?;
        }
        Ok(n)
    }

    /// Hands over what there is. It reaches the file when a packet is full, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        self.send_block()
    }
}
