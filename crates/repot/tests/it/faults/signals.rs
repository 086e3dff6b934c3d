//! Signals, power cuts, locks.

use super::*;

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

/// Nothing that ran goes on; what Docker would start again at the next boot, it starts.
fn power_cut(s: &Stack) {
    let running: Vec<Container> = s.containers().into_iter().filter(|c| c.state == "running").collect();
    for c in &running {
        let _ = run(Command::new("docker").args(["kill", &c.id]), None);
    }
    for c in running.iter().filter(|c| c.restart != "no") {
        let _ = run(Command::new("docker").args(["start", &c.id]), None).ok();
    }
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
        power_cut(&s);
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

#[test]
fn a_power_cut_can_be_rolled_back() {
    let s = mini();
    let before = Before::of(&s);
    for step in ["fence-database", "set-aside", "restore", "start-database"] {
        eprintln!("power cut after {step}");
        let point = format!("{step}::after-record=return(kill)");
        let _ = s.repot_failing(&UPGRADE, &point).was_killed();
        power_cut(&s);
        let _ = s.repot(&["rollback", "--yes"]).ok();
        before.assert_again(&s);
        if step == "start-database" {
            // The service has run on the new data: somebody may have written, so it is kept.
            let _ = s.repot(&["cleanup", "--yes"]).ok();
        }
        assert_eq!(s.volumes(), before.volumes, "{step}");
    }
}
