//! The `.metadata` sidecar of a database's file (django-dbbackup 5.1 and later), and whether what it describes may be
//! restored here: django-dbbackup's rule on engines, InvenTree's rules on versions (`backup.py`, `validate_restore`).

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde_json::{Map, Value};

/// A sidecar is a few hundred bytes; anything larger is something else.
pub const LARGEST_BYTES: usize = 1 << 20;
/// InvenTree warns of backups that are older.
pub const OLD_AFTER_DAYS: i64 = 120;

/// Why a text is no sidecar. django-dbbackup restores without it then, and asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Too large.
    #[error(
        "the sidecar has {0} bytes, and no sidecar has more than {LARGEST_BYTES}; it is another file, or damaged"
    )]
    TooLarge(usize),
    /// No JSON, or no object.
    #[error("the sidecar is no JSON object ({0}); it is another file, or damaged")]
    NoObject(String),
}

/// What a sidecar says. Entries that nobody here knows are kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(Map<String, Value>);

/// What InvenTree says of itself, for the sidecar or for the judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvenTree {
    /// `settings.DEBUG`.
    pub debug: bool,
    /// `InvenTree.version.inventreeVersion()`.
    pub version: String,
    /// `InvenTree.version.inventreeApiVersion()`.
    pub api_version: Option<i64>,
    /// `settings.PLUGINS_ENABLED`.
    pub plugins_enabled: bool,
    /// SHA-256 of plugins.txt, hexadecimal. `None`: there is no such file.
    pub plugins_file_hash: Option<String>,
    /// `DOC` (Docker), `PKG`, `GIT`, `DEV`, or what `INVENTREE_PKG_INSTALLER` says.
    pub installer: Option<String>,
}

impl Metadata {
    /// A sidecar as django-dbbackup writes it: Django's `ENGINE` and the dotted name of the connector's class.
    pub fn new(engine: &str, connector: &str) -> Self {
        let mut map = Map::new();
        map.insert("engine".to_owned(), engine.into());
        map.insert("connector".to_owned(), connector.into());
        Metadata(map)
    }

    /// Adds InvenTree's entries. `taken_at`: local time of the application.
    pub fn with_inventree(mut self, app: &InvenTree, taken_at: DateTime) -> Self {
        let entries: [(&str, Value); 7] = [
            ("ivt_1_debug", app.debug.into()),
            ("ivt_1_version", app.version.clone().into()),
            ("ivt_1_version_api", app.api_version.into()),
            ("ivt_1_plugins_enabled", app.plugins_enabled.into()),
            ("ivt_1_plugins_file_hash", app.plugins_file_hash.clone().into()),
            ("ivt_1_installer", app.installer.clone().into()),
            // To the microsecond, as Python writes and reads it.
            ("ivt_1_backup_time", taken_at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string().into()),
        ];
        self.0.extend(entries.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// Reads a sidecar.
    pub fn read(bytes: &[u8]) -> Result<Self, MetadataError> {
        if bytes.len() > LARGEST_BYTES {
            return Err(MetadataError::TooLarge(bytes.len()));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Metadata(map)),
            Ok(_) => Err(MetadataError::NoObject("it is another kind of value".to_owned())),
            Err(e) => Err(MetadataError::NoObject(e.to_string())),
        }
    }

    /// The sidecar's text.
    pub fn write(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// An entry, whatever its name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// Django's `ENGINE`.
    pub fn engine(&self) -> Option<&str> {
        self.text("engine")
    }

    /// Dotted name of the connector's class.
    pub fn connector(&self) -> Option<&str> {
        self.text("connector")
    }

    /// InvenTree's version when the backup was made.
    pub fn inventree_version(&self) -> Option<&str> {
        self.text("ivt_1_version")
    }

    /// InvenTree's API version; written as a number, read as a text too.
    pub fn inventree_api_version(&self) -> Option<i64> {
        let value = self.get("ivt_1_version_api")?;
        value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    /// When InvenTree made the backup, its local time.
    pub fn backup_time(&self) -> Option<DateTime> {
        self.text("ivt_1_backup_time")?.parse().ok()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Whether Python would call the entry true.
    fn is_set(&self, name: &str) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(yes)) => *yes,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::Array(all)) => !all.is_empty(),
            Some(_) => true,
        }
    }
}

/// What the backup would be restored into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentVersion {
    /// Django's `ENGINE`. `None`: it is not known, and not judged.
    pub engine: Option<String>,
    /// InvenTree here. `None`: this is another application.
    pub inventree: Option<InvenTree>,
    /// Local time of the application.
    pub now: DateTime,
    /// `--restore-allow-newer-version`, `INVENTREE_BACKUP_RESTORE_ALLOW_NEWER_VERSION`.
    pub allow_newer_version: bool,
}

