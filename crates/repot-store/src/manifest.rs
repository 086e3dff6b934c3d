//! What a backup set says of itself.

use serde::{Deserialize, Serialize};

/// Version of the manifest's format; a reader refuses a newer one.
pub const MANIFEST_FORMAT: u32 = 1;

/// What a file of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Roles and tablespaces, plain SQL by `pg_dumpall --globals-only`.
    Globals,
    /// One database, `pg_dump` custom format.
    Database,
    /// A configuration file of the old server, as it was.
    Config,
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name within the set's directory.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// The database it holds, where it holds one.
    pub database: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
    /// SHA-256, hexadecimal; `sha256sum` checks it without repot.
    pub sha256: String,
    /// How to restore it by hand, with ordinary tools.
    pub restore: String,
}

/// A complete set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// When the set was finished, RFC 3339.
    pub created_at: String,
    /// Version of repot that wrote it.
    pub repot: String,
    /// Application, in words.
    pub application: String,
    /// Its version, where known.
    pub application_version: Option<String>,
    /// The Compose project, or whatever names the installation.
    pub project: String,
    /// The run that made it.
    pub run: String,
    /// `server_version_num` of the server it was taken from.
    pub server_version_num: u32,
    /// Version of the client that wrote the dumps, as it calls itself; a pg_restore at least as new reads them.
    pub client: String,
    /// The files.
    pub files: Vec<FileEntry>,
    /// Number of the server's next transaction when the set was made (`txid_snapshot_xmax`), where nobody could
    /// write meanwhile: another number later tells that somebody has written since.
    #[serde(default)]
    pub next_transaction: Option<String>,
    /// Fingerprint of the whole server while the dumps were made; the shape is the fingerprint's own.
    pub fingerprint: serde_json::Value,
}
