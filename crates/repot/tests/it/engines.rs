//! Backups of SQLite and MariaDB: made while the application writes, checked, lost and restored, with repot and by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use repot_testkit::{Stack, wait_for};

use crate::stack;

#[track_caller]
fn sh(dir: &Path, env: &[(&str, &str)], script: &str) -> String {
    let script = format!("set -euo pipefail; {script}");
    let out = Command::new("bash").arg("-c").arg(&script).envs(env.iter().copied()).current_dir(dir).output();
    let out = out.unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

/// Makes a set and gives its name.
#[track_caller]
fn back_up(s: &Stack, args: &[&str]) -> String {
    let all = [&["backup", "--json"], args].concat();
    s.repot(&all).ok().json()["set"].as_str().unwrap().to_owned()
}

fn well(s: &Stack) {
    wait_for("the helpers are gone and the application is well", || {
        let all = s.containers();
        let good = |c: &repot_testkit::Container| {
            !c.service.is_empty()
                && c.restart == "unless-stopped"
                && ["healthy", ""].contains(&c.health.as_str())
        };
        (all.iter().all(good) && all.iter().all(|c| c.state == "running")).then_some(())
    });
}

fn manifest(s: &Stack, set: &str) -> serde_json::Value {
    let path = s.dir().join(".repot/backups").join(set).join("manifest.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

// ---------------------------------------------------------------- SQLite

/// What the application does not write to, as one digest.
#[track_caller]
pub(crate) fn sqlite_content(file: &Path) -> String {
    let program = r#"
import hashlib, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
out = [db.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'beat%' ORDER BY 1, 2").fetchall()]
for table in ("item", "word", "search", "search_data"):
    out.append(sorted(map(repr, db.execute(f"SELECT * FROM {table}"))))
out.append(db.execute("SELECT rowid FROM search WHERE search MATCH 'fox'").fetchall())
print(hashlib.sha256(repr(out).encode()).hexdigest())
"#;
    sh(Path::new("/"), &[("PROGRAM", program)], &format!("python3 -c \"$PROGRAM\" '{}'", file.display()))
}

#[track_caller]
pub(crate) fn sqlite(file: &Path, sql: &str) -> String {
    let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], timeout=60)\n\
                   [print(*r, sep='|') for r in db.execute(sys.argv[2])] if sys.argv[2].startswith('SELECT') else db.executescript(sys.argv[2])";
    let env = [("PROGRAM", program), ("SQL", sql)];
    sh(Path::new("/"), &env, &format!("python3 -c \"$PROGRAM\" '{}' \"$SQL\"", file.display()))
}

pub(crate) const SQLITE_CONTENT: &str = "
CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, body BLOB, size AS (length(body)) STORED);
CREATE TABLE word (k TEXT PRIMARY KEY, v REAL) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5(body);
CREATE INDEX by_name ON item (name);
CREATE VIEW names AS SELECT name FROM item;
CREATE TRIGGER counted AFTER INSERT ON item BEGIN INSERT OR REPLACE INTO word VALUES (ifnull(new.name, '?'), 0.1); END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO item (name, body) SELECT 'item ' || i, randomblob(i % 900) FROM n;
INSERT INTO item (name, body) VALUES (NULL, NULL), ('', x''), (char(128512), x'00ff00');
INSERT INTO search VALUES ('the quick brown fox'), ('a lazy dog');
PRAGMA user_version = 42;";

fn beats(file: &Path) -> u64 {
    sqlite(file, "SELECT count(*) FROM beat").parse().unwrap()
}

#[test]
fn a_sqlite_application_is_backed_up_while_it_writes_and_comes_back() {
    let s = stack("sqlite");
    s.up();
    let live = s.dir().join("data/app.db");
    let _ = sqlite(&live, SQLITE_CONTENT);
    std::fs::create_dir(s.dir().join("data/files")).unwrap();
    std::fs::write(s.dir().join("data/files/photo"), "a photo").unwrap();
    let before = sqlite_content(&live);
    let low = beats(&live);
    let set = back_up(&s, &["--compress", "gzip"]);
    let high = beats(&live);
    assert!(high > low, "it was written to meanwhile");
    let _ = s.repot(&["verify"]).ok().prints(&["good (archive"]);
    let _ = s.repot(&["verify", "--level", "restore"]).ok().prints(&["good (restore"]);
    let _ = s.repot(&["check"]).exits(3).says(&["is a PostgreSQL server"]);
    let _ = s.repot(&["upgrade", "--to", "17", "--yes"]).exits(3).says(&["is a PostgreSQL server"]);

    // The manifest's own words.
    let m = manifest(&s, &set);
    let file = m["files"].as_array().unwrap().iter().find(|f| f["kind"] == "database").unwrap();
    assert_eq!((file["engine"].as_str(), file["database"].as_str()), (Some("sqlite"), Some("app.db")));
    let words = file["restore"].as_str().unwrap().replace("cat > 'app.db'", "cat > '../../../hand.db'");
    let _ = sh(&s.dir().join(".repot/backups").join(&set), &[], &words);
    let hand = s.dir().join("hand.db");
    assert_eq!(sqlite_content(&hand), before);
    let in_set = beats(&hand);
    assert!((low..=high).contains(&in_set), "{low} {in_set} {high}");

    let _ = sqlite(&live, "DELETE FROM item; DROP TRIGGER counted; UPDATE search SET body = 'gone'");
    std::fs::remove_file(s.dir().join("data/files/photo")).unwrap();
    let lost = sqlite_content(&live);
    for place in ["after-database", "before-names"] {
        let _ =
            s.repot_failing(&["restore", "--yes"], &format!("restore::{place}=return(kill)")).was_killed();
        assert_eq!(sqlite_content(&live), lost, "{place}: the live one is untouched");
    }
    // In the middle: there is a file under each name, and the next one carries it through.
    let _ = s.repot_failing(&["restore", "--yes"], "restore::in-place=return(kill)").was_killed();
    assert_eq!(sqlite_content(&live), lost);
    let _ = s.compose(&["up", "-d", "--force-recreate"]).ok();
    let ran = s.repot(&["restore", "--yes"]).ok().prints(&["what was live is kept as", "media files"]);
    assert_eq!(sqlite_content(&live), before, "{ran}");
    assert_eq!(std::fs::read_to_string(s.dir().join("data/files/photo")).unwrap(), "a photo");
    well(&s);
    let n = beats(&live);
    wait_for("the application writes", || (beats(&live) > n).then_some(()));
    let names: Vec<String> = std::fs::read_dir(s.dir().join("data"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|n| n.contains(".fresh-")), "{names:?}");
    let aside: Vec<&String> = names
        .iter()
        .filter(|n| n.starts_with("app.db.repot-") && !n.ends_with("-shm") && !n.ends_with("-wal"))
        .collect();
    assert!(aside.iter().any(|n| sqlite_content(&s.dir().join("data").join(n)) == lost), "{names:?}");
}

#[test]
fn a_sqlite_set_that_is_cut_off_or_damaged_never_counts() {
    let s = stack("sqlite");
    s.up();
    let live = s.dir().join("data/app.db");
    let _ = sqlite(&live, SQLITE_CONTENT);
    let before = sqlite_content(&live);
    for place in ["in-file", "after-file", "before-manifest"] {
        let _ = s.repot_failing(&["backup"], &format!("backup::{place}=return(kill)")).was_killed();
    }
    let sets = s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().clone();
    assert!(sets.len() == 3 && sets.iter().all(|x| x["state"] == "incomplete"), "{sets:?}");
    let set = back_up(&s, &["--compress", "none", "--only", "db"]);
    let file = s.dir().join(".repot/backups").join(&set).join("app.db");
    let good = std::fs::read(&file).unwrap();
    for at in [0, 20, good.len() / 2, good.len() - 1] {
        for cut in [false, true] {
            let mut bad = good.clone();
            if cut {
                bad.truncate(at);
            } else {
                bad[at] ^= 0x20;
            }
            std::fs::write(&file, &bad).unwrap();
            let _ = s.repot(&["verify", &set]).exits(4);
        }
    }
    std::fs::write(&file, &good).unwrap();
    // Beside the application, to a file of its own; and in the place of a damaged one.
    let other = s.dir().join("other.db");
    let url = format!("sqlite://{}", other.display());
    let _ = s.repot(&["restore", &set, "--to", &url, "--yes"]).ok().prints(&["which was not there"]);
    assert_eq!(sqlite_content(&other), before);
    let mut broken = std::fs::read(&other).unwrap();
    broken[4096..40_960].fill(0xaa);
    std::fs::write(&other, broken).unwrap();
    let _ = s.repot(&["backup", &url]).exits(3).says(&["is damaged"]);
    let _ = s.repot(&["restore", &set, "--to", &url, "--yes"]).ok().prints(&["what was live is kept as"]);
    assert_eq!(sqlite_content(&other), before);
}

/// A drill finds a set good, and finds one whose table `item` had another number of rows, though every checksum is right.
#[track_caller]
fn drilled(s: &Stack, set: &str, file: &str, rows: &str) {
    let _ = s.repot(&["verify", "--level", "restore"]).ok().prints(&["good (restore"]);
    let dir = s.dir().join(".repot/backups").join(set);
    let change = format!(
        "cp manifest.json manifest.sha256 ../..; sed -i 's/\"rows\": {rows},/\"rows\": 17,/' manifest.json; \
         grep -q '\"rows\": 17,' manifest.json; sha256sum manifest.json > manifest.sha256"
    );
    let _ = sh(&dir, &[], &change);
    let _ = s.repot(&["verify"]).ok().prints(&["good (archive"]);
    let _ = s.repot(&["verify", "--level", "restore"]).exits(4).prints(&["damaged", file, "differs", "item"]);
    let _ = sh(&dir, &[], "mv ../../manifest.json ../../manifest.sha256 .");
    let _ = s.repot_failing(&["verify", "--level", "restore"], "verify::restored=return(kill)").was_killed();
    wait_for("the throw-away server is gone", || {
        let left = "docker ps -aq --filter label=repot.role=drill --filter name=repot-verify";
        sh(s.dir(), &[], left).is_empty().then_some(())
    });
}

// ---------------------------------------------------------------- MariaDB

pub(crate) const MARIADB_CONTENT: &str = "
CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) CHARACTER SET utf8mb4, old VARCHAR(20) CHARACTER SET latin1,
    body LONGBLOB, day DATE, at DATETIME(6), price DECIMAL(12,4), d DOUBLE, flags BIT(9), place POINT,
    kind ENUM('a','b'), doc JSON, size INT AS (LENGTH(body)) STORED, twice DOUBLE AS (d * 2) VIRTUAL, KEY (name)) AUTO_INCREMENT = 1000;
