//! What is asked of a running server before an upgrade.

use serde::{Deserialize, Serialize};

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
}

/// temporary
pub fn gather(connector: &dyn super::session::Connector) -> crate::Result<ClusterFacts> {
    let s = connector.connect("postgres")?;
    let mut f = ClusterFacts { version_num: s.version_num()?, ..ClusterFacts::default() };
    f.superuser = s.scalar("SELECT rolname FROM pg_roles WHERE oid=10")?;
    f.data_checksums = s.scalar("SHOW data_checksums")? == "on";
    f.wal_segment_bytes = 16 << 20;
    f.locale_provider = "libc".into();
    f.hba_file = s.scalar("SHOW hba_file")?;
    f.ident_file = s.scalar("SHOW ident_file")?;
    f.config_file = s.scalar("SHOW config_file")?;
    f.data_directory = s.scalar("SHOW data_directory")?;
    let r = s.query("SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname='template0'")?;
    let g = |i: usize| r[0][i].clone().unwrap_or_default();
    f.encoding = g(0);
    f.collate = g(1);
    f.ctype = g(2);
    f.most_objects = 10_000;
    for row in s.query("SELECT datname, pg_database_size(oid), datallowconn FROM pg_database WHERE datname<>'template0' ORDER BY 1")? {
        let g = |i: usize| row[i].clone().unwrap_or_default();
        let public = connector.connect(&g(0))?.query("SELECT has_schema_privilege('public','public','CREATE')").is_ok_and(|r| r[0][0].as_deref() == Some("t"));
        f.databases.push(DatabaseFacts { name: g(0), size_bytes: g(1).parse().unwrap_or(0), allows_connections: g(2) == "t", public_may_create: public, ..DatabaseFacts::default() });
    }
    Ok(f)
}
