//! The same schedule as systemd's `OnCalendar=` (systemd.time(7)).

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::Schedule;
use crate::error::{Error, Result};

/// Changes of the clock that are looked at.
const MAX_CHANGES: usize = 100;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

impl Schedule {
    /// The expression for `OnCalendar=`, such as `Sun *-*-* 04:30:00 Europe/Berlin`. The zone is in it where the text
    /// names one; otherwise systemd takes the machine's. See the module for what systemd does when the clock changes.
    ///
    /// # Errors
    /// `schedule-not-systemd` where one such expression cannot say it.
    pub fn to_systemd_calendar(&self) -> Result<String> {
        let no = |why: String| {
            Error::usage("schedule-not-systemd", format!("`{self}` cannot be a systemd timer"))
                .why(why)
                .help("choose another schedule, or let `repot agent` run it, which knows all of them")
        };
        let p = &self.cron.pattern;
        let fields: Vec<&str> = p.as_str().split_whitespace().collect();
        let &[_, _, of_month, _, of_week] = fields.as_slice() else {
            return Err(no("it has not five fields".into()));
        };
        let (of_week, both) = match of_week.strip_prefix('+') {
            Some(rest) => (rest, true),
            None => (of_week, false),
        };
        let (any_day, any_weekday) = (is_open(of_month), is_open(of_week));
        if !any_day && !any_weekday && !both {
            return Err(no(
                "it is due when either the day of the month or that of the week fits, and a timer asks \
                           for both"
                    .into(),
            ));
        }
        let mut weekdays = String::new();
        let mut date = if p.days.has_modifiers() {
            if of_month != "L" {
                return Err(no(format!("a timer has no day of the month `{of_month}`")));
            }
            "~01".to_owned()
        } else {
            format!("-{}", listed(&p.days.values(), 31))
        };
        if p.days_of_week.has_modifiers() {
            let (day, days) = nth_weekday(of_week)
                .filter(|_| any_day)
                .ok_or_else(|| no(format!("a timer has no day of the week `{of_week}`")))?;
            weekdays = format!("{day} ");
            date = days;
        } else if !any_weekday && p.days_of_week.values().len() < WEEKDAYS.len() {
            let names: Vec<&str> = p
                .days_of_week
                .values()
                .iter()
                .filter_map(|d| WEEKDAYS.get(usize::from(*d)).copied())
                .collect();
            weekdays = format!("{} ", names.join(","));
        }
        let months = listed(&p.months.values(), 12);
        let (hours, minutes) = (listed(&p.hours.values(), 24), listed(&p.minutes.values(), 60));
        let zone = self.zone_name.as_ref().map(|z| format!(" {z}")).unwrap_or_default();
        Ok(format!("{weekdays}*-{months}{date} {hours}:{minutes}:00{zone}"))
    }
}

impl Schedule {
    /// Times in `from..until` at which a timer does not run: the clock is set forward past them. See the module.
    #[must_use]
    pub fn skipped_times(&self, from: Timestamp, until: Timestamp) -> Vec<DateTime> {
        if self.names_no_hour() {
            return Vec::new();
        }
        let mut offset = self.zone.to_offset(from);
        let mut found = Vec::new();
        for change in self.zone.following(from).take_while(|c| c.timestamp() < until).take(MAX_CHANGES) {
            let (old, new) =
                (offset.to_datetime(change.timestamp()), change.offset().to_datetime(change.timestamp()));
            offset = change.offset();
            let due = if old < new { self.cron.find_next_occurrence(&old, true).ok() } else { None };
            found.extend(due.filter(|d| *d < new));
        }
        found
    }
}

fn is_open(field: &str) -> bool {
    matches!(field, "*" | "?")
}

/// `00,06,12`, or `*` where nothing is left out.
fn listed(values: &[u16], all: usize) -> String {
    if values.len() == all {
        return "*".into();
    }
    values.iter().map(|v| format!("{v:02}")).collect::<Vec<_>>().join(",")
}

/// `0#2` and `5#L`, in numbers: the weekday, and the days of the month among which it is the one.
fn nth_weekday(field: &str) -> Option<(&'static str, String)> {
    let (day, nth) = field.split_once('#').or_else(|| Some((field.strip_suffix('L')?, "L")))?;
    let day = WEEKDAYS.get(day.parse::<usize>().ok()? % 7)?;
    let days = match nth {
        // The last seven days of the month, counted from its end.
        "L" => "~07/1".to_owned(),
        "5" => "-29..31".to_owned(),
        _ => {
            let nth: u8 = nth.parse().ok().filter(|n| (1..=4).contains(n))?;
            format!("-{:02}..{:02}", nth * 7 - 6, nth * 7)
        }
    };
    Some((day, days))
}
