//! The bytes of a new value: in the quotes the old one has, at the indentation around it.

use saphyr_parser::ScalarStyle;

use super::SourceFile;
use super::yaml::{Change, Doc, Ev, EvKind, NodeId, Splice};
use crate::error::{Error, Result};

fn unsupported_form(source: &SourceFile, line: usize) -> Error {
    Error::refused(
        "edit-unsupported",
        format!("{}, line {line}: repot does not edit a value of this form", source.path.display()),
    )
    .why("it is a block of text (`|` or `>`), goes over several lines, or is a list or a mapping")
    .help("write the value on the line of its key, then run the command again")
}

/// One scalar (or alias) replaced, in the quotes it has.
pub(super) fn replace_scalar(
    doc: &Doc,
    source: &SourceFile,
    node: NodeId,
    value: &str,
) -> Result<(Splice, Change)> {
    let ev = doc.ev(node);
    let style = match (ev.kind, ev.style) {
        (EvKind::Alias, _) => ScalarStyle::Plain,
        (
            EvKind::Scalar,
            Some(style @ (ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted)),
        ) => style,
        _ => return Err(unsupported_form(source, ev.line)),
    };
    let slice = &source.text[ev.span.clone()];
    // A comment inside what is to be replaced would be lost, and the event stream would not tell.
    let whole = match style {
        ScalarStyle::SingleQuoted => slice.len() > 1 && slice.starts_with('\'') && slice.ends_with('\''),
        ScalarStyle::DoubleQuoted => slice.len() > 1 && slice.starts_with('"') && slice.ends_with('"'),
        _ => !slice.contains([' ', '\t']) || !slice.contains('#'),
    };
    if !whole || slice.contains('\n') {
        return Err(unsupported_form(source, ev.line));
    }
    let text = encode(value, style, doc.in_flow(node));
    // `key:` with nothing after it needs a space first.
    let gap = ev.span.is_empty() && !source.text[..ev.span.start].ends_with(' ');
    let range = if gap && source.text[ev.span.start..].starts_with(':') {
        ev.span.start + 1..ev.span.start + 1
    } else {
        ev.span.clone()
    };
    let mut expected = Ev::scalar(value);
    if ev.kind == EvKind::Scalar {
        expected.tag.clone_from(&ev.tag);
        expected.anchor = ev.anchor;
    }
    let change = Change { at: doc.nodes[node].first, remove: 1, insert: vec![expected] };
    Ok((Splice { range, text: if gap { format!(" {text}") } else { text } }, change))
}

/// `key: value` as the first entry of a mapping that has some.
pub(super) fn insert_first(
    doc: &Doc,
    source: &SourceFile,
    map: NodeId,
    key: &str,
    value: &str,
) -> Result<(Splice, Change)> {
    let text = &source.text;
    let at = doc.nodes[map].first + 1;
    let change = Change { at, remove: 0, insert: vec![Ev::scalar(key), Ev::scalar(value)] };
    let unsupported = || {
        Error::refused(
            "edit-unsupported",
            format!("{}, line {}: no place was found for `{key}:`", source.path.display(), doc.ev(map).line),
        )
        .help(format!("add `{key}: {value}` by hand, then run the command again"))
    };
    let first = doc.entries(map).first().map(|(k, _)| *k).ok_or_else(unsupported)?;
    let key_at = doc.ev(first).span.start;
    if doc.ev(map).flow {
        let style = doc.ev(first).style.unwrap_or(ScalarStyle::Plain);
        let entry = format!("{}: {}, ", encode(key, style, true), encode(value, style, true));
        return Ok((Splice { range: key_at..key_at, text: entry }, change));
    }
    let line = text[..key_at].rfind('\n').map_or(0, |i| i + 1);
    let indent = &text[line..key_at];
    if !indent.chars().all(|c| c == ' ') {
        // `- type: bind`: the first key shares its line with the dash.
        let entry = format!(
            "{key}: {}{}{}",
            encode(value, ScalarStyle::Plain, false),
            eol(text),
            " ".repeat(indent.chars().count())
        );
        return Ok((Splice { range: key_at..key_at, text: entry }, change));
    }
    // Above the comments that belong to the first key: directly below the mapping's own key.
    let above =
        at.checked_sub(2).map(|i| &doc.events[i]).filter(|e| e.kind == EvKind::Scalar && e.span.end <= line);
    let place =
        above.map_or(line, |e| text[e.span.end..line].find('\n').map_or(line, |i| e.span.end + i + 1));
    let place = if doc.ev(map).anchor != 0 || !doc.ev(map).tag.is_empty() { line } else { place };
    let entry = format!("{indent}{key}: {}{}", encode(value, ScalarStyle::Plain, false), eol(text));
    Ok((Splice { range: place..place, text: entry }, change))
}

/// Writes `value` in the given style, or in the nearest one that can hold it.
pub(super) fn encode(value: &str, style: ScalarStyle, flow: bool) -> String {
    let printable =
        !value.chars().any(|c| c.is_control() || c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}');
    match style {
        ScalarStyle::Plain if printable && plain_safe(value, flow) => value.to_owned(),
        ScalarStyle::Plain | ScalarStyle::SingleQuoted if printable => {
            format!("'{}'", value.replace('\'', "''"))
        }
        _ => {
            let mut out = String::from("\"");
            for c in value.chars() {
                match c {
                    '"' => out.push_str("\\\""),
                    '\\' => out.push_str("\\\\"),
                    '\n' => out.push_str("\\n"),
                    '\t' => out.push_str("\\t"),
                    '\r' => out.push_str("\\r"),
                    c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                        out.push_str(&format!("\\u{:04x}", c as u32));
                    }
                    c => out.push(c),
                }
            }
            out.push('"');
            out
        }
    }
}

/// Whether a YAML 1.1 reader (Compose's is one) takes the bare text for this very string.
fn plain_safe(value: &str, flow: bool) -> bool {
    let Some(first) = value.chars().next() else {
        return false;
    };
    let word = value.to_ascii_lowercase();
    let numeric = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && s.chars().all(|c| c.is_ascii_hexdigit() || "+-._:xoTtZz ".contains(c))
    };
    !(value.trim() != value
        || "-?:,[]{}#&*!|>'\"%@`=<~".contains(first)
        || value.contains(": ")
        || value.ends_with(':')
        || value.contains(" #")
        || flow && value.contains([',', '[', ']', '{', '}'])
        || matches!(word.as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n")
        || numeric(value))
}

/// The line break a text uses.
pub(super) fn eol(text: &str) -> &'static str {
    match text.find('\n') {
        Some(i) if text[..i].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}
