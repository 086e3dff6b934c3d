//! Storages and keys, as the arguments, `repot.toml` and the environment name them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use repot_core::backup::foreign::keyring::certificates;
use repot_core::backup::gnupg::Gpg;
use repot_core::backup::storage_error;
use repot_core::{Error, Result};
use repot_store::codec::{
    AgeKeys, AgeRecipients, Certificate, CodecError, Encryption, Keys, OpenPgpRecipients, SecretKey,
};
use repot_store::destinations::{Destination, Destinations};
use repot_store::storage::{OPTIONS, Storage, StorageConfig};
use secrecy::{SecretSlice, SecretString};

use crate::config::{DecryptWith, OneOrMore, Setting, StorageEntry};
use crate::takeover::is_django;

/// A storage that is named, and its address, which is how the catalog knows it.
#[derive(Debug, Clone)]
pub struct Place {
    /// As the user calls it.
    pub name: String,
    /// Its address, without secrets.
    pub address: String,
    pub storage: Storage,
    /// Whether a set is done without it.
    pub required: bool,
}

/// The storages of the sets: the arguments', else those of `repot.toml`, else a directory here. Never none.
///
/// Where the application's own settings name the storage, the directory here is looked at too: the sets of upgrades are
/// there.
pub fn places(setting: &Setting, asked: &[String]) -> Result<Vec<Place>> {
    let mut all = written_to(setting, asked)?;
    let here = setting.backup_dir(None);
    if asked.is_empty() && setting.config.backup.storage.is_none() && here.is_dir() {
        let here = here.display().to_string();
        let here = opened(&here, StorageConfig::parse(&here).map_err(|e| storage_error(&e))?, true)?;
        if all.iter().all(|p| p.address != here.address) {
            all.push(here);
        }
    }
    Ok(all)
}

/// The storages that a backup goes to.
fn written_to(setting: &Setting, asked: &[String]) -> Result<Vec<Place>> {
    let configured = setting.config.backup.storage.as_ref().map(OneOrMore::all).unwrap_or_default();
    let all = match (asked.is_empty(), configured.is_empty()) {
        (false, _) => asked.iter().map(|a| place(setting, a, false)).collect::<Result<Vec<_>>>()?,
        (true, false) => configured.iter().map(|a| place(setting, a, true)).collect::<Result<Vec<_>>>()?,
        (true, true) => {
            let taken =
                if setting.config.backup_dir.is_some() { None } else { setting.django_storage(None)? };
            if let Some(config) = taken {
                return Ok(vec![opened(&config.describe(), config.clone(), true)?]);
            }
            let dir = setting.backup_dir(None).display().to_string();
            vec![opened(&dir, StorageConfig::parse(&dir).map_err(|e| storage_error(&e))?, true)?]
        }
    };
    for (i, p) in all.iter().enumerate() {
        if all[..i].iter().any(|q| q.address == p.address) {
            return Err(Error::usage("bad-storage", format!("the storage {} is named twice", p.name)));
        }
    }
    Ok(all)
}

/// Where a backup goes.
pub fn destinations(setting: &Setting, asked: &[String]) -> Result<Destinations> {
    let all = written_to(setting, asked)?.into_iter().map(|p| Destination {
        name: p.name,
        storage: p.storage,
        required: p.required,
    });
    Destinations::new(all.collect()).map_err(|e| storage_error(&e))
}

fn opened(name: &str, config: StorageConfig, required: bool) -> Result<Place> {
    let storage = Storage::open(&config).map_err(|e| storage_error(&e))?;
    Ok(Place { name: name.to_owned(), address: config.to_string(), storage, required })
}

