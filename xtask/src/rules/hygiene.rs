//! Texts that are clean, and that know nothing of the machine they were written on.

use std::path::Path;

use super::{Complaint, at};
use crate::tree::File;

/// Package registries that everybody has; any other host in a registry's place is somebody's own.
const PUBLIC_REGISTRIES: [&str; 7] = [
    "crates.io",
    "index.crates.io",
    "github.com/rust-lang/crates.io-index",
    "pypi.org",
    "registry.npmjs.org",
    "deb.debian.org",
    "registry-1.docker.io",
];

/// What a line says just before the address of a registry.
const REGISTRY_WORDS: [&str; 8] = [
    "index-url",
    "find-links",
    "registry =",
    "registry=",
    "source = \"registry+",
    "source = \"git+",
    "replace-with",
    "proxy =",
];

/// Home directories that belong to an image, not to a person.
const IMAGE_HOMES: [&str; 2] = ["/home/inventree", "/home/nautobot"];

/// Where we are: what must not be in a file.
pub(super) struct Machine {
    paths: Vec<String>,
}

impl Machine {
    /// The checkout's own path and the home directory.
    pub(super) fn here(root: &Path) -> Self {
        let mut paths = vec![root.display().to_string()];
        paths.extend(
            std::env::var("HOME")
                .ok()
                .filter(|h| h.len() > 1)
                .map(|h| format!("{}/", h.trim_end_matches('/'))),
        );
        Machine { paths }
    }
}

pub(super) fn check(files: &[File], machine: &Machine) -> Vec<Complaint> {
    let mut found = Vec::new();
    for f in files {
        let Some(text) = &f.text else { continue };
        if !f.path.starts_with("xtask/") {
            machine_names(f, text, machine, &mut found);
        }
        if kept_as_is(&f.path) {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", f.path, i + 1);
            if line.ends_with([' ', '\t']) {
                found.push(Complaint::failure("whitespace", place(), "ends in blanks"));
            }
            if line.starts_with(concat!("<<<<", "<<< ")) || line.starts_with(concat!(">>>>", ">>> ")) {
                found.push(Complaint::failure("whitespace", place(), "a merge was not finished"));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            found.push(Complaint::failure("whitespace", &f.path, "the last line has no end"));
        }
        if text.contains('\r') {
            found.push(Complaint::failure("whitespace", &f.path, "has carriage returns"));
        }
        if text.starts_with("#!") && !f.executable && !f.is(".rs") {
            found.push(Complaint::failure(
                "scripts",
                &f.path,
                "begins with #! and cannot be executed (chmod +x)",
            ));
        }
        if f.is(".sh") && text.starts_with("#!") && !text.contains("\nset -") {
            found.push(Complaint::failure("scripts", &f.path, "has no `set -euo pipefail`"));
        }
    }
    found
}

/// Files whose odd bytes are the point, or somebody else's.
fn kept_as_is(path: &str) -> bool {
    [".sql", ".snap", ".lock", ".svg"].iter().any(|e| path.ends_with(e))
        || path.starts_with("LICENSE-")
        || path.starts_with("tests/stacks/")
        || path.starts_with("tests/data/")
}

fn machine_names(f: &File, text: &str, machine: &Machine, found: &mut Vec<Complaint>) {
    for path in &machine.paths {
        for (offset, _) in text.match_indices(path.as_str()) {
            if is_path_start(text, offset) {
                found.push(Complaint::failure(
                    "machine",
                    at(&f.path, text, offset),
                    format!("names a path of this machine ({path})"),
                ));
            }
        }
    }
    for home in ["/home/", "/Users/"] {
        for (offset, _) in text.match_indices(home) {
            let rest = &text[offset..];
            let named = rest[home.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
            if named && is_path_start(text, offset) && !IMAGE_HOMES.iter().any(|h| rest.starts_with(h)) {
                found.push(Complaint::failure(
                    "machine",
                    at(&f.path, text, offset),
                    "names somebody's home directory",
                ));
            }
        }
    }
    for (i, line) in text.lines().enumerate() {
        let Some(word) = REGISTRY_WORDS.iter().find(|w| line.contains(**w)) else { continue };
        let Some((_, host)) = line.split_once("://") else { continue };
        if !PUBLIC_REGISTRIES.iter().any(|p| host.starts_with(p)) {
            let what = format!(
                "`{}` with an address of its own: only public registries are named",
                word.trim_end_matches(['=', ' ', '"', '+'])
            );
            found.push(Complaint::failure("machine", format!("{}:{}", f.path, i + 1), what));
        }
    }
}

fn is_path_start(text: &str, offset: usize) -> bool {
    !text[..offset].ends_with(|c: char| c.is_alphanumeric() || "_-./}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let machine = Machine { paths: vec!["/srv/checkout".to_owned(), "/root/".to_owned()] };
        check(&[file(path, text)], &machine).into_iter().map(|c| c.rule).collect()
    }

    #[test]
    fn blanks_ends_and_markers() {
        assert_eq!(rules("a.md", "x \ny\n"), ["whitespace"]);
        assert_eq!(rules("a.md", "x"), ["whitespace"]);
        assert_eq!(rules("a.md", concat!("<<<<", "<<< HEAD\n")), ["whitespace"]);
        assert!(rules("a.sql", "x \ny").is_empty());
        assert!(rules("a.md", "").is_empty());
    }

    #[test]
    fn machines_are_not_named() {
        assert_eq!(rules("a.md", "see /srv/checkout/docs\n"), ["machine"]);
        assert_eq!(rules("a.sh", "cd /root/x\n"), ["machine"]);
        assert_eq!(rules("a.md", "in `/home/ada/x`\n"), ["machine"]);
        assert!(rules("a.yml", "- x:/home/inventree/data:z\n").is_empty());
        assert!(rules("a.sh", "\"$target/root/x\"\n").is_empty());
    }

    #[test]
    fn registries_are_the_public_ones() {
        assert!(
            rules("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n")
                .is_empty()
        );
        assert_eq!(rules("Cargo.lock", "source = \"registry+https://crates.example/index\"\n"), ["machine"]);
        assert_eq!(rules("pip.conf", "index-url = https://pypi.example/simple\n"), ["machine"]);
    }

    #[test]
    fn scripts_can_be_run_and_stop_at_errors() {
        assert_eq!(rules("a.sh", "#!/bin/bash\necho\n"), ["scripts", "scripts"]);
        let mut good = file("a.sh", "#!/bin/bash\nset -euo pipefail\n");
        good.executable = true;
        assert!(check(&[good], &Machine { paths: vec![] }).is_empty());
    }
}
