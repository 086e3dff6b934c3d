//! The fingerprint of a file that nobody else writes to.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::facts::{settings, version_num};
use super::session::sqlite_error;
use crate::error::Result;
use crate::verify::compare::quoted;
use crate::verify::{DatabaseFingerprint, Method, SchemaObject, SequenceFingerprint, TableFingerprint};

/// The one schema that a file has.
const SCHEMA: &str = "main";

/// Reads schema and rows; the number of SQLite with it. Rows pass one by one, the digest does not depend on their order.
///
/// Hashed are stored values with their storage class (the text '1' is not the number 1), the row's number where it has
/// one, no computed columns. Tables of other programs' modules have no rows of their own; FTS5's are in its shadow tables,
/// which are read as any.
pub fn take(connection: &Connection, path: &Path) -> Result<(DatabaseFingerprint, u32)> {
    let error = |e: &rusqlite::Error| sqlite_error(path, "cannot be read", e);
    let mut found = DatabaseFingerprint {
        encoding: connection.pragma_query_value(None, "encoding", |r| r.get(0)).map_err(|e| error(&e))?,
        settings: settings(connection, path)?,
        connection_limit: -1,
        ..DatabaseFingerprint::default()
    };
    let mut statement = connection
        .prepare("SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema ORDER BY type, name")
        .map_err(|e| error(&e))?;
    type Row = (String, String, String, Option<String>, i64);
    let objects: Vec<Row> = statement
        .query_map([], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get::<_, Option<i64>>(4)?.unwrap_or_default()))
        })
        .and_then(Iterator::collect)
        .map_err(|e| error(&e))?;
    for (kind, name, table, sql, root) in &objects {
        // An index that belongs to a constraint has no definition of its own.
        if let Some(sql) = sql {
            let name = quoted(SCHEMA, name);
            let definition = if kind == "table" { sql.clone() } else { format!("on {table}\n{sql}") };
            found.schema.push(SchemaObject::new(kind.as_str(), name, &definition));
        }
        if kind != "table" || *root == 0 {
            continue;
        }
        if name == "sqlite_sequence" {
            found.sequences = sequences(connection).map_err(|e| error(&e))?;
            continue;
        }
        let table = rows(connection, name).map_err(|e| crate::error::Error {
            what: format!("{}: the table {name} cannot be read", path.display()),
            ..error(&e)
        })?;
        found.tables.push(table);
    }
    found.schema.sort();
    Ok((found, version_num()))
}

