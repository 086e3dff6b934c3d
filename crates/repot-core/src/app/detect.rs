//! Which application this is, and where its database is.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::app::others::Other;
use crate::app::profile::Profile;
use crate::app::version::Version;
use crate::error::{Error, Kind, Result};
use crate::host::compose::edit::ImageRef;
use crate::host::compose::host::{ComposeHost, ServiceExtras};
use crate::host::compose::project::{MountKind, Project, ProjectRef, Service, locate};
use crate::host::docker::Docker;
use crate::host::{DataLocation, DataState, Host, ServiceState, Store};

/// What the caller asks for and where it stands; the library reads no environment of its own.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Directory to look in.
    pub dir: std::path::PathBuf,
    /// Environment of the calling shell.
    pub env: BTreeMap<String, String>,
    /// `--service`.
    pub service: Option<String>,
    /// `profile` of repot.toml.
    pub profile: Option<String>,
}

/// An application as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct Deployment {
    /// How to address the Compose project again.
    pub project: ProjectRef,
    /// What repot knows of the application.
    pub profile: Profile,
    /// All services.
    pub services: Vec<ServiceState>,
    /// Application service (update command, health), where there is one.
    pub application: Option<String>,
    /// Version of the application as its image tag says; none for `stable` and the like.
    pub application_version: Option<String>,
    /// The database.
    pub database: Database,
    /// What it is, where it is not PostgreSQL. Then there is nothing here that an upgrade could use.
    #[serde(skip)]
    pub other: Option<Other>,
    /// The resolved project.
    #[serde(skip)]
    pub resolved: Project,
}

/// The database service and its data.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Service name.
    pub service: String,
    /// Image in the Compose file, resolved.
    pub image: String,
    /// Major of that image (its PG_MAJOR, else its tag).
    pub image_major: Option<u32>,
    /// An image that runs the data as it is: the container's own where its major fits, else the tag of the
    /// data's major. Present locally or not.
    pub source_image: String,
    /// Where the data is.
    pub data: DataLocation,
    /// Key of the volume in the Compose file, for a named volume.
    pub volume_key: Option<String>,
    /// Whether PGDATA was set by the user (Compose file), not by the image.
    pub pgdata_is_set: bool,
    /// What the data directory looks like.
    pub state: DataState,
    /// Whether a container runs.
    pub running: bool,
    /// POSTGRES_USER.
    pub superuser: String,
    /// POSTGRES_PASSWORD.
    #[serde(skip)]
    pub password: Option<SecretString>,
    /// POSTGRES_DB: the application's database.
    pub name: String,
    /// The role that the application logs in with.
    pub application_user: String,
    /// Its password.
    #[serde(skip)]
    pub application_password: Option<SecretString>,
    /// What a server of repot's own needs of the service's definition.
    #[serde(skip)]
    pub extras: ServiceExtras,
}

impl Deployment {
    /// Major version of the data: PG_VERSION is the truth, whatever the Compose file says.
    #[must_use]
    pub fn source_major(&self) -> Option<u32> {
        self.database.state.major
    }
    /// Whether its databases are SQLite files: then no service is a database server.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self.other, Some(Other::Sqlite(_)))
    }
    /// A host for a run with id `run`.
    #[must_use]
    pub fn host(&self, run: &str) -> ComposeHost {
        ComposeHost::new(self.project.clone(), run, &self.database.service, self.database.extras.clone())
    }
    /// An image that is present here and can serve as a helper: the data's own, or the service's.
    pub fn helper_image(&self) -> Result<String> {
        helper_image(&Docker, &[&self.database.source_image, &self.database.image])
    }
}

fn helper_image(docker: &Docker, candidates: &[&str]) -> Result<String> {
    for c in candidates {
        if !c.is_empty() && docker.image(c)?.is_some() {
            return Ok((*c).to_owned());
        }
    }
    Err(Error::failed("no-image", format!("none of the images {} is present", candidates.join(", ")))
        .help("fetch it with `docker compose pull`"))
}

