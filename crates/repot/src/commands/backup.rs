//! `repot backup`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use repot_core::app::detect::Deployment;
use repot_core::app::others::Other;
use repot_core::backup::django::{SQLITE_ENGINE, sidecar};
use repot_core::backup::source::Source;
use repot_core::backup::{Made, Request, make};
use repot_core::progress::{Event, Observer, human_bytes, human_seconds};
use repot_core::{Error, Result};
use repot_store::codec::{Compression, Encryption};
use repot_store::retention::Content;

use super::{open, prune};
use crate::cli::{BackupArgs, CompressArg, ContentArg, LayoutArg, PruneArgs};
use crate::config::Setting;
use crate::operation::{Told, around};
use crate::place::DatabaseUrl;
use crate::signing::signer;
use crate::storage::{destinations, encryption};
use crate::takeover::{ALIAS, engine, programs, told};
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

fn request(setting: &Setting, args: &BackupArgs, deployment: Option<&Deployment>) -> Result<Request> {
    let django = args.layout.or(setting.config.backup.layout) == Some(LayoutArg::DjangoDbbackup);
    let compression = match args.compress {
        Some(CompressArg::Zstd) => Compression::Zstd,
        Some(CompressArg::Gzip) => Compression::Gzip,
        Some(CompressArg::None) => Compression::None,
        // django-dbbackup reads gzip only.
        None if django => setting.config.backup.compress.unwrap_or(Compression::Gzip),
        None => setting.config.backup.compress.unwrap_or_default(),
    };
    let settings = setting.django(deployment.is_some())?;
    let connector = settings.connectors.get(ALIAS);
    let inventree = deployment.and_then(told);
    let taken_at = jiff::Zoned::now().datetime();
    let sqlite = args.url.as_ref().is_some_and(|u| u.starts_with("sqlite:"))
        || deployment.is_some_and(|d| matches!(d.other, Some(Other::Sqlite(_))));
    let engine = if sqlite { SQLITE_ENGINE.to_owned() } else { engine(deployment) };
    let sidecar = sidecar(&engine, inventree.as_ref(), taken_at);
    let mut configuration = vec![setting.dir.join("repot.toml")];
    configuration.extend(setting.config.profiles.iter().map(|p| setting.dir.join(p)));
    Ok(Request {
        label: args.label.clone(),
        contents: contents(&args.only, args.skip_db, args.skip_media)?,
        compression,
        encryption: if args.encrypt { encryption(setting)? } else { Encryption::None },
        signer: signer(setting)?,
        scratch_dir: std::env::temp_dir(),
        configuration,
        django: if django { Some(setting.layout(args, &settings, sidecar.clone(), taken_at)?) } else { None },
        facts: inventree.and_then(|_| serde_json::from_str(&sidecar.write()).ok()),
        exclude: connector.map(|c| c.exclude.clone()).unwrap_or_default(),
        schemas: connector.map(|c| c.schemas.clone()).unwrap_or_default(),
        programs: programs(&settings, args.url.is_some()),
    })
}

pub fn run(args: &BackupArgs) -> Result<()> {
    let server = args.url.as_deref().map(server_of);
    around(&args.at.dir, "backup", server, |setting, told| back_up(setting, args, told))
}

/// Which server a URL names, without its user.
fn server_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    // The last @ first: a password may have anything in it.
    let rest = rest.rsplit('@').next().unwrap_or(rest);
    rest.split('?').next().unwrap_or(rest).to_owned()
}

fn back_up(setting: &Setting, args: &BackupArgs, told: &mut Told) -> Result<()> {
    // One at a time: an upgrade would stop the server in the middle.
    let lock = if args.url.is_none() { Some(open(setting)?) } else { None };
    let deployment =
        if args.url.is_none() { Some(setting.detect_any(args.service.as_deref())?) } else { None };
    if let Some(d) = &deployment {
        setting.know(d)?;
        setting.say_taken()?;
    }
    let request = request(setting, args, deployment.as_ref())?;
    let to = destinations(setting, &args.to.storage)?;
    let progress = Progress::new();
    let started = Instant::now();
    progress.event(Event::StepStarted { number: 1, total: 1, title: "Back up".to_owned(), undo: false });
    let made = match (&args.url, &deployment) {
        (Some(url), _) => make(&DatabaseUrl::parse(url, &setting.env)?.source(), &to, &request, &progress),
        (None, Some(d)) => make(&Source::Compose(d), &to, &request, &progress),
        (None, None) => return Err(Error::failed("bug", "there is nothing to back up from")),
    };
    drop(lock);
    match &made {
        Ok(m) => progress.event(Event::StepDone {
            seconds: started.elapsed().as_secs_f64(),
            outcome: human_bytes(m.size_bytes),
        }),
        Err(_) => progress.event(Event::StepFailed),
    }
    let made = made?;
    told.set = Some(made.set.clone());
    if !made.failed_storages.is_empty() {
        let all = made.failed_storages.join(", ");
        told.shortfall = Some(
            Error::failed("storage-left-out", format!("the backup set {} is not in {all}", made.set))
                .why("the set is complete in every storage that is required; its notes say what went wrong")
                .help("see to that storage, or take it out of [backup] in repot.toml"),
        );
    }
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
    let pruned = prune::prune(setting, &mut open(setting)?, &prune, made.place.clone())?;
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
