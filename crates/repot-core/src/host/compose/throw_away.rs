//! A server that is made for one look at a backup set, and is gone afterwards; here PostgreSQL's, and what is common to
//! all.
//!
//! It has no network, no mount and no name that anything knows; what it writes goes with its container, also when repot
//! is killed: its lease ends, it stops, and Docker removes it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::beside::beside;
use super::host::{ComposeHost, ServiceExtras};
use super::project::ProjectRef;
use super::relay::{Guard, Use};
use super::server::{OWN_HBA, SERVER_START, START, let_go, random_password};
use crate::engine::postgres::clients::Clients;
use crate::engine::postgres::session::Connector;
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::host::Role;
use crate::host::docker::{Docker, RunSpec};
use crate::interrupt;
use crate::progress::{Event, Observer};

/// Sessions and client programs beside a server.
pub type Beside = (Box<dyn Connector>, Box<dyn Clients>);

/// Removes the server's container when it is dropped.
#[derive(Debug)]
pub struct ThrowAway {
    name: String,
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        let_go(&self.name);
        // Its lease stops it too, and Docker removes what has stopped.
        let _ = Docker.remove_container(&self.name);
    }
}

/// What such a server is started with.
pub(super) struct Start<'a> {
    pub(super) image: &'a str,
    /// A script of bash, the container's first process. It waits for [`ComposeHost::hold`], and SIGINT ends it.
    pub(super) script: &'a str,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) run: &'a str,
    /// As `--user`; empty for the image's own.
    pub(super) user: &'a str,
}

impl Start<'_> {
    fn failed(&self, why: String) -> Error {
        let code = if speaks_of_full_disk(&why) { "disk-full" } else { "server-start" };
        Error::failed(code, format!("no throw-away server can be started from {}", self.image)).why(why)
    }

    /// Starts it, tied to this process; a helper container beside it too. To be called from a thread that
    /// lives as long as the process.
    pub(super) fn start(&self, observer: &dyn Observer) -> Result<(ThrowAway, Guard)> {
        Docker.ping()?;
        if Docker.image(self.image)?.is_none() {
            Docker.pull(self.image, observer)?;
        }
        let at = ProjectRef {
            name: "verify".to_owned(),
            dir: PathBuf::new(),
            files: Vec::new(),
            env_file: None,
            profiles: Vec::new(),
        };
        let host = ComposeHost::new(at, self.run, "", ServiceExtras::default());
        let name = host.server_name(Role::New);
        let mut args = vec!["-c".to_owned(), self.script.to_owned(), "repot".to_owned()];
        args.extend(self.args.iter().cloned());
        let spec = RunSpec {
            image: self.image.to_owned(),
            name: name.clone(),
            entrypoint: Some("bash".to_owned()),
            args,
            network: "none".to_owned(),
            user: self.user.to_owned(),
            env: self.env.clone(),
            run: self.run.to_owned(),
            labels: vec![("repot.role".to_owned(), "drill".to_owned())],
            detach: true,
            remove: true,
            ..RunSpec::default()
        };
        let out = spec.cmd().uninterruptible().output()?;
        if !out.ok() {
            return Err(self.failed(crate::exec::last_lines(&out.stderr, 4)));
        }
        let server = ThrowAway { name: name.clone() };
        host.hold(&name)?;
        let helper = host.helper_beside(&name, Use::Streams)?;
        Ok((server, helper))
    }

    /// Waits until the server answers.
    pub(super) fn wait(
        &self,
        server: &ThrowAway,
        answers: &dyn Fn() -> Result<()>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            // The log goes with the container, so the last that is seen of it is kept.
            let log = Docker.logs(&server.name, 12);
            let Err(error) = answers() else { return Ok(()) };
            let running = Docker.container(&server.name)?.is_some_and(|c| c["State"]["Running"] == true);
            if !running || started.elapsed() > SERVER_START {
                return Err(self.failed(if log.is_empty() { error.to_string() } else { log }));
            }
            if !error.retryable && error.code != "timeout" {
                return Err(error);
            }
            let what = "waiting for the throw-away server".to_owned();
            observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
            std::thread::sleep(Duration::from_millis(150));
        }
    }
}

/// Starts a server of PostgreSQL from `image`, with sessions and client programs beside it. `superuser` owns what every
/// server has, so it has to be that of the set's server. To be called from a thread that lives as long as the process.
pub fn throw_away(
    image: &str,
    superuser: &str,
    run: &str,
    observer: &dyn Observer,
) -> Result<(ThrowAway, Beside)> {
    let hba = format!("hba_file={OWN_HBA}");
    // Nothing of it is to survive anything.
    let settings = [
        hba.as_str(),
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "max_wal_size=2GB",
        "autovacuum=off",
    ];
    let env = [
        ("PGDATA", "/var/lib/postgresql/repot-drill".to_owned()),
        ("POSTGRES_USER", superuser.to_owned()),
        ("POSTGRES_PASSWORD", random_password()?),
        ("POSTGRES_DB", "postgres".to_owned()),
    ];
    let start = Start {
        image,
        script: START,
        args: settings.iter().flat_map(|s| ["-c".to_owned(), (*s).to_owned()]).collect(),
        env: env.map(|(k, v)| (k.to_owned(), v)).to_vec(),
        run,
        user: "",
    };
    let (server, helper) = start.start(observer)?;
    let (connector, clients) =
        beside(helper, "the throw-away server".to_owned(), superuser, None, "postgres")?;
    start.wait(&server, &|| connector.connect("template1").map(drop), observer)?;
    Ok((server, (connector, clients)))
}
