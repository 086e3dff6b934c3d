//! What InvenTree and django-dbbackup were configured to do, as one plain value.
//!
//! Every name is known, or an error that lists near ones: InvenTree's own manual once had `backup_stoage` in an
//! example, and InvenTree takes that for nothing and writes to the local disk. What cannot be followed from outside
//! Python is a [`Note`] that names its counterpart.

mod connector;
mod programs;
mod value;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use connector::{Connector, ConnectorKind};
pub use programs::{Programs, Way};
use value::Setting;

use super::date_format::DEFAULT_DATE_FORMAT;
use super::naming::{
    DEFAULT_DATABASE_TEMPLATE, DEFAULT_MEDIA_TEMPLATE, INVENTREE_DATABASE_TEMPLATE, INVENTREE_MEDIA_TEMPLATE,
};
use super::options::{OptionValue, Options};

/// Django's storage on the local disk, the default.
pub const FILE_SYSTEM_STORAGE: &str = "django.core.files.storage.FileSystemStorage";
/// `DBBACKUP_CLEANUP_KEEP` where it is not set.
pub const DEFAULT_KEEP: u32 = 10;

/// Why settings cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A name nobody knows.
    #[error("there is no setting `{name}`{}", suggestion(.near))]
    Unknown {
        /// The name.
        name: String,
        /// Names like it, the nearest first.
        near: Vec<String>,
    },
    /// A value that is not understood. It is not repeated, because it may be a secret.
    #[error("the value of `{name}` cannot be used: {why}")]
    Value {
        /// The setting.
        name: String,
        /// Why, and what is wanted.
        why: String,
    },
}

fn suggestion(near: &[String]) -> String {
    match near {
        [] => "; see the manual's page on moving from django-dbbackup".to_owned(),
        all => format!(
            "; did you mean {}?",
            all.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")
        ),
    }
}

/// Names like `name`, at most three.
fn near<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(f64, &str)> = all
        .into_iter()
        .map(|n| (strsim::normalized_damerau_levenshtein(name, n), n))
        .filter(|(score, _)| *score >= 0.6)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, n)| n.to_owned()).collect()
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Nothing changes.
    Harmless,
    /// Something will be done in another way than before; the user has to decide.
    Decide,
}

/// A setting that is not followed, or not to the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The setting.
    pub name: String,
    /// Whether it matters.
    pub weight: Weight,
    /// Goes on after the name: what it is, and what repot has in its place.
    pub text: String,
}

impl Note {
    fn new(name: &str, weight: Weight, text: &str) -> Self {
        Note { name: name.to_owned(), weight, text: text.to_owned() }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.name, self.text)
    }
}

/// How backups are configured.
#[derive(Debug, Clone)]
pub struct BackupSettings {
    /// Dotted name of the storage's class, as Django and django-storages name them.
    pub storage: String,
    /// Its options.
    pub storage_options: Options,
    /// The directory, where the storage is the local disk and one is configured.
    pub directory: Option<String>,
    /// Aliases of the databases to back up. `None`: all that the application has.
    pub databases: Option<Vec<String>>,
    /// Options of each database's connector.
    pub connectors: BTreeMap<String, Connector>,
    /// Connectors by Django's `ENGINE`, before django-dbbackup's own.
    pub connector_mapping: BTreeMap<String, String>,
    /// Whether a failure sends mail.
    pub send_email: bool,
    /// Put before the subject as it is; a blank after it belongs to it.
    pub email_subject_prefix: String,
    /// The sender. `None`: the application's.
    pub email_from: Option<String>,
    /// Who gets it. `None`: the application's administrators.
    pub email_to: Option<Vec<String>>,
    /// Who can decrypt. Empty: nothing is encrypted.
    pub gpg_recipients: Vec<String>,
    /// Whether keys are used that nobody has vouched for.
    pub gpg_always_trust: bool,
    /// Python's strftime.
    pub date_format: String,
    /// Names of databases' files.
    pub database_template: String,
    /// Names of media archives.
    pub media_template: String,
    /// The host's name in names of files. `None`: the machine's own.
    pub hostname: Option<String>,
    /// How many backups of a database are kept.
    pub keep: u32,
    /// How many media archives are kept.
    pub keep_media: u32,
    /// Where the media is. `None`: the application's `MEDIA_ROOT`.
    pub media_path: Option<String>,
    /// Whether a backup of a newer version may be restored.
    pub allow_newer_version: bool,
    /// What is not followed.
    pub notes: Vec<Note>,
}

