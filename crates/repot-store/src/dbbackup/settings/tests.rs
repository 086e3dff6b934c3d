use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

fn env(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn dbbackup(value: Value) -> Result<BackupSettings, SettingsError> {
    let Value::Object(map) = value else { panic!("no map") };
    from_dbbackup(&map.into_iter().collect())
}

fn decide(b: &BackupSettings) -> Vec<&str> {
    b.notes.iter().filter(|n| n.weight == Weight::Decide).map(|n| n.name.as_str()).collect()
}

#[test]
fn inventree_without_any_setting() {
    let b = from_inventree(&env(&[("PATH", "/bin")]), &json!({"database": {"ENGINE": "postgresql"}}))
        .expect("read");
    assert_eq!((b.storage.as_str(), b.directory.as_deref()), (FILE_SYSTEM_STORAGE, None));
    assert_eq!((b.send_email, b.email_subject_prefix.as_str()), (false, "[InvenTree Backup]"));
    assert_eq!(b.date_format, "%Y-%m-%d-%H%M%S");
    assert_eq!(b.database_template, "InvenTree-db-{datetime}.{extension}");
    assert_eq!(b.media_template, "InvenTree-media-{datetime}.{extension}");
    assert_eq!((b.keep, b.keep_media), (10, 10));
    assert_eq!(b.connectors["default"].exclude, ["django_session"]);
    assert!(b.gpg_recipients.is_empty() && b.notes.is_empty());
}

/// Every row of InvenTree's table, by the environment and by config.yaml.
#[test]
fn every_name_of_inventree() {
    let rows: [(&str, &str, Value); 11] = [
        ("INVENTREE_BACKUP_STORAGE", "backup_storage", json!("storages.backends.s3.S3Storage")),
        ("INVENTREE_BACKUP_DIR", "backup_dir", json!("/backup")),
        ("INVENTREE_BACKUP_OPTIONS", "backup_options", json!({"bucket_name": "b", "SECRET_KEY": "hidden"})),
        (
            "INVENTREE_BACKUP_CONNECTOR_OPTIONS",
            "backup_connector_options",
            json!({"SCHEMAS": ["public"], "DROP": false}),
        ),
        ("INVENTREE_BACKUP_SEND_EMAIL", "backup_send_email", json!(true)),
        ("INVENTREE_BACKUP_EMAIL_PREFIX", "backup_email_prefix", json!("[x]")),
        ("INVENTREE_BACKUP_GPG_RECIPIENT", "backup_gpg_recipient", json!("me@example.org")),
        ("INVENTREE_BACKUP_DATE_FORMAT", "backup_date_format", json!("%Y%m%d")),
        (
            "INVENTREE_BACKUP_DATABASE_FILENAME_TEMPLATE",
            "backup_database_filename_template",
            json!("d-{datetime}.{extension}"),
        ),
        (
            "INVENTREE_BACKUP_MEDIA_FILENAME_TEMPLATE",
            "backup_media_filename_template",
            json!("m-{datetime}.{extension}"),
        ),
        ("INVENTREE_BACKUP_RESTORE_ALLOW_NEWER_VERSION", "backup_restore_allow_newer_version", json!(true)),
    ];
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let by_env = rows.iter().map(|(e, _, v)| ((*e).to_owned(), text(v))).collect();
    let by_config: Map<String, Value> = rows.iter().map(|(_, k, v)| ((*k).to_owned(), v.clone())).collect();
    let wrong: Map<String, Value> =
        rows.iter().map(|(_, k, _)| ((*k).to_owned(), json!({"other": 1}))).collect();
    for b in [
        from_inventree(&by_env, &Value::Null).expect("read"),
        from_inventree(&env(&[]), &Value::Object(by_config)).expect("read"),
        // The environment wins.
        from_inventree(&by_env, &Value::Object(wrong)).expect("read"),
    ] {
        assert_eq!(
            (b.storage.as_str(), b.directory.as_deref()),
            ("storages.backends.s3.S3Storage", Some("/backup"))
        );
        assert_eq!(b.storage_options.get("secret_key").and_then(OptionValue::expose), Some("hidden"));
        let c = &b.connectors["default"];
        assert_eq!((c.schemas.as_slice(), c.drop), (["public".to_owned()].as_slice(), false));
        assert_eq!(c.exclude, ["django_session"]);
        assert!(b.send_email && b.allow_newer_version);
        assert_eq!((b.email_subject_prefix.as_str(), b.date_format.as_str()), ("[x]", "%Y%m%d"));
        assert_eq!(b.gpg_recipients, ["me@example.org"]);
        assert_eq!(
            (b.database_template.as_str(), b.media_template.as_str()),
            ("d-{datetime}.{extension}", "m-{datetime}.{extension}")
        );
        assert!(!format!("{b:?}").contains("hidden"));
        assert!(b.notes.is_empty(), "{:?}", b.notes);
    }
}

#[test]
fn dictionaries_of_the_environment() {
    let options = |text| from_inventree(&env(&[("INVENTREE_BACKUP_CONNECTOR_OPTIONS", text)]), &Value::Null);
    let b = options("{'EXCLUDE': ['a', 'b'], 'RESTORE_SUFFIX': '--no-owner --role \"my role\"'}")
        .expect("a literal");
    assert_eq!(b.connectors["default"].exclude, ["a", "b"]);
    assert_eq!(b.connectors["default"].restore_suffix, ["--no-owner", "--role", "my role"]);
    assert_eq!(decide(&b), ["INVENTREE_BACKUP_CONNECTOR_OPTIONS"]);
    assert!(options(r#"{"EXCLUDE": []}"#).expect("JSON").notes.is_empty());
    assert!(options("").expect("nothing").notes.is_empty());
    for bad in ["[1]", "{'PASSWORD': hunter2", "EXCLUDE=a", r#"{"EXCLUDE": "a"}"#, r#"{"DROP": "perhaps"}"#] {
        let e = options(bad).expect_err(bad).to_string();
        assert!(e.contains("INVENTREE_BACKUP_CONNECTOR_OPTIONS") && !e.contains("hunter2"), "{e}");
    }
}

#[test]
fn a_name_that_nobody_knows_lists_near_ones() {
    // As InvenTree's manual once had it.
    let e =
        from_inventree(&env(&[]), &json!({"backup_stoage": "storages.backends.gcloud.GoogleCloudStorage"}))
            .expect_err("a slip");
    assert_eq!(e.to_string(), "there is no setting `backup_stoage`; did you mean `backup_storage`?");
    let e = from_inventree(&env(&[("INVENTREE_BACKUP_EMAIL_PREFX", "x")]), &Value::Null).expect_err("a slip");
    assert!(e.to_string().contains("did you mean `INVENTREE_BACKUP_EMAIL_PREFIX`"), "{e}");
    let e = dbbackup(json!({"DBBACKUP_CLEANUP_KEEPS": 3})).expect_err("a slip");
    assert!(e.to_string().contains("did you mean `DBBACKUP_CLEANUP_KEEP`"), "{e}");
    let e = dbbackup(json!({"DBBACKUP_CONNECTORS": {"default": {"EXLUDE": []}}})).expect_err("a slip");
    assert!(e.to_string().contains("DBBACKUP_CONNECTORS.default.EXLUDE`; did you mean `EXCLUDE`"), "{e}");
    assert!(dbbackup(json!({"DBBACKUP_XYZ": 1})).expect_err("unknown").to_string().contains("manual"));
}

#[test]
fn options_without_a_location_do_not_go_among_the_media() {
    let b = from_inventree(
        &env(&[("INVENTREE_BACKUP_DIR", "/b"), ("INVENTREE_BACKUP_OPTIONS", "{\"base_url\": \"x\"}")]),
        &Value::Null,
    )
    .expect("read");
    assert_eq!((b.directory.as_deref(), decide(&b)), (Some("/b"), vec!["INVENTREE_BACKUP_OPTIONS"]));
    let b = from_inventree(
        &env(&[("INVENTREE_BACKUP_DIR", "/b")]),
        &json!({"backup_options": {"location": "/c"}}),
    )
    .expect("read");
    assert_eq!(b.directory.as_deref(), Some("/c"));
}

#[test]
fn settings_of_the_application_are_not_in_its_configuration() {
    let b = from_inventree(
        &env(&[("INVENTREE_BACKUP_ENABLE", "1"), ("INVENTREE_BACKUP_DAYS", "1")]),
        &Value::Null,
    )
    .expect("read");
    assert_eq!(decide(&b), ["INVENTREE_BACKUP_DAYS", "INVENTREE_BACKUP_ENABLE"]);
    assert!(b.notes[0].to_string().contains("repot schedule"));
}

#[test]
fn every_name_of_django_dbbackup() {
    // One text: `json!` recurses too deeply for it.
    let all = r#"{
        "STORAGES": {"default": {"BACKEND": "x"}, "dbbackup": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"LOCATION": "/var/backups"}}},
        "DBBACKUP_DATABASES": ["default", "users"],
        "DBBACKUP_HOSTNAME": "shop",
        "DBBACKUP_TMP_DIR": "/tmp", "DBBACKUP_TMP_FILE_MAX_SIZE": 1, "DBBACKUP_TMP_FILE_READ_SIZE": 1,
        "DBBACKUP_CLEANUP_KEEP": 5, "DBBACKUP_MEDIA_PATH": "/media",
        "DBBACKUP_DATE_FORMAT": "%Y%m%d", "DBBACKUP_FILENAME_TEMPLATE": "{databasename}-{datetime}.{extension}",
        "DBBACKUP_MEDIA_FILENAME_TEMPLATE": "media-{datetime}.{extension}",
        "DBBACKUP_GPG_RECIPIENT": ["a", "b"], "DBBACKUP_GPG_ALWAYS_TRUST": true,
        "DBBACKUP_CONNECTORS": {"default": {
            "CONNECTOR": "dbbackup.db.postgresql.PgDumpConnector", "EXCLUDE": ["t"], "EXTENSION": "sql", "DUMP_CMD": "docker exec db pg_dump",
            "RESTORE_CMD": "psql", "DUMP_PREFIX": "nice -n 10", "DUMP_SUFFIX": "-v", "RESTORE_PREFIX": ["nice"], "RESTORE_SUFFIX": "-q",
            "ENV": {"PGPASSWORD": "hidden-1"}, "DUMP_ENV": {"A": "hidden-2"}, "RESTORE_ENV": {"B": 3}, "USE_PARENT_ENV": false,
            "SINGLE_TRANSACTION": false, "DROP": false, "IF_EXISTS": false, "SCHEMAS": ["s"], "PG_OPTIONS": "--no-owner --jobs=2", "PSQL_CMD": "psql",
            "ADMIN_USER": "root", "ADMIN_PASSWORD": "hidden-3", "NAME": "n", "HOST": "h", "PORT": 5433, "USER": "u", "PASSWORD": "hidden-4",
            "OPTIONS": {"sslmode": "require"}
        }},
        "DBBACKUP_CONNECTOR_MAPPING": {"my.engine": "dbbackup.db.mysql.MysqlDumpConnector"},
        "DBBACKUP_SEND_EMAIL": false, "DBBACKUP_SERVER_EMAIL": "from@example.org", "DBBACKUP_ADMIN": [["Me", "me@example.org"]],
        "DBBACKUP_ADMINS": ["other@example.org"], "DBBACKUP_EMAIL_SUBJECT_PREFIX": "[b] ",
        "OTHER_SETTING": {"x": 1}
    }"#;
    let b = dbbackup(serde_json::from_str(all).expect("JSON")).expect("read");
    assert_eq!(b.directory.as_deref(), Some("/var/backups"));
    assert_eq!(b.databases.as_deref(), Some(["default".to_owned(), "users".to_owned()].as_slice()));
    assert_eq!((b.server_name(None, "m"), b.server_name(Some("s"), "m")), ("shop", "s"));
    assert_eq!((b.keep, b.keep_media, b.media_path.as_deref()), (5, 5, Some("/media")));
    assert_eq!((b.gpg_recipients.len(), b.gpg_always_trust, b.send_email), (2, true, false));
    assert_eq!(
        (b.email_from.as_deref(), b.email_to.as_deref()),
        (Some("from@example.org"), Some(["me@example.org".to_owned()].as_slice()))
    );
    let c = &b.connectors["default"];
    assert_eq!(c.dump_cmd, ["docker", "exec", "db", "pg_dump"]);
    assert_eq!((c.dump_prefix.len(), c.restore_prefix.len(), c.pg_options.len()), (3, 1, 2));
    assert!(!c.use_parent_env && !c.single_transaction && !c.drop && !c.if_exists);
    assert_eq!(c.env["PGPASSWORD"].expose_secret(), "hidden-1");
    assert_eq!((c.port.as_deref(), c.extension.as_deref()), (Some("5433"), Some("sql")));
    assert_eq!(c.options.get("sslmode").and_then(OptionValue::expose), Some("require"));
    assert!(!format!("{b:?}").contains("hidden"));
    assert_eq!(b.connector_kind("default", "django.db.backends.postgresql"), Some(ConnectorKind::PgDump));
    assert_eq!(b.connector_kind("users", "my.engine"), Some(ConnectorKind::Mysql));
    assert_eq!(b.connector_kind("users", "django.db.backends.sqlite3"), Some(ConnectorKind::SqliteBackup));
    assert_eq!(decide(&b), Vec::<&str>::new());
    assert_eq!(b.notes.len(), 4, "{:?}", b.notes);
}

