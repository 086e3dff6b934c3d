//! Storage servers for tests: real ones, on this machine's loopback address, each with a port and a directory of its
//! own.
//!
//! A server ends with its value, and with the thread that started it (the kernel sees to that), also when a test is
//! killed. `scripts/storage-servers.sh` installs what they are.

mod file;
mod messages;
mod object;
mod ssh;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sweep::start_of;

pub use file::{ftp, ftps, webdav};
pub use messages::{Mail, Received, Receiver, mail, receiver};
pub use object::{azure, gcs, s3};
pub use ssh::{Sshd, sftp};

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(60);
/// How many ports are tried: another program may take one between the choice and the start.
const ATTEMPTS: usize = 5;

/// A server at work.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: tempfile::TempDir,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Directory with what it stores.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its directory: configuration, keys, log, data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Processes that it has started itself: one for each connection, where it works that way.
    #[must_use]
    pub fn children(&self) -> Vec<i32> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Ends it and its children; whoever was connected notices.
    pub fn stop(&mut self) {
        for pid in self.children().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the programs are.
fn tools() -> PathBuf {
    if let Some(dir) = std::env::var_os("REPOT_TOOLS") {
        return dir.into();
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    PathBuf::from(home).join(".cache/repot/tools")
}

/// A program of the tools; fails the test when it is missing.
#[track_caller]
fn tool(path: &str) -> PathBuf {
    let found = tools().join(path);
    assert!(found.exists(), "{} is missing: run scripts/storage-servers.sh", found.display());
    found
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|l| l.local_addr());
    address.map_or_else(|e| panic!("there is no free port: {e}"), |a| a.port())
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1)).is_ok()
}

/// Where the servers of this process live: `BASE/PROCESS-START`, so that the next one can tell what is left over.
fn own_dir() -> PathBuf {
    let name = crate::sweep::own_dir();
    base().join(name.file_name().unwrap_or_default())
}

fn base() -> PathBuf {
    std::env::temp_dir().join("repot-servers")
}

/// Once in a process: removes the directories that killed test processes have left. Their servers have ended with them.
fn sweep() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        for process in std::fs::read_dir(base()).into_iter().flatten().flatten() {
            let name = process.file_name().to_string_lossy().into_owned();
            let lives =
                name.split_once('-').is_none_or(|(pid, start)| start_of(pid).as_deref() == Some(start));
            if !lives {
                let _ = std::fs::remove_dir_all(process.path());
            }
        }
    });
}

/// Starts a server whose command is made for a directory and a port, and waits until it listens.
#[track_caller]
fn start(name: &str, make: impl Fn(&Path, u16) -> Command) -> Server {
    sweep();
    let mut log = String::new();
    for _ in 0..ATTEMPTS {
        let parent = own_dir();
        let _ = std::fs::create_dir_all(&parent);
        let dir = match tempfile::Builder::new().prefix("server-").tempdir_in(&parent) {
            Ok(d) => d,
            Err(e) => panic!("no directory for {name}: {e}"),
        };
        write(&dir.path().join("data/.keep"), b"");
        let port = free_port();
        let command = make(dir.path(), port);
        let out = match std::fs::File::create(dir.path().join("log")) {
            Ok(f) => f,
            Err(e) => panic!("no log for {name}: {e}"),
        };
        let err = out.try_clone();
        // The kernel ends it when we are gone.
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(v) => guarded.env(key, v),
                None => guarded.env_remove(key),
            };
        }
        guarded.stdin(Stdio::null()).stdout(out).process_group(0);
        if let Ok(e) = err {
            guarded.stderr(e);
        }
        let child = match guarded.spawn() {
            Ok(c) => c,
            Err(e) => panic!("cannot start {name}: {e}; {}", crate::SETUP),
        };
        let mut server = Server { child, dir, port };
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if !matches!(server.child.try_wait(), Ok(None)) {
                break;
            }
            if answers(port) {
                let _ = std::fs::remove_file(server.data().join(".keep"));
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        log = server.log();
    }
    panic!("{name} does not start: {log}")
}

/// Writes a file, with the directories it wants.
#[track_caller]
fn write(path: &Path, content: &[u8]) {
    let parent = path.parent().unwrap_or(path);
    if let Err(e) = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(path, content)) {
        panic!("cannot write {}: {e}", path.display());
    }
}
