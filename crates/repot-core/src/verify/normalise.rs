//! Making two versions' texts of the same thing the same, and nothing else.
//!
//! Each rewrite is here because two servers were seen to differ by it:
//!
//! * `(ARRAY['a'::varchar])::text[]` and `ARRAY[('a'::varchar)::text]` are what PostgreSQL prints for one and the
//!   same `IN ('a')` before and after a dump: reading the first back gives the second. The first is rewritten.
//! * From 16, a view over a single table prints its columns without the table's name before them. The name is
//!   taken away from older ones. Where a query has two tables or more nothing is touched, so no column can be
//!   mistaken for another.
//! * Indentation.

/// Normalises the definition of an object of `kind`.
pub(super) fn definition(kind: &str, text: &str) -> String {
    match kind {
        "view" | "materialized view" => match text.split_once("as:\n") {
            Some((head, query)) => format!("{}as:\n{}", arrays(head), view(query)),
            None => arrays(text),
        },
        // Only what the server prints back from a parsed form; a body is as its author wrote it.
        "function" | "procedure" => match text.split_once("\nbody:\n") {
            Some((head, body)) => format!("{}\nbody:\n{body}", arrays(head)),
            None => arrays(text),
        },
        "comment" | "security label" => text.to_owned(),
        _ => arrays(text),
    }
}

/// The end of the quoted or bracketed thing that starts at `from`, past its last byte.
fn closing(text: &[u8], from: usize) -> Option<usize> {
    match text[from] {
        q @ (b'\'' | b'"') => text[from + 1..].iter().position(|b| *b == q).map(|n| from + n + 2),
        b'(' | b'[' => {
            let mut at = from + 1;
            loop {
                match *text.get(at)? {
                    b')' | b']' => return Some(at + 1),
                    b'\'' | b'"' | b'(' | b'[' => at = closing(text, at)?,
                    _ => at += 1,
                }
            }
        }
        _ => None,
    }
}

/// Pushes a cast of an array literal down to its elements, as the parser does.
fn arrays(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut copied = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' | b'"' => match closing(bytes, at) {
                Some(end) => at = end,
                None => break,
            },
            b'(' => match cast_array(text, at) {
                Some((rewritten, end)) => {
                    out.push_str(&text[copied..at]);
                    out.push_str(&rewritten);
                    (at, copied) = (end, end);
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// Reads `(ARRAY[...])::type[]` at `at`; its rewritten form and where it ends.
fn cast_array(text: &str, at: usize) -> Option<(String, usize)> {
    let rest = text.get(at..)?;
    rest.strip_prefix("(ARRAY[")?;
    let end = closing(text.as_bytes(), at + "(ARRAY".len())?;
    let after = text.get(end..)?.strip_prefix(")::")?;
    let bounds = after.find("[]")?;
    let kind = &after[..bounds];
    let plain = |c: char| c.is_alphanumeric() || " _.,()\"".contains(c);
    if kind.is_empty() || kind.len() > 200 || !kind.chars().all(plain) {
        return None;
    }
    let array = &text[at + 1..end];
    Some((push_down(array, kind)?, end + ")::".len() + bounds + "[]".len()))
}

fn push_down(array: &str, kind: &str) -> Option<String> {
    let inner = array.strip_prefix("ARRAY[")?.strip_suffix(']')?;
    if inner.is_empty() {
        return None;
    }
    let cast: Vec<String> = split(inner)
        .into_iter()
        .map(|element| push_down(element, kind).unwrap_or_else(|| format!("({})::{kind}", arrays(element))))
        .collect();
    Some(format!("ARRAY[{}]", cast.join(", ")))
}

/// Splits at the commas that are in no bracket and no quote.
fn split(list: &str) -> Vec<&str> {
    let bytes = list.as_bytes();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\'' | b'"' | b'(' | b'[' => at = closing(bytes, at).unwrap_or(bytes.len()),
            b',' => {
                parts.push(list[start..at].trim());
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    parts.push(list[start..].trim());
    parts
}

/// One word of SQL: an identifier, a keyword, a literal, a bracket with all it holds, or a sign.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Token<'a> {
    text: &'a str,
    start: usize,
}

/// Top-level tokens; a bracketed group is one token.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80;
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'\'' | b'"' | b'(' | b'[' => at = closing(bytes, at).unwrap_or(bytes.len()),
            b if word(b) => {
                while at < bytes.len() && word(bytes[at]) {
                    at += 1;
                }
            }
            _ => at += 1,
        }
        found.push(Token { text: &text[start..at], start });
    }
    found
}

