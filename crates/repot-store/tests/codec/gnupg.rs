//! A GnuPG of our own: a home in a temporary directory, and no agent left behind.

use std::path::Path;
use std::process::Command;

use repot_store::codec::{Certificate, Encryption, Keys, OpenPgpRecipients, SecretKey};
use repot_testkit::{Ran, run};
use secrecy::{SecretBox, SecretString};
use tempfile::TempDir;

use super::tool;

pub(crate) struct Gnupg {
    home: TempDir,
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        let _ =
            run(Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]), None);
    }
}

/// A kind of key, in the words of gpg's batch files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Rsa2048,
    Rsa4096,
    Curve25519,
}

impl Gnupg {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // Files here stay readable after a change of umask; gpg wants nobody else in.
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Gnupg { home }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut c = Command::new("gpg");
        c.arg("--homedir").arg(self.home.path()).args([
            "--batch",
            "--yes",
            "--no-tty",
            "--trust-model",
            "always",
        ]);
        c.args(["--pinentry-mode", "loopback"]);
        c
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        tool(self.command().args(args))
    }

    /// Makes a key for `name@example.org`; without a passphrase it is not protected.
    pub(crate) fn key(&self, name: &str, kind: Kind, passphrase: Option<&str>) {
        self.key_with(name, kind, passphrase, &[]);
    }

    pub(crate) fn key_with(&self, name: &str, kind: Kind, passphrase: Option<&str>, options: &[&str]) {
        let parameters = match kind {
            Kind::Rsa2048 => "Key-Type: RSA\nKey-Length: 2048\nSubkey-Type: RSA\nSubkey-Length: 2048",
            Kind::Rsa4096 => "Key-Type: RSA\nKey-Length: 4096\nSubkey-Type: RSA\nSubkey-Length: 4096",
            Kind::Curve25519 => {
                "Key-Type: EDDSA\nKey-Curve: Ed25519\nSubkey-Type: ECDH\nSubkey-Curve: Curve25519"
            }
        };
        let protection = passphrase.map_or("%no-protection".to_owned(), |p| format!("Passphrase: {p}"));
        let expiry = if options.is_empty() { "0" } else { "1y" };
        let batch = format!(
            "{parameters}\nName-Real: {name}\nName-Email: {name}@example.org\nExpire-Date: {expiry}\n{protection}\n%commit\n"
        );
        let mut c = self.command();
        let _ = run(c.args(options).arg("--full-generate-key"), Some(batch.as_bytes())).ok();
    }

    pub(crate) fn certificates(&self, name: &str, armor: bool) -> Vec<Certificate> {
        let file = self.dir().join("exported");
        let mut c = self.command();
        if armor {
            c.arg("--armor");
        }
        let _ = tool(c.arg("--output").arg(&file).args(["--export", name]));
        Certificate::read_all(&std::fs::read(file).unwrap()).unwrap()
    }

    pub(crate) fn secret_file(&self, name: &str, passphrase: Option<&str>) -> SecretBox<[u8]> {
        let file = self.dir().join("exported-secret");
        let mut c = self.command();
        c.args(["--passphrase", passphrase.unwrap_or("")]);
        let _ = tool(c.arg("--output").arg(&file).args(["--export-secret-keys", name]));
        SecretBox::from(std::fs::read(file).unwrap())
    }

    pub(crate) fn secret_keys(&self, name: &str) -> Vec<SecretKey> {
        SecretKey::read_all(&self.secret_file(name, None), None).unwrap()
    }

    pub(crate) fn keys(&self, name: &str) -> Keys {
        let mut keys = Keys::default();
        keys.openpgp.add_secret_keys(self.secret_keys(name));
        keys
    }

    pub(crate) fn encryption_for(&self, names: &[&str]) -> Encryption {
        let certificates: Vec<_> = names.iter().flat_map(|n| self.certificates(n, true)).collect();
        Encryption::OpenPgp(OpenPgpRecipients::new(&certificates).unwrap())
    }

    /// Decrypts with plain `gpg --decrypt`; gives the content and gpg's status lines.
    pub(crate) fn decrypt(&self, file: &[u8]) -> (Vec<u8>, String) {
        self.decrypt_ends(file, 0)
    }

    pub(crate) fn decrypt_ends(&self, file: &[u8], status: i32) -> (Vec<u8>, String) {
        let input = self.dir().join("to-decrypt");
        let output = self.dir().join("decrypted");
        let _ = std::fs::remove_file(&output);
        std::fs::write(&input, file).unwrap();
        let mut c = self.command();
        c.args(["--status-fd", "1", "--output"]).arg(&output).arg("--decrypt").arg(&input);
        let ran = run(&mut c, None).exits(status);
        (std::fs::read(output).unwrap(), ran.stdout)
    }

    /// Encrypts with gpg and these options.
    pub(crate) fn encrypt(&self, content: &[u8], options: &[&str]) -> Vec<u8> {
        let input = self.dir().join("to-encrypt");
        let output = self.dir().join("encrypted");
        std::fs::write(&input, content).unwrap();
        let _ = tool(self.command().args(options).arg("--output").arg(&output).arg(&input));
        std::fs::read(output).unwrap()
    }
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}
