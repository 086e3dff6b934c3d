//! The real django-dbbackup on a real Django project, beside repot on the same server and the same directories: each
//! lists and restores what the other wrote. The environment is made by `scripts/dbbackup-venv.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;

use repot_testkit::{Content, Stack, run, wait_for};

use crate::{GROWING, stack};

/// A Django project on the application's own database, media and backups, configured as InvenTree does it.
struct Django<'a> {
    stack: &'a Stack,
    home: tempfile::TempDir,
    python: PathBuf,
    host: String,
}

const SETTINGS: &str = r#"
import os
SECRET_KEY = 'x'
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.sessions', 'dbbackup']
DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'app', 'USER': 'boss', 'HOST': os.environ['DB_HOST'], 'PASSWORD': os.environ['DB_PASSWORD']}}
STACK = os.environ['STACK']
MEDIA_ROOT = STACK + '/media'
USE_TZ = True
DISK = 'django.core.files.storage.FileSystemStorage'
STORAGES = {'default': {'BACKEND': DISK}, 'dbbackup': {'BACKEND': DISK, 'OPTIONS': {'location': STACK + '/backup'}}}
DBBACKUP_FILENAME_TEMPLATE = 'InvenTree-db-{datetime}.{extension}'
DBBACKUP_MEDIA_FILENAME_TEMPLATE = 'InvenTree-media-{datetime}.{extension}'
DBBACKUP_GPG_RECIPIENT = 'backup@example.org'
DBBACKUP_GPG_ALWAYS_TRUST = True
DBBACKUP_SEND_EMAIL = False
if os.environ.get('PLAIN'):
    DBBACKUP_CONNECTORS = {'default': {'CONNECTOR': 'dbbackup.db.postgresql.PgDumpConnector'}}
def setter(metadata): return {'ivt_1_version': os.environ.get('VERSION', '1.2.0'), 'ivt_1_version_api': int(os.environ.get('API', '400')), 'ivt_1_plugins_enabled': False, 'ivt_1_plugins_file_hash': None, 'ivt_1_installer': 'DOC', 'ivt_1_backup_time': '2026-11-21T00:29:02.000000', 'ivt_1_debug': False}
DBBACKUP_BACKUP_METADATA_SETTER = setter
"#;

const MANAGE: &str = "
import os, sys
os.environ['DJANGO_SETTINGS_MODULE'] = 'project'
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
";

impl Django<'_> {
    fn new(stack: &Stack) -> Django<'_> {
        let home = std::env::var("HOME").unwrap();
        let python = Path::new(&home).join(".cache/repot/tools/dbbackup-venv/bin/python");
        assert!(python.exists(), "{} is missing: run scripts/dbbackup-venv.sh", python.display());
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("project.py"), SETTINGS).unwrap();
        std::fs::write(home.path().join("manage.py"), MANAGE).unwrap();
        let host = sh(
            stack.dir(),
            &format!(
                "docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' {}",
                stack.db_container()
            ),
        );
        Django { stack, home, python, host: host.trim().to_owned() }
    }

    #[track_caller]
    fn manage(&self, arguments: &[&str], env: &[(&str, &str)]) -> String {
        let password = self.stack.read(".env");
        let password = password.lines().find_map(|l| l.strip_prefix("BOSS_PASSWORD=")).unwrap();
        let mut c = Command::new(&self.python);
        c.arg("manage.py")
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("GNUPGHOME", self.gnupg())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("STACK", self.stack.dir())
            .env("DB_HOST", &self.host)
            .env("DB_PASSWORD", password.trim_matches(['\'', '"']))
            .envs(env.iter().copied());
        run(&mut c, None).ok().stdout
    }

    fn gnupg(&self) -> PathBuf {
        self.home.path().join("gnupg")
    }

    /// A key of OpenPGP: in GnuPG's keyring, its halves as files beside the Compose file.
    fn key(&self) {
        std::fs::create_dir(self.gnupg()).unwrap();
        let _ = sh(
            self.stack.dir(),
            &format!(
                "export GNUPGHOME={}; chmod 700 $GNUPGHOME; gpg --batch --quiet --passphrase '' --quick-gen-key backup@example.org default default never 2>/dev/null; \
                 gpg --batch --export backup@example.org > public.pgp; gpg --batch --pinentry-mode loopback --passphrase '' --export-secret-keys backup@example.org > secret.pgp; \
                 gpgconf --kill gpg-agent",
                self.gnupg().display()
            ),
        );
    }

    fn listed(&self, filters: &[&str]) -> Vec<String> {
        let text = self.manage(&[&["listbackups"], filters].concat(), &[]);
        text.lines().skip(1).filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect()
    }
}

