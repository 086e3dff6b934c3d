//! age files: written for x25519 and SSH recipients or a passphrase, read with identity files or a passphrase.
//!
//! Each chunk of 64 KiB is authenticated before it is handed out, so damage is never read as data. That the file
//! was cut off shows at its end only.

use std::fmt;
use std::io::{self, BufReader, Read, Write};

use age::{DecryptError, EncryptError, Identity, Recipient};
use secrecy::{ExposeSecret, SecretString};

use super::CodecError;
use super::source::{Guarded, Latch, Source};

/// scrypt at 2^22 takes 4 GiB of memory and half a minute; a file that asks for more is meant to hurt.
const MAX_SCRYPT_LOG_N: u8 = 22;

enum To {
    Recipients(Vec<Box<dyn Recipient + Send + Sync>>),
    Passphrase(SecretString),
}

/// Whom an age file is written for.
pub struct AgeRecipients(To);

impl fmt::Debug for AgeRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Recipients(r) => write!(f, "AgeRecipients({} keys)", r.len()),
            To::Passphrase(_) => f.write_str("AgeRecipients(passphrase)"),
        }
    }
}

impl AgeRecipients {
    /// Reads a recipients file: an `age1…` or `ssh-…` key on each line; blank lines and lines with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, CodecError> {
        let mut recipients: Vec<Box<dyn Recipient + Send + Sync>> = Vec::new();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        for line in lines {
            if let Ok(key) = line.parse::<age::x25519::Recipient>() {
                recipients.push(Box::new(key));
            } else if let Ok(key) = line.parse::<age::ssh::Recipient>() {
                recipients.push(Box::new(key));
            } else {
                return Err(CodecError::Unsupported(format!(
                    "{line:?} is no age recipient; give public keys that start with age1, ssh-ed25519 or ssh-rsa"
                )));
            }
        }
        if recipients.is_empty() {
            return Err(CodecError::Unsupported(
                "there is no age recipient; give at least one public key".into(),
            ));
        }
        Ok(AgeRecipients(To::Recipients(recipients)))
    }

    /// A passphrase, which age stretches with scrypt for about a second.
    pub fn passphrase(passphrase: SecretString) -> Self {
        AgeRecipients(To::Passphrase(passphrase))
    }

    pub(super) fn writer<W: Write>(&self, out: W) -> Result<age::stream::StreamWriter<W>, CodecError> {
        let encryptor = match &self.0 {
            To::Recipients(recipients) => {
                age::Encryptor::with_recipients(recipients.iter().map(|r| r.as_ref() as &dyn Recipient))
            }
            To::Passphrase(passphrase) => Ok(age::Encryptor::with_user_passphrase(passphrase.clone())),
        }
        .map_err(|e| match e {
            EncryptError::Io(e) => CodecError::Io(e),
            e => CodecError::Unsupported(format!("cannot encrypt with age: {e}")),
        })?;
        Ok(encryptor.wrap_output(out)?)
    }
}

/// What opens age files.
#[derive(Default)]
pub struct AgeKeys {
    identities: Vec<Box<dyn Identity + Send + Sync>>,
    passphrase: Option<SecretString>,
}

impl fmt::Debug for AgeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgeKeys({} identities, ", self.identities.len())?;
        f.write_str(if self.passphrase.is_some() { "a passphrase)" } else { "no passphrase)" })
    }
}

impl AgeKeys {
    /// Adds the keys of an identity file: age's own (`AGE-SECRET-KEY-1…`), or one SSH private key, which may need
    /// its passphrase.
    pub fn add_identities(
        &mut self,
        file: &SecretString,
        passphrase: Option<&SecretString>,
    ) -> Result<(), CodecError> {
        let text = file.expose_secret();
        if text.trim_start().starts_with("-----BEGIN") {
            return self.add_ssh(text, passphrase);
        }
        let no_identities = || {
            CodecError::Unsupported(
                "the identity file is not one of age's; give a file that `age-keygen` or `ssh-keygen` made"
                    .into(),
            )
        };
        let found = age::IdentityFile::from_buffer(text.as_bytes())
            .map_err(|_| no_identities())?
            .into_identities()
            .map_err(|_| no_identities())?;
        if found.is_empty() {
            return Err(no_identities());
        }
        self.identities.extend(found);
        Ok(())
    }

    fn add_ssh(&mut self, text: &str, passphrase: Option<&SecretString>) -> Result<(), CodecError> {
        let unusable =
            |why: &str| CodecError::Unsupported(format!("the SSH key cannot be used with age: {why}"));
        let identity =
            age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|e| unusable(&e.to_string()))?;
        let identity = match identity {
            age::ssh::Identity::Unencrypted(_) => identity,
            age::ssh::Identity::Encrypted(locked) => {
                let passphrase = passphrase.ok_or(CodecError::NeedsPassphrase)?;
                let opened = locked.decrypt(passphrase.clone()).map_err(|_| CodecError::NeedsPassphrase)?;
                age::ssh::Identity::from(opened)
            }
            age::ssh::Identity::Unsupported(_) => return Err(unusable("its kind is not supported")),
        };
        self.identities.push(Box::new(identity));
        Ok(())
    }

    /// Sets the passphrase for files that were encrypted with one.
    pub fn set_passphrase(&mut self, passphrase: SecretString) {
        self.passphrase = Some(passphrase);
    }

    pub(super) fn reader<R: Read + Send + 'static>(
        &self,
        input: R,
    ) -> Result<impl Read + Send + use<R>, CodecError> {
        let (source, latch) = Source::new(input);
        // The armored reader takes binary files as they are.
        let dearmored = age::armor::ArmoredReader::new(BufReader::with_capacity(128 << 10, source));
        let judged = |e| judge(e, &latch);
        let decryptor = age::Decryptor::new_buffered(dearmored).map_err(judged)?;
        let passphrase = self.passphrase.clone().map(|p| {
            let mut identity = age::scrypt::Identity::new(p);
            identity.set_max_work_factor(MAX_SCRYPT_LOG_N);
            identity
        });
        let for_scrypt = decryptor.is_scrypt();
        if for_scrypt && passphrase.is_none() {
            return Err(CodecError::NeedsPassphrase);
        }
        let keys = self.identities.iter().map(|i| i.as_ref() as &dyn Identity);
        let stream =
            decryptor.decrypt(keys.chain(passphrase.iter().map(|p| p as &dyn Identity))).map_err(judged)?;
        Ok(Guarded::new(stream, latch))
    }
}

fn judge(e: DecryptError, latch: &Latch) -> CodecError {
    if let Some(below) = latch.failure() {
        return below;
    }
    match e {
        DecryptError::Io(e) => latch.judge(e),
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed => CodecError::WrongKey,
        DecryptError::KeyDecryptionFailed => CodecError::NeedsPassphrase,
        DecryptError::ExcessiveWork { .. } | DecryptError::UnknownFormat => {
            CodecError::Unsupported(format!("cannot open the age file: {e}"))
        }
        e => CodecError::Damaged(e.to_string()),
    }
}

pub(super) fn finish<W: Write>(writer: age::stream::StreamWriter<W>) -> io::Result<W> {
    let mut out = writer.finish()?;
    out.flush()?;
    Ok(out)
}
