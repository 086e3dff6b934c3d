//! Which layers a file has, and taking them off.

use std::io::Read;

use super::{CodecError, Compression, Decompressor, Decryptor, Keys};

/// The format that a file is encrypted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cipher {
    /// Not encrypted.
    #[default]
    None,
    /// age.
    Age,
    /// OpenPGP.
    OpenPgp,
}

impl Cipher {
    /// What names of such files end in, with the dot; empty for none.
    pub fn suffix(self) -> &'static str {
        match self {
            Cipher::None => "",
            Cipher::Age => ".age",
            Cipher::OpenPgp => ".gpg",
        }
    }

    /// What a file that starts with these bytes (40 are enough) looks like, binary or armored. A damaged start
    /// looks like [`Cipher::None`]: where a name or a manifest says how a file is encrypted, believe that instead.
    pub fn detect(start: &[u8]) -> Self {
        if start.starts_with(b"age-encryption.org/") || start.starts_with(b"-----BEGIN AGE ENCRYPTED FILE") {
            return Cipher::Age;
        }
        if start.starts_with(b"-----BEGIN PGP MESSAGE") {
            return Cipher::OpenPgp;
        }
        let tag = match start.first() {
            Some(b) if b & 0xc0 == 0xc0 => b & 0x3f,
            Some(b) if b & 0xc0 == 0x80 => (b >> 2) & 0x0f,
            _ => return Cipher::None,
        };
        // Session keys, and encrypted data without any: with no code, with one, and GnuPG's own.
        if matches!(tag, 1 | 3 | 9 | 18 | 20) { Cipher::OpenPgp } else { Cipher::None }
    }
}

/// The layers of a file: compressed first, then encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layers {
    /// The inner layer.
    pub compression: Compression,
    /// The outer layer.
    pub cipher: Cipher,
}

impl Layers {
    /// Reads a name such as `db.psql.bin.gz.gpg`, and gives what is left of it too.
    pub fn of_name(name: &str) -> (&str, Self) {
        let outer = [
            (".gpg", Cipher::OpenPgp),
            (".pgp", Cipher::OpenPgp),
            (".asc", Cipher::OpenPgp),
            (".age", Cipher::Age),
        ];
        let inner = [(".gz", Compression::Gzip), (".zst", Compression::Zstd)];
        let (name, cipher) = strip(name, &outer).unwrap_or((name, Cipher::None));
        let (name, compression) = strip(name, &inner).unwrap_or((name, Compression::None));
        (name, Layers { compression, cipher })
    }

    /// What names of such files end in, such as `.zst.age`.
    pub fn suffix(self) -> String {
        format!("{}{}", self.compression.suffix(), self.cipher.suffix())
    }

    /// Takes the layers off. [The module's page](super) says what is proved when.
    pub fn reader<R: Read + Send + 'static>(
        self,
        input: R,
        keys: &Keys,
    ) -> Result<Decompressor<Decryptor>, CodecError> {
        self.compression.reader(self.cipher.reader(input, keys)?)
    }
}

fn strip<'a, T: Copy>(name: &'a str, suffixes: &[(&str, T)]) -> Option<(&'a str, T)> {
    suffixes.iter().find_map(|(suffix, what)| name.strip_suffix(suffix).map(|rest| (rest, *what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_layers() {
        let of = |name| {
            let (rest, layers) = Layers::of_name(name);
            (rest.to_owned(), layers.suffix())
        };
        assert_eq!(of("db.psql.bin.gz.gpg"), ("db.psql.bin".into(), ".gz.gpg".into()));
        assert_eq!(of("media.tar.zst.age"), ("media.tar".into(), ".zst.age".into()));
        assert_eq!(of("media.tar.gz"), ("media.tar".into(), ".gz".into()));
        assert_eq!(of("db.dump"), ("db.dump".into(), String::new()));
        assert_eq!(of("db.gpg.gz"), ("db.gpg".into(), ".gz".into()));
    }

    #[test]
    fn ordinary_files_are_not_taken_for_encrypted_ones() {
        for start in
            [&b"PGDMP\x01"[..], b"SQLite format 3\0", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"--\n", b""]
        {
            assert_eq!(Cipher::detect(start), Cipher::None, "{start:?}");
        }
        assert_eq!(Cipher::detect(&[0x85, 1, 12]), Cipher::OpenPgp);
        assert_eq!(Cipher::detect(&[0xc1, 0x4e]), Cipher::OpenPgp);
        assert_eq!(Cipher::detect(b"age-encryption.org/v1\n"), Cipher::Age);
    }
}
