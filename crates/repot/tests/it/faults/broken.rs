//! Things that break on the way.

use super::*;

#[test]
fn a_damaged_table_stops_the_backup_and_the_rollback_brings_the_application_back() {
    let s = mini();
    let before = Before::of(&s);
    // A table of its own, so that the application goes on.
    s.psql(
        "app",
        "CREATE TABLE damaged AS SELECT g, repeat('x', 500) AS t FROM generate_series(1, 500) g; CHECKPOINT",
    );
    let path = s.psql("app", "SELECT pg_relation_filepath('damaged')");
    let _ = s.compose(&["stop"]).ok();
    let damage =
        format!("printf 'this is no page header at all' | dd of=/at/{path} bs=1 seek=16384 conv=notrunc");
    let mount = format!("{}:/at", s.volume("data"));
    let args = [
        "run",
        "--rm",
        "--network=none",
        "--user=0:0",
        "--entrypoint=sh",
        "-v",
        &mount,
        "postgres:13",
        "-c",
        &damage,
    ];
    let _ = run(Command::new("docker").args(args), None).ok();
    s.up();
    let ran = s.repot(&UPGRADE);
    // Found by the check or met by the dump: either way nothing has moved.
    assert!(matches!(ran.status.code(), Some(1 | 3)), "{ran}");
    let _ = ran.clone().says(&["damaged"]);
    assert_eq!(s.files(), before.files);
    if ran.status.code() == Some(1) {
        let _ = ran.says(&["repot rollback", "the old data is whole"]);
        let _ = s.repot(&["resume"]).exits(1).says(&["damaged"]);
        roll_back(&s, &before, &[], None, "data");
    }
}

/// An index whose function works on the old server only.
const NOT_ON_THE_NEW: &str = "CREATE FUNCTION only_old(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN \
IF current_setting('server_version_num')::int >= 140000 THEN RAISE EXCEPTION 'not on this server'; END IF; RETURN $1; END $$; \
CREATE INDEX item_only_old ON item (only_old(name));";

#[test]
fn an_error_in_the_middle_of_a_restore_stops_the_run_and_the_rollback_goes_back() {
    let s = mini();
    s.psql("app", NOT_ON_THE_NEW);
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "stop-old-server::after-record");
    let sums = s.sums_of_volume("data");
    repot.go_on();
    let _ =
        repot.wait().exits(1).says(&["not on this server", "repot resume", "repot rollback", "set aside"]);
    let _ = s.repot(&["status"]).ok().prints(&["failed", "Restore"]);
    let _ = s.repot(&["resume"]).exits(1).says(&["not on this server"]);
    roll_back(&s, &before, &[], Some(&sums), "data");
    assert_eq!(s.volumes(), before.volumes);
}

#[test]
fn a_new_server_that_does_not_start_stops_the_run_and_the_rollback_goes_back() {
    let s = mini();
    let before = Before::of(&s);
    let dockerfile = "FROM postgres:17\nRUN printf '#!/bin/sh\\necho no luck today >&2; exit 1\\n' > /usr/local/bin/docker-entrypoint.sh\n";
    let _ = run(
        Command::new("docker").args(["build", "-q", "-t", "repot-test/broken:17", "-"]),
        Some(dockerfile.as_bytes()),
    )
    .ok();
    s.write("repot.toml", "profiles = [\"mini.toml\"]\ntarget_image = \"repot-test/broken:17\"\n");
    let files = s.files();
    let ran = s.repot(&UPGRADE).exits(1);
    let _ = ran.says(&["does not start", "no luck today", "repot rollback"]);
    let _ = s.repot(&["rollback", "--yes"]).ok();
    assert_eq!(s.files(), files);
    s.write("repot.toml", "profiles = [\"mini.toml\"]\n");
    before.assert_again(&s);
    assert_eq!(s.volumes(), before.volumes);
}

#[test]
fn an_application_that_is_unhealthy_afterwards_stops_the_run_and_resume_goes_on_once_it_is_well() {
    let s = stack("mini");
    s.write(".env", &(s.read(".env") + "MINI_BROKEN=2\n"));
    s.edit("mini.toml", "timeout_s = 60", "timeout_s = 20");
    s.up();
    let before = Before::of(&s);
    let _ = s.repot(&UPGRADE).exits(1).says(&["app", "not well", "repot resume", "repot rollback"]);
    assert_eq!(s.major(), 17);
    let _ = s.repot(&["resume"]).exits(1).says(&["not well"]);
    s.edit("app.sh", "test \"$MINI_VERSION\" != \"$MINI_BROKEN\" && ", "");
    let _ = s.repot(&["resume"]).ok();
    before.content.assert_still(&s, &GROWING, "after the upgrade");
    assert_eq!(s.state(), "done");
    assert_writing(&s, 2);
}

#[test]
fn an_application_that_is_unhealthy_afterwards_can_be_rolled_back() {
    let s = stack("mini");
    s.write(".env", &(s.read(".env") + "MINI_BROKEN=2\n"));
    s.edit("mini.toml", "timeout_s = 60", "timeout_s = 20");
    s.up();
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "stop-old-server::after-record");
    let sums = s.sums_of_volume("data");
    repot.go_on();
    let _ = repot.wait().exits(1);
    roll_back(&s, &before, &["--discard-new-writes"], Some(&sums), "data");
}

#[test]
fn an_update_command_that_fails_stops_the_run_and_the_rollback_goes_back() {
    let s = stack("mini");
    s.edit("app.sh", "	update) ", "	update) echo the update has a bug >&2; exit 7; ");
    s.up();
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "stop-old-server::after-record");
    let sums = s.sums_of_volume("data");
    repot.go_on();
    let _ = repot.wait().exits(1).says(&["the update has a bug", "repot resume", "repot rollback"]);
    roll_back(&s, &before, &["--discard-new-writes"], Some(&sums), "data");
}

#[test]
fn a_file_that_was_edited_by_hand_in_the_meantime_is_not_overwritten_unseen() {
    let s = mini();
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "back-up::after-record");
    let text = s.read("compose.yaml");
    s.write("compose.yaml", &format!("# by hand\n{text}"));
    repot.go_on();
    let _ = repot.wait().exits(1).says(&["compose.yaml", "changed"]);
    s.write("compose.yaml", &text);
    let _ = s.repot(&["resume"]).ok();
    before.assert_upgraded(&s);
    // And after the upgrade: the rollback restores the original and keeps the hand's work.
    let edited = format!("# by hand\n{}", s.read("compose.yaml"));
    s.write("compose.yaml", &edited);
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).ok();
    before.assert_again(&s);
    let kept: Vec<PathBuf> = std::fs::read_dir(s.dir().join(".repot/runs").join(&s.runs()[0]))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("changed-"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(std::fs::read_to_string(&kept[0]).unwrap(), edited);
}
