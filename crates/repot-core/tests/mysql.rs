//! The fingerprint of a real MariaDB: stable, and no kind of change escapes it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests start the real tools")]

use std::process::Command;
use std::time::{Duration, Instant};

use repot_core::engine::mysql::clients::Clients;
use repot_core::engine::mysql::session::Session;
use repot_core::engine::mysql::take;
use repot_core::verify::{DatabaseFingerprint, compare_databases};
use secrecy::SecretString;

/// A server of its own, gone with the test.
struct Server {
    id: String,
    clients: Clients,
}

impl Server {
    fn start() -> Server {
        let run = |args: &[&str]| {
            let out = Command::new("docker").args(args).output().unwrap();
            assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        let id = run(&["run", "-d", "--rm", "-e", "MARIADB_ROOT_PASSWORD=secret", "mariadb:10.11"]);
        let address = run(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &id]);
        let url = format!("mysql://root@{address}/t");
        let (clients, _) = Clients::parse(&url, Some(SecretString::from("secret"))).unwrap();
        let server = Server { id, clients };
        let deadline = Instant::now() + Duration::from_secs(120);
        while let Err(e) = Session::open(&server.clients, None) {
            assert!(Instant::now() < deadline, "the server does not come up: {e}");
            std::thread::sleep(Duration::from_millis(200));
        }
        server
    }

    fn of(&self, changes: &[&str]) -> DatabaseFingerprint {
        let mut s = Session::open(&self.clients, None).unwrap();
        s.execute("DROP DATABASE IF EXISTS t").unwrap();
        s.execute("CREATE DATABASE t CHARACTER SET utf8mb4").unwrap();
        s.execute("USE t").unwrap();
        for sql in BASE.iter().chain(changes) {
            s.execute(sql).unwrap();
        }
        take(&mut s, "t").unwrap().fingerprint
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.id]).output();
    }
}

const BASE: [&str; 9] = [
    "CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(20), b BLOB, d DATETIME, n DECIMAL(8,3), f DOUBLE, e ENUM('x','y'), KEY i (s))",
    "INSERT INTO a (s, b, d, n, f, e) VALUES ('one', x'00ff', '2026-01-01', 1.5, 0.1, 'x'), ('', '', '0000-00-00', 0, 0, 'y'), (NULL, NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE `odd ``name` (`a b` INT, PRIMARY KEY (`a b`))",
    "CREATE VIEW v AS SELECT s FROM a",
    "CREATE TRIGGER g BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 1",
    "CREATE PROCEDURE p(IN x INT) SELECT x",
    "CREATE FUNCTION h() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM a",
    "CREATE SEQUENCE q",
];

#[test]
fn every_kind_of_change_is_seen_and_nothing_else() {
    let server = Server::start();
    let base = server.of(&[]);
    let again = server.of(&[
        "DELETE FROM a WHERE id = 1",
        "INSERT INTO a VALUES (1, 'one', x'00ff', '2026-01-01', 1.5, 0.1, 'x')",
        "UPDATE a SET n = 1.5 WHERE id = 1",
    ]);
    let c = compare_databases((&base, 1), (&again, 1));
    assert!(c.same() && c.rows == 3 && c.tables == 2, "{}", c.summary(9));
    for (change, want) in [
        ("UPDATE a SET s = 'onf' WHERE id = 1", "table a"),
        ("UPDATE a SET s = 'One' WHERE id = 1", "table a"),
        ("UPDATE a SET s = 'one ' WHERE id = 1", "table a"),
        ("UPDATE a SET s = '' WHERE s IS NULL", "table a"),
        ("UPDATE a SET s = 'N' WHERE s IS NULL", "table a"),
        ("UPDATE a SET b = x'00fe' WHERE id = 1", "table a"),
        ("UPDATE a SET d = NULL WHERE d = '0000-00-00'", "table a"),
        ("UPDATE a SET f = 0.10000000000000002 WHERE id = 1", "table a"),
        ("UPDATE a SET e = 'y' WHERE id = 1", "table a"),
        ("UPDATE a SET s = 'one,two', b = NULL WHERE id = 1", "table a"),
        ("INSERT INTO `odd ``name` VALUES (1)", "table odd `name"),
        ("DELETE FROM a WHERE id = 2", "table a"),
        ("ALTER TABLE a DROP KEY i", "table a"),
        ("ALTER TABLE a MODIFY s VARCHAR(21)", "table a"),
        ("ALTER TABLE a AUTO_INCREMENT = 77", "sequence a"),
        ("DROP TRIGGER g", "trigger g"),
        ("CREATE OR REPLACE TRIGGER g BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 2", "trigger g"),
        ("CREATE OR REPLACE VIEW v AS SELECT b FROM a", "view v"),
        ("CREATE OR REPLACE PROCEDURE p(IN x BIGINT) SELECT x", "procedure p"),
        ("DROP FUNCTION h", "function h"),
        ("ALTER EVENT ev DISABLE", "event ev"),
        ("ALTER SEQUENCE q RESTART 50", "sequence q"),
        ("ALTER DATABASE t CHARACTER SET latin1", "encoding"),
    ] {
        let c = compare_databases((&base, 1), (&server.of(&[change]), 1));
        assert!(c.summary(99).contains(want), "{change}: {}", c.summary(99));
    }
}
