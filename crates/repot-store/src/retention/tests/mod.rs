//! Properties that hold for any sets and rules, and tables for calendars and words.

mod properties;
mod tables;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;

/// A complete set of `demo` that holds the database `app`.
fn set(id: &str, created_at: Timestamp) -> SetFacts {
    SetFacts {
        id: id.into(),
        group: Group { application: "demo".into(), project: "demo".into(), storage: "local".into() },
        created_at,
        label: None,
        contents: [Content::Db].into(),
        databases: ["app".to_owned()].into(),
        size_bytes: 1_000,
        complete: true,
        verified_at: None,
        needed_by_run: false,
        foreign: false,
    }
}

/// Rules as they stand in a file.
fn rules(json: &str) -> KeepRules {
    serde_json::from_str(json).expect("rules")
}

/// A zone by its POSIX rule, so that no test depends on the machine's tzdata.
fn zone(posix: &str) -> TimeZone {
    TimeZone::posix(posix).expect("a POSIX time zone")
}

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";
const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
