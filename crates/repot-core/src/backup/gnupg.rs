//! The user's own GnuPG: its agent, keyring and smartcards, through the gpg command. It decrypts and signs.
//!
//! gpg hands its output out before it has seen the file's end, so what is read of it is proved only by its exit status, and
//! by the words that it says to programs (`--status-fd`, GnuPG's doc/DETAILS).

use std::io::{self, Read};
use std::process::ExitStatus;
use std::time::Duration;

use repot_store::codec::{CodecError, Opener, Signer};

use super::signature::sign_error;
use crate::error::Result;
use crate::exec::{Cmd, last_lines};

/// How long gpg may take to look something up.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// What gpg's words for programs begin with.
const STATUS: &str = "[GNUPG:] ";

/// Opens files with `gpg --decrypt`. gpg-agent asks for a passphrase as the user has set it up.
#[derive(Debug, Clone)]
pub struct Gpg {
    home: Option<String>,
}

impl Gpg {
    /// The GnuPG of this user; another directory than GNUPGHOME's where one is given.
    #[must_use]
    pub fn new(home: Option<String>) -> Self {
        Gpg { home }
    }

    /// gpg, for programs: it asks nobody, and says on standard error how things went.
    fn command(&self) -> Cmd {
        let cmd = Cmd::new("gpg").args(["--batch", "--no-tty", "--status-fd", "2"]);
        match &self.home {
            Some(home) => cmd.env("GNUPGHOME", home),
            None => cmd,
        }
    }
}

impl Opener for Gpg {
    fn open(&self, input: Box<dyn Read + Send>) -> std::result::Result<Box<dyn Read + Send>, CodecError> {
        // Signatures inside are not looked at, as everywhere: one of an unknown key would be a bad status of a good file.
        let cmd = self.command().args(["--skip-verify", "--output", "-", "--decrypt"]);
        let judged = |ended| judge(ended).map_err(io::Error::from);
        Ok(Box::new(cmd.filter(input, Box::new(judged))?))
    }
}

/// Signs with a key of the user's keyring.
#[derive(Debug, Clone)]
pub struct GpgSigner {
    gpg: Gpg,
    fingerprint: String,
}

impl GpgSigner {
    /// The key that `key` names, as gpg's `--local-user` takes it: a fingerprint, a key ID, a user ID. It signs once now, so
    /// that a passphrase is asked for at the beginning and not in the middle of the night.
    pub fn new(gpg: Gpg, key: &str) -> Result<Self> {
        let cmd = gpg.command().args(["--with-colons", "--list-secret-keys", "--"]).arg(key);
        let out = cmd.timeout(ANSWER_LIMIT).output()?;
        let text = out.text();
        // The line of a primary key, then that of its fingerprint.
        let mut owners = text.lines().zip(text.lines().skip(1)).filter(|(l, _)| l.starts_with("sec:"));
        let found = owners.next().and_then(|(_, l)| l.split(':').nth(9).map(str::to_ascii_lowercase));
        match (found, owners.next()) {
            (Some(fingerprint), None) if out.ok() => {
                let signer = GpgSigner { gpg, fingerprint };
                signer.sign(b"").map_err(|e| sign_error(&e))?;
                Ok(signer)
            }
            (Some(_), Some(_)) => {
                Err(sign_error(&format!("several secret keys of this user's keyring are {key}")))
            }
            _ => Err(sign_error(&format!("there is no secret key {key} in the GnuPG keyring of this user"))),
        }
    }
}

impl Signer for GpgSigner {
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn sign(&self, data: &[u8]) -> std::result::Result<Vec<u8>, CodecError> {
        let cmd = self.gpg.command().args(["--armor", "--detach-sign", "--output", "-", "--local-user"]);
        let out = cmd.arg(&self.fingerprint).stdin(data).output();
        let out = out.map_err(|e| CodecError::Outside(e.to_string()))?;
        let said = Said::new(&out.stderr);
        if out.ok() && said.has("SIG_CREATED") {
            Ok(out.stdout)
        } else {
            Err(CodecError::Outside(said.words()))
        }
    }
}

