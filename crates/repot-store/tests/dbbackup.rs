//! Against the real django-dbbackup: what it writes is recognised here, what is named here is listed there.
//!
//! The environment with it is made by `scripts/dbbackup-venv.sh` (`scripts/setup.sh` calls that). Without it these
//! tests fail: a comparison that did not happen is not a passed one.

#![allow(clippy::disallowed_methods, reason = "tests start the real tools and read the real environment")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::civil::DateTime;
use repot_store::dbbackup::metadata::Metadata;
use repot_store::dbbackup::naming::{Content, DumpFormat, ForeignFile, Naming, NamingSpec, Wrapping};
use repot_store::dbbackup::settings;

const SETTINGS: &str = "
import pathlib
BASE = pathlib.Path(__file__).parent
SECRET_KEY = 'x'
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'dbbackup']
DATABASES = {a: {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE / (a + '.sqlite3')} for a in ('default', 'shop-eu')}
MEDIA_ROOT = BASE / 'media'
USE_TZ = True
TIME_ZONE = 'Europe/Berlin'
DISK = 'django.core.files.storage.FileSystemStorage'
STORAGES = {'default': {'BACKEND': DISK}, 'dbbackup': {'BACKEND': DISK, 'OPTIONS': {'location': BASE / 'backups'}}}
";

const MANAGE: &str = "
import os, sys
os.environ['DJANGO_SETTINGS_MODULE'] = 'project'
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
";

/// A Django project with two SQLite databases and a media file.
struct Project {
    dir: tempfile::TempDir,
    python: PathBuf,
}

impl Project {
    /// `own`: settings of django-dbbackup, as Python. Backups go to `backups/`.
    fn new(own: &str) -> Self {
        let home = std::env::var("HOME").expect("HOME is set");
        let python = Path::new(&home).join(".cache/repot/tools/dbbackup-venv/bin/python");
        assert!(python.exists(), "{} is missing: run scripts/dbbackup-venv.sh", python.display());
        let dir = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(dir.path().join("media/sub")).expect("made");
        fs::create_dir(dir.path().join("backups")).expect("made");
        fs::write(dir.path().join("media/sub/a.txt"), "a").expect("written");
        fs::write(dir.path().join("project.py"), format!("{SETTINGS}{own}\n")).expect("written");
        fs::write(dir.path().join("manage.py"), MANAGE).expect("written");
        let project = Project { dir, python };
        project.manage(&["migrate", "-v0"]);
        project.manage(&["migrate", "-v0", "--database", "shop-eu"]);
        project
    }

    fn manage(&self, arguments: &[&str]) -> String {
        let out = Command::new(&self.python)
            .arg("manage.py")
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .expect("Python starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
        text
    }

    fn backups(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    /// Names in the directory, sorted.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.backups()).expect("listed");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("listed").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// What `listbackups` prints: names, and dates as `%x %X`.
    fn listed(&self, filters: &[&str]) -> BTreeMap<String, String> {
        let text = self.manage(&[&["listbackups"], filters].concat());
        let rows = text.lines().skip(1).map(|row| {
            let (name, date) = row.trim().split_once(' ').expect("two columns");
            (name.to_owned(), date.trim().to_owned())
        });
        rows.collect()
    }
}

fn spec<'a>(database_template: &'a str, media_template: &'a str, date_format: &'a str) -> NamingSpec<'a> {
    NamingSpec {
        database_template,
        media_template,
        date_format,
        server: "web-1.lan",
        databases: &["default", "shop-eu"],
        extensions: &[],
    }
}

fn as_listed(when: DateTime) -> String {
    when.strftime("%m/%d/%y %H:%M:%S").to_string()
}

/// The filters under which `listbackups` has to show the file.
fn filters(f: &ForeignFile) -> [&'static str; 3] {
    [
        if f.wrapping.compressed { "-z" } else { "-Z" },
        if f.wrapping.encrypted { "-e" } else { "-E" },
        if f.content == Content::Media { "--content-type=media" } else { "--content-type=db" },
    ]
}

