//! Servers of repot's own, in containers of their own: started, tied to this process, spoken to, stopped.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::host::ComposeHost;
use super::relay::{client_in, forget};
use crate::engine::postgres::session::{Connector, Session, StreamConnector};
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::exec::{Cmd, Held};
use crate::host::docker::{MountArg, RunSpec};
use crate::host::{Role, ServerSpec, Store};
use crate::interrupt;
use crate::progress::{Event, Observer};

/// How long a server may take to answer after its start; crash recovery of a large database takes minutes.
pub(super) const SERVER_START: Duration = Duration::from_mins(15);
/// How long a server may take to stop; a checkpoint of a large buffer pool takes minutes.
const SERVER_STOP_S: u64 = 600;

/// pg_hba.conf of a server of repot's own. `postmaster.opts` in the data directory names it, which tells whose
/// server was the last to open that data.
pub(super) const OWN_HBA: &str = "/tmp/repot_hba.conf";
/// What a server of repot's own begins with: it opens the data only once [`ComposeHost::hold`] has tied it to this
/// process, and gives up after a minute without.
pub(super) const START: &str = "set -e; printf 'local all all trust\\nhost all all 127.0.0.1/32 trust\\n' > /tmp/repot_hba.conf; \
    chmod 644 /tmp/repot_hba.conf; n=0; until [ -e /tmp/repot_held ]; do n=$((n + 1)); \
    if [ $n -gt 600 ]; then echo 'repot went away before the server was started' >&2; exit 1; fi; sleep 0.1; done; \
    exec docker-entrypoint.sh postgres \"$@\"";

/// What ties own servers to this process, by container name.
static LEASES: Mutex<BTreeMap<String, Held>> = Mutex::new(BTreeMap::new());

/// Lets a server of repot's own go: its lease ends.
pub(super) fn let_go(name: &str) {
    drop(LEASES.lock().ok().and_then(|mut all| all.remove(name)));
}

pub(super) fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 24];
    std::io::Read::read_exact(
        &mut std::fs::File::open("/dev/urandom").map_err(|e| Error::io("cannot open /dev/urandom", &e))?,
        &mut bytes,
    )
    .map_err(|e| Error::io("cannot read /dev/urandom", &e))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// A client program beside an own server, which asks for no password.
pub(super) fn own_client_in(
    relay: &str,
    superuser: &str,
    program: &str,
    args: &[String],
    env: &[(String, String)],
) -> Cmd {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    client_in(relay, (superuser, None), program, &args, &env)
}

/// A connector to an own server: makes its relay when the first connection needs it.
struct OwnServer {
    host: ComposeHost,
    role: Role,
    inner: StreamConnector,
}

