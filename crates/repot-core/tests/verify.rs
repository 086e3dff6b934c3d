//! Fingerprints of real servers: equal after a dump and restore across majors, different after any one change.

#[path = "verify/changes.rs"]
mod changes;
#[path = "verify/servers.rs"]
mod servers;

use repot_core::engine::postgres::session::Connector;
use repot_core::verify::{
    ClusterFingerprint, Comparison, Method, TakeOptions, compare, compare_databases, take,
};
use servers::Server;

const ROLES: &str = include_str!("sql/roles.sql");
const SINK: &str = include_str!("sql/kitchen-sink.sql");

const SINCE_15: &str = include_str!("sql/since-15.sql");
const SINCE_18: &str = include_str!("sql/since-18.sql");

/// A server with the kitchen sink in a database of its own, with settings and privileges.
fn sink(major: u32) -> Server {
    let server = Server::start(major);
    server.psql("postgres", ROLES.as_bytes());
    server.psql(
        "postgres",
        b"CREATE DATABASE sink OWNER ks_owner CONNECTION LIMIT 50;
          ALTER DATABASE sink SET work_mem = '5MB';
          ALTER ROLE ks_reader IN DATABASE sink SET search_path = app;
          REVOKE CONNECT ON DATABASE sink FROM PUBLIC; GRANT CONNECT ON DATABASE sink TO ks_reader;
          COMMENT ON DATABASE sink IS 'everything';",
    );
    server.psql("sink", SINK.as_bytes());
    server
}

#[track_caller]
fn assert_same(old: &ClusterFingerprint, new: &ClusterFingerprint) -> Comparison {
    let c = compare(old, new);
    let (a, b) = (old.server_version_num, new.server_version_num);
    assert!(c.same(), "{a} and {b} differ:\n{}", c.summary(40));
    c
}

#[test]
fn the_kitchen_sink_is_the_same_after_13_to_later_majors() {
    let old = sink(13);
    let before = old.fingerprint(&["sink"]);
    for major in [15, 17, 18] {
        let new = Server::start(major);
        old.move_to(&new, "sink", major);
        let c = assert_same(&before, &new.fingerprint(&["sink"]));
        assert!(c.tables >= 27 && c.objects > 190 && c.rows > 700, "{c:?}");
    }
    let after = old.fingerprint(&["sink"]);
    assert_same(&before, &after);
    assert_eq!(
        before.databases["sink"], after.databases["sink"],
        "reading changes nothing, and twice is the same"
    );
    let json = serde_json::to_string(&before).expect("serialises");
    let back: ClusterFingerprint = serde_json::from_str(&json).expect("reads back");
    assert_eq!(back, before);
    for secret in ["owner-secret", "second-secret", "mapping-secret", "subscription-secret", "SCRAM-SHA-256"]
    {
        assert!(!json.contains(secret), "{secret} is in the fingerprint");
    }
}

#[test]
fn the_kitchen_sink_is_the_same_between_other_majors() {
    for (from, to, client) in [(12, 13, 13), (12, 17, 17), (15, 18, 15), (17, 18, 17)] {
        let old = sink(from);
        let new = Server::start(to);
        old.move_to(&new, "sink", client);
        assert_same(&old.fingerprint(&["sink"]), &new.fingerprint(&["sink"]));
    }
}