impl BackupSettings {
    fn dbbackup() -> Self {
        BackupSettings {
            storage: FILE_SYSTEM_STORAGE.to_owned(),
            storage_options: Options::default(),
            directory: None,
            databases: None,
            connectors: BTreeMap::new(),
            connector_mapping: BTreeMap::new(),
            send_email: true,
            email_subject_prefix: "[dbbackup] ".to_owned(),
            email_from: None,
            email_to: None,
            gpg_recipients: Vec::new(),
            gpg_always_trust: false,
            date_format: DEFAULT_DATE_FORMAT.to_owned(),
            database_template: DEFAULT_DATABASE_TEMPLATE.to_owned(),
            media_template: DEFAULT_MEDIA_TEMPLATE.to_owned(),
            hostname: None,
            keep: DEFAULT_KEEP,
            keep_media: DEFAULT_KEEP,
            media_path: None,
            allow_newer_version: false,
            notes: Vec::new(),
        }
    }

    fn inventree() -> Self {
        BackupSettings {
            send_email: false,
            email_subject_prefix: "[InvenTree Backup]".to_owned(),
            database_template: INVENTREE_DATABASE_TEMPLATE.to_owned(),
            media_template: INVENTREE_MEDIA_TEMPLATE.to_owned(),
            ..BackupSettings::dbbackup()
        }
    }

    /// The server's name in names of files: what the command was given, or the configured host, or the machine's.
    pub fn server_name<'a>(&'a self, given: Option<&'a str>, machine: &'a str) -> &'a str {
        given.filter(|g| !g.is_empty()).or(self.hostname.as_deref()).unwrap_or(machine)
    }

    /// How a database is dumped: by its own options, the mapping of engines, or its engine. `None`: by a class that
    /// only Python can run.
    pub fn connector_kind(&self, alias: &str, engine: &str) -> Option<ConnectorKind> {
        let own = self.connectors.get(alias).and_then(|c| c.class.as_deref());
        match own.or(self.connector_mapping.get(engine).map(String::as_str)) {
            Some(path) => ConnectorKind::from_path(path),
            None => Some(ConnectorKind::from_engine(engine)),
        }
    }

    /// Directory by the storage's `location`, if it is the local disk.
    fn settle_directory(&mut self, setting: &str) {
        if !self.is_local() {
            return;
        }
        if let Some(location) = self.storage_options.get("location").and_then(OptionValue::expose) {
            self.directory = Some(location.to_owned());
        } else if !self.storage_options.is_empty() {
            self.notes.push(Note::new(
                setting,
                Weight::Decide,
                "has no `location`, with which Django writes backups among the media files; repot uses its backup directory",
            ));
        }
    }

    /// Whether the storage is a local directory.
    pub fn is_local(&self) -> bool {
        matches!(
            self.storage.as_str(),
            FILE_SYSTEM_STORAGE | "django.core.files.storage.filesystem.FileSystemStorage"
        )
    }
}

/// InvenTree's settings: in the environment, and in config.yaml.
const INVENTREE: [&str; 13] = [
    "STORAGE",
    "DIR",
    "OPTIONS",
    "CONNECTOR_OPTIONS",
    "SEND_EMAIL",
    "EMAIL_PREFIX",
    "GPG_RECIPIENT",
    "DATE_FORMAT",
    "DATABASE_FILENAME_TEMPLATE",
    "MEDIA_FILENAME_TEMPLATE",
    "RESTORE_ALLOW_NEWER_VERSION",
    "ENABLE",
    "DAYS",
];
const ENV_PREFIX: &str = "INVENTREE_BACKUP_";
const KEY_PREFIX: &str = "backup_";

