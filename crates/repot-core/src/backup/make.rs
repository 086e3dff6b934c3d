//! Making a set: each database in one snapshot, globals, configuration, media, and the manifest last.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use repot_store::archive::Fingerprint;
use repot_store::codec::{Cipher, Compression, Encryption, Layers};
use repot_store::retention::Content;
use repot_store::storage::Storage;
use repot_store::stored::{FileSink, Written, complete, inspect_options, tar_of};
use repot_store::{FileEntry, FileKind, MANIFEST_FORMAT, MANIFEST_FORMAT_AT_ROOT, MadeBy, Manifest, MovedSequence};
use serde::Serialize;
use serde_json::Value;

use super::source::{Server, Source};
use super::{codec_error, configuration, django, exclude, media, storage_error};
use crate::app::detect::Deployment;
use crate::engine::postgres::session::Session;
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::interrupt;
use crate::progress::{Event, Observer, human_bytes};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::{new_run_id, now};
use crate::upgrade::steps::backup::file_name;
use crate::verify::take::sequences;
use crate::verify::{ClusterFingerprint, SequenceFingerprint, TakeOptions, take};

/// What a set is to be.
#[derive(Debug)]
pub struct Request {
    /// What the user calls it.
    pub label: Option<String>,
    /// What goes in.
    pub contents: BTreeSet<Content>,
    /// How every file is compressed.
    pub compression: Compression,
    /// For whom every file is encrypted.
    pub encryption: Encryption,
    /// An existing directory for unlinked scratch files.
    pub scratch_dir: PathBuf,
    /// More configuration files: `repot.toml` and the profiles that it names.
    pub configuration: Vec<PathBuf>,
    /// Where the application's database and media are to be files that django-dbbackup lists and restores.
    pub django: Option<django::Layout>,
    /// Tables of the application's database whose rows are left out: `table` or `schema.table`.
    pub exclude: Vec<String>,
}

/// A set that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Its name.
    pub set: String,
    /// Where it is.
    pub storage: String,
    /// Size of its files.
    pub size_bytes: u64,
    /// Databases in it.
    pub databases: Vec<String>,
    /// Rows of all their tables.
    pub rows: u64,
    /// Media roots in it.
    pub media: Vec<String>,
    /// Configuration files in it.
    pub configuration_files: usize,
    /// How long it took.
    pub seconds: f64,
    /// What a person should read.
    pub notes: Vec<String>,
}

/// Databases that a restore or a rollback has set aside, or that it is making: not the application's.
const SET_ASIDE: &str = "_[0-9a-f]{16}_(repot|fresh)_[0-9]{8}_[0-9]{6}_[0-9a-f]{4}$";

pub(super) struct Maker<'a> {
    pub(super) storage: &'a Storage,
    pub(super) request: &'a Request,
    pub(super) set: String,
    run: String,
    observer: &'a dyn Observer,
    files: Vec<FileEntry>,
    pub(super) notes: Vec<String>,
    moved: Vec<MovedSequence>,
    pub(super) begun: bool,
    pub(super) django: django::Named,
}

