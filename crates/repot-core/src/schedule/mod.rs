//! When something is due: cron syntax or plain words, in a time zone.
//!
//! A schedule only says when; whoever runs things asks it ([`Schedule::missed`], [`Schedule::next_after`]) and
//! remembers when it last ran.
//!
//! # When the clock changes
//!
//! - A time that does not exist, because the clock is set forward past it, is due at the first moment after the gap.
//! - A time that the clock shows twice is due once, the first time.
//! - A schedule that is due in every hour of the day names no hour, so it goes on through the hour that comes twice:
//!   `hourly` leaves no gap of two hours.
//!
//! systemd does otherwise: it leaves out a time that does not exist, so a backup at 02:30 is not made that night, and
//! `hourly` leaves the second of two equal hours out (seen with systemd 252, `systemd-analyze calendar
//! --base-time=2026-03-28`). A timer for a fixed time is safer outside the hours in which its zone changes the clock.

mod due;
mod moments;
mod silence;
mod systemd;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use due::{Due, Entry, due, next};
pub use silence::{Silence, silence};

/// Longer than any schedule; what is longer is not looked at.
const MAX_TEXT_BYTES: usize = 200;
/// What each field of a cron expression holds.
const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];
const EXAMPLES: &str = "write one such as `hourly`, `every 6 hours`, `daily at 03:00`, `weekdays at 22:00`, \
     `weekly on sunday at 04:30`, `monthly on the 1st at 02:00` or, in cron syntax, `30 4 * * 0`; \
     `in Europe/Berlin` may follow";

/// When something is due.
///
/// ```
/// use repot_core::schedule::Schedule;
/// let nightly = Schedule::parse("daily at 03:00 in UTC")?;
/// let due = nightly.next_after("2026-03-01T10:00:00Z".parse().expect("a date"));
/// assert_eq!(due.map(|t| t.to_string()).as_deref(), Some("2026-03-02T03:00:00Z"));
/// # Ok::<(), repot_core::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    text: String,
    cron: Cron,
    /// What a person reads; without the zone.
    meaning: String,
    zone: TimeZone,
    /// The zone's name, where the text names one.
    zone_name: Option<String>,
}

impl Schedule {
    /// Reads words or a cron expression of five fields, either followed by `in ZONE` if wanted. Words may be in any
    /// case. Where no zone is named it is UTC until [`Schedule::or_in`] says which.
    ///
    /// # Errors
    /// `bad-schedule`, naming what is wrong.
    pub fn parse(text: &str) -> Result<Schedule> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(bad(&format!("a text of {} bytes", text.len())).why("it is too long"));
        }
        let mut tokens: Vec<&str> = text.split_whitespace().collect();
        let shown = tokens.join(" ");
        let bad = |why: String| bad(&format!("`{shown}`")).why(why);
        let mut zone_name = None;
        if let Some((name, rest)) = tokens.split_last().filter(|(_, rest)| ends_in(rest)) {
            zone_name = Some(*name);
            tokens = rest[..rest.len() - 1].to_vec();
        }
        let Some(first) = tokens.first() else { return Err(bad("it is empty".into())) };
        let is_cron = first.starts_with(|c: char| c.is_ascii_digit() || c == '*' || c == '@');
        let (pattern, words) = if is_cron {
            (cron_text(&tokens).map_err(bad)?, None)
        } else {
            let (pattern, meaning) = words::read(&tokens).map_err(bad)?;
            (pattern, Some(meaning))
        };
        let cron = parser().parse(&pattern).map_err(|e| bad(why_not(&pattern, &e.to_string())))?;
        // All weekdays have been the 29th of February within 28 years of 2000; what is not due by 2100 never is.
        let start = civil::date(2000, 1, 1).at(0, 0, 0, 0);
        if !cron.find_next_occurrence(&start, true).is_ok_and(|d| d.year() < 2100) {
            return Err(bad("there is no such day in any year".into()));
        }
        let (zone, zone_name) = match zone_name {
            None => (TimeZone::UTC, None),
            Some(name) => {
                let zone = TimeZone::get(name).map_err(|_| {
                    bad(format!(
                        "this machine knows no time zone `{name}` (`timedatectl list-timezones` names them; the \
                         package tzdata brings them)"
                    ))
                })?;
                let name = zone.iana_name().unwrap_or(name).to_owned();
                (zone, Some(name))
            }
        };
        let meaning = words.unwrap_or_else(|| plain(&cron.describe()));
        Ok(Schedule { text: shown, cron, meaning, zone, zone_name })
    }

    /// The same in `zone`, unless its text names one.
    #[must_use]
    pub fn or_in(mut self, zone: TimeZone) -> Schedule {
        if self.zone_name.is_none() {
            self.zone = zone;
        }
        self
    }

    /// Whether at least one due moment has passed since the last run. However many have, one run makes up for them.
    ///
    /// `last_run` may be later than `now` if a clock was wrong. Then the answer is yes as soon as a due moment lies
    /// between the two: a run dated years ahead must not keep things silent until then. Remember the latest run by
    /// the order in which they happened, not by its date.
    #[must_use]
    pub fn missed(&self, last_run: Timestamp, now: Timestamp) -> bool {
        self.next_after(last_run.min(now)).is_some_and(|due| due <= last_run.max(now))
    }

    /// What it means, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.zone_name {
            Some(name) => format!("{}, {name} time", self.meaning),
            None => self.meaning.clone(),
        }
    }

    /// Whether it is due in every hour of the day, and so names no hour.
    fn names_no_hour(&self) -> bool {
        self.cron.pattern.hours.values().len() == 24
    }
}

