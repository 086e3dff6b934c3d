//! Signed sets: by repot's own hand and by the user's gpg, judged by gpg and by repot.

use repot_testkit::{Ran, run};

use super::*;
use crate::engines::{SQLITE_CONTENT, sqlite, sqlite_content};

/// A directory with a database, two storages, and a home of GnuPG with two keys: one locked, one not.
struct Shop(tempfile::TempDir);

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.path("gnupg")).args(["--kill", "all"]).output();
    }
}

const KEYS: &str = "mkdir -m 700 gnupg; export GNUPGHOME=$PWD/gnupg; g='gpg --batch --quiet --pinentry-mode loopback'; \
    $g --passphrase 'open sesame' --quick-gen-key first@example.org ed25519 sign never; \
    $g --passphrase '' --quick-gen-key second@example.org rsa2048 sign never; \
    for k in first second; do gpg --armor --export $k@example.org > $k.pub; done; \
    $g --passphrase 'open sesame' --armor --export-secret-keys first@example.org > first.key; \
    echo 'open sesame' > passphrase";

impl Shop {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn toml(&self, sign: &str) {
        let text = format!("[backup]\nstorage = [\"one\", \"two\"]\n{sign}\n[keep]\nlast = 1\n");
        std::fs::write(self.path("repot.toml"), text).unwrap();
    }

    #[track_caller]
    fn repot(&self, args: &[&str]) -> Ran {
        let mut c = Command::new(env!("CARGO_BIN_EXE_repot"));
        let here = self.0.path().display().to_string();
        run(c.args(args).args(["-C", &here]).env("GNUPGHOME", self.path("gnupg")), None)
    }

    #[track_caller]
    fn back_up(&self) -> String {
        let url = format!("sqlite://{}", self.path("shop.db").display());
        self.repot(&["backup", &url, "--json"]).ok().json()["set"].as_str().unwrap().to_owned()
    }

    /// What gpg says of a set's signature.
    #[track_caller]
    fn gpg(&self, storage: &str, set: &str) -> String {
        let script = format!(
            "export GNUPGHOME=$PWD/gnupg; cd {storage}/{set}; \
             gpg --batch --status-fd 1 --verify manifest.json.asc manifest.json 2>/dev/null || true"
        );
        sh(self.0.path(), &script)
    }
}

#[test]
fn a_signed_set_is_judged_by_gpg_and_by_repot() {
    let s = Shop(tempfile::tempdir().unwrap());
    let _ = sh(s.0.path(), KEYS);
    let _ = sqlite(&s.path("shop.db"), SQLITE_CONTENT);
    let before = sqlite_content(&s.path("shop.db"));
    let by_file = "[backup.sign]\nkey_file = \"first.key\"\npassphrase_file = \"passphrase\"\n";
    s.toml(by_file);
    let own = s.back_up();
    for storage in ["one", "two"] {
        let said = s.gpg(storage, &own);
        assert!(said.contains("GOODSIG") && said.contains("first@example.org"), "{storage}: {said}");
    }
    for level in ["files", "archive", "restore"] {
        let _ = s.repot(&["verify", "--level", level]).ok().says(&["the signature of", "is good"]);
    }
    // With the user's gpg.
    s.toml("[backup.sign]\ngpg_key = \"second@example.org\"\ntrusted = [\"first.pub\"]\nrequired = true\n");
    let gpg = s.back_up();
    assert!(s.gpg("two", &gpg).contains("second@example.org"), "{}", s.gpg("two", &gpg));
    let _ = s.repot(&["verify", "all"]).ok().says(&[&own, &gpg, "is good"]);
    s.toml("[backup.sign]\ngpg_key = \"nobody@example.org\"\n");
    let _ = s.repot(&["backup", "sqlite:///nothing.db"]).exits(1).says(&["no secret key nobody@example.org"]);
    // By whom nobody knows, it is said; where one must know, it is refused.
    s.toml("[backup.sign]\ntrusted = [\"second.pub\"]\n");
    let _ = s.repot(&["verify", &own]).ok().says(&["whether rightly cannot be told"]);
    s.toml("[backup.sign]\ntrusted = [\"second.pub\"]\nrequired = true\n");
    let url = format!("sqlite://{}", s.path("restored.db").display());
    let restore = |set: &str| s.repot(&["restore", set, "--to", &url, "--yes"]);
    let _ = s.repot(&["verify", &own]).exits(4).prints(&["manifest.json.asc: it is of", "does not trust"]);
    let _ = restore(&own).exits(4).says(&["manifest.json.asc: it is of"]);
    let _ = restore(&gpg).ok();
    assert_eq!(sqlite_content(&s.path("restored.db")), before);
    s.toml("");
    let bare = s.back_up();
    s.toml("[backup.sign]\ntrusted = [\"second.pub\"]\nrequired = true\n");
    let _ = restore(&bare).exits(4).says(&["the set is not signed"]);

    // A manifest that was changed by somebody who can make checksums, and a signature that was taken away.
    s.toml(by_file);
    for (storage, change) in [("one", true), ("two", false)] {
        let dir = s.path(storage).join(&own);
        if change {
            let script = "sed -i 's/\"label\": null/\"label\": \"mine\"/' manifest.json; sha256sum manifest.json > manifest.sha256";
            let _ = sh(&dir, script);
            assert!(s.gpg(storage, &own).contains("BADSIG"));
        } else {
            std::fs::remove_file(dir.join("manifest.json.asc")).unwrap();
        }
        let what = if change { "it does not fit the manifest" } else { "it is missing" };
        let place = s.path(storage).display().to_string();
        let _ = s.repot(&["verify", &own, "--storage", &place, "--level", "files"]).exits(4).prints(&[what]);
        let _ =
            s.repot(&["restore", &own, "--storage", &place, "--to", &url, "--yes"]).exits(4).says(&[what]);
    }
    // It goes with its set.
    let project = own.rsplitn(4, '-').last().unwrap();
    let _ = s.repot(&["prune", "--project", project]).ok();
    for storage in ["one", "two"] {
        assert!(!s.path(storage).join(&own).exists(), "{storage}");
    }
}
