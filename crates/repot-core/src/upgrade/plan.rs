//! The plan: an ordered list of steps and everything they need, as a plain value. It is shown, stored in the
//! journal, and picked up by whatever process resumes the run. No secret is in it: passwords are read again from
//! where the application keeps them, file contents stay in the run's own directory (mode 0600).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::app::profile::Profile;
use crate::engine::postgres::facts::ClusterFacts;
use crate::host::compose::host::{ComposeHost, ServiceExtras};
use crate::host::compose::project::ProjectRef;
use crate::host::{DataLocation, Host, ServiceState, SetAside};

/// Version of the plan's format; a run planned by another version of repot is refused on resume.
pub const PLAN_FORMAT: u32 = 1;

/// One step. Each has probe, apply and undo in `upgrade/steps/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Fetch the new images.
    FetchImages,
    /// Stop everything that could write, and the database service itself.
    StopApplication,
    /// Run the old server where nobody else can reach it.
    FenceDatabase,
    /// Dump and fingerprint.
    BackUp,
    /// Stop the old server and prove it is shut down.
    StopOldServer,
    /// Rename the old data directory, or make the new volume.
    SetAside,
    /// Edit Compose and `.env` files for the new server.
    EditDatabaseFiles,
    /// Initialise and start the new server, out of reach.
    StartNewServer,
    /// Load roles, databases, rights, settings.
    Restore,
    /// Carry over pg_hba.conf, pg_ident.conf and settings.
    CarryConfiguration,
    /// ALTER EXTENSION … UPDATE.
    UpdateExtensions,
    /// ANALYZE.
    Analyze,
    /// Compare fingerprints.
    Compare,
    /// Stop the new server and flush it to disk.
    StopNewServer,
    /// Start the database service with its final settings.
    StartDatabase,
    /// Log in as the application.
    CheckLogin,
    /// Edit files for the new application version.
    EditApplicationFiles,
    /// The application's own update command.
    MigrateApplication,
    /// Start the application.
    StartApplication,
    /// See that it is well.
    CheckHealth,
}

impl Step {
    /// Every step, in the order of a whole upgrade.
    pub const ALL: [Step; 20] = [
        Step::FetchImages,
        Step::StopApplication,
        Step::FenceDatabase,
        Step::BackUp,
        Step::StopOldServer,
        Step::SetAside,
        Step::EditDatabaseFiles,
        Step::StartNewServer,
        Step::Restore,
        Step::CarryConfiguration,
        Step::UpdateExtensions,
        Step::Analyze,
        Step::Compare,
        Step::StopNewServer,
        Step::StartDatabase,
        Step::CheckLogin,
        Step::EditApplicationFiles,
        Step::MigrateApplication,
        Step::StartApplication,
        Step::CheckHealth,
    ];

    /// Stable name, as in the journal and in failpoints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::FetchImages => "fetch-images",
            Step::StopApplication => "stop-application",
            Step::FenceDatabase => "fence-database",
            Step::BackUp => "back-up",
            Step::StopOldServer => "stop-old-server",
            Step::SetAside => "set-aside",
            Step::EditDatabaseFiles => "edit-database-files",
            Step::StartNewServer => "start-new-server",
            Step::Restore => "restore",
            Step::CarryConfiguration => "carry-configuration",
            Step::UpdateExtensions => "update-extensions",
            Step::Analyze => "analyze",
            Step::Compare => "compare",
            Step::StopNewServer => "stop-new-server",
            Step::StartDatabase => "start-database",
            Step::CheckLogin => "check-login",
            Step::EditApplicationFiles => "edit-application-files",
            Step::MigrateApplication => "migrate-application",
            Step::StartApplication => "start-application",
            Step::CheckHealth => "check-health",
        }
    }

    /// What a person reads.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Step::FetchImages => "Fetch the new images",
            Step::StopApplication => "Stop the application",
            Step::FenceDatabase => "Fence the old database",
            Step::BackUp => "Back up and fingerprint",
            Step::StopOldServer => "Stop the old server",
            Step::SetAside => "Set the old data aside",
            Step::EditDatabaseFiles => "Edit the Compose files",
            Step::StartNewServer => "Start the new server",
            Step::Restore => "Restore",
            Step::CarryConfiguration => "Carry over the configuration",
            Step::UpdateExtensions => "Update extensions",
            Step::Analyze => "Gather statistics",
            Step::Compare => "Compare old and new",
            Step::StopNewServer => "Make the new data durable",
            Step::StartDatabase => "Start the database service",
            Step::CheckLogin => "Log in as the application",
            Step::EditApplicationFiles => "Edit the application's version",
            Step::MigrateApplication => "Update the application",
            Step::StartApplication => "Start the application",
            Step::CheckHealth => "Check its health",
        }
    }

    /// Whether the application may have written to the new data once this step began.
    #[must_use]
    pub fn lets_writers_in(self) -> bool {
        matches!(self, Step::MigrateApplication | Step::StartApplication)
    }
}

