//! Compose files and data that do not fit together.

use super::*;

#[test]
fn a_stack_whose_tag_was_bumped_too_early_is_upgraded_from_its_real_version() {
    let s = stack("bumped");
    let old = ["-f", "docker-compose.yml", "-f", "as-it-was.yml"];
    let as_it_was = |args: &[&str]| s.compose(&[&old, args].concat()).ok();
    let _ = as_it_was(&["up", "-d", "--wait", "db"]);
    s.wait_database();
    s.psql(
        "shop",
        "CREATE TABLE heartbeat (id bigserial PRIMARY KEY, worker text, at timestamptz DEFAULT now())",
    );
    s.psql(
        "shop",
        "CREATE TABLE thing AS SELECT g AS id, 'thing ' || g AS name FROM generate_series(1, 1000) g",
    );
    let _ = as_it_was(&["up", "-d", "app"]);
    wait_for("the writer writes", || (confirmed(&s, "app").len() > 3).then_some(()));
    let content = Content::of(&s);
    let _ = as_it_was(&["stop"]);
    // The mistake.
    let _ = s.compose(&["up", "-d"]);
    wait_for("the database fails to start", || {
        s.compose(&["logs", "db"])
            .stdout
            .contains("database files are incompatible with server")
            .then_some(())
    });
    let files = s.files();
    let at_rest = s.sums_of_volume("db");

    let _ = s.repot(&["check", "--to", "17"]).ok().prints(&["13", "17"]);
    let up = s
        .repot(&["upgrade", "--to", "17", "--yes"])
        .ok()
        .prints(&["moved from PostgreSQL 13 to 17", "are equal"]);
    assert_eq!(s.major(), 17, "{up}");
    content.assert_still(&s, &GROWING, "after the upgrade");
    let text = files[Path::new("docker-compose.yml")]
        .text
        .replacen("- db:/var", "- db-pg17:/var", 1)
        .replacen("volumes:\n  db:\n", "volumes:\n  db:\n  db-pg17:\n", 1);
    assert_eq!(s.read("docker-compose.yml"), text);
    let rows = || s.psql("shop", "SELECT count(*) FROM heartbeat").parse::<u64>().unwrap();
    let n = rows();
    wait_for("the writer writes again", || (rows() > n + 1).then_some(()));

    // Back to where it was, broken as it was; the old data as good as before.
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).ok();
    assert_eq!(s.files(), files);
    let back = s.compose(&["stop"]);
    let now = s.sums_of_volume("db");
    assert_eq!(now.line("./PG_VERSION"), at_rest.line("./PG_VERSION"), "{back}");
    let _ = as_it_was(&["up", "-d", "--wait", "db"]);
    s.wait_database();
    content.assert_still(&s, &GROWING, "on the old server, started by hand");
}

#[test]
fn data_that_is_newer_than_the_target_is_refused_and_nothing_is_touched() {
    let s = stack("downgrade");
    let old = ["-f", "compose.yaml", "-f", "as-it-was.yaml"];
    let as_it_was = |args: &[&str]| s.compose(&[&old, args].concat()).ok();
    let _ = as_it_was(&["up", "-d", "--wait", "postgres"]);
    s.wait_database();
    s.psql(
        "ente_db",
        "CREATE TABLE heartbeat (id bigserial PRIMARY KEY, worker text, at timestamptz DEFAULT now())",
    );
    let _ = as_it_was(&["stop"]);
    let _ = s.compose(&["up", "-d"]);
    wait_for("the database fails to start", || {
        s.compose(&["logs", "postgres"])
            .stdout
            .contains("database files are incompatible with server")
            .then_some(())
    });
    let _ = s.compose(&["stop"]).ok();
    let (files, at_rest, containers) = (s.files(), s.sums_of_volume("postgres-data"), s.containers());
    for args in [
        ["check", "--to", "15"].as_slice(),
        &["upgrade", "--to", "15", "--yes"],
        &["upgrade", "--to", "15", "--dry-run"],
    ] {
        let ran = s.repot(args).exits(3);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("16") && said.contains("15"), "{ran}");
    }
    assert_eq!(s.files(), files);
    assert_eq!(s.containers(), containers);
    at_rest.assert_same(&s.sums_of_volume("postgres-data"), "the data");
}

#[test]
fn access_rules_under_another_name_come_along_to_their_usual_place() {
    let s = stack("mini");
    s.up();
    let data = "/var/lib/postgresql/data";
    let script = format!(
        "cp -p {data}/pg_hba.conf {data}/own_hba.conf && sed -i '1i host all nobody 10.9.8.7/32 reject' {data}/own_hba.conf"
    );
    let _ = s.exec("db", &["sh", "-ec", &script]).ok();
    s.psql("app", &format!("ALTER SYSTEM SET hba_file = '{data}/own_hba.conf'"));
    let _ = s.compose(&["restart", "db"]).ok();
    s.wait_database();
    let rules =
        "SELECT count(*) FROM pg_hba_file_rules WHERE user_name = '{nobody}' AND auth_method = 'reject'";
    assert_eq!(s.psql("app", rules), "1");
    let _ = s.repot(&["check", "--to", "17"]).ok().prints(&["own_hba.conf"]);
    let _ = s.repot(&["upgrade", "--to", "17", "--yes"]).ok();
    assert_eq!(s.psql("app", rules), "1", "the rules are those of before");
    assert_eq!(s.psql("app", "SHOW hba_file"), format!("{data}/pg_hba.conf"));
}
