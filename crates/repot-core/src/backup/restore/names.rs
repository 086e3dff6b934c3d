//! The moment in which restored databases take their names.

use std::time::Instant;

use super::{FRESH, Plan, Restore};
use crate::backup::source::Server;
use crate::backup::stopped::while_stopped;
use crate::engine::postgres::session::{ident, literal};
use crate::error::{Error, Result};
use crate::host::ServiceState;
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;

impl Restore<'_> {
    /// Stops the application, changes all names in one transaction, swaps the media, starts it again.
    pub(in crate::backup) fn change_names(
        &self,
        plan: &Plan,
        server: Option<&Server>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let change = || -> Result<()> {
            if let Some(server) = server.filter(|_| plan.to_load().next().is_some()) {
                let changed = rename(plan, server);
                if changed.is_err() {
                    let _ = drop_fresh(plan, server);
                    self.drop_unpacked(plan);
                }
                changed?;
            }
            reach("restore", "between-databases-and-media")?;
            self.swap_media(plan, observer).map_err(|e| {
                // Undoes or finishes a change of places that stands in its middle.
                self.drop_unpacked(plan);
                let why = e.why.clone().unwrap_or_else(|| e.what.clone());
                let stands = if plan.to_load().next().is_some() {
                    "the databases are restored, the media are not, or in part"
                } else {
                    "the media are not restored, or in part"
                };
                Error { why: Some(format!("{stands}: {why}")), ..e }
                    .help("see to what is named, then `repot restore --only media`")
            })
        };
        let Some(d) = self.to.deployment() else {
            let _shield = interrupt::shield();
            return change();
        };
        let services: Vec<ServiceState> = self.application().cloned().collect();
        let give_up = || {
            if let Some(server) = server {
                let _ = drop_fresh(plan, server);
            }
            self.drop_unpacked(plan);
        };
        while_stopped((d, &plan.run), &services, observer, &give_up, &change)
    }
}

/// Removes what was being restored.
pub(in crate::backup) fn drop_fresh(plan: &Plan, server: &Server) -> Result<()> {
    let session = server.connector.connect("template1")?;
    for d in plan.to_load() {
        session.execute(&format!("DROP DATABASE IF EXISTS {}", ident(&d.fresh)))?;
    }
    Ok(())
}

/// Removes what a restore that was killed left: this one holds the lock, so there is no other.
pub(in crate::backup) fn drop_leftovers(server: &Server, observer: &dyn Observer) -> Result<()> {
    let session = server.connector.connect("template1")?;
    let left = session.query(&format!(
        "SELECT datname FROM pg_database WHERE datname ~ '^.{{0,16}}_[0-9a-f]{{16}}{FRESH}[0-9]{{8}}_[0-9]{{6}}_[0-9a-f]{{4}}$'"
    ))?;
    for name in left.into_iter().filter_map(|r| r.into_iter().next().flatten()) {
        session.execute(&format!("DROP DATABASE {}", ident(&name)))?;
        observer.event(Event::Note(format!("{name}, left by a restore that was cut off, was removed")));
    }
    Ok(())
}

/// Gives the fresh databases their names and the live ones others, all in one transaction.
fn rename(plan: &Plan, server: &Server) -> Result<()> {
    let session = server.connector.connect("template1")?;
    let mut sql = "BEGIN;".to_owned();
    for d in plan.to_load() {
        for name in [&d.name, &d.fresh] {
            // Whoever is still connected is not one of the application's services.
            session.query(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
                literal(name)
            ))?;
        }
        if let Some(aside) = &d.aside {
            sql.push_str(&format!("ALTER DATABASE {} RENAME TO {};", ident(&d.name), ident(aside)));
        }
        sql.push_str(&format!("ALTER DATABASE {} RENAME TO {};", ident(&d.fresh), ident(&d.name)));
    }
    sql.push_str("COMMIT");
    let deadline = Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match session.execute(&sql) {
            Ok(()) => return Ok(()),
            // A session that was ended takes a moment to go.
            Err(e) if Instant::now() < deadline && e.why.as_deref().is_some_and(|w| w.contains("55006")) => {
                session.execute("ROLLBACK")?;
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            Err(e) => {
                session.execute("ROLLBACK")?;
                return Err(e);
            }
        }
    }
}
