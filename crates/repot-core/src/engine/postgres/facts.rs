//! What is asked of a running server before an upgrade.

use serde::{Deserialize, Serialize};

use super::session::{Connector, Row, Session};
use crate::error::{Error, Result};

/// A cluster as its own catalogs describe it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterFacts {
    /// `server_version_num`: 130023 is 13.23.
    pub version_num: u32,
    /// Name of the bootstrap superuser, the role with OID 10.
    pub superuser: String,
    /// Every database but template0.
    pub databases: Vec<DatabaseFacts>,
    /// Encoding of template1, for initdb.
    pub encoding: String,
    /// lc_collate of template0.
    pub collate: String,
    /// lc_ctype of template0.
    pub ctype: String,
    /// `libc`, `icu` or `builtin` of template0 (always `libc` before 15).
    pub locale_provider: String,
    /// ICU or builtin locale of template0, where the provider is not libc.
    pub icu_locale: Option<String>,
    /// Whether pages carry checksums.
    pub data_checksums: bool,
    /// WAL segment size in bytes.
    pub wal_segment_bytes: u64,
    /// Settings given in configuration files, in order of effect, with the file each comes from.
    pub file_settings: Vec<FileSetting>,
    /// `shared_preload_libraries`, as set.
    pub preload_libraries: String,
    /// Path of pg_hba.conf inside the container, and whether it is inside the data directory.
    pub hba_file: String,
    /// Path of pg_ident.conf.
    pub ident_file: String,
    /// Path of postgresql.conf.
    pub config_file: String,
    /// The data directory inside the container.
    pub data_directory: String,
    /// Tables, indexes, sequences and large objects of the fullest database: locks that a single-transaction
    /// restore may take.
    pub most_objects: u64,
    /// Whether the server follows another one (standby), or recovers from an archive.
    pub in_recovery: bool,
}

/// One database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseFacts {
    /// Name.
    pub name: String,
    /// Size in bytes (`pg_database_size`).
    pub size_bytes: u64,
    /// Whether connections are allowed.
    pub allows_connections: bool,
    /// Whether it is a template.
    pub is_template: bool,
    /// Encoding.
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// Installed extensions with their versions.
    pub extensions: Vec<(String, String)>,
    /// Whether PUBLIC may create in schema public.
    pub public_may_create: bool,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// ICU or builtin locale, where the provider is not libc.
    pub icu_locale: Option<String>,
    /// `datconnlimit`; -2 marks a database whose DROP was cut off (PostgreSQL 11.21, 12.16, 13.12 and later).
    pub connection_limit: i64,
    /// Bytes of tables with their TOAST and of large objects, without indexes: what a dump has to read.
    pub table_bytes: u64,
    /// How many large objects.
    pub large_objects: u64,
    /// Their size in bytes, as stored.
    pub large_object_bytes: u64,
    /// How many objects somebody made in it (or an extension did), as against those that initdb makes.
    pub user_objects: u64,
    /// Collations in use, or made by somebody.
    pub collations: Vec<CollationFacts>,
    /// Libraries of C functions that belong to no extension, as written (`$libdir/…`).
    pub libraries: Vec<String>,
}

/// One collation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollationFacts {
    /// Name.
    pub name: String,
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// The operating system's locale that it needs, for libc.
    pub locale: String,
}

/// One setting of a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileSetting {
    /// File it stands in.
    pub file: String,
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Whether it is the one that takes effect.
    pub applied: bool,
    /// What the server says is wrong with it (`pg_file_settings.error`).
    pub error: Option<String>,
}

