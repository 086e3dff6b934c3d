//! What the name of a file says of it.

use jiff::civil::DateTime;

/// What a database's file is, by its extension.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DumpFormat {
    /// `.psql.bin`: `pg_dump --format=custom`.
    PgCustom,
    /// `.psql`: plain SQL of PostgreSQL.
    PgSql,
    /// `.sqlite3`: a copy of an SQLite database.
    Sqlite,
    /// `.dump`: SQL of MySQL or MariaDB, SQL or a copy of SQLite, or MongoDB's archive. The sidecar says which.
    Dump,
    /// `.json`: Django's `dumpdata`.
    Json,
    /// A connector's own `EXTENSION`.
    Other(String),
}

impl DumpFormat {
    /// The format that an extension (without a dot before it) stands for.
    pub fn from_extension(extension: &str) -> Self {
        match extension {
            "psql.bin" => DumpFormat::PgCustom,
            "psql" => DumpFormat::PgSql,
            "sqlite3" => DumpFormat::Sqlite,
            "dump" => DumpFormat::Dump,
            "json" => DumpFormat::Json,
            other => DumpFormat::Other(other.to_owned()),
        }
    }
    /// The extension, without a dot before it.
    pub fn extension(&self) -> &str {
        match self {
            DumpFormat::PgCustom => "psql.bin",
            DumpFormat::PgSql => "psql",
            DumpFormat::Sqlite => "sqlite3",
            DumpFormat::Dump => "dump",
            DumpFormat::Json => "json",
            DumpFormat::Other(extension) => extension,
        }
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// One database.
    Database(DumpFormat),
    /// Media files, a tar archive.
    Media,
}

impl Content {
    /// What `{content_type}` stands for.
    pub(super) fn kind(&self) -> &'static str {
        if *self == Content::Media { "media" } else { "db" }
    }
    pub(super) fn extension(&self) -> &str {
        match self {
            Content::Database(format) => format.extension(),
            Content::Media => "tar",
        }
    }
}

/// What was done to a file after it was dumped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wrapping {
    /// gzip: `.gz`.
    pub compressed: bool,
    /// OpenPGP: `.gpg`.
    pub encrypted: bool,
}

impl Wrapping {
    pub(super) fn endings(self) -> &'static str {
        match (self.compressed, self.encrypted) {
            (false, false) => "",
            (true, false) => ".gz",
            (false, true) => ".gpg",
            (true, true) => ".gz.gpg",
        }
    }
}

/// What the name of a foreign file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    /// The name.
    pub name: String,
    /// Whether it is the `.metadata` sidecar; everything else here is then said of the file beside it.
    pub sidecar: bool,
    /// What it holds.
    pub content: Content,
    /// Compression and encryption.
    pub wrapping: Wrapping,
    /// The database's alias (`default`). `None` if the template does not name it, the name is not by the template,
    /// or it could be read in two ways.
    pub database: Option<String>,
    /// The server, under the same conditions.
    pub server: Option<String>,
    /// When it was made: local time of whoever wrote it, which is Django's `TIME_ZONE`.
    pub taken_at: DateTime,
    /// Whether the name is one that the template gives. django-dbbackup lists files without that, too.
    pub by_template: bool,
    /// Whether Django's storage added `_` and seven characters, because the name was taken.
    pub renamed: bool,
}
