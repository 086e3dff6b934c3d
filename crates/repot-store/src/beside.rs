//! Files of a set that are in the storage's root, where django-dbbackup looks, and not in the set's directory.

use std::io::{Read, Write};

use crate::storage::{Storage, StorageError};

/// Names of files in the storage's root that belong to a set, with their sidecars. Written before the first of them, and
/// removed after the last: whatever is cut off, it is known whose they are.
pub const BESIDE_NAME: &str = "files.json";
/// Most bytes of that list.
const BESIDE_MAX_BYTES: u64 = 1 << 20;
/// Says which files of the storage's root are a set's, before they are written. A name that is taken is refused: one
/// path for two files would lose one.
pub fn announce(storage: &Storage, set: &str, names: &[String]) -> Result<(), StorageError> {
    for name in names {
        if storage.exists(name)? {
            return Err(StorageError::Config(format!(
                "{name} is in {} already, and one of two backups would overwrite the other; wait until the name's date is another one, or put more of the time into the date format",
                storage.describe()
            )));
        }
    }
    // Also one that is only announced: whoever announced it may be writing it, or be pruned with what has the name then.
    if let Some(name) = claimed(storage, set)?.into_iter().find(|n| names.contains(n)) {
        return Err(StorageError::Config(format!(
            "{name} in {} belongs to another set already, which may be unfinished; wait until the name's date is another one, or put more of the time into the date format",
            storage.describe()
        )));
    }
    let config = |e: &dyn std::fmt::Display| StorageError::Config(format!("{BESIDE_NAME} of {set}: {e}"));
    let text = serde_json::to_vec_pretty(names).map_err(|e| config(&e))?;
    let mut out = storage.writer(&format!("{set}/{BESIDE_NAME}"))?;
    out.write_all(&text).map_err(|e| e.downcast::<StorageError>().unwrap_or_else(|e| config(&e)))?;
    out.finish().map(drop)
}

/// Names that sets other than this one claim.
pub(crate) fn claimed(storage: &Storage, set: &str) -> Result<Vec<String>, StorageError> {
    let mut found = Vec::new();
    for e in storage.list("")? {
        match e.name.split_once('/') {
            Some((other, BESIDE_NAME)) if other != set => found.extend(beside(storage, other)?),
            _ => {}
        }
    }
    Ok(found)
}

/// Names of the root's files that are a set's; empty without a list. What could be no file of a set's is left out.
pub fn beside(storage: &Storage, set: &str) -> Result<Vec<String>, StorageError> {
    let mut text = Vec::new();
    match storage.reader(&format!("{set}/{BESIDE_NAME}")) {
        Ok(r) => {
            let read = r.take(BESIDE_MAX_BYTES).read_to_end(&mut text);
            let _ = read
                .map_err(|e| StorageError::Config(format!("{BESIDE_NAME} of {set} cannot be read: {e}")))?;
        }
        Err(e) if e.is_not_found() => return Ok(Vec::new()),
        Err(e) => return Err(e),
    }
    let names: Vec<String> = serde_json::from_slice(&text).unwrap_or_default();
    let fit = |n: &String| !n.is_empty() && !n.contains('/') && !n.starts_with('.');
    Ok(names.into_iter().filter(fit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::remove_set;
    use crate::storage::StorageConfig;

    #[test]
    fn a_sets_files_go_with_it_and_nobody_elses() {
        let dir = tempfile::tempdir().expect("tempdir");
        let config = StorageConfig::parse(&dir.path().display().to_string()).expect("path");
        let storage = Storage::open(&config).expect("opens");
        let names = ["mine.psql".to_owned(), "mine.tar".to_owned()];
        announce(&storage, "p-20260301-101500-3f2a", &names).expect("announced");
        for name in ["mine.psql", "theirs.psql"] {
            std::fs::write(dir.path().join(name), "x").expect("written");
        }
        assert!(announce(&storage, "p-20260301-101501-3f2a", &names).is_err(), "one path for two files");
        let announced = "p-20260301-101502-3f2a";
        announce(&storage, announced, &["later.psql".to_owned()]).expect("announced");
        assert!(
            announce(&storage, "p-20260301-101503-3f2a", &["later.psql".to_owned()]).is_err(),
            "only announced"
        );
        remove_set(&storage, announced).expect("removed");
        let sets = crate::stored::list(&storage).expect("listed");
        assert_eq!(sets.len(), 1, "{sets:?}");
        assert_eq!(sets[0].beside, names);
        assert!(sets[0].manifest().is_none());
        remove_set(&storage, &sets[0].name).expect("removed");
        let left: Vec<_> = storage.list("").expect("listed").into_iter().map(|e| e.name).collect();
        assert_eq!(left, ["theirs.psql"]);
    }

    #[test]
    fn a_list_that_names_other_places_is_not_followed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let config = StorageConfig::parse(&dir.path().display().to_string()).expect("path");
        let storage = Storage::open(&config).expect("opens");
        std::fs::create_dir(dir.path().join("set")).expect("made");
        std::fs::write(dir.path().join("set").join(BESIDE_NAME), r#"["../x", "a/b", ".hidden", "fine", ""]"#)
            .expect("written");
        assert_eq!(beside(&storage, "set").expect("read"), ["fine"]);
    }
}
