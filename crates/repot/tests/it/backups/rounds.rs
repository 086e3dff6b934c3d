//! Rounds: a backup, everything lost, restored on a machine that knows nothing but the storage.
//!
//! Every database meets every storage, compression and encryption; PostgreSQL 17 and SQLite meet each pair of these, and so
//! do 13, 15 and 18 together.

use repot_testkit::Sums;
use repot_testkit::servers::{self, Server, Sshd};

use super::*;
use crate::engines::{
    MARIADB_CONTENT, SQLITE_CONTENT, mariadb, mariadb_content, same, sqlite, sqlite_content,
};

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

/// Keys in files `age.pub`, `age.key`, `pgp.pub`, `pgp.key`.
const KEYS: &str = "age-keygen -o age.key 2>/dev/null; age-keygen -y age.key > age.pub; \
    mkdir -m 700 gnupg; export GNUPGHOME=$PWD/gnupg; g='gpg --batch --quiet --pinentry-mode loopback'; \
    $g --passphrase '' --quick-gen-key repot@example.org ed25519 default never; \
    fp=$(gpg --list-keys --with-colons | awk -F: '/^fpr/{print $10; exit}'); \
    $g --passphrase '' --quick-add-key $fp cv25519 encr never; \
    gpg --armor --export > pgp.pub; gpg --armor --export-secret-keys > pgp.key; gpgconf --kill all";

/// What remembers how a stack was, and compares.
type Memory = Box<dyn Fn(&Stack, &str)>;

/// Goes through `forms` with a running stack. `first` are the services that are there before the restore.
fn rounds(
    s: &Stack,
    what: &str,
    forms: &[(&str, &str, &str)],
    first: &[&str],
    remember: &dyn Fn(&Stack) -> Memory,
) {
    let keys = tempfile::tempdir().unwrap();
    let _ = sh(keys.path(), KEYS);
    let (s3, sshd) = (servers::s3("key", SECRET), servers::sftp());
    // The ssh that knows the server.
    let path = format!("{}:{}", sshd.client.display(), std::env::var("PATH").unwrap());
    let env = [("PATH", path.as_str()), ("S3_SECRET", SECRET)];
    let near = tempfile::tempdir().unwrap();
    let keep = s.read("repot.toml");
    for (i, (storage, compression, encryption)) in forms.iter().enumerate() {
        let form = format!("{what}, {storage}, {compression}, {encryption}");
        let config = storage_of(storage, i, near.path(), &s3, &sshd);
        let key = |file: &str| keys.path().join(file).display().to_string();
        let (recipient, identity) = match *encryption {
            "age" => (format!("age_recipients = [\"{}\"]\n", key("age.pub")), key("age.key")),
            "openpgp" => (format!("openpgp_recipients = [\"{}\"]\n", key("pgp.pub")), key("pgp.key")),
            _ => (String::new(), String::new()),
        };
        s.write("repot.toml", &format!("{keep}\n[backup]\nstorage = \"there\"\n{recipient}{config}"));
        let compare = remember(s);
        let mut args = vec!["backup", "--compress", compression];
        if *encryption != "none" {
            args.push("--encrypt");
        }
        let _ = s.repot_env(&args, &env).ok();
        // All is lost but the storage, and what says where it is.
        let _ = s.compose(&["down", "--volumes"]).ok();
        let toml = s.read("repot.toml").replace(&keep, "");
        let _ = sh(s.dir(), "find . -mindepth 1 -delete");
        s.write("repot.toml", &toml);
        let with_key = |args: &[&str]| {
            let key = ["--identity", &identity];
            let all = if identity.is_empty() { args.to_vec() } else { [args, &key].concat() };
            s.repot_env(&all, &env).ok()
        };
        let _ = with_key(&["restore", "--only", "config"]);
        let _ = sh(s.dir(), "rm repot.toml; cp -a .repot/restored/*/. .");
        let _ = s.compose(&[&["up", "-d", "--wait"], first].concat()).ok();
        let _ = with_key(&["restore", "--yes"]).prints(&["Restored"]);
        compare(s, &form);
        let _ = s.compose(&["up", "-d", "--wait"]).ok();
        println!("round: {form}");
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

/// The mini stack on a version of PostgreSQL, with media in a volume.
fn postgresql(major: u32, forms: &[(&str, &str, &str)]) {
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
    let root = "\n[[media.roots]]\nname = \"media\"\nservice = \"app\"\npath = \"/media\"\n";
    s.write("mini.toml", &(s.read("mini.toml") + root));
    s.up();
    let fill =
        "mkdir -p /media/d; head -c 100000 /dev/urandom > /media/d/f; chmod 640 /media/d/f; ln -s d /media/l";
    let _ = s.exec("app", &["bash", "-c", fill]).ok();
    rounds(&s, &format!("PostgreSQL {major}"), forms, &["db"], &|s| {
        let (content, media) = (Content::of(s), Sums::of(&s.volume("media"), ""));
        Box::new(move |s, form| {
            content.assert_still(s, &GROWING, form);
            media.assert_same(&Sums::of(&s.volume("media"), ""), form);
            for aside in
                s.psql("postgres", "SELECT datname FROM pg_database WHERE datname ~ '_repot_'").lines()
            {
                let _ = s.psql("postgres", &format!("DROP DATABASE \"{aside}\""));
            }
        })
    });
}

#[test]
fn postgresql_13_is_restored_from_the_storage_alone() {
    postgresql(13, &[FORMS[1], FORMS[5], FORMS[6]]);
}

#[test]
fn postgresql_15_is_restored_from_the_storage_alone() {
    postgresql(15, &[FORMS[0], FORMS[4], FORMS[8]]);
}

#[test]
fn postgresql_17_is_restored_from_the_storage_alone() {
    postgresql(17, &FORMS);
}

#[test]
fn postgresql_18_is_restored_from_the_storage_alone() {
    postgresql(18, &[FORMS[2], FORMS[3], FORMS[7]]);
}

#[test]
fn sqlite_is_restored_from_the_storage_alone() {
    let s = stack("sqlite");
    s.up();
    let live = |s: &Stack| s.dir().join("data/app.db");
    let _ = sqlite(&live(&s), SQLITE_CONTENT);
    let _ = sh(s.dir(), "mkdir data/files; echo photo > data/files/photo; chmod 640 data/files/photo");
    rounds(&s, "SQLite", &FORMS, &[], &move |s| {
        let (content, media) = (sqlite_content(&live(s)), s.sums_of_dir("data/files"));
        Box::new(move |s, form| {
            assert_eq!(sqlite_content(&live(s)), content, "{form}");
            media.assert_same(&s.sums_of_dir("data/files"), form);
        })
    });
}

#[test]
fn mariadb_is_restored_from_the_storage_alone() {
    let s = stack("mariadb");
    s.up();
    let _ = mariadb(&s, "app", MARIADB_CONTENT);
    s.write("repot.toml", "# Nothing is set.\n");
    rounds(&s, "MariaDB 10.11", &[FORMS[1], FORMS[5], FORMS[6]], &["db"], &|s| {
        let content = mariadb_content(s, "app");
        Box::new(move |s, form| same(&mariadb_content(s, "app"), &content, form))
    });
}
