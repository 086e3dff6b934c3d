//! Certificates and secret keys, and which of their parts may be used.

use std::fmt;
use std::time::SystemTime;

use pgp::composed::{
    Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey, SignedSecretKey,
};
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{Duration, KeyDetails, KeyVersion, Password, SigningKey, Tag, Timestamp, VerifyingKey};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::codec::CodecError;

/// Somebody's public key: for encrypting to them, or for checking their signature.
#[derive(Clone)]
pub struct Certificate(pub(super) SignedPublicKey);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl Certificate {
    /// Reads all certificates of a file, armored or binary, as `gpg --export` writes them.
    pub fn read_all(file: &[u8]) -> Result<Vec<Self>, CodecError> {
        let unusable = |e: &dyn fmt::Display| {
            CodecError::Unsupported(format!(
                "the file holds no usable OpenPGP certificate ({e}); give one that `gpg --export` wrote"
            ))
        };
        let (found, _) = SignedPublicKey::from_reader_many(file).map_err(|e| unusable(&e))?;
        let certificates =
            found.map(|c| c.map(Certificate)).collect::<Result<Vec<_>, _>>().map_err(|e| unusable(&e))?;
        if certificates.is_empty() { Err(unusable(&"it is empty")) } else { Ok(certificates) }
    }

    /// The fingerprint, in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }

    /// The public halves of a file of secret keys. Needs no passphrase.
    pub fn of_secret_keys(file: &SecretSlice<u8>) -> Result<Vec<Self>, CodecError> {
        let (found, _) =
            SignedSecretKey::from_reader_many(file.expose_secret()).map_err(|_| no_secret_key())?;
        let found = found.map(|k| k.map(|k| Certificate(k.to_public_key())).map_err(|_| no_secret_key()));
        found.collect()
    }

    /// Whether one of its keys has this fingerprint or key ID, in lower-case hexadecimal.
    pub(super) fn has_key(&self, id: &str) -> bool {
        let primary = &self.0.primary_key;
        let is = |print: String, key_id: String| print == id || key_id == id;
        is(primary.fingerprint().to_string(), primary.legacy_key_id().to_string())
            || self
                .0
                .public_subkeys
                .iter()
                .any(|s| is(s.key.fingerprint().to_string(), s.key.legacy_key_id().to_string()))
    }

    /// Part of the certificate that files are to be encrypted to now: the newest subkey for encryption that is
    /// bound, not expired and not revoked, or else the primary key if it is meant for it; as gpg chooses.
    pub(super) fn encryption_key(&self, now: SystemTime) -> Result<EncryptTo, CodecError> {
        let unusable = |why: &str| {
            let who = self.fingerprint();
            CodecError::Unsupported(format!(
                "cannot encrypt to the OpenPGP key {who}: {why}; give another certificate"
            ))
        };
        let primary = &self.0.primary_key;
        if primary.version() != KeyVersion::V4 {
            return Err(unusable("it is not of version 4, so GnuPG 2.2 could not open the file"));
        }
        let own = self
            .own_signature(now)
            .ok_or_else(|| unusable("it is revoked, expired or not signed by itself"))?;
        let subkey = self
            .0
            .public_subkeys
            .iter()
            .filter(|s| s.key.algorithm().can_encrypt())
            .filter(|s| {
                binding(&s.signatures, primary, &s.key, now)
                    .is_some_and(|b| b.key_flags().encrypt_comms() || b.key_flags().encrypt_storage())
            })
            .max_by_key(|s| s.key.created_at());
        if let Some(subkey) = subkey {
            return Ok(EncryptTo::Subkey(Box::new(subkey.key.clone())));
        }
        let flags = own.key_flags();
        if primary.algorithm().can_encrypt() && (flags.encrypt_comms() || flags.encrypt_storage()) {
            return Ok(EncryptTo::Primary(Box::new(primary.clone())));
        }
        Err(unusable("it has no valid key for encryption"))
    }

    /// The keys whose signatures over data count as this owner's. Keys that expired since are among them: the
    /// backup is older than today.
    pub(super) fn signing_keys(&self) -> Vec<&dyn VerifyingKey> {
        let (primary, subkeys) = self.signing_parts();
        let primary = primary.map(|k| k as &dyn VerifyingKey);
        primary.into_iter().chain(subkeys.into_iter().map(|k| k as &dyn VerifyingKey)).collect()
    }

    fn signing_parts(&self) -> (Option<&PublicKey>, Vec<&PublicSubkey>) {
        let primary = &self.0.primary_key;
        let start = SystemTime::UNIX_EPOCH;
        let own = self.own_signature(start).filter(|o| o.key_flags().sign() || o.key_flags().certify());
        if own.is_none() {
            return (None, Vec::new());
        }
        let may_sign = |s: &&SignedPublicSubKey| {
            binding(&s.signatures, primary, &s.key, start).is_some_and(|b| {
                b.key_flags().sign()
                    && b.embedded_signature()
                        .is_some_and(|back| back.verify_primary_key_binding(&s.key, primary).is_ok())
            })
        };
        (Some(primary), self.0.public_subkeys.iter().filter(may_sign).map(|s| &s.key).collect())
    }

    /// Whether one of them has made a detached signature over `data`.
    pub(super) fn has_signed(&self, signature: &DetachedSignature, data: &[u8]) -> bool {
        let (primary, subkeys) = self.signing_parts();
        primary.is_some_and(|k| signature.verify(k, data).is_ok())
            || subkeys.into_iter().any(|k| signature.verify(k, data).is_ok())
    }

