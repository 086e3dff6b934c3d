//! `check` against real servers. An image that is missing fails the test; nothing is skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use repot_core::app::detect::{Deployment, Place, detect};
use repot_core::app::profile::Profile;
use repot_core::engine::postgres::settings::REMOVED;
use repot_core::exec::Cmd;
use repot_core::host::Host;
use repot_core::progress::Silent;
use repot_core::upgrade::check::{CheckReport, Finding, Request, Severity, check, examine, render};
use repot_core::upgrade::planner::{Method, Options, plan};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A Compose project of its own, with its volumes removed at the end.
struct Stack {
    dir: tempfile::TempDir,
    name: String,
}

const COMPOSE: &str = r#"name: @PROJECT
services:
  db:
    image: postgres:13
    restart: always
    @COMMAND
    environment:
      POSTGRES_USER: admin
      POSTGRES_PASSWORD: secret
      POSTGRES_DB: shop
    volumes:
      - data:/var/lib/postgresql/data
  app:
    image: postgres:13
    entrypoint: [sleep, infinity]
    init: true
    environment:
      DB_USER: shop
      DB_PASSWORD: shop-secret
      DB_NAME: shop
volumes:
  data:
"#;

impl Stack {
    /// Starts it and makes the application's role and a table.
    fn start(command: &str) -> Stack {
        let name = format!("repot-check-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let stack = Stack { dir: tempfile::tempdir().expect("a directory"), name };
        let command =
            if command.is_empty() { "shm_size: 64m".to_owned() } else { format!("command: {command}") };
        stack.write(&COMPOSE.replace("@COMMAND", &command).replace("@PROJECT", &stack.name));
        stack.docker(&["compose", "up", "-d", "--pull", "never"]);
        stack.wait();
        stack.sql("postgres", "CREATE ROLE shop LOGIN PASSWORD 'shop-secret'");
        stack.sql(
            "shop",
            "ALTER DATABASE shop OWNER TO shop; CREATE TABLE part (id serial PRIMARY KEY, name text)",
        );
        stack
    }
    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).expect("written");
    }
    fn file(&self) -> PathBuf {
        self.dir.path().join("compose.yaml")
    }
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file()).expect("read");
        assert!(text.contains(from), "{from} in {text}");
        self.write(&text.replace(from, to));
    }
    fn docker(&self, args: &[&str]) -> String {
        let out = Cmd::new("docker").args(args).cwd(self.dir.path()).output().expect("docker runs");
        assert!(out.ok(), "docker {args:?}: {}", out.stderr);
        out.text()
    }
    fn sh(&self, script: &str) -> String {
        self.docker(&["compose", "exec", "-T", "-u", "0", "db", "bash", "-ec", script])
    }
    fn sql(&self, database: &str, sql: &str) -> String {
        self.docker(&[
            "compose",
            "exec",
            "-T",
            "db",
            "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "admin",
            "-d",
            database,
            "-c",
            sql,
        ])
    }
    fn try_sql(&self, database: &str, sql: &str) {
        let _ = Cmd::new("docker")
            .args([
                "compose",
                "exec",
                "-T",
                "db",
                "psql",
                "-qAtX",
                "-h",
                "127.0.0.1",
                "-U",
                "admin",
                "-d",
                database,
                "-c",
                sql,
            ])
            .cwd(self.dir.path())
            .output();
    }
    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            // Over TCP: while the image makes the database, its server listens on the socket alone.
            let ready = Cmd::new("docker")
                .args([
                    "compose",
                    "exec",
                    "-T",
                    "db",
                    "psql",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "admin",
                    "-d",
                    "shop",
                    "-c",
                    "SELECT 1",
                ])
                .cwd(self.dir.path())
                .output()
                .is_ok_and(|o| o.ok());
            if ready {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("the server does not come up: {}", self.docker(&["compose", "logs", "db"]));
    }
    fn deployment(&self) -> Deployment {
        let place = Place {
            dir: self.dir.path().to_owned(),
            env: BTreeMap::new(),
            service: Some("db".to_owned()),
            profile: None,
        };
        detect(&place, &Profile::built_in().expect("profiles")).expect("detected")
    }
    fn check(&self, to: Option<u32>) -> CheckReport {
        let request = Request { to, backup_dir: self.dir.path().join("backups"), ..Request::default() };
        check(&self.deployment(), &request, &Silent).expect("checked")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = Cmd::new("docker")
            .args(["compose", "-p", &self.name, "down", "-v", "-t", "1"])
            .cwd(self.dir.path())
            .output();
    }
}

