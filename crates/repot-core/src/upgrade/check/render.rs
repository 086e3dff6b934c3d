//! The report as a person reads it.

use super::{CheckReport, Finding, Severity};
use crate::app::detect::Deployment;
use crate::progress::human_bytes;

/// Width of a line, in characters.
const WIDTH: usize = 90;

/// Plain text, about 90 columns wide, ending with a line end.
#[must_use]
pub fn render(report: &CheckReport, deployment: &Deployment) -> String {
    let mut out = String::new();
    header(&mut out, report, deployment);
    let of = |s: Severity| report.findings.iter().filter(|f| f.severity == s).collect::<Vec<_>>();
    let (blockers, warnings, notes) = (of(Severity::Blocker), of(Severity::Warning), of(Severity::Info));
    section(&mut out, "In the way", "✗", &blockers);
    section(&mut out, "To look at", "!", &warnings);
    section(&mut out, "Good to know", "·", &notes);
    out.push('\n');
    out.push_str(&wrap(&verdict(report, &blockers, &warnings), 0));
    out
}

fn header(out: &mut String, report: &CheckReport, deployment: &Deployment) {
    let db = &deployment.database;
    let mut line = |name: &str, text: &str| {
        let body = wrap(text, 14);
        out.push_str(&format!("{name:<14}{}", body.trim_start()));
    };
    let version = deployment.application_version.as_deref().map_or_else(String::new, |v| format!(" {v}"));
    line(
        "Application",
        &format!("{}{version}, Compose project {}", deployment.profile.title, deployment.project.name),
    );
    let server = match (&report.facts, report.source_major) {
        (Some(f), _) => format!("PostgreSQL {}", f.version()),
        (None, Some(m)) => format!("PostgreSQL {m} (not running)"),
        (None, None) => "no data found".to_owned(),
    };
    line("Database", &format!("{server}, service {}, image {}", db.service, db.image));
    line("Data", &format!("{}, {}", db.data.describe(), human_bytes(db.state.size_bytes)));
    if let Some(t) = &report.target {
        let here = if t.present { "" } else { ", to be fetched" };
        line("To", &format!("PostgreSQL {}, image {}{here}", t.major, t.image));
    }
    if let Some(room) = &report.room {
        let mut text = format!(
            "about {} for the backup ({} free)",
            human_bytes(room.backup_bytes),
            human_bytes(room.backup_free_bytes)
        );
        if room.data_bytes > 0 {
            let same = if room.together {
                "the same disk".to_owned()
            } else {
                format!("{} free", human_bytes(room.data_free_bytes))
            };
            text.push_str(&format!(", up to {} for the new data ({same})", human_bytes(room.data_bytes)));
        }
        line("Disk space", &text);
    }
    if let Some(r) = &report.recommendation {
        line("Recommended", &format!("PostgreSQL {}. {}", r.to, r.why));
    }
    if !report.sources.is_empty() {
        out.push_str("\nWhere the values come from\n");
        let width = report.sources.iter().map(|s| s.what.chars().count()).max().unwrap_or(0).min(24);
        for s in &report.sources {
            let body = wrap(&format!("{}  from {}", s.value, s.from), width + 4);
            out.push_str(&format!("  {:<width$}  {}", s.what, body.trim_start()));
        }
    }
}

fn section(out: &mut String, title: &str, mark: &str, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    out.push_str(&format!("\n{title}\n"));
    for f in findings {
        let head = wrap(&format!("{} [{}]", f.title, f.code), 4);
        out.push_str(&format!("  {mark} {}", head.trim_start()));
        for text in [&f.detail, &f.remedy] {
            if !text.is_empty() {
                let lead = if std::ptr::eq(text, &f.remedy) { "What to do: " } else { "" };
                out.push_str(&wrap(&format!("{lead}{text}"), 6));
            }
        }
    }
}

fn verdict(report: &CheckReport, blockers: &[&Finding], warnings: &[&Finding]) -> String {
    let untouched = "Nothing has been touched.";
    if !blockers.is_empty() {
        let n = if blockers.len() == 1 {
            "One thing stands".to_owned()
        } else {
            format!("{} things stand", blockers.len())
        };
        return format!("{n} in the way; each line says what to do about it. {untouched}");
    }
    if report.nothing_to_do {
        return format!("There is nothing to do. {untouched}");
    }
    let looked = if warnings.is_empty() {
        "Nothing stands in the way."
    } else {
        "Nothing stands in the way; please read what is marked with `!` first."
    };
    match (&report.target, &report.recommendation) {
        (Some(_), _) => format!("{looked} {untouched}"),
        (None, Some(r)) => format!("{looked} To go on: repot upgrade --to {}. {untouched}", r.to),
        (None, None) => format!("{looked} {untouched}"),
    }
}

/// Breaks `text` into lines of [`WIDTH`], each begun with `indent` spaces. A word longer than a line stays whole, so
/// that commands and paths can be copied.
fn wrap(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut width = 0;
        // Runs of spaces align columns: only single spaces are places to break.
        for word in paragraph.split(' ') {
            let n = word.chars().count();
            if width == 0 {
                out.push_str(&pad);
                width = indent;
            } else if width + 1 + n > WIDTH {
                out.push('\n');
                out.push_str(&pad);
                width = indent;
            } else {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += n;
        }
        out.push('\n');
    }
    out.lines().map(|l| format!("{}\n", l.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("a b", 2), "  a b\n");
        let long = "word ".repeat(40);
        assert!(wrap(&long, 4).lines().all(|l| l.chars().count() <= WIDTH && l.starts_with("    word")));
    }

    proptest! {
        #[test]
        fn no_word_is_lost(words in prop::collection::vec("[a-z]{1,120}", 0..30), indent in 0_usize..20) {
            let text = words.join(" ");
            let wrapped = wrap(&text, indent);
            prop_assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        }
    }
}
