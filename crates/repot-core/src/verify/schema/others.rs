//! What is neither table, routine nor type: event triggers, replication, foreign servers, comments, privileges.

use super::super::fingerprint::LargeObjects;
use super::{FIRST_USER_OID, grants, grants_in, no_extension, role, sorted};

pub(super) fn queries(version: u32) -> Vec<String> {
    let mut all = vec![
        event_triggers(),
        publications(version),
        subscriptions(),
        wrappers(),
        servers(),
        user_mappings(),
        default_privileges(),
        changed_privileges(),
        comments(),
        security_labels(),
        large_objects(),
    ];
    if version >= 150_000 {
        all.push(published_schemas());
    }
    all
}

fn event_triggers() -> String {
    format!(
        "SELECT 'event trigger', quote_ident(e.evtname), concat_ws(E'\\n', 'owner: ' || {}, 'on: ' || e.evtevent, \
           'when tag in: ' || {}, 'function: ' || e.evtfoid::regprocedure, \
           CASE e.evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled: replica' WHEN 'A' THEN 'enabled: always' END) \
         FROM pg_event_trigger e WHERE {}",
        role("e.evtowner"),
        sorted("e.evttags"),
        no_extension("pg_event_trigger", "e.oid"),
    )
}

fn publications(version: u32) -> String {
    let root = if version >= 130_000 { "CASE WHEN p.pubviaroot THEN 'via root' END" } else { "NULL" };
    let detail = if version >= 150_000 {
        " || coalesce(' (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a \
           WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) || ')', '') \
          || coalesce(' where ' || pg_get_expr(r.prqual, r.prrelid), '')"
    } else {
        ""
    };
    format!(
        "SELECT 'publication', quote_ident(p.pubname), concat_ws(E'\\n', 'owner: ' || {}, \
           CASE WHEN p.puballtables THEN 'for all tables' END, \
           concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, \
             CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END), {root}, \
           (SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") FROM \
             (SELECT 'table ' || r.prrelid::regclass{detail} AS line FROM pg_publication_rel r WHERE r.prpubid = p.oid) AS rels)) \
         FROM pg_publication p WHERE {}",
        role("p.pubowner"),
        no_extension("pg_publication", "p.oid"),
    )
}

fn published_schemas() -> String {
    "SELECT 'published schema', format('%I in %I', n.nspname, p.pubname), '' FROM pg_publication_namespace x \
     JOIN pg_publication p ON p.oid = x.pnpubid JOIN pg_namespace n ON n.oid = x.pnnspid"
        .to_owned()
}

/// Without the connection string, which holds a password, and without whether it runs: a restore leaves every
/// subscription off, and somebody must decide when to turn it on.
fn subscriptions() -> String {
    format!(
        "SELECT 'subscription', quote_ident(s.subname), concat_ws(E'\\n', 'owner: ' || {}, 'slot: ' || s.subslotname, \
           'publications: ' || {}) \
         FROM pg_subscription s \
         WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        role("s.subowner"),
        sorted("s.subpublications"),
    )
}

fn wrappers() -> String {
    format!(
        "SELECT 'foreign-data wrapper', quote_ident(w.fdwname), concat_ws(E'\\n', 'owner: ' || {}, \
           CASE WHEN w.fdwhandler <> 0 THEN 'handler: ' || w.fdwhandler::regprocedure END, \
           CASE WHEN w.fdwvalidator <> 0 THEN 'validator: ' || w.fdwvalidator::regprocedure END, \
           'options: ' || {}, {}) FROM pg_foreign_data_wrapper w WHERE {}",
        role("w.fdwowner"),
        sorted("w.fdwoptions"),
        grants("w.fdwacl", 'F', "w.fdwowner"),
        no_extension("pg_foreign_data_wrapper", "w.oid"),
    )
}

fn servers() -> String {
    format!(
        "SELECT 'foreign server', quote_ident(s.srvname), concat_ws(E'\\n', 'owner: ' || {}, \
           'wrapper: ' || quote_ident(w.fdwname), 'type: ' || s.srvtype, 'version: ' || s.srvversion, \
           'options: ' || {}, {}) \
         FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE {}",
        role("s.srvowner"),
        sorted("s.srvoptions"),
        grants("s.srvacl", 'S', "s.srvowner"),
        no_extension("pg_foreign_server", "s.oid"),
    )
}

/// Only which options there are: their values hold passwords. The view hides them from who may not see them.
fn user_mappings() -> String {
    format!(
        "SELECT 'user mapping', format('%I on %I', m.usename, m.srvname), 'options: ' || {} FROM pg_user_mappings m",
        sorted("ARRAY(SELECT split_part(o, '=', 1) FROM unnest(m.umoptions) AS o)"),
    )
}

