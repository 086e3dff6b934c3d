//! The manual is whole: every page is linked, every link leads somewhere, every profile has its page and its test.

use std::collections::{BTreeMap, BTreeSet};

use super::{Complaint, at};
use crate::tree::File;

const INDEX: &str = "docs/index.md";
/// Stands where a measurement is still to come.
const MARKER: &str = concat!("TODO-", "FIGURE");

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    let mut found = Vec::new();
    let pages: BTreeMap<&str, &File> =
        files.iter().filter(|f| f.is(".md")).map(|f| (f.path.as_str(), f)).collect();
    let everything: BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
    let mut linked: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, page) in &pages {
        for (offset, target) in links(page.text()) {
            let place = at(path, page.text(), offset);
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let to = if file.is_empty() { (*path).to_owned() } else { resolve(path, file) };
            let is_dir = everything.iter().any(|p| p.starts_with(&format!("{}/", to.trim_end_matches('/'))));
            if !everything.contains(to.as_str()) && !is_dir {
                found.push(Complaint::failure(
                    "links",
                    place,
                    format!("leads to {to}, which does not exist"),
                ));
                continue;
            }
            if let (false, Some(p)) = (anchor.is_empty(), pages.get(to.as_str()))
                && !slugs(p.text()).contains(anchor)
            {
                found.push(Complaint::failure("links", place, format!("{to} has no heading #{anchor}")));
            }
            linked.entry(path).or_default().insert(to);
        }
        if let Some(offset) = page.text().find(MARKER) {
            found.push(Complaint::warning(
                "figures",
                at(path, page.text(), offset),
                "a figure is still to be measured",
            ));
        }
    }
    let listed = |from: &str, to: &str| linked.get(from).is_some_and(|l| l.contains(to));
    for path in pages.keys().filter(|p| p.starts_with("docs/") && **p != INDEX) {
        if !listed(INDEX, path) {
            found.push(Complaint::failure("links", *path, format!("is not linked from {INDEX}")));
        }
    }
    if pages.contains_key(INDEX) && !listed("README.md", INDEX) {
        found.push(Complaint::failure("links", INDEX, "is not linked from README.md"));
    }
    found.extend(profiles(files));
    found
}

/// A profile without a scenario is a guess.
fn profiles(files: &[File]) -> Vec<Complaint> {
    let is_test = |f: &&File| f.is(".rs") && (f.path.contains("/tests/") || f.path.starts_with("tests/"));
    let mut found = Vec::new();
    for f in files.iter().filter(|f| f.path.starts_with("profiles/") && f.is(".toml")) {
        let name = f.path["profiles/".len()..].trim_end_matches(".toml");
        if !files.iter().filter(is_test).any(|t| has_word(t.text(), name)) {
            found.push(Complaint::failure("profiles", &f.path, format!("no scenario test mentions {name}")));
        }
        let page = files.iter().find(|p| p.path == "docs/profiles.md");
        if !page.is_some_and(|p| has_word(p.text(), name)) {
            found.push(Complaint::failure(
                "profiles",
                &f.path,
                format!("docs/profiles.md does not mention {name}"),
            ));
        }
    }
    found
}

fn has_word(text: &str, word: &str) -> bool {
    // A stack may have a number: generic13.
    let edge = |c: Option<char>| !c.is_some_and(char::is_alphabetic);
    text.match_indices(word)
        .any(|(i, _)| edge(text[..i].chars().next_back()) && edge(text[i + word.len()..].chars().next()))
}

/// Inline links to files, outside of code, with their offsets.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut offset = 0;
    let mut fenced = false;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let plain = without_code(line);
            for (i, _) in plain.match_indices("](") {
                let target: String = plain[i + 2..].chars().take_while(|c| *c != ')').collect();
                let outside = target.contains("://") || target.starts_with("mailto:");
                if !outside && !target.is_empty() {
                    found.push((offset + i, target.split(' ').next().unwrap_or_default().to_owned()));
                }
            }
        }
        offset += line.len();
    }
    found
}

/// The line with code spans blanked, of the same length.
fn without_code(line: &str) -> String {
    let mut code = false;
    line.chars()
        .flat_map(|c| {
            if c == '`' {
                code = !code;
            }
            let n = c.len_utf8();
            if code || c == '`' { vec![' '; n] } else { vec![c] }
        })
        .collect()
}

fn resolve(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for p in to.split('/') {
        match p {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            p => parts.push(p),
        }
    }
    parts.join("/")
}

/// Anchors of the headings, as GitHub makes them.
fn slugs(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let Some(title) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let title = title.trim_start_matches('#').trim();
        let slug: String = title
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let n = seen.entry(slug.clone()).or_default();
        found.insert(if *n == 0 { slug } else { format!("{slug}-{n}") });
        *n += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file;

    fn words(files: &[File]) -> Vec<String> {
        check(files).into_iter().map(|c| format!("{} {}", c.place, c.what)).collect()
    }

    #[test]
    fn pages_are_reachable() {
        let readme = file("README.md", "[manual](docs/index.md)\n");
        let index = file("docs/index.md", "[a](a.md) and [b](a.md#two-words)\n");
        let a =
            file("docs/a.md", "# A\n\n## Two words!\n\n[up](../README.md), [out](https://example.org/x)\n");
        assert_eq!(words(&[readme.clone(), index.clone(), a.clone()]), Vec::<String>::new());
        let lost = file("docs/lost.md", "x\n");
        assert_eq!(words(&[readme, index, a, lost]), ["docs/lost.md is not linked from docs/index.md"]);
    }

    #[test]
    fn links_lead_somewhere() {
        let page =
            file("README.md", "a\n[b](gone.md) `[c](code.md)` [d](#nothing)\n```\n[e](fenced.md)\n```\n");
        assert_eq!(
            words(&[page]),
            [
                "README.md:2 leads to gone.md, which does not exist",
                "README.md:2 README.md has no heading #nothing"
            ]
        );
    }

    #[test]
    fn markers_are_warnings() {
        let page = file("README.md", &format!("{MARKER}: seconds\n"));
        let found = check(&[page]);
        assert_eq!((found.len(), found[0].fails), (1, false));
    }

    #[test]
    fn profiles_have_a_scenario_and_a_page() {
        let profile = file("profiles/ente.toml", "");
        assert_eq!(check(std::slice::from_ref(&profile)).len(), 2);
        let test = file("crates/repot/tests/it/paths.rs", "stack(\"ente\")");
        let index = file("docs/index.md", "[p](profiles.md)\n");
        let readme = file("README.md", "[m](docs/index.md)\n");
        let page = file("docs/profiles.md", "`ente`: Ente\n");
        assert_eq!(check(&[profile.clone(), test, page.clone(), index.clone(), readme.clone()]), []);
        let talent = file("crates/repot/tests/it/paths.rs", "a talented word\n");
        assert_eq!(check(&[profile, talent, page, index, readme]).len(), 1);
    }

    #[test]
    fn paths_are_resolved() {
        for (from, to, want) in [
            ("docs/a.md", "../README.md", "README.md"),
            ("a.md", "./docs/x.md", "docs/x.md"),
            ("docs/a.md", "b.md", "docs/b.md"),
        ] {
            assert_eq!(resolve(from, to), want);
        }
    }
}
