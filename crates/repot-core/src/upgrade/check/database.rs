//! What the running server says of itself: roles, slots, settings, databases.

use std::collections::BTreeSet;

use super::words::{be, count, psql, shell, some};
use super::{Finding, contents};
use crate::app::detect::Deployment;
use crate::engine::postgres::facts::ClusterFacts;
use crate::engine::postgres::session::{Connector, Row, Session};
use crate::engine::postgres::settings::{
    from_arguments, is_on, removed, settings_dropped, settings_to_carry,
};
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
    fn home(&self) -> &str {
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
    found.extend(replication(&look, &session)?);
    found.extend(tablespaces(&look, &session)?);
    found.extend(roles(&look, &session)?);
    found.extend(access_rules(&look, &session)?);
    found.extend(settings(&look));
    found.extend(settings_of_roles(&look, &session)?);
    found.extend(live(&look, &session)?);
    found.extend(connections(&look, &session)?);
    drop(session);
    found.extend(databases(&look));
    for d in facts.databases.iter().filter(|d| d.allows_connections && d.connection_limit != -2) {
        crate::interrupt::check()?;
        contents::check(&look, &connector.connect(&d.name)?, d, &mut found)?;
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

fn replication(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let home = look.home();
    let slots = session.query("SELECT slot_name, slot_type, coalesce(plugin, ''), coalesce(database, ''), active, quote_literal(slot_name) FROM pg_replication_slots ORDER BY 1")?;
    for r in &slots {
        let (name, active) = (value(r, 0), value(r, 4) == "t");
        let used =
            if active { "Something reads from it right now" } else { "Nothing reads from it right now" };
        let drop = look.psql(home, &format!("SELECT pg_drop_replication_slot({})", value(r, 5)));
        found.push(if value(r, 1) == "logical" {
            Finding::blocker(
                "logical-slots",
                format!("There is a logical replication slot: {name}"),
                format!(
                    "It sends the changes of the database {} to another program (plugin {}). {used}. A slot cannot be moved to the new server, and the program would miss changes.",
                    value(r, 3),
                    value(r, 2)
                ),
                format!("Stop that program when it has read everything, then remove the slot: {drop}. Set the program up again after the upgrade."),
            )
        } else if active {
            Finding::blocker(
                "standbys",
                format!("Another server follows this one through the slot {name}"),
                format!("{used}. A standby cannot follow across major versions."),
                format!("Stop the standby and remove the slot: {drop}. Make the standby anew after the upgrade."),
            )
        } else {
            Finding::warning(
                "physical-slots",
                format!("There is a replication slot that nobody uses now: {name}"),
                "It was made for a standby or a WAL archive. It is not carried over, and until then keeps old WAL on the disk.",
                format!("If nothing needs it any more: {drop}"),
            )
        });
    }
    let followers = session.query(
        "SELECT coalesce(nullif(application_name, ''), usename), coalesce(client_addr::text, 'this machine'), state FROM pg_stat_replication \
         WHERE pid NOT IN (SELECT active_pid FROM pg_replication_slots WHERE active_pid IS NOT NULL)",
    )?;
    for r in &followers {
        found.push(Finding::blocker(
            "standbys",
            format!("{} at {} follows this server ({})", value(r, 0), value(r, 1), value(r, 2)),
            "It is a standby, a base backup or a WAL archive. None of them can go on across major versions.",
            "Let a backup finish; stop a standby or archive, and make it anew after the upgrade.",
        ));
    }
    let subscriptions = session.query(
        "SELECT s.subname, d.datname, s.subenabled, format('%I', s.subname) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid ORDER BY 1",
    )?;
    for r in &subscriptions {
        let (name, database) = (value(r, 0), value(r, 1));
        let q = value(r, 3);
        found.push(Finding::blocker(
            "subscriptions",
            format!("The database {database} subscribes to another server: {name}"),
            "How far it has read is not part of a dump: the new server would read everything again or miss a part.",
            format!(
                "When it has caught up: {} — and make it again after the upgrade, with copy_data = false.",
                look.psql(&database, &format!("DROP SUBSCRIPTION {q}"))
            ),
        ));
    }
    Ok(found)
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

fn roles(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let md5 = names(
        session,
        "SELECT rolname FROM pg_authid WHERE rolcanlogin AND rolpassword LIKE 'md5%' ORDER BY 1",
    )?;
    if md5.is_empty() {
        return Ok(Vec::new());
    }
    let scram_rules = names(
        session,
        "SELECT line_number::text FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256' ORDER BY 1",
    )?;
    let method = session.scalar("SELECT current_setting('password_encryption')")?;
    let title = format!("{} with an md5 password: {}", count(md5.len(), "role", "roles"), some(&md5, 6));
    let change = format!(
        "docker compose exec {} psql -U {} -d {} -c \"SET password_encryption = 'scram-sha-256'\" -c '\\password {}'",
        shell(&look.deployment.database.service),
        shell(&look.deployment.database.superuser),
        shell(look.home()),
        md5[0].replace('\'', "")
    );
    if !scram_rules.is_empty() || method == "scram-sha-256" {
        let mut detail = String::new();
        if !scram_rules.is_empty() {
            detail.push_str(&format!(
                "pg_hba.conf asks for scram-sha-256 on {} {}; where such a line applies, an md5 password is refused, today as after the upgrade. ",
                if scram_rules.len() == 1 { "line" } else { "lines" },
                some(&scram_rules, 6)
            ));
        }
        if method == "scram-sha-256" {
            detail.push_str(
                "New passwords are stored as scram-sha-256 (password_encryption), these are from before. ",
            );
        }
        detail.push_str("Passwords and pg_hba.conf are carried over as they are.");
        return Ok(vec![Finding::warning(
            "md5-passwords",
            title,
            detail,
            format!(
                "Give each of them its password anew, the same one if you like, so that it is stored the new way: {change}"
            ),
        )]);
    }
    let mut detail =
        "Passwords and pg_hba.conf are carried over as they are, so these logins go on working.".to_owned();
    if look.target_major >= 18 {
        detail.push_str(" PostgreSQL 18 calls md5 passwords deprecated; a later version will drop them.");
    }
    Ok(vec![Finding::info("md5-passwords", title, detail)])
}

fn access_rules(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let rows = session.query(
        "SELECT line_number::text, coalesce(type, ''), array_to_string(coalesce(database, '{}'), ','), array_to_string(coalesce(user_name, '{}'), ','), \
         coalesce(address, ''), coalesce(auth_method, ''), array_to_string(coalesce(options, '{}'), ','), coalesce(error, '') FROM pg_hba_file_rules",
    )?;
    let wrong: Vec<String> = rows
        .iter()
        .filter(|r| !value(r, 7).is_empty())
        .map(|r| format!("line {}: {}", value(r, 0), value(r, 7)))
        .collect();
    if !wrong.is_empty() {
        found.push(Finding::blocker(
            "hba-invalid",
            "pg_hba.conf has mistakes",
            format!("{}. The running server still uses what it read before; a server that starts with this file stops at once.", some(&wrong, 3)),
            format!("Correct {} and reload it: {}", look.facts.hba_file, look.psql(look.home(), "SELECT pg_reload_conf()")),
        ));
    }
    if look.passes(14) {
        let old: Vec<String> = rows
            .iter()
            .filter(|r| {
                value(r, 6)
                    .split(',')
                    .any(|o| matches!(o, "clientcert=1" | "clientcert=0" | "clientcert=no-verify"))
            })
            .map(|r| value(r, 0))
            .collect();
        if !old.is_empty() {
            found.push(Finding::blocker(
                "hba-clientcert",
                format!("pg_hba.conf uses a form of `clientcert` that 14 dropped, on line {}", some(&old, 6)),
                "The new server would not read the file: only `verify-ca` and `verify-full` are left.",
                format!("In {}, write clientcert=verify-ca for clientcert=1 (servers from 12 on read it), and take the others out. Reload: {}", look.facts.hba_file, look.psql(look.home(), "SELECT pg_reload_conf()")),
            ));
        }
    }
    let ordinary = |r: &&Row| {
        let (kind, address, method) = (value(r, 1), value(r, 4), value(r, 5));
        let whom = matches!(value(r, 2).as_str(), "all" | "replication") && value(r, 3) == "all";
        let near = kind == "local" || matches!(address.as_str(), "127.0.0.1" | "::1");
        whom && ((near && method == "trust") || (kind == "host" && address == "all"))
    };
    let own: Vec<String> =
        rows.iter().filter(|r| value(r, 7).is_empty() && !ordinary(r)).map(|r| value(r, 0)).collect();
    if !own.is_empty() {
        found.push(Finding::info(
            "hba-custom",
            format!("pg_hba.conf has rules of your own (line {})", some(&own, 8)),
            "The file is carried over as it is.",
        ));
    }
    for (what, path) in [
        ("postgresql.conf", &look.facts.config_file),
        ("pg_hba.conf", &look.facts.hba_file),
        ("pg_ident.conf", &look.facts.ident_file),
    ] {
        if !path.is_empty() && !look.facts.is_in_data_directory(path) {
            found.push(Finding::info(
                "config-outside",
                format!("{what} lies outside the data directory, in {path}"),
                "It is mounted or named by the Compose file and stays as it is; the new server reads the same file.",
            ));
        }
    }
    Ok(found)
}

/// Settings in files and in the service's `command:`.
fn settings(look: &Look<'_>) -> Vec<Finding> {
    let (facts, to, service) = (look.facts, look.target_major, &look.deployment.database.service);
    let mut found = Vec::new();
    let arguments = from_arguments(&look.deployment.database.extras.arguments);
    for (name, text) in &arguments {
        let Some(r) = removed(name, facts.major(), to).filter(|r| !r.alias) else { continue };
        let converted = r.renamed_to.and_then(|n| {
            let v = r.convert.map_or_else(|| Some(text.clone()), |c| c(text, facts.wal_segment_bytes))?;
            Some(format!("{n}={v}"))
        });
        // Where only some values are no longer understood, the others are fine as they are.
        if converted.as_deref() == Some(&format!("{name}={text}")) {
            continue;
        }
        found.push(Finding::blocker(
            "removed-setting-command",
            format!("The Compose file starts the server with {name}, which PostgreSQL {} no longer has", r.removed_in),
            format!("`command:` of the service {service} gives {name}={text}; {}. The new server would refuse to start.", r.why),
            match converted {
                Some(c) => format!("In the Compose file, write `-c {c}` instead. (The present server does not know that name, so change it just before the upgrade and do not restart in between; or take it out.)"),
                None => format!("Take `{name}` out of `command:` in the Compose file; then `docker compose up -d {}`.", shell(service)),
            },
        ));
    }
    let mut outside = Vec::new();
    for s in &facts.file_settings {
        if let Some(r) =
            removed(&s.name, facts.major(), to).filter(|r| !r.alias && r.renamed_to != Some(r.name))
            && s.file == facts.config_file
            && !facts.is_in_data_directory(&s.file)
        {
            outside.push(format!("{} ({})", s.name, r.why));
        }
    }
    if !outside.is_empty() {
        found.push(Finding::blocker(
            "removed-setting-file",
            format!("{} has settings that PostgreSQL {to} no longer has", facts.config_file),
            format!("{}. The file lies outside the data directory, so repot leaves it alone, and the new server would refuse to start with it.", some(&outside, 6)),
            "Put a # in front of these lines and restart the service.",
        ));
    }
    let dropped: Vec<String> = settings_dropped(facts, to)
        .into_iter()
        .filter(|d| d.notable)
        .map(|d| format!("{} = {} ({})", d.name, d.value, d.reason))
        .collect();
    if !dropped.is_empty() {
        found.push(Finding::warning(
            "settings-dropped",
            format!(
                "{} not carried over to the new server",
                if dropped.len() == 1 {
                    "One setting is".to_owned()
                } else {
                    format!("{} settings are", dropped.len())
                }
            ),
            format!("{}.", some(&dropped, 12)),
            "Nothing has to be done, unless you relied on one of them.",
        ));
    }
    let carried = settings_to_carry(facts, to);
    let changed: Vec<String> = carried
        .iter()
        .filter_map(|c| c.note.as_ref().map(|n| format!("{} = {} ({n})", c.name, c.value)))
        .collect();
    if !changed.is_empty() {
        found.push(Finding::warning(
            "settings-changed",
            format!(
                "{} a word: {}",
                if changed.len() == 1 { "One setting needs" } else { "Some settings need" },
                some(
                    &carried.iter().filter(|c| c.note.is_some()).map(|c| c.name.as_str()).collect::<Vec<_>>(),
                    6
                )
            ),
            format!("{}.", some(&changed, 8)),
            "Nothing has to be done now; look at them after the upgrade.",
        ));
    }
    let plain: Vec<String> =
        carried.iter().filter(|c| c.note.is_none()).map(|c| format!("{} = {}", c.name, c.value)).collect();
    if !plain.is_empty() {
        found.push(Finding::info(
            "settings-carried",
            format!(
                "{} of your own {} along",
                count(plain.len(), "setting", "settings"),
                if plain.len() == 1 { "comes" } else { "come" }
            ),
            format!("{}.", some(&plain, 12)),
        ));
    }
    if !arguments.is_empty() {
        let list: Vec<String> = arguments.iter().map(|(n, v)| format!("{n}={v}")).collect();
        found.push(Finding::info(
            "command-arguments",
            format!("The Compose file gives the server {}", count(arguments.len(), "argument", "arguments")),
            format!("{}. They stay in the Compose file and count for the new server too.", some(&list, 8)),
        ));
    }
    let value_of = |n: &str| {
        let in_file = facts
            .file_settings
            .iter()
            .rev()
            .find(|s| s.name.eq_ignore_ascii_case(n))
            .map(|s| s.value.clone());
        arguments.iter().rev().find(|a| a.0.eq_ignore_ascii_case(n)).map(|a| a.1.clone()).or(in_file)
    };
    let risky: Vec<&str> = [
        ("fsync", false),
        ("full_page_writes", false),
        ("zero_damaged_pages", true),
        ("ignore_checksum_failure", true),
        ("ignore_system_indexes", true),
    ]
    .into_iter()
    .filter(|(n, bad)| value_of(n).is_some_and(|v| is_on(&v) == *bad))
    .map(|(n, _)| n)
    .collect();
    if !risky.is_empty() {
        found.push(Finding::warning(
            "risky-settings",
            format!("The server runs with settings that can lose data: {}", risky.join(", ")),
            "They are meant for emergencies and for data that may be lost. They are carried over like the others.",
            "If that was not the intention, take them out.",
        ));
    }
    if value_of("default_transaction_read_only").is_some_and(|v| is_on(&v)) {
        found.push(Finding::warning(
            "read-only-default",
            "The server makes every transaction read-only unless told otherwise",
            "default_transaction_read_only is on. It is off while the data is restored, and on again afterwards.",
            "Nothing has to be done.",
        ));
    }
    found
}

/// Settings of roles and databases (ALTER ROLE … SET, ALTER DATABASE … SET). They are part of the dump.
fn settings_of_roles(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let rows = session.query(
        "SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1), \
         CASE WHEN r.rolname IS NULL THEN format('ALTER DATABASE %I RESET %s', d.datname, split_part(c, '=', 1)) \
              WHEN d.datname IS NULL THEN format('ALTER ROLE %I RESET %s', r.rolname, split_part(c, '=', 1)) \
              ELSE format('ALTER ROLE %I IN DATABASE %I RESET %s', r.rolname, d.datname, split_part(c, '=', 1)) END, \
         coalesce(r.rolsuper, true) \
         FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c LEFT JOIN pg_database d ON d.oid = s.setdatabase \
         LEFT JOIN pg_roles r ON r.oid = s.setrole ORDER BY 1, 2, 3",
    )?;
    let mut found = Vec::new();
    for r in &rows {
        let whose = match (value(r, 0).as_str(), value(r, 1).as_str()) {
            (d, "") => format!("the database {d}"),
            ("", role) => format!("the role {role}"),
            (d, role) => format!("the role {role} in the database {d}"),
        };
        let (name, text) = (value(r, 2), value(r, 3));
        let reset = look.psql(look.home(), &value(r, 4));
        if let Some(gone) = removed(&name, look.source(), look.target_major).filter(|g| !g.alias)
            && gone.convert.is_none_or(|c| c(&text, look.facts.wal_segment_bytes).as_ref() != Some(&text))
        {
            found.push(Finding::blocker(
                "removed-setting-role",
                format!("A setting of {whose} no longer exists: {name}"),
                format!(
                    "PostgreSQL {} dropped or renamed it ({}); restoring it would fail.",
                    gone.removed_in, gone.why
                ),
                format!("Take it away: {reset}"),
            ));
        }
        if name == "default_transaction_read_only" && is_on(&text) && value(r, 5) == "t" {
            found.push(Finding::blocker(
                "read-only-database",
                format!("Transactions of {whose} are read-only by default"),
                "Nothing can be restored into it that way.",
                format!("Take it away for the upgrade: {reset} — and set it again afterwards."),
            ));
        }
    }
    Ok(found)
}

/// What only the running server knows of its settings.
fn live(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let waiting = names(session, "SELECT name FROM pg_settings WHERE pending_restart ORDER BY 1")?;
    if !waiting.is_empty() {
        found.push(Finding::warning(
            "pending-restart",
            format!("{} of settings {} for a restart: {}", if waiting.len() == 1 { "A change" } else { "Changes" }, if waiting.len() == 1 { "waits" } else { "wait" }, some(&waiting, 6)),
            "The files say something else than the running server does. The new server follows the files.",
            format!("If the new values are meant, nothing has to be done. To see now whether the server likes them: docker compose restart {}", shell(&look.deployment.database.service)),
        ));
    }
    let wrong = session.query("SELECT DISTINCT sourcefile, sourceline::text, error FROM pg_file_settings WHERE error IS NOT NULL AND error <> 'setting could not be applied' ORDER BY 1, 2")?;
    if !wrong.is_empty() {
        let list: Vec<String> =
            wrong.iter().map(|r| format!("{}:{}: {}", value(r, 0), value(r, 1), value(r, 2))).collect();
        found.push(Finding::warning(
            "settings-invalid",
            "The configuration files have lines that the server does not take",
            format!("{}. They are not carried over.", some(&list, 5)),
            "Nothing has to be done; correct the lines if you meant something by them.",
        ));
    }
    if session.scalar("SELECT current_setting('archive_mode')")? != "off" {
        found.push(Finding::warning(
            "wal-archive",
            "The server archives its write-ahead log",
            "The archive of the old server stays useful for the old data only. The new one begins a new history, and its WAL must not be mixed with the old.",
            "After the upgrade, give the archive a new directory and make a new base backup.",
        ));
    }
    if session.scalar("SELECT current_setting('wal_level')")? == "logical" {
        found.push(Finding::info(
            "wal-level",
            "wal_level is logical",
            "It is carried over, so logical replication can be set up again.",
        ));
    }
    if !look.facts.data_checksums {
        let text = if look.target_major >= 18 {
            "initdb of PostgreSQL 18 turns them on by itself; the new server is made like the old one, without."
        } else {
            "The new server is made like the old one, without."
        };
        found.push(Finding::info("no-checksums", "The data has no page checksums", text));
    }
    Ok(found)
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
