//! Bad input and faults: a clear error, the promised exit status, nothing lost, and a way on and back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use repot_testkit::{
    Container, Content, FileState, Running, SmallDisk, Stack, Sums, make_immutable, make_mutable, run,
    wait_for,
};
use rustix::process::Signal;

use crate::{GROWING, stack};

const UPGRADE: [&str; 6] = ["upgrade", "--to", "17", "--app-version", "2", "--yes"];

fn mini() -> Stack {
    let s = stack("mini");
    s.up();
    s
}

/// The mini stack with its data in `data/pg`, on a small disk of its own.
fn mini_on_disk(size_kb: u64) -> (Stack, SmallDisk) {
    let s = stack("mini");
    s.edit("compose.yaml", "- data:/var/lib", "- ./data/pg:/var/lib");
    s.edit("compose.yaml", "\nvolumes:\n  data:\n", "");
    let disk = SmallDisk::mount(&s.dir().join("data"), size_kb);
    s.up();
    (s, disk)
}

/// What a refusal or a rollback must leave as it was.
struct Before {
    files: BTreeMap<PathBuf, FileState>,
    content: Content,
    containers: Vec<Container>,
    volumes: Vec<String>,
}

impl Before {
    fn of(s: &Stack) -> Self {
        Before { files: s.files(), content: Content::of(s), containers: s.containers(), volumes: s.volumes() }
    }
    /// Nothing at all was touched.
    #[track_caller]
    fn assert_untouched(&self, s: &Stack) {
        assert_eq!(s.files(), self.files);
        assert_eq!(s.containers(), self.containers);
        assert_eq!(s.volumes(), self.volumes);
        self.content.assert_still(s, &GROWING, "nothing should have been touched");
    }
    /// The application is there again, in the old version.
    #[track_caller]
    fn assert_again(&self, s: &Stack) {
        assert_eq!(s.files(), self.files);
        let names = |l: &[Container]| -> Vec<(String, String, String, String)> {
            l.iter()
                .map(|c| (c.service.clone(), c.image.clone(), c.state.clone(), c.restart.clone()))
                .collect()
        };
        assert_eq!(names(&s.containers()), names(&self.containers));
        assert_eq!(s.major(), 13);
        self.content.assert_still(s, &GROWING, "after the rollback");
        assert_writing(s, 1);
    }
    #[track_caller]
    fn assert_upgraded(&self, s: &Stack) {
        assert_eq!(s.state(), "done");
        assert_eq!(s.major(), 17);
        self.content.assert_still(s, &GROWING, "after the upgrade");
        assert_writing(s, 2);
        assert!(
            s.containers().iter().all(|c| !c.service.is_empty() && c.health == "healthy"),
            "{:?}",
            s.containers()
        );
    }
}

#[track_caller]
fn assert_writing(s: &Stack, version: u32) {
    let rows = || {
        s.psql("app", &format!("SELECT count(*) FROM beat WHERE version = {version}")).parse::<u64>().unwrap()
    };
    let n = rows();
    wait_for("the application writes", || (rows() > n).then_some(()));
}

/// Stops at a failpoint, lets the test do something, and goes on.
#[must_use]
#[track_caller]
fn stopped_at(s: &Stack, args: &[&str], point: &str) -> Running {
    let mut repot = s.start_repot(args, &[("FAILPOINTS", &format!("{point}=return(stop)"))]);
    repot.wait_stopped();
    repot
}

/// Rolls back and checks that all is as before, the old data by its checksums.
#[track_caller]
fn roll_back(s: &Stack, before: &Before, args: &[&str], at_rest: Option<&Sums>, data: &str) {
    let all = [&["rollback", "--yes"], args].concat();
    let repot = stopped_at(s, &all, "undo-stop-application::before-intent");
    if let Some(sums) = at_rest {
        let now = if data.contains('/') { s.sums_of_dir(data) } else { s.sums_of_volume(data) };
        sums.assert_same(&now, "the old data");
    }
    repot.go_on();
    let _ = repot.wait().ok();
    assert_eq!(s.state(), "rolled-back");
    before.assert_again(s);
}

