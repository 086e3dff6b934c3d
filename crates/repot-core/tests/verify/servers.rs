//! Real servers in containers, gone when the test ends however it ends.

#![allow(clippy::disallowed_methods, reason = "the servers of a test are nobody's children but the test's")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use repot_core::engine::postgres::session::{Connector, UrlConnector};
use repot_core::verify::{ClusterFingerprint, TakeOptions, take};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A server of one major version; its container and volume are removed on drop.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) major: u32,
    port: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
    }
}

impl Server {
    /// Starts one. A missing image is a failure: a comparison that did not run proves nothing.
    pub(crate) fn start(major: u32) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("repot-verify-{}-{number}-pg{major}", std::process::id());
        let image = format!("postgres:{major}");
        let mut server = Server { name, major, port: String::new() };
        run(docker(&[
            "run",
            "-d",
            "--pull",
            "never",
            "--name",
            &server.name,
            "-e",
            "POSTGRES_HOST_AUTH_METHOD=trust",
            "-p",
            "127.0.0.1:0:5432",
            &image,
            "-c",
            "fsync=off",
        ]));
        let ports = run(docker(&["port", &server.name, "5432/tcp"]));
        server.port = ports.lines().next().and_then(|l| l.rsplit(':').next()).expect("a port").to_owned();
        // Only the final server listens on TCP, so who answers there is done with its initialisation.
        let started = Instant::now();
        while let Err(e) = server.connector("postgres").connect("postgres") {
            assert!(started.elapsed() < Duration::from_secs(90), "{image} does not start: {e}");
            std::thread::sleep(Duration::from_millis(200));
        }
        server
    }

    pub(crate) fn connector(&self, user: &str) -> UrlConnector {
        let url = format!("postgresql://{user}@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        UrlConnector::parse(&url, None).expect("a good URL")
    }

    /// Writes a file inside the container.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let script = format!("cat > {path}");
        feed(docker(&["exec", "-i", "-u", "root", &self.name, "sh", "-c", &script]), text.as_bytes());
    }

    /// A client program beside the server. The images of 12 and 16 hold no client programs; another's serve.
    fn inside(&self, args: &[&str]) -> Command {
        let network = format!("container:{}", self.name);
        let mut cmd = if [12, 16].contains(&self.major) {
            docker(&["run", "--rm", "-i", "--network", &network, "postgres:17"])
        } else {
            docker(&["exec", "-i", &self.name])
        };
        cmd.args(args);
        cmd
    }

    /// Runs a script with psql, stopping at the first error.
    pub(crate) fn psql(&self, database: &str, script: &[u8]) -> String {
        self.attempt(database, script).unwrap_or_else(|e| panic!("{e}"))
    }

    /// As [`Server::psql`], with what it complained of as an error.
    pub(crate) fn attempt(&self, database: &str, script: &[u8]) -> Result<String, String> {
        let args =
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", "127.0.0.1", "-d", database];
        let out = output(self.inside(&args), script)?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    pub(crate) fn fingerprint(&self, databases: &[&str]) -> ClusterFingerprint {
        let opts = TakeOptions {
            jobs: 2,
            databases: Some(databases.iter().map(|d| (*d).to_owned()).collect()),
            cluster: true,
            ..TakeOptions::default()
        };
        take(&self.connector("postgres"), &opts, &|_| {}).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Dumps `database` and the roles of `self` with the client programs of version `client` and restores them
    /// into `to`, as PostgreSQL's manual says; any complaint is a failure.
    pub(crate) fn move_to(&self, to: &Server, database: &str, client: u32) {
        let image = format!("postgres:{client}");
        let network = format!("container:{}", self.name);
        let tool = |args: &[&str]| {
            let mut cmd = docker(&["run", "--rm", "--network", &network, &image]);
            cmd.args(args);
            cmd
        };
        let globals = run(tool(&["pg_dumpall", "-h", "127.0.0.1", "-U", "postgres", "--globals-only"]));
        let globals: Vec<&str> = globals.lines().filter(|l| *l != "CREATE ROLE postgres;").collect();
        to.psql("postgres", globals.join("\n").as_bytes());
        let dump =
            output(tool(&["pg_dump", "-h", "127.0.0.1", "-U", "postgres", "-Fc", "-d", database]), b"");
        let dump = dump.unwrap_or_else(|e| panic!("{e}")).stdout;
        let args =
            ["pg_restore", "-U", "postgres", "-h", "127.0.0.1", "-C", "--exit-on-error", "-d", "postgres"];
        feed(to.inside(&args), &dump);
    }
}

fn docker(args: &[&str]) -> Command {
    let mut cmd = Command::new("docker");
    cmd.args(args);
    cmd
}

fn run(cmd: Command) -> String {
    feed(cmd, b"")
}

fn feed(cmd: Command, input: &[u8]) -> String {
    let out = output(cmd, input).unwrap_or_else(|e| panic!("{e}"));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn output(mut cmd: Command, input: &[u8]) -> Result<Output, String> {
    let mut child = cmd
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker is installed");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let out = child.wait_with_output().expect("docker ends");
    let _ = feeder.join();
    if out.status.success() {
        return Ok(out);
    }
    Err(format!("{cmd:?} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr)))
}

/// What a gzip file holds.
pub(crate) fn gunzip(path: &str) -> Vec<u8> {
    let mut cmd = Command::new("gzip");
    cmd.args(["-dc", path]);
    output(cmd, b"").unwrap_or_else(|e| panic!("{path}: {e}")).stdout
}
