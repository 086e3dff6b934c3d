//! Options of a storage or a connector: values, with those that are secret by their names kept out of sight.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Parts of names whose values are nobody's business. django-storages calls them `secret_key`, `access_key`,
/// `security_token`, `account_key`, `sas_token`, `connection_string`, `credentials`, `oauth2_refresh_token`, …
const SECRET_NAMES: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "access_key",
    "account_key",
    "app_key",
    "private_key",
    "cloudfront_key",
    "connection_string",
];

/// Whether an option's name says that its value is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    SECRET_NAMES.iter().any(|s| name.contains(s))
        || matches!(name.as_str(), "key" | "pass" | "pkey" | "api_key")
}

/// A URL with a password in it, as FTP's `location` has.
fn is_secret_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or_default().contains('@'))
}

/// One option's value.
#[derive(Clone)]
pub enum OptionValue {
    /// Nothing, yes or no, a number, a text.
    Plain(Value),
    /// A text that never appears in Debug.
    Secret(SecretString),
    /// Several.
    List(Vec<OptionValue>),
    /// Options within an option (`params` of SFTP).
    Map(Options),
}

impl OptionValue {
    fn new(value: Value, secret: bool) -> Self {
        match value {
            Value::Array(all) => {
                OptionValue::List(all.into_iter().map(|v| OptionValue::new(v, secret)).collect())
            }
            Value::Object(map) => OptionValue::Map(Options(
                map.into_iter()
                    .map(|(name, v)| {
                        let secret = secret || is_secret_name(&name);
                        (name, OptionValue::new(v, secret))
                    })
                    .collect(),
            )),
            Value::String(text) if secret || is_secret_url(&text) => OptionValue::Secret(text.into()),
            Value::Number(number) if secret => OptionValue::Secret(number.to_string().into()),
            other => OptionValue::Plain(other),
        }
    }

    /// The text, secret or not.
    pub fn expose(&self) -> Option<&str> {
        match self {
            OptionValue::Plain(value) => value.as_str(),
            OptionValue::Secret(text) => Some(text.expose_secret()),
            _ => None,
        }
    }

    fn expose_all(&self) -> Value {
        match self {
            OptionValue::Plain(value) => value.clone(),
            OptionValue::Secret(text) => Value::String(text.expose_secret().to_owned()),
            OptionValue::List(all) => Value::Array(all.iter().map(OptionValue::expose_all).collect()),
            OptionValue::Map(map) => Value::Object(map.expose()),
        }
    }

    /// The value if it is plain.
    pub fn plain(&self) -> Option<&Value> {
        if let OptionValue::Plain(value) = self { Some(value) } else { None }
    }
}

impl fmt::Debug for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Plain(value) => write!(f, "{value}"),
            OptionValue::Secret(_) => f.write_str("[secret]"),
            OptionValue::List(all) => f.debug_list().entries(all).finish(),
            OptionValue::Map(map) => map.fmt(f),
        }
    }
}

/// Options by name.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<String, OptionValue>);

impl Options {
    /// From what was configured. Names become lower case at the top, as django-dbbackup makes them (`storage.py`);
    /// within an option they stay.
    pub(super) fn new(map: serde_json::Map<String, Value>) -> Self {
        Options(
            map.into_iter()
                .map(|(name, value)| {
                    let secret = is_secret_name(&name);
                    (name.to_lowercase(), OptionValue::new(value, secret))
                })
                .collect(),
        )
    }

    /// An option, by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// All of them with their secrets, for whoever opens the storage.
    pub fn expose(&self) -> serde_json::Map<String, Value> {
        self.0.iter().map(|(name, value)| (name.clone(), value.expose_all())).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_stay_out_of_sight_at_any_depth() {
        let Value::Object(map) = json!({
            "ACCESS_KEY": "hidden-1", "Secret_Key": "hidden-2", "bucket_name": "shown", "params": {"password": "hidden-3", "port": 22},
            "location": "ftp://user:hidden-4@host/x", "credentials": {"a": ["hidden-5", 123_456_789]}, "url": "https://shown.example/a@b"
        }) else {
            panic!("no map")
        };
        let options = Options::new(map);
        let text = format!("{options:?}");
        assert!(!text.contains("hidden") && !text.contains("123456789"), "{text}");
        assert!(text.contains("\"shown\"") && text.contains("shown.example"), "{text}");
        assert_eq!(options.get("access_key").and_then(OptionValue::expose), Some("hidden-1"));
        assert_eq!(options.get("bucket_name").and_then(OptionValue::expose), Some("shown"));
    }
}
