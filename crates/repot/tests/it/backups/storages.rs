//! Several storages at once, what is kept and what goes, what a drill proves, and restores of a part or elsewhere.

use super::*;

fn sets(s: &Stack, args: &[&str]) -> Vec<serde_json::Value> {
    let json = s.repot(&[&["backups", "--json"], args].concat()).ok().json();
    json["sets"].as_array().unwrap().clone()
}

#[test]
fn a_set_is_on_every_storage_and_old_ones_go_by_rule() {
    let s = mini(13);
    let toml = s.read("repot.toml");
    s.write(
        "repot.toml",
        &format!(
            "{toml}\n[backup]\nstorage = [\"near\", \"far\"]\n[storages.near]\nurl = \"near\"\n\
             [storages.far]\nurl = \"far\"\nrequired = false\n[keep]\nlast = 2\n"
        ),
    );
    let first = back_up(&s, &["--only", "db"]);
    for place in ["near", "far"] {
        assert!(s.dir().join(place).join(&first).join("manifest.json").exists(), "{place}");
    }
    let files = |p: &str| sh(&s.dir().join(p).join(&first), "sha256sum *");
    assert_eq!(files("near"), files("far"));
    // One that is not required may be away; one that is required may not.
    sh(s.dir(), "mv far gone; touch far");
    let ran = s.repot(&["backup", "--only", "db"]).ok().prints(&["the storage far has no copy"]);
    assert!(ran.stdout.contains("is complete"), "{ran}");
    let ran = s.repot(&["backups"]).exits(1).prints(&["far:"]);
    assert!(ran.stdout.contains(&first), "the others are listed: {ran}");
    sh(
        s.dir(),
        "rm far; mv gone far; sed -i 's/required = false/required = true/' repot.toml; mv far gone; touch far",
    );
    let _ = s.repot(&["backup", "--only", "db"]).exits(1);
    sh(s.dir(), "rm far; mv gone far");
    assert_eq!(sets(&s, &["--storage", "near"]).len(), 2, "a set that is not everywhere is nowhere");
    // A damaged copy does not hide the good one.
    let newest = back_up(&s, &["--only", "db"]);
    sh(&s.dir().join("near").join(&newest), "printf x >> manifest.json");
    let _ = s.repot(&["restore", &newest, "--yes", "--dry-run"]).ok().says(&["note:", "is damaged"]);
    let _ = s.repot(&["verify", &newest]).exits(4);
    let _ = s.repot(&["verify", &newest, "--storage", "far"]).ok();
    sh(&s.dir().join("near").join(&newest), "truncate -s -1 manifest.json");
    // Somebody else's set, and something that is no set.
    sh(
        s.dir(),
        "cp -a near/*[0-9a-f] . 2>/dev/null || true; mkdir -p near/other; echo mine > near/other/file",
    );
    let other = newest.replacen(s.project(), "elsewhere", 1);
    let (from, to) = (s.dir().join("near").join(&newest), s.dir().join("near").join(&other));
    sh(
        s.dir(),
        &format!(
            "cp -a {0} {1}; sed -i 's/\"project\": \"{2}\"/\"project\": \"elsewhere\"/' {1}/manifest.json; cd {1}; sha256sum manifest.json > manifest.sha256",
            from.display(),
            to.display(),
            s.project()
        ),
    );
    let last = back_up(&s, &["--only", "db", "--label", "by hand"]);
    let dry = s.repot(&["prune", "--dry-run"]).ok().prints(&[
        "would delete",
        "last 1 of 2",
        "sets of other projects or places",
    ]);
    assert!(!dry.stdout.contains("deleted "), "{dry}");
    let all = sets(&s, &["--storage", "near"]);
    assert_eq!(all.len(), 5, "a dry run deletes nothing: {all:?}");
    // Killed anywhere, what is left is whole or incomplete, and the next run goes on.
    for place in ["before-set", "after-set"] {
        let _ = s.repot_failing(&["prune"], &format!("prune::{place}=return(kill)")).was_killed();
        let complete = sets(&s, &["--storage", "near"]);
        assert!(complete.iter().all(|x| x["state"] == "complete"), "{complete:?}");
    }
    let _ = s.repot(&["prune"]).ok().prints(&["deleted", "keep"]);
    for place in ["near", "far"] {
        let left: Vec<String> = sets(&s, &["--storage", place])
            .iter()
            .map(|x| x["set"].as_str().unwrap().to_owned())
            .filter(|x| *x != other)
            .collect();
        assert_eq!(left, [newest.clone(), last.clone()], "{place}");
    }
    assert_eq!(s.read("near/other/file"), "mine\n");
    assert!(to.join("manifest.json").exists(), "somebody else's set is left alone");
    // After a backup, in one go.
    let ran = s.repot(&["backup", "--only", "db", "--clean"]).ok().prints(&["deleted        1 older sets"]);
    assert!(!ran.stdout.contains(&newest), "{ran}");
    let _ = back_up(&s, &["--only", "db"]);
    let _ = s.repot_failing(&["prune", "--storage", "near"], "prune::in-set=return(kill)").was_killed();
    let cut: Vec<_> =
        sets(&s, &["--storage", "near"]).into_iter().filter(|x| x["state"] != "complete").collect();
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert_eq!(cut[0]["state"], "incomplete");
    let cut = cut[0]["set"].as_str().unwrap();
    let _ = s.repot(&["restore", cut, "--yes", "--storage", "near"]).exits(3);
    let _ = s.repot(&["prune"]).ok().prints(&["it may be being written"]);
    // Without rules nothing goes.
    sh(s.dir(), "sed -i 's/^last = 2/last = 0/' repot.toml");
    let _ = s.repot(&["prune"]).ok().says(&["no rules"]);
    assert!(sets(&s, &["--storage", "far"]).len() >= 2);
}

