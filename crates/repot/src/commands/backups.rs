//! `repot backups`.

use std::fmt::Write as _;

use repot_core::Result;
use repot_core::backup::foreign::{self, ForeignSummary};
use repot_core::backup::sets::{Summary, all, summary};
use repot_core::progress::human_bytes;
use repot_store::MadeBy;
use repot_store::codec::{Cipher, Compression};
use repot_store::retention::Content;

use crate::cli::BackupsArgs;
use crate::config::setting;
use crate::storage::storage;
use crate::terminal::{out, out_json};

/// Names of files that belong to the sets.
pub fn owned(sets: &[repot_store::stored::Stored]) -> std::collections::BTreeSet<String> {
    sets.iter().flat_map(|s| s.beside.clone()).collect()
}

pub fn run(args: &BackupsArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    let storage = storage(&setting, args.storage.storage.as_deref())?;
    let stored = all(&storage)?;
    let names = setting.names(args.storage.storage.is_none())?;
    let mut files: Vec<ForeignSummary> = foreign::all(&storage, &names, &owned(&stored))?
        .iter()
        .filter(|f| args.content.is_none_or(|c| foreign::content(f) == Content::from(c)))
        .map(foreign::summary)
        .collect();
    let mut sets: Vec<Summary> = stored.iter().map(summary).collect();
    if let Some(c) = args.content {
        sets.retain(|s| s.contents.contains(&Content::from(c)));
    }
    let encrypted = |s: &Summary| s.encryption.map(|c| c != Cipher::None);
    let compressed = |s: &Summary| s.compression.map(|c| c != Compression::None);
    for (asked, of, want) in [
        (args.encrypted, &encrypted as &dyn Fn(&Summary) -> Option<bool>, true),
        (args.not_encrypted, &encrypted, false),
        (args.compressed, &compressed, true),
        (args.not_compressed, &compressed, false),
    ] {
        if asked {
            sets.retain(|s| of(s) == Some(want));
        }
    }
    for (asked, of, want) in [
        (args.encrypted, (|f| f.encrypted) as fn(&ForeignSummary) -> bool, true),
        (args.not_encrypted, |f| f.encrypted, false),
        (args.compressed, |f| f.compressed, true),
        (args.not_compressed, |f| f.compressed, false),
    ] {
        if asked {
            files.retain(|f| of(f) == want);
        }
    }
    if args.at.json {
        out_json(
            &serde_json::json!({ "storage": storage.describe(), "sets": sets, "django_dbbackup": files }),
        );
    } else if sets.is_empty() && files.is_empty() {
        out(format!("No backup sets in {}.\n", storage.describe()));
    } else {
        out(sets.iter().map(line).chain(files.iter().map(foreign_line)).collect::<String>());
    }
    Ok(())
}

fn line(s: &Summary) -> String {
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
    let _ = writeln!(t, "  {}", parts.join("; "));
    t
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