/// Looks at the application in a directory. Touches nothing.
pub fn detect(place: &Place, profiles: &[Profile]) -> Result<Deployment> {
    let docker = Docker;
    let refuse = |e: Error| if e.kind == Kind::Failed { e.with_kind(Kind::Refused) } else { e };
    docker.ping().map_err(refuse)?;
    docker.compose_version().map_err(refuse)?;
    let project = locate(&place.dir, &place.env)?.load().map_err(refuse)?;
    let profile = choose_profile(&project, profiles, place.profile.as_deref())?;
    let service = choose_database(&project, &profile, place.service.as_deref())?;
    inspect(&docker, project.clone(), profile, &service).map_err(refuse)
}

pub(super) fn last_component(image: &str) -> (String, String) {
    // Compose has accepted the reference already; an empty one (a built service) matches nothing.
    let Ok(r) = ImageRef::parse(image) else { return Default::default() };
    let last = r.repository.rsplit('/').next().unwrap_or_default().to_owned();
    (r.repository, last)
}

pub(super) fn choose_profile(
    project: &Project,
    profiles: &[Profile],
    wanted: Option<&str>,
) -> Result<Profile> {
    if let Some(name) = wanted {
        return profiles.iter().find(|p| p.name == name).cloned().ok_or_else(|| {
            let known: Vec<&str> = profiles.iter().map(|p| p.name.as_str()).collect();
            Error::usage("no-profile", format!("there is no profile called {name}"))
                .help(format!("known: {}", known.join(", ")))
        });
    }
    let fits = |p: &Profile| {
        project.services.values().any(|s| {
            let (repository, last) = last_component(&s.image);
            p.detect.images.contains(&last)
                || p.detect.repositories.iter().any(|r| repository.ends_with(r.as_str()))
                || p.detect.environment.iter().any(|v| s.environment.contains_key(v))
        })
    };
    profiles
        .iter()
        .find(|p| fits(p))
        .or_else(|| profiles.iter().find(|p| p.name == "generic"))
        .cloned()
        .ok_or_else(|| Error::usage("no-profile", "there is no generic profile"))
}

/// Whether a service runs an image of a PostgreSQL server.
fn has_postgres_image(s: &Service) -> bool {
    let (_, last) = last_component(&s.image);
    let known = ["postgis", "pgvector", "timescaledb", "timescaledb-ha", "pgautoupgrade", "vectorchord"];
    // `postgres-exporter` and the like are clients.
    known.contains(&last.as_str())
        || (last.starts_with("postgres") && !["exporter", "backup"].iter().any(|w| last.contains(w)))
}

/// Whether a service keeps data where PostgreSQL does, or is set up as the image's entrypoint wants it.
fn looks_like_server(s: &Service) -> bool {
    s.mounts.iter().any(|m| m.target.starts_with("/var/lib/postgresql"))
        || ["POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE", "POSTGRES_HOST_AUTH_METHOD", "PGDATA"]
            .iter()
            .any(|v| s.environment.contains_key(*v))
}

pub(super) fn choose_database(project: &Project, profile: &Profile, wanted: Option<&str>) -> Result<Service> {
    if let Some(name) = wanted {
        return project.services.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = project.services.keys().map(String::as_str).collect();
            Error::usage("no-service", format!("the Compose project has no service {name}"))
                .help(format!("its services: {}", known.join(", ")))
        });
    }
    // An application may run a client from the same image (a backup job, psql in a loop): of services with the
    // image, those that look like a server are meant; where none does, the image alone decides.
    let server = |s: &&Service| has_postgres_image(s) && looks_like_server(s);
    let mut found: Vec<&Service> = project.services.values().filter(server).collect();
    if found.is_empty() {
        found = project.services.values().filter(|s| has_postgres_image(s)).collect();
    }
    if found.is_empty() {
        let mounts = |s: &&Service| s.mounts.iter().any(|m| m.target.starts_with("/var/lib/postgresql"));
        found = project.services.values().filter(mounts).collect();
    }
    match found.as_slice() {
        [] => Err(Error::refused(
            "no-postgresql",
            format!("no service of the Compose project {} is a PostgreSQL server", project.at.name),
        )
        .help("if one is, name it with --service")),
        [one] => Ok((*one).clone()),
        many => {
            let by_profile =
                profile.services.database.iter().find_map(|n| many.iter().find(|s| s.name == *n));
            by_profile.map(|s| (*s).clone()).ok_or_else(|| {
                let names: Vec<&str> = many.iter().map(|s| s.name.as_str()).collect();
                Error::usage(
                    "which-service",
                    format!("there is more than one PostgreSQL service: {}", names.join(", ")),
                )
                .help(format!("say which to upgrade, such as --service {}", names[0]))
            })
        }
    }
}

