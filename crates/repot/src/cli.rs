//! The command line, defined once: parser, help, manual page and completions all come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use crate::cli_schedule::{
    AgentArgs, AlertsArgs, AlertsCommand, ScheduleArgs, ScheduleCommand, UnitsArgs,
};

/// Moves a self-hosted application's database to a newer PostgreSQL without losing any of it.
///
/// Run it in the directory of your Compose file. `repot check` looks and touches nothing; `repot upgrade --to 17`
/// makes a backup, moves the data, compares old and new, and sets the old data aside; `repot rollback` brings the
/// old state back.
#[derive(Debug, Parser)]
#[command(name = "repot", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done or nothing to do; 1 failed, and the message says what stands where; \
    2 wrong call; 3 refused before anything was touched; 4 differences found; 5 an unfinished run is in the way."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look for everything that would make an upgrade fail; touch nothing
    Check(CheckArgs),
    /// Move the database to a newer PostgreSQL, the application to a newer version, or both
    Upgrade(UpgradeArgs),
    /// Say what the last run did and what stands where
    Status(RunArgs),
    /// List the runs, or show one
    History(RunArgs),
    /// Carry an unfinished run on
    Resume(ResumeArgs),
    /// Go back to where a run started
    Rollback(RollbackArgs),
    /// Show what is set aside, and remove it when asked
    Cleanup(CleanupArgs),
    /// Back the application up while it runs: databases, configuration, media
    Backup(BackupArgs),
    /// List the backup sets of a storage
    #[command(visible_alias = "listbackups")]
    Backups(BackupsArgs),
    /// Check backup sets: every file's checksums, or everything that is in it
    Verify(VerifyArgs),
    /// Delete the backup sets that no rule of repot.toml keeps
    Prune(PruneArgs),
    /// Restore a backup set: beside what is live, compared, then in its place
    Restore(RestoreArgs),
    /// Run what repot.toml schedules, where there is no systemd: in the foreground, until it is stopped
    Agent(AgentArgs),
    /// Have systemd run what repot.toml schedules
    Schedule(ScheduleArgs),
    /// Try the channels for alerts, or look for silence
    Alerts(AlertsArgs),
    /// Compare two databases by connection URL: schema and content
    Compare(CompareArgs),
    /// Build a small real stack, upgrade it, show the proof, remove it again
    Demo(DemoArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Where the application is.
#[derive(Debug, Clone, Args)]
pub struct Where {
    /// Directory of the Compose file
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub at: Where,
    /// PostgreSQL major to go to, such as 17
    #[arg(long, value_name = "N")]
    pub to: Option<u32>,
    /// Application version to go to
    #[arg(long, value_name = "V")]
    pub app_version: Option<String>,
    /// The database service, where there is more than one
    #[arg(long, value_name = "S")]
    pub service: Option<String>,
    /// Directory for backup sets [default: .repot/backups beside the Compose file]
    #[arg(long, value_name = "D")]
    pub backup_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum MethodArg {
    /// Let repot choose, and say why
    Auto,
    /// pg_dump into a backup set, restored into a fresh new server
    Dump,
}

#[derive(Debug, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub check: CheckArgs,
    /// How the data moves
    #[arg(long, value_name = "M", default_value = "auto")]
    pub method: MethodArg,
    /// Keep no backup set: with --to the old data itself stays set aside; without it there is no way back for the data
    #[arg(long)]
    pub skip_backup: bool,
    /// Show the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub at: Where,
    /// The run; the newest when left out
    pub run: Option<String>,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Go back even though the application has written to the new server; what it wrote is set aside
    #[arg(long)]
    pub discard_new_writes: bool,
    /// Put everything back but leave the services stopped
    #[arg(long)]
    pub no_start: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct CleanupArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Only show what is set aside
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// postgresql://user@host:port/database; the password from PGPASSWORD
    pub source: String,
    /// The other side; its password from REPOT_TARGET_PASSWORD, else PGPASSWORD
    pub target: String,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// PostgreSQL major to start from
    #[arg(long, default_value_t = 13)]
    pub from: u32,
    /// PostgreSQL major to go to
    #[arg(long, default_value_t = 17)]
    pub to: u32,
    /// Leave the stack running, in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Where backup sets are.
#[derive(Debug, Clone, Args)]
pub struct StorageArg {
    /// Storage of the sets: a name of repot.toml, a URL or a directory; may be given more than once [default: those of
    /// repot.toml, else .repot/backups beside the Compose file]
    #[arg(long, value_name = "URL|NAME")]
    pub storage: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContentArg {
    /// Databases, with roles
    Db,
    /// What users uploaded
    Media,
    /// The application's configuration and keys
    Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressArg {
    /// zstd
    Zstd,
    /// gzip
    Gzip,
    /// Not at all
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayoutArg {
    /// A directory for each set
    Sets,
    /// The application's database and media as files that django-dbbackup lists and restores, the rest in the set's
    /// directory
    DjangoDbbackup,
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub at: Where,
    /// Instead of the Compose project: postgresql://user@host/db (password: PGPASSWORD), mysql://user@host/db or
    /// mariadb://... (password: MYSQL_PWD), sqlite:///path/to/file
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    #[command(flatten)]
    pub to: StorageArg,
    /// Only this; may be given more than once
    #[arg(long, value_name = "WHAT")]
    pub only: Vec<ContentArg>,
    /// Leave the databases out
    #[arg(long)]
    pub skip_db: bool,
    /// Leave the media out
    #[arg(long)]
    pub skip_media: bool,
    /// How files are compressed [default: zstd]
    #[arg(long, value_name = "HOW")]
    pub compress: Option<CompressArg>,
    /// Encrypt for the recipients named in repot.toml
    #[arg(long)]
    pub encrypt: bool,
    /// Delete what no rule keeps any more, once the set is complete: as `repot prune`
    #[arg(long)]
    pub clean: bool,
    /// A word to find the set again by
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// How files are named and laid out [default: sets]
    #[arg(long, value_name = "HOW")]
    pub layout: Option<LayoutArg>,
    /// The server's name in names of files, with --layout django-dbbackup
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// The database service, where there is more than one
    #[arg(long, value_name = "S")]
    pub service: Option<String>,
}

#[derive(Debug, Args)]
pub struct BackupsArgs {
    #[command(flatten)]
    pub at: Where,
    #[command(flatten)]
    pub storage: StorageArg,
    /// Only sets with this in them
    #[arg(long, value_name = "WHAT")]
    pub content: Option<ContentArg>,
    /// Only encrypted ones
    #[arg(long, conflicts_with = "not_encrypted")]
    pub encrypted: bool,
    /// Only those that are not encrypted
    #[arg(long)]
    pub not_encrypted: bool,
    /// Only compressed ones
    #[arg(long, conflicts_with = "not_compressed")]
    pub compressed: bool,
    /// Only those that are not compressed
    #[arg(long)]
    pub not_compressed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// Every file is there, its size and checksums are right
    Files,
    /// Every file also decrypts and decompresses, and its content is what was written
    Archive,
    /// Besides, restored into a throw-away server and directory, it is equal to what was backed up
    Restore,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub at: Where,
    /// The set, a file of django-dbbackup's, `latest`, `all`, or `due`: the newest, and of the older ones as many as it
    /// takes to have each restored within a year
    #[arg(default_value = "latest")]
    pub set: String,
    #[command(flatten)]
    pub storage: StorageArg,
    /// How thoroughly [default: archive; restore for `due`]
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<LevelArg>,
    /// With `due`: how often it is called, such as 7d
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    pub every: String,
    /// File with a secret key of age, SSH or OpenPGP; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    pub at: Where,
    #[command(flatten)]
    pub storage: StorageArg,
    /// Whose sets; the name of the Compose project here when left out
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Say of each set what would become of it, and why, and stop
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub at: Where,
    /// The set, a file of django-dbbackup's, or `latest`: the newest complete set of this project
    #[arg(default_value = "latest")]
    pub set: String,
    /// A database's file of django-dbbackup's: in the storage, or a path
    #[arg(long, value_name = "F", conflicts_with = "set")]
    pub db_file: Option<String>,
    /// A media archive of django-dbbackup's: in the storage, or a path
    #[arg(long, value_name = "F", conflicts_with = "set")]
    pub media_file: Option<String>,
    /// Restore a backup of a newer version of the application too
    #[arg(long)]
    pub allow_newer_version: bool,
    #[command(flatten)]
    pub storage: StorageArg,
    /// Only this; may be given more than once
    #[arg(long, value_name = "WHAT")]
    pub only: Vec<ContentArg>,
    /// Instead of the Compose project: postgresql://user@host/db, mysql://user@host/db or mariadb://...,
    /// sqlite:///path/to/file; passwords as with `backup`
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Only this database
    #[arg(long, value_name = "D")]
    pub database: Option<String>,
    /// Only rows of this schema, into a database of their own; may be given more than once
    #[arg(long, value_name = "S")]
    pub schema: Vec<String>,
    /// Only rows of this table, into a database of their own; may be given more than once
    #[arg(long, value_name = "T")]
    pub table: Vec<String>,
    /// Fill media in: files that are not in the set stay; without it the live directory is set aside
    #[arg(long)]
    pub replace: bool,
    /// Leave the databases out
    #[arg(long)]
    pub skip_db: bool,
    /// Leave the media out
    #[arg(long)]
    pub skip_media: bool,
    /// File with a secret key of age, SSH or OpenPGP; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// The database service, where there is more than one
    #[arg(long, value_name = "S")]
    pub service: Option<String>,
    /// Check the set, show what would be done, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}