// ---------------------------------------------------------------- refused before anything is touched

#[test]
fn without_docker_it_is_refused() {
    let s = mini();
    let before = Before::of(&s);
    for command in [["check", "--to", "17"].as_slice(), &UPGRADE] {
        let _ = s.repot_env(command, &[("PATH", "/nonexistent")]).exits(3).says(&["docker"]);
        let dead = format!("unix://{}/nobody.sock", s.dir().display());
        let _ = s.repot_env(command, &[("DOCKER_HOST", &dead)]).exits(3).says(&["->"]);
    }
    before.assert_untouched(&s);
}

#[test]
fn a_project_that_cannot_be_read_is_refused() {
    let s = mini();
    let good = s.read("compose.yaml");
    s.write("compose.yaml", &good.replace("services:", "services: ["));
    let _ = s.repot(&["check", "--to", "17"]).exits(3).says(&["compose.yaml"]);
    let _ = s.repot(&UPGRADE).exits(3).says(&["docker compose config"]);
    s.write("compose.yaml", &good);

    let empty = s.dir().join("empty");
    std::fs::create_dir(&empty).unwrap();
    // Below a project, Compose looks upwards; so away from it.
    let elsewhere = s.dir().parent().unwrap().join("nothing-here");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let _ = s.repot_in(&elsewhere, &["check", "--to", "17"]).exits(2);
    let _ = s.repot_in(&elsewhere, &["upgrade", "--to", "17", "--yes"]).exits(2);
    let _ = s.repot_in(&elsewhere, &["check", "-C", "/no/such/directory"]).exits(2);

    let second = "  other:\n    image: postgres:13\n    environment:\n      POSTGRES_PASSWORD: x\n    volumes:\n      - other:/var/lib/postgresql/data\n\n  app:";
    s.write(
        "compose.yaml",
        &good.replacen("  app:", second, 1).replace("volumes:\n  data:\n", "volumes:\n  data:\n  other:\n"),
    );
    s.edit("mini.toml", "database = [\"db\"]", "database = []");
    let _ = s.repot(&["check", "--to", "17"]).exits(2).says(&["--service", "db", "other"]);
    let _ = s.repot(&["check", "--to", "17", "--service", "db"]).ok();
    let _ = s.repot(&["check", "--to", "17", "--service", "nobody"]).exits(2).says(&["nobody", "db"]);
    s.write("repot.toml", "profiles = [\"mini.toml\"]\ntypo = 1\n");
    let _ = s.repot(&["check", "--to", "17"]).exits(2).says(&["repot.toml", "typo"]);
}

#[test]
fn a_target_that_makes_no_sense_is_refused_and_the_present_one_is_nothing_to_do() {
    let s = mini();
    let before = Before::of(&s);
    let unknown = s.repot(&["upgrade", "--to", "99", "--yes"]);
    assert!(matches!(unknown.status.code(), Some(2 | 3)), "{unknown}");
    let _ = unknown.says(&["99"]);
    let _ = s.repot(&["upgrade", "--to", "12", "--yes"]).exits(3).says(&["12", "13"]);
    let _ = s.repot(&["upgrade", "--to", "13", "--yes"]).ok().prints(&["Nothing to do"]);
    let _ = s.repot(&["check", "--to", "13"]).ok();
    let _ = s.repot(&["upgrade", "--to", "banana", "--yes"]).exits(2);
    // The newer version of the application does not accept the old server.
    let _ = s.repot(&["upgrade", "--app-version", "2", "--yes"]).exits(3).says(&["14"]);
    s.write("repot.toml", "profiles = [\"mini.toml\"]\ntarget_image = \"repot-test/nowhere:17\"\n");
    let _ = s.repot(&["check", "--to", "17"]).exits(3).prints(&["repot-test/nowhere:17"]);
    let _ = s.repot(&UPGRADE).exits(3).says(&["repot-test/nowhere:17"]);
    s.write("repot.toml", "profiles = [\"mini.toml\"]\n");
    // No terminal to ask on, and no --yes.
    let _ = s.repot(&["upgrade", "--to", "17"]).exits(3).says(&["--yes"]);
    before.assert_untouched(&s);
}

