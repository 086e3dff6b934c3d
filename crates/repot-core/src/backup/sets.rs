//! The sets of a storage, for people, and finding one by what a person calls it.

use std::collections::BTreeSet;
use std::path::Path;

use repot_store::codec::{Cipher, Compression, Keys};
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::{Level, State, Stored, check_file, list};
use repot_store::{FileEntry, MadeBy, Manifest};
use serde::Serialize;

use super::signature::check_signature;
use super::{codec_error, storage_error};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::progress::{Event, Observer, human_bytes};

/// A set in one line.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Its name.
    pub set: String,
    /// `complete`, `incomplete` or `damaged`.
    pub state: &'static str,
    /// Why it is damaged.
    pub why: Option<String>,
    /// When it was finished, RFC 3339; for an incomplete one, when it was last written.
    pub created_at: Option<String>,
    /// What made it.
    pub made_by: Option<MadeBy>,
    /// What the user called it.
    pub label: Option<String>,
    /// Application and version.
    pub application: Option<String>,
    /// The Compose project.
    pub project: Option<String>,
    /// What it holds.
    pub contents: BTreeSet<Content>,
    /// Its databases.
    pub databases: Vec<String>,
    /// Its media roots.
    pub media: Vec<String>,
    /// How its files are compressed by repot.
    pub compression: Option<Compression>,
    /// How its files are encrypted.
    pub encryption: Option<Cipher>,
    /// Size of its files.
    pub size_bytes: u64,
}

/// Reads the storage's sets, oldest first.
pub fn all(storage: &Storage) -> Result<Vec<Stored>> {
    let mut sets = list(storage).map_err(|e| storage_error(&e))?;
    sets.sort_by_key(|s| (created(s), s.name.clone()));
    Ok(sets)
}