fn one<'a>(report: &'a CheckReport, code: &str) -> &'a Finding {
    let all: Vec<&str> = report.findings.iter().map(|f| f.code.as_str()).collect();
    report.findings.iter().find(|f| f.code == code).unwrap_or_else(|| panic!("{code} is not among {all:?}"))
}

fn has(report: &CheckReport, code: &str, severity: Severity, words: &str) {
    let f = one(report, code);
    assert_eq!(f.severity, severity, "{f:?}");
    let all = format!("{} {} {}", f.title, f.detail, f.remedy);
    assert!(all.contains(words), "`{words}` in {all}");
    assert_eq!(f.remedy.is_empty(), severity == Severity::Info, "{f:?}");
}

use Severity::{Blocker, Info, Warning};

#[test]
fn a_sound_stack_may_go_and_each_fault_outside_the_server_is_named() {
    let stack = Stack::start("");
    let report = stack.check(Some(17));
    let blockers: Vec<&Finding> = report.findings.iter().filter(|f| f.severity != Info).collect();
    assert!(blockers.is_empty(), "{blockers:#?}");
    assert_eq!(report.source_major, Some(13));
    let target = report.target.as_ref().expect("a target");
    assert_eq!((target.major, target.image.as_str(), target.present), (17, "postgres:17", true));
    let facts = report.facts.as_ref().expect("facts");
    assert_eq!((facts.superuser.as_str(), facts.major(), facts.in_recovery), ("admin", 13, false));
    assert!(facts.databases.iter().any(|d| d.name == "shop" && d.public_may_create && d.table_bytes > 0));
    has(&report, "superuser-name", Info, "admin");
    has(&report, "public-schema", Info, "shop");

    let deployment = stack.deployment();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&stack.name, "[project]");
    settings.add_filter(r"PostgreSQL 13\.\d+", "PostgreSQL 13.[minor]");
    settings.add_filter(r"[\d.]+ ([kMGT]?B)( free|,|\n)", "[size] $1$2");
    settings.add_filter(r"about [\d.]+ [kMGT]?B", "about [size]");
    settings.add_filter(r"up to [\d.]+ [kMGT]?B", "up to [size]");
    settings.add_filter(r"glibc 2\.\d+", "glibc 2.[minor]");
    settings.bind(|| insta::assert_snapshot!("sound", render(&report, &deployment)));

    // Nothing asked for: a recommendation.
    let report = stack.check(None);
    assert_eq!(report.recommendation.as_ref().map(|r| r.to), Some(18));
    assert!(report.target.is_none() && !report.blocked());

    // Same, older, unknown.
    let report = stack.check(Some(13));
    assert!(report.nothing_to_do && !report.blocked());
    has(&stack.check(Some(12)), "target-older", Blocker, "13");
    has(&stack.check(Some(99)), "target-unknown", Blocker, "99");

    // An application version where the profile knows none.
    let request =
        Request { app_version: Some("2".to_owned()), backup_dir: "/tmp".into(), ..Request::default() };
    has(
        &check(&stack.deployment(), &request, &Silent).expect("checked"),
        "app-version-unsupported",
        Blocker,
        "application",
    );

    // No space, no right to write.
    let request = Request { to: Some(17), backup_dir: "/proc/no".into(), ..Request::default() };
    has(
        &check(&stack.deployment(), &request, &Silent).expect("checked"),
        "disk-space",
        Blocker,
        "--backup-dir",
    );

    // An image that holds something else, and one that is nowhere.
    let request = Request {
        to: Some(17),
        backup_dir: "/tmp".into(),
        target_image: Some("postgres:15".to_owned()),
        ..Request::default()
    };
    has(
        &check(&stack.deployment(), &request, &Silent).expect("checked"),
        "target-image-major",
        Blocker,
        "15",
    );
    let request = Request {
        to: Some(17),
        backup_dir: "/tmp".into(),
        target_image: Some("localhost:1/none:17".to_owned()),
        ..Request::default()
    };
    has(
        &check(&stack.deployment(), &request, &Silent).expect("checked"),
        "registry-unreachable",
        Blocker,
        "localhost:1/none:17",
    );

    // The application's password is wrong; then the superuser is none; then there is no such role.
    stack.edit("shop-secret", "other");
    has(&stack.check(Some(17)), "application-login", Blocker, "shop");
    stack.edit("DB_PASSWORD: other", "DB_PASSWORD: shop-secret");
    stack.edit("POSTGRES_USER: admin", "POSTGRES_USER: shop");
    has(&stack.check(Some(17)), "not-superuser", Blocker, "shop");
    stack.edit("POSTGRES_USER: shop", "POSTGRES_USER: nobody");
    has(&stack.check(Some(17)), "superuser-login", Blocker, "nobody");
    stack.edit("POSTGRES_USER: nobody", "POSTGRES_USER: admin");

    // Two servers on one directory.
    stack.edit("    image: postgres:13\n    restart", "    image: postgres:13\n    scale: 2\n    restart");
    has(&stack.check(Some(17)), "replicas", Blocker, "db");
    stack.edit("    scale: 2\n", "");

    // The Compose file says another version than the data.
    stack.edit("image: postgres:13\n    restart", "image: postgres:17\n    restart");
    let report = stack.check(Some(17));
    has(&report, "tag-bumped", Warning, "postgres:13");
    assert!(!report.blocked() && report.facts.is_some(), "{:#?}", report.findings);
    // Now the mistake comes true: the server ends and is started again, for ever.
    stack.docker(&["compose", "up", "-d", "--pull", "never", "db"]);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(1));
        let report = stack.check(Some(17));
        has(&report, "tag-bumped", Warning, "postgres:13");
        has(&report, "database-down", Warning, "postgres:13");
        assert!(!report.blocked(), "{:#?}", report.findings);
    }
    stack.edit("image: postgres:17\n    restart", "image: postgres:12\n    restart");
    has(&stack.check(Some(17)), "compose-older-than-data", Blocker, "postgres:13");
    stack.edit("image: postgres:12\n    restart", "image: postgres:13\n    restart");

    // It fails to start for another reason.
    stack.edit("shm_size: 64m", "command: postgres -c nonsense=1");
    stack.docker(&["compose", "up", "-d", "--pull", "never", "db"]);
    std::thread::sleep(Duration::from_secs(3));
    has(&stack.check(Some(17)), "database-crashing", Blocker, "docker compose logs");
    stack.edit("command: postgres -c nonsense=1", "shm_size: 64m");
    stack.docker(&["compose", "up", "-d", "--pull", "never", "db"]);
    stack.wait();

    // An argument names a file of the data directory, which the new server would not find in its own.
    stack.sh("cp -p $PGDATA/pg_hba.conf $PGDATA/own_hba.conf");
    let own = "command: postgres -c hba_file=/var/lib/postgresql/data/own_hba.conf";
    stack.edit("shm_size: 64m", own);
    stack.docker(&["compose", "up", "-d", "--pull", "never", "db"]);
    stack.wait();
    has(&stack.check(Some(17)), "file-in-old-data", Blocker, "own_hba.conf");
    stack.edit(own, "shm_size: 64m");
    stack.docker(&["compose", "up", "-d", "--pull", "never", "db"]);
    stack.wait();

    // It is down.
    stack.docker(&["compose", "stop", "-t", "60", "db"]);
    let report = stack.check(Some(17));
    has(&report, "database-down", Warning, "stopped");
    assert!(report.facts.is_none() && !report.blocked(), "{:#?}", report.findings);
    assert!(!report.findings.iter().any(|f| f.code.starts_with("hba-")), "{:#?}", report.findings);
    // Its access rules are looked at all the same.
    let rules = |line: &str| {
        let volume = format!("{}_data:/d", stack.name);
        let script = format!("echo '{line}' >> /d/pg_hba.conf");
        let run = ["run", "--rm", "-v", &volume, "--entrypoint", "sh", "postgres:13", "-ec", &script];
        stack.docker(&run);
        stack.check(Some(17))
    };
    has(&rules("hostssl all all 10.9.8.7/32 cert clientcert=1"), "hba-clientcert", Info, "verify-ca");
    has(&rules("host all all 10.9.8.7/32"), "hba-invalid", Blocker, "before authentication method");

    // And its data is in use elsewhere.
    let other = format!("{}-other", stack.name);
    stack.docker(&[
        "run",
        "-d",
        "--name",
        &other,
        "-v",
        &format!("{}_data:/var/lib/postgresql/data", stack.name),
        "--entrypoint",
        "sleep",
        "postgres:13",
        "600",
    ]);
    let report = stack.check(Some(17));
    stack.docker(&["rm", "-fv", &other]);
    has(&report, "data-in-use", Blocker, &other);
}

