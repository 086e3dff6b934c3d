//! The rules, as they stand in a configuration file.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{Span, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::facts::Content;
use super::reason::Line;

/// A rule that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The newest, whatever their dates.
    Last,
    /// The newest of each hour.
    Hourly,
    /// The newest of each day.
    Daily,
    /// The newest of each ISO week, which begins on Monday.
    Weekly,
    /// The newest of each month.
    Monthly,
    /// The newest of each year.
    Yearly,
}

impl Rule {
    /// All of them, the shortest first.
    pub const ALL: [Rule; 6] =
        [Rule::Last, Rule::Hourly, Rule::Daily, Rule::Weekly, Rule::Monthly, Rule::Yearly];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Last => "last",
            Rule::Hourly => "hourly",
            Rule::Daily => "daily",
            Rule::Weekly => "weekly",
            Rule::Monthly => "monthly",
            Rule::Yearly => "yearly",
        })
    }
}

/// One block of rules. A count of 0 is the same as a count that is not there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Counts {
    /// How many of the newest.
    pub last: u32,
    /// How many hours.
    pub hourly: u32,
    /// How many days.
    pub daily: u32,
    /// How many ISO weeks.
    pub weekly: u32,
    /// How many months.
    pub monthly: u32,
    /// How many years.
    pub yearly: u32,
    /// How far back from the newest, such as `14d`, `6 months` or `P1Y`; longer than nothing.
    #[serde(deserialize_with = "positive")]
    pub within: Option<Span>,
}

impl Counts {
    /// Whether no rule is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.within.is_none() && Rule::ALL.iter().all(|r| self.count(*r) == 0)
    }
    /// The count of a rule.
    #[must_use]
    pub fn count(&self, rule: Rule) -> u32 {
        match rule {
            Rule::Last => self.last,
            Rule::Hourly => self.hourly,
            Rule::Daily => self.daily,
            Rule::Weekly => self.weekly,
            Rule::Monthly => self.monthly,
            Rule::Yearly => self.yearly,
        }
    }
}

/// How long an incomplete set is left alone where the rules do not say.
const DEFAULT_GRACE_HOURS: i64 = 24;

/// All keep rules. An unknown key is an error: a misspelt rule would delete what it was to keep.
///
/// ```
/// let rules: repot_store::retention::KeepRules = serde_json::from_str(
///     r#"{"daily": 7, "weekly": 4, "within": "3 days", "content": {"media": {"last": 2}}}"#,
/// )?;
/// assert_eq!(rules.general.weekly, 4);
/// assert!(serde_json::from_str::<repot_store::retention::KeepRules>(r#"{"dayly": 7}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeepRules {
    /// What applies where nothing more particular does; its keys stand beside the others.
    pub general: Counts,
    /// `label.NAME`: for sets of that label.
    pub label: BTreeMap<String, Counts>,
    /// `database.NAME`: for that database.
    pub database: BTreeMap<String, Counts>,
    /// `content.db`, `content.media`, `content.config`.
    pub content: BTreeMap<Content, Counts>,
    /// How large the kept sets of a group may be together.
    pub max_size_bytes: Option<u64>,
    /// How old an incomplete set must be to be deleted; 24 hours where it is not given.
    pub incomplete_grace: Span,
}

impl Default for KeepRules {
    fn default() -> Self {
        KeepRules {
            general: Counts::default(),
            label: BTreeMap::new(),
            database: BTreeMap::new(),
            content: BTreeMap::new(),
            max_size_bytes: None,
            incomplete_grace: Span::new().hours(DEFAULT_GRACE_HOURS),
        }
    }
}

impl KeepRules {
    /// Whether nothing would ever be deleted: no rule and no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let blocks = self.label.values().chain(self.database.values()).chain(self.content.values());
        self.max_size_bytes.is_none() && self.general.is_empty() && blocks.into_iter().all(Counts::is_empty)
    }

    /// The label, if it has rules of its own.
    pub(super) fn own_label<'a>(&self, label: Option<&'a str>) -> Option<&'a str> {
        label.filter(|l| self.label.contains_key(*l))
    }

    /// The rules for a line. `label` is one that has rules of its own, or none.
    pub(super) fn counts(&self, line: &Line, label: Option<&str>) -> &Counts {
        if let Some(counts) = label.and_then(|l| self.label.get(l)) {
            return counts;
        }
        let (name, content) = match line {
            Line::Database(name) => (Some(name), Some(Content::Db)),
            Line::Databases => (None, Some(Content::Db)),
            Line::Media => (None, Some(Content::Media)),
            Line::Config => (None, Some(Content::Config)),
            Line::Unknown => (None, None),
        };
        name.and_then(|n| self.database.get(n))
            .or_else(|| content.and_then(|c| self.content.get(&c)))
            .unwrap_or(&self.general)
    }
}

/// The keys as they are written. Not `flatten`, which serde does not check for unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    last: u32,
    #[serde(default)]
    hourly: u32,
    #[serde(default)]
    daily: u32,
    #[serde(default)]
    weekly: u32,
    #[serde(default)]
    monthly: u32,
    #[serde(default)]
    yearly: u32,
    #[serde(default, deserialize_with = "positive")]
    within: Option<Span>,
    #[serde(default)]
    label: BTreeMap<String, Counts>,
    #[serde(default)]
    database: BTreeMap<String, Counts>,
    #[serde(default)]
    content: BTreeMap<Content, Counts>,
    max_size_bytes: Option<u64>,
    #[serde(default, deserialize_with = "positive")]
    incomplete_grace: Option<Span>,
}

impl<'de> Deserialize<'de> for KeepRules {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let w = Written::deserialize(d)?;
        Ok(KeepRules {
            general: Counts {
                last: w.last,
                hourly: w.hourly,
                daily: w.daily,
                weekly: w.weekly,
                monthly: w.monthly,
                yearly: w.yearly,
                within: w.within,
            },
            label: w.label,
            database: w.database,
            content: w.content,
            max_size_bytes: w.max_size_bytes,
            incomplete_grace: w.incomplete_grace.unwrap_or_else(|| Span::new().hours(DEFAULT_GRACE_HOURS)),
        })
    }
}

/// A span longer than nothing. A negative one would turn the rule into its opposite.
fn positive<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Span>, D::Error> {
    let Some(span) = Option::<Span>::deserialize(d)? else { return Ok(None) };
    // Spans of months have no fixed length, and the sign does not depend on it; any date will do.
    let epoch = Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    if !span.is_positive() || epoch.checked_add(span).is_err() {
        return Err(D::Error::custom(format!(
            "`{span:#}` is not a time span to keep sets for; write one such as `14d`, `6 months` or `1y`"
        )));
    }
    Ok(Some(span))
}
