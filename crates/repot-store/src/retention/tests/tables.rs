use std::fmt::Write as _;

use jiff::Timestamp;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a date")
}

/// One line per set: its name, `keep` or `-`, and the reasons.
fn shown(sets: &[SetFacts], rules: &KeepRules, now: &str, tz: &TimeZone) -> String {
    let mut out = String::new();
    for d in decide(sets, rules, at(now), tz) {
        let reasons: Vec<String> = d.reasons.iter().map(ToString::to_string).collect();
        writeln!(out, "{} {} {}", d.id, if d.keep { "keep" } else { "-" }, reasons.join("; "))
            .expect("a string");
    }
    out
}

fn kept(sets: &[SetFacts], rules: &KeepRules, tz: &TimeZone) -> Vec<String> {
    let far = at("2100-01-01T00:00:00Z");
    decide(sets, rules, far, tz).into_iter().filter(|d| d.keep).map(|d| d.id).collect()
}

fn at_each(times: &[&str]) -> Vec<SetFacts> {
    times.iter().map(|t| set(t, at(t))).collect()
}

/// Databasus #773: only the dailies were left of a rule that also asked for weeks, months and years.
#[test]
fn two_years_of_days_leave_weeks_months_and_years() {
    let rules = rules(r#"{"daily": 7, "weekly": 4, "monthly": 12, "yearly": 3}"#);
    let tz = TimeZone::UTC;
    let (mut sets, mut day) = (Vec::new(), at("2024-01-01T03:00:00Z"));
    // One set a day, and a prune after each, as it happens in life.
    while day <= at("2026-01-08T03:00:00Z") {
        sets.push(set(&day.strftime("%Y-%m-%d").to_string(), day));
        let decisions = decide(&sets, &rules, day, &tz);
        sets = sets.into_iter().zip(decisions).filter(|(_, d)| d.keep).map(|(s, _)| s).collect();
        day += jiff::SignedDuration::from_hours(24);
    }
    let ids: Vec<&str> = sets.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "2024-12-31",
            "2025-02-28",
            "2025-03-31",
            "2025-04-30",
            "2025-05-31",
            "2025-06-30",
            "2025-07-31",
            "2025-08-31",
            "2025-09-30",
            "2025-10-31",
            "2025-11-30",
            "2025-12-21",
            "2025-12-28",
            "2025-12-31",
            "2026-01-02",
            "2026-01-03",
            "2026-01-04",
            "2026-01-05",
            "2026-01-06",
            "2026-01-07",
            "2026-01-08",
        ]
        .as_slice()
    );
}