#[test]
fn inventree_is_the_same_after_13_to_later_majors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/inventree-pg13.sql.gz");
    let sql = servers::gunzip(path);
    let owners: std::collections::BTreeSet<String> = String::from_utf8_lossy(&sql)
        .lines()
        .filter_map(|l| Some(l.split_once(" OWNER TO ")?.1.trim_end_matches(';').to_owned()))
        .filter(|owner| owner != "postgres")
        .collect();
    let load = |major| {
        let server = Server::start(major);
        for owner in &owners {
            server.psql("postgres", format!("CREATE ROLE {owner} LOGIN").as_bytes());
        }
        server.psql("postgres", b"CREATE DATABASE inventree");
        server.psql("inventree", &sql);
        server
    };
    let old = load(13);
    let before = old.fingerprint(&["inventree"]);
    for major in [15, 17, 18] {
        let new = Server::start(major);
        old.move_to(&new, "inventree", major);
        let c = assert_same(&before, &new.fingerprint(&["inventree"]));
        assert!(c.tables > 80, "{} tables", c.tables);
    }
    // The sample itself is what pg_dump 13 wrote; the image of 16 has no pg_restore.
    let c = compare(&before, &load(16).fingerprint(&["inventree"]));
    // Before 15 everybody could create tables in `public`; a dump that older programs wrote does not say so, and
    // a server of 15 or later does not grant it by itself.
    let found: Vec<_> = c.differences.iter().map(|d| (d.object.as_str(), d.old.as_deref())).collect();
    assert_eq!(found, [("schema public", Some("grant: PUBLIC CREATE,USAGE"))], "{}", c.summary(20));
}