#[test]
fn what_only_python_can_run_is_said_so() {
    let b = dbbackup(json!({
        "DBBACKUP_CLEANUP_KEEP_FILTER": "<function keep at 0x7f>",
        "DBBACKUP_FILENAME_TEMPLATE": "shop.backup.name",
        "DBBACKUP_BACKUP_METADATA_SETTER": "shop.backup.set",
        "DBBACKUP_RESTORE_METADATA_VALIDATOR": "InvenTree.backup.validate_restore",
        "DBBACKUP_STORAGE": "x",
        "DBBACKUP_CONNECTORS": {"a": {"CONNECTOR": "shop.Mine", "ANYTHING": 1}, "b": {"CONNECTOR": "dbbackup.db.mongodb.MongoDumpConnector", "AUTH_SOURCE": "admin"}}
    }))
    .expect("read");
    assert_eq!(b.database_template, DEFAULT_DATABASE_TEMPLATE);
    assert_eq!(
        decide(&b),
        [
            "DBBACKUP_BACKUP_METADATA_SETTER",
            "DBBACKUP_CLEANUP_KEEP_FILTER",
            "DBBACKUP_CONNECTORS.a.ANYTHING",
            "DBBACKUP_CONNECTORS.a.CONNECTOR",
            "DBBACKUP_CONNECTORS.b.AUTH_SOURCE",
            "DBBACKUP_CONNECTORS.b.CONNECTOR",
            "DBBACKUP_FILENAME_TEMPLATE",
            "DBBACKUP_STORAGE",
        ]
    );
    assert!(b.notes.iter().any(|n| n.to_string().contains("keep rules by label and age")));
    assert_eq!(b.connector_kind("a", "django.db.backends.postgresql"), None);
}

