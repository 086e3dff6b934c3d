//! Applications whose database is not PostgreSQL, for backups: a MariaDB or MySQL service, or SQLite files. Upgrades do
//! not come here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::detect::{
    Database, Deployment, Place, application_version, choose_database, choose_profile, inspect,
    last_component,
};
use super::profile::Profile;
use crate::backup::media::locate;
use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::host::compose::host::{ComposeHost, ServiceExtras};
use crate::host::compose::project::{self, Project, Service};
use crate::host::docker::Docker;
use crate::host::{DataLocation, DataState, Host, ServiceState, Store};

/// Other databases than PostgreSQL's, as a profile names them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtherDatabases {
    /// SQLite files; one that is not there is left out.
    pub sqlite: Vec<SqliteEntry>,
}

/// A SQLite file inside a service's mount.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqliteEntry {
    /// Service that mounts it.
    pub service: String,
    /// Path inside the service's container.
    pub path: String,
    /// A variable of the service that holds the path, instead.
    pub path_variable: Option<String>,
    /// A variable of the service that says which engine is in use: the file counts where its value has `sqlite` in it,
    /// and then it alone is the application's database.
    pub engine_variable: Option<String>,
}

/// What an application keeps its data in, where that is not PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Other {
    /// SQLite files.
    Sqlite(Vec<SqliteFile>),
    /// The database service runs MariaDB or MySQL.
    Mysql,
}

/// A SQLite file of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFile {
    /// What it is called in a set: its file name.
    pub name: String,
    /// Where it is.
    pub at: DataLocation,
}

impl SqliteFile {
    /// Its path on this machine. SQLite's locks need the same kernel, so a copy through a container would not do.
    pub fn host_path(&self) -> Result<PathBuf> {
        let away = |why: String| {
            Error::refused(
                "sqlite-away",
                format!("the SQLite file {} cannot be reached from here", self.at.describe()),
            )
            .why(why)
            .help("run repot on the machine of the Docker daemon, as a user who may read the file")
        };
        let endpoint = Cmd::new("docker")
            .args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
            .run()?;
        if !endpoint.text().starts_with("unix://") {
            return Err(away(format!("Docker runs elsewhere: {}", endpoint.text())));
        }
        let root = match &self.at.store {
            Store::Bind(path) => PathBuf::from(path),
            Store::Volume(name) => {
                let volume =
                    Docker.volume(name)?.ok_or_else(|| away(format!("there is no volume {name}")))?;
                PathBuf::from(volume["Mountpoint"].as_str().unwrap_or_default())
            }
        };
        let path = if self.at.subdir.is_empty() { root } else { root.join(&self.at.subdir) };
        let dir = path.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        match std::fs::metadata(&dir) {
            Ok(_) => Ok(path),
            Err(e) => Err(away(format!("{}: {e}", dir.display()))),
        }
    }
}

