//! [`Host`] for a Compose project.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data;
use super::project::ProjectRef;
use super::relay::{Guard, Use, forget_all};
use super::server::{OWN_HBA, own_client_in};
use crate::engine::postgres::clients::Clients;
use crate::engine::postgres::session::{Connector, Session, StreamConnector};
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::host::docker::{Docker, LABEL_RUN};
use crate::host::{DataLocation, DataState, Host, Role, ServerSpec, ServiceState, SetAside, Store};
use crate::interrupt;
use crate::progress::{Event, Observer};

/// The parts of the database service's definition that a server of repot's own needs too, fixed at plan time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceExtras {
    /// Mounts beside the data: source, target (mounted read-only for the old server).
    pub mounts: Vec<(String, String)>,
    /// Server arguments from `command:`, without the leading `postgres`.
    pub arguments: Vec<String>,
    /// `user:`.
    pub user: String,
    /// `shm_size:` in bytes.
    pub shm_size_bytes: Option<u64>,
}

/// A Compose project as a host, for one run.
#[derive(Debug, Clone)]
pub struct ComposeHost {
    pub(super) docker: Docker,
    pub(super) at: ProjectRef,
    pub(super) run: String,
    pub(super) service: String,
    pub(super) extras: ServiceExtras,
    /// The image whose programs work on own servers; empty for each server's own.
    pub(super) client_image: String,
}

impl ComposeHost {
    /// The host for run `run` on the project `at`, whose database is in `service`.
    #[must_use]
    pub fn new(
        at: ProjectRef,
        run: impl Into<String>,
        service: impl Into<String>,
        extras: ServiceExtras,
    ) -> Self {
        ComposeHost {
            docker: Docker,
            at,
            run: run.into(),
            service: service.into(),
            extras,
            client_image: String::new(),
        }
    }

    /// The same host with client programs from `image`: the newer of the two servers' images.
    #[must_use]
    pub fn with_clients(mut self, image: &str) -> Self {
        image.clone_into(&mut self.client_image);
        self
    }

    pub(super) fn server_name(&self, role: Role) -> String {
        format!("repot-{}-{}-{}", self.at.name, self.run, role.name())
    }

    fn inspect_services(&self, filter: Option<&str>) -> Result<Vec<Value>> {
        let mut filters = vec![
            format!("label=com.docker.compose.project={}", self.at.name),
            "label=com.docker.compose.oneoff=False".to_owned(),
        ];
        if let Some(s) = filter {
            filters.push(format!("label=com.docker.compose.service={s}"));
        }
        self.docker.inspect_containers(&self.docker.containers(&filters)?)
    }

    pub(super) fn database_container(&self) -> Result<String> {
        self.inspect_services(Some(&self.service))?
            .iter()
            .find(|c| c["State"]["Running"] == true)
            .and_then(|c| c["Id"].as_str().map(str::to_owned))
            .ok_or_else(|| {
                Error::failed("database-down", format!("the service {} is not running", self.service))
            })
    }
}

/// Different at every call, in every process.
pub(super) fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    (u64::from(std::process::id()) << 16) + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// A connector to the service, with the relay that it needs.
struct ServiceServer {
    inner: StreamConnector,
    _relay: Guard,
}