#[test]
fn reasons_are_sentences() {
    let mut sets = at_each(&["2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z", "2026-03-03T03:00:00Z"]);
    sets[0].verified_at = Some(at("2026-03-01T04:00:00Z"));
    let mut half = set("half", at("2026-03-03T02:00:00Z"));
    half.complete = false;
    let mut old_half = set("old half", at("2026-02-01T02:00:00Z"));
    old_half.complete = false;
    let mut foreign = set("foreign", at("2020-01-01T00:00:00Z"));
    foreign.foreign = true;
    let mut needed = set("needed", at("2026-02-20T00:00:00Z"));
    needed.needed_by_run = true;
    let mut by_hand = set("by hand", at("2026-02-10T00:00:00Z"));
    by_hand.label = Some("by-hand".into());
    let mut media = set("media", at("2026-02-11T00:00:00Z"));
    (media.contents, media.databases) = ([Content::Media].into(), [].into());
    let future = set("future", at("2030-01-01T00:00:00Z"));
    sets.extend([half, old_half, foreign, needed, by_hand, media, future]);
    let rules = rules(r#"{"daily": 1, "within": "6h", "label": {"by-hand": {"last": 2}}}"#);
    assert_eq!(
        shown(&sets, &rules, "2026-03-03T10:00:00Z", &TimeZone::UTC),
        "2026-03-01T03:00:00Z keep the newest verified set\n\
         2026-03-02T03:00:00Z - no rule keeps it\n\
         2026-03-03T03:00:00Z keep the newest complete set; daily 1 of 1; within 6h of the newest\n\
         half keep incomplete, younger than 24h: it may be being written\n\
         old half - incomplete, older than 24h\n\
         foreign keep not written by repot\n\
         needed keep a run that is not finished needs it\n\
         by hand keep last 1 of 2 of label by-hand\n\
         media keep the only complete set; daily 1 of 1; within 6h of the newest\n\
         future keep dated in the future\n"
    );
}

#[test]
fn each_database_and_kind_is_counted_by_itself() {
    let mut sets = at_each(&["2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z", "2026-03-03T03:00:00Z"]);
    sets[0].contents.insert(Content::Media);
    sets[0].databases.insert("wiki".into());
    sets[1].contents.insert(Content::Media);
    let rules = rules(r#"{"last": 1, "content": {"media": {"last": 2}}, "database": {"app": {"last": 2}}}"#);
    assert_eq!(
        shown(&sets, &rules, "2026-03-03T10:00:00Z", &TimeZone::UTC),
        "2026-03-01T03:00:00Z keep the only complete set for database wiki; last 1 of 1 for database wiki; \
         last 2 of 2 for media\n\
         2026-03-02T03:00:00Z keep the newest complete set for media; last 2 of 2 for database app; \
         last 1 of 2 for media\n\
         2026-03-03T03:00:00Z keep the newest complete set; last 1 of 2\n"
    );
}

#[test]
fn the_limit_says_so() {
    let sets = at_each(&["2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z", "2026-03-03T03:00:00Z"]);
    let rules = rules(r#"{"max_size_bytes": 2500}"#);
    assert_eq!(
        shown(&sets, &rules, "2026-03-03T10:00:00Z", &TimeZone::UTC),
        "2026-03-01T03:00:00Z - the sets are larger than 2500 bytes, and this is the oldest that may go\n\
         2026-03-02T03:00:00Z keep no rule, so nothing is deleted\n\
         2026-03-03T03:00:00Z keep the newest complete set; no rule, so nothing is deleted\n"
    );
}

/// Backups have stopped: the span counts back from the newest, so the rest is still there a year later.
#[test]
fn within_counts_from_the_newest_set() {
    let sets = at_each(&["2026-01-01T00:00:00Z", "2026-02-20T00:00:00Z", "2026-03-01T00:00:00Z"]);
    let kept = kept(&sets, &rules(r#"{"within": "1 month"}"#), &TimeZone::UTC);
    assert_eq!(kept, ["2026-02-20T00:00:00Z", "2026-03-01T00:00:00Z"]);
}

#[test]
fn days_begin_at_midnight_of_the_zone() {
    // In Berlin these are 23:30 of the 1st, 00:30 and 23:30 of the 2nd.
    let sets = at_each(&["2026-07-01T21:30:00Z", "2026-07-01T22:30:00Z", "2026-07-02T21:30:00Z"]);
    let two = rules(r#"{"daily": 2}"#);
    assert_eq!(kept(&sets, &two, &zone(BERLIN)), ["2026-07-01T21:30:00Z", "2026-07-02T21:30:00Z"]);
    assert_eq!(kept(&sets, &two, &TimeZone::UTC), ["2026-07-01T22:30:00Z", "2026-07-02T21:30:00Z"]);
}

#[test]
fn a_day_of_23_or_25_hours_is_one_day() {
    let spring = at_each(&["2026-03-28T23:10:00Z", "2026-03-29T21:50:00Z", "2026-03-29T22:10:00Z"]);
    assert_eq!(
        kept(&spring, &rules(r#"{"daily": 2}"#), &zone(BERLIN)),
        [spring[1].id.as_str(), spring[2].id.as_str()]
    );
    let autumn = at_each(&["2026-10-24T22:10:00Z", "2026-10-25T22:50:00Z", "2026-10-25T23:10:00Z"]);
    assert_eq!(
        kept(&autumn, &rules(r#"{"daily": 2}"#), &zone(BERLIN)),
        [autumn[1].id.as_str(), autumn[2].id.as_str()]
    );
}

#[test]
fn an_hour_that_comes_twice_is_two_hours() {
    // Berlin, 2026-10-25: 02:10 and 02:50 in summer time, 02:20 in winter time.
    let sets = at_each(&["2026-10-25T00:10:00Z", "2026-10-25T00:50:00Z", "2026-10-25T01:20:00Z"]);
    assert_eq!(
        kept(&sets, &rules(r#"{"hourly": 2}"#), &zone(BERLIN)),
        [sets[1].id.as_str(), sets[2].id.as_str()]
    );
    // Lord Howe, 2026-04-05: from 02:00 back to 01:30, so 01:40 comes twice, half an hour apart.
    let sets = at_each(&["2026-04-04T14:40:00Z", "2026-04-04T15:10:00Z", "2026-04-04T15:40:00Z"]);
    assert_eq!(
        kept(&sets, &rules(r#"{"hourly": 2}"#), &zone(LORD_HOWE)),
        [sets[1].id.as_str(), sets[2].id.as_str()]
    );
    assert_eq!(kept(&sets, &rules(r#"{"hourly": 3}"#), &zone(LORD_HOWE)).len(), 3);
}

#[test]
fn weeks_are_iso_weeks() {
    // Monday 2026-12-28 to Sunday 2027-01-03 is week 53 of 2026; the Monday after begins week 1.
    let sets = at_each(&[
        "2026-12-27T12:00:00Z",
        "2026-12-28T12:00:00Z",
        "2027-01-03T12:00:00Z",
        "2027-01-04T12:00:00Z",
    ]);
    assert_eq!(
        kept(&sets, &rules(r#"{"weekly": 3}"#), &TimeZone::UTC),
        [sets[0].id.as_str(), sets[2].id.as_str(), sets[3].id.as_str()]
    );
    // 2024-12-30 and 2025-01-05 lie in the same week, 2024-01-01 in another of the same number.
    let sets = at_each(&["2024-01-01T12:00:00Z", "2024-12-30T12:00:00Z", "2025-01-05T12:00:00Z"]);
    assert_eq!(
        kept(&sets, &rules(r#"{"weekly": 2}"#), &TimeZone::UTC),
        [sets[0].id.as_str(), sets[2].id.as_str()]
    );
}

#[test]
fn an_hour_without_a_set_takes_no_place() {
    let sets = at_each(&["2020-01-01T00:00:00Z", "2023-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]);
    assert_eq!(kept(&sets, &rules(r#"{"hourly": 3}"#), &TimeZone::UTC).len(), 3);
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    for bad in [
        r#"{"dayly": 7}"#,
        r#"{"content": {"medai": {"last": 1}}}"#,
        r#"{"label": {"a": {"lst": 1}}}"#,
        r#"{"last": -1}"#,
        r#"{"within": "-3d"}"#,
        r#"{"within": "0s"}"#,
        r#"{"within": "a while"}"#,
        r#"{"within": "9000y"}"#,
        r#"{"incomplete_grace": "-1h"}"#,
    ] {
        assert!(serde_json::from_str::<KeepRules>(bad).is_err(), "{bad} was accepted");
    }
    let good = rules(r#"{"last": 1, "within": "P1M", "incomplete_grace": "2 days"}"#);
    assert_eq!(good.incomplete_grace.get_days(), 2);
    assert!(!good.is_empty());
    assert!(rules(r#"{"last": 0, "content": {"db": {}}}"#).is_empty(), "a count of 0 is no rule");
}

#[test]
fn dates_at_the_ends_of_time_are_borne() {
    let sets = [set("first", Timestamp::MIN), set("last", Timestamp::MAX)];
    let rules = rules(r#"{"yearly": 1, "within": "20y"}"#);
    let all = decide(&sets, &rules, Timestamp::MAX, &zone(LORD_HOWE));
    assert_eq!(all.iter().map(|d| d.keep).collect::<Vec<_>>(), [false, true]);
}
