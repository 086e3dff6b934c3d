//! A channel that is ready to send: checked, its secrets read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::alert::{Alert, Event};
use crate::config::{AlertsConfig, ChannelConfig, ChannelKind, Security, Surroundings, When};
use crate::template;

/// Where an alert can go.
#[derive(Debug)]
pub struct Channel {
    /// Its name in the configuration.
    pub name: String,
    pub(crate) on: BTreeSet<When>,
    pub(crate) operations: Option<Vec<String>>,
    pub(crate) subject_prefix: String,
    pub(crate) target: Target,
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Target {
    Email(Email),
    Webhook(Webhook),
    Ntfy { url: SecretString, topic: String, token: Option<SecretString> },
    Slack(SecretString),
    Discord(SecretString),
    Telegram { url: Url, token: SecretString, chat: String },
    Matrix { url: Url, token: SecretString, room: String },
    Ping(SecretString),
}

#[derive(Debug)]
pub(crate) struct Email {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    pub(crate) login: Option<(String, SecretString)>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) url: SecretString,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, SecretString)>,
    pub(crate) body: Option<String>,
}

impl Channel {
    /// Opens the channels of a configuration. Each that cannot be used is told apart: the others work.
    #[must_use]
    pub fn open_all(config: &AlertsConfig, at: Surroundings<'_>) -> Vec<Result<Channel, (String, String)>> {
        config
            .channels
            .iter()
            .map(|(name, c)| Channel::open(name, c, config, at).map_err(|why| (name.clone(), why)))
            .collect()
    }

    /// Opens one: checks its keys and reads its secrets. Nothing is sent.
    ///
    /// # Errors
    /// In words, naming the key.
    pub fn open(
        name: &str,
        c: &ChannelConfig,
        config: &AlertsConfig,
        at: Surroundings<'_>,
    ) -> Result<Channel, String> {
        only_known_keys(c)?;
        let url = || -> Result<SecretString, String> {
            let hidden = at.secret("url", c.url_env.as_ref(), c.url_file.as_ref())?;
            let url = match (hidden, &c.url) {
                (Some(_), Some(_)) => Err("`url` is set beside `url_env` or `url_file`".to_owned()),
                (Some(u), None) => Ok(u),
                (None, Some(u)) => open_url(u),
                (None, None) => Err("no `url_env`, `url_file` or `url` is set".to_owned()),
            }?;
            checked(url)
        };
        let token = || at.secret("token", c.token_env.as_ref(), c.token_file.as_ref());
        let want_token = || token()?.ok_or("neither `token_env` nor `token_file` is set".to_owned());
        let target = match c.kind {
            ChannelKind::Email => Target::Email(email(c, at)?),
            ChannelKind::Webhook => Target::Webhook(webhook(c, at, url()?)?),
            ChannelKind::Ntfy => Target::Ntfy {
                url: match (&c.url, &c.url_env, &c.url_file) {
                    (None, None, None) => SecretString::from("https://ntfy.sh".to_owned()),
                    _ => url()?,
                },
                topic: want("topic", c.topic.as_ref())?,
                token: token()?,
            },
            ChannelKind::Slack => Target::Slack(url()?),
            ChannelKind::Discord => Target::Discord(url()?),
            ChannelKind::Telegram => Target::Telegram {
                url: base(c.url.as_deref().unwrap_or("https://api.telegram.org"))?,
                token: want_token()?,
                chat: want("chat", c.chat.as_ref())?,
            },
            ChannelKind::Matrix => Target::Matrix {
                url: base(&want("url", c.url.as_ref())?)?,
                token: want_token()?,
                room: room(&want("room", c.room.as_ref())?)?,
            },
            ChannelKind::Ping => Target::Ping(url()?),
        };
        let on = c.on.clone().unwrap_or_else(|| config.on.clone());
        let pings = c.kind == ChannelKind::Ping;
        // A switch is for one job: a prune that works must not stand for a backup that does not.
        let operations = c.operations.clone().or_else(|| pings.then(|| vec!["backup".to_owned()]));
        Ok(Channel {
            name: name.to_owned(),
            on,
            operations,
            subject_prefix: config.subject_prefix.clone(),
            target,
            ca_file: c.ca_file.as_ref().map(|p| at.dir.join(p)),
        })
    }

    /// Whether this alert goes here.
    #[must_use]
    pub fn wants(&self, alert: &Alert) -> bool {
        if alert.event == Event::Test {
            return true;
        }
        if self.operations.as_ref().is_some_and(|o| !o.contains(&alert.operation)) {
            return false;
        }
        match (&self.target, alert.event.asked_by()) {
            // The switch notices silence itself.
            (Target::Ping(_), _) => alert.event != Event::Silent,
            (_, Some(when)) => self.on.contains(&when),
            (_, None) => false,
        }
    }

