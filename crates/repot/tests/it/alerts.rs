//! Alerts, the agent and the timers, against real receivers and systemd's own reading of units.

use std::path::Path;
use std::process::Command;

use repot_testkit::servers::{Receiver, mail, receiver};
use repot_testkit::{Ran, run, wait_for};
use serde_json::Value;

use crate::stack;

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_repot"));
    c.current_dir(dir).args(args).env("CHECK", "unused").env_remove("REPOT_OPERATION");
    c.env("DB_PASSWORD", "s3cret-words");
    c
}

#[track_caller]
fn repot(dir: &Path, args: &[&str]) -> Ran {
    run(&mut command(dir, args), None)
}

#[track_caller]
fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

/// What a hook got, its body read.
fn bodies(r: &Receiver, path: &str) -> Vec<Value> {
    let at = |g: &Value| g["path"].as_str().is_some_and(|p| p.starts_with(path));
    let all = r.received();
    all.iter().filter(|g| at(g)).map(|g| serde_json::from_str(g["body"].as_str().unwrap()).unwrap()).collect()
}

/// Moves what the catalog knows into the past.
#[track_caller]
fn earlier(dir: &Path, hours: i64) {
    let script = "import sqlite3, sys, datetime as d\n\
        db = sqlite3.connect(sys.argv[1])\n\
        for i, t in db.execute('SELECT id, started_at FROM operation').fetchall():\n\
        \x20   t = d.datetime.fromisoformat(t[:19]) - d.timedelta(hours=int(sys.argv[2]))\n\
        \x20   db.execute('UPDATE operation SET started_at = ? WHERE id = ?', (t.isoformat() + 'Z', i))\n\
        db.commit()\n";
    let catalog = dir.join(".repot/catalog.sqlite");
    let _ = run(Command::new("python3").args(["-c", script]).arg(catalog).arg(hours.to_string()), None).ok();
}

#[test]
fn a_backup_that_fails_is_told_by_every_channel_and_its_failing_ones_fail_nothing_else() {
    let (dir, r) = (tempfile::tempdir().unwrap(), receiver());
    let (dir, m) = (dir.path(), mail("starttls", "mail-password"));
    let toml = format!(
        "[alerts.channels.hook]\ntype = \"webhook\"\nurl = \"{}\"\n\
         [alerts.channels.dead-man]\ntype = \"ping\"\nurl = \"{}\"\n\
         [alerts.channels.broken]\ntype = \"webhook\"\nurl = \"{}\"\n\
         [alerts.channels.odd]\ntype = \"ntfy\"\n\
         [alerts.channels.mail]\ntype = \"email\"\nhost = \"localhost\"\nport = {}\nca_file = {:?}\n\
         user = \"repot\"\npassword_env = \"MAIL_PASSWORD\"\nfrom = \"repot@example.org\"\nto = [\"ops@example.org\"]\n",
        r.url("/hook"),
        r.url("/ping"),
        r.url("/refuse"),
        m.server.port,
        m.ca_file().display().to_string(),
    );
    write(dir, "repot.toml", &toml);
    let back_up = || run(command(dir, &["backup"]).env("MAIL_PASSWORD", "mail-password"), None).exits(2);
    let first = back_up().says(&[
        "no Compose file",
        "the alert did not go out by broken: it answered 403",
        "the alert channel odd cannot be used: `topic` is not set",
    ]);
    assert!(!first.stderr.contains("mail-password"), "{first}");
    let _ = back_up();
    let told = bodies(&r, "/hook");
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0]["event"], &told[0]["operation"]), (&"failed".into(), &"backup".into()));
    assert_eq!(told[0]["failure"]["code"], "no-compose-file");
    assert_eq!((&told[0]["failures"], &told[1]["failures"]), (&1.into(), &2.into()));
    assert!(told[1]["since"].as_str() <= told[0]["at"].as_str(), "since the first: {told:?}");
    let paths: Vec<_> = r.received().iter().map(|g| g["path"].clone()).filter(|p| p != "/hook").collect();
    assert_eq!(paths.iter().filter(|p| *p == "/ping/start").count(), 2, "{paths:?}");
    assert_eq!(paths.iter().filter(|p| *p == "/ping/fail").count(), 2, "{paths:?}");
    let mails = m.received();
    let text = mails[1]["message"].as_str().unwrap();
    assert!(text.contains("Subject: [repot]") && text.contains("2 times in a row"), "{text}");
    assert!(text.contains("No good set is known."), "{text}");
    // A test says of each how it went.
    let tried = run(command(dir, &["alerts", "test"]).env("MAIL_PASSWORD", "wrong"), None).exits(1);
    let _ = tried.prints(&[
        "dead-man: sent",
        "hook: sent",
        "broken: not sent: it answered 403",
        "mail: not sent: ops@example.org",
        "odd: not sent",
    ]);
    write(dir, "repot.toml", "[alerts]\nunknown = 1\n");
    let _ = repot(dir, &["backup"]).exits(2).says(&["does not parse"]);
}

