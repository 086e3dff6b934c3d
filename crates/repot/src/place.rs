//! Databases by URL, as arguments name them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use repot_core::backup::source::{Source, UrlSource};
use repot_core::engine::mysql::clients::Clients;
use repot_core::engine::postgres::session::UrlConnector;
use repot_core::{Error, Result};
use secrecy::SecretString;

/// What a URL names.
pub enum DatabaseUrl {
    /// A server of PostgreSQL.
    Postgresql(Box<UrlConnector>),
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A server of MariaDB or MySQL, and one of its databases.
    Mysql(Box<Clients>, String),
}

impl DatabaseUrl {
    /// As a place to read from or to restore to.
    pub fn source(self) -> Source<'static> {
        match self {
            DatabaseUrl::Postgresql(c) => Source::Url(Box::new(UrlSource::new(*c))),
            DatabaseUrl::Sqlite(path) => Source::Sqlite(path),
            DatabaseUrl::Mysql(clients, database) => Source::Mysql(clients, database),
        }
    }

    /// Understands a URL; the password comes from the variable that the engine's own programs read.
    pub fn parse(url: &str, env: &BTreeMap<String, String>) -> Result<Self> {
        let password = |name: &str| {
            let given = env.get(name).or_else(|| env.get("REPOT_DATABASE_PASSWORD"));
            given.map(|p| SecretString::from(p.clone()))
        };
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {
                let path = url.strip_prefix("sqlite://").filter(|p| p.starts_with('/') && p.len() > 1);
                path.map(|p| DatabaseUrl::Sqlite(PathBuf::from(p))).ok_or_else(|| {
                    Error::usage("bad-url", "this is not a URL of a SQLite file").help(
                        "write it with an absolute path and three slashes: sqlite:///srv/app/db.sqlite3",
                    )
                })
            }
            Some("mysql" | "mariadb") => {
                let (clients, database) = Clients::parse(url, password("MYSQL_PWD"))?;
                Ok(DatabaseUrl::Mysql(Box::new(clients), database))
            }
            _ => Ok(DatabaseUrl::Postgresql(Box::new(UrlConnector::parse(
                url,
                password("PGPASSWORD").as_ref(),
            )?))),
        }
    }
}
