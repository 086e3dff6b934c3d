//! What django-dbbackup was configured to do: the arguments first, then `repot.toml`, then the application's own
//! settings, then the defaults.

use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use repot_core::app::detect::Deployment;
use repot_core::backup::django::Layout;
use repot_core::backup::foreign::settings::{Taken, facts, of_application};
use repot_core::backup::storage_error;
use repot_core::host::compose::project::locate;
use repot_core::{Error, Kind, Result};
use repot_store::dbbackup::metadata::{Finding, InvenTree, Judgement, Metadata, PresentVersion, judge};
use repot_store::dbbackup::naming::{Naming, NamingSpec};
use repot_store::dbbackup::settings::{BackupSettings, Programs, Weight, from_dbbackup};
use repot_store::dbbackup::shelf::Names;
use repot_store::retention::KeepRules;
use repot_store::storage::{Storage, StorageConfig, from_django};
use serde_json::Value;

use crate::cli::BackupArgs;
use crate::config::Setting;
use crate::terminal::say;

/// Django's alias of the application's database.
pub const ALIAS: &str = "default";

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Whether a storage is named as Django names it.
pub fn is_django(storage: &str) -> bool {
    storage.starts_with("django.") || storage.starts_with("storages.")
}

impl Setting {
    /// The application's own settings. Where there is no application, or its settings are not wanted: none.
    pub fn taken(&self) -> Result<Option<&Taken>> {
        if self.config.backup.application_settings == Some(false) {
            return Ok(None);
        }
        if let Some(known) = self.application.get() {
            return Ok(known.as_ref());
        }
        // Without a project there are no settings that could be read.
        if locate(&self.dir, &self.env).is_err() {
            return Ok(None);
        }
        let found = match self.detect(None) {
            Ok(d) => of_application(&d)?,
            Err(e) if e.kind == Kind::Usage => return Err(e),
            Err(e) => {
                say(format!("note: the application's own backup settings are not read: {}", e.what));
                None
            }
        };
        Ok(self.application.get_or_init(|| found).as_ref())
    }

    /// The same, of an application that is known already.
    pub fn know(&self, d: &Deployment) -> Result<()> {
        if self.config.backup.application_settings != Some(false) && self.application.get().is_none() {
            let found = of_application(d)?;
            let _ = self.application.set(found);
        }
        Ok(())
    }

