//! Making a set: each database in one snapshot, globals, configuration, media, and the manifest last.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use repot_store::archive::Fingerprint;
use repot_store::codec::{Cipher, Compression, Encryption, Layers, Signer};
use repot_store::dbbackup::settings::Programs;
use repot_store::destinations::Destinations;
use repot_store::retention::Content;
use repot_store::stored::{FileSink, Written, complete, inspect_options, tar_of};
use repot_store::{
    Engine, FileEntry, FileKind, MANIFEST_FORMAT, MANIFEST_FORMAT_AT_ROOT, MadeBy, Manifest, MovedSequence,
};
use serde::Serialize;
use serde_json::Value;

use super::databases::Databases;
use super::source::Source;
use super::{codec_error, configuration, django, engines, exclude, media, schemas, signature, storage_error};
use crate::app::detect::Deployment;
use crate::app::profile::MediaRoot;
use crate::error::{Error, Result};
use crate::exec::{Cmd, Way};
use crate::interrupt;
use crate::progress::{Event, Observer, human_bytes};
use crate::upgrade::failpoint::reach;
use crate::upgrade::plan::{new_run_id, now};
use crate::upgrade::steps::backup::file_name;
use crate::verify::ClusterFingerprint;

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
    /// Who signs the set.
    pub signer: Option<Arc<dyn Signer>>,
    /// An existing directory for unlinked scratch files.
    pub scratch_dir: PathBuf,
    /// More configuration files: `repot.toml` and the profiles that it names.
    pub configuration: Vec<PathBuf>,
    /// Where the application's database and media are to be files that django-dbbackup lists and restores.
    pub django: Option<django::Layout>,
    /// What the application says of its version, in the form of a sidecar.
    pub facts: Option<Value>,
    /// Tables of the application's database whose rows are left out: `table` or `schema.table`.
    pub exclude: Vec<String>,
    /// The only schemas of the application's database that go in; none: all.
    pub schemas: Vec<String>,
    /// How the client programs are started.
    pub programs: Programs,
}

impl Request {
    pub(super) fn layers(&self) -> Layers {
        Layers { compression: self.compression, cipher: self.encryption.cipher() }
    }
}

/// A set that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Its name.
    pub set: String,
    /// What names the installation.
    pub project: String,
    /// Where it runs.
    #[serde(skip)]
    pub place: Option<String>,
    /// Where it is.
    pub storages: Vec<String>,
    /// Storages that are not required and have no copy.
    pub failed_storages: Vec<String>,
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

/// How many files are written at the same time. Each has its own dump, compression and buffers of the storage.
const AT_ONCE: usize = 2;

pub(super) struct Maker<'a> {
    pub(super) to: &'a Destinations,
    pub(super) request: &'a Request,
    pub(super) set: String,
    run: String,
    observer: &'a dyn Observer,
    done: Mutex<Done>,
    pub(super) begun: AtomicBool,
    pub(super) django: django::Named,
}

/// What is there so far; several files are written at the same time.
#[derive(Default)]
struct Done {
    files: Vec<FileEntry>,
    notes: Vec<String>,
    /// What is being written, and how much of it has been read.
    current: BTreeMap<String, u64>,
    configuration_files: usize,
    /// Databases of other engines, by name.
    dumped: Vec<(String, engines::Dumped)>,
}

