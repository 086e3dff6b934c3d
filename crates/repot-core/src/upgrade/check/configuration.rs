//! Settings: in files, in the Compose file's `command:`, of roles and databases, and as the server has them now.

use super::Finding;
use super::database::{Look, names, value};
use super::words::{count, shell, some};
use crate::engine::postgres::session::Session;
use crate::engine::postgres::settings::{
    from_arguments, is_on, removed, settings_dropped, settings_to_carry, stuck_files,
};
use crate::error::Result;

/// Settings in files and in the service's `command:`.
pub(super) fn settings(look: &Look<'_>) -> Vec<Finding> {
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
    for (name, path, argument) in stuck_files(facts, &arguments) {
        let place =
            if argument { format!("`command:` of the service {service}") } else { facts.config_file.clone() };
        found.push(Finding::blocker(
            "file-in-old-data",
            format!("{name} names a file inside the data directory: {path}"),
            format!("{place} says so and stays as it is, while the new server gets a data directory of its own. It would not find the file there and not start."),
            format!(
                "Either put the file outside (beside the Compose file, mounted with a line such as `- ./{}:/etc/postgresql/{}:ro`, readable \
                 for the server) and name it by that path; or write {name} into the data directory's postgresql.conf instead, from where it is \
                 carried over with its file. Then restart the service.",
                path.rsplit('/').next().unwrap_or_default(),
                path.rsplit('/').next().unwrap_or_default(),
            ),
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
pub(super) fn settings_of_roles(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
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
pub(super) fn live(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
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
