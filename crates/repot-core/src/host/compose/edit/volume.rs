//! Declares a volume under the top level's `volumes:`.

use saphyr_parser::ScalarStyle;

use super::SourceFile;
use super::editor::Editor;
use super::model::Model;
use super::write::{encode, eol};
use super::yaml::{Change, Doc, Ev, EvKind, NodeId, NodeKind, Splice};
use crate::error::{Error, Result};

/// What is to be written: the key, and the explicit name if there is one.
struct Volume<'a> {
    name: &'a str,
    explicit: Option<&'a str>,
}

impl Volume<'_> {
    fn value_events(&self, flow: bool) -> Vec<Ev> {
        match self.explicit {
            Some(explicit) => vec![
                Ev::expected(EvKind::MapStart, ""),
                Ev::scalar("name"),
                Ev::scalar(explicit),
                Ev::expected(EvKind::MapEnd, ""),
            ],
            None if flow => vec![Ev::expected(EvKind::MapStart, ""), Ev::expected(EvKind::MapEnd, "")],
            None => vec![Ev::scalar("")],
        }
    }
    fn events(&self, flow: bool) -> Vec<Ev> {
        let mut events = vec![Ev::scalar(self.name)];
        events.extend(self.value_events(flow));
        events
    }
    /// Lines without the last one's end.
    fn block(&self, indent: &str, eol: &str) -> String {
        let plain = ScalarStyle::Plain;
        let mut out = format!("{indent}{}:", encode(self.name, plain, false));
        if let Some(explicit) = self.explicit {
            let step = if indent.is_empty() { "  " } else { indent };
            out.push_str(&format!("{eol}{indent}{step}name: {}", encode(explicit, plain, false)));
        }
        out
    }
    fn flow(&self, style: ScalarStyle) -> String {
        let word = |w: &str| encode(w, style, true);
        match self.explicit {
            Some(explicit) => format!("{}: {{{}: {}}}", word(self.name), word("name"), word(explicit)),
            None => format!("{}: {{}}", word(self.name)),
        }
    }
}

impl Editor {
    /// Declares the volume `name` (Docker's own name for it being `explicit_name`, if given) in the file that declares
    /// the volume `like`, else in the last file that declares `service`.
    ///
    /// # Errors
    /// `volume-exists`, `volume-invalid`, `service-unknown`, `edit-unsupported`, `edit-not-exact`.
    pub fn add_volume(
        &mut self,
        name: &str,
        service: &str,
        like: Option<&str>,
        explicit_name: Option<&str>,
    ) -> Result<()> {
        for word in [Some(name), explicit_name].into_iter().flatten() {
            let good = word.starts_with(|c: char| c.is_ascii_alphanumeric())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !good {
                return Err(Error::usage("volume-invalid", format!("`{word}` cannot be a volume's name"))
                    .why("Docker takes letters, digits, `.`, `_` and `-`, the first a letter or digit"));
            }
        }
        let model = Model::new(&self.sources)?;
        let mut like_file = None;
        let mut service_file = None;
        for (file, doc) in model.docs.iter().enumerate() {
            let source = &self.sources.compose[file];
            if let Some(root) = doc.root
                && let Some(section) = model.get(file, root, "volumes", &mut Vec::new(), 0)?
            {
                let section = model.deref(file, section, &mut Vec::new())?;
                if let Some((key, _)) = doc.own_key(section, name) {
                    return Err(Error::refused(
                        "volume-exists",
                        format!(
                            "{}, line {}: the volume {name} is declared already",
                            source.path.display(),
                            doc.ev(key).line
                        ),
                    )
                    .help("choose another name"));
                }
                if like.is_some_and(|l| doc.own_key(section, l).is_some()) {
                    like_file = Some(file);
                }
            }
            if model.service_node(file, service)?.is_some() {
                service_file = Some(file);
            }
        }
        let file = like_file.or(service_file).ok_or_else(|| model.unknown(service))?;
        let (doc, source) = (&model.docs[file], &self.sources.compose[file]);
        let volume = Volume { name, explicit: explicit_name };
        let (splice, change) = place(doc, source, &volume)?;
        let text = doc.splice(&source.path, &source.text, vec![splice], vec![change])?;
        self.sources = self.with_text(file, text);
        Ok(())
    }
}

fn unsupported(source: &SourceFile, line: usize, name: &str) -> Error {
    Error::refused(
        "edit-unsupported",
        format!("{}, line {line}: no place was found for the volume {name}", source.path.display()),
    )
    .why("the top level's `volumes:` is neither a mapping nor empty")
    .help(format!("declare {name} under `volumes:` by hand, then run the command again"))
}