/// Reads InvenTree's settings. `env`: the environment, other variables in it do not matter; it wins over `config`,
/// the parsed config.yaml.
pub fn from_inventree(
    env: &BTreeMap<String, String>,
    config: &Value,
) -> Result<BackupSettings, SettingsError> {
    let mut found: BTreeMap<&str, (String, Value)> = BTreeMap::new();
    let known = |name: &str| INVENTREE.iter().copied().find(|n| *n == name);
    for (key, value) in config.as_object().into_iter().flatten() {
        let Some(rest) = key.strip_prefix(KEY_PREFIX) else { continue };
        let upper = rest.to_uppercase();
        let name =
            known(&upper).filter(|n| n.to_lowercase() == rest).ok_or_else(|| SettingsError::Unknown {
                name: key.clone(),
                near: near(&upper, INVENTREE)
                    .iter()
                    .map(|n| format!("{KEY_PREFIX}{}", n.to_lowercase()))
                    .collect(),
            })?;
        if !value.is_null() {
            found.insert(name, (key.clone(), value.clone()));
        }
    }
    for (variable, value) in env {
        let Some(rest) = variable.strip_prefix(ENV_PREFIX) else { continue };
        let name = known(rest).ok_or_else(|| SettingsError::Unknown {
            name: variable.clone(),
            near: near(rest, INVENTREE).iter().map(|n| format!("{ENV_PREFIX}{n}")).collect(),
        })?;
        found.insert(name, (variable.clone(), Value::String(value.clone())));
    }

    let mut b = BackupSettings::inventree();
    let mut connector: Map<String, Value> =
        Map::from_iter([("EXCLUDE".to_owned(), Value::from(vec!["django_session"]))]);
    let mut connector_name = "backup_connector_options".to_owned();
    let mut options_name = "backup_options".to_owned();
    for (name, (given, value)) in &found {
        let s = Setting { name: given, value };
        match *name {
            "STORAGE" => b.storage = s.some_text()?.ok_or_else(|| s.wrong("it is empty; leave it out for the local disk"))?,
            "DIR" => b.directory = s.some_text()?,
            "OPTIONS" | "CONNECTOR_OPTIONS" => {
                let (map, json) = s.dictionary()?;
                if !json {
                    b.notes.push(Note::new(given, Weight::Decide, "is a Python literal; repot follows it, InvenTree itself reads JSON only and took it for nothing"));
                }
                if *name == "OPTIONS" {
                    b.storage_options = Options::new(map);
                    options_name.clone_from(given);
                } else {
                    connector_name.clone_from(given);
                    connector.extend(map);
                }
            }
            "SEND_EMAIL" => b.send_email = s.yes()?,
            "EMAIL_PREFIX" => b.email_subject_prefix = s.text()?,
            "GPG_RECIPIENT" => b.gpg_recipients = s.one_or_more()?,
            "DATE_FORMAT" => b.date_format = s.text()?,
            "DATABASE_FILENAME_TEMPLATE" => b.database_template = s.text()?,
            "MEDIA_FILENAME_TEMPLATE" => b.media_template = s.text()?,
            "RESTORE_ALLOW_NEWER_VERSION" => b.allow_newer_version = s.yes()?,
            _ => b.notes.push(Note::new(
                given,
                Weight::Decide,
                "is kept in InvenTree's own database, not in its configuration; in its place there is `repot schedule`",
            )),
        }
    }
    let connector = Connector::read(&connector_name, &connector, &mut b.notes)?;
    b.connectors.insert("default".to_owned(), connector);
    b.settle_directory(&options_name);
    Ok(b)
}

