//! Backup sets of a running application: made, listed, checked, lost and restored, with repot and by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use repot_testkit::{Content, Stack, wait_for};

use crate::{GROWING, stack};

mod disks;
mod media;
mod rounds;
mod signing;
mod storages;

/// The mini stack on a version of PostgreSQL.
fn mini(major: u32) -> Stack {
    let s = stack("mini");
    if major != 13 {
        s.edit("compose.yaml", "image: postgres:13 # the old one", &format!("image: postgres:{major}"));
    }
    s.up();
    s
}

fn set_dir(s: &Stack, set: &str) -> PathBuf {
    s.dir().join(".repot/backups").join(set)
}

/// Makes a set and gives its name.
#[track_caller]
fn back_up(s: &Stack, args: &[&str]) -> String {
    let all = [&["backup", "--json"], args].concat();
    s.repot(&all).ok().json()["set"].as_str().unwrap().to_owned()
}

#[track_caller]
fn sh(dir: &Path, script: &str) -> String {
    let out =
        Command::new("bash").arg("-c").arg(format!("set -euo pipefail; {script}")).current_dir(dir).output();
    let out = out.unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn lose(s: &Stack) {
    let _ = s.psql("app", "DROP TABLE item CASCADE; TRUNCATE beat");
}

/// Nothing of repot's own runs any more, and the application is well.
fn only_the_application(s: &Stack) {
    wait_for("the helpers are gone and the application is well", || {
        let all = s.containers();
        all.iter().all(|c| !c.service.is_empty() && c.health == "healthy").then_some(())
    });
    assert!(s.containers().iter().all(|c| c.restart == "unless-stopped"), "{:?}", s.containers());
}

/// The manifest's own words for a database, carried out in the database's container, into a database of another name.
#[track_caller]
fn by_hand(s: &Stack, set: &str, key: &str) {
    let dir = set_dir(s, set);
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let entry = files.iter().find(|f| f["database"] == "app").unwrap();
    let words = entry["restore"].as_str().unwrap();
    assert!(words.contains("pg_restore --create --exit-on-error -d postgres"), "{words}");
    // The live one has the name; its owner is there.
    let words = words
        .replace("KEY_FILE", key)
        .replace("--create --exit-on-error -d postgres", "--exit-on-error -d hand");
    let words =
        words.replace("pg_restore", &format!("docker exec -i {} pg_restore -U boss", s.db_container()));
    let _ = s.psql("postgres", "DROP DATABASE IF EXISTS hand");
    let _ = s.psql("postgres", "CREATE DATABASE hand OWNER clerk TEMPLATE template0");
    let _ = sh(&dir, &words);
    assert_eq!(s.psql("hand", "SELECT count(*) FROM item"), "500", "{words}");
    let _ = sh(
        &dir,
        r#"jq -r '.files[] | "\(.sha256)  \(.name)"' manifest.json | sha256sum --check --quiet; sha256sum --check --quiet manifest.sha256"#,
    );
    let _ = s.psql("postgres", "DROP DATABASE hand");
}

#[test]
fn what_was_lost_comes_back_from_a_set_made_while_the_application_ran() {
    let s = mini(13);
    let before = Content::of(&s);
    let set = back_up(&s, &["--label", "before the loss"]);
    let listed =
        s.repot(&["backups"]).ok().prints(&[&set, "app, postgres, template1", "label before the loss"]);
    assert_eq!(listed.stdout.lines().count(), 1);
    let _ = s.repot(&["listbackups", "--encrypted"]).ok().prints(&["No backup sets"]);
    let _ = s.repot(&["verify"]).ok().prints(&["good (archive"]);
    by_hand(&s, &set, "");
    lose(&s);
    let _ = s.psql("postgres", "CREATE ROLE passer_by");
    let dry = s.repot(&["restore", "--dry-run"]).ok().prints(&["To restore from", "database app"]);
    assert!(!dry.stdout.contains("Restored"), "{dry}");
    assert_eq!(s.psql("app", "SELECT to_regclass('item') IS NULL"), "t", "a dry run changes nothing");
    let _ = s.repot(&["restore", "--yes"]).ok().prints(&["Restored from", "what was live is kept as"]);
    before.assert_still(&s, &GROWING, "after the restore");
    only_the_application(&s);
    let aside = s.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'app%repot%'");
    assert_eq!(aside, "1", "what was live is kept");
    // The sequence goes on behind the rows of the snapshot.
    let rows = |s: &Stack| s.psql("app", "SELECT count(*) FROM beat").parse::<u64>().unwrap();
    let n = rows(&s);
    wait_for("the application writes", || (rows(&s) > n).then_some(()));
    let restored = s.dir().join(".repot/restored").join(&set);
    assert_eq!(std::fs::read(restored.join(".env")).unwrap(), std::fs::read(s.dir().join(".env")).unwrap());
    // What was set aside is not the application's.
    let next = back_up(&s, &["--compress", "none", "--only", "db"]);
    let next = s.repot(&["backups", "--json"]).ok().json()["sets"]
        .as_array()
        .unwrap()
        .iter()
        .find(|x| x["set"] == next.as_str())
        .unwrap()
        .clone();
    assert_eq!(next["databases"], serde_json::json!(["app", "postgres", "template1"]));
}

#[test]
fn every_form_of_a_set_is_restored_with_repot_and_by_hand_on_17() {
    let s = mini(17);
    let before = Content::of(&s);
    let recipient = sh(s.dir(), "age-keygen -o key.txt 2>/dev/null; age-keygen -y key.txt").trim().to_owned();
    let toml = s.read("repot.toml");
    s.write("repot.toml", &format!("{toml}\n[backup]\nage_recipients = [\"{recipient}\"]\n"));
    let key = s.dir().join("key.txt").display().to_string();
    let forms: [&[&str]; 4] = [
        &["--compress", "gzip"],
        &["--compress", "none"],
        &["--compress", "gzip", "--encrypt"],
        &["--encrypt"],
    ];
    let mut newest = String::new();
    for form in forms {
        newest = back_up(&s, form);
        by_hand(&s, &newest, &key);
    }
    assert_eq!(
        s.repot(&["backups", "--encrypted", "--json"]).ok().json()["sets"].as_array().unwrap().len(),
        2
    );
    assert_eq!(
        s.repot(&["backups", "--not-compressed", "--json"]).ok().json()["sets"].as_array().unwrap().len(),
        1
    );
    let _ = s.repot(&["verify", "all", "--identity", &key]).ok();
    lose(&s);
    let _ = s.repot(&["restore", "--yes"]).exits(2).says(&["no key or passphrase", "--identity"]);
    assert_eq!(s.psql("app", "SELECT to_regclass('item') IS NULL"), "t", "nothing was touched");
    // A role that went with the server is made again, with its password.
    let _ = s.psql("app", "DROP OWNED BY reader; DROP ROLE reader");
    let _ = s
        .repot(&["restore", &newest, "--yes", "--identity", &key])
        .ok()
        .prints(&["roles that were missing: reader"]);
    before.assert_still(&s, &GROWING, "after the restore of an encrypted set");
    assert_eq!(s.psql("postgres", "SELECT pg_has_role('clerk', 'reader', 'member')"), "t");
    only_the_application(&s);
}

#[test]
fn every_damage_of_every_file_is_found_and_named() {
    let s = mini(13);
    let recipient = sh(s.dir(), "age-keygen -o key.txt 2>/dev/null; age-keygen -y key.txt").trim().to_owned();
    let toml = s.read("repot.toml");
    s.write(
        "repot.toml",
        &format!("{toml}\n[backup]\nage_recipients = [\"{recipient}\"]\nage_identities = [\"key.txt\"]\n"),
    );
    let forms: [&[&str]; 3] = [&["--compress", "none"], &["--compress", "gzip"], &["--encrypt"]];
    let (mut damages, mut found) = (0, 0);
    // Named, so that nobody asks the application for its own each time.
    let storage = s.dir().join(".repot/backups").display().to_string();
    for form in forms {
        let set = back_up(&s, form);
        let dir = set_dir(&s, &set);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.path()).collect();
        files.sort();
        assert_eq!(files.len(), 7, "{files:?}");
        for file in files {
            let good = std::fs::read(&file).unwrap();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            for at in [0, good.len() / 2, good.len() - 1] {
                for cut in [false, true] {
                    let mut bad = good.clone();
                    if cut {
                        bad.truncate(at);
                    } else {
                        bad[at] ^= 0x20;
                    }
                    std::fs::write(&file, &bad).unwrap();
                    for level in ["files", "archive"] {
                        damages += 1;
                        let ran =
                            s.repot(&["verify", &set, "--level", level, "--storage", &storage]).exits(4);
                        // A damaged checksum of the manifest is told of the manifest.
                        let told = name.trim_end_matches(".sha256").trim_end_matches(".json");
                        found += usize::from(format!("{}{}", ran.stdout, ran.stderr).contains(told));
                    }
                }
            }
            std::fs::write(&file, &good).unwrap();
        }
        let _ = s.repot(&["verify", &set]).ok();
    }
    println!("{found} of {damages} damages found and named");
    assert_eq!(found, damages);
    // A damaged set is not restored, and nothing is touched.
    let set = back_up(&s, &["--compress", "none"]);
    let file = set_dir(&s, &set).join("app.dump");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let _ = s.repot(&["restore", &set, "--yes"]).exits(4).says(&[
        "app.dump: its",
        "checksum differs",
        "nothing was touched",
    ]);
    assert_eq!(s.psql("app", "SELECT count(*) FROM item"), "500");
}

