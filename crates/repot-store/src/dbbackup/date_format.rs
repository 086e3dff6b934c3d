//! `DBBACKUP_DATE_FORMAT`: a date in Python's strftime syntax, written into a name and found in it again.
//!
//! django-dbbackup turns the format into a regular expression, takes the leftmost match in a file's name and gives
//! that to `strptime` (`utils.filename_to_datestring`, `filename_to_date`). A format that this cannot read back is
//! refused here: django-dbbackup accepts it, writes the file, and never sees it again.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Weekday};
use regex::Regex;

/// django-dbbackup's and InvenTree's default.
pub const DEFAULT_DATE_FORMAT: &str = "%Y-%m-%d-%H%M%S";

/// Longer than any format that a file's name has room for.
const LONGEST_BYTES: usize = 100;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Why a date format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateFormatError {
    /// A directive outside django-dbbackup's list.
    #[error(
        "the date format `{format}` has `%{directive}`, which django-dbbackup writes and never finds again; use %Y %m %d %H %M %S"
    )]
    Directive {
        /// The whole format.
        format: String,
        /// What follows the percent sign; a blank at the end of the format.
        directive: char,
    },
    /// The same directive twice: `strptime` refuses it.
    #[error(
        "the date format `{format}` has `%{directive}` twice, which no date can be read from; once is enough"
    )]
    Twice {
        /// The whole format.
        format: String,
        /// The directive.
        directive: char,
    },
    /// A character that a regular expression, a path or the joining of dashes would change.
    #[error(
        "the date format `{format}` holds {what}, and its dates would not be found again; use letters, digits, `-` and `_`"
    )]
    Literal {
        /// The whole format.
        format: String,
        /// What it holds.
        what: String,
    },
    /// No day can be told from it, so files would be sorted, and deleted, by something else than their age.
    #[error("the date format `{0}` does not say the whole date; it needs %Y, and %m with %d (or %j)")]
    NoDay(String),
    /// `%I` without `%H`: one o'clock at night and in the afternoon give one name.
    #[error("the date format `{0}` has %I, which gives one name to two times of a day; use %H")]
    HalfDay(String),
    /// Too long for a file's name.
    #[error(
        "the date format is {0} bytes long; {LONGEST_BYTES} are the most that a file's name has room for"
    )]
    TooLong(usize),
}

/// A date format that reads back what it writes.
#[derive(Debug, Clone)]
pub struct DateFormat {
    text: String,
    /// The directives, in their order; one capture group of `finder` each.
    directives: Vec<char>,
    finder: Regex,
}

/// What a directive looks like; `None` for those that django-dbbackup does not know.
fn pattern(directive: char) -> Option<&'static str> {
    Some(match directive {
        'a' | 'A' | 'b' | 'B' => "[A-Z][a-z]+",
        'w' => "[0-9]",
        'd' | 'm' | 'y' | 'H' | 'I' | 'M' | 'S' | 'U' | 'W' => "[0-9]{2}",
        'Y' => "[0-9]{4}",
        'f' => "[0-9]{6}",
        'j' => "[0-9]{3}",
        _ => return None,
    })
}

