//! Whole upgrades of whole applications: there, compared with eyes that are not repot's, back again, cleaned up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use repot_testkit::{Content, FileState, Ran, Stack, Sums, wait_for};
use serde_json::Value;

use crate::{GROWING, stack};

/// What a scenario knows of its application.
struct App {
    stack: Stack,
    /// Service, port and path that answer for its health.
    health: Option<(&'static str, u16)>,
    /// Service that prints every row that was confirmed.
    worker: &'static str,
    /// Database and table of these rows.
    heartbeats: (&'static str, &'static str),
    /// Where the old data is: below the project's directory, or a volume's key.
    data: Data,
    /// Tables that the application writes on its own, more than those of [`GROWING`].
    growing: Vec<&'static str>,
}

enum Data {
    Dir(&'static str),
    Volume(&'static str),
}

/// How it was before.
struct Before {
    files: BTreeMap<PathBuf, FileState>,
    content: Content,
    major: u32,
    services: Vec<(String, String, String)>,
    roles: String,
    volumes: Vec<String>,
}

/// After an upgrade.
struct Upgraded {
    report: Ran,
    /// The old data after its server's clean stop.
    at_rest: Sums,
    /// Rows that the old server confirmed to the worker.
    confirmed: Vec<u64>,
}

const ROLES: &str = "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword \
FROM pg_authid WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1; \
SELECT coalesce(d.datname, '-'), coalesce(r.rolname, '-'), setconfig FROM pg_db_role_setting s \
LEFT JOIN pg_database d ON d.oid = setdatabase LEFT JOIN pg_roles r ON r.oid = setrole ORDER BY 1, 2; \
SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datacl FROM pg_database WHERE datname !~ '^(template|postgres)' ORDER BY 1";

/// Numbers of the rows that the worker was told are safe.
fn confirmed(s: &Stack, worker: &str) -> Vec<u64> {
    let log = s.compose(&["logs", "--no-log-prefix", "--no-color", worker]).ok().stdout;
    log.lines().filter_map(|l| l.rsplit_once("heartbeat ")?.1.trim().parse().ok()).collect()
}

impl App {
    fn sums(&self) -> Sums {
        match self.data {
            Data::Dir(d) => self.stack.sums_of_dir(d),
            Data::Volume(v) => self.stack.sums_of_volume(v),
        }
    }
    /// The old data where the upgrade has put it.
    fn sums_aside(&self, from: u32) -> Sums {
        match self.data {
            Data::Dir(d) => {
                let aside = self.aside(d, &format!("-pg{from}"));
                self.stack.sums_of_dir(&aside)
            }
            Data::Volume(v) => self.stack.sums_of_volume(v),
        }
    }
    /// The one set-aside directory beside `dir` whose name ends so.
    fn aside(&self, dir: &str, end: &str) -> String {
        let parent = Path::new(dir).parent().unwrap();
        let names: Vec<String> = std::fs::read_dir(self.stack.dir().join(parent))
            .unwrap()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.contains(".repot-"))
            .collect();
        assert!(names.len() == 1 && names[0].ends_with(end), "should be one that ends in {end}: {names:?}");
        parent.join(&names[0]).display().to_string()
    }

    fn growing(&self) -> Vec<&str> {
        GROWING.iter().copied().chain(self.growing.iter().copied()).collect()
    }

    fn services(&self) -> Vec<(String, String, String)> {
        let all = self.stack.containers();
        for c in &all {
            assert!(!c.service.is_empty(), "repot left a container behind: {c:?}");
            assert!(c.state == "running" && matches!(c.health.as_str(), "healthy" | ""), "{c:?}");
        }
        all.into_iter().map(|c| (c.service, c.image, c.restart)).collect()
    }

    fn before(&self) -> Before {
        let s = &self.stack;
        wait_for("the worker writes", || (confirmed(s, self.worker).len() > 3).then_some(()));
        Before {
            files: s.files(),
            content: Content::of(s),
            major: s.major(),
            services: self.services(),
            roles: s.psql("postgres", ROLES),
            volumes: s.volumes(),
        }
    }

    /// The application's own answer.
    fn healthy(&self) -> Value {
        let Some((service, port)) = self.health else { return Value::Null };
        let code = format!(
            "import urllib.request as r; print(r.urlopen('http://localhost:{port}/health/', timeout=9).read().decode())"
        );
        wait_for("the application is well", || {
            let ran = self.stack.exec(service, &["python3", "-c", &code]);
            ran.status.success().then(|| ran.json())
        })
    }

    fn assert_writing(&self) {
        let (db, table) = self.heartbeats;
        let rows = || self.stack.psql(db, &format!("SELECT count(*) FROM {table}")).parse::<u64>().unwrap();
        let n = rows();
        wait_for("the application writes", || (rows() > n + 1).then_some(()));
    }

    /// Every row that was confirmed is there.
    fn assert_no_heartbeat_lost(&self, confirmed: &[u64]) {
        let (db, table) = self.heartbeats;
        assert!(confirmed.len() > 3, "the worker has hardly written: {confirmed:?}");
        let ids = confirmed.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let there = self.stack.psql(db, &format!("SELECT count(*) FROM {table} WHERE id IN ({ids})"));
        assert_eq!(there, confirmed.len().to_string(), "confirmed rows are gone");
    }

    /// Upgrades, with a look at the old data when its server has just stopped.
    fn upgrade(&self, args: &[&str]) -> Upgraded {
        let mut all = vec!["upgrade", "--yes"];
        all.extend(args);
        let mut repot =
            self.stack.start_repot(&all, &[("FAILPOINTS", "stop-old-server::after-record=return(stop)")]);
        repot.wait_stopped();
        let (at_rest, confirmed) = (self.sums(), confirmed(&self.stack, self.worker));
        repot.go_on();
        let report = repot.wait().ok();
        Upgraded { report, at_rest, confirmed }
    }

    /// Everything that holds after an upgrade, whatever the application. `changed` are the files that an upgrade
    /// changes, as they must be then.
    #[track_caller]
    fn assert_upgraded(&self, before: &Before, up: &Upgraded, to: u32, changed: &[(&str, String)]) {
        let s = &self.stack;
        let _ = up.report.clone().prints(&[
            &format!("moved from PostgreSQL {} to {to}", before.major),
            "Old and new were compared and are equal",
            "The application was down for",
            "The old data is set aside, untouched",
            "To go back:      repot rollback",
        ]);
        assert_eq!(s.major(), to);
        if self.health.is_some() {
            let version = self.healthy()["postgresql"].as_str().unwrap_or_default().to_owned();
            assert!(version.starts_with(&to.to_string()), "the application sees PostgreSQL {version}");
        }
        before.content.assert_still(s, &self.growing(), "after the upgrade");
        self.assert_no_heartbeat_lost(&up.confirmed);
        self.assert_writing();
        assert_eq!(
            s.psql("postgres", ROLES),
            before.roles,
            "roles, passwords, settings of databases and roles"
        );
        up.at_rest.assert_same(&self.sums_aside(before.major), "the old data, set aside");
        let mut expected = before.files.clone();
        for (name, text) in changed {
            expected.get_mut(Path::new(name)).unwrap().text.clone_from(text);
        }
        assert_eq!(s.files(), expected, "only these files should have changed, and only so");
        let names = |l: &[(String, String, String)]| -> Vec<(String, String)> {
            l.iter().map(|(n, _, restart)| (n.clone(), restart.clone())).collect()
        };
        assert_eq!(names(&self.services()), names(&before.services), "services and restart policies");
        self.assert_report_kept(up);
    }

    fn assert_report_kept(&self, up: &Upgraded) {
        let s = &self.stack;
        let run = s.runs().pop().unwrap();
        let kept =
            std::fs::read_to_string(s.dir().join(".repot/runs").join(&run).join("report.txt")).unwrap();
        assert_eq!(kept.trim(), up.report.stdout.trim());
        let _ = s.repot(&["history", &run]).ok().prints(&[kept.trim()]);
        let _ = s.repot(&["history"]).ok().prints(&[&run, "done"]);
    }

    /// Back again: refused while new writes would be lost, then with the flag; everything as before.
    fn roll_back(&self, before: &Before, up: &Upgraded) {
        let s = &self.stack;
        let _ = s.repot(&["rollback", "--yes"]).exits(3).says(&["--discard-new-writes"]);
        let mut repot = s.start_repot(
            &["rollback", "--yes", "--discard-new-writes"],
            &[("FAILPOINTS", "undo-stop-application::before-intent=return(stop)")],
        );
        repot.wait_stopped();
        up.at_rest.assert_same(&self.sums(), "the old data, back in its place");
        repot.go_on();
        let _ = repot.wait().ok().prints(&[&format!("is on PostgreSQL {} again", before.major)]);
        assert_eq!(s.files(), before.files, "files after the rollback");
        assert_eq!(s.major(), before.major);
        if self.health.is_some() {
            let version = self.healthy()["postgresql"].as_str().unwrap_or_default().to_owned();
            assert!(
                version.starts_with(&before.major.to_string()),
                "the application sees PostgreSQL {version}"
            );
        }
        before.content.assert_still(s, &self.growing(), "after the rollback");
        self.assert_no_heartbeat_lost(&up.confirmed);
        self.assert_writing();
        assert_eq!(self.services(), before.services);
    }

    /// The new data, kept by the rollback, goes on request only.
    fn clean_up(&self, before: &Before, new: u32) {
        let s = &self.stack;
        let what = format!("data of PostgreSQL {new} that a rollback set aside");
        let _ = s.repot(&["cleanup", "--dry-run"]).ok().prints(&["Set aside:", &what]);
        let _ = s.repot(&["cleanup"]).exits(3).says(&["--yes"]);
        if let Data::Dir(d) = self.data {
            let _ = self.aside(d, &format!("-pg{new}-new"));
        }
        let _ = s.repot(&["cleanup", "--yes"]).ok().prints(&["Removed"]);
        let _ = s.repot(&["cleanup", "--dry-run"]).ok().prints(&["Nothing is set aside."]);
        assert_eq!(s.volumes(), before.volumes);
        if let Data::Dir(d) = self.data {
            let parent = s.dir().join(Path::new(d).parent().unwrap());
            let left = std::fs::read_dir(parent)
                .unwrap()
                .flatten()
                .find(|e| e.file_name().to_string_lossy().contains(".repot-"));
            assert!(left.is_none(), "{left:?}");
        }
        assert_eq!(s.major(), before.major);
        self.assert_writing();
    }
}

/// A file's text with replacements, each of which must occur.
#[track_caller]
fn with(before: &Before, file: &str, changes: &[(&str, &str)]) -> String {
    let mut text = before.files[Path::new(file)].text.clone();
    for (from, to) in changes {
        assert!(text.contains(from), "{file} lacks {from:?}");
        text = text.replacen(from, to, 1);
    }
    text
}

/// Rows that Django writes when a newer version migrates.
const DJANGO: [&str; 3] =
    ["public.django_migrations", "public.auth_permission", "public.django_content_type"];

fn inventree() -> App {
    let s = stack("inventree");
    s.up();
    let _ = s.exec("inventree-server", &["invoke", "seed", "--size", "300"]).ok();
    App {
        stack: s,
        health: Some(("inventree-server", 8000)),
        worker: "inventree-worker",
        heartbeats: ("inventree", "part_heartbeat"),
        data: Data::Dir("inventree-data/pgdb"),
        growing: [DJANGO.as_slice(), &["public.part_heartbeat"]].concat(),
    }
}

#[test]
fn inventree_goes_from_13_to_17_with_the_application_and_back() {
    let app = inventree();
    let s = &app.stack;
    let before = app.before();
    assert_eq!(app.healthy()["version"], "1.1.12");

    // The reason for it all: the newer application really refuses the old server.
    s.edit(".env", "INVENTREE_TAG=1.1.12", "INVENTREE_TAG=1.2.0");
    let refused = s.compose(&[
        "run",
        "--rm",
        "--no-deps",
        "-e",
        "INVENTREE_AUTO_UPDATE=False",
        "inventree-server",
        "invoke",
        "migrate",
    ]);
    assert!(!refused.status.success(), "{refused}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("PostgreSQL 14 or later is required (found 13"), "{refused}");
    s.edit(".env", "INVENTREE_TAG=1.2.0", "INVENTREE_TAG=1.1.12");
    // And repot says so too, before anything is touched.
    let _ = s.repot(&["upgrade", "--app-version", "1.2.0", "--yes"]).exits(3).says(&["1.2.0", "14"]);
    assert_eq!(s.files(), before.files);

    let media = s.sums_of_dir("inventree-data/media");
    let up = app.upgrade(&["--to", "17", "--app-version", "1.2.0"]);
    let changed = [
        (
            "docker-compose.yml",
            with(&before, "docker-compose.yml", &[("image: postgres:13", "image: postgres:17")]),
        ),
        (".env", with(&before, ".env", &[("INVENTREE_TAG=1.1.12", "INVENTREE_TAG=1.2.0")])),
    ];
    app.assert_upgraded(&before, &up, 17, &changed);
    assert_eq!(app.healthy()["version"], "1.2.0");
    assert_eq!(s.psql("inventree", "SELECT count(*) FROM part_part WHERE lifecycle = 'active'"), "300");
    assert_eq!(
        s.sums_of_dir("inventree-data/pgdb").line("."),
        up.at_rest.line("."),
        "owner and mode of the data directory"
    );
    media.assert_same(&s.sums_of_dir("inventree-data/media"), "media files");
    let _ = s.login("pguser", "pg pass#word $1", "inventree", "SELECT 1").ok();
    assert!(!s.login("pguser", "wrong", "inventree", "SELECT 1").status.success());

    app.roll_back(&before, &up);
    assert_eq!(app.healthy()["version"], "1.1.12");
    media.assert_same(&s.sums_of_dir("inventree-data/media"), "media files");
    app.clean_up(&before, 17);
}

#[test]
fn a_finished_upgrade_is_cleaned_up_only_on_request_and_then_stays() {
    let app = inventree();
    let s = &app.stack;
    let before = app.before();
    let up = app.upgrade(&["--to", "17"]);
    let aside = s.dir().join(app.aside("inventree-data/pgdb", "-pg13"));
    let _ =
        s.repot(&["cleanup", "--dry-run"]).ok().prints(&["data of PostgreSQL 13 from before the upgrade"]);
    let _ = s.repot(&["cleanup"]).exits(3);
    assert!(aside.exists());
    let _ = s.repot(&["cleanup", "--yes"]).ok();
    assert!(!aside.exists());
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).exits(3).says(&["cleanup"]);
    assert_eq!(s.major(), 17);
    before.content.assert_still(s, &app.growing(), "after the cleanup");
    app.assert_no_heartbeat_lost(&up.confirmed);
    // Nothing more to do, and said so.
    let _ = s.repot(&["upgrade", "--to", "17", "--yes"]).ok().prints(&["Nothing to do"]);
}

#[test]
fn nautobot_goes_from_13_to_15_and_back() {
    let s = stack("nautobot");
    s.up();
    let _ = s.exec("nautobot", &["nautobot-server", "seed", "--size", "200"]).ok();
    let app = App {
        stack: s,
        health: Some(("nautobot", 8080)),
        worker: "celery_worker",
        heartbeats: ("nautobot", "part_heartbeat"),
        data: Data::Volume("pgdata_nautobot"),
        growing: [DJANGO.as_slice(), &["public.part_heartbeat"]].concat(),
    };
    let before = app.before();
    let up = app.upgrade(&["--to", "15"]);
    let text = with(
        &before,
        "docker-compose.yml",
        &[
            ("image: \"postgres:13\"", "image: \"postgres:15\""),
            ("- \"pgdata_nautobot:/var", "- \"pgdata_nautobot-pg15:/var"),
            ("  nautobot_media: {}\n", "  nautobot_media: {}\n  pgdata_nautobot-pg15: {}\n"),
        ],
    );
    app.assert_upgraded(&before, &up, 15, &[("docker-compose.yml", text)]);
    // `command:` of the override file still holds.
    assert_eq!(app.stack.psql("postgres", "SHOW max_connections"), "150");
    let _ = app.stack.login("nautobot", "decinablesprewad", "nautobot", "SELECT 1").ok();
    app.roll_back(&before, &up);
    app.clean_up(&before, 15);
}

#[test]
fn ente_goes_from_12_to_16_and_back() {
    let s = stack("ente");
    s.up();
    let _ = s.exec("museum", &["museum", "seed", "--size", "100"]).ok();
    // museum has no worker of its own: the seed's rows and one of the test's stand for it.
    s.psql("ente_db", "CREATE TABLE heartbeat (id int)");
    let objects = s.sums_of_volume("minio-data");
    let files = s.files();
    let content = Content::of(&s);
    let mut repot = s.start_repot(
        &["upgrade", "--to", "16", "--yes"],
        &[("FAILPOINTS", "stop-old-server::after-record=return(stop)")],
    );
    repot.wait_stopped();
    let at_rest = s.sums_of_volume("postgres-data");
    repot.go_on();
    let _ = repot.wait().ok().prints(&["PostgreSQL 12 to 16", "are equal"]);
    assert_eq!(s.major(), 16);
    content.assert_still(&s, &DJANGO, "after the upgrade");
    at_rest.assert_same(&s.sums_of_volume("postgres-data"), "the old data");
    objects.assert_same(&s.sums_of_volume("minio-data"), "the object store");
    let changed = s.read("compose.yaml");
    let expected = files[Path::new("compose.yaml")]
        .text
        .replacen("image: postgres:12", "image: postgres:16", 1)
        .replacen("- postgres-data:/var", "- postgres-data-pg16:/var", 1)
        .replacen("  minio-data:\n\nnetworks", "  minio-data:\n  postgres-data-pg16:\n\nnetworks", 1);
    assert_eq!(changed, expected);
    let _ = s.login("pguser", "pgpass", "ente_db", "SELECT 1").ok();

    let mut repot = s.start_repot(
        &["rollback", "--yes", "--discard-new-writes"],
        &[("FAILPOINTS", "undo-stop-application::before-intent=return(stop)")],
    );
    repot.wait_stopped();
    at_rest.assert_same(&s.sums_of_volume("postgres-data"), "the old data, back in its place");
    repot.go_on();
    let _ = repot.wait().ok();
    assert_eq!(s.files(), files);
    assert_eq!(s.major(), 12);
    content.assert_still(&s, &DJANGO, "after the rollback");
    assert!(s.containers().iter().all(|c| !c.service.is_empty() && c.state == "running"));
}

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
    let changed = app.stack.read("docker-compose.yaml");
    eprintln!("{changed}");
    let text = changed.clone();
    app.assert_upgraded(&before, &up, 18, &[("docker-compose.yaml", text)]);
    assert_eq!(app.stack.psql("postgres", "SHOW data_checksums"), "on");
    app.roll_back(&before, &up);
    app.clean_up(&before, 18);
}

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

/// An InvenTree whose database is on 17 already.
fn inventree_on_17() -> App {
    let s = stack("inventree");
    s.edit(
        "docker-compose.yml",
        "        image: postgres:13\n        expose",
        "        image: postgres:17\n        expose",
    );
    s.up();
    let _ = s.exec("inventree-server", &["invoke", "seed", "--size", "200"]).ok();
    App {
        stack: s,
        health: Some(("inventree-server", 8000)),
        worker: "inventree-worker",
        heartbeats: ("inventree", "part_heartbeat"),
        data: Data::Dir("inventree-data/pgdb"),
        growing: [DJANGO.as_slice(), &["public.part_heartbeat"]].concat(),
    }
}

#[test]
fn the_application_alone_goes_to_a_newer_version_and_a_rollback_restores_its_data() {
    let app = inventree_on_17();
    let s = &app.stack;
    let before = app.before();
    let _ = s
        .repot(&["upgrade", "--app-version", "1.2.0", "--yes"])
        .ok()
        .prints(&["was updated; PostgreSQL stays at 17", "from 1.1.12 to 1.2.0"]);
    assert_eq!(app.healthy()["version"], "1.2.0");
    assert_eq!(s.psql("inventree", "SELECT count(*) FROM part_part WHERE lifecycle = 'active'"), "200");
    before.content.assert_still(s, &app.growing(), "after the update");
    assert_eq!(s.read(".env"), with(&before, ".env", &[("INVENTREE_TAG=1.1.12", "INVENTREE_TAG=1.2.0")]));
    assert_eq!(s.read("docker-compose.yml"), before.files[Path::new("docker-compose.yml")].text);
    app.assert_writing();

    let _ = s.repot(&["rollback", "--yes"]).exits(3).says(&["--discard-new-writes"]);
    let _ = s.repot(&["rollback", "--yes", "--discard-new-writes"]).ok();
    assert_eq!(s.files(), before.files);
    assert_eq!(app.healthy()["version"], "1.1.12");
    let column = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'part_part' AND column_name = 'lifecycle'";
    assert_eq!(s.psql("inventree", column), "0", "the schema is the old version's again");
    before.content.assert_still(s, &app.growing(), "after the rollback");
    assert_eq!(app.services(), before.services);
    app.assert_writing();
}

#[test]
fn the_application_alone_without_a_backup_goes_forward_and_says_there_is_no_way_back_for_the_data() {
    let app = inventree_on_17();
    let s = &app.stack;
    let before = app.before();
    let dry = s.repot(&["upgrade", "--app-version", "1.2.0", "--skip-backup", "--dry-run"]).ok();
    let _ = dry.prints(&["no backup: what the application's update does to the data cannot be taken back"]);
    let _ = s.repot(&["upgrade", "--app-version", "1.2.0", "--skip-backup", "--yes"]).ok();
    assert_eq!(app.healthy()["version"], "1.2.0");
    before.content.assert_still(s, &app.growing(), "after the update");
    app.assert_writing();
    assert!(!s.dir().join(".repot/backups").exists(), "no backup was asked for");
    let refused = s.repot(&["rollback", "--yes", "--discard-new-writes"]);
    assert!(!refused.status.success(), "{refused}");
    let _ = refused.says(&["cannot be taken back"]);
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
    // Its superuser is another here; a subscription stands in the way of an upgrade, and the check says so.
    let sink = sink.replace("FROM postgres;", "FROM shop;");
    let sink: String = sink.split_inclusive('\n').filter(|l| !l.contains("SUBSCRIPTION")).collect();
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
