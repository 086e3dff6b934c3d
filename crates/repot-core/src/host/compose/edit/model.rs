//! Which of several files, anchors, merges and extended services gives a value.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::yaml::{Doc, EvKind, NodeId, NodeKind};
use super::{Provenance, Sources, VariableSource, Via, interpolate};
use crate::error::{Error, Result};

/// Aliases of aliases, merges of merges, services that extend services.
const MAX_HOPS: usize = 32;
/// Values of all files with every alias followed.
const MAX_FLAT: usize = 100_000;
/// Lists of merges of lists of merges double at every level; look-ups in one model end here.
const MAX_STEPS: usize = 5_000_000;

/// A value found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) file: usize,
    /// What stands there: a value, or the alias of one.
    pub(super) holder: NodeId,
    /// The value itself.
    pub(super) node: NodeId,
    pub(super) via: Vec<Via>,
    /// Whether `holder` stands in the service's own mapping, not behind an anchor, a merge or another service.
    pub(super) own: bool,
}

enum Look {
    Missing,
    /// `!reset` or `!override`: what earlier files say does not count.
    Stop,
    Found(Found),
}

/// All files, parsed.
pub(super) struct Model<'a> {
    pub(super) sources: &'a Sources,
    pub(super) docs: Vec<Doc>,
    variables: BTreeMap<String, String>,
    steps: Cell<usize>,
}

fn too_complex() -> Error {
    Error::refused(
        "compose-too-complex",
        "the Compose files' aliases, merges or extended services nest too deeply",
    )
    .help("edit the files by hand")
}

impl<'a> Model<'a> {
    pub(super) fn new(sources: &'a Sources) -> Result<Self> {
        let mut docs = Vec::new();
        for file in &sources.compose {
            let doc = Doc::parse(&file.path, &file.text)?;
            if let Some((key, value)) = doc.root.and_then(|r| doc.own_key(r, "include"))
                && !doc.is_null(value)
            {
                return Err(Error::refused(
                    "compose-include",
                    format!(
                        "{}, line {}: `include:` brings in other Compose files",
                        file.path.display(),
                        doc.ev(key).line
                    ),
                )
                .why("repot edits only the files it is given, and a value may come from an included one")
                .help("name the included files in COMPOSE_FILE instead, or edit them by hand"));
            }
            docs.push(doc);
        }
        Ok(Model { sources, docs, variables: sources.variables(), steps: Cell::new(0) })
    }

    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    pub(super) fn expand(&self, raw: &str) -> Result<String> {
        interpolate::expand(raw, &|name| self.lookup(name))
    }

    fn step(&self, hops: usize) -> Result<()> {
        self.steps.set(self.steps.get() + 1);
        if hops > MAX_HOPS || self.steps.get() > MAX_STEPS { Err(too_complex()) } else { Ok(()) }
    }

    /// Follows aliases to the value, telling their names.
    pub(super) fn deref(&self, file: usize, node: NodeId, via: &mut Vec<Via>) -> Result<NodeId> {
        let doc = &self.docs[file];
        let mut at = node;
        for _ in 0..MAX_HOPS {
            if doc.ev(at).kind != EvKind::Alias {
                return Ok(at);
            }
            via.push(Via::Anchor(self.alias_name(file, at)));
            at = doc.anchored(at).ok_or_else(too_complex)?;
        }
        Err(too_complex())
    }

    fn alias_name(&self, file: usize, node: NodeId) -> String {
        let text = &self.sources.compose[file].text;
        text[self.docs[file].ev(node).span.clone()].trim_start_matches('*').to_owned()
    }

