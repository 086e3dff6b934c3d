//! What is inside one database: objects that a dump carries differently, or not at all.

use super::Finding;
use super::database::{Look, names, value};
use super::words::{count, some};
use crate::engine::postgres::facts::DatabaseFacts;
use crate::engine::postgres::session::Session;
use crate::error::Result;

/// Not a member of an extension; `$c` is the catalog, `$o` the object's oid.
fn own(catalog: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')"
    )
}

/// Looks into one database.
pub(super) fn check(
    look: &Look<'_>,
    session: &Session,
    d: &DatabaseFacts,
    found: &mut Vec<Finding>,
) -> Result<()> {
    let name = d.name.as_str();
    indexes(look, session, name, found)?;
    constraints(session, name, found)?;
    types(look, session, name, found)?;
    dropped_objects(look, session, name, found)?;
    functions(look, session, name, found)?;
    expressions(look, session, name, found)?;
    outside(look, session, name, found)?;
    sort_versions(look, session, name, found)?;
    views(session, name, found)?;
    plain(session, name, found)
}

fn indexes(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    // pg_dump leaves out indexes that are not valid (getIndexes in pg_dump.c), except those of partitioned tables.
    let rows = session.query(
        "SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', tn.nspname, t.relname), i.indisunique FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = i.indrelid \
         JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready) AND n.nspname <> 'pg_toast' ORDER BY 1",
    )?;
    for r in &rows {
        let (index, table, unique) = (value(r, 0), value(r, 1), value(r, 2) == "t");
        let reindex = if look.source() >= 12 {
            format!("REINDEX INDEX CONCURRENTLY {index}")
        } else {
            format!("REINDEX INDEX {index}")
        };
        let twice = if unique {
            " If it says that a key is duplicated, two rows of the table have the value that it names: correct one of them and try again."
        } else {
            ""
        };
        found.push(Finding::warning(
            "invalid-indexes",
            format!("An index in the database {name} is not valid: {index}"),
            format!(
                "It belongs to {table}; making it was cut off or failed, so the server does not use it. A dump leaves such an \
                 index out: the new server will not have it{}.",
                if unique { ", and nothing will keep double values out" } else { "" }
            ),
            format!(
                "If it is wanted: {}.{twice} If it is a leftover (often named …_ccnew): {}",
                look.psql(name, &reindex),
                look.psql(name, &format!("DROP INDEX {index}"))
            ),
        ));
    }
    Ok(())
}

fn constraints(session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let list = names(
        session,
        "SELECT format('%I on %s', c.conname, c.conrelid::regclass) FROM pg_constraint c WHERE NOT c.convalidated AND c.conrelid >= 16384 ORDER BY 1",
    )?;
    if !list.is_empty() {
        found.push(Finding::info(
            "not-valid-constraints",
            format!(
                "{} in {name} never checked against old rows",
                if list.len() == 1 {
                    "A constraint was".to_owned()
                } else {
                    format!("{} constraints were", list.len())
                }
            ),
            format!("{} (NOT VALID). They come along just so.", some(&list, 6)),
        ));
    }
    let children = names(
        session,
        "SELECT DISTINCT format('%I.%I.%I', n.nspname, c.relname, ca.attname) FROM pg_inherits i \
         JOIN pg_attribute pa ON pa.attrelid = i.inhparent AND pa.attnum > 0 AND pa.attnotnull AND NOT pa.attisdropped \
         JOIN pg_attribute ca ON ca.attrelid = i.inhrelid AND ca.attname = pa.attname AND NOT ca.attnotnull \
         JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f') JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1",
    )?;
    if !children.is_empty() {
        found.push(Finding::warning(
            "inherited-not-null",
            format!("Tables in {name} allow empty values that their parent table forbids"),
            format!("{}. The restored tables will forbid them too; a row with an empty value there stops the restore (the old data stays as it is).", some(&children, 6)),
            "Fill the empty values, or drop NOT NULL on the parent's column.",
        ));
    }
    Ok(())
}

/// Columns whose type is one of `types`, directly or within an array, domain or row type.
fn columns_of(session: &Session, types: &str) -> Result<Vec<String>> {
    names(
        session,
        &format!(
            "WITH RECURSIVE wanted(oid) AS (SELECT t.oid FROM pg_type t WHERE t.typnamespace = 11 AND t.typname IN ({types}) \
             UNION SELECT t.oid FROM wanted w JOIN pg_type t ON t.typbasetype = w.oid OR (t.typelem = w.oid AND t.typcategory = 'A') \
             OR (t.typtype = 'c' AND EXISTS (SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'c' \
               WHERE c.reltype = t.oid AND a.atttypid = w.oid AND NOT a.attisdropped))) \
             SELECT format('%I.%I.%I (%s)', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a \
             JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm', 'f') JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname <> 'pg_toast' AND a.atttypid IN (SELECT oid FROM wanted) ORDER BY 1"
        ),
    )
}

