//! What is backed up: the server of a Compose project, or one that a connection URL names.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use crate::app::detect::Deployment;
use crate::engine::mysql;
use crate::engine::postgres::clients::{Clients, PathClients};
use crate::engine::postgres::session::{Connector, UrlConnector};
use crate::error::{Error, Result};
use crate::host::Host;

/// What is backed up, and from where.
#[derive(Debug)]
pub enum Source<'a> {
    /// A Compose project as it runs.
    Compose(&'a Deployment),
    /// A server by its URL: databases only.
    Url(Box<UrlSource>),
    /// One SQLite file.
    Sqlite(PathBuf),
    /// One database of a MariaDB or MySQL server by its URL.
    Mysql(Box<mysql::clients::Clients>, String),
}

/// A server by its URL.
pub struct UrlSource {
    connector: UrlConnector,
}

impl std::fmt::Debug for UrlSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UrlSource").field(&self.connector.describe()).finish()
    }
}

impl UrlSource {
    /// The server of `connector`.
    #[must_use]
    pub fn new(connector: UrlConnector) -> Self {
        UrlSource { connector }
    }
}

/// A server with what speaks to it.
pub(super) struct Server {
    pub(super) connector: Box<dyn Connector>,
    pub(super) clients: Box<dyn Clients>,
}

impl Source<'_> {
    /// The Compose project, where it is one.
    #[must_use]
    pub fn deployment(&self) -> Option<&Deployment> {
        match self {
            Source::Compose(d) => Some(d),
            Source::Url(_) | Source::Sqlite(_) | Source::Mysql(..) => None,
        }
    }

    /// What names the installation, in a set's name too.
    pub(super) fn project(&self) -> String {
        let name = match self {
            Source::Compose(d) => d.project.name.clone(),
            Source::Url(u) => u.connector.home_database().to_owned(),
            Source::Sqlite(path) => {
                path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Source::Mysql(_, database) => database.clone(),
        };
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' })
            .take(80)
            .collect();
        let plain = plain.trim_start_matches(['.', '-']).to_owned();
        if plain.is_empty() { "database".to_owned() } else { plain }
    }

    /// Which of several installations of one name this is: where it runs.
    pub(super) fn place(&self) -> Option<String> {
        match self {
            Source::Compose(d) => place_of(&d.project.dir),
            Source::Url(u) => Some(u.connector.describe()),
            Source::Sqlite(path) => Some(path.display().to_string()),
            Source::Mysql(clients, database) => Some(format!("{}/{database}", clients.describe())),
        }
    }

    /// The application's database.
    pub(super) fn home_database(&self) -> String {
        match self {
            Source::Compose(d) => d.database.name.clone(),
            Source::Url(u) => u.connector.home_database().to_owned(),
            Source::Sqlite(path) => {
                path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Source::Mysql(_, database) => database.clone(),
        }
    }

    /// Application and its version.
    pub(super) fn application(&self) -> (String, Option<String>) {
        match self {
            Source::Compose(d) => (d.profile.title.clone(), d.application_version.clone()),
            Source::Url(_) => ("PostgreSQL".to_owned(), None),
            Source::Sqlite(_) => ("SQLite".to_owned(), None),
            Source::Mysql(..) => ("MariaDB or MySQL".to_owned(), None),
        }
    }

    /// Opens the server.
    pub(super) fn server(&self, run: &str) -> Result<Server> {
        match self {
            Source::Compose(d) => open(d, run),
            Source::Url(u) => {
                let clients = PathClients { env: u.connector.client_env() };
                Ok(Server { connector: Box::new(u.connector.clone()), clients: Box::new(clients) })
            }
            Source::Sqlite(_) | Source::Mysql(..) => {
                Err(Error::failed("bug", "a session of PostgreSQL is asked of another engine"))
            }
        }
    }
}

/// The running server of a Compose project.
pub(super) fn open(d: &Deployment, run: &str) -> Result<Server> {
    let db = &d.database;
    if !db.running {
        return Err(Error::refused("database-down", format!("the service {} is not running", db.service))
            .help(format!("start it with `docker compose up -d {}`", db.service)));
    }
    let password = db.password.as_ref().map(ExposeSecret::expose_secret);
    let (connector, clients) = d.host(run).beside_service(&db.superuser, password, &db.name)?;
    Ok(Server { connector, clients })
}

/// Where the Compose project in a directory runs: on which Docker, in which directory. None where Docker does not say.
#[must_use]
pub fn place_of(dir: &std::path::Path) -> Option<String> {
    Some(format!("docker {}, {}", crate::host::docker::Docker.id()?, dir.display()))
}