/// A delay between 0 and `max`, always the same for the same seed: so that many machines with one schedule don't all
/// begin at once, and one machine doesn't change its mind when it is started anew. Steps of a millisecond.
#[must_use]
pub fn delay(seed: &str, max: Duration) -> Duration {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(seed.as_bytes()).as_bytes()[..16]);
    let ms = u128::from_le_bytes(bytes) % (max.as_millis() + 1);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

impl FromStr for Schedule {
    type Err = Error;
    fn from_str(text: &str) -> Result<Schedule> {
        Schedule::parse(text)
    }
}
impl TryFrom<String> for Schedule {
    type Error = String;
    fn try_from(text: String) -> Result<Schedule, String> {
        Schedule::parse(&text).map_err(|e| match &e.help {
            Some(help) => format!("{e}; {help}"),
            None => e.to_string(),
        })
    }
}
impl From<Schedule> for String {
    fn from(schedule: Schedule) -> String {
        schedule.text
    }
}
/// What was written, in single blanks; parses to the same schedule.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bad(shown: &str) -> Error {
    Error::usage("bad-schedule", format!("{shown} is no schedule")).help(EXAMPLES)
}

fn ends_in(tokens: &[&str]) -> bool {
    tokens.last().is_some_and(|t| t.eq_ignore_ascii_case("in"))
}

fn parser() -> CronParser {
    // No seconds and no years: neither belongs to cron, and six fields mean different things to different programs.
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// The cron expression of five fields, or what is wrong with it.
fn cron_text(tokens: &[&str]) -> Result<String, String> {
    if let [name] = tokens
        && name.starts_with('@')
    {
        return match name.to_ascii_lowercase().as_str() {
            "@hourly" => Ok("0 * * * *".into()),
            "@daily" | "@midnight" => Ok("0 0 * * *".into()),
            "@weekly" => Ok("0 0 * * 0".into()),
            "@monthly" => Ok("0 0 1 * *".into()),
            "@yearly" | "@annually" => Ok("0 0 1 1 *".into()),
            _ => Err(format!(
                "`{name}` is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"
            )),
        };
    }
    if tokens.len() != FIELDS.len() {
        return Err(format!(
            "a cron expression has five fields ({}), without seconds; this has {}",
            FIELDS.join(", "),
            tokens.len()
        ));
    }
    for (token, field) in tokens.iter().zip(FIELDS) {
        if token.split(',').any(str::is_empty) {
            return Err(format!("the {field} `{token}` has a comma with nothing beside it"));
        }
    }
    Ok(tokens.join(" "))
}

/// Which field the parser stumbles over: the one that fails with all others open.
fn why_not(pattern: &str, message: &str) -> String {
    let said = message.rsplit_once(": ").map_or(message, |(_, m)| m).trim_end_matches('.');
    let at_fault = pattern.split(' ').zip(FIELDS).enumerate().find(|(i, (token, _))| {
        let mut alone = ["*"; FIELDS.len()];
        alone[*i] = token;
        parser().parse(&alone.join(" ")).is_err()
    });
    match at_fault {
        Some((_, (token, field))) => format!("the {field} `{token}` cannot be understood ({said})"),
        None => said.to_owned(),
    }
}

/// A sentence without its capital and its full stop.
fn plain(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