impl Connector for ServiceServer {
    fn connect(&self, database: &str) -> Result<Session> {
        self.inner.connect(database)
    }
    fn home_database(&self) -> &str {
        self.inner.home_database()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

fn service_state(service: &str, containers: &[&Value]) -> ServiceState {
    let restart = containers.first().map_or_else(String::new, |c| {
        let p = &c["HostConfig"]["RestartPolicy"];
        let name = p["Name"].as_str().unwrap_or("no");
        match p["MaximumRetryCount"].as_u64() {
            Some(n) if n > 0 => format!("{name}:{n}"),
            _ => name.to_owned(),
        }
    });
    ServiceState {
        service: service.to_owned(),
        containers: containers.iter().filter_map(|c| c["Id"].as_str().map(str::to_owned)).collect(),
        running: containers.iter().any(|c| c["State"]["Running"] == true),
        health: containers
            .iter()
            .filter_map(|c| c["State"]["Health"]["Status"].as_str())
            .find(|h| *h != "healthy")
            .or_else(|| containers.first().and_then(|c| c["State"]["Health"]["Status"].as_str()))
            .unwrap_or_default()
            .to_owned(),
        restart: if restart.is_empty() { "no".to_owned() } else { restart },
        restarts: containers.iter().filter_map(|c| c["RestartCount"].as_u64()).sum(),
        restarting: containers.iter().any(|c| c["State"]["Restarting"] == true),
    }
}

impl ComposeHost {
    /// What a command in the running service prints.
    pub(crate) fn ask_service(&self, service: &str, command: &[String], limit: Duration) -> Result<String> {
        let out = self.at.compose().args(["exec", "-T", service]).args(command).timeout(limit).run()?;
        Ok(out.text())
    }
}

impl Host for ComposeHost {
    fn services(&self) -> Result<Vec<ServiceState>> {
        let all = self.inspect_services(None)?;
        let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for c in &all {
            if let Some(s) = c["Config"]["Labels"]["com.docker.compose.service"].as_str() {
                by_name.entry(s).or_default().push(c);
            }
        }
        Ok(by_name.iter().map(|(s, c)| service_state(s, c)).collect())
    }

    fn stop_services(
        &self,
        services: &[ServiceState],
        timeout_s: u64,
        observer: &dyn Observer,
    ) -> Result<()> {
        let ids: Vec<&str> = services.iter().flat_map(|s| s.containers.iter().map(String::as_str)).collect();
        if !ids.is_empty() {
            // A container with `restart: always` comes back when the daemon restarts, say after a power cut in
            // the middle of the run, and would open the very data directory that is being moved.
            Cmd::new("docker").args(["update", "--restart=no"]).args(&ids).uninterruptible().run()?;
        }
        let names: Vec<&str> = services.iter().map(|s| s.service.as_str()).collect();
        for n in &names {
            observer.event(Event::Progress { what: format!("stopping {n}"), done_bytes: 0, total_bytes: 0 });
        }
        if names.is_empty() {
            return Ok(());
        }
        let mut c = self.at.compose().arg("stop");
        if timeout_s > 0 {
            c = c.args(["-t", &timeout_s.to_string()]);
        }
        c.args(&names).run().map(drop)?;
        if let Some(s) = self.services()?.iter().find(|s| s.running && names.contains(&s.service.as_str())) {
            return Err(Error::failed("still-running", format!("the service {} did not stop", s.service))
                .help("find out what starts it again, stop that, then run `repot resume`"));
        }
        Ok(())
    }

    fn restore_restart_policies(&self, services: &[ServiceState]) -> Result<()> {
        let now = self.services()?;
        for s in services.iter().filter(|s| s.restart != "no") {
            // By name, not by container: one may have been made anew since, and then stopped again. A new one that
            // has the policy of its file is left alone.
            for n in now.iter().filter(|n| n.service == s.service && n.restart == "no") {
                let policy = format!("--restart={}", s.restart);
                Cmd::new("docker").args(["update", &policy]).args(&n.containers).run()?;
            }
        }
        Ok(())
    }

    fn start_services(
        &self,
        names: &[String],
        with_dependencies: bool,
        observer: &dyn Observer,
    ) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        observer.event(Event::Progress {
            what: format!("starting {}", names.join(", ")),
            done_bytes: 0,
            total_bytes: 0,
        });
        let mut c = self.at.compose().args(["up", "-d", "--no-build"]);
        if !with_dependencies {
            c = c.arg("--no-deps");
        }
        let project = self.at.load()?;
        for s in self.services()?.iter().filter(|s| names.contains(&s.service)) {
            // Somebody scaled it by hand: stopped containers still tell to how many.
            let wanted = project.services.get(&s.service).map_or(1, |p| p.replicas);
            if !s.containers.is_empty() && s.containers.len() as u64 != wanted {
                c = c.arg("--scale").arg(format!("{}={}", s.service, s.containers.len()));
            }
        }
        let out = c.args(names).output()?;
        if out.ok() {
            return Ok(());
        }
        Err(Error::failed("start-failed", format!("Compose could not start {}", names.join(", ")))
            .why(crate::exec::last_lines(&out.stderr, 6))
            .help(format!("look at `docker compose logs {}`", names.join(" "))))
    }

    fn create_services(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        self.at.compose().args(["up", "--no-start", "--no-build", "--no-deps"]).args(names).run().map(drop)
    }

    fn wait_healthy(&self, names: &[String], timeout_s: u64, observer: &dyn Observer) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(timeout_s);
        let mut calm_since: Option<(Instant, u64)> = None;
        loop {
            interrupt::check()?;
            let services = self.services()?;
            let wanted: Vec<&ServiceState> = services.iter().filter(|s| names.contains(&s.service)).collect();
            let missing = names.iter().find(|n| !wanted.iter().any(|s| s.service == **n));
            let ill = wanted
                .iter()
                .find(|s| !s.running || s.restarting || !(s.health.is_empty() || s.health == "healthy"));
            let restarts: u64 = wanted.iter().map(|s| s.restarts).sum();
            match (missing, ill) {
                (None, None) => {
                    // Without a health check, "runs" is all that Docker knows: it must at least run on for a moment.
                    let steady = if wanted.iter().all(|s| !s.health.is_empty()) { 0 } else { 2 };
                    match calm_since {
                        Some((since, r)) if r == restarts => {
                            if since.elapsed() >= Duration::from_secs(steady) {
                                return Ok(());
                            }
                        }
                        _ => calm_since = Some((Instant::now(), restarts)),
                    }
                }
                _ => calm_since = None,
            }
            let waiting = missing.cloned().or_else(|| ill.map(|s| s.service.clone()));
            let finished_badly = ill.is_some_and(|s| !s.running && !s.restarting && s.restart == "no");
            if Instant::now() > deadline || finished_badly {
                let name = waiting.unwrap_or_else(|| names.join(", "));
                let state = services.iter().find(|s| s.service == name).map_or(
                    "it has no container".to_owned(),
                    |s| {
                        let health = if s.health.is_empty() { "no health check" } else { s.health.as_str() };
                        format!("running: {}, health: {health}, restarts: {}", s.running, s.restarts)
                    },
                );
                let log = services
                    .iter()
                    .find(|s| s.service == name)
                    .and_then(|s| s.containers.first())
                    .map_or_else(String::new, |c| self.docker.logs(c, 8));
                return Err(Error::failed(
                    "unhealthy",
                    format!("the service {name} is not well after {timeout_s} s"),
                )
                .why(format!("{state}\n{log}"))
                .help("correct what its log complains of, then `repot resume`; or `repot rollback`"));
            }
            if let Some(w) = waiting {
                observer.event(Event::Progress {
                    what: format!("waiting for {w}"),
                    done_bytes: 0,
                    total_bytes: 0,
                });
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn run_in_service(
        &self,
        service: &str,
        command: &[String],
        env: &[(String, String)],
        observer: &dyn Observer,
    ) -> Result<String> {
        let mut c =
            self.at.compose().args(["run", "--rm", "-T", "--label"]).arg(format!("{LABEL_RUN}={}", self.run));
        c = c.args(["--label", "repot.role=helper"]);
        for (k, v) in env {
            c = c.arg("-e").arg(format!("{k}={v}"));
        }
        let c = c.arg(service).args(command);
        let mut last = String::new();
        let mut all: Vec<u8> = Vec::new();
        let (status, stderr) = c.pump(None, &mut |chunk| {
            if all.len() < 1 << 20 {
                all.extend_from_slice(chunk);
            }
            if let Some(line) = String::from_utf8_lossy(chunk).lines().rev().find(|l| !l.trim().is_empty()) {
                last = line.trim().chars().take(70).collect();
                observer.event(Event::Progress { what: last.clone(), done_bytes: 0, total_bytes: 0 });
            }
            Ok(())
        })?;
        let text = String::from_utf8_lossy(&all).into_owned();
        if status.success() {
            return Ok(text);
        }
        let said = crate::exec::last_lines(&format!("{text}\n{stderr}"), 12);
        Err(Error::failed(
            "update-failed",
            format!("`{}` in {service} ended with {status}", command.join(" ")),
        )
        .why(said)
        .help(
            "correct what it complains of, then `repot resume`; or `repot rollback` to be where you started",
        ))
    }

    fn exec_in_service(&self, service: &str, command: &[String], timeout_s: u64) -> Result<()> {
        let limit = Duration::from_secs(timeout_s.max(1));
        self.at.compose().args(["exec", "-T", service]).args(command).timeout(limit).run().map(drop)
    }

    fn start_server(&self, spec: &ServerSpec, observer: &dyn Observer) -> Result<()> {
        self.start_own(spec, observer)
    }

    fn server_running(&self, role: Role) -> Result<bool> {
        self.own_running(role)
    }

    fn stop_server(&self, role: Role) -> Result<String> {
        self.stop_own(role)
    }

    fn server_connector(&self, role: Role, superuser: &str) -> Box<dyn Connector> {
        self.own_connector(role, superuser)
    }

    fn client(
        &self,
        role: Role,
        superuser: &str,
        program: &str,
        args: &[String],
        env: &[(String, String)],
    ) -> Result<Cmd> {
        let relay = self.own_relay(role)?;
        Ok(own_client_in(&relay, superuser, program, args, env))
    }

    fn own_client(
        &self,
        role: Role,
        superuser: &str,
        program: &str,
        args: &[String],
        env: &[(String, String)],
    ) -> Result<Cmd> {
        let server = self.server_name(role);
        let relay = format!("{server}-own");
        self.relay(&relay, &server, None, "infinity", Use::Streams)?;
        Ok(own_client_in(&relay, superuser, program, args, env))
    }

    fn service_connector(
        &self,
        user: &str,
        password: Option<&str>,
        database: &str,
    ) -> Result<Box<dyn Connector>> {
        let relay = self.service_relay()?;
        let inner = StreamConnector {
            carrier: Self::carrier(&relay.name, "127.0.0.1"),
            user: user.to_owned(),
            password: password.map(SecretString::from),
            home: database.to_owned(),
            label: format!("the service {}", self.service),
        };
        Ok(Box::new(ServiceServer { inner, _relay: relay }))
    }

    fn beside_service(
        &self,
        user: &str,
        password: Option<&str>,
        home: &str,
    ) -> Result<(Box<dyn Connector>, Box<dyn Clients>)> {
        super::beside::beside_service(self, user, password, home)
    }

    fn read_tree(&self, image: &str, at: &DataLocation) -> Cmd {
        data::read_tree(&self.run, image, at)
    }

    fn login_as_application(&self, user: &str, password: &str, database: &str) -> Result<()> {
        let relay = self.service_relay()?;
        // Through the container's own network address rather than loopback: the pg_hba.conf line that the
        // application's connections meet, not the one that trusts everybody inside the container.
        let connector = StreamConnector {
            carrier: Self::carrier(&relay.name, "$(hostname -i | cut -d' ' -f1)"),
            user: user.to_owned(),
            password: Some(SecretString::from(password)),
            home: database.to_owned(),
            label: format!("the service {} as {user}", self.service),
        };
        connector.connect(database)?.execute("SELECT 1")
    }

    fn data_state(&self, image: &str, at: &DataLocation) -> Result<DataState> {
        data::look(&self.docker, &self.run, image, at)
    }
    fn read_data_file(&self, image: &str, at: &DataLocation, name: &str) -> Result<Option<Vec<u8>>> {
        data::read_file(&self.docker, &self.run, image, at, name)
    }
    fn write_data_file(&self, image: &str, at: &DataLocation, name: &str, content: &[u8]) -> Result<()> {
        data::write_file(&self.docker, &self.run, image, at, name, content)
    }
    fn foreign_server_on(&self, image: &str, at: &DataLocation) -> Result<bool> {
        if let Store::Volume(v) = &at.store
            && self.docker.volume(v)?.is_none()
        {
            return Ok(false);
        }
        let opts = self.read_data_file(image, at, "postmaster.opts")?;
        Ok(opts.is_some_and(|o| !String::from_utf8_lossy(&o).contains(OWN_HBA)))
    }
    fn sync_data(&self, image: &str, at: &DataLocation) -> Result<()> {
        data::sync(&self.docker, &self.run, image, at)
    }
    fn set_aside(&self, image: &str, how: &SetAside) -> Result<()> {
        data::set_aside(&self.docker, &self.run, image, how)
    }
    fn is_set_aside(&self, image: &str, how: &SetAside) -> Result<bool> {
        data::is_set_aside(&self.docker, &self.run, image, how)
    }
    fn put_back(&self, image: &str, how: &SetAside, keep_new: bool) -> Result<()> {
        data::put_back(&self.docker, &self.run, image, how, keep_new)
    }
    fn old_data_present(&self, image: &str, how: &SetAside, inner: &str, major: u32) -> Result<bool> {
        data::old_present(&self.docker, &self.run, image, how, inner, major)
    }
    fn clear_new(&self, image: &str, how: &SetAside) -> Result<()> {
        data::clear_new(&self.docker, &self.run, image, how)
    }
    fn set_aside_sizes(&self, image: &str, how: &SetAside, live: Role) -> Result<Vec<(String, u64)>> {
        data::sizes(&self.docker, &self.run, image, how, live)
    }
    fn remove_set_aside(&self, image: &str, how: &SetAside, live: Role) -> Result<()> {
        data::remove(&self.docker, &self.run, image, how, live)
    }

    fn end_leftovers(&self) -> Result<()> {
        forget_all();
        let filters = [format!("label={LABEL_RUN}={}", self.run), "label=repot.role=helper".to_owned()];
        for id in self.docker.containers(&filters)? {
            self.docker.remove_container(&id)?;
        }
        Ok(())
    }

    fn image_present(&self, reference: &str) -> Result<Option<(String, Option<String>)>> {
        Ok(self.docker.image(reference)?.map(|i| (i.id, i.repo_digests.into_iter().next())))
    }
    fn fetch_image(&self, reference: &str, observer: &dyn Observer) -> Result<()> {
        self.docker.pull(reference, observer)
    }
    fn resolved_configuration(&self) -> Result<Value> {
        Ok(self.at.load()?.resolved)
    }
    fn directory(&self) -> PathBuf {
        self.at.dir.clone()
    }
}
