//! `kill -9` at every boundary of the journal: before a step's intent, after it was applied but before that was
//! recorded, after the record. Then `resume` must end where an undisturbed run ends, and `rollback` where the run
//! began.

use std::collections::BTreeMap;
use std::path::PathBuf;

use repot_core::upgrade::failpoint::BOUNDARIES;
use repot_core::upgrade::plan::Step;
use repot_testkit::{Content, FileState, Stack, Sums};

use crate::{GROWING, stack};

const UPGRADE: [&str; 6] = ["upgrade", "--to", "17", "--app-version", "2", "--yes"];

/// A step's three boundaries, in the order in which they are reached.
fn boundaries(steps: &[Step]) -> Vec<(Step, &'static str)> {
    steps.iter().flat_map(|s| BOUNDARIES.map(|b| (*s, b))).collect()
}

fn kill_at(name: &str) -> String {
    format!("{name}=return(kill)")
}

/// How the stack was before repot touched it.
struct Before {
    files: BTreeMap<PathBuf, FileState>,
    content: Content,
    services: Vec<(String, String, String)>,
    volumes: Vec<String>,
    major: u32,
}

/// What runs: service, image, restart policy; and that all of it is well.
#[track_caller]
fn services(s: &Stack) -> Vec<(String, String, String)> {
    let all = s.containers();
    for c in &all {
        assert!(!c.service.is_empty(), "repot left a container behind: {c:?}");
        assert!(c.state == "running" && c.health == "healthy", "{c:?}");
    }
    all.into_iter().map(|c| (c.service, c.image, c.restart)).collect()
}

impl Before {
    fn of(s: &Stack) -> Self {
        Before {
            files: s.files(),
            content: Content::of(s),
            services: services(s),
            volumes: s.volumes(),
            major: s.major(),
        }
    }
    /// Fails the test unless the stack is what it was, writes by the application apart.
    #[track_caller]
    fn assert_again(&self, s: &Stack, what: &str) {
        assert_eq!(s.files(), self.files, "{what}: files");
        assert_eq!(services(s), self.services, "{what}: services");
        assert_eq!(s.major(), self.major, "{what}: version");
        self.content.assert_still(s, &GROWING, what);
    }
}

/// The mini stack with its data in a named volume, or in a directory beside the Compose file.
fn mini(bind: bool) -> Stack {
    let s = stack("mini");
    if bind {
        std::fs::create_dir(s.dir().join("data")).unwrap();
        s.edit("compose.yaml", "- data:/var/lib", "- ./data/pg:/var/lib");
        s.edit("compose.yaml", "\nvolumes:\n  data:\n", "");
    }
    s.up();
    s
}

/// Checksums of the old data in its own place.
#[track_caller]
fn old_data(s: &Stack) -> Sums {
    if s.dir().join("data").exists() { s.sums_of_dir("data/pg") } else { s.sums_of_volume("data") }
}

/// Checksums of the old data where an upgrade has set it aside.
#[track_caller]
fn old_data_aside(s: &Stack) -> Sums {
    let Ok(entries) = std::fs::read_dir(s.dir().join("data")) else { return s.sums_of_volume("data") };
    let names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let aside: Vec<&String> = names.iter().filter(|n| n.ends_with("-pg13")).collect();
    assert_eq!(aside.len(), 1, "one directory should be set aside: {names:?}");
    s.sums_of_dir(&format!("data/{}", aside[0]))
}

