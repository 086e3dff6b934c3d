//! SFTP against OpenSSH's server. The client is the `ssh` of `PATH`, with the user's configuration: so that it meets
//! neither, each test runs once more as a process with a `PATH` of its own.

#![allow(
    clippy::disallowed_methods,
    reason = "a test that starts itself and is told where to go by its environment"
)]

use std::path::Path;
use std::process::Command;

use repot_store::storage::{Storage, StorageError};
use repot_testkit::servers::{self, Sshd};

use crate::contract::{contract, files, put};
use crate::faulty::{bad_reads, failed_uploads};
use crate::{open, refusal};

/// Runs the test of this name again, with this `ssh`.
#[track_caller]
fn again(test: &str, sshd: &Sshd, client: &Path) {
    let path = format!("{}:{}", client.display(), std::env::var("PATH").unwrap_or_default());
    let mut c = Command::new(std::env::current_exe().expect("this test's program"));
    c.args(["--exact", &format!("sftp::{test}"), "--nocapture"]).env("PATH", path);
    c.env("REPOT_SFTP_PORT", sshd.server.port.to_string()).env("REPOT_SFTP_DIR", sshd.server.dir());
    let ran = repot_testkit::run(&mut c, None).ok();
    assert!(ran.stdout.contains("1 passed"), "{ran}");
}

/// Where the server is, in the second run.
fn told() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var("REPOT_SFTP_PORT").ok()?, std::env::var_os("REPOT_SFTP_DIR")?.into()))
}

fn storage(port: &str, path: &str, key: &Path) -> Storage {
    open(
        &format!("sftp://127.0.0.1:{port}{path}"),
        &[("key_file", &key.display().to_string()), ("retries", "1")],
    )
}

#[test]
fn sftp() {
    let Some((port, dir)) = told() else {
        let sshd = servers::sftp();
        again("sftp", &sshd, &sshd.client);
        // No connection stays behind: they are children of the server.
        repot_testkit::wait_for("the connections have ended", || {
            sshd.server.children().is_empty().then_some(())
        });
        return;
    };
    let data = dir.join("data");
    let s = storage(&port, &format!("{}/backups/here", data.display()), &dir.join("key"));
    contract(&s, Some(&data));
    failed_uploads(&s);
    bad_reads(&s);
    let left: Vec<String> = files(&data).into_iter().filter(|f| f.contains("partial")).collect();
    assert_eq!(left, Vec::<String>::new());
    // The server puts us into its data directory, as a home.
    let home = storage(&port, "/~/mine", &dir.join("key"));
    home.check().expect("usable");
    put(&home, "set/file", b"x");
    assert_eq!(std::fs::read(data.join("mine/set/file")).expect("there"), b"x");
    assert_eq!(home.list("").expect("listed").len(), 1);
}

#[test]
fn sftp_says_what_is_wrong() {
    let Some((port, dir)) = told() else {
        let sshd = servers::sftp();
        again("sftp_says_what_is_wrong", &sshd, &sshd.client);
        return;
    };
    let data = dir.join("data").display().to_string();
    let e = refusal(&storage(&port, &data, &dir.join("stranger")));
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    // The superuser may write anywhere but here.
    let e = refusal(&storage(&port, "/proc", &dir.join("key")));
    assert!(matches!(e, StorageError::Denied(_) | StorageError::NotFound(_) | StorageError::Other(_)), "{e}");
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let e = refusal(&storage(&nobody.to_string(), &data, &dir.join("key")));
    assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
}

#[test]
fn an_unknown_host_key_is_refused() {
    let Some((port, dir)) = told() else {
        let sshd = servers::sftp();
        again("an_unknown_host_key_is_refused", &sshd, &sshd.wary_client);
        return;
    };
    let url = format!("sftp://127.0.0.1:{port}{}", dir.join("data").display());
    let key = dir.join("key").display().to_string();
    let e = refusal(&open(&url, &[("key_file", &key)]));
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    assert!(e.to_string().to_lowercase().contains("host key"), "{e}");
    open(&url, &[("key_file", &key), ("known_hosts", "add")]).check().expect("usable");
    open(&url, &[("key_file", &key)]).check().expect("known by now");
}
