//! 300 MB through every layer and back in bounded memory. Alone in its program, so that the peak is its own.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start the real tools, and a panic is a failure"
)]

use std::fs::File;
use std::io::{BufReader, Write};
use std::process::Command;

use repot_store::codec::{
    AgeRecipients, Certificate, Compression, Effort, Encryption, Keys, Layers, OpenPgpRecipients, SecretKey,
    verify_all,
};
use repot_testkit::run;
use secrecy::{SecretBox, SecretString};

const BLOCK_BYTES: usize = 20 << 20;
const BLOCKS: usize = 15;
const LIMIT_KIB: u64 = 100 << 10;

/// The most memory that this process has held since the last reset, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Half noise, half text; long enough that no window sees it twice.
fn block() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES + 64);
    let mut state = 88_172_645_463_325_252_u64;
    while bytes.len() < BLOCK_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        bytes.extend_from_slice(b"one row of a table; ");
    }
    bytes.truncate(BLOCK_BYTES);
    bytes
}

fn openpgp() -> (Encryption, Keys) {
    let home = tempfile::tempdir().unwrap();
    let gpg = |args: &[&str]| {
        let mut c = Command::new("gpg");
        c.arg("--homedir").arg(home.path()).args(["--batch", "--quiet", "--passphrase", ""]);
        let _ = run(c.args(["--pinentry-mode", "loopback"]).args(args), None).ok();
    };
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    gpg(&["--quick-generate-key", "ada@example.org", "future-default", "default", "0"]);
    gpg(&["--output", &path("public"), "--export"]);
    gpg(&["--output", &path("secret"), "--export-secret-keys"]);
    let _ = run(Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]), None);
    let certificates = Certificate::read_all(&std::fs::read(path("public")).unwrap()).unwrap();
    let secret: SecretBox<[u8]> = SecretBox::from(std::fs::read(path("secret")).unwrap());
    let mut keys = Keys::default();
    keys.openpgp.add_secret_keys(SecretKey::read_all(&secret, None).unwrap());
    (Encryption::OpenPgp(OpenPgpRecipients::new(&certificates).unwrap()), keys)
}

fn age() -> (Encryption, Keys) {
    let made = run(&mut Command::new("age-keygen"), None).ok().stdout;
    let public = made.lines().find_map(|l| l.strip_prefix("# public key: ")).unwrap();
    let mut keys = Keys::default();
    keys.age.add_identities(&SecretString::from(made.as_str()), None).unwrap();
    (Encryption::Age(AgeRecipients::parse(public).unwrap()), keys)
}

#[test]
fn memory_stays_bounded() {
    let block = block();
    let mut hasher = blake3::Hasher::new();
    for _ in 0..BLOCKS {
        hasher.update(&block);
    }
    let expected = *hasher.finalize().as_bytes();
    let pairs = [(Compression::Gzip, openpgp()), (Compression::Zstd, age())];
    let before = peak_kib();
    let mut last = before;
    for (compression, (encryption, keys)) in pairs {
        let mut file = tempfile::tempfile().unwrap();
        let encryptor = encryption.writer(file.try_clone().unwrap()).unwrap();
        let mut out = compression.writer(encryptor, Effort::default()).unwrap();
        for _ in 0..BLOCKS {
            out.write_all(&block).unwrap();
        }
        out.finish().unwrap().finish().unwrap();
        let stored = file.metadata().unwrap().len();
        let written = peak_kib();
        std::io::Seek::rewind(&mut file).unwrap();
        let layers = Layers { compression, cipher: encryption.cipher() };
        let reader = layers.reader(BufReader::new(file) as BufReader<File>, &keys).unwrap();
        let verified = verify_all(reader).unwrap();
        let read = peak_kib();
        assert_eq!((verified.size_bytes, verified.blake3), ((BLOCKS * BLOCK_BYTES) as u64, expected));
        println!(
            "{layers:?}: {} MiB stored as {} MiB; peak memory grew by {} KiB writing, {} KiB more reading",
            (BLOCKS * BLOCK_BYTES) >> 20,
            stored >> 20,
            written - last,
            read - written
        );
        last = read;
    }
    assert!(last - before < LIMIT_KIB, "peak memory grew by {} KiB", last - before);
}
