//! Finds where every scalar of a YAML text is, and changes texts by splicing bytes.
//!
//! Nothing here ever writes a document back from a tree: what is not spliced keeps its bytes. Every change is
//! re-parsed and its event stream compared with the one that was intended.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::error::{Error, Result};

/// A Compose file larger than this is not one that a person wrote.
const MAX_TEXT_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 200;

pub(super) type NodeId = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EvKind {
    DocStart,
    DocEnd,
    Alias,
    Scalar,
    SeqStart,
    SeqEnd,
    MapStart,
    MapEnd,
}

/// One parser event, with the bytes that it covers (without anchor and tag).
#[derive(Debug, Clone)]
pub(super) struct Ev {
    pub(super) kind: EvKind,
    pub(super) value: String,
    /// `None` in an expected event: any style will do.
    pub(super) style: Option<ScalarStyle>,
    pub(super) tag: String,
    pub(super) anchor: usize,
    pub(super) span: Range<usize>,
    pub(super) line: usize,
    pub(super) column: usize,
    /// A sequence or mapping in flow style.
    pub(super) flow: bool,
}

impl Ev {
    pub(super) fn expected(kind: EvKind, value: &str) -> Ev {
        Ev {
            kind,
            value: value.to_owned(),
            style: None,
            tag: String::new(),
            anchor: 0,
            span: 0..0,
            line: 0,
            column: 0,
            flow: false,
        }
    }
    pub(super) fn scalar(value: &str) -> Ev {
        Ev::expected(EvKind::Scalar, value)
    }
    fn start_collection(&mut self, kind: EvKind, anchor: usize, tag: String, text: &str, raw: Range<usize>) {
        self.span = if anchor != 0 || !tag.is_empty() { skip_properties(text, raw) } else { raw };
        self.flow = text[self.span.clone()].starts_with(['{', '[']);
        self.kind = kind;
        self.anchor = anchor;
        self.tag = tag;
    }
    fn same(&self, other: &Ev) -> bool {
        self.kind == other.kind
            && self.value == other.value
            && self.tag == other.tag
            && self.anchor == other.anchor
            && (self.style.is_none() || other.style.is_none() || self.style == other.style)
    }
}

