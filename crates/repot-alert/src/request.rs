//! What each service's published interface wants.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::alert::{Alert, Event};
use crate::channel::{Channel, Target};
use crate::{template, words};

/// One HTTP request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// A secret in most services.
    pub(crate) url: SecretString,
    pub(crate) headers: Vec<(String, SecretString)>,
    pub(crate) body: String,
}

/// Slack cuts longer texts itself, at places of its own.
const SLACK_UNITS: usize = 4_000;
/// discord.com/developers/docs/resources/webhook: `content` up to 2000 characters.
const DISCORD_UNITS: usize = 2_000;
/// core.telegram.org/bots/api#sendmessage: 1 to 4096 characters.
const TELEGRAM_UNITS: usize = 4_096;
/// docs.ntfy.sh/publish: longer messages become attachments.
const NTFY_BYTES: usize = 4_096;
/// spec.matrix.org: an event is up to 65,536 bytes, with what the server adds.
const MATRIX_BYTES: usize = 40_000;
/// healthchecks.io keeps 100 kB.
const PING_BYTES: usize = 10_000;

/// What a segment of a path cannot hold as it is.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'!')
    .add(b':')
    .add(b'@');

/// The request for an alert; `id` is the same for each attempt. Not for mail.
pub(crate) fn request(channel: &Channel, alert: &Alert, id: &str) -> Result<Request, String> {
    let prefix = &channel.subject_prefix;
    let (subject, text) = (words::subject(alert, prefix), words::text(alert));
    // Where there is no title of its own, the subject is the first line.
    let both = format!("{subject}\n\n{text}");
    let post = |url: &SecretString, token: Option<&SecretString>, body: serde_json::Value| Request {
        method: "POST".to_owned(),
        url: url.clone(),
        headers: headers("application/json", token),
        body: body.to_string(),
    };
    Ok(match &channel.target {
        Target::Email(_) => return Err("mail is not sent by HTTP".to_owned()),
        Target::Webhook(w) => {
            let body = template::render(w.body.as_deref(), alert, prefix)?;
            let mut all = w.headers.clone();
            if !all.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-type")) && w.method != "GET" {
                all.extend(headers("application/json", None));
            }
            let body = if w.method == "GET" { String::new() } else { body };
            Request { method: w.method.clone(), url: w.url.clone(), headers: all, body }
        }
        Target::Ntfy { url, topic, token } => {
            let (priority, tag) = match alert.event {
                Event::Failed | Event::Silent => (4, "rotating_light"),
                _ => (3, "white_check_mark"),
            };
            let message = words::cut_bytes(&text, NTFY_BYTES);
            let body = json!({ "topic": topic, "title": subject, "message": message, "priority": priority, "tags": [tag] });
            post(url, token.as_ref(), body)
        }
        Target::Slack(url) => {
            // docs.slack.dev/messaging/formatting-message-text: these three, and no others.
            let escaped = both.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            post(url, None, json!({ "text": words::cut_units(&escaped, SLACK_UNITS) }))
        }
        Target::Discord(url) => {
            // Nobody is called by a name that happens to stand in an error.
            let body = json!({ "content": words::cut_units(&both, DISCORD_UNITS), "allowed_mentions": { "parse": [] } });
            post(url, None, body)
        }
        Target::Telegram { url, token, chat } => {
            let base = url.as_str().trim_end_matches('/');
            let url = SecretString::from(format!("{base}/bot{}/sendMessage", token.expose_secret()));
            let body = json!({ "chat_id": chat, "text": words::cut_units(&both, TELEGRAM_UNITS) });
            post(&url, None, body)
        }
        Target::Matrix { url, token, room } => {
            let base = url.as_str().trim_end_matches('/');
            let room = utf8_percent_encode(room, SEGMENT);
            let id = utf8_percent_encode(id, SEGMENT);
            let address = format!("{base}/_matrix/client/v3/rooms/{room}/send/m.room.message/{id}");
            let body = json!({ "msgtype": "m.text", "body": words::cut_bytes(&both, MATRIX_BYTES) });
            let url = SecretString::from(address);
            Request { method: "PUT".to_owned(), ..post(&url, Some(token), body) }
        }
        Target::Ping(url) => ping(url, alert, &both),
    })
}

/// healthchecks.io/docs/http_api: `/start`, `/fail`, `/log` behind the check's own address; the body is kept.
fn ping(url: &SecretString, alert: &Alert, text: &str) -> Request {
    let end = match alert.event {
        Event::Started => "/start",
        Event::Failed => "/fail",
        // A test must not look like a success.
        Event::Test => "/log",
        Event::Succeeded | Event::Silent => "",
    };
    let url = url.expose_secret();
    let (path, query) = url.split_once('?').map_or((url, String::new()), |(p, q)| (p, format!("?{q}")));
    Request {
        method: "POST".to_owned(),
        url: SecretString::from(format!("{}{end}{query}", path.trim_end_matches('/'))),
        headers: headers("text/plain; charset=utf-8", None),
        body: words::cut_bytes(text, PING_BYTES),
    }
}

fn headers(content_type: &str, token: Option<&SecretString>) -> Vec<(String, SecretString)> {
    let mut all = vec![("Content-Type".to_owned(), SecretString::from(content_type.to_owned()))];
    if let Some(t) = token {
        all.push(("Authorization".to_owned(), SecretString::from(format!("Bearer {}", t.expose_secret()))));
    }
    all
}
