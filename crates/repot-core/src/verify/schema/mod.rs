//! Definitions of everything in a database, read from its catalogs in a form that does not depend on the version.
//!
//! Each query answers with rows of kind, name and definition; a definition is one property a line, and what has
//! its default value is not written. So a property that an old version does not know needs no special case: it
//! appears on the new side only if it was set there. Where a newer version always writes something that an older
//! one cannot, it becomes a kind of its own that [`compared_from`] leaves out.
//!
//! Left out on purpose: objects of extensions (their version may differ), toast tables and row types (they come
//! with their table), clones of a partitioned table's foreign keys and triggers (the server makes and names
//! them), statistics, collation versions, storage numbers (relfilenode, OIDs), the rows of pg_init_privs.

mod others;
mod relations;
mod routines;
mod types;

use crate::engine::postgres::session::Session;
use crate::error::Result;

use super::fingerprint::SchemaObject;
use super::normalise;

/// The objects that belong to extensions, with all that hangs on them (row types, indexes, constraints).
const EXTENSION_MEMBERS: &str = "WITH RECURSIVE ext(classid, objid) AS (\
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass \
    UNION SELECT d.classid, d.objid FROM pg_depend d JOIN ext e ON d.refclassid = e.classid AND d.refobjid = e.objid \
    WHERE d.deptype IN ('i', 'a')) ";

/// Objects with a smaller OID came with the server.
const FIRST_USER_OID: u32 = 16384;

/// The version from which objects of this kind exist, where that matters: they are compared only when both
/// servers have that version.
#[must_use]
pub(super) fn compared_from(kind: &str) -> u32 {
    match kind {
        // Restored from an older version, GRANT ALL includes MAINTAIN, which nobody had asked for.
        "maintain privilege" => 170_000,
        // Before 18, a NOT NULL had no name.
        "not-null constraint" => 180_000,
        // Before 14, no range had one; restoring makes and names it.
        "multirange type" => 140_000,
        _ => 0,
    }
}

/// Reads every object of the session's database, sorted by kind and name.
pub(super) fn objects(session: &Session, version: u32) -> Result<Vec<SchemaObject>> {
    let mut found = Vec::new();
    let queries = [
        relations::queries(version),
        routines::queries(version),
        types::queries(version),
        others::queries(version),
    ];
    for sql in queries.iter().flatten() {
        read(session, &format!("{EXTENSION_MEMBERS}{sql}"), &mut found)?;
    }
    found.sort();
    Ok(found)
}

/// Runs a query for kind, name and definition.
pub(super) fn read(session: &Session, sql: &str, into: &mut Vec<SchemaObject>) -> Result<()> {
    for row in session.query(sql)? {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let kind = values.next().unwrap_or_default();
        let name = values.next().unwrap_or_default();
        let definition = normalise::definition(&kind, &values.next().unwrap_or_default());
        into.push(SchemaObject::new(kind, name, &definition));
    }
    Ok(())
}

/// SQL for a role's name. `pg_database_owner` (14 and later, the owner of `public` from 15) is written as the role
/// it stands for, so that a `public` that its database's owner owns is the same either way.
pub(super) fn role(oid: &str) -> String {
    format!(
        "(SELECT CASE pg_get_userbyid({oid}) WHEN 'pg_database_owner' THEN pg_get_userbyid(datdba) \
         ELSE pg_get_userbyid({oid}) END FROM pg_database WHERE datname = current_database())"
    )
}

/// SQL for lines `grant: GRANTEE PRIVILEGE[*],...`, or NULL: the effective privileges, whether they are the
/// default or written out, without who granted them (a restore grants as the owner) and without MAINTAIN.
pub(super) fn grants(acl: &str, kind: char, owner: &str) -> String {
    grants_in(&format!("coalesce({acl}, acldefault('{kind}', {owner}))"), "grant: ", "<> 'MAINTAIN'")
}

/// SQL for the lines of [`grants`], of an expression that is never NULL, each after `label`.
pub(super) fn grants_in(acl: &str, label: &str, which: &str) -> String {
    format!(
        "(SELECT string_agg({label} || who || ' ' || what, E'\\n' ORDER BY who COLLATE \"C\") FROM ( \
           SELECT who, string_agg(priv || CASE WHEN again THEN '*' ELSE '' END, ',' ORDER BY priv COLLATE \"C\") AS what \
           FROM (SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident({}) END AS who, \
                   privilege_type AS priv, bool_or(is_grantable) AS again \
                 FROM aclexplode({acl}) WHERE privilege_type {which} GROUP BY 1, 2) AS one GROUP BY who) AS grantees)",
        role("grantee"),
        label = crate::engine::postgres::session::literal(label),
    )
}

/// SQL for a collation's qualified name (regcollation came with 13 only).
fn collation(oid: &str) -> String {
    format!(
        "(SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co \
         JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = {oid})"
    )
}

/// SQL for a sorted, comma-separated list out of a text array, or NULL when it is empty.
pub(super) fn sorted(array: &str) -> String {
    format!("(SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM unnest({array}) AS o)")
}

/// SQL condition: the schema is not the system's.
pub(super) fn user_schema(alias: &str) -> String {
    format!("({alias}.nspname !~ '^pg_' AND {alias}.nspname <> 'information_schema')")
}

/// SQL condition: the object is no extension's.
pub(super) fn no_extension(class: &str, oid: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM ext WHERE ext.classid = '{class}'::regclass AND ext.objid = {oid})")
}