CREATE TABLE part (id INT PRIMARY KEY, item INT, FOREIGN KEY (item) REFERENCES item (id) ON DELETE CASCADE);
SET sql_mode = '';
INSERT INTO item (name, old, body, day, at, price, d, flags, place, kind, doc) VALUES
    (CONVERT(x'f09f9880' USING utf8mb4), _latin1 x'e4f6', x'00ff0a27225c1a', '0000-00-00', '2026-02-03 04:05:06.123456', 1.5, 0.1, b'101', POINT(1, 2), 'a', '{\"k\": 1}'),
    ('', '', '', NULL, '0000-00-00 00:00:00', 0, -0.0, NULL, NULL, '', NULL),
    (NULL, NULL, NULL, '2026-12-31', NULL, NULL, 1e300, b'0', NULL, 'b', '[]');
INSERT INTO item (name, body, day) SELECT CONCAT('item ', seq), REPEAT(CHAR(seq % 256), seq % 700), '2026-01-01' FROM seq_1_to_3000;
INSERT INTO part SELECT id, id FROM item WHERE id % 7 = 0;
CREATE VIEW dear AS SELECT name, price FROM item WHERE price > 1;
CREATE SEQUENCE ticket START WITH 5;
DO NEXTVAL(ticket);
CREATE PROCEDURE renamed(IN old_name VARCHAR(80)) UPDATE item SET name = 'x' WHERE name = old_name;
CREATE FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
DELIMITER //
CREATE TRIGGER checked BEFORE INSERT ON item FOR EACH ROW BEGIN
  -- Dumping events for database 'none'
  IF NEW.price < 0 THEN SET NEW.price = 0; END IF;
