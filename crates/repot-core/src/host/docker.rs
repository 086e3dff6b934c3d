//! Docker through its own command: contexts, DOCKER_HOST, ssh and registry credentials all work as the user set
//! them up, and nothing here needs more rights than the docker group gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::exec::{Cmd, Pipes};
use crate::progress::{Event, Observer};

/// Label on everything that repot makes in Docker; its value is the run.
pub const LABEL_RUN: &str = "repot.run";

/// How long a question to the daemon may take.
const ASK: Duration = Duration::from_secs(60);

/// The docker command.
#[derive(Debug, Clone, Default)]
pub struct Docker;

/// What is known of an image.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInfo {
    /// Content address, `sha256:…`.
    pub id: String,
    /// `repository@sha256:…`, where it came from a registry.
    #[serde(default, deserialize_with = "null_default")]
    pub repo_digests: Vec<String>,
    /// Its configuration.
    pub config: ImageConfig,
}

/// The part of an image's configuration that matters here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `NAME=value`.
    #[serde(deserialize_with = "null_default")]
    pub env: Vec<String>,
    /// Labels.
    #[serde(deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    /// The entrypoint.
    #[serde(deserialize_with = "null_default")]
    pub entrypoint: Vec<String>,
}

fn null_default<'de, D, T>(d: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

impl ImageInfo {
    /// A variable of the image's environment.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        self.config.env.iter().find_map(|e| e.strip_prefix(name)?.strip_prefix('='))
    }
    /// The PostgreSQL major it carries, from PG_MAJOR or PG_VERSION (docker-library/postgres sets both).
    #[must_use]
    pub fn pg_major(&self) -> Option<u32> {
        let text = self.env("PG_MAJOR").or_else(|| self.env("PG_VERSION"))?;
        text.split(['.', '-', '~', 'b', 'r']).next()?.parse().ok()
    }
}

/// A mount of a container or a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountArg {
    /// Host path or volume name.
    pub source: String,
    /// Path inside the container.
    pub target: String,
    /// Options such as `z`, `ro`; empty for none.
    pub options: String,
}

impl MountArg {
    /// Read-write mount without options.
    pub fn new(source: impl Into<String>, target: impl Into<String>) -> Self {
        MountArg { source: source.into(), target: target.into(), options: String::new() }
    }
    fn to_args(&self) -> [String; 2] {
        let plain = self.options.is_empty() || self.options == "ro";
        if plain && self.source.starts_with('/') && !self.source.contains([',', '"']) {
            // Unlike -v, --mount does not make a missing host directory, as root, behind the user's back.
            let ro = if self.options == "ro" { ",readonly" } else { "" };
            return [
                "--mount".to_owned(),
                format!("type=bind,source={},target={}{ro}", self.source, self.target),
            ];
        }
        let options = if self.options.is_empty() { String::new() } else { format!(":{}", self.options) };
        ["-v".to_owned(), format!("{}:{}{options}", self.source, self.target)]
    }
}

/// A container to run.
#[derive(Debug, Clone, Default)]
pub struct RunSpec {
    /// Image reference or id.
    pub image: String,
    /// Name; empty lets Docker choose.
    pub name: String,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<String>,
    /// Arguments after the image.
    pub args: Vec<String>,
    /// Mounts.
    pub mounts: Vec<MountArg>,
    /// `none`, a network's name, `container:NAME`.
    pub network: String,
    /// User, as `--user`; empty for the image's own.
    pub user: String,
    /// Environment; values travel in the environment of the docker command, never in its arguments.
    pub env: Vec<(String, String)>,
    /// The run, for the label.
    pub run: String,
    /// More labels.
    pub labels: Vec<(String, String)>,
    /// Keeps standard input open.
    pub interactive: bool,
    /// Detached; otherwise in the foreground and removed at its end.
    pub detach: bool,
    /// Removed at its end even when detached.
    pub remove: bool,
    /// Size of /dev/shm in bytes, where the service set one.
    pub shm_size_bytes: Option<u64>,
    /// Turns SELinux confinement off for this container, so that it may enter a directory without relabelling
    /// it: the labels stay as the user's own mount flags made them.
    pub unconfined: bool,
    /// Named pipes that it sees.
    pub pipes: Option<Arc<Pipes>>,
}

