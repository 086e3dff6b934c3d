//! Where a service's volumes are mounted.

use std::path::PathBuf;

use super::Sources;
use super::editor::{Editor, shown};
use super::model::Model;
use super::write::{insert_first, replace_scalar};
use super::yaml::{EvKind, NodeId, NodeKind};
use crate::error::{Error, Result};

const MAX_EXTENDS: usize = 32;

/// What is to change of a mount; what is `None` stays as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountChange {
    /// A volume's name, or a path that begins with `/`, `.` or `~`.
    pub new_source: Option<String>,
    /// The path inside the container.
    pub new_target: Option<String>,
}

/// A mount as it stands, variables replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// A volume's name as the Compose file has it, or a path; `None` for an anonymous volume.
    pub source: Option<String>,
    /// The path inside the container.
    pub target: String,
    /// The file that gives it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
}

impl Sources {
    /// The mounts of a service, sorted by target; of two with one target, the one that Compose uses.
    ///
    /// # Errors
    /// Those of [`Sources::service_value`] and [`Sources::interpolate`].
    pub fn mounts(&self, service: &str) -> Result<Vec<MountPoint>> {
        let model = Model::new(self)?;
        let mut targets = Vec::new();
        for file in 0..model.docs.len() {
            let mut found = Vec::new();
            model.mounts(file, service, true, 0, &mut found)?;
            targets.extend(found.into_iter().map(|m| m.target.trim_end_matches('/').to_owned()));
        }
        targets.sort();
        targets.dedup();
        let mut out = Vec::new();
        for target in targets {
            if let Some(m) = model.mount_at(service, &target)? {
                let line = model.docs[m.file].ev(m.node).line;
                out.push(MountPoint {
                    source: m.source,
                    target: m.target,
                    file: self.compose[m.file].path.clone(),
                    line,
                });
            }
        }
        Ok(out)
    }
}

/// One entry of a service's `volumes:`.
struct Mount {
    file: usize,
    /// Its place in the list.
    index: usize,
    node: NodeId,
    source: Option<String>,
    target: String,
    /// Written for this service, not taken over from one that it extends.
    own: bool,
}

/// The parts of the short form; colons inside `${…}` divide nothing, and neither does a Windows drive's.
fn split_short(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0usize, 0);
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                let drive = i == from + 1 && text.as_bytes()[from].is_ascii_alphabetic();
                if !(drive && text[i + 1..].starts_with(['\\', '/']) && text[i + 1..].contains(':')) {
                    parts.push(&text[from..i]);
                    from = i + 1;
                }
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn same_path(a: &str, b: &str) -> bool {
    let trim = |p: &str| p.trim_end_matches('/').to_owned();
    trim(a) == trim(b)
}

fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~']) || source.contains('\\')
}

fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

impl Model<'_> {
    /// The mounts that one file gives a service, those of the service it extends last.
    fn mounts(&self, file: usize, service: &str, own: bool, hops: usize, out: &mut Vec<Mount>) -> Result<()> {
        let Some(start) = self.service_node(file, service)? else {
            return Ok(());
        };
        let doc = &self.docs[file];
        let mut via = Vec::new();
        let map = self.deref(file, start, &mut via)?;
        if let Some(list) = self.get(file, map, "volumes", &mut via, 0)? {
            let list = self.deref(file, list, &mut via)?;
            let NodeKind::Seq(items) = &doc.nodes[list].kind else {
                return Ok(());
            };
            for (index, item) in items.iter().enumerate() {
                let node = self.deref(file, *item, &mut via)?;
                let (source, target) = match &doc.nodes[node].kind {
                    NodeKind::Map(_) => {
                        let text = |key: &str| -> Result<Option<String>> {
                            let Some(n) = self.get(file, node, key, &mut Vec::new(), 0)? else {
                                return Ok(None);
                            };
                            let n = self.deref(file, n, &mut Vec::new())?;
                            Ok(Some(self.expand(&doc.ev(n).value)?))
                        };
                        (text("source")?, text("target")?.unwrap_or_default())
                    }
                    _ => {
                        let value = self.expand(&doc.ev(node).value)?;
                        match split_short(&value).as_slice() {
                            [target] => (None, (*target).to_owned()),
                            [source, target, ..] => (Some((*source).to_owned()), (*target).to_owned()),
                            [] => continue,
                        }
                    }
                };
                out.push(Mount { file, index, node, source, target, own });
            }
        }
        if hops < MAX_EXTENDS
            && let Some(base) = self.extended(file, start)?
        {
            self.mounts(file, &base, false, hops + 1, out)?;
        }
        Ok(())
    }

    /// The mount at `target` that wins.
    fn mount_at(&self, service: &str, target: &str) -> Result<Option<Mount>> {
        let mut declared = false;
        for file in (0..self.docs.len()).rev() {
            declared |= self.service_node(file, service)?.is_some();
            let mut mounts = Vec::new();
            self.mounts(file, service, true, 0, &mut mounts)?;
            // Of two entries of one list with one target the later counts; an extended service's count least.
            mounts.sort_by_key(|m| (m.own, m.index));
            if let Some(hit) = mounts.into_iter().rev().find(|m| same_path(&m.target, target)) {
                return Ok(Some(hit));
            }
        }
        if declared { Ok(None) } else { Err(self.unknown(service)) }
    }
}

