//! `repot backups`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use repot_core::Result;
use repot_core::backup::sets::{Summary, all, summary};
use repot_core::journal::catalog::Verification;
use repot_core::progress::human_bytes;
use repot_core::upgrade::run::Workspace;
use repot_store::MadeBy;
use repot_store::codec::{Cipher, Compression};
use repot_store::retention::Content;
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
    /// Why it could not be listed.
    error: Option<String>,
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

pub fn run(args: &BackupsArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let verifications = match Workspace::look(&setting.state_dir)? {
        Some(mut w) => w.catalog().verifications()?,
        None => Vec::new(),
    };
    let (mut listed, mut failed) = (Vec::new(), Ok(()));
    for place in places(&setting, &args.storage.storage)? {
        let (sets, error) = match all(&place.storage) {
            Ok(sets) => (sets, None),
            Err(e) => {
                let why = e.to_string();
                failed = failed.and(Err(e));
                (Vec::new(), Some(why))
            }
        };
        let sets = sets.iter().map(summary).filter(|s| wanted(args, s)).map(|set| {
            let mut newest: BTreeMap<&str, &Verification> = BTreeMap::new();
            for v in verifications.iter().filter(|v| v.storage == place.address && v.set == set.set) {
                newest.insert(&v.level, v);
            }
            let verifications = newest.into_values().cloned().collect();
            Known { storage: place.name.clone(), set, verifications }
        });
        let sets = sets.collect();
        listed.push(Listed { storage: place.storage.describe().to_owned(), name: place.name, sets, error });
    }
    if args.at.json {
        let sets: Vec<&Known> = listed.iter().flat_map(|l| &l.sets).collect();
        out_json(&serde_json::json!({ "storages": listed, "sets": sets }));
    } else {
        out(render(&listed));
    }
    failed
}

fn wanted(args: &BackupsArgs, s: &Summary) -> bool {
    let encrypted = s.encryption.map(|c| c != Cipher::None);
    let compressed = s.compression.map(|c| c != Compression::None);
    let fits = |asked: bool, is: Option<bool>, want: bool| !asked || is == Some(want);
    args.content.is_none_or(|c| s.contents.contains(&Content::from(c)))
        && fits(args.encrypted, encrypted, true)
        && fits(args.not_encrypted, encrypted, false)
        && fits(args.compressed, compressed, true)
        && fits(args.not_compressed, compressed, false)
}

fn render(listed: &[Listed]) -> String {
    let mut t = String::new();
    let many = listed.len() > 1;
    for l in listed {
        if many && !l.sets.is_empty() {
            let _ = writeln!(t, "In {} ({}):", l.name, l.storage);
        }
        if let Some(why) = &l.error {
            let _ = writeln!(t, "{}: {why}", l.name);
        } else if l.sets.is_empty() {
            let _ = writeln!(t, "No backup sets in {}.", l.storage);
        }
        t.extend(l.sets.iter().map(|k| line(&k.set, &k.verifications)));
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
    let newest = checks.iter().max_by(|a, b| a.at.cmp(&b.at));
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