#[test]
fn texts_stand_for_values() {
    let b = dbbackup(json!({"DBBACKUP_DATABASES": "['default']", "DBBACKUP_CLEANUP_KEEP": "7", "DBBACKUP_SEND_EMAIL": "False", "DBBACKUP_ADMIN": "[('Me', 'me@example.org')]", "DBBACKUP_CONNECTORS": "{'default': {'DROP': False}}"})).expect("read");
    assert_eq!((b.keep, b.send_email, b.connectors["default"].drop), (7, false, false));
    assert_eq!(b.email_to.as_deref(), Some(["me@example.org".to_owned()].as_slice()));
    assert!(dbbackup(json!({"DBBACKUP_CLEANUP_KEEP": -1})).is_err());
    assert!(dbbackup(json!({"DBBACKUP_DATABASES": "default"})).is_err());
}

proptest::proptest! {
    #[test]
    fn noise_never_panics(name in "[A-Z_]{0,12}", text in proptest::prelude::any::<String>()) {
        for known in INVENTREE.iter().copied().chain([name.as_str()]) {
            let _ = from_inventree(&env(&[(&format!("{ENV_PREFIX}{known}"), &text)]), &Value::Null);
        }
        for known in DBBACKUP.iter().copied().chain([name.as_str()]) {
            let _ = from_dbbackup(&BTreeMap::from([(format!("{DBBACKUP_PREFIX}{known}"), Value::from(text.clone()))]));
        }
    }
}
