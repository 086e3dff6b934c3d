//! The applications that repot knows.

use super::*;

fn inventree() -> App {
    let s = stack("inventree");
    s.up();
    let _ = s.exec("inventree-server", &["invoke", "seed", "--size", "300"]).ok();
    App {
        stack: s,
        health: Some(("inventree-server", 8000)),
        worker: "inventree-worker",
        heartbeats: ("inventree", "part_heartbeat"),
        data: Data::Dir("inventree-data/pgdb"),
        growing: [DJANGO.as_slice(), &["public.part_heartbeat"]].concat(),
    }
}

#[test]
fn inventree_goes_from_13_to_17_with_the_application_and_back() {
    let app = inventree();
    let s = &app.stack;
    let before = app.before();
    assert_eq!(app.healthy()["version"], "1.1.12");

    // The reason for it all: the newer application really refuses the old server.
    s.edit(".env", "INVENTREE_TAG=1.1.12", "INVENTREE_TAG=1.2.0");
    let refused = s.compose(&[
        "run",
        "--rm",
        "--no-deps",
        "-e",
        "INVENTREE_AUTO_UPDATE=False",
        "inventree-server",
        "invoke",
        "migrate",
    ]);
    assert!(!refused.status.success(), "{refused}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("PostgreSQL 14 or later is required (found 13"), "{refused}");
    s.edit(".env", "INVENTREE_TAG=1.2.0", "INVENTREE_TAG=1.1.12");
    // And repot says so too, before anything is touched.
    let _ = s.repot(&["upgrade", "--app-version", "1.2.0", "--yes"]).exits(3).says(&["1.2.0", "14"]);
    assert_eq!(s.files(), before.files);

    let media = s.sums_of_dir("inventree-data/media");
    let up = app.upgrade(&["--to", "17", "--app-version", "1.2.0"]);
    let changed = [
        (
            "docker-compose.yml",
            with(&before, "docker-compose.yml", &[("image: postgres:13", "image: postgres:17")]),
        ),
        (".env", with(&before, ".env", &[("INVENTREE_TAG=1.1.12", "INVENTREE_TAG=1.2.0")])),
    ];
    app.assert_upgraded(&before, &up, 17, &changed);
    assert_eq!(app.healthy()["version"], "1.2.0");
    // The new version's migration fills its column from what is known of each part.
    let told = "SELECT count(*) FROM part_part WHERE lifecycle = \
        CASE WHEN NOT active THEN 'obsolete' WHEN price IS NULL THEN 'prototype' ELSE 'active' END";
    assert_eq!(s.psql("inventree", told), "300");
    assert_eq!(
        s.sums_of_dir("inventree-data/pgdb").line("."),
        up.at_rest.line("."),
        "owner and mode of the data directory"
    );
    media.assert_same(&s.sums_of_dir("inventree-data/media"), "media files");
    let _ = s.login("pguser", "pg pass#word $1", "inventree", "SELECT 1").ok();
    assert!(!s.login("pguser", "wrong", "inventree", "SELECT 1").status.success());

    app.roll_back(&before, &up);
    assert_eq!(app.healthy()["version"], "1.1.12");
    media.assert_same(&s.sums_of_dir("inventree-data/media"), "media files");
    app.clean_up(&before, 17);
}

#[test]
fn a_finished_upgrade_is_cleaned_up_only_on_request_and_then_stays() {
    let app = inventree();
    let s = &app.stack;
    let before = app.before();
    let up = app.upgrade(&["--to", "17"]);
    let aside = s.dir().join(app.aside("inventree-data/pgdb", "-pg13"));
    let _ =
        s.repot(&["cleanup", "--dry-run"]).ok().prints(&["data of PostgreSQL 13 from before the upgrade"]);
    let _ = s.repot(&["cleanup"]).exits(3);
    assert!(aside.exists());
    let _ = s.repot(&["cleanup", "--yes"]).ok();
    assert!(!aside.exists());
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).exits(3).says(&["cleanup"]);
    assert_eq!(s.major(), 17);
    before.content.assert_still(s, &app.growing(), "after the cleanup");
    app.assert_no_heartbeat_lost(&up.confirmed);
    // Nothing more to do, and said so.
    let _ = s.repot(&["upgrade", "--to", "17", "--yes"]).ok().prints(&["Nothing to do"]);
}

#[test]
fn nautobot_goes_from_13_to_15_and_back() {
    let s = stack("nautobot");
    s.up();
    let _ = s.exec("nautobot", &["nautobot-server", "seed", "--size", "200"]).ok();
    let app = App {
        stack: s,
        health: Some(("nautobot", 8080)),
        worker: "celery_worker",
        heartbeats: ("nautobot", "part_heartbeat"),
        data: Data::Volume("pgdata_nautobot"),
        growing: [DJANGO.as_slice(), &["public.part_heartbeat"]].concat(),
    };
    let before = app.before();
    let up = app.upgrade(&["--to", "15"]);
    let text = with(
        &before,
        "docker-compose.yml",
        &[
            ("image: \"postgres:13\"", "image: \"postgres:15\""),
            ("- \"pgdata_nautobot:/var", "- \"pgdata_nautobot-pg15:/var"),
            ("  nautobot_media: {}\n", "  nautobot_media: {}\n  pgdata_nautobot-pg15:\n"),
        ],
    );
    app.assert_upgraded(&before, &up, 15, &[("docker-compose.yml", text)]);
    // `command:` of the override file still holds.
    assert_eq!(app.stack.psql("postgres", "SHOW max_connections"), "150");
    let _ = app.stack.login("nautobot", "decinablesprewad", "nautobot", "SELECT 1").ok();
    app.roll_back(&before, &up);
    app.clean_up(&before, 15);
}

#[test]
fn ente_goes_from_12_to_16_and_back() {
    let s = stack("ente");
    s.up();
    let _ = s.exec("museum", &["museum", "seed", "--size", "100"]).ok();
    // museum has no worker of its own: the seed's rows and one of the test's stand for it.
    s.psql("ente_db", "CREATE TABLE heartbeat (id int)");
    let objects = s.sums_of_volume("minio-data");
    let files = s.files();
    let content = Content::of(&s);
    let mut repot = s.start_repot(
        &["upgrade", "--to", "16", "--yes"],
        &[("FAILPOINTS", "stop-old-server::after-record=return(stop)")],
    );
    repot.wait_stopped();
    let at_rest = s.sums_of_volume("postgres-data");
    repot.go_on();
    let _ = repot.wait().ok().prints(&["PostgreSQL 12 to 16", "are equal"]);
    assert_eq!(s.major(), 16);
    content.assert_still(&s, &DJANGO, "after the upgrade");
    at_rest.assert_same(&s.sums_of_volume("postgres-data"), "the old data");
    objects.assert_same(&s.sums_of_volume("minio-data"), "the object store");
    let changed = s.read("compose.yaml");
    let expected = files[Path::new("compose.yaml")]
        .text
        .replacen("image: postgres:12", "image: postgres:16", 1)
        .replacen("- postgres-data:/var", "- postgres-data-pg16:/var", 1)
        .replacen("  minio-data:\n\nnetworks", "  minio-data:\n  postgres-data-pg16:\n\nnetworks", 1);
    assert_eq!(changed, expected);
    let _ = s.login("pguser", "pgpass", "ente_db", "SELECT 1").ok();

    let mut repot = s.start_repot(
        &["rollback", "--yes", "--discard-new-writes"],
        &[("FAILPOINTS", "undo-stop-application::before-intent=return(stop)")],
    );
    repot.wait_stopped();
    at_rest.assert_same(&s.sums_of_volume("postgres-data"), "the old data, back in its place");
    repot.go_on();
    let _ = repot.wait().ok();
    assert_eq!(s.files(), files);
    assert_eq!(s.major(), 12);
    content.assert_still(&s, &DJANGO, "after the rollback");
    assert!(s.containers().iter().all(|c| !c.service.is_empty() && c.state == "running"));
}
