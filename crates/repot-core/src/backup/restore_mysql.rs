//! Restoring databases of MariaDB and MySQL.
//!
//! These servers cannot rename a database, and tables with triggers, views and routines do not move to another one. So a
//! live database is kept by a copy: made while the application stands still, compared with the live one, and only then is
//! the live one emptied and the set loaded into it. At every moment there is one complete, compared copy of what was live,
//! and the set has proved in a fresh database that this server takes it.

use repot_store::Engine;

use super::load_mysql::{EVENT, Loader};
use super::restore::FRESH;
use super::restore_engines::{Database, EngineRestore, Plan, tell, untouched};
use crate::engine::mysql::clients::Clients;
use crate::engine::mysql::dump::{load, plain_dump};
use crate::engine::mysql::events::{WithoutEvents, disabled};
use crate::engine::mysql::facts::{contents, version};
use crate::engine::mysql::session::{Session, ident};
use crate::engine::mysql::take;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::progress::Observer;
use crate::upgrade::failpoint::reach;
use crate::upgrade::steps::restore::aside_name;
use crate::verify::DatabaseFingerprint;

/// Completes a plan: what is there, and what becomes of it.
pub(super) fn plan(clients: &Clients, plan: &mut Plan) -> Result<()> {
    let mut session = Session::open(clients, None)?;
    let found = version(&mut session)?;
    if found.engine != plan.engine {
        let what = format!("the set is of {}, the server is {}", plan.engine.title(), found.engine.title());
        return Err(Error::refused("wrong-engine", what).help("restore it into a server of its own kind"));
    }
    for d in &mut plan.databases {
        let live = contents(&mut session, &d.to)?.is_some_and(|n| n > 0);
        d.aside = live.then(|| aside_name(&d.to, &plan.run));
    }
    Ok(())
}

struct Restorer<'a> {
    loader: Loader<'a>,
    engine: Engine,
}

/// Does what the plan says of databases.
pub(super) fn carry_out(
    of: &EngineRestore<'_>,
    plan: &Plan,
    clients: &Clients,
    observer: &dyn Observer,
) -> Result<()> {
    let EngineRestore { storage, set, manifest, keys, .. } = *of;
    let loader = Loader { clients, storage, set, manifest, keys, observer };
    let r = Restorer { loader, engine: plan.engine };
    r.drop_leftovers()?;
    let fresh = |d: &Database| aside_name(&d.to, &plan.run).replace("_repot_", FRESH);
    let made = plan.databases.iter().try_for_each(|d| {
        interrupt::check()?;
        r.fill(d, &fresh(d)).map(drop)?;
        reach("restore", "after-database")
    });
    let made = made.and_then(|()| reach("restore", "before-names")).and_then(|()| interrupt::check());
    if let Err(e) = made {
        for d in &plan.databases {
            let _ = r.drop(&fresh(d));
        }
        return Err(untouched(e));
    }
    let done = of.while_stopped(observer, &|| plan.databases.iter().try_for_each(|d| r.put_in_place(d)));
    for d in &plan.databases {
        let dropped = r.drop(&fresh(d));
        if done.is_ok() {
            dropped?;
        }
    }
    done
}

