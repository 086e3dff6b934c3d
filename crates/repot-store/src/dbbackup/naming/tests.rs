use proptest::prelude::*;

use super::*;

fn spec<'a>(database: &'a str, media: &'a str, databases: &'a [&'a str]) -> NamingSpec<'a> {
    NamingSpec {
        database_template: database,
        media_template: media,
        date_format: "%Y-%m-%d-%H%M%S",
        server: "host-1",
        databases,
        extensions: &[],
    }
}

fn inventree() -> Naming {
    Naming::new(&spec(INVENTREE_DATABASE_TEMPLATE, INVENTREE_MEDIA_TEMPLATE, &["default"]))
        .expect("InvenTree's own")
}

fn usual(databases: &[&str]) -> Naming {
    Naming::new(&spec(DEFAULT_DATABASE_TEMPLATE, DEFAULT_MEDIA_TEMPLATE, databases)).expect("the defaults")
}

fn at(text: &str) -> DateTime {
    text.parse().expect("a date")
}

#[test]
fn a_real_inventree_set() {
    let n = inventree();
    let db = n.parse("InvenTree-db-2026-11-21-002902.psql.bin.gz").expect("recognised");
    assert_eq!(db.content, Content::Database(DumpFormat::PgCustom));
    assert_eq!(db.wrapping, Wrapping { compressed: true, encrypted: false });
    assert_eq!((db.database, db.by_template, db.sidecar), (None, true, false));
    assert_eq!(db.taken_at, at("2026-11-21T00:29:02"));
    let media = n.parse("InvenTree-media-2026-11-21-002907.tar.gz").expect("recognised");
    assert_eq!(media.content, Content::Media);
    assert!(media.wrapping.compressed && media.by_template);
}

#[test]
fn every_ending() {
    let n = usual(&["default"]);
    let stem = "default-host-1-2026-11-21-002902";
    for (extension, content) in [
        ("psql.bin", Content::Database(DumpFormat::PgCustom)),
        ("psql", Content::Database(DumpFormat::PgSql)),
        ("sqlite3", Content::Database(DumpFormat::Sqlite)),
        ("dump", Content::Database(DumpFormat::Dump)),
        ("json", Content::Database(DumpFormat::Json)),
        ("tar", Content::Media),
    ] {
        for (ending, compressed, encrypted) in
            [("", false, false), (".gz", true, false), (".gpg", false, true), (".gz.gpg", true, true)]
        {
            for (sidecar, mark) in [(false, ""), (true, ".metadata")] {
                let name = format!("{stem}.{extension}{ending}{mark}");
                let f = n.parse(&name).expect("recognised");
                assert_eq!((f.content, f.sidecar), (content.clone(), sidecar), "{name}");
                assert_eq!(f.wrapping, Wrapping { compressed, encrypted }, "{name}");
            }
        }
    }
    for other in [
        "default-2026-11-21-002902.txt",
        "default-2026-11-21-002902",
        "default.psql.bin",
        "",
        ".metadata",
        "2026-11-21-002902.gz",
    ] {
        assert_eq!(n.parse(other), None, "{other}");
    }
}

#[test]
fn what_django_renamed_is_recognised() {
    for name in [
        "InvenTree-db-2026-11-21-002902_a1B2c3D.psql.bin.gz",
        "InvenTree-db-2026-11-21-002902.psql.bin_a1B2c3D.gz",
        "InvenTree-db-2026-11-21-002902.psql_a1B2c3D.bin",
    ] {
        let f = inventree().parse(name).expect("recognised");
        assert!(f.renamed && f.by_template, "{name}");
        assert_eq!(f.content, Content::Database(DumpFormat::PgCustom));
    }
    // A host's name with a dot in it: there Django cuts.
    let f = usual(&["default"]).parse("default-web_a1B2c3D.lan-2026-11-21-002902.dump").expect("recognised");
    assert_eq!((f.database.as_deref(), f.server.as_deref()), (Some("default"), Some("web_a1B2c3D.lan")));
}

#[test]
fn templates_that_give_one_name_to_two_files_are_refused() {
    let new = |db: &str, media: &str, all: &[&str]| {
        Naming::new(&spec(db, media, all)).map(|_| ()).map_err(|e| e.to_string())
    };
    let media = DEFAULT_MEDIA_TEMPLATE;
    let refused = |db: &str, media: &str, all: &[&str], word: &str| {
        let e = new(db, media, all).expect_err(db);
        assert!(e.contains(word), "{e}");
    };
    refused("{databasename}.{extension}", media, &["default"], "without {datetime}");
    refused(DEFAULT_DATABASE_TEMPLATE, "media.{extension}", &["default"], "without {datetime}");
    refused(
        "x-{datetime}.{extension}",
        "x-{datetime}.{extension}",
        &["default"],
        "the same filename template",
    );
    refused(
        INVENTREE_DATABASE_TEMPLATE,
        media,
        &["default", "other"],
        "put {databasename} into the template",
    );
    refused(DEFAULT_DATABASE_TEMPLATE, media, &["shop.eu", "shop.us"], "before the first dot");
    refused("{databasename}-{datetime}", media, &["default"], "must end in `.{extension}`");
    refused("{databasename:>9}-{datetime}.{extension}", media, &["default"], "is no field");
    refused("a/{datetime}.{extension}", media, &["default"], "the directory belongs to the storage");
    let one = "{content_type}-{datetime}.{extension}";
    assert_eq!(new(one, one, &["default"]), Ok(()));
}

#[test]
fn names_that_django_dbbackup_misreads_are_refused() {
    let when = at("2026-11-21T00:29:02");
    let name = |server: &str, date_format: &str| {
        let spec = NamingSpec {
            server,
            date_format,
            ..spec(DEFAULT_DATABASE_TEMPLATE, DEFAULT_MEDIA_TEMPLATE, &["default"])
        };
        Naming::new(&spec).expect("fits").database_file(
            "default",
            &DumpFormat::PgCustom,
            Wrapping::default(),
            when,
        )
    };
    assert_eq!(name("web", "%Y%m%d").expect("fine"), "default-web-20261121.psql.bin");
    // `.tar` in the host's name makes every backup of a database one of media.
    assert!(matches!(name("db.target.example", "%Y%m%d"), Err(NamingError::Misread { .. })));
    // The host's name looks like the date.
    assert!(matches!(name("web20200101", "%Y%m%d"), Err(NamingError::Misread { .. })));
}

#[test]
fn a_database_is_told_only_where_one_reading_is_possible() {
    let name = "a-b-c-2026-11-21-002902.dump";
    assert_eq!(usual(&["a"]).parse(name).expect("recognised").database.as_deref(), Some("a"));
    assert_eq!(usual(&["a-b"]).parse(name).expect("recognised").database.as_deref(), Some("a-b"));
    assert_eq!(usual(&["a", "a-b"]).parse(name).expect("recognised").database, None);
    let here =
        NamingSpec { server: "c", ..spec(DEFAULT_DATABASE_TEMPLATE, DEFAULT_MEDIA_TEMPLATE, &["a", "a-b"]) };
    let here = Naming::new(&here).expect("fits").parse(name).expect("recognised");
    assert_eq!((here.database.as_deref(), here.server.as_deref()), (Some("a-b"), Some("c")));
}

#[test]
fn a_file_of_another_template_is_listed_without_owner() {
    let f = inventree().parse("default-host-1-2026-11-21-002902.psql.bin").expect("recognised");
    assert!(!f.by_template);
    assert_eq!(f.database, None);
}

#[test]
fn names_are_as_python_makes_them() {
    let spec = NamingSpec {
        server: "-my--host-",
        ..spec(
            "--{databasename}_{{x}}--{servername}-{datetime}.{extension}",
            "{servername}-{content_type}-{datetime}.{extension}",
            &["/srv/shop.sqlite3"],
        )
    };
    let n = Naming::new(&spec).expect("fits");
    let when = at("2026-11-21T00:29:02");
    let wrapping = Wrapping { compressed: true, encrypted: true };
    assert_eq!(
        n.database_file("/srv/shop.sqlite3", &DumpFormat::Sqlite, wrapping, when).expect("named"),
        "shop_{x}-my-host-2026-11-21-002902.sqlite3.gz.gpg"
    );
    assert_eq!(
        n.media_file(Wrapping::default(), when).expect("named"),
        "my-host-media-2026-11-21-002902.tar"
    );
}

fn formats() -> impl Strategy<Value = DumpFormat> {
    prop::sample::select(vec![
        DumpFormat::PgCustom,
        DumpFormat::PgSql,
        DumpFormat::Sqlite,
        DumpFormat::Dump,
        DumpFormat::Json,
        DumpFormat::Other("archive".into()),
    ])
}

/// Templates of all fields, in any order, with dashes where they hurt.
fn templates() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec!["{databasename}", "{servername}", "{content_type}"]);
    let glue = prop::sample::select(vec!["-", "--", "_", "", ".", "repot-"]);
    (prop::collection::vec((glue.clone(), field), 0..3), 0..3_usize, glue).prop_map(|(parts, at, end)| {
        let mut text = String::new();
        for (i, (glue, field)) in parts.iter().enumerate() {
            if i == at {
                text.push_str("-{datetime}");
            }
            text.push_str(glue);
            text.push_str(field);
        }
        if !text.contains("{datetime}") {
            text.push_str("-{datetime}");
        }
        text + end + ".{extension}"
    })
}