/// Lets django-dbbackup write databases and media, plain and compressed, and reads all names.
fn recognises_what_it_writes(own: &str, n: &Naming, databases: &[&str], format: &DumpFormat) {
    let project = Project::new(own);
    for z in [&[] as &[&str], &["-z"]] {
        for database in databases {
            project.manage(&[&["dbbackup", "-q", "-d", database], z].concat());
        }
        project.manage(&[&["mediabackup", "-q"], z].concat());
    }
    let files = project.files();
    assert_eq!(files.len(), 2 * (2 * databases.len() + 1), "{files:?}");
    let listed = project.listed(&[]);
    let mut filtered = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for name in &files {
        let f = n.parse(name).unwrap_or_else(|| panic!("{name} is not recognised"));
        let media = f.content == Content::Media;
        assert!(f.by_template && !f.renamed && !f.wrapping.encrypted, "{f:?}");
        assert!(media || f.content == Content::Database(format.clone()), "{f:?}");
        assert_eq!(f.database.is_some(), n.names_the_database() && !media, "{f:?}");
        assert_eq!(f.sidecar, name.ends_with(".metadata"), "{name}");
        if f.sidecar {
            let m =
                Metadata::read(&fs::read(project.backups().join(name)).expect("read")).expect("a sidecar");
            assert_eq!(m.engine(), Some("django.db.backends.sqlite3"));
            assert!(m.connector().expect("named").starts_with("dbbackup.db."));
            assert!(!listed.contains_key(name), "{name}");
            continue;
        }
        assert_eq!(listed.get(name), Some(&as_listed(f.taken_at)), "{name}");
        let filters = filters(&f);
        let under = filtered.entry(filters).or_insert_with(|| project.listed(&filters));
        assert!(under.contains_key(name), "{f:?}");
        // gzip says so in its first two bytes.
        let content = fs::read(project.backups().join(name)).expect("read");
        assert_eq!(content.starts_with(&[0x1f, 0x8b]), f.wrapping.compressed, "{name}");
        *seen.entry((media, f.wrapping.compressed, f.database)).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2 * (databases.len() + 1), "{seen:?}");
}

#[test]
fn files_under_its_own_templates() {
    let n = Naming::new(&spec(
        "{databasename}-{servername}-{datetime}.{extension}",
        "{servername}-{datetime}.{extension}",
        "%Y-%m-%d-%H%M%S",
    ));
    let own = "DBBACKUP_HOSTNAME = 'web-1.lan'";
    recognises_what_it_writes(own, &n.expect("fits"), &["default", "shop-eu"], &DumpFormat::Sqlite);
}

#[test]
fn files_under_inventrees_templates() {
    let b = settings::from_inventree(&BTreeMap::new(), &serde_json::Value::Null).expect("the defaults");
    let spec = spec(&b.database_template, &b.media_template, &b.date_format);
    let n = Naming::new(&NamingSpec { databases: &["default"], ..spec }).expect("fits");
    let own = format!(
        "DBBACKUP_FILENAME_TEMPLATE = '{}'\nDBBACKUP_MEDIA_FILENAME_TEMPLATE = '{}'\nDBBACKUP_CONNECTORS = {{'default': {{'CONNECTOR': 'dbbackup.db.sqlite.SqliteConnector'}}}}",
        b.database_template, b.media_template
    );
    recognises_what_it_writes(&own, &n, &["default"], &DumpFormat::Dump);
}

#[test]
fn files_under_odd_templates_and_dates() {
    let db = "--{servername}__{databasename}--{datetime}.{extension}";
    let media = "{content_type}-{datetime}.{extension}";
    let date = "%d%b%Y_%H%M%S_%f";
    let own = format!(
        "DBBACKUP_HOSTNAME = '-my--host-'\nDBBACKUP_FILENAME_TEMPLATE = '{db}'\nDBBACKUP_MEDIA_FILENAME_TEMPLATE = '{media}'\nDBBACKUP_DATE_FORMAT = '{date}'\nDBBACKUP_CONNECTORS = {{a: {{'CONNECTOR': 'dbbackup.db.django.DjangoConnector'}} for a in DATABASES}}"
    );
    let n = Naming::new(&spec(db, media, date)).expect("fits");
    recognises_what_it_writes(&own, &n, &["default", "shop-eu"], &DumpFormat::Json);
}

/// Names of every kind, made here: their moments, and the call of django-dbbackup's own function for each.
fn all_names(n: &Naming) -> Vec<(String, DateTime, String)> {
    let formats =
        [DumpFormat::PgCustom, DumpFormat::PgSql, DumpFormat::Sqlite, DumpFormat::Dump, DumpFormat::Json];
    let mut when: DateTime = "2026-01-30T23:59:01".parse().expect("a date");
    let mut all = Vec::new();
    for (compressed, encrypted) in [(false, false), (true, false), (false, true), (true, true)] {
        let wrapping = Wrapping { compressed, encrypted };
        for database in ["default", "shop-eu", ""] {
            for format in &formats {
                when += jiff::Span::new().days(5).hours(7).seconds(11);
                let media = database.is_empty();
                let name = if media {
                    n.media_file(wrapping, when)
                } else {
                    n.database_file(database, format, wrapping, when)
                };
                let (kind, extension) = if media { ("media", "tar") } else { ("db", format.extension()) };
                let endings =
                    [compressed.then_some(".gz"), encrypted.then_some(".gpg")].into_iter().flatten();
                let endings: String = endings.collect();
                let call = format!("({extension:?}, {database:?}, {kind:?}, '{when}', {endings:?})");
                all.push((name.expect("named"), when, call));
            }
        }
    }
    all
}

