//! A Compose project as `docker compose config` resolves it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::exec::Cmd;

/// Names that Compose looks for, in its order.
const DEFAULT_FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Override files that Compose adds to a default file by itself, in its order.
const OVERRIDE_FILES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// How to address one project again, from any process: fixed when a run is planned, so that another shell with
/// other COMPOSE_* variables resumes the same project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRef {
    /// Project name (`-p`).
    pub name: String,
    /// Project directory.
    pub dir: PathBuf,
    /// Compose files in merge order.
    pub files: Vec<PathBuf>,
    /// The `.env` file, where there is one.
    pub env_file: Option<PathBuf>,
    /// Profiles that were on (COMPOSE_PROFILES).
    pub profiles: Vec<String>,
}

/// One service, resolved.
#[derive(Debug, Clone)]
pub struct Service {
    /// Name in the Compose file.
    pub name: String,
    /// Image reference, resolved; empty when it is built.
    pub image: String,
    /// Whether it has a `build:` section.
    pub built: bool,
    /// Environment, resolved from `environment` and `env_file`.
    pub environment: BTreeMap<String, String>,
    /// `command:` as a list.
    pub command: Vec<String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// `user:`.
    pub user: Option<String>,
    /// `shm_size:` in bytes.
    pub shm_size_bytes: Option<u64>,
    /// `scale:` or `deploy.replicas`.
    pub replicas: u64,
}

/// Bind mount or named volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A directory of the host.
    Bind,
    /// A named volume.
    Volume,
}

/// A mount of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Bind or volume.
    pub kind: MountKind,
    /// Host path, or the volume's key in the Compose file.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
    /// SELinux relabelling flag, `z` or `Z`.
    pub selinux: Option<String>,
}

/// The whole project.
#[derive(Debug, Clone)]
pub struct Project {
    /// How to address it.
    pub at: ProjectRef,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Named volumes: key in the file -> (real name, whole definition).
    pub volumes: BTreeMap<String, (String, Value)>,
    /// The resolved document, for proving later that only the intended values changed.
    pub resolved: Value,
}

impl ProjectRef {
    /// `docker compose` with this project's files, whatever the environment says.
    #[must_use]
    pub fn compose(&self) -> Cmd {
        let mut c = Cmd::new("docker").arg("compose").arg("-p").arg(&self.name);
        c = c.arg("--project-directory").arg(&self.dir);
        for f in &self.files {
            c = c.arg("-f").arg(f);
        }
        if let Some(f) = &self.env_file {
            c = c.arg("--env-file").arg(f);
        }
        for p in &self.profiles {
            c = c.arg("--profile").arg(p);
        }
        for v in ["COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES"] {
            c = c.env_remove(v);
        }
        c.cwd(&self.dir)
    }

    /// Reads the project as it is on disk now.
    pub fn load(&self) -> Result<Project> {
        let out =
            self.compose().args(["config", "--format", "json"]).timeout(Duration::from_secs(60)).output()?;
        if !out.ok() {
            let files: Vec<String> = self.files.iter().map(|f| f.display().to_string()).collect();
            return Err(Error::refused(
                "compose-invalid",
                format!("Compose cannot read {}", files.join(", ")),
            )
            .why(crate::exec::last_lines(&out.stderr, 5))
            .help("correct the file until `docker compose config` accepts it"));
        }
        Project::from_resolved(
            self.clone(),
            super::super::docker::parse(&out.stdout, "docker compose config")?,
        )
    }
}

/// Finds the Compose files that Compose itself would use in `dir`: COMPOSE_FILE from the environment or `.env`,
/// otherwise the default names with their override file; like Compose, in parent directories too.
pub fn locate(dir: &Path, env: &BTreeMap<String, String>) -> Result<ProjectRef> {
    let dir = dir
        .canonicalize()
        .map_err(|e| Error::usage("no-directory", format!("no directory {}", dir.display())).why(e))?;
    let dotenv_of = |d: &Path| Some(d.join(".env")).filter(|p| p.is_file());
    let listed = |d: &Path| -> Result<Option<String>> {
        if let Some(v) = env.get("COMPOSE_FILE") {
            return Ok(Some(v.clone()));
        }
        match dotenv_of(d) {
            None => Ok(None),
            Some(p) => Ok(super::edit::parse_dotenv(&read(&p)?)
                .into_iter()
                .rev()
                .find(|e| e.name == "COMPOSE_FILE")
                .map(|e| e.value)),
        }
    };
    let (base, files) = if let Some(list) = listed(&dir)? {
        let sep = env.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
        (dir.clone(), list.split(sep).filter(|s| !s.is_empty()).map(|f| dir.join(f)).collect::<Vec<_>>())
    } else {
        let found = dir.ancestors().find_map(|d| {
            let f = DEFAULT_FILES.iter().map(|n| d.join(n)).find(|p| p.is_file())?;
            Some((d.to_path_buf(), f))
        });
        let Some((base, main)) = found else {
            return Err(Error::usage("no-compose-file", format!("there is no Compose file in {}", dir.display()))
                .help("change to the directory that holds your compose.yaml or docker-compose.yml, or name it with -C"));
        };
        let mut files = vec![main.clone()];
        files.extend(OVERRIDE_FILES.iter().map(|n| base.join(n)).find(|p| p.is_file()));
        (base, files)
    };
    if let Some(missing) = files.iter().find(|f| !f.is_file()) {
        return Err(Error::usage(
            "no-compose-file",
            format!("COMPOSE_FILE names {}, which does not exist", missing.display()),
        ));
    }
    let env_file = dotenv_of(&base);
    let profiles = env
        .get("COMPOSE_PROFILES")
        .map(|p| p.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect())
        .unwrap_or_default();
    let mut at = ProjectRef { name: String::new(), dir: base, files, env_file, profiles };
    at.name = project_name(&at, env)?;
    Ok(at)
}

