//! Where an application runs, and what can be done to it there.
//!
//! The steps of an upgrade speak to a [`Host`]; a Compose project is one, Debian clusters and bare URLs are to
//! be others. Every method is idempotent: a step that was cut off is simply applied again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::postgres::clients::Clients;
use crate::engine::postgres::session::Connector;
use crate::error::Result;
use crate::exec::Cmd;
use crate::progress::Observer;

pub mod compose;
pub mod docker;

/// Exit status of [`Host::read_tree`]'s command where the directory is not there.
pub const NO_TREE: i32 = 44;
/// Exit status of [`Host::read_tree`]'s command where the image has no GNU tar.
pub const NO_TAR: i32 = 45;

/// Which of the two servers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The server the data comes from.
    Old,
    /// The server it goes to.
    New,
}

impl Role {
    /// `old` or `new`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Old => "old",
            Role::New => "new",
        }
    }
}

/// Where a server's data directory is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLocation {
    /// What is mounted.
    pub store: Store,
    /// Path of the mount inside the container.
    pub target: String,
    /// The data directory below the mount; empty when it is the mount itself.
    pub subdir: String,
    /// SELinux flag of the mount.
    pub selinux: Option<String>,
}

/// What holds a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum Store {
    /// A directory of the Docker host.
    Bind(String),
    /// A named volume, by its real name.
    Volume(String),
}

impl DataLocation {
    /// PGDATA inside the container.
    #[must_use]
    pub fn pgdata(&self) -> String {
        if self.subdir.is_empty() { self.target.clone() } else { format!("{}/{}", self.target, self.subdir) }
    }
    /// The location in words: a host path or a volume with a path.
    #[must_use]
    pub fn describe(&self) -> String {
        let below = if self.subdir.is_empty() { String::new() } else { format!("/{}", self.subdir) };
        match &self.store {
            Store::Bind(path) => format!("{path}{below}"),
            Store::Volume(v) if below.is_empty() => format!("volume {v}"),
            Store::Volume(v) => format!("volume {v}, directory {}", &below[1..]),
        }
    }
}

/// What a data directory looks like from outside, server running or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataState {
    /// Content of PG_VERSION; none: not a data directory.
    pub major: Option<u32>,
    /// Whether there is anything in it.
    pub exists: bool,
    /// The cluster state of pg_control.
    pub cluster: Option<ClusterState>,
    /// Size in bytes, as `du` counts.
    pub size_bytes: u64,
    /// Free bytes on its filesystem for an ordinary user.
    pub free_bytes: u64,
    /// Owner and mode of the directory, `999:999 700`.
    pub owner_mode: String,
    /// Tablespaces: names below pg_tblspc.
    pub tablespaces: Vec<String>,
    /// Whether pg_wal is a symbolic link, and where to.
    pub wal_link: Option<String>,
    /// Whether the directory could be written by a root container.
    pub writable: bool,
}

/// Cluster state in `global/pg_control` (src/include/catalog/pg_control.h, `DBState`), the same in every
/// supported version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterState {
    /// `starting up`
    Startup,
    /// `shut down`
    ShutDown,
    /// `shut down in recovery`
    ShutDownInRecovery,
    /// `shutting down`
    ShuttingDown,
    /// `in crash recovery`
    CrashRecovery,
    /// `in archive recovery`
    ArchiveRecovery,
    /// `in production`
    InProduction,
}

impl ClusterState {
    /// From the number in pg_control.
    #[must_use]
    pub fn from_number(n: u32) -> Option<Self> {
        use ClusterState as S;
        [
            S::Startup,
            S::ShutDown,
            S::ShutDownInRecovery,
            S::ShuttingDown,
            S::CrashRecovery,
            S::ArchiveRecovery,
            S::InProduction,
        ]
        .get(usize::try_from(n).ok()?)
        .copied()
    }
    /// In pg_controldata's words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            ClusterState::Startup => "starting up",
            ClusterState::ShutDown => "shut down",
            ClusterState::ShutDownInRecovery => "shut down in recovery",
            ClusterState::ShuttingDown => "shutting down",
            ClusterState::CrashRecovery => "in crash recovery",
            ClusterState::ArchiveRecovery => "in archive recovery",
            ClusterState::InProduction => "in production",
        }
    }
}

