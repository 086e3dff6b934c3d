//! Types, collations, text search.

use super::{grants, no_extension, role, user_schema};

pub(super) fn queries(version: u32) -> Vec<String> {
    let mut all = vec![enums(), domains(), composites(), ranges(), bases(), collations(version)];
    if version >= 140_000 {
        all.push(multiranges());
    }
    all.extend([configurations(), dictionaries(), parsers(), templates()]);
    all
}

/// A query over `t` (pg_type) and `n`, with what is common to all types.
fn types(kind: &str, condition: &str, properties: &str) -> String {
    format!(
        "SELECT '{kind}', format('%I.%I', n.nspname, t.typname), concat_ws(E'\\n', 'owner: ' || {}, {properties}, {}) \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {condition} AND {} AND {}",
        role("t.typowner"),
        grants("t.typacl", 'T', "t.typowner"),
        user_schema("n"),
        no_extension("pg_type", "t.oid"),
    )
}

fn enums() -> String {
    types(
        "enum",
        "t.typtype = 'e'",
        "'labels: ' || (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) \
         FROM pg_enum WHERE enumtypid = t.oid)",
    )
}

fn domains() -> String {
    types(
        "domain",
        "t.typtype = 'd'",
        "'of: ' || format_type(t.typbasetype, t.typtypmod), \
         CASE WHEN t.typcollation <> (SELECT b.typcollation FROM pg_type b WHERE b.oid = t.typbasetype) \
           THEN 'collate: ' || (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co \
             JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = t.typcollation) END, \
         'default: ' || pg_get_expr(t.typdefaultbin, 0), CASE WHEN t.typnotnull THEN 'not null' END, \
         (SELECT string_agg(format('constraint %I %s', conname, pg_get_constraintdef(oid)), E'\\n' \
           ORDER BY conname COLLATE \"C\") FROM pg_constraint WHERE contypid = t.oid AND contype = 'c')",
    )
}

fn composites() -> String {
    types(
        "composite type",
        "t.typtype = 'c' AND EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')",
        "(SELECT string_agg(format('attribute %I %s', a.attname, format_type(a.atttypid, a.atttypmod)) \
           || CASE WHEN a.attcollation <> at.typcollation THEN ' collate ' || (SELECT format('%I.%I', cn.nspname, co.collname) \
                FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) \
              ELSE '' END, E'\\n' ORDER BY a.attnum) \
         FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid \
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)",
    )
}

fn ranges() -> String {
    types(
        "range type",
        "t.typtype = 'r'",
        "(SELECT concat_ws(E'\\n', 'of: ' || format_type(r.rngsubtype, NULL), \
           (SELECT 'operator class: ' || format('%I.%I', opn.nspname, op.opcname) FROM pg_opclass op \
            JOIN pg_namespace opn ON opn.oid = op.opcnamespace WHERE op.oid = r.rngsubopc), \
           (SELECT 'collation: ' || format('%I.%I', cn.nspname, co.collname) FROM pg_collation co \
            JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = r.rngcollation), \
           CASE WHEN r.rngcanonical <> 0 THEN 'canonical: ' || r.rngcanonical::oid::regprocedure END, \
           CASE WHEN r.rngsubdiff <> 0 THEN 'subtype difference: ' || r.rngsubdiff::oid::regprocedure END) \
         FROM pg_range r WHERE r.rngtypid = t.oid)",
    )
}

fn multiranges() -> String {
    types(
        "multirange type",
        "t.typtype = 'm'",
        "'of: ' || (SELECT format_type(r.rngtypid, NULL) FROM pg_range r WHERE r.rngmultitypid = t.oid)",
    )
}