#[test]
fn the_agent_catches_up_once_tells_of_failures_and_of_silence_and_stops_when_asked() {
    let (dir, r) = (tempfile::tempdir().unwrap(), receiver());
    let dir = dir.path();
    let toml = format!(
        "backup_dir = \"sets\"\n[alerts]\nsilence_after = \"26h\"\n[alerts.channels.hook]\ntype = \"webhook\"\nurl = \"{}\"\n\
         [schedule]\nverify = \"hourly\"\n[[schedule.job]]\nname = \"list\"\nwhen = \"every 6 hours\"\nargs = [\"backups\"]\n",
        r.url("/hook")
    );
    write(dir, "repot.toml", &toml);
    std::fs::create_dir(dir.join("sets")).unwrap();
    let fresh = repot(dir, &["agent", "--once"]).ok();
    assert!(!fresh.stderr.contains("begins"), "nothing is due that nobody knew of: {fresh}");
    let _ = repot(dir, &["alerts", "check"]).ok();
    earlier(dir, 30);
    // There is no set to check: that one fails, the other runs all the same.
    let once = repot(dir, &["agent", "--once"]).exits(1);
    let once = once.says(&["list: succeeded", "verify: failed", "silence: no backup has succeeded since"]);
    assert_eq!(once.stderr.matches("begins").count(), 2, "{once}");
    let told = bodies(&r, "/hook");
    let events: Vec<_> =
        told.iter().map(|t| (t["event"].as_str().unwrap(), t["operation"].as_str().unwrap())).collect();
    assert_eq!(events, [("failed", "verify"), ("silent", "backup")]);
    assert_eq!(told[0]["failure"]["code"], "no-set", "the command's own words: {told:?}");
    let again = repot(dir, &["agent", "--once"]).ok();
    assert!(!again.stderr.contains("begins"), "{again}");
    let _ = repot(dir, &["alerts", "check"]).exits(1).says(&["no backup has succeeded since"]);
    assert_eq!(bodies(&r, "/hook").len(), 2, "silence is told once a day");
    let _ = repot(dir, &["schedule", "show"]).ok().prints(&[
        "list: every 6 hours",
        "good",
        "failed: there is no",
    ]);
    // By name, as a timer does.
    let _ = repot(dir, &["schedule", "run", "list"]).ok();
    let _ = repot(dir, &["schedule", "run", "other"]).exits(2).says(&["has no entry other"]);
    let log = dir.join("agent.log");
    let out = std::fs::File::create(&log).unwrap();
    let mut agent = command(dir, &["agent"]).stderr(out).spawn().unwrap();
    wait_for("the agent says what is next", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("agent: next: ").then_some(())
    });
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(agent.wait().unwrap().success());
    assert!(std::fs::read_to_string(&log).unwrap().contains("agent: stopped"));
}