/// A server that repot runs for itself, reachable by nobody else.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Old or new.
    pub role: Role,
    /// Image or binaries to run.
    pub image: String,
    /// Where its data is.
    pub data: DataLocation,
    /// `-c` settings.
    pub settings: Vec<(String, String)>,
    /// Makes an empty data directory into a cluster first.
    pub init: Option<InitSpec>,
    /// Superuser to log in as.
    pub superuser: String,
}

/// How to initialise a new cluster so that it matches the old one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InitSpec {
    /// Arguments for initdb, such as `--data-checksums`.
    pub initdb_args: Vec<String>,
}

/// How the old data is kept while the new takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum SetAside {
    /// A directory is renamed beside itself, within `parent`, on the same filesystem.
    Rename {
        /// What to mount to reach both names.
        parent: Store,
        /// The directory's name below `parent`.
        name: String,
        /// The name that the old data gets.
        aside: String,
        /// The name that the new data gets if a rollback must keep it.
        new_aside: String,
    },
    /// The old volume keeps its name; a new one takes its place in the Compose file.
    NewVolume {
        /// Real name of the old volume.
        old: String,
        /// Real name of the new one.
        new: String,
        /// Labels for the new one, so that Compose accepts it as its own.
        labels: Vec<(String, String)>,
    },
}

/// A service as it was before the run touched it; enough to bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Service name.
    pub service: String,
    /// Container ids.
    pub containers: Vec<String>,
    /// Whether any was running.
    pub running: bool,
    /// Docker's word for its health: `healthy`, `unhealthy`, `starting`, or empty without a health check.
    pub health: String,
    /// Restart policy of the containers, such as `unless-stopped` or `on-failure:3`.
    pub restart: String,
    /// How often Docker restarted it.
    pub restarts: u64,
    /// Whether a container is in a restart loop.
    pub restarting: bool,
}

/// One place an application runs.
pub trait Host: Send + Sync {
    /// The services as they are now.
    fn services(&self) -> Result<Vec<ServiceState>>;
    /// Stops services, each within `timeout_s` (0: the Compose file's own grace period), and sees to it that nothing (a daemon restart, an orchestrator) starts them again.
    fn stop_services(&self, services: &[ServiceState], timeout_s: u64, observer: &dyn Observer)
    -> Result<()>;
    /// Gives services the restart policy back that [`Host::stop_services`] took.
    fn restore_restart_policies(&self, services: &[ServiceState]) -> Result<()>;
    /// Starts services with the configuration that is on disk now.
    fn start_services(
        &self,
        names: &[String],
        with_dependencies: bool,
        observer: &dyn Observer,
    ) -> Result<()>;
    /// Makes the containers of services anew as the configuration on disk says, and leaves them stopped.
    fn create_services(&self, names: &[String]) -> Result<()>;
    /// Waits until services run and their health checks pass.
    fn wait_healthy(&self, names: &[String], timeout_s: u64, observer: &dyn Observer) -> Result<()>;
    /// Runs a command in a new, short-lived instance of a service.
    fn run_in_service(
        &self,
        service: &str,
        command: &[String],
        env: &[(String, String)],
        observer: &dyn Observer,
    ) -> Result<String>;
    /// Runs a command in the running service.
    fn exec_in_service(&self, service: &str, command: &[String], timeout_s: u64) -> Result<()>;

