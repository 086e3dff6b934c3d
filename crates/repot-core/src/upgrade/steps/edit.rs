//! Editing the user's files: planned texts in, proved afterwards, originals kept byte for byte.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};

use super::Context;
use crate::error::{Error, Result};
use crate::upgrade::files::{hash, replace_file};
use crate::upgrade::plan::{FileEdit, Step};

fn edits<'a>(cx: &'a Context, step: Step) -> impl Iterator<Item = &'a FileEdit> {
    cx.plan().edits.iter().filter(move |e| e.stage == step)
}

fn content(edit: &FileEdit) -> Result<Vec<u8>> {
    std::fs::read(&edit.path).map_err(|e| Error::io(format!("cannot read {}", edit.path.display()), &e))
}

pub(super) fn is_edited(cx: &Context, step: Step) -> Result<Option<Value>> {
    for e in edits(cx, step) {
        if hash(&content(e)?) != e.after {
            return Ok(None);
        }
    }
    Ok(Some(json!({})))
}

pub(super) fn apply(cx: &Context, step: Step) -> Result<Value> {
    let mut names = Vec::new();
    for e in edits(cx, step) {
        let now = hash(&content(e)?);
        if now == e.before {
            replace_file(&e.path, &cx.files.load_text(&e.after)?)?;
        } else if now != e.after {
            return Err(Error::failed(
                "file-changed",
                format!("{} was changed since the run was planned", e.path.display()),
            )
            .help("put it back as it was and `repot resume`, or `repot rollback`"));
        }
        names.push(e.path.display().to_string());
    }
    // What the edit changes was proved value by value when it was planned; this is the proof that Compose reads
    // the real files too.
    cx.host.resolved_configuration()?;
    Ok(json!({ "files": names }))
}

/// The name in the run's directory for what somebody has made of a file: two files of one name in two directories do
/// not meet.
fn kept_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("changed-{}-{name}", &hash(path.as_os_str().as_bytes())[..8])
}

pub(super) fn undo(cx: &Context, step: Step) -> Result<()> {
    for e in edits(cx, step) {
        let bytes = content(e)?;
        let now = hash(&bytes);
        if now == e.before {
            continue;
        }
        if now != e.after {
            let kept = kept_name(&e.path);
            cx.files.save(&kept, &bytes)?;
            cx.note(format!(
                "{} was changed after the upgrade; your version is kept as {}",
                e.path.display(),
                cx.files.path(&kept).display()
            ));
        }
        replace_file(&e.path, &cx.files.load_text(&e.before)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_one_name_are_both_kept() {
        let names = ["/srv/app/compose.yaml", "/srv/app/db/compose.yaml"].map(|p| kept_name(Path::new(p)));
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|n| n.starts_with("changed-") && n.ends_with("-compose.yaml")), "{names:?}");
    }
}
