use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Schedule, delay};

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|e| panic!("{e:?}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a date")
}

/// A zone by its POSIX rule, so that the properties do not depend on the machine's tzdata.
fn zone(posix: &str) -> TimeZone {
    TimeZone::posix(posix).expect("a POSIX time zone")
}

/// The due moments after `from`, in the schedule's own zone.
fn due(s: &Schedule, from: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut t = at(from);
    for _ in 0..count {
        t = s.next_after(t).expect("there is a next");
        found.push(t.to_zoned(s.zone.clone()).strftime("%m-%d %H:%M %:z").to_string());
    }
    // The same ones, looked for from the other end.
    let mut back = t + SignedDuration::from_nanos(1);
    for shown in found.iter().rev() {
        back = s.previous_before(back).expect("there is a previous");
        assert_eq!(
            &back.to_zoned(s.zone.clone()).strftime("%m-%d %H:%M %:z").to_string(),
            shown,
            "{s} backwards"
        );
    }
    found
}

/// Text, what it means, the timer's expression.
const TABLE: [(&str, &str, &str); 31] = [
    ("hourly", "every hour", "*-*-* *:00:00"),
    ("every hour", "every hour", "*-*-* *:00:00"),
    ("hourly at :15", "every hour, 15 minutes past", "*-*-* *:15:00"),
    ("every 6 hours", "every 6 hours from midnight", "*-*-* 00,06,12,18:00:00"),
    ("every 12 hours at minute 5", "every 12 hours from midnight, 5 minutes past", "*-*-* 00,12:05:00"),
    ("every 24 hours", "every day at 00:00", "*-*-* 00:00:00"),
    ("every 15 minutes", "every 15 minutes", "*-*-* *:00,15,30,45:00"),
    ("every minute", "every minute", "*-*-* *:*:00"),
    ("daily", "every day at 00:00", "*-*-* 00:00:00"),
    ("daily at 03:00", "every day at 03:00", "*-*-* 03:00:00"),
    ("Every Day at 3:30 PM", "every day at 15:30", "*-*-* 15:30:00"),
    ("daily at 12am", "every day at 00:00", "*-*-* 00:00:00"),
    ("daily at noon", "every day at 12:00", "*-*-* 12:00:00"),
    ("daily  at\t03:00 in UTC", "every day at 03:00, UTC time", "*-*-* 03:00:00 UTC"),
    ("weekdays at 22:00", "Monday to Friday at 22:00", "Mon,Tue,Wed,Thu,Fri *-*-* 22:00:00"),
    ("weekends at 22:00", "Saturday and Sunday at 22:00", "Sun,Sat *-*-* 22:00:00"),
    ("weekly on sunday at 04:30", "every Sunday at 04:30", "Sun *-*-* 04:30:00"),
    (
        "on mondays, thu and sun at 1:00",
        "every Monday and Thursday and Sunday at 01:00",
        "Sun,Mon,Thu *-*-* 01:00:00",
    ),
    ("every friday", "every Friday at 00:00", "Fri *-*-* 00:00:00"),
    ("monthly", "the 1st of each month at 00:00", "*-*-01 00:00:00"),
    ("monthly on the 1st at 02:00", "the 1st of each month at 02:00", "*-*-01 02:00:00"),
    ("monthly on the 22nd at 02:00", "the 22nd of each month at 02:00", "*-*-22 02:00:00"),
    ("monthly on the last day at 02:00", "the last day of each month at 02:00", "*-*~01 02:00:00"),
    (
        "monthly on the second sunday at 02:00",
        "the 2nd Sunday of each month at 02:00",
        "Sun *-*-08..14 02:00:00",
    ),
    (
        "monthly on the last friday at 02:00",
        "the last Friday of each month at 02:00",
        "Fri *-*~07/1 02:00:00",
    ),
    ("30 4 * * 0", "at 04:30, on Sunday", "Sun *-*-* 04:30:00"),
    ("30 4 * * 7", "at 04:30, on Sunday", "Sun *-*-* 04:30:00"),
    (
        "0 3 * jan,jul mon-wed",
        "at 03:00, on Monday, Tuesday, and Wednesday, in January and July",
        "Mon,Tue,Wed *-01,07-* 03:00:00",
    ),
    ("0 3 13 * +fri", "at 03:00, on day 13 (if it is also Friday)", "Fri *-*-13 03:00:00"),
    ("@weekly", "at 00:00, on Sunday", "Sun *-*-* 00:00:00"),
    ("@Daily in UTC", "at 00:00, UTC time", "*-*-* 00:00:00 UTC"),
];

