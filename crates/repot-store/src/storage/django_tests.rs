//! What Django projects write, and what becomes of it.

use serde_json::json;

use super::*;

fn map(backend: &str, options: Value) -> Result<Mapped, StorageError> {
    from_django(backend, options.as_object().expect("a table"))
}

const S3_NAME: &str = "storages.backends.s3.S3Storage";

#[test]
fn s3_in_both_names() {
    for name in [S3_NAME, "storages.backends.s3boto3.S3Boto3Storage"] {
        let m = map(name, json!({
            "bucket_name": "b", "location": "media/", "access_key": "AK", "secret_key": "hunter2",
            "endpoint_url": "http://minio:9000", "region_name": "eu-1", "default_acl": null, "querystring_auth": false,
            "object_parameters": {"StorageClass": "STANDARD_IA", "CacheControl": "max-age=1"},
            "verify": "/etc/ca.pem", "addressing_style": "path",
        })).expect("maps");
        assert_eq!(m.config.secret("secret_access_key"), Some("hunter2"));
        let url = m.config.to_string();
        for part in [
            "s3://b/media?",
            "access_key_id=AK",
            "region=eu-1",
            "storage_class=STANDARD_IA",
            "ca_file=",
            "addressing_style=path",
        ] {
            assert!(url.contains(part), "{url}");
        }
        assert!(!url.contains("ambient") && !url.contains("hunter2"), "{url}");
        let names: Vec<&str> = m.not_supported.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["querystring_auth", "object_parameters.CacheControl"]);
    }
}

#[test]
fn s3_without_a_key_looks_around_as_boto3_does() {
    let m = map(S3_NAME, json!({"bucket_name": "b", "session_profile": "p", "verify": false})).expect("maps");
    assert_eq!(
        (m.config.option("ambient_credentials"), m.config.option("profile")),
        (Some("true"), Some("p"))
    );
    assert_eq!(m.not_supported.len(), 1);
}

#[test]
fn an_option_is_never_silently_ignored() {
    let text = map(S3_NAME, json!({"bucket_name": "b", "bukket": 1})).expect_err("unknown").to_string();
    assert!(text.contains("`bukket`"), "{text}");
    assert!(
        map(S3_NAME, json!({"location": "x"})).expect_err("no bucket").to_string().contains("bucket_name")
    );
    assert!(map("my.own.Storage", json!({})).is_err());
}

#[test]
fn every_rule_has_an_end() {
    // Every option that django-storages has, alone, is either in the result or named.
    for (names, kind, rules, wanted) in BACKENDS {
        for (name, rule) in *rules {
            let mut options = Map::new();
            for w in *wanted {
                options.insert((*w).to_owned(), json!(if *kind == Kind::Ftp { "ftp://h/d" } else { "x" }));
            }
            match rule {
                Rule::No(_) => {
                    options.insert((*name).to_owned(), json!("x"));
                    let m = from_django(names[0], &options).expect(name);
                    assert!(m.not_supported.iter().any(|(n, why)| n == name && !why.is_empty()), "{name}");
                }
                Rule::Is(here) => {
                    options.insert((*name).to_owned(), json!("17"));
                    let m = from_django(names[0], &options).expect(name);
                    let value = m.config.option(here).or(m.config.secret(here));
                    assert_eq!(value, Some("17"), "{name}");
                }
                Rule::Own => {}
            }
        }
    }
}

#[test]
fn a_directory() {
    let name = "django.core.files.storage.FileSystemStorage";
    let m = map(name, json!({"location": "/backups/", "file_permissions_mode": 416, "directory_permissions_mode": "0o750", "base_url": "/m/"})).expect("maps");
    assert_eq!(m.config.to_string(), "file:///backups?dir_mode=750&file_mode=640");
    assert_eq!(m.not_supported.len(), 1);
}

#[test]
fn google() {
    let m = map("storages.backends.gcloud.GoogleCloudStorage", json!({
        "bucket_name": "b", "location": "p", "default_acl": "bucketOwnerFullControl", "object_parameters": {"storage_class": "NEARLINE"},
        "credentials": "x",
    })).expect("maps");
    assert_eq!(m.config.option("acl"), Some("bucket-owner-full-control"));
    assert_eq!(m.config.option("storage_class"), Some("NEARLINE"));
    assert_eq!(m.not_supported, [("credentials".to_owned(), LOGIN)]);
}

#[test]
fn azure_by_parts_and_by_connection_string() {
    let name = "storages.backends.azure_storage.AzureStorage";
    let m = map(name, json!({"azure_container": "c", "account_name": "a", "account_key": "k==", "endpoint_suffix": "core.chinacloudapi.cn"})).expect("maps");
    assert_eq!(m.config.option("endpoint"), Some("https://a.blob.core.chinacloudapi.cn"));
    let m = map(name, json!({"azure_container": "c", "connection_string":
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5==;BlobEndpoint=http://127.0.0.1:1/a;QueueEndpoint=x"})).expect("maps");
    assert_eq!(m.config.secret("account_key"), Some("a2V5=="));
    assert_eq!(m.config.option("endpoint"), Some("http://127.0.0.1:1/a"));
    assert_eq!(m.not_supported.len(), 1);
    assert!(!format!("{m:?}").contains("a2V5"));
}

#[test]
fn dropbox() {
    let m = map("storages.backends.dropbox.DropBoxStorage", json!({"root_path": "/Backups", "oauth2_refresh_token": "r", "app_key": "k", "app_secret": "s", "timeout": 100})).expect("maps");
    assert_eq!(m.config.to_string(), "dropbox:///Backups?app_key=k&timeout_s=100");
    assert_eq!((m.config.secret("refresh_token"), m.config.secret("app_secret")), (Some("r"), Some("s")));
}

#[test]
fn sftp_with_a_key_and_not_with_a_password() {
    let name = "storages.backends.sftpstorage.SFTPStorage";
    let m = map(name, json!({"host": "h", "root_path": "backups", "params": {"port": 2222, "username": "me", "key_filename": "/k", "timeout": 3}, "uid": 5})).expect("maps");
    assert_eq!(m.config.to_string(), "sftp://me@h:2222/~/backups?key_file=%2Fk".replace('~', "%7E"));
    assert_eq!(
        m.not_supported.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(),
        ["uid", "params.timeout"]
    );
    let text = map(name, json!({"host": "h", "params": {"password": "hunter2"}}))
        .expect_err("keys only")
        .to_string();
    assert!(text.contains("key") && !text.contains("hunter2"), "{text}");
}

#[test]
fn ftp_takes_its_password_from_the_location() {
    let name = "storages.backends.ftp.FTPStorage";
    let m = map(name, json!({"location": "ftps://me:hunt%40er@h:2121/dir", "encoding": "latin-1"}))
        .expect("maps");
    assert_eq!((m.config.kind, m.config.secret("password")), (Kind::Ftps, Some("hunt@er")));
    assert_eq!(m.config.to_string(), "ftps://me@h:2121/dir");
    for bad in ["aftp://me:hunter2@h/", "me:hunter2@h", "ftp:hunter2"] {
        let text = map(name, json!({"location": bad})).expect_err(bad).to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}
