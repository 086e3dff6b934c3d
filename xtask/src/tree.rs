//! The files of the project: what Git tracks or would track; every file where there is no Git.

use std::path::Path;
use std::process::Command;

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Content; none for what is not UTF-8 text.
    pub(crate) text: Option<String>,
    /// Whether its owner may execute it.
    pub(crate) executable: bool,
}

impl File {
    /// The text, empty for a binary file.
    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
    /// The part of a Rust file before its tests, which stand at its end.
    pub(crate) fn shipped(&self) -> &str {
        let text = self.text();
        text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
    }
    /// Whether the name ends so.
    pub(crate) fn is(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }
    /// Whether this is Rust that is shipped: a crate's `src`, but the test kit's.
    pub(crate) fn is_product(&self) -> bool {
        self.is(".rs")
            && self.path.starts_with("crates/")
            && self.path.contains("/src/")
            && !self.path.starts_with("crates/repot-testkit/")
            && !self.path.contains("/tests/")
    }
}

/// Reads all files below `root`.
pub(crate) fn load(root: &Path) -> Result<Vec<File>, String> {
    let mut paths = tracked(root).unwrap_or_else(|| walk(root));
    paths.sort();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        let full = root.join(&path);
        // A link is judged where it leads; what was deleted but is still tracked is not there.
        let Ok(meta) = std::fs::symlink_metadata(&full) else { continue };
        if !meta.is_file() {
            continue;
        }
        let bytes = std::fs::read(&full).map_err(|e| format!("cannot read {path}: {e}"))?;
        let executable = std::os::unix::fs::MetadataExt::mode(&meta) & 0o100 != 0;
        files.push(File { path, text: String::from_utf8(bytes).ok(), executable });
    }
    if files.is_empty() {
        return Err(format!("there are no files in {}", root.display()));
    }
    Ok(files)
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let out = Command::new("git")
        // A checkout that belongs to somebody else is still only read.
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then(|| text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != ".git" && name != "target" && name != ".repot" {
                    todo.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(root) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found
}
