//! `repot backups`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use repot_core::Result;
use repot_core::backup::foreign::{self, ForeignSummary};
use repot_core::backup::sets::{Summary, all, summary};
use repot_core::journal::catalog::Verification;
use repot_core::progress::human_bytes;
use repot_core::upgrade::run::Workspace;
use repot_store::MadeBy;
use repot_store::codec::{Cipher, Compression};
use repot_store::retention::Content;
use repot_store::stored::Stored;
use serde::Serialize;

use crate::cli::BackupsArgs;
use crate::config::setting;
use crate::storage::places;
use crate::terminal::{out, out_json};

/// A storage's sets.
#[derive(Serialize)]
struct Listed {
    storage: String,
    name: String,
    #[serde(skip)]
    sets: Vec<Known>,
    /// Files of django-dbbackup's.
    #[serde(skip)]
    django_dbbackup: Vec<KnownFile>,
    /// Why it could not be listed.
    error: Option<String>,
}

/// Names of files that belong to the sets.
pub fn owned(sets: &[Stored]) -> BTreeSet<String> {
    sets.iter().flat_map(|s| s.beside.clone()).collect()
}

/// A set, and what the checks of it found.
#[derive(Serialize)]
struct Known {
    /// Name of the storage.
    storage: String,
    #[serde(flatten)]
    set: Summary,
    /// The newest check of each level.
    verifications: Vec<Verification>,
}

/// A file of django-dbbackup's.
#[derive(Serialize)]
struct KnownFile {
    /// Name of the storage.
    storage: String,
    #[serde(flatten)]
    file: ForeignSummary,
}

pub fn run(args: &BackupsArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let verifications = match Workspace::look(&setting.state_dir)? {
        Some(mut w) => w.catalog().verifications()?,
        None => Vec::new(),
    };
    let (mut listed, mut failed) = (Vec::new(), Ok(()));
    let names = setting.names(args.storage.storage.is_empty())?;
    for place in places(&setting, &args.storage.storage)? {
        let found = all(&place.storage).and_then(|sets| {
            let files = foreign::all(&place.storage, &names, &owned(&sets))?;
            Ok((sets, files))
        });
        let (sets, files, error) = match found {
            Ok((sets, files)) => (sets, files, None),
            Err(e) => {
                let why = e.to_string();
                failed = failed.and(Err(e));
                (Vec::new(), Vec::new(), Some(why))
            }
        };
        let django_dbbackup = files
            .iter()
            .filter(|f| args.content.is_none_or(|c| foreign::content(f) == Content::from(c)))
            .map(foreign::summary)
            .filter(|f| fits(args, Some(f.encrypted), Some(f.compressed)))
            .map(|file| KnownFile { storage: place.name.clone(), file })
            .collect();
        let sets = sets.iter().map(summary).filter(|s| wanted(args, s)).map(|set| {
            let mut newest: BTreeMap<&str, &Verification> = BTreeMap::new();
            for v in verifications.iter().filter(|v| v.storage == place.address && v.set == set.set) {
                newest.insert(&v.level, v);
            }
            let verifications = newest.into_values().cloned().collect();
            Known { storage: place.name.clone(), set, verifications }
        });
        let sets = sets.collect();
        let storage = place.storage.describe().to_owned();
        listed.push(Listed { storage, name: place.name, sets, django_dbbackup, error });
    }
    if args.at.json {
        let sets: Vec<&Known> = listed.iter().flat_map(|l| &l.sets).collect();
        let files: Vec<&KnownFile> = listed.iter().flat_map(|l| &l.django_dbbackup).collect();
        out_json(&serde_json::json!({ "storages": listed, "sets": sets, "django_dbbackup": files }));
    } else {
        out(render(&listed));
    }
    failed
}

fn wanted(args: &BackupsArgs, s: &Summary) -> bool {
    let encrypted = s.encryption.map(|c| c != Cipher::None);
    let compressed = s.compression.map(|c| c != Compression::None);
    args.content.is_none_or(|c| s.contents.contains(&Content::from(c))) && fits(args, encrypted, compressed)
}

