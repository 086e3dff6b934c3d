//! Plain words, made into a cron expression and a sentence.

/// Cron's numbers for the days of the week.
const DAYS: [(&str, u8); 7] = [
    ("sunday", 0),
    ("monday", 1),
    ("tuesday", 2),
    ("wednesday", 3),
    ("thursday", 4),
    ("friday", 5),
    ("saturday", 6),
];
const MIDNIGHT: Time = Time { hour: 0, minute: 0 };

struct Time {
    hour: u8,
    minute: u8,
}

impl Time {
    fn shown(&self) -> String {
        format!("{:02}:{:02}", self.hour, self.minute)
    }
}

/// The cron expression and its meaning in words, or what is wrong.
pub(super) fn read(tokens: &[&str]) -> Result<(String, String), String> {
    let all: Vec<String> = tokens.iter().map(|t| t.to_lowercase()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (day, time) = match all.iter().position(|t| *t == "at") {
        Some(at) => (&all[..at], Some(all[at + 1..].join(" "))),
        None => (&all[..], None),
    };
    let day = day.strip_prefix(&["on"]).unwrap_or(day);
    match day {
        ["hourly"] | ["every", "hour"] => hours("1", time.as_deref()),
        ["every", n, "hours" | "hour"] => hours(n, time.as_deref()),
        ["every", "minute"] => minutes("1", time.as_deref()),
        ["every", n, "minutes" | "minute"] => minutes(n, time.as_deref()),
        ["daily"] | ["every", "day"] => days("*", "*", "every day", time.as_deref()),
        ["weekdays"] | ["every", "weekday"] => days("*", "1-5", "Monday to Friday", time.as_deref()),
        ["weekends"] | ["every", "weekend"] => days("*", "0,6", "Saturday and Sunday", time.as_deref()),
        ["monthly"] => days("1", "*", "the 1st of each month", time.as_deref()),
        ["monthly", "on", which @ ..] | ["every", "month", "on", which @ ..] => {
            monthly(which, time.as_deref())
        }
        ["weekly"] => Err("it does not say on which day; write `weekly on sunday at 04:30`".into()),
        ["weekly", "on", which @ ..] | ["every", which @ ..] => weekly(which, time.as_deref()),
        which @ [first, ..] if weekday(first.trim_end_matches(',')).is_some() => {
            weekly(which, time.as_deref())
        }
        _ => Err(format!("`{}` says no day", day.join(" "))),
    }
}

/// A part of something that is made of 60 or 24: only then are the steps equal across its end.
fn step(n: &str, unit: &str, whole: u8) -> Result<u8, String> {
    let fits = n.parse::<u8>().ok().filter(|n| *n > 0 && *n <= whole && whole.is_multiple_of(*n));
    fits.ok_or_else(|| {
        let divisors: Vec<String> =
            (1..=whole).filter(|d| whole.is_multiple_of(*d)).map(|d| d.to_string()).collect();
        format!("`every {n} {unit}` does not come out even; possible are {}", divisors.join(", "))
    })
}

fn hours(n: &str, time: Option<&str>) -> Result<(String, String), String> {
    let n = step(n, "hours", 24)?;
    let minute = match time {
        None => 0,
        Some(t) => t.strip_prefix("minute ").or(t.strip_prefix(':')).and_then(|m| number(m, 59)).ok_or_else(
            || format!("`at {t}` does not go with hours; a minute does, such as `hourly at :15`"),
        )?,
    };
    let past = if minute == 0 { String::new() } else { format!(", {minute} minutes past") };
    Ok(match n {
        1 => (format!("{minute} * * * *"), format!("every hour{past}")),
        24 => (format!("{minute} 0 * * *"), format!("every day at 00:{minute:02}")),
        _ => (format!("{minute} */{n} * * *"), format!("every {n} hours from midnight{past}")),
    })
}

fn minutes(n: &str, time: Option<&str>) -> Result<(String, String), String> {
    if let Some(time) = time {
        return Err(format!("`at {time}` does not go with minutes"));
    }
    Ok(match step(n, "minutes", 60)? {
        1 => ("* * * * *".into(), "every minute".into()),
        60 => ("0 * * * *".into(), "every hour".into()),
        n => (format!("*/{n} * * * *"), format!("every {n} minutes")),
    })
}

fn days(of_month: &str, of_week: &str, meaning: &str, at: Option<&str>) -> Result<(String, String), String> {
    let t = at.map_or(Ok(MIDNIGHT), time)?;
    let pattern = format!("{} {} {of_month} * {of_week}", t.minute, t.hour);
    Ok((pattern, format!("{meaning} at {}", t.shown())))
}

fn weekly(which: &[&str], at: Option<&str>) -> Result<(String, String), String> {
    let names = which.iter().flat_map(|w| w.split(',')).filter(|w| !w.is_empty() && *w != "and");
    let mut found = Vec::new();
    for name in names {
        let day = weekday(name).ok_or_else(|| format!("`{name}` is no day of the week"))?;
        if !found.contains(&day) {
            found.push(day);
        }
    }
    if found.is_empty() {
        return Err("it does not say on which day".into());
    }
    let numbers: Vec<String> = found.iter().map(ToString::to_string).collect();
    let names: Vec<String> = found.iter().map(|d| capital(DAYS[usize::from(*d)].0)).collect();
    days("*", &numbers.join(","), &format!("every {}", names.join(" and ")), at)
}

fn monthly(which: &[&str], at: Option<&str>) -> Result<(String, String), String> {
    let which = which.strip_prefix(&["the"]).unwrap_or(which);
    match which {
        ["last", "day"] => days("L", "*", "the last day of each month", at),
        [day] => match ordinal(day) {
            Some(n) if n <= 28 => {
                days(&n.to_string(), "*", &format!("the {} of each month", suffixed(n)), at)
            }
            Some(_) => Err(format!("not every month has a {day}; write `monthly on the last day`")),
            None => Err(format!("`{day}` is no day of the month")),
        },
        ["last", day] => {
            let n = weekday(day).ok_or_else(|| format!("`{day}` is no day of the week"))?;
            let meaning = format!("the last {} of each month", capital(DAYS[usize::from(n)].0));
            days("*", &format!("{n}#L"), &meaning, at)
        }
        [nth, day] => {
            let n = weekday(day).ok_or_else(|| format!("`{day}` is no day of the week"))?;
            let nth = ordinal(nth).filter(|n| *n <= 4).ok_or_else(|| {
                format!("`{nth}` is none of first, second, third, fourth and last, which every month has")
            })?;
            let meaning = format!("the {} {} of each month", suffixed(nth), capital(DAYS[usize::from(n)].0));
            days("*", &format!("{n}#{nth}"), &meaning, at)
        }
        _ => Err("it does not say on which day of the month".into()),
    }
}

/// `03:00`, `3:00`, `3 am`, `3:30pm`, `noon`, `midnight`.
fn time(text: &str) -> Result<Time, String> {
    match text {
        "noon" => return Ok(Time { hour: 12, minute: 0 }),
        "midnight" => return Ok(MIDNIGHT),
        _ => {}
    }
    let wrong = || format!("`{text}` is no time of day; write it as in `03:00` or `15:30`");
    let (clock, afternoon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(clock), _) => (clock.trim_end(), Some(false)),
        (_, Some(clock)) => (clock.trim_end(), Some(true)),
        _ => (text, None),
    };
    let (hour, minute) = match clock.split_once(':') {
        Some((hour, minute)) if minute.len() == 2 => (hour, number(minute, 59).ok_or_else(wrong)?),
        // An hour alone could be either half of the day.
        None if afternoon.is_some() => (clock, 0),
        _ => return Err(wrong()),
    };
    let hour = match afternoon {
        None => number(hour, 23),
        Some(pm) => number(hour, 12).filter(|h| *h > 0).map(|h| h % 12 + if pm { 12 } else { 0 }),
    };
    Ok(Time { hour: hour.ok_or_else(wrong)?, minute })
}

/// One or two digits and nothing else.
fn number(text: &str, max: u8) -> Option<u8> {
    let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n <= max)
}

/// `1`, `1st`, `first`; up to 31.
fn ordinal(text: &str) -> Option<u8> {
    match text {
        "first" => return Some(1),
        "second" => return Some(2),
        "third" => return Some(3),
        "fourth" => return Some(4),
        _ => {}
    }
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|s| text.strip_suffix(s)).unwrap_or(text);
    number(digits, 31).filter(|n| *n > 0)
}

fn suffixed(n: u8) -> String {
    let suffix = match (n % 10, n) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// `sunday`, `sundays`, `sun`.
fn weekday(text: &str) -> Option<u8> {
    let singular = text.strip_suffix('s').unwrap_or(text);
    let named = |name: &str| text == name || singular == name || text == &name[..3];
    DAYS.iter().find(|(name, _)| named(name)).map(|(_, n)| *n)
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}
