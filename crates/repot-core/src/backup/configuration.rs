//! The application's configuration: what a restored database is worth nothing without.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::media::locate;
use crate::app::detect::Deployment;
use crate::error::{Error, Result};
use crate::host::compose::project::MountKind;
use crate::host::{DataLocation, Host, Store};

/// A configuration file larger than this is none, and is left out with a note.
const LARGEST_BYTES: u64 = 16 << 20;

/// A file of the tar: name, content, permission bits.
pub(super) type TarFile = (String, Vec<u8>, u32);

/// Reads the files: those of Compose, what they name as `env_file`, `repot.toml` and its profiles, single files of the
/// project's directory that are mounted into a service, and the profile's own. Says what it left out.
pub(super) fn collect(d: &Deployment, run: &str, more: &[PathBuf]) -> Result<(Vec<TarFile>, Vec<String>)> {
    let mut notes = Vec::new();
    let mut paths: Vec<PathBuf> = d.project.files.clone();
    paths.extend(d.project.env_file.clone());
    paths.push(d.project.dir.join(".env"));
    for file in &d.project.files {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        paths.extend(env_files(&text).into_iter().map(|p| d.project.dir.join(p)));
    }
    paths.extend(more.iter().cloned());
    for m in d.resolved.services.values().flat_map(|s| &s.mounts) {
        let source = Path::new(&m.source);
        if m.kind == MountKind::Bind && source.starts_with(&d.project.dir) && source.is_file() {
            paths.push(source.to_owned());
        }
    }
    let mut found: BTreeMap<String, TarFile> = BTreeMap::new();
    for path in paths {
        let name = name_of(&d.project.dir, &path);
        if found.contains_key(&name) {
            continue;
        }
        let meta = match std::fs::metadata(&path) {
            Ok(m) if m.is_file() => m,
            _ => continue,
        };
        if meta.len() > LARGEST_BYTES {
            notes.push(format!("{} is too large for a configuration file and was left out", path.display()));
            continue;
        }
        let content = std::fs::read(&path)
            .map_err(|e| Error::io(format!("cannot read the configuration file {}", path.display()), &e))?;
        let mode = meta.permissions().mode() & 0o777;
        found.insert(name.clone(), (name, content, mode));
    }
    let host = d.host(run);
    for f in &d.profile.config.files {
        let Some(at) = locate(&d.resolved, &f.service, &f.path) else { continue };
        let (at, name) = match (at.subdir.rsplit_once('/'), &at.store) {
            (Some((dir, name)), _) => {
                (DataLocation { subdir: dir.to_owned(), ..at.clone() }, name.to_owned())
            }
            (None, _) if !at.subdir.is_empty() => {
                (DataLocation { subdir: String::new(), ..at.clone() }, at.subdir.clone())
            }
            // The mount is the file itself.
            (None, Store::Bind(source)) => match source.rsplit_once('/') {
                Some((dir, name)) => {
                    (DataLocation { store: Store::Bind(dir.to_owned()), ..at.clone() }, name.to_owned())
                }
                None => continue,
            },
            (None, Store::Volume(_)) => continue,
        };
        if let Some(content) = host.read_data_file(&d.helper_image()?, &at, &name)? {
            let name = format!("services/{}{}", f.service, f.path);
            found.insert(name.clone(), (name, content, 0o600));
        }
    }
    Ok((found.into_values().collect(), notes))
}

/// A file's name in the tar: from the project's directory on, or below `outside`.
fn name_of(dir: &Path, path: &Path) -> String {
    let clean: PathBuf = path.components().filter(|c| *c != std::path::Component::CurDir).collect();
    let has_parent = |p: &Path| p.components().any(|c| c == std::path::Component::ParentDir);
    match clean.strip_prefix(dir) {
        Ok(inside) if !has_parent(inside) => inside.display().to_string(),
        _ => {
            let whole = std::fs::canonicalize(&clean).unwrap_or(clean);
            match whole.strip_prefix(dir) {
                Ok(inside) => inside.display().to_string(),
                Err(_) => format!("outside/{}", whole.display().to_string().trim_start_matches('/')),
            }
        }
    }
}

/// What a Compose file names as `env_file`. The resolved configuration of older versions of Compose has only the
/// variables; a name that this reads wrongly is a file that is not there.
fn env_files(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let clean = |s: &str| {
        let s = s.split(" #").next().unwrap_or_default().trim();
        s.trim_start_matches("path:").trim().trim_matches(['"', '\'']).to_owned()
    };
    let mut list_at: Option<usize> = None;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        let word = line.trim();
        if let Some(at) = list_at {
            let item = word.strip_prefix("- ").or_else(|| word.strip_prefix("path:"));
            match item {
                Some(i) if depth >= at => found.push(clean(i)),
                _ if word.is_empty() || word.starts_with('#') || depth > at => {}
                _ => list_at = None,
            }
        }
        if let Some(rest) = word.strip_prefix("env_file:") {
            let rest = rest.trim();
            if rest.is_empty() || rest.starts_with('#') {
                list_at = Some(depth);
            } else {
                let items = rest.trim_start_matches('[').split(']').next().unwrap_or_default();
                found.extend(items.split(',').map(clean));
            }
        }
    }
    found.retain(|f| !f.is_empty() && !f.contains('$'));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_of_a_compose_file() {
        let text = "services:\n  a:\n    env_file: .env # all\n  b:\n    env_file:\n      - ./b.env\n      - path: c.env\n        required: false\n    image: x\n  c:\n    env_file: [\"d.env\", e.env]\n    command:\n      - f.env\n";
        assert_eq!(env_files(text), [".env", "./b.env", "c.env", "d.env", "e.env"]);
    }

    #[test]
    fn names_stay_below_the_tar() {
        let dir = Path::new("/srv/app");
        assert_eq!(name_of(dir, Path::new("/srv/app/./b.env")), "b.env");
        assert_eq!(name_of(dir, Path::new("/etc/no-such-x.env")), "outside/etc/no-such-x.env");
    }
}