const CLAUSES: [&str; 10] =
    ["WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "FETCH", "WINDOW", "FOR", ";"];

/// The name by which a query with a single FROM item calls it, and the bytes that the item takes.
fn single_source(query: &str) -> Option<(&str, std::ops::Range<usize>)> {
    let all = tokens(query);
    if all.iter().any(|t| ["UNION", "INTERSECT", "EXCEPT"].contains(&t.text)) {
        return None;
    }
    let from = all.iter().position(|t| t.text == "FROM")?;
    let ends = |t: Option<&Token<'_>>| t.is_none_or(|t| CLAUSES.contains(&t.text));
    let name = |t: &Token<'_>| {
        t.text.starts_with('"') || t.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    };
    let mut at = from + 1;
    if all.get(at)?.text == "ONLY" {
        at += 1;
    }
    let begin = all.get(at)?.start;
    let mut called = None;
    if !all[at].text.starts_with('(') {
        called = Some(all[at]).filter(name);
        called?;
        at += 1;
        while all.get(at).is_some_and(|t| t.text == ".") {
            called = Some(*all.get(at + 1)?).filter(name);
            called?;
            at += 2;
        }
        if all.get(at).is_some_and(|t| t.text.starts_with('(')) {
            at += 1;
        }
        if all.get(at).is_some_and(|t| t.text == "WITH")
            && all.get(at + 1).is_some_and(|t| t.text == "ORDINALITY")
        {
            at += 2;
        }
    } else {
        at += 1;
    }
    if all.get(at).is_some_and(|t| t.text == "AS") {
        at += 1;
    }
    if !ends(all.get(at)) && name(&all[at]) {
        called = Some(all[at]);
        at += 1;
        if all.get(at).is_some_and(|t| t.text.starts_with('(')) {
            at += 1;
        }
    }
    if !ends(all.get(at)) {
        return None;
    }
    let end = all.get(at).map_or(query.len(), |t| t.start);
    called.map(|c| (c.text, begin..end))
}

fn view(query: &str) -> String {
    let query = arrays(query);
    let stripped = match single_source(&query) {
        Some((name, item)) => {
            let (before, rest) = query.split_at(item.start);
            let (item, after) = rest.split_at(item.len());
            format!("{}{item}{}", unqualified(before, name), unqualified(after, name))
        }
        None => query,
    };
    let lines: Vec<String> =
        stripped.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.join("\n")
}

/// Takes `name.` away wherever it is a word by itself, also inside brackets.
fn unqualified(text: &str, name: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let all = tokens(text);
    let mut copied = 0;
    let mut i = 0;
    while let Some(t) = all.get(i) {
        let end = t.start + t.text.len();
        if t.text.starts_with(['(', '[']) && t.text.len() > 1 {
            out.push_str(&text[copied..=t.start]);
            let inner = &t.text[1..t.text.len() - 1];
            out.push_str(&unqualified(inner, name));
            copied = end - 1;
        } else if t.text == name
            && all.get(i + 1).is_some_and(|n| n.text == "." && n.start == end)
            && (i == 0 || all[i - 1].text != ".")
        {
            out.push_str(&text[copied..t.start]);
            copied = end + 1;
            i += 1;
        }
        i += 1;
    }
    out.push_str(&text[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_of_an_array_goes_to_its_elements() {
        let first =
            "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b, (c'::character varying])::text[])))";
        let again = "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b, (c'::character varying)::text])))";
        assert_eq!(arrays(first), again);
        assert_eq!(arrays(again), again);
        let nested = "(ARRAY[ARRAY[1, 2], ARRAY[3, f(4, 5)]])::numeric(10,2)[]";
        let pushed = "ARRAY[ARRAY[(1)::numeric(10,2), (2)::numeric(10,2)], ARRAY[(3)::numeric(10,2), (f(4, 5))::numeric(10,2)]]";
        assert_eq!(arrays(nested), pushed);
    }

    #[test]
    fn text_that_only_looks_like_an_array_is_left_alone() {
        for text in [
            "DEFAULT '(ARRAY[1])::text[]'::text",
            "(ARRAY[])::text[]",
            "(ARRAY['x",
            "'open",
            "(ARRAY[1] || b)",
        ] {
            assert_eq!(arrays(text), text);
        }
    }

    #[test]
    fn one_source_loses_its_name() {
        let old = " SELECT t.a,\n    (t.b + count(*) OVER (PARTITION BY t.c)) AS n\n   FROM s.t\n  WHERE (t.a > 1);";
        let new = " SELECT a,\n    (b + count(*) OVER (PARTITION BY c)) AS n\n   FROM s.t\n  WHERE (a > 1);";
        assert_eq!(view(old), view(new));
        let alias_old =
            " SELECT \"X y\".a FROM s.t \"X y\" WHERE (EXISTS ( SELECT 1 FROM u WHERE (u.a = \"X y\".a)));";
        let alias_new =
            " SELECT a FROM s.t \"X y\" WHERE (EXISTS ( SELECT 1 FROM u WHERE (u.a = \"X y\".a)));";
        assert_eq!(view(alias_old), view(alias_new));
    }

    #[test]
    fn two_sources_keep_their_names() {
        for query in [
            "SELECT a.x FROM a, b;",
            "SELECT a.x FROM (a JOIN b ON ((a.x = b.x)));",
            "SELECT a.x FROM a UNION SELECT b.x FROM b;",
            "SELECT a.x FROM a JOIN b USING (x);",
        ] {
            assert_eq!(view(query), query);
        }
        assert_ne!(view("SELECT a.x FROM a JOIN b USING (y);"), view("SELECT b.x FROM a JOIN b USING (y);"));
    }

    #[test]
    fn a_literal_and_a_longer_name_are_not_touched() {
        assert_eq!(view("SELECT 't.a', s.t.f, tt.a FROM t;"), "SELECT 't.a', s.t.f, tt.a FROM t;");
    }
}
