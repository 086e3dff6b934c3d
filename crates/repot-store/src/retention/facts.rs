//! What retention has to know of a set.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reason::Line;

/// What a set may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// One or more databases.
    Db,
    /// Files that users uploaded.
    Media,
    /// Configuration and secrets.
    Config,
}

/// What is never mixed: one installation of one application on one storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Application, such as `inventree`.
    pub application: String,
    /// The Compose project, or whatever names the installation.
    pub project: String,
    /// The storage that holds the set, by its name or URL.
    pub storage: String,
}

/// One set, as far as retention is concerned.
#[derive(Debug, Clone)]
pub struct SetFacts {
    /// The set's name on its storage. Of two sets with the same date, the greater name is the newer.
    pub id: String,
    /// Sets of different groups have no influence on each other.
    pub group: Group,
    /// When it was finished; for an incomplete one, when it was last written to.
    pub created_at: Timestamp,
    /// What the user called it.
    pub label: Option<String>,
    /// Kinds of content.
    pub contents: BTreeSet<Content>,
    /// Names of the databases in it.
    pub databases: BTreeSet<String>,
    /// Size of all its files.
    pub size_bytes: u64,
    /// Whether its manifest is there; incomplete sets never count.
    pub complete: bool,
    /// When it was last found good, if ever. A check that failed since clears it.
    pub verified_at: Option<Timestamp>,
    /// A run that is not finished would need it to carry on or to go back.
    pub needed_by_run: bool,
    /// Not written by repot.
    pub foreign: bool,
}

impl SetFacts {
    /// The lines the set stands in. A complete set whose content is not known stands in one of its own.
    pub(super) fn lines(&self) -> BTreeSet<Line> {
        let mut lines: BTreeSet<Line> = self.databases.iter().cloned().map(Line::Database).collect();
        for content in &self.contents {
            match content {
                Content::Db if self.databases.is_empty() => lines.insert(Line::Databases),
                Content::Db => false,
                Content::Media => lines.insert(Line::Media),
                Content::Config => lines.insert(Line::Config),
            };
        }
        if lines.is_empty() {
            lines.insert(Line::Unknown);
        }
        lines
    }
}