#[test]
fn a_set_that_was_cut_off_never_counts_and_a_restore_that_was_cut_off_starts_again() {
    let s = mini(13);
    let before = Content::of(&s);
    for place in ["in-file", "after-file", "before-manifest"] {
        let _ = s.repot_failing(&["backup"], &format!("backup::{place}=return(kill)")).was_killed();
    }
    let sets = s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().clone();
    assert_eq!(sets.len(), 3, "{sets:?}");
    assert!(sets.iter().all(|x| x["state"] == "incomplete"), "{sets:?}");
    let cut = sets[0]["set"].as_str().unwrap();
    let _ = s.repot(&["backups"]).ok().prints(&["incomplete"]);
    let _ = s.repot(&["restore", "--yes"]).exits(2).says(&["no complete backup set"]);
    let _ = s.repot(&["restore", cut, "--yes"]).exits(3).says(&["not a complete backup set"]);
    let _ = s.repot(&["verify", "all"]).exits(2);
    // One that fails leaves nothing.
    let _ = s.repot_failing(&["backup"], "backup::after-file=return(error)").exits(1);
    assert_eq!(s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().len(), 3);
    only_the_application(&s);
    let _ = back_up(&s, &[]);
    lose(&s);
    for place in ["after-database", "before-names"] {
        let _ =
            s.repot_failing(&["restore", "--yes"], &format!("restore::{place}=return(kill)")).was_killed();
        assert_eq!(
            s.psql("app", "SELECT to_regclass('item') IS NULL"),
            "t",
            "{place}: the live one is untouched"
        );
    }
    let _ = s.repot(&["restore", "--yes"]).ok();
    before.assert_still(&s, &GROWING, "after the restore");
    let fresh = s.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%fresh%'");
    assert_eq!(fresh, "0", "what was being restored when it was cut off is gone");
    only_the_application(&s);
}

#[test]
fn a_restore_that_is_asked_to_stop_while_names_change_comes_to_its_end() {
    let s = mini(13);
    let before = Content::of(&s);
    let _ = back_up(&s, &[]);
    lose(&s);
    let ran = s.repot_failing(&["restore", "--yes"], "restore::in-names=return(interrupt)");
    before.assert_still(&s, &GROWING, &format!("{ran}"));
    only_the_application(&s);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.status.success() || said.contains("the restore is done and compared"), "{ran}");
}