/// django-dbbackup's settings that have a counterpart.
const DBBACKUP: [&str; 22] = [
    "DATABASES",
    "HOSTNAME",
    "CLEANUP_KEEP",
    "CLEANUP_KEEP_MEDIA",
    "CLEANUP_KEEP_FILTER",
    "MEDIA_PATH",
    "DATE_FORMAT",
    "FILENAME_TEMPLATE",
    "MEDIA_FILENAME_TEMPLATE",
    "GPG_RECIPIENT",
    "GPG_ALWAYS_TRUST",
    "CONNECTORS",
    "CONNECTOR_MAPPING",
    "SEND_EMAIL",
    "SERVER_EMAIL",
    "ADMIN",
    "ADMINS",
    "EMAIL_SUBJECT_PREFIX",
    "BACKUP_METADATA_SETTER",
    "RESTORE_METADATA_VALIDATOR",
    "TMP_DIR",
    "STORAGE",
];
const DBBACKUP_PREFIX: &str = "DBBACKUP_";

/// Settings that are known and not followed: how much that matters, and what there is in their place.
fn not_followed(name: &str) -> Option<(Weight, &'static str)> {
    Some(match name {
        "TMP_DIR" | "TMP_FILE_MAX_SIZE" | "TMP_FILE_READ_SIZE" => {
            (Weight::Harmless, "is not needed: repot streams and makes no temporary files")
        }
        "CLEANUP_KEEP_FILTER" => (
            Weight::Decide,
            "is a function, which only Python can call: what it kept is not kept by repot; say it as keep rules by label and age before the first prune",
        ),
        "BACKUP_METADATA_SETTER" => (
            Weight::Decide,
            "is a function, which only Python can call; repot writes what the profile of the application says",
        ),
        "RESTORE_METADATA_VALIDATOR" => (
            Weight::Decide,
            "is a function, which only Python can call; repot judges by InvenTree's rules where the sidecar has InvenTree's entries, and asks nobody otherwise",
        ),
        "STORAGE" | "STORAGE_OPTIONS" => (
            Weight::Decide,
            "was removed in django-dbbackup 5.0, which refuses to start with it; use STORAGES[\"dbbackup\"]",
        ),
        "FAILURE_RECIPIENTS" => (Weight::Decide, "was removed from django-dbbackup; use DBBACKUP_ADMIN"),
        "SERVER_NAME" => (Weight::Decide, "was removed from django-dbbackup; use DBBACKUP_HOSTNAME"),
        "BACKUP_DIRECTORY" => (
            Weight::Decide,
            "was removed from django-dbbackup; use `location` in the options of STORAGES[\"dbbackup\"]",
        ),
        _ => return None,
    })
}

