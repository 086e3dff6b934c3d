//! Values of settings: from YAML and TOML with their types, from the environment as text.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::super::python;
use super::SettingsError;

/// As InvenTree's `is_true`.
const YES: [&str; 6] = ["1", "y", "yes", "t", "true", "on"];
const NO: [&str; 8] = ["", "0", "n", "no", "f", "false", "off", "none"];

/// One setting: its name as it was given, for messages, and its value.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
}

impl Setting<'_> {
    /// The value itself is never repeated: it may be a password.
    pub(super) fn wrong(&self, why: impl Into<String>) -> SettingsError {
        SettingsError::Value { name: self.name.to_owned(), why: why.into() }
    }

    pub(super) fn text(&self) -> Result<String, SettingsError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null => Ok(String::new()),
            _ => Err(self.wrong("a text is wanted")),
        }
    }

    /// A text, or nothing where it is empty.
    pub(super) fn some_text(&self) -> Result<Option<String>, SettingsError> {
        self.text().map(|t| Some(t).filter(|t| !t.is_empty()))
    }

    pub(super) fn secret(&self) -> Result<Option<SecretString>, SettingsError> {
        self.some_text().map(|t| t.map(SecretString::from))
    }

    pub(super) fn yes(&self) -> Result<bool, SettingsError> {
        let text = match self.value {
            Value::Bool(yes) => return Ok(*yes),
            Value::Null => return Ok(false),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_lowercase(),
            _ => return Err(self.wrong("yes or no is wanted")),
        };
        match (YES.contains(&text.as_str()), NO.contains(&text.as_str())) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(self.wrong("it is neither yes nor no; write true or false")),
        }
    }

    pub(super) fn count(&self) -> Result<u32, SettingsError> {
        let number = match self.value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        };
        number
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| self.wrong("a whole number, zero or more, is wanted"))
    }

    /// A list of texts. A single text is refused where Python would take it letter by letter.
    pub(super) fn list(&self) -> Result<Vec<String>, SettingsError> {
        let parsed;
        let value = match self.value {
            Value::String(text) if text.trim_start().starts_with(['[', '(']) => {
                parsed = self.literal(text)?.0;
                &parsed
            }
            other => other,
        };
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(all) => all
                .iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| self.wrong("a list of texts is wanted")))
                .collect(),
            _ => Err(self.wrong("a list is wanted, as in ['one', 'two']")),
        }
    }

    /// One text or a list of them.
    pub(super) fn one_or_more(&self) -> Result<Vec<String>, SettingsError> {
        match self.value {
            Value::String(text) if !text.trim_start().starts_with(['[', '(']) => {
                Ok(Some(text.clone()).filter(|t| !t.is_empty()).into_iter().collect())
            }
            _ => self.list(),
        }
    }

    /// Words of a command, split as a shell would, and as django-dbbackup does before it starts one.
    pub(super) fn words(&self) -> Result<Vec<String>, SettingsError> {
        let mut words = Vec::new();
        for text in self.one_or_more()? {
            words.extend(shlex::split(&text).ok_or_else(|| self.wrong("a quote is not closed"))?);
        }
        Ok(words)
    }

    /// A value written as JSON or as a Python literal, and whether it was JSON.
    pub(super) fn literal(&self, text: &str) -> Result<(Value, bool), SettingsError> {
        python::read(text).map_err(|e| {
            self.wrong(format!("it is neither JSON nor a Python literal: at byte {}: {}", e.at_byte, e.why))
        })
    }

    /// A dictionary, and whether it was one by itself or by JSON (`false`: by a Python literal).
    pub(super) fn dictionary(&self) -> Result<(Map<String, Value>, bool), SettingsError> {
        let (value, json) = match self.value {
            Value::Null => return Ok((Map::new(), true)),
            Value::String(text) if text.trim().is_empty() => return Ok((Map::new(), true)),
            Value::String(text) => self.literal(text)?,
            other => (other.clone(), true),
        };
        match value {
            Value::Object(map) => Ok((map, json)),
            _ => Err(self.wrong(r#"a dictionary is wanted, as in {"name": "value"}"#)),
        }
    }

    /// Variables of an environment. All are kept as secrets: PGPASSWORD is the usual one.
    pub(super) fn environment(&self) -> Result<BTreeMap<String, SecretString>, SettingsError> {
        let (map, _) = self.dictionary()?;
        map.into_iter()
            .map(|(name, value)| {
                let text = Setting { name: self.name, value: &value }.text()?;
                Ok((name, text.into()))
            })
            .collect()
    }

    /// Something that runs in Python: a dotted name of a function, or what `repr` makes of one.
    pub(super) fn is_callable(&self) -> bool {
        match self.value {
            Value::String(text) => {
                text.starts_with('<') || !text.contains('{') && text.contains('.') && !text.contains('-')
            }
            Value::Null => false,
            _ => true,
        }
    }
}
