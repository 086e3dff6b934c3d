//! What repot knows of one application, as data. A new application is a new TOML file and a scenario test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::others::OtherDatabases;
use crate::app::version::Version;
use crate::error::{Error, Result};

/// The newest PostgreSQL major that this repot knows (its settings, its image layout).
pub const NEWEST_MAJOR: u32 = 18;
/// The oldest source that is supported: 12 changed how floats are printed, so older text forms cannot be compared.
pub const OLDEST_MAJOR: u32 = 12;

/// The least PostgreSQL major for each Django release, from `minimum_database_version` in its
/// `db/backends/postgresql/features.py`.
pub const DJANGO_MINIMUM: [(&str, u32); 7] =
    [("4.1", 11), ("4.2", 12), ("5.0", 12), ("5.1", 13), ("5.2", 14), ("6.0", 14), ("6.1", 15)];

/// One application.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Short name, as in `--profile` and the file's name.
    pub name: String,
    /// The name people use.
    pub title: String,
    /// How it is recognised.
    pub detect: Detect,
    /// Which services are which.
    pub services: Services,
    /// Names of the application's own database settings, read from its services' environment.
    pub database: Settings,
    /// Where its version is kept.
    pub version: VersionSource,
    /// Which versions of it accept which PostgreSQL.
    pub requires: Vec<Requirement>,
    /// The PostgreSQL major that the project itself recommends, if it does.
    pub recommended: Option<u32>,
    /// How it brings its own schema up to date.
    pub update: Update,
    /// How to see that it is well.
    pub health: Health,
    /// What its users upload.
    pub media: Media,
    /// Where its own configuration and keys are.
    pub config: ConfigFiles,
    /// Databases beside or instead of PostgreSQL, for backups.
    pub backup: OtherDatabases,
    /// How its own backups are configured, and what is said of it in them.
    pub own_backups: BackupSource,
}

/// How the application's own backups are configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSource {
    /// Whose names the settings have; `inventree` is known.
    pub settings: Option<String>,
    /// Service whose environment has the settings.
    pub service: String,
    /// What names of variables begin with, such as `INVENTREE_BACKUP_`.
    pub variables: String,
    /// A YAML file in the service's container with the same settings.
    pub file: Option<String>,
    /// What keys in that file begin with, such as `backup_`.
    pub keys: String,
    /// Django's `ENGINE`, as sidecars of django-dbbackup name it.
    pub engine: Option<String>,
    /// Command in the running service that prints one JSON object: `version`, `api_version`, `plugins_enabled`,
    /// `plugins_file_hash`, `installer`, `debug`, as far as they are known. It reads files only, so it is quick.
    pub facts: Vec<String>,
}

/// What users upload.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// Directories; one that is not there is left out of a backup.
    pub roots: Vec<MediaRoot>,
}

/// A directory of media.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaRoot {
    /// Name in a backup set: letters, digits, `_` and `-`.
    pub name: String,
    /// Service that mounts it.
    pub service: String,
    /// Path inside the service's container.
    pub path: String,
}

/// Configuration beside the Compose files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFiles {
    /// Files; one that is not there is left out of a backup.
    pub files: Vec<ConfigFile>,
}

/// A configuration file inside a service's mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Service that mounts it.
    pub service: String,
    /// Path inside the service's container.
    pub path: String,
}

/// How an application is recognised: any image or any variable is enough.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// Last component of an image's repository, such as `inventree`.
    pub images: Vec<String>,
    /// Full repository suffixes, such as `ente-io/server`.
    pub repositories: Vec<String>,
    /// Environment variables of a service.
    pub environment: Vec<String>,
}

/// Which services are which; names are hints, tried in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Services {
    /// The service that holds the database.
    pub database: Vec<String>,
    /// The service that runs the update command and answers for health.
    pub application: Vec<String>,
}

/// Names of settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Variables that hold the user, tried in order.
    pub user: Vec<String>,
    /// Variables that hold the password.
    pub password: Vec<String>,
    /// Variables that hold the database's name.
    pub name: Vec<String>,
}

