//! Hours, days, weeks, months and years of a time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::rules::Rule;

/// Names one hour, day, week, month or year: two moments lie in the same one exactly when their buckets are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket(i16, i16, i32);

/// The bucket of a moment; `last` has none, there every set is its own.
pub(super) fn bucket(rule: Rule, at: Timestamp, tz: &TimeZone) -> Option<Bucket> {
    let zoned = at.to_zoned(tz.clone());
    let date = zoned.date();
    match rule {
        Rule::Last => None,
        // The offset tells the hour before the clock is set back from the one after it, which has the same number.
        Rule::Hourly => Some(Bucket(
            date.year(),
            date.day_of_year() * 24 + i16::from(zoned.hour()),
            zoned.offset().seconds(),
        )),
        Rule::Daily => Some(Bucket(date.year(), date.day_of_year(), 0)),
        Rule::Weekly => {
            // The ISO year: 2027-01-01 lies in week 53 of 2026.
            let week = date.iso_week_date();
            Some(Bucket(week.year(), i16::from(week.week()), 0))
        }
        Rule::Monthly => Some(Bucket(date.year(), i16::from(date.month()), 0)),
        Rule::Yearly => Some(Bucket(date.year(), 0, 0)),
    }
}
