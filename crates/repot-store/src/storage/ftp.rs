//! FTP and FTPS, by suppaftp. Not through opendal, whose FTP service knows no abort, cannot store an empty file, takes
//! every refusal for an absent file and trusts no authority but the system's.
//!
//! One connection is kept for small requests; a transfer has its own. Passive mode only. A transfer that breaks is not
//! resumed: the caller begins again.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use suppaftp::list::ListParser;
use suppaftp::rustls::ClientConfig;
use suppaftp::types::FileType;
use suppaftp::{FtpError, Mode, RustlsConnector, RustlsFtpStream, Status};

use super::backend::{Backend, Publish, Upload};
use super::config::Limits;
use super::error::{Refuser, Sort, sort_io, sort_words};
use super::{Entry, Kind, StorageConfig, StorageError};

const PORT: u16 = 21;
/// How deep directories may be.
const DEPTH_MAX: usize = 32;
/// The first wait before another attempt; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How long the server may take to close a transfer's connection.
const CLOSING: Duration = Duration::from_secs(30);

type Connection = RustlsFtpStream;

pub(crate) struct Ftp {
    config: StorageConfig,
    limits: Limits,
    tls: Option<Arc<ClientConfig>>,
    refuser: Refuser,
    idle: Mutex<Option<Connection>>,
}

impl fmt::Debug for Ftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ftp").field(&self.refuser.storage).finish()
    }
}

impl Ftp {
    pub(crate) fn open(config: &StorageConfig, refuser: Refuser) -> Result<Self, StorageError> {
        let tls = match config.kind() {
            Kind::Ftps => Some(Arc::new(super::tls::client(config)?)),
            _ => None,
        };
        Ok(Ftp { config: config.clone(), limits: config.limits()?, tls, refuser, idle: Mutex::new(None) })
    }

    fn connect(&self) -> Result<Connection, FtpError> {
        let limits = self.limits;
        let address = (self.config.host.trim_matches(['[', ']']), self.config.port.unwrap_or(PORT));
        let stream = reach(
            &address.to_socket_addrs().map_err(FtpError::ConnectionError)?.collect::<Vec<_>>(),
            limits,
        )?;
        let v6 = stream.peer_addr().is_ok_and(|a| a.is_ipv6());
        let mut c = Connection::connect_with_stream(stream)?
            .passive_stream_builder(move |address| reach(&[address], limits));
        // A server behind a translated address names one that we cannot reach; and data come from where we logged in.
        c.set_passive_nat_workaround(true);
        c.set_mode(if v6 { Mode::ExtendedPassive } else { Mode::Passive });
        if let Some(tls) = &self.tls {
            c = c.into_secure(RustlsConnector::from(tls.clone()), &self.config.host)?;
        }
        let user = self.config.option("user").unwrap_or("anonymous");
        c.login(user, self.config.secret("password").unwrap_or("anonymous@"))?;
        c.transfer_type(FileType::Binary)?;
        Ok(c)
    }

    /// Makes a small request, again after a passing fault, on the connection that is kept.
    fn ask<T>(
        &self,
        what: &str,
        mut call: impl FnMut(&mut Connection) -> Result<T, FtpError>,
    ) -> Result<T, StorageError> {
        let mut wait = FIRST_WAIT;
        for attempt in 0..=self.limits.retries {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
            let was_idle = idle.is_some();
            let result = match idle {
                Some(c) => Ok(c),
                None => self.connect(),
            };
            let result = result.and_then(|mut c| {
                let answer = call(&mut c);
                if !matches!(&answer, Err(e) if sort(e) == Sort::Unreachable || matches!(e, FtpError::BadResponse)) {
                    *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(c);
                }
                answer
            });
            match result {
                Ok(answer) => return Ok(answer),
                Err(e) if sort(&e) == Sort::Unreachable && attempt < self.limits.retries => {
                    // A kept connection that the server has closed meanwhile is no reason to wait.
                    if !was_idle {
                        std::thread::sleep(wait);
                        wait *= 2;
                    }
                }
                Err(e) => return Err(self.refuse(what, &e)),
            }
        }
        Err(self.refuser.refuse(Sort::Unreachable, what, "all attempts failed"))
    }