impl RunSpec {
    /// The command that runs it.
    #[must_use]
    pub fn cmd(&self) -> Cmd {
        let mut c = Cmd::new("docker").arg("run");
        if self.detach {
            c = c.arg("-d");
        }
        if !self.detach || self.remove {
            c = c.arg("--rm");
        }
        c = c.args(["--pull", "never", "--no-healthcheck"]);
        // What runs in the foreground is read here; in a log, each byte of a dump would be written once more.
        c = match self.detach {
            true => c.args(["--log-driver", "json-file", "--log-opt", "max-size=20m"]),
            false => c.args(["--log-driver", "none"]),
        };
        if self.interactive {
            c = c.arg("-i");
        }
        if !self.name.is_empty() {
            c = c.args(["--name", &self.name]);
        }
        if !self.network.is_empty() {
            c = c.args(["--network", &self.network]);
        }
        if !self.user.is_empty() {
            c = c.args(["--user", &self.user]);
        }
        if self.unconfined {
            c = c.args(["--security-opt", "label=disable"]);
        }
        if let Some(n) = self.shm_size_bytes {
            c = c.args(["--shm-size", &n.to_string()]);
        }
        if !self.run.is_empty() {
            c = c.arg("--label").arg(format!("{LABEL_RUN}={}", self.run));
        }
        for (k, v) in &self.labels {
            c = c.arg("--label").arg(format!("{k}={v}"));
        }
        let pipes = self.pipes.as_ref().map(|p| MountArg::new(p.dir().display().to_string(), p.inside()));
        for m in self.mounts.iter().chain(&pipes) {
            c = c.args(m.to_args());
        }
        for (k, v) in &self.env {
            c = c.args(["-e", k]).env(k, v);
        }
        if let Some(e) = &self.entrypoint {
            c = c.args(["--entrypoint", e]);
        }
        c.arg(&self.image).pipes(self.pipes.clone(), self.entrypoint.as_deref()).args(&self.args)
    }
}