#[test]
fn a_wrong_password_of_the_application_is_refused() {
    let s = mini();
    let before = Before::of(&s);
    s.edit(".env", "'clerk $secret'", "'clerk secret'");
    let _ = s.repot(&["check", "--to", "17"]).exits(3).prints(&["clerk"]);
    let _ = s.repot(&UPGRADE).exits(3).says(&["clerk", "password"]);
    s.edit(".env", "'clerk secret'", "'clerk $secret'");
    before.assert_untouched(&s);
}

#[test]
fn a_read_only_directory_is_refused() {
    let s = mini();
    let before = Before::of(&s);
    make_immutable(s.dir());
    let check = s.repot(&["check", "--to", "17"]);
    let upgrade = s.repot(&UPGRADE);
    make_mutable(s.dir());
    let _ = check.exits(3);
    let _ = upgrade.exits(3);
    before.assert_untouched(&s);
    assert!(!s.dir().join(".repot").exists());
    // Only the backup's place.
    let backups = s.dir().join("backups");
    std::fs::create_dir(&backups).unwrap();
    make_immutable(&backups);
    let place = backups.display().to_string();
    let refused = s.repot(&[&UPGRADE[..], &["--backup-dir", &place]].concat());
    make_mutable(&backups);
    let _ = refused.exits(3).says(&["--backup-dir"]);
    before.assert_untouched(&s);
}

// ---------------------------------------------------------------- disks that fill

