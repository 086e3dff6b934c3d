//! Who signs sets and whose signature counts, as `[backup.sign]` of `repot.toml` says it.

use std::path::Path;
use std::sync::Arc;

use repot_core::backup::foreign::keyring::certificates;
use repot_core::backup::gnupg::{Gpg, GpgSigner};
use repot_core::backup::signature::sign_error;
use repot_core::{Error, Result};
use repot_store::codec::{Certificate, CodecError, SecretKey, Signer, Signers};
use secrecy::{SecretSlice, SecretString};

use crate::config::Setting;
use crate::storage::{read, secret_of_env, secret_of_file};

/// Who signs a set that is made, where anybody does.
pub fn signer(setting: &Setting) -> Result<Option<Arc<dyn Signer>>> {
    let config = &setting.config.backup.sign;
    match (&config.key_file, &config.gpg_key) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Error::usage("bad-config", "[backup.sign] names both a key file and a key of gpg")
                .help("leave one of `key_file` and `gpg_key` in repot.toml"))
        }
        (None, Some(key)) => Ok(Some(Arc::new(GpgSigner::new(Gpg::new(None), key)?))),
        (Some(file), None) => {
            let path = setting.dir.join(file);
            let passphrase = passphrase(setting)?;
            let about = |e: CodecError| sign_error(&format!("{}: {e}", path.display()));
            let keys =
                SecretKey::read_all(&SecretSlice::from(read(&path)?), passphrase.as_ref()).map_err(about)?;
            let mut usable = Err(CodecError::WrongKey);
            for key in keys {
                usable = key.may_sign().map(|()| key);
                if usable.is_ok() {
                    break;
                }
            }
            Ok(Some(Arc::new(usable.map_err(about)?)))
        }
    }
}

fn passphrase(setting: &Setting) -> Result<Option<SecretString>> {
    let config = &setting.config.backup.sign;
    if let Some(name) = &config.passphrase_env {
        let about = |why| Error::usage("bad-config", format!("[backup.sign]: {why}"));
        return secret_of_env(setting, name).map(|p| Some(p.into())).map_err(about);
    }
    config.passphrase_file.as_ref().map(|f| secret_of_file(&setting.dir.join(f)).map(Into::into)).transpose()
}

/// Whose signature counts. The signing key may be on another machine: a set of it that is restored here is judged by the
/// certificates that are there.
pub fn signers(setting: &Setting) -> Result<Signers> {
    let config = &setting.config.backup.sign;
    let mut trusted = Vec::new();
    let about =
        |path: &Path, e| Error::usage("bad-config", format!("[backup.sign]: {}: {e}", path.display()));
    for file in &config.trusted {
        let path = setting.dir.join(file);
        trusted.extend(Certificate::read_all(&read(&path)?).map_err(|e| about(&path, e))?);
    }
    if let Some(path) = config.key_file.as_ref().map(|f| setting.dir.join(f)).filter(|p| p.exists()) {
        let file = SecretSlice::from(read(&path)?);
        trusted.extend(Certificate::of_secret_keys(&file).map_err(|e| about(&path, e))?);
    }
    if let Some(key) = &config.gpg_key {
        match certificates(std::slice::from_ref(key)) {
            Ok(found) => trusted.extend(Certificate::read_all(&found).map_err(|e| about(Path::new(key), e))?),
            Err(e) if ["no-recipients", "program-missing"].contains(&e.code) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Signers { trusted, required: config.required })
}