/// Looks at the application in a directory for a backup or a restore, whatever its database is. Touches nothing.
pub fn detect_any(place: &Place, profiles: &[Profile]) -> Result<Deployment> {
    let refuse = |e: Error| if e.kind == Kind::Failed { e.with_kind(Kind::Refused) } else { e };
    Docker.ping().map_err(refuse)?;
    Docker.compose_version().map_err(refuse)?;
    let project = project::locate(&place.dir, &place.env)?.load().map_err(refuse)?;
    let profile = choose_profile(&project, profiles, place.profile.as_deref())?;
    let postgres = choose_database(&project, &profile, place.service.as_deref());
    if place.service.is_some() {
        let service = postgres?;
        return if has_mysql_image(&service) {
            other(project, profile, &service, Other::Mysql).map_err(refuse)
        } else {
            inspect(&Docker, project, profile, &service).map_err(refuse)
        };
    }
    let (files, alone) = sqlite_files(&project, &profile)?;
    let mysql: Vec<&Service> = project.services.values().filter(|s| has_mysql_image(s)).collect();
    if let Some((first, _)) = files.first() {
        let server = postgres.as_ref().ok().or(mysql.first().copied());
        if let Some(server) = server.filter(|_| !alone) {
            let what = format!(
                "the profile names SQLite files, and the service {} is a database server",
                server.name
            );
            return Err(Error::refused("mixed-engines", what).why("a set holds databases of one kind").help(
                format!(
                    "back up the server with --service {}, the file by its URL: sqlite:///PATH",
                    server.name
                ),
            ));
        }
        let service = project.services.get(first).cloned();
        let Some(service) = service else {
            return Err(Error::usage("no-service", format!("there is no service {first}")));
        };
        let files = files.into_iter().map(|(_, f)| f).collect();
        return other(project, profile, &service, Other::Sqlite(files)).map_err(refuse);
    }
    match (postgres, mysql.as_slice()) {
        (Ok(service), _) => inspect(&Docker, project.clone(), profile, &service).map_err(refuse),
        (Err(e), []) if e.code == "no-postgresql" => Err(Error::refused(
            "no-database",
            format!(
                "no service of the Compose project {} is a database server that repot knows",
                project.at.name
            ),
        )
        .help("if one is, name it with --service; SQLite files are named in a profile: docs/profiles.md")),
        (Err(e), []) => Err(e),
        (Err(_), [one]) => {
            let service = (*one).clone();
            other(project, profile, &service, Other::Mysql).map_err(refuse)
        }
        (Err(_), many) => {
            let named = profile.services.database.iter().find_map(|n| many.iter().find(|s| s.name == *n));
            let Some(service) = named.map(|s| (*s).clone()) else {
                let names: Vec<&str> = many.iter().map(|s| s.name.as_str()).collect();
                return Err(Error::usage(
                    "which-service",
                    format!("there is more than one database service: {}", names.join(", ")),
                )
                .help(format!("say which one, such as --service {}", names[0])));
            };
            other(project, profile, &service, Other::Mysql).map_err(refuse)
        }
    }
}

/// Whether a service runs an image of a MariaDB or MySQL server.
fn has_mysql_image(s: &Service) -> bool {
    let (_, last) = last_component(&s.image);
    let server = ["mariadb", "mysql", "percona"].iter().any(|n| last.starts_with(n));
    server && !["exporter", "backup", "router", "proxy", "operator"].iter().any(|w| last.contains(w))
}