impl ClusterFacts {
    /// The major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.version_num / 10_000
    }
    /// The version in people's words: `13.23`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}.{}", self.version_num / 10_000, self.version_num % 10_000)
    }
    /// Bytes of all databases.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.databases.iter().map(|d| d.size_bytes).sum()
    }
    /// Whether `path` lies in the data directory.
    #[must_use]
    pub fn is_in_data_directory(&self, path: &str) -> bool {
        let base = self.data_directory.trim_end_matches('/');
        path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Asks a running server, 11 to 18, for everything above. One session for the cluster and one for each database.
///
/// # Errors
/// `not-superuser` when the login is not a superuser: pg_authid, pg_file_settings and the rest are closed to others.
pub fn gather(connector: &dyn Connector) -> Result<ClusterFacts> {
    let session = connector.connect(connector.home_database())?;
    let version_num = session.version_num()?;
    require_superuser(&session)?;
    let mut facts = ClusterFacts {
        version_num,
        superuser: session.scalar("SELECT rolname FROM pg_roles WHERE oid = 10")?,
        wal_segment_bytes: number(
            &session.scalar("SELECT pg_size_bytes(current_setting('wal_segment_size'))")?,
        ),
        in_recovery: session.scalar("SELECT pg_is_in_recovery()")? == "t",
        data_checksums: setting(&session, "data_checksums")? == "on",
        preload_libraries: setting(&session, "shared_preload_libraries")?,
        hba_file: setting(&session, "hba_file")?,
        ident_file: setting(&session, "ident_file")?,
        config_file: setting(&session, "config_file")?,
        data_directory: setting(&session, "data_directory")?,
        file_settings: file_settings(&session)?,
        ..ClusterFacts::default()
    };
    let template0 = databases(&session, version_num, "d.datname = 'template0'")?;
    if let Some(t) = template0.into_iter().next() {
        facts.collate = t.collate;
        facts.ctype = t.ctype;
        facts.locale_provider = t.locale_provider;
        facts.icu_locale = t.icu_locale;
        facts.encoding = t.encoding;
    }
    let encoding =
        session.query("SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'")?;
    if let Some(e) = encoding.into_iter().next().and_then(|mut r| r.pop().flatten()) {
        facts.encoding = e;
    }
    facts.databases = databases(&session, version_num, "d.datname <> 'template0'")?;
    for database in &mut facts.databases {
        if !database.allows_connections || database.connection_limit == -2 {
            // Nobody can look inside; its whole size is the only bound there is.
            database.table_bytes = database.size_bytes;
            continue;
        }
        // A session costs a process on the server's side and one on ours: the first serves again.
        let objects = if database.name == connector.home_database() {
            inside(&session, database)?
        } else {
            inside(&connector.connect(&database.name)?, database)?
        };
        facts.most_objects = facts.most_objects.max(objects);
    }
    Ok(facts)
}

fn require_superuser(session: &Session) -> Result<()> {
    let row = session.query("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")?;
    let (name, is_super) = row.first().map(|r| (text(r, 0), text(r, 1) == "t")).unwrap_or_default();
    if is_super {
        return Ok(());
    }
    Err(Error::refused("not-superuser", format!("the role {name} is not a superuser of this server"))
        .why("only a superuser can read the roles, settings and every database, and all of them must come along")
        .help("set POSTGRES_USER of the database service to the superuser that the server was made with"))
}

fn setting(session: &Session, name: &str) -> Result<String> {
    session.scalar(&format!("SELECT current_setting('{name}')"))
}

fn file_settings(session: &Session) -> Result<Vec<FileSetting>> {
    let rows = session.query(
        "SELECT sourcefile, name, setting, applied, error FROM pg_file_settings WHERE name IS NOT NULL ORDER BY seqno",
    )?;
    let one = |r: &Row| FileSetting {
        file: text(r, 0),
        name: text(r, 1),
        value: text(r, 2),
        applied: text(r, 3) == "t",
        error: r.get(4).cloned().flatten(),
    };
    Ok(rows.iter().map(one).collect())
}

fn databases(session: &Session, version_num: u32, which: &str) -> Result<Vec<DatabaseFacts>> {
    // datlocprovider came with 15; its locale is daticulocale there and in 16, datlocale from 17 on.
    let (provider, locale) = match version_num {
        0..150_000 => ("'c'", "NULL"),
        150_000..170_000 => ("d.datlocprovider::text", "d.daticulocale"),
        _ => ("d.datlocprovider::text", "d.datlocale"),
    };
    let rows = session.query(&format!(
        "SELECT d.datname, pg_database_size(d.oid), d.datallowconn, d.datistemplate, pg_encoding_to_char(d.encoding), \
         d.datcollate, d.datctype, {provider}, {locale}, d.datconnlimit FROM pg_database d WHERE {which} ORDER BY d.datname"
    ))?;
    let one = |r: &Row| DatabaseFacts {
        name: text(r, 0),
        size_bytes: number(&text(r, 1)),
        allows_connections: text(r, 2) == "t",
        is_template: text(r, 3) == "t",
        encoding: text(r, 4),
        collate: text(r, 5),
        ctype: text(r, 6),
        locale_provider: provider_name(&text(r, 7)).to_owned(),
        icu_locale: r.get(8).cloned().flatten(),
        connection_limit: text(r, 9).parse().unwrap_or(-1),
        ..DatabaseFacts::default()
    };
    Ok(rows.iter().map(one).collect())
}

/// Fills in what only a session of its own can tell; returns how many objects the database has.
fn inside(session: &Session, database: &mut DatabaseFacts) -> Result<u64> {
    let rows = session.query("SELECT extname, extversion FROM pg_extension ORDER BY extname")?;
    database.extensions = rows.iter().map(|r| (text(r, 0), text(r, 1))).collect();
    // has_schema_privilege fails where somebody dropped the schema; grantee 0 is PUBLIC.
    database.public_may_create = session.scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
         WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')",
    )? == "t";
    let row = session.query(
        "SELECT (SELECT coalesce(sum(pg_table_size(c.oid)), 0) FROM pg_class c WHERE c.relkind IN ('r', 'm') \
           AND (c.oid >= 16384 OR c.relname = 'pg_largeobject')), \
         (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_class), pg_table_size('pg_largeobject')",
    )?;
    let value = |i: usize| row.first().map(|r| number(&text(r, i))).unwrap_or_default();
    database.table_bytes = value(0);
    database.large_objects = value(1);
    database.large_object_bytes = value(3);
    database.user_objects = number(&session.scalar(USER_OBJECTS)?);
    for r in session.query(COLLATIONS)? {
        let (name, provider, locale) = (text(&r, 0), text(&r, 1), text(&r, 2));
        // One that came with the cluster is called by name in a dump, and its name is the locale's.
        let locale = if text(&r, 3) == "t" { locale } else { name.clone() };
        let provider = provider_name(&provider).to_owned();
        database.collations.push(CollationFacts { name, provider, locale });
    }
    database.libraries = session.query(LIBRARIES)?.iter().map(|r| text(r, 0)).collect();
    Ok(value(1) + value(2))
}