#[test]
fn words_and_cron_mean_the_same_everywhere() {
    for (text, meaning, calendar) in TABLE {
        let s = schedule(text);
        assert_eq!(s.describe(), meaning, "{text}");
        assert_eq!(s.to_systemd_calendar().expect("a timer"), calendar, "{text}");
        let again = schedule(&s.to_string());
        assert_eq!((again.describe(), again.to_string()), (s.describe(), s.to_string()));
        let json = serde_json::to_string(&s).expect("text");
        assert_eq!(serde_json::from_str::<Schedule>(&json).expect("parses").to_string(), s.to_string());
    }
}

#[test]
fn errors_name_what_is_wrong() {
    for (text, part) in [
        ("", "it is empty"),
        ("in UTC", "it is empty"),
        ("sometimes", "`sometimes` says no day"),
        ("daily at 25:00", "`25:00` is no time of day"),
        ("daily at 3", "`3` is no time of day"),
        ("daily at 13pm", "`13pm` is no time of day"),
        ("daily at", "`` is no time of day"),
        ("daily at +3:00", "`+3:00` is no time of day"),
        ("every 5 hours", "possible are 1, 2, 3, 4, 6, 8, 12, 24"),
        ("every 0 hours", "does not come out even"),
        ("every 7 minutes", "does not come out even"),
        ("every 5 minutes at 03:00", "does not go with minutes"),
        ("every 6 hours at 03:00", "does not go with hours"),
        ("weekly", "which day"),
        ("weekly at 03:00", "which day"),
        ("weekly on someday", "`someday` is no day of the week"),
        ("weekly on", "which day"),
        ("monthly on the 31st", "not every month has a 31st"),
        ("monthly on the 32nd", "`32nd` is no day of the month"),
        ("monthly on the fifth sunday", "every month has"),
        ("monthly on", "which day of the month"),
        ("daily at 03:00 in Middle/Earth", "no time zone `Middle/Earth`"),
        (
            "0 0 3 * * *",
            "five fields (minute, hour, day of the month, month, day of the week), without seconds; this has 6",
        ),
        ("3 4 * *", "this has 4"),
        ("@reboot", "`@reboot` is none of"),
        ("75 * * * *", "the minute `75`"),
        ("0 24 * * *", "the hour `24`"),
        ("0 3 0 * *", "the day of the month `0`"),
        ("0 3 * foo *", "the month `foo`"),
        ("0 3 * * 1-9", "the day of the week `1-9`"),
        ("*/0 * * * *", "the minute `*/0`"),
        ("5, * * * *", "a comma with nothing beside it"),
        ("0 3 30 2 *", "no such day in any year"),
    ] {
        let e = Schedule::parse(text).expect_err(text);
        assert_eq!(e.code, "bad-schedule");
        assert!(e.why.as_deref().is_some_and(|w| w.contains(part)), "{text}: {e:?}");
        assert!(e.help.as_deref().is_some_and(|h| h.contains("daily at 03:00")), "{e:?}");
    }
    let long = Schedule::parse(&"x".repeat(1_000)).expect_err("too long");
    assert!(long.to_string().len() < 200, "{long}");
}

#[test]
fn what_no_timer_can_say_is_refused() {
    for (text, part) in [
        ("0 3 1 * mon", "either the day of the month or that of the week"),
        ("0 3 15W * *", "day of the month `15W`"),
        ("0 3 L,15 * *", "day of the month `L,15`"),
        ("0 3 * * 1#1,2", "day of the week `1#1,2`"),
        ("0 3 13 * +5#2", "day of the week `5#2`"),
    ] {
        let e = schedule(text).to_systemd_calendar().expect_err(text);
        assert_eq!(e.code, "schedule-not-systemd");
        assert!(e.why.as_deref().is_some_and(|w| w.contains(part)), "{text}: {e:?}");
    }
}

