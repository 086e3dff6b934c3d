//! What a backup set says of itself.

use serde::{Deserialize, Serialize};

use crate::archive::Fingerprint;
use crate::codec::{Cipher, Compression, Layers};
use crate::retention::Content;

/// Version of the manifest's format; a reader refuses a newer one. 1 knew neither layers nor media: what it lacks has
/// its default.
pub const MANIFEST_FORMAT: u32 = 2;

/// Format of a set with files outside of its directory ([`FileEntry::at_root`]), which 2 would not find.
pub const MANIFEST_FORMAT_AT_ROOT: u32 = 3;

/// What made a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MadeBy {
    /// An upgrade, from a server that nobody else could reach.
    #[default]
    Upgrade,
    /// `repot backup`, while the application ran.
    Backup,
}

/// What a file of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Roles and tablespaces, plain SQL by `pg_dumpall --globals-only`.
    Globals,
    /// One database, in the form of its [`Engine`].
    Database,
    /// A configuration file of the old server, as it was; or, with a fingerprint, a tar of configuration files.
    Config,
    /// A tar of one media root.
    Media,
}

/// Which database system a dump is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL: a dump is pg_dump's custom format.
    #[default]
    Postgresql,
    /// MariaDB: a dump is SQL by mariadb-dump.
    Mariadb,
    /// MySQL: a dump is SQL by mysqldump.
    Mysql,
    /// SQLite: a dump is the database file itself.
    Sqlite,
}

impl Engine {
    /// The name people use.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Engine::Postgresql => "PostgreSQL",
            Engine::Mariadb => "MariaDB",
            Engine::Mysql => "MySQL",
            Engine::Sqlite => "SQLite",
        }
    }
}

impl FileKind {
    /// Its place in a manifest.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            FileKind::Globals => 0,
            FileKind::Database => 1,
            FileKind::Config => 2,
            FileKind::Media => 3,
        }
    }
}

/// A file's content, without its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plain {
    /// Size in bytes.
    pub size_bytes: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
}

/// A sequence that went on while the set was made. Sequences are in no snapshot: the dump has a value between these, and
/// the fingerprint maybe another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSequence {
    /// The database.
    pub database: String,
    /// Schema, as stored, not quoted.
    pub schema: String,
    /// Name, as stored, not quoted.
    pub name: String,
    /// Its value right after the snapshot was taken.
    pub from: i64,
    /// Its value when all was read.
    pub to: i64,
}

fn uncompressed() -> Compression {
    Compression::None
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
    /// The system of that database.
    #[serde(default)]
    pub engine: Engine,
    /// Size in bytes.
    pub size_bytes: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
    /// SHA-256, hexadecimal; `sha256sum` checks it without repot.
    pub sha256: String,
    /// How to restore it by hand, with ordinary tools.
    pub restore: String,
    /// How it is compressed, beside what pg_dump does itself.
    #[serde(default = "uncompressed")]
    pub compression: Compression,
    /// How it is encrypted; compressed first, then encrypted.
    #[serde(default)]
    pub encryption: Cipher,
    /// Its content without these layers; none in sets of format 1, where the file is the content.
    #[serde(default)]
    pub plain: Option<Plain>,
    /// For a tar: what is in it.
    #[serde(default)]
    pub tree: Option<Fingerprint>,
    /// For media: the root's name in the profile.
    #[serde(default)]
    pub root: Option<String>,
    /// Whether it is in the storage's root, where django-dbbackup looks, and not in the set's directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_root: bool,
}

impl FileEntry {
    /// Its name in the storage.
    #[must_use]
    pub fn path(&self, set: &str) -> String {
        if self.at_root { self.name.clone() } else { format!("{set}/{}", self.name) }
    }
    /// The layers around its content.
    #[must_use]
    pub fn layers(&self) -> Layers {
        Layers { compression: self.compression, cipher: self.encryption }
    }
    /// Which kind of content it belongs to; globals go with the databases.
    #[must_use]
    pub fn content(&self) -> Content {
        match self.kind {
            FileKind::Globals | FileKind::Database => Content::Db,
            FileKind::Media => Content::Media,
            FileKind::Config => Content::Config,
        }
    }
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
    /// What the application says of its version, as a sidecar of django-dbbackup has it; none where the profile knows
    /// no way to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_facts: Option<serde_json::Value>,
    /// The Compose project, or whatever names the installation.
    pub project: String,
    /// Where that runs: tells two installations of one name from each other.
    #[serde(default)]
    pub place: Option<String>,
    /// The run that made it; for `repot backup` the set's own time and number.
    pub run: String,
    /// What made it.
    #[serde(default)]
    pub made_by: MadeBy,
    /// What the user called it.
    #[serde(default)]
    pub label: Option<String>,
    /// The fingerprint of the OpenPGP key that its signature is of, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// `server_version_num` of the server it was taken from.
    pub server_version_num: u32,
    /// Version of the client that wrote the dumps, as it calls itself; a pg_restore at least as new reads them.
    pub client: String,
    /// Image of that server, where it runs in a container.
    #[serde(default)]
    pub image: Option<String>,
    /// The files.
    pub files: Vec<FileEntry>,
    /// Number of the server's next transaction when the set was made (`txid_snapshot_xmax`), where nobody could
    /// write meanwhile: another number later tells that somebody has written since.
    #[serde(default)]
    pub next_transaction: Option<String>,
    /// Sequences that went on meanwhile.
    #[serde(default)]
    pub moved_sequences: Vec<MovedSequence>,
    /// Fingerprint of the whole server while the dumps were made; the shape is the fingerprint's own.
    pub fingerprint: serde_json::Value,
}

impl Manifest {
    /// Parses a manifest; the error says why it is none.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Manifest = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let newest = MANIFEST_FORMAT.max(MANIFEST_FORMAT_AT_ROOT);
        if manifest.format > newest {
            return Err(format!("format {} is newer than this repot ({newest})", manifest.format));
        }
        if let Some(f) = manifest.files.iter().find(|f| f.name.contains('/') || f.name.starts_with('.')) {
            return Err(format!("the name `{}` leads out of the set", f.name));
        }
        Ok(manifest)
    }
    /// The system of its databases; PostgreSQL where it has none.
    #[must_use]
    pub fn engine(&self) -> Engine {
        let database = self.files.iter().find(|f| f.kind == FileKind::Database);
        database.map_or_else(Engine::default, |f| f.engine)
    }
    /// Size of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size_bytes).sum()
    }
}
