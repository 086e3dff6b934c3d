//! A Compose project of a test's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{Ran, Streams, docker, run, spawn, words};
use crate::running::Running;
use crate::sums::{FileState, Sums, project_files};
use crate::{SETUP, sweep, wait_for};

/// A container of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Compose service; empty for a container that is not Compose's.
    pub service: String,
    /// Image, as it was named.
    pub image: String,
    /// Docker's word for its state.
    pub state: String,
    /// Docker's word for its health; empty without a check.
    pub health: String,
    /// Restart policy.
    pub restart: String,
}

/// A running application in a directory of its own, removed with everything it made when this value goes.
#[derive(Debug)]
pub struct Stack {
    dir: PathBuf,
    project: String,
    repot: PathBuf,
    /// Database service.
    db: String,
    /// Superuser.
    user: String,
    /// Whether its image has psql.
    db_has_psql: bool,
    keep: bool,
}

/// Fails the test unless Docker answers and these images are here.
#[track_caller]
pub fn require_images(images: &[&str]) {
    let answer = run(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]), None);
    assert!(answer.status.success(), "Docker does not answer: {SETUP}\n{answer}");
    for image in images {
        let there = docker(["image", "inspect", "--format", "{{.Id}}", image]);
        assert!(there.status.success(), "the image {image} is missing: {SETUP}");
    }
}

impl Stack {
    /// Copies a folder of `tests/stacks` (or of the test kit's own) to a fresh directory. `repot` is the program
    /// under test.
    #[must_use]
    #[track_caller]
    pub fn new(name: &str, repot: &str) -> Self {
        let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
        let places = [kit.join("../../tests/stacks").join(name), kit.join("stacks").join(name)];
        let Some(from) = places.iter().find(|p| p.is_dir()) else { panic!("there is no stack {name}") };
        sweep::sweep();
        require_images(&["postgres:13"]);
        let dir = fresh_dir(name);
        let copied = run(Command::new("cp").arg("-a").arg(format!("{}/.", from.display())).arg(&dir), None);
        let _ = copied.ok();
        let project = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let stack = Stack {
            dir,
            project,
            repot: PathBuf::from(repot),
            db: String::new(),
            user: String::new(),
            db_has_psql: true,
            keep: std::env::var_os("REPOT_TEST_KEEP").is_some(),
        };
        let mut stack = stack;
        for version in ["repot-test/mini:1", "repot-test/mini:2"] {
            // The kit's own stack needs nothing but psql in its application's image.
            let _ = docker(["tag", "postgres:13", version]).ok();
        }
        stack.learn();
        stack
    }

