//! A session with a PostgreSQL server, wherever it runs.
//!
//! The protocol is spoken by tokio-postgres over any byte stream: TCP for a URL, `docker exec` for a server
//! inside a container that no port leads to. Everything above this file asks for a [`Connector`] and does not
//! know which it is.

use std::sync::LazyLock;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::interrupt;

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The session settings that change how values turn into text; pinned on every session of repot so that old
/// and new speak the same. An unpinned DateStyle turns 2020-01-05 into 2020-05-01 without any error.
///
/// lc_messages, which changes no value, is only for superusers to set: the application's own role logs in here too.
pub const PINNED_SETTINGS: &str = "SET client_encoding = 'UTF8'; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex'; \
    SET lc_monetary = 'C'; SET lc_numeric = 'C'; SET lc_time = 'C'; SET search_path = 'pg_catalog'; \
    SET xmlbinary = 'base64'; SET xmloption = 'content'; SET standard_conforming_strings = on; \
    SET quote_all_identifiers = off; SET statement_timeout = 0; SET lock_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET row_security = off; SET client_min_messages = 'warning'; \
    SELECT pg_catalog.set_config('lc_messages', 'C', false) FROM pg_catalog.pg_roles \
    WHERE rolname = current_user AND rolsuper";

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a tokio runtime needs nothing but threads")
});

/// Something that can open sessions with one server, by database name.
pub trait Connector: Send + Sync {
    /// Opens a session with `database`, settings pinned ([`PINNED_SETTINGS`]).
    fn connect(&self, database: &str) -> Result<Session>;
    /// The database to start from when none is named: the application's, or `postgres`.
    fn home_database(&self) -> &str;
    /// The server, in words for a message; no secret in it.
    fn describe(&self) -> String;
}

/// One row of text values; NULL is `None`.
pub type Row = Vec<Option<String>>;

/// An open session. Synchronous outside, asynchronous inside.
pub struct Session {
    client: Client,
    server: String,
    // Keeps the carrying process alive as long as the session.
    _carrier: Option<tokio::process::Child>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Session {
    /// Runs SQL (one or more statements, simple protocol) and returns the rows of the last that had any.
    ///
    /// A stop asked for by a signal cancels the statement on the server side by closing the session.
    pub fn query(&self, sql: &str) -> Result<Vec<Row>> {
        let future = self.client.simple_query(sql);
        let messages = RUNTIME.block_on(async {
            tokio::pin!(future);
            loop {
                tokio::select! {
                    r = &mut future => break r.map_err(|e| self.error(&e)),
                    () = tokio::time::sleep(Duration::from_millis(100)) => {
                        if interrupt::requested() {
                            break Err(interrupt::check().expect_err("requested"));
                        }
                    }
                }
            }
        })?;
        let mut rows = Vec::new();
        for m in messages {
            match m {
                SimpleQueryMessage::RowDescription(_) => rows.clear(),
                SimpleQueryMessage::Row(r) => {
                    rows.push((0..r.len()).map(|i| r.get(i).map(str::to_owned)).collect());
                }
                _ => {}
            }
        }
        Ok(rows)
    }

    /// The first value of the first row; an error when there is none.
    pub fn scalar(&self, sql: &str) -> Result<String> {
        self.query(sql)?
            .into_iter()
            .next()
            .and_then(|r| r.into_iter().next().flatten())
            .ok_or_else(|| Error::failed("no-row", format!("{}: no value for `{sql}`", self.server)))
    }

    /// Runs SQL for its effect.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.query(sql).map(drop)
    }

    /// The server's version number, as `server_version_num` has it: 130023 is 13.23, 170002 is 17.2.
    pub fn version_num(&self) -> Result<u32> {
        let text = self.scalar("SHOW server_version_num")?;
        text.parse()
            .map_err(|_| Error::failed("bad-version", format!("{}: odd version `{text}`", self.server)))
    }

    fn error(&self, e: &tokio_postgres::Error) -> Error {
        pg_error(&self.server, e)
    }
}

fn pg_error(server: &str, e: &tokio_postgres::Error) -> Error {
    if let Some(db) = e.as_db_error() {
        let mut why = format!("{} (SQLSTATE {})", db.message(), db.code().code());
        if let Some(detail) = db.detail() {
            why.push_str("; ");
            why.push_str(detail);
        }
        let state = db.code().code();
        let (code, help) = match state {
            "28P01" | "28000" => (
                "login-refused",
                Some(
                    "the password or pg_hba.conf does not let this user in: correct the password where the application keeps it (its .env or env_file)",
                ),
            ),
            "3D000" => ("database-missing", None),
            "42501" => ("not-allowed", Some("use a superuser, or grant the right that is named")),
            "53100" => ("disk-full", Some("free some space on the server's disk, then run `repot resume`")),
            "57P03" => ("server-starting", None),
            _ => ("sql", None),
        };
        let err = Error::failed(code, format!("{server} said no")).why(why);
        let err = if state == "57P03" { err.retryable() } else { err };
        return match help {
            Some(h) => err.help(h),
            None => err,
        };
    }
    Error::failed("connection-lost", format!("no connection with {server}")).why(chain(e)).retryable()
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(s) = source {
        let t = s.to_string();
        if !text.contains(&t) {
            text.push_str(": ");
            text.push_str(&t);
        }
        source = s.source();
    }
    text
}

/// Opens sessions over TCP from a connection URL or keyword string (libpq's forms).
#[derive(Clone)]
pub struct UrlConnector {
    config: tokio_postgres::Config,
    label: String,
    home: String,
}

