//! Roles with old passwords, and the rules of pg_hba.conf.

use super::Finding;
use super::database::{Look, names, value};
use super::words::{count, shell, some};
use crate::engine::postgres::session::{Row, Session};
use crate::error::Result;

pub(super) fn roles(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
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

pub(super) fn access_rules(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
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
