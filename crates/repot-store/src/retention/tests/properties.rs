use std::collections::{BTreeMap, BTreeSet};

use jiff::{Span, Timestamp};
use proptest::prelude::*;

use super::super::reason::Line;
use super::*;

/// 2026-11-24T20:00:00Z.
const NOW_S: i64 = 1_795_550_400;
const DAY_S: i64 = 86_400;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).expect("a date")
}

/// An age in seconds: often close together, sometimes years back, sometimes in the future.
fn age_s() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..3 * DAY_S,
        4 => 0..60 * DAY_S,
        2 => 0..1_200 * DAY_S,
        1 => -400 * DAY_S..0,
        1 => (0..6_i64).prop_map(|days| days * DAY_S),
    ]
}

fn any_set() -> impl Strategy<Value = SetFacts> {
    let holds = (
        proptest::sample::subsequence(vec![Content::Db, Content::Media, Content::Config], 0..=3),
        proptest::sample::subsequence(vec!["app", "wiki"], 0..=2),
        proptest::option::weighted(0.3, prop_oneof![Just("before-upgrade"), Just("by-hand")]),
        prop_oneof![4 => Just("local"), 1 => Just("s3")],
    );
    let state = (
        proptest::bool::weighted(0.85),
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.05),
        proptest::bool::weighted(0.08),
    );
    (age_s(), 0..5_000_u64, holds, state).prop_map(
        |(age, size_bytes, (contents, databases, label, storage), (complete, verified, needed, foreign))| {
            let mut s = set("", Timestamp::from_second(NOW_S - age).expect("a date"));
            s.group.storage = storage.into();
            s.size_bytes = size_bytes;
            s.contents = contents.into_iter().collect();
            s.databases = databases.into_iter().map(str::to_owned).collect();
            s.label = label.map(str::to_owned);
            (s.complete, s.needed_by_run, s.foreign) = (complete, needed, foreign);
            s.verified_at = verified.then(now);
            s
        },
    )
}

fn any_sets() -> impl Strategy<Value = Vec<SetFacts>> {
    proptest::collection::vec(any_set(), 0..40).prop_map(|mut sets| {
        sets.iter_mut().enumerate().for_each(|(i, s)| s.id = format!("set-{i:02}"));
        sets
    })
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let n = || prop_oneof![2 => Just(0_u32), 3 => 1..6_u32];
    let within = proptest::option::weighted(0.3, 1..90_i64);
    (n(), n(), n(), n(), n(), n(), within).prop_map(|(last, hourly, daily, weekly, monthly, yearly, days)| {
        Counts { last, hourly, daily, weekly, monthly, yearly, within: days.map(|d| Span::new().days(d)) }
    })
}

fn any_rules() -> impl Strategy<Value = KeepRules> {
    let content = prop_oneof![Just(Content::Db), Just(Content::Media), Just(Content::Config)];
    (
        any_counts(),
        proptest::collection::btree_map(Just("before-upgrade".to_owned()), any_counts(), 0..2),
        proptest::collection::btree_map(Just("wiki".to_owned()), any_counts(), 0..2),
        proptest::collection::btree_map(content, any_counts(), 0..3),
        proptest::option::weighted(0.3, 0..60_000_u64),
    )
        .prop_map(|(general, label, database, content, max_size_bytes)| KeepRules {
            general,
            label,
            database,
            content,
            max_size_bytes,
            ..KeepRules::default()
        })
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop_oneof![Just(BERLIN), Just(NEW_YORK), Just(LORD_HOWE), Just("UTC0")].prop_map(zone)
}

fn kept(decisions: &[Decision]) -> BTreeSet<String> {
    decisions.iter().filter(|d| d.keep).map(|d| d.id.clone()).collect()
}

