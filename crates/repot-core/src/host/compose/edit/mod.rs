//! Changes Compose files and `.env` as a careful person would: the one value, nothing around it.
//!
//! Texts in, texts out: nothing here reads a file or starts a process. What is left alone keeps its bytes, comments,
//! quotes and line ends; every change is re-parsed and compared before it is handed out.
//!
//! Deliberately absent: `include:`, `extends:` from another file, several YAML documents in one file. They are
//! refused by name, because the value that wins may stand in a text that we were not given.

mod diff;
mod dotenv;
mod editor;
mod image;
mod interpolate;
mod model;
mod mount;
mod volume;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Result;

pub use diff::diff;
pub use dotenv::{DotenvEntry, parse_dotenv, resolve_dotenv, set_dotenv};
pub use editor::{EditedFile, Editor};
pub use image::ImageRef;
pub use mount::{MountChange, MountPoint};

/// One Compose file, or one `.env`.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is; only shown, never opened here.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

// Texts and variables hold passwords, and what is printed for debugging ends up in logs.
impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.path.display(), self.text.len())
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}, {} variables of the shell", self.compose, self.dotenv, self.shell.len())
    }
}

/// All that decides what a Compose project's values are.
#[derive(Clone, Default)]
pub struct Sources {
    /// The Compose files in Compose's merge order: a later one overrides an earlier one.
    pub compose: Vec<SourceFile>,
    /// The project's `.env`; with an empty text if there is none yet but it may be written.
    pub dotenv: Option<SourceFile>,
    /// Variables of the calling shell, which beat `.env`.
    pub shell: BTreeMap<String, String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The file that decides it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The value as written, variables in it not replaced. For a mapping or list, its source text.
    pub raw: String,
    /// What it passed through, from the service to the value.
    pub via: Vec<Via>,
}

/// One thing that a value passes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// `*name`.
    Anchor(String),
    /// `<<: *name`; empty when the merged mapping is written in place.
    Merge(String),
    /// `extends:` of another service in the same file.
    Extends(String),
    /// A variable in the value.
    Variable {
        /// Its name.
        name: String,
        /// What sets it.
        from: VariableSource,
    },
    /// The image is pinned to this digest, so the tag alone does not decide it.
    Digest(String),
    /// An earlier file gives this value too and is overridden.
    Override(PathBuf),
}

/// What sets a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableSource {
    /// `.env`, on this line.
    Dotenv {
        /// Line, from 1.
        line: usize,
    },
    /// The calling shell.
    Shell,
    /// The default inside the expression.
    Default,
    /// Nothing: it counts as empty.
    Unset,
}

impl Sources {
    /// Where the value at `path` of `service` comes from, such as `["image"]` or `["environment", "POSTGRES_DB"]`
    /// (the list form `- POSTGRES_DB=x` is understood too). `None` if no file gives it.
    ///
    /// # Errors
    /// `service-unknown`, `compose-unparsable`, `compose-include`, `compose-extends-file`.
    pub fn service_value(&self, service: &str, path: &[&str]) -> Result<Option<Provenance>> {
        model::Model::new(self)?.provenance(service, path)
    }

    /// A raw value with its variables replaced, by Compose's rules.
    ///
    /// # Errors
    /// `interpolation-invalid`, `variable-required`.
    pub fn interpolate(&self, raw: &str) -> Result<String> {
        let variables = self.variables();
        interpolate::expand(raw, &|name| variables.get(name).cloned())
    }

    /// Every service that some file declares, in the order of first mention.
    ///
    /// # Errors
    /// `compose-unparsable`, `compose-include`, `compose-multi-document`.
    pub fn services(&self) -> Result<Vec<String>> {
        Ok(model::Model::new(self)?.services())
    }

    /// All variables: `.env`, then the shell over it.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let entries = self.dotenv.as_ref().map(|f| parse_dotenv(&f.text)).unwrap_or_default();
        let mut all = resolve_dotenv(&entries, &self.shell);
        all.extend(self.shell.clone());
        all
    }

    /// What sets a variable, by name alone.
    fn variable_source(&self, name: &str) -> Option<VariableSource> {
        if self.shell.contains_key(name) {
            return Some(VariableSource::Shell);
        }
        let entries = self.dotenv.as_ref().map(|f| parse_dotenv(&f.text)).unwrap_or_default();
        let entry = entries.iter().rev().find(|e| e.name == name && !e.inherited)?;
        Some(VariableSource::Dotenv { line: entry.line })
    }
}
