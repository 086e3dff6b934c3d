//! From the calendar to the time line. croner says which wall clock times are due; which instants those are, across
//! changes of the clock, is decided here, one stretch of constant offset after the other.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::Schedule;

/// Changes of the clock that are looked past. A schedule may skip 40 years, each with a few changes.
const MAX_STRETCHES: usize = 400;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A change of the clock.
struct Change {
    at: Timestamp,
    before: Offset,
    after: Offset,
}

impl Change {
    /// What the clock shows at that moment, not changed yet.
    fn old_time(&self) -> DateTime {
        self.before.to_datetime(self.at)
    }
    /// What it shows once changed. Later than the old time if a gap was jumped, earlier if a time comes twice.
    fn new_time(&self) -> DateTime {
        self.after.to_datetime(self.at)
    }
}

impl Schedule {
    /// The first due moment later than `t`. `None` only at the end of time.
    #[must_use]
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let mut offset = self.zone.to_offset(t);
        let mut from = whole(offset.to_datetime(t))?.checked_add(SECOND).ok()?;
        if let Some(change) = self.last_change(t) {
            from = from.max(self.first_of_stretch(&change));
        }
        let mut at = t;
        for _ in 0..MAX_STRETCHES {
            let due = self.cron.find_next_occurrence(&from, true).ok()?;
            let Some(change) = self.next_change(at, offset) else { return offset.to_timestamp(due).ok() };
            if due < change.old_time() {
                return offset.to_timestamp(due).ok();
            }
            if due <= change.new_time() {
                return Some(change.at);
            }
            from = self.first_of_stretch(&change);
            (offset, at) = (change.after, change.at);
        }
        None
    }

    /// The last due moment earlier than `t`. `None` only at the beginning of time.
    #[must_use]
    pub fn previous_before(&self, t: Timestamp) -> Option<Timestamp> {
        // The last whole second before `t`.
        let whole_s = t.as_second() - i64::from(t.subsec_nanosecond() <= 0);
        let mut at = Timestamp::from_second(whole_s).ok()?;
        let mut offset = self.zone.to_offset(at);
        let mut to = offset.to_datetime(at);
        for _ in 0..MAX_STRETCHES {
            let due = self.cron.find_previous_occurrence(&to, true).ok()?;
            let Some(change) = self.last_change(at) else { return offset.to_timestamp(due).ok() };
            if due >= self.first_of_stretch(&change) {
                return offset.to_timestamp(due).ok();
            }
            if due >= change.old_time() && change.old_time() < change.new_time() {
                return Some(change.at);
            }
            to = change.old_time().checked_sub(SECOND).ok()?;
            at = change.at.checked_sub(SECOND).ok()?;
            offset = change.before;
        }
        None
    }

    /// The first wall clock time that counts after a change. Times that come twice have been due before it, unless
    /// the schedule names no hour.
    fn first_of_stretch(&self, change: &Change) -> DateTime {
        if self.names_no_hour() { change.new_time() } else { change.new_time().max(change.old_time()) }
    }

    fn next_change(&self, after: Timestamp, before: Offset) -> Option<Change> {
        let found = self.zone.following(after).next()?;
        Some(Change { at: found.timestamp(), before, after: found.offset() })
    }

    /// The change that began the stretch in which `t` lies.
    fn last_change(&self, t: Timestamp) -> Option<Change> {
        // `preceding` leaves out a change at the very moment.
        let just_after = t.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let found = self.zone.preceding(just_after).next()?;
        let before = self.zone.to_offset(found.timestamp().checked_sub(SECOND).ok()?);
        Some(Change { at: found.timestamp(), before, after: found.offset() })
    }
}

/// Without the fraction of a second, towards the past.
fn whole(time: DateTime) -> Option<DateTime> {
    time.with().subsec_nanosecond(0).build().ok()
}
