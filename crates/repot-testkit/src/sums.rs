//! What a directory holds, so exactly that two looks can be compared: for every file path, kind, mode, owner,
//! group, size and content.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::command::docker;

/// Everything below a directory or volume: one line for each file.
#[derive(Clone, PartialEq, Eq)]
pub struct Sums {
    lines: BTreeMap<String, String>,
}

/// Prints `path NUL line NUL` for each file below /at.
const LIST: &str = r#"cd /at/"$1" && find . -printf '%p\0%y %#m %U:%G %s %l\0' && echo == && find . -type f -print0 | xargs -0 -r sha256sum -z"#;

impl Sums {
    /// Reads a directory of this machine or a named volume (`source`), or a directory `below` it, by the eyes of
    /// root in a container: the files belong to the server's own user.
    #[must_use]
    #[track_caller]
    pub fn of(source: &str, below: &str) -> Self {
        let out = docker([
            "run",
            "--rm",
            "--network=none",
            "--user=0:0",
            "--entrypoint=sh",
            "--volume",
            &format!("{source}:/at:ro"),
            "postgres:13",
            "-c",
            LIST,
            "sums",
            below,
        ])
        .ok();
        let (list, sums) = out.stdout.split_once("==\n").unwrap_or((&out.stdout, ""));
        let mut lines = BTreeMap::new();
        let mut fields = list.split('\0');
        while let (Some(path), Some(line)) = (fields.next(), fields.next()) {
            // A directory's own size is the filesystem's business.
            let line = match line.strip_prefix("d ") {
                Some(rest) => format!("d {}", rest.split(' ').take(2).collect::<Vec<_>>().join(" ")),
                None => line.to_owned(),
            };
            lines.insert(path.to_owned(), line);
        }
        for entry in sums.split('\0') {
            if let Some((sum, path)) = entry.split_once("  ") {
                lines.entry(path.to_owned()).or_default().push_str(sum);
            }
        }
        assert!(lines.len() > 1, "there is nothing in {source}/{below}");
        Sums { lines }
    }

    /// One digest over all of it.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut h = blake3::Hasher::new();
        for (path, line) in &self.lines {
            h.update(path.as_bytes()).update(b"\0").update(line.as_bytes()).update(b"\0");
        }
        h.finalize().to_hex().to_string()
    }

    /// How many files and directories there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line of one path, such as `.` for the directory itself: `d 0700 999:999`.
    #[must_use]
    pub fn line(&self, path: &str) -> Option<&str> {
        self.lines.get(path).map(String::as_str)
    }

    /// Fails the test with the paths that differ.
    #[track_caller]
    pub fn assert_same(&self, other: &Sums, what: &str) {
        if self.digest() == other.digest() {
            return;
        }
        let mut told = Vec::new();
        for path in self.lines.keys().chain(other.lines.keys().filter(|p| !self.lines.contains_key(*p))) {
            let (a, b) = (self.lines.get(path), other.lines.get(path));
            if a != b {
                told.push(format!(
                    "{path}\n  before: {}\n  after:  {}",
                    a.map_or("-", String::as_str),
                    b.map_or("-", String::as_str)
                ));
            }
        }
        panic!(
            "{what}: {} of {} files differ\n{}",
            told.len(),
            self.lines.len(),
            told[..told.len().min(20)].join("\n")
        );
    }
}

impl std::fmt::Debug for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files, {}", self.lines.len(), self.digest())
    }
}

/// One of the project's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Its text.
    pub text: String,
    /// Mode bits, uid, gid.
    pub mode_owner: (u32, u32, u32),
}

/// The files that make up a project: Compose files, `.env` and the like, at the top of its directory.
pub(crate) fn project_files(dir: &Path) -> BTreeMap<PathBuf, FileState> {
    let entries = match std::fs::read_dir(dir) {
        Ok(e) => e,
        Err(e) => panic!("cannot list {}: {e}", dir.display()),
    };
    let mut all = BTreeMap::new();
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_file()) {
        let (Ok(bytes), Ok(meta)) = (std::fs::read(&path), std::fs::metadata(&path)) else { continue };
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        all.insert(
            name,
            FileState {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                mode_owner: (meta.mode(), meta.uid(), meta.gid()),
            },
        );
    }
    all
}