#[derive(Debug)]
pub(super) enum NodeKind {
    Scalar,
    Seq(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
    Alias,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Index of the event that begins it, and of the one that ends it.
    pub(super) first: usize,
    pub(super) last: usize,
}

/// One parsed YAML text.
#[derive(Debug)]
pub(super) struct Doc {
    pub(super) events: Vec<Ev>,
    pub(super) nodes: Vec<Node>,
    pub(super) root: Option<NodeId>,
    anchors: BTreeMap<usize, NodeId>,
}

/// An intended change of the event stream: `remove` events at `at` give way to `insert`.
pub(super) struct Change {
    pub(super) at: usize,
    pub(super) remove: usize,
    pub(super) insert: Vec<Ev>,
}

/// A change of the text.
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

fn unparsable(path: &Path, line: usize, why: impl std::fmt::Display) -> Error {
    Error::refused(
        "compose-unparsable",
        format!("{}, line {line}: not YAML that repot can edit", path.display()),
    )
    .why(why)
    .help("correct the file (`docker compose config` names the same place), then run the command again")
}

impl Doc {
    /// Parses one file. More than one document, or a key given twice, is refused, as Compose refuses the latter.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Doc> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::refused(
                "compose-too-complex",
                format!(
                    "{} has {} bytes; repot edits Compose files up to {MAX_TEXT_BYTES}",
                    path.display(),
                    text.len()
                ),
            )
            .help("edit the file by hand"));
        }
        // The parser counts in characters, and so must whoever reads its positions.
        let mut offsets: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        offsets.push(text.len());
        let at = |index: usize| offsets.get(index).copied().unwrap_or(text.len());

        let mut doc = Doc { events: Vec::new(), nodes: Vec::new(), root: None, anchors: BTreeMap::new() };
        let mut open: Vec<(NodeId, Option<NodeId>)> = Vec::new();
        let mut documents = 0;
        // Every event but a handful covers at least one character or closes one that does.
        let limit = 8 * offsets.len() + 64;
        let mut parser = Parser::new_from_str(text);
        while let Some(item) = parser.next_event() {
            let (event, span) = item.map_err(|e| unparsable(path, e.marker().line(), e.info()))?;
            if doc.events.len() > limit {
                return Err(unparsable(path, span.start.line(), "the parser makes no progress"));
            }
            let raw = at(span.start.index())..at(span.end.index()).max(at(span.start.index()));
            let mut ev = Ev::expected(EvKind::Scalar, "");
            ev.line = span.start.line();
            ev.column = span.start.col() + 1;
            let tag_of = |tag: Option<std::borrow::Cow<'_, saphyr_parser::Tag>>| {
                tag.map(|t| t.to_string()).unwrap_or_default()
            };
            let anchor;
            match event {
                Event::StreamStart | Event::StreamEnd | Event::Nothing => continue,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Error::refused(
                            "compose-multi-document",
                            format!("{}, line {}: a second YAML document begins", path.display(), ev.line),
                        )
                        .help("put the documents into files of their own (COMPOSE_FILE lists several)"));
                    }
                    ev.kind = EvKind::DocStart;
                    doc.events.push(ev);
                    continue;
                }
                Event::DocumentEnd => {
                    ev.kind = EvKind::DocEnd;
                    doc.events.push(ev);
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    ev.kind =
                        if matches!(event, Event::SequenceEnd) { EvKind::SeqEnd } else { EvKind::MapEnd };
                    ev.span = raw;
                    let Some((id, _)) = open.pop() else {
                        return Err(unparsable(path, ev.line, "an end without a beginning"));
                    };
                    doc.events.push(ev);
                    doc.nodes[id].last = doc.events.len() - 1;
                    continue;
                }
                Event::Alias(id) => {
                    anchor = 0;
                    ev.kind = EvKind::Alias;
                    ev.anchor = id;
                    ev.span = trim_end(text, raw);
                }
                Event::Scalar(value, style, id, tag) => {
                    anchor = id;
                    ev.anchor = id;
                    ev.tag = tag_of(tag);
                    ev.value = value.into_owned();
                    ev.style = Some(style);
                    let props = id != 0 || !ev.tag.is_empty();
                    ev.span = scalar_span(text, raw, style, ev.value.is_empty(), props);
                }
                Event::SequenceStart(id, tag) => {
                    anchor = id;
                    ev.start_collection(EvKind::SeqStart, id, tag_of(tag), text, raw);
                }
                Event::MappingStart(id, tag) => {
                    anchor = id;
                    ev.start_collection(EvKind::MapStart, id, tag_of(tag), text, raw);
                }
            }
            doc.push_node(path, ev, anchor, &mut open)?;
        }
        if !open.is_empty() {
            return Err(unparsable(path, text.lines().count(), "a mapping or list is not closed"));
        }
        doc.check_duplicate_keys(path)?;
        Ok(doc)
    }

    fn push_node(
        &mut self,
        path: &Path,
        ev: Ev,
        anchor: usize,
        open: &mut Vec<(NodeId, Option<NodeId>)>,
    ) -> Result<()> {
        let kind = match ev.kind {
            EvKind::SeqStart => NodeKind::Seq(Vec::new()),
            EvKind::MapStart => NodeKind::Map(Vec::new()),
            EvKind::Alias => NodeKind::Alias,
            _ => NodeKind::Scalar,
        };
        let collection = matches!(kind, NodeKind::Seq(_) | NodeKind::Map(_));
        let (id, line) = (self.nodes.len(), ev.line);
        let first = self.events.len();
        self.events.push(ev);
        self.nodes.push(Node { kind, first, last: first });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        match open.last_mut() {
            None => self.root = Some(id),
            Some((parent, pending)) => match &mut self.nodes[*parent].kind {
                NodeKind::Seq(items) => items.push(id),
                NodeKind::Map(entries) => match pending.take() {
                    None => *pending = Some(id),
                    Some(key) => entries.push((key, id)),
                },
                NodeKind::Scalar | NodeKind::Alias => {}
            },
        }
        if collection {
            if open.len() >= MAX_DEPTH {
                return Err(unparsable(path, line, format!("nested deeper than {MAX_DEPTH} levels")));
            }
            open.push((id, None));
        }
        Ok(())
    }

    fn check_duplicate_keys(&self, path: &Path) -> Result<()> {
        for node in &self.nodes {
            let NodeKind::Map(entries) = &node.kind else {
                continue;
            };
            let mut seen = BTreeSet::new();
            for (key, _) in entries {
                let ev = self.ev(*key);
                if ev.kind == EvKind::Scalar && !seen.insert(ev.value.as_str()) {
                    return Err(unparsable(path, ev.line, format!("the key `{}` is given twice", ev.value)));
                }
            }
        }
        Ok(())
    }

    pub(super) fn ev(&self, node: NodeId) -> &Ev {
        &self.events[self.nodes[node].first]
    }
    /// The node an anchor stands for.
    pub(super) fn anchored(&self, alias: NodeId) -> Option<NodeId> {
        self.anchors.get(&self.ev(alias).anchor).copied()
    }
    pub(super) fn entries(&self, node: NodeId) -> &[(NodeId, NodeId)] {
        match &self.nodes[node].kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }
    /// Where the last thing that a collection says ends; the end of a block, being the start of what follows, is none.
    pub(super) fn content_end(&self, node: NodeId) -> usize {
        let n = &self.nodes[node];
        let last = if self.events[n.first].flow { n.last } else { n.last + 1 };
        let says = |e: &&Ev| !(matches!(e.kind, EvKind::SeqEnd | EvKind::MapEnd) && e.span.is_empty());
        let ends = self.events[n.first..last.max(n.first + 1)].iter().filter(says).map(|e| e.span.end);
        ends.max().unwrap_or_default()
    }
    /// The value written under `key` in this very mapping: no merges, no aliases.
    pub(super) fn own_key(&self, node: NodeId, key: &str) -> Option<(NodeId, NodeId)> {
        self.entries(node).iter().copied().find(|(k, _)| self.is_key(*k, key))
    }
    pub(super) fn is_key(&self, node: NodeId, key: &str) -> bool {
        let ev = self.ev(node);
        ev.kind == EvKind::Scalar && ev.value == key
    }
    /// A plain scalar that says nothing, `~` or `null`.
    pub(super) fn is_null(&self, node: NodeId) -> bool {
        let ev = self.ev(node);
        ev.kind == EvKind::Scalar
            && ev.style == Some(ScalarStyle::Plain)
            && matches!(ev.value.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
    /// Whether the node stands inside `{}` or `[]`, where plain scalars may hold less.
    pub(super) fn in_flow(&self, node: NodeId) -> bool {
        let at = self.nodes[node].first;
        self.nodes.iter().any(|n| n.first < at && at < n.last && self.events[n.first].flow)
    }

    /// The text with `splices` made, if its event stream then is exactly the one that `changes` make of this one.
    pub(super) fn splice(
        &self,
        path: &Path,
        text: &str,
        mut splices: Vec<Splice>,
        mut changes: Vec<Change>,
    ) -> Result<String> {
        splices.sort_by_key(|s| s.range.start);
        let mut after = String::with_capacity(text.len() + 64);
        let mut from = 0;
        for s in &splices {
            let head = text.get(from..s.range.start).ok_or_else(|| inexact(path, "two changes overlap"))?;
            after.push_str(head);
            after.push_str(&s.text);
            from = s.range.end;
        }
        after.push_str(text.get(from..).ok_or_else(|| inexact(path, "a change past the end"))?);

        let got = Doc::parse(path, &after).map_err(|e| inexact(path, e))?;
        changes.sort_by_key(|c| c.at);
        let mut want: Vec<&Ev> = Vec::with_capacity(got.events.len());
        let mut from = 0;
        for c in &changes {
            want.extend(self.events.get(from..c.at).unwrap_or_default());
            want.extend(&c.insert);
            from = c.at + c.remove;
        }
        want.extend(self.events.get(from..).unwrap_or_default());
        if want.len() != got.events.len() {
            return Err(inexact(path, "the edited text has another structure than was intended"));
        }
        match want.iter().zip(&got.events).find(|(w, g)| !w.same(g)) {
            Some((_, g)) => Err(inexact(path, format!("line {} would not read as intended", g.line))),
            None => Ok(after),
        }
    }
}

pub(super) fn inexact(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::refused(
        "edit-not-exact",
        format!("{}: no edit was found that changes this value and nothing else", path.display()),
    )
    .why(why)
    .help("nothing was changed; make the edit by hand, then run the command again")
}

fn trim_end(text: &str, raw: Range<usize>) -> Range<usize> {
    let kept = text[raw.clone()].trim_end().len();
    raw.start..raw.start + kept
}

/// Steps over `&anchor` and `!tag` (either order), white space and comments.
fn skip_properties(text: &str, raw: Range<usize>) -> Range<usize> {
    let mut at = raw.start;
    loop {
        let rest = &text[at..raw.end];
        let step = match rest.chars().next() {
            Some('&' | '!') => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            Some('#') => rest.find('\n').unwrap_or(rest.len()),
            Some(c) if c.is_whitespace() => c.len_utf8(),
            _ => return at..raw.end,
        };
        at += step;
    }
}

fn scalar_span(text: &str, raw: Range<usize>, style: ScalarStyle, empty: bool, props: bool) -> Range<usize> {
    let span = if props { skip_properties(text, raw.clone()) } else { raw.clone() };
    let slice = &text[span.clone()];
    match style {
        // For `{a}` the parser covers the closing bracket.
        ScalarStyle::Plain if empty => raw.start..raw.start,
        ScalarStyle::Plain => trim_end(text, span),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => span.start..span.start + quoted_len(slice),
        ScalarStyle::Literal | ScalarStyle::Folded => span,
    }
}

/// The length of the quoted scalar that a text begins with. The parser's own span reaches past it, over a comment that
/// follows and the quotes in that.
fn quoted_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[0], bytes[at]) {
            (b'"', b'\\') => at += 1,
            (b'\'', b'\'') if bytes.get(at + 1) == Some(&b'\'') => at += 1,
            (quote, b) if quote == b => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}
