//! Single schemas and tables of a set, put into a database of their own to look at and to copy from.
//!
//! Never into the live database: rows of one table from an older day would contradict those of the others.

use repot_store::FileEntry;
use serde::Serialize;

use super::load::Loader;
use super::{Action, Database};
use crate::engine::postgres::session::ident;
use crate::error::{Error, Kind, Result};
use crate::progress::Observer;
use crate::verify::{DatabaseFingerprint, TakeOptions, take};

/// What the name of such a database has, where [`aside_name`](crate::upgrade::steps::restore::aside_name) has `_repot_`.
pub(super) const PART: &str = "_part_";

/// Which rows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Part {
    /// Names of schemas, as stored.
    pub schemas: Vec<String>,
    /// Names of tables, as stored; `schema.table` where the schema matters.
    pub tables: Vec<String>,
}

impl Part {
    /// Whether nothing is left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.schemas.is_empty() && self.tables.is_empty()
    }

    fn has(&self, schema: &str, table: &str) -> bool {
        let of_schema = self.schemas.is_empty() || self.schemas.iter().any(|s| s == schema);
        let named = |t: &String| t == table || *t == format!("{schema}.{table}");
        of_schema && (self.tables.is_empty() || self.tables.iter().any(named))
    }

    /// Whether a database has any of it.
    pub(super) fn is_in(&self, d: &DatabaseFingerprint) -> bool {
        d.tables.iter().any(|t| self.has(&t.schema, &t.name))
    }

    pub(super) fn missing(&self, set: &str) -> Error {
        let all: Vec<&str> = self.schemas.iter().chain(&self.tables).map(String::as_str).collect();
        Error::usage("table-missing", format!("no database of the set {set} has {}", all.join(", ")))
            .help("names are as the server stores them: lower case unless they were quoted")
    }
}

/// Why a set that holds some schemas of a database is not restored over it.
pub(super) fn refused(set: &str, name: &str, want: &DatabaseFingerprint) -> Error {
    let only = want.only_schemas.join(", ");
    let arguments: String = want.only_schemas.iter().map(|s| format!(" --schema {s}")).collect();
    Error::refused("part-of-database", format!("the set {set} holds only {only} of the database {name}"))
        .why("SCHEMAS limited the backup; what else is in the live database would be gone")
        .help(format!(
            "`repot restore {set}{arguments}` puts it into a database of its own, to copy from; `--skip-db` restores the rest of the set"
        ))
}

/// Makes the database with all definitions, then the rows that are wanted, and compares those.
pub(super) fn load(loader: &Loader<'_>, d: &Database, part: &Part, observer: &dyn Observer) -> Result<()> {
    let there = (d.name.as_str(), d.fresh.as_str());
    loader.create(&d.entry, there)?;
    let filled = fill(loader, d, part, observer);
    if filled.is_err() {
        let session = loader.server.connector.connect("template1")?;
        session.execute(&format!("DROP DATABASE IF EXISTS {}", ident(&d.fresh)))?;
    }
    filled
}

/// Loads a set's part of a database, and compares its rows.
pub(in crate::backup) fn proved(
    loader: &Loader<'_>,
    entry: &FileEntry,
    (name, fresh): (&str, &str),
    want: &DatabaseFingerprint,
    observer: &dyn Observer,
) -> Result<Option<String>> {
    let d = Database {
        name: name.to_owned(),
        action: Action::Part,
        aside: None,
        fresh: fresh.to_owned(),
        entry: entry.clone(),
        want: want.clone(),
    };
    let all = Part { schemas: want.only_schemas.clone(), tables: Vec::new() };
    load(loader, &d, &all, observer).map(|()| None)
}

fn fill(loader: &Loader<'_>, d: &Database, part: &Part, observer: &dyn Observer) -> Result<()> {
    let there = (d.name.as_str(), d.fresh.as_str());
    // Types, functions and extensions that a table needs are anywhere in a database: all of them are made.
    let mut definitions = vec!["--section=pre-data".to_owned()];
    if !d.want.only_schemas.is_empty() {
        // A dump of some schemas makes them, `public` too, which is there already; and has no extensions.
        make_surroundings(loader, d)?;
        definitions.extend(d.want.only_schemas.iter().map(|s| format!("--schema={s}")));
    }
    let definitions: Vec<&str> = definitions.iter().map(String::as_str).collect();
    loader.fill(&d.entry, there, &definitions, observer)?;
    let wanted = d.want.tables.iter().filter(|t| part.has(&t.schema, &t.name));
    for t in wanted.clone() {
        let (schema, table) = (format!("--schema={}", t.schema), format!("--table={}", t.name));
        loader.fill(&d.entry, there, &["--data-only", &schema, &table], observer)?;
    }
    let only = TakeOptions { jobs: 2, databases: Some(vec![d.fresh.clone()]), ..TakeOptions::default() };
    let found = take(loader.server.connector.as_ref(), &only, &|_| {})?;
    let found = found.databases.get(&d.fresh);
    for t in wanted {
        let same = found
            .and_then(|f| f.tables.iter().find(|x| x.schema == t.schema && x.name == t.name))
            .is_some_and(|x| x.rows == t.rows && x.digest == t.digest);
        if !same {
            let what = format!("the table {}.{} of {} is not what it was", t.schema, t.name, d.name);
            return Err(Error::new(Kind::Differences, "restored-differs", what)
                .help("the live database was not touched"));
        }
    }
    Ok(())
}

/// The schemas that a dump of them is loaded into, and the extensions that its tables may need.
fn make_surroundings(loader: &Loader<'_>, d: &Database) -> Result<()> {
    let session = loader.server.connector.connect(&d.fresh)?;
    let of_extensions = d.want.extensions.iter().map(|e| &e.schema).filter(|s| !s.starts_with("pg_"));
    for schema in d.want.only_schemas.iter().chain(of_extensions) {
        session.execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", ident(schema)))?;
    }
    for e in d.want.extensions.iter().filter(|e| e.name != "plpgsql") {
        let (name, schema) = (ident(&e.name), ident(&e.schema));
        session.execute(&format!("CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema} CASCADE"))?;
    }
    Ok(())
}
