//! What a server looked like at one instant, as a plain value: small, stable JSON, without a secret in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The number of the format below; a reader refuses a higher one.
pub const FORMAT: u32 = 1;

/// How much of a definition is kept, in bytes. The digest covers all of it.
const DEFINITION_LIMIT_BYTES: usize = 4096;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFingerprint {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// As `server_version_num` has it: 130023 is 13.23.
    pub server_version_num: u32,
    /// When the taking began, RFC 3339 in UTC.
    pub taken_at: String,
    /// Whether roles, memberships and tablespaces were read: that takes a superuser.
    pub cluster: bool,
    /// Roles but the system's own (`pg_*`); of a password only a BLAKE3 of its stored form.
    pub roles: Vec<SchemaObject>,
    /// Who is a member of what.
    pub memberships: Vec<SchemaObject>,
    /// Tablespaces but the built-in two; without their locations, which are the machine's.
    pub tablespaces: Vec<SchemaObject>,
    /// By name.
    pub databases: BTreeMap<String, DatabaseFingerprint>,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

impl ClusterFingerprint {
    /// Refuses a fingerprint that a later repot wrote in a form this one does not know.
    pub fn check_format(&self) -> Result<()> {
        if self.format <= FORMAT {
            return Ok(());
        }
        let what = format!("the fingerprint of {} has format {}", self.taken_at, self.format);
        Err(Error::refused("fingerprint-format", what)
            .why(format!("this repot knows formats up to {FORMAT}"))
            .help("use the version of repot that wrote it, or a later one"))
    }
}

/// One database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFingerprint {
    /// Such as `UTF8`.
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// `libc`, `icu` or `builtin`, with the locale where it is not LC_COLLATE.
    pub provider: String,
    /// Owning role.
    pub owner: String,
    /// -1 is unlimited.
    pub connection_limit: i32,
    /// Whether CREATE DATABASE may copy it freely.
    pub is_template: bool,
    /// ALTER DATABASE ... SET and ALTER ROLE ... IN DATABASE ... SET, sorted.
    pub settings: Vec<String>,
    /// Effective privileges, one line a grantee, sorted.
    pub acl: Vec<String>,
    /// Everything with a definition, sorted by kind and name.
    pub schema: Vec<SchemaObject>,
    /// Every table that holds rows: plain, partition, unlogged, materialized view.
    pub tables: Vec<TableFingerprint>,
    /// Every sequence's position.
    pub sequences: Vec<SequenceFingerprint>,
    /// Large objects.
    pub large_objects: LargeObjects,
    /// Installed extensions.
    pub extensions: Vec<Extension>,
    /// What was left out, in words.
    pub notes: Vec<String>,
    /// The only schemas that it is of; none: all of the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_schemas: Vec<String>,
}

/// Something with a name and a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaObject {
    /// In the manual's words: `table`, `index`, `policy`.
    pub kind: String,
    /// Quoted and qualified as SQL would have it.
    pub name: String,
    /// BLAKE3 of the whole definition, 32 hexadecimal digits.
    pub digest: String,
    /// The definition, one property a line; cut (it then ends with `…`) where it is very long.
    pub definition: String,
}

impl SchemaObject {
    /// An object with its digest.
    pub fn new(kind: impl Into<String>, name: impl Into<String>, definition: &str) -> Self {
        let mut kept = definition.to_owned();
        if kept.len() > DEFINITION_LIMIT_BYTES {
            let mut cut = DEFINITION_LIMIT_BYTES;
            while !kept.is_char_boundary(cut) {
                cut -= 1;
            }
            kept.truncate(cut);
            kept.push('…');
        }
        SchemaObject { kind: kind.into(), name: name.into(), digest: digest(definition), definition: kept }
    }
}

/// BLAKE3 of a text, shortened to 128 bits: 32 hexadecimal digits.
pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// How a table's rows were digested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The text of whole rows.
    #[default]
    Rows,
    /// Each value by itself first: some row's text is beyond the server's limit of 1 GB.
    Values,
}

/// One table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFingerprint {
    /// Schema, as stored, not quoted.
    pub schema: String,
    /// Name, as stored, not quoted.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// Two sums of independent 64-bit hashes of the rows' text, 32 hexadecimal digits: the order of rows does not
    /// matter, a row that is there twice counts twice.
    pub digest: String,
    /// Which texts were hashed; digests of different methods cannot be compared.
    #[serde(default)]
    pub method: Method,
    /// Whether this is a materialized view: its rows may be made anew by a restore.
    #[serde(default)]
    pub materialized: bool,
    /// Size on disk with TOAST, for progress and speed; never compared.
    pub bytes: u64,
}

/// One sequence's position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceFingerprint {
    /// Schema, as stored, not quoted.
    pub schema: String,
    /// Name, as stored, not quoted.
    pub name: String,
    /// What it last gave, or will give first when `is_called` is false.
    pub last_value: i64,
    /// Whether `last_value` was given out.
    pub is_called: bool,
    /// Type, start, increment, bounds, cache, cycle, owning column.
    pub params: String,
}

/// Large objects of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// How many.
    pub count: u64,
    /// Their length in all; holes count.
    pub bytes: u64,
    /// As [`TableFingerprint::digest`], over chunks of 1 MiB.
    pub digest: String,
    /// Digests to tell which one differs: by object while there are at most [`LargeObjects::BY_OBJECT`], by the
    /// last three digits of its number otherwise.
    pub parts: BTreeMap<u32, String>,
}

impl LargeObjects {
    /// Up to this many objects have a digest each.
    pub const BY_OBJECT: u64 = 1000;
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Name.
    pub name: String,
    /// Installed version; allowed to differ, since newer servers bring newer ones.
    pub version: String,
    /// The schema its objects are in.
    pub schema: String,
}