#[test]
fn systemd_understands_the_timers_and_only_ours_are_removed() {
    let (dir, units) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = dir.path().join("my $app 100%");
    std::fs::create_dir(&dir).unwrap();
    let unit_dir = units.path().display().to_string();
    let toml = "[alerts]\nsilence_after = \"26h\"\n[schedule]\nbackup = \"daily at 02:30\"\n\
        timezone = \"Europe/Berlin\"\nrandom_delay = \"10m\"\nenvironment_file = \"repot.env\"\n\
        [[schedule.job]]\nname = \"drill\"\nwhen = \"weekly on sunday at 05:00\"\nargs = [\"verify\", \"--level\", \"archive\"]\n";
    write(&dir, "repot.toml", toml);
    write(&dir, "repot.env", "");
    let install = ["schedule", "install", "--unit-dir", &unit_dir];
    let done = repot(&dir, &install).ok().prints(&["-backup.timer", "-drill.timer", "-silence.timer"]);
    let _ = done.says(&["warning: backup: systemd will not run it on"]);
    let mut paths: Vec<_> = std::fs::read_dir(&unit_dir).unwrap().flatten().map(|e| e.path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 6, "{paths:?}");
    let read = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths), None);
    let complaints: Vec<_> = read.stderr.lines().filter(|l| l.contains("repot-")).collect();
    assert_eq!(complaints, Vec::<&str>::new(), "{read}");
    let timer = std::fs::read_to_string(&paths[1]).unwrap();
    let line = timer.lines().find(|l| l.starts_with("OnCalendar=")).unwrap();
    assert_eq!(line, "OnCalendar=*-*-* 02:30:00 Europe/Berlin");
    let _ = run(
        Command::new("systemd-analyze").arg("calendar").arg(line.trim_start_matches("OnCalendar=")),
        None,
    )
    .ok();
    for part in ["Persistent=true", "RandomizedDelaySec=600"] {
        assert!(timer.contains(part), "{timer}");
    }
    let service = std::fs::read_to_string(&paths[0]).unwrap();
    assert!(
        service.contains("my $$app 100%%\"") && service.contains(" schedule run backup -C "),
        "{service}"
    );
    let _ = repot(&dir, &["schedule", "show", "--unit-dir", &unit_dir])
        .ok()
        .prints(&["its timer is installed", "last     never"]);
    // Somebody else's, under a name of ours, and one of another directory.
    write(units.path(), "repot-my--app-100--other.timer", "[Timer]\n");
    write(&dir, "repot.toml", &toml.replace("name = \"drill\"", "name = \"other\""));
    let _ = repot(&dir, &install).exits(3).says(&["is there and not ours"]);
    let _ = repot(&dir, &["schedule", "remove", "--unit-dir", &unit_dir]).ok().prints(&["-silence.timer"]);
    let left: Vec<_> = std::fs::read_dir(&unit_dir).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["repot-my--app-100--other.timer"]);
    write(&dir, "repot.toml", "[schedule]\nbackup = \"0 3 1 * 1\"\n");
    let _ = repot(&dir, &install).exits(2).says(&["cannot be a systemd timer"]);
    write(&dir, "repot.toml", "[[schedule.job]]\nname = \"x\"\nwhen = \"hourly\"\nargs = [\"nonsense\"]\n");
    let _ = repot(&dir, &["agent", "--once"]).exits(2).says(&["are no command of repot"]);
}

#[test]
fn a_backup_that_works_again_names_its_set_and_the_last_good_one() {
    let (s, r) = (stack("mini"), receiver());
    s.up();
    let toml = s.read("repot.toml");
    let alerts = format!(
        "\n[alerts]\non = [\"failure\", \"success\"]\n[alerts.channels.hook]\ntype = \"webhook\"\nurl = \"{}\"\n",
        r.url("/hook")
    );
    s.write("repot.toml", &format!("{toml}{alerts}"));
    let first = s.repot(&["backup", "--json"]).ok().json()["set"].clone();
    let _ = s.repot_failing(&["backup"], "backup::after-file=return(error)").exits(1);
    let third = s.repot(&["backup", "--json"]).ok().json()["set"].clone();
    let told = bodies(&r, "/hook");
    assert_eq!(
        told.iter().map(|t| t["event"].as_str().unwrap()).collect::<Vec<_>>(),
        ["succeeded", "failed", "succeeded"]
    );
    assert_eq!((&told[0]["set"], &told[0]["last_good_set"]), (&first, &Value::Null));
    assert_eq!((&told[1]["set"], &told[1]["last_good_set"]), (&Value::Null, &first));
    assert_eq!((&told[2]["set"], &told[2]["last_good_set"]), (&third, &first));
    assert_eq!(told[2]["since"].as_str(), told[1]["since"].as_str().filter(|s| !s.is_empty()));
    assert_eq!(told[0]["project"].as_str(), Some(s.project()));
}