impl Docker {
    /// What names this Docker installation, as long as it is not installed anew; none where it does not say.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let c = Cmd::new("docker").args(["info", "--format", "{{.ID}}"]).timeout(Duration::from_secs(30));
        let out = c.output().ok().filter(super::super::exec::Output::ok)?;
        Some(out.text()).filter(|t| !t.is_empty())
    }

    /// The daemon's version; a clear error when there is no Docker or no daemon.
    pub fn ping(&self) -> Result<String> {
        let out = Cmd::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .timeout(Duration::from_secs(30))
            .output()
            .map_err(|e| {
                if e.code == "program-missing" {
                    Error::refused("docker-missing", "there is no `docker` command here").help(
                        "install Docker Engine with the Compose plugin, or run repot where it is installed",
                    )
                } else {
                    e
                }
            })?;
        if !out.ok() {
            return Err(Error::refused("docker-unreachable", "the Docker daemon does not answer")
                .why(crate::exec::last_lines(&out.stderr, 3))
                .help("start it (`systemctl start docker`), check DOCKER_HOST, or join the docker group"));
        }
        Ok(out.text())
    }

    /// The Compose plugin's version.
    pub fn compose_version(&self) -> Result<String> {
        let out = Cmd::new("docker").args(["compose", "version", "--short"]).timeout(ASK).output()?;
        if !out.ok() {
            return Err(Error::refused("compose-missing", "`docker compose` does not work here")
                .why(crate::exec::last_lines(&out.stderr, 3))
                .help("install the Compose v2 plugin (package docker-compose-plugin)"));
        }
        Ok(out.text())
    }

    /// An image that is present, or `None`.
    pub fn image(&self, reference: &str) -> Result<Option<ImageInfo>> {
        let out = Cmd::new("docker").args(["image", "inspect", reference]).timeout(ASK).output()?;
        if !out.ok() {
            return missing(&out.stderr, "no such image", reference);
        }
        let mut all: Vec<ImageInfo> = parse(&out.stdout, "docker image inspect")?;
        Ok(all.pop())
    }

    /// The images of a repository that are here, as `repository:tag`, newest first.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let format = "{{.Repository}}:{{.Tag}}";
        let out =
            Cmd::new("docker").args(["image", "ls", "--format", format, repository]).timeout(ASK).run()?;
        Ok(out.text().lines().filter(|l| !l.contains("<none>")).map(str::to_owned).collect())
    }

    /// Fetches an image, with progress notes.
    pub fn pull(&self, reference: &str, observer: &dyn Observer) -> Result<()> {
        let cmd = Cmd::new("docker").args(["pull", "--quiet", reference]);
        observer.event(Event::Progress {
            what: format!("docker pull {reference}"),
            done_bytes: 0,
            total_bytes: 0,
        });
        let out = cmd.output()?;
        if out.ok() {
            return Ok(());
        }
        Err(Error::failed("pull-failed", format!("the image {reference} cannot be fetched"))
            .why(crate::exec::last_lines(&out.stderr, 3))
            .help("check the name and the network, then try again; an image loaded by hand (`docker load`) is used as it is")
            .retryable())
    }

    /// What `docker inspect` says of these containers, asked at once; those that are gone are left out.
    pub fn inspect_containers(&self, ids: &[String]) -> Result<Vec<Value>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let out = Cmd::new("docker").args(["container", "inspect"]).args(ids).timeout(ASK).output()?;
        if !out.ok() && !out.stderr.to_lowercase().contains("no such container") {
            return Err(Error::failed("docker", "cannot look at the containers")
                .why(crate::exec::last_lines(&out.stderr, 3)));
        }
        parse(&out.stdout, "docker container inspect")
    }

    /// `docker inspect` of a container, or `None` when there is none of that name or id.
    pub fn container(&self, name: &str) -> Result<Option<Value>> {
        // Uninterruptible, as `logs`: stopping our own servers after a Ctrl-C begins with this question.
        let out = Cmd::new("docker")
            .args(["container", "inspect", name])
            .uninterruptible()
            .timeout(ASK)
            .output()?;
        if !out.ok() {
            if out.stderr.to_lowercase().contains("no such container") {
                return Ok(None);
            }
            return Err(Error::failed("docker", format!("cannot look at the container {name}"))
                .why(crate::exec::last_lines(&out.stderr, 3)));
        }
        let mut all: Vec<Value> = parse(&out.stdout, "docker container inspect")?;
        Ok(all.pop())
    }

    /// Ids of the containers that carry all `filters` (such as `label=repot.run=…`), running or not.
    pub fn containers(&self, filters: &[String]) -> Result<Vec<String>> {
        let mut c = Cmd::new("docker").args(["ps", "-aq", "--no-trunc"]);
        for f in filters {
            c = c.args(["--filter", f]);
        }
        Ok(c.timeout(ASK).run()?.text().lines().map(str::to_owned).collect())
    }

    /// Stops a container and waits; `timeout_s` is how long it may take before Docker kills it.
    pub fn stop(&self, name: &str, timeout_s: u64) -> Result<()> {
        Cmd::new("docker")
            .args(["stop", "-t", &timeout_s.to_string(), name])
            .uninterruptible()
            .run()
            .map(drop)
    }

    /// Removes a container with its anonymous volumes; none of that name is fine.
    pub fn remove_container(&self, name: &str) -> Result<()> {
        let out = Cmd::new("docker").args(["rm", "-fv", name]).uninterruptible().timeout(ASK).output()?;
        if out.ok() || out.stderr.to_lowercase().contains("no such container") {
            return Ok(());
        }
        Err(Error::failed("docker", format!("cannot remove the container {name}")).why(&out.stderr))
    }

    /// The last lines of a container's log.
    #[must_use]
    pub fn logs(&self, name: &str, lines: usize) -> String {
        Cmd::new("docker")
            .args(["logs", "--tail", &lines.to_string(), name])
            .uninterruptible()
            .timeout(ASK)
            .output()
            .map(|o| {
                let all = format!("{}\n{}", o.text(), o.stderr);
                crate::exec::last_lines(&all, lines)
            })
            .unwrap_or_default()
    }

    /// Whether a volume of that name exists, and its labels and options.
    pub fn volume(&self, name: &str) -> Result<Option<Value>> {
        let out = Cmd::new("docker").args(["volume", "inspect", name]).timeout(ASK).output()?;
        if !out.ok() {
            return missing(&out.stderr, "no such volume", name);
        }
        let mut all: Vec<Value> = parse(&out.stdout, "docker volume inspect")?;
        Ok(all.pop())
    }

    /// Creates a volume with labels; one that exists already is left as it is.
    pub fn create_volume(&self, name: &str, labels: &[(String, String)]) -> Result<()> {
        let mut c = Cmd::new("docker").args(["volume", "create"]);
        for (k, v) in labels {
            c = c.arg("--label").arg(format!("{k}={v}"));
        }
        c.arg(name).uninterruptible().timeout(ASK).run().map(drop)
    }

    /// Removes a volume together with the stopped containers that still refer to it, which Compose makes anew;
    /// one that runs is left, and then the volume is, too.
    pub fn remove_volume_and_users(&self, name: &str) -> Result<()> {
        for id in self.containers(&[format!("volume={name}"), "status=exited".to_owned()])? {
            Cmd::new("docker").args(["rm", "-v", &id]).uninterruptible().timeout(ASK).output()?;
        }
        for id in self.containers(&[format!("volume={name}"), "status=created".to_owned()])? {
            Cmd::new("docker").args(["rm", "-v", &id]).uninterruptible().timeout(ASK).output()?;
        }
        self.remove_volume(name)
    }

    /// Removes a volume; none of that name is fine.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let out = Cmd::new("docker").args(["volume", "rm", name]).uninterruptible().timeout(ASK).output()?;
        if out.ok() || out.stderr.to_lowercase().contains("no such volume") {
            return Ok(());
        }
        Err(Error::failed("docker", format!("cannot remove the volume {name}")).why(&out.stderr))
    }
}

/// `None` when Docker says that there is none; any other failure is one.
fn missing<T>(stderr: &str, words: &str, name: &str) -> Result<Option<T>> {
    let text = stderr.to_lowercase();
    if text.contains(words) || text.contains("no such object") || text.contains("invalid reference format") {
        return Ok(None);
    }
    Err(Error::failed("docker", format!("cannot look at {name}"))
        .why(crate::exec::last_lines(stderr, 3))
        .retryable())
}

/// Parses what a docker command printed.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], origin: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::failed("odd-output", format!("`{origin}` printed something unexpected")).why(e))
}