impl Drop for Django<'_> {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.gnupg()).args(["--kill", "gpg-agent"]).output();
    }
}

#[track_caller]
fn sh(dir: &Path, script: &str) -> String {
    let mut c = Command::new("bash");
    run(c.arg("-c").arg(format!("set -euo pipefail; {script}")).current_dir(dir), None).ok().stdout
}

/// The mini stack with media, a backup directory inside the container, and settings as InvenTree names them.
fn shop() -> Stack {
    let s = stack("mini");
    s.edit("compose.yaml", "image: postgres:13 # the old one", "image: postgres:15");
    s.edit(
        "compose.yaml",
        "      - ./app.sh:/app.sh:ro\n",
        "      - ./app.sh:/app.sh:ro\n      - ./data:/data\n      - ./backup:/data/backup\n      - ./media:/data/media\n",
    );
    s.edit(
        "compose.yaml",
        "      MINI_VERSION: ${MINI_VERSION}\n",
        "      MINI_VERSION: ${MINI_VERSION}\n      INVENTREE_BACKUP_DIR: /data/backup\n",
    );
    let profile = s.read("mini.toml");
    s.write(
        "mini.toml",
        &format!(
            "{profile}\n[[media.roots]]\nname = \"media\"\nservice = \"app\"\npath = \"/data/media\"\n\n[own_backups]\nsettings = \"inventree\"\nservice = \"app\"\nvariables = \"INVENTREE_BACKUP_\"\nfile = \"/data/config.yaml\"\nkeys = \"backup_\"\nengine = \"django.db.backends.postgresql\"\nfacts = [\"cat\", \"/data/facts.json\"]\n"
        ),
    );
    for dir in ["data", "backup", "media/sub"] {
        std::fs::create_dir_all(s.dir().join(dir)).unwrap();
    }
    s.write("data/config.yaml", "debug: False\nbackup_connector_options:\n  EXCLUDE: [django_session]\n");
    s.write("data/facts.json", r#"{"version": "1.2.0", "api_version": 400, "installer": "DOC"}"#);
    s.write("media/one.txt", "one");
    s.write("media/sub/Größe.bin", "two");
    s.up();
    s
}

fn files(s: &Stack) -> Vec<serde_json::Value> {
    s.repot(&["backups", "--json"]).ok().json()["django_dbbackup"].as_array().unwrap().clone()
}

fn is_well(s: &Stack) {
    wait_for("the application is well", || {
        s.containers().iter().all(|c| !c.service.is_empty() && c.health == "healthy").then_some(())
    });
}

#[test]
fn what_django_dbbackup_wrote_is_listed_verified_and_restored() {
    let s = shop();
    let d = Django::new(&s);
    d.key();
    let _ = d.manage(&["migrate", "-v0"], &[]);
    let _ = s.psql("app", "INSERT INTO auth_group (name) VALUES ('admins'); INSERT INTO django_session VALUES ('k', 'd', now())");
    // The tables are the migrating role's, as the application would have them.
    let _ = s.psql("app", "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE format('ALTER TABLE %I OWNER TO clerk', t); END LOOP; END $$");
    let before = Content::of(&s);
    type Form = (&'static [&'static str], &'static [(&'static str, &'static str)]);
    let mut forms: Vec<Form> = vec![(&["-z"], &[]), (&[], &[]), (&["-z", "-e"], &[]), (&["-e"], &[])];
    forms.push((&["-z"], &[("PLAIN", "1")]));
    let mut names: Vec<String> = Vec::new();
    for (arguments, env) in &forms {
        let known = files(&s);
        // Names have seconds.
        wait_for("the file is listed under a name of its own", || {
            let _ = d.manage(&[&["dbbackup", "--noinput", "-q"], *arguments].concat(), env);
            (files(&s).len() > known.len()).then_some(())
        });
        let new = files(&s).into_iter().find(|f| !known.contains(f)).unwrap();
        assert_eq!(new["made_by"], "django-dbbackup");
        assert_eq!(new["database"], serde_json::Value::Null, "the name does not say it: {new}");
        assert_eq!(new["compressed"], arguments.contains(&"-z"), "{new}");
        assert_eq!(new["encrypted"], arguments.contains(&"-e"), "{new}");
        assert_eq!(
            (&new["application_version"], &new["api_version"]),
            (&"1.2.0".into(), &400.into()),
            "{new}"
        );
        names.push(new["file"].as_str().unwrap().to_owned());
    }
    let _ = d.manage(&["mediabackup", "--noinput", "-q", "-z"], &[]);
    assert_eq!(files(&s).len(), forms.len() + 1);
    let text = s.repot(&["backups"]).ok().prints(&["django-dbbackup; media", "version 1.2.0, API 400"]);
    assert_eq!(text.stdout.lines().count(), forms.len() + 1, "no sidecar is listed: {text}");
    for (filter, want) in
        [("--encrypted", 2), ("--not-compressed", 2), ("--content=media", 1), ("--content=db", 5)]
    {
        assert_eq!(s.repot(&["backups", filter]).ok().stdout.lines().count(), want, "{filter}");
    }
    // They are no sets: nothing is complete, nothing is restored without a name.
    let _ = s.repot(&["restore", "--yes"]).exits(2).says(&["no complete backup set"]);
    let key = s.dir().join("secret.pgp").display().to_string();
    // Without a key file the user's gpg is asked.
    let nobody = tempfile::tempdir().unwrap();
    let nobody = nobody.path().display().to_string();
    let _ = s
        .repot_env(&["verify", &names[2]], &[("GNUPGHOME", &nobody)])
        .exits(2)
        .says(&["no key or passphrase"]);
    let gnupg = d.gnupg().display().to_string();
    let gnupg = [("GNUPGHOME", gnupg.as_str())];
    let _ = s.repot_env(&["verify", &names[2]], &gnupg).ok().prints(&["decrypted"]);
    let _ = s.repot(&["verify", "all", "--identity", &key]).ok().prints(&[
        "not proved",
        "every member of the tar read: 2 files",
        "decrypted",
        "gzip's checksum is right",
    ]);
    // A cut is found where the file lets it be found.
    let path = s.dir().join("backup").join(&names[0]);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let _ = s.repot(&["verify", &names[0]]).exits(4).prints(&["damaged"]);
    let _ = s.repot(&["restore", &names[0], "--yes"]).exits(4).says(&["is damaged", "nothing was touched"]);
    std::fs::write(&path, &good).unwrap();

    for name in &names {
        let _ = s.psql("app", "DROP TABLE item CASCADE; TRUNCATE beat; TRUNCATE auth_group CASCADE");
        let restore = ["restore", "--db-file", name, "--yes", "--identity", &key];
        let ran = match name == &names[2] {
            true => s.repot_env(&restore[..4], &gnupg).ok(),
            false => s.repot(&restore).ok(),
        };
        let _ = ran.prints(&[
            "of django-dbbackup's:",
            "what was live is kept as",
            "belongs to clerk",
            "not proved",
        ]);
        before.assert_still(&s, &GROWING, name);
        is_well(&s);
        let others = s.psql("app", "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public' AND pg_get_userbyid(relowner) <> 'clerk'");
        assert_eq!(others, "0", "{name}: all of it is the application's role's");
        assert_eq!(s.psql("app", "SHOW work_mem"), "5MB", "the database's own settings are kept");
        assert_eq!(
            s.psql("postgres", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'"),
            "clerk"
        );
        let _ = s.psql(
            "postgres",
            "SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname ~ '_repot_' \\gexec",
        );
    }
    // Database and media at once: what was live is kept, what comes is the live directory's owner's.
    let media = files(&s).into_iter().find(|f| f["content"] == "media").unwrap();
    let media = media["file"].as_str().unwrap().to_owned();
    let _ = s.psql("app", "TRUNCATE auth_group CASCADE");
    let _ = sh(
        s.dir(),
        "chown -R 1234:1234 media; chmod 0750 media; rm media/sub/*; echo new > media/new.txt; echo three > media/one.txt",
    );
    let ran = s.repot(&["restore", "--db-file", &names[0], "--media-file", &media, "--yes"]).ok();
    let _ = ran.prints(&["media media, in", "what was live is kept as", "of django-dbbackup's:"]);
    before.assert_still(&s, &GROWING, "with media");
    assert_eq!(
        (s.read("media/one.txt"), s.read("media/sub/Größe.bin")),
        ("one".to_owned(), "two".to_owned())
    );
    assert!(!s.dir().join("media/new.txt").exists(), "it is a swap");
    assert_eq!(
        sh(s.dir(), "stat -c %u:%g media/sub media/one.txt | sort -u; stat -c %a media"),
        "1234:1234\n750\n"
    );
    is_well(&s);
    let _ = s
        .repot(&["restore", "--media-file", &names[0], "--yes"])
        .exits(2)
        .says(&["holds a database, not media"]);
    // A path outside of the storage, and without a sidecar.
    let outside = s.dir().join(&names[0]);
    std::fs::copy(&path, &outside).unwrap();
    let outside = outside.display().to_string();
    let _ = s.repot(&["restore", "--db-file", &outside, "--dry-run"]).ok().prints(&["it has no sidecar"]);

    // InvenTree's rule: a newer API version is refused, with the flag it is told.
    s.write("data/facts.json", r#"{"version": "1.1.0", "api_version": 399, "installer": "DOC"}"#);
    let _ = s
        .repot(&["restore", &names[0], "--yes"])
        .exits(3)
        .says(&["newer InvenTree (API version 400, here 399)", "--allow-newer-version"]);
    let _ = s
        .repot(&["restore", &names[0], "--dry-run", "--allow-newer-version"])
        .ok()
        .prints(&["newer InvenTree (API version 400, here 399)", "is of InvenTree 1.2.0, and this is 1.1.0"]);
    // Media, and other things than databases of PostgreSQL, are refused by name.
    let _ =
        s.repot(&["restore", "nothing-2026-01-01-000000.psql", "--yes"]).exits(2).says(&["there is no file"]);
}

#[test]
fn what_repot_wrote_is_listed_and_restored_by_django_dbbackup() {
    let s = shop();
    let d = Django::new(&s);
    d.key();
    let _ = d.manage(&["migrate", "-v0"], &[]);
    let _ = s.psql("app", "INSERT INTO auth_group (name) VALUES ('admins')");
    let before = Content::of(&s);
    // Sessions are left out, as config.yaml says.
    let _ = s.psql("app", "INSERT INTO django_session VALUES ('k', 'd', now())");
    s.write("repot.toml", "profiles = [\"mini.toml\"]\n[backup]\nlayout = \"django-dbbackup\"\nopenpgp_recipients = [\"public.pgp\"]\nopenpgp_secret_keys = [\"secret.pgp\"]\n");
    for (i, form) in [&[][..], &["--compress", "none"], &["--encrypt"], &["--encrypt", "--compress", "none"]]
        .iter()
        .enumerate()
    {
        let ran = s.repot(&[&["backup", "--json"], *form].concat()).ok();
        let ran =
            ran.says(&["taken over from the application: INVENTREE_BACKUP_DIR, backup_connector_options"]);
        let set = ran.json()["set"].as_str().unwrap().to_owned();
        assert!(ran.stdout.contains("1 rows of django_session are left out"), "{ran}");
        let listed = d.listed(&[]);
        assert_eq!(listed.len(), 2 * (i + 1), "{listed:?}");
        // They are the set's, and nobody else's.
        assert!(files(&s).is_empty(), "{:?}", files(&s));
        let _ = s.repot(&["verify", &set]).ok().prints(&["good (archive"]);

        let mut how: Vec<&str> = vec!["--noinput", "-v0"];
        if !form.contains(&"none") {
            how.push("--uncompress");
        }
        if form.contains(&"--encrypt") {
            how.extend(["--decrypt", "--passphrase", "none is wanted"]);
        }
        let of = |kind: &str| listed.iter().filter(|n| n.contains(kind)).max().unwrap().clone();
        let (db, media) = (of("-db-"), of("-media-"));
        let _ = s.psql("app", "DROP TABLE item CASCADE; TRUNCATE auth_group CASCADE");
        std::fs::remove_dir_all(s.dir().join("media/sub")).unwrap();
        let _ = d.manage(&[&["dbrestore", "-i", &db], &how[..]].concat(), &[]);
        before.assert_still(&s, &GROWING, "restored by django-dbbackup");
        let _ = d.manage(&[&["mediarestore", "-i", &media], &how[..]].concat(), &[]);
        assert_eq!(s.read("media/sub/Größe.bin"), "two");

        // And by repot, from the manifest, with the comparison.
        let _ = s.psql("app", "DROP TABLE item CASCADE; TRUNCATE auth_group CASCADE");
        let _ = s.repot(&["restore", &set, "--only", "db", "--yes"]).ok();
        before.assert_still(&s, &GROWING, "restored by repot");
        is_well(&s);
        let _ = s.psql(
            "postgres",
            "SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname ~ '_repot_' \\gexec",
        );
        let _ = s.psql("app", "INSERT INTO django_session VALUES ('k', 'd', now())");
    }
    assert_eq!(s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().len(), 4);
    // Owners and modes are kept, where django-dbbackup's own archive loses them.
    let _ = sh(s.dir(), "chown 1234:1234 media/one.txt; chmod 0640 media/one.txt");
    let set = s.repot(&["backup", "--json"]).ok().json()["set"].as_str().unwrap().to_owned();
    let _ = sh(s.dir(), "rm media/one.txt");
    let _ = s.repot(&["restore", &set, "--only", "media", "--yes"]).ok();
    assert_eq!(sh(s.dir(), "stat -c '%u:%g %a' media/one.txt"), "1234:1234 640\n");
    // The manifest says of which version it is, and the rule is the same.
    s.write("data/facts.json", r#"{"version": "1.1.0", "api_version": 399, "installer": "DOC"}"#);
    let _ = s
        .repot(&["restore", &set, "--only", "db", "--yes"])
        .exits(3)
        .says(&["newer InvenTree (API version 400, here 399)"]);
    let _ = s.repot(&["restore", &set, "--only", "db", "--dry-run", "--allow-newer-version"]).ok();
    // A recipient of the keyring, as DBBACKUP_GPG_RECIPIENT names it.
    s.write("repot.toml", "profiles = [\"mini.toml\"]\n[backup.dbbackup]\nDBBACKUP_GPG_RECIPIENT = \"backup@example.org\"\nDBBACKUP_CLEANUP_KEEP = 1\n[backup]\nstorage = \"backup\"\nopenpgp_secret_keys = [\"secret.pgp\"]\n");
    let gnupg = d.gnupg().display().to_string();
    let set = s
        .repot_env(&["backup", "--only", "config", "--encrypt", "--json"], &[("GNUPGHOME", &gnupg)])
        .ok()
        .json();
    let _ = s.repot(&["verify", set["set"].as_str().unwrap()]).ok().prints(&["good (archive"]);
    let _ = s
        .repot_env(
            &["backup", "--only", "config", "--encrypt"],
            &[("GNUPGHOME", &s.dir().display().to_string())],
        )
        .exits(2)
        .says(&["no key of backup@example.org"]);
    // Pruning takes a set's files with it, in the root too, and nobody else's.
    std::fs::write(s.dir().join("backup/InvenTree-db-2020-01-01-000000.psql"), "-- theirs").unwrap();
    let before_prune = d.listed(&[]);
    let _ = s.repot(&["prune"]).ok();
    let left = d.listed(&[]);
    assert!(left.len() < before_prune.len(), "{left:?}");
    assert!(left.contains(&"InvenTree-db-2020-01-01-000000.psql".to_owned()), "{left:?}");
    let _ = s.repot(&["verify", "all", "--level", "files"]).ok();
    s.write("data/facts.json", r#"{"version": "1.2.0", "api_version": 400, "installer": "DOC"}"#);
    std::fs::remove_file(s.dir().join("backup/InvenTree-db-2020-01-01-000000.psql")).unwrap();
    // One path for two files is refused; a damaged file is named; a cut-off set owns its files.
    s.write(
        "repot.toml",
        "profiles = [\"mini.toml\"]\n[backup]\nlayout = \"django-dbbackup\"\ndate_format = \"%Y-%m-%d\"\n",
    );
    let _ = s.repot(&["backup", "--only", "db"]).ok();
    let sets = s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().len();
    let again = s.repot(&["backup", "--only", "db"]);
    assert!(again.stderr.contains("would overwrite the other"), "{again}");
    assert_eq!(
        s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().len(),
        sets,
        "nothing was left"
    );
    s.write("repot.toml", "profiles = [\"mini.toml\"]\n[backup]\nlayout = \"django-dbbackup\"\n");
    let _ = s.repot_failing(&["backup"], "backup::before-manifest=return(kill)").was_killed();
    assert!(files(&s).is_empty(), "{:?}", files(&s));
    let n = d.listed(&[]).len();
    let _ = s.repot_failing(&["backup"], "backup::before-manifest=return(error)").exits(1);
    assert_eq!(d.listed(&[]).len(), n, "one that fails leaves nothing");
    let _ = s.repot(&["backup", "--compress", "zstd"]).exits(2).says(&["does not read zstd"]);
    the_connectors_options_are_followed(&s);
}

/// SCHEMAS, prefixes and environments reach the client programs; a part of a database replaces no live one.
fn the_connectors_options_are_followed(s: &Stack) {
    let _ = s.psql(
        "app",
        "CREATE EXTENSION citext; CREATE SCHEMA \"Shop\"; CREATE TYPE \"Shop\".size AS ENUM ('s', 'l'); \
         CREATE TABLE \"Shop\".t (a citext, b \"Shop\".size, n serial); INSERT INTO \"Shop\".t VALUES ('x', 's'), ('y', 'l')",
    );
    let options = |text: &str| {
        s.write(
            "repot.toml",
            &format!("profiles = [\"mini.toml\"]\n[backup]\nconnector_options = {{ {text} }}\n"),
        );
    };
    options(
        "SCHEMAS = [\"Shop\"], DUMP_PREFIX = \"nice -n 19\", DUMP_SUFFIX = \"--no-owner\", ENV = { PGAPPNAME = \"x\", PATH = \"/x\" }",
    );
    let ran = s.repot(&["backup", "--only", "db", "--json"]).ok();
    let ran = ran.says(&["--no-owner: it would change", "PATH is not passed on"]);
    let set = ran.json()["set"].as_str().unwrap().to_owned();
    assert!(ran.stdout.contains("only Shop is in the backup, not public"), "{ran}");
    let _ = s
        .repot(&["restore", &set, "--yes"])
        .exits(3)
        .says(&["holds only Shop of the database app", &format!("repot restore {set} --schema Shop")]);
    let _ = s.repot(&["verify", &set, "--level", "restore"]).ok().prints(&["good (restore"]);
    let part = s.repot(&["restore", &set, "--schema", "Shop", "--yes", "--json"]).ok().json();
    let part = part["plan"]["databases"][0]["aside"].as_str().unwrap().to_owned();
    assert_eq!(s.psql(&part, "SELECT count(*) FROM \"Shop\".t"), "2");
    let _ = s.psql("postgres", &format!("DROP DATABASE \"{part}\""));
    // All schemas are the whole database.
    options("SCHEMAS = [\"Shop\", \"public\"], RESTORE_PREFIX = \"nice\"");
    let ran = s.repot(&["backup", "--only", "db", "--json"]).ok();
    assert!(ran.stdout.contains("SCHEMAS names all that there are"), "{ran}");
    let _ = s.repot(&["restore", ran.json()["set"].as_str().unwrap(), "--yes"]).ok();
    is_well(s);
    // What is followed reaches the program.
    options("DUMP_PREFIX = \"timeout 0.001\"");
    let _ = s.repot(&["backup", "--only", "db"]).exits(1).says(&["the dump of the running server failed"]);
    options("ENV = { PGOPTIONS = \"-c work_mem=nonsense\" }");
    let _ = s.repot(&["backup", "--only", "db"]).exits(1).says(&["work_mem"]);
}

const SQLITE: &str = r#"
import os
SECRET_KEY = 'x'
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'dbbackup']
HOME = os.environ['STACK']
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': HOME + '/db.sqlite3'}}
DISK = 'django.core.files.storage.FileSystemStorage'
STORAGES = {'default': {'BACKEND': DISK}, 'dbbackup': {'BACKEND': DISK, 'OPTIONS': {'location': HOME + '/backup'}}}
DBBACKUP_HOSTNAME = 'web-1'
if os.environ.get('SQL'):
    DBBACKUP_CONNECTORS = {'default': {'CONNECTOR': 'dbbackup.db.sqlite.SqliteConnector'}}
"#;

#[test]
fn copies_of_sqlite_go_both_ways() {
    let home = std::env::var("HOME").unwrap();
    let python = Path::new(&home).join(".cache/repot/tools/dbbackup-venv/bin/python");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("backup")).unwrap();
    std::fs::write(dir.path().join("project.py"), SQLITE).unwrap();
    std::fs::write(dir.path().join("manage.py"), MANAGE).unwrap();
    let manage = |arguments: &[&str], env: &[(&str, &str)]| {
        let mut c = Command::new(&python);
        c.arg("manage.py").args(arguments).current_dir(dir.path()).env_clear().env("PATH", "/usr/bin:/bin");
        c.env("STACK", dir.path()).env("PYTHONDONTWRITEBYTECODE", "1").envs(env.iter().copied());
        let _ = run(&mut c, None).ok();
    };
    let repot = |arguments: &[&str]| {
        let mut c = Command::new(env!("CARGO_BIN_EXE_repot"));
        run(
            c.args(arguments).arg("-C").arg(dir.path()).args(["--storage"]).arg(dir.path().join("backup")),
            None,
        )
    };
    manage(&["migrate", "-v0"], &[]);
    for (arguments, env) in
        [(&["-z"][..], &[][..]), (&[], &[]), (&["-z"], &[("SQL", "1")]), (&[], &[("SQL", "1")])]
    {
        manage(&[&["dbbackup", "--noinput", "-q"], arguments].concat(), env);
    }
    let listed = repot(&["backups", "--json"]).ok().json();
    let listed = listed["django_dbbackup"].as_array().unwrap();
    assert_eq!(listed.len(), 4, "{listed:?}");
    for f in listed {
        assert_eq!((&f["database"], &f["server"]), (&"default".into(), &"web-1".into()), "{f}");
        assert_eq!(f["engine"], "django.db.backends.sqlite3");
    }
    let _ = repot(&["verify", "all"])
        .ok()
        .prints(&["an SQLite database of the length that its header says", "its last statement has its end"]);
    let mut cut = 0;
    for f in listed {
        let path = dir.path().join("backup").join(f["file"].as_str().unwrap());
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..good.len() - good.len() / 3]).unwrap();
        let _ = repot(&["verify", f["file"].as_str().unwrap()]).exits(4).prints(&["damaged"]);
        std::fs::write(&path, &good).unwrap();
        cut += 1;
    }
    assert_eq!(cut, 4);
    // Restored by repot, plain and compressed.
    let live = dir.path().join("db.sqlite3");
    let url = format!("sqlite://{}", live.display());
    let count = |sql: &str| {
        let script = format!(
            "import sqlite3; print(sqlite3.connect('{}').execute(\"{sql}\").fetchone()[0])",
            live.display()
        );
        run(Command::new(&python).args(["-c", &script]), None).ok().stdout.trim().to_owned()
    };
    let permissions = count("SELECT count(*) FROM auth_permission");
    for f in listed.iter().filter(|f| f["format"] == "sqlite3") {
        std::fs::write(&live, "lost").unwrap();
        let file = f["file"].as_str().unwrap();
        let _ = repot(&["restore", "--db-file", file, "--to", &url, "--yes"])
            .ok()
            .prints(&["what was live is kept as"]);
        assert_eq!(count("SELECT count(*) FROM auth_permission"), permissions);
    }
    let sql = listed.iter().find(|f| f["format"] == "dump").unwrap()["file"].as_str().unwrap();
    let _ = repot(&["restore", "--db-file", sql, "--to", &url, "--yes"])
        .exits(3)
        .says(&["and the database there is SQLite"]);
    // Written by repot, restored by django-dbbackup.
    for (form, how) in [(&["--compress", "none"][..], &[][..]), (&[], &["--uncompress"])] {
        let made = repot(
            &[&["backup", &url, "--layout", "django-dbbackup", "--server-name", "web-2", "--json"], form]
                .concat(),
        )
        .ok()
        .json();
        let names = std::fs::read_dir(dir.path().join("backup"))
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap());
        let file =
            names.filter(|n| n.starts_with("default-web-2-") && !n.ends_with(".metadata")).max().unwrap();
        manage(&["flush", "--noinput", "-v0"], &[]);
        let script = format!(
            "import sqlite3; c = sqlite3.connect('{}'); c.execute('DELETE FROM auth_permission'); c.commit()",
            live.display()
        );
        let _ = run(Command::new(&python).args(["-c", &script]), None).ok();
        manage(&[&["dbrestore", "--noinput", "-v0", "-i", &file], how].concat(), &[]);
        assert_eq!(count("SELECT count(*) FROM auth_permission"), permissions);
        let _ = repot(&["verify", made["set"].as_str().unwrap()]).ok().prints(&["good (archive"]);
    }
}