#[test]
fn a_drill_finds_what_checksums_cannot() {
    let s = mini(17);
    let set = back_up(&s, &[]);
    let _ = s.repot(&["verify", "--level", "restore"]).ok().prints(&["good (restore"]);
    let _ = s.repot(&["backups"]).ok().prints(&["restore good "]);
    // What is due: the newest, here also the only one.
    let due = s.repot(&["verify", "due", "--every", "30d", "--json"]).ok().json();
    assert_eq!((due["sets"].as_array().unwrap().len(), &due["sets"][0]["level"]), (1, &"restore".into()));
    // A set whose rows are not those that were there when it was made: every checksum is right.
    sh(
        &set_dir(&s, &set),
        "sed -i 's/\"rows\": 500/\"rows\": 501/' manifest.json; grep -q '\"rows\": 501' manifest.json; sha256sum manifest.json > manifest.sha256",
    );
    let _ = s.repot(&["verify", "--level", "archive"]).ok();
    let _ = s.repot(&["verify", "--level", "restore"]).exits(4).prints(&["damaged", "app.dump", "item"]);
    let _ = s.repot(&["backups"]).ok().prints(&["DAMAGED, found"]);
    // Nothing of it is left, also after a kill.
    let _ = s.repot_failing(&["verify", "--level", "restore"], "verify::restored=return(kill)").was_killed();
    wait_for("the throw-away server is gone", || {
        sh(s.dir(), "docker ps -aq --filter label=repot.role=drill --filter name=repot-verify")
            .is_empty()
            .then_some(())
    });
    only_the_application(&s);
}

#[test]
fn single_tables_and_other_servers() {
    let s = mini(13);
    let _ = s.psql("app", "CREATE SCHEMA side; CREATE TABLE side.note AS SELECT 1 AS n, 'x' AS t");
    let before = Content::of(&s);
    let set = back_up(&s, &[]);
    let _ = s.psql("app", "UPDATE item SET name = 'wrong'; DELETE FROM side.note");
    let ran = s.repot(&["restore", "--yes", "--table", "item", "--json"]).ok().json();
    let part = ran["plan"]["databases"][0]["aside"].as_str().unwrap().to_owned();
    assert_eq!(s.psql(&part, "SELECT count(*), count(DISTINCT name) FROM item"), "500|500");
    assert_eq!(s.psql(&part, "SELECT count(*) FROM side.note"), "0", "only the rows that were asked for");
    assert_eq!(s.psql("app", "SELECT count(DISTINCT name) FROM item"), "1", "the live one is untouched");
    let ran = s.repot(&["restore", "--yes", "--schema", "side", "--json"]).ok().json();
    let part = ran["plan"]["databases"][0]["aside"].as_str().unwrap().to_owned();
    assert_eq!(s.psql(&part, "SELECT t FROM side.note"), "x");
    let _ = s.repot(&["restore", "--yes", "--table", "no_such"]).exits(2).says(&["no_such"]);
    // Into another server, which has neither the databases nor the roles.
    let other = mini(13);
    let _ = other.psql("postgres", "DROP DATABASE app WITH (FORCE)");
    let address = sh(
        s.dir(),
        &format!(
            "docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' {}",
            other.db_container()
        ),
    );
    let password = other.read(".env");
    let password = password
        .lines()
        .find_map(|l| l.strip_prefix("BOSS_PASSWORD="))
        .unwrap()
        .trim_matches('\'')
        .to_owned();
    let url = format!("postgresql://boss@{}/postgres", address.trim());
    let _ = s
        .repot_env(&["restore", &set, "--yes", "--only", "db", "--to", &url], &[("PGPASSWORD", &password)])
        .ok()
        .prints(&["database app, which was not there"]);
    before.assert_still(&other, &GROWING, "in the other server");
}
