//! Single schemas of the application's database in a backup, as django-dbbackup's `SCHEMAS` has it. The set's
//! fingerprint is of them alone and says so; such a set never takes the place of a live database, which has more.

use std::collections::BTreeSet;

use crate::engine::postgres::session::{Session, ident};
use crate::error::Result;
use crate::verify::{DatabaseFingerprint, LargeObjects};

/// What is followed of a request: schemas, and what a person should read of it.
pub(super) struct Chosen {
    pub(super) schemas: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Looks at what the database has.
pub(super) fn choose(wanted: &[String], session: &Session) -> Result<Chosen> {
    if wanted.is_empty() {
        return Ok(Chosen { schemas: Vec::new(), notes: Vec::new() });
    }
    let rows = session.query(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
    )?;
    Ok(chosen(wanted, &rows.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect()))
}

fn chosen(wanted: &[String], there: &BTreeSet<String>) -> Chosen {
    let (found, missing): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(|s| there.contains(s));
    let mut notes = Vec::new();
    let left: Vec<&str> = there.iter().filter(|s| !found.contains(s)).map(String::as_str).collect();
    let schemas = if !missing.is_empty() {
        // A pattern, or a mistake: too much is better than too little.
        let all = missing.join(", ");
        notes.push(format!("SCHEMAS: there is no schema {all}, so the whole database is in the backup"));
        Vec::new()
    } else if left.is_empty() {
        notes.push("SCHEMAS names all that there are, so the whole database is in the backup".to_owned());
        Vec::new()
    } else {
        notes.push(format!(
            "SCHEMAS: only {} is in the backup, not {}, and no large objects; such a set does not replace a live database",
            found.join(", "),
            left.join(", ")
        ));
        found
    };
    Chosen { schemas, notes }
}

/// pg_dump's arguments.
pub(super) fn arguments(schemas: &[String]) -> Vec<String> {
    schemas.iter().map(|s| format!("--schema={}", ident(s))).collect()
}

/// Leaves in a fingerprint what such a dump holds. Extensions stay: they are not in the dump, and its tables need them.
pub(super) fn limit(schemas: &[String], d: &mut DatabaseFingerprint) {
    if schemas.is_empty() {
        return;
    }
    let has = |schema: &String| schemas.contains(schema);
    d.tables.retain(|t| has(&t.schema));
    d.sequences.retain(|s| has(&s.schema));
    let quoted: Vec<String> = schemas.iter().map(|s| ident(s)).chain(schemas.iter().cloned()).collect();
    let inside = |name: &str| {
        quoted.iter().any(|s| name == s || name.strip_prefix(s.as_str()).is_some_and(|r| r.starts_with('.')))
    };
    d.schema.retain(|o| inside(&o.name));
    d.large_objects = LargeObjects::default();
    d.only_schemas = schemas.to_vec();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::SchemaObject;

    #[test]
    fn a_part_is_taken_only_where_it_is_one() {
        let there = BTreeSet::from(["public".to_owned(), "shop".to_owned()]);
        let of = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|s| (*s).to_owned()).collect();
            let c = chosen(&wanted, &there);
            (c.schemas, c.notes.join("; "))
        };
        let (schemas, note) = of(&["shop"]);
        assert_eq!(schemas, ["shop"]);
        assert!(note.contains("only shop is in the backup, not public"), "{note}");
        for (wanted, word) in [(&["shop", "public"][..], "names all"), (&["sh*"], "no schema sh*")] {
            let (schemas, note) = of(wanted);
            assert!(schemas.is_empty() && note.contains(word), "{note}");
        }
    }

    #[test]
    fn a_fingerprint_of_some_schemas() {
        let object = |kind: &str, name: &str| SchemaObject::new(kind, name, "");
        let mut d = DatabaseFingerprint {
            schema: vec![
                object("table", "a.t"),
                object("table", "ab.t"),
                object("schema", "a"),
                object("cast", "x"),
            ],
            ..DatabaseFingerprint::default()
        };
        limit(&["a".to_owned()], &mut d);
        let names: Vec<&str> = d.schema.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["a.t", "a"]);
        assert_eq!(d.only_schemas, ["a"]);
    }
}