/// Whether the filters let something pass that is, or is not, or may be, encrypted and compressed.
fn fits(args: &BackupsArgs, encrypted: Option<bool>, compressed: Option<bool>) -> bool {
    let fits = |asked: bool, is: Option<bool>, want: bool| !asked || is == Some(want);
    fits(args.encrypted, encrypted, true)
        && fits(args.not_encrypted, encrypted, false)
        && fits(args.compressed, compressed, true)
        && fits(args.not_compressed, compressed, false)
}

fn render(listed: &[Listed]) -> String {
    let mut t = String::new();
    let many = listed.len() > 1;
    for l in listed {
        if many && !(l.sets.is_empty() && l.django_dbbackup.is_empty()) {
            let _ = writeln!(t, "In {} ({}):", l.name, l.storage);
        }
        if let Some(why) = &l.error {
            let _ = writeln!(t, "{}: {why}", l.name);
        } else if l.sets.is_empty() && l.django_dbbackup.is_empty() {
            let _ = writeln!(t, "No backup sets in {}.", l.storage);
        }
        t.extend(l.sets.iter().map(|k| line(&k.set, &k.verifications)));
        t.extend(l.django_dbbackup.iter().map(|k| foreign_line(&k.file)));
    }
    t
}

fn line(s: &Summary, checks: &[Verification]) -> String {
    let mut t = String::new();
    let _ = write!(t, "{:<48} {:>8}", s.set, human_bytes(s.size_bytes));
    if s.state != "complete" {
        let why = s.why.as_ref().map_or_else(String::new, |w| format!(": {w}"));
        let _ = writeln!(t, "  {}{why}", s.state);
        return t;
    }
    let mut parts: Vec<String> = Vec::new();
    if !s.databases.is_empty() {
        parts.push(s.databases.join(", "));
    }
    if !s.media.is_empty() {
        parts.push(format!("media {}", s.media.join(", ")));
    }
    if s.contents.contains(&Content::Config) {
        parts.push("configuration".to_owned());
    }
    match s.compression {
        Some(Compression::Zstd) => parts.push("zstd".to_owned()),
        Some(Compression::Gzip) => parts.push("gzip".to_owned()),
        _ => {}
    }
    match s.encryption {
        Some(Cipher::Age) => parts.push("age".to_owned()),
        Some(Cipher::OpenPgp) => parts.push("OpenPGP".to_owned()),
        _ => {}
    }
    if s.made_by == Some(MadeBy::Upgrade) {
        parts.push("made by an upgrade".to_owned());
    }
    if let Some(l) = &s.label {
        parts.push(format!("label {l}"));
    }
    // One of each level: of those that disagree, the closer one is believed, unless it is older than a good one as close.
    let damaged = checks.iter().filter(|v| v.damages > 0).max_by_key(|v| v.thoroughness());
    let newest = damaged.or_else(|| checks.iter().max_by_key(|v| (v.thoroughness(), v.at.clone())));
    match newest {
        Some(v) if v.damages == 0 => parts.push(format!("{} good {}", v.level, day(&v.at))),
        Some(v) => parts.push(format!("DAMAGED, found {}", day(&v.at))),
        None => {}
    }
    let _ = writeln!(t, "  {}", parts.join("; "));
    t
}

/// The day of a time.
fn day(at: &str) -> &str {
    at.split('T').next().unwrap_or(at)
}

/// A file of django-dbbackup's. What its name leaves open is not guessed.
fn foreign_line(f: &ForeignSummary) -> String {
    let mut parts = vec!["django-dbbackup".to_owned()];
    parts.push(match (f.content, &f.database) {
        ("media", _) => "media".to_owned(),
        (_, Some(d)) => format!("database {d} ({})", f.format),
        (_, None) => format!("a database ({})", f.format),
    });
    if let Some(s) = &f.server {
        parts.push(format!("server {s}"));
    }
    parts.push(f.taken_at.replace('T', " "));
    if f.compressed {
        parts.push("gzip".to_owned());
    }
    if f.encrypted {
        parts.push("OpenPGP".to_owned());
    }
    if let Some(v) = &f.application_version {
        let api = f.api_version.map_or_else(String::new, |a| format!(", API {a}"));
        parts.push(format!("version {v}{api}"));
    }
    if let Some(why) = &f.sidecar_damage {
        parts.push(format!("sidecar unreadable: {why}"));
    }
    format!("{:<48} {:>8}  {}\n", f.file, human_bytes(f.size_bytes), parts.join("; "))
}
