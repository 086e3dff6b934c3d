//! Storages that opendal speaks to. It is asynchronous: a small runtime of its own, and every call waits for its end.

use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use opendal::{EntryMode, Metadata, Operator};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::backend::{Backend, Publish, Upload};
use super::error::{Refuser, Sort, sort_io, sort_words};
use super::operator::{self, Operators};
use super::{Entry, Kind, StorageConfig, StorageError};

/// How long connections may take to close.
const CLOSING: Duration = Duration::from_secs(5);
/// Longest word of a storage that goes into an error, in characters.
const WHY_MAX_CHARS: usize = 600;
/// What Dropbox takes in one request.
const DROPBOX_MAX_BYTES: u64 = 150 << 20;

/// Ends without waiting for what hangs.
pub(crate) struct Runner(Option<Runtime>);

impl Runner {
    fn new() -> io::Result<Self> {
        let mut b = Builder::new_multi_thread();
        Ok(Runner(Some(b.worker_threads(2).thread_name("repot-storage").enable_all().build()?)))
    }

    pub(crate) fn wait<F: Future>(&self, what: F) -> Option<F::Output> {
        self.0.as_ref().map(|r| r.block_on(what))
    }

    pub(crate) fn spawn<F>(&self, what: F) -> Option<tokio::task::JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.as_ref().map(|r| r.spawn(what))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(r) = self.0.take() {
            r.shutdown_timeout(CLOSING);
        }
    }
}

/// What a storage's calls share. The runtime is the last to go.
pub(crate) struct Shared {
    ops: Option<Operators>,
    pub(crate) refuser: Refuser,
    config: StorageConfig,
    pub(crate) runner: Runner,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Connections close by tasks of the runtime.
        let _inside = self.runner.0.as_ref().map(Runtime::enter);
        self.ops = None;
    }
}

impl Shared {
    fn gone(&self, what: &str) -> StorageError {
        self.refuser.refuse(Sort::Other, what, "the storage has been closed")
    }

    /// Waits for an answer of opendal.
    fn wait<T>(&self, what: &str, call: impl Future<Output = opendal::Result<T>>) -> Result<T, StorageError> {
        match self.runner.wait(call) {
            Some(result) => result.map_err(|e| self.refuse(what, &e)),
            None => Err(self.gone(what)),
        }
    }

    fn refuse(&self, what: &str, e: &opendal::Error) -> StorageError {
        use opendal::ErrorKind as K;
        // The message and its causes, without the context: that has URLs, which may hold signatures.
        let mut why = e.message().to_owned();
        let mut cause = std::error::Error::source(e);
        for _ in 0..8 {
            let Some(c) = cause else { break };
            let text = c.to_string();
            if !why.contains(&text) {
                why = format!("{why}: {text}");
            }
            cause = c.source();
        }
        let why = self.shown(&why);
        let sort = match e.kind() {
            K::NotFound => Sort::NotFound,
            K::PermissionDenied => Sort::Denied,
            K::RateLimited => Sort::Unreachable,
            _ => sort_status(e).or_else(|| sort_words(&why)).unwrap_or(if e.is_temporary() {
                Sort::Unreachable
            } else {
                Sort::Other
            }),
        };
        self.refuser.refuse(sort, what, why)
    }

    /// One line, not too long, without secrets.
    pub(crate) fn shown(&self, why: &str) -> String {
        let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = self.config.redact(&line).chars().take(WHY_MAX_CHARS).collect();
        if line.is_empty() { "it gave no reason".to_owned() } else { line }
    }
}

/// Sorts by the HTTP status, which opendal tells in an error's context only; that is read here and shown to nobody.
fn sort_status(e: &opendal::Error) -> Option<Sort> {
    let text = format!("{e:?}");
    let (_, rest) = text.split_once("status: ")?;
    match rest.get(..3)? {
        "401" | "403" | "407" => Some(Sort::Denied),
        "413" | "507" => Some(Sort::Full),
        "408" | "429" | "502" | "503" | "504" => Some(Sort::Unreachable),
        _ => None,
    }
}

pub(crate) struct Remote {
    shared: Arc<Shared>,
    kind: Kind,
    /// Goes before every name: the directory below the home directory of an SFTP user.
    prefix: String,
    #[cfg(feature = "webdav")]
    putter: Option<super::put::Putter>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.shared.refuser.storage).finish()
    }
}

impl Remote {
    pub(crate) fn open(config: &StorageConfig, refuser: Refuser) -> Result<Self, StorageError> {
        let runner = Runner::new().map_err(|e| refuser.io("start threads", &e))?;
        let ops = runner.wait(async { operator::open(config, config.limits()?) });
        let ops = ops.unwrap_or_else(|| Err(super::not_built(config.kind())))?;
        let prefix = match operator::home_dir(config) {
            None | Some("") => String::new(),
            Some(dir) => format!("{dir}/"),
        };
        #[cfg(feature = "webdav")]
        let putter = match config.kind() {
            Kind::Webdav | Kind::Webdavs => Some(super::put::Putter::new(config)?),
            _ => None,
        };
        Ok(Remote {
            shared: Arc::new(Shared { ops: Some(ops), refuser, config: config.clone(), runner }),
            kind: config.kind(),
            prefix,
            #[cfg(feature = "webdav")]
            putter,
        })
    }