END//
DELIMITER ;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY COMMENT 'at night' DO DELETE FROM beat WHERE at < NOW() - INTERVAL 1 YEAR;
CREATE EVENT eager ON SCHEDULE EVERY 1 SECOND DO UPDATE app.beat SET at = at WHERE id = 1;
";

fn root_password(s: &Stack) -> String {
    let env = s.read(".env");
    env.lines().find_map(|l| l.strip_prefix("ROOT_PASSWORD=")).unwrap().to_owned()
}

#[track_caller]
fn in_db(s: &Stack, program: &str, input: &str) -> String {
    let id = s.compose(&["ps", "-q", "db"]).ok().stdout.trim().to_owned();
    let command = format!("printf '%s' \"$SQL\" | docker exec -i -e MYSQL_PWD {id} {program}");
    sh(s.dir(), &[("MYSQL_PWD", &root_password(s)), ("SQL", input)], &command)
}

#[track_caller]
pub(crate) fn mariadb(s: &Stack, database: &str, sql: &str) -> String {
    in_db(
        s,
        &format!("mariadb --host=127.0.0.1 --user=root --default-character-set=utf8mb4 -BN {database}"),
        sql,
    )
}

/// What the application does not write to, as the dump program has it.
#[track_caller]
pub(crate) fn mariadb_content(s: &Stack, database: &str) -> String {
    in_db(
        s,
        &format!(
            "mariadb-dump --host=127.0.0.1 --user=root --hex-blob --skip-dump-date --skip-comments --routines --events \
             --triggers --ignore-table={database}.beat {database}"
        ),
        "",
    )
}

