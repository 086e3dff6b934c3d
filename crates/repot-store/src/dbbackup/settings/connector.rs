//! `DBBACKUP_CONNECTORS`: how one database is dumped and restored.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::super::options::Options;
use super::value::Setting;
use super::{Note, SettingsError, Weight, near};

/// django-dbbackup's connectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectorKind {
    /// `pg_dump --format=custom`, the default for PostgreSQL.
    PgDumpBinary,
    /// `pg_dump` to SQL, restored by `psql`.
    PgDump,
    /// The same, with `CREATE EXTENSION postgis` first.
    PgDumpGis,
    /// `mysqldump`.
    Mysql,
    /// SQLite's backup API, the default for SQLite.
    SqliteBackup,
    /// SQL of SQLite.
    Sqlite,
    /// A copy of the SQLite file.
    SqliteCopy,
    /// `mongodump`.
    Mongo,
    /// `dumpdata`.
    Django,
}

impl ConnectorKind {
    /// By the dotted name of the class. `None` for classes that are not django-dbbackup's.
    pub fn from_path(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("dbbackup.db.")? {
            "postgresql.PgDumpBinaryConnector" => ConnectorKind::PgDumpBinary,
            "postgresql.PgDumpConnector" => ConnectorKind::PgDump,
            "postgresql.PgDumpGisConnector" => ConnectorKind::PgDumpGis,
            "mysql.MysqlDumpConnector" => ConnectorKind::Mysql,
            "sqlite.SqliteBackupConnector" => ConnectorKind::SqliteBackup,
            "sqlite.SqliteConnector" => ConnectorKind::Sqlite,
            "sqlite.SqliteCPConnector" => ConnectorKind::SqliteCopy,
            "mongodb.MongoDumpConnector" => ConnectorKind::Mongo,
            "django.DjangoConnector" => ConnectorKind::Django,
            _ => return None,
        })
    }

    /// By Django's `ENGINE`, as django-dbbackup maps it; what it does not know goes through `dumpdata`.
    pub fn from_engine(engine: &str) -> Self {
        match engine {
            "django_mongodb_engine" | "djongo" => ConnectorKind::Mongo,
            "django_s3_sqlite" | "django.contrib.gis.db.backends.spatialite" => ConnectorKind::SqliteBackup,
            "django.contrib.gis.db.backends.postgis" | "django_prometheus.db.backends.postgis" => {
                ConnectorKind::PgDumpGis
            }
            "django.contrib.gis.db.backends.mysql" => ConnectorKind::Mysql,
            "django.db.backends.postgresql_psycopg2" => ConnectorKind::PgDumpBinary,
            _ => match engine
                .strip_prefix("django.db.backends.")
                .or_else(|| engine.strip_prefix("django_prometheus.db.backends."))
            {
                Some("postgresql") => ConnectorKind::PgDumpBinary,
                Some("mysql") => ConnectorKind::Mysql,
                Some("sqlite3") => ConnectorKind::SqliteBackup,
                _ => ConnectorKind::Django,
            },
        }
    }
}

/// Options of one database's connector. Defaults are django-dbbackup's.
#[derive(Debug, Clone)]
pub struct Connector {
    /// `CONNECTOR`: dotted name of the class. `None`: by the engine.
    pub class: Option<String>,
    /// `EXCLUDE`: tables whose rows are left out (PostgreSQL), or that are left out (others).
    pub exclude: Vec<String>,
    /// `EXTENSION`.
    pub extension: Option<String>,
    /// `DUMP_CMD`, in words.
    pub dump_cmd: Vec<String>,
    /// `RESTORE_CMD`, in words.
    pub restore_cmd: Vec<String>,
    /// `DUMP_PREFIX`: words before the command.
    pub dump_prefix: Vec<String>,
    /// `DUMP_SUFFIX`: words after it.
    pub dump_suffix: Vec<String>,
    /// `RESTORE_PREFIX`.
    pub restore_prefix: Vec<String>,
    /// `RESTORE_SUFFIX`.
    pub restore_suffix: Vec<String>,
    /// `ENV`: for both commands.
    pub env: BTreeMap<String, SecretString>,
    /// `DUMP_ENV`.
    pub dump_env: BTreeMap<String, SecretString>,
    /// `RESTORE_ENV`.
    pub restore_env: BTreeMap<String, SecretString>,
    /// `USE_PARENT_ENV`: whether the commands get the environment of whoever starts them.
    pub use_parent_env: bool,
    /// `SINGLE_TRANSACTION`: restore in one.
    pub single_transaction: bool,
    /// `DROP`: `--clean`.
    pub drop: bool,
    /// `IF_EXISTS`: `--if-exists`.
    pub if_exists: bool,
    /// `SCHEMAS`: only these; empty: all.
    pub schemas: Vec<String>,
    /// `PG_OPTIONS`: words for pg_restore.
    pub pg_options: Vec<String>,
    /// `PSQL_CMD`, for PostGIS.
    pub psql_cmd: Vec<String>,
    /// `ADMIN_USER`, for PostGIS.
    pub admin_user: Option<String>,
    /// `ADMIN_PASSWORD`, for PostGIS.
    pub admin_password: Option<SecretString>,
    /// `NAME`: another database than Django's own.
    pub name: Option<String>,
    /// `HOST`.
    pub host: Option<String>,
    /// `PORT`.
    pub port: Option<String>,
    /// `USER`.
    pub user: Option<String>,
    /// `PASSWORD`.
    pub password: Option<SecretString>,
    /// `OPTIONS`: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `passfile`, `service`.
    pub options: Options,
}