    fn ops(&self) -> Result<&Operators, StorageError> {
        self.shared.ops.as_ref().ok_or_else(|| self.shared.gone("work"))
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn dir(&self, dir: &str) -> String {
        if dir.is_empty() { self.prefix.clone() } else { format!("{}{dir}/", self.prefix) }
    }

    /// Whether directories are there by themselves, and can be absent.
    fn has_dirs(&self) -> bool {
        matches!(self.kind, Kind::Sftp | Kind::Webdav | Kind::Webdavs | Kind::Dropbox)
    }

    fn entry(name: &str, meta: &Metadata) -> Entry {
        let modified = meta.last_modified().map(Into::into);
        Entry { name: name.to_owned(), size_bytes: meta.content_length(), modified }
    }

    async fn listed(&self, op: &Operator, dir: &str, max: usize) -> opendal::Result<Vec<Entry>> {
        let mut lister = op.lister_with(&self.dir(dir)).recursive(true).await?;
        let mut found = Vec::new();
        while let Some(item) = lister.next().await {
            let item = item?;
            let Some(name) = item.path().strip_prefix(&self.prefix) else { continue };
            if item.metadata().mode() == EntryMode::FILE && !name.ends_with('/') {
                found.push(Self::entry(name, item.metadata()));
            }
            if found.len() > max {
                break;
            }
        }
        Ok(found)
    }
}

impl Backend for Remote {
    fn publish(&self) -> Publish {
        match self.kind {
            Kind::Sftp | Kind::Webdav | Kind::Webdavs => Publish::ByRename,
            _ => Publish::AtFinish,
        }
    }

    fn largest(&self) -> (Option<u64>, Option<u64>) {
        match self.kind {
            Kind::S3 | Kind::Gcs => (Some(10_000), Some(5 << 40)),
            Kind::Azblob => (Some(50_000), None),
            Kind::Dropbox => (None, Some(DROPBOX_MAX_BYTES)),
            _ => (None, None),
        }
    }

    fn list(&self, dir: &str, max: usize) -> Result<Vec<Entry>, StorageError> {
        let op = &self.ops()?.retrying;
        match self.shared.wait(&format!("list `{dir}`"), self.listed(op, dir, max)) {
            Err(e) if e.is_not_found() && self.has_dirs() && !dir.is_empty() => Ok(Vec::new()),
            other => other,
        }
    }

    fn stat(&self, name: &str) -> Result<Entry, StorageError> {
        let what = format!("look at `{name}`");
        let meta = self.shared.wait(&what, self.ops()?.retrying.stat(&self.path(name)))?;
        if meta.mode() != EntryMode::FILE {
            return Err(self.shared.refuser.refuse(Sort::NotFound, what, "it is not a file"));
        }
        Ok(Self::entry(name, &meta))
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        let what = format!("read `{name}`");
        let op = &self.ops()?.retrying;
        let open = async {
            let reader = op.reader(&self.path(name)).await?;
            reader.into_bytes_stream(offset..offset.saturating_add(length)).await
        };
        let stream = self.shared.wait(&what, open)?;
        Ok(Box::new(RemoteRead {
            stream: Box::pin(stream),
            chunk: Bytes::new(),
            what,
            shared: self.shared.clone(),
        }))
    }

