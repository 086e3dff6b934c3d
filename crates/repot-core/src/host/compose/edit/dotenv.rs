//! `.env` and `env_file` texts, by the rules of compose-go's `dotenv` package.

use std::collections::BTreeMap;
use std::ops::Range;

use super::interpolate;
use super::write::eol;
use crate::error::{Error, Result};

/// One assignment of a `.env` text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DotenvEntry {
    /// The variable's name.
    pub name: String,
    /// Its value, quotes and escapes resolved, variables in it not yet (see [`resolve_dotenv`]).
    pub value: String,
    /// Line of the name, from 1.
    pub line: usize,
    /// Column of the value, from 1, in characters.
    pub column: usize,
    /// `'`, `"` or none.
    pub quote: Option<char>,
    /// Bytes of the value in the text, inside its quotes.
    pub span: Range<usize>,
    /// A name without `=`: Compose takes the value from the shell.
    pub inherited: bool,
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// The assignments of a text in order; of several with one name, the last counts. Lines that are none are passed over.
#[must_use]
pub fn parse_dotenv(text: &str) -> Vec<DotenvEntry> {
    let mut out = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    // Counted on the way, so that a long text costs one pass.
    let (mut counted, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let start = at + (rest.len() - rest.trim_start_matches(|c| is_space(c) || c == '\n').len());
        let next_line = |from: usize| text[from..].find('\n').map_or(text.len(), |i| from + i + 1);
        if start >= text.len() {
            break;
        }
        line += text[counted..start].matches('\n').count();
        counted = start;
        if text[start..].starts_with('#') {
            at = next_line(start);
            continue;
        }
        let Some((mut entry, end)) = entry_at(text, start) else {
            at = next_line(start);
            continue;
        };
        entry.line = line;
        let line_start = text[..entry.span.start].rfind('\n').map_or(0, |i| i + 1);
        entry.column = text[line_start..entry.span.start].chars().count() + 1;
        out.push(entry);
        at = end.max(start + 1);
    }
    out
}

/// The assignment that begins at `start`, and where the next may begin.
fn entry_at(text: &str, start: usize) -> Option<(DotenvEntry, usize)> {
    let mut name_at = start;
    if let Some(after) = text[start..].strip_prefix("export")
        && after.starts_with(is_space)
    {
        name_at = text.len() - after.trim_start_matches(is_space).len();
    }
    let mut entry = DotenvEntry {
        name: String::new(),
        value: String::new(),
        line: 0,
        column: 0,
        quote: None,
        span: 0..0,
        inherited: false,
    };
    let mut stop = None;
    for (i, c) in text[name_at..].char_indices() {
        match c {
            '=' | ':' | '\n' => {
                stop = Some((name_at + i, c));
                break;
            }
            '_' | '.' | '-' | '[' | ']' => {}
            c if is_space(c) || c.is_alphanumeric() => {}
            _ => return None,
        }
    }
    let (key_end, sign) = stop.unwrap_or((text.len(), '\n'));
    text[name_at..key_end].trim_end_matches(is_space).clone_into(&mut entry.name);
    if entry.name.is_empty() || entry.name.contains(is_space) {
        return None;
    }
    if sign == '\n' {
        entry.inherited = true;
        entry.span = key_end..key_end;
        return Some((entry, (key_end + 1).min(text.len())));
    }
    let after = &text[key_end + 1..];
    let value_at = text.len() - after.trim_start_matches(is_space).len();
    let quote = text[value_at..].chars().next().filter(|c| matches!(c, '\'' | '"'));
    let Some(quote) = quote else {
        let end = text[value_at..].find('\n').map_or(text.len(), |i| value_at + i);
        let value = text[value_at..end].split(" #").next().unwrap_or_default().trim_end();
        // Directly after the `=` if there is no value: the white space may be the line's carriage return.
        let value_at = if value.is_empty() { key_end + 1 } else { value_at };
        entry.span = value_at..value_at + value.len();
        value.clone_into(&mut entry.value);
        return Some((entry, end));
    };
    entry.quote = Some(quote);
    let inside = value_at + 1;
    let mut escape = false;
    let mut value = String::new();
    for (i, c) in text[inside..].char_indices() {
        if c == quote && !escape {
            entry.span = inside..inside + i;
            // Windows line ends inside a quoted value count as plain ones.
            let value = value.replace("\r\n", "\n");
            entry.value = if quote == '"' { expand_escapes(&value) } else { value };
            return Some((entry, inside + i + 1));
        }
        match (c, escape) {
            ('\\', false) => escape = true,
            (c, true) => {
                escape = false;
                if c != quote {
                    value.push('\\');
                }
                value.push(c);
            }
            (c, false) => value.push(c),
        }
    }
    None
}