/// The last numbers that AUTOINCREMENT gave.
fn sequences(connection: &Connection) -> rusqlite::Result<Vec<SequenceFingerprint>> {
    let mut statement = connection.prepare("SELECT name, seq FROM sqlite_sequence ORDER BY name, seq")?;
    let found = statement.query_map([], |r| {
        Ok(SequenceFingerprint {
            schema: SCHEMA.to_owned(),
            name: r.get::<_, Option<String>>(0)?.unwrap_or_default(),
            last_value: r.get::<_, Option<i64>>(1)?.unwrap_or_default(),
            is_called: true,
            params: String::new(),
        })
    })?;
    found.collect()
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn rows(connection: &Connection, table: &str) -> rusqlite::Result<TableFingerprint> {
    let mut columns: Vec<String> = Vec::new();
    let mut all: Vec<String> = Vec::new();
    // hidden: 0 is an ordinary column, 2 and 3 are computed.
    let mut info = connection.prepare("SELECT name, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    let mut found = info.query([table])?;
    while let Some(r) = found.next()? {
        let name: String = r.get(0)?;
        all.push(name.to_lowercase());
        if r.get::<_, i64>(1)? == 0 {
            columns.push(ident(&name));
        }
    }
    let without_rowid: bool =
        connection
            .query_row("SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main'", [table], |r| r.get(0))?;
    if !without_rowid {
        // Under a name that no column has.
        let free = ["rowid", "_rowid_", "oid"].into_iter().find(|n| !all.iter().any(|a| a == n));
        columns.extend(free.map(str::to_owned));
    }
    let sql = format!("SELECT {} FROM {}", columns.join(", "), ident(table));
    let mut statement = connection.prepare(&sql)?;
    let width = statement.column_count();
    let (mut n, mut bytes, mut sums) = (0_u64, 0_u64, (0_u64, 0_u64));
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut hasher = blake3::Hasher::new();
        for i in 0..width {
            bytes += hash(&mut hasher, row.get_ref(i)?);
        }
        let digest = hasher.finalize();
        let part =
            |at: usize| digest.as_bytes()[at..at + 8].iter().fold(0_u64, |sum, b| sum << 8 | u64::from(*b));
        sums = (sums.0.wrapping_add(part(0)), sums.1.wrapping_add(part(8)));
        n += 1;
    }
    Ok(TableFingerprint {
        schema: SCHEMA.to_owned(),
        name: table.to_owned(),
        rows: n,
        digest: format!("{:016x}{:016x}", sums.0, sums.1),
        method: Method::Rows,
        materialized: false,
        bytes,
    })
}

/// Hashes a value so that no two different rows have the same bytes; its size.
fn hash(hasher: &mut blake3::Hasher, value: ValueRef<'_>) -> u64 {
    let (class, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(i) => {
            hasher.update(&[1]).update(&i.to_be_bytes());
            return 8;
        }
        ValueRef::Real(f) => {
            hasher.update(&[2]).update(&f.to_bits().to_be_bytes());
            return 8;
        }
        ValueRef::Text(t) => (3, t),
        ValueRef::Blob(b) => (4, b),
    };
    hasher.update(&[class]).update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
    bytes.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::compare_databases;

    const BASE: &str =
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b BLOB, c AS (a || 'x'));
        CREATE TABLE w (k TEXT PRIMARY KEY, v REAL) WITHOUT ROWID;
        CREATE VIRTUAL TABLE f USING fts5(body);
        CREATE INDEX i ON t (a);
        CREATE VIEW v AS SELECT a FROM t;
        CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE w SET v = v + 1; END;
        INSERT INTO t (a, b) VALUES ('one', x'00ff'), ('two', NULL), ('', x''), (NULL, NULL);
        INSERT INTO w VALUES ('k', 0.1);
        INSERT INTO f VALUES ('quick brown fox');
        PRAGMA user_version = 7;";

    fn of(sql: &[&str]) -> DatabaseFingerprint {
        let c = Connection::open_in_memory().expect("opens");
        c.execute_batch(BASE).expect("base");
        sql.iter().for_each(|s| c.execute_batch(s).expect(s));
        take(&c, Path::new("memory")).expect("taken").0
    }

    #[test]
    fn the_same_content_has_the_same_fingerprint() {
        let base = of(&[]);
        assert!(compare_databases((&base, 1), (&of(&[]), 1)).same());
        assert_eq!(base.tables.iter().find(|t| t.name == "t").expect("t").rows, 4);
        assert_eq!(base.sequences[0].last_value, 4);
        // Another order on disk is no other content.
        let again = of(&["DELETE FROM t WHERE id = 1; INSERT INTO t (id, a, b) VALUES (1, 'one', x'00ff');
            UPDATE w SET v = 0.1"]);
        let c = compare_databases((&base, 1), (&again, 1));
        assert!(c.same(), "{}", c.summary(9));
    }

    #[test]
    fn every_kind_of_change_is_seen() {
        let base = of(&[]);
        for (change, want) in [
            ("UPDATE t SET a = 'onf' WHERE id = 1", "table main.t"),
            ("UPDATE t SET a = '' WHERE a IS NULL", "table main.t"),
            ("UPDATE t SET b = NULL WHERE b = x''", "table main.t"),
            ("UPDATE t SET b = CAST(b AS TEXT) WHERE id = 1", "table main.t"),
            ("UPDATE w SET v = 0.1000000000000001", "table main.w"),
            ("UPDATE f SET body = 'quick brown dog'", "f_"),
            ("DELETE FROM w", "table main.w"),
            ("DROP INDEX i", "index main.i"),
            ("DROP INDEX i; CREATE INDEX i ON t (a DESC)", "index main.i"),
            ("DROP TRIGGER g", "trigger main.g"),
            ("DROP VIEW v; CREATE VIEW v AS SELECT b FROM t", "view main.v"),
            ("ALTER TABLE t ADD COLUMN d", "table main.t"),
            ("UPDATE sqlite_sequence SET seq = 9", "sequence main.t"),
            ("PRAGMA user_version = 8", "setting differs"),
            ("CREATE TABLE n (x)", "table main.n"),
        ] {
            let c = compare_databases((&base, 1), (&of(&[change]), 1));
            assert!(c.summary(99).contains(want), "{change}: {}", c.summary(99));
        }
    }
}
