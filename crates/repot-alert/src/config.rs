//! `[alerts]` of repot.toml, and where its secrets come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// An operation failed.
    Failure,
    /// An operation succeeded.
    Success,
    /// Nothing has succeeded for too long.
    Silence,
}

/// `[alerts]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// What is told, unless a channel says otherwise.
    pub on: BTreeSet<When>,
    /// After how long without a good backup silence is told, such as `26h`.
    pub silence_after: Option<String>,
    /// What subjects and titles begin with.
    pub subject_prefix: String,
    /// The machine's name in messages, instead of its own; for containers.
    pub host_name: Option<String>,
    /// Channels by name.
    pub channels: BTreeMap<String, ChannelConfig>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        AlertsConfig {
            on: BTreeSet::from([When::Failure, When::Silence]),
            silence_after: None,
            subject_prefix: "[repot] ".to_owned(),
            host_name: None,
            channels: BTreeMap::new(),
        }
    }
}

/// The kind of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Mail by SMTP.
    Email,
    /// Any HTTP receiver, by templates.
    Webhook,
    /// ntfy.
    Ntfy,
    /// Slack, by an incoming webhook.
    Slack,
    /// Discord, by a webhook.
    Discord,
    /// Telegram, by a bot.
    Telegram,
    /// Matrix, as a user in a room.
    Matrix,
    /// A dead-man switch: pinged at start, success and failure.
    Ping,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Plain first, then TLS on the same connection; a server that offers none is refused. Port 587.
    #[default]
    Starttls,
    /// TLS from the first byte. Port 465.
    Tls,
    /// None, for a relay on the same machine. Port 25.
    None,
}

/// One channel, as it is written. Which keys a kind has, [`crate::Channel::open`] checks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the manual's docs/alerts.md is the table of these keys")]
pub struct ChannelConfig {
    #[serde(rename = "type")]
    pub kind: ChannelKind,
    /// What is told here, instead of `on` of `[alerts]`.
    pub on: Option<BTreeSet<When>>,
    /// Only these operations; all where it is left out (pings: `backup`).
    pub operations: Option<Vec<String>>,
    /// A file with authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub security: Option<Security>,
    pub user: Option<String>,
    pub password_env: Option<String>,
    pub password_file: Option<PathBuf>,
    pub from: Option<String>,
    pub to: Option<Vec<String>>,
    pub url: Option<String>,
    pub url_env: Option<String>,
    pub url_file: Option<PathBuf>,
    pub token_env: Option<String>,
    pub token_file: Option<PathBuf>,
    pub topic: Option<String>,
    pub chat: Option<String>,
    pub room: Option<String>,
    pub method: Option<String>,
    pub headers: Option<BTreeMap<String, String>>,
    /// Headers whose values are in these variables.
    pub headers_env: Option<BTreeMap<String, String>>,
    pub body: Option<String>,
}

impl ChannelConfig {
    /// Keys that are set, beside those that every kind has.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        let all = [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("security", self.security.is_some()),
            ("user", self.user.is_some()),
            ("password_env", self.password_env.is_some()),
            ("password_file", self.password_file.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("url", self.url.is_some()),
            ("url_env", self.url_env.is_some()),
            ("url_file", self.url_file.is_some()),
            ("token_env", self.token_env.is_some()),
            ("token_file", self.token_file.is_some()),
            ("topic", self.topic.is_some()),
            ("chat", self.chat.is_some()),
            ("room", self.room.is_some()),
            ("method", self.method.is_some()),
            ("headers", self.headers.is_some()),
            ("headers_env", self.headers_env.is_some()),
            ("body", self.body.is_some()),
        ];
        all.into_iter().filter_map(|(name, set)| set.then_some(name)).collect()
    }
}

/// What a channel is opened in.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The environment, for secrets.
    pub env: &'a BTreeMap<String, String>,
    /// What relative paths begin at.
    pub dir: &'a Path,
}

/// More is no password, token or URL.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

impl Surroundings<'_> {
    /// A secret from a variable or a file; `None` where neither is named. `key` is the key without its ending.
    pub(crate) fn secret(
        &self,
        key: &str,
        env: Option<&String>,
        file: Option<&PathBuf>,
    ) -> Result<Option<SecretString>, String> {
        let text = match (env, file) {
            (Some(_), Some(_)) => return Err(format!("`{key}_env` and `{key}_file` are both set")),
            (None, None) => return Ok(None),
            (Some(name), None) => self
                .env
                .get(name)
                .cloned()
                .ok_or_else(|| format!("the variable {name}, which `{key}_env` names, is not set"))?,
            (None, Some(path)) => {
                let path = self.dir.join(path);
                read(&path).map_err(|e| format!("`{key}_file`: cannot read {}: {e}", path.display()))?
            }
        };
        // An editor's last newline is not part of it.
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("`{key}_env` or `{key}_file` leads to an empty value"));
        }
        Ok(Some(SecretString::from(text.to_owned())))
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_SECRET_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
