//! `repot backup`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use repot_core::app::detect::Deployment;
use repot_core::backup::django::Layout;
use repot_core::backup::foreign::settings::facts;
use repot_core::backup::source::{Source, UrlSource};
use repot_core::backup::{Made, Request, make};
use repot_core::engine::postgres::session::UrlConnector;
use repot_core::progress::{Event, Observer, human_bytes, human_seconds};
use repot_core::{Error, Result};
use repot_store::codec::{Compression, Encryption};
use repot_store::dbbackup::settings::BackupSettings;
use repot_store::retention::Content;
use secrecy::SecretString;

use super::open;
use crate::cli::{BackupArgs, CompressArg, ContentArg, LayoutArg};
use crate::config::{Setting, setting};
use crate::storage::{encryption, storage};
use crate::takeover::{ALIAS, machine, naming};
use crate::terminal::{Progress, out, out_json, say};

impl From<ContentArg> for Content {
    fn from(c: ContentArg) -> Self {
        match c {
            ContentArg::Db => Content::Db,
            ContentArg::Media => Content::Media,
            ContentArg::Config => Content::Config,
        }
    }
}

/// What `--only` and the `--skip` arguments leave.
pub fn contents(only: &[ContentArg], skip_db: bool, skip_media: bool) -> Result<BTreeSet<Content>> {
    let mut all: BTreeSet<Content> = if only.is_empty() {
        BTreeSet::from([Content::Db, Content::Media, Content::Config])
    } else {
        only.iter().map(|c| Content::from(*c)).collect()
    };
    if skip_db {
        all.remove(&Content::Db);
    }
    if skip_media {
        all.remove(&Content::Media);
    }
    if all.is_empty() {
        return Err(Error::usage("nothing-wanted", "the arguments leave nothing to do"));
    }
    Ok(all)
}

fn request(setting: &Setting, args: &BackupArgs, deployment: Option<&Deployment>) -> Result<Request> {
    let compression = match args.compress {
        Some(CompressArg::Zstd) => Compression::Zstd,
        Some(CompressArg::Gzip) => Compression::Gzip,
        Some(CompressArg::None) => Compression::None,
        // django-dbbackup reads gzip only.
        None if django_layout(setting, args) => setting.config.backup.compress.unwrap_or(Compression::Gzip),
        None => setting.config.backup.compress.unwrap_or_default(),
    };
    let settings = setting.django(deployment.is_some())?;
    let connector = settings.connectors.get(ALIAS);
    let mut configuration = vec![setting.dir.join("repot.toml")];
    configuration.extend(setting.config.profiles.iter().map(|p| setting.dir.join(p)));
    Ok(Request {
        label: args.label.clone(),
        contents: contents(&args.only, args.skip_db, args.skip_media)?,
        compression,
        encryption: if args.encrypt { encryption(setting)? } else { Encryption::None },
        scratch_dir: std::env::temp_dir(),
        configuration,
        django: if django_layout(setting, args) { Some(layout(setting, args, &settings, deployment)?) } else { None },
        exclude: connector.map(|c| c.exclude.clone()).unwrap_or_default(),
    })
}

fn django_layout(setting: &Setting, args: &BackupArgs) -> bool {
    args.layout.or(setting.config.backup.layout) == Some(LayoutArg::DjangoDbbackup)
}

/// How files are named that django-dbbackup is to list.
fn layout(
    setting: &Setting,
    args: &BackupArgs,
    settings: &BackupSettings,
    deployment: Option<&Deployment>,
) -> Result<Layout> {
    let machine = machine();
    let given = args.server_name.as_deref().or(setting.config.backup.server_name.as_deref());
    let engine = deployment.and_then(|d| d.profile.backup.engine.clone());
    let inventree = match deployment {
        Some(d) => facts(d).unwrap_or_else(|e| {
            let why = e.why.clone().unwrap_or_default();
            say(&format!("note: {} ({why}): the sidecar does not name it", e.what));
            None
        }),
        None => None,
    };
    Ok(Layout {
        naming: naming(settings, settings.server_name(given, &machine), &[ALIAS])?,
        alias: ALIAS.to_owned(),
        taken_at: jiff::Zoned::now().datetime(),
        engine: engine.unwrap_or_else(|| "django.db.backends.postgresql".to_owned()),
        inventree,
    })
}

pub fn run(args: &BackupArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    // One at a time: an upgrade would stop the server in the middle.
    let _lock = if args.url.is_none() { Some(open(&setting)?) } else { None };
    let deployment = if args.url.is_none() { Some(setting.detect(args.service.as_deref())?) } else { None };
    if let Some(d) = &deployment {
        setting.know(d)?;
        setting.say_taken()?;
    }
    let request = request(&setting, args, deployment.as_ref())?;
    let storage = storage(&setting, args.to.storage.as_deref())?;
    let progress = Progress::new();
    let started = Instant::now();
    progress.event(Event::StepStarted { number: 1, total: 1, title: "Back up".to_owned(), undo: false });
    let made = match (&args.url, &deployment) {
        (Some(url), _) => {
            let password = setting.env.get("PGPASSWORD").map(|p| SecretString::from(p.clone()));
            let connector = UrlConnector::parse(url, password.as_ref())?;
            make(&Source::Url(Box::new(UrlSource::new(connector))), &storage, &request, &progress)
        }
        (None, Some(d)) => make(&Source::Compose(d), &storage, &request, &progress),
        (None, None) => return Err(Error::failed("bug", "there is nothing to back up from")),
    };
    match &made {
        Ok(m) => progress.event(Event::StepDone {
            seconds: started.elapsed().as_secs_f64(),
            outcome: human_bytes(m.size_bytes),
        }),
        Err(_) => progress.event(Event::StepFailed),
    }
    let made = made?;
    if args.at.json {
        out_json(&made);
    } else {
        out(render(&made));
    }
    Ok(())
}

fn render(m: &Made) -> String {
    let mut t = String::new();
    let _ = writeln!(
        t,
        "Backup set {} is complete: {}, {}",
        m.set,
        human_bytes(m.size_bytes),
        human_seconds(m.seconds)
    );
    if !m.databases.is_empty() {
        let _ = writeln!(t, "  databases      {} ({} rows)", m.databases.join(", "), m.rows);
    }
    if m.configuration_files > 0 {
        let _ = writeln!(t, "  configuration  {} files", m.configuration_files);
    }
    if !m.media.is_empty() {
        let _ = writeln!(t, "  media          {}", m.media.join(", "));
    }
    for n in &m.notes {
        let _ = writeln!(t, "  note: {n}");
    }
    let _ = writeln!(t, "  in             {}", m.storage);
    t
}