impl DateFormat {
    /// Reads a format and checks that its dates can be found again.
    pub fn new(format: &str) -> Result<Self, DateFormatError> {
        if format.len() > LONGEST_BYTES {
            return Err(DateFormatError::TooLong(format.len()));
        }
        let literal =
            |what: &str| DateFormatError::Literal { format: format.to_owned(), what: what.to_owned() };
        if format.contains("--") || format.starts_with('-') || format.ends_with('-') {
            return Err(literal("a dash at an end or two in a row (names get one in their place)"));
        }
        let mut directives = Vec::new();
        let mut expression = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c == '%' {
                let directive = chars.next().unwrap_or(' ');
                let found = pattern(directive)
                    .ok_or_else(|| DateFormatError::Directive { format: format.to_owned(), directive })?;
                if directives.contains(&directive) {
                    return Err(DateFormatError::Twice { format: format.to_owned(), directive });
                }
                directives.push(directive);
                expression.push('(');
                expression.push_str(found);
                expression.push(')');
            } else if c.is_control() || "/\\+*?()[]{}|^$".contains(c) {
                return Err(literal(&format!("{c:?}")));
            } else {
                expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
            }
        }
        let has = |all: &[char]| all.iter().any(|d| directives.contains(d));
        let week = has(&['U', 'W']) && has(&['a', 'A', 'w']);
        let day = has(&['j']) || week || (has(&['m', 'b', 'B']) && has(&['d']));
        if !has(&['Y', 'y']) || !day {
            return Err(DateFormatError::NoDay(format.to_owned()));
        }
        if has(&['I']) && !has(&['H']) {
            return Err(DateFormatError::HalfDay(format.to_owned()));
        }
        let finder = Regex::new(&expression).map_err(|e| literal(&e.to_string()))?;
        Ok(DateFormat { text: format.to_owned(), directives, finder })
    }

    /// The format as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How far apart, in seconds, two backups must be to get two names: 1, 60, 3600 or 86400 (or less than 1: 0).
    pub fn resolution_s(&self) -> u32 {
        let has = |d| self.directives.contains(&d);
        match (has('H'), has('M'), has('S'), has('f')) {
            (true, true, true, true) => 0,
            (true, true, true, false) => 1,
            (true, true, false, _) => 60,
            (true, false, ..) => 3600,
            (false, ..) => 86_400,
        }
    }

    /// Writes a date. English names, as Python has them unless the process sets a locale.
    pub fn write(&self, when: DateTime) -> String {
        let mut out = String::new();
        let mut chars = self.text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let yday0 = i32::from(when.day_of_year()) - 1;
            let monday0 = i32::from(when.weekday().to_monday_zero_offset());
            let sunday0 = i32::from(when.weekday().to_sunday_zero_offset());
            let month = MONTHS[usize::from(when.month().unsigned_abs()) - 1];
            let weekday = WEEKDAYS[usize::from(when.weekday().to_monday_zero_offset().unsigned_abs())];
            out.push_str(&match chars.next().unwrap_or(' ') {
                'a' => weekday[..3].to_owned(),
                'A' => weekday.to_owned(),
                'b' => month[..3].to_owned(),
                'B' => month.to_owned(),
                'w' => sunday0.to_string(),
                'd' => format!("{:02}", when.day()),
                'm' => format!("{:02}", when.month()),
                'y' => format!("{:02}", when.year().rem_euclid(100)),
                'Y' => format!("{:04}", when.year()),
                'H' => format!("{:02}", when.hour()),
                'I' => format!("{:02}", (when.hour() + 11) % 12 + 1),
                'M' => format!("{:02}", when.minute()),
                'S' => format!("{:02}", when.second()),
                'f' => format!("{:06}", when.subsec_nanosecond() / 1000),
                'j' => format!("{:03}", when.day_of_year()),
                'U' => format!("{:02}", (yday0 + 7 - sunday0) / 7),
                'W' => format!("{:02}", (yday0 + 7 - monday0) / 7),
                _ => String::new(),
            });
        }
        out
    }

    /// The leftmost text in `name` that looks like a date of this format; where django-dbbackup looks.
    pub fn find<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.finder.find(name).map(|m| m.as_str())
    }

    /// The date in `name`, local time of whoever wrote it. `None` if there is none, or if it is no date (a 13th
    /// month).
    pub fn read(&self, name: &str) -> Option<DateTime> {
        let found = self.finder.captures(name)?;
        let mut parts = Parts::default();
        for (directive, text) in self.directives.iter().zip(found.iter().skip(1)) {
            parts.take(*directive, text?.as_str())?;
        }
        parts.assemble()
    }
}

/// What the directives said; defaults as `strptime` has them.
#[derive(Debug, Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i64>,
    /// Number of the week, and whether it begins on Sunday.
    week: Option<(i64, bool)>,
    weekday: Option<Weekday>,
    hour: i8,
    minute: i8,
    second: i8,
    microsecond: i32,
}

impl Parts {
    fn take(&mut self, directive: char, text: &str) -> Option<()> {
        match directive {
            'a' | 'A' => self.weekday = Some(weekday_of(text, directive == 'a')?),
            'b' | 'B' => {
                let i = position(&MONTHS, text, directive == 'b')?;
                self.month = Some(i8::try_from(i + 1).ok()?);
            }
            'w' => self.weekday = Some(Weekday::from_sunday_zero_offset(text.parse().ok()?).ok()?),
            'd' => self.day = Some(text.parse().ok()?),
            'm' => self.month = Some(text.parse().ok()?),
            'Y' => self.year = Some(text.parse().ok()?),
            // POSIX: 69 to 99 are of the last century.
            'y' => {
                let short: i16 = text.parse().ok()?;
                self.year.get_or_insert(if short >= 69 { 1900 + short } else { 2000 + short });
            }
            'H' => self.hour = text.parse().ok()?,
            // Never without %H (`DateFormatError::HalfDay`), which says more.
            'I' => {
                let hour: i8 = text.parse().ok()?;
                if !(1..=12).contains(&hour) {
                    return None;
                }
            }
            'M' => self.minute = text.parse().ok()?,
            'S' => self.second = text.parse().ok()?,
            'f' => self.microsecond = text.parse().ok()?,
            'j' => self.day_of_year = Some(text.parse().ok()?),
            'U' | 'W' => self.week = Some((text.parse().ok()?, directive == 'U')),
            _ => return None,
        }
        Some(())
    }

    /// The day of the year decides over the week, the week over month and day, as in `_strptime`.
    fn assemble(self) -> Option<DateTime> {
        let year = self.year?;
        let first = Date::new(year, 1, 1).ok()?;
        let date = if let Some(day) = self.day_of_year {
            if !(1..=366).contains(&day) {
                return None;
            }
            first.checked_add((day - 1).days()).ok()?
        } else if let (Some((week, from_sunday)), Some(weekday)) = (self.week, self.weekday) {
            if week > 53 {
                return None;
            }
            let offset = |w: Weekday| {
                i64::from(if from_sunday { w.to_sunday_zero_offset() } else { w.to_monday_zero_offset() })
            };
            let before_first_week = (7 - offset(first.weekday())) % 7;
            first.checked_add((before_first_week + 7 * (week - 1) + offset(weekday)).days()).ok()?
        } else {
            Date::new(year, self.month?, self.day?).ok()?
        };
        // A leap second, which strptime takes and datetime refuses, is refused here too.
        let time =
            jiff::civil::Time::new(self.hour, self.minute, self.second, self.microsecond * 1000).ok()?;
        Some(date.to_datetime(time))
    }
}