impl Default for Connector {
    fn default() -> Self {
        Connector {
            class: None,
            exclude: Vec::new(),
            extension: None,
            dump_cmd: Vec::new(),
            restore_cmd: Vec::new(),
            dump_prefix: Vec::new(),
            dump_suffix: Vec::new(),
            restore_prefix: Vec::new(),
            restore_suffix: Vec::new(),
            env: BTreeMap::new(),
            dump_env: BTreeMap::new(),
            restore_env: BTreeMap::new(),
            use_parent_env: true,
            single_transaction: true,
            drop: true,
            if_exists: true,
            schemas: Vec::new(),
            pg_options: Vec::new(),
            psql_cmd: Vec::new(),
            admin_user: None,
            admin_password: None,
            name: None,
            host: None,
            port: None,
            user: None,
            password: None,
            options: Options::default(),
        }
    }
}

/// All names, for those who mistype one.
const NAMES: [&str; 30] = [
    "CONNECTOR",
    "EXCLUDE",
    "EXTENSION",
    "DUMP_CMD",
    "RESTORE_CMD",
    "DUMP_PREFIX",
    "DUMP_SUFFIX",
    "RESTORE_PREFIX",
    "RESTORE_SUFFIX",
    "ENV",
    "DUMP_ENV",
    "RESTORE_ENV",
    "USE_PARENT_ENV",
    "SINGLE_TRANSACTION",
    "DROP",
    "IF_EXISTS",
    "SCHEMAS",
    "PG_OPTIONS",
    "PSQL_CMD",
    "ADMIN_USER",
    "ADMIN_PASSWORD",
    "NAME",
    "HOST",
    "PORT",
    "USER",
    "PASSWORD",
    "OPTIONS",
    "OBJECT_CHECK",
    "AUTH_SOURCE",
    "ENGINE",
];

impl Connector {
    /// Reads the options of one database. `setting` names where they come from.
    pub(super) fn read(
        setting: &str,
        map: &Map<String, Value>,
        notes: &mut Vec<Note>,
    ) -> Result<Self, SettingsError> {
        let mut c = Connector::default();
        let given =
            map.iter().find(|(k, _)| k.eq_ignore_ascii_case("connector")).and_then(|(_, v)| v.as_str());
        let foreign = given.is_some_and(|path| ConnectorKind::from_path(path).is_none());
        for (key, value) in map {
            let name = format!("{setting}.{key}");
            let s = Setting { name: &name, value };
            match key.to_uppercase().as_str() {
                "CONNECTOR" => c.class = s.some_text()?,
                "EXCLUDE" => c.exclude = s.list()?,
                "EXTENSION" => c.extension = s.some_text()?,
                "DUMP_CMD" => c.dump_cmd = s.words()?,
                "RESTORE_CMD" => c.restore_cmd = s.words()?,
                "DUMP_PREFIX" => c.dump_prefix = s.words()?,
                "DUMP_SUFFIX" => c.dump_suffix = s.words()?,
                "RESTORE_PREFIX" => c.restore_prefix = s.words()?,
                "RESTORE_SUFFIX" => c.restore_suffix = s.words()?,
                "ENV" => c.env = s.environment()?,
                "DUMP_ENV" => c.dump_env = s.environment()?,
                "RESTORE_ENV" => c.restore_env = s.environment()?,
                "USE_PARENT_ENV" => c.use_parent_env = s.yes()?,
                "SINGLE_TRANSACTION" => c.single_transaction = s.yes()?,
                "DROP" => c.drop = s.yes()?,
                "IF_EXISTS" => c.if_exists = s.yes()?,
                "SCHEMAS" => c.schemas = s.one_or_more()?,
                "PG_OPTIONS" => c.pg_options = s.words()?,
                "PSQL_CMD" => c.psql_cmd = s.words()?,
                "ADMIN_USER" => c.admin_user = s.some_text()?,
                "ADMIN_PASSWORD" => c.admin_password = s.secret()?,
                "NAME" => c.name = s.some_text()?,
                "HOST" => c.host = s.some_text()?,
                "PORT" => c.port = s.some_text()?,
                "USER" => c.user = s.some_text()?,
                "PASSWORD" => c.password = s.secret()?,
                "OPTIONS" => c.options = Options::new(s.dictionary()?.0),
                "OBJECT_CHECK" | "AUTH_SOURCE" => {
                    notes.push(Note::new(
                        &name,
                        Weight::Decide,
                        "is MongoDB's, which repot does not back up",
                    ));
                }
                "ENGINE" => notes.push(Note::new(
                    &name,
                    Weight::Harmless,
                    "has no effect in a connector; the engine is the database's own",
                )),
                _ if foreign => {
                    notes.push(Note::new(
                        &name,
                        Weight::Decide,
                        "is an option of a class that only Python can run",
                    ));
                }
                _ => {
                    return Err(SettingsError::Unknown {
                        name: name.clone(),
                        near: near(&key.to_uppercase(), NAMES),
                    });
                }
            }
        }
        let name = format!("{setting}.CONNECTOR");
        match c.class.as_deref().map(|path| (path, ConnectorKind::from_path(path))) {
            Some((path, None)) => notes.push(Note::new(
                &name,
                Weight::Decide,
                &format!("names the class `{path}`, which only Python can run; repot dumps by the database's engine"),
            )),
            Some((_, Some(ConnectorKind::Mongo))) => {
                notes.push(Note::new(&name, Weight::Decide, "is MongoDB's, which repot does not back up"));
            }
            Some((_, Some(ConnectorKind::Django))) => notes.push(Note::new(
                &name,
                Weight::Decide,
                "is Django's dumpdata, which only Django can run; repot makes a native dump by the database's engine",
            )),
            _ => {}
        }
        Ok(c)
    }
}