/// Compares two dumps, and shows the lines that differ rather than all.
#[track_caller]
pub(crate) fn same(now: &str, then: &str, when: &str) {
    let only = |a: &str, b: &str| -> Vec<String> {
        let there: std::collections::BTreeSet<&str> = b.lines().collect();
        a.lines().filter(|l| !there.contains(l)).map(|l| l.chars().take(200).collect()).take(10).collect()
    };
    assert!(now == then, "{when}: now {:#?}, then {:#?}", only(now, then), only(then, now));
}

#[test]
fn a_mariadb_application_is_backed_up_while_it_writes_and_comes_back() {
    let s = stack("mariadb");
    s.up();
    let _ = mariadb(&s, "app", MARIADB_CONTENT);
    let before = mariadb_content(&s, "app");
    let rows = |s: &Stack| mariadb(s, "app", "SELECT COUNT(*) FROM beat").parse::<u64>().unwrap();
    wait_for("the application writes", || (rows(&s) > 100).then_some(()));
    let low = rows(&s);
    let set = back_up(&s, &[]);
    let high = rows(&s);
    assert!(high > low, "it was written to meanwhile");
    let _ = s.repot(&["verify"]).ok().prints(&["good (archive"]);
    let _ = s.repot(&["check"]).exits(3).says(&["is a PostgreSQL server"]);
    let m = manifest(&s, &set);
    assert_eq!(m["server_version_num"].as_u64().unwrap() / 100, 1011);
    drilled(&s, &set, "app.sql", "3003");

    // The manifest's own words, into a database of another name.
    let file = m["files"].as_array().unwrap().iter().find(|f| f["database"] == "app").unwrap();
    assert_eq!(file["engine"], "mariadb");
    let id = s.compose(&["ps", "-q", "db"]).ok().stdout.trim().to_owned();
    let client = format!("docker exec -i -e MYSQL_PWD {id} mariadb --host=127.0.0.1 --user=root");
    let words = file["restore"].as_str().unwrap().replace("mariadb", &client).replace("'app'", "hand");
    let _ = mariadb(&s, "", "CREATE DATABASE hand");
    let password = root_password(&s);
    let _ = sh(&s.dir().join(".repot/backups").join(&set), &[("MYSQL_PWD", &password)], &words);
    assert_eq!(mariadb(&s, "hand", "SELECT COUNT(*) FROM item"), "3003");
    let in_set = mariadb(&s, "hand", "SELECT COUNT(*) FROM beat").parse::<u64>().unwrap();
    assert!((low..=high).contains(&in_set), "{low} {in_set} {high}");
    let _ = mariadb(&s, "", "DROP DATABASE hand");

    let _ = mariadb(
        &s,
        "app",
        "DROP TABLE part; DROP VIEW dear; UPDATE item SET name = NULL WHERE name = ''; DROP TRIGGER checked",
    );
    let lost = mariadb_content(&s, "app");
    assert!(lost != before);
    for place in ["after-database", "before-names", "set-aside"] {
        let _ =
            s.repot_failing(&["restore", "--yes"], &format!("restore::{place}=return(kill)")).was_killed();
        same(&mariadb_content(&s, "app"), &lost, place);
        // The server stays as it is: a restart would forget counters that InnoDB gave out in advance.
        let _ = s.compose(&["up", "-d", "--force-recreate", "--no-deps", "app"]).ok();
        well(&s);
    }
    // A failure after the live one was emptied brings it back.
    let _ = s
        .repot_failing(&["restore", "--yes"], "restore::in-place=return(error)")
        .exits(1)
        .says(&["what was live is in its place again"]);
    same(&mariadb_content(&s, "app"), &lost, "restored");
    well(&s);
    let _ = s.repot(&["restore", "--yes"]).ok().prints(&["what was live is kept as"]);
    same(&mariadb_content(&s, "app"), &before, "restored");
    well(&s);
    let n = rows(&s);
    wait_for("the application writes", || (rows(&s) > n).then_some(()));
    let databases = mariadb(&s, "", "SHOW DATABASES");
    assert!(!databases.contains("_fresh_"), "{databases}");
    let aside: Vec<&str> = databases.lines().filter(|d| d.contains("_repot_")).collect();
    let events = mariadb(
        &s,
        "",
        "SELECT DISTINCT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA LIKE '%\\_repot\\_%'",
    );
    assert_eq!((aside.len(), events.as_str()), (2, "DISABLED"), "{databases}");
    let kept = mariadb_content(&s, aside.last().unwrap());
    same(&kept.replace(" PRESERVE DISABLE", " PRESERVE ENABLE"), &lost, "what was live");
}