/// Compose's own idea of the project's name, with its precedence (`-p`, COMPOSE_PROJECT_NAME, `name:`, directory).
fn project_name(at: &ProjectRef, env: &BTreeMap<String, String>) -> Result<String> {
    let mut c = Cmd::new("docker").arg("compose");
    for f in &at.files {
        c = c.arg("-f").arg(f);
    }
    c = c.arg("--project-directory").arg(&at.dir);
    if let Some(n) = env.get("COMPOSE_PROJECT_NAME") {
        c = c.env("COMPOSE_PROJECT_NAME", n);
    }
    let out =
        c.args(["config", "--format", "json"]).cwd(&at.dir).timeout(Duration::from_secs(60)).output()?;
    if !out.ok() {
        let files: Vec<String> = at.files.iter().map(|f| f.display().to_string()).collect();
        return Err(Error::refused("compose-invalid", format!("Compose cannot read {}", files.join(", ")))
            .why(crate::exec::last_lines(&out.stderr, 5))
            .help("correct the file until `docker compose config` accepts it"));
    }
    let v: Value = super::super::docker::parse(&out.stdout, "docker compose config")?;
    v["name"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::failed("odd-output", "Compose names no project"))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
    String::from_utf8(bytes).map_err(|_| {
        Error::refused("not-utf8", format!("{} is not UTF-8 text", path.display()))
            .help("convert it to UTF-8")
    })
}

impl Project {
    fn from_resolved(at: ProjectRef, mut resolved: Value) -> Result<Project> {
        unescape(&mut resolved);
        let mut services = BTreeMap::new();
        for (name, s) in resolved["services"].as_object().into_iter().flatten() {
            services.insert(name.clone(), service(name, s));
        }
        let mut volumes = BTreeMap::new();
        for (key, v) in resolved["volumes"].as_object().into_iter().flatten() {
            let real = v["name"].as_str().map_or_else(|| format!("{}_{key}", at.name), str::to_owned);
            volumes.insert(key.clone(), (real, v.clone()));
        }
        if services.is_empty() {
            return Err(Error::refused(
                "no-services",
                format!("the Compose project {} has no services", at.name),
            ));
        }
        Ok(Project { at, services, volumes, resolved })
    }
}

/// `docker compose config` writes `$` as `$$`, so that its output could be read as a Compose file again; a
/// password with a dollar sign is meant without.
fn unescape(v: &mut Value) {
    match v {
        Value::String(s) if s.contains("$$") => *s = s.replace("$$", "$"),
        Value::Array(a) => a.iter_mut().for_each(unescape),
        Value::Object(o) => o.values_mut().for_each(unescape),
        _ => {}
    }
}

fn service(name: &str, s: &Value) -> Service {
    let strings = |v: &Value| -> Vec<String> {
        match v {
            Value::String(one) => vec![one.clone()],
            Value::Array(a) => a.iter().filter_map(|x| x.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        }
    };
    let environment = s["environment"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect();
    let mounts = s["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| {
            let kind = match m["type"].as_str()? {
                "bind" => MountKind::Bind,
                "volume" => MountKind::Volume,
                _ => return None,
            };
            Some(Mount {
                kind,
                source: m["source"].as_str().unwrap_or_default().to_owned(),
                target: m["target"].as_str()?.trim_end_matches('/').to_owned(),
                read_only: m["read_only"].as_bool().unwrap_or(false),
                selinux: m["bind"]["selinux"].as_str().map(str::to_owned),
            })
        })
        .collect();
    Service {
        name: name.to_owned(),
        image: s["image"].as_str().unwrap_or_default().to_owned(),
        built: s["build"].is_object(),
        environment,
        command: strings(&s["command"]),
        mounts,
        user: s["user"].as_str().map(str::to_owned),
        shm_size_bytes: s["shm_size"].as_str().and_then(|t| t.parse().ok()).or(s["shm_size"].as_u64()),
        replicas: s["scale"].as_u64().or(s["deploy"]["replicas"].as_u64()).unwrap_or(1),
    }
}
