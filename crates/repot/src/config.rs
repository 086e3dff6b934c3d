//! `repot.toml` beside the Compose file; everything in it is optional.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use repot_alert::AlertsConfig;
use repot_core::app::detect::{Deployment, Place, detect};
use repot_core::app::others::detect_any;
use repot_core::app::profile::Profile;
use repot_core::host::compose::project::locate;
use repot_core::upgrade::planner::default_state_dir;
use repot_core::{Error, Result};
use repot_store::codec::Compression;
use repot_store::retention::KeepRules;
use serde::Deserialize;

use crate::cli::LayoutArg;
use crate::schedule::ScheduleConfig;

/// What `repot.toml` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Profile to use instead of the one that is recognised.
    pub profile: Option<String>,
    /// More profiles: paths of TOML files.
    pub profiles: Vec<PathBuf>,
    /// Database service.
    pub service: Option<String>,
    /// Directory for backup sets.
    pub backup_dir: Option<PathBuf>,
    /// Directory for the catalog and the runs.
    pub state_dir: Option<PathBuf>,
    /// Image of the new server, instead of the one derived from the present image.
    pub target_image: Option<String>,
    /// Backups.
    pub backup: BackupConfig,
    /// Storages by name.
    pub storages: BTreeMap<String, StorageEntry>,
    /// Which sets `repot prune` keeps.
    pub keep: KeepRules,
    /// Who is told how things go.
    pub alerts: AlertsConfig,
    /// What is done when.
    pub schedule: ScheduleConfig,
}

/// `[storages.NAME]` of `repot.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageEntry {
    /// A directory, or a URL without secrets.
    pub url: String,
    /// Options; those that are secret as `NAME_env` or `NAME_file`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Whether a set is done without it.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// One storage, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub fn all(&self) -> &[String] {
        match self {
            OneOrMore::One(s) => std::slice::from_ref(s),
            OneOrMore::More(all) => all,
        }
    }
}

/// What opens files of OpenPGP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecryptWith {
    /// The user's gpg, with its agent.
    Gpg,
    /// Secret key files alone.
    Keys,
}

/// `[backup.sign]` of `repot.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignConfig {
    /// File with the secret key of OpenPGP that signs.
    pub key_file: Option<PathBuf>,
    /// The variable that has its passphrase.
    pub passphrase_env: Option<String>,
    /// The file that has its passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Instead: the key of the user's GnuPG keyring that signs.
    pub gpg_key: Option<String>,
    /// Files with certificates of those whose signature counts, besides the signing key's own.
    pub trusted: Vec<PathBuf>,
    /// Whether sets that none of them has signed are refused.
    pub required: bool,
}

/// `[backup]` of `repot.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// Storages of the sets, instead of `backup_dir`: names of `[storages]`, directories, or URLs.
    pub storage: Option<OneOrMore>,
    /// `zstd`, `gzip` or `none`.
    pub compress: Option<Compression>,
    /// Recipients of age: public keys, or paths of recipients files.
    pub age_recipients: Vec<String>,
    /// Files with certificates of OpenPGP.
    pub openpgp_recipients: Vec<PathBuf>,
    /// Files with secret keys of age or SSH.
    pub age_identities: Vec<PathBuf>,
    /// Files with secret keys of OpenPGP.
    pub openpgp_secret_keys: Vec<PathBuf>,
    /// `gpg` or `keys`: what opens files of OpenPGP.
    pub decrypt_with: Option<DecryptWith>,
    /// Who signs sets, and whose signature counts.
    pub sign: SignConfig,
    /// `sets` or `django-dbbackup`: how files are named and laid out.
    pub layout: Option<LayoutArg>,
    /// `false`: the application's own backup settings are not read.
    pub application_settings: Option<bool>,
    /// Directory, where the storage is a local one named as Django names it.
    pub directory: Option<String>,
    /// Options of a storage that is named as Django names it.
    pub storage_options: Option<toml::Table>,
    /// Options of the database's connector, as in DBBACKUP_CONNECTORS.
    pub connector_options: Option<toml::Table>,
    /// Whether a failure sends mail, in django-dbbackup's words.
    pub send_email: Option<bool>,
    /// What the subject of mails begins with.
    pub email_prefix: Option<String>,
    /// For whom `--encrypt` encrypts: keys of the user's GnuPG keyring.
    pub gpg_recipient: Option<toml::Value>,
    /// Python's strftime, in names of files.
    pub date_format: Option<String>,
    /// Names of databases' files.
    pub database_filename_template: Option<String>,
    /// Names of media archives.
    pub media_filename_template: Option<String>,
    /// The host's name in names of files.
    pub hostname: Option<String>,
    /// The server's name in names of files, before `hostname`.
    pub server_name: Option<String>,
    /// Whether a backup of a newer version of the application may be restored.
    pub allow_newer_version: Option<bool>,
    /// A Django project's own settings: DBBACKUP_* and STORAGES.
    pub dbbackup: Option<toml::Table>,
}

