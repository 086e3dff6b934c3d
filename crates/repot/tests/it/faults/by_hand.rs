//! Somebody starts the application by hand while a run stands still, or goes back by hand: what they write is never
//! lost without a word.

use super::*;

/// No server of repot's own runs: nothing has the data open but what the user starts.
#[track_caller]
fn own_servers_are_gone(s: &Stack) {
    // The helper beside a server outlives a kill; it has no data.
    let server =
        |c: &Container| c.service.is_empty() && (c.name.ends_with("-old") || c.name.ends_with("-new"));
    wait_for("repot's own servers end", || {
        s.containers().iter().all(|c| !server(c) || c.state != "running").then_some(())
    });
}

/// Starts services by hand (all when none is named) and writes something that nobody else writes.
#[track_caller]
fn work_by_hand(s: &Stack, services: &[&str]) {
    own_servers_are_gone(s);
    let _ = s.compose(&[&["up", "-d", "--wait"], services].concat()).ok();
    s.psql("app", "CREATE TABLE by_hand AS SELECT n FROM generate_series(1, 7) n");
}

#[track_caller]
fn work_is_there(s: &Stack) {
    assert_eq!(s.psql("app", "SELECT count(*) FROM by_hand"), "7", "what was written by hand is lost");
}

#[test]
fn a_signal_or_kill_while_a_server_starts_leaves_no_server_behind() {
    let s = mini();
    let before = Before::of(&s);
    let mut args: &[&str] = &UPGRADE;
    for (step, signal) in [
        ("fence-database", Signal::INT),
        ("fence-database", Signal::KILL),
        ("start-new-server", Signal::TERM),
        ("start-new-server", Signal::KILL),
    ] {
        let repot = s.start_repot(args, &[]);
        wait_for("the server's container is there", || {
            s.containers()
                .iter()
                .any(|c| {
                    c.service.is_empty()
                        && c.name.ends_with(if step.contains("new") { "-new" } else { "-old" })
                })
                .then_some(())
        });
        repot.signal(signal);
        let ran = repot.wait();
        if signal == Signal::KILL {
            let _ = ran.was_killed();
            own_servers_are_gone(&s);
        } else {
            let _ = ran.exits(1);
            let own: Vec<Container> = s.containers().into_iter().filter(|c| c.service.is_empty()).collect();
            assert!(own.is_empty(), "after a {signal:?} in {step}: {own:?}");
        }
        args = &["resume"];
    }
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn a_backup_from_before_somebody_wrote_is_made_again() {
    let s = mini();
    let _ = s.repot_failing(&UPGRADE, "back-up::after-apply=return(kill)").was_killed();
    work_by_hand(&s, &[]);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    assert_eq!(s.major(), 17);
    work_is_there(&s);
}

#[test]
fn what_is_written_to_an_old_volume_that_was_set_aside_already_comes_along() {
    let s = mini();
    let _ = s.repot_failing(&UPGRADE, "edit-database-files::before-intent=return(kill)").was_killed();
    // The Compose file still names the old volume.
    work_by_hand(&s, &[]);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    assert_eq!(s.major(), 17);
    work_is_there(&s);
}

#[test]
fn a_resume_that_is_cut_off_before_it_stops_the_application_again_can_be_rolled_back() {
    let s = mini();
    let before = Before::of(&s);
    let _ = s.repot_failing(&UPGRADE, "back-up::after-apply=return(kill)").was_killed();
    own_servers_are_gone(&s);
    let _ = s.compose(&["up", "-d", "--wait"]).ok();
    let _ = s.repot_failing(&["resume"], "stop-application::before-intent=return(kill)").was_killed();
    let _ = s.compose(&["stop"]).ok();
    let _ = s.repot(&["rollback", "--yes"]).ok();
    before.assert_again(&s);
}

fn new_data_written_by_hand(s: &Stack) {
    let before = Before::of(s);
    let _ = s.repot_failing(&UPGRADE, "restore::after-apply=return(kill)").was_killed();
    // The application cannot: the new server does not have its pg_hba.conf yet.
    work_by_hand(s, &["db"]);
    let _ =
        s.repot(&["resume"]).exits(1).says(&["has run on the new data", "--discard-new-writes", "set aside"]);
    let _ = s.repot(&["rollback", "--yes"]).exits(3).says(&["--discard-new-writes"]);
    let _ = s.compose(&["up", "-d", "--wait", "db"]).ok();
    work_is_there(s);
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).ok();
    before.assert_again(s);
    let _ =
        s.repot(&["cleanup", "--dry-run"]).ok().prints(&["data of PostgreSQL 17 that a rollback set aside"]);
}

#[test]
fn what_is_written_to_a_new_volume_before_it_was_handed_over_is_kept() {
    new_data_written_by_hand(&mini());
}

#[test]
fn what_is_written_to_a_new_directory_before_it_was_handed_over_is_kept() {
    let (s, _disk) = mini_on_disk(2 << 20);
    new_data_written_by_hand(&s);
}

#[test]
fn the_application_started_by_hand_is_stopped_before_its_update_runs() {
    let s = mini();
    let before = Before::of(&s);
    let _ = s.repot_failing(&UPGRADE, "check-login::after-record=return(kill)").was_killed();
    let _ = s.compose(&["up", "-d", "--wait"]).ok();
    let _ = s.repot(&["resume"]).ok().says(&["they are stopped again"]).prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn cleanup_never_removes_what_the_application_uses_after_somebody_went_back_by_hand() {
    let s = mini();
    let before = Before::of(&s);
    let original = s.read("compose.yaml");
    let _ = s.repot(&UPGRADE).ok();
    let _ = s.compose(&["down"]).ok();
    s.write("compose.yaml", &original);
    let _ = s.repot(&["cleanup", "--yes"]).exits(3).says(&["nothing was removed", "uses"]);
    let _ = s.compose(&["up", "-d", "--wait", "db"]).ok();
    assert_eq!(s.major(), 13);
    before.content.assert_still(&s, &GROWING, "after going back by hand");
}

#[test]
fn after_a_rollback_that_starts_nothing_no_container_leads_to_the_new_data() {
    let s = mini();
    let before = Before::of(&s);
    let _ = s.repot(&UPGRADE).ok();
    let all = ["rollback", "--yes", "--discard-new-writes", "--no-start"];
    let _ = s.repot(&all).ok().prints(&["docker compose up -d", "set aside, not deleted"]);
    // Not `up`: what is there is started as it is.
    let _ = s.compose(&["start"]).ok();
    wait_for("all is well", || s.containers().iter().all(|c| c.health == "healthy").then_some(()));
    before.assert_again(&s);
}