/// A file to write. They are begun in this order.
pub(super) enum Job<'a> {
    /// Roles and tablespaces.
    Globals(Cmd),
    /// The database of this number and name.
    Database(usize, &'a str, Cmd),
    /// The database of this number, of another engine.
    Other(&'a engines::Databases, usize),
    /// The configuration.
    Configuration(&'a Deployment),
    /// A media root.
    Media(&'a Deployment, &'a MediaRoot),
}

/// Makes a set. The application keeps running. Fails before the first file is written where the server or a storage
/// that is required does not answer.
pub fn make(
    source: &Source<'_>,
    to: &Destinations,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Made> {
    let started = Instant::now();
    let run = new_run_id();
    let maker = Maker {
        to,
        request,
        set: format!("{}-{run}", source.project()),
        run,
        observer,
        done: Mutex::default(),
        begun: AtomicBool::new(false),
        django: django::Named::new(request, source)?,
    };
    let result = maker.announce().and_then(|()| maker.make(source));
    if let Err(e) = result {
        // What is there is not complete and never will be. Where it cannot be removed, it is shown as what it is.
        if maker.begun.load(Ordering::Relaxed) {
            let _ = to.remove_set(&maker.set);
        }
        return Err(if e.code == "interrupted" {
            e.help("nothing was changed; start it again at any time")
        } else {
            e
        });
    }
    let rows = result?;
    to.remove_from_failed(&maker.set);
    let failed = to.failed();
    let done = std::mem::take(&mut *maker.done());
    let of = |kind| done.files.iter().filter(move |f| f.kind == kind);
    let mut notes = done.notes.clone();
    notes.extend(failed.iter().map(|(name, why)| format!("the storage {name} has no copy: {why}")));
    Ok(Made {
        storages: to.alive().map(|d| d.storage.describe().to_owned()).collect(),
        failed_storages: failed.into_iter().map(|(name, _)| name).collect(),
        size_bytes: done.files.iter().map(|f| f.size_bytes).sum(),
        databases: of(FileKind::Database).filter_map(|f| f.database.clone()).collect(),
        rows,
        media: of(FileKind::Media).filter_map(|f| f.root.clone()).collect(),
        configuration_files: done.configuration_files,
        seconds: started.elapsed().as_secs_f64(),
        notes,
        set: maker.set,
        project: source.project(),
        place: source.place(),
    })
}

impl Maker<'_> {
    fn wants(&self, content: Content) -> bool {
        self.request.contents.contains(&content)
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, text: String) {
        self.done().notes.push(text);
    }

    fn make(&self, source: &Source<'_>) -> Result<u64> {
        let mut databases = None;
        let (mut version, mut client) = (0, String::new());
        let others = match self.wants(Content::Db) {
            true => engines::open(source, &self.run, &self.request.scratch_dir)?,
            false => None,
        };
        if let Some(others) = &others {
            (version, client) = (others.version, others.client.clone());
            self.done().notes.extend(others.notes.iter().cloned());
        } else if self.wants(Content::Db) {
            let server = source.server(&self.run)?.started(&self.request.programs);
            let out = server.clients.program("pg_dump", &["--version"], &[]).output()?;
            if !out.ok() {
                return Err(Error::refused("no-client", "the database's image has no pg_dump")
                    .why(crate::exec::last_lines(&out.stderr, 2))
                    .help("use an image that has it, such as Debian's, or back up by the server's URL"));
            }
            client = out.text();
            databases = Some(Databases::open(self, server)?);
        }
        let mut jobs: Vec<Job<'_>> = databases.iter().flat_map(Databases::jobs).collect();
        jobs.extend(others.iter().flat_map(|o| (0..o.names.len()).map(move |i| Job::Other(o, i))));
        if let Source::Compose(d) = source {
            if self.wants(Content::Config) {
                jobs.push(Job::Configuration(d));
            }
            if self.wants(Content::Media) {
                jobs.extend(d.profile.media.roots.iter().map(|r| Job::Media(d, r)));
            }
        }
        let (mut fingerprint, mut moved) = self.write_all(&jobs, databases.as_ref())?;
        let home = databases.as_ref().map(|d| d.home().to_owned()).unwrap_or_default();
        let only = databases.as_ref().map(|d| d.schemas.clone()).unwrap_or_default();
        if let Some(d) = fingerprint.as_mut().and_then(|f| f.databases.get_mut(&home)) {
            for note in exclude::leave_out(&self.request.exclude, d) {
                self.note(note);
            }
            schemas::limit(&only, d);
        }
        if !only.is_empty() {
            moved.retain(|m| m.database != home || only.contains(&m.schema));
            // It describes no whole database.
            for f in self.done().files.iter_mut().filter(|f| f.database.as_ref() == Some(&home)) {
                f.restore = through_layers(&f.name, self.layers(), "pg_restore -d DATABASE");
            }
        }
        drop(jobs);
        drop(databases);
        if let Some(others) = &others {
            let dumped = std::mem::take(&mut self.done().dumped);
            for (name, given) in [("EXCLUDE", &self.request.exclude), ("SCHEMAS", &self.request.schemas)] {
                if !given.is_empty() {
                    self.note(format!("{name} is not followed: these databases are backed up whole"));
                }
            }
            let (found, also) = engines::gathered(others, dumped);
            fingerprint = Some(found);
            moved.extend(also);
        }
        if let Some(f) = &fingerprint {
            version = f.server_version_num;
        }
        let files = {
            let mut done = self.done();
            // Whichever was ready first: in the manifest they stand in one order.
            done.files.sort_by_key(|f| (f.kind.rank(), f.name.clone()));
            done.files.clone()
        };
        if files.is_empty() {
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
            application_facts: self.request.facts.clone(),
            project: source.project(),
            place: source.place(),
            run: self.run.clone(),
            made_by: MadeBy::Backup,
            label: self.request.label.clone(),
            signed_by: self.request.signer.as_ref().map(|s| s.fingerprint()),
            server_version_num: version,
            client,
            image: source.deployment().filter(|_| version > 0).map(|d| d.database.source_image.clone()),
            files,
            next_transaction: None,
            moved_sequences: moved,
            fingerprint: fingerprint.map_or(Value::Null, |f| serde_json::to_value(f).unwrap_or(Value::Null)),
        };
        interrupt::check()?;
        let (text, signature) = signature::signed(&manifest, self.request.signer.as_deref())?;
        complete(self.to, &self.set, &text, signature.as_deref()).map_err(|e| storage_error(&e))?;
        reach("backup", "after-manifest")?;
        Ok(rows)
    }

    /// Does all jobs, [`AT_ONCE`] at a time, while the fingerprint of the databases is taken in their snapshots.
    fn write_all(
        &self,
        jobs: &[Job<'_>],
        databases: Option<&Databases>,
    ) -> Result<(Option<ClusterFingerprint>, Vec<MovedSequence>)> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let fail = |e: Error| {
            let _ = failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        };
        let (told, ends) = mpsc::channel::<bool>();
        let work = |told: mpsc::Sender<bool>| {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = self.carry_out(job);
                let good = done.is_ok();
                if let Err(e) = done {
                    fail(e);
                    // The others come to their end: nothing more is begun.
                    next.store(jobs.len(), Ordering::Relaxed);
                }
                if !good || matches!(job, Job::Database(..)) {
                    let _ = told.send(good);
                }
            }
        };
        let taken = std::thread::scope(|scope| {
            let taker = databases.map(|d| scope.spawn(|| d.fingerprint()));
            for _ in 0..AT_ONCE {
                let told = told.clone();
                scope.spawn(|| work(told));
            }
            drop(told);
            let Some(d) = databases else { return Ok((None, Vec::new())) };
            let whole = (0..d.names.len()).all(|_| ends.recv() == Ok(true));
            if !whole {
                // The fingerprint is of no use any more; without its snapshots it ends.
                d.release();
            }
            let taker = taker.map(|t| t.join().unwrap_or_else(|_| Err(bug("the fingerprint"))));
            let moved = if whole { d.moved() } else { Ok(Vec::new()) };
            // Media may take long, and an open snapshot keeps the server from cleaning up.
            d.release();
            Ok((taker.transpose()?, moved?))
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e),
            None => taken,
        }
    }

    fn carry_out(&self, job: &Job<'_>) -> Result<()> {
        match job {
            Job::Globals(cmd) => {
                self.file("globals.sql", FileKind::Globals, None, &|sink| dump(cmd, sink)).map(drop)
            }
            Job::Database(i, name, cmd) => {
                let flat =
                    self.django.database.as_ref().filter(|(d, _)| d == name).map(|(_, file)| file.clone());
                let file = flat.clone().unwrap_or_else(|| file_name(*i, name));
                let _ = self.file(&file, FileKind::Database, Some(name), &|sink| dump(cmd, sink))?;
                flat.map_or(Ok(()), |file| self.sidecar(&file))
            }
            Job::Other(others, i) => self.other_database(others, *i),
            Job::Configuration(d) => self.configuration(d),
            Job::Media(d, root) => self.media(d, root),
        }
    }

    fn other_database(&self, others: &engines::Databases, i: usize) -> Result<()> {
        let dumped = Mutex::new(None);
        let tell = |what| self.observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        let name = &others.names[i];
        let flat = self.django.database.as_ref().filter(|(d, _)| d == name).map(|(_, file)| file.clone());
        let file = flat.clone().unwrap_or_else(|| others.file_name(i));
        let stored = self.file(&file, FileKind::Database, Some(name), &|sink| {
            let d = others.dump(i, sink, &tell)?;
            *dumped.lock().unwrap_or_else(PoisonError::into_inner) = Some(d);
            Ok(())
        })?;
        let mut done = self.done();
        if let Some(f) = done.files.iter_mut().find(|f| f.name == stored) {
            f.engine = others.engine;
            f.restore = through_layers(&f.name, self.layers(), &others.by_hand(i));
        }
        let found = dumped.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut d) = found {
            done.notes.append(&mut d.notes);
            done.dumped.push((name.clone(), d));
        }
        drop(done);
        flat.map_or(Ok(()), |file| self.sidecar(&file))
    }

    fn configuration(&self, d: &Deployment) -> Result<()> {
        let (files, notes) = configuration::collect(d, &self.run, &self.request.configuration)?;
        let tar = tar_of(&files).map_err(|e| Error::io("cannot pack the configuration", &e))?;
        let found =
            repot_store::archive::inspect(tar.as_slice(), &inspect_options(&self.request.scratch_dir), None)
                .map_err(|e| Error::failed("config-failed", "the configuration cannot be packed").why(e))?;
        let stored = self.file("config.tar", FileKind::Config, None, &|sink| sink(&tar))?;
        let mut done = self.done();
        done.notes.extend(notes);
        done.configuration_files = files.len();
        if let Some(f) = done.files.iter_mut().find(|f| f.name == stored) {
            f.tree = Some(found.fingerprint);
        }
        Ok(())
    }

    fn media(&self, d: &Deployment, root: &MediaRoot) -> Result<()> {
        interrupt::check()?;
        let Some(at) = media::locate(&d.resolved, &root.service, &root.path) else {
            self.note(format!(
                "media {}: the service {} mounts nothing at {}, so it was left out",
                root.name, root.service, root.path
            ));
            return Ok(());
        };
        let flat = self.django.media.as_ref().filter(|(r, _)| *r == root.name).map(|(_, file)| file.clone());
        let name = flat.unwrap_or_else(|| format!("media-{}.tar", root.name));
        self.tell(&name, 0);
        let stored = self.stored_name(&name);
        let sink = self.sink(&stored)?;
        let count = |n| self.tell(&name, n);
        let packed = media::pack(d, &self.run, &at, sink, &self.request.scratch_dir, &stored, &count)?;
        match packed {
            media::Packed::Absent => {
                self.note(format!("media {}: there is no {}, so it was left out", root.name, at.describe()));
            }
            media::Packed::Tree(sink, tree, note) => {
                self.done().notes.extend(note);
                let written = sink.finish().map_err(|e| codec_error(&stored, e))?;
                self.add(stored, FileKind::Media, None, written, Some(tree), Some(root.name.clone()));
                reach("backup", "after-file")?;
            }
        }
        self.done().current.remove(&name);
        Ok(())
    }

    /// Says that so much more of a file has been read.
    fn tell(&self, name: &str, bytes: u64) {
        let what = {
            let mut done = self.done();
            *done.current.entry(name.to_owned()).or_default() += bytes;
            let each: Vec<String> =
                done.current.iter().map(|(name, n)| format!("{name}, {}", human_bytes(*n))).collect();
            each.join("; ")
        };
        self.observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
    }

    fn layers(&self) -> Layers {
        Layers { compression: self.request.compression, cipher: self.request.encryption.cipher() }
    }

    fn stored_name(&self, name: &str) -> String {
        // Names by a template have their endings already.
        if self.django.has(name) { name.to_owned() } else { format!("{name}{}", self.layers().suffix()) }
    }

    fn sink(&self, stored: &str) -> Result<FileSink> {
        self.begun.store(true, Ordering::Relaxed);
        let r = self.request;
        let path = if self.django.has(stored) { stored.to_owned() } else { format!("{}/{stored}", self.set) };
        FileSink::create(self.to, &path, r.compression, &r.encryption).map_err(|e| codec_error(stored, e))
    }

    /// Writes one file, whose content `produce` gives; the name that it is stored under.
    fn file(
        &self,
        name: &str,
        kind: FileKind,
        database: Option<&str>,
        produce: &dyn Fn(&mut Chunk<'_>) -> Result<()>,
    ) -> Result<String> {
        interrupt::check()?;
        self.tell(name, 0);
        let stored = self.stored_name(name);
        let mut sink = self.sink(&stored)?;
        let mut size = 0;
        produce(&mut |chunk| {
            sink.write_all(chunk).map_err(|e| codec_error(&stored, e.into()))?;
            size += chunk.len() as u64;
            self.tell(name, chunk.len() as u64);
            if kind == FileKind::Database { reach("backup", "in-file") } else { Ok(()) }
        })?;
        if size == 0 {
            return Err(Error::failed("dump-failed", format!("the dump {name} is empty")));
        }
        let written = sink.finish().map_err(|e| codec_error(&stored, e))?;
        self.add(stored.clone(), kind, database, written, None, None);
        self.done().current.remove(name);
        reach("backup", "after-file")?;
        Ok(stored)
    }

    fn add(
        &self,
        name: String,
        kind: FileKind,
        database: Option<&str>,
        written: Written,
        tree: Option<Fingerprint>,
        root: Option<String>,
    ) {
        let layers = self.layers();
        self.done().files.push(FileEntry {
            restore: by_hand(&name, kind, database, layers),
            kind,
            database: database.map(str::to_owned),
            engine: Engine::default(),
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

fn bug(what: &str) -> Error {
    Error::failed("bug", format!("{what} panicked"))
}

type Chunk<'a> = dyn FnMut(&[u8]) -> Result<()> + Send + 'a;

/// Streams what a dump prints.
fn dump(cmd: &Cmd, sink: &mut Chunk<'_>) -> Result<()> {
    let (status, stderr) = cmd.clone().bulk(Way::Out).pump(None, sink)?;
    if status.success() {
        return Ok(());
    }
    let e = cmd.exit_error(status, &stderr);
    Err(Error { code: "dump-failed", what: "the dump of the running server failed".to_owned(), ..e }
        .help("nothing was changed; correct what is named and start it again"))
}

/// How a file is restored with ordinary tools.
fn by_hand(name: &str, kind: FileKind, database: Option<&str>, layers: Layers) -> String {
    let end = match (kind, database) {
        (FileKind::Globals, _) => "psql -X -d postgres",
        (FileKind::Database, Some("postgres")) => "pg_restore --exit-on-error -d postgres",
        (FileKind::Database, Some("template1")) => "pg_restore --exit-on-error -d template1",
        (FileKind::Database, _) => "pg_restore --create --exit-on-error -d postgres",
        (FileKind::Media | FileKind::Config, _) => "tar -xpf - -C DIRECTORY",
    };
    through_layers(name, layers, end)
}

/// A command that gives a file's content, its layers taken off, to another.
fn through_layers(name: &str, layers: Layers, end: &str) -> String {
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