/// One file to be edited; its contents before and after are in the run's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEdit {
    /// The file.
    pub path: PathBuf,
    /// When it is edited.
    pub stage: Step,
    /// BLAKE3 of the content it must have before.
    pub before: String,
    /// BLAKE3 of the content it has after.
    pub after: String,
    /// The changed lines, for people.
    pub diff: String,
}

/// The old side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Major version of the data.
    pub major: u32,
    /// Image that runs it as it is.
    pub image: String,
    /// Where it is.
    pub data: DataLocation,
    /// Superuser, as POSTGRES_USER says.
    pub superuser: String,
    /// What the server said when it was planned; none when it was down.
    pub facts: Option<ClusterFacts>,
    /// Size of the data directory in bytes.
    pub size_bytes: u64,
}

/// The new side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Major version.
    pub major: u32,
    /// Image.
    pub image: String,
    /// Where its data will be.
    pub data: DataLocation,
    /// How the old data is kept.
    pub set_aside: SetAside,
    /// Where the old PG_VERSION is below what is set aside; empty for the thing itself.
    pub old_inner: String,
}

/// The application's own move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppMove {
    /// Version now, where known.
    pub from: Option<String>,
    /// Version to go to.
    pub to: String,
    /// Service that runs the update command.
    pub service: Option<String>,
    /// The command; empty when the application migrates at start.
    pub command: Vec<String>,
    /// Variables for it.
    pub environment: Vec<(String, String)>,
}

/// The whole plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// Version of repot that made it.
    pub repot: String,
    /// The run's id, such as `20261121-143005-3f2a`.
    pub run: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Profile of the application.
    pub profile: Profile,
    /// Application service for health, where there is one.
    pub application: Option<String>,
    /// The application's version when the plan was made.
    pub application_version: Option<String>,
    /// The Compose project.
    pub project: ProjectRef,
    /// Database service.
    pub service: String,
    /// What servers of repot's own need of its definition.
    pub extras: ServiceExtras,
    /// Services as they were.
    pub services: Vec<ServiceState>,
    /// `dump`.
    pub method: String,
    /// Why this method.
    pub method_reason: String,
    /// Old side.
    pub source: Source,
    /// New side; none when only the application moves.
    pub destination: Option<Destination>,
    /// The application's move, if any.
    pub app_move: Option<AppMove>,
    /// Role that the application logs in with.
    pub application_user: String,
    /// Its database.
    pub application_database: String,
    /// Whether a password for it is known (and so a login can be proved).
    pub login_known: bool,
    /// Directory of the backup set; none with `--skip-backup` and no database move.
    pub backup_set: Option<PathBuf>,
    /// Whether the set stays after success.
    pub keep_backup: bool,
    /// Images to fetch.
    pub images: Vec<String>,
    /// Files to edit.
    pub edits: Vec<FileEdit>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The host to run it on.
    #[must_use]
    pub fn host(&self) -> Box<dyn Host> {
        Box::new(
            ComposeHost::new(self.project.clone(), &self.run, &self.service, self.extras.clone())
                .with_clients(self.client_image()),
        )
    }
    /// Image for helper containers: the old server's, or, when somebody has removed it since, the new one's.
    #[must_use]
    pub fn helper_image(&self) -> &str {
        let present = |i: &str| matches!(crate::host::docker::Docker.image(i), Ok(Some(_)));
        match &self.destination {
            Some(d) if !present(&self.source.image) && present(&d.image) => &d.image,
            _ => &self.source.image,
        }
    }
    /// Client programs come from the newer of the two images.
    #[must_use]
    pub fn client_image(&self) -> &str {
        self.destination.as_ref().map_or(&self.source.image, |d| &d.image)
    }
    /// Services other than the database that were running.
    #[must_use]
    pub fn application_services(&self) -> Vec<String> {
        self.services
            .iter()
            .filter(|s| s.running && s.service != self.service)
            .map(|s| s.service.clone())
            .collect()
    }
    /// Whether the database service was running.
    #[must_use]
    pub fn database_was_running(&self) -> bool {
        self.services.iter().any(|s| s.service == self.service && (s.running || s.restarting))
    }
}

/// A new run's id: time and four random hex digits, so that two machines that share a catalog do not meet.
#[must_use]
pub fn new_run_id() -> String {
    let now = jiff::Zoned::now();
    let mut seed = [0_u8; 2];
    // No randomness is not fatal: the time alone tells runs of one directory apart.
    let _ =
        std::fs::File::open("/dev/urandom").and_then(|mut f| std::io::Read::read_exact(&mut f, &mut seed));
    format!("{}-{:02x}{:02x}", now.strftime("%Y%m%d-%H%M%S"), seed[0], seed[1])
}

/// Now, RFC 3339 with the local offset.
#[must_use]
pub fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}