impl UrlConnector {
    /// Parses `postgresql://user:password@host:port/database?sslmode=require`. A password may also come from
    /// `password`, which the caller reads from PGPASSWORD or a password file.
    pub fn parse(url: &str, password: Option<&SecretString>) -> Result<Self> {
        let mut config: tokio_postgres::Config = url.parse().map_err(|e: tokio_postgres::Error| {
            Error::usage("bad-url", "this is not a PostgreSQL connection URL")
                .why(chain(&e))
                .help("write it as postgresql://user@host:5432/database and give the password in PGPASSWORD")
        })?;
        if let (None, Some(p)) = (config.get_password(), password) {
            config.password(p.expose_secret());
        }
        config.connect_timeout(CONNECT_TIMEOUT).application_name("repot");
        let host = match config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(h)) => h.clone(),
            Some(tokio_postgres::config::Host::Unix(p)) => p.display().to_string(),
            None => return Err(Error::usage("bad-url", "the connection URL names no host")),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let home =
            config.get_dbname().or(config.get_user()).map_or_else(|| "postgres".to_owned(), str::to_owned);
        Ok(UrlConnector { label: format!("{host}:{port}"), config, home })
    }
}

impl UrlConnector {
    /// The same server in libpq's variables, for client programs.
    #[must_use]
    pub fn client_env(&self) -> Vec<(String, String)> {
        use tokio_postgres::config::SslMode;
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(h)) => h.clone(),
            Some(tokio_postgres::config::Host::Unix(p)) => p.display().to_string(),
            None => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let ssl = match self.config.get_ssl_mode() {
            SslMode::Disable => "disable",
            SslMode::Require => "require",
            _ => "prefer",
        };
        let mut env = vec![("PGHOST", host), ("PGPORT", port.to_string()), ("PGSSLMODE", ssl.to_owned())];
        if let Some(u) = self.config.get_user() {
            env.push(("PGUSER", u.to_owned()));
        }
        if let Some(p) = self.config.get_password() {
            env.push(("PGPASSWORD", String::from_utf8_lossy(p).into_owned()));
        }
        env.push(("PGDATABASE", self.home.clone()));
        env.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }
}

impl Connector for UrlConnector {
    fn connect(&self, database: &str) -> Result<Session> {
        let mut config = self.config.clone();
        config.dbname(database);
        let server = format!("{}/{database}", self.label);
        RUNTIME.block_on(async {
            let client = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
                let (client, connection) = config.connect(NoTls).await.map_err(|e| pg_error(&server, &e))?;
                tokio::spawn(connection);
                client
            } else {
                let (client, connection) = config.connect(tls()?).await.map_err(|e| pg_error(&server, &e))?;
                tokio::spawn(connection);
                client
            };
            pin(Session { client, server, _carrier: None }).await
        })
    }
    fn home_database(&self) -> &str {
        &self.home
    }
    fn describe(&self) -> String {
        self.label.clone()
    }
}

fn tls() -> Result<tokio_postgres_rustls::MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in rustls_native_certs::load_native_certs().certs {
        // A certificate that the library cannot read is one fewer that it trusts; the handshake will say so.
        let _ = roots.add(cert);
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::failed("tls", "TLS cannot be set up").why(e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}

/// Opens sessions through a command that carries the protocol on its standard streams, such as
/// `docker exec -i CONTAINER bash -c '…/dev/tcp…'`.
pub struct StreamConnector {
    /// Carries one connection per run.
    pub carrier: Cmd,
    /// The role to log in as.
    pub user: String,
    /// The password, where the server wants one.
    pub password: Option<SecretString>,
    /// See [`Connector::home_database`].
    pub home: String,
    /// See [`Connector::describe`].
    pub label: String,
}

impl Connector for StreamConnector {
    fn connect(&self, database: &str) -> Result<Session> {
        let mut config = tokio_postgres::Config::new();
        config.user(&self.user).dbname(database).application_name("repot");
        if let Some(p) = &self.password {
            config.password(p.expose_secret());
        }
        let server = format!("{} (database {database})", self.label);
        RUNTIME.block_on(async {
            let duplex = self.carrier.duplex()?;
            let said = duplex.stderr.clone();
            let lost = |e: &tokio_postgres::Error| {
                let err = pg_error(&server, e);
                match said.lock() {
                    Ok(s) if err.code == "connection-lost" && !s.trim().is_empty() => err.why(s.trim()),
                    _ => err,
                }
            };
            let attempt = tokio::time::timeout(CONNECT_TIMEOUT, config.connect_raw(duplex.io, NoTls));
            let (client, connection) = match attempt.await {
                Ok(r) => r.map_err(|e| lost(&e))?,
                Err(_) => {
                    return Err(Error::failed("timeout", format!("{server} does not answer")).retryable());
                }
            };
            tokio::spawn(connection);
            pin(Session { client, server: server.clone(), _carrier: Some(duplex.child) }).await
        })
    }
    fn home_database(&self) -> &str {
        &self.home
    }
    fn describe(&self) -> String {
        self.label.clone()
    }
}

async fn pin(session: Session) -> Result<Session> {
    // English messages are a comfort that only a superuser may have; they change no value's text.
    let _ = session.client.batch_execute("SET lc_messages = 'C'").await;
    match session.client.batch_execute(PINNED_SETTINGS).await {
        Ok(()) => Ok(session),
        Err(e) => Err(session.error(&e)),
    }
}

/// Quotes an identifier for SQL.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string literal for SQL (standard_conforming_strings is pinned on).
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
