//! Why a set is kept or not, in words.

use std::fmt;

use jiff::Span;
use serde::{Serialize, Serializer};

use super::rules::Rule;

/// What is counted by itself: one database, the media, the configuration of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// One database, by name.
    Database(String),
    /// Databases whose names are not known.
    Databases,
    /// Media.
    Media,
    /// Configuration.
    Config,
    /// The set does not say what it holds.
    Unknown,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Database(name) => write!(f, "database {name}"),
            Line::Databases => f.write_str("databases"),
            Line::Media => f.write_str("media"),
            Line::Config => f.write_str("configuration"),
            Line::Unknown => f.write_str("unknown content"),
        }
    }
}

/// One reason of a decision. `Display` is the sentence that people read, and what is serialised.
///
/// `lines` is empty where the reason holds for everything in the set.
#[derive(Debug, Clone)]
pub enum Reason {
    /// A rule keeps it.
    Counted {
        /// The rule.
        rule: Rule,
        /// Its place among those that the rule keeps, from 1, the newest first.
        place: u32,
        /// How many the rule keeps at most.
        of: u32,
        /// The label whose rules apply, where it has some.
        label: Option<String>,
        /// For which part of the set.
        lines: Vec<Line>,
    },
    /// It is young enough.
    Within {
        /// The span of the rule.
        span: Span,
        /// The label whose rules apply, where it has some.
        label: Option<String>,
        /// For which part of the set.
        lines: Vec<Line>,
    },
    /// No rule applies, so nothing is deleted.
    NoRules {
        /// For which part of the set.
        lines: Vec<Line>,
    },
    /// It is the only complete set.
    OnlyComplete {
        /// For which part of the set.
        lines: Vec<Line>,
    },
    /// It is the newest complete set.
    NewestComplete {
        /// For which part of the set.
        lines: Vec<Line>,
    },
    /// It is the newest set that was verified.
    NewestVerified {
        /// For which part of the set.
        lines: Vec<Line>,
    },
    /// A run that is not finished needs it.
    NeededByRun,
    /// repot did not write it.
    Foreign,
    /// Its date is in the future.
    Future,
    /// It is incomplete, and so young that somebody may be writing it.
    BeingWritten {
        /// The grace period.
        grace: Span,
    },
    /// Deleted: incomplete, and too old for anybody to be writing it.
    Incomplete {
        /// The grace period.
        grace: Span,
    },
    /// Deleted: no rule keeps it.
    NotKept,
    /// Deleted: the group is larger than it may be, and this is the oldest that may go.
    SizeCap {
        /// The limit.
        max_size_bytes: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Counted { rule, place, of, label, lines } => {
                write!(f, "{rule} {place} of {of}{}{}", Label(label.as_deref()), For(lines))
            }
            Reason::Within { span, label, lines } => {
                write!(f, "within {span:#} of the newest{}{}", Label(label.as_deref()), For(lines))
            }
            Reason::NoRules { lines } => write!(f, "no rule, so nothing is deleted{}", For(lines)),
            Reason::OnlyComplete { lines } => write!(f, "the only complete set{}", For(lines)),
            Reason::NewestComplete { lines } => write!(f, "the newest complete set{}", For(lines)),
            Reason::NewestVerified { lines } => write!(f, "the newest verified set{}", For(lines)),
            Reason::NeededByRun => f.write_str("a run that is not finished needs it"),
            Reason::Foreign => f.write_str("not written by repot"),
            Reason::Future => f.write_str("dated in the future"),
            Reason::BeingWritten { grace } => {
                write!(f, "incomplete, younger than {grace:#}: it may be being written")
            }
            Reason::Incomplete { grace } => write!(f, "incomplete, older than {grace:#}"),
            Reason::NotKept => f.write_str("no rule keeps it"),
            Reason::SizeCap { max_size_bytes } => {
                write!(
                    f,
                    "the sets are larger than {max_size_bytes} bytes, and this is the oldest that may go"
                )
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

struct For<'a>(&'a [Line]);

impl fmt::Display for For<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, line) in self.0.iter().enumerate() {
            write!(f, "{}{line}", if i == 0 { " for " } else { ", " })?;
        }
        Ok(())
    }
}

struct Label<'a>(Option<&'a str>);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |label| write!(f, " of label {label}"))
    }
}
