//! Storages and keys, as the arguments, `repot.toml` and the environment name them.

use std::path::{Path, PathBuf};

use repot_core::backup::foreign::keyring::certificates;
use repot_core::backup::storage_error;
use repot_core::{Error, Result};
use repot_store::codec::{
    AgeKeys, AgeRecipients, Certificate, CodecError, Encryption, Keys, OpenPgpRecipients, SecretKey,
};
use repot_store::storage::{Storage, StorageConfig};
use secrecy::{SecretSlice, SecretString};

use crate::config::Setting;
use crate::takeover::is_django;

/// The storage of the sets: the argument's, else that of `repot.toml`, else a directory here.
pub fn storage(setting: &Setting, asked: Option<&str>) -> Result<Storage> {
    let named = setting.config.backup.storage.as_deref().filter(|s| !is_django(s));
    let config = match asked.or(named) {
        Some(place) => {
            let config = StorageConfig::parse(place).map_err(|e| storage_error(&e))?;
            // A relative path of the configuration is one from the configuration on.
            if asked.is_none() && !place.contains("://") {
                let path = setting.dir.join(place);
                StorageConfig::parse(&path.display().to_string()).map_err(|e| storage_error(&e))?
            } else {
                config
            }
        }
        None => match if setting.config.backup_dir.is_some() && setting.config.backup.storage.is_none() { None } else { setting.django_storage()? } {
            Some(config) => config,
            None => {
                let dir = setting.backup_dir(None);
                StorageConfig::parse(&dir.display().to_string()).map_err(|e| storage_error(&e))?
            }
        },
    };
    Storage::open(&config).map_err(|e| storage_error(&e))
}

fn key_error(path: &str, e: CodecError) -> Error {
    let code = if matches!(e, CodecError::NeedsPassphrase) { "no-key" } else { "encryption" };
    Error::usage(code, format!("{path}: {e}"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(format!("cannot read the key file {}", path.display()), &e))
}

/// For whom sets are encrypted.
pub fn encryption(setting: &Setting) -> Result<Encryption> {
    let config = &setting.config.backup;
    match (config.age_recipients.is_empty(), config.openpgp_recipients.is_empty()) {
        (false, true) => {
            let mut text = String::new();
            for r in &config.age_recipients {
                if r.starts_with("age1") || r.starts_with("ssh-") {
                    text.push_str(r);
                } else {
                    text.push_str(&String::from_utf8_lossy(&read(&setting.dir.join(r))?));
                }
                text.push('\n');
            }
            let to = AgeRecipients::parse(&text).map_err(|e| key_error("age_recipients", e))?;
            Ok(Encryption::Age(to))
        }
        (true, false) => {
            let mut all = Vec::new();
            for p in &config.openpgp_recipients {
                let path = setting.dir.join(p);
                let found = Certificate::read_all(&read(&path)?);
                all.extend(found.map_err(|e| key_error(&path.display().to_string(), e))?);
            }
            let to = OpenPgpRecipients::new(&all).map_err(|e| key_error("openpgp_recipients", e))?;
            Ok(Encryption::OpenPgp(to))
        }
        (false, false) => Err(Error::usage("no-recipients", "recipients of both age and OpenPGP are named")
            .help("leave one of `age_recipients` and `openpgp_recipients` in [backup] of repot.toml")),
        (true, true) if !setting.django(true)?.gpg_recipients.is_empty() => {
            let named = setting.django(true)?.gpg_recipients;
            let found = Certificate::read_all(&certificates(&named)?);
            let found = found.map_err(|e| key_error("gpg_recipient", e))?;
            let to = OpenPgpRecipients::new(&found).map_err(|e| key_error("gpg_recipient", e))?;
            Ok(Encryption::OpenPgp(to))
        }
        (true, true) => Err(Error::usage("no-recipients", "no recipient is named to encrypt for").help(
            "name public keys in [backup] of repot.toml: `age_recipients = [\"age1...\"]` or `openpgp_recipients = [\"key.asc\"]`",
        )),
    }
}

/// What opens encrypted sets: the argument's files, those of `repot.toml`, and REPOT_PASSPHRASE.
pub fn keys(setting: &Setting, asked: &[PathBuf]) -> Result<Keys> {
    let config = &setting.config.backup;
    let passphrase = setting.env.get("REPOT_PASSPHRASE").map(|p| SecretString::from(p.clone()));
    let mut keys = Keys { age: AgeKeys::default(), ..Keys::default() };
    if let Some(p) = &passphrase {
        keys.age.set_passphrase(p.clone());
        keys.openpgp.set_passphrase(p.clone());
    }
    let named = config.age_identities.iter().chain(&config.openpgp_secret_keys).map(|p| setting.dir.join(p));
    for path in asked.iter().cloned().chain(named) {
        let bytes = read(&path)?;
        let bad = |e| key_error(&path.display().to_string(), e);
        let text = String::from_utf8(bytes.clone()).ok();
        let age = text.filter(|t| {
            t.contains("AGE-SECRET-KEY-")
                || t.trim_start().starts_with("-----BEGIN OPENSSH")
                || t.contains("BEGIN RSA PRIVATE KEY")
        });
        match age {
            Some(text) => {
                keys.age.add_identities(&SecretString::from(text), passphrase.as_ref()).map_err(bad)?
            }
            None => {
                let found =
                    SecretKey::read_all(&SecretSlice::from(bytes), passphrase.as_ref()).map_err(bad)?;
                keys.openpgp.add_secret_keys(found);
            }
        }
    }
    Ok(keys)
}