impl Editor {
    /// Changes the mount that `service` has at the container path `target` today: its source, its target, or both.
    /// A part that does not change keeps its text, variables included; a source that changes is written out.
    ///
    /// # Errors
    /// `service-unknown`, `mount-missing`, `mount-invalid`, `mount-shared`, `edit-unsupported`, `edit-not-exact`.
    pub fn set_mount(&mut self, service: &str, target: &str, change: MountChange) -> Result<()> {
        for new in [&change.new_source, &change.new_target].into_iter().flatten() {
            if new.is_empty() || new.contains('\0') || new.contains('\n') {
                return Err(Error::usage(
                    "mount-invalid",
                    format!("`{new}` can be neither side of a mount of {service}"),
                ));
            }
        }
        let model = Model::new(&self.sources)?;
        let Some(mount) = model.mount_at(service, target)? else {
            return Err(Error::refused("mount-missing", format!("the service {service} mounts nothing at {target}"))
                .why("no entry of its `volumes:` has this target")
                .help("an anonymous volume of the image, or a mount from another file, has to be made explicit by hand first"));
        };
        let doc = &model.docs[mount.file];
        let source_file = &self.sources.compose[mount.file];
        let place = format!("{}, line {}", source_file.path.display(), doc.ev(mount.node).line);
        let shared = |why: String| {
            Error::refused(
                "mount-shared",
                format!("{place}: the mount of {service} at {target} cannot be changed for it alone"),
            )
            .why(why)
            .help(format!("give {service} a `volumes:` list of its own by hand, then run the command again"))
        };
        if !mount.own {
            return Err(shared("it belongs to a service that this one extends".to_owned()));
        }
        for other in model.services() {
            if let Some(node) = model.service_node(mount.file, &other)?
                && model.extended(mount.file, node).ok().flatten().as_deref() == Some(service)
            {
                return Err(shared(format!("the service {other} extends {service}")));
            }
        }
        let flat = model.flat()?;
        let (mut splices, mut changes) = (Vec::new(), Vec::new());
        let mut set = |node: NodeId, value: &str| -> Result<()> {
            let (splice, change) = replace_scalar(doc, source_file, node, value)?;
            splices.push(splice);
            changes.push(change);
            Ok(())
        };
        if doc.ev(mount.node).kind == EvKind::Scalar {
            let raw = &doc.ev(mount.node).value;
            set(mount.node, &short_form(&model, raw, &mount, &change)?)?;
        } else {
            let written = |key: &str| doc.own_key(mount.node, key).map(|(_, value)| value);
            let missing = |key: &str| shared(format!("its `{key}` is not written in the entry itself"));
            if let Some(new) = &change.new_target {
                set(written("target").ok_or_else(|| missing("target"))?, &escape(new))?;
            }
            if let Some(new) = &change.new_source {
                let kind = written("type").ok_or_else(|| missing("type"))?;
                let wanted = if is_path(new) { "bind" } else { "volume" };
                if doc.ev(kind).value != wanted {
                    set(kind, wanted)?;
                }
                if let Some(source) = written("source") {
                    set(source, &escape(new))?;
                } else {
                    let (splice, change) =
                        insert_first(doc, source_file, mount.node, "source", &escape(new))?;
                    splices.push(splice);
                    changes.push(change);
                }
            }
        }
        let text = doc.splice(&source_file.path, &source_file.text, splices, changes)?;
        let next = self.with_text(mount.file, text);

        let after = Model::new(&next)?;
        let prefix = format!("{}/services/{service}/volumes/{}", mount.file, mount.index);
        let inside = |path: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
        let changed = after.flat()?;
        let other = changed.iter().find(|(p, v)| !inside(p) && flat.get(*p) != Some(*v)).map(|(p, _)| p);
        if let Some(p) = other.or_else(|| flat.keys().find(|p| !changed.contains_key(*p))) {
            return Err(shared(format!("{} would change with it", shown(p))));
        }
        let (source, target) =
            (change.new_source.or(mount.source), change.new_target.unwrap_or(mount.target));
        let got = after.mount_at(service, &target)?;
        if !got.is_some_and(|m| {
            m.file == mount.file && m.index == mount.index && m.source == source && m.target == target
        }) {
            return Err(super::yaml::inexact(
                &source_file.path,
                format!("the mount would not be {target} afterwards"),
            ));
        }
        self.sources = next;
        Ok(())
    }
}

/// The short form with its changes made.
fn short_form(model: &Model<'_>, raw: &str, mount: &Mount, change: &MountChange) -> Result<String> {
    let value = model.expand(raw)?;
    let values = split_short(&value);
    let written = split_short(raw);
    // Where the parts as written are the parts as read, those that do not change keep their variables.
    let aligned = written.len() == values.len()
        && written.iter().zip(&values).all(|(w, v)| model.expand(w).is_ok_and(|e| e == **v));
    let mut parts: Vec<String> = if aligned {
        written.iter().map(|p| (*p).to_owned()).collect()
    } else {
        values.iter().map(|p| escape(p)).collect()
    };
    if mount.source.is_none() && change.new_source.is_some() {
        parts.insert(0, String::new());
    }
    let target = usize::from(parts.len() > 1);
    if let Some(new) = &change.new_source {
        parts[0] = escape(new);
    }
    if let Some(new) = &change.new_target {
        parts[target] = escape(new);
    }
    Ok(parts.join(":"))
}
