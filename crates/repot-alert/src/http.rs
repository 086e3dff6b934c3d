//! Sending one request, within its time, with what may be repeated.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;

use crate::Limits;
use crate::chain::chain;
use crate::request::Request;

/// How much of an answer is read: enough for its reason.
const ANSWER_BYTES: usize = 2_000;
/// No service's wish to wait longer is followed.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A header, or what is wrong with it; its value is not repeated.
pub(crate) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let n = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no name of a header"))?;
    let mut v =
        HeaderValue::try_from(value).map_err(|_| format!("the value of the header `{name}` is none"))?;
    v.set_sensitive(true);
    Ok((n, v))
}

/// Sends it. The error is in words, without the address.
pub(crate) fn send(request: &Request, ca_file: Option<&Path>, limits: &Limits) -> Result<(), String> {
    let deadline = Instant::now() + limits.total;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(ca_file)?)
        .user_agent(concat!("repot/", env!("CARGO_PKG_VERSION")))
        // A redirect would take the secrets of the request to somebody else.
        .redirect(reqwest::redirect::Policy::none())
        // Not from the environment: a library does not look there.
        .no_proxy()
        .build()
        .map_err(|e| format!("HTTP cannot be set up: {}", e.without_url()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("HTTP cannot be set up: {e}"))?;
    runtime.block_on(async {
        let attempts = attempts(&client, request, limits);
        match tokio::time::timeout_at(deadline.into(), attempts).await {
            Ok(done) => done,
            Err(_) => Err(format!("no answer within {} s", limits.total.as_secs_f32())),
        }
    })
}

async fn attempts(client: &reqwest::Client, request: &Request, limits: &Limits) -> Result<(), String> {
    let mut left = limits.attempts.max(1);
    loop {
        left -= 1;
        match once(client, request).await {
            Ok(()) => return Ok(()),
            Err(Refusal { why, pause: Some(asked) }) if left > 0 => {
                tokio::time::sleep(asked.unwrap_or(limits.pause).min(MAX_PAUSE)).await;
                drop(why);
            }
            Err(Refusal { why, .. }) => return Err(why),
        }
    }
}

struct Refusal {
    why: String,
    /// Whether another attempt may help, and the pause that the service wishes before.
    pause: Option<Option<Duration>>,
}

async fn once(client: &reqwest::Client, request: &Request) -> Result<(), Refusal> {
    let never = |why: String| Refusal { why, pause: None };
    let method = reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|e| never(e.to_string()))?;
    let mut r = client.request(method, request.url.expose_secret());
    for (name, value) in &request.headers {
        let (name, value) = header(name, value.expose_secret()).map_err(never)?;
        r = r.header(name, value);
    }
    if !request.body.is_empty() {
        r = r.body(request.body.clone());
    }
    let mut answer =
        r.send().await.map_err(|e| Refusal { why: chain(&e.without_url()), pause: Some(None) })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let wait = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
    let again = status.is_server_error() || status.as_u16() == 429;
    let to = answer.headers().get("location").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        said.extend_from_slice(&chunk);
        if said.len() >= ANSWER_BYTES {
            break;
        }
    }
    let said = String::from_utf8_lossy(&said);
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    let mut why = format!("it answered {status}");
    if let Some(to) = to.filter(|_| status.is_redirection()) {
        why.push_str(&format!(" to {to}, which is not followed"));
    }
    if !said.is_empty() {
        why.push_str(&format!(": {said}"));
    }
    Err(Refusal { why, pause: again.then(|| wait.map(Duration::from_secs)) })
}

/// TLS by rustls with ring; trusts the system's authorities and those of `ca_file`.
fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let bad = |why: String| format!("`ca_file`: {}: {why}", path.display());
        let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let before = roots.len();
        for cert in CertificateDer::pem_slice_iter(&pem) {
            roots.add(cert.map_err(|e| bad(e.to_string()))?).map_err(|e| bad(e.to_string()))?;
        }
        if roots.len() == before {
            return Err(bad("there is no certificate in it".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