fn default_privileges() -> String {
    format!(
        "SELECT 'default privileges', format('for %s%s of %I', CASE d.defaclobjtype WHEN 'r' THEN 'tables' \
             WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' \
             ELSE 'large objects' END, coalesce(' in ' || quote_ident(n.nspname), ''), pg_get_userbyid(d.defaclrole)), {} \
         FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace",
        grants_in("d.defaclacl", "grant: ", "<> 'MAINTAIN'"),
    )
}

/// What was granted or revoked on objects of the system and of extensions, beyond what they came with; a dump
/// carries these too. Only the difference is told: what they come with is their version's business. Not those of
/// `information_schema`, which no dump carries and whose first state no catalog keeps.
fn changed_privileges() -> String {
    let on = |kind: &str, class: &str, name: &str, acl: &str, owner: &str, letter: &str, from: &str| {
        format!(
            "SELECT '{kind}' AS kind, {name} AS name, coalesce(o.{acl}, acldefault({letter}, o.{owner})) AS now, \
               coalesce(i.initprivs, acldefault({letter}, o.{owner})) AS at_first \
             FROM {from} LEFT JOIN pg_init_privs i ON i.classoid = '{class}'::regclass AND i.objoid = o.oid AND i.objsubid = 0 \
             WHERE (n.nspname = 'pg_catalog' OR NOT {}) AND (o.{acl} IS NOT NULL OR i.initprivs IS NOT NULL)",
            no_extension(class, "o.oid"),
        )
    };
    let tables = on(
        "table",
        "pg_class",
        "format('%I.%I', n.nspname, o.relname)",
        "relacl",
        "relowner",
        "CASE o.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END",
        "pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace AND o.relkind IN ('r','p','v','m','f','S') \
         AND o.relpersistence <> 't'",
    );
    let functions = on(
        "function",
        "pg_proc",
        "format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid))",
        "proacl",
        "proowner",
        "'f'",
        "pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace",
    );
    let schemas = on(
        "schema",
        "pg_namespace",
        "quote_ident(o.nspname)",
        "nspacl",
        "nspowner",
        "'n'",
        "pg_namespace o JOIN pg_namespace n ON n.oid = o.oid",
    );
    let minus = |a: &str, b: &str, label: &str| {
        format!(
            "SELECT kind, name, '{label} ' || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident({}) END || ' ' || \
               privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END AS line FROM ( \
               SELECT kind, name, x.grantee, x.privilege_type, x.is_grantable FROM objects, aclexplode({a}) AS x \
               WHERE x.privilege_type <> 'MAINTAIN' \
               EXCEPT SELECT kind, name, x.grantee, x.privilege_type, x.is_grantable FROM objects, aclexplode({b}) AS x) AS d",
            role("grantee"),
        )
    };
    format!(
        ", objects AS ({tables} UNION ALL {functions} UNION ALL {schemas}) \
         SELECT 'changed privileges', kind || ' ' || name, string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") \
         FROM ({} UNION ALL {}) AS lines GROUP BY kind, name",
        minus("now", "at_first", "granted:"),
        minus("at_first", "now", "revoked:"),
    )
}

fn comments() -> String {
    format!(
        "SELECT 'comment', i.type || ' ' || i.identity, d.description \
         FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i \
         WHERE (d.objoid >= {FIRST_USER_OID} OR (d.classoid = 'pg_namespace'::regclass AND d.objoid = 'public'::regnamespace)) \
           AND NOT EXISTS (SELECT 1 FROM ext WHERE ext.classid = d.classoid AND ext.objid = d.objoid)"
    )
    // A database may have no schema `public`; then the cast would fail.
    .replace("'public'::regnamespace", "to_regnamespace('public')")
}

fn security_labels() -> String {
    "SELECT 'security label', l.objtype || ' ' || l.objname || ' by ' || l.provider, l.label FROM pg_seclabels l \
     WHERE l.objtype NOT IN ('role', 'database', 'tablespace')"
        .to_owned()
}

/// Owner and privileges: by object while there are few, by group otherwise.
fn large_objects() -> String {
    let few = format!("(SELECT count(*) <= {} FROM pg_largeobject_metadata)", LargeObjects::BY_OBJECT);
    let grants = grants("m.lomacl", 'L', "m.lomowner");
    format!(
        "SELECT 'large object', m.oid::text, concat_ws(E'\\n', 'owner: ' || {owner}, {grants}) \
         FROM pg_largeobject_metadata m WHERE {few} \
         UNION ALL \
         SELECT 'large objects', concat_ws('; ', 'owner: ' || owner, replace(grants, E'\\n', ', ')), 'count: ' || n \
         FROM (SELECT {owner} AS owner, {grants} AS grants, count(*) AS n FROM \
           (SELECT lomowner, lomacl FROM pg_largeobject_metadata) AS m GROUP BY 1, 2) AS g WHERE NOT {few}",
        owner = role("m.lomowner"),
    )
}