proptest! {
    #[test]
    fn what_is_named_is_recognised(
        template in templates(),
        date_format in prop::sample::select(vec!["%Y-%m-%d-%H%M%S", "%Y%m%d%H%M%S", "%d%b%Y_%H%M%S", "%Y_%j-%H-%M-%S", "%Y-%m-%d"]),
        databases in prop::collection::hash_set("[a-z]{1,4}(-[a-z0-9]{1,3})?", 1..4),
        server in "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4}){0,2}",
        format in formats(),
        compressed in any::<bool>(),
        encrypted in any::<bool>(),
        seconds in 0..4_000_000_000_i64,
    ) {
        let taken_at = jiff::Timestamp::from_second(seconds).expect("in range").to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let databases: Vec<&str> = databases.iter().map(String::as_str).collect();
        let spec = NamingSpec {
            database_template: &template, media_template: "media_{datetime}.{extension}", date_format, server: &server,
            databases: &databases, extensions: &["archive"],
        };
        let wrapping = Wrapping { compressed, encrypted };
        let Ok(naming) = Naming::new(&spec) else {
            prop_assert!(databases.len() > 1 && !template.contains("{databasename}"), "{template} was refused");
            return Ok(());
        };
        let mut names = std::collections::HashSet::new();
        for database in &databases {
            // Refused only where the parts run into one another, or the database cannot be told.
            let Ok(name) = naming.database_file(database, &format, wrapping, taken_at) else { continue };
            let f = naming.parse(&name).expect("recognised");
            prop_assert_eq!(f.content, Content::Database(format.clone()));
            prop_assert_eq!(f.wrapping, wrapping);
            prop_assert!(f.by_template && !f.sidecar);
            prop_assert_eq!(f.database.as_deref(), template.contains("{databasename}").then_some(*database));
            let whole = if date_format.contains("%S") { taken_at } else { taken_at.date().to_datetime(jiff::civil::Time::midnight()) };
            prop_assert_eq!(f.taken_at, whole);
            prop_assert!(naming.parse(&Naming::sidecar(&name)).expect("recognised").sidecar);
            prop_assert!(names.insert(name), "one name for two databases");
        }
    }

    #[test]
    fn the_default_templates_name_every_ordinary_database(
        database in "[a-z][a-z0-9_]{0,10}",
        server in "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4}){0,2}(\\.lan)?",
        format in formats(),
        seconds in 0..4_000_000_000_i64,
    ) {
        let taken_at = jiff::Timestamp::from_second(seconds).expect("in range").to_zoned(jiff::tz::TimeZone::UTC).datetime();
        for template in [DEFAULT_DATABASE_TEMPLATE, INVENTREE_DATABASE_TEMPLATE] {
            let all = [database.as_str()];
            let spec = NamingSpec { server: &server, extensions: &["archive"], ..spec(template, DEFAULT_MEDIA_TEMPLATE, &all) };
            let naming = Naming::new(&spec).expect("fits");
            let name = naming.database_file(&database, &format, Wrapping::default(), taken_at).expect("named");
            prop_assert_eq!(naming.parse(&name).expect("recognised").taken_at, taken_at);
        }
    }

    #[test]
    fn noise_never_panics(template in any::<String>(), name in any::<String>(), tail in "[-_a-z0-9]{0,9}[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}(\\.[a-z0-9]{1,6}){0,4}") {
        let _ = Template::new(&template);
        for name in [name.clone(), name + &tail, tail] {
            let _ = inventree().parse(&name);
            let _ = usual(&["default", "d"]).parse(&name);
        }
    }

    #[test]
    fn many_fields_take_no_time(dashes in "[-a]{100,240}") {
        let all = "{servername}{databasename}{servername}-{databasename}-{datetime}.{extension}";
        let n = Naming::new(&spec(all, DEFAULT_MEDIA_TEMPLATE, &[])).expect("fits");
        let _ = n.parse(&format!("{dashes}-2026-11-21-002902.dump"));
    }
}