    fn refuse(&self, what: &str, e: &FtpError) -> StorageError {
        self.refuser.refuse(sort(e), what, self.config.redact(e.to_string().trim()))
    }

    fn path(&self, name: &str) -> String {
        let root = self.config.path.trim_end_matches('/');
        // As with SFTP, `/~` is where the server puts the user.
        let root = match root.strip_prefix("/~") {
            Some("") => return if name.is_empty() { ".".to_owned() } else { name.to_owned() },
            Some(rest) if rest.starts_with('/') => &rest[1..],
            _ => root,
        };
        match (root, name) {
            ("", "") => "/".to_owned(),
            (root, "") => root.to_owned(),
            (root, name) => format!("{root}/{name}"),
        }
    }

    fn walk(
        &self,
        c: &mut Connection,
        dir: &str,
        depth: usize,
        max: usize,
        found: &mut Vec<Entry>,
    ) -> Result<(), FtpError> {
        if depth > DEPTH_MAX {
            return Err(FtpError::ConnectionError(io::Error::other(format!(
                "directories are more than {DEPTH_MAX} deep"
            ))));
        }
        for item in items(c, &self.path(dir))? {
            let name = if dir.is_empty() { item.name } else { format!("{dir}/{}", item.name) };
            if item.is_dir {
                self.walk(c, &name, depth + 1, max, found)?;
            } else {
                found.push(Entry { name, size_bytes: item.size_bytes, modified: item.modified });
            }
            if found.len() > max {
                break;
            }
        }
        Ok(())
    }

    fn remove_dirs(&self, c: &mut Connection, dir: &str, depth: usize) -> Result<(), FtpError> {
        let path = self.path(dir);
        if depth < DEPTH_MAX {
            for item in items(c, &path)? {
                if item.is_dir {
                    self.remove_dirs(c, &format!("{dir}/{}", item.name), depth + 1)?;
                }
            }
        }
        c.rmdir(path)
    }
}

/// Connects to the first address that answers.
fn reach(addresses: &[SocketAddr], limits: Limits) -> Result<TcpStream, FtpError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, limits.timeout) {
            Ok(stream) => {
                let set = stream
                    .set_read_timeout(Some(limits.io_timeout))
                    .and_then(|()| stream.set_write_timeout(Some(limits.io_timeout)));
                return set.map(|()| stream).map_err(FtpError::ConnectionError);
            }
            Err(e) => last = e,
        }
    }
    Err(FtpError::ConnectionError(last))
}

struct Item {
    name: String,
    is_dir: bool,
    size_bytes: u64,
    modified: Option<SystemTime>,
}

