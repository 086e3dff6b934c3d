//! Decrypting.

use std::error::Error as _;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{DecryptionOptions, Edata, Esk, Message, MessageReader, TheRing};
use pgp::errors::Error;
use pgp::types::{Password, Seipdv1ReadMode};
use secrecy::{ExposeSecret, SecretString};

use super::framing::Framing;
use super::keys::{Certificate, SecretKey};
use crate::codec::CodecError;
use crate::codec::source::{Guarded, Latch, Source};

/// gpg compresses once. More layers than this are an attack.
const MAX_COMPRESSION_LAYERS: usize = 4;

/// What opens OpenPGP files, and whose signature is asked for.
#[derive(Default)]
pub struct OpenPgpKeys {
    secret_keys: Vec<SecretKey>,
    passphrase: Option<SecretString>,
    signers: Vec<Certificate>,
}

impl fmt::Debug for OpenPgpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenPgpKeys")
            .field("secret_keys", &self.secret_keys)
            .field("signers", &self.signers)
            .finish_non_exhaustive()
    }
}

impl OpenPgpKeys {
    /// Adds secret keys, with what unlocks them.
    pub fn add_secret_keys(&mut self, keys: Vec<SecretKey>) {
        self.secret_keys.extend(keys);
    }

    /// Whether nothing was given that could open a file.
    pub fn is_empty(&self) -> bool {
        self.secret_keys.is_empty() && self.passphrase.is_none()
    }

    /// Sets the passphrase for files that were encrypted with one, as `gpg --symmetric` does.
    pub fn set_passphrase(&mut self, passphrase: SecretString) {
        self.passphrase = Some(passphrase);
    }

    /// From now on a file must be signed by one of these. The signature is checked at the file's end. Without
    /// this call signatures are not looked at.
    pub fn require_signature_of(&mut self, signers: Vec<Certificate>) {
        self.signers.extend(signers);
    }

    pub(in crate::codec) fn reader<R: Read + Send + 'static>(
        &self,
        input: R,
    ) -> Result<impl Read + Send + use<R>, CodecError> {
        let (source, latch) = Source::new(input);
        let buffered = BufReader::with_capacity(128 << 10, source);
        let message = parse(buffered, &latch).map_err(|e| judge(e, &latch))?;
        let message = self.decrypt(message, &latch)?;
        let message = innermost(message, &latch)?;
        let stream = Stream { message, signers: self.signers.clone(), latch: latch.clone() };
        Ok(Guarded::new(stream, latch))
    }

    fn decrypt(&self, message: Message<'static>, latch: &Latch) -> Result<Message<'static>, CodecError> {
        let Message::Encrypted { esk, edata, .. } = &message else {
            let what =
                "the OpenPGP file is not encrypted; read its content with `gpg --decrypt` and give that";
            return Err(CodecError::Unsupported(what.into()));
        };
        if matches!(edata, Edata::SymEncryptedData { .. }) {
            let what = "the OpenPGP file has no modification detection code, so nothing proves its content; \
                        if it is to be used all the same, decrypt it with `gpg --ignore-mdc-error --decrypt`";
            return Err(CodecError::Unsupported(what.into()));
        }
        let matching: Vec<&SecretKey> = self.secret_keys.iter().filter(|k| opens(k, esk)).collect();
        let by_passphrase = esk.iter().any(|e| matches!(e, Esk::SymKeyEncryptedSessionKey(_)));
        if matching.is_empty() {
            return match &self.passphrase {
                Some(_) if !by_passphrase => Err(CodecError::WrongKey),
                Some(passphrase) => {
                    let password = Password::from(passphrase.expose_secret());
                    let ring = TheRing { message_password: vec![&password], ..ring() };
                    // A wrong passphrase mostly gives a wrong session key, and that gives nonsense here.
                    message.decrypt_the_ring(ring, true).map(|(m, _)| m).map_err(|e| match latch.failure() {
                        Some(below) => below,
                        None if early_end(&e) && latch.ended() => CodecError::Truncated,
                        None => CodecError::WrongKey,
                    })
                }
                None if by_passphrase => Err(CodecError::NeedsPassphrase),
                None => Err(CodecError::WrongKey),
            };
        }
        let passwords: Vec<Password> = matching.iter().map(|k| k.password()).collect();
        let ring = TheRing {
            secret_keys: matching.iter().map(|k| &k.key).collect(),
            key_passwords: passwords.iter().collect(),
            ..ring()
        };
        message.decrypt_the_ring(ring, true).map(|(m, _)| m).map_err(|e| judge(e, latch))
    }
}

