//! When nothing has succeeded for too long.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long silence is left alone once it was told.
const TELL_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// Nothing has succeeded for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Since when.
    pub since: Timestamp,
    /// Whether it is time to tell somebody.
    pub tell: bool,
}

/// Whether nothing has succeeded for longer than `after`. `known_since` is when watching began, for what never has;
/// `last_told` is when silence was last told. A success from the future, by a clock that was wrong, is none.
#[must_use]
pub fn silence(
    last_good: Option<Timestamp>,
    known_since: Timestamp,
    last_told: Option<Timestamp>,
    after: Duration,
    now: Timestamp,
) -> Option<Silence> {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    let ahead = |t: &Timestamp| t.duration_since(now) <= SignedDuration::from_mins(5);
    let since = last_good.filter(ahead).unwrap_or(known_since.min(now));
    if now.duration_since(since) <= after {
        return None;
    }
    let told = last_told.is_some_and(|t| t >= since && t <= now && now.duration_since(t) < TELL_AGAIN);
    Some(Silence { since, tell: !told })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn at(h: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + h * HOUR).expect("a time")
    }

    #[test]
    fn silence_is_told_once_a_day_until_something_succeeds() {
        let after = Duration::from_secs(26 * 3600);
        let s = |good: Option<i64>, told: Option<i64>, now: i64| {
            silence(good.map(at), at(0), told.map(at), after, at(now)).map(|s| (s.since, s.tell))
        };
        assert_eq!(s(Some(10), None, 36), None);
        assert_eq!(s(Some(10), None, 37), Some((at(10), true)));
        assert_eq!(s(Some(10), Some(37), 38), Some((at(10), false)));
        assert_eq!(s(Some(10), Some(37), 61), Some((at(10), true)));
        assert_eq!(s(Some(40), Some(37), 60), None);
        assert_eq!(s(Some(40), Some(37), 67), Some((at(40), true)), "another silence is told again");
        // Never: from when watching began.
        assert_eq!(s(None, None, 26), None);
        assert_eq!(s(None, None, 27), Some((at(0), true)));
        // What a wrong clock left in the future is no success, and no telling.
        assert_eq!(s(Some(900), Some(900), 40), Some((at(0), true)));
    }
}