#[test]
fn a_time_that_does_not_exist_is_due_after_the_gap() {
    let berlin = schedule("daily at 02:30 in Europe/Berlin");
    assert_eq!(
        due(&berlin, "2026-03-27T12:00:00Z", 3),
        ["03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"]
    );
    let new_york = schedule("daily at 02:00 in America/New_York");
    assert_eq!(due(&new_york, "2026-03-07T12:00:00Z", 2), ["03-08 03:00 -04:00", "03-09 02:00 -04:00"]);
    // Half an hour: 02:00 becomes 02:30.
    let lord_howe = schedule("daily at 02:15 in Australia/Lord_Howe");
    assert_eq!(due(&lord_howe, "2026-10-03T00:00:00Z", 2), ["10-04 02:30 +11:00", "10-05 02:15 +11:00"]);
    // Every quarter of an hour: those in the gap fall together with the first after it.
    let quarters = schedule("every 15 minutes in Europe/Berlin");
    assert_eq!(
        due(&quarters, "2026-03-29T00:30:00Z", 3),
        ["03-29 01:45 +01:00", "03-29 03:00 +02:00", "03-29 03:15 +02:00"]
    );
    // Samoa left out the whole of 2011-12-30.
    let apia = schedule("daily at 03:00 in Pacific/Apia");
    assert_eq!(
        due(&apia, "2011-12-29T12:00:00Z", 3),
        ["12-29 03:00 -10:00", "12-31 00:00 +14:00", "12-31 03:00 +14:00"]
    );
}

#[test]
fn a_time_that_comes_twice_is_due_once() {
    let berlin = schedule("daily at 02:30 in Europe/Berlin");
    assert_eq!(due(&berlin, "2026-10-24T12:00:00Z", 2), ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]);
    // Asked within the second of the two hours.
    assert_eq!(due(&berlin, "2026-10-25T01:15:00Z", 1), ["10-26 02:30 +01:00"]);
    assert_eq!(berlin.previous_before(at("2026-10-25T01:15:00Z")), Some(at("2026-10-25T00:30:00Z")));
    let new_york = schedule("30 1 * * * in America/New_York");
    assert_eq!(due(&new_york, "2026-10-31T12:00:00Z", 2), ["11-01 01:30 -04:00", "11-02 01:30 -05:00"]);
    let lord_howe = schedule("daily at 01:45 in Australia/Lord_Howe");
    assert_eq!(due(&lord_howe, "2026-04-04T00:00:00Z", 2), ["04-05 01:45 +11:00", "04-06 01:45 +10:30"]);
    // Hours that are named are times, even if there are many.
    let even = schedule("every 2 hours in Europe/Berlin");
    assert_eq!(due(&even, "2026-10-24T22:30:00Z", 2), ["10-25 02:00 +02:00", "10-25 04:00 +01:00"]);
}

#[test]
fn hourly_goes_on_through_the_hour_that_comes_twice() {
    let berlin = schedule("hourly at :30 in Europe/Berlin");
    assert_eq!(
        due(&berlin, "2026-10-24T23:00:00Z", 4),
        ["10-25 01:30 +02:00", "10-25 02:30 +02:00", "10-25 02:30 +01:00", "10-25 03:30 +01:00"]
    );
    let lord_howe = schedule("every 15 minutes in Australia/Lord_Howe");
    assert_eq!(
        due(&lord_howe, "2026-04-04T14:30:00Z", 4),
        ["04-05 01:45 +11:00", "04-05 01:30 +10:30", "04-05 01:45 +10:30", "04-05 02:00 +10:30"]
    );
}