/// Takes the armor off, if there is one, and follows the packets under it.
fn parse<R: BufRead + fmt::Debug + Send + 'static>(
    mut input: R,
    latch: &Latch,
) -> pgp::errors::Result<Message<'static>> {
    let binary = input.fill_buf()?.first().is_none_or(|b| b & 0x80 != 0);
    if binary {
        return Message::from_bytes(BufReader::new(Framing::new(input, latch.clone())));
    }
    let mut dearmor = Dearmor::new(input);
    dearmor.read_header()?;
    if !matches!(dearmor.typ, Some(BlockType::Message)) {
        return Err(Error::InvalidArmorWrappers);
    }
    Message::from_bytes(BufReader::new(Framing::new(dearmor, latch.clone())))
}

/// Whether the decryptor has gone to its end, where it compares the MDC or the last tag.
fn integrity_checked(message: &mut Message<'_>) -> bool {
    let mut reader = message.get_mut().get_mut();
    for _ in 0..=MAX_COMPRESSION_LAYERS {
        match reader {
            MessageReader::Compressed(inner) => reader = inner.get_mut().get_mut(),
            MessageReader::Edata(edata) => {
                return match edata.as_ref() {
                    Edata::SymEncryptedProtectedData { reader } | Edata::GnupgAeadData { reader } => {
                        reader.is_done()
                    }
                    Edata::SymEncryptedData { .. } => false,
                };
            }
            MessageReader::Reader(_) => return false,
        }
    }
    false
}

fn ring() -> TheRing<'static> {
    TheRing {
        decrypt_options: DecryptionOptions::new()
            .enable_gnupg_aead()
            .set_seipdv1_read_mode(Seipdv1ReadMode::Streaming),
        ..TheRing::default()
    }
}

/// Whether a session key is for this key; one for nobody by name (`gpg --hidden-recipient`) may be for anyone.
fn opens(key: &SecretKey, esk: &[Esk]) -> bool {
    esk.iter().any(|e| match e {
        Esk::PublicKeyEncryptedSessionKey(e) => {
            e.match_identity(key.key.primary_key.public_key())
                || key.key.secret_subkeys.iter().any(|s| e.match_identity(s.key.public_key()))
        }
        Esk::SymKeyEncryptedSessionKey(_) => false,
    })
}

fn innermost(mut message: Message<'static>, latch: &Latch) -> Result<Message<'static>, CodecError> {
    for _ in 0..MAX_COMPRESSION_LAYERS {
        if !message.is_compressed() {
            break;
        }
        message = message.decompress().map_err(|e| judge(e, latch))?;
    }
    if message.is_compressed() || message.is_encrypted() {
        let what =
            "the OpenPGP file is packed several times over; decrypt it with `gpg --decrypt` and give that";
        return Err(CodecError::Unsupported(what.into()));
    }
    Ok(message)
}

struct Stream {
    message: Message<'static>,
    signers: Vec<Certificate>,
    latch: Latch,
}

impl Stream {
    fn check_signature(&self) -> Result<(), CodecError> {
        if self.signers.is_empty() {
            return Ok(());
        }
        let count = match &self.message {
            Message::Signed { reader, .. } => reader.num_signatures(),
            _ => 0,
        };
        let keys: Vec<_> = self.signers.iter().flat_map(Certificate::signing_keys).collect();
        let signed =
            (0..count).any(|i| keys.iter().any(|k| self.message.verify_nested_explicit(i, *k).is_ok()));
        let what = if count == 0 { "it is not signed" } else { "its signature is of none of the given keys" };
        if signed { Ok(()) } else { Err(CodecError::Damaged(what.into())) }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.message.read(buf) {
            // rpgp drains the packets around the data by now, but can be led to leave it at that.
            Ok(0) => {
                if let Some(below) = self.latch.failure() {
                    return Err(below.into());
                }
                if !integrity_checked(&mut self.message) {
                    return Err(
                        CodecError::Damaged("its modification detection code is missing".into()).into()
                    );
                }
                self.check_signature().map(|()| 0).map_err(io::Error::from)
            }
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                Err(if early_end_io(&e) { io::ErrorKind::UnexpectedEof.into() } else { e })
            }
            read => read,
        }
    }
}

fn judge(e: Error, latch: &Latch) -> CodecError {
    if let Some(below) = latch.failure() {
        return below;
    }
    match e {
        Error::MissingKey => CodecError::WrongKey,
        e if early_end(&e) && latch.ended() => CodecError::Truncated,
        // Also what rpgp calls unsupported: before the MDC has been seen, a flipped bit looks just like that.
        e => CodecError::Damaged(e.to_string()),
    }
}

/// Whether an input that stopped is at the bottom of an error.
fn early_end(e: &(dyn std::error::Error + 'static)) -> bool {
    let io = e.downcast_ref::<io::Error>().is_some_and(early_end_io);
    io || e.source().is_some_and(early_end)
}

fn early_end_io(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::UnexpectedEof
        || e.get_ref().is_some_and(|inner| early_end(inner))
        || e.source().is_some_and(early_end)
}