const USER_OBJECTS: &str = "SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384) + (SELECT count(*) FROM pg_proc WHERE oid >= 16384) \
    + (SELECT count(*) FROM pg_type WHERE oid >= 16384) + (SELECT count(*) FROM pg_operator WHERE oid >= 16384) \
    + (SELECT count(*) FROM pg_conversion WHERE oid >= 16384) + (SELECT count(*) FROM pg_foreign_server) \
    + (SELECT count(*) FROM pg_event_trigger) + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_seclabel) \
    + (SELECT count(*) FROM pg_extension WHERE oid >= 16384)";

const COLLATIONS: &str = "SELECT DISTINCT c.collname, c.collprovider, coalesce(c.collcollate, ''), c.oid >= 16384 FROM pg_collation c \
    WHERE c.collname NOT IN ('default', 'C', 'POSIX', 'ucs_basic', 'unicode', 'pg_c_utf8', 'pg_unicode_fast') AND (c.oid >= 16384 OR c.oid IN ( \
    SELECT a.attcollation FROM pg_attribute a WHERE a.attrelid >= 16384 \
    UNION SELECT unnest(i.indcollation::oid[]) FROM pg_index i WHERE i.indrelid >= 16384 \
    UNION SELECT t.typcollation FROM pg_type t WHERE t.oid >= 16384)) ORDER BY 1";

const LIBRARIES: &str = "SELECT DISTINCT p.probin FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c' \
    WHERE p.oid >= 16384 AND p.probin IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_depend d \
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') ORDER BY 1";

fn provider_name(letter: &str) -> &'static str {
    match letter {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    }
}

fn text(row: &Row, column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
