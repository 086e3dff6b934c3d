use proptest::prelude::*;

use super::*;

const POSTGRESQL: &str = "django.db.backends.postgresql";
const BINARY: &str = "dbbackup.db.postgresql.PgDumpBinaryConnector";

fn at(text: &str) -> DateTime {
    text.parse().expect("a date")
}

fn app(version: &str, api: i64) -> InvenTree {
    InvenTree {
        debug: false,
        version: version.to_owned(),
        api_version: Some(api),
        plugins_enabled: true,
        plugins_file_hash: Some("ab".to_owned()),
        installer: Some("DOC".to_owned()),
    }
}

fn backup(version: &str, api: i64) -> Metadata {
    Metadata::new(POSTGRESQL, BINARY).with_inventree(&app(version, api), at("2026-02-12T10:00:00.123456"))
}

fn present(version: &str, api: i64) -> PresentVersion {
    PresentVersion {
        engine: Some(POSTGRESQL.to_owned()),
        inventree: Some(app(version, api)),
        now: at("2026-02-13T10:00:00"),
        allow_newer_version: false,
    }
}

#[test]
fn the_sidecar_is_what_django_dbbackup_writes() {
    let text = backup("1.2.0", 430).write();
    assert!(
        text.starts_with(&format!(r#"{{"engine":"{POSTGRESQL}","connector":"{BINARY}","ivt_1_debug":false"#)),
        "{text}"
    );
    assert!(
        text.contains(r#""ivt_1_version_api":430"#)
            && text.contains(r#""ivt_1_backup_time":"2026-02-12T10:00:00.123456""#)
    );
    assert_eq!(Metadata::read(text.as_bytes()), Ok(backup("1.2.0", 430)));
    let python = r#"{"engine": "django.db.backends.sqlite3", "connector": "dbbackup.db.sqlite.SqliteBackupConnector", "mine": {"a": 1}}"#;
    let m = Metadata::read(python.as_bytes()).expect("a sidecar");
    assert_eq!(m.engine(), Some("django.db.backends.sqlite3"));
    assert!(m.write().contains(r#""mine":{"a":1}"#));
    assert!(Metadata::read(b"[]").is_err() && Metadata::read(b"").is_err());
    assert_eq!(
        Metadata::read(&vec![b' '; LARGEST_BYTES + 1]),
        Err(MetadataError::TooLarge(LARGEST_BYTES + 1))
    );
}

#[test]
fn the_same_version_has_nothing_to_say() {
    assert_eq!(judge(&backup("1.2.0", 430), &present("1.2.0", 430)), Judgement::default());
}

#[test]
fn a_newer_api_is_refused_unless_allowed() {
    let newer = Finding::NewerApi { backup: 431, present: 430 };
    let j = judge(&backup("1.3.0", 431), &present("1.2.0", 430));
    assert_eq!(j.refusals.as_slice(), std::slice::from_ref(&newer));
    assert!(!j.may_restore());
    let j =
        judge(&backup("1.3.0", 431), &PresentVersion { allow_newer_version: true, ..present("1.2.0", 430) });
    assert!(j.may_restore() && j.warnings.contains(&newer));
    // InvenTree looks at the API only where the version differs.
    let j = judge(&backup("1.2.0 dev", 431), &present("1.2.0 dev", 430));
    assert!(j.may_restore() && j.warnings.contains(&newer));
    let j = judge(&backup("1.1.0", 429), &present("1.2.0", 430));
    assert!(j.may_restore());
    assert_eq!(j.warnings, [Finding::OtherVersion { backup: "1.1.0".into(), present: "1.2.0".into() }]);
}

#[test]
fn texts_for_numbers_and_missing_entries() {
    let read =
        |text: &str| judge(&Metadata::read(text.as_bytes()).expect("a sidecar"), &present("1.2.0", 430));
    assert!(!read(r#"{"ivt_1_version": "1.3.0", "ivt_1_version_api": "431"}"#).may_restore());
    let j = read(r#"{"ivt_1_version": "1.3.0", "ivt_1_version_api": "unknown"}"#);
    assert!(j.may_restore());
    assert!(j.warnings.contains(&Finding::NoApiVersion) && j.warnings.contains(&Finding::NoTime));
    assert!(j.warnings.contains(&Finding::OtherPlugins));
    assert!(
        j.warnings
            .contains(&Finding::OtherInstaller { backup: "unknown".into(), present: Some("DOC".into()) })
    );
    assert_eq!(read("{}").warnings, [Finding::NoVersion]);
    assert_eq!(read(r#"{"ivt_1_version": null}"#).warnings, [Finding::NoVersion]);
}

#[test]
fn what_differs_is_told() {
    let mut p = present("1.2.0", 430);
    p.now = at("2026-06-12T10:00:00.123456");
    p.inventree = Some(InvenTree {
        plugins_enabled: false,
        plugins_file_hash: None,
        installer: None,
        ..app("1.2.0", 430)
    });
    let expected = [
        Finding::PluginsDisabled,
        Finding::OtherPlugins,
        Finding::OtherInstaller { backup: "DOC".into(), present: None },
    ];
    // 120 days to the microsecond are not yet more than 120 days.
    assert_eq!(judge(&backup("1.2.0", 430), &p).warnings, expected);
    p.now = at("2026-06-12T10:00:00.123457");
    assert_eq!(judge(&backup("1.2.0", 430), &p).warnings.last(), Some(&Finding::Old { age_days: 120 }));
    // No plugins.txt when the backup was made: nothing to compare.
    let none = Metadata::new(POSTGRESQL, BINARY).with_inventree(
        &InvenTree { plugins_file_hash: None, installer: None, ..app("1.2.0", 430) },
        at("2026-02-12T10:00:00"),
    );
    assert_eq!(judge(&none, &present("1.2.0", 430)), Judgement::default());
}

#[test]
fn another_engine_is_refused_but_for_dumpdata() {
    let engine = |engine: &str| PresentVersion { engine: Some(engine.to_owned()), ..present("1.2.0", 430) };
    let sqlite = engine("django.db.backends.sqlite3");
    assert!(!judge(&backup("1.2.0", 430), &sqlite).may_restore());
    let json = Metadata::new(POSTGRESQL, "dbbackup.db.django.DjangoConnector");
    assert!(judge(&json, &sqlite).may_restore());
    let j = judge(&backup("1.2.0", 430), &engine("django_prometheus.db.backends.postgresql"));
    assert!(j.may_restore() && matches!(j.warnings[..], [Finding::OtherEngineName { .. }]));
}

proptest! {
    #[test]
    fn what_is_written_is_read(version in any::<String>(), api in any::<Option<i64>>(), hash in any::<Option<String>>(), debug in any::<bool>()) {
        let app = InvenTree { debug, version, api_version: api, plugins_file_hash: hash, ..app("", 0) };
        let m = Metadata::new(POSTGRESQL, BINARY).with_inventree(&app, at("2026-02-12T10:00:00"));
        let back = Metadata::read(m.write().as_bytes()).expect("a sidecar");
        prop_assert_eq!(back.inventree_version(), Some(app.version.as_str()));
        prop_assert_eq!(back.inventree_api_version(), api);
        prop_assert_eq!(back, m);
    }

    #[test]
    fn a_newer_api_never_passes_by_itself(backup_api in 1..1000_i64, here in 1..1000_i64, allow in any::<bool>()) {
        let p = PresentVersion { allow_newer_version: allow, ..present("1.2.0", here) };
        prop_assert_eq!(judge(&backup("9", backup_api), &p).may_restore(), allow || backup_api <= here);
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
        let _ = Metadata::read(&noise);
        let any = serde_json::json!({"engine": text, "ivt_1_version": text, "ivt_1_version_api": text, "ivt_1_backup_time": text});
        let _ = judge(&Metadata::read(any.to_string().as_bytes()).expect("a sidecar"), &present("1", 1));
    }
}