fn position(names: &[&str], text: &str, short: bool) -> Option<usize> {
    names.iter().position(|n| if short { &n[..3] == text } else { *n == text })
}

fn weekday_of(text: &str, short: bool) -> Option<Weekday> {
    let i = position(&WEEKDAYS, text, short)?;
    Weekday::from_monday_zero_offset(i8::try_from(i).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime {
        text.parse().expect("a date")
    }

    #[test]
    fn every_directive_as_python_writes_it() {
        // python3 -c 'import datetime; print(datetime.datetime(2026,11,1,0,9,2,345).strftime(...))'
        let f = DateFormat::new("%a_%A_%w_%d_%b_%B_%m_%y_%Y_%H_%I_%M_%S_%f_%j_%U_%W").expect("format");
        let when = at("2026-11-01T00:09:02.000345");
        assert_eq!(f.write(when), "Sun_Sunday_0_01_Nov_November_11_26_2026_00_12_09_02_000345_305_44_43");
        assert_eq!(f.read(&f.write(when)), Some(when));
    }

    #[test]
    fn what_cannot_be_found_again_is_refused() {
        let refused = |format| DateFormat::new(format).map(|_| ()).expect_err(format);
        assert!(matches!(refused("%Y-%m-%d %p"), DateFormatError::Directive { directive: 'p', .. }));
        assert!(matches!(refused("%Y-%m-%d%"), DateFormatError::Directive { directive: ' ', .. }));
        assert!(matches!(refused("%Y%Y%m%d"), DateFormatError::Twice { directive: 'Y', .. }));
        assert!(matches!(refused("%Y--%m-%d"), DateFormatError::Literal { .. }));
        assert!(matches!(refused("%Y/%m/%d"), DateFormatError::Literal { .. }));
        assert!(matches!(refused("%Y+%m+%d"), DateFormatError::Literal { .. }));
        assert!(matches!(refused("%H%M%S"), DateFormatError::NoDay(_)));
        assert!(matches!(refused(""), DateFormatError::NoDay(_)));
        assert!(matches!(refused("%Y-%m-%d-%I%M%S"), DateFormatError::HalfDay(_)));
    }

    #[test]
    fn days_are_told_apart_or_not() {
        let resolution = |f| DateFormat::new(f).expect("format").resolution_s();
        assert_eq!(resolution(DEFAULT_DATE_FORMAT), 1);
        assert_eq!(resolution("%Y-%m-%d"), 86_400);
        assert_eq!(resolution("%Y%m%d%H%M"), 60);
        assert_eq!(resolution("%Y%m%d%H%M%S%f"), 0);
    }

    #[test]
    fn no_date_no_timestamp() {
        let f = DateFormat::new(DEFAULT_DATE_FORMAT).expect("format");
        assert_eq!(f.read("app-9999-99-99-999999.dump"), None);
        assert_eq!(f.read("app-2026-02-30-000000.dump"), None);
        assert_eq!(f.read("app.dump"), None);
        assert_eq!(f.read("app-2026-02-28-235959.dump"), Some(at("2026-02-28T23:59:59")));
    }

    fn formats() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            DEFAULT_DATE_FORMAT,
            "%Y%m%d%H%M%S",
            "%Y%j_%H%M%S",
            "%d%b%Y-%H%M%S",
            "%Y-%B-%d.%H.%M.%S",
            "%A_%U_%Y_%H%M%S",
            "%Y-%W-%w-%H%M%S",
            "%y%m%dT%H%M%S",
        ])
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(format in formats(), seconds in 0..2_998_000_000_i64) {
            let when = jiff::Timestamp::from_second(seconds).expect("in range").to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let f = DateFormat::new(format).expect("format");
            prop_assert_eq!(f.read(&f.write(when)), Some(when), "{}", f.write(when));
        }

        #[test]
        fn noise_never_panics(format in any::<String>(), name in any::<String>()) {
            if let Ok(f) = DateFormat::new(&format) {
                let _ = f.read(&name);
            }
        }

        #[test]
        fn formats_of_directives_never_panic(format in "(%[a-zA-Z%]|[-_.:T0-9]){0,8}", name in "[A-Z][a-z]{2}[-0-9]{0,30}") {
            if let Ok(f) = DateFormat::new(&format) {
                let _ = f.read(&name);
                let when = at("2026-01-31T23:59:58");
                let back = f.read(&f.write(when));
                prop_assert_eq!(back.map(|b| b.date()), Some(when.date()), "{}", format);
            }
        }
    }
}