fn types(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    if look.passes(12) {
        let old = columns_of(session, "'abstime', 'reltime', 'tinterval'")?;
        if !old.is_empty() {
            let column = old[0].split(' ').next().unwrap_or_default();
            let (table, column) = column.rsplit_once('.').unwrap_or(("TABLE", "COLUMN"));
            found.push(Finding::blocker(
                "removed-types",
                format!("Columns in {name} have types that PostgreSQL 12 dropped"),
                format!("{}.", some(&old, 8)),
                format!(
                    "Give them a type of today, each like this: {} (interval for reltime).",
                    look.psql(name, &format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE timestamptz"))
                ),
            ));
        }
        let tables = names(
            session,
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND c.relhasoids ORDER BY 1",
        )?;
        if !tables.is_empty() {
            found.push(Finding::blocker(
                "with-oids",
                format!("Tables in {name} were made WITH OIDS, which PostgreSQL 12 dropped"),
                format!("{}. Their hidden column oid would be lost without a word.", some(&tables, 8)),
                format!(
                    "If nothing reads that column: {} (each table). If something does, copy it into an ordinary column first.",
                    look.psql(name, &format!("ALTER TABLE {} SET WITHOUT OIDS", tables[0]))
                ),
            ));
        }
    }
    let counters =
        columns_of(session, "'xid', 'xid8', 'cid', 'tid', 'txid_snapshot', 'pg_snapshot', 'pg_lsn'")?;
    if !counters.is_empty() {
        found.push(Finding::warning(
            "transaction-ids",
            format!("Columns in {name} hold numbers of the old server's transactions or log"),
            format!(
                "{}. They come along as they are, but the new server counts from the beginning: who compares them with the present \
                 number (some event queues do) sees old rows as coming from the future.",
                some(&counters, 6)
            ),
            "Ask the application's documentation whether it survives a dump and restore; if it does not, let it drain its queue first.",
        ));
    }
    if look.passes(16) {
        let acl = columns_of(session, "'aclitem'")?;
        if !acl.is_empty() {
            found.push(Finding::info(
                "aclitem-columns",
                format!("Columns in {name} hold access rights (aclitem)"),
                format!(
                    "{}. Their inner form changed in 16; a dump carries them as text, so they come along.",
                    some(&acl, 6)
                ),
            ));
        }
    }
    let by_name = columns_of(
        session,
        "'regproc', 'regprocedure', 'regoper', 'regoperator', 'regclass', 'regtype', 'regrole', 'regnamespace', 'regconfig', 'regdictionary', 'regcollation'",
    )?;
    if !by_name.is_empty() {
        found.push(Finding::info(
            "reg-columns",
            format!("Columns in {name} refer to tables, functions or the like"),
            format!(
                "{}. They are carried by name, so they mean the same on the new server.",
                some(&by_name, 6)
            ),
        ));
    }
    Ok(())
}

/// Objects that a major dropped, or that pg_dump passes over.
fn dropped_objects(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let relations = own("pg_class", "c.oid");
    let procedures = own("pg_proc", "p.oid");
    let hidden = names(
        session,
        &format!(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.oid >= 16384 AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f') AND {relations} \
             UNION ALL SELECT format('%I.%I()', n.nspname, p.proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname IN ('pg_catalog', 'information_schema') AND p.oid >= 16384 AND {procedures} ORDER BY 1"
        ),
    )?;
    if !hidden.is_empty() {
        found.push(Finding::blocker(
            "objects-in-pg-catalog",
            format!("Somebody made objects in PostgreSQL's own schemas in {name}"),
            format!(
                "{}. A dump never contains what is in these schemas, so they would be lost.",
                some(&hidden, 6)
            ),
            format!(
                "Move each to a schema of your own, like this: {}",
                look.psql(name, "ALTER FUNCTION pg_catalog.NAME(…) SET SCHEMA public")
            ),
        ));
    }
    if !look.passes(14) {
        return Ok(());
    }
    let postfix = names(
        session,
        "SELECT o.oid::regoperator::text FROM pg_operator o WHERE o.oid >= 16384 AND o.oprright = 0 AND o.oprleft <> 0 ORDER BY 1",
    )?;
    if !postfix.is_empty() {
        found.push(Finding::blocker(
            "postfix-operators",
            format!("{name} has operators that stand behind their operand, which PostgreSQL 14 dropped"),
            format!("{}.", some(&postfix, 6)),
            format!(
                "Use a function instead, then: {}",
                look.psql(name, &format!("DROP OPERATOR {}", postfix[0]))
            ),
        ));
    }
    let conversions = names(
        session,
        "SELECT format('%I.%I', n.nspname, c.conname) FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.oid >= 16384 ORDER BY 1",
    )?;
    if !conversions.is_empty() {
        found.push(Finding::blocker(
            "encoding-conversions",
            format!("{name} has encoding conversions of its own"),
            format!("{}. PostgreSQL 14 changed what their functions must look like.", some(&conversions, 6)),
            format!(
                "Drop them, and make them again with a version for 14 or later: {}",
                look.psql(name, &format!("DROP CONVERSION {}", conversions[0]))
            ),
        ));
    }
    // pg_upgrade's check_for_incompatible_polymorphics: these functions now take anycompatiblearray.
    let old = "ARRAY['array_append(anyarray,anyelement)', 'array_cat(anyarray,anyarray)', 'array_prepend(anyelement,anyarray)', \
        'array_remove(anyarray,anyelement)', 'array_replace(anyarray,anyelement,anyelement)', 'array_position(anyarray,anyelement)', \
        'array_position(anyarray,anyelement,integer)', 'array_positions(anyarray,anyelement)', 'width_bucket(anyelement,anyarray)']::regprocedure[]";
    let poly = "ARRAY['anyarray', 'anyelement']::regtype[]";
    let aggregates = names(
        session,
        &format!(
            "SELECT 'aggregate ' || p.oid::regprocedure::text FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid WHERE p.oid >= 16384 \
             AND (a.aggtransfn = ANY ({old}) OR a.aggfinalfn = ANY ({old})) AND a.aggtranstype = ANY ({poly}) \
             UNION ALL SELECT 'operator ' || o.oid::regoperator::text FROM pg_operator o WHERE o.oid >= 16384 AND o.oprcode = ANY ({old}) AND o.oprleft = ANY ({poly}) ORDER BY 1"
        ),
    )?;
    if !aggregates.is_empty() {
        found.push(Finding::blocker(
            "anyarray-aggregates",
            format!("{name} has aggregates or operators on functions that PostgreSQL 14 changed"),
            format!("{}. They are made for anyarray or anyelement, and the functions take anycompatiblearray now.", some(&aggregates, 6)),
            "Drop each of them before the upgrade, and make it again afterwards with anycompatiblearray and anycompatible.",
        ));
    }
    Ok(())
}

fn functions(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let rows = session.query(
        "SELECT p.oid::regprocedure::text, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) FROM pg_proc p CROSS JOIN unnest(p.proconfig) c WHERE p.oid >= 16384 ORDER BY 1",
    )?;
    for r in &rows {
        let (function, setting) = (value(r, 0), value(r, 1));
        if let Some(gone) =
            crate::engine::postgres::settings::removed(&setting, look.source(), look.target_major)
                .filter(|g| !g.alias)
            && gone.convert.is_none_or(|c| c(&value(r, 2), look.facts.wal_segment_bytes) != Some(value(r, 2)))
        {
            found.push(Finding::blocker(
                "removed-setting-role",
                format!("The function {function} in {name} sets {setting}, which no longer exists"),
                format!(
                    "PostgreSQL {} dropped or renamed it ({}); restoring the function would fail.",
                    gone.removed_in, gone.why
                ),
                format!(
                    "Take it away: {}",
                    look.psql(name, &format!("ALTER FUNCTION {function} RESET {setting}"))
                ),
            ));
        }
    }
    Ok(())
}

/// Index expressions and checks that call functions of the user's own are tried as a restore will run them: with
/// nothing on the search path (CVE-2018-1058; 17 does so for every index build). What fails here fails there.
fn expressions(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let rows = session.query(&format!(
        "WITH f AS (SELECT p.oid, p.oid::regprocedure::text AS name FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang \
           WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND {} AND NOT EXISTS (SELECT 1 FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')) \
         SELECT 'index ' || i.indexrelid::regclass, f.name, i.indrelid::regclass::text, \
           coalesce((SELECT string_agg('(' || pg_get_indexdef(i.indexrelid, k, false) || ')', ', ') FROM generate_series(1, i.indnkeyatts) k WHERE i.indkey[k - 1] = 0), '1') \
           || coalesce(', (' || pg_get_expr(i.indpred, i.indrelid) || ')', '') \
         FROM pg_index i JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_proc'::regclass \
         JOIN f ON f.oid = d.refobjid WHERE i.indrelid >= 16384 AND i.indisvalid \
         UNION ALL SELECT 'constraint ' || c.conname || ' on ' || c.conrelid::regclass, f.name, c.conrelid::regclass::text, '(' || pg_get_expr(c.conbin, c.conrelid) || ')' \
         FROM pg_constraint c JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass \
         JOIN f ON f.oid = d.refobjid WHERE c.contype = 'c' AND c.conrelid >= 16384 ORDER BY 1 LIMIT 200",
        own("pg_proc", "p.oid")
    ))?;
    for r in &rows {
        crate::interrupt::check()?;
        let (what, function, table, expression) = (value(r, 0), value(r, 1), value(r, 2), value(r, 3));
        let tried = session.query(&format!(
            "BEGIN READ ONLY; SET LOCAL search_path = ''; SET LOCAL statement_timeout = '3s'; SELECT {expression} FROM {table} LIMIT 20"
        ));
        session.execute("ROLLBACK")?;
        let Err(e) = tried else { continue };
        if e.kind == crate::error::Kind::Interrupted {
            return Err(e);
        }
        let why = e.why.unwrap_or_default();
        // Only "there is no such function, table, type" speaks of the search path (SQLSTATE 42883, 42P01, 42704).
        if !["42883", "42P01", "42704"].iter().any(|s| why.contains(s)) {
            continue;
        }
        found.push(Finding::blocker(
            "function-search-path",
            format!("The function {function} in {name} cannot run during a restore"),
            format!(
                "The {what} calls it. A restore runs with nothing on the search path, and then it fails: {why}. The function \
                 does not say in which schema its parts are."
            ),
            format!("Tell it, once: {}", look.psql(name, &format!("ALTER FUNCTION {function} SET search_path = public, pg_temp"))),
        ));
    }
    Ok(())
}

/// What reaches outside the database: other servers, event triggers, labels.
fn outside(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let servers = names(session, "SELECT srvname FROM pg_foreign_server ORDER BY 1")?;
    if !servers.is_empty() {
        found.push(Finding::info(
            "foreign-servers",
            format!(
                "{name} reads from {}: {}",
                count(servers.len(), "other server", "other servers"),
                some(&servers, 6)
            ),
            "Their definitions and logins come along; what is stored on them stays there.",
        ));
    }
    let refreshed = names(
        session,
        "WITH RECURSIVE reach(root, rel) AS (SELECT c.oid, d.refobjid FROM pg_class c JOIN pg_rewrite r ON r.ev_class = c.oid \
           JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid \
           WHERE c.relkind = 'm' AND c.relispopulated \
         UNION SELECT reach.root, d.refobjid FROM reach JOIN pg_rewrite r ON r.ev_class = reach.rel \
           JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> reach.rel) \
         SELECT DISTINCT reach.root::regclass::text FROM reach JOIN pg_class f ON f.oid = reach.rel WHERE f.relkind = 'f' ORDER BY 1",
    )?;
    if !refreshed.is_empty() {
        found.push(Finding::blocker(
            "foreign-materialized-views",
            format!("Materialized views in {name} are filled from another server"),
            format!("{}. A restore fills them anew, and the new server has no network until it has been compared.", some(&refreshed, 6)),
            format!(
                "Empty each before the upgrade: {} — and fill it again afterwards with REFRESH MATERIALIZED VIEW.",
                look.psql(name, &format!("REFRESH MATERIALIZED VIEW {} WITH NO DATA", refreshed[0]))
            ),
        ));
    }
    let triggers = names(
        session,
        &format!(
            "SELECT t.evtname FROM pg_event_trigger t WHERE t.evtenabled <> 'D' AND {} ORDER BY 1",
            own("pg_event_trigger", "t.oid")
        ),
    )?;
    if !triggers.is_empty() {
        found.push(Finding::info(
            "event-triggers",
            format!(
                "{name} has {}: {}",
                count(triggers.len(), "event trigger", "event triggers"),
                some(&triggers, 6)
            ),
            "They are restored last, after everything that would set them off.",
        ));
    }
    let labels = names(
        session,
        "SELECT DISTINCT provider FROM (SELECT provider FROM pg_seclabel UNION SELECT provider FROM pg_shseclabel) l ORDER BY 1",
    )?;
    if !labels.is_empty() {
        found.push(Finding::warning(
            "security-labels",
            format!("{name} has security labels of {}", some(&labels, 4)),
            "They can be restored only where the library that understands them is loaded at the server's start.",
            "See that it is in shared_preload_libraries of the old server; then it comes along.",
        ));
    }
    let publications = names(session, "SELECT pubname FROM pg_publication ORDER BY 1")?;
    if !publications.is_empty() {
        found.push(Finding::info(
            "publications",
            format!("{name} publishes its changes: {}", some(&publications, 6)),
            "The publications come along. Who subscribes to them has to be set up again.",
        ));
    }
    Ok(())
}

/// Indexes that were built under another version of the C library or of ICU may be out of order already.
fn sort_versions(look: &Look<'_>, session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let mut drifted = names(
        session,
        "SELECT DISTINCT c.collname || ' (' || c.collversion || ' then, ' || pg_collation_actual_version(c.oid) || ' now)' FROM pg_collation c \
         WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid) AND c.oid IN (SELECT unnest(i.indcollation::oid[]) FROM pg_index i WHERE i.indrelid >= 16384) ORDER BY 1",
    )?;
    if look.source() >= 15 {
        drifted.extend(names(
            session,
            "SELECT 'the database itself (' || d.datcollversion || ' then, ' || pg_database_collation_actual_version(d.oid) || ' now)' FROM pg_database d \
             WHERE d.datname = current_database() AND d.datcollversion <> pg_database_collation_actual_version(d.oid)",
        )?);
    }
    if !drifted.is_empty() && name != "template1" && name != "postgres" {
        found.push(Finding::warning(
            "collation-drift",
            format!("Text in {name} was sorted by another version of the sorting rules"),
            format!(
                "{}. The image was changed under the data once. Indexes on text may be out of order since, and a unique one may \
                 have let double values in; then the restore stops and says which (the old data stays as it is).",
                some(&drifted, 4)
            ),
            format!("To know beforehand: {} — an error names the double values.", look.psql(name, &format!("REINDEX DATABASE \"{}\"", name.replace('"', "\"\"")))),
        ));
    }
    Ok(())
}

