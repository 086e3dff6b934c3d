//! The databases of a PostgreSQL server in a backup: one snapshot each, which its dump and its fingerprint read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use repot_store::MovedSequence;

use super::make::{Job, Maker};
use super::source::Server;
use super::{exclude, schemas};
use crate::engine::postgres::session::Session;
use crate::error::Result;
use crate::verify::take::sequences;
use crate::verify::{ClusterFingerprint, SequenceFingerprint, TakeOptions, take};

/// Databases that a restore or a rollback has set aside, or that it is making: not the application's.
const SET_ASIDE: &str = "_[0-9a-f]{16}_(repot|fresh|part)_[0-9]{8}_[0-9]{6}_[0-9a-f]{4}$";

/// The transaction that a snapshot belongs to, and the sequences as they were right after it.
struct Held {
    database: String,
    session: Session,
    sequences: Vec<SequenceFingerprint>,
}

/// A server's databases, each with a snapshot that is held open.
pub(super) struct Databases {
    server: Server,
    /// Their names.
    pub(super) names: Vec<String>,
    snapshots: BTreeMap<String, String>,
    superuser: bool,
    exclude: Vec<String>,
    /// Of the application's database only these; none: all.
    pub(super) schemas: Vec<String>,
    held: Mutex<Vec<Held>>,
}

impl Databases {
    /// Takes a snapshot of every database.
    pub(super) fn open(maker: &Maker<'_>, server: Server) -> Result<Self> {
        let home = server.connector.connect(server.connector.home_database())?;
        let superuser = home.scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")? == "t";
        let names: Vec<String> = if superuser {
            let found = home.query(&format!(
                "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template0' \
                 AND datname !~ '{SET_ASIDE}' ORDER BY datname"
            ))?;
            found.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect()
        } else {
            maker.note(
                "not a superuser: other databases, passwords of roles and rights beyond this database are left out"
                    .to_owned(),
            );
            vec![server.connector.home_database().to_owned()]
        };
        drop(home);
        let (mut held, mut snapshots) = (Vec::new(), BTreeMap::new());
        let mut only = Vec::new();
        for name in &names {
            let session = server.connector.connect(name)?;
            session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            snapshots.insert(name.clone(), session.scalar("SELECT pg_export_snapshot()")?);
            if name == server.connector.home_database() {
                let chosen = schemas::choose(&maker.request.schemas, &session)?;
                chosen.notes.into_iter().for_each(|n| maker.note(n));
                only = chosen.schemas;
            }
            // Not part of any snapshot.
            let sequences = sequences(&session)?;
            held.push(Held { database: name.clone(), session, sequences });
        }
        let exclude = maker.request.exclude.clone();
        Ok(Databases { server, names, snapshots, superuser, exclude, schemas: only, held: Mutex::new(held) })
    }

    /// The application's.
    pub(super) fn home(&self) -> &str {
        self.server.connector.home_database()
    }

    /// What is to be dumped.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        let mut args = vec!["--globals-only", "--no-password"];
        if !self.superuser {
            args.push("--no-role-passwords");
        }
        let globals = Job::Globals(self.server.clients.program("pg_dumpall", &args, &[]));
        let databases = self.names.iter().enumerate().map(|(i, name)| {
            let snapshot = format!("--snapshot={}", self.snapshots[name]);
            let mut args = vec!["--format=custom", "--compress=0", "--no-password", &snapshot];
            let mut chosen = exclude::arguments(&self.exclude, name == self.home());
            if name == self.home() {
                chosen.extend(schemas::arguments(&self.schemas));
            }
            args.extend(chosen.iter().map(String::as_str));
            Job::Database(i, name, self.server.clients.program("pg_dump", &args, &[("PGDATABASE", name)]))
        });
        std::iter::once(globals).chain(databases)
    }

    /// The fingerprint of all, in their snapshots.
    pub(super) fn fingerprint(&self) -> Result<ClusterFingerprint> {
        let options = TakeOptions {
            jobs: 2,
            databases: Some(self.names.clone()),
            snapshots: self.snapshots.clone(),
            cluster: self.superuser,
        };
        take(self.server.connector.as_ref(), &options, &|_| {})
    }

    /// The sequences that went on since.
    pub(super) fn moved(&self) -> Result<Vec<MovedSequence>> {
        let mut moved = Vec::new();
        for h in self.held.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (before, after) in h.sequences.iter().zip(sequences(&h.session)?) {
                if *before != after {
                    moved.push(MovedSequence {
                        database: h.database.clone(),
                        schema: after.schema,
                        name: after.name,
                        from: before.last_value,
                        to: after.last_value,
                    });
                }
            }
        }
        Ok(moved)
    }

    /// Lets the snapshots go.
    pub(super) fn release(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