impl Restorer<'_> {
    fn drop(&self, name: &str) -> Result<()> {
        self.loader.session(None)?.execute(&format!("DROP DATABASE IF EXISTS {}", ident(name)))
    }

    /// Removes what a restore that was cut off left: databases that were being loaded.
    fn drop_leftovers(&self) -> Result<()> {
        let mut session = self.loader.session(None)?;
        let names = session.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")?;
        for name in names.into_iter().flatten() {
            if crate::engine::mysql::facts::is_ours(&name) && name.contains(FRESH) {
                tell(self.loader.observer, format!("removing {name}, which an earlier restore left"));
                session.execute(&format!("DROP DATABASE {}", ident(&name)))?;
            }
        }
        Ok(())
    }

    /// Makes the database `to` from the set, without its events, and compares it; the events.
    fn fill(&self, d: &Database, to: &str) -> Result<String> {
        let l = &self.loader;
        l.create(to, &d.want)?;
        let mut input = WithoutEvents::new(l.read(&d.entry)?);
        load(l.clients, to, &mut input)?;
        tell(l.observer, format!("comparing {}", d.name));
        l.compare(to, &d.name, &d.want, l.manifest.server_version_num, false)?;
        input.events()
    }

    fn load_events(&self, to: &str, events: &str) -> Result<()> {
        if events.is_empty() { Ok(()) } else { load(self.loader.clients, to, &mut events.as_bytes()) }
    }

    /// Copies a database, without its events, and compares; the events and the fingerprint of what was copied.
    fn copy(&self, from: &str, to: &str) -> Result<(String, DatabaseFingerprint)> {
        let mut session = self.loader.session(Some(from))?;
        let num = version(&mut session)?.num;
        let want = take(&mut session, from)?.fingerprint;
        drop(session);
        self.loader.create(to, &want)?;
        tell(self.loader.observer, format!("copying {from} to {to}"));
        let cmd = plain_dump(self.loader.clients, from, self.engine);
        let (reader, mut writer) = std::io::pipe().map_err(|e| Error::io("cannot make a pipe", &e))?;
        let mut input = WithoutEvents::new(reader);
        let (dumped, loaded) = std::thread::scope(|scope| {
            let dumper = scope.spawn(move || {
                cmd.pump(None, &mut |chunk| {
                    // The reader's own error is the one to tell.
                    std::io::Write::write_all(&mut writer, chunk)
                        .map_err(|e| Error::io("the copy cannot be written", &e))
                })
            });
            let loaded = load(self.loader.clients, to, &mut input);
            if loaded.is_err() {
                // Nobody reads any more: the dump must come to its end.
                let _ = std::io::copy(&mut input, &mut std::io::sink());
            }
            (dumper.join().unwrap_or_else(|_| Err(Error::failed("bug", "the dump panicked"))), loaded)
        });
        loaded?;
        let (status, stderr) = dumped?;
        if !status.success() {
            return Err(Error::failed("dump-failed", format!("the database {from} cannot be copied"))
                .why(crate::exec::last_lines(&stderr, 4)));
        }
        self.loader.compare(to, "", &want, num, false)?;
        Ok((input.events()?, want))
    }

    /// Keeps what is live, and fills its place from the set.
    fn put_in_place(&self, d: &Database) -> Result<()> {
        let Some(aside) = &d.aside else {
            // It was looked at before the question and the load; somebody may have filled it since.
            if contents(&mut self.loader.session(None)?, &d.to)?.is_some_and(|n| n > 0) {
                return Err(untouched(
                    Error::refused("database-live", format!("the database {} is not empty any more", d.to))
                        .why("it was empty when the restore was planned"),
                ));
            }
            return self.finish(d).inspect_err(|_| drop(self.drop(&d.to)));
        };
        let kept = self.copy(&d.to, aside).and_then(|(events, live)| {
            self.load_events(aside, &disabled(&events))?;
            reach("restore", "set-aside")?;
            Ok((events, live))
        });
        let (events, live) = match kept {
            Ok(kept) => kept,
            Err(e) => {
                let _ = self.drop(aside);
                return Err(untouched(e));
            }
        };
        let Err(e) = self.finish(d) else { return Ok(()) };
        // What was live comes back from its copy.
        let num = self.loader.session(None).and_then(|mut s| version(&mut s)).map_or(0, |v| v.num);
        let back = self
            .copy(aside, &d.to)
            .and_then(|_| self.load_events(&d.to, &events))
            .and_then(|()| self.loader.compare(&d.to, "", &live, num, true));
        Err(match back {
            Ok(()) => {
                let _ = self.drop(aside);
                e.help("what was live is in its place again, and was compared")
            }
            Err(b) => Error::failed("restore-halfway", format!("the database {} is not whole", d.to))
                .why(format!("{e}; what was live could not be brought back into its place: {b}"))
                .help(format!("all of it is in the database {aside}: see to the server, then copy it back")),
        })
    }

    /// Fills the live place from the set: rows, then, compared, its events.
    fn finish(&self, d: &Database) -> Result<()> {
        let events = self.fill(d, &d.to)?;
        reach("restore", "in-place")?;
        self.load_events(&d.to, &events)?;
        self.compare_events(d)
    }

    /// Events that are there may have run by now, so rows are not compared again.
    fn compare_events(&self, d: &Database) -> Result<()> {
        let mut session = self.loader.session(Some(&d.to))?;
        let found = take(&mut session, &d.to)?.fingerprint;
        let events = |f: &DatabaseFingerprint| -> Vec<_> {
            f.schema.iter().filter(|o| o.kind == EVENT).map(|o| (o.name.clone(), o.digest.clone())).collect()
        };
        if events(&found) == events(&d.want) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Differences,
            "restored-differs",
            format!("the events of {} are not what they were", d.to),
        ))
    }
}