    /// The newest signature of the key over itself or a name of its own, if the key is valid at that time.
    fn own_signature(&self, now: SystemTime) -> Option<&Signature> {
        let primary = &self.0.primary_key;
        let details = &self.0.details;
        if details.revocation_signatures.iter().any(|s| s.verify_key(primary).is_ok()) {
            return None;
        }
        let names = details.users.iter().flat_map(|user| {
            let own = |s: &&Signature| s.verify_certification(primary, Tag::UserId, &user.id).is_ok();
            let revoked =
                user.signatures.iter().filter(own).any(|s| s.typ() == Some(SignatureType::CertRevocation));
            user.signatures.iter().filter(move |_| !revoked).filter(own)
        });
        let direct = details.direct_signatures.iter().filter(|s| s.verify_key(primary).is_ok());
        let newest = names.chain(direct).max_by_key(|s| s.created())?;
        (!expired(primary.created_at(), newest.key_expiration_time(), now)).then_some(newest)
    }
}

/// The newest signature that binds a subkey, unless the subkey is revoked or, at that time, expired.
fn binding<'a>(
    signatures: &'a [Signature],
    primary: &PublicKey,
    subkey: &PublicSubkey,
    now: SystemTime,
) -> Option<&'a Signature> {
    let valid = || signatures.iter().filter(|s| s.verify_subkey_binding(primary, subkey).is_ok());
    if valid().any(|s| s.typ() == Some(SignatureType::SubkeyRevocation)) {
        return None;
    }
    let newest = valid().max_by_key(|s| s.created())?;
    (!expired(subkey.created_at(), newest.key_expiration_time(), now)).then_some(newest)
}

fn expired(created: Timestamp, life: Option<Duration>, now: SystemTime) -> bool {
    let life = life.map(std::time::Duration::from).filter(|d| !d.is_zero());
    life.is_some_and(|d| SystemTime::from(created) + d <= now)
}

// The parser's words could quote the file, so they stay out of the message.
fn no_secret_key() -> CodecError {
    let what = "the file holds no usable OpenPGP secret key; give one that `gpg --export-secret-keys` wrote";
    CodecError::Unsupported(what.into())
}

/// A key that session keys are encrypted to.
pub(super) enum EncryptTo {
    Primary(Box<PublicKey>),
    Subkey(Box<PublicSubkey>),
}

/// A secret key with what unlocks it.
pub struct SecretKey {
    pub(super) key: SignedSecretKey,
    passphrase: SecretString,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.key.fingerprint())
    }
}

impl SecretKey {
    /// Reads all secret keys of a file, armored or binary, as `gpg --export-secret-keys` writes them. A passphrase
    /// that unlocks no part of a key is [`CodecError::NeedsPassphrase`] here, not only when a file is to be opened.
    pub fn read_all(
        file: &SecretSlice<u8>,
        passphrase: Option<&SecretString>,
    ) -> Result<Vec<Self>, CodecError> {
        let (found, _) =
            SignedSecretKey::from_reader_many(file.expose_secret()).map_err(|_| no_secret_key())?;
        let mut keys = Vec::new();
        for key in found {
            let passphrase = passphrase.cloned().unwrap_or_default();
            let key = SecretKey { key: key.map_err(|_| no_secret_key())?, passphrase };
            if !key.opens() {
                return Err(CodecError::NeedsPassphrase);
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(no_secret_key()) } else { Ok(keys) }
    }

    /// Its public half.
    pub fn certificate(&self) -> Certificate {
        Certificate(self.key.to_public_key())
    }

    /// Whether it may sign now; why not, otherwise.
    pub fn may_sign(&self) -> Result<(), CodecError> {
        self.signing_key(SystemTime::now()).map(drop)
    }

    pub(super) fn password(&self) -> Password {
        Password::from(self.passphrase.expose_secret())
    }

    /// Whether any secret part can be used. Parts may be missing: `gpg --export-secret-subkeys` leaves the primary out.
    fn opens(&self) -> bool {
        let password = self.password();
        let key = &self.key;
        let mut subkeys = key.secret_subkeys.iter();
        subkeys.any(|s| matches!(s.key.unlock(&password, |_, _| Ok(())), Ok(Ok(()))))
            || matches!(key.primary_key.unlock(&password, |_, _| Ok(())), Ok(Ok(())))
    }

    /// The newest part that may sign now and that is there and unlocked.
    pub(super) fn signing_key(&self, now: SystemTime) -> Result<&dyn SigningKey, CodecError> {
        let unusable = |why: &str| {
            let who = self.key.fingerprint();
            CodecError::Unsupported(format!(
                "cannot sign with the OpenPGP key {who}: {why}; give another secret key"
            ))
        };
        let public = self.certificate();
        let own = public
            .own_signature(now)
            .ok_or_else(|| unusable("it is revoked, expired or not signed by itself"))?;
        let password = self.password();
        let primary = self.key.primary_key.public_key();
        let subkey = self
            .key
            .secret_subkeys
            .iter()
            .filter(|s| s.key.algorithm().can_sign())
            .filter(|s| {
                binding(&s.signatures, primary, s.key.public_key(), now).is_some_and(|b| b.key_flags().sign())
            })
            .filter(|s| matches!(s.key.unlock(&password, |_, _| Ok(())), Ok(Ok(()))))
            .max_by_key(|s| s.key.created_at());
        if let Some(subkey) = subkey {
            return Ok(&subkey.key);
        }
        if !own.key_flags().sign() {
            return Err(unusable("it has no valid key for signing"));
        }
        match self.key.primary_key.unlock(&password, |_, _| Ok(())) {
            Ok(Ok(())) => Ok(&self.key.primary_key),
            _ => Err(CodecError::NeedsPassphrase),
        }
    }
}