/// What is in a directory: by MLSD, whose form is laid down, or else by LIST, whose form is not.
fn items(c: &mut Connection, path: &str) -> Result<Vec<Item>, FtpError> {
    let (lines, exact) = match c.mlsd(Some(path)) {
        Ok(lines) => (lines, true),
        Err(FtpError::UnexpectedResponse(r))
            if matches!(r.status, Status::BadCommand | Status::NotImplemented | Status::BadArguments) =>
        {
            (c.list(Some(path))?, false)
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for line in &lines {
        let line = line.trim_end();
        if line.is_empty()
            || line.starts_with("total ")
            || line.contains("type=cdir;")
            || line.contains("type=pdir;")
        {
            continue;
        }
        let parsed = if exact {
            ListParser::parse_mlsd(line)
        } else {
            ListParser::parse_posix(line).or_else(|_| ListParser::parse_dos(line))
        };
        let file = parsed.map_err(|_| FtpError::BadResponse)?;
        if matches!(file.name(), "." | "..") || file.is_symlink() {
            continue;
        }
        found.push(Item {
            name: file.name().to_owned(),
            is_dir: file.is_directory(),
            size_bytes: file.size() as u64,
            modified: Some(file.modified()),
        });
    }
    Ok(found)
}

fn sort(e: &FtpError) -> Sort {
    match e {
        FtpError::ConnectionError(e) => match sort_io(e) {
            // Only names of hosts and sockets come this way, never files.
            Sort::NotFound | Sort::Other => sort_words(&e.to_string()).unwrap_or(Sort::Unreachable),
            sort => sort,
        },
        FtpError::SecureError(_) => Sort::Denied,
        FtpError::UnexpectedResponse(r) => match r.status {
            Status::NotAvailable | Status::CannotOpenDataConnection | Status::TransferAborted => {
                Sort::Unreachable
            }
            Status::NotLoggedIn | Status::InvalidCredentials | Status::StoringNeedAccount => Sort::Denied,
            Status::RequestedActionNotTaken | Status::ExceededStorage => Sort::Full,
            Status::FileUnavailable | Status::BadFilename => {
                match sort_words(&String::from_utf8_lossy(&r.body)) {
                    Some(s @ (Sort::Denied | Sort::Full)) => s,
                    _ => Sort::NotFound,
                }
            }
            _ => sort_words(&e.to_string()).unwrap_or(Sort::Other),
        },
        _ => Sort::Other,
    }
}

fn is_refused(e: &FtpError) -> bool {
    matches!(e, FtpError::UnexpectedResponse(r) if matches!(r.status, Status::FileUnavailable | Status::BadFilename))
}

impl Backend for Ftp {
    fn publish(&self) -> Publish {
        Publish::ByRename
    }

    fn list(&self, dir: &str, max: usize) -> Result<Vec<Entry>, StorageError> {
        let result = self.ask(&format!("list `{dir}`"), |c| {
            let mut found = Vec::new();
            self.walk(c, dir, 0, max, &mut found).map(|()| found)
        });
        match result {
            Err(e) if e.is_not_found() && !dir.is_empty() => Ok(Vec::new()),
            other => other,
        }
    }

    fn stat(&self, name: &str) -> Result<Entry, StorageError> {
        let path = self.path(name);
        let (size, modified) = self.ask(&format!("look at `{name}`"), |c| {
            let size = c.size(&path)?;
            // Not every server knows MDTM, and the time is not what matters.
            Ok((size, c.mdtm(&path).ok().map(|t| SystemTime::from(t.and_utc()))))
        })?;
        Ok(Entry { name: name.to_owned(), size_bytes: size as u64, modified })
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        let what = format!("read `{name}`");
        let refuse = |e: FtpError| self.refuse(&what, &e);
        let mut connection = self.connect().map_err(refuse)?;
        if offset > 0 {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            connection.resume_transfer(offset).map_err(refuse)?;
        }
        let data = connection.retr_as_stream(self.path(name)).map_err(refuse)?;
        Ok(Box::new(FtpRead {
            data: (Box::new(data) as Box<dyn Read + Send>).take(length),
            what: what.clone(),
            refuser: self.refuser.clone(),
            _connection: connection,
        }))
    }

    fn write(&self, name: &str, _part_bytes: usize) -> Result<Box<dyn Upload>, StorageError> {
        let what = format!("write `{name}`");
        let refuse = |e: FtpError| self.refuse(&what, &e);
        let path = self.path(name);
        let mut connection = self.connect().map_err(refuse)?;
        let data = match connection.put_with_stream(&path) {
            Err(e) if is_refused(&e) => {
                // The directory may be missing.
                for (i, _) in path.match_indices('/').filter(|(i, _)| *i > 0) {
                    match connection.mkdir(&path[..i]) {
                        // It is there already, or the next request will say what is wrong.
                        Err(e) if is_refused(&e) => {}
                        other => other.map_err(refuse)?,
                    }
                }
                connection.put_with_stream(&path)
            }
            other => other,
        };
        let data = data.map_err(refuse)?;
        let tcp = data.get_ref().try_clone().map_err(|e| refuse(FtpError::ConnectionError(e)))?;
        let data = Closing { data: Some(data), tcp };
        let (refuser, config) = (self.refuser.clone(), self.config.clone());
        Ok(Box::new(FtpUpload { connection, data: Some(Box::new(data)), what, refuser, config }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let what = format!("rename `{from}` to `{to}`");
        let (from, to) = (self.path(from), self.path(to));
        self.ask(&what, |c| match c.rename(&from, &to) {
            // Some servers do not replace. The file that is deleted here is the one that was to be replaced.
            Err(e) if is_refused(&e) && c.size(&from).is_ok() && c.size(&to).is_ok() => {
                c.rm(&to)?;
                c.rename(&from, &to)
            }
            // An earlier attempt whose answer was lost.
            Err(e) if is_refused(&e) && c.size(&from).is_err() && c.size(&to).is_ok() => Ok(()),
            other => other,
        })
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path(name);
        self.ask(&format!("delete `{name}`"), |c| c.rm(&path))
    }

    fn remove_empty_dirs(&self, dir: &str) -> Result<(), StorageError> {
        self.ask(&format!("remove the directory `{dir}`"), |c| self.remove_dirs(c, dir, 0))
    }
}

struct FtpRead {
    data: io::Take<Box<dyn Read + Send>>,
    what: String,
    refuser: Refuser,
    /// Lives as long as the transfer.
    _connection: Connection,
}

impl Read for FtpRead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.data.read(buf).map_err(|e| io::Error::new(e.kind(), self.refuser.io(self.what.clone(), &e)))
    }
}

/// Ends a transfer so that all of it arrives. Closing a connection on which something waits to be read (the tickets of
/// TLS 1.3 do) resets it, and what the server has not read by then is lost.
struct Closing<D: Write> {
    data: Option<D>,
    tcp: TcpStream,
}

impl<D: Write> Write for Closing<D> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.data.as_mut().map_or(Ok(0), |d| d.write(buf))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.data.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<D: Write> Drop for Closing<D> {
    fn drop(&mut self) {
        // Whether all went well is in the server's answer, and in the size that it has afterwards.
        let _ = self.flush();
        self.data = None;
        let _ = self.tcp.shutdown(Shutdown::Write);
        let _ = self.tcp.set_read_timeout(Some(CLOSING));
        let mut rest = [0; 4096];
        for _ in 0..64 {
            if !matches!(self.tcp.read(&mut rest), Ok(n) if n > 0) {
                break;
            }
        }
    }
}

struct FtpUpload {
    connection: Connection,
    data: Option<Box<dyn Write + Send>>,
    what: String,
    refuser: Refuser,
    config: StorageConfig,
}

impl FtpUpload {
    fn end(&mut self) -> Result<(), FtpError> {
        let Some(data) = self.data.take() else { return Ok(()) };
        self.connection.finalize_put_stream(data)
    }
    fn refuse(&self, e: &FtpError) -> StorageError {
        self.refuser.refuse(sort(e), self.what.clone(), self.config.redact(e.to_string().trim()))
    }
}

impl Upload for FtpUpload {
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError> {
        let Some(data) = &mut self.data else { return self.finish() };
        let Err(e) = data.write_all(&part) else { return Ok(()) };
        // The server closes the data connection, and says why on the other one.
        match self.end() {
            Err(said @ FtpError::UnexpectedResponse(_)) => Err(self.refuse(&said)),
            _ => Err(self.refuse(&FtpError::ConnectionError(e))),
        }
    }
    fn finish(&mut self) -> Result<(), StorageError> {
        self.end().map_err(|e| self.refuse(&e))
    }
    /// Ends the transfer, so that the file can be deleted.
    fn abort(&mut self) {
        let _ = self.end();
    }
}