/// Reads django-dbbackup's settings: `DBBACKUP_*` and `STORAGES`; other names do not matter. Values are as they stand
/// in Python, or texts (dictionaries and lists then as JSON or as Python literals).
pub fn from_dbbackup(settings: &BTreeMap<String, Value>) -> Result<BackupSettings, SettingsError> {
    let mut b = BackupSettings::dbbackup();
    let mut keep_media = None;
    for (given, value) in settings {
        let s = Setting { name: given, value };
        if given == "STORAGES" {
            storages(&mut b, s)?;
            continue;
        }
        let Some(name) = given.strip_prefix(DBBACKUP_PREFIX) else { continue };
        match name {
            "DATABASES" => b.databases = Some(s.list()?),
            "HOSTNAME" => b.hostname = s.some_text()?,
            "CLEANUP_KEEP" => b.keep = s.count()?,
            "CLEANUP_KEEP_MEDIA" => keep_media = Some(s.count()?),
            "MEDIA_PATH" => b.media_path = s.some_text()?,
            "DATE_FORMAT" => b.date_format = s.text()?,
            "FILENAME_TEMPLATE" | "MEDIA_FILENAME_TEMPLATE" if s.is_callable() => b.notes.push(Note::new(
                given,
                Weight::Decide,
                "is a function, which only Python can call; repot names files by the default template until one is given as a text",
            )),
            "FILENAME_TEMPLATE" => b.database_template = s.text()?,
            "MEDIA_FILENAME_TEMPLATE" => b.media_template = s.text()?,
            "GPG_RECIPIENT" => b.gpg_recipients = s.one_or_more()?,
            "GPG_ALWAYS_TRUST" => b.gpg_always_trust = s.yes()?,
            "CONNECTORS" => {
                for (alias, options) in s.dictionary()?.0 {
                    let name = format!("{given}.{alias}");
                    let map = Setting { name: &name, value: &options }.dictionary()?.0;
                    let connector = Connector::read(&name, &map, &mut b.notes)?;
                    b.connectors.insert(alias, connector);
                }
            }
            "CONNECTOR_MAPPING" => {
                for (engine, class) in s.dictionary()?.0 {
                    let name = format!("{given}.{engine}");
                    let class = Setting { name: &name, value: &class }.text()?;
                    b.connector_mapping.insert(engine, class);
                }
            }
            "SEND_EMAIL" => b.send_email = s.yes()?,
            "SERVER_EMAIL" => b.email_from = s.some_text()?,
            // What the code reads; its manual says ADMINS.
            "ADMIN" => b.email_to = Some(people(s)?),
            "ADMINS" => {
                let admins = people(s)?;
                b.email_to.get_or_insert(admins);
                b.notes.push(Note::new(given, Weight::Harmless, "is followed here; django-dbbackup itself reads DBBACKUP_ADMIN only"));
            }
            "EMAIL_SUBJECT_PREFIX" => b.email_subject_prefix = s.text()?,
            "BACKUP_METADATA_SETTER" | "RESTORE_METADATA_VALIDATOR"
                if matches!(value.as_str(), Some("InvenTree.backup.metadata_set" | "InvenTree.backup.validate_restore")) =>
            {
                b.notes.push(Note::new(given, Weight::Harmless, "is InvenTree's own, whose rules repot has"));
            }
            _ => match not_followed(name) {
                Some((weight, text)) => b.notes.push(Note::new(given, weight, text)),
                None => {
                    let near = near(name, DBBACKUP).iter().map(|n| format!("{DBBACKUP_PREFIX}{n}")).collect();
                    return Err(SettingsError::Unknown { name: given.clone(), near });
                }
            },
        }
    }
    b.keep_media = keep_media.unwrap_or(b.keep);
    Ok(b)
}

fn storages(b: &mut BackupSettings, s: Setting<'_>) -> Result<(), SettingsError> {
    let (all, _) = s.dictionary()?;
    let name = "STORAGES.dbbackup";
    let Some(ours) = all.get("dbbackup") else { return Ok(()) };
    for (key, value) in (Setting { name, value: ours }).dictionary()?.0 {
        let name = format!("{name}.{key}");
        let s = Setting { name: &name, value: &value };
        match key.as_str() {
            "BACKEND" => b.storage = s.text()?,
            "OPTIONS" => b.storage_options = Options::new(s.dictionary()?.0),
            other => {
                return Err(SettingsError::Unknown {
                    name: name.clone(),
                    near: near(other, ["BACKEND", "OPTIONS"]),
                });
            }
        }
    }
    b.settle_directory(name);
    Ok(())
}

/// Addresses: texts, or Django's pairs of name and address.
fn people(s: Setting<'_>) -> Result<Vec<String>, SettingsError> {
    let parsed;
    let value = match s.value {
        Value::String(text) if text.trim_start().starts_with(['[', '(']) => {
            parsed = s.literal(text)?.0;
            &parsed
        }
        Value::String(_) => return s.one_or_more(),
        other => other,
    };
    let address = |v: &Value| match v {
        Value::String(address) => Some(address.clone()),
        Value::Array(pair) => pair.get(1)?.as_str().map(str::to_owned),
        _ => None,
    };
    let all = value.as_array().ok_or_else(|| s.wrong("a list is wanted"))?;
    all.iter()
        .map(|v| address(v).ok_or_else(|| s.wrong("each is an address, or a pair of name and address")))
        .collect()
}

#[cfg(test)]
mod tests;
