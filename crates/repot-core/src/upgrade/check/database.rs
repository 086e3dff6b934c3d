//! What the running server says of itself, and the databases as it lists them.

use std::collections::BTreeSet;

use super::words::{be, count, psql, some};
use super::{Finding, configuration, contents, logins, replication};
use crate::app::detect::Deployment;
use crate::engine::postgres::facts::ClusterFacts;
use crate::engine::postgres::session::{Connector, Row, Session};
use crate::error::Result;
use crate::host::docker::Docker;
use crate::progress::human_bytes;

/// A transaction open for longer than this is worth a word, in seconds.
const LONG_TRANSACTION_S: u32 = 1800;

/// What all checks of the server need.
pub(super) struct Look<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) facts: &'a ClusterFacts,
    pub(super) target_major: u32,
}

impl Look<'_> {
    pub(super) fn source(&self) -> u32 {
        self.facts.major()
    }
    /// Whether the move passes into `major` or beyond.
    pub(super) fn passes(&self, major: u32) -> bool {
        self.source() < major && major <= self.target_major
    }
    pub(super) fn psql(&self, database: &str, sql: &str) -> String {
        psql(self.deployment, database, sql)
    }
    pub(super) fn home(&self) -> &str {
        if self.facts.databases.iter().any(|d| d.name == "postgres") {
            "postgres"
        } else {
            &self.deployment.database.name
        }
    }
}

