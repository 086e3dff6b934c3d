//! `repot backup`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use repot_core::backup::source::{Source, UrlSource};
use repot_core::backup::{Made, Request, make};
use repot_core::engine::postgres::session::UrlConnector;
use repot_core::progress::{Event, Observer, human_bytes, human_seconds};
use repot_core::{Error, Result};
use repot_store::codec::{Compression, Encryption};
use repot_store::retention::Content;
use secrecy::SecretString;

use super::{open, prune};
use crate::cli::{BackupArgs, CompressArg, ContentArg, PruneArgs};
use crate::config::Setting;
use crate::operation::{Told, around};
use crate::storage::{destinations, encryption};
use crate::terminal::{Progress, out, out_json};

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

fn request(setting: &Setting, args: &BackupArgs) -> Result<Request> {
    let compression = match args.compress {
        Some(CompressArg::Zstd) => Compression::Zstd,
        Some(CompressArg::Gzip) => Compression::Gzip,
        Some(CompressArg::None) => Compression::None,
        None => setting.config.backup.compress.unwrap_or_default(),
    };
    let mut configuration = vec![setting.dir.join("repot.toml")];
    configuration.extend(setting.config.profiles.iter().map(|p| setting.dir.join(p)));
    Ok(Request {
        label: args.label.clone(),
        contents: contents(&args.only, args.skip_db, args.skip_media)?,
        compression,
        encryption: if args.encrypt { encryption(setting)? } else { Encryption::None },
        scratch_dir: std::env::temp_dir(),
        configuration,
    })
}

pub fn run(args: &BackupArgs) -> Result<()> {
    let server = args.url.as_deref().map(server_of);
    around(&args.at.dir, "backup", server, |setting, told| back_up(setting, args, told))
}

/// Which server a URL names, without its user.
fn server_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let rest = rest.split('?').next().unwrap_or(rest);
    rest.rsplit('@').next().unwrap_or(rest).to_owned()
}

fn back_up(setting: &Setting, args: &BackupArgs, told: &mut Told) -> Result<()> {
    let request = request(setting, args)?;
    let to = destinations(setting, &args.to.storage)?;
    let progress = Progress::new();
    let started = Instant::now();
    progress.event(Event::StepStarted { number: 1, total: 1, title: "Back up".to_owned(), undo: false });
    let made = match &args.url {
        Some(url) => {
            let password = setting.env.get("PGPASSWORD").map(|p| SecretString::from(p.clone()));
            let connector = UrlConnector::parse(url, password.as_ref())?;
            make(&Source::Url(Box::new(UrlSource::new(connector))), &to, &request, &progress)
        }
        None => {
            // One at a time: an upgrade would stop the server in the middle.
            let _lock = open(setting)?;
            let deployment = setting.detect(args.service.as_deref())?;
            make(&Source::Compose(&deployment), &to, &request, &progress)
        }
    };
    match &made {
        Ok(m) => progress.event(Event::StepDone {
            seconds: started.elapsed().as_secs_f64(),
            outcome: human_bytes(m.size_bytes),
        }),
        Err(_) => progress.event(Event::StepFailed),
    }
    let made = made?;
    told.set = Some(made.set.clone());
    told.details = render(&made).lines().map(str::to_owned).collect();
    if args.at.json {
        out_json(&made);
    } else {
        out(render(&made));
    }
    if args.clean { clean(setting, args, &made) } else { Ok(()) }
}

/// Prunes, now that there is one more set. The set is complete, whatever comes of it.
fn clean(setting: &Setting, args: &BackupArgs, made: &Made) -> Result<()> {
    let prune = PruneArgs {
        at: args.at.clone(),
        storage: args.to.clone(),
        project: Some(made.project.clone()),
        dry_run: false,
    };
    let pruned = prune::prune(setting, &mut open(setting)?, &prune)?;
    if !args.at.json {
        let gone = pruned.iter().flat_map(|p| &p.sets).filter(|s| !s.keep).count();
        out(format!("  deleted        {gone} older sets that no rule keeps\n"));
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
    for s in &m.storages {
        let _ = writeln!(t, "  in             {s}");
    }
    t
}
