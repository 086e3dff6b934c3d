//! Helper containers beside a server: connections are carried through them, and client programs run in them.
//!
//! Nothing is ever run by `docker exec` in the server's own container: a process that is orphaned there becomes a child
//! of process 1, the postmaster, and when it dies of a signal the postmaster takes it for a crashed backend and restarts
//! every connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::host::{ComposeHost, unique};
use super::pipes;
use crate::engine::postgres::clients::READ_WRITE;
use crate::error::{Error, Result};
use crate::exec::{Cmd, Pipes};
use crate::host::Role;
use crate::host::docker::{Docker, RunSpec};

/// Relays that this process has found in order, with the pipes that they mount: asking Docker again before each of
/// hundreds of connections would cost more than the connections.
static SEEN: Mutex<BTreeMap<String, Option<Arc<Pipes>>>> = Mutex::new(BTreeMap::new());

fn seen(relay: &str) -> bool {
    SEEN.lock().is_ok_and(|s| s.contains_key(relay))
}

fn remember(relay: &str, pipes: Option<Arc<Pipes>>) {
    if let Ok(mut s) = SEEN.lock() {
        s.insert(relay.to_owned(), pipes);
    }
}

/// The pipes that a relay mounts.
fn pipes_of(relay: &str) -> Option<Arc<Pipes>> {
    SEEN.lock().ok()?.get(relay)?.clone()
}

pub(super) fn forget(relay: &str) {
    if let Ok(mut s) = SEEN.lock() {
        s.remove(relay);
    }
}

pub(super) fn forget_all() {
    if let Ok(mut s) = SEEN.lock() {
        s.clear();
    }
}

/// Removes a helper container when it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        forget(&self.name);
        // It has an end of its own, so a failure here is not for ever.
        let _ = Docker.remove_container(&self.name);
    }
}

/// Who makes a relay, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Connections, and programs that say little.
    Sessions,
    /// Dumps and loads too.
    Streams,
}

impl ComposeHost {
    /// A helper container in the network of `server`; made when it is not there. `life_s` bounds how long it may outlive a
    /// process that was killed.
    pub(super) fn relay(
        &self,
        name: &str,
        server: &str,
        image: Option<&str>,
        life_s: &str,
        used: Use,
    ) -> Result<()> {
        static MAKING: Mutex<()> = Mutex::new(());
        // Several threads connect at once, and the first of them makes it.
        let _one = MAKING.lock();
        if seen(name) {
            return Ok(());
        }
        let Some(target) = Docker.container(server)? else {
            return Err(Error::failed("server-gone", format!("the container {server} is gone")).retryable());
        };
        let network = format!("container:{}", target["Id"].as_str().unwrap_or_default());
        let image = image.or(target["Image"].as_str()).unwrap_or_default();
        if let Some(c) = Docker.container(name)? {
            if c["State"]["Running"] == true && c["HostConfig"]["NetworkMode"] == network.as_str() {
                // It mounts the pipes of an earlier process, if any.
                remember(name, None);
                return Ok(());
            }
            Docker.remove_container(name)?;
        }
        let pipes = if used == Use::Streams { pipes::shared(image, &self.run) } else { None };
        let spec = RunSpec {
            image: image.to_owned(),
            name: name.to_owned(),
            entrypoint: Some("bash".to_owned()),
            // bash as process 1 reaps what connections leave behind.
            args: vec!["-c".to_owned(), format!("trap exit TERM; sleep {life_s} & wait")],
            pipes: pipes.clone(),
            network,
            run: self.run.clone(),
            labels: vec![
                ("repot.role".to_owned(), "helper".to_owned()),
                ("repot.project".to_owned(), self.at.name.clone()),
            ],
            detach: true,
            remove: true,
            ..RunSpec::default()
        };
        let out = spec.cmd().uninterruptible().output()?;
        if out.ok() {
            remember(name, pipes);
            return Ok(());
        }
        Err(Error::failed("relay", format!("no helper container can be started beside {server}"))
            .why(crate::exec::last_lines(&out.stderr, 3))
            .retryable())
    }

    /// Carries one connection: bash opens it itself, so the image needs no client at all, and `cat` is in every
    /// image.
    pub(super) fn carrier(relay: &str, host: &str) -> Cmd {
        let script = format!("exec 3<>/dev/tcp/{host}/5432 || exit 1; cat <&3 & cat >&3; kill $!");
        Cmd::new("docker").args(["exec", "-i", relay, "bash", "-c", &script])
    }

    /// The relay beside an own server; client programs run in it too.
    pub(super) fn own_relay(&self, role: Role) -> Result<String> {
        let server = self.server_name(role);
        let name = format!("{server}-relay");
        let image = Some(self.client_image.as_str()).filter(|i| !i.is_empty());
        self.relay(&name, &server, image, "infinity", Use::Streams)?;
        Ok(name)
    }

    /// A relay beside the service's container, removed when the connector is.
    pub(super) fn service_relay(&self) -> Result<Guard> {
        self.service_helper(Use::Sessions)
    }

    /// A helper container beside the service's, with a name of its own.
    pub(super) fn service_helper(&self, used: Use) -> Result<Guard> {
        self.helper_beside(&self.database_container()?, used)
    }

    /// A helper container beside another one, with a name of its own.
    pub(super) fn helper_beside(&self, container: &str, used: Use) -> Result<Guard> {
        let name = format!("repot-{}-{}-relay-{:x}", self.at.name, self.run, unique());
        // An hour; a week, where something long may go on.
        let life_s = match used {
            Use::Sessions => "3600",
            Use::Streams => "604800",
        };
        self.relay(&name, container, None, life_s, used)?;
        Ok(Guard { name })
    }
}

/// A program in a relay. Values of `env` travel in the environment of the docker command, not in its arguments.
pub(super) fn program_in(relay: &str, program: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
    let exec = Cmd::new("docker").args(["exec", "-i"]);
    let c = env.iter().fold(exec, |c, (k, v)| c.args(["-e", k]).env(k, v));
    c.arg(relay).pipes(pipes_of(relay), None).arg(program).args(args)
}

/// A client program of PostgreSQL in a relay, talking to the server beside it.
pub(super) fn client_in(
    relay: &str,
    (user, password): (&str, Option<&str>),
    program: &str,
    args: &[&str],
    env: &[(&str, &str)],
) -> Cmd {
    let mut all = vec![
        ("PGHOST", "127.0.0.1"),
        ("PGUSER", user),
        ("PGOPTIONS", READ_WRITE),
        ("PGDATABASE", "postgres"),
    ];
    all.extend(password.map(|p| ("PGPASSWORD", p)));
    all.extend(env.iter().copied());
    program_in(relay, program, args, &all)
}
