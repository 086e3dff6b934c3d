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