/// What gpg's end means for what was read of it.
fn judge(ended: Result<(ExitStatus, String)>) -> std::result::Result<(), CodecError> {
    let (status, stderr) = match ended {
        Ok(ended) => ended,
        Err(e) if e.code == "program-missing" => return Err(CodecError::Outside(e.to_string())),
        Err(e) => return Err(CodecError::Io(io::Error::other(e))),
    };
    let said = Said::new(&stderr);
    if status.success() {
        // A file that ends within its head is nothing to gpg, and no failure.
        return match (said.has("DECRYPTION_OKAY"), said.has("GOODMDC")) {
            (true, true) => Ok(()),
            // gpg passes over it where gpg.conf has `ignore-mdc-error`.
            (true, false) => {
                Err(CodecError::Damaged("its modification detection code is missing or wrong".into()))
            }
            (false, _) if said.has("NODATA") => Err(CodecError::Truncated),
            (false, _) => {
                let what =
                    "the OpenPGP file is not encrypted; read its content with `gpg --decrypt` and give that";
                Err(CodecError::Unsupported(what.into()))
            }
        };
    }
    let words = || said.words();
    if status.code().is_none() {
        return Err(CodecError::Io(io::Error::other(format!("gpg ended with {status}: {}", words()))));
    }
    // The agent's own failures: no passphrase, a card that is not there, no agent.
    if said.has("ERROR pkdecrypt_failed") || said.has("ERROR get_passphrase") {
        return Err(CodecError::Outside(words()));
    }
    if said.has("NO_SECKEY") && !said.has("DECRYPTION_INFO") {
        return Err(CodecError::WrongKey);
    }
    if ["BEGIN_DECRYPTION", "NODATA", "UNEXPECTED", "PLAINTEXT"].iter().any(|w| said.has(w)) {
        return Err(CodecError::Damaged(words()));
    }
    Err(CodecError::Outside(words()))
}

/// What gpg said: to programs and to people.
struct Said<'a>(&'a str);

impl<'a> Said<'a> {
    fn new(stderr: &'a str) -> Self {
        Said(stderr)
    }

    /// Whether one of its lines for programs begins with these words.
    fn has(&self, words: &str) -> bool {
        let lines = self.0.lines().filter_map(|l| l.strip_prefix(STATUS));
        lines.filter_map(|l| l.strip_prefix(words)).any(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    /// What it said to people, its last words.
    fn words(&self) -> String {
        let people: Vec<&str> = self.0.lines().filter(|l| !l.starts_with(STATUS)).collect();
        last_lines(&people.join("\n"), 3).replace('\n', "; ")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn of(code: i32, stderr: &str) -> std::result::Result<(), CodecError> {
        judge(Ok((ExitStatus::from_raw(code << 8), stderr.to_owned())))
    }

    #[test]
    fn only_a_good_status_and_a_good_code_prove_a_file() {
        let good = "gpg: encrypted\n[GNUPG:] DECRYPTION_OKAY\n[GNUPG:] GOODMDC\n";
        assert!(of(0, good).is_ok());
        assert!(matches!(of(0, "[GNUPG:] DECRYPTION_OKAY\n"), Err(CodecError::Damaged(_))));
        assert!(matches!(of(0, "[GNUPG:] PLAINTEXT 62 0\n"), Err(CodecError::Unsupported(_))));
        assert!(matches!(of(0, "gpg: [GNUPG:] DECRYPTION_OKAY\n"), Err(CodecError::Unsupported(_))));
        assert!(of(2, good).is_err());
        assert!(matches!(of(0, "[GNUPG:] NODATA 3\n"), Err(CodecError::Truncated)));
        let changed = "[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] DECRYPTION_INFO 2 9 0\n[GNUPG:] BADMDC\n";
        assert!(matches!(of(2, changed), Err(CodecError::Damaged(_))));
        assert!(matches!(
            of(2, "[GNUPG:] NO_SECKEY 1\n[GNUPG:] DECRYPTION_FAILED\n"),
            Err(CodecError::WrongKey)
        ));
        let locked =
            "[GNUPG:] ERROR pkdecrypt_failed 67108949\ngpg: No pinentry\n[GNUPG:] DECRYPTION_FAILED\n";
        assert!(matches!(of(2, locked), Err(CodecError::Outside(w)) if w == "gpg: No pinentry"));
        let home = "gpg: Fatal: can't create directory\n";
        assert!(matches!(of(2, home), Err(CodecError::Outside(_))));
        assert!(matches!(judge(Ok((ExitStatus::from_raw(9), good.to_owned()))), Err(CodecError::Io(_))));
    }
}
