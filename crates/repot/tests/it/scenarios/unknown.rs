//! Applications that repot knows nothing of.

use super::*;

fn generic13() -> App {
    let s = stack("generic13");
    s.up();
    App {
        stack: s,
        health: None,
        worker: "app",
        heartbeats: ("shop", "public.heartbeat"),
        data: Data::Volume("dbdata"),
        growing: vec!["public.audit"],
    }
}

#[test]
fn an_unknown_application_goes_from_13_to_18_where_the_mount_moves_and_back() {
    let app = generic13();
    let before = app.before();
    let up = app.upgrade(&["--to", "18"]);
    let text = with(
        &before,
        "compose.yml",
        &[
            ("  db:\n    image: postgres:13", "  db:\n    image: postgres:18"),
            ("- dbdata:/var/lib/postgresql/data", "- dbdata-pg18:/var/lib/postgresql"),
            ("  dbdata:\n", "  dbdata:\n  dbdata-pg18:\n"),
        ],
    );
    app.assert_upgraded(&before, &up, 18, &[("compose.yml", text)]);
    let s = &app.stack;
    assert_eq!(s.psql("postgres", "SHOW data_directory"), "/var/lib/postgresql/18/docker");
    assert_eq!(s.psql("postgres", "SHOW max_connections"), "60");
    // What a comparison of rows does not see.
    let logo =
        "SELECT lo_get(4711) = decode(repeat('00ff', 5000), 'hex'), obj_description(4711, 'pg_largeobject')";
    assert_eq!(s.psql("shop", logo), "t|the company's logo");
    app.roll_back(&before, &up);
    app.clean_up(&before, 18);
}

#[test]
fn a_superuser_of_another_name_and_a_secret_file_go_from_15_to_18_and_back() {
    let s = stack("generic15");
    s.up();
    let app = App {
        stack: s,
        health: None,
        worker: "writer",
        heartbeats: ("ledger", "public.heartbeat"),
        data: Data::Volume("database"),
        growing: vec![],
    };
    let before = app.before();
    let up = app.upgrade(&["--to", "18"]);
    let text = with(
        &before,
        "docker-compose.yaml",
        &[
            ("postgres:${PG_TAG:-15}", "postgres:${PG_TAG:-18}"),
            ("source: database\n", "source: database-pg18\n"),
            ("target: /var/lib/postgresql/data", "target: /var/lib/postgresql"),
            ("  database: {}\n", "  database: {}\n  database-pg18:\n"),
        ],
    );
    app.assert_upgraded(&before, &up, 18, &[("docker-compose.yaml", text)]);
    assert_eq!(app.stack.psql("postgres", "SHOW data_checksums"), "on");
    app.roll_back(&before, &up);
    app.clean_up(&before, 18);
}

#[test]
fn a_password_in_a_secret_file_is_tried_although_the_database_was_down() {
    let s = stack("generic15");
    s.up();
    let point = [("FAILPOINTS", "check-login::before-intent=return(kill)")];
    let _ = s.repot_env(&["upgrade", "--to", "17", "--yes"], &point).was_killed();
    // A power cut: nothing runs.
    let _ = s.compose(&["kill"]).ok();
    let resumed = s.repot(&["resume"]).ok();
    assert!(!format!("{}{}", resumed.stdout, resumed.stderr).contains("not be tried"), "{resumed}");
    let _ = resumed.prints(&["as admin"]);
}

/// The sample files of this repository.
fn sample(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn a_real_inventree_database_and_one_of_everything_go_from_13_to_17_and_back() {
    let app = generic13();
    let s = &app.stack;
    s.psql(
        "postgres",
        "CREATE DATABASE inventree; CREATE DATABASE sink; CREATE DATABASE \"it's \"\"odd\"\"\";",
    );
    let sql = repot_testkit::run(
        std::process::Command::new("gunzip")
            .arg("-c")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/inventree-pg13.sql.gz")),
        None,
    )
    .ok();
    s.psql("inventree", &sql.stdout);
    let sink = String::from_utf8(sample("crates/repot-core/tests/sql/roles.sql")).unwrap();
    s.psql("postgres", &sink);
    let sink = String::from_utf8(sample("crates/repot-core/tests/sql/kitchen-sink.sql")).unwrap();
    // Its superuser is another here; some things stand in the way of an upgrade, and the check says so.
    let sink = sink.replace("FROM postgres;", "FROM shop;");
    let sink: String = sink
        .split_inclusive('\n')
        .filter(|l| !["SUBSCRIPTION", "CONVERSION"].iter().any(|w| l.contains(w)))
        .collect();
    s.psql("sink", &sink);
    s.psql(
        "postgres",
        "SET password_encryption = 'md5'; CREATE ROLE old_login LOGIN PASSWORD 'md5 pass'; \
         SET password_encryption = 'scram-sha-256'; CREATE ROLE new_login LOGIN PASSWORD 'scram pass'; \
         ALTER DATABASE inventree SET DateStyle = 'SQL, DMY'; ALTER DATABASE inventree OWNER TO old_login; \
         ALTER ROLE new_login IN DATABASE inventree SET work_mem = '7MB';",
    );
    s.psql(
        "it's \"odd\"",
        "CREATE TABLE t AS SELECT generate_series(1, 10) AS n; SELECT lo_from_bytea(7, 'seven')",
    );
    let before = app.before();
    assert!(before.content.tables() > 150, "{} tables", before.content.tables());
    let md5 = s.login("old_login", "md5 pass", "inventree", "SELECT 1").status.success();
    let scram = s.login("new_login", "scram pass", "inventree", "SELECT 1").status.success();

    let up = app.upgrade(&["--to", "17"]);
    let text = with(
        &before,
        "compose.yml",
        &[
            ("  db:\n    image: postgres:13", "  db:\n    image: postgres:17"),
            ("- dbdata:/var", "- dbdata-pg17:/var"),
            ("  dbdata:\n", "  dbdata:\n  dbdata-pg17:\n"),
        ],
    );
    app.assert_upgraded(&before, &up, 17, &[("compose.yml", text)]);
    assert_eq!(s.psql("it's \"odd\"", "SELECT convert_from(lo_get(7), 'UTF8')"), "seven");
    assert_eq!(
        s.login("old_login", "md5 pass", "inventree", "SELECT 1").status.success(),
        md5,
        "the md5 login"
    );
    assert_eq!(
        s.login("new_login", "scram pass", "inventree", "SELECT 1").status.success(),
        scram,
        "the scram login"
    );
    app.roll_back(&before, &up);
    app.clean_up(&before, 17);
}