#[test]
fn the_zone_of_the_text_comes_first() {
    let t = at("2026-07-01T00:00:00Z");
    let new_york = zone("EST5EDT,M3.2.0,M11.1.0");
    let local = schedule("daily at 03:00").or_in(new_york.clone());
    assert_eq!(local.next_after(t), Some(at("2026-07-01T07:00:00Z")));
    assert_eq!(
        schedule("daily at 03:00 in UTC").or_in(new_york).next_after(t),
        Some(at("2026-07-01T03:00:00Z"))
    );
    assert_eq!(local.to_systemd_calendar().expect("a timer"), "*-*-* 03:00:00");
}

#[test]
fn missed_runs_are_made_up_for_once() {
    let s = schedule("daily at 03:00");
    let now = at("2026-03-10T03:00:00Z");
    assert!(s.missed(at("2026-03-09T03:00:00Z"), now), "due at this very moment");
    assert!(s.missed(at("2026-01-01T00:00:00Z"), now), "many were missed");
    assert!(!s.missed(now, now), "it has just run");
    assert!(!s.missed(at("2026-03-09T03:00:01Z"), at("2026-03-10T02:59:59Z")), "not due yet");
    // A clock that was wrong when it last ran.
    assert!(s.missed(at("2036-01-01T00:00:00Z"), now), "a run dated years ahead keeps nothing silent");
    assert!(!s.missed(at("2026-03-10T03:00:05Z"), at("2026-03-10T03:00:02Z")), "a clock set back by seconds");
}

#[test]
fn rare_days_are_found() {
    let leap = schedule("0 3 29 2 +mon");
    assert_eq!(leap.next_after(at("2024-01-01T00:00:00Z")), Some(at("2044-02-29T03:00:00Z")));
    let berlin = leap.or_in(zone("CET-1CEST,M3.5.0,M10.5.0/3"));
    assert_eq!(berlin.next_after(at("2024-01-01T00:00:00Z")), Some(at("2044-02-29T02:00:00Z")));
    assert_eq!(berlin.previous_before(at("2044-01-01T00:00:00Z")), Some(at("2016-02-29T02:00:00Z")));
}

#[test]
fn the_ends_of_time_are_borne() {
    for text in ["hourly", "daily at 03:00 in Australia/Lord_Howe", "0 3 29 2 *"] {
        let s = schedule(text);
        assert_eq!(s.next_after(Timestamp::MAX), None, "{text}");
        assert_eq!(s.previous_before(Timestamp::MIN), None, "{text}");
    }
}

#[test]
fn delays_differ_and_stay() {
    let max = Duration::from_secs(600);
    let delays: Vec<Duration> = (0..200).map(|i| delay(&format!("machine {i}"), max)).collect();
    assert!(delays.iter().all(|d| *d <= max));
    assert!(delays.iter().any(|d| *d < max / 10) && delays.iter().any(|d| *d > max * 9 / 10), "spread out");
    assert_eq!(delay("machine 7", max), delays[7]);
    assert_eq!(delay("x", Duration::ZERO), Duration::ZERO);
    assert!(delay("x", Duration::MAX) <= Duration::MAX);
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop_oneof![
        Just("CET-1CEST,M3.5.0,M10.5.0/3"),
        Just("EST5EDT,M3.2.0,M11.1.0"),
        Just("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"),
        // The clock is set back over midnight, into the day before.
        Just("<-03>3<-02>,M10.3.0/0,M2.3.0/0"),
        Just("UTC0"),
    ]
    .prop_map(zone)
}

fn any_text() -> impl Strategy<Value = String> {
    let field = |max: u8| {
        prop_oneof![
            3 => Just("*".to_owned()),
            3 => (0..=max).prop_map(|n| n.to_string()),
            1 => (1..=max).prop_map(|n| format!("*/{n}")),
            1 => (0..=max, 0..=max).prop_map(|(a, b)| format!("{},{}", a, b)),
        ]
    };
    let day = prop_oneof![4 => Just("*".to_owned()), 1 => (1..29_u8).prop_map(|n| n.to_string()), 1 => Just("L".into())];
    let weekday = prop_oneof![4 => Just("*".to_owned()), 1 => (0..8_u8).prop_map(|n| n.to_string())];
    let cron = (field(59), field(23), day, weekday).prop_map(|(m, h, d, w)| format!("{m} {h} {d} * {w}"));
    prop_oneof![3 => cron, 1 => proptest::sample::select(&TABLE[..]).prop_map(|(text, ..)| text.to_owned())]
}

