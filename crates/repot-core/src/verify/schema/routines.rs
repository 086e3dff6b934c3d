//! Functions, procedures, aggregates, operators and their classes, casts, conversions, languages.

use super::{FIRST_USER_OID, grants, no_extension, role, sorted, user_schema};

pub(super) fn queries(version: u32) -> Vec<String> {
    vec![
        functions(version),
        aggregates(),
        operators(),
        operator_families(),
        operator_classes(),
        casts(),
        conversions(),
        languages(),
        transforms(),
        access_methods(),
    ]
}

/// A function's name out of `p` (pg_proc) and `n` (pg_namespace).
const ROUTINE: &str = "format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))";

/// From the catalog's columns, not from pg_get_functiondef, whose layout is a version's own business. The body
/// comes last: nothing after it may be mistaken for a property.
fn functions(version: u32) -> String {
    let sql_body = if version >= 140_000 { "pg_get_function_sqlbody(p.oid)" } else { "NULL::text" };
    format!(
        "SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, {ROUTINE}, concat_ws(E'\\n', \
           'owner: ' || {owner}, \
           'arguments: ' || pg_get_function_arguments(p.oid), \
           'returns: ' || pg_get_function_result(p.oid), \
           'language: ' || l.lanname, \
           CASE WHEN p.prokind = 'w' THEN 'window' END, \
           CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, \
           CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' END, \
           CASE WHEN p.proisstrict THEN 'strict' END, \
           CASE WHEN p.prosecdef THEN 'security definer' END, \
           CASE WHEN p.proleakproof THEN 'leakproof' END, \
           'cost: ' || p.procost, 'rows: ' || nullif(p.prorows, 0), \
           CASE WHEN p.prosupport <> 0 THEN 'support: ' || p.prosupport END, \
           'transform: ' || (SELECT string_agg(format_type(o, NULL), ', ') FROM unnest(p.protrftypes) AS o), \
           'set: ' || {config}, {grants}, \
           'library: ' || p.probin, \
           E'body:\\n' || coalesce({sql_body}, p.prosrc)) \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
         WHERE p.prokind <> 'a' AND {user} AND {ext}",
        owner = role("p.proowner"),
        config = sorted("p.proconfig"),
        grants = grants("p.proacl", 'f', "p.proowner"),
        user = user_schema("n"),
        // The functions of a range type come with it; they hang on the type.
        ext = no_extension("pg_proc", "p.oid")
            + " AND NOT EXISTS (SELECT 1 FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid \
               AND i.deptype = 'i' AND i.refclassid = 'pg_type'::regclass)",
    )
}

fn aggregates() -> String {
    let function = |column: &str, label: &str| {
        format!("CASE WHEN a.{column} <> 0 THEN '{label}: ' || a.{column}::oid::regprocedure END")
    };
    let functions = [
        ("aggtransfn", "transition"),
        ("aggfinalfn", "final"),
        ("aggcombinefn", "combine"),
        ("aggserialfn", "serialize"),
        ("aggdeserialfn", "deserialize"),
        ("aggmtransfn", "moving transition"),
        ("aggminvtransfn", "moving inverse"),
        ("aggmfinalfn", "moving final"),
    ]
    .map(|(c, l)| function(c, l))
    .join(", ");
    format!(
        "SELECT 'aggregate', {ROUTINE}, concat_ws(E'\\n', 'owner: ' || {}, \
           'arguments: ' || pg_get_function_arguments(p.oid), 'returns: ' || pg_get_function_result(p.oid), \
           'kind: ' || a.aggkind::text, {functions}, \
           CASE WHEN a.aggfinalextra THEN 'final extra' END, CASE WHEN a.aggmfinalextra THEN 'moving final extra' END, \
           'final modify: ' || a.aggfinalmodify::text || a.aggmfinalmodify::text, \
           CASE WHEN a.aggsortop <> 0 THEN 'sort operator: ' || a.aggsortop::regoperator END, \
           'state: ' || format_type(a.aggtranstype, NULL) || ' ' || a.aggtransspace, \
           CASE WHEN a.aggmtranstype <> 0 THEN 'moving state: ' || format_type(a.aggmtranstype, NULL) || ' ' || a.aggmtransspace END, \
           'initial: ' || a.agginitval, 'moving initial: ' || a.aggminitval, \
           'parallel: ' || p.proparallel::text, {}) \
         FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE {} AND {}",
        role("p.proowner"),
        grants("p.proacl", 'f', "p.proowner"),
        user_schema("n"),
        no_extension("pg_proc", "p.oid"),
    )
}

fn operators() -> String {
    format!(
        "SELECT 'operator', format('%I.%s(%s,%s)', n.nspname, o.oprname, \
             CASE o.oprleft WHEN 0 THEN 'NONE' ELSE format_type(o.oprleft, NULL) END, \
             CASE o.oprright WHEN 0 THEN 'NONE' ELSE format_type(o.oprright, NULL) END), \
           concat_ws(E'\\n', 'owner: ' || {}, 'function: ' || o.oprcode::oid::regprocedure, \
             'returns: ' || format_type(o.oprresult, NULL), \
             CASE WHEN o.oprcom <> 0 THEN 'commutator: ' || o.oprcom::regoperator END, \
             CASE WHEN o.oprnegate <> 0 THEN 'negator: ' || o.oprnegate::regoperator END, \
             CASE WHEN o.oprrest <> 0 THEN 'restrict: ' || o.oprrest END, \
             CASE WHEN o.oprjoin <> 0 THEN 'join: ' || o.oprjoin END, \
             CASE WHEN o.oprcanmerge THEN 'merges' END, CASE WHEN o.oprcanhash THEN 'hashes' END) \
         FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace \
         WHERE o.oprcode <> 0 AND {} AND {}",
        role("o.oprowner"),
        user_schema("n"),
        no_extension("pg_operator", "o.oid"),
    )
}