/// Default PGDATA and volume of the official image (docker-library/postgres: moved with 18).
#[must_use]
pub fn default_pgdata(major: u32) -> String {
    if major >= 18 {
        format!("/var/lib/postgresql/{major}/docker")
    } else {
        "/var/lib/postgresql/data".to_owned()
    }
}

fn locate_data(project: &Project, service: &Service, pgdata: &str) -> Result<(DataLocation, Option<String>)> {
    let inside = |target: &str| pgdata == target || pgdata.starts_with(&format!("{target}/"));
    let mount = service
        .mounts
        .iter()
        .filter(|m| inside(&m.target))
        .max_by_key(|m| m.target.len())
        .ok_or_else(|| {
            Error::refused("no-data-mount", format!("the service {} keeps its data ({pgdata}) in no volume of its own", service.name))
                .why("neither a bind mount nor a named volume covers it, so it lives in an anonymous volume that goes with the container")
                .help("give it a named volume or a directory in the Compose file, move the data there, then try again")
        })?;
    if mount.read_only {
        return Err(Error::refused(
            "read-only",
            format!("the data of {} is mounted read-only", service.name),
        ));
    }
    let subdir = pgdata[mount.target.len()..].trim_matches('/').to_owned();
    let (store, key) = match mount.kind {
        MountKind::Bind => (Store::Bind(mount.source.trim_end_matches('/').to_owned()), None),
        MountKind::Volume if mount.source.is_empty() => {
            return Err(Error::refused(
                "no-data-mount",
                format!("the service {} keeps its data in an anonymous volume", service.name),
            )
            .help("give the volume a name in the Compose file first"));
        }
        MountKind::Volume => {
            let real = project
                .volumes
                .get(&mount.source)
                .map_or_else(|| mount.source.clone(), |(real, _)| real.clone());
            (Store::Volume(real), Some(mount.source.clone()))
        }
    };
    Ok((DataLocation { store, target: mount.target.clone(), subdir, selinux: mount.selinux.clone() }, key))
}