/// Go's escapes, with `\$` turned into the `$$` that the interpolation knows.
fn expand_escapes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        let after = &rest[i + 1..];
        let mut used = 1;
        match after.bytes().next() {
            Some(b'a') => out.push('\u{7}'),
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'v') => out.push('\u{b}'),
            Some(b'"') => out.push('"'),
            Some(b'\\') => out.push('\\'),
            Some(b'$') => out.push_str("$$"),
            _ => {
                out.push('\\');
                used = 0;
            }
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// What each variable of a `.env` text ends up with: the shell's variables are what its values may refer to, and
/// come first there. A value that cannot be interpolated is taken as it stands.
#[must_use]
pub fn resolve_dotenv(entries: &[DotenvEntry], shell: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        if entry.inherited {
            if let Some(value) = shell.get(&entry.name) {
                known.insert(entry.name.clone(), value.clone());
            }
            continue;
        }
        let lookup = |name: &str| shell.get(name).or_else(|| known.get(name)).cloned();
        let value = if entry.quote == Some('\'') {
            entry.value.clone()
        } else {
            interpolate::expand(&entry.value, &lookup).unwrap_or_else(|_| entry.value.clone())
        };
        known.insert(entry.name.clone(), value);
    }
    known
}

/// The text with `name` set to `value`: in its last assignment, in the quotes it has if they can hold the value,
/// otherwise on a line of its own at the end.
///
/// # Errors
/// `variable-invalid` for a name or value that no `.env` line can hold.
pub fn set_dotenv(text: &str, name: &str, value: &str) -> Result<String> {
    let bad = |why: &str| {
        Error::usage("variable-invalid", format!("the variable `{name}` cannot be set in .env")).why(why)
    };
    let good_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good_name {
        return Err(bad("a name is letters, digits and `_`"));
    }
    let entries = parse_dotenv(text);
    let last = entries.iter().enumerate().rev().find(|(_, e)| e.name == name && !e.inherited);
    let after_inherited = entries.iter().rposition(|e| e.name == name && e.inherited);
    let shell = BTreeMap::new();
    // Accepted only if it reads back as intended, and every other assignment as it was.
    let exact = |candidate: &str| {
        let others = |es: &[DotenvEntry]| -> Vec<(String, String)> {
            es.iter().filter(|e| e.name != name).map(|e| (e.name.clone(), e.value.clone())).collect()
        };
        let after = parse_dotenv(candidate);
        others(&after) == others(&entries)
            && after.iter().rev().find(|e| e.name == name).is_some_and(|e| !e.inherited)
            && resolve_dotenv(&after, &shell).get(name).map(String::as_str) == Some(value)
    };
    let quoted = |quote: Option<char>| -> Option<String> {
        match quote {
            // Some Compose versions cut an unquoted value at any `#`, not only after a space.
            None => {
                (!value.starts_with(['\'', '"']) && !value.contains(['$', '#'])).then(|| value.to_owned())
            }
            Some('\'') => Some(format!("'{}'", value.replace('\'', "\\'"))),
            Some(_) => {
                Some(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$")))
            }
        }
    };
    let styles = |first: Option<char>| {
        let mut all = vec![first];
        all.extend([None, Some('\''), Some('"')].into_iter().filter(|q| *q != first));
        all
    };
    match last {
        Some((index, entry)) if after_inherited.is_none_or(|i| i < index) => {
            let around = usize::from(entry.quote.is_some());
            let (from, to) = (entry.span.start - around, entry.span.end + around);
            styles(entry.quote)
                .into_iter()
                .filter_map(quoted)
                .map(|v| format!("{}{v}{}", &text[..from], &text[to..]))
                .find(|candidate| exact(candidate))
        }
        _ => {
            let eol = eol(text);
            let (lead, trail) = if text.is_empty() || text == "\u{feff}" || text.ends_with('\n') {
                ("", eol)
            } else {
                (eol, "")
            };
            styles(None)
                .into_iter()
                .filter_map(quoted)
                .map(|v| format!("{text}{lead}{name}={v}{trail}"))
                .find(|candidate| exact(candidate))
        }
    }
    .ok_or_else(|| bad("no way of quoting the value reads back as it is").help("set it in .env by hand"))
}
