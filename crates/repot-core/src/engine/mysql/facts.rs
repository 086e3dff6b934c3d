//! What a server says of itself.

use repot_store::Engine;

use super::session::{Session, literal};
use crate::error::{Error, Result};

/// Databases that every server has.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A server's kind and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// MariaDB or MySQL.
    pub engine: Engine,
    /// 101119 is 10.11.19.
    pub num: u32,
}

/// Asks a server what it is.
pub fn version(session: &mut Session) -> Result<Version> {
    let text = session.scalar("SELECT VERSION()")?;
    parse_version(&text).ok_or_else(|| Error::failed("bad-version", format!("odd version `{text}`")))
}

fn parse_version(text: &str) -> Option<Version> {
    // Some say 5.5.5-10.x for old clients' sake.
    let own = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut parts = own.split(|c: char| !c.is_ascii_digit()).take(3).map(str::parse::<u32>);
    let (major, minor, patch) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let engine = if text.contains("MariaDB") { Engine::Mariadb } else { Engine::Mysql };
    Some(Version { engine, num: major * 10_000 + minor * 100 + patch })
}

/// The server's databases but its own and those that a restore has made or set aside.
pub fn databases(session: &mut Session) -> Result<Vec<String>> {
    let rows = session.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME")?;
    let all = rows.into_iter().filter_map(|r| r.into_iter().next());
    Ok(all.filter(|n| !SYSTEM.contains(&n.as_str()) && !is_ours(n)).collect())
}

/// Whether a database is one that a restore made: `NAME_HASH_fresh_RUN` or `NAME_HASH_repot_RUN`.
pub fn is_ours(name: &str) -> bool {
    let mut parts = name.rsplitn(6, '_');
    let mut next = |digits: usize| {
        parts.next().is_some_and(|p| p.len() == digits && p.chars().all(|c| c.is_ascii_hexdigit()))
    };
    next(4) && next(6) && next(8) && {
        let kind = parts.next();
        let hash = parts.next();
        matches!(kind, Some("fresh" | "repot")) && hash.is_some_and(|h| h.len() == 16)
    }
}

/// Whether a database is there, and whether anything is in it.
pub fn contents(session: &mut Session, name: &str) -> Result<Option<u64>> {
    let name = literal(name);
    let there = session.query(&format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE BINARY SCHEMA_NAME = BINARY {name}"
    ))?;
    if there.is_empty() {
        return Ok(None);
    }
    let mut found = 0;
    for (table, column) in
        [("TABLES", "TABLE_SCHEMA"), ("ROUTINES", "ROUTINE_SCHEMA"), ("EVENTS", "EVENT_SCHEMA")]
    {
        let sql =
            format!("SELECT COUNT(*) FROM information_schema.{table} WHERE BINARY {column} = BINARY {name}");
        found += session.scalar(&sql)?.parse::<u64>().unwrap_or(1);
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let of = |t| parse_version(t).map(|v| (v.engine, v.num));
        assert_eq!(of("10.11.19-MariaDB-0+deb12u1"), Some((Engine::Mariadb, 101_119)));
        assert_eq!(of("5.5.5-10.6.4-MariaDB-log"), Some((Engine::Mariadb, 100_604)));
        assert_eq!(of("8.4.2"), Some((Engine::Mysql, 80_402)));
        assert_eq!(of("odd"), None);
    }

    #[test]
    fn own_databases_are_told_from_others() {
        let aside = crate::upgrade::steps::restore::aside_name("shop", "20260101-101500-3f2a");
        assert!(is_ours(&aside) && is_ours(&aside.replace("_repot_", "_fresh_")), "{aside}");
        assert!(!is_ours("shop") && !is_ours("a_b_c_d_e_f") && !is_ours("x_repot_20260101_101500_3f2a"));
    }
}