pub(super) fn inspect(
    docker: &Docker,
    project: Project,
    profile: Profile,
    service: &Service,
) -> Result<Deployment> {
    if service.built || service.image.is_empty() {
        return Err(Error::refused(
            "image-is-built",
            format!("the service {} is built from a Dockerfile, not taken from an image", service.name),
        )
        .help("change the FROM line of its Dockerfile by hand, or use the image itself, then try again"));
    }
    let host = ComposeHost::new(project.at.clone(), "check", &service.name, ServiceExtras::default());
    let services = host.services()?;
    let own = services.iter().find(|s| s.service == service.name);
    let container = match own.and_then(|s| s.containers.first()) {
        Some(id) => docker.container(id)?,
        None => None,
    };
    let reference = ImageRef::parse(&service.image)?;
    let info = docker.image(&service.image)?;
    let tag_major = reference.tag.as_deref().and_then(major_of_tag);
    let image_major = info.as_ref().and_then(crate::host::docker::ImageInfo::pg_major).or(tag_major);

    let set = service.environment.get("PGDATA").cloned();
    let image_default = info.as_ref().and_then(|i| i.env("PGDATA").map(str::to_owned));
    let mut candidates: Vec<String> = Vec::new();
    let mut add = |p: Option<String>| {
        if let Some(p) = p.map(|p| p.trim_end_matches('/').to_owned())
            && !candidates.contains(&p)
        {
            candidates.push(p);
        }
    };
    add(set.clone());
    if set.is_none() {
        add(image_default.or(image_major.map(default_pgdata)));
        // Somebody may have bumped the tag first: then the data is where the older layout puts it, and the other
        // way round for who went back.
        add(Some(default_pgdata(17)));
        for m in (18..=crate::app::profile::NEWEST_MAJOR).rev() {
            add(Some(default_pgdata(m)));
        }
    }

    let mut first: Option<(DataLocation, Option<String>, DataState)> = None;
    let mut error = None;
    let container_image =
        container.as_ref().and_then(|c| c["Image"].as_str().map(str::to_owned)).unwrap_or_default();
    let tags: Vec<String> = (crate::app::profile::OLDEST_MAJOR..=crate::app::profile::NEWEST_MAJOR)
        .rev()
        .map(|m| with_major(&reference, m))
        .collect();
    let mut images: Vec<&str> = vec![&container_image, &service.image];
    images.extend(tags.iter().map(String::as_str));
    let helper = helper_image(docker, &images)?;
    for pgdata in &candidates {
        let (data, key) = match locate_data(&project, service, pgdata) {
            Ok(found) => found,
            Err(e) => {
                error.get_or_insert(e);
                continue;
            }
        };
        let state = host.data_state(&helper, &data)?;
        let holds = state.major.is_some();
        if holds || first.is_none() {
            first = Some((data, key, state));
        }
        if holds {
            break;
        }
    }
    let Some((data, volume_key, state)) = first else {
        return Err(error.unwrap_or_else(|| Error::refused("no-data-mount", "no data directory found")));
    };

    let container_major = match docker.image(&container_image)? {
        Some(i) => i.pg_major(),
        None => None,
    };
    let source_image = match state.major {
        Some(m) if container_major == Some(m) => container_image,
        Some(m) if image_major == Some(m) => service.image.clone(),
        Some(m) => old_image(docker, &reference, m)?,
        None => service.image.clone(),
    };

    let application =
        profile.services.application.iter().find(|n| project.services.contains_key(*n)).cloned();
    let up = own.filter(|s| s.running).and_then(|s| s.containers.first());
    let l = logins(&project, &profile, service, up.map(String::as_str));

    let extras = ServiceExtras {
        mounts: extra_mounts(&project, service, &data),
        arguments: server_arguments(&service.command),
        user: service.user.clone().unwrap_or_default(),
        shm_size_bytes: service.shm_size_bytes,
    };
    // In a restart loop there are moments in which the container runs; a server of another major never does.
    let can_run = container_major.is_none_or(|c| state.major.is_none_or(|m| c == m));
    let running = can_run && own.is_some_and(|s| s.running && !s.restarting);
    let services: Vec<ServiceState> = services
        .iter()
        .map(|s| {
            let ill = !can_run && s.running && s.service == service.name;
            ServiceState { restarting: s.restarting || ill, ..s.clone() }
        })
        .collect();
    let application_version = application_version(docker, &project, &profile)?;
    Ok(Deployment {
        project: project.at.clone(),
        profile,
        services,
        application,
        application_version,
        database: Database {
            service: service.name.clone(),
            image: service.image.clone(),
            image_major,
            source_image,
            data,
            volume_key,
            pgdata_is_set: set.is_some(),
            state,
            running,
            superuser: l.superuser,
            password: l.password,
            name: l.database,
            application_user: l.application_user,
            application_password: l.application_password,
            extras,
        },
        other: None,
        resolved: project,
    })
}

/// An image that runs data of `major` where neither the container's nor the Compose file's does: of the same
/// repository, one that is here before one that would have to be fetched. Before somebody bumped the tag it may have
/// been `13-bullseye`, and then that is here and `13` is not.
fn old_image(docker: &Docker, reference: &ImageRef, major: u32) -> Result<String> {
    let usual = with_major(reference, major);
    if docker.image(&usual)?.is_some() {
        return Ok(usual);
    }
    let name = ImageRef { tag: None, digest: None, ..reference.clone() }.to_string();
    for candidate in by_likeness(docker.tags(&name)?, &usual) {
        if docker.image(&candidate)?.is_some_and(|i| i.pg_major() == Some(major)) {
            return Ok(candidate);
        }
    }
    Ok(usual)
}

/// Images on the same C library as `usual` first: Alpine sorts text by other rules than Debian.
fn by_likeness(mut images: Vec<String>, usual: &str) -> Vec<String> {
    let alpine = |i: &str| i.contains("alpine");
    images.sort_by_key(|i| alpine(i) != alpine(usual));
    images
}

/// Names and passwords, as the application keeps them; read anew whenever they are needed, never stored.
#[derive(Debug, Clone)]
pub struct Credentials {
    superuser_password: Option<SecretString>,
    application_password: Option<SecretString>,
}