/// Every name given here is listed by django-dbbackup, with the same date and as the same kind of file; and it is the
/// very name that django-dbbackup gives at that moment.
fn is_listed(own: &str, n: &Naming) {
    let project = Project::new(own);
    let named = all_names(n);
    for (name, ..) in &named {
        fs::write(project.backups().join(name), "x").expect("written");
        fs::write(project.backups().join(Naming::sidecar(name)), "{}").expect("written");
    }
    let listed = project.listed(&[]);
    assert_eq!(listed.len(), named.len());
    for (name, when, _) in &named {
        assert_eq!(listed.get(name), Some(&as_listed(*when)), "{name}");
    }
    for z in ["-z", "-Z"] {
        for e in ["-e", "-E"] {
            for c in ["--content-type=db", "--content-type=media"] {
                let theirs: Vec<String> = project.listed(&[z, e, c]).into_keys().collect();
                let is = |name: &str| filters(&n.parse(name).expect("recognised")) == [z, e, c];
                let mut ours: Vec<String> =
                    named.iter().map(|(name, ..)| name.clone()).filter(|name| is(name)).collect();
                ours.sort();
                assert_eq!(theirs, ours, "{z} {e} {c}");
                assert!(!ours.is_empty(), "{z} {e} {c}");
            }
        }
    }
    // The same values through django-dbbackup's own function; only its clock is set.
    let calls: Vec<&str> = named.iter().map(|(_, _, call)| call.as_str()).collect();
    let script = format!(
        "
from dbbackup import utils
from datetime import datetime as real
class clock(real):
    @classmethod
    def now(cls): return real.fromisoformat(cls.at)
utils.datetime = clock
for extension, database, kind, clock.at, endings in [{}]:
    print(utils.filename_generate(extension, database, None, kind) + endings)
",
        calls.join(", ")
    );
    let theirs = project.manage(&["shell", "-v0", "-c", &script]);
    let ours: Vec<&str> = named.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(theirs.lines().collect::<Vec<_>>(), ours);
}

#[test]
fn names_given_here_are_listed_there() {
    let n = Naming::new(&spec(
        "{databasename}-{servername}-{datetime}.{extension}",
        "{servername}-{datetime}.{extension}",
        "%Y-%m-%d-%H%M%S",
    ));
    is_listed("DBBACKUP_HOSTNAME = 'web-1.lan'", &n.expect("fits"));
}

#[test]
fn names_given_here_under_odd_templates_are_listed_there() {
    let db = "--repot_{{x}}_{databasename}--{content_type}-{datetime}.{extension}";
    let media = "-{content_type}-{servername}-{datetime}-.{extension}";
    let date = "%A_%W_%Y.%H.%M.%S";
    let own = format!(
        "DBBACKUP_HOSTNAME = 'web-1.lan'\nDBBACKUP_FILENAME_TEMPLATE = '{db}'\nDBBACKUP_MEDIA_FILENAME_TEMPLATE = '{media}'\nDBBACKUP_DATE_FORMAT = '{date}'"
    );
    is_listed(&own, &Naming::new(&spec(db, media, date)).expect("fits"));
}

/// Two databases, one name: what InvenTree's template does, and what is refused here.
#[test]
fn a_name_that_was_taken_is_recognised() {
    let (db, date) = ("InvenTree-db-{datetime}.{extension}", "%Y-%m-%d");
    let project =
        Project::new(&format!("DBBACKUP_FILENAME_TEMPLATE = '{db}'\nDBBACKUP_DATE_FORMAT = '{date}'"));
    project.manage(&["dbbackup", "-q", "-z"]);
    let spec = spec(db, "m-{datetime}.{extension}", date);
    assert!(Naming::new(&spec).is_err());
    let n = Naming::new(&NamingSpec { databases: &["default"], ..spec }).expect("fits");
    let files = project.files();
    assert_eq!(files.len(), 4, "{files:?}");
    let read: Vec<ForeignFile> =
        files.iter().map(|name| n.parse(name).unwrap_or_else(|| panic!("{name}"))).collect();
    assert_eq!(read.iter().filter(|f| f.renamed && !f.sidecar).count(), 1, "{read:?}");
    assert_eq!(read.iter().filter(|f| f.sidecar).count(), 2);
    for f in &read {
        assert!(f.by_template && f.wrapping.compressed, "{f:?}");
        assert_eq!(f.content, Content::Database(DumpFormat::Sqlite));
    }
}

/// The table of settings is whole: every `DBBACKUP_` that django-dbbackup's source reads is known here.
#[test]
fn every_setting_that_its_source_reads_is_known() {
    let project = Project::new("");
    let script = "import dbbackup.settings, inspect; print(inspect.getsource(dbbackup.settings))";
    let source = project.manage(&["shell", "-v0", "-c", script]);
    let words = source.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    let names: std::collections::BTreeSet<&str> =
        words.filter(|w| w.strip_prefix("DBBACKUP_").is_some_and(|rest| !rest.is_empty())).collect();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let one = BTreeMap::from([(name.to_owned(), serde_json::Value::Null)]);
        if let Err(e @ settings::SettingsError::Unknown { .. }) = settings::from_dbbackup(&one) {
            panic!("{e}");
        }
    }
}