    /// Its secrets, which no message may hold.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        match &self.target {
            Target::Email(e) => e.login.iter().map(|(_, p)| p.clone()).collect(),
            Target::Webhook(w) => w.headers.iter().map(|(_, v)| v.clone()).chain([w.url.clone()]).collect(),
            Target::Ntfy { token, .. } => token.iter().cloned().collect(),
            Target::Slack(s) | Target::Discord(s) | Target::Ping(s) => vec![s.clone()],
            Target::Telegram { token, .. } | Target::Matrix { token, .. } => vec![token.clone()],
        }
    }
}

fn only_known_keys(c: &ChannelConfig) -> Result<(), String> {
    let known: &[&str] = match c.kind {
        ChannelKind::Email => {
            &["host", "port", "security", "user", "password_env", "password_file", "from", "to"]
        }
        ChannelKind::Webhook => &["url", "url_env", "url_file", "method", "headers", "headers_env", "body"],
        ChannelKind::Ntfy => &["url", "url_env", "url_file", "token_env", "token_file", "topic"],
        // Whoever has the address can write: it is a secret.
        ChannelKind::Slack | ChannelKind::Discord => &["url_env", "url_file"],
        ChannelKind::Telegram => &["url", "token_env", "token_file", "chat"],
        ChannelKind::Matrix => &["url", "token_env", "token_file", "room"],
        ChannelKind::Ping => &["url", "url_env", "url_file"],
    };
    match c.keys().into_iter().find(|k| !known.contains(k)) {
        None => Ok(()),
        Some("url") => {
            Err("its address is a secret: name `url_env` or `url_file` instead of `url`".to_owned())
        }
        Some(k) => Err(format!("`{k}` is not a key of this type; it has {}", known.join(", "))),
    }
}

fn want(key: &str, value: Option<&String>) -> Result<String, String> {
    value.filter(|v| !v.trim().is_empty()).cloned().ok_or_else(|| format!("`{key}` is not set"))
}

/// An address that is written in the configuration itself.
fn open_url(text: &str) -> Result<SecretString, String> {
    if Url::parse(text).is_ok_and(|u| u.password().is_some()) {
        return Err("there is a password in `url`: name `url_env` or `url_file` instead".to_owned());
    }
    Ok(SecretString::from(text.to_owned()))
}

/// The error does not repeat the address: it may be a secret.
fn checked(url: SecretString) -> Result<SecretString, String> {
    match Url::parse(url.expose_secret()) {
        Ok(u) if matches!(u.scheme(), "https" | "http") && u.has_host() => Ok(url),
        Ok(_) => Err("its address is not one of https or http".to_owned()),
        Err(e) => Err(format!("its address is none: {e}")),
    }
}

fn base(text: &str) -> Result<Url, String> {
    checked(open_url(text)?)?;
    Url::parse(text).map_err(|e| format!("its address is none: {e}"))
}

fn room(text: &str) -> Result<String, String> {
    if text.starts_with('!') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`room` is the room's internal id, which begins with `!`, and `{text}` does not (Element: Room settings, Advanced)"
    ))
}

fn email(c: &ChannelConfig, at: Surroundings<'_>) -> Result<Email, String> {
    let security = c.security.unwrap_or_default();
    let host = want("host", c.host.as_ref())?;
    let password = at.secret("password", c.password_env.as_ref(), c.password_file.as_ref())?;
    let login = match (&c.user, password) {
        (Some(u), Some(p)) => Some((u.clone(), p)),
        (None, None) => None,
        (Some(_), None) => {
            return Err("`user` is set, and neither `password_env` nor `password_file`".to_owned());
        }
        (None, Some(_)) => return Err("a password is named, and `user` is not".to_owned()),
    };
    let here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if login.is_some() && security == Security::None && !here {
        return Err("a password is not sent without TLS: set `security` to `starttls` or `tls`".to_owned());
    }
    let from = want("from", c.from.as_ref())?;
    let to = c.to.clone().unwrap_or_default();
    if to.is_empty() {
        return Err("`to` names nobody".to_owned());
    }
    for address in to.iter().chain([&from]) {
        crate::mail::address(address)?;
    }
    let port = c.port.unwrap_or(match security {
        Security::Starttls => 587,
        Security::Tls => 465,
        Security::None => 25,
    });
    Ok(Email { host, port, security, login, from, to })
}

fn webhook(c: &ChannelConfig, at: Surroundings<'_>, url: SecretString) -> Result<Webhook, String> {
    let method = c.method.clone().unwrap_or_else(|| "POST".to_owned()).to_ascii_uppercase();
    if !["POST", "PUT", "PATCH", "GET"].contains(&method.as_str()) {
        return Err(format!("`method` is POST, PUT, PATCH or GET, not `{method}`"));
    }
    let mut headers = Vec::new();
    for (name, value) in c.headers.iter().flatten() {
        headers.push((name.clone(), SecretString::from(value.clone())));
    }
    for (name, variable) in c.headers_env.iter().flatten() {
        let value = at.secret("headers", Some(variable), None)?;
        headers.extend(value.map(|v| (name.clone(), v)));
    }
    for (name, value) in &headers {
        crate::http::header(name, value.expose_secret())?;
    }
    if let Some(body) = &c.body {
        template::check(body)?;
    }
    Ok(Webhook { url, method, headers, body: c.body.clone() })
}
