//! S3, Azure, Google Cloud Storage.

use std::io::Write;
use std::path::Path;

use repot_store::storage::{PART_BYTES, StorageError};
use repot_testkit::servers;

use crate::contract::{contract, files, get, names, noise, put};
use crate::faulty::{bad_reads, failed_uploads};
use crate::{PASSWORD, open, refusal};

const KEY: &str = "REPOTTEST";

/// What s3s-fs keeps of uploads that are under way.
fn unfinished(data: &Path) -> Vec<String> {
    files(data).into_iter().filter(|f| f.contains(".upload")).collect()
}

#[test]
fn s3() {
    let server = servers::s3(KEY, PASSWORD);
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let options = [("endpoint", endpoint.as_str()), ("access_key_id", KEY), ("secret_access_key", PASSWORD)];
    for url in ["s3://bucket", "s3://bucket/some/where"] {
        let s = open(url, &options);
        contract(&s, None);
        failed_uploads(&s);
        bad_reads(&s);
        for name in names(&s, "") {
            s.delete(&name).expect("deleted");
        }
    }
    assert_eq!(unfinished(&server.data()), Vec::<String>::new());
}

#[test]
fn s3_forgets_an_upload_that_was_dropped() {
    let server = servers::s3(KEY, PASSWORD);
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let s = open(
        "s3://bucket",
        &[("endpoint", &endpoint), ("access_key_id", KEY), ("secret_access_key", PASSWORD)],
    );
    let mut w = s.writer("file").expect("a writer");
    w.write_all(&noise(1, 6 * PART_BYTES)).expect("written");
    // The test would prove nothing if there were nothing to forget.
    repot_testkit::wait_for("a part has arrived", || (!unfinished(&server.data()).is_empty()).then_some(()));
    drop(w);
    assert_eq!(unfinished(&server.data()), Vec::<String>::new());
    assert!(!s.exists("file").expect("answered"));
}

#[test]
fn s3_says_what_is_wrong() {
    let mut server = servers::s3(KEY, PASSWORD);
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let with = |url: &str, key: &str, secret: &str| {
        open(
            url,
            &[
                ("endpoint", &endpoint),
                ("access_key_id", key),
                ("secret_access_key", secret),
                ("retries", "1"),
            ],
        )
    };
    let e = refusal(&with("s3://bucket", KEY, "wrong"));
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    // s3s-fs makes a bucket when it is written to, so that only a listing tells.
    assert!(with("s3://bukket", KEY, PASSWORD).list("set").expect_err("absent").is_not_found());
    let fine = with("s3://bucket", KEY, PASSWORD);
    fine.check().expect("usable");
    // The server goes while a file is on its way.
    let mut w = fine.writer("set/file").expect("a writer");
    w.write_all(&noise(2, PART_BYTES)).expect("written");
    server.stop();
    let mut failed = w.write_all(&noise(3, 6 * PART_BYTES)).is_err();
    failed |= w.finish().is_err();
    assert!(failed);
    assert!(!server.data().join("bucket/set/file").exists());
    let e = refusal(&fine);
    assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
}

/// The account that every Azurite has; its key is in Microsoft's documentation.
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[test]
fn azure() {
    let mut server = servers::azure(AZURE_KEY);
    let endpoint = format!("http://127.0.0.1:{}/devstoreaccount1", server.port);
    let with = |container: &str, key: &str| {
        let url = format!("azblob://{container}/some/where?account_name=devstoreaccount1");
        open(&url, &[("endpoint", &endpoint), ("account_key", key), ("retries", "1")])
    };
    let s = with("container", AZURE_KEY);
    contract(&s, None);
    failed_uploads(&s);
    bad_reads(&s);
    let e = refusal(&with("absent", AZURE_KEY));
    assert!(matches!(e, StorageError::NotFound(_)), "{e}");
    assert!(with("absent", AZURE_KEY).list("set").expect_err("absent").is_not_found());
    let e = refusal(&with("container", &AZURE_KEY.replace("Eby", "Abc")));
    assert!(matches!(e, StorageError::Denied(_)), "{e}");
    server.stop();
    let e = refusal(&s);
    assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
}

/// Only files of one part: no emulator has the uploads in parts that opendal makes of larger ones.
#[test]
fn google_in_one_part() {
    let mut server = servers::gcs();
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let s =
        open("gcs://bucket/some/where", &[("endpoint", &endpoint), ("anonymous", "true"), ("retries", "1")]);
    s.check().expect("usable");
    assert_eq!(names(&s, ""), Vec::<String>::new());
    let content = noise(7, 3_000_000);
    let mut w = s.writer("set 1/ü.dump").expect("a writer");
    w.write_all(&content).expect("written");
    assert!(!s.exists("set 1/ü.dump").expect("answered"));
    w.finish().expect("finished");
    put(&s, "set 10/file", b"x");
    assert!(get(&s, "set 1/ü.dump") == content);
    assert_eq!(names(&s, ""), ["set 1/ü.dump", "set 10/file"]);
    s.remove_dir("set 1").expect("removed");
    assert_eq!(names(&s, ""), ["set 10/file"]);
    server.stop();
    let e = refusal(&s);
    assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
}

#[test]
fn a_cloud_is_not_entered_by_chance() {
    for url in ["s3://bucket", "gcs://bucket", "azblob://container?account_name=a"] {
        let config = repot_store::storage::StorageConfig::parse(url).expect("parses");
        let text = repot_store::storage::Storage::open(&config).expect_err("no credentials").to_string();
        assert!(text.contains("credentials"), "{text}");
    }
}