/// Everything a command needs to know of where it runs.
pub struct Setting {
    pub config: Config,
    pub env: BTreeMap<String, String>,
    /// Directory of the project.
    pub dir: PathBuf,
    pub state_dir: PathBuf,
    /// The application's own backup settings, read once.
    pub application: std::sync::OnceLock<Option<repot_core::backup::foreign::settings::Taken>>,
}

/// Reads the surroundings of `dir`.
#[allow(clippy::disallowed_methods, reason = "the binary reads the environment, once, here")]
pub fn setting(dir: &Path) -> Result<Setting> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    // The project may be found in a parent directory, as Compose does; a state directory must stay the same.
    let project = match locate(dir, &env) {
        Ok(at) => at.dir,
        Err(e) if e.code == "no-directory" => return Err(e),
        Err(_) => dir.canonicalize().map_err(|e| Error::io(format!("cannot enter {}", dir.display()), &e))?,
    };
    let path = project.join("repot.toml");
    let config: Config = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text)
            .map_err(|e| Error::usage("bad-config", format!("{} does not parse", path.display())).why(e))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Config::default(),
        Err(e) => return Err(Error::io(format!("cannot read {}", path.display()), &e)),
    };
    let from_env = env.get("REPOT_STATE_DIR").map(PathBuf::from);
    let state_dir = from_env
        .or_else(|| config.state_dir.clone())
        .map_or_else(|| default_state_dir(&project), |d| project.join(d));
    Ok(Setting { config, env, dir: project, state_dir, application: std::sync::OnceLock::new() })
}

impl Setting {
    /// Profiles: the user's first, then those that come with repot.
    pub fn profiles(&self) -> Result<Vec<Profile>> {
        let mut all = Vec::new();
        for p in &self.config.profiles {
            let path = self.dir.join(p);
            let text = std::fs::read_to_string(&path)
                .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
            all.push(Profile::parse(&path.display().to_string(), &text)?);
        }
        all.extend(Profile::built_in()?);
        Ok(all)
    }
    /// Looks at the application.
    pub fn detect(&self, service: Option<&str>) -> Result<Deployment> {
        detect(&self.place(service), &self.profiles()?)
    }
    /// As [`Setting::detect`], for backups: whatever its database is.
    pub fn detect_any(&self, service: Option<&str>) -> Result<Deployment> {
        detect_any(&self.place(service), &self.profiles()?)
    }
    fn place(&self, service: Option<&str>) -> Place {
        Place {
            dir: self.dir.clone(),
            env: self.env.clone(),
            service: service.map(str::to_owned).or_else(|| self.config.service.clone()),
            profile: self.config.profile.clone(),
        }
    }
    /// Where backup sets go.
    pub fn backup_dir(&self, asked: Option<&Path>) -> PathBuf {
        match asked.or(self.config.backup_dir.as_deref()) {
            Some(d) if asked.is_some() => std::path::absolute(d).unwrap_or_else(|_| d.to_owned()),
            Some(d) => self.dir.join(d),
            None => self.state_dir.join("backups"),
        }
    }
}