/// Where the application's version is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VersionSource {
    /// A variable in `.env`, such as `INVENTREE_TAG`.
    pub variable: Option<String>,
    /// Last components of the images whose tag is the version.
    pub images: Vec<String>,
    /// The newest version this profile knows.
    pub newest: Option<Version>,
}

/// From `since` on (inclusive), the application needs at least `postgresql`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// First version this holds for.
    pub since: Version,
    /// Least PostgreSQL major.
    pub postgresql: u32,
    /// Largest PostgreSQL major that works, where one is known not to.
    #[serde(default)]
    pub postgresql_max: Option<u32>,
    /// The Django release it is built on, for the explanation.
    #[serde(default)]
    pub django: Option<String>,
}

/// How the application brings its schema up to date.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Update {
    /// Command, run with `docker compose run --rm` in the application's service; none: it does so at start.
    pub command: Vec<String>,
    /// Variables for that run, such as those that keep an entrypoint from migrating by itself.
    pub environment: BTreeMap<String, String>,
    /// Whether the entrypoint migrates at start.
    pub at_start: bool,
}

/// How to see that the application is well.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Command run inside the application's service; exit 0 is well. Beside it, every service must run and
    /// every container health check must pass.
    pub command: Vec<String>,
    /// How long the application may take, in seconds.
    pub timeout_s: Option<u64>,
}

const BUILT_IN: [(&str, &str); 4] = [
    ("inventree", include_str!("../../../../profiles/inventree.toml")),
    ("nautobot", include_str!("../../../../profiles/nautobot.toml")),
    ("ente", include_str!("../../../../profiles/ente.toml")),
    ("generic", include_str!("../../../../profiles/generic.toml")),
];

impl Profile {
    /// The profiles that come with repot, `generic` last.
    pub fn built_in() -> Result<Vec<Profile>> {
        BUILT_IN.iter().map(|(name, text)| Profile::parse(name, text)).collect()
    }

    /// Parses a profile; `origin` names it in messages.
    pub fn parse(origin: &str, text: &str) -> Result<Profile> {
        toml::from_str(text)
            .map_err(|e| Error::usage("bad-profile", format!("the profile {origin} does not parse")).why(e))
    }

    /// What `version` of the application needs of PostgreSQL: the last requirement that has begun.
    #[must_use]
    pub fn requirement(&self, version: &Version) -> Option<&Requirement> {
        self.requires.iter().filter(|r| r.since <= *version).max_by(|a, b| a.since.cmp(&b.since))
    }
}

/// The least PostgreSQL major for a Django version such as `5.2.7`.
#[must_use]
pub fn django_minimum(django: &str) -> Option<u32> {
    let version = Version::parse(django)?;
    DJANGO_MINIMUM
        .iter()
        .filter(|(d, _)| Version::parse(d).is_some_and(|d| d <= version))
        .map(|(_, pg)| *pg)
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_profiles_parse_and_are_whole() {
        let all = Profile::built_in().expect("all parse");
        assert_eq!(
            all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["inventree", "nautobot", "ente", "generic"]
        );
        for p in &all {
            assert!(!p.title.is_empty(), "{}", p.name);
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            assert!(p.media.roots.iter().all(|r| r.name.chars().all(plain)), "{}: names of media", p.name);
            assert!(p.requires.windows(2).all(|w| w[0].since < w[1].since), "{}: in order", p.name);
        }
    }

    #[test]
    fn django_says_what_it_needs() {
        for (d, want) in
            [("4.2.16", Some(12)), ("5.2", Some(14)), ("6.1.1", Some(15)), ("3.2", None), ("7.0", Some(15))]
        {
            assert_eq!(django_minimum(d), want, "{d}");
        }
    }

    #[test]
    fn inventree_1_2_needs_14() {
        let p = &Profile::built_in().expect("parse")[0];
        let need = |v: &str| p.requirement(&Version::parse(v).expect("version")).map(|r| r.postgresql);
        assert_eq!((need("1.1.12"), need("1.2.0"), need("0.17.0")), (Some(12), Some(14), Some(12)));
    }
}
