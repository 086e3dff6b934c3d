//! A YAML document as a plain value, for configuration files of applications. Reading only: what is edited goes
//! through `host/compose/edit`.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// A configuration file larger than this is none.
const MAX_TEXT_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 100;
const MAX_NODES: usize = 200_000;

/// What is being read: a list, or a mapping with the key whose value comes next.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// Parses the first document; an empty one is null. Anchors are refused: nothing here needs them, and they are how a
/// short text becomes a huge one. The error says why, without the text, which may hold secrets.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("it has {} bytes, and {MAX_TEXT_BYTES} are the most", text.len()));
    }
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| format!("line {}: {}", e.marker().line(), e.info()))?;
        nodes += 1;
        if nodes > MAX_NODES || open.len() > MAX_DEPTH {
            return Err("it is too deep or too large".to_owned());
        }
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(all)) => Value::Array(all),
                Some(Open::Map(all, _)) => Value::Object(all),
                None => return Err("it is no YAML".to_owned()),
            },
            Event::Alias(..) => return Err(format!("line {}: anchors are not followed", span.start.line())),
            Event::DocumentEnd => break,
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(value),
            Some(Open::List(all)) => all.push(value),
            Some(Open::Map(all, key)) => match key.take() {
                Some(k) => {
                    all.insert(k, value);
                }
                None => {
                    *key = Some(match value {
                        Value::String(s) => s,
                        other => other.to_string(),
                    });
                }
            },
        }
    }
    Ok(Value::Null)
}

fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_configuration_file() {
        let text = "# Comment\ndebug: False\nbackup_dir: '/data/backup' # here\nbackup_options:\n  bucket_name: x\n  ports: [1, \"2\"]\nempty:\nname: yes it is\n";
        assert_eq!(
            parse(text).expect("parses"),
            serde_json::json!({
                "debug": false, "backup_dir": "/data/backup", "backup_options": {"bucket_name": "x", "ports": [1, "2"]},
                "empty": null, "name": "yes it is"
            })
        );
        assert_eq!(parse("").expect("parses"), Value::Null);
        assert!(parse("a: &x [1]\nb: *x\n").is_err());
        assert!(parse("a: [1\nb: 2").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_text_breaks_it(text in "[a-z\\[\\]{}:,&*\"' \n-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