pub(super) fn value(row: &Row, column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

/// The first column of all rows.
pub(super) fn names(session: &Session, sql: &str) -> Result<Vec<String>> {
    Ok(session.query(sql)?.iter().map(|r| value(r, 0)).collect())
}

/// Everything in the server that stands in the way of `target_major`, or that a person should know. Part of
/// [`super::check`]; the upgrade asks again when it had to start the server itself first.
///
/// # Errors
/// When the server fails. What is found in it is a finding.
pub fn check_database(
    deployment: &Deployment,
    facts: &ClusterFacts,
    connector: &dyn Connector,
    target_major: u32,
) -> Result<Vec<Finding>> {
    let look = Look { deployment, facts, target_major };
    let mut found = Vec::new();
    let session = connector.connect(connector.home_database())?;
    found.extend(standing(&look, &session)?);
    found.extend(prepared(&look, &session)?);
    found.extend(replication::replication(&look, &session)?);
    found.extend(tablespaces(&look, &session)?);
    found.extend(logins::roles(&look, &session)?);
    found.extend(logins::access_rules(&look, &session)?);
    found.extend(configuration::settings(&look));
    found.extend(configuration::settings_of_roles(&look, &session)?);
    found.extend(configuration::live(&look, &session)?);
    found.extend(connections(&look, &session)?);
    found.extend(databases(&look));
    for d in facts.databases.iter().filter(|d| d.allows_connections && d.connection_limit != -2) {
        crate::interrupt::check()?;
        // Nothing was ever made in template1 and postgres of most clusters.
        if d.user_objects == 0 {
            continue;
        }
        if d.name == connector.home_database() {
            contents::check(&look, &session, d, &mut found)?;
        } else {
            contents::check(&look, &connector.connect(&d.name)?, d, &mut found)?;
        }
    }
    Ok(found)
}

fn standing(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    if look.facts.in_recovery {
        found.push(Finding::blocker(
            "standby",
            "This server is a standby: it follows another one",
            "It cannot be dumped while it replays, and its data belongs to its primary.",
            "Upgrade the primary, then make this standby anew from it.",
        ));
    }
    if look.facts.superuser != "postgres" {
        found.push(Finding::info(
            "superuser-name",
            format!("The superuser is called {}, not postgres", look.facts.superuser),
            "The new server is made with the same name; nothing has to be done.",
        ));
    }
    if look.facts.major() >= 12 {
        let damaged = session
            .query("SELECT datname, checksum_failures FROM pg_stat_database WHERE checksum_failures > 0")?;
        if !damaged.is_empty() {
            let list: Vec<String> =
                damaged.iter().map(|r| format!("{} ({})", value(r, 0), value(r, 1))).collect();
            found.push(Finding::warning(
                "checksum-failures",
                "The server has met damaged pages",
                format!("Checksum failures by database: {}. If the damage is still there, the dump stops at it and nothing is changed.", some(&list, 5)),
                "Look at the server's log for `page verification failed`, check the disk (`dmesg`, `smartctl`), and restore what is damaged from a backup.",
            ));
        }
    }
    Ok(found)
}

fn prepared(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let rows = session.query("SELECT gid, database, owner, date_trunc('second', prepared)::text, quote_literal(gid) FROM pg_prepared_xacts ORDER BY prepared")?;
    Ok(rows
        .iter()
        .map(|r| {
            let (gid, database, owner) = (value(r, 0), value(r, 1), value(r, 2));
            Finding::blocker(
                "prepared-transactions",
                format!("A prepared transaction waits in the database {database}: {gid}"),
                format!(
                    "{owner} prepared it on {}. It is neither done nor undone; a dump leaves it out, so what it changed would be lost.",
                    value(r, 3)
                ),
                format!(
                    "If you know that it should count: {} — otherwise: {}",
                    look.psql(&database, &format!("COMMIT PREPARED {}", value(r, 4))),
                    look.psql(&database, &format!("ROLLBACK PREPARED {}", value(r, 4)))
                ),
            )
        })
        .collect())
}

fn tablespaces(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let rows = session.query(
        "SELECT t.spcname, pg_tablespace_location(t.oid), format('%I', t.spcname), \
         (SELECT string_agg(d.datname, ', ' ORDER BY d.datname) FROM pg_database d WHERE d.oid IN (SELECT pg_tablespace_databases(t.oid))) \
         FROM pg_tablespace t WHERE t.spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1",
    )?;
    Ok(rows
        .iter()
        .map(|r| {
            let (name, q, databases) = (value(r, 0), value(r, 2), value(r, 3));
            let users = if databases.is_empty() { "Nothing is in it.".to_owned() } else { format!("Objects of these databases are in it: {databases}.") };
            let drop = look.psql(look.home(), &format!("DROP TABLESPACE {q}"));
            let first = databases.split(", ").next().unwrap_or_default();
            let remedy = if databases.is_empty() {
                format!("Remove it: {drop}")
            } else {
                format!(
                    "Move what is in it back, for each database: {} (the same for INDEX; for a whole database, nobody being \
                     connected: ALTER DATABASE … SET TABLESPACE pg_default). Then: {drop}",
                    look.psql(first, &format!("ALTER TABLE ALL IN TABLESPACE {q} SET TABLESPACE pg_default"))
                )
            };
            Finding::blocker(
                "tablespaces",
                format!("The tablespace {name} lies outside the data directory, in {}", value(r, 1)),
                format!("{users} It would not be set aside with the rest, and the new server would need a place of its own for it."),
                remedy,
            )
        })
        .collect())
}

/// Who is connected, and for how long.
fn connections(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let known = project_addresses(look.deployment)?;
    let rows = session.query(
        "SELECT coalesce(host(client_addr), ''), coalesce(usename, ''), coalesce(datname, ''), coalesce(application_name, ''), count(*) FROM pg_stat_activity \
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'repot' GROUP BY 1, 2, 3, 4 ORDER BY 1",
    )?;
    let strangers: Vec<String> = rows
        .iter()
        .filter(|r| {
            let a = value(r, 0);
            !a.is_empty() && a != "127.0.0.1" && a != "::1" && !known.contains(&a)
        })
        .map(|r| {
            let program = value(r, 3);
            let program = if program.is_empty() { String::new() } else { format!(", program {program}") };
            format!("{} as {} in database {}{program}", value(r, 0), value(r, 1), value(r, 2))
        })
        .collect();
    if !strangers.is_empty() {
        found.push(Finding::warning(
            "outside-connections",
            format!("{} from outside this Compose project {} connected", count(strangers.len(), "program", "programs"), be(strangers.len())),
            format!("{}. repot stops the project's services; it cannot stop these, but nobody can reach the database while it moves.", some(&strangers, 6)),
            "Stop them first, so that they do not run into errors meanwhile.",
        ));
    }
    let long = session.query(&format!(
        "SELECT pid::text, coalesce(usename, ''), coalesce(datname, ''), state, round(extract(epoch FROM now() - xact_start) / 60)::text FROM pg_stat_activity \
         WHERE xact_start < now() - interval '{LONG_TRANSACTION_S} s' AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY xact_start"
    ))?;
    if !long.is_empty() {
        let list: Vec<String> = long
            .iter()
            .map(|r| {
                format!(
                    "process {} of {} in {}, open for {} min ({})",
                    value(r, 0),
                    value(r, 1),
                    value(r, 2),
                    value(r, 4),
                    value(r, 3)
                )
            })
            .collect();
        found.push(Finding::warning(
            "long-transactions",
            format!("{} open for a long time", if long.len() == 1 { "A transaction has been" } else { "Transactions have been" }),
            format!("{}. When the application is stopped, what they have not committed is undone, as at any restart.", some(&list, 5)),
            "If that is an import or a report, let it finish first.",
        ));
    }
    Ok(found)
}

/// Addresses of the project's own containers.
fn project_addresses(deployment: &Deployment) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for id in deployment.services.iter().flat_map(|s| &s.containers) {
        let Some(c) = Docker.container(id)? else { continue };
        for network in c["NetworkSettings"]["Networks"].as_object().into_iter().flatten().map(|(_, n)| n) {
            for key in ["IPAddress", "GlobalIPv6Address"] {
                all.extend(network[key].as_str().filter(|a| !a.is_empty()).map(str::to_owned));
            }
        }
    }
    Ok(all)
}