/// The sets that count, of each line of each group, the newest first. Written apart from what it tests.
fn lines(sets: &[SetFacts]) -> BTreeMap<(Group, Line), Vec<&SetFacts>> {
    let mut found: BTreeMap<(Group, Line), Vec<&SetFacts>> = BTreeMap::new();
    for s in sets.iter().filter(|s| s.complete && !s.foreign && s.created_at <= now()) {
        for line in s.lines() {
            found.entry((s.group.clone(), line)).or_default().push(s);
        }
    }
    for of in found.values_mut() {
        of.sort_by_key(|s| std::cmp::Reverse((s.created_at, s.id.clone())));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn one_decision_each_in_order_with_a_reason(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        let decisions = decide(&sets, &rules, now(), &tz);
        let ids = |i: Vec<&String>| i.into_iter().cloned().collect::<Vec<_>>();
        prop_assert_eq!(ids(sets.iter().map(|s| &s.id).collect()), ids(decisions.iter().map(|d| &d.id).collect()));
        prop_assert!(decisions.iter().all(|d| !d.reasons.is_empty()));
    }

    #[test]
    fn the_newest_and_the_only_complete_set_of_each_line_stay(
        sets in any_sets(), rules in any_rules(), tz in any_zone(),
    ) {
        let kept = kept(&decide(&sets, &rules, now(), &tz));
        for (line, of) in lines(&sets) {
            prop_assert!(kept.contains(&of[0].id), "{:?} lost its newest, {}", line, of[0].id);
        }
    }

    #[test]
    fn the_newest_verified_set_of_each_line_stays(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        let kept = kept(&decide(&sets, &rules, now(), &tz));
        for (line, of) in lines(&sets) {
            if let Some(v) = of.iter().find(|s| s.verified_at.is_some()) {
                prop_assert!(kept.contains(&v.id), "{:?} lost {}", line, v.id);
            }
        }
    }

    #[test]
    fn needed_foreign_and_future_sets_stay(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        for (s, d) in sets.iter().zip(decide(&sets, &rules, now(), &tz)) {
            if s.needed_by_run || s.foreign || s.created_at > now() {
                prop_assert!(d.keep, "{:?}", s);
            }
        }
    }

    #[test]
    fn an_empty_rule_set_keeps_everything(sets in any_sets(), tz in any_zone()) {
        prop_assert!(decide(&sets, &KeepRules::default(), now(), &tz).iter().all(|d| d.keep));
    }

    #[test]
    fn incomplete_sets_go_only_when_old(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        prop_assume!(!rules.is_empty());
        for (s, d) in sets.iter().zip(decide(&sets, &rules, now(), &tz)) {
            if !s.complete && !s.needed_by_run && !s.foreign {
                prop_assert_eq!(d.keep, s.created_at >= Timestamp::from_second(NOW_S - DAY_S).expect("a date"));
            }
        }
    }

    /// Incomplete, foreign and future sets change nothing for the others, and neither does another group.
    #[test]
    fn what_does_not_count_pushes_nothing_out(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        let all = kept(&decide(&sets, &rules, now(), &tz));
        let counting: Vec<SetFacts> = sets
            .iter()
            .filter(|s| s.complete && !s.foreign && s.created_at <= now() && s.group.storage == "local")
            .cloned()
            .collect();
        let alone = kept(&decide(&counting, &rules, now(), &tz));
        let of_all: BTreeSet<String> = counting.iter().map(|s| s.id.clone()).filter(|i| all.contains(i)).collect();
        prop_assert_eq!(alone, of_all);
    }

    #[test]
    fn deciding_again_deletes_nothing_more(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        let first = kept(&decide(&sets, &rules, now(), &tz));
        let left: Vec<SetFacts> = sets.into_iter().filter(|s| first.contains(&s.id)).collect();
        prop_assert_eq!(kept(&decide(&left, &rules, now(), &tz)), first);
    }

    /// With a newer set there, a set that was to go does not come back.
    #[test]
    fn a_newer_set_brings_nothing_back(
        sets in any_sets(), mut rules in any_rules(), tz in any_zone(), mut newer in any_set(),
    ) {
        // The limit is left out: when a newer set makes a large one go, a small older one may fit again.
        rules.max_size_bytes = None;
        newer.id = "newer".into();
        newer.created_at = now();
        let before = kept(&decide(&sets, &rules, now(), &tz));
        let mut more = sets.clone();
        more.push(newer);
        let after = kept(&decide(&more, &rules, now(), &tz));
        for s in &sets {
            prop_assert!(before.contains(&s.id) || !after.contains(&s.id), "{}", s.id);
        }
    }

    /// The limit takes the oldest first: whatever it takes, nothing older that could go is left.
    #[test]
    fn the_limit_takes_the_oldest_first(sets in any_sets(), rules in any_rules(), tz in any_zone()) {
        let Some(max) = rules.max_size_bytes else { return Ok(()) };
        let decisions = decide(&sets, &rules, now(), &tz);
        let unlimited = decide(&sets, &KeepRules { max_size_bytes: None, ..rules.clone() }, now(), &tz);
        for storage in ["local", "s3"] {
            let mut of: Vec<usize> = (0..sets.len())
                .filter(|i| sets[*i].group.storage == storage && sets[*i].complete && !sets[*i].foreign)
                .filter(|i| sets[*i].created_at <= now())
                .collect();
            of.sort_by_key(|i| (sets[*i].created_at, sets[*i].id.clone()));
            let never = |i: usize| decisions[i].reasons.iter().any(|r| matches!(r,
                Reason::OnlyComplete { .. } | Reason::NewestComplete { .. } | Reason::NewestVerified { .. }
                | Reason::NeededByRun));
            // A block without rules keeps everything, with a limit or without; both sides see the same blocks.
            let mut total: u64 = of.iter().filter(|i| unlimited[**i].keep).map(|i| sets[*i].size_bytes).sum();
            for i in of {
                let want = unlimited[i].keep && (total <= max || never(i));
                prop_assert_eq!(decisions[i].keep, want, "{}", sets[i].id);
                if unlimited[i].keep && !want {
                    total -= sets[i].size_bytes;
                }
            }
        }
    }

    /// Each rule keeps what it promises, counted here in another way: by asking, for each day, for its newest.
    #[test]
    fn daily_keeps_the_newest_of_each_of_the_newest_days(sets in any_sets(), n in 1..8_usize, tz in any_zone()) {
        let rules = KeepRules {
            general: Counts { daily: n as u32, ..Counts::default() },
            ..KeepRules::default()
        };
        let kept = kept(&decide(&sets, &rules, now(), &tz));
        for of in lines(&sets).values() {
            let mut days: BTreeMap<jiff::civil::Date, &str> = BTreeMap::new();
            for s in of {
                days.entry(s.created_at.to_zoned(tz.clone()).date()).or_insert(&s.id);
            }
            for id in days.values().rev().take(n) {
                prop_assert!(kept.contains(*id), "{}", id);
            }
        }
    }
}
