//! Plans edits: tries the way a person would choose, keeps it only if nothing else changes by it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::interpolate::{self, Op, Piece};
use super::model::{Found, Model};
use super::write::{insert_first, replace_scalar};
use super::yaml::{EvKind, NodeId, NodeKind};
use super::{ImageRef, SourceFile, Sources, VariableSource, diff, set_dotenv};
use crate::error::{Error, Result};

const MAX_NESTED_DEFAULTS: usize = 8;

/// What the names of secrets contain.
const SECRET_WORDS: [&str; 6] = ["pass", "secret", "token", "key", "credential", "url"];

/// A file that an [`Editor`] changed.
#[derive(Clone, PartialEq, Eq)]
pub struct EditedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it said.
    pub before: String,
    /// What it is to say.
    pub after: String,
}

impl EditedFile {
    /// The change as a unified diff for people. Values of unchanged lines that may be secrets (all of `.env`, and in
    /// Compose files those named like one) are masked, so that a plan can be shown and logged.
    #[must_use]
    pub fn diff(&self) -> String {
        let name = self.path.display().to_string();
        let dotenv = self.path.file_name().is_some_and(|n| n.to_string_lossy().contains(".env"));
        let mut out = String::new();
        for line in diff(&self.before, &self.after, &name).split_inclusive('\n') {
            let masked = line.strip_prefix(' ').and_then(|text| {
                let lower = text.to_ascii_lowercase();
                let word = SECRET_WORDS.iter().filter_map(|w| lower.find(w)).min();
                let from = if dotenv { 0 } else { word? };
                let at = from + text[from..].find(['=', ':'])?;
                (!text[at + 1..].trim().is_empty()).then(|| format!(" {} …\n", &text[..=at]))
            });
            out.push_str(masked.as_deref().unwrap_or(line));
        }
        out
    }
}

impl std::fmt::Debug for EditedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.diff())
    }
}

/// Plans edits as changed texts; applies nothing. An operation that fails has changed nothing.
#[derive(Debug, Clone)]
pub struct Editor {
    pub(super) sources: Sources,
    original: Sources,
}

/// How a value written with variables can come to say something else.
enum Rewrite {
    Text(String),
    Variable(String, String),
}

/// One way of changing an image.
enum Attempt {
    Variable(String, String),
    Scalar(NodeId, String),
    Key,
}

impl Editor {
    /// An editor of these texts.
    #[must_use]
    pub fn new(sources: Sources) -> Editor {
        Editor { original: sources.clone(), sources }
    }