    /// Starts a server of repot's own that nobody else can reach, and waits until it answers.
    fn start_server(&self, spec: &ServerSpec, observer: &dyn Observer) -> Result<()>;
    /// Whether that server runs.
    fn server_running(&self, role: Role) -> Result<bool>;
    /// Stops it cleanly and removes it (never its data); returns the last lines of its log. Not running is fine.
    fn stop_server(&self, role: Role) -> Result<String>;
    /// Sessions with it.
    fn server_connector(&self, role: Role, superuser: &str) -> Box<dyn Connector>;
    /// A client program (pg_dump, pg_restore, psql, pg_dumpall) of the newer server's version, talking to that
    /// server as `superuser`.
    fn client(
        &self,
        role: Role,
        superuser: &str,
        program: &str,
        args: &[String],
        env: &[(String, String)],
    ) -> Result<Cmd>;
    /// As [`Host::client`], but of that server's own version.
    fn own_client(
        &self,
        role: Role,
        superuser: &str,
        program: &str,
        args: &[String],
        env: &[(String, String)],
    ) -> Result<Cmd>;
    /// Sessions with the application's database service as it runs now.
    fn service_connector(
        &self,
        user: &str,
        password: Option<&str>,
        database: &str,
    ) -> Result<Box<dyn Connector>>;
    /// Sessions with the service as it runs now, and client programs of its own version beside it, for work that takes
    /// long. To be called from a thread that lives as long as the process.
    fn beside_service(
        &self,
        user: &str,
        password: Option<&str>,
        home: &str,
    ) -> Result<(Box<dyn Connector>, Box<dyn Clients>)>;
    /// A command that writes a tar of a directory to its standard output, in the format of pax, names from `./` on. It
    /// ends with [`NO_TREE`] when there is no such directory, with 1 when something changed while it was read.
    fn read_tree(&self, image: &str, data: &DataLocation) -> Cmd;
    /// Logs in over the network, as the application does, and runs `SELECT 1`.
    fn login_as_application(&self, user: &str, password: &str, database: &str) -> Result<()>;

    /// Looks at a data directory.
    fn data_state(&self, image: &str, data: &DataLocation) -> Result<DataState>;
    /// Reads a file of a data directory; `None` when there is none.
    fn read_data_file(&self, image: &str, data: &DataLocation, name: &str) -> Result<Option<Vec<u8>>>;
    /// Writes a file of a data directory, keeping owner and mode of the one it replaces.
    fn write_data_file(&self, image: &str, data: &DataLocation, name: &str, content: &[u8]) -> Result<()>;
    /// Whether the server that last ran on this data was not one of repot's own ([`Host::start_server`]): somebody
    /// has started the service, and may have written. No server at all is `false`.
    fn foreign_server_on(&self, image: &str, data: &DataLocation) -> Result<bool>;
    /// Flushes a data directory to disk.
    fn sync_data(&self, image: &str, data: &DataLocation) -> Result<()>;
    /// Sets the old data aside.
    fn set_aside(&self, image: &str, how: &SetAside) -> Result<()>;
    /// Whether the old data is set aside.
    fn is_set_aside(&self, image: &str, how: &SetAside) -> Result<bool>;
    /// Whether the old data (PG_VERSION says `major`, in `inner` below the unit that is set aside) is still there,
    /// aside or in its place.
    fn old_data_present(&self, image: &str, how: &SetAside, inner: &str, major: u32) -> Result<bool>;
    /// Brings the old data back in place; new data is kept beside it when `keep_new`, else removed.
    fn put_back(&self, image: &str, how: &SetAside, keep_new: bool) -> Result<()>;
    /// Removes the half-made new data so that a load can start again from nothing.
    fn clear_new(&self, image: &str, how: &SetAside) -> Result<()>;
    /// Size in bytes of what is set aside (old data, and new data that a rollback kept).
    /// `live` says which server is in use now; its data is never among them.
    fn set_aside_sizes(&self, image: &str, how: &SetAside, live: Role) -> Result<Vec<(String, u64)>>;
    /// Removes what is set aside, after the user asked for it.
    fn remove_set_aside(&self, image: &str, how: &SetAside, live: Role) -> Result<()>;

    /// Ends the leftovers of an earlier process of the same run: helpers that were cut off.
    fn end_leftovers(&self) -> Result<()>;
    /// An image's presence: its id and its pinned name (`repository@sha256:…`) if it has one.
    fn image_present(&self, reference: &str) -> Result<Option<(String, Option<String>)>>;
    /// Fetches an image.
    fn fetch_image(&self, reference: &str, observer: &dyn Observer) -> Result<()>;
    /// The resolved configuration now, for proving what an edit changed.
    fn resolved_configuration(&self) -> Result<serde_json::Value>;
    /// Directory of the project.
    fn directory(&self) -> PathBuf;
}