/// One storage: a name of `[storages]`, a URL, or a directory, which is one from the configuration on where the
/// configuration names it.
fn place(setting: &Setting, asked: &str, configured: bool) -> Result<Place> {
    if let Some(entry) = setting.config.storages.get(asked) {
        let at = address(setting, &entry.url, true)?;
        let config = at.with_options(options(setting, asked, entry)?).map_err(|e| storage_error(&e))?;
        return opened(asked, config, entry.required);
    }
    if is_django(asked) {
        let config = setting.django_storage(Some(asked))?.ok_or_else(|| {
            Error::usage("bad-storage", format!("the storage {asked} names no place"))
                .help("add `directory`, or `storage_options` with its options, to [backup] of repot.toml")
        })?;
        return opened(asked, config, true);
    }
    if !asked.contains("://") && !asked.contains('/') && !setting.config.storages.is_empty() {
        let names: Vec<&str> = setting.config.storages.keys().map(String::as_str).collect();
        return Err(Error::usage(
            "bad-storage",
            format!("there is no storage {asked} in repot.toml; there is {}", names.join(", ")),
        )
        .help(format!("if you mean the directory, write ./{asked}")));
    }
    let mut config = address(setting, asked, configured)?;
    // What is in no file has its secrets from the environment.
    let kind = config.kind();
    for known in OPTIONS.iter().filter(|o| o.kinds.contains(&kind)) {
        if let Some(value) = setting.env.get(&format!("REPOT_STORAGE_{}", known.name.to_ascii_uppercase())) {
            config = config.with_options([(known.name, value)]).map_err(|e| storage_error(&e))?;
        }
    }
    opened(asked, config, true)
}

fn address(setting: &Setting, place: &str, configured: bool) -> Result<StorageConfig> {
    let place = if place.contains("://") {
        place.to_owned()
    } else if configured {
        setting.dir.join(place).display().to_string()
    } else {
        let path = std::path::absolute(place).map_err(|e| Error::io(format!("no path: {place}"), &e))?;
        path.display().to_string()
    };
    StorageConfig::parse(&place).map_err(|e| storage_error(&e))
}

/// The options of a storage of `repot.toml`; what is secret comes from the environment or from a file.
fn options(setting: &Setting, name: &str, entry: &StorageEntry) -> Result<Vec<(String, String)>> {
    let of = |option: &str| OPTIONS.iter().find(|o| o.name == option);
    let mut found = Vec::new();
    for (option, value) in &entry.options {
        let about = |what: String| {
            Error::usage("bad-storage", format!("the option {option} of the storage {name}: {what}"))
        };
        if let Some(known) = of(option) {
            if known.secret {
                return Err(about("a secret does not belong in repot.toml".to_owned())
                    .help(format!("write {option}_file = \"FILE\" or {option}_env = \"VARIABLE\" instead")));
            }
            found.push((option.clone(), value.clone()));
        } else if let Some(known) = option.strip_suffix("_env").filter(|o| of(o).is_some()) {
            found.push((known.to_owned(), secret_of_env(setting, value).map_err(about)?));
        } else if let Some(known) = option.strip_suffix("_file").filter(|o| of(o).is_some()) {
            found.push((known.to_owned(), secret_of_file(&setting.dir.join(value))?));
        } else {
            // The storage's own words name those that there are.
            found.push((option.clone(), value.clone()));
        }
    }
    Ok(found)
}

/// A secret that a variable of the environment has; what is wrong, in words, where there is none.
pub fn secret_of_env(setting: &Setting, variable: &str) -> std::result::Result<String, String> {
    let found = setting.env.get(variable).cloned();
    found.ok_or_else(|| format!("the environment has no variable {variable}"))
}

/// A secret that a file has, without the end of its last line.
pub fn secret_of_file(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn key_error(path: &str, e: CodecError) -> Error {
    let code = if matches!(e, CodecError::NeedsPassphrase) { "no-key" } else { "encryption" };
    Error::usage(code, format!("{path}: {e}"))
}

/// A file with a key.
pub fn read(path: &Path) -> Result<Vec<u8>> {
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

/// What opens encrypted sets: the argument's files, those of `repot.toml`, and REPOT_PASSPHRASE. Where none of them is for
/// OpenPGP, the user's gpg is asked.
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
    let outside = match config.decrypt_with {
        Some(DecryptWith::Gpg) => true,
        Some(DecryptWith::Keys) => false,
        None => keys.openpgp.is_empty(),
    };
    keys.signers = crate::signing::signers(setting)?;
    // GNUPGHOME is in the environment that gpg has from us.
    keys.outside = if outside { Some(Arc::new(Gpg::new(None))) } else { None };
    Ok(keys)
}
