//! Receivers of alerts: a mail server by aiosmtpd, an HTTP receiver by Python's http.server. What arrives is written
//! down, one JSON document a line.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::file::certificate;
use super::{Server, start, tool};
use crate::wait_for;

const MAIL: &str = r#"
import asyncio, json, logging, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

log, port, mode, password, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
context = None
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

class Handler:
    failures = 1
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such person"
        if address.startswith("later@") and Handler.failures:
            Handler.failures -= 1
            return "451 4.7.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        with open(log, "a") as f:
            f.write(json.dumps({
                "from": envelope.mail_from, "to": envelope.rcpt_tos, "helo": session.host_name,
                "tls": bool(session.ssl) or mode == "tls", "user": session.auth_data and session.auth_data.login.decode(),
                "message": envelope.content.decode("utf-8"),
            }) + "\n")
        return "250 kept"

def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.login == b"repot" and data.password == password.encode()
    return AuthResult(success=good, handled=False, auth_data=data)

def protocol():
    login = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"} if password else {}
    if mode.endswith("login-only"):
        login["auth_exclude_mechanism"] = ["PLAIN"]
    upgrade = {"tls_context": context, "require_starttls": True} if mode == "starttls" else {}
    return SMTP(Handler(), hostname="mail.test", enable_SMTPUTF8=True, **login, **upgrade)

async def main():
    server = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", port, ssl=context if mode == "tls" else None)
    await server.serve_forever()

asyncio.run(main())
"#;

const RECEIVER: &str = r#"
import http.server, json, sys, time
log, port = sys.argv[1], int(sys.argv[2])
seen = {}

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8")
        with open(log, "a") as f:
            f.write(json.dumps({"method": self.command, "path": self.path, "body": body,
                                "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")
        first = not seen.get(self.path)
        seen[self.path] = True
        status = 200
        if "stall" in self.path:
            time.sleep(600)
        if "broken" in self.path or ("once" in self.path and first):
            status = 500
        if "slow-down" in self.path and first:
            status = 429
        if "refuse" in self.path:
            status = 403
        if "moved" in self.path:
            status = 302
        said = ("you sent " + str(self.headers.get("Authorization")) if status == 403 else "ok").encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    do_GET = do_POST = do_PUT = do_PATCH = answer
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

/// A mail server. The user is `repot`; `nobody@` is refused, `later@` the first time.
#[derive(Debug)]
pub struct Mail {
    /// The server.
    pub server: Server,
}

/// An HTTP receiver. What it answers, the path says: `stall`, `broken` (500), `once` (500 the first time), `slow-down`
/// (429 the first time), `refuse` (403, with the Authorization header in its words), `moved`; otherwise 200.
#[derive(Debug)]
pub struct Receiver {
    /// The server.
    pub server: Server,
}

/// Something that a receiver got, as it wrote it down.
pub type Received = Value;

fn written(server: &Server) -> Vec<Received> {
    let text = std::fs::read_to_string(server.dir().join("received")).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

impl Mail {
    /// What arrived.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        written(&self.server)
    }
    /// Its certificate, to be trusted.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.server.dir().join("ca.pem")
    }
}

impl Receiver {
    /// What arrived.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        written(&self.server)
    }
    /// The first that arrived whose path holds this, when it is there.
    #[must_use]
    #[track_caller]
    pub fn at(&self, path: &str) -> Received {
        wait_for("a request arrives", || {
            self.received().into_iter().find(|r| r["path"].as_str().is_some_and(|p| p.contains(path)))
        })
    }
    /// An address of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.server.port)
    }
}

/// A mail server, `mode` being `starttls` (wanted), `tls` (from the first byte), `plain` or `plain-login-only` (the
/// mechanism LOGIN alone). A login is wanted where there is a password.
#[must_use]
#[track_caller]
pub fn mail(mode: &str, password: &str) -> Mail {
    let server = start("aiosmtpd", |dir, port| {
        let certificate = if mode.starts_with("plain") { String::new() } else { certificate(dir) };
        let mut c = Command::new(tool("mail-venv/bin/python"));
        c.arg("-c").arg(MAIL).arg(dir.join("received")).args([
            &port.to_string(),
            mode,
            password,
            &certificate,
        ]);
        c
    });
    Mail { server }
}

/// An HTTP receiver.
#[must_use]
#[track_caller]
pub fn receiver() -> Receiver {
    let server = start("the receiver", |dir, port| {
        let mut c = Command::new("python3");
        c.arg("-c").arg(RECEIVER).arg(dir.join("received")).arg(port.to_string());
        c
    });
    Receiver { server }
}