/// Base types but the arrays that come with other types.
fn bases() -> String {
    let function = |column: &str, label: &str| {
        format!(
            "CASE WHEN t.typisdefined AND t.{column} <> 0 THEN '{label}: ' || t.{column}::oid::regprocedure END"
        )
    };
    let functions = [
        ("typinput", "input"),
        ("typoutput", "output"),
        ("typreceive", "receive"),
        ("typsend", "send"),
        ("typmodin", "modifier input"),
        ("typmodout", "modifier output"),
        ("typanalyze", "analyze"),
    ]
    .map(|(c, l)| function(c, l))
    .join(", ");
    types(
        "base type",
        "(t.typtype = 'b' AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid) OR t.typtype = 'p')",
        &format!(
            "CASE WHEN NOT t.typisdefined THEN 'shell' END, {functions}, 'length: ' || t.typlen, CASE WHEN t.typbyval THEN 'by value' END, \
             'alignment: ' || t.typalign::text, 'storage: ' || t.typstorage::text, 'category: ' || t.typcategory::text, \
             CASE WHEN t.typispreferred THEN 'preferred' END, 'delimiter: ' || t.typdelim::text, 'default: ' || t.typdefault, \
             CASE WHEN t.typelem <> 0 THEN 'element: ' || format_type(t.typelem, NULL) END, \
             CASE WHEN t.typcollation <> 0 THEN 'collatable' END"
        ),
    )
}

/// Without the version of the library that sorts: it changes with the machine, and what to do about that is not
/// a question of sameness.
fn collations(version: u32) -> String {
    // An ICU locale is in collcollate before 15, in colliculocale in 15 and 16, in colllocale from 17.
    let locale = match version {
        170_000.. => "coalesce(c.colllocale, c.collcollate)",
        150_000.. => "coalesce(c.colliculocale, c.collcollate)",
        _ => "c.collcollate",
    };
    let ctype = format!("CASE WHEN c.collprovider = 'c' THEN 'ctype: ' || {}", "c.collctype END");
    let rules = if version >= 160_000 { "'rules: ' || c.collicurules" } else { "NULL" };
    format!(
        "SELECT 'collation', format('%I.%I', n.nspname, c.collname), concat_ws(E'\\n', 'owner: ' || {}, \
           'provider: ' || c.collprovider::text, \
           'locale: ' || CASE c.collprovider WHEN 'i' THEN replace({locale}, '_', '-') ELSE {locale} END, {ctype}, \
           CASE WHEN NOT c.collisdeterministic THEN 'not deterministic' END, {rules}) \
         FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {} AND {}",
        role("c.collowner"),
        user_schema("n"),
        no_extension("pg_collation", "c.oid"),
    )
}

fn configurations() -> String {
    format!(
        "SELECT 'text search configuration', format('%I.%I', n.nspname, c.cfgname), concat_ws(E'\\n', 'owner: ' || {}, \
           (SELECT format('parser: %I.%I', pn.nspname, p.prsname) FROM pg_ts_parser p \
            JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE p.oid = c.cfgparser), \
           (SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") FROM ( \
              SELECT format('map %s: %s', tt.alias, string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno)) AS line \
              FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) AS tt ON tt.tokid = m.maptokentype \
              WHERE m.mapcfg = c.oid GROUP BY tt.alias) AS maps)) \
         FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace WHERE {} AND {}",
        role("c.cfgowner"),
        user_schema("n"),
        no_extension("pg_ts_config", "c.oid"),
    )
}

fn dictionaries() -> String {
    format!(
        "SELECT 'text search dictionary', format('%I.%I', n.nspname, d.dictname), concat_ws(E'\\n', 'owner: ' || {}, \
           (SELECT format('template: %I.%I', tn.nspname, t.tmplname) FROM pg_ts_template t \
            JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE t.oid = d.dicttemplate), \
           'options: ' || d.dictinitoption) \
         FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace WHERE {} AND {}",
        role("d.dictowner"),
        user_schema("n"),
        no_extension("pg_ts_dict", "d.oid"),
    )
}

fn parsers() -> String {
    format!(
        "SELECT 'text search parser', format('%I.%I', n.nspname, p.prsname), \
           {} \
         FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace WHERE {} AND {}",
        "concat_ws(E'\\n', 'start: ' || p.prsstart, 'token: ' || p.prstoken, 'end: ' || p.prsend, \
         'headline: ' || p.prsheadline, 'types: ' || p.prslextype)",
        user_schema("n"),
        no_extension("pg_ts_parser", "p.oid"),
    )
}

fn templates() -> String {
    format!(
        "SELECT 'text search template', format('%I.%I', n.nspname, t.tmplname), \
           concat_ws(E'\\n', 'init: ' || t.tmplinit, 'lexize: ' || t.tmpllexize) \
         FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace WHERE {} AND {}",
        user_schema("n"),
        no_extension("pg_ts_template", "t.oid"),
    )
}
