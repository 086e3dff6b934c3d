//! Whole upgrades of whole applications: there, compared with eyes that are not repot's, back again, cleaned up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use repot_testkit::{Content, FileState, Ran, Stack, Sums, wait_for};
use serde_json::Value;

use crate::{GROWING, stack};

mod alone;
mod applications;
#[cfg(feature = "nautobot-real")]
mod nautobot_real;
mod odd;
mod unknown;

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
