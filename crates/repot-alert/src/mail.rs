//! Mail by SMTP.

use std::path::Path;
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};
use secrecy::ExposeSecret;

use crate::Limits;
use crate::alert::Alert;
use crate::chain::chain;
use crate::channel::{Channel, Email};
use crate::config::Security;
use crate::words;

/// A mail address, with a name before it if wanted.
pub(crate) fn address(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|e| format!("`{text}` is no mail address: {e}"))
}

/// Sends to each recipient apart: one address that is refused does not keep it from the others.
pub(crate) fn send(
    email: &Email,
    channel: &Channel,
    alert: &Alert,
    id: &str,
    limits: &Limits,
) -> Result<(), String> {
    let deadline = Instant::now() + limits.total;
    let message = message(email, channel, alert, id)?;
    let bytes = message.formatted();
    let from = address(&email.from)?.email;
    let mut failed = Vec::new();
    for to in &email.to {
        let envelope = Envelope::new(Some(from.clone()), vec![address(to)?.email])
            .map_err(|e| format!("the message to {to} cannot be sent: {e}"))?;
        let mut left = limits.attempts.max(1);
        let mut last = None;
        loop {
            left -= 1;
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                let late = || format!("not within {} s", limits.total.as_secs_f32());
                failed.push(format!("{to}: {}", last.unwrap_or_else(late)));
                break;
            }
            // An attempt of its own limit: one that gets no answer must leave time for others.
            let each = remaining.min(limits.total / limits.attempts.max(1));
            let transport = transport(email, channel.ca_file.as_deref(), alert, each)?;
            let e = match transport.send_raw(&envelope, &bytes) {
                Ok(_) => break,
                Err(e) => e,
            };
            let why = chain(&e);
            // A permanent refusal, a bad login or certificate does not get better by itself.
            let hopeless = e.is_permanent() || e.is_tls() || e.is_client() || why.contains("certificate");
            if hopeless || left == 0 {
                failed.push(format!("{to}: {why}"));
                break;
            }
            last = Some(why);
            std::thread::sleep(limits.pause.min(deadline.saturating_duration_since(Instant::now())));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn message(email: &Email, channel: &Channel, alert: &Alert, id: &str) -> Result<Message, String> {
    let from = address(&email.from)?;
    let domain = from.email.domain().to_owned();
    let mut builder = Message::builder()
        .from(from)
        .subject(words::subject(alert, &channel.subject_prefix))
        .message_id(Some(format!("<{id}@{domain}>")))
        // RFC 3834: so that nobody's absence note answers.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN);
    for to in &email.to {
        builder = builder.to(address(to)?);
    }
    builder.body(words::text(alert)).map_err(|e| format!("the message cannot be made: {e}"))
}

fn transport(
    email: &Email,
    ca_file: Option<&Path>,
    alert: &Alert,
    timeout: Duration,
) -> Result<SmtpTransport, String> {
    let tls = || -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(email.host.clone());
        if let Some(path) = ca_file {
            let bad = |why: String| format!("`ca_file`: {}: {why}", path.display());
            let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
            builder =
                builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|e| bad(e.to_string()))?);
        }
        builder.build_rustls().map_err(|e| format!("TLS cannot be set up: {e}"))
    };
    let tls = match email.security {
        Security::Starttls => Tls::Required(tls()?),
        Security::Tls => Tls::Wrapper(tls()?),
        Security::None => Tls::None,
    };
    let mut builder =
        SmtpTransport::builder_dangerous(&email.host).port(email.port).tls(tls).timeout(Some(timeout));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !alert.host.is_empty() && alert.host.chars().all(plain) {
        builder = builder.hello_name(ClientId::Domain(alert.host.clone()));
    }
    if let Some((user, password)) = &email.login {
        builder = builder
            .credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}