/// Moments of ten years, and often close to a change of the clock.
fn any_moment() -> impl Strategy<Value = Timestamp> {
    const CHANGES: [&str; 8] = [
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2026-04-04T15:00:00Z",
        "2026-10-03T15:30:00Z",
        "2026-02-15T02:00:00Z",
        "2026-10-18T03:00:00Z",
    ];
    prop_oneof![
        (1_600_000_000_000_i64..1_900_000_000_000)
            .prop_map(|ms| Timestamp::from_millisecond(ms).expect("a date")),
        (proptest::sample::select(&CHANGES[..]), -10_800..10_800_i64)
            .prop_map(|(change, s)| at(change) + SignedDuration::from_secs(s)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn next_is_later_and_previous_is_its_inverse(text in any_text(), tz in any_zone(), t in any_moment()) {
        let s = schedule(&text).or_in(tz);
        let next = s.next_after(t).expect("there is a next");
        let previous = s.previous_before(t).expect("there is a previous");
        prop_assert!(previous < t && t < next, "{} {} {}", previous, t, next);
        // Nothing is due between the two but, perhaps, `t` itself.
        let between = s.next_after(previous).expect("there is a next");
        prop_assert!(between == next || between == t, "{} {}", between, next);
        prop_assert_eq!(s.previous_before(next), Some(if between == t { t } else { previous }));
        prop_assert_eq!(s.next_after(t - SignedDuration::from_nanos(1)) == Some(t), between == t);
    }

    /// From wherever one asks before it, the next one is the same; so the sequence is one sequence, in order.
    #[test]
    fn the_sequence_does_not_depend_on_when_it_is_asked(
        text in any_text(), tz in any_zone(), t in any_moment(), part in 0.0..1.0_f64,
    ) {
        let s = schedule(&text).or_in(tz);
        let next = s.next_after(t).expect("there is a next");
        let later = t + SignedDuration::from_secs_f64((next - t).total(jiff::Unit::Second).expect("seconds") * part);
        prop_assume!(later < next);
        prop_assert_eq!(s.next_after(later), Some(next));
        prop_assert_eq!(s.missed(t, later), false);
        prop_assert_eq!(s.missed(t, next), true);
    }

    /// Each wall clock time of a day is due exactly once, on days when the clock changes too.
    #[test]
    fn a_daily_time_is_due_once_a_day(hour in 0..24_i8, minute in 0..60_i8, tz in any_zone()) {
        let s = schedule(&format!("daily at {hour:02}:{minute:02}")).or_in(tz.clone());
        let (mut t, end) = (at("2026-01-01T12:00:00Z"), at("2027-01-01T12:00:00Z"));
        let mut count = 0;
        while let Some(next) = s.next_after(t).filter(|n| *n <= end) {
            let shown = next.to_zoned(tz.clone()).time();
            let named = jiff::civil::time(hour, minute, 0, 0);
            prop_assert!(shown == named || (shown > named && count > 0), "{}", next);
            (t, count) = (next, count + 1);
        }
        prop_assert_eq!(count, 365);
    }

    #[test]
    fn parse_never_panics(text in prop_oneof![
        any::<String>(),
        "[0-9*/,LW#+ @?a-z-]{0,20}",
        "(every|on|monthly|weekly|the|at|in|[0-9]{1,3}|sun|last|:|hours|,|é| ){0,8}",
        "([0-9*/,LW#+?-]{1,5} ){4}[0-9*/,LW#+?-]{1,5}",
    ]) {
        if let Ok(s) = Schedule::parse(&text) {
            let _ = s.to_systemd_calendar();
            prop_assert!(!s.describe().is_empty());
            prop_assert!(s.next_after(Timestamp::UNIX_EPOCH) > Some(Timestamp::UNIX_EPOCH), "{}", s);
            prop_assert_eq!(Schedule::parse(&s.to_string()).map(|s| s.describe()).ok(), Some(s.describe()));
        }
    }
}
