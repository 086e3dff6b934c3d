//! The rules. Each is a function from the files to complaints, so that each has a test of its own.

use std::fmt;
use std::path::Path;

use crate::tree::File;

mod code;
mod codes;
mod hygiene;
mod layers;
mod manual;
mod size;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Which rule.
    pub(crate) rule: &'static str,
    /// Where: a path, with a line where there is one.
    pub(crate) place: String,
    /// What is wrong, and what to do.
    pub(crate) what: String,
    /// Whether it fails the build; a warning otherwise.
    pub(crate) fails: bool,
}

impl Complaint {
    fn failure(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Complaint { rule, place: place.into(), what: what.into(), fails: true }
    }
    fn warning(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Complaint { fails: false, ..Complaint::failure(rule, place, what) }
    }
    /// For what only [`crate::reference`] finds.
    pub(crate) fn stale(place: &str, what: impl Into<String>) -> Self {
        Complaint::failure("generated", place, what)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = if self.fails { "error" } else { "warning" };
        write!(f, "{grade}: {}: {} [{}]", self.place, self.what, self.rule)
    }
}

/// Every complaint of every rule that needs nothing but the files.
pub(crate) fn all(files: &[File], root: &Path) -> Vec<Complaint> {
    let mut found = Vec::new();
    found.extend(size::check(files));
    found.extend(code::check(files));
    found.extend(layers::check(files));
    found.extend(manual::check(files));
    found.extend(codes::check(files));
    found.extend(hygiene::check(files, &hygiene::Machine::here(root)));
    found
}

/// `path:line` for a byte offset.
fn at(path: &str, text: &str, offset: usize) -> String {
    format!("{path}:{}", text[..offset].matches('\n').count() + 1)
}

#[cfg(test)]
pub(crate) fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: Some(text.to_owned()), executable: false }
}
