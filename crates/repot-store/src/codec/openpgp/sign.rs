//! Detached signatures: made, and judged by whoever's certificates are trusted.

use std::fmt;
use std::time::SystemTime;

use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::SignatureType;
use rand::rngs::OsRng;

use super::keys::{Certificate, SecretKey};
use crate::codec::CodecError;

/// Signs, with a key of one owner.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The fingerprint of the owner's certificate, in lower-case hexadecimal.
    fn fingerprint(&self) -> String;
    /// A detached signature over `data`, armored, as `gpg --armor --detach-sign` writes it.
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CodecError>;
}

impl Signer for SecretKey {
    fn fingerprint(&self) -> String {
        self.certificate().fingerprint()
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CodecError> {
        let failed = |e| CodecError::Unsupported(format!("cannot sign with the OpenPGP key: {e}"));
        let key = Box::new(self.signing_key(SystemTime::now())?);
        let password = self.password();
        DetachedSignature::sign_binary_data(OsRng, &key, &password, HashAlgorithm::Sha512, data)
            .and_then(|s| s.to_armored_bytes(ArmorOptions::default()))
            .map_err(failed)
    }
}

/// Whose signature of a set counts.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    /// Their certificates.
    pub trusted: Vec<Certificate>,
    /// Whether a set that none of them has signed is refused.
    pub required: bool,
}

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The data is what the owner of this certificate signed, by its fingerprint.
    Good(String),
    /// Nobody whose certificate is there has made it: the key that it names, in lower-case hexadecimal.
    Unknown(String),
    /// It is none, or it is one of a trusted key over something else; why.
    Bad(String),
}

impl Signers {
    /// Judges a detached signature, armored or binary.
    #[must_use]
    pub fn judge(&self, signature: &[u8], data: &[u8]) -> Judgement {
        let Ok((found, _)) = DetachedSignature::from_reader_single(signature) else {
            return Judgement::Bad("it is no signature of OpenPGP".to_owned());
        };
        let of = &found.signature;
        if of.typ() != Some(SignatureType::Binary) {
            return Judgement::Bad("it is no signature of a file".to_owned());
        }
        let now = SystemTime::now();
        let made = of.created().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let life = of.signature_expiration_time().map(std::time::Duration::from).filter(|d| !d.is_zero());
        let issuers = || {
            let prints = of.issuer_fingerprint().into_iter().map(ToString::to_string);
            prints.chain(of.issuer_key_id().into_iter().map(ToString::to_string))
        };
        for certificate in &self.trusted {
            if certificate.has_signed(&found, data) {
                return match life {
                    Some(life) if made + life <= now => Judgement::Bad("it has expired".to_owned()),
                    _ => Judgement::Good(certificate.fingerprint()),
                };
            }
            // Its own, and yet it does not fit.
            if issuers().any(|i| certificate.has_key(&i)) {
                let what = "it does not fit the manifest: one of the two was changed, or the key was revoked";
                return Judgement::Bad(what.to_owned());
            }
        }
        Judgement::Unknown(issuers().next().unwrap_or_else(|| "an unnamed key".to_owned()))
    }
}