    /// The settings in use. `ask`: whether the application is asked for its own.
    pub fn django(&self, ask: bool) -> Result<BackupSettings> {
        let c = &self.config.backup;
        let bad = |e: &dyn std::fmt::Display| {
            Error::usage("bad-settings", "the backup settings of repot.toml cannot be used").why(e)
        };
        let own = c.dbbackup.as_ref().map(|t| {
            let map = t.iter().map(|(k, v)| (k.clone(), json(v))).collect();
            from_dbbackup(&map).map_err(|e| bad(&e))
        });
        let mut b = match (own, if ask { self.taken()? } else { None }) {
            (Some(own), _) => own?,
            (None, Some(t)) => t.settings.clone(),
            (None, None) => from_dbbackup(&Default::default()).map_err(|e| bad(&e))?,
        };
        // The plain names go through django-dbbackup's: one reading of values for both.
        let mut plain = std::collections::BTreeMap::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(v) = value {
                plain.insert(name.to_owned(), v);
            }
        };
        put("DBBACKUP_SEND_EMAIL", c.send_email.map(Value::Bool));
        put("DBBACKUP_EMAIL_SUBJECT_PREFIX", c.email_prefix.clone().map(Value::String));
        put("DBBACKUP_GPG_RECIPIENT", c.gpg_recipient.as_ref().map(json));
        put("DBBACKUP_DATE_FORMAT", c.date_format.clone().map(Value::String));
        put("DBBACKUP_FILENAME_TEMPLATE", c.database_filename_template.clone().map(Value::String));
        put("DBBACKUP_MEDIA_FILENAME_TEMPLATE", c.media_filename_template.clone().map(Value::String));
        put("DBBACKUP_HOSTNAME", c.server_name.clone().or_else(|| c.hostname.clone()).map(Value::String));
        put(
            "DBBACKUP_CONNECTORS",
            c.connector_options.as_ref().map(|o| serde_json::json!({ ALIAS: json(o) })),
        );
        let given = from_dbbackup(&plain).map_err(|e| bad(&e))?;
        let has = |name: &str| plain.contains_key(name);
        if has("DBBACKUP_SEND_EMAIL") {
            b.send_email = given.send_email;
        }
        if has("DBBACKUP_EMAIL_SUBJECT_PREFIX") {
            b.email_subject_prefix = given.email_subject_prefix;
        }
        if has("DBBACKUP_GPG_RECIPIENT") {
            b.gpg_recipients = given.gpg_recipients;
        }
        if has("DBBACKUP_DATE_FORMAT") {
            b.date_format = given.date_format;
        }
        if has("DBBACKUP_FILENAME_TEMPLATE") {
            b.database_template = given.database_template;
        }
        if has("DBBACKUP_MEDIA_FILENAME_TEMPLATE") {
            b.media_template = given.media_template;
        }
        if has("DBBACKUP_HOSTNAME") {
            b.hostname = given.hostname;
        }
        b.connectors.extend(given.connectors);
        b.notes.extend(given.notes);
        if let Some(allow) = c.allow_newer_version {
            b.allow_newer_version = allow;
        }
        Ok(b)
    }

    /// How names of files are read.
    pub fn names(&self, ask: bool) -> Result<Names> {
        let settings = self.django(ask)?;
        let machine = machine();
        let server = settings.server_name(self.config.backup.server_name.as_deref(), &machine);
        // What cannot be written may still be read by the usual templates.
        Ok(Names::new(naming(&settings, server, &[ALIAS]).ok(), server))
    }

    /// The storage that the application's own settings, or those of django-dbbackup in `repot.toml`, name; with none,
    /// none.
    pub fn django_storage(&self, named: Option<&str>) -> Result<Option<StorageConfig>> {
        let c = &self.config.backup;
        let own = c.dbbackup.is_some();
        let taken = if own || named.is_some() { None } else { self.taken()? };
        let settings = self.django(taken.is_some())?;
        let (backend, mut options) = match named {
            Some(backend) => (backend.to_owned(), json(&c.storage_options.clone().unwrap_or_default())),
            None => (settings.storage.clone(), Value::Object(settings.storage_options.expose())),
        };
        let local = named.map_or(settings.is_local(), |b| b.contains("FileSystemStorage"));
        if local {
            let inside = taken.and_then(|t| t.directory.clone());
            let written = c.directory.clone().or_else(|| options["location"].as_str().map(str::to_owned));
            let written =
                written.or_else(|| settings.directory.clone().filter(|_| own)).map(|d| self.dir.join(d));
            let Some(dir) = inside.or(written) else { return Ok(None) };
            return parse(&dir).map(Some);
        }
        if options.is_null() {
            options = Value::Object(Default::default());
        }
        let map = options.as_object().cloned().unwrap_or_default();
        let mapped = from_django(&backend, &map).map_err(|e| storage_error(&e))?;
        for (name, why) in mapped.not_supported {
            say(format!("note: the option `{name}` of the storage is not followed: {why}"));
        }
        Ok(Some(mapped.config))
    }

    /// What was taken over, for people; said where a command writes.
    pub fn say_taken(&self) -> Result<()> {
        let settings = match self.taken()? {
            Some(t) => {
                if !t.given.is_empty() {
                    say(format!("taken over from the application: {}", t.given.join(", ")));
                }
                for n in &t.notes {
                    say(format!("note: {n}"));
                }
                self.django(true)?
            }
            None => self.django(false)?,
        };
        for n in settings.notes.iter().filter(|n| n.weight == Weight::Decide) {
            say(format!("note: {n}"));
        }
        for (alias, c) in &settings.connectors {
            for what in c.programs(false).1 {
                say(format!("note: connector {alias}: {what}"));
            }
        }
        if settings.send_email
            && (self.config.backup.send_email.is_some()
                || self.config.backup.dbbackup.is_some()
                || self.taken()?.is_some())
        {
            say("note: mail of failures is not sent by the backup itself");
        }
        Ok(())
    }
}

impl Setting {
    /// How files are named that django-dbbackup is to list.
    pub fn layout(
        &self,
        args: &BackupArgs,
        settings: &BackupSettings,
        sidecar: Metadata,
        taken_at: DateTime,
    ) -> Result<Layout> {
        let machine = machine();
        let given = args.server_name.as_deref().or(self.config.backup.server_name.as_deref());
        Ok(Layout {
            naming: naming(settings, settings.server_name(given, &machine), &[ALIAS])?,
            alias: ALIAS.to_owned(),
            taken_at,
            sidecar,
        })
    }