    /// The value under `key` of a mapping: its own, else a merged one (of a list, the first that has it).
    pub(super) fn get(
        &self,
        file: usize,
        map: NodeId,
        key: &str,
        via: &mut Vec<Via>,
        hops: usize,
    ) -> Result<Option<NodeId>> {
        self.step(hops)?;
        let doc = &self.docs[file];
        if let Some((_, value)) = doc.own_key(map, key) {
            return Ok(Some(value));
        }
        let Some((_, merged)) = doc.own_key(map, "<<") else {
            return Ok(None);
        };
        let mut passed = Vec::new();
        let target = self.deref(file, merged, &mut passed)?;
        let parts = match &doc.nodes[target].kind {
            NodeKind::Seq(items) => items.clone(),
            _ => vec![merged],
        };
        for part in parts {
            let mut names = Vec::new();
            let node = self.deref(file, part, &mut names)?;
            let mut inner = Vec::new();
            if let Some(value) = self.get(file, node, key, &mut inner, hops + 1)? {
                let name =
                    names.into_iter().find_map(|v| if let Via::Anchor(n) = v { Some(n) } else { None });
                via.push(Via::Merge(name.unwrap_or_default()));
                via.extend(inner);
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The services' mapping of a file, and a service's node in it, as written there.
    pub(super) fn service_node(&self, file: usize, service: &str) -> Result<Option<NodeId>> {
        let doc = &self.docs[file];
        let Some(root) = doc.root else {
            return Ok(None);
        };
        let mut via = Vec::new();
        let Some(services) = self.get(file, root, "services", &mut via, 0)? else {
            return Ok(None);
        };
        let services = self.deref(file, services, &mut via)?;
        self.get(file, services, service, &mut via, 0)
    }

    pub(super) fn services(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (file, doc) in self.docs.iter().enumerate() {
            let services =
                doc.root.and_then(|r| self.get(file, r, "services", &mut Vec::new(), 0).ok().flatten());
            let Some(map) = services.and_then(|n| self.deref(file, n, &mut Vec::new()).ok()) else {
                continue;
            };
            for (key, _) in doc.entries(map) {
                let name = &doc.ev(*key).value;
                if name != "<<" && !name.starts_with("x-") && !out.contains(name) {
                    out.push(name.clone());
                }
            }
        }
        out
    }

    /// The service that `service` extends in a file. From another file is an error.
    pub(super) fn extended(&self, file: usize, service: NodeId) -> Result<Option<String>> {
        let doc = &self.docs[file];
        let map = self.deref(file, service, &mut Vec::new())?;
        let Some(node) = self.get(file, map, "extends", &mut Vec::new(), 0)? else {
            return Ok(None);
        };
        let node = self.deref(file, node, &mut Vec::new())?;
        if doc.ev(node).kind == EvKind::Scalar {
            return Ok(Some(doc.ev(node).value.clone()));
        }
        if let Some(other) = self.get(file, node, "file", &mut Vec::new(), 0)? {
            let other = self.deref(file, other, &mut Vec::new())?;
            let path = self.sources.compose[file].path.display();
            return Err(Error::refused(
                "compose-extends-file",
                format!(
                    "{path}, line {}: the service extends one of another file, {}",
                    doc.ev(other).line,
                    doc.ev(other).value
                ),
            )
            .why("repot follows `extends` only within one file")
            .help("give the service the value itself, or edit the other file by hand"));
        }
        let Some(name) = self.get(file, node, "service", &mut Vec::new(), 0)? else {
            return Ok(None);
        };
        let name = self.deref(file, name, &mut Vec::new())?;
        Ok(Some(doc.ev(name).value.clone()))
    }

    fn look(&self, file: usize, service: &str, path: &[&str], hops: usize) -> Result<Look> {
        if hops > MAX_HOPS {
            return Err(too_complex());
        }
        let Some(start) = self.service_node(file, service)? else {
            return Ok(Look::Missing);
        };
        let doc = &self.docs[file];
        let mut via = Vec::new();
        let mut stop = false;
        let mut holder = start;
        let mut found = true;
        // What was passed before the holder decides whether the holder is the service's own.
        let mut before_holder = 0;
        for key in path {
            let node = self.deref(file, holder, &mut via)?;
            stop |= tag(doc, node) == "override" || tag(doc, node) == "reset";
            let next = match &doc.nodes[node].kind {
                NodeKind::Map(_) => self.get(file, node, key, &mut via, 0)?,
                NodeKind::Seq(items) => match key.parse::<usize>() {
                    Ok(index) => items.get(index).copied(),
                    Err(_) => self.assignment(file, items, key),
                },
                NodeKind::Scalar | NodeKind::Alias => None,
            };
            before_holder = via.len();
            match next {
                Some(next) => holder = next,
                None => {
                    found = false;
                    break;
                }
            }
        }
        if found {
            if tag(doc, holder) == "reset" {
                return Ok(Look::Stop);
            }
            let node = self.deref(file, holder, &mut via)?;
            if !doc.is_null(node) || tag(doc, node) == "override" {
                return Ok(Look::Found(Found { file, holder, node, own: before_holder == 0, via }));
            }
        }
        if let Some(base) = self.extended(file, start)?
            && let Look::Found(mut hit) = self.look(file, &base, path, hops + 1)?
        {
            hit.via.insert(0, Via::Extends(base));
            hit.own = false;
            return Ok(Look::Found(hit));
        }
        Ok(if stop { Look::Stop } else { Look::Missing })
    }

    /// The last `KEY=value` of a list.
    fn assignment(&self, file: usize, items: &[NodeId], key: &str) -> Option<NodeId> {
        let doc = &self.docs[file];
        items.iter().copied().rev().find(|item| {
            let node = self.deref(file, *item, &mut Vec::new()).unwrap_or(*item);
            doc.ev(node).kind == EvKind::Scalar
                && doc.ev(node).value.split_once('=').is_some_and(|(k, _)| k == key)
        })
    }

    /// The value that wins, and the earlier files that give one too.
    pub(super) fn locate(&self, service: &str, path: &[&str]) -> Result<Option<Found>> {
        let mut winner: Option<Found> = None;
        let mut declared = false;
        for file in (0..self.docs.len()).rev() {
            declared |= self.service_node(file, service)?.is_some();
            match self.look(file, service, path, 0)? {
                Look::Missing => {}
                Look::Stop => {
                    declared = true;
                    break;
                }
                Look::Found(hit) => match &mut winner {
                    None => winner = Some(hit),
                    Some(w) => w.via.push(Via::Override(self.sources.compose[file].path.clone())),
                },
            }
        }
        if !declared {
            return Err(self.unknown(service));
        }
        Ok(winner)
    }

    pub(super) fn unknown(&self, service: &str) -> Error {
        let files: Vec<String> = self.sources.compose.iter().map(|f| f.path.display().to_string()).collect();
        Error::usage("service-unknown", format!("no service `{service}` in {}", files.join(", ")))
            .help(format!("the services are: {}", self.services().join(", ")))
    }

    pub(super) fn provenance(&self, service: &str, path: &[&str]) -> Result<Option<Provenance>> {
        let Some(found) = self.locate(service, path)? else {
            return Ok(None);
        };
        let doc = &self.docs[found.file];
        let source = &self.sources.compose[found.file];
        let ev = doc.ev(found.node);
        let mut via = found.via;
        let mut column = ev.column;
        let raw = if ev.kind == EvKind::Scalar {
            let assigned = match (path.last(), ev.value.split_once('=')) {
                // The list form of `environment:` and `labels:`; a path that ends there names the key.
                (Some(key), Some((k, v)))
                    if path.len() > 1 && k == *key && !self.in_map(&found.file, found.node) =>
                {
                    column += k.chars().count() + 1;
                    Some(v)
                }
                _ => None,
            };
            assigned.unwrap_or(&ev.value).to_owned()
        } else {
            // The bracket that closes it is part of a flow collection's text.
            let end = doc
                .content_end(found.node)
                .max(doc.events[doc.nodes[found.node].last].span.end * usize::from(ev.flow));
            source.text[ev.span.start..end.max(ev.span.start)].trim_end().to_owned()
        };
        for name in interpolate::names(&raw) {
            let from = self.sources.variable_source(&name).unwrap_or_else(|| {
                let has_default =
                    raw.contains(&format!("${{{name}:-")) || raw.contains(&format!("${{{name}-"));
                if has_default { VariableSource::Default } else { VariableSource::Unset }
            });
            via.push(Via::Variable { name, from });
        }
        if path == ["image"]
            && let Ok(image) = self.expand(&raw)
            && let Some((_, digest)) = image.split_once('@')
        {
            via.push(Via::Digest(digest.to_owned()));
        }
        Ok(Some(Provenance { file: source.path.clone(), line: ev.line, column, raw, via }))
    }

    fn in_map(&self, file: &usize, node: NodeId) -> bool {
        self.docs[*file]
            .nodes
            .iter()
            .any(|n| matches!(&n.kind, NodeKind::Map(es) if es.iter().any(|(_, v)| *v == node)))
    }

    /// The image of every service, variables replaced; `None` where there is none or it cannot be told.
    pub(super) fn images(&self) -> BTreeMap<String, Option<String>> {
        let image = |service: &str| {
            let found = self.locate(service, &["image"]).ok().flatten()?;
            self.expand(&self.docs[found.file].ev(found.node).value).ok()
        };
        self.services().into_iter().map(|s| (s.clone(), image(&s))).collect()
    }

    /// Every value of every file by its path, aliases and merges followed; the top level's `x-` parts, which Compose
    /// passes over, left out. What an edit changes here is what it changes.
    pub(super) fn flat(&self) -> Result<BTreeMap<String, String>> {
        let mut out = BTreeMap::new();
        for (file, doc) in self.docs.iter().enumerate() {
            if let Some(root) = doc.root {
                self.flatten(file, root, &format!("{file}"), 0, &mut out)?;
            }
        }
        Ok(out)
    }

    fn flatten(
        &self,
        file: usize,
        node: NodeId,
        path: &str,
        depth: usize,
        out: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        self.step(0)?;
        if depth > 2 * MAX_HOPS || out.len() > MAX_FLAT {
            return Err(too_complex());
        }
        let doc = &self.docs[file];
        let node = self.deref(file, node, &mut Vec::new())?;
        let ev = doc.ev(node);
        let size = match &doc.nodes[node].kind {
            NodeKind::Scalar | NodeKind::Alias => ev.value.clone(),
            NodeKind::Seq(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.flatten(file, *item, &format!("{path}/{i}"), depth + 1, out)?;
                }
                String::new()
            }
            NodeKind::Map(_) => {
                let mut keys = BTreeSet::new();
                self.keys(file, node, &mut keys, 0)?;
                for key in keys.iter().filter(|k| depth > 0 || !k.starts_with("x-")) {
                    if let Some(value) = self.get(file, node, key, &mut Vec::new(), 0)? {
                        self.flatten(file, value, &format!("{path}/{key}"), depth + 1, out)?;
                    }
                }
                String::new()
            }
        };
        out.insert(path.to_owned(), format!("{}{size}", ev.tag));
        Ok(())
    }

    fn keys(&self, file: usize, map: NodeId, out: &mut BTreeSet<String>, hops: usize) -> Result<()> {
        self.step(hops)?;
        let doc = &self.docs[file];
        for (key, value) in doc.entries(map) {
            if !doc.is_key(*key, "<<") {
                out.insert(doc.ev(*key).value.clone());
                continue;
            }
            let merged = self.deref(file, *value, &mut Vec::new())?;
            let parts = match &doc.nodes[merged].kind {
                NodeKind::Seq(items) => items.clone(),
                _ => vec![merged],
            };
            for part in parts {
                let part = self.deref(file, part, &mut Vec::new())?;
                self.keys(file, part, out, hops + 1)?;
            }
        }
        Ok(())
    }
}

fn tag(doc: &Doc, node: NodeId) -> &str {
    doc.ev(node).tag.trim_start_matches('!')
}
