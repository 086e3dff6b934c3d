//! Schemas, tables and what hangs on them: columns, constraints, indexes, triggers, rules, policies, sequences.

use super::{collation, grants, grants_in, no_extension, role, sorted, user_schema};

pub(super) fn queries(version: u32) -> Vec<String> {
    vec![
        schemas(),
        tables(version),
        maintain(version),
        constraints(),
        indexes(),
        sequences(),
        triggers(version),
        rules(),
        policies(),
        statistics(version),
    ]
    .into_iter()
    .filter(|q| !q.is_empty())
    .collect()
}

/// A table's name out of the aliases `c` (pg_class) and `n` (pg_namespace).
const TABLE: &str = "format('%I.%I', n.nspname, c.relname)";

/// Where recent minor versions (seen in 15.20 and 17.12, not in 13.23 or 18.6) put a number of their own on every
/// column. The server rewrites it at will and its own pg_dump leaves it out, so it is no property of the column.
const SERVER_OPTION: &str = "pg\\_attver=%";

fn schemas() -> String {
    format!(
        "SELECT 'schema', quote_ident(n.nspname), concat_ws(E'\\n', 'owner: ' || {}, {}) FROM pg_namespace n \
         WHERE {} AND {}",
        role("n.nspowner"),
        grants("n.nspacl", 'n', "n.nspowner"),
        user_schema("n"),
        no_extension("pg_namespace", "n.oid"),
    )
}

/// The columns of `c`, one line each. In the order of the table, except in a child of plain inheritance: a
/// restore puts its parent's columns first, which need not be where they were.
fn columns(version: u32) -> String {
    let compression = if version >= 140_000 {
        "|| CASE a.attcompression WHEN 'l' THEN ' compression lz4' WHEN 'p' THEN ' compression pglz' ELSE '' END"
    } else {
        ""
    };
    format!(
        "SELECT string_agg(concat_ws(E'\\n', \
             format('column %I %s', a.attname, format_type(a.atttypid, a.atttypmod)) \
             || CASE WHEN a.attcollation <> t.typcollation THEN ' collate ' || {} ELSE '' END \
             || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END \
             || CASE a.attidentity WHEN 'a' THEN ' identity always' WHEN 'd' THEN ' identity by default' ELSE '' END \
             || CASE WHEN d.adbin IS NULL THEN '' \
                     ELSE CASE a.attgenerated WHEN 's' THEN ' generated stored ' WHEN 'v' THEN ' generated virtual ' \
                          ELSE ' default ' END || pg_get_expr(d.adbin, d.adrelid) END \
             || CASE WHEN a.attstorage <> t.typstorage THEN ' storage ' || a.attstorage::text ELSE '' END {compression} \
             || CASE WHEN a.attstattarget >= 0 THEN ' statistics ' || a.attstattarget ELSE '' END \
             || coalesce(' options ' || {}, '') || coalesce(' fdw options ' || {}, ''), \
             CASE WHEN a.attacl IS NOT NULL THEN {} END), E'\\n' \
             ORDER BY CASE WHEN c.relispartition OR inh.parents IS NULL THEN a.attnum ELSE 0 END, \
                      a.attname COLLATE \"C\") \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped",
        collation("a.attcollation"),
        sorted(&format!("ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE o NOT LIKE '{SERVER_OPTION}')")),
        sorted("a.attfdwoptions"),
        grants_in("a.attacl", "  column grant: ", "<> ''"),
    )
}

fn tables(version: u32) -> String {
    format!(
        "SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' \
                  WHEN 'v' THEN 'view' ELSE 'materialized view' END, {TABLE}, concat_ws(E'\\n', \
           'owner: ' || {owner}, \
           CASE WHEN c.relpersistence = 'u' THEN 'unlogged' END, \
           CASE WHEN am.amname <> 'heap' THEN 'access method: ' || am.amname END, \
           'tablespace: ' || ts.spcname, \
           'options: ' || {options}, \
           'toast options: ' || {toast}, \
           CASE WHEN c.relrowsecurity THEN 'row security: enabled' END, \
           CASE WHEN c.relforcerowsecurity THEN 'row security: forced' END, \
           CASE WHEN c.relkind IN ('r', 'p') AND c.relreplident = 'n' THEN 'replica identity: nothing' \
                WHEN c.relreplident = 'f' THEN 'replica identity: full' END, \
           CASE WHEN c.reloftype <> 0 THEN 'of type: ' || c.reloftype::regtype END, \
           CASE WHEN c.relispartition THEN 'partition of: ' ELSE 'inherits: ' END || inh.parents, \
           'bound: ' || pg_get_expr(c.relpartbound, c.oid), \
           CASE WHEN c.relkind = 'p' THEN 'partition by: ' || pg_get_partkeydef(c.oid) END, \
           CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'populated: no' END, \
           (SELECT 'server: ' || quote_ident(s.srvname) || coalesce(' options ' || {fdw}, '') \
            FROM pg_foreign_table ft JOIN pg_foreign_server s ON s.oid = ft.ftserver WHERE ft.ftrelid = c.oid), \
           ({columns}), {grants}, \
           CASE WHEN c.relkind IN ('v', 'm') THEN E'as:\\n' || pg_get_viewdef(c.oid) END) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_am am ON am.oid = c.relam LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace \
         LEFT JOIN pg_class tc ON tc.oid = c.reltoastrelid \
         LEFT JOIN LATERAL (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) AS parents \
                            FROM pg_inherits WHERE inhrelid = c.oid) AS inh ON true \
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' AND {user} AND {ext}",
        owner = role("c.relowner"),
        options = sorted("c.reloptions"),
        toast = sorted("tc.reloptions"),
        fdw = sorted("ft.ftoptions"),
        columns = columns(version),
        grants = grants("c.relacl", 'r', "c.relowner"),
        user = user_schema("n"),
        ext = no_extension("pg_class", "c.oid"),
    )
}

