//! The application moves, the database stays.

use super::*;

/// An InvenTree whose database is on 17 already.
fn inventree_on_17() -> App {
    let s = stack("inventree");
    s.edit(
        "docker-compose.yml",
        "        image: postgres:13\n        expose",
        "        image: postgres:17\n        expose",
    );
    s.up();
    let _ = s.exec("inventree-server", &["invoke", "seed", "--size", "200"]).ok();
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
fn the_application_alone_goes_to_a_newer_version_and_a_rollback_restores_its_data() {
    let app = inventree_on_17();
    let s = &app.stack;
    let before = app.before();
    let _ = s
        .repot(&["upgrade", "--app-version", "1.2.0", "--yes"])
        .ok()
        .prints(&["was updated; PostgreSQL stays at 17", "from 1.1.12 to 1.2.0"]);
    assert_eq!(app.healthy()["version"], "1.2.0");
    // The new version's migration fills its column from what is known of each part.
    let told = "SELECT count(*) FROM part_part WHERE lifecycle = \
        CASE WHEN NOT active THEN 'obsolete' WHEN price IS NULL THEN 'prototype' ELSE 'active' END";
    assert_eq!(s.psql("inventree", told), "200");
    before.content.assert_still(s, &app.growing(), "after the update");
    assert_eq!(s.read(".env"), with(&before, ".env", &[("INVENTREE_TAG=1.1.12", "INVENTREE_TAG=1.2.0")]));
    assert_eq!(s.read("docker-compose.yml"), before.files[Path::new("docker-compose.yml")].text);
    app.assert_writing();

    let _ = s.repot(&["rollback", "--yes"]).exits(3).says(&["--discard-new-writes"]);
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).ok();
    assert_eq!(s.files(), before.files);
    assert_eq!(app.healthy()["version"], "1.1.12");
    let column = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'part_part' AND column_name = 'lifecycle'";
    assert_eq!(s.psql("inventree", column), "0", "the schema is the old version's again");
    before.content.assert_still(s, &app.growing(), "after the rollback");
    assert_eq!(app.services(), before.services);
    app.assert_writing();
}

#[test]
fn the_application_alone_without_a_backup_goes_forward_and_says_there_is_no_way_back_for_the_data() {
    let app = inventree_on_17();
    let s = &app.stack;
    let before = app.before();
    let dry = s.repot(&["upgrade", "--app-version", "1.2.0", "--skip-backup", "--dry-run"]).ok();
    let _ = dry.prints(&["no backup: what the application's update does to the data cannot be taken back"]);
    let _ = s.repot(&["upgrade", "--app-version", "1.2.0", "--skip-backup", "--yes"]).ok();
    assert_eq!(app.healthy()["version"], "1.2.0");
    before.content.assert_still(s, &app.growing(), "after the update");
    app.assert_writing();
    assert!(!s.dir().join(".repot/backups").exists(), "no backup was asked for");
    let refused = s.repot(&["rollback", "--yes", "--discard-new-writes"]);
    assert!(!refused.status.success(), "{refused}");
    let _ = refused.says(&["cannot be taken back"]);
}