/// Makes a set. The application keeps running. Fails before the first file is written where the server or the storage
/// does not answer.
pub fn make(
    source: &Source<'_>,
    storage: &Storage,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Made> {
    let started = Instant::now();
    let run = new_run_id();
    let mut maker = Maker {
        storage,
        request,
        set: format!("{}-{run}", source.project()),
        run,
        observer,
        files: Vec::new(),
        notes: Vec::new(),
        moved: Vec::new(),
        begun: false,
        django: django::Named::default(),
    };
    let result = maker.make(source);
    if let Err(e) = result {
        // What is there is not complete and never will be. Where it cannot be removed, it is shown as what it is.
        if maker.begun {
            let _ = repot_store::stored::remove(storage, &maker.set);
        }
        return Err(if e.code == "interrupted" {
            e.help("nothing was changed; start it again at any time")
        } else {
            e
        });
    }
    let (rows, configuration_files) = result?;
    let of = |kind| maker.files.iter().filter(move |f| f.kind == kind);
    Ok(Made {
        storage: storage.describe().to_owned(),
        size_bytes: maker.files.iter().map(|f| f.size_bytes).sum(),
        databases: of(FileKind::Database).filter_map(|f| f.database.clone()).collect(),
        rows,
        media: of(FileKind::Media).filter_map(|f| f.root.clone()).collect(),
        configuration_files,
        seconds: started.elapsed().as_secs_f64(),
        notes: maker.notes.clone(),
        set: maker.set,
    })
}

impl Maker<'_> {
    pub(super) fn wants(&self, content: Content) -> bool {
        self.request.contents.contains(&content)
    }

    fn make(&mut self, source: &Source<'_>) -> Result<(u64, usize)> {
        self.announce(source)?;
        let (mut version, mut client, mut fingerprint) = (0, String::new(), None);
        if self.wants(Content::Db) {
            let server = source.server(&self.run)?;
            let out = server.clients.program("pg_dump", &["--version"], &[]).output()?;
            if !out.ok() {
                return Err(Error::refused("no-client", "the database's image has no pg_dump")
                    .why(crate::exec::last_lines(&out.stderr, 2))
                    .help("use an image that has it, such as Debian's, or back up by the server's URL"));
            }
            client = out.text();
            let found = self.databases(&server)?;
            version = found.server_version_num;
            fingerprint = Some(found);
        }
        let mut configuration_files = 0;
        if let Source::Compose(d) = source {
            if self.wants(Content::Config) {
                configuration_files = self.configuration(d)?;
            }
            if self.wants(Content::Media) {
                self.media(d)?;
            }
        }
        if self.files.is_empty() {
            return Err(Error::refused("nothing-to-back-up", "there is nothing of that kind to back up")
                .help("the profile says where media and configuration are: docs/profiles.md"));
        }
        reach("backup", "before-manifest")?;
        let rows =
            fingerprint.iter().flat_map(|f| f.databases.values()).flat_map(|d| &d.tables).map(|t| t.rows);
        let rows = rows.sum();
        let (application, application_version) = source.application();
        let manifest = Manifest {
            format: if self.django.any() { MANIFEST_FORMAT_AT_ROOT } else { MANIFEST_FORMAT },
            created_at: now(),
            repot: env!("CARGO_PKG_VERSION").to_owned(),
            application,
            application_version,
            project: source.project(),
            run: self.run.clone(),
            made_by: MadeBy::Backup,
            label: self.request.label.clone(),
            server_version_num: version,
            client,
            files: self.files.clone(),
            next_transaction: None,
            moved_sequences: std::mem::take(&mut self.moved),
            fingerprint: fingerprint.map_or(Value::Null, |f| serde_json::to_value(f).unwrap_or(Value::Null)),
        };
        interrupt::check()?;
        complete(self.storage, &self.set, &manifest).map_err(|e| storage_error(&e))?;
        reach("backup", "after-manifest")?;
        Ok((rows, configuration_files))
    }

    /// Dumps every database while its fingerprint is taken in the same snapshot.
    fn databases(&mut self, server: &Server) -> Result<ClusterFingerprint> {
        let home = server.connector.connect(server.connector.home_database())?;
        let superuser = home.scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")? == "t";
        let names: Vec<String> = if superuser {
            let found = home.query(&format!(
                "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template0' \
                 AND datname !~ '{SET_ASIDE}' ORDER BY datname"
            ))?;
            found.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect()
        } else {
            self.notes.push(
                "not a superuser: other databases, passwords of roles and rights beyond this database are left out"
                    .to_owned(),
            );
            vec![server.connector.home_database().to_owned()]
        };
        drop(home);
        let mut args = vec!["--globals-only", "--no-password"];
        if !superuser {
            args.push("--no-role-passwords");
        }
        let globals = server.clients.program("pg_dumpall", &args, &[]);
        self.file("globals.sql", FileKind::Globals, None, &|_, sink| dump(&globals, sink))?;

        // Held until all is read: the snapshots are these transactions'.
        let mut held: Vec<Held> = Vec::new();
        let mut snapshots = BTreeMap::new();
        for name in &names {
            let session = server.connector.connect(name)?;
            session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            snapshots.insert(name.clone(), session.scalar("SELECT pg_export_snapshot()")?);
            // Not part of any snapshot.
            let sequences = sequences(&session)?;
            held.push(Held { database: name.clone(), session, sequences });
        }
        let options = TakeOptions {
            jobs: 2,
            databases: Some(names.clone()),
            snapshots: snapshots.clone(),
            cluster: superuser,
        };
        let connector = server.connector.as_ref();
        let (dumped, fingerprint) = std::thread::scope(|scope| {
            let taker = scope.spawn(|| take(connector, &options, &|_| {}));
            let mut dumped = Ok(());
            for (i, name) in names.iter().enumerate() {
                let snapshot = format!("--snapshot={}", snapshots[name]);
                let mut args = vec!["--format=custom", "--compress=0", "--no-password", &snapshot];
                let application = name == server.connector.home_database();
                let excluded = exclude::arguments(&self.request.exclude, application);
                args.extend(excluded.iter().map(String::as_str));
                let cmd = server.clients.program("pg_dump", &args, &[("PGDATABASE", name)]);
                let flat = self.django.database.clone().filter(|_| application);
                let file = flat.clone().unwrap_or_else(|| file_name(i, name));
                dumped = self.file(&file, FileKind::Database, Some(name), &|_, sink| dump(&cmd, sink));
                if dumped.is_ok() && flat.is_some() {
                    dumped = self.sidecar(&file);
                }
                if dumped.is_err() {
                    // The fingerprint is of no use any more; without its snapshots it ends.
                    held.clear();
                    break;
                }
            }
            let fingerprint =
                taker.join().unwrap_or_else(|_| Err(Error::failed("bug", "the fingerprint panicked")));
            (dumped, fingerprint)
        });
        dumped?;
        let mut fingerprint = fingerprint?;
        if let Some(d) = fingerprint.databases.get_mut(server.connector.home_database()) {
            self.notes.extend(exclude::leave_out(&self.request.exclude, d));
        }
        for h in &held {
            for (before, after) in h.sequences.iter().zip(sequences(&h.session)?) {
                if *before != after {
                    self.moved.push(MovedSequence {
                        database: h.database.clone(),
                        schema: after.schema,
                        name: after.name,
                        from: before.last_value,
                        to: after.last_value,
                    });
                }
            }
        }
        Ok(fingerprint)
    }

    fn configuration(&mut self, d: &Deployment) -> Result<usize> {
        let (files, notes) = configuration::collect(d, &self.run, &self.request.configuration)?;
        self.notes.extend(notes);
        let count = files.len();
        let tar = tar_of(&files).map_err(|e| Error::io("cannot pack the configuration", &e))?;
        let found =
            repot_store::archive::inspect(tar.as_slice(), &inspect_options(&self.request.scratch_dir), None)
                .map_err(|e| Error::failed("config-failed", "the configuration cannot be packed").why(e))?;
        self.file("config.tar", FileKind::Config, None, &|_, sink| sink(&tar))?;
        if let Some(f) = self.files.last_mut() {
            f.tree = Some(found.fingerprint);
        }
        Ok(count)
    }

    fn media(&mut self, d: &Deployment) -> Result<()> {
        for root in &d.profile.media.roots {
            interrupt::check()?;
            let Some(at) = media::locate(&d.resolved, &root.service, &root.path) else {
                self.notes.push(format!(
                    "media {}: the service {} mounts nothing at {}, so it was left out",
                    root.name, root.service, root.path
                ));
                continue;
            };
            let flat = self.django.media.clone().filter(|_| self.django.root.as_ref() == Some(&root.name));
            let name = flat.unwrap_or_else(|| format!("media-{}.tar", root.name));
            self.tell(&name, 0);
            let stored = self.stored_name(&name);
            let sink = self.sink(&stored)?;
            let done = AtomicU64::new(0);
            let count = |n| self.tell(&name, done.fetch_add(n, Ordering::Relaxed) + n);
            let packed = media::pack(d, &self.run, &at, sink, &self.request.scratch_dir, &stored, &count)?;
            match packed {
                media::Packed::Absent => {
                    self.notes.push(format!(
                        "media {}: there is no {}, so it was left out",
                        root.name,
                        at.describe()
                    ));
                }
                media::Packed::Tree(sink, tree, note) => {
                    self.notes.extend(note);
                    let written = sink.finish().map_err(|e| codec_error(&stored, e))?;
                    self.add(stored, FileKind::Media, None, written, Some(tree), Some(root.name.clone()));
                    reach("backup", "after-file")?;
                }
            }
        }
        Ok(())
    }

    fn tell(&self, what: &str, bytes: u64) {
        let what = format!("{what}, {}", human_bytes(bytes));
        self.observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
    }

    pub(super) fn layers(&self) -> Layers {
        Layers { compression: self.request.compression, cipher: self.request.encryption.cipher() }
    }

    fn stored_name(&self, name: &str) -> String {
        // Names by a template have their endings already.
        if self.django.has(name) { name.to_owned() } else { format!("{name}{}", self.layers().suffix()) }
    }

    fn sink(&mut self, stored: &str) -> Result<FileSink> {
        self.begun = true;
        let r = self.request;
        let path = if self.django.has(stored) { stored.to_owned() } else { format!("{}/{stored}", self.set) };
        FileSink::create_at(self.storage, &path, r.compression, &r.encryption).map_err(|e| codec_error(stored, e))
    }

    /// Writes one file, whose content `produce` gives.
    fn file(
        &mut self,
        name: &str,
        kind: FileKind,
        database: Option<&str>,
        produce: &dyn Fn(&Self, &mut Chunk<'_>) -> Result<()>,
    ) -> Result<()> {
        interrupt::check()?;
        self.tell(name, 0);
        let stored = self.stored_name(name);
        let mut sink = self.sink(&stored)?;
        let mut size = 0;
        let observer = self.observer;
        produce(self, &mut |chunk| {
            sink.write_all(chunk).map_err(|e| codec_error(&stored, e.into()))?;
            size += chunk.len() as u64;
            let what = format!("{name}, {}", human_bytes(size));
            observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
            if kind == FileKind::Database { reach("backup", "in-file") } else { Ok(()) }
        })?;
        if size == 0 {
            return Err(Error::failed("dump-failed", format!("the dump {name} is empty")));
        }
        let written = sink.finish().map_err(|e| codec_error(&stored, e))?;
        self.add(stored, kind, database, written, None, None);
        reach("backup", "after-file")
    }

    fn add(
        &mut self,
        name: String,
        kind: FileKind,
        database: Option<&str>,
        written: Written,
        tree: Option<Fingerprint>,
        root: Option<String>,
    ) {
        let layers = self.layers();
        self.files.push(FileEntry {
            restore: by_hand(&name, kind, database, layers),
            kind,
            database: database.map(str::to_owned),
            size_bytes: written.size_bytes,
            blake3: written.blake3,
            sha256: written.sha256,
            compression: layers.compression,
            encryption: layers.cipher,
            plain: Some(written.plain),
            tree,
            root,
            at_root: self.django.has(&name),
            name,
        });
    }
}

/// The transaction that a snapshot belongs to, and the sequences as they were right after it.
struct Held {
    database: String,
    session: Session,
    sequences: Vec<SequenceFingerprint>,
}

type Chunk<'a> = dyn FnMut(&[u8]) -> Result<()> + Send + 'a;

/// Streams what a dump prints.
fn dump(cmd: &Cmd, sink: &mut Chunk<'_>) -> Result<()> {
    let (status, stderr) = cmd.pump(None, sink)?;
    if status.success() {
        return Ok(());
    }
    let e = cmd.exit_error(status, &stderr);
    Err(Error { code: "dump-failed", what: "the dump of the running server failed".to_owned(), ..e }
        .help("nothing was changed; correct what is named and start it again"))
}

/// How a file is restored with ordinary tools.
fn by_hand(name: &str, kind: FileKind, database: Option<&str>, layers: Layers) -> String {
    let quoted = format!("'{}'", name.replace('\'', r"'\''"));
    let mut words: Vec<String> = Vec::new();
    match layers.cipher {
        Cipher::None => {}
        Cipher::Age => words.push(format!("age --decrypt -i KEY_FILE {quoted}")),
        Cipher::OpenPgp => words.push(format!("gpg --decrypt {quoted}")),
    }
    let from = |words: &[String]| if words.is_empty() { format!(" {quoted}") } else { String::new() };
    match layers.compression {
        Compression::None => {}
        Compression::Gzip => words.push(format!("gzip -dc{}", from(&words))),
        Compression::Zstd => words.push(format!("zstd -dc{}", from(&words))),
    }
    let end = match (kind, database) {
        (FileKind::Globals, _) => "psql -X -d postgres",
        (FileKind::Database, Some("postgres")) => "pg_restore --exit-on-error -d postgres",
        (FileKind::Database, Some("template1")) => "pg_restore --exit-on-error -d template1",
        (FileKind::Database, _) => "pg_restore --create --exit-on-error -d postgres",
        (FileKind::Media | FileKind::Config, _) => "tar -xpf - -C DIRECTORY",
    };
    if words.is_empty() { format!("{end} < {quoted}") } else { format!("{} | {end}", words.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_names_the_actual_tools() {
        let of = |compression, cipher| {
            by_hand("app.dump.x", FileKind::Database, Some("app"), Layers { compression, cipher })
        };
        assert_eq!(
            of(Compression::Zstd, Cipher::Age),
            "age --decrypt -i KEY_FILE 'app.dump.x' | zstd -dc | pg_restore --create --exit-on-error -d postgres"
        );
        assert_eq!(
            of(Compression::Gzip, Cipher::None),
            "gzip -dc 'app.dump.x' | pg_restore --create --exit-on-error -d postgres"
        );
        assert_eq!(
            of(Compression::None, Cipher::None),
            "pg_restore --create --exit-on-error -d postgres < 'app.dump.x'"
        );
    }
}