/// A dump of the schema, without what pg_dump makes up anew each time.
fn schema(s: &Stack) -> String {
    let out = s.exec("db", &["pg_dump", "-U", "boss", "--schema-only", "app"]).ok().stdout;
    out.lines()
        .filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Fails the test unless the upgrade is done, and nothing is there that should not be.
#[track_caller]
fn assert_upgraded(s: &Stack, before: &Before) {
    let status = s.status();
    assert_eq!(status["state"], "done", "{status:#}");
    for step in status["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "done", "{step:#}");
    }
    assert_eq!(s.major(), 17);
    before.content.assert_still(s, &GROWING, "after the upgrade");
    let now = services(s);
    let expected: Vec<_> = before
        .services
        .iter()
        .map(|(n, i, r)| {
            (n.clone(), i.replace("postgres:13", "postgres:17").replace("mini:1", "mini:2"), r.clone())
        })
        .collect();
    assert_eq!(now, expected);
    let beats = || s.psql("app", "SELECT count(*) FROM beat WHERE version = 2").parse::<u64>().unwrap();
    let n = beats();
    repot_testkit::wait_for("the application writes to the new server", || (beats() > n).then_some(()));
}

fn killed_everywhere_and_resumed(steps: &[Step], bind: bool) {
    let s = mini(bind);
    let before = Before::of(&s);
    let mut sums = None;
    let all = boundaries(steps);
    for (i, (step, place)) in all.iter().enumerate() {
        let args: &[&str] = if i == 0 { &UPGRADE } else { &["resume"] };
        let point = format!("{}::{place}", step.name());
        let _ = s.repot_failing(args, &kill_at(&point)).was_killed();
        if point == "stop-old-server::after-record" {
            sums = Some(old_data(&s));
        }
    }
    let _ = s.repot(&["resume"]).ok().prints(&["PostgreSQL 13 to 17", "are equal"]);
    assert_upgraded(&s, &before);
    sums.unwrap().assert_same(&old_data_aside(&s), "the old data");

    let plain = mini(bind);
    let _ = plain.repot(&UPGRADE).ok();
    assert_eq!(s.files(), plain.files(), "files differ from those of an undisturbed run");
    assert_eq!(s.volumes(), plain.volumes());
    assert_eq!(schema(&s), schema(&plain));
    assert_eq!(services(&s), services(&plain));
    eprintln!("boundaries: {} resumed, 0 rolled back", all.len());
}

#[test]
fn killed_at_every_boundary_and_resumed_it_ends_like_an_undisturbed_run() {
    killed_everywhere_and_resumed(&Step::ALL, false);
}

#[test]
fn killed_while_a_bind_mount_is_replaced_and_resumed_it_ends_like_an_undisturbed_run() {
    // What differs from a volume.
    killed_everywhere_and_resumed(
        &[Step::StopOldServer, Step::SetAside, Step::StartNewServer, Step::Restore, Step::StopNewServer],
        true,
    );
}

/// Kills at each boundary of `steps`, each time from the start, and rolls back.
fn killed_and_rolled_back(steps: &[Step], bind: bool) {
    let s = mini(bind);
    let before = Before::of(&s);
    let all = boundaries(steps);
    for (step, place) in &all {
        let point = format!("{}::{place}", step.name());
        eprintln!("killed at {point}, then rolled back");
        let _ = s.repot_failing(&UPGRADE, &kill_at(&point)).was_killed();
        let begun = |wanted: Step| *step > wanted || (*step == wanted && *place != "before-intent");
        let at_rest =
            *step > Step::StopOldServer || (*step == Step::StopOldServer && *place != "before-intent");
        let sums =
            match (at_rest, *step > Step::SetAside || (*step == Step::SetAside && *place != "before-intent"))
            {
                (false, _) => None,
                (true, false) => Some(old_data(&s)),
                (true, true) => Some(old_data_aside(&s)),
            };
        // Once the service has run on the new data, it is kept; but only users' work stands in the way.
        let kept = begun(Step::StartDatabase);
        let writers = begun(Step::StartApplication);
        if writers {
            let rows =
                || s.psql("app", "SELECT count(*) FROM beat WHERE version = 2").parse::<u64>().unwrap();
            repot_testkit::wait_for("the application writes to the new server", || {
                (rows() > 0).then_some(())
            });
            let refused = s.repot(&["rollback", "--yes"]).exits(3);
            let _ = refused.says(&["--discard-new-writes"]);
        }
        let args: &[&str] =
            if writers { &["rollback", "--yes", "--discard-new-writes"] } else { &["rollback", "--yes"] };
        if let Some(sums) = sums {
            // Just before the services are started again, the data must be what it was at rest.
            let mut rollback =
                s.start_repot(args, &[("FAILPOINTS", "undo-stop-application::before-intent=return(stop)")]);
            rollback.wait_stopped();
            sums.assert_same(&old_data(&s), &point);
            rollback.go_on();
            let _ = rollback.wait().ok();
        } else {
            let _ = s.repot(args).ok();
        }
        assert_eq!(s.state(), "rolled-back", "{point}");
        before.assert_again(&s, &point);
        if kept {
            let shown = s.repot(&["cleanup", "--dry-run"]).ok();
            let _ = shown.prints(&["data of PostgreSQL 17 that a rollback set aside"]);
            let _ = s.repot(&["cleanup", "--yes"]).ok();
        }
        assert_eq!(s.volumes(), before.volumes, "{point}");
        if bind {
            let names: Vec<_> =
                std::fs::read_dir(s.dir().join("data")).unwrap().flatten().map(|e| e.file_name()).collect();
            assert_eq!(names, ["pg"], "{point}");
        }
    }
    eprintln!("boundaries: 0 resumed, {} rolled back", all.len());
}

#[test]
fn killed_before_the_old_server_stops_and_rolled_back_it_is_as_before() {
    killed_and_rolled_back(&Step::ALL[..5], false);
}

#[test]
fn killed_while_the_data_moves_and_rolled_back_it_is_as_before() {
    killed_and_rolled_back(&Step::ALL[5..9], false);
}

#[test]
fn killed_while_the_new_server_is_made_ready_and_rolled_back_it_is_as_before() {
    killed_and_rolled_back(&Step::ALL[9..13], false);
}

#[test]
fn killed_while_the_new_server_takes_over_and_rolled_back_it_is_as_before() {
    killed_and_rolled_back(&Step::ALL[13..17], false);
}

#[test]
fn killed_once_writers_are_let_in_and_rolled_back_it_is_as_before() {
    killed_and_rolled_back(&Step::ALL[17..], false);
}

#[test]
fn killed_while_a_bind_mount_is_set_aside_and_rolled_back_it_is_as_before() {
    killed_and_rolled_back(
        &[Step::SetAside, Step::StartNewServer, Step::StopNewServer, Step::CheckHealth],
        true,
    );
}

/// Kills the rollback itself at each of its boundaries, in a chain.
fn rollback_killed_everywhere(bind: bool, upgrade_killed_at: Option<&str>) {
    let s = mini(bind);
    let before = Before::of(&s);
    let mut begun: Vec<Step> = Step::ALL.to_vec();
    match upgrade_killed_at {
        None => {
            let _ = s.repot(&UPGRADE).ok();
        }
        Some(point) => {
            let _ = s.repot_failing(&UPGRADE, &kill_at(point)).was_killed();
            begun.retain(|s| *s <= Step::StopNewServer);
        }
    }
    let sums = old_data_aside(&s);
    let all = boundaries(&begun.into_iter().rev().collect::<Vec<_>>());
    for (i, (step, place)) in all.iter().enumerate() {
        let args: &[&str] = match (i, upgrade_killed_at) {
            (0, None) => &["rollback", "--yes", "--discard-new-writes"],
            (0, Some(_)) => &["rollback", "--yes"],
            _ => &["resume"],
        };
        let point = format!("undo-{}::{place}", step.name());
        let _ = s.repot_failing(args, &kill_at(&point)).was_killed();
        if point == "undo-stop-application::before-intent" {
            sums.assert_same(&old_data(&s), &point);
        }
    }
    let _ = s.repot(&["resume"]).ok().prints(&["is on PostgreSQL 13 again"]);
    assert_eq!(s.state(), "rolled-back");
    before.assert_again(&s, "after the rollback");
    if upgrade_killed_at.is_none() {
        // What the application wrote to the new server is kept until cleanup.
        let _ = s
            .repot(&["cleanup", "--dry-run"])
            .ok()
            .prints(&["data of PostgreSQL 17 that a rollback set aside"]);
        let _ = s.repot(&["cleanup", "--yes"]).ok();
    }
    assert_eq!(s.volumes(), before.volumes);
    eprintln!("boundaries: {} of the rollback resumed", all.len());
}

#[test]
fn a_rollback_of_a_finished_run_killed_at_every_boundary_and_resumed_goes_back() {
    rollback_killed_everywhere(false, None);
}

#[test]
fn a_rollback_of_an_unfinished_run_killed_at_every_boundary_and_resumed_goes_back() {
    rollback_killed_everywhere(true, Some("stop-new-server::after-record"));
}

/// The steps of a run in which only the application moves.
const APPLICATION_ALONE: [Step; 11] = [
    Step::FetchImages,
    Step::StopApplication,
    Step::FenceDatabase,
    Step::BackUp,
    Step::StopOldServer,
    Step::StartDatabase,
    Step::CheckLogin,
    Step::EditApplicationFiles,
    Step::MigrateApplication,
    Step::StartApplication,
    Step::CheckHealth,
];

#[test]
fn an_update_of_the_application_alone_and_its_rollback_killed_at_every_boundary_and_resumed_end_well() {
    let s = stack("mini");
    s.edit("compose.yaml", "postgres:13", "postgres:17");
    s.up();
    let before = Before::of(&s);
    let has_column = || {
        let sql = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'item' AND column_name = 'lifecycle'";
        s.psql("app", sql) == "1"
    };
    let forth = boundaries(&APPLICATION_ALONE);
    for (i, (step, place)) in forth.iter().enumerate() {
        let args: &[&str] = if i == 0 { &["upgrade", "--app-version", "2", "--yes"] } else { &["resume"] };
        let _ = s.repot_failing(args, &kill_at(&format!("{}::{place}", step.name()))).was_killed();
    }
    let _ = s.repot(&["resume"]).ok().prints(&["PostgreSQL stays at 17"]);
    assert_eq!(s.state(), "done");
    assert!(has_column(), "the update command has run");
    before.content.assert_still(&s, &GROWING, "after the update");

    let back = boundaries(&APPLICATION_ALONE.iter().rev().copied().collect::<Vec<_>>());
    for (i, (step, place)) in back.iter().enumerate() {
        let args: &[&str] = if i == 0 { &["rollback", "--yes", "--discard-new-writes"] } else { &["resume"] };
        let _ = s.repot_failing(args, &kill_at(&format!("undo-{}::{place}", step.name()))).was_killed();
    }
    let _ = s.repot(&["resume"]).ok();
    assert_eq!(s.state(), "rolled-back");
    assert!(!has_column(), "the schema is the old version's");
    before.assert_again(&s, "after the rollback");
    assert_eq!(s.volumes(), before.volumes);
    eprintln!("boundaries: {} resumed, {} of the rollback resumed", forth.len(), back.len());
}
