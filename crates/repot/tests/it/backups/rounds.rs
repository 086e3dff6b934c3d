//! Rounds: a backup, everything lost, restored on a machine that knows nothing but the storage.
//!
//! Every version of PostgreSQL meets every storage, compression and encryption; 13 and 17 meet each pair of these.

use repot_testkit::Sums;
use repot_testkit::servers::{self, Server, Sshd};

use super::*;

const FORMS: [(&str, &str, &str); 9] = [
    ("local", "zstd", "none"),
    ("local", "gzip", "age"),
    ("local", "none", "openpgp"),
    ("s3", "zstd", "age"),
    ("s3", "gzip", "openpgp"),
    ("s3", "none", "none"),
    ("sftp", "zstd", "openpgp"),
    ("sftp", "gzip", "none"),
    ("sftp", "none", "age"),
];

const SECRET: &str = "s3-s3cret";

fn round_of(major: u32, forms: &[(&str, &str, &str)]) {
    let s = stack("mini");
    s.edit("compose.yaml", "image: postgres:13 # the old one", &format!("image: postgres:{major}"));
    if major >= 18 {
        s.edit("compose.yaml", "data:/var/lib/postgresql/data", "data:/var/lib/postgresql");
    }
    s.edit(
        "compose.yaml",
        "      - ./app.sh:/app.sh:ro\n",
        "      - ./app.sh:/app.sh:ro\n      - media:/media\n",
    );
    s.edit("compose.yaml", "volumes:\n  data:\n", "volumes:\n  data:\n  media:\n");
    let toml = s.read("mini.toml");
    s.write(
        "mini.toml",
        &format!("{toml}\n[[media.roots]]\nname = \"media\"\nservice = \"app\"\npath = \"/media\"\n"),
    );
    s.up();
    let fill =
        "mkdir -p /media/d; head -c 100000 /dev/urandom > /media/d/f; chmod 640 /media/d/f; ln -s d /media/l";
    let _ = s.exec("app", &["bash", "-c", fill]).ok();
    let keys = tempfile::tempdir().unwrap();
    sh(
        keys.path(),
        "age-keygen -o age.key 2>/dev/null; age-keygen -y age.key > age.pub; mkdir -m 700 gnupg; export GNUPGHOME=$PWD/gnupg; gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-gen-key repot@example.org ed25519 default never; fp=$(gpg --list-keys --with-colons | awk -F: '/^fpr/{print $10; exit}'); gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-add-key $fp cv25519 encr never; gpg --armor --export > pgp.pub; gpg --armor --export-secret-keys > pgp.key; gpgconf --kill all",
    );
    let (s3, sshd) = (servers::s3("key", SECRET), servers::sftp());
    // The ssh that knows the server.
    let path = format!("{}:{}", sshd.client.display(), std::env::var("PATH").unwrap());
    let env = [("PATH", path.as_str()), ("S3_SECRET", SECRET)];
    let near = tempfile::tempdir().unwrap();
    let keep = s.read("repot.toml");
    for (i, (storage, compression, encryption)) in forms.iter().enumerate() {
        let form = format!("{major}, {storage}, {compression}, {encryption}");
        let config = storage_of(storage, i, near.path(), &s3, &sshd);
        let key = |file: &str| keys.path().join(file).display().to_string();
        let recipient = match *encryption {
            "age" => format!("age_recipients = [\"{}\"]\n", key("age.pub")),
            "openpgp" => format!("openpgp_recipients = [\"{}\"]\n", key("pgp.pub")),
            _ => String::new(),
        };
        s.write("repot.toml", &format!("{keep}\n[backup]\nstorage = \"there\"\n{recipient}{config}"));
        let before = Content::of(&s);
        let media = Sums::of(&s.volume("media"), "");
        let mut args = vec!["backup", "--compress", compression];
        if *encryption != "none" {
            args.push("--encrypt");
        }
        let _ = s.repot_env(&args, &env).ok();
        // All is lost but the storage, and what says where it is.
        let _ = s.compose(&["down", "--volumes"]).ok();
        let toml = s.read("repot.toml").replace(&keep, "");
        sh(s.dir(), "find . -mindepth 1 -delete");
        s.write("repot.toml", &toml);
        let identity = match *encryption {
            "age" => key("age.key"),
            "openpgp" => key("pgp.key"),
            _ => String::new(),
        };
        let with_key = |args: &[&str]| {
            let mut all: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
            if !identity.is_empty() {
                all.extend(["--identity".to_owned(), identity.clone()]);
            }
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            s.repot_env(&all, &env).ok()
        };
        let _ = with_key(&["restore", "--only", "config"]);
        sh(s.dir(), "rm repot.toml; cp -a .repot/restored/*/. .");
        let _ = s.compose(&["up", "-d", "--wait", "db"]).ok();
        let ran = with_key(&["restore", "--yes"]);
        assert!(ran.stdout.contains("database app; what was live is kept as"), "{form}: {ran}");
        before.assert_still(&s, &GROWING, &form);
        media.assert_same(&Sums::of(&s.volume("media"), ""), &form);
        for aside in s.psql("postgres", "SELECT datname FROM pg_database WHERE datname ~ '_repot_'").lines() {
            let _ = s.psql("postgres", &format!("DROP DATABASE \"{aside}\""));
        }
        let _ = s.compose(&["up", "-d", "--wait"]).ok();
        println!("round: PostgreSQL {form}");
    }
}

/// The storage `there`, in a directory of its own for each form.
fn storage_of(kind: &str, i: usize, near: &Path, s3: &Server, sshd: &Sshd) -> String {
    match kind {
        "s3" => format!(
            "[storages.there]\nurl = \"s3://bucket/form{i}?endpoint=http://127.0.0.1:{}\"\n[storages.there.options]\n\
             access_key_id = \"key\"\nsecret_access_key_env = \"S3_SECRET\"\n",
            s3.port
        ),
        "sftp" => format!(
            "[storages.there]\nurl = \"sftp://127.0.0.1:{}{}/form{i}\"\noptions = {{ key_file = \"{}\" }}\n",
            sshd.server.port,
            sshd.server.data().display(),
            sshd.key.display()
        ),
        _ => format!("[storages.there]\nurl = \"{}/form{i}\"\n", near.display()),
    }
}

#[test]
fn all_is_restored_from_the_storage_alone_on_13() {
    round_of(13, &FORMS);
}

#[test]
fn all_is_restored_from_the_storage_alone_on_15() {
    round_of(15, &[FORMS[0], FORMS[4], FORMS[8]]);
}

#[test]
fn all_is_restored_from_the_storage_alone_on_17() {
    round_of(17, &FORMS);
}

#[test]
fn all_is_restored_from_the_storage_alone_on_18() {
    round_of(18, &[FORMS[2], FORMS[3], FORMS[7]]);
}