    fn write(&self, name: &str, part_bytes: usize) -> Result<Box<dyn Upload>, StorageError> {
        let what = format!("write `{name}`");
        let ops = self.ops()?;
        let path = self.path(name);
        #[cfg(feature = "webdav")]
        if let Some(p) = &self.putter {
            if !self.shared.config.flag("disable_create_dir")? {
                let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
                self.shared.wait(&what, ops.retrying.create_dir(&format!("{dir}/")))?;
            }
            return p.begin(&path, what, self.shared.clone());
        }
        if self.kind == Kind::Dropbox {
            let op = ops.retrying.clone();
            return Ok(Box::new(Whole { op, path, parts: Vec::new(), what, shared: self.shared.clone() }));
        }
        let writer = if self.kind == Kind::Sftp {
            self.shared.wait(&what, async { ops.once.writer(&path).await })?
        } else {
            let w = ops.retrying.writer_with(&path).chunk(part_bytes);
            self.shared.wait(&what, async { w.await })?
        };
        Ok(Box::new(RemoteUpload::begin(writer, what, self.shared.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        // Not retried: a second attempt after an answer that was lost would not find the file.
        let op = &self.ops()?.once;
        self.shared.wait(&format!("rename `{from}` to `{to}`"), op.rename(&self.path(from), &self.path(to)))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.shared.wait(&format!("delete `{name}`"), self.ops()?.retrying.delete(&self.path(name)))
    }

    fn remove_empty_dirs(&self, dir: &str) -> Result<(), StorageError> {
        if !self.has_dirs() {
            return Ok(());
        }
        let what = format!("remove the directory `{dir}`");
        let op = &self.ops()?.retrying;
        self.shared.wait(&what, async { op.delete_with(&self.dir(dir)).recursive(true).await })
    }
}

struct RemoteRead {
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    chunk: Bytes,
    what: String,
    shared: Arc<Shared>,
}

impl Read for RemoteRead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.shared.runner.wait(self.stream.next()) {
                Some(Some(Ok(chunk))) => self.chunk = chunk,
                Some(Some(Err(e))) => return Err(self.refuse(&e)),
                Some(None) | None => return Ok(0),
            }
        }
        let n = self.chunk.len().min(buf.len());
        self.chunk.copy_to_slice(&mut buf[..n]);
        Ok(n)
    }
}

impl RemoteRead {
    fn refuse(&self, e: &io::Error) -> io::Error {
        let inner = e.get_ref().and_then(|i| i.downcast_ref::<opendal::Error>());
        let refusal = match inner {
            Some(o) => self.shared.refuse(&self.what, o),
            None => {
                let why = self.shared.shown(&e.to_string());
                let sort = sort_words(&why).unwrap_or(sort_io(e));
                self.shared.refuser.refuse(sort, self.what.clone(), why)
            }
        };
        io::Error::new(e.kind(), refusal)
    }
}

/// Sends parts while the next one is being made. One at a time: an upload that is given up must have no part under
/// way, which would stay behind.
struct RemoteUpload {
    /// Ends the task when it is dropped.
    parts: Option<mpsc::Sender<Vec<u8>>>,
    given_up: Arc<AtomicBool>,
    task: Option<JoinHandle<(opendal::Writer, opendal::Result<()>)>>,
    /// Once the task has ended.
    writer: Option<opendal::Writer>,
    what: String,
    shared: Arc<Shared>,
}

impl RemoteUpload {
    fn begin(mut writer: opendal::Writer, what: String, shared: Arc<Shared>) -> Self {
        let (parts, mut queue) = mpsc::channel::<Vec<u8>>(1);
        let given_up = Arc::new(AtomicBool::new(false));
        let stop = given_up.clone();
        let task = shared.runner.spawn(async move {
            while let Some(part) = queue.recv().await {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                if let Err(e) = writer.write(part).await {
                    return (writer, Err(e));
                }
            }
            (writer, Ok(()))
        });
        RemoteUpload { parts: Some(parts), given_up, task, writer: None, what, shared }
    }

    /// Waits for the end of what is under way.
    fn join(&mut self) -> Result<(), StorageError> {
        self.parts = None;
        let Some(task) = self.task.take() else { return Ok(()) };
        match self.shared.runner.wait(task) {
            Some(Ok((writer, result))) => {
                self.writer = Some(writer);
                result.map_err(|e| self.shared.refuse(&self.what, &e))
            }
            Some(Err(e)) => Err(self.shared.refuser.refuse(Sort::Other, self.what.clone(), e)),
            None => Err(self.shared.gone(&self.what)),
        }
    }
}

impl Upload for RemoteUpload {
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError> {
        let sent = self.parts.as_ref().and_then(|p| self.shared.runner.wait(p.send(part)));
        if matches!(sent, Some(Ok(()))) {
            return Ok(());
        }
        // The task has ended before its time, and knows why.
        self.join().and_then(|()| Err(self.shared.gone(&self.what)))
    }
    fn finish(&mut self) -> Result<(), StorageError> {
        self.join()?;
        match &mut self.writer {
            Some(w) => self.shared.wait(&self.what, w.close()).map(|_| ()),
            None => Err(self.shared.gone(&self.what)),
        }
    }
    fn abort(&mut self) {
        self.given_up.store(true, Ordering::Release);
        // What went wrong is known, or nobody asks.
        let _ = self.join();
        if let Some(w) = &mut self.writer {
            // Object stores forget the parts; others have no abort, and their file is deleted by name.
            let _ = self.shared.runner.wait(w.abort());
        }
    }
}

/// Keeps a file until it is whole: for Dropbox, whose client has no other way.
struct Whole {
    op: Operator,
    path: String,
    parts: Vec<Bytes>,
    what: String,
    shared: Arc<Shared>,
}

impl Upload for Whole {
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError> {
        self.parts.push(part.into());
        Ok(())
    }
    fn finish(&mut self) -> Result<(), StorageError> {
        let parts = std::mem::take(&mut self.parts);
        self.shared.wait(&self.what, self.op.write(&self.path, parts)).map(|_| ())
    }
    fn abort(&mut self) {
        self.parts.clear();
    }
}