    /// Reads the Compose files anew: which service is the database, who its superuser is, whether its images are
    /// here.
    #[track_caller]
    pub fn learn(&mut self) {
        let config: serde_json::Value = self.compose(&["config", "--format", "json"]).ok().json();
        let name = config["name"].as_str().unwrap_or_default();
        assert_eq!(name, self.project, "the stack names its project itself: two would meet");
        let mut images = Vec::new();
        for (service, s) in config["services"].as_object().into_iter().flatten() {
            let image = s["image"].as_str().unwrap_or_default();
            images.push(image.to_owned());
            // A client may run from the server's image: the server is what keeps data.
            let keeps_data = s["volumes"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|m| m["target"].as_str().is_some_and(|t| t.starts_with("/var/lib/postgresql")));
            if keeps_data && self.db.is_empty() {
                self.db = service.clone();
            }
            if *service == self.db {
                self.db_has_psql = image != "postgres:12";
                self.user = s["environment"]["POSTGRES_USER"].as_str().unwrap_or("postgres").to_owned();
            }
        }
        require_images(&images.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The project's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }
    /// The database service.
    #[must_use]
    pub fn db_service(&self) -> &str {
        &self.db
    }

    /// Writes a file of the project, for tests that change it first.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        assert!(std::fs::write(&path, text).is_ok(), "cannot write {}", path.display());
    }
    /// Reads a file of the project.
    #[must_use]
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        match std::fs::read_to_string(self.dir.join(name)) {
            Ok(t) => t,
            Err(e) => panic!("cannot read {name}: {e}"),
        }
    }
    /// Replaces a text in a file of the project; it must be there.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not contain {from:?}:\n{text}");
        self.write(name, &text.replace(from, to));
    }
    /// The project's own files, with modes and owners.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, FileState> {
        project_files(&self.dir)
    }

    fn clean(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut c = Command::new(program);
        c.current_dir(&self.dir);
        for (name, _) in std::env::vars() {
            // The environment beats `.env`: nothing of the caller's may get in.
            let ours =
                ["COMPOSE_", "POSTGRES_", "PG", "INVENTREE_", "NAUTOBOT_", "ENTE_", "REPOT_", "FAILPOINTS"];
            if ours.iter().any(|p| name.starts_with(p)) {
                c.env_remove(name);
            }
        }
        c
    }

    /// `docker compose` in the project's directory.
    #[track_caller]
    pub fn compose(&self, args: &[&str]) -> Ran {
        run(self.clean("docker").arg("compose").args(args), None)
    }

    /// Starts everything and waits until it is well.
    #[track_caller]
    pub fn up(&self) {
        // Not `--wait`: this Compose takes a service whose health check is turned off for a failed one.
        let ran = self.compose(&["up", "-d", "--quiet-pull"]);
        if !ran.status.success() {
            let logs = self.compose(&["logs", "--tail", "40"]);
            panic!("the stack does not start\n{ran}\n{logs}");
        }
        let deadline = std::time::Instant::now() + crate::LIMIT;
        loop {
            let all = self.containers();
            let well = |c: &Container| c.state == "running" && matches!(c.health.as_str(), "healthy" | "");
            if all.iter().all(well) {
                break;
            }
            if std::time::Instant::now() > deadline {
                let logs = self.compose(&["logs", "--tail", "40"]);
                panic!("the stack does not get well\n{all:#?}\n{logs}");
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        if !self.db.is_empty() {
            self.wait_database();
        }
    }

    /// Waits until the database answers over TCP: the server that initialises it does not.
    #[track_caller]
    pub fn wait_database(&self) {
        wait_for("the database answers", || {
            self.psql_raw("postgres", "SELECT 1").status.success().then_some(())
        });
    }

    /// repot with `-C` this directory, to its end.
    #[track_caller]
    pub fn repot(&self, args: &[&str]) -> Ran {
        self.repot_env(args, &[])
    }
    /// repot with more environment.
    #[track_caller]
    pub fn repot_env(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        run(&mut self.repot_command(args, env), None)
    }
    /// repot with a failpoint set, such as `restore::after-apply=return(kill)`.
    #[track_caller]
    pub fn repot_failing(&self, args: &[&str], failpoints: &str) -> Ran {
        self.repot_env(args, &[("FAILPOINTS", failpoints)])
    }
    /// repot with exactly these arguments: no -C.
    #[track_caller]
    pub fn repot_plain(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        run(self.clean(&self.repot).current_dir("/").args(args).envs(env.iter().copied()), None)
    }
    /// repot in another directory.
    #[track_caller]
    pub fn repot_in(&self, dir: &Path, args: &[&str]) -> Ran {
        run(self.clean(&self.repot).current_dir(dir).args(args), None)
    }
    /// Starts repot and leaves it at work.
    #[must_use]
    #[track_caller]
    pub fn start_repot(&self, args: &[&str], env: &[(&str, &str)]) -> Running {
        let mut command = self.repot_command(args, env);
        let name = words(&command);
        let mut child = spawn(&mut command, false);
        let streams = Streams::of(&mut child);
        Running::new(child, streams, name)
    }
    fn repot_command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut c = self.clean(&self.repot);
        // Anywhere but the project's own directory: -C must do.
        c.current_dir("/");
        // The command comes first, so that the words after it stay as the test wrote them.
        let (command, rest) = args.split_first().map_or(("--help", &[][..]), |(a, b)| (*a, b));
        c.arg(command);
        if !command.starts_with('-') {
            c.arg("-C").arg(&self.dir);
        }
        c.args(rest).envs(env.iter().copied());
        c
    }

    /// The running database container.
    #[must_use]
    #[track_caller]
    pub fn db_container(&self) -> String {
        let found = docker([
            "ps",
            "-q",
            "--no-trunc",
            "--filter",
            &format!("label=com.docker.compose.project={}", self.project),
            "--filter",
            &format!("label=com.docker.compose.service={}", self.db),
            "--filter",
            "label=com.docker.compose.oneoff=False",
        ]);
        let id = found.stdout.trim().to_owned();
        assert!(!id.is_empty(), "the service {} does not run", self.db);
        id
    }

    fn psql_raw(&self, db: &str, sql: &str) -> Ran {
        // Over TCP, which only the finished server has.
        let psql = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"];
        if self.db_has_psql {
            let (user, id) = (format!("PGUSER={}", self.user), self.db_container());
            let args = ["exec", "-i", "-e", "PGHOST=127.0.0.1", "-e", &user, "-e", "PGDATABASE"];
            let mut c = Command::new("docker");
            // Debian's psql is a Perl program that looks for the real one.
            let real = r#"for d in /usr/lib/postgresql/*/bin; do PATH=$d:$PATH; done; exec psql "$@""#;
            let c = c.args(args).arg(id).args(["sh", "-c", real, "psql"]).args(psql).env("PGDATABASE", db);
            return run(c, Some(sql.as_bytes()));
        }
        let network = format!("--network=container:{}", self.db_container());
        let user = format!("PGUSER={}", self.user);
        let database = format!("PGDATABASE={db}");
        let args = ["run", "--rm", "-i", &network, "-e", "PGHOST=127.0.0.1", "-e", &user, "-e", &database];
        let image = ["--entrypoint=psql", "postgres:17"];
        run(Command::new("docker").args(args).args(image).args(psql), Some(sql.as_bytes()))
    }
    /// Runs SQL as superuser and returns what psql prints, unaligned, fields divided by `|`.
    #[track_caller]
    pub fn psql(&self, db: &str, sql: &str) -> String {
        self.psql_raw(db, sql).ok().stdout.trim_end().to_owned()
    }
    /// Logs in over the network of the project, with a password, as the application does.
    #[track_caller]
    pub fn login(&self, user: &str, password: &str, db: &str, sql: &str) -> Ran {
        let networks = docker([
            "inspect",
            "-f",
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}",
            &self.db_container(),
        ]);
        let network = format!("--network={}", networks.stdout.split_whitespace().next().unwrap_or_default());
        let env = [
            format!("PGHOST={}", self.db),
            format!("PGUSER={user}"),
            format!("PGPASSWORD={password}"),
            format!("PGDATABASE={db}"),
        ];
        let mut c = Command::new("docker");
        c.args(["run", "--rm", "-i", &network]);
        for e in &env {
            c.arg("-e").arg(e);
        }
        run(c.args(["--entrypoint=psql", "postgres:17", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql]), None)
    }
    /// Major version of the running server.
    #[must_use]
    #[track_caller]
    pub fn major(&self) -> u32 {
        self.psql("postgres", "SELECT current_setting('server_version_num')::int / 10000")
            .parse()
            .unwrap_or(0)
    }

    /// Runs a program in a service's running container.
    #[track_caller]
    pub fn exec(&self, service: &str, args: &[&str]) -> Ran {
        let mut all = vec!["exec", "-T", service];
        all.extend(args);
        self.compose(&all)
    }

    /// Every container of the project: Compose's and repot's own.
    #[must_use]
    #[track_caller]
    pub fn containers(&self) -> Vec<Container> {
        let mut ids: Vec<String> = Vec::new();
        for filter in [
            format!("label=com.docker.compose.project={}", self.project),
            format!("label=repot.project={}", self.project),
            format!("name=^/?repot-{}-", self.project),
        ] {
            let out = docker(["ps", "-aq", "--no-trunc", "--filter", &filter]).ok();
            ids.extend(out.stdout.lines().map(str::to_owned));
        }
        for run in self.runs() {
            let out = docker(["ps", "-aq", "--no-trunc", "--filter", &format!("label=repot.run={run}")]).ok();
            ids.extend(out.stdout.lines().map(str::to_owned));
        }
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Vec::new();
        }
        let out = run(Command::new("docker").arg("inspect").args(&ids), None);
        // One that goes while we look is not there.
        let all: Vec<serde_json::Value> = serde_json::from_str(&out.stdout).unwrap_or_default();
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let mut list: Vec<Container> = all
            .iter()
            .map(|c| Container {
                id: text(&c["Id"]),
                name: text(&c["Name"]).trim_start_matches('/').to_owned(),
                service: text(&c["Config"]["Labels"]["com.docker.compose.service"]),
                image: text(&c["Config"]["Image"]),
                state: text(&c["State"]["Status"]),
                health: text(&c["State"]["Health"]["Status"]),
                restart: match text(&c["HostConfig"]["RestartPolicy"]["Name"]) {
                    // The two words for it.
                    none if none.is_empty() => "no".to_owned(),
                    policy => policy,
                },
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
    /// The container of a service.
    #[must_use]
    #[track_caller]
    pub fn container(&self, service: &str) -> Container {
        match self.containers().into_iter().find(|c| c.service == service) {
            Some(c) => c,
            None => panic!("the service {service} has no container"),
        }
    }
    /// Volumes of the project, sorted, without the project's name.
    #[must_use]
    #[track_caller]
    pub fn volumes(&self) -> Vec<String> {
        let out = docker(["volume", "ls", "-q", "--filter", &format!("name=^{}_", self.project)]).ok();
        let prefix = format!("{}_", self.project);
        let mut all: Vec<String> =
            out.stdout.lines().filter_map(|l| l.strip_prefix(&prefix)).map(str::to_owned).collect();
        all.sort();
        all
    }
    /// The whole name of a volume.
    #[must_use]
    pub fn volume(&self, key: &str) -> String {
        format!("{}_{key}", self.project)
    }
    /// Checksums of a volume, by its name in the Compose file.
    #[must_use]
    #[track_caller]
    pub fn sums_of_volume(&self, key: &str) -> Sums {
        Sums::of(&self.volume(key), "")
    }
    /// Checksums of a directory below the project's.
    #[must_use]
    #[track_caller]
    pub fn sums_of_dir(&self, dir: &str) -> Sums {
        Sums::of(&self.dir.join(dir).display().to_string(), "")
    }

    /// Ids of repot's runs here, oldest first.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.join(".repot/runs"));
        let mut all: Vec<String> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        all.sort();
        all
    }
    /// `repot status --json`.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        self.repot(&["status", "--json"]).ok().json()
    }
    /// State of the last run, such as `done`.
    #[must_use]
    #[track_caller]
    pub fn state(&self) -> String {
        self.status()["state"].as_str().unwrap_or_default().to_owned()
    }
}

/// A directory that nobody else has, whose name is good for a Compose project.
#[track_caller]
fn fresh_dir(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = sweep::own_dir().join(format!("{name}-{}-{n}", std::process::id()));
    assert!(std::fs::create_dir_all(&dir).is_ok(), "cannot make {}", dir.display());
    dir
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // Compose needs its files for `down`, and a test may have broken them; labels and names do not.
        sweep::remove_project(&self.project);
        sweep::remove_dir(&self.dir);
        // Only when it was the last one.
        let _ = std::fs::remove_dir(sweep::own_dir());
    }
}
