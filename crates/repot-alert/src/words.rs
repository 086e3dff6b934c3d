//! An alert as people read it: a subject of one line, and a text.

use crate::alert::{Alert, Event};

/// What a subject holds at most.
const MAX_SUBJECT_CHARS: usize = 150;

/// One line.
pub(crate) fn subject(alert: &Alert, prefix: &str) -> String {
    let (a, op) = (&alert.application, &alert.operation);
    let text = match alert.event {
        Event::Started => format!("{a}: {op} begins"),
        Event::Succeeded => format!("{a}: {op} succeeded"),
        Event::Failed => format!("{a}: {op} failed"),
        Event::Silent => format!("{a}: no {op} has succeeded for too long"),
        Event::Test => format!("{a}: a test message"),
    };
    let line: String =
        format!("{prefix}{text}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut_chars(line.trim(), MAX_SUBJECT_CHARS)
}

/// The whole message.
pub(crate) fn text(alert: &Alert) -> String {
    let op = &alert.operation;
    let of = format!("{} (project {} on {})", alert.application, alert.project, alert.host);
    let mut lines = vec![match alert.event {
        Event::Started => format!("The {op} of {of} begins."),
        Event::Succeeded => format!("The {op} of {of} succeeded at {}.", alert.at),
        Event::Failed => format!("The {op} of {of} failed at {}.", alert.at),
        Event::Silent => format!("No {op} of {of} has succeeded for too long (seen at {}).", alert.at),
        Event::Test => format!("This is a test message of repot for {of}. Alerts will arrive here."),
    }];
    if let Some(f) = &alert.failure {
        lines.push(String::new());
        lines.push(format!("  {}", f.what));
        lines.extend(f.why.iter().flat_map(|w| w.lines()).map(|l| format!("    {l}")));
        lines.extend(f.help.iter().flat_map(|h| h.lines()).map(|l| format!("  -> {l}")));
        lines.push(format!("  (error code {})", f.code));
    }
    if !alert.details.is_empty() {
        lines.push(String::new());
        lines.extend(alert.details.iter().map(|d| format!("  {d}")));
    }
    lines.push(String::new());
    match (alert.event, &alert.since) {
        (Event::Failed, Some(since)) if alert.failures > 1 => {
            lines.push(format!("It has failed since {since}, {} times in a row.", alert.failures));
        }
        (Event::Failed, _) => lines.push("It is the first failure.".to_owned()),
        (Event::Silent, Some(since)) => lines.push(format!("Nothing has succeeded since {since}.")),
        (Event::Succeeded, Some(since)) => lines.push(format!("It had failed since {since}.")),
        _ => {}
    }
    if let Some(set) = &alert.set {
        lines.push(format!("The set: {set}"));
    }
    if alert.event != Event::Test {
        match (&alert.last_good_set, &alert.last_good_at) {
            (Some(set), Some(at)) => lines.push(format!("The last good set before: {set}, finished at {at}")),
            (Some(set), None) => lines.push(format!("The last good set before: {set}")),
            _ if matches!(alert.event, Event::Failed | Event::Silent) => {
                lines.push("No good set is known.".to_owned());
            }
            _ => {}
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.push(String::new());
    lines.join("\n")
}

/// At most `max` characters, the end marked where something is missing.
fn cut_chars(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// At most `max` UTF-16 units, as chat services count: never more than that many characters however one counts.
pub(crate) fn cut_units(text: &str, max: usize) -> String {
    cut_by(text, max, char::len_utf16)
}

/// At most `max` bytes.
pub(crate) fn cut_bytes(text: &str, max: usize) -> String {
    cut_by(text, max, char::len_utf8)
}

fn cut_by(text: &str, max: usize, size: fn(char) -> usize) -> String {
    if text.chars().map(size).sum::<usize>() <= max {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), size('…'));
    for c in text.chars() {
        used += size(c);
        if used > max {
            break;
        }
        kept.push(c);
    }
    if max >= size('…') {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sample;

    #[test]
    fn a_failure_names_what_failed_since_when_and_the_last_good_set() {
        let a = sample(Event::Failed);
        assert_eq!(subject(&a, "[repot] "), "[repot] InvenTree: backup failed");
        assert_eq!(
            text(&a),
            "The backup of InvenTree (project inventree on web1) failed at 2026-03-01T03:00:09Z.\n\
             \n  the Docker daemon does not answer\n    connection <refused> & gone\n  -> start it\n  \
             (error code docker-unreachable)\n\
             \nIt has failed since 2026-02-27T03:00:07Z, 3 times in a row.\n\
             The last good set before: inventree-20260226-030000-3c4d, finished at 2026-02-26T03:04:00Z\n"
        );
    }

    #[test]
    fn a_subject_is_one_line_and_short() {
        let mut a = sample(Event::Succeeded);
        a.application = format!("a\r\nBcc: somebody@example.org{}", "x".repeat(500));
        let s = subject(&a, "");
        assert!(!s.contains(['\r', '\n']), "{s}");
        assert_eq!(s.chars().count(), MAX_SUBJECT_CHARS);
    }

    proptest::proptest! {
        #[test]
        fn cuts_keep_to_the_limit_and_to_characters(t in "\\PC{0,80}", max in 0_usize..60) {
            let cut = cut_units(&t, max);
            proptest::prop_assert!(cut.encode_utf16().count() <= max);
            proptest::prop_assert!(cut_bytes(&t, max).len() <= max);
            proptest::prop_assert!(t.encode_utf16().count() > max || cut == t);
        }
    }
}
