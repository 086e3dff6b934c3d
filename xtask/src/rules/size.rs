//! A file past 500 lines is asking to be two; past 1,000 it must be.

use super::Complaint;
use crate::tree::File;

const WARN_LINES: usize = 500;
const FAIL_LINES: usize = 1000;

/// Files that a person writes and reads.
fn written(f: &File) -> bool {
    [".rs", ".sh", ".py", ".md", ".yml", ".yaml"].iter().any(|e| f.is(e))
        || (f.is(".toml") && f.path != "Cargo.lock")
}

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    files
        .iter()
        .filter(|f| written(f))
        .filter_map(|f| {
            let lines = f.text().lines().count();
            if lines > FAIL_LINES {
                Some(Complaint::failure(
                    "size",
                    &f.path,
                    format!("{lines} lines: it must be two files ({FAIL_LINES} at most)"),
                ))
            } else if lines > WARN_LINES {
                Some(Complaint::warning(
                    "size",
                    &f.path,
                    format!("{lines} lines: it is asking to be two files"),
                ))
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file;

    #[test]
    fn long_files_are_told_apart() {
        let lines = |n: usize| "x\n".repeat(n);
        let found = check(&[
            file("a.rs", &lines(500)),
            file("b.rs", &lines(501)),
            file("c.rs", &lines(1001)),
            file("Cargo.lock", &lines(5000)),
        ]);
        assert_eq!(
            found.iter().map(|c| (c.place.as_str(), c.fails)).collect::<Vec<_>>(),
            [("b.rs", false), ("c.rs", true)]
        );
    }
}