/// One thing to say about restoring a backup here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Another database system.
    OtherEngine {
        /// Of the backup.
        backup: String,
        /// Here.
        present: String,
    },
    /// The same database system under another name (`postgis`, `django_prometheus…`).
    OtherEngineName {
        /// Of the backup.
        backup: String,
        /// Here.
        present: String,
    },
    /// A newer API version; refused, or allowed by the flag.
    NewerApi {
        /// Of the backup.
        backup: i64,
        /// Here.
        present: i64,
    },
    /// Another version.
    OtherVersion {
        /// Of the backup.
        backup: String,
        /// Here.
        present: String,
    },
    /// InvenTree here, and no version in the sidecar.
    NoVersion,
    /// The versions differ, and no API version tells which is newer.
    NoApiVersion,
    /// Plugins were enabled, and are not here.
    PluginsDisabled,
    /// Another plugins.txt.
    OtherPlugins,
    /// Another kind of installation.
    OtherInstaller {
        /// Of the backup.
        backup: String,
        /// Here.
        present: Option<String>,
    },
    /// Older than [`OLD_AFTER_DAYS`].
    Old {
        /// Its age.
        age_days: i64,
    },
    /// No time that could be read.
    NoTime,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::OtherEngine { backup, present } => write!(
                f,
                "the backup is of a database with the engine {backup}, and this one has {present}: restore it into the same engine"
            ),
            Finding::OtherEngineName { backup, present } => {
                write!(
                    f,
                    "the backup names its engine {backup}, and here it is {present}: the same database system"
                )
            }
            Finding::NewerApi { backup, present } => write!(
                f,
                "the backup is of a newer InvenTree (API version {backup}, here {present}): upgrade InvenTree first, or allow it with --allow-newer-version"
            ),
            Finding::OtherVersion { backup, present } => {
                write!(f, "the backup is of InvenTree {backup}, and this is {present}")
            }
            Finding::NoVersion => write!(f, "the backup does not say of which InvenTree it is"),
            Finding::NoApiVersion => {
                write!(
                    f,
                    "it cannot be told whether the backup is of a newer InvenTree: an API version is missing"
                )
            }
            Finding::PluginsDisabled => {
                write!(
                    f,
                    "plugins were enabled when the backup was made, and are not here: their data may be lost"
                )
            }
            Finding::OtherPlugins => {
                write!(
                    f,
                    "plugins.txt is another than when the backup was made: data of plugins may be lost or not fit"
                )
            }
            Finding::OtherInstaller { backup, present } => write!(
                f,
                "the backup is of an installation of the kind {backup}, and this one is {}",
                present.as_deref().unwrap_or("of none that is known")
            ),
            Finding::Old { age_days } => write!(f, "the backup is {age_days} days old"),
            Finding::NoTime => write!(f, "the backup does not say when it was made"),
        }
    }
}

/// What follows from a sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Any of these forbids the restore.
    pub refusals: Vec<Finding>,
    /// To be told before it.
    pub warnings: Vec<Finding>,
}

impl Judgement {
    /// Whether the backup may be restored.
    pub fn may_restore(&self) -> bool {
        self.refusals.is_empty()
    }
}

/// Judges a backup by its sidecar.
///
/// InvenTree's order is kept: a newer API version is looked at only if the version's text differs. Where it does not
/// (two states of development), a newer API is a warning here and nothing there. Where InvenTree's own check breaks
/// off with an exception (no time in the sidecar), there is a warning.
pub fn judge(metadata: &Metadata, present: &PresentVersion) -> Judgement {
    let mut j = Judgement::default();
    if let (Some(backup), Some(here)) = (metadata.engine(), present.engine.as_deref())
        && backup != here
        && metadata.connector() != Some("dbbackup.db.django.DjangoConnector")
    {
        let (backup, present) = (backup.to_owned(), here.to_owned());
        if family(&backup).is_some() && family(&backup) == family(&present) {
            j.warnings.push(Finding::OtherEngineName { backup, present });
        } else {
            j.refusals.push(Finding::OtherEngine { backup, present });
        }
    }
    if let Some(here) = &present.inventree {
        judge_inventree(metadata, here, present, &mut j);
    }
    j
}

fn judge_inventree(metadata: &Metadata, here: &InvenTree, present: &PresentVersion, j: &mut Judgement) {
    let Some(version) = metadata.inventree_version() else {
        j.warnings.push(Finding::NoVersion);
        return;
    };
    let differs = version != here.version;
    if differs {
        j.warnings.push(Finding::OtherVersion { backup: version.to_owned(), present: here.version.clone() });
    }
    match (metadata.inventree_api_version(), here.api_version) {
        (Some(backup), Some(api)) if backup > api => {
            let newer = Finding::NewerApi { backup, present: api };
            if differs && !present.allow_newer_version {
                j.refusals.push(newer);
            } else {
                j.warnings.push(newer);
            }
        }
        (Some(_), Some(_)) => {}
        _ if differs => j.warnings.push(Finding::NoApiVersion),
        _ => {}
    }
    if metadata.is_set("ivt_1_plugins_enabled") && !here.plugins_enabled {
        j.warnings.push(Finding::PluginsDisabled);
    }
    // An entry that is missing is `unknown` to InvenTree, and so another; one that is null says that there was none.
    let missing = |name: &str| !metadata.0.contains_key(name);
    let hash = metadata.text("ivt_1_plugins_file_hash").filter(|h| !h.is_empty());
    if missing("ivt_1_plugins_file_hash") || hash.is_some() && hash != here.plugins_file_hash.as_deref() {
        j.warnings.push(Finding::OtherPlugins);
    }
    let installer = metadata.text("ivt_1_installer").filter(|i| !i.is_empty());
    let installer = if missing("ivt_1_installer") { Some("unknown") } else { installer };
    if let Some(backup) = installer.filter(|i| Some(*i) != here.installer.as_deref()) {
        j.warnings
            .push(Finding::OtherInstaller { backup: backup.to_owned(), present: here.installer.clone() });
    }
    match metadata.backup_time() {
        Some(then) => {
            let age = present.now.duration_since(then);
            if age > SignedDuration::from_hours(OLD_AFTER_DAYS * 24) {
                j.warnings.push(Finding::Old { age_days: age.as_hours() / 24 });
            }
        }
        None => j.warnings.push(Finding::NoTime),
    }
}

/// The database system behind Django's `ENGINE`.
fn family(engine: &str) -> Option<&'static str> {
    let last = engine.rsplit('.').next().unwrap_or_default();
    Some(match last {
        "postgresql" | "postgresql_psycopg2" | "postgis" => "postgresql",
        "mysql" => "mysql",
        "sqlite3" | "spatialite" | "django_s3_sqlite" => "sqlite",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
