//! Compressing and encrypting backup files as streams, in bounded memory.
//!
//! Writing, innermost first: content → [`Compression::writer`] → [`Encryption::writer`] → storage, then `finish`
//! of each in that order. Reading takes the layers off again: [`Layers::reader`]. A writer that is dropped without
//! `finish`, or whose writes failed, leaves a file that no reader accepts.
//!
//! # What is proved when
//!
//! A restore must not use a byte of a damaged file, but none of the formats proves all of a file before its end:
//!
//! | format | each byte, when it is handed out | at the end of file |
//! |---|---|---|
//! | gzip | nothing | right by CRC-32 and length, nothing cut off, nothing behind it |
//! | zstd | nothing | right by 32 bits of XXH64 if the frame has them, nothing cut off, nothing behind it |
//! | age | written by someone who knew the recipients or the passphrase, in its place | nothing cut off |
//! | OpenPGP (SEIPD 1) | nothing | unchanged by the MDC, nothing cut off; and the signature, where one is required |
//! | OpenPGP (AEAD of GnuPG 2.3) | as age | as age |
//! | OpenPGP, opened outside ([`Opener`]) | nothing | all that gpg checks: its exit status has been seen |
//!
//! Checksums without a key prove accidents only; who changes a file on purpose computes them anew. What proves the
//! author of an OpenPGP file is its signature.
//!
//! So a restore reads twice: first [`verify_all`], and only when it has returned `Ok` a second time, giving the
//! bytes to the database. In place of the first pass the manifest's checksum of the stored file can be compared,
//! which proves the same for sets of our own and needs no key. Where the file could change between the passes,
//! as on a storage that others write to, compare [`Verified::blake3`] of the first with a hash of the second
//! before anything is committed.
//!
//! The readers keep one promise in return: `Ok(0)` comes only after all checks of the format have passed, and
//! after an error there is never anything else. An error is a [`CodecError`] inside the [`std::io::Error`].

mod age;
mod compress;
mod encrypt;
mod error;
mod gzip;
mod layers;
mod openpgp;
mod source;

use std::io::Read;

pub use age::{AgeKeys, AgeRecipients};
pub use compress::{Compression, Compressor, Decompressor, Effort};
pub use encrypt::{Decryptor, Encryption, Encryptor, Keys, Opener};
pub use error::CodecError;
pub use layers::{Cipher, Layers};
pub use openpgp::{Certificate, Judgement, OpenPgpKeys, OpenPgpRecipients, SecretKey, Signer, Signers};

/// What a file that was gone through to its end holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Size of the content, without its layers.
    pub size_bytes: u64,
    /// BLAKE3 of the content.
    pub blake3: [u8; 32],
}

/// Goes through all of a file and keeps nothing. `Ok` means that every check of its formats has passed; the
/// [module's page](self) says why a restore does this first.
pub fn verify_all(mut reader: impl Read) -> Result<Verified, CodecError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size_bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Verified { size_bytes, blake3: *hasher.finalize().as_bytes() }),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                size_bytes += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}