/// Names for images that are here, removed at the end.
struct Tags(Vec<String>);

impl Tags {
    fn add(&mut self, stack: &Stack, image: &str, name: String) {
        stack.docker(&["tag", image, &name]);
        self.0.push(name);
    }
}

impl Drop for Tags {
    fn drop(&mut self) {
        let _ = Cmd::new("docker").args(["rmi"]).args(&self.0).output();
    }
}

#[test]
fn after_a_bumped_tag_the_old_image_is_one_that_is_here_or_is_asked_for() {
    let stack = Stack::start("");
    let repository = format!("localhost:1/{}", stack.name);
    let mut tags = Tags(Vec::new());
    tags.add(&stack, "postgres:13", format!("{repository}:13-bullseye"));
    tags.add(&stack, "postgres:17", format!("{repository}:17"));
    // Somebody wrote 17 where 13-bullseye stood, and started it.
    stack.edit("image: postgres:13\n    restart", &format!("image: {repository}:17\n    restart"));
    stack.docker(&["compose", "up", "-d", "--pull", "never", "db"]);
    let deployment = stack.deployment();
    assert_eq!(deployment.database.source_image, format!("{repository}:13-bullseye"));
    let report = stack.check(Some(17));
    assert!(!report.blocked(), "{:#?}", report.findings);
    let request =
        Request { to: Some(17), backup_dir: stack.dir.path().join("backups"), ..Request::default() };
    let options = Options { method: Method::Auto, skip_backup: false, env: BTreeMap::new() };
    let planned = plan(&deployment, &report, &request, &options).expect("planned");
    assert!(planned.plan.images.contains(&deployment.database.source_image), "{:?}", planned.plan.images);

    // Then somebody pruned the images, and no registry has it.
    stack.docker(&["rmi", &format!("{repository}:13-bullseye")]);
    let report = stack.check(Some(17));
    has(&report, "registry-unreachable", Blocker, &format!("{repository}:13 "));
    has(&report, "registry-unreachable", Blocker, "old data");
}

