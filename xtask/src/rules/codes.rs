//! Every error code and every finding of the check is in the manual, and the manual names no other.

use std::collections::{BTreeMap, BTreeSet};

use super::Complaint;
use crate::tree::File;

const ERRORS: &str = "docs/errors.md";
const FINDINGS: &str = "docs/check-findings.md";

/// How errors are made, and which argument is the code.
const MAKERS: [(&str, usize); 4] =
    [("Error::failed(", 0), ("Error::refused(", 0), ("Error::usage(", 0), ("Error::new(", 1)];
/// How findings are made; the word is the severity.
const FINDERS: [(&str, &str); 3] =
    [("Finding::blocker(", "blocker"), ("Finding::warning(", "warning"), ("Finding::info(", "info")];

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    let mut errors: BTreeMap<String, String> = BTreeMap::new();
    let mut findings: BTreeMap<String, (String, BTreeSet<&str>)> = BTreeMap::new();
    let mut literals = BTreeSet::new();
    for f in files.iter().filter(|f| f.is_product()) {
        let text = f.shipped();
        for (maker, argument) in MAKERS {
            for (offset, _) in text.match_indices(maker) {
                let code =
                    arguments(&text[offset + maker.len()..]).into_iter().nth(argument).unwrap_or_default();
                for c in kebab_literals(code) {
                    errors.entry(c.to_owned()).or_insert_with(|| f.path.clone());
                }
            }
        }
        for (offset, _) in text.match_indices("code: \"") {
            if let Some(c) = kebab_literals(&text[offset + "code: ".len()..]).into_iter().next() {
                errors.entry(c.to_owned()).or_insert_with(|| f.path.clone());
            }
        }
        for (finder, severity) in FINDERS {
            for (offset, _) in text.match_indices(finder) {
                let code = arguments(&text[offset + finder.len()..]).into_iter().next().unwrap_or_default();
                for c in kebab_literals(code) {
                    findings
                        .entry(c.to_owned())
                        .or_insert_with(|| (f.path.clone(), BTreeSet::new()))
                        .1
                        .insert(severity);
                }
            }
        }
        literals.extend(kebab_literals(text).into_iter().map(str::to_owned));
    }
    let mut found = Vec::new();
    let page = |path: &str| files.iter().find(|f| f.path == path).map(|f| rows(f.text())).unwrap_or_default();
    let (told, shown) = (page(ERRORS), page(FINDINGS));
    for (code, path) in &errors {
        if !told.contains_key(code) {
            found.push(Complaint::failure("codes", ERRORS, format!("lacks the error `{code}` of {path}")));
        }
    }
    for (code, (path, severities)) in &findings {
        match shown.get(code) {
            None => found.push(Complaint::failure(
                "codes",
                FINDINGS,
                format!("lacks the finding `{code}` of {path}"),
            )),
            Some(row) => {
                let named: BTreeSet<&str> = FINDERS
                    .iter()
                    .map(|(_, s)| *s)
                    .filter(|s| row.split([' ', ',']).any(|w| w == *s))
                    .collect();
                if named != *severities {
                    let want: Vec<&str> = severities.iter().copied().collect();
                    found.push(Complaint::failure(
                        "codes",
                        FINDINGS,
                        format!("`{code}` is {} in {path}", want.join(", ")),
                    ));
                }
            }
        }
    }
    for (page, codes) in [(ERRORS, &told), (FINDINGS, &shown)] {
        for code in codes.keys().filter(|c| !literals.contains(*c)) {
            found.push(Complaint::failure(
                "codes",
                page,
                format!("names `{code}`, which is nowhere in the code"),
            ));
        }
    }
    found
}

/// Table rows that begin with a code: the code and the second column.
fn rows(page: &str) -> BTreeMap<String, String> {
    page.lines()
        .filter_map(|l| {
            let (code, rest) = l.strip_prefix("| `")?.split_once("` |")?;
            let second = rest.split('|').next().unwrap_or_default().trim().to_owned();
            is_kebab(code).then(|| (code.to_owned(), second))
        })
        .collect()
}

/// The arguments of a call, from after its bracket; split at commas that are in no bracket and no string.
fn arguments(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut found, mut start, mut depth, mut i) = (Vec::new(), 0, 0_usize, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => {
                found.push(&text[start..i]);
                return found;
            }
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                found.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

fn kebab_literals(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        rest = &rest[at + 1..];
        let Some(end) = rest.find('"') else { break };
        if is_kebab(&rest[..end]) {
            found.push(&rest[..end]);
            rest = &rest[end + 1..];
        }
    }
    found
}

fn is_kebab(text: &str) -> bool {
    !text.is_empty()
        && text
            .split('-')
            .all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file;

    const CODE: &str = r#"
fn f() {
    Error::failed("io", format!("a, b ({c})"));
    Error::new(
        Kind::Unfinished,
        "locked",
        "another",
    );
    Error::failed(if full { "disk-full" } else { "restore-failed" }, "x");
    Error { code: "read-only", ..e };
    Finding::warning("odd-thing", "t", "d", "r");
}
"#;

    fn words(errors: &str, findings: &str) -> Vec<String> {
        let files =
            [file("crates/repot-core/src/a.rs", CODE), file(ERRORS, errors), file(FINDINGS, findings)];
        check(&files).into_iter().map(|c| c.what).collect()
    }

    #[test]
    fn all_codes_are_told() {
        let all = "| `io` | 1 |\n| `locked` | 5 |\n| `disk-full` | 1 |\n| `restore-failed` | 1 |\n| `read-only` | 1 |\n";
        assert_eq!(words(all, "| `odd-thing` | warning | x |\n"), Vec::<String>::new());
        assert_eq!(
            words(all, "| `odd-thing` | blocker | x |\n"),
            ["`odd-thing` is warning in crates/repot-core/src/a.rs"]
        );
        assert_eq!(
            words(&all.replace("| `locked` | 5 |\n", ""), "| `odd-thing` | warning | x |\n"),
            ["lacks the error `locked` of crates/repot-core/src/a.rs"]
        );
    }

    #[test]
    fn no_code_is_made_up() {
        let pages = words("| `io` | 1 |\n| `gone` | 1 |\n", "");
        assert!(pages.contains(&"names `gone`, which is nowhere in the code".to_owned()), "{pages:?}");
    }

    #[test]
    fn arguments_are_split_as_rust_does() {
        assert_eq!(arguments(r#"a(b, c), "d, )", e) f"#), ["a(b, c)", r#" "d, )""#, " e"]);
    }
}
