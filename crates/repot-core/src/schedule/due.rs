//! What is due: the agent's one decision, as a pure function.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Schedule;

/// Something that is done again and again.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// When it is due, in its zone.
    pub schedule: Schedule,
    /// How much later it is begun ([`super::delay`]); always the same for one entry.
    pub delay: Duration,
    /// Whether what was due while nobody looked is made up for, once.
    pub catch_up: bool,
}

/// An entry that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The entry's name.
    pub name: String,
    /// Since when it is due, its delay included.
    pub at: Timestamp,
}

impl Entry {
    fn delay(&self) -> SignedDuration {
        SignedDuration::try_from(self.delay).unwrap_or(SignedDuration::ZERO)
    }

    /// What counts as its last run. `since` is when the looking began.
    fn base(&self, last: Option<Timestamp>, since: Timestamp, now: Timestamp) -> Timestamp {
        let base = last.unwrap_or(since);
        // A date in the future is a wrong clock's; `missed` knows what to make of that.
        if self.catch_up || since > now || base > now { base } else { base.max(since) }
    }

    /// A moment without the delay: runs began that much after their time.
    fn undelayed(&self, t: Timestamp) -> Timestamp {
        t.checked_sub(self.delay()).unwrap_or(Timestamp::MIN)
    }

    fn delayed(&self, t: Timestamp) -> Timestamp {
        t.checked_add(self.delay()).unwrap_or(Timestamp::MAX)
    }
}

/// What is due now, the longest waiting first. `last_runs` has the beginning of each entry's last run, by the order in
/// which they happened; `since` is when the looking began: what has never run counts from there. However often an
/// entry was due since, it is due once.
#[must_use]
pub fn due(
    entries: &[Entry],
    last_runs: &BTreeMap<String, Timestamp>,
    since: Timestamp,
    now: Timestamp,
) -> Vec<Due> {
    let mut found: Vec<Due> = entries
        .iter()
        .filter_map(|e| {
            let base = e.undelayed(e.base(last_runs.get(&e.name).copied(), since, now));
            let now = e.undelayed(now);
            if !e.schedule.missed(base, now) {
                return None;
            }
            let first = e.schedule.next_after(base.min(now))?;
            Some(Due { name: e.name.clone(), at: e.delayed(first) })
        })
        .collect();
    // Stable: what has waited equally long goes in the order of the configuration.
    found.sort_by_key(|d| d.at);
    found
}

