//! What belongs to the server rather than to one database: roles, memberships, tablespaces, database properties.

use std::collections::BTreeMap;

use crate::engine::postgres::session::Session;
use crate::error::{Error, Result};

use super::fingerprint::{DatabaseFingerprint, SchemaObject};
use super::schema::{grants, sorted};

/// How a role's line about its password begins.
pub(super) const PASSWORD: &str = "password: ";

/// Roles but the system's own. Of a password only a BLAKE3 of its stored form is kept, and not even that form is
/// written down anywhere on the way.
pub(super) fn roles(session: &Session, into: &mut Vec<SchemaObject>) -> Result<()> {
    let rows = session
        .query(&format!(
            "SELECT quote_ident(r.rolname), concat_ws(E'\\n', \
               concat_ws(' ', CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN NOT r.rolinherit THEN 'noinherit' END, \
                 CASE WHEN r.rolcreaterole THEN 'createrole' END, CASE WHEN r.rolcreatedb THEN 'createdb' END, \
                 CASE WHEN r.rolcanlogin THEN 'login' ELSE 'nologin' END, \
                 CASE WHEN r.rolreplication THEN 'replication' END, CASE WHEN r.rolbypassrls THEN 'bypassrls' END), \
               'connection limit: ' || nullif(r.rolconnlimit, -1), 'valid until: ' || r.rolvaliduntil, \
               'set: ' || (SELECT {} FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), \
               'comment: ' || shobj_description(r.oid, 'pg_authid'), \
               (SELECT string_agg('security label by ' || l.provider || ': ' || l.label, E'\\n' ORDER BY l.provider) \
                FROM pg_shseclabel l WHERE l.classoid = 'pg_authid'::regclass AND l.objoid = r.oid)), r.rolpassword \
             FROM pg_authid r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname COLLATE \"C\"",
            sorted("s.setconfig")
        ))
        .map_err(needs_superuser)?;
    for row in rows {
        let mut values = row.into_iter();
        let name = values.next().flatten().unwrap_or_default();
        let mut definition = values.next().flatten().unwrap_or_default();
        if let Some(stored) = values.next().flatten() {
            let form = if stored.starts_with("SCRAM-SHA-256$") { "scram-sha-256" } else { "md5" };
            definition.push('\n');
            definition.push_str(PASSWORD);
            definition.push_str(form);
            definition.push_str(", blake3 ");
            definition.push_str(&super::fingerprint::digest(&stored));
        }
        into.push(SchemaObject::new("role", name, &definition));
    }
    Ok(())
}

/// Who is a member of what. Not by whom it was granted, nor the INHERIT and SET options, which exist from 16 only
/// and have in a restored grant the value that older versions implied.
pub(super) fn memberships(session: &Session, into: &mut Vec<SchemaObject>) -> Result<()> {
    let rows = session.query(
        "SELECT quote_ident(m.rolname) || ' in ' || quote_ident(r.rolname), \
           CASE WHEN bool_or(a.admin_option) THEN 'with admin option' ELSE 'member' END \
         FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member \
         WHERE m.rolname !~ '^pg_' GROUP BY 1 ORDER BY 1",
    )?;
    push(rows, "membership", into);
    Ok(())
}

/// Tablespaces but the built-in two. Their location is the machine's.
pub(super) fn tablespaces(session: &Session, into: &mut Vec<SchemaObject>) -> Result<()> {
    let rows = session.query(&format!(
        "SELECT quote_ident(t.spcname), concat_ws(E'\\n', 'owner: ' || pg_get_userbyid(t.spcowner), \
           'options: ' || {}, {}, 'comment: ' || shobj_description(t.oid, 'pg_tablespace')) \
         FROM pg_tablespace t WHERE t.spcname !~ '^pg_' ORDER BY 1",
        sorted("t.spcoptions"),
        grants("t.spcacl", 't', "t.spcowner"),
    ))?;
    push(rows, "tablespace", into);
    Ok(())
}

fn push(rows: Vec<crate::engine::postgres::session::Row>, kind: &str, into: &mut Vec<SchemaObject>) {
    for row in rows {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let name = values.next().unwrap_or_default();
        into.push(SchemaObject::new(kind, name, &values.next().unwrap_or_default()));
    }
    into.sort();
}

/// Every database with whether it can be connected to.
pub(super) fn databases(
    session: &Session,
    version: u32,
) -> Result<BTreeMap<String, (DatabaseFingerprint, bool)>> {
    let provider = match version {
        170_000.. => {
            "CASE d.datlocprovider WHEN 'i' THEN 'icu ' || d.datlocale WHEN 'b' THEN 'builtin ' || d.datlocale ELSE 'libc' END"
        }
        150_000.. => "CASE d.datlocprovider WHEN 'i' THEN 'icu ' || d.daticulocale ELSE 'libc' END",
        _ => "'libc'",
    };
    let rows = session.query(&format!(
        "SELECT d.datname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, {provider}, \
           pg_get_userbyid(d.datdba), d.datconnlimit, d.datistemplate, d.datallowconn, {}, \
           (SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") FROM ( \
              SELECT CASE s.setrole WHEN 0 THEN '' ELSE 'role ' || quote_ident(pg_get_userbyid(s.setrole)) || ': ' END || o AS line \
              FROM pg_db_role_setting s, unnest(s.setconfig) AS o WHERE s.setdatabase = d.oid \
              UNION ALL SELECT 'comment: ' || shobj_description(d.oid, 'pg_database') WHERE d.datname NOT IN ('postgres', 'template1') \
                AND shobj_description(d.oid, 'pg_database') IS NOT NULL \
              UNION ALL SELECT 'security label by ' || l.provider || ': ' || l.label FROM pg_shseclabel l \
              WHERE l.classoid = 'pg_database'::regclass AND l.objoid = d.oid) AS settings) \
         FROM pg_database d",
        grants("d.datacl", 'd', "d.datdba"),
    ))?;
    let lines = |text: String| text.lines().map(|l| l.trim_start_matches("grant: ").to_owned()).collect();
    let mut found = BTreeMap::new();
    for row in rows {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || values.next().unwrap_or_default();
        let name = next();
        let mut d = DatabaseFingerprint { encoding: next(), ..DatabaseFingerprint::default() };
        d.collate = next();
        d.ctype = next();
        d.provider = next();
        d.owner = next();
        d.connection_limit = next().parse().unwrap_or(-1);
        d.is_template = next() == "t";
        let connectable = next() == "t";
        d.acl = lines(next());
        d.settings = lines(next());
        found.insert(name, (d, connectable));
    }
    Ok(found)
}

fn needs_superuser(e: Error) -> Error {
    if e.code == "not-allowed" {
        return Error { what: format!("cannot read the roles ({})", e.what), ..e };
    }
    e
}