/// The databases themselves, as the cluster lists them.
fn databases(look: &Look<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for d in &look.facts.databases {
        let q = format!("\"{}\"", d.name.replace('"', "\"\""));
        if d.connection_limit == -2 {
            found.push(Finding::blocker(
                "database-invalid",
                format!("The database {} is half dropped", d.name),
                "A DROP DATABASE was cut off; what is left of it can be neither used nor dumped.",
                format!("Finish what was begun: {}", look.psql(look.home(), &format!("DROP DATABASE {q}"))),
            ));
        } else if !d.allows_connections {
            found.push(Finding::blocker(
                "database-closed",
                format!("The database {} lets nobody in", d.name),
                format!("It holds {} and is set to ALLOW_CONNECTIONS false, so it cannot be dumped and would be lost.", human_bytes(d.size_bytes)),
                format!("Open it: {}", look.psql(look.home(), &format!("ALTER DATABASE {q} WITH ALLOW_CONNECTIONS true"))),
            ));
        }
        if d.encoding == "SQL_ASCII" && d.name != "template1" && d.name != "postgres" {
            found.push(Finding::warning(
                "encoding-sql-ascii",
                format!("The database {} has no encoding (SQL_ASCII)", d.name),
                "Its text is bytes of unknown meaning. The dump carries them as they are; comparing them as text may not be possible.",
                "Nothing has to be done. If the comparison stops at it, the application should move to a database with UTF8.",
            ));
        }
        if let Some((_, gone)) = ENCODINGS_DROPPED.iter().find(|(e, m)| *e == d.encoding && look.passes(*m)) {
            found.push(Finding::blocker(
                "encoding-dropped",
                format!("PostgreSQL {gone} no longer has the encoding {} of the database {}", d.encoding, d.name),
                "The database cannot be made on the new server.",
                "Dump it with `pg_dump --encoding=UTF8`, restore it into a new database with the encoding UTF8, and let the application use that one.",
            ));
        }
    }
    let own = [look.deployment.database.name.as_str(), "postgres", "template1"];
    let others: Vec<String> = look
        .facts
        .databases
        .iter()
        .filter(|d| !own.contains(&d.name.as_str()))
        .map(|d| format!("{} ({})", d.name, human_bytes(d.size_bytes)))
        .collect();
    if !others.is_empty() {
        found.push(Finding::info(
            "other-databases",
            format!(
                "There {} {} beside the application's",
                be(others.len()),
                count(others.len(), "database", "databases")
            ),
            format!("{}. They come along.", some(&others, 8)),
        ));
    }
    let open: Vec<&str> = look
        .facts
        .databases
        .iter()
        .filter(|d| d.public_may_create && d.name != "template1")
        .map(|d| d.name.as_str())
        .collect();
    if look.passes(15) && !open.is_empty() {
        found.push(Finding::info(
            "public-schema",
            "Every role may make tables in the schema public",
            format!(
                "That was the rule before 15; new databases no longer allow it. In {} it stays as it is, so the application finds the rights it had.",
                some(&open, 6)
            ),
        ));
    }
    let with_objects: Vec<&str> =
        look.facts.databases.iter().filter(|d| d.large_objects > 0).map(|d| d.name.as_str()).collect();
    if !with_objects.is_empty() {
        let all: u64 = look.facts.databases.iter().map(|d| d.large_objects).sum();
        found.push(Finding::info(
            "large-objects",
            format!(
                "There {} {} in {}",
                if all == 1 { "is" } else { "are" },
                count(usize::try_from(all).unwrap_or(usize::MAX), "large object", "large objects"),
                some(&with_objects, 5)
            ),
            "They come along with the same numbers, owners and rights, and are compared.",
        ));
    }
    found
}

/// Server encodings that a major dropped. 19 drops MULE_INTERNAL; 12 to 18 dropped none.
const ENCODINGS_DROPPED: [(&str, u32); 1] = [("MULE_INTERNAL", 19)];