impl Credentials {
    /// POSTGRES_PASSWORD.
    #[must_use]
    pub fn superuser_password(&self) -> Option<&str> {
        self.superuser_password.as_ref().map(ExposeSecret::expose_secret)
    }
    /// The application role's.
    #[must_use]
    pub fn application_password(&self) -> Option<&str> {
        self.application_password.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// Looks again at a deployment whose project, profile and database service are known already.
pub fn detect_again(at: &ProjectRef, profile: &Profile, service: &str) -> Result<Deployment> {
    let project = at.load()?;
    let Some(s) = project.services.get(service).cloned() else {
        let what = format!("the Compose project has no service {service} any more");
        return Err(Error::failed("no-service", what));
    };
    inspect(&Docker, project, profile.clone(), &s)
}

/// Reads the passwords of a project again.
pub fn credentials(at: &ProjectRef, profile: &Profile, service: &str) -> Result<Credentials> {
    let project = at.load()?;
    let Some(s) = project.services.get(service) else {
        return Err(Error::failed(
            "no-service",
            format!("the Compose project has no service {service} any more"),
        ));
    };
    let host = ComposeHost::new(at.clone(), "check", service, ServiceExtras::default());
    let container = host.services()?.into_iter().find(|o| o.service == service && o.running);
    let container = container.and_then(|o| o.containers.into_iter().next());
    let l = logins(&project, profile, s, container.as_deref());
    Ok(Credentials { superuser_password: l.password, application_password: l.application_password })
}

/// Who logs in, by the Compose files.
struct Logins {
    superuser: String,
    password: Option<SecretString>,
    database: String,
    application_user: String,
    application_password: Option<SecretString>,
}

fn logins(project: &Project, profile: &Profile, service: &Service, container: Option<&str>) -> Logins {
    let env = |n: &str| service.environment.get(n).cloned().filter(|v| !v.is_empty());
    let from_file = |n: &str| {
        let path = env(&format!("{n}_FILE"))?;
        let out = crate::exec::Cmd::new("docker").args(["exec", container?, "cat", &path]).output().ok()?;
        out.ok().then(|| out.text())
    };
    let value = |n: &str| env(n).or_else(|| from_file(n));
    let superuser = value("POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
    let password = value("POSTGRES_PASSWORD");
    let setting =
        |names: &[String]| {
            project.services.values().filter(|s| s.name != service.name).find_map(|s| {
                names.iter().find_map(|n| s.environment.get(n).filter(|v| !v.is_empty()).cloned())
            })
        };
    let application_user = setting(&profile.database.user).unwrap_or_else(|| superuser.clone());
    let application_password = setting(&profile.database.password)
        .or_else(|| (application_user == superuser).then(|| password.clone()).flatten());
    let database =
        setting(&profile.database.name).or_else(|| value("POSTGRES_DB")).unwrap_or_else(|| superuser.clone());
    Logins {
        superuser,
        password: password.map(SecretString::from),
        database,
        application_user,
        application_password: application_password.map(SecretString::from),
    }
}

/// Mounts of the service that its server may read (a configuration file, certificates): not the data, not the
/// scripts that only a new cluster runs, not a directory of sockets.
fn extra_mounts(project: &Project, service: &Service, data: &DataLocation) -> Vec<(String, String)> {
    service
        .mounts
        .iter()
        .filter(|m| {
            m.target != data.target
                && !m.target.starts_with("/docker-entrypoint-initdb.d")
                && !m.target.contains("/run/postgresql")
        })
        .map(|m| {
            let source = match m.kind {
                MountKind::Bind => m.source.clone(),
                MountKind::Volume => {
                    project.volumes.get(&m.source).map_or_else(|| m.source.clone(), |(r, _)| r.clone())
                }
            };
            (source, m.target.clone())
        })
        .collect()
}

/// The server's arguments in a `command:`; an odd command (a shell script) gives none.
fn server_arguments(command: &[String]) -> Vec<String> {
    match command.first().map(String::as_str) {
        Some("postgres") => command[1..].to_vec(),
        Some(first) if first.starts_with('-') => command.to_vec(),
        _ => Vec::new(),
    }
}

/// `13` for `13`, `13.4`, `13-alpine`, `13.23-bookworm`, `16-3.4` (postgis), `pg16` (pgvector).
#[must_use]
pub fn major_of_tag(tag: &str) -> Option<u32> {
    let t = tag.strip_prefix("pg").unwrap_or(tag);
    let digits: String = t.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|m| (9..100).contains(m))
}

/// The same image with another major: `postgres:13.4-alpine3.18` becomes `postgres:17-alpine`,
/// `postgis/postgis:13-3.4` becomes `postgis/postgis:17-3.4`, `pgvector/pgvector:pg16` becomes `…:pg17`.
/// A Debian or Alpine release is left out, since the newer major may not exist for it.
#[must_use]
pub fn with_major(image: &ImageRef, major: u32) -> String {
    let mut next = image.clone();
    next.digest = None;
    let tag = image.tag.clone().unwrap_or_default();
    let prefix = if tag.starts_with("pg") { "pg" } else { "" };
    let official = ["postgres", "library/postgres"].contains(&image.repository.as_str());
    let suffix = match tag.split_once('-') {
        Some((_, s)) if s.starts_with("alpine") => "-alpine".to_owned(),
        Some((_, s)) if !official && !s.is_empty() => format!("-{s}"),
        _ => String::new(),
    };
    next.tag = Some(format!("{prefix}{major}{suffix}"));
    next.to_string()
}

/// The application's version: the tag of its image where that is a version, else the image's own label.
pub(super) fn application_version(
    docker: &Docker,
    project: &Project,
    profile: &Profile,
) -> Result<Option<String>> {
    for s in project.services.values() {
        let Ok(r) = ImageRef::parse(&s.image) else { continue };
        let last = r.repository.rsplit('/').next().unwrap_or_default();
        if !profile.version.images.iter().any(|i| i == last) {
            continue;
        }
        if let Some(v) = r.tag.as_deref().and_then(Version::parse) {
            return Ok(Some(v.to_string()));
        }
        if let Some(i) = docker.image(&s.image)?
            && let Some(v) =
                i.config.labels.get("org.opencontainers.image.version").and_then(|v| Version::parse(v))
        {
            return Ok(Some(v.to_string()));
        }
    }
    Ok(None)
}

/// Reads a directory's `.env` for the variables that `repot.toml` may name. Kept here so that only this file and
/// the Compose module read the user's files.
pub fn has_compose(dir: &Path, env: &BTreeMap<String, String>) -> bool {
    locate(dir, env).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_another_major() {
        for (image, want) in [
            ("postgres:13", "postgres:17"),
            ("postgres:13.4-alpine3.18", "postgres:17-alpine"),
            ("postgres:13-bullseye", "postgres:17"),
            (
                "postgres:13@sha256:0123456789012345678901234567890123456789012345678901234567890123",
                "postgres:17",
            ),
            ("docker.io/library/postgres:15", "docker.io/library/postgres:17"),
            ("registry.example:5000/postgres:15", "registry.example:5000/postgres:17"),
            ("postgis/postgis:13-3.4", "postgis/postgis:17-3.4"),
            ("pgvector/pgvector:pg16", "pgvector/pgvector:pg17"),
        ] {
            assert_eq!(with_major(&ImageRef::parse(image).expect(image), 17), want);
        }
    }

    #[test]
    fn old_images_of_the_same_kind_come_first() {
        let here =
            || ["postgres:13-alpine", "postgres:13.4", "postgres:13-bullseye"].map(str::to_owned).to_vec();
        assert_eq!(by_likeness(here(), "postgres:13")[0], "postgres:13.4");
        assert_eq!(by_likeness(here(), "postgres:13-alpine")[0], "postgres:13-alpine");
    }

    #[test]
    fn majors_of_tags() {
        for (tag, want) in [
            ("13", Some(13)),
            ("13.23-bookworm", Some(13)),
            ("pg16", Some(16)),
            ("latest", None),
            ("alpine", None),
            ("9.6", Some(9)),
        ] {
            assert_eq!(major_of_tag(tag), want, "{tag}");
        }
    }

    #[test]
    fn arguments_of_a_command() {
        let v = |a: &[&str]| a.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            server_arguments(&v(&["postgres", "-c", "max_connections=200"])),
            v(&["-c", "max_connections=200"])
        );
        assert_eq!(server_arguments(&v(&["-c", "a=b"])), v(&["-c", "a=b"]));
        assert!(server_arguments(&v(&["sh", "-c", "x"])).is_empty());
    }
}