    /// The texts as edited so far.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Makes `service` run `new_image`, and no other service anything else. In order of preference: the variable in
    /// `.env` that decides it (if nothing else uses it), the value where it stands (in the default of an expression,
    /// behind an anchor that nothing else uses), an `image:` of the service's own.
    ///
    /// # Errors
    /// `image-invalid`, `service-unknown`, `image-missing`, `image-from-shell`, `image-shared`, `edit-not-exact`, and
    /// those of parsing and interpolation.
    pub fn set_image(&mut self, service: &str, new_image: &str) -> Result<()> {
        ImageRef::parse(new_image)?;
        let model = Model::new(&self.sources)?;
        let Some(found) = model.locate(service, &["image"])? else {
            return Err(Error::refused("image-missing", format!("the service {service} names no image"))
                .why("it is built from a Dockerfile, or another file gives it")
                .help("give it an `image:` by hand, then run the command again"));
        };
        let doc = &model.docs[found.file];
        let ev = doc.ev(found.node).clone();
        if ev.kind != EvKind::Scalar {
            return Err(Error::refused("image-missing", format!("the image of {service} is not a text"))
                .help("write it as `image: name:tag`"));
        }
        let before = model.images();
        // A variable that is required and unset makes the current image unknown; it can be replaced all the same.
        if before.get(service).and_then(Option::as_deref) == Some(new_image) {
            return Ok(());
        }
        let flat = model.flat()?;
        let path = format!("{}/services/{service}/image", found.file);
        let mut attempts = Vec::new();
        if ev.value.contains('$') {
            match self.rewrite(&model, &ev.value, new_image, service, 0)? {
                Some(Rewrite::Variable(name, value))
                    if !self.used_elsewhere(&model, &flat, &name, &found, &path) =>
                {
                    attempts.push(Attempt::Variable(name, value));
                }
                Some(Rewrite::Text(raw)) => attempts.push(Attempt::Scalar(found.node, raw)),
                _ => {}
            }
        }
        attempts.push(Attempt::Scalar(found.node, new_image.to_owned()));
        if found.own && found.holder != found.node {
            attempts.push(Attempt::Scalar(found.holder, new_image.to_owned()));
        }
        if !found.own {
            attempts.push(Attempt::Key);
        }
        let place = self.place(&found, ev.line);
        let mut first_error = None;
        for attempt in &attempts {
            let tried = match attempt {
                Attempt::Variable(name, value) => self.with_variable(name, value),
                Attempt::Scalar(node, raw) => self.with_scalars(&model, found.file, &[(*node, raw.clone())]),
                Attempt::Key => self.with_key(&model, found.file, service, "image", new_image),
            };
            match tried.and_then(|next| {
                changes_only(&next, service, new_image, &before, &flat, &path, &place).map(|()| next)
            }) {
                Ok(next) => {
                    self.sources = next;
                    return Ok(());
                }
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        Err(first_error.unwrap_or_else(|| shared(service, &place, "no edit was found")))
    }

    /// Sets a variable in `.env`, keeping its quotes, comment and `export`; adds a line if it is not there.
    ///
    /// # Errors
    /// `variable-from-shell` when the shell's value would win, `dotenv-missing`, `variable-invalid`.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<()> {
        self.sources = self.with_variable(name, value)?;
        Ok(())
    }

    /// The files that changed.
    #[must_use]
    pub fn finish(self) -> Vec<EditedFile> {
        let before = self.original.compose.into_iter().chain(self.original.dotenv);
        let after = self.sources.compose.into_iter().chain(self.sources.dotenv);
        before
            .zip(after)
            .filter(|(b, a)| b.text != a.text)
            .map(|(b, a)| EditedFile { path: b.path, before: b.text, after: a.text })
            .collect()
    }

    pub(super) fn place(&self, found: &Found, line: usize) -> String {
        format!("{}, line {line}", self.sources.compose[found.file].path.display())
    }

    fn with_variable(&self, name: &str, value: &str) -> Result<Sources> {
        if self.sources.shell.contains_key(name) {
            return Err(Error::refused(
                "variable-from-shell",
                format!("the variable {name} is set in the shell"),
            )
            .why("the shell's value beats the one in .env, so an edit there would change nothing")
            .help(format!(
                "run `unset {name}`, or change it where the shell gets it from, then run the command again"
            )));
        }
        let mut next = self.sources.clone();
        let Some(file) = &mut next.dotenv else {
            return Err(Error::refused("dotenv-missing", format!("there is no .env to set {name} in"))
                .help("create an empty .env beside the Compose file, then run the command again"));
        };
        file.text = set_dotenv(&file.text, name, value)?;
        Ok(next)
    }

    fn file(&self, file: usize) -> &SourceFile {
        &self.sources.compose[file]
    }

    pub(super) fn with_text(&self, file: usize, text: String) -> Sources {
        let mut next = self.sources.clone();
        next.compose[file].text = text;
        next
    }

    /// The sources with these nodes (scalars, or aliases in place of scalars) saying these raw values.
    pub(super) fn with_scalars(
        &self,
        model: &Model<'_>,
        file: usize,
        values: &[(NodeId, String)],
    ) -> Result<Sources> {
        let (doc, source) = (&model.docs[file], self.file(file));
        let (mut splices, mut changes) = (Vec::new(), Vec::new());
        for (node, value) in values {
            let (splice, change) = replace_scalar(doc, source, *node, value)?;
            splices.push(splice);
            changes.push(change);
        }
        Ok(self.with_text(file, doc.splice(&source.path, &source.text, splices, changes)?))
    }

    /// The sources with `key: value` as the first line of the service's own mapping.
    pub(super) fn with_key(
        &self,
        model: &Model<'_>,
        file: usize,
        service: &str,
        key: &str,
        value: &str,
    ) -> Result<Sources> {
        let (doc, source) = (&model.docs[file], self.file(file));
        let node = model.service_node(file, service)?;
        let map = node.filter(|n| matches!(doc.nodes[*n].kind, NodeKind::Map(_)));
        let place = source.path.display();
        let map = map.ok_or_else(|| {
            shared(
                service,
                &place.to_string(),
                "the service is an alias, so it has no mapping of its own to put an image in",
            )
        })?;
        let (splice, change) = insert_first(doc, source, map, key, value)?;
        Ok(self.with_text(file, doc.splice(&source.path, &source.text, vec![splice], vec![change])?))
    }

    /// Whether anything but the found value names a variable: another value of a Compose file (an alias of this one
    /// included), another line of `.env`.
    fn used_elsewhere(
        &self,
        model: &Model<'_>,
        flat: &BTreeMap<String, String>,
        name: &str,
        found: &Found,
        path: &str,
    ) -> bool {
        let names = |text: &str| text == name || interpolate::names(text).iter().any(|n| n == name);
        let in_compose = model.docs.iter().enumerate().any(|(file, doc)| {
            let target = doc.nodes.get(found.node).map(|n| n.first).filter(|_| file == found.file);
            doc.events
                .iter()
                .enumerate()
                .any(|(i, ev)| Some(i) != target && ev.kind == EvKind::Scalar && names(&ev.value))
        });
        let entries = self.sources.dotenv.as_ref().map(|f| super::parse_dotenv(&f.text)).unwrap_or_default();
        let aliased = flat.iter().any(|(p, value)| p != path && names(value));
        in_compose
            || aliased
            || entries
                .iter()
                .any(|e| e.quote != Some('\'') && interpolate::names(&e.value).iter().any(|n| n == name))
    }

    /// How `raw` can come to mean `new` by changing one of its parts: a stretch of text, a variable, or a default.
    fn rewrite(
        &self,
        model: &Model<'_>,
        raw: &str,
        new: &str,
        service: &str,
        depth: usize,
    ) -> Result<Option<Rewrite>> {
        let parts = interpolate::pieces(raw)?;
        let lookup = |name: &str| model.lookup(name);
        let mut values = Vec::new();
        for part in &parts {
            // A variable that nothing sets leaves a broken value; nothing is to be built on it.
            if matches!(part, Piece::Var(v) if v.op.is_none() && lookup(&v.name).is_none()) {
                return Ok(None);
            }
            let Ok(value) = interpolate::piece_value(raw, part, &lookup) else {
                return Ok(None);
            };
            values.push(value);
        }
        for (k, part) in parts.iter().enumerate().rev() {
            let (head, tail) = (values[..k].concat(), values[k + 1..].concat());
            if new.len() <= head.len() + tail.len()
                || !new.starts_with(&head)
                || !new.ends_with(&tail)
                || values[k].is_empty()
            {
                continue;
            }
            let middle = &new[head.len()..new.len() - tail.len()];
            match part {
                Piece::Dollar => {}
                Piece::Text(range) => {
                    let middle = middle.replace('$', "$$");
                    return Ok(Some(Rewrite::Text(format!(
                        "{}{middle}{}",
                        &raw[..range.start],
                        &raw[range.end..]
                    ))));
                }
                Piece::Var(var) => {
                    let present = lookup(&var.name).is_some_and(|v| !(var.colon && v.is_empty()));
                    if present && var.op != Some(Op::Alternate) {
                        return match self.sources.variable_source(&var.name) {
                            Some(VariableSource::Shell) => Err(from_shell(service, &var.name, middle)),
                            _ => Ok(Some(Rewrite::Variable(var.name.clone(), middle.to_owned()))),
                        };
                    }
                    if var.op == Some(Op::Default) && depth < MAX_NESTED_DEFAULTS {
                        let arg = &raw[var.arg.clone()];
                        return Ok(self.rewrite(model, arg, middle, service, depth + 1)?.map(|inner| {
                            match inner {
                                Rewrite::Text(text) => Rewrite::Text(format!(
                                    "{}{text}{}",
                                    &raw[..var.arg.start],
                                    &raw[var.arg.end..]
                                )),
                                variable @ Rewrite::Variable(..) => variable,
                            }
                        }));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Whether the image of `service`, at the flattened `path`, is all that the candidate changes.
fn changes_only(
    candidate: &Sources,
    service: &str,
    new_image: &str,
    before: &BTreeMap<String, Option<String>>,
    flat: &BTreeMap<String, String>,
    path: &str,
    place: &str,
) -> Result<()> {
    let after = Model::new(candidate)?;
    let images = after.images();
    if images.get(service).and_then(Option::as_deref) != Some(new_image) {
        return Err(shared(service, place, "the edited value would not decide the image"));
    }
    if let Some((other, _)) = before.iter().find(|(s, image)| *s != service && images.get(*s) != Some(*image))
    {
        return Err(shared(service, place, format!("the service {other} would change with it")));
    }
    let changed = after.flat()?;
    let other = changed.iter().find(|(p, v)| *p != path && flat.get(*p) != Some(*v)).map(|(p, _)| p);
    match other.or_else(|| flat.keys().find(|p| !changed.contains_key(*p))) {
        Some(p) => Err(shared(service, place, format!("{} would change with it", shown(p)))),
        None => Ok(()),
    }
}

fn from_shell(service: &str, name: &str, value: &str) -> Error {
    Error::refused(
        "image-from-shell",
        format!("the image of {service} depends on {name}, which the shell sets"),
    )
    .why("the shell's value beats every file that repot could edit")
    .help(format!(
        "set {name}={value} where the shell gets it from, or `unset {name}`, then run the command again"
    ))
}

fn shared(service: &str, place: &str, why: impl std::fmt::Display) -> Error {
    Error::refused("image-shared", format!("{place}: the image of {service} cannot be changed for it alone"))
        .why(why)
        .help(format!("give {service} an `image:` of its own by hand, then run the command again"))
}

/// A flattened path without its file's number.
pub(super) fn shown(path: &str) -> &str {
    path.split_once('/').map_or(path, |(_, p)| p)
}