#[test]
fn every_single_change_is_found_and_named() {
    let old = sink(13);
    // One subscription belongs to one database; a copy of the database has none.
    old.psql("sink", b"ALTER SUBSCRIPTION ks_sub SET (slot_name = NONE); DROP SUBSCRIPTION ks_sub");
    // Tables without a key cannot be updated while they are published.
    old.psql("sink", b"DROP PUBLICATION ks_all");
    let new = Server::start(17);
    old.move_to(&new, "sink", 17);
    let before = old.fingerprint(&["sink"]);
    assert_same(&before, &new.fingerprint(&["sink"]));

    // A change inside a database is made in a copy, whose properties as a database are not the original's.
    let copy = |change: &str| {
        new.psql("postgres", b"DROP DATABASE IF EXISTS copy; CREATE DATABASE copy TEMPLATE sink");
        new.attempt("copy", change.as_bytes())?;
        let f = new.fingerprint(&["copy"]);
        let c = compare_databases(
            (&before.databases["sink"], before.server_version_num),
            (&f.databases["copy"], f.server_version_num),
        );
        Ok::<_, String>(c.differences.into_iter().filter(|d| d.object != "database").collect::<Vec<_>>())
    };
    assert_eq!(copy("SELECT 1"), Ok(vec![]));
    let mut wrong = Vec::new();
    for (change, object) in changes::IN_A_DATABASE {
        let found = match copy(change) {
            Ok(found) => found,
            Err(e) => {
                wrong.push(format!("{change}\n  {e}"));
                continue;
            }
        };
        let named: Vec<&str> = found.iter().map(|d| d.object.as_str()).collect();
        if named.join(" + ") != *object || !found.iter().all(|d| d.message.contains(&d.object)) {
            let found: Vec<_> = found.iter().map(|d| &d.message).collect();
            wrong.push(format!("{change}\n  expected {object}, found {found:#?}"));
        }
    }
    for (change, undo, object) in changes::IN_THE_CLUSTER {
        new.psql("postgres", change.as_bytes());
        let found = compare(&before, &new.fingerprint(&["sink"])).differences;
        new.psql("postgres", undo.as_bytes());
        if found.len() != 1 || found[0].object != *object {
            let found: Vec<_> = found.iter().map(|d| &d.message).collect();
            wrong.push(format!("{change}\n  expected {object}, found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} changes are not told well:\n{}", wrong.len(), wrong.join("\n"));
    assert_same(&before, &new.fingerprint(&["sink"]));
}

#[test]
fn who_may_not_read_a_table_is_told_which() {
    let server = sink(17);
    server.psql(
        "postgres",
        b"ALTER ROLE ks_reader LOGIN; CREATE ROLE nobody LOGIN; GRANT CONNECT ON DATABASE sink TO nobody",
    );
    let opts = TakeOptions { databases: Some(vec!["sink".into()]), ..TakeOptions::default() };
    let e = take(&server.connector("nobody"), &opts, &|_| {}).expect_err("may not read");
    assert!(e.to_string().contains("app."), "{e}");
    assert_eq!(e.code, "not-allowed");
    // Its own database can be read by a role that is nothing but its owner.
    server.psql("postgres", b"CREATE ROLE plain LOGIN; CREATE DATABASE own OWNER plain");
    server.psql("own", b"SET ROLE plain; CREATE TABLE t AS SELECT 1 AS a; CREATE SEQUENCE s");
    let opts = TakeOptions { databases: Some(vec!["own".into()]), ..TakeOptions::default() };
    let f = take(&server.connector("plain"), &opts, &|_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(f.databases["own"].tables.len(), 1);
    let e = take(&server.connector("plain"), &TakeOptions { cluster: true, ..opts }, &|_| {})
        .expect_err("no superuser");
    assert!(e.to_string().contains("roles"), "{e}");
}

#[test]
fn a_snapshot_is_read_as_it_was() {
    let server = Server::start(17);
    server.psql("postgres", b"CREATE TABLE t AS SELECT i FROM generate_series(1, 100) AS i");
    let before = server.fingerprint(&["postgres"]);
    let holder = server.connector("postgres").connect("postgres").expect("connects");
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").expect("begins");
    let id = holder.scalar("SELECT pg_export_snapshot()").expect("exports");
    server.psql("postgres", b"UPDATE t SET i = -i WHERE i = 7; INSERT INTO t VALUES (101)");
    let opts = TakeOptions {
        databases: Some(vec!["postgres".into()]),
        snapshots: [("postgres".to_owned(), id)].into(),
        ..TakeOptions::default()
    };
    let then = take(&server.connector("postgres"), &opts, &|_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(then.databases["postgres"].tables[0].digest, before.databases["postgres"].tables[0].digest);
    assert!(!compare(&before, &server.fingerprint(&["postgres"])).same());
}

#[test]
fn a_row_too_long_for_text_is_read_value_by_value() {
    let server = Server::start(17);
    // 2 x 300 MB of bytes are 1.2 GB of text, more than any value may have.
    server.psql(
        "postgres",
        b"CREATE TABLE big (id int, a bytea, b bytea); ALTER TABLE big ALTER a SET STORAGE EXTENDED;
          INSERT INTO big SELECT 1, z, z FROM (SELECT convert_to(repeat('0123456789', 30000000), 'UTF8') AS z) AS s;
          CREATE TABLE small AS SELECT 1 AS a",
    );
    let before = server.fingerprint(&["postgres"]);
    let methods: Vec<_> =
        before.databases["postgres"].tables.iter().map(|t| (t.name.as_str(), t.rows, t.method)).collect();
    assert_eq!(methods, [("big", 1, Method::Values), ("small", 1, Method::Rows)]);
    server.psql("postgres", b"UPDATE big SET a = set_byte(a, 299999999, 0)");
    let c = compare(&before, &server.fingerprint(&["postgres"]));
    assert_eq!(c.differences.len(), 1, "{}", c.summary(9));
    assert_eq!(c.differences[0].object, "table public.big");
}

#[test]
fn what_only_newer_servers_have_is_the_same_too() {
    for (from, to) in [(15, 17), (17, 18), (18, 18)] {
        let (old, new) = (Server::start(from), Server::start(to));
        old.psql("postgres", b"CREATE ROLE ks_reader; CREATE DATABASE newer");
        old.psql("newer", SINCE_15.as_bytes());
        if from >= 18 {
            old.psql("newer", SINCE_18.as_bytes());
        }
        if from >= 17 {
            old.psql("newer", b"GRANT MAINTAIN ON app.a TO ks_reader");
        }
        old.move_to(&new, "newer", from);
        let before = old.fingerprint(&["newer"]);
        assert_same(&before, &new.fingerprint(&["newer"]));
        let mut changes = vec![
            ("ALTER TABLE app.a ALTER v SET COMPRESSION pglz", "table app.a"),
            ("ALTER VIEW app.v RESET (security_invoker)", "view app.v"),
            (
                "CREATE OR REPLACE FUNCTION app.body(a int) RETURNS int RETURN a + 2",
                "function app.body(a integer)",
            ),
            ("ALTER PUBLICATION pub_some SET TABLE app.a (id, v) WHERE (id > 6)", "publication pub_some"),
            (
                "ALTER PUBLICATION pub_schema DROP TABLES IN SCHEMA other",
                "published schema other in pub_schema",
            ),
            ("ALTER STATISTICS app.st SET STATISTICS 99", "statistics app.st"),
            ("UPDATE app.a SET mr = '{[1,2),[5,7)}'", "table app.a"),
        ];
        if from >= 17 {
            changes.push(("REVOKE MAINTAIN ON app.a FROM ks_reader", "maintain privilege app.a"));
        }
        if from >= 18 {
            changes.push(("ALTER TABLE app.n RENAME CONSTRAINT named TO renamed", "not-null constraint"));
            changes.push(("ALTER TABLE app.n ALTER CONSTRAINT f ENFORCED", "constraint f on app.n"));
            changes.push(("ALTER TABLE app.n ALTER COLUMN v SET EXPRESSION AS (id * 3)", "table app.n"));
        }
        for (change, object) in changes {
            new.psql("postgres", b"DROP DATABASE IF EXISTS copy; CREATE DATABASE copy TEMPLATE newer");
            new.psql("copy", change.as_bytes());
            let f = new.fingerprint(&["copy"]);
            let (a, b) = (before.server_version_num, f.server_version_num);
            let c = compare_databases((&before.databases["newer"], a), (&f.databases["copy"], b));
            let named =
                !c.differences.is_empty() && c.differences.iter().all(|d| d.object.starts_with(object));
            assert!(named, "{a} {change}: {}", c.summary(9));
        }
    }
}

#[test]
fn one_of_many_large_objects_is_found_by_its_last_digits() {
    let server = Server::start(17);
    server.psql(
        "postgres",
        b"SELECT lo_from_bytea(100000 + i, int4send(i)) FROM generate_series(1, 1500) AS i",
    );
    let before = server.fingerprint(&["postgres"]);
    let found = &before.databases["postgres"].large_objects;
    assert_eq!((found.count, found.bytes, found.parts.len()), (1500, 6000, 1000));
    server.psql("postgres", b"SELECT lo_put(101042, 0, '\\x01')");
    let c = compare(&before, &server.fingerprint(&["postgres"]));
    let named: Vec<&str> = c.differences.iter().map(|d| d.object.as_str()).collect();
    assert_eq!(named, ["large objects whose number ends in 042"]);
}

#[test]
fn of_an_extension_only_the_configuration_counts() {
    let server = Server::start(17);
    let dir = "/usr/share/postgresql/17/extension";
    server.write(
        &format!("{dir}/ks_conf.control"),
        "default_version = '1'\nrelocatable = false\nschema = public\n",
    );
    server.write(
        &format!("{dir}/ks_conf--1.sql"),
        "CREATE TABLE conf (id int, mine bool); INSERT INTO conf VALUES (1, false), (2, false);
         SELECT pg_extension_config_dump('conf', 'WHERE mine');
         CREATE TABLE internal (id int); CREATE FUNCTION inner_one() RETURNS int LANGUAGE sql AS 'SELECT 1';",
    );
    server.psql("postgres", b"CREATE EXTENSION ks_conf; INSERT INTO conf VALUES (3, true)");
    let before = server.fingerprint(&["postgres"]);
    assert!(before.databases["postgres"].notes.iter().any(|n| n.contains("public.internal")));
    server.psql("postgres", b"UPDATE conf SET id = 9 WHERE id = 1; INSERT INTO internal VALUES (1)");
    assert_same(&before, &server.fingerprint(&["postgres"]));
    server.psql("postgres", b"UPDATE conf SET id = 4 WHERE id = 3");
    let c = compare(&before, &server.fingerprint(&["postgres"]));
    assert_eq!(c.differences.iter().map(|d| d.object.as_str()).collect::<Vec<_>>(), ["table public.conf"]);
}