/// When the first entry will be due after `now`, if none is due now.
#[must_use]
pub fn next(
    entries: &[Entry],
    last_runs: &BTreeMap<String, Timestamp>,
    since: Timestamp,
    now: Timestamp,
) -> Option<Due> {
    let of = |e: &Entry| {
        let base = e.base(last_runs.get(&e.name).copied(), since, now).min(now);
        let at = e.delayed(e.schedule.next_after(e.undelayed(base))?);
        Some(Due { name: e.name.clone(), at })
    };
    entries.iter().filter_map(of).min_by_key(|d| d.at)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a date")
    }

    fn entry(name: &str, when: &str, delay_s: u64, catch_up: bool) -> Entry {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let schedule = Schedule::parse(when).expect("a schedule").or_in(zone);
        Entry { name: name.to_owned(), schedule, delay: Duration::from_secs(delay_s), catch_up }
    }

    fn names(found: &[Due]) -> Vec<&str> {
        found.iter().map(|d| d.name.as_str()).collect()
    }

    #[test]
    fn what_was_missed_is_due_once_and_the_longest_waiting_first() {
        let all = [entry("prune", "daily at 04:00", 0, true), entry("backup", "daily at 03:00", 0, true)];
        let mut last = BTreeMap::from([
            ("backup".to_owned(), at("2026-01-01T02:00:10Z")),
            ("prune".to_owned(), at("2026-01-01T03:00:10Z")),
        ]);
        let (since, now) = (at("2026-01-05T10:00:00Z"), at("2026-01-05T10:00:00Z"));
        let found = due(&all, &last, since, now);
        assert_eq!(names(&found), ["backup", "prune"]);
        assert_eq!(found[0].at, at("2026-01-02T02:00:00Z"));
        last.insert("backup".to_owned(), now);
        assert_eq!(names(&due(&all, &last, since, now)), ["prune"]);
        last.insert("prune".to_owned(), now);
        assert_eq!(due(&all, &last, since, now), []);
        let then = next(&all, &last, since, now).expect("there is a next");
        assert_eq!((then.name.as_str(), then.at), ("backup", at("2026-01-06T02:00:00Z")));
    }

    #[test]
    fn without_catching_up_only_what_is_due_from_now_on_runs() {
        let all = [entry("backup", "daily at 03:00", 0, false)];
        let last = BTreeMap::from([("backup".to_owned(), at("2026-01-01T02:00:10Z"))]);
        let since = at("2026-01-05T10:00:00Z");
        assert_eq!(due(&all, &last, since, since), []);
        // It was due while another ran: that is not missed, that waits.
        assert_eq!(names(&due(&all, &last, since, at("2026-01-06T02:20:00Z"))), ["backup"]);
    }

    #[test]
    fn a_delay_moves_runs_and_makes_no_second_one() {
        let all = [entry("backup", "daily at 03:00", 600, true)];
        let mut last = BTreeMap::from([("backup".to_owned(), at("2026-01-01T02:10:00Z"))]);
        let since = at("2026-01-01T00:00:00Z");
        assert_eq!(due(&all, &last, since, at("2026-01-02T02:09:59Z")), []);
        let found = due(&all, &last, since, at("2026-01-02T02:10:00Z"));
        assert_eq!(found, [Due { name: "backup".to_owned(), at: at("2026-01-02T02:10:00Z") }]);
        last.insert("backup".to_owned(), at("2026-01-02T02:10:00Z"));
        assert_eq!(due(&all, &last, since, at("2026-01-02T02:15:00Z")), []);
    }

    #[test]
    fn a_time_that_the_clock_jumps_over_is_due_after_the_jump_and_one_that_comes_twice_once() {
        let all = [entry("backup", "daily at 02:30", 0, true)];
        let run = |from: &str, minutes: i64| {
            let (mut last, since) = (BTreeMap::new(), at(from));
            let mut runs = Vec::new();
            for m in 0..minutes {
                let now = since + SignedDuration::from_mins(m);
                for d in due(&all, &last, since, now) {
                    runs.push(now.to_string());
                    last.insert(d.name, now);
                }
            }
            runs
        };
        assert_eq!(run("2026-03-28T23:00:00Z", 600), ["2026-03-29T01:00:00Z"]);
        assert_eq!(run("2026-10-24T22:00:00Z", 600), ["2026-10-25T00:30:00Z"]);
    }

    #[test]
    fn a_clock_that_was_wrong_keeps_nothing_silent() {
        let all = [entry("backup", "daily at 03:00", 0, true), entry("other", "hourly", 60, false)];
        let mut last = BTreeMap::from([
            ("backup".to_owned(), at("2031-01-01T00:00:00Z")),
            ("other".to_owned(), at("2031-01-01T00:00:00Z")),
        ]);
        let (since, now) = (at("2031-01-01T00:00:00Z"), at("2026-01-05T10:00:00Z"));
        assert_eq!(due(&all, &last, since, now).len(), 2);
        last.insert("backup".to_owned(), now);
        last.insert("other".to_owned(), now);
        assert_eq!(due(&all, &last, since, now), [], "and each runs once");
    }

    const WORDS: [&str; 6] = [
        "hourly",
        "every 6 hours",
        "daily at 02:30",
        "weekly on sunday at 03:00",
        "*/20 * * * *",
        "0 3 * * *",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// An agent over weeks: it looks at odd times, sleeps for days, is started anew; runs take their time.
        #[test]
        fn every_run_answers_a_due_moment_and_no_due_moment_is_forgotten(
            chosen in proptest::collection::vec((0..WORDS.len(), 0_u64..900, any::<bool>()), 1..4),
            begin in 1_774_000_000_i64..1_793_000_000,
            steps in proptest::collection::vec((1_i64..7200, 0_i64..300, 0..20_u8), 1..120),
        ) {
            let all: Vec<Entry> = chosen.iter().enumerate()
                .map(|(i, (w, delay_s, catch_up))| entry(&i.to_string(), WORDS[*w], *delay_s, *catch_up)).collect();
            let mut now = Timestamp::from_second(begin).expect("a time");
            let first = now;
            let (mut since, mut last) = (now, BTreeMap::new());
            for (wait, takes, fate) in steps {
                now += SignedDuration::from_secs(if fate == 0 { wait * 60 } else { wait });
                if fate == 1 {
                    since = now;
                }
                let mut runs = 0;
                while let Some(d) = due(&all, &last, since, now).into_iter().next() {
                    let e = all.iter().find(|e| e.name == d.name).expect("one of them");
                    let before = last.get(&d.name).copied().unwrap_or(first);
                    prop_assert!(d.at <= now, "not before its time");
                    prop_assert!(d.at - e.delay() > before - e.delay(), "a moment later than the last run's");
                    prop_assert!(e.catch_up || d.at > since - SignedDuration::from_secs(1), "nothing from before the start");
                    last.insert(d.name, now);
                    now += SignedDuration::from_secs(takes);
                    runs += 1;
                    prop_assert!(runs < 200, "it ends");
                }
                let still = due(&all, &last, since, now);
                for e in all.iter().filter(|e| e.catch_up && !still.iter().any(|d| d.name == e.name)) {
                    let base = last.get(&e.name).copied().unwrap_or(since);
                    let following = e.schedule.next_after(base - e.delay()).expect("there is one");
                    prop_assert!(following + e.delay() > now, "forgotten: {} at {following}", e.schedule);
                }
                if still.is_empty() {
                    let then = next(&all, &last, since, now).expect("there is a next");
                    prop_assert!(then.at > now);
                    let second = SignedDuration::from_secs(1);
                    prop_assert_eq!(due(&all, &last, since, then.at - second), vec![]);
                    prop_assert!(!due(&all, &last, since, then.at).is_empty());
                }
            }
        }
    }
}