#[test]
fn a_disk_that_fills_during_the_backup_stops_the_run_and_resume_goes_on_once_there_is_room() {
    let s = mini();
    let before = Before::of(&s);
    let disk = SmallDisk::mount(&s.dir().join("backups"), 1 << 20);
    let place = s.dir().join("backups").display().to_string();
    let args = [&UPGRADE[..], &["--backup-dir", &place]].concat();
    let repot = stopped_at(&s, &args, "fence-database::after-record");
    disk.resize(16);
    repot.go_on();
    let _ = repot.wait().exits(1).says(&["space", "repot resume", "repot rollback", "the old data is whole"]);
    assert_eq!(s.files(), before.files, "no file is edited yet");
    // Still no room: the same again.
    let _ = s.repot(&["resume"]).exits(1).says(&["space"]);
    disk.resize(1 << 20);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn a_disk_that_fills_during_the_backup_can_be_rolled_back() {
    let s = mini();
    let before = Before::of(&s);
    let disk = SmallDisk::mount(&s.dir().join("backups"), 1 << 20);
    let place = s.dir().join("backups").display().to_string();
    let repot =
        stopped_at(&s, &[&UPGRADE[..], &["--backup-dir", &place]].concat(), "fence-database::after-record");
    disk.resize(16);
    repot.go_on();
    let _ = repot.wait().exits(1);
    roll_back(&s, &before, &[], None, "data");
}

#[test]
fn a_disk_that_fills_during_the_restore_stops_the_run_and_resume_goes_on_once_there_is_room() {
    let (s, disk) = mini_on_disk(2 << 20);
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "start-new-server::after-record");
    disk.resize(disk.used_kb() + 3000);
    repot.go_on();
    let _ = repot.wait().exits(1).says(&["space", "repot resume", "repot rollback", "set aside"]);
    disk.resize(2 << 20);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn a_disk_that_fills_during_the_restore_can_be_rolled_back_while_it_is_full() {
    let (s, disk) = mini_on_disk(2 << 20);
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "start-new-server::after-record");
    let aside = std::fs::read_dir(s.dir().join("data"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    let aside = aside.into_iter().find(|n| n.ends_with("-pg13")).unwrap();
    let sums = s.sums_of_dir(&format!("data/{aside}"));
    disk.resize(disk.used_kb() + 3000);
    repot.go_on();
    let _ = repot.wait().exits(1);
    roll_back(&s, &before, &[], Some(&sums), "data/pg");
}

// ---------------------------------------------------------------- things that break on the way

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
    s.edit("mini.toml", "timeout_s = 60", "timeout_s = 10");
    s.up();
    let before = Before::of(&s);
    let _ = s.repot(&UPGRADE).exits(1).says(&["app", "not well", "repot resume", "repot rollback"]);
    assert_eq!(s.major(), 17);
    let _ = s.repot(&["resume"]).exits(1).says(&["not well"]);
    s.edit("app.sh", "\"$MINI_VERSION\" != \"$MINI_BROKEN\" && ", "");
    let _ = s.repot(&["resume"]).ok();
    before.content.assert_still(&s, &GROWING, "after the upgrade");
    assert_eq!(s.state(), "done");
    assert_writing(&s, 2);
}

#[test]
fn an_application_that_is_unhealthy_afterwards_can_be_rolled_back() {
    let s = stack("mini");
    s.write(".env", &(s.read(".env") + "MINI_BROKEN=2\n"));
    s.edit("mini.toml", "timeout_s = 60", "timeout_s = 10");
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
    let kept =
        std::fs::read_to_string(s.dir().join(".repot/runs").join(&s.runs()[0]).join("changed-compose.yaml"));
    assert_eq!(kept.unwrap(), edited);
}

// ---------------------------------------------------------------- signals, power, locks

/// Waits until a step's intent is in the journal.
fn wait_for_step(s: &Stack, step: &str) {
    wait_for("the step begins", || {
        let ran = s.repot(&["status", "--json"]);
        let v: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let steps = v["steps"].as_array()?;
        steps.iter().find(|r| r["step"] == step && r["state"] != "pending").map(drop)
    });
}

#[test]
fn ctrl_c_and_sigterm_in_the_middle_of_steps_stop_the_run_and_resume_goes_on() {
    let s = mini();
    let before = Before::of(&s);
    let mut args: &[&str] = &UPGRADE;
    for (step, signal) in [
        ("stop-application", Signal::INT),
        ("fence-database", Signal::TERM),
        ("back-up", Signal::INT),
        ("start-new-server", Signal::TERM),
        ("restore", Signal::INT),
        ("compare", Signal::TERM),
        ("start-database", Signal::INT),
    ] {
        let repot = s.start_repot(args, &[]);
        wait_for_step(&s, step);
        repot.signal(signal);
        let ran = repot.wait().exits(1);
        let _ = ran.says(&["stopped on request", "repot resume", "repot rollback"]);
        assert_eq!(s.state(), "failed");
        args = &["resume"];
    }
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn ctrl_c_in_the_middle_of_steps_can_be_rolled_back() {
    let s = mini();
    let before = Before::of(&s);
    for (step, signal) in [("back-up", Signal::TERM), ("restore", Signal::INT), ("restore", Signal::TERM)] {
        let repot = s.start_repot(&UPGRADE, &[]);
        wait_for_step(&s, step);
        repot.signal(signal);
        let _ = repot.wait().exits(1).says(&["repot rollback"]);
        let _ = s.repot(&["rollback", "--yes"]).ok();
        before.assert_again(&s);
        assert_eq!(s.volumes(), before.volumes);
    }
}

#[test]
fn a_signal_while_waiting_for_the_application_is_heard() {
    let s = stack("mini");
    s.write(".env", &(s.read(".env") + "MINI_BROKEN=2\n"));
    s.edit("mini.toml", "timeout_s = 60", "timeout_s = 600");
    s.up();
    let before = Before::of(&s);
    let repot = s.start_repot(&UPGRADE, &[]);
    wait_for_step(&s, "check-health");
    std::thread::sleep(std::time::Duration::from_secs(2));
    repot.signal(Signal::TERM);
    let _ = repot.wait().exits(1).says(&["stopped on request"]);
    // A signal on the way back is as good as any other end.
    let repot = s.start_repot(
        &["rollback", "--yes", "--discard-new-writes"],
        &[("FAILPOINTS", "undo-set-aside::before-intent=return(interrupt)")],
    );
    let _ = repot.wait().exits(1).says(&["repot resume"]);
    assert_eq!(s.state(), "rolling-back");
    let _ = s.repot(&["resume"]).ok();
    before.assert_again(&s);
}

#[test]
fn a_power_cut_after_any_step_is_survived() {
    use repot_core::upgrade::plan::Step;
    let s = mini();
    let before = Before::of(&s);
    let mut sums = None;
    for (i, step) in Step::ALL.iter().enumerate() {
        let args: &[&str] = if i == 0 { &UPGRADE } else { &["resume"] };
        let point = format!("{}::after-record=return(kill)", step.name());
        eprintln!("power cut after {}", step.name());
        let _ = s.repot_failing(args, &point).was_killed();
        // Nothing that ran goes on; what Docker would start again at the next boot, it starts.
        let running: Vec<Container> = s.containers().into_iter().filter(|c| c.state == "running").collect();
        for c in &running {
            let _ = run(Command::new("docker").args(["kill", &c.id]), None);
        }
        for c in running.iter().filter(|c| !matches!(c.restart.as_str(), "no" | "")) {
            let _ = run(Command::new("docker").args(["start", &c.id]), None).ok();
        }
        if *step == Step::StopOldServer {
            sums = Some(s.sums_of_volume("data"));
        }
    }
    let _ = s.repot(&["resume"]).ok();
    before.assert_upgraded(&s);
    sums.unwrap().assert_same(&s.sums_of_volume("data"), "the old data");
}

#[test]
fn a_second_repot_is_refused_at_once_and_a_lock_left_by_kill_9_blocks_nobody() {
    let s = mini();
    let before = Before::of(&s);
    let first = stopped_at(&s, &UPGRADE, "back-up::before-intent");
    for args in [UPGRADE.as_slice(), &["resume"], &["rollback", "--yes"], &["cleanup", "--yes"]] {
        let started = std::time::Instant::now();
        let _ = s.repot(args).exits(5).says(&["another repot"]);
        assert!(started.elapsed() < std::time::Duration::from_mins(1), "at once");
    }
    // Looking is allowed.
    let _ = s.repot(&["status"]).ok().prints(&["running"]);
    let _ = s.repot(&["history"]).ok();
    first.signal(Signal::KILL);
    let _ = first.wait().was_killed();
    assert!(s.dir().join(".repot/lock").exists(), "the file stays; it means nothing");
    // An unfinished run is in the way of a new one, and of cleaning up.
    let _ = s.repot(&UPGRADE).exits(5).says(&["unfinished", "repot resume", "repot rollback"]);
    let _ = s.repot(&["upgrade", "--to", "17", "--dry-run"]).exits(5);
    let run = s.runs().pop().unwrap();
    let _ = s.repot(&["cleanup", &run, "--yes"]).exits(5);
    let _ = s.repot(&["resume"]).ok();
    before.assert_upgraded(&s);
    let _ = s.repot(&["resume"]).ok().prints(&["Nothing to do"]);
}

#[test]
fn two_stacks_side_by_side_do_not_meet() {
    let (a, b) = (mini(), mini());
    let (before_a, before_b) = (Before::of(&a), Before::of(&b));
    let held = stopped_at(&a, &UPGRADE, "restore::before-intent");
    let _ = b.repot(&UPGRADE).ok();
    let _ = b.repot(&["rollback", "--yes", "--discard-new-writes"]).ok();
    held.go_on();
    let _ = held.wait().ok();
    before_a.assert_upgraded(&a);
    before_b.assert_again(&b);
}

// ---------------------------------------------------------------- JSON

#[test]
fn every_command_with_json_prints_one_document() {
    let s = mini();
    let nothing = s.repot(&["status", "--json"]).exits(2);
    assert_eq!(nothing.json()["error"]["exit_status"], 2);
    let check = s.repot(&["check", "--to", "17", "--app-version", "2", "--json"]).ok();
    assert_eq!(check.json()["blocked"], false);
    let refused = s.repot(&["upgrade", "--to", "12", "--yes", "--json"]).exits(3);
    assert_eq!(refused.json()["error"]["exit_status"], 3);
    let recommended = s.repot(&["upgrade", "--json", "--yes"]).ok();
    assert_eq!(recommended.json()["state"], "recommendation");
    let same = s.repot(&["upgrade", "--to", "13", "--json", "--yes"]).ok();
    assert_eq!(same.json()["state"], "nothing-to-do");
    let plan = s.repot(&["upgrade", "--to", "17", "--dry-run", "--json"]).ok();
    assert!(plan.json()["plan"]["steps"].as_array().unwrap().len() > 10);
    let failed = s.repot_env(
        &["upgrade", "--to", "17", "--yes", "--json"],
        &[("FAILPOINTS", "restore::before-intent=return(error)")],
    );
    assert_eq!(failed.exits(1).json()["error"]["code"], "failpoint");
    let done = s.repot(&["resume", "--json"]).ok().json();
    assert_eq!((&done["from"], &done["to"]), (&13.into(), &17.into()));
    assert_eq!(s.status()["state"], "done");
    let run = s.runs().pop().unwrap();
    assert_eq!(s.repot(&["history", "--json"]).ok().json()[0]["run"], run.as_str());
    assert_eq!(s.repot(&["history", &run, "--json"]).ok().json()["id"], run.as_str());
    let aside = s.repot(&["cleanup", "--dry-run", "--json"]).ok().json();
    assert_eq!(aside["removed"], false);
    assert_eq!(aside["set_aside"].as_array().unwrap().len(), 1);
    assert_eq!(s.repot(&["resume", "--json"]).ok().json()["state"], "nothing-to-do");
    let refused = s.repot(&["rollback", "--yes", "--json"]).exits(3).json();
    assert_eq!(refused["error"]["code"], "new-writes");
    let back = s.repot(&["rollback", "--yes", "--discard-new-writes", "--json"]).ok().json();
    assert_eq!(back["state"], "rolled-back");
    assert_eq!(s.repot(&["cleanup", "--yes", "--json"]).ok().json()["removed"], true);

    // Two databases by their addresses, which the machine that runs Docker can reach.
    let ip = run_ip(&s);
    s.psql("postgres", "CREATE DATABASE copy");
    s.psql("copy", "CREATE TABLE item (id int PRIMARY KEY, name text)");
    s.psql("postgres", "CREATE DATABASE twin TEMPLATE copy");
    let url = |db: &str| format!("postgresql://boss@{ip}:5432/{db}");
    let password = [("PGPASSWORD", "boss-secret")];
    let compare = |a: &str, b: &str| s.repot_plain(&["compare", &url(a), &url(b), "--json"], &password);
    let same = compare("copy", "twin").ok().json();
    assert_eq!(same["differences"].as_array().map(Vec::len), Some(0), "{same:#}");
    s.psql("twin", "INSERT INTO item VALUES (1, 'one')");
    let differ = compare("copy", "twin").exits(4);
    let _ = differ.json();
    let _ = s.repot_plain(&["compare", &url("copy"), &url("twin")], &password).exits(4).prints(&["item"]);
}

fn run_ip(s: &Stack) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    run(Command::new("docker").args(["inspect", "-f", format, &s.db_container()]), None)
        .ok()
        .stdout
        .trim()
        .to_owned()
}