impl Connector for OwnServer {
    fn connect(&self, database: &str) -> Result<Session> {
        self.host.own_relay(self.role)?;
        match self.inner.connect(database) {
            // The relay is gone, or its server is: the next attempt looks.
            Err(e) if e.to_string().contains("Error response from daemon") => {
                forget(&format!("{}-relay", self.host.server_name(self.role)));
                Err(e)
            }
            other => other,
        }
    }
    fn home_database(&self) -> &str {
        self.inner.home_database()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl ComposeHost {
    /// Ties the server to this process: when repot is gone, however it went, the server is asked to stop. Without
    /// this, somebody who starts the application by hand after a `kill -9` would open the data directory twice,
    /// and two servers in two containers do not see each other's lock. The container waits for it before it opens
    /// the data ([`START`]), so there is no moment without it; and it asks until it is heard, because the first
    /// process does not listen while the entrypoint still prepares the server.
    pub(super) fn hold(&self, name: &str) -> Result<()> {
        let script =
            "touch /tmp/repot_held; cat > /dev/null; while kill -INT 1 2>/dev/null; do sleep 1; done";
        let lease = Cmd::new("docker").args(["exec", "-i", name, "sh", "-c", script]).hold()?;
        if let Ok(mut all) = LEASES.lock() {
            all.insert(name.to_owned(), lease);
        }
        Ok(())
    }

    pub(super) fn start_own(&self, spec: &ServerSpec, observer: &dyn Observer) -> Result<()> {
        let name = self.server_name(spec.role);
        // A leftover of an earlier attempt is stopped cleanly, not killed: it may have the old data open.
        self.stop_own(spec.role)?;
        let source = match &spec.data.store {
            Store::Bind(p) | Store::Volume(p) => p.clone(),
        };
        let mut mounts = vec![MountArg {
            source,
            target: spec.data.target.clone(),
            options: spec.data.selinux.clone().unwrap_or_default(),
        }];
        // The only way in is the loopback of this container's own network namespace, which reaches nowhere; so
        // everybody who can get there is repot, and no password is needed, whatever pg_hba.conf says.
        if spec.role == Role::Old {
            mounts.extend(self.extras.mounts.iter().map(|(s, t)| MountArg {
                source: s.clone(),
                target: t.clone(),
                options: "ro".to_owned(),
            }));
        }
        let mut args = vec!["-c".to_owned(), START.to_owned(), "repot".to_owned()];
        if spec.role == Role::Old {
            args.extend(self.extras.arguments.iter().cloned());
        }
        for (k, v) in spec.settings.iter().chain([
            &("hba_file".to_owned(), OWN_HBA.to_owned()),
            &("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            &("port".to_owned(), "5432".to_owned()),
            &("ssl".to_owned(), "off".to_owned()),
        ]) {
            args.push("-c".to_owned());
            args.push(format!("{k}={v}"));
        }
        let mut env = vec![("PGDATA".to_owned(), spec.data.pgdata())];
        if let Some(init) = &spec.init {
            env.push(("POSTGRES_USER".to_owned(), spec.superuser.clone()));
            // Replaced by the old cluster's own verifier when the roles are restored.
            env.push(("POSTGRES_PASSWORD".to_owned(), random_password()?));
            env.push(("POSTGRES_DB".to_owned(), "postgres".to_owned()));
            env.push(("POSTGRES_INITDB_ARGS".to_owned(), init.initdb_args.join(" ")));
        }
        let run = RunSpec {
            image: spec.image.clone(),
            name: name.clone(),
            entrypoint: Some("bash".to_owned()),
            args,
            mounts,
            network: "none".to_owned(),
            user: self.extras.user.clone(),
            env,
            run: self.run.clone(),
            labels: vec![
                ("repot.role".to_owned(), spec.role.name().to_owned()),
                ("repot.project".to_owned(), self.at.name.clone()),
            ],
            detach: true,
            shm_size_bytes: self.extras.shm_size_bytes,
            ..RunSpec::default()
        };
        let out = run.cmd().uninterruptible().output()?;
        if !out.ok() {
            return Err(Error::failed(
                "server-start",
                format!("the {} server cannot be started from {}", spec.role.name(), spec.image),
            )
            .why(crate::exec::last_lines(&out.stderr, 4))
            .help(format!(
                "if the image is not here any more, `docker pull {}` (or `docker load`); then `repot resume`, or `repot rollback`",
                spec.image
            )));
        }
        self.hold(&name)?;
        let started = Instant::now();
        let connector = self.own_connector(spec.role, &spec.superuser);
        loop {
            interrupt::check()?;
            // template1 is in every cluster; `postgres` may have been dropped.
            let error = match connector.connect("template1") {
                Ok(_) => return Ok(()),
                Err(e) => e,
            };
            let gone = !self.own_running(spec.role)?;
            if gone || started.elapsed() > SERVER_START {
                let log = self.docker.logs(&name, 12);
                let e = Error::failed(
                    if speaks_of_full_disk(&log) { "disk-full" } else { "server-start" },
                    format!("the {} PostgreSQL server ({}) does not start", spec.role.name(), spec.image),
                )
                .why(if log.is_empty() { error.to_string() } else { log });
                return Err(e.help("correct what its log says, then `repot resume`; or `repot rollback`"));
            }
            // Anything but "not there yet" will not pass by waiting.
            if !error.retryable && error.code != "timeout" {
                return Err(error);
            }
            observer.event(Event::Progress {
                what: format!("waiting for the {} server", spec.role.name()),
                done_bytes: 0,
                total_bytes: 0,
            });
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    pub(super) fn own_running(&self, role: Role) -> Result<bool> {
        Ok(self.docker.container(&self.server_name(role))?.is_some_and(|c| c["State"]["Running"] == true))
    }

    pub(super) fn stop_own(&self, role: Role) -> Result<String> {
        let name = self.server_name(role);
        let lease = LEASES.lock().ok().and_then(|mut all| all.remove(&name));
        for relay in [format!("{name}-relay"), format!("{name}-own")] {
            forget(&relay);
            self.docker.remove_container(&relay)?;
        }
        let Some(c) = self.docker.container(&name)? else { return Ok(String::new()) };
        // First the lease: it asks again and again, while Docker asks once and waits, and the first process hears
        // nothing while the entrypoint still prepares the server.
        drop(lease);
        if c["State"]["Running"] == true {
            self.docker.stop(&name, SERVER_STOP_S)?;
        }
        // Its log goes with it, and it alone knows why a server did not stop as it should.
        let log = self.docker.logs(&name, 12);
        self.docker.remove_container(&name)?;
        Ok(log)
    }

    pub(super) fn own_connector(&self, role: Role, superuser: &str) -> Box<dyn Connector> {
        let inner = StreamConnector {
            carrier: Self::carrier(&format!("{}-relay", self.server_name(role)), "127.0.0.1"),
            user: superuser.to_owned(),
            password: None,
            home: "postgres".to_owned(),
            label: format!("the {} server", role.name()),
        };
        Box::new(OwnServer { host: self.clone(), role, inner })
    }
}
