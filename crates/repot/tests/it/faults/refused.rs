//! Refused before anything is touched.

use super::*;

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

#[test]
fn data_on_a_read_only_disk_is_refused() {
    let (s, _disk) = mini_on_disk(1 << 20);
    let before = Before::of(&s);
    // The server that runs still has it writable; whoever comes now has not.
    make_immutable(&s.dir().join("data"));
    let check = s.repot(&["check", "--to", "17"]);
    let upgrade = s.repot(&UPGRADE);
    make_mutable(&s.dir().join("data"));
    let _ = check.exits(3).prints(&["data/pg"]);
    let _ = upgrade.exits(3);
    before.assert_untouched(&s);
}
