//! One entry of a media tree, and its line in an entry list.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::shown;

/// Bytes of a name. In JSON a string where they are UTF-8, otherwise `{"hex": "…"}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Repr {
    Text(String),
    Hex { hex: String },
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => s.serialize_str(text),
            Err(_) => Repr::Hex { hex: hex(&self.0) }.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Repr::deserialize(d)? {
            Repr::Text(text) => Ok(Bytes(text.into_bytes())),
            Repr::Hex { hex } => {
                unhex(&hex).map(Bytes).ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
            }
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect()
}

/// What an entry is. A hard link is a file: which of a file's names comes first depends on who packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// One entry. Serialised with serde_json in this order of fields, it is a line of an entry list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path within the root: no leading `./`, no trailing `/`.
    pub path: Bytes,
    /// What it is.
    pub kind: Kind,
    /// Size of the content in bytes, holes included; 0 for what is not a file.
    pub size_bytes: u64,
    /// Permission bits (07777), without setuid and setgid for files; 0777 for links.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since 1970, rounded down.
    pub mtime_s: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// Where a symbolic link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Bytes>,
    /// BLAKE3 of the value of each extended attribute that is kept, hexadecimal. A name that is not UTF-8 is written as
    /// `hex:` and its bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    /// BLAKE3 of a file's content, holes read as zeros, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// Whether an extended attribute is kept. `user.*` belongs to the data; the two others are POSIX access control lists.
/// The rest gives rights (`security.capability`), belongs to the machine (`security.selinux`), or needs one to be root.
pub(super) fn keeps_xattr(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"system.posix_acl_access" || name == b"system.posix_acl_default"
}

/// An attribute's name as a key. Those that are kept begin with `user.` or `system.`, so `hex:` is free.
pub(super) fn xattr_name(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("hex:{}", hex(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_come_back(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let name = Bytes(name);
            let text = serde_json::to_string(&name).expect("serialised");
            prop_assert_eq!(serde_json::from_str::<Bytes>(&text).expect("parsed"), name);
        }
    }
}
