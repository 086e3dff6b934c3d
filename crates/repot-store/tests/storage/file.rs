//! A local directory, FTP, FTPS, WebDAV.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use repot_store::storage::{Storage, StorageError};
use repot_testkit::servers;

use crate::contract::{contract, files, get, noise, put};
use crate::faulty::{bad_reads, failed_uploads};
use crate::{PASSWORD, open, refusal};

fn everything(storage: &Storage, data: &std::path::Path) {
    contract(storage, Some(data));
    failed_uploads(storage);
    bad_reads(storage);
    let left: Vec<String> = files(data).into_iter().filter(|f| f.contains("partial")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn local() {
    let dir = tempfile::tempdir().expect("tempdir");
    let root = dir.path().join("backups");
    std::fs::create_dir(&root).expect("made");
    everything(&open(&format!("file://{}", root.display()), &[]), &root);
}

#[test]
fn a_local_directory_that_is_not_there_is_not_empty() {
    let dir = tempfile::tempdir().expect("tempdir");
    let s = open(&dir.path().join("unmounted").display().to_string(), &[]);
    assert!(s.list("").expect_err("absent").is_not_found());
    assert!(s.list("set").expect_err("absent").is_not_found());
}

#[test]
fn a_local_file_in_the_way_is_told() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("file"), b"x").expect("written");
    let s = open(&dir.path().join("file").display().to_string(), &[]);
    assert!(matches!(refusal(&s), StorageError::Other(_) | StorageError::NotFound(_)));
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("set");
}

#[test]
fn ftp() {
    let server = servers::ftp(PASSWORD);
    let url = format!("ftp://backup@127.0.0.1:{}/backups/here", server.port);
    let s = open(&url, &[("password", PASSWORD)]);
    put(&s, "first", b"x");
    s.delete("first").expect("deleted");
    everything(&s, &server.data());
}

#[test]
fn ftp_below_the_directory_of_the_user() {
    let server = servers::ftp(PASSWORD);
    let s = open(&format!("ftp://backup@127.0.0.1:{}/~/mine", server.port), &[("password", PASSWORD)]);
    put(&s, "set/file", b"x");
    assert_eq!(std::fs::read(server.data().join("mine/set/file")).expect("there"), b"x");
}

#[test]
fn ftp_says_what_is_wrong() {
    let mut server = servers::ftp(PASSWORD);
    let url = |user: &str| format!("ftp://{user}@127.0.0.1:{}/", server.port);
    let wrong = open(&url("backup"), &[("password", "wrong")]);
    assert!(matches!(refusal(&wrong), StorageError::Denied(_)));
    let reader = open(&url("reader"), &[("password", PASSWORD)]);
    let e = refusal(&reader);
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    let fine = open(&url("backup"), &[("password", PASSWORD), ("retries", "1")]);
    fine.check().expect("usable");
    server.stop();
    let e = refusal(&fine);
    assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
}

#[test]
fn ftps() {
    let server = servers::ftps(PASSWORD);
    let url = |scheme: &str| format!("{scheme}://backup@127.0.0.1:{}/", server.port);
    let ca = server.dir().join("ca.pem").display().to_string();
    let s = open(&url("ftps"), &[("password", PASSWORD), ("ca_file", &ca)]);
    s.check().expect("usable");
    let content = noise(5, 9_000_000);
    put(&s, "set/file", &content);
    assert!(get(&s, "set/file") == content);
    let unknown = refusal(&open(&url("ftps"), &[("password", PASSWORD)]));
    assert!(matches!(unknown, StorageError::Denied(_)), "{unknown}");
    assert!(unknown.to_string().contains("certificate"), "{unknown}");
    // The password is not sent in the clear to a server that wants TLS.
    assert!(matches!(
        refusal(&open(&url("ftp"), &[("password", PASSWORD)])),
        StorageError::Denied(_) | StorageError::NotFound(_)
    ));
}

#[test]
fn webdav() {
    let server = servers::webdav(PASSWORD, false);
    let url = format!("webdav://backup@127.0.0.1:{}/dav", server.port);
    everything(&open(&url, &[("password", PASSWORD)]), &server.data());
    let below = open(&format!("{url}/a dir/deep"), &[("password", PASSWORD)]);
    below.check().expect("usable");
    put(&below, "set/file", b"x");
    assert_eq!(std::fs::read(server.data().join("a dir/deep/set/file")).expect("there"), b"x");
}

#[test]
fn webdav_by_https() {
    let server = servers::webdav(PASSWORD, true);
    let url = format!("webdavs://backup@localhost:{}/dav", server.port);
    let ca = server.dir().join("ca.pem").display().to_string();
    let s = open(&url, &[("password", PASSWORD), ("ca_file", &ca)]);
    s.check().expect("usable");
    let content = noise(6, 9_000_000);
    put(&s, "set/file", &content);
    assert!(get(&s, "set/file") == content);
    let unknown = refusal(&open(&url, &[("password", PASSWORD), ("retries", "0")]));
    assert!(matches!(unknown, StorageError::Denied(_)), "{unknown}");
    assert!(unknown.to_string().contains("certificate"), "{unknown}");
}

#[test]
fn webdav_says_what_is_wrong() {
    let mut server = servers::webdav(PASSWORD, false);
    let url = |path: &str| format!("webdav://backup@127.0.0.1:{}/{path}", server.port);
    let few = [("password", PASSWORD), ("retries", "1")];
    let e = refusal(&open(&url("dav"), &[("password", "wrong"), ("retries", "1")]));
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    let e = refusal(&open(&url("read-only"), &few));
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    let fine = open(&url("dav"), &few);
    fine.check().expect("usable");
    server.stop();
    let e = refusal(&fine);
    assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
}

/// A server that takes connections and says nothing.
#[test]
fn silence_has_an_end() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let quick = [("timeout_s", "1"), ("io_timeout_s", "1"), ("retries", "0")];
    let keys = [
        ("access_key_id", "A"),
        ("secret_access_key", PASSWORD),
        ("endpoint", &format!("http://127.0.0.1:{port}")),
    ];
    let with = |more: &[(&'static str, &str)]| -> Vec<(String, String)> {
        quick.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    for (url, options) in [
        (format!("ftp://me@127.0.0.1:{port}/"), with(&[("password", PASSWORD)])),
        (format!("webdav://me@127.0.0.1:{port}/"), with(&[("password", PASSWORD)])),
        ("s3://bucket/".to_owned(), with(&keys)),
    ] {
        let options: Vec<(&str, &str)> = options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let began = Instant::now();
        let e = refusal(&open(&url, &options));
        assert!(matches!(e, StorageError::Unreachable(_)), "{url}: {e}");
        assert!(began.elapsed() < Duration::from_secs(20), "{url}: {:?}", began.elapsed());
    }
}
