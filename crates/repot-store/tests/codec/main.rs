//! The codecs beside the tools that everybody has: gzip, zstd, Python, gpg, age.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start the real tools, and a panic is a failure"
)]

mod age_tool;
mod compression;
mod damage;
mod gnupg;
mod gpg_reads;
mod gpg_writes;
mod hostile;
mod random;

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Command;

use repot_store::codec::{AgeRecipients, CodecError, Compression, Effort, Encryption, Keys, Layers};
use repot_testkit::{Ran, run};
use secrecy::SecretString;

/// Around the sizes at which blocks, chunks and packets end.
const SIZES_BYTES: [usize; 16] = [
    0,
    1,
    191,
    192,
    511,
    512,
    8_383,
    8_384,
    65_535,
    65_536,
    65_537,
    131_072,
    (512 << 10) - 6,
    512 << 10,
    (1 << 20) + 1,
    (2 << 20) + 77,
];

/// Half text, half noise, and the same each time.
fn content(size_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_bytes + 64);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size_bytes as u64;
    while bytes.len() < size_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state & 64 == 0 {
            bytes.extend_from_slice(&state.to_le_bytes());
        } else {
            bytes.extend_from_slice(format!("row {} of a table, ", state & 0xfff).as_bytes());
        }
    }
    bytes.truncate(size_bytes);
    bytes
}

fn tool(command: &mut Command) -> Ran {
    run(command, None).ok()
}

/// A new key of age's: whom to encrypt for, and what opens it.
fn age_key() -> (AgeRecipients, SecretString) {
    let made = tool(&mut Command::new("age-keygen")).stdout;
    let public = made.lines().find_map(|l| l.strip_prefix("# public key: ")).unwrap();
    (AgeRecipients::parse(public).unwrap(), SecretString::from(made.clone()))
}

/// What a tool writes to standard output, as bytes.
fn piped(program: &str, args: &[&str], input: &Path) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let script = r#"out=$1 input=$2 && shift 2 && exec "$@" <"$input" >"$out""#;
    let _ = tool(Command::new("sh").args(["-c", script, "sh"]).arg(&out).arg(input).arg(program).args(args));
    std::fs::read(out).unwrap()
}

/// A file that holds these bytes, in a directory of its own.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn pack(content: &[u8], compression: Compression, encryption: &Encryption) -> Vec<u8> {
    let encryptor = encryption.writer(Vec::new()).unwrap();
    let mut out = compression.writer(encryptor, Effort::default()).unwrap();
    // Uneven pieces, so that no border of a piece falls on one of a block.
    for piece in content.chunks(77_773) {
        out.write_all(piece).unwrap();
    }
    out.finish().unwrap().finish().unwrap()
}

/// Everything, or the error with which it ends.
fn unpack(layers: Layers, file: Vec<u8>, keys: &Keys) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    layers.reader(Cursor::new(file), keys)?.read_to_end(&mut out)?;
    Ok(out)
}
