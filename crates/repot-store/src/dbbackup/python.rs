//! Dictionaries as people write them into the environment: JSON, or a Python literal.
//!
//! InvenTree reads JSON only (`config.py`, `to_dict`), and takes everything else for an empty dictionary after a line
//! in its log. Python literals are read here besides, because that is what the manual of django-dbbackup shows.

use serde_json::{Map, Value};

/// Nested deeper than any option; bounds the recursion.
const DEEPEST: usize = 32;

/// Why a text is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotALiteral {
    /// Where, in bytes from the beginning. The text itself is not repeated: it may hold a password.
    pub(super) at_byte: usize,
    pub(super) why: &'static str,
}

/// A text's value, and whether it was JSON.
pub(super) fn read(text: &str) -> Result<(Value, bool), NotALiteral> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok((value, true));
    }
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at < text.len() {
        return Err(reader.error("something follows the value"));
    }
    Ok((value, false))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, why: &'static str) -> NotALiteral {
        NotALiteral { at_byte: self.at, why }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, NotALiteral> {
        if depth > DEEPEST {
            return Err(self.error("it is nested too deeply"));
        }
        self.blanks();
        match self.rest().chars().next() {
            Some('{') => self.dictionary(depth),
            Some('[') => self.list("[", "]", depth).map(|(items, _)| Value::Array(items)),
            Some('(') => {
                let (mut items, comma) = self.list("(", ")", depth)?;
                // A value in parentheses is no tuple; with a comma behind it it is.
                Ok(if items.len() == 1 && !comma { items.remove(0) } else { Value::Array(items) })
            }
            Some(c) if c == '\'' || c == '"' || self.string_prefix().is_some() => self.strings(),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '+' || c == '.' => self.number(),
            Some(_) => self.word(),
            None => Err(self.error("a value is missing")),
        }
    }

    fn list(&mut self, open: &str, close: &str, depth: usize) -> Result<(Vec<Value>, bool), NotALiteral> {
        self.take(open);
        let mut items = Vec::new();
        let mut comma = false;
        while !self.take(close) {
            if !items.is_empty() && !comma {
                return Err(self.error("a comma or the end of the list is missing"));
            }
            items.push(self.value(depth + 1)?);
            comma = self.take(",");
        }
        Ok((items, comma))
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value, NotALiteral> {
        self.take("{");
        let mut map = Map::new();
        let mut comma = true;
        while !self.take("}") {
            if !comma {
                return Err(self.error("a comma or the end of the dictionary is missing"));
            }
            let key = match self.value(depth + 1)? {
                Value::String(key) => key,
                _ => return Err(self.error("a name in the dictionary is no text")),
            };
            if !self.take(":") {
                return Err(self.error("a colon is missing"));
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            comma = self.take(",");
        }
        Ok(Value::Object(map))
    }

    /// `r`, `u`, `b` before a quote.
    fn string_prefix(&self) -> Option<char> {
        let mut chars = self.rest().chars();
        let prefix = chars.next().filter(|c| "rRuUbB".contains(*c))?;
        matches!(chars.next(), Some('\'' | '"')).then_some(prefix)
    }

    /// Python joins texts that follow one another.
    fn strings(&mut self) -> Result<Value, NotALiteral> {
        let mut out = String::new();
        loop {
            self.blanks();
            let prefix = self.string_prefix();
            if prefix.is_none() && !self.rest().starts_with(['\'', '"']) {
                return Ok(Value::String(out));
            }
            self.at += usize::from(prefix.is_some());
            self.string(matches!(prefix, Some('r' | 'R')), &mut out)?;
        }
    }

    fn string(&mut self, raw: bool, out: &mut String) -> Result<(), NotALiteral> {
        let quote = self.rest().chars().next().unwrap_or('\'');
        let long: String = [quote; 3].iter().collect();
        let end = if self.rest().starts_with(&long) { long } else { quote.to_string() };
        self.at += end.len();
        loop {
            if self.rest().starts_with(&end) {
                self.at += end.len();
                return Ok(());
            }
            let Some(c) = self.rest().chars().next() else {
                return Err(self.error("a text is not closed"));
            };
            self.at += c.len_utf8();
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some(escaped) = self.rest().chars().next() else {
                return Err(self.error("a text is not closed"));
            };
            self.at += escaped.len_utf8();
            if raw {
                out.extend(['\\', escaped]);
                continue;
            }
            match escaped {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '\\' | '\'' | '"' => out.push(escaped),
                '\n' => {}
                'x' => out.push(self.code(2)?),
                'u' => out.push(self.code(4)?),
                'U' => out.push(self.code(8)?),
                'a' | 'b' | 'f' | 'v' | 'N' | '0'..='7' => {
                    return Err(self.error("this escape is not understood"));
                }
                // Python leaves the backslash of what is no escape.
                other => out.extend(['\\', other]),
            }
        }
    }

    fn code(&mut self, digits: usize) -> Result<char, NotALiteral> {
        let hex = self.rest().get(..digits).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = hex.and_then(|h| u32::from_str_radix(h, 16).ok()).and_then(char::from_u32);
        let c = code.ok_or_else(|| self.error("this escape is no character"))?;
        self.at += digits;
        Ok(c)
    }

    fn number(&mut self) -> Result<Value, NotALiteral> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_')))
            .unwrap_or(rest.len());
        let text = rest[..end].replace('_', "");
        let text = text.strip_prefix('+').unwrap_or(&text);
        let value = text.parse::<i64>().map(Value::from).ok();
        let value = value.or_else(|| text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::from));
        let value = value.ok_or_else(|| self.error("this is no number"))?;
        self.at += end;
        Ok(value)
    }

    fn word(&mut self) -> Result<Value, NotALiteral> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let value = match &rest[..end] {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" => Value::Null,
            _ => {
                return Err(
                    self.error("a text needs quotes, and a name of Python cannot be followed from outside")
                );
            }
        };
        self.at += end;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn python_and_json() {
        let value = |text| read(text).expect(text);
        assert_eq!(value(r#"{"a": [1, true, null]}"#), (json!({"a": [1, true, null]}), true));
        assert_eq!(value("{'a': [1, True, None,], }"), (json!({"a": [1, true, null]}), false));
        assert_eq!(
            value("{'EXCLUDE': ('x', 'y'), 'n': -1.5, 'k': 10_000}").0,
            json!({"EXCLUDE": ["x", "y"], "n": -1.5, "k": 10000})
        );
        assert_eq!(value("('one')").0, json!("one"));
        assert_eq!(value("('one',)").0, json!(["one"]));
        assert_eq!(
            value(r#"{'p': 'it\'s', 'q': r'a\d', 'r': "a" 'b', 's': '\x41\u00e4', 't': '\d'}"#).0,
            json!({"p": "it's", "q": "a\\d", "r": "ab", "s": "Aä", "t": "\\d"})
        );
        assert_eq!(value("{}").0, json!({}));
    }

    #[test]
    fn what_is_neither() {
        for text in [
            "",
            "{",
            "{'a'}",
            "{'a': }",
            "{'a': 1 'b': 2}",
            "{1: 2}",
            "[1 2]",
            "os.environ['X']",
            "'a",
            "{'a': open('x')}",
            "'\\x4'",
            "1.2.3",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"(".repeat(100_000)).is_err());
    }

    /// What Python's `repr` prints for a value.
    fn repr(value: &Value) -> String {
        match value {
            Value::Null => "None".to_owned(),
            Value::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
            Value::Number(n) => n.to_string(),
            Value::String(s) => {
                format!(
                    "'{}'",
                    s.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\r', "\\r")
                )
            }
            Value::Array(all) => format!("[{}]", all.iter().map(repr).collect::<Vec<_>>().join(", ")),
            Value::Object(map) => {
                let all: Vec<_> =
                    map.iter().map(|(k, v)| format!("{}: {}", repr(&json!(k)), repr(v))).collect();
                format!("{{{}}}", all.join(", "))
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_python_prints_is_read(value in values()) {
            prop_assert_eq!(read(&repr(&value)).expect("a literal").0, value.clone());
            prop_assert_eq!(read(&value.to_string()).expect("JSON"), (value, true));
        }

        #[test]
        fn noise_never_panics(noise in any::<String>(), braces in "[\\[\\]{}():,'\"\\\\xurb0-9 TrueNon.]{0,60}") {
            let _ = read(&noise);
            let _ = read(&braces);
        }
    }
}