#[test]
fn a_mariadb_by_its_url_and_by_a_user_without_rights() {
    let s = stack("mariadb");
    s.up();
    let _ = mariadb(&s, "app", MARIADB_CONTENT);
    let before = mariadb_content(&s, "app");
    let id = s.compose(&["ps", "-q", "db"]).ok().stdout.trim().to_owned();
    let inspect = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = sh(s.dir(), &[], &format!("docker inspect -f '{inspect}' {id}"));
    let password = root_password(&s);
    let root = |args: &[&str]| s.repot_env(args, &[("MYSQL_PWD", &password)]);
    let of = |user: &str, database: &str| format!("mysql://{user}@{address}/{database}");
    let _ = root(&["backup", &of("root", "app")]).ok();
    let _ =
        root(&["restore", "--to", &of("root", "copy"), "--yes"]).ok().prints(&["copy, which was not there"]);
    same(&mariadb_content(&s, "copy"), &before, "restored");
    // Without RELOAD, what was written meanwhile is told, not hidden.
    let clerk = |args: &[&str]| s.repot_env(args, &[("MYSQL_PWD", "clerk-pass")]);
    // Bodies of another user's routines are hidden from it, which is told too.
    let _ = clerk(&["backup", &of("clerk", "app")]).exits(1).says(&["insufficient privileges"]);
    let _ = mariadb(&s, "app", "DROP PROCEDURE renamed; DROP FUNCTION doubled");
    let _ = clerk(&["backup", &of("clerk", "app")]).exits(3).says(&["beat", "RELOAD"]);
    let _ = s.compose(&["stop", "app"]).ok();
    let _ = clerk(&["backup", &of("clerk", "app")]).ok();
    let wrong = s.repot_env(&["backup", &of("clerk", "app")], &[("MYSQL_PWD", "wr0ng-w0rd")]);
    let wrong = wrong.exits(1).says(&["does not let this user in"]);
    assert!(!format!("{wrong}").contains("wr0ng-w0rd"), "{wrong}");
    // Tables without snapshots are named.
    let _ = mariadb(&s, "app", "CREATE TABLE plain (a INT) ENGINE=MyISAM; INSERT INTO plain VALUES (1)");
    let _ = root(&["backup", &of("root", "app")]).ok().prints(&["tables without snapshots", "plain"]);
    let here: PathBuf = s.dir().join(".repot/backups");
    let text = sh(&here, &[], "cat */manifest.json");
    assert!(!text.contains(&password) && !text.contains("clerk-pass"), "no password in a manifest");
}
