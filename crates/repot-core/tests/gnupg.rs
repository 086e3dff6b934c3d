//! Files that the user's gpg opens, with its agent: Debian's GnuPG, in a home of its own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Cursor, Read};
use std::sync::Arc;

use repot_core::backup::gnupg::Gpg;
use repot_core::exec::Cmd;
use repot_store::codec::{Cipher, CodecError, Compression, Keys, Layers};
use tempfile::TempDir;

/// A home of GnuPG whose agent ends with it.
struct Home(TempDir);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = Cmd::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "all"]).output();
    }
}

impl Home {
    /// With a key of `name`, locked by a passphrase where one is given.
    fn new(name: &str, passphrase: &str) -> Self {
        let home = Home(tempfile::tempdir().unwrap());
        // Files here stay readable after a change of umask; gpg wants nobody else in.
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(home.0.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(home.0.path().join("gpg-agent.conf"), "allow-preset-passphrase\n").unwrap();
        let _ = home.sh(&format!(
            "g='gpg --batch --quiet --pinentry-mode loopback'; \
             $g --passphrase '{passphrase}' --quick-gen-key {name}@example.org ed25519 default never; \
             fp=$(gpg --list-keys --with-colons | awk -F: '/^fpr/{{print $10; exit}}'); \
             $g --passphrase '{passphrase}' --quick-add-key $fp cv25519 encr never"
        ));
        home
    }

    fn sh(&self, script: &str) -> String {
        let script = format!("set -euo pipefail; {script}");
        let cmd = Cmd::new("bash").args(["-c", &script]).env("GNUPGHOME", self.0.path()).cwd(self.0.path());
        cmd.run().unwrap().text()
    }

    fn encrypted(&self, content: &[u8], options: &str) -> Vec<u8> {
        std::fs::write(self.0.path().join("content"), content).unwrap();
        let _ = self
            .sh(&format!("gpg --batch --quiet --yes --trust-model always {options} -o encrypted content"));
        std::fs::read(self.0.path().join("encrypted")).unwrap()
    }

    fn keys(&self) -> Keys {
        let home = self.0.path().display().to_string();
        Keys { outside: Some(Arc::new(Gpg::new(Some(home)))), ..Keys::default() }
    }
}

const LAYERS: Layers = Layers { compression: Compression::None, cipher: Cipher::OpenPgp };

/// What was read until the end or an error, and the error.
fn read(layers: Layers, file: &[u8], keys: &Keys) -> (Vec<u8>, Result<(), CodecError>) {
    let mut all = Vec::new();
    let mut reader = match layers.reader(Cursor::new(file.to_vec()), keys) {
        Ok(reader) => reader,
        Err(e) => return (all, Err(e)),
    };
    let read = reader.read_to_end(&mut all);
    if read.is_err() {
        assert!(reader.read(&mut [0; 8]).is_err(), "after an error there is never an end");
    }
    (all, read.map(drop).map_err(CodecError::from))
}

fn content() -> Vec<u8> {
    (0..1_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

#[test]
fn what_gpg_opens_is_proved_at_its_end_and_nothing_else_is() {
    let home = Home::new("admin", "");
    let content = content();
    let good = home.encrypted(&content, "-r admin@example.org --encrypt --compress-algo none");
    let (all, end) = read(LAYERS, &good, &home.keys());
    end.unwrap();
    assert!(all == content);
    // Compressed inside, as django-dbbackup does, and signed by somebody.
    let zipped = home.encrypted(&content, "-r admin@example.org --sign --encrypt");
    assert!(read(LAYERS, &zipped, &home.keys()).0 == content);
    // Cut and changed anywhere: never a clean end.
    for at in [0, 1, 60, 120, good.len() / 3, good.len() / 2, good.len() - 30, good.len() - 1] {
        let (_, end) = read(LAYERS, &good[..at], &home.keys());
        assert!(matches!(end, Err(CodecError::Truncated | CodecError::Damaged(_))), "cut at {at}: {end:?}");
        let mut bad = good.clone();
        bad[at] ^= 1;
        let (_, end) = read(LAYERS, &bad, &home.keys());
        assert!(end.is_err(), "changed at {at}");
        if at > 200 {
            assert!(matches!(end, Err(CodecError::Damaged(_))), "changed at {at}: {end:?}");
        }
    }
    let more = [good.as_slice(), b"more"].concat();
    assert!(matches!(read(LAYERS, &more, &home.keys()).1, Err(CodecError::Damaged(_))));
    // gpg prints what is signed and not encrypted, and is content.
    let open = home.encrypted(&content, "--sign");
    assert!(matches!(read(LAYERS, &open, &home.keys()).1, Err(CodecError::Unsupported(_))));
    let layers = Layers { compression: Compression::Gzip, ..LAYERS };
    let (_, end) = read(layers, &good, &home.keys());
    assert!(matches!(end, Err(CodecError::Damaged(_))), "not gzip: {end:?}");
}

#[test]
fn a_key_that_is_not_there_or_locked_is_told_from_damage() {
    let (home, other) = (Home::new("admin", "open sesame"), Home::new("other", ""));
    let content = content();
    let good = home.encrypted(&content, "-r admin@example.org --encrypt");
    let (_, end) = read(LAYERS, &good, &other.keys());
    assert!(matches!(end, Err(CodecError::WrongKey)), "{end:?}");
    // The agent has seen the passphrase when the key was made.
    let _ = home.sh("gpgconf --kill gpg-agent; echo pinentry-program /bin/false >> gpg-agent.conf");
    let (_, end) = read(LAYERS, &good, &home.keys());
    assert!(matches!(&end, Err(CodecError::Outside(words)) if words.contains("inentry")), "{end:?}");
    let _ = home.sh(
        "gpg-connect-agent /bye; \
         for grip in $(gpg --list-secret-keys --with-keygrip --with-colons | awk -F: '/^grp/{print $10}'); do \
             $(gpgconf --list-dirs libexecdir)/gpg-preset-passphrase --preset --passphrase 'open sesame' $grip; \
         done",
    );
    let (all, end) = read(LAYERS, &good, &home.keys());
    end.unwrap();
    assert!(all == content);
    // What cannot be read is not the file's fault.
    struct Gone(usize);
    impl Read for Gone {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the storage is gone"));
            }
            self.0 -= 1;
            buf[0] = 0x84;
            Ok(1)
        }
    }
    let mut reader = LAYERS.reader(Gone(3), &home.keys()).unwrap();
    let e = CodecError::from(reader.read_to_end(&mut Vec::new()).unwrap_err());
    assert!(matches!(&e, CodecError::Io(e) if e.to_string().contains("the storage is gone")), "{e:?}");
}