/// The profile's SQLite files with the service of each, and whether a setting says that they alone are in use.
fn sqlite_files(project: &Project, profile: &Profile) -> Result<(Vec<(String, SqliteFile)>, bool)> {
    let (mut found, mut alone) = (Vec::<(String, SqliteFile)>::new(), false);
    for entry in &profile.backup.sqlite {
        let Some(service) = project.services.get(&entry.service) else { continue };
        if let Some(variable) = &entry.engine_variable {
            if !service.environment.get(variable).is_some_and(|v| v.to_lowercase().contains("sqlite")) {
                continue;
            }
            alone = true;
        }
        let named =
            entry.path_variable.as_ref().and_then(|v| service.environment.get(v)).filter(|v| !v.is_empty());
        let path = named.unwrap_or(&entry.path);
        let odd = |why: &str| {
            Error::refused(
                "sqlite-away",
                format!("the SQLite file {path} of the service {} cannot be reached", entry.service),
            )
            .why(why)
        };
        if !path.starts_with('/') {
            return Err(
                odd("its path is not absolute").help("name it in a profile of your own: docs/profiles.md")
            );
        }
        let Some(at) = locate(project, &entry.service, path) else {
            return Err(odd("no mount of the service covers it, so it goes with the container")
                .help("give its directory a volume in the Compose file first"));
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        let taken = |n: &str| found.iter().any(|(_, f)| f.name == n);
        let name = if taken(last) { format!("{}-{last}", entry.service) } else { last.to_owned() };
        if taken(&name) {
            return Err(odd("two files of one service have the same name").help("name one of them only"));
        }
        found.push((entry.service.clone(), SqliteFile { name, at }));
    }
    Ok((found, alone))
}

/// A deployment around another engine. What only an upgrade asks for is empty.
fn other(project: Project, profile: Profile, service: &Service, engine: Other) -> Result<Deployment> {
    let host = ComposeHost::new(project.at.clone(), "check", &service.name, ServiceExtras::default());
    let services: Vec<ServiceState> = host.services()?;
    let own = services.iter().find(|s| s.service == service.name);
    let container = match own.and_then(|s| s.containers.first()) {
        Some(id) => Docker.container(id)?,
        None => None,
    };
    let image = container.as_ref().and_then(|c| c["Image"].as_str().map(str::to_owned)).unwrap_or_default();
    let up = own.filter(|s| s.running && !s.restarting).and_then(|s| s.containers.first());
    let login = mysql_login(service, up.map(String::as_str));
    let data = match &engine {
        Other::Sqlite(files) => files[0].at.clone(),
        Other::Mysql => locate(&project, &service.name, "/var/lib/mysql").unwrap_or(DataLocation {
            store: Store::Volume(String::new()),
            target: "/var/lib/mysql".to_owned(),
            subdir: String::new(),
            selinux: None,
        }),
    };
    let application =
        profile.services.application.iter().find(|n| project.services.contains_key(*n)).cloned();
    let application_version = application_version(&Docker, &project, &profile)?;
    Ok(Deployment {
        project: project.at.clone(),
        profile,
        application,
        application_version,
        database: Database {
            service: service.name.clone(),
            image: service.image.clone(),
            image_major: None,
            source_image: if image.is_empty() { service.image.clone() } else { image },
            data,
            volume_key: None,
            pgdata_is_set: false,
            state: DataState::default(),
            running: up.is_some(),
            superuser: login.user.clone(),
            password: login.password.clone().map(Into::into),
            name: login.database.unwrap_or_default(),
            application_user: login.user,
            application_password: login.password.map(Into::into),
            extras: ServiceExtras::default(),
        },
        other: Some(engine),
        services,
        resolved: project,
    })
}

struct MysqlLogin {
    user: String,
    password: Option<String>,
    database: Option<String>,
}

/// Who logs in, by the variables of the official images: root where its password is known, else the application's user.
fn mysql_login(service: &Service, container: Option<&str>) -> MysqlLogin {
    let env = |n: &str| service.environment.get(n).cloned().filter(|v| !v.is_empty());
    let from_file = |n: &str| {
        let path = env(&format!("{n}_FILE"))?;
        let out = Cmd::new("docker").args(["exec", container?, "cat", &path]).output().ok()?;
        out.ok().then(|| out.text())
    };
    let value = |n: &str| {
        ["MARIADB", "MYSQL"].iter().find_map(|p| {
            let name = format!("{p}_{n}");
            env(&name).or_else(|| from_file(&name))
        })
    };
    let database = value("DATABASE");
    if let Some(password) = value("ROOT_PASSWORD") {
        return MysqlLogin { user: "root".to_owned(), password: Some(password), database };
    }
    if value("ALLOW_EMPTY_ROOT_PASSWORD").or_else(|| value("ALLOW_EMPTY_PASSWORD")).is_some() {
        return MysqlLogin { user: "root".to_owned(), password: None, database };
    }
    MysqlLogin {
        user: value("USER").unwrap_or_else(|| "root".to_owned()),
        password: value("PASSWORD"),
        database,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(image: &str, env: &[(&str, &str)]) -> Service {
        Service {
            name: "s".to_owned(),
            image: image.to_owned(),
            built: false,
            environment: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            command: Vec::new(),
            mounts: Vec::new(),
            user: None,
            shm_size_bytes: None,
            replicas: 1,
        }
    }

    #[test]
    fn images_of_servers() {
        for (image, want) in [
            ("mariadb:11", true),
            ("mysql:8.4", true),
            ("linuxserver/mariadb", true),
            ("bitnami/mysql-exporter", false),
            ("postgres:17", false),
        ] {
            assert_eq!(has_mysql_image(&service(image, &[])), want, "{image}");
        }
    }

    #[test]
    fn root_logs_in_where_its_password_is_known() {
        let of = |env: &[(&str, &str)]| {
            let l = mysql_login(&service("mariadb:11", env), None);
            (l.user, l.password, l.database)
        };
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(
            of(&[("MYSQL_ROOT_PASSWORD", "r"), ("MARIADB_DATABASE", "d"), ("MYSQL_USER", "u")]),
            ("root".to_owned(), some("r"), some("d"))
        );
        assert_eq!(
            of(&[("MARIADB_USER", "u"), ("MARIADB_PASSWORD", "p")]),
            ("u".to_owned(), some("p"), None)
        );
        assert_eq!(of(&[("MYSQL_ALLOW_EMPTY_PASSWORD", "1")]), ("root".to_owned(), None, None));
    }
}
