//! Signatures of sets: made when the manifest is, judged before a set is used.

use repot_store::Manifest;
use repot_store::codec::{Judgement, Signer, Signers};
use repot_store::signature::{SIGNATURE_NAME, judge};
use repot_store::storage::Storage;

use super::sets::Damage;
use super::storage_error;
use crate::error::{Error, Kind, Result};
use crate::progress::{Event, Observer};

/// The manifest's text, and the signature over it.
pub(super) fn signed(manifest: &Manifest, signer: Option<&dyn Signer>) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| Error::failed("bug", "the manifest cannot be written").why(e))?;
    let signature = signer.map(|s| s.sign(&text)).transpose().map_err(|e| sign_error(&e))?;
    Ok((text, signature))
}

/// Why a set cannot be signed.
pub fn sign_error(e: &dyn std::fmt::Display) -> Error {
    Error::failed("sign-failed", "the set cannot be signed")
        .why(e)
        .help("correct [backup.sign] in repot.toml, or what gpg names, and start it again")
}

/// What is wrong with the signature of a set, by whose signature counts. What was found is told in a note.
pub fn check_signature(
    storage: &Storage,
    set: &str,
    manifest: &Manifest,
    signers: &Signers,
    observer: &dyn Observer,
) -> Result<Option<Damage>> {
    let damage = |what: String| Ok(Some(Damage { file: SIGNATURE_NAME.to_owned(), what }));
    let tell = |text: String| observer.event(Event::Note(text));
    match judge(storage, set, manifest, signers).map_err(|e| storage_error(&e))? {
        None if signers.required => damage("the set is not signed, and repot.toml requires it".to_owned()),
        None => Ok(None),
        Some(Judgement::Good(who)) => {
            tell(format!("{set}: the signature of {who} is good"));
            Ok(None)
        }
        Some(Judgement::Unknown(who)) if signers.required => {
            damage(format!("it is of {who}, whom repot.toml does not trust, and it requires a signature"))
        }
        Some(Judgement::Unknown(who)) => {
            tell(format!(
                "{set} is signed by {who}; whether rightly cannot be told: the key is not among those of [backup.sign]"
            ));
            Ok(None)
        }
        Some(Judgement::Bad(why)) => damage(why),
    }
}

/// Refuses a set whose signature is not what it must be.
pub fn require_signature(
    storage: &Storage,
    set: &str,
    manifest: &Manifest,
    signers: &Signers,
    observer: &dyn Observer,
) -> Result<()> {
    match check_signature(storage, set, manifest, signers, observer)? {
        None => Ok(()),
        Some(d) => Err(Error::new(Kind::Differences, "set-damaged", format!("{set} is damaged"))
            .why(format!("{}: {}", d.file, d.what))
            .help("nothing was touched; use another set, or another copy of this one")),
    }
}