fn place(doc: &Doc, source: &SourceFile, volume: &Volume<'_>) -> Result<(Splice, Change)> {
    let text = &source.text;
    let eol = eol(text);
    let root = doc.root.filter(|r| matches!(doc.nodes[*r].kind, NodeKind::Map(_)));
    let root = root.ok_or_else(|| unsupported(source, 1, volume.name))?;
    let Some((key, section)) = doc.own_key(root, "volumes") else {
        return Ok(new_section(doc, source, root, volume));
    };
    let node = &doc.nodes[section];
    if let NodeKind::Map(entries) = &node.kind {
        let flow = doc.ev(section).flow;
        let change = Change { at: node.last, remove: 0, insert: volume.events(flow) };
        if flow {
            let style = entries.first().and_then(|(k, _)| doc.ev(*k).style).or(doc.ev(key).style);
            let entry = volume.flow(style.unwrap_or(ScalarStyle::Plain));
            return Ok((into_flow(doc, text, section, &entry), change));
        }
        let Some((first, _)) = entries.first() else {
            return Err(unsupported(source, doc.ev(key).line, volume.name));
        };
        let indent = indent_of(text, doc.ev(*first).span.start);
        // A block of text ends where the next line begins.
        let at = text[..doc.content_end(section)].trim_end().len();
        return Ok((after_line(text, at, &volume.block(indent, eol)), change));
    }
    if doc.is_null(section) && doc.ev(section).anchor == 0 {
        let change = Change {
            at: node.first,
            remove: 1,
            insert: {
                let mut events = vec![Ev::expected(EvKind::MapStart, "")];
                events.extend(volume.events(doc.ev(root).flow));
                events.push(Ev::expected(EvKind::MapEnd, ""));
                events
            },
        };
        let style = doc.ev(key).style.unwrap_or(ScalarStyle::Plain);
        if doc.ev(root).flow || !doc.ev(section).value.is_empty() {
            // `volumes: null`: the word gives way.
            let mut insert = vec![Ev::expected(EvKind::MapStart, "")];
            insert.extend(volume.events(true));
            insert.push(Ev::expected(EvKind::MapEnd, ""));
            let change = Change { insert, ..change };
            return Ok((
                Splice { range: doc.ev(section).span.clone(), text: format!("{{{}}}", volume.flow(style)) },
                change,
            ));
        }
        let indent = format!("{}  ", indent_of(text, doc.ev(key).span.start));
        return Ok((after_line(text, doc.ev(key).span.end, &volume.block(&indent, eol)), change));
    }
    Err(unsupported(source, doc.ev(key).line, volume.name))
}

/// The white space before `at` on its line; nothing if something else stands there.
fn indent_of(text: &str, at: usize) -> &str {
    let line = text[..at].rfind('\n').map_or(0, |i| i + 1);
    Some(&text[line..at]).filter(|s| s.chars().all(|c| c == ' ')).unwrap_or_default()
}

/// A new line below the one that `at` is on.
fn after_line(text: &str, at: usize, lines: &str) -> Splice {
    let eol = eol(text);
    match text[at..].find('\n') {
        Some(i) => Splice { range: at + i + 1..at + i + 1, text: format!("{lines}{eol}") },
        None => Splice { range: text.len()..text.len(), text: format!("{eol}{lines}") },
    }
}

/// One more entry at the end of a `{}`, on its own line if the entries have such.
fn into_flow(doc: &Doc, text: &str, map: NodeId, entry: &str) -> Splice {
    let open = doc.ev(map).span.start + 1;
    let Some((first, _)) = doc.entries(map).first() else {
        return Splice { range: open..open, text: entry.to_owned() };
    };
    let mut end = doc.content_end(map);
    let mut lead = ", ";
    if text[end..].starts_with(':') {
        // The last entry is `key:` with no value.
        end += 1;
        lead = " , ";
    }
    let key_at = doc.ev(*first).span.start;
    let indent = indent_of(text, key_at);
    if text[open..key_at].contains('\n') {
        return Splice { range: end..end, text: format!(",{}{indent}{entry}", eol(text)) };
    }
    Splice { range: end..end, text: format!("{lead}{entry}") }
}

fn new_section(doc: &Doc, source: &SourceFile, root: NodeId, volume: &Volume<'_>) -> (Splice, Change) {
    let text = &source.text;
    let eol = eol(text);
    let flow = doc.ev(root).flow;
    let mut insert = vec![Ev::scalar("volumes"), Ev::expected(EvKind::MapStart, "")];
    insert.extend(volume.events(flow));
    insert.push(Ev::expected(EvKind::MapEnd, ""));
    let change = Change { at: doc.nodes[root].last, remove: 0, insert };
    if flow {
        let style =
            doc.entries(root).first().and_then(|(k, _)| doc.ev(*k).style).unwrap_or(ScalarStyle::Plain);
        let entry = format!("{}: {{{}}}", encode("volumes", style, true), volume.flow(style));
        return (into_flow(doc, text, root, &entry), change);
    }
    let first = doc.entries(root).first().map_or(0, |(k, _)| doc.ev(*k).span.start);
    let outer = indent_of(text, first);
    // As deep as the file's other sections are indented.
    let step = doc.entries(root).iter().find_map(|(_, section)| {
        let (inner, _) = doc.entries(*section).first().filter(|_| !doc.ev(*section).flow)?;
        indent_of(text, doc.ev(*inner).span.start).strip_prefix(outer).filter(|i| !i.is_empty())
    });
    let step = step.unwrap_or("  ");
    let block = format!("{outer}volumes:{eol}{}", volume.block(&format!("{outer}{step}"), eol));
    // Sections stand apart where the file has them apart.
    let gap = if text.contains(&format!("{eol}{eol}")) { eol } else { "" };
    let addition =
        if text.ends_with('\n') { format!("{gap}{block}{eol}") } else { format!("{eol}{gap}{block}") };
    (Splice { range: text.len()..text.len(), text: addition }, change)
}