/// When a set was finished or, without a manifest, last written.
#[must_use]
pub fn created(set: &Stored) -> jiff::Timestamp {
    let told = set.manifest().and_then(|m| m.created_at.parse().ok());
    let seen = || set.changed.and_then(|t| jiff::Timestamp::try_from(t).ok());
    told.or_else(seen).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// What a set holds.
#[must_use]
pub fn contents(m: &Manifest) -> BTreeSet<Content> {
    let mut found: BTreeSet<Content> = m.files.iter().map(FileEntry::content).collect();
    if m.made_by == MadeBy::Upgrade {
        // The server's own files, not the application's.
        found.remove(&Content::Config);
    }
    found
}

/// A set in one line.
#[must_use]
pub fn summary(set: &Stored) -> Summary {
    let m = set.manifest();
    let (state, why) = match &set.state {
        State::Complete(_) => ("complete", None),
        State::Incomplete => ("incomplete", None),
        State::Damaged(why) => ("damaged", Some(why.clone())),
    };
    let at = created(set);
    Summary {
        set: set.name.clone(),
        state,
        why,
        created_at: (at != jiff::Timestamp::UNIX_EPOCH).then(|| at.to_string()),
        made_by: m.map(|m| m.made_by),
        label: m.and_then(|m| m.label.clone()),
        application: m.map(|m| match &m.application_version {
            Some(v) => format!("{} {v}", m.application),
            None => m.application.clone(),
        }),
        project: m.map(|m| m.project.clone()),
        contents: m.map(contents).unwrap_or_default(),
        databases: names(m, |f| f.database.clone()),
        media: names(m, |f| f.root.clone()),
        compression: m.and_then(|m| m.files.first()).map(|f| f.compression),
        encryption: m.and_then(|m| m.files.first()).map(|f| f.encryption),
        size_bytes: set.size_bytes,
    }
}

fn names(m: Option<&Manifest>, of: impl Fn(&FileEntry) -> Option<String>) -> Vec<String> {
    m.iter().flat_map(|m| &m.files).filter_map(of).collect()
}

/// Whose sets are meant.
#[derive(Debug, Clone)]
pub struct Whose {
    /// The project.
    pub project: String,
    /// Where it runs: of several installations of that name, this one's sets come first.
    pub place: Option<String>,
}

/// Finds a set by its name, or the newest complete one (`latest`): of the project that is meant, or of the only one that
/// the storage holds.
pub fn find(storage: &Storage, wanted: &str, whose: Option<&Whose>) -> Result<(Stored, Manifest)> {
    let sets = all(storage)?;
    let whole = |s: Stored| match s.state.clone() {
        State::Complete(m) => Ok((s, *m)),
        State::Incomplete => Err(Error::refused(
            "incomplete-set",
            format!("{} is not a complete backup set: it has no manifest", s.name),
        )
        .why("it was never finished, or is being written")
        .help("`repot backups` lists the complete ones")),
        State::Damaged(why) => {
            Err(Error::new(Kind::Differences, "set-damaged", format!("{} is damaged", s.name)).why(why))
        }
    };
    if wanted == "latest" {
        let projects: BTreeSet<&str> =
            sets.iter().filter_map(Stored::manifest).map(|m| m.project.as_str()).collect();
        if whose.is_none() && projects.len() > 1 {
            let all: Vec<&str> = projects.into_iter().collect();
            return Err(Error::usage(
                "several-projects",
                format!("{} holds sets of {}", storage.describe(), all.join(", ")),
            )
            .help("name the set, as `repot backups` lists it"));
        }
        let fits = |m: &Manifest| whose.is_none_or(|w| m.project == w.project);
        let here = |m: &Manifest| fits(m) && whose.is_some_and(|w| w.place.is_some() && m.place == w.place);
        let newest_of = |is: &dyn Fn(&Manifest) -> bool| {
            sets.iter().rev().find(|s| s.manifest().is_some_and(is)).cloned()
        };
        let newest = newest_of(&here).or_else(|| newest_of(&fits));
        return newest.map_or_else(
            || {
                Err(Error::usage(
                    "no-set",
                    format!("there is no complete backup set in {}", storage.describe()),
                )
                .help("`repot backup` makes one"))
            },
            whole,
        );
    }
    let named = sets.into_iter().find(|s| s.name == wanted);
    named.map_or_else(
        || {
            Err(Error::usage("no-set", format!("there is no backup set {wanted} in {}", storage.describe()))
                .help("`repot backups` lists them"))
        },
        whole,
    )
}

/// As [`find`], in several storages: the newest of all, or the first whole one of that name. Which storage, and what is to
/// be said of those that did not answer.
pub fn find_among(
    storages: &[&Storage],
    wanted: &str,
    whose: Option<&Whose>,
) -> Result<(usize, Stored, Manifest, Vec<String>)> {
    let (mut found, mut errors): (Vec<(usize, Stored, Manifest)>, Vec<Error>) = (Vec::new(), Vec::new());
    for (i, storage) in storages.iter().enumerate() {
        match find(storage, wanted, whose) {
            Ok((s, m)) => found.push((i, s, m)),
            Err(e) => errors.push(e),
        }
    }
    // Of two equally new ones, that of the storage that is named first.
    let here = |m: &Manifest| whose.is_some_and(|w| w.place.is_some() && m.place == w.place);
    let key =
        |(i, s, m): &(usize, Stored, Manifest)| (here(m), created(s), s.name.clone(), std::cmp::Reverse(*i));
    let notes = errors.iter().filter(|e| e.code != "no-set").map(ToString::to_string).collect();
    match found.into_iter().max_by_key(key) {
        Some((i, s, m)) => Ok((i, s, m, notes)),
        // What is wrong with one says more than that another has none.
        None => Err(errors
            .iter()
            .find(|e| e.code != "no-set")
            .or(errors.first())
            .cloned()
            .unwrap_or_else(|| Error::usage("no-set", "there is no storage to look in"))),
    }
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// How sets are checked.
#[derive(Debug)]
pub struct Checker<'a> {
    /// Where they are.
    pub storage: &'a Storage,
    /// How thoroughly.
    pub level: Level,
    /// What opens them.
    pub keys: &'a Keys,
    /// An existing directory for unlinked scratch files.
    pub scratch_dir: &'a Path,
}

/// Checks a set's signature and those of its files that `wanted` picks; names each damage.
pub fn check(
    checker: &Checker<'_>,
    set: &str,
    manifest: &Manifest,
    wanted: &dyn Fn(&FileEntry) -> bool,
    observer: &dyn Observer,
) -> Result<Vec<Damage>> {
    let Checker { storage, level, keys, scratch_dir } = *checker;
    let mut damages = Vec::new();
    damages.extend(check_signature(storage, set, manifest, &keys.signers, observer)?);
    for entry in manifest.files.iter().filter(|f| wanted(f)) {
        interrupt::check()?;
        let done = std::sync::atomic::AtomicU64::new(0);
        let seen = |n| {
            let done = done.fetch_add(n, std::sync::atomic::Ordering::Relaxed) + n;
            let what = format!("checking {set}/{}, {}", entry.name, human_bytes(done));
            observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        };
        let found = check_file(storage, set, entry, level, keys, scratch_dir, &seen)
            .map_err(|e| codec_error(&entry.name, e))?;
        damages.extend(found.map(|what| Damage { file: entry.name.clone(), what }));
    }
    Ok(damages)
}
