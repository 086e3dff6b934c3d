//! S3 by s3s-fs, Azure by Azurite, Google Cloud Storage by fake-gcs-server.

use std::process::Command;

use super::{Server, start, tool, write};
use crate::run;

/// An S3 server with one bucket, `bucket`.
#[must_use]
#[track_caller]
pub fn s3(access_key: &str, secret_key: &str) -> Server {
    start("s3s-fs", |dir, port| {
        write(&dir.join("data/bucket/.keep"), b"");
        let _ = std::fs::remove_file(dir.join("data/bucket/.keep"));
        let mut c = Command::new(tool("bin/s3s-fs"));
        c.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        c.args(["--access-key", access_key, "--secret-key", secret_key]).arg(dir.join("data"));
        c
    })
}

/// Makes a container: the request that Azure's storage service wants, signed with the account's key.
const MAKE_CONTAINER: &str = r#"
const crypto = require("crypto"), http = require("http");
const [port, key] = process.argv.slice(1);
const headers = {"x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-08-06"};
const path = "/devstoreaccount1/container";
const lines = ["PUT", ...Array(11).fill(""), `x-ms-date:${headers["x-ms-date"]}`,
    `x-ms-version:${headers["x-ms-version"]}`, `/devstoreaccount1${path}`, "restype:container"];
const signature = crypto.createHmac("sha256", Buffer.from(key, "base64")).update(lines.join("\n")).digest("base64");
headers.authorization = `SharedKey devstoreaccount1:${signature}`;
headers["content-length"] = "0";
const request = http.request({port, host: "127.0.0.1", method: "PUT", path: `${path}?restype=container`, headers}, answer => {
    answer.resume();
    process.exitCode = answer.statusCode === 201 ? 0 : 1;
    console.log(answer.statusCode);
});
request.end();
"#;

/// Azurite, with its well-known account `devstoreaccount1`, whose key this is, and a container, `container`.
#[must_use]
#[track_caller]
pub fn azure(account_key: &str) -> Server {
    let server = start("Azurite", |dir, port| {
        let mut c = Command::new("node");
        c.arg(tool("azurite/node_modules/azurite/dist/src/blob/main.js"));
        c.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--disableTelemetry"]);
        c.args(["--silent", "--skipApiVersionCheck", "--location"]).arg(dir.join("data"));
        c
    });
    let mut c = Command::new("node");
    let _ = run(c.args(["-e", MAKE_CONTAINER, &server.port.to_string(), account_key]), None).ok();
    server
}

/// An emulator of Google Cloud Storage with one bucket, `bucket`, in memory. It has no uploads in parts.
#[must_use]
#[track_caller]
pub fn gcs() -> Server {
    start("fake-gcs-server", |dir, port| {
        write(&dir.join("seed/bucket/seed"), b"a bucket is made for a file that is in it");
        let mut c = Command::new(tool("bin/fake-gcs-server"));
        c.args(["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", &port.to_string()]);
        c.args(["-public-host", &format!("127.0.0.1:{port}"), "-data"]).arg(dir.join("seed"));
        c
    })
}