    /// The rules of `[keep]`; without any, those that DBBACKUP_CLEANUP_KEEP in `[backup.dbbackup]` stands for.
    pub fn keep_rules(&self) -> Result<KeepRules> {
        let given =
            self.config.backup.dbbackup.as_ref().is_some_and(|t| t.contains_key("DBBACKUP_CLEANUP_KEEP"));
        if !self.config.keep.is_empty() || !given {
            return Ok(self.config.keep.clone());
        }
        let b = self.django(false)?;
        // Both counted by django-dbbackup file by file; here they are counted of what the sets hold.
        let rules = serde_json::json!({ "last": b.keep, "content": { "media": { "last": b.keep_media } } });
        serde_json::from_value(rules)
            .map_err(|e| Error::usage("bad-settings", "DBBACKUP_CLEANUP_KEEP cannot be used").why(e))
    }
}

/// Django's engine, as the application's sidecars name it.
pub fn engine(d: Option<&Deployment>) -> String {
    let named = d.and_then(|d| d.profile.own_backups.engine.clone());
    named.unwrap_or_else(|| "django.db.backends.postgresql".to_owned())
}

/// What the application says of itself; said where it cannot be asked.
pub fn told(d: &Deployment) -> Option<InvenTree> {
    facts(d).unwrap_or_else(|e| {
        let why = e.why.clone().unwrap_or_default();
        say(format!(
            "note: {} ({}): versions are not recorded or compared",
            e.what,
            why.lines().next().unwrap_or_default()
        ));
        None
    })
}

/// Judges what a backup says of its application by the rules of InvenTree: an error where it may not be restored; else
/// what should be known before.
pub fn judged(
    setting: &Setting,
    allow_newer_version: bool,
    d: &Deployment,
    what: &str,
    metadata: &Metadata,
) -> Result<Vec<String>> {
    let asks = metadata.inventree_version().is_some();
    let present = PresentVersion {
        engine: Some(engine(Some(d))),
        inventree: if asks { told(d) } else { None },
        now: jiff::Zoned::now().datetime(),
        allow_newer_version: allow_newer_version || setting.django(true)?.allow_newer_version,
    };
    let Judgement { refusals, warnings } = judge(metadata, &present);
    if refusals.is_empty() {
        return Ok(warnings.iter().map(Finding::to_string).collect());
    }
    let why: Vec<String> = refusals.iter().map(Finding::to_string).collect();
    let newer = refusals.iter().any(|f| matches!(f, Finding::NewerApi { .. }));
    let code = if newer { "newer-version" } else { "other-engine" };
    Err(Error::refused(code, format!("{what} is not for this application"))
        .why(why.join("\n"))
        .help("nothing was touched"))
}

/// How the client programs of the application's database are started. What is not followed is said for a server by
/// URL; for an application [`Setting::say_taken`] has said it.
pub fn programs(settings: &BackupSettings, by_url: bool) -> Programs {
    let Some(connector) = settings.connectors.get(ALIAS) else { return Programs::default() };
    let (programs, notes) = connector.programs(by_url);
    if by_url {
        notes.iter().for_each(|n| say(format!("note: {n}")));
    }
    programs
}

/// The naming of settings.
pub fn naming(b: &BackupSettings, server: &str, databases: &[&str]) -> Result<Naming> {
    Naming::new(&NamingSpec {
        database_template: &b.database_template,
        media_template: &b.media_template,
        date_format: &b.date_format,
        server,
        databases,
        extensions: &[],
    })
    .map_err(|e| Error::usage("bad-settings", "files cannot be named as the settings say").why(e))
}

/// The machine's name, as Python's `socket.gethostname()` has it.
pub fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |t| t.trim().to_owned())
}

fn parse(dir: &Path) -> Result<StorageConfig> {
    StorageConfig::parse(&dir.display().to_string()).map_err(|e| storage_error(&e))
}

/// Where a file that a person names is: in the storage, or at a path here; then the storage is its directory.
pub fn whereabouts(storages: &[Storage], file: &str) -> Result<(Storage, String)> {
    let none = || Error::failed("bug", "there is no storage");
    for storage in storages.iter().filter(|_| !file.contains('/')) {
        if storage.exists(file).map_err(|e| storage_error(&e))? {
            return Ok((storage.clone(), file.to_owned()));
        }
    }
    let path = PathBuf::from(file);
    if !path.is_file() {
        return Ok((storages.first().ok_or_else(none)?.clone(), file.to_owned()));
    }
    let path = std::path::absolute(&path).map_err(|e| Error::io(format!("cannot read {file}"), &e))?;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(Error::usage("no-file", format!("{file} is no file")));
    };
    let here = Storage::open(&parse(dir)?).map_err(|e| storage_error(&e))?;
    Ok((here, name.to_owned()))
}