#[test]
fn what_stands_in_the_way_inside_the_server_is_named() {
    let stack = Stack::start(
        "postgres -c wal_level=logical -c max_prepared_transactions=5 -c operator_precedence_warning=on -c work_mem=8MB",
    );
    stack.sh("mkdir -p /fast && chown postgres /fast");
    stack.sql("shop", "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')");
    stack.sql("shop", "SELECT pg_create_physical_replication_slot('spare')");
    stack.sql("postgres", "CREATE TABLESPACE fast LOCATION '/fast'");
    stack.sql("shop", "CREATE TABLE quick (id int) TABLESPACE fast");
    stack.sql("shop", "SELECT lo_from_bytea(0, 'abc')");
    stack.sql("shop", "INSERT INTO part (name) SELECT 'dup' FROM generate_series(1, 2)");
    stack.try_sql("shop", "CREATE UNIQUE INDEX CONCURRENTLY part_name ON part (name)");
    stack.sql("postgres", "CREATE DATABASE closed WITH ALLOW_CONNECTIONS false");
    stack.sql("postgres", "CREATE DATABASE stats");
    stack.sql("shop", "ALTER ROLE shop SET vacuum_cleanup_index_scale_factor = 0.2");
    stack.sql("shop", "ALTER DATABASE stats SET default_transaction_read_only = on");
    stack.sql(
        "shop",
        "CREATE FUNCTION half(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT substr($1, 1, 2)'; \
        CREATE FUNCTION label(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN half($1); END'; \
        CREATE INDEX part_label ON part (label(name))",
    );
    stack.sql("shop", "CREATE TABLE event (tx xid8, at pg_lsn, what regclass)");
    stack.sql("shop", "CREATE UNLOGGED TABLE cache (id int); CREATE VIEW busy AS SELECT pid FROM pg_stat_activity; CREATE PUBLICATION news FOR TABLE part");
    stack.sql("shop", "ALTER TABLE part ADD CONSTRAINT named CHECK (name <> '') NOT VALID");
    stack.sql("shop", "CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    // An extension that only this server's image has.
    stack.sh("cd $(pg_config --sharedir)/extension && printf \"default_version = '1.0'\\nrelocatable = true\\n\" > shelf.control && echo 'CREATE TABLE shelf_config (id int);' > shelf--1.0.sql");
    stack.sql("shop", "CREATE EXTENSION shelf; CREATE EXTENSION pg_trgm; CREATE EXTENSION adminpack");
    // Settings in files: dropped, renamed, one of the user's own, one that waits for a restart.
    stack.sql("postgres", "ALTER SYSTEM SET vacuum_cleanup_index_scale_factor = 0.2");
    stack.sql("postgres", "ALTER SYSTEM SET max_connections = 150");
    stack.sh("printf \"random_page_cost = 1.1\\n\" >> $PGDATA/postgresql.conf");
    // A role from before scram, a rule that asks for scram.
    stack.sql("postgres", "SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'x'");
    stack.sh("sed -i '1i host all old 10.9.8.7/32 scram-sha-256' $PGDATA/pg_hba.conf");
    stack.sql("postgres", "SELECT pg_reload_conf()");
    std::thread::sleep(Duration::from_millis(500));
    // Last: slots and concurrent index builds wait for it.
    stack.sql("shop", "BEGIN; INSERT INTO event VALUES ('1', '0/0', 'part'); PREPARE TRANSACTION 'tx-1'");

    let report = stack.check(Some(17));
    has(&report, "prepared-transactions", Blocker, "ROLLBACK PREPARED 'tx-1'");
    has(&report, "logical-slots", Blocker, "pg_drop_replication_slot('feed')");
    has(&report, "physical-slots", Warning, "spare");
    has(&report, "tablespaces", Blocker, "/fast");
    has(&report, "large-objects", Info, "1 large object");
    let bytes = |name: &str| {
        let facts = report.facts.as_ref().expect("facts");
        facts.databases.iter().find(|d| d.name == name).map(|d| d.large_object_bytes)
    };
    assert!(bytes("shop") > bytes("stats"), "their size is known, for the disk space");
    has(&report, "invalid-indexes", Warning, "public.part_name");
    has(&report, "database-closed", Blocker, "ALTER DATABASE \"closed\" WITH ALLOW_CONNECTIONS true");
    has(&report, "other-databases", Info, "stats");
    has(&report, "removed-setting-command", Blocker, "operator_precedence_warning");
    has(&report, "removed-setting-role", Blocker, "ALTER ROLE shop RESET vacuum_cleanup_index_scale_factor");
    has(&report, "read-only-database", Blocker, "stats");
    has(&report, "settings-dropped", Warning, "vacuum_cleanup_index_scale_factor");
    has(&report, "settings-carried", Info, "random_page_cost = 1.1");
    has(&report, "pending-restart", Warning, "max_connections");
    has(&report, "command-arguments", Info, "work_mem=8MB");
    has(&report, "md5-passwords", Warning, "old");
    has(&report, "hba-custom", Info, "pg_hba.conf");
    has(&report, "function-search-path", Blocker, "label(text)");
    has(&report, "transaction-ids", Warning, "public.event.tx");
    has(&report, "reg-columns", Info, "public.event.what");
    has(&report, "unlogged-tables", Info, "public.cache");
    has(&report, "views-on-catalogs", Warning, "public.busy");
    has(&report, "publications", Info, "news");
    has(&report, "not-valid-constraints", Info, "named");
    has(&report, "objects-in-pg-catalog", Blocker, "mine");
    let missing: Vec<&Finding> = report.findings.iter().filter(|f| f.code == "extension-missing").collect();
    assert!(
        missing.iter().any(|f| f.title.contains("shelf"))
            && missing.iter().any(|f| f.title.contains("adminpack")),
        "{missing:#?}"
    );
    assert!(!missing.iter().any(|f| f.title.contains("pg_trgm")), "{missing:#?}");
    let severities: Vec<Severity> = report.findings.iter().map(|f| f.severity).collect();
    assert!(severities.windows(2).all(|w| w[0] >= w[1]), "blockers first");
    for f in &report.findings {
        assert!(!f.title.is_empty() && !f.detail.is_empty(), "{f:?}");
        assert!(!format!("{f:?}").contains("secret"), "no password is shown: {f:?}");
    }
    let text = render(&report, &stack.deployment());
    assert!(text.contains("things stand in the way") && text.contains("Nothing has been touched."), "{text}");

    // What the remedies say helps.
    for f in report.findings.iter().filter(|f| {
        ["removed-setting-role", "database-closed", "function-search-path", "read-only-database"]
            .contains(&f.code.as_str())
    }) {
        let command = f
            .remedy
            .split_once(": ")
            .map_or("", |(_, c)| c)
            .split(" — ")
            .next()
            .unwrap_or_default()
            .replace("exec db", "exec -T db");
        let out = Cmd::new("sh").arg("-c").arg(&command).cwd(stack.dir.path()).output().expect("sh");
        assert!(out.ok(), "{command}: {}", out.stderr);
    }
    let again = stack.check(Some(17));
    for code in ["removed-setting-role", "database-closed", "function-search-path", "read-only-database"] {
        assert!(!again.findings.iter().any(|f| f.code == code), "{code} is still there");
    }
}

#[test]
fn every_version_answers() {
    for (major, newest) in [(12, 16), (15, 18), (16, 17), (17, 18), (18, 18)] {
        let name = format!("repot-check-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let stack = Stack { dir: tempfile::tempdir().expect("a directory"), name };
        let text = COMPOSE.replace("@COMMAND", "shm_size: 64m").replace("@PROJECT", &stack.name);
        let text = text.replace("postgres:13", &format!("postgres:{major}"));
        // The application is the superuser here: these images need not have psql to make another role.
        let text = text.replace("DB_USER: shop", "DB_USER: admin").replace("shop-secret", "secret");
        let text = if major >= 18 { text.replace("postgresql/data", "postgresql") } else { text };
        stack.write(&text);
        stack.docker(&["compose", "up", "-d", "--pull", "never"]);
        // Something to look into, made through repot's own session: these images need not have psql.
        let until = Instant::now() + Duration::from_secs(90);
        let host = stack.deployment().host("check");
        let make = || {
            let connector = host.service_connector("admin", Some("secret"), "shop")?;
            connector
                .connect("shop")?
                .execute("CREATE TABLE public.part (id int PRIMARY KEY, name text UNIQUE)")
        };
        while let Err(e) = make() {
            assert!(Instant::now() < until, "{major}: {e}");
            std::thread::sleep(Duration::from_millis(500));
        }
        let report = stack.check(Some(newest));
        assert!(!report.blocked(), "{major}: {:#?}", report.findings);
        assert_eq!(report.nothing_to_do, major == newest, "{major}");
        let facts = report.facts.as_ref().expect("facts");
        assert_eq!(
            (facts.major(), facts.superuser.as_str(), facts.encoding.as_str()),
            (major, "admin", "UTF8")
        );
        assert_eq!((facts.locale_provider.as_str(), facts.wal_segment_bytes), ("libc", 16 << 20));
        assert!(facts.is_in_data_directory(&facts.hba_file) && facts.most_objects > 100, "{facts:?}");
        assert!(facts.databases.iter().any(|d| d.name == "template1" && d.is_template));
        assert_eq!(facts.databases.iter().any(|d| d.public_may_create), major < 15, "{facts:?}");
    }
}

/// The table of removed settings against the servers themselves.
#[test]
fn servers_refuse_what_the_table_says() {
    for major in [13, 15, 17, 18] {
        let values = |name: &str| match name {
            "password_encryption" => "on",
            "ssl_ecdh_curve" => "prime256v1",
            "stats_temp_directory" | "promote_trigger_file" => "/tmp/x",
            "force_parallel_mode"
            | "db_user_namespace"
            | "operator_precedence_warning"
            | "default_with_oids" => "off",
            "trace_recovery_messages" => "log",
            _ => "1",
        };
        let tried: Vec<(String, String)> = REMOVED
            .iter()
            // Read-only ones are refused by every server, and of a reinterpreted number all are taken.
            .filter(|r| !r.name.starts_with("lc_") && r.name != "effective_io_concurrency")
            .map(|r| (r.name.to_owned(), values(r.name).to_owned()))
            .collect();
        let facts = examine(&format!("postgres:{major}"), &tried).expect("examined");
        assert_eq!(facts.major, Some(major));
        let refused: Vec<&str> = facts.refused.iter().filter_map(|(s, _)| s.split('=').next()).collect();
        let expected: Vec<&str> = REMOVED
            .iter()
            .filter(|r| {
                tried.iter().any(|t| t.0 == r.name)
                    && r.removed_in <= major
                    && !r.alias
                    && r.name != "default_with_oids"
            })
            .map(|r| r.name)
            .collect();
        assert_eq!(refused, expected, "{major}: {:?}", facts.refused);
    }
}