fn operator_families() -> String {
    format!(
        "SELECT 'operator family', format('%I.%I using %I', n.nspname, f.opfname, am.amname), \
           concat_ws(E'\\n', 'owner: ' || {}, \
             (SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") FROM ( \
                SELECT format('operator %s %s', o.amopstrategy, o.amopopr::regoperator) \
                       || coalesce(' for order by ' || quote_ident(sf.opfname), '') AS line \
                FROM pg_amop o LEFT JOIN pg_opfamily sf ON sf.oid = o.amopsortfamily WHERE o.amopfamily = f.oid \
                UNION ALL \
                SELECT format('function %s (%s,%s) %s', s.amprocnum, format_type(s.amproclefttype, NULL), \
                       format_type(s.amprocrighttype, NULL), s.amproc::oid::regprocedure) \
                FROM pg_amproc s WHERE s.amprocfamily = f.oid) AS members)) \
         FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am am ON am.oid = f.opfmethod \
         WHERE {} AND {}",
        role("f.opfowner"),
        user_schema("n"),
        no_extension("pg_opfamily", "f.oid"),
    )
}

fn operator_classes() -> String {
    format!(
        "SELECT 'operator class', format('%I.%I using %I', n.nspname, o.opcname, am.amname), \
           concat_ws(E'\\n', 'owner: ' || {}, 'for type: ' || format_type(o.opcintype, NULL), \
             CASE WHEN o.opcdefault THEN 'default' END, 'family: ' || quote_ident(f.opfname), \
             CASE WHEN o.opckeytype <> 0 THEN 'storage: ' || format_type(o.opckeytype, NULL) END) \
         FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am am ON am.oid = o.opcmethod \
         JOIN pg_opfamily f ON f.oid = o.opcfamily WHERE {} AND {}",
        role("o.opcowner"),
        user_schema("n"),
        no_extension("pg_opclass", "o.oid"),
    )
}

/// Without the cast from a range to its multirange, which the server makes (14 and later).
fn casts() -> String {
    format!(
        "SELECT 'cast', format('%s as %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)), \
           concat_ws(E'\\n', 'context: ' || c.castcontext::text, 'method: ' || c.castmethod::text, \
             CASE WHEN c.castfunc <> 0 THEN 'function: ' || c.castfunc::regprocedure END) \
         FROM pg_cast c WHERE c.oid >= {FIRST_USER_OID} AND {} \
         AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid \
           AND d.deptype = 'i')",
        no_extension("pg_cast", "c.oid"),
    )
}

/// The function by name only: 14 gave the system's own another argument.
fn conversions() -> String {
    format!(
        "SELECT 'conversion', format('%I.%I', n.nspname, c.conname), concat_ws(E'\\n', 'owner: ' || {}, \
           format('%s to %s', pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding)), \
           'function: ' || c.conproc, CASE WHEN c.condefault THEN 'default' END) \
         FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {} AND {}",
        role("c.conowner"),
        user_schema("n"),
        no_extension("pg_conversion", "c.oid"),
    )
}

fn languages() -> String {
    format!(
        "SELECT 'language', quote_ident(l.lanname), concat_ws(E'\\n', 'owner: ' || {}, \
           CASE WHEN l.lanpltrusted THEN 'trusted' END, \
           CASE WHEN l.lanplcallfoid <> 0 THEN 'handler: ' || l.lanplcallfoid::regprocedure END, \
           CASE WHEN l.laninline <> 0 THEN 'inline: ' || l.laninline::regprocedure END, \
           CASE WHEN l.lanvalidator <> 0 THEN 'validator: ' || l.lanvalidator::regprocedure END, {}) \
         FROM pg_language l WHERE l.oid >= {FIRST_USER_OID} AND {}",
        role("l.lanowner"),
        grants("l.lanacl", 'l', "l.lanowner"),
        no_extension("pg_language", "l.oid"),
    )
}

fn transforms() -> String {
    format!(
        "SELECT 'transform', format('for %s language %I', format_type(t.trftype, NULL), l.lanname), \
           concat_ws(E'\\n', CASE WHEN t.trffromsql <> 0 THEN 'from sql: ' || t.trffromsql::oid::regprocedure END, \
             CASE WHEN t.trftosql <> 0 THEN 'to sql: ' || t.trftosql::oid::regprocedure END) \
         FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE t.oid >= {FIRST_USER_OID} AND {}",
        no_extension("pg_transform", "t.oid"),
    )
}

fn access_methods() -> String {
    format!(
        "SELECT 'access method', quote_ident(a.amname), concat_ws(E'\\n', 'type: ' || a.amtype::text, \
           'handler: ' || a.amhandler::oid::regprocedure) \
         FROM pg_am a WHERE a.oid >= {FIRST_USER_OID} AND {}",
        no_extension("pg_am", "a.oid"),
    )
}
