//! FTP by pyftpdlib, WebDAV by WsgiDAV.

use std::path::Path;
use std::process::Command;

use super::{Server, start, tool, write};
use crate::run;

const FTP: &str = r#"
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

home, port, password, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
handler = FTPHandler
if certificate:
    from pyftpdlib.handlers import TLS_FTPHandler
    handler = TLS_FTPHandler
    handler.certfile = certificate
    handler.tls_control_required = True
    handler.tls_data_required = True
authorizer = DummyAuthorizer()
authorizer.add_user("backup", password, home, perm="elradfmwMT")
authorizer.add_user("reader", password, home, perm="elr")
handler.authorizer = authorizer
FTPServer(("127.0.0.1", port), handler).serve_forever()
"#;

const WEBDAV: &str = r#"
import sys
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

root, port, password, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
app = WsgiDAVApp({
    "provider_mapping": {"/dav": root, "/read-only": {"root": root, "readonly": True}},
    "http_authenticator": {"domain_controller": None, "accept_basic": True, "accept_digest": False, "default_to_digest": False},
    "simple_dc": {"user_mapping": {"*": {"backup": {"password": password}}}},
    "verbose": 1,
})
server = wsgi.Server(("127.0.0.1", port), app)
if certificate:
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    server.ssl_adapter = BuiltinSSLAdapter(certificate, certificate)
server.start()
"#;

fn python(script: &str, dir: &Path, port: u16, password: &str, certificate: &str) -> Command {
    let mut c = Command::new(tool("py/bin/python"));
    let data = dir.join("data");
    c.arg("-c").arg(script).arg(data).args([&port.to_string(), password, certificate]);
    c
}

/// A certificate for 127.0.0.1 and localhost, signed by itself: `ca.pem`, and with its key `server.pem`.
#[track_caller]
pub(super) fn certificate(dir: &Path) -> String {
    let (ca, key, both) = (dir.join("ca.pem"), dir.join("key.pem"), dir.join("server.pem"));
    let mut c = Command::new("openssl");
    c.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    c.args([
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    let _ = run(c.arg("-keyout").arg(&key).arg("-out").arg(&ca), None).ok();
    let pem = [&ca, &key].map(|p| std::fs::read(p).unwrap_or_default()).concat();
    write(&both, &pem);
    both.display().to_string()
}

/// An FTP server with the users `backup` and `reader` (who may not write).
#[must_use]
#[track_caller]
pub fn ftp(password: &str) -> Server {
    start("pyftpdlib", |dir, port| python(FTP, dir, port, password, ""))
}

/// The same, with TLS wanted; `ca.pem` in its directory is its certificate.
#[must_use]
#[track_caller]
pub fn ftps(password: &str) -> Server {
    start("pyftpdlib with TLS", |dir, port| python(FTP, dir, port, password, &certificate(dir)))
}

/// A WebDAV server with the user `backup` and its files at `/dav`; with `tls` it has the certificate `ca.pem`.
#[must_use]
#[track_caller]
pub fn webdav(password: &str, tls: bool) -> Server {
    start("WsgiDAV", |dir, port| {
        let certificate = if tls { certificate(dir) } else { String::new() };
        python(WEBDAV, dir, port, password, &certificate)
    })
}
