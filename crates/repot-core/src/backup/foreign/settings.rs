//! The application's own backup settings, and what it says of itself, read through its profile.

use std::collections::BTreeMap;
use std::time::Duration;

use repot_store::dbbackup::metadata::InvenTree;
use repot_store::dbbackup::settings::{BackupSettings, from_inventree};
use serde_json::Value;

use super::super::media::locate;
use crate::app::detect::Deployment;
use crate::app::yaml;
use crate::error::{Error, Result};
use crate::host::docker::Docker;
use crate::host::{DataLocation, Host, Store};
use crate::upgrade::plan::new_run_id;

/// Time that the facts may take: a Python has to start.
const FACTS: Duration = Duration::from_secs(60);

/// What the application says of its backups.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The settings, with notes on what is not followed.
    pub settings: BackupSettings,
    /// Names of the settings that were found, in the order of their names. The rest is the application's default.
    pub given: Vec<String>,
    /// Where its backup directory is on this machine.
    pub directory: Option<std::path::PathBuf>,
    /// What has to be said of the directory.
    pub notes: Vec<String>,
}

/// Reads the settings; none where the profile names none.
pub fn of_application(d: &Deployment) -> Result<Option<Taken>> {
    let source = &d.profile.own_backups;
    match source.settings.as_deref() {
        None => return Ok(None),
        Some("inventree") => {}
        Some(other) => {
            return Err(Error::usage(
                "bad-profile",
                format!("the profile {} names settings of `{other}`", d.profile.name),
            )
            .help("`inventree` is known: docs/profiles.md"));
        }
    }
    let prefixed = |names: &mut dyn Iterator<Item = (String, String)>| -> BTreeMap<String, String> {
        names.filter(|(n, _)| n.starts_with(&source.variables)).collect()
    };
    // The image's own variables count too: the official image of InvenTree sets INVENTREE_BACKUP_DIR.
    let mut env = prefixed(&mut container_env(d, &source.service)?.into_iter());
    if let Some(s) = d.resolved.services.get(&source.service) {
        env.extend(prefixed(&mut s.environment.clone().into_iter()));
    }
    let mut config = Value::Null;
    if let Some(path) = &source.file
        && let Some(text) = read_file(d, &source.service, path)?
    {
        config = yaml::parse(&text).map_err(|why| {
            Error::usage("bad-settings", format!("{path} of the service {} does not parse", source.service))
                .why(why)
                .help("correct it, or name the storage with --storage or in repot.toml")
        })?;
    }
    let mut given: Vec<String> = env.keys().cloned().collect();
    let in_file =
        config.as_object().into_iter().flatten().filter(|(k, v)| k.starts_with(&source.keys) && !v.is_null());
    given.extend(in_file.map(|(k, _)| k.clone()));
    let settings = from_inventree(&env, &config).map_err(|e| {
        Error::usage(
            "bad-settings",
            format!("the backup settings of {} cannot be taken over", d.profile.title),
        )
        .why(e)
        .help("correct them there, or say `application_settings = false` in [backup] of repot.toml")
    })?;
    let (mut directory, mut notes) = (None, Vec::new());
    if let Some(inside) = settings.directory.as_ref().filter(|_| settings.is_local()) {
        match locate(&d.resolved, &source.service, inside) {
            Some(at) => directory = Some(on_this_machine(&at)?),
            None => notes.push(format!(
                "its backup directory {inside} is in no mount of the service {}: what is written there goes with the container, so repot does not use it",
                source.service
            )),
        }
    }
    Ok(Some(Taken { settings, given, directory, notes }))
}

/// The environment of a service's container, the image's own variables included; empty where none is there.
fn container_env(d: &Deployment, service: &str) -> Result<BTreeMap<String, String>> {
    let ids: Vec<String> =
        d.services.iter().filter(|s| s.service == service).flat_map(|s| s.containers.clone()).collect();
    let found = Docker.inspect_containers(&ids)?;
    let list = found.first().and_then(|c| c["Config"]["Env"].as_array()).cloned().unwrap_or_default();
    let pairs = list.iter().filter_map(|v| v.as_str()?.split_once('='));
    Ok(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

fn read_file(d: &Deployment, service: &str, path: &str) -> Result<Option<String>> {
    let Some(at) = locate(&d.resolved, service, path) else { return Ok(None) };
    let (at, name) = match at.subdir.rsplit_once('/') {
        Some((dir, name)) => (DataLocation { subdir: dir.to_owned(), ..at.clone() }, name.to_owned()),
        None if !at.subdir.is_empty() => {
            (DataLocation { subdir: String::new(), ..at.clone() }, at.subdir.clone())
        }
        None => match &at.store {
            Store::Bind(source) => return Ok(std::fs::read_to_string(source).ok()),
            Store::Volume(_) => return Ok(None),
        },
    };
    let content = d.host(&new_run_id()).read_data_file(&d.helper_image()?, &at, &name)?;
    Ok(content.map(|c| String::from_utf8_lossy(&c).into_owned()))
}

/// The directory behind a location.
fn on_this_machine(at: &DataLocation) -> Result<std::path::PathBuf> {
    let root = match &at.store {
        Store::Bind(path) => path.clone(),
        Store::Volume(name) => Docker
            .volume(name)?
            .and_then(|v| v["Mountpoint"].as_str().map(str::to_owned))
            .ok_or_else(|| {
                Error::failed(
                    "no-volume",
                    format!("the volume {name} of the backup directory is not there yet"),
                )
                .help("start the application once, or name the storage with --storage")
            })?,
    };
    Ok(std::path::Path::new(&root).join(&at.subdir))
}

/// What the application says of itself; none where its profile has no command for it. An error where the command
/// fails: then nothing is known.
pub fn facts(d: &Deployment) -> Result<Option<InvenTree>> {
    let source = &d.profile.own_backups;
    if source.facts.is_empty() {
        return Ok(None);
    }
    let unknown = |why: String| {
        Error::failed("no-facts", format!("the version of {} cannot be read", d.profile.title)).why(why)
    };
    let text = d.host(&new_run_id()).ask_service(&source.service, &source.facts, FACTS)?;
    let told: Value = serde_json::from_str(text.trim()).map_err(|e| unknown(e.to_string()))?;
    let word = |name: &str| told[name].as_str().map(str::to_owned);
    let yes = |name: &str| told[name].as_bool().unwrap_or(false);
    Ok(Some(InvenTree {
        debug: yes("debug"),
        version: word("version").ok_or_else(|| unknown("no version is in its files".to_owned()))?,
        api_version: told["api_version"].as_i64(),
        plugins_enabled: yes("plugins_enabled"),
        plugins_file_hash: word("plugins_file_hash"),
        installer: word("installer"),
    }))
}