/// Views on PostgreSQL's own tables, whose columns come and go between majors.
fn views(session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let list = names(
        session,
        &format!(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND c.oid >= 16384 AND {} \
             AND pg_get_viewdef(c.oid) ~ '\\m(pg_stat_[a-z_]+|pg_statio_[a-z_]+|pg_class|pg_attribute|pg_attrdef|pg_constraint|pg_proc|pg_index|pg_type|pg_trigger|pg_roles|pg_user|pg_shadow|pg_authid|pg_settings|pg_locks|pg_replication_slots|pg_database|pg_depend)\\M' ORDER BY 1",
            own("pg_class", "c.oid")
        ),
    )?;
    if !list.is_empty() {
        found.push(Finding::warning(
            "views-on-catalogs",
            format!("{} in {name} {} PostgreSQL's own tables", count(list.len(), "view", "views"), if list.len() == 1 { "reads" } else { "read" }),
            format!("{}. Columns of those change between versions; if one is gone, the restore stops at the view (the old data stays as it is).", some(&list, 6)),
            "Monitoring views can be dropped and made again; if one is only used by a monitoring program, drop it before the upgrade.",
        ));
    }
    Ok(())
}

/// What is only worth knowing.
fn plain(session: &Session, name: &str, found: &mut Vec<Finding>) -> Result<()> {
    let unlogged = names(
        session,
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence = 'u' AND c.relkind = 'r' ORDER BY 1",
    )?;
    if !unlogged.is_empty() {
        found.push(Finding::info(
            "unlogged-tables",
            format!(
                "{} in {name} {} unlogged",
                count(unlogged.len(), "table", "tables"),
                if unlogged.len() == 1 { "is" } else { "are" }
            ),
            format!("{}. Their rows come along like all others.", some(&unlogged, 6)),
        ));
    }
    if name == "template1" {
        let objects = names(
            session,
            &format!(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 \
                 AND n.nspname <> 'pg_toast' AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f') AND {} \
                 UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.oid >= 16384 AND {} \
                 UNION ALL SELECT 'extension ' || extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1",
                own("pg_class", "c.oid"),
                own("pg_proc", "p.oid")
            ),
        )?;
        if !objects.is_empty() {
            found.push(Finding::info(
                "template-objects",
                "template1 holds objects, which every new database gets",
                format!("{}. They come along.", some(&objects, 6)),
            ));
        }
    }
    Ok(())
}
