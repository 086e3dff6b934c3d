//! Which sets a drill restores: always the newest, and of the older ones as many as it takes to have each drilled within
//! a year.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Within which time each set is drilled.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A set, as far as drills care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drillable {
    /// Its name.
    pub name: String,
    /// When it was finished.
    pub made_at: Timestamp,
    /// When it was last drilled.
    pub drilled_at: Option<Timestamp>,
}

/// The sets to drill now: the newest first, then those that have gone longest without. `every` is how often drills
/// happen; `since` is when they began, from which on sets count that are older than that: the first drill of a storage
/// with many old sets must not take all of them.
///
/// How many: for each older set, those that come before it and itself must fit into the drills that are left until its
/// year is over; the fullest such stretch decides. What is late is drilled now.
#[must_use]
pub fn choose(sets: &[Drillable], since: Timestamp, every: Duration, now: Timestamp) -> Vec<String> {
    let mut sorted: Vec<&Drillable> = sets.iter().collect();
    sorted.sort_by_key(|s| (s.made_at, &s.name));
    let Some(newest) = sorted.pop() else { return Vec::new() };
    let every = SignedDuration::try_from(every).unwrap_or(YEAR).clamp(SignedDuration::from_secs(1), YEAR);
    let counted = |s: &Drillable| s.drilled_at.unwrap_or_else(|| s.made_at.max(since)).min(now);
    sorted.sort_by_key(|s| (counted(s), s.drilled_at, s.made_at, &s.name));
    let share = sorted
        .iter()
        .zip(1_i64..)
        .map(|(s, before)| {
            // One drill less than there are: one may come late.
            let left = (YEAR - every) - now.duration_since(counted(s));
            let drills = (left.as_secs() / every.as_secs()).max(0) + 1;
            (before + drills - 1) / drills
        })
        .max()
        .unwrap_or(0);
    let share = usize::try_from(share).unwrap_or(0);
    std::iter::once(newest).chain(sorted.into_iter().take(share)).map(|s| s.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn day(n: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + n * 24 * 3600).expect("a time")
    }

    fn set(n: i64) -> Drillable {
        Drillable { name: format!("set-{n:04}"), made_at: day(n), drilled_at: None }
    }

    #[test]
    fn the_newest_always_and_a_share_of_the_others() {
        assert_eq!(choose(&[], day(0), WEEK, day(0)), Vec::<String>::new());
        assert_eq!(choose(&[set(1)], day(0), WEEK, day(9)), ["set-0001"]);
        // A hundred old ones, weekly drills: two a week.
        let sets: Vec<_> = (0..101).map(set).collect();
        let chosen = choose(&sets, day(100), WEEK, day(100));
        assert_eq!(chosen, ["set-0100", "set-0000", "set-0001"]);
        // What has been drilled waits behind what has not.
        let mut sets = sets;
        sets[0].drilled_at = Some(day(100));
        assert_eq!(choose(&sets, day(100), WEEK, day(107))[1], "set-0001");
        // What is late comes now.
        assert_eq!(choose(&sets, day(0), WEEK, day(900)).len(), 101);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn over_the_years_each_set_is_drilled_within_one(
            old in 0_i64..200, backup_every in 1_i64..10, drill_every in 1_i64..40, keep in 1_usize..300, years in 1_i64..4,
        ) {
            let every = Duration::from_secs(u64::try_from(drill_every * 24 * 3600).expect("small"));
            let mut sets: Vec<Drillable> = (0..old).map(set).collect();
            let start = old;
            let (mut most, mut drills) = (0, 0);
            for today in start..start + years * 365 {
                let now = day(today);
                if (today - start) % backup_every == 0 {
                    sets.push(set(today));
                    // The oldest go.
                    if sets.len() > keep { sets.remove(0); }
                }
                if (today - start) % drill_every == 0 {
                    let chosen = choose(&sets, day(start), every, now);
                    drills += 1;
                    most = most.max(chosen.len());
                    prop_assert_eq!(chosen.first(), sets.last().map(|s| &s.name), "the newest");
                    for s in sets.iter_mut().filter(|s| chosen.contains(&s.name)) {
                        s.drilled_at = Some(now);
                    }
                }
                for s in &sets {
                    let counted = s.drilled_at.unwrap_or(s.made_at.max(day(start)));
                    prop_assert!(now.duration_since(counted) <= YEAR + DAY, "{} on day {today}", s.name);
                }
            }
            prop_assert!(drills > 0);
            // No more than twice what is needed on average, in any drill.
            let needed = i64::try_from(sets.len().max(usize::try_from(old).expect("small"))).expect("small") * drill_every / 365 + 1;
            prop_assert!(i64::try_from(most).expect("small") <= 2 * needed + 3, "{most} of {needed}");
        }
    }
}