/// MAINTAIN exists from 17; a kind of its own, so that it can be left out next to an older server.
fn maintain(version: u32) -> String {
    if version < 170_000 {
        return String::new();
    }
    format!(
        "SELECT 'maintain privilege', {TABLE}, {} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' AND {} AND {}",
        grants_in("coalesce(c.relacl, acldefault('r', c.relowner))", "grant: ", "= 'MAINTAIN'"),
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
    )
}

fn constraints() -> String {
    // A foreign key's clones on partitions (and, for a partitioned target, on the referencing table) have a
    // parent; the server makes and names them. A constraint trigger is read as the trigger that it is.
    format!(
        "SELECT CASE con.contype WHEN 'n' THEN 'not-null constraint' ELSE 'constraint' END, \
           format('%I on ', con.conname) || {TABLE}, \
           concat_ws(E'\\n', pg_get_constraintdef(con.oid), \
             CASE WHEN con.conparentid <> 0 THEN 'attached' END) \
         FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE con.contype <> 't' AND NOT (con.contype = 'f' AND con.conparentid <> 0) \
           AND c.relpersistence <> 't' AND {} AND {}",
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
    )
}

fn indexes() -> String {
    format!(
        "SELECT 'index', format('%I.%I', n.nspname, i.relname), concat_ws(E'\\n', pg_get_indexdef(i.oid), \
           CASE WHEN NOT x.indisvalid THEN 'invalid' END, \
           CASE WHEN x.indisclustered THEN 'clustered' END, \
           CASE WHEN x.indisreplident THEN 'replica identity' END, \
           'tablespace: ' || ts.spcname, \
           (SELECT 'attached to: ' || inhparent::regclass FROM pg_inherits WHERE inhrelid = i.oid), \
           (SELECT string_agg(format('statistics of column %s: %s', a.attnum, a.attstattarget), E'\\n' ORDER BY a.attnum) \
            FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget >= 0)) \
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_tablespace ts ON ts.oid = i.reltablespace \
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND {} AND {} AND {}",
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
        no_extension("pg_class", "i.oid"),
    )
}

fn sequences() -> String {
    format!(
        "SELECT 'sequence', {TABLE}, concat_ws(E'\\n', 'owner: ' || {}, \
           CASE WHEN c.relpersistence = 'u' THEN 'unlogged' END, {}) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {} AND {}",
        role("c.relowner"),
        grants("c.relacl", 's', "c.relowner"),
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
    )
}

fn triggers(version: u32) -> String {
    // 11 to 14 mark a partition's clone as internal, later versions only give it a parent (13 and later). A clone
    // counts where it was enabled or disabled by itself.
    let own = if version >= 130_000 {
        "(NOT t.tgisinternal AND t.tgparentid = 0) \
         OR (t.tgparentid <> 0 AND t.tgenabled <> (SELECT p.tgenabled FROM pg_trigger p WHERE p.oid = t.tgparentid))"
    } else {
        "NOT t.tgisinternal"
    };
    format!(
        "SELECT 'trigger', format('%I on ', t.tgname) || {TABLE}, concat_ws(E'\\n', pg_get_triggerdef(t.oid), \
           CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled: replica' WHEN 'A' THEN 'enabled: always' END) \
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE ({own}) AND {} AND {} AND {}",
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
        no_extension("pg_trigger", "t.oid"),
    )
}

fn rules() -> String {
    format!(
        "SELECT 'rule', format('%I on ', r.rulename) || {TABLE}, concat_ws(E'\\n', pg_get_ruledef(r.oid), \
           CASE r.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled: replica' WHEN 'A' THEN 'enabled: always' END) \
         FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE r.rulename <> '_RETURN' AND {} AND {}",
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
    )
}

fn policies() -> String {
    format!(
        "SELECT 'policy', format('%I on ', p.polname) || {TABLE}, concat_ws(E'\\n', \
           CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END, \
           CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, \
           'to: ' || (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ' \
                        ORDER BY pg_get_userbyid(o) COLLATE \"C\") FROM unnest(p.polroles) AS o), \
           'using: ' || pg_get_expr(p.polqual, p.polrelid), \
           'with check: ' || pg_get_expr(p.polwithcheck, p.polrelid)) \
         FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {} AND {}",
        user_schema("n"),
        no_extension("pg_class", "c.oid"),
    )
}

fn statistics(version: u32) -> String {
    let target = if version >= 130_000 {
        "CASE WHEN s.stxstattarget >= 0 THEN 'target: ' || s.stxstattarget END"
    } else {
        "NULL"
    };
    format!(
        "SELECT 'statistics', format('%I.%I', n.nspname, s.stxname), concat_ws(E'\\n', \
           'owner: ' || {}, pg_get_statisticsobjdef(s.oid), {target}) \
         FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {} AND {}",
        role("s.stxowner"),
        user_schema("n"),
        no_extension("pg_statistic_ext", "s.oid"),
    )
}
