//! Names of objects: relative, with `/` between directories, the same on every storage.

use super::StorageError;

/// Suffix of a file that is still being written, where the storage shows such files.
pub const PARTIAL_SUFFIX: &str = ".partial";
/// Longest name, in bytes: S3 and Azure take 1,024, and the storage's own directory comes before it.
const NAME_MAX_BYTES: usize = 900;
/// Longest part between two `/`, in bytes: 255 is what file systems take, less [`PARTIAL_SUFFIX`].
const PART_MAX_BYTES: usize = 240;

/// Refuses a name that some storage would take for something else: it leads out of the storage, has an empty part,
/// a control character (a line break is a new command in FTP), or a character that a protocol gives a meaning.
pub(crate) fn check(name: &str) -> Result<(), StorageError> {
    let bad = |why: &str| {
        Err(StorageError::Config(format!("`{}` is no name of a stored file: {why}", name.escape_debug())))
    };
    if name.is_empty() {
        return bad("it is empty");
    }
    if name.len() > NAME_MAX_BYTES {
        return bad("it is longer than 900 bytes");
    }
    if name.ends_with(PARTIAL_SUFFIX) {
        return bad("`.partial` is for files that are being written");
    }
    if name
        .chars()
        .any(|c| c.is_control() || matches!(c, '\\' | '?' | '#' | ';' | '*' | '"' | '<' | '>' | '|'))
    {
        return bad("it has a character that some storage gives a meaning");
    }
    for part in name.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return bad("it has an empty part, `.` or `..`");
        }
        if part.len() > PART_MAX_BYTES {
            return bad("a part of it is longer than 240 bytes");
        }
        if part.starts_with(' ') || part.ends_with(' ') || part.ends_with('.') {
            return bad("a part begins or ends with a blank, or ends with a dot");
        }
    }
    Ok(())
}

/// A directory's name without its last `/`; empty is the storage itself.
pub(crate) fn check_dir(prefix: &str) -> Result<&str, StorageError> {
    let dir = prefix.strip_suffix('/').unwrap_or(prefix);
    if !dir.is_empty() {
        check(dir)?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn ordinary_names_pass() {
        for name in
            ["manifest.json", "2026-01-01T00-00-00Z-ab12/app.dump", "a b/ü/日本.tar.zst", ".repot-probe-1"]
        {
            check(name).expect(name);
        }
        assert_eq!(check_dir("a/b/").expect("fine"), "a/b");
        assert_eq!(check_dir("").expect("fine"), "");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".",
            "a\r\nDELE b",
            "a\0",
            "x.partial",
            "a?b",
            "a;b",
            "c:\\x",
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check(&"x".repeat(241)).is_err());
        assert!(check_dir("..").is_err());
    }

    proptest! {
        #[test]
        fn what_passes_stays_inside(name in "\\PC{0,20}|[./a]{1,12}") {
            if check(&name).is_ok() {
                let mut parts = Path::new(&name).components();
                prop_assert!(parts.all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
