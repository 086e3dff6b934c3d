//! Proof that an edit changed exactly what was intended: two resolved configurations, compared value by value.

use serde_json::Value;

use crate::error::{Error, Result};

/// One value that differs. `path` is written `services.db.image`.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where.
    pub path: String,
    /// Before; none when it is new.
    pub before: Option<Value>,
    /// After; none when it is gone.
    pub after: Option<Value>,
}

/// Every leaf that differs.
#[must_use]
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    walk("", Some(before), Some(after), &mut found);
    found
}

fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for (k, v) in a {
                walk(&below(k), Some(v), b.get(k), found);
            }
            for (k, v) in b.iter().filter(|(k, _)| !a.contains_key(*k)) {
                walk(&below(k), None, Some(v), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for i in 0..a.len().max(b.len()) {
                walk(&below(&i.to_string()), a.get(i), b.get(i), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Change { path: path.to_owned(), before: a.cloned(), after: b.cloned() }),
    }
}

/// What an edit may change, and to what.
#[derive(Debug, Clone, Default)]
pub struct Intended {
    /// Values that must be as given afterwards.
    pub must: Vec<(String, String)>,
    /// Paths (and all below them) that may change besides.
    pub may: Vec<String>,
    /// Variables of `.env`, with their new values: services that read the whole file see them too.
    pub variables: Vec<(String, String)>,
}

/// Fails unless the two configurations differ in the intended values and in nothing else.
pub fn prove(before: &Value, after: &Value, intended: &Intended) -> Result<()> {
    for c in changes(before, after) {
        let is = |p: &String| c.path == *p || c.path.starts_with(&format!("{p}."));
        let by_variable = intended.variables.iter().any(|(name, value)| {
            c.path.ends_with(&format!(".environment.{name}"))
                && c.after.as_ref().and_then(Value::as_str) == Some(value)
        });
        if !(intended.must.iter().any(|(p, _)| is(p)) || intended.may.iter().any(is) || by_variable) {
            // The values may be secrets: the path tells enough.
            return Err(Error::failed("edit-not-exact", format!("the edit of the Compose files would change `{}` too", c.path))
                .why("it is used in a place that repot does not follow")
                .help("nothing was changed; make the image and volume of the database service plain values, then try again"));
        }
    }
    for (path, want) in &intended.must {
        let found = lookup(after, path);
        if found.and_then(Value::as_str) != Some(want) {
            return Err(Error::failed(
                "edit-not-exact",
                format!("the edit of the Compose files does not make `{path}` {want}"),
            ));
        }
    }
    Ok(())
}

fn lookup<'a>(v: &'a Value, path: &str) -> Option<&'a Value> {
    // Keys may hold dots themselves (a service called `db.main`): try the longest key first.
    if path.is_empty() {
        return Some(v);
    }
    if let Value::Array(a) = v {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        return lookup(a.get(head.parse::<usize>().ok()?)?, rest);
    }
    let map = v.as_object()?;
    map.iter()
        .filter(|(k, _)| path == k.as_str() || path.starts_with(&format!("{k}.")))
        .find_map(|(k, v)| lookup(v, path[k.len()..].trim_start_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_intended_passes() {
        let before = json!({"services": {"db": {"image": "postgres:13", "volumes": [{"source": "a"}]}, "web": {"image": "x", "environment": {"TAG": "1"}}}});
        let mut after = before.clone();
        after["services"]["db"]["image"] = json!("postgres:17");
        let intended = Intended {
            must: vec![("services.db.image".into(), "postgres:17".into())],
            ..Intended::default()
        };
        prove(&before, &after, &intended).expect("exact");
        assert_eq!(prove(&before, &before, &intended).expect_err("not done").code, "edit-not-exact");

        after["services"]["web"]["environment"]["TAG"] = json!("2");
        assert!(
            prove(&before, &after, &intended)
                .expect_err("too much")
                .what
                .contains("services.web.environment.TAG")
        );
        let intended = Intended { variables: vec![("TAG".into(), "2".into())], ..intended };
        prove(&before, &after, &intended).expect("the variable explains it");
    }

    #[test]
    fn additions_and_removals_are_changes() {
        let c = changes(&json!({"a": 1, "b": [1, 2]}), &json!({"b": [1], "c": null}));
        assert_eq!(c.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["a", "b.1", "c"]);
    }
}
