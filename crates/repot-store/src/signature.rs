//! The signature of a set: one of OpenPGP over its manifest, which has the checksums of all other files.
//!
//! `gpg --verify manifest.json.asc manifest.json` judges it without repot.

use crate::codec::{Judgement, Signers};
use crate::manifest::Manifest;
use crate::set::MANIFEST_NAME;
use crate::storage::{Storage, StorageError};
use crate::stored::read_small;

/// Name of the manifest's signature, detached and armored. It is written before the manifest.
pub const SIGNATURE_NAME: &str = "manifest.json.asc";

/// Judges the signature of a set that is complete; none where it has none and says so. The manifest is the one that is to
/// be used: what is signed must be the same.
pub fn judge(
    storage: &Storage,
    set: &str,
    manifest: &Manifest,
    signers: &Signers,
) -> Result<Option<Judgement>, StorageError> {
    let bad = |what: String| Ok(Some(Judgement::Bad(what)));
    let signature = match read_small(storage, &format!("{set}/{SIGNATURE_NAME}")) {
        Ok(signature) => signature,
        Err(e) if e.is_not_found() => {
            return match &manifest.signed_by {
                Some(who) => bad(format!("it is missing, and by the manifest {who} has signed it")),
                None => Ok(None),
            };
        }
        Err(e) => return Err(e),
    };
    let text = read_small(storage, &format!("{set}/{MANIFEST_NAME}"))?;
    if Manifest::parse(&text).as_ref() != Ok(manifest) {
        return bad("the manifest changed while it was read".to_owned());
    }
    Ok(Some(signers.judge(&signature, &text)))
}
