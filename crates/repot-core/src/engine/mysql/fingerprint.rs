//! The fingerprint of one database, read in the session's snapshot.

use super::session::{Row, Session, ident, literal};
use super::views::unqualified;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::verify::{DatabaseFingerprint, Method, SchemaObject, SequenceFingerprint, TableFingerprint};

/// Storage engines with snapshots.
const TRANSACTIONAL: [&str; 3] = ["InnoDB", "TokuDB", "ROCKSDB"];
/// Types whose values are bytes; of all others the text is hashed.
const BYTES: [&str; 23] = [
    "char",
    "varchar",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "enum",
    "set",
    "json",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
];

/// What of a database's content is not told by its snapshot alone.
#[derive(Debug, Default)]
pub struct Content {
    /// The fingerprint.
    pub fingerprint: DatabaseFingerprint,
    /// Tables without snapshots (MyISAM, Aria): what was written to them meanwhile may be in one reading only.
    pub without_snapshot: Vec<String>,
}

/// Reads schema and rows of the session's database.
///
/// A row is hashed inside the server: SHA-256 over its values, each of which is NULL, the SHA-256 of its bytes, or its
/// text. A FLOAT's text has six digits, as the dump has. Computed columns are not hashed, their definition is.
pub fn take(session: &mut Session, database: &str) -> Result<Content> {
    let mut out = Content::default();
    let fp = &mut out.fingerprint;
    let db = literal(database);
    let own = session.query(&format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA \
         WHERE BINARY SCHEMA_NAME = BINARY {db}"
    ))?;
    let Some([encoding, collate]) = own.first().and_then(|r| <[String; 2]>::try_from(r.clone()).ok()) else {
        return Err(Error::failed("database-missing", format!("there is no database {database}")));
    };
    (fp.encoding, fp.collate, fp.connection_limit) = (encoding, collate, -1);
    let tables = session.query(&format!(
        "SELECT TABLE_NAME, TABLE_TYPE, IFNULL(ENGINE, ''), IFNULL(DATA_LENGTH, 0) \
         FROM information_schema.TABLES WHERE BINARY TABLE_SCHEMA = BINARY {db} ORDER BY TABLE_NAME"
    ))?;
    for row in tables {
        interrupt::check()?;
        let [name, kind, engine, bytes] = four(row)?;
        match kind.as_str() {
            "VIEW" | "SYSTEM VIEW" => {
                let text = shown(session, &format!("SHOW CREATE VIEW {}", ident(&name)), 1)?;
                let text = unqualified(&text, &ident(database));
                fp.schema.push(SchemaObject::new("view", &name, &text));
            }
            "SEQUENCE" => {
                let text = shown(session, &format!("SHOW CREATE SEQUENCE {}", ident(&name)), 1)?;
                fp.schema.push(SchemaObject::new("sequence", &name, &text));
            }
            _ => {
                let text = shown(session, &format!("SHOW CREATE TABLE {}", ident(&name)), 1)?;
                fp.schema.push(SchemaObject::new("table", &name, &without_counter(&text)));
                if !TRANSACTIONAL.iter().any(|t| t.eq_ignore_ascii_case(&engine)) {
                    out.without_snapshot.push(name.clone());
                }
                if kind == "SYSTEM VERSIONED" {
                    fp.notes.push(format!("{name}: only the rows of today are in the dump, not its history"));
                }
                let mut table = rows(session, &db, &name, &mut fp.notes)?;
                table.bytes = bytes.parse().unwrap_or_default();
                fp.tables.push(table);
            }
        }
    }
    fp.sequences = sequences(session, database)?;
    programs(session, &db, fp)?;
    fp.schema.sort();
    Ok(out)
}

fn four(row: Row) -> Result<[String; 4]> {
    <[String; 4]>::try_from(row)
        .map_err(|r| Error::failed("odd-output", format!("the server answers with {} columns", r.len())))
}

fn shown(session: &mut Session, sql: &str, column: usize) -> Result<String> {
    let row = session.query(sql)?.into_iter().next().unwrap_or_default();
    row.into_iter().nth(column).ok_or_else(|| Error::failed("no-row", format!("no value for `{sql}`")))
}

/// A table's definition without its counter, which is compared as a sequence.
fn without_counter(text: &str) -> String {
    let Some(at) = text.rfind("\n) ") else { return text.to_owned() };
    let (body, options) = text.split_at(at);
    let Some((before, after)) = options.split_once(" AUTO_INCREMENT=") else { return text.to_owned() };
    format!("{body}{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Digests the rows of one table.
pub(super) fn rows(
    session: &mut Session,
    db: &str,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<TableFingerprint> {
    let columns = session.query(&format!(
        "SELECT COLUMN_NAME, DATA_TYPE, IFNULL(GENERATION_EXPRESSION, ''), EXTRA FROM information_schema.COLUMNS \
         WHERE BINARY TABLE_SCHEMA = BINARY {db} AND BINARY TABLE_NAME = BINARY {} ORDER BY ORDINAL_POSITION",
        literal(name)
    ))?;
    let mut values = Vec::new();
    for column in columns {
        let [column, kind, generated, extra] = four(column)?;
        if !["", "NULL"].contains(&generated.as_str()) || extra.contains("GENERATED ALWAYS AS ROW") {
            continue;
        }
        if kind == "float" {
            notes.push(format!(
                "{name}.{column}: a FLOAT is dumped with six digits; more are lost by a restore"
            ));
        }
        let column = ident(&column);
        let value = match kind.as_str() {
            "bit" => format!("HEX({column})"),
            k if BYTES.contains(&k) => format!("SHA2({column}, 256)"),
            _ => format!("CAST({column} AS CHAR)"),
        };
        values.push(format!("IF({column} IS NULL, 'N', CONCAT('=', {value}))"));
    }
    let row = if values.is_empty() { "''".to_owned() } else { values.join(", ") };
    let half = |from: u8| {
        format!(
            "IFNULL(SUM(CAST(CONV(SUBSTR(SHA2(CONCAT_WS(',', {row}), 256), {from}, 16), 16, 10) AS UNSIGNED)), 0)"
        )
    };
    let sql = format!("SELECT COUNT(*), {}, {} FROM {}", half(1), half(17), ident(name));
    let found = session.query(&sql)?.into_iter().next().unwrap_or_default();
    let number = |i: usize| -> Result<u128> {
        let text = found.get(i).map_or("", String::as_str);
        text.parse().map_err(|_| Error::failed("odd-output", format!("{name}: odd digest `{text}`")))
    };
    let (n, high, low) = (number(0)?, number(1)?, number(2)?);
    let cut = |sum: u128| sum & u128::from(u64::MAX);
    Ok(TableFingerprint {
        schema: String::new(),
        name: name.to_owned(),
        rows: u64::try_from(n).unwrap_or(u64::MAX),
        digest: format!("{:016x}{:016x}", cut(high), cut(low)),
        method: Method::Rows,
        materialized: false,
        bytes: 0,
    })
}

/// Counters of tables, and sequences of MariaDB: in no snapshot.
pub(super) fn sequences(session: &mut Session, database: &str) -> Result<Vec<SequenceFingerprint>> {
    let db = literal(database);
    let one = |name: String, value: &str| SequenceFingerprint {
        schema: String::new(),
        name,
        last_value: value.parse().unwrap_or(i64::MAX),
        is_called: false,
        params: String::new(),
    };
    let rows = session.query(&format!(
        "SELECT TABLE_NAME, TABLE_TYPE, IFNULL(AUTO_INCREMENT, ''), '' FROM information_schema.TABLES \
         WHERE BINARY TABLE_SCHEMA = BINARY {db} AND (AUTO_INCREMENT IS NOT NULL OR TABLE_TYPE = 'SEQUENCE') \
         ORDER BY TABLE_NAME"
    ))?;
    let mut found = Vec::new();
    for row in rows {
        let [name, kind, value, _] = four(row)?;
        if kind == "SEQUENCE" {
            let sql = format!("SELECT next_not_cached_value FROM {}", ident(&name));
            let value = session.scalar(&sql)?;
            found.push(one(name, &value));
        } else if kind != "VIEW" {
            found.push(one(name, &value));
        }
    }
    Ok(found)
}

/// Triggers, routines, events. A dump adds blanks at the end of a body, which mean nothing.
fn programs(session: &mut Session, db: &str, fp: &mut DatabaseFingerprint) -> Result<()> {
    let triggers = session.query(&format!(
        "SELECT TRIGGER_NAME, CONCAT_WS('\\n', CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION, ' on ', EVENT_OBJECT_TABLE), \
         CONCAT('order: ', ACTION_ORDER), CONCAT('definer: ', DEFINER), CONCAT('sql_mode: ', SQL_MODE), \
         CONCAT('character set: ', CHARACTER_SET_CLIENT, ' ', COLLATION_CONNECTION)), ACTION_STATEMENT, '' \
         FROM information_schema.TRIGGERS WHERE BINARY TRIGGER_SCHEMA = BINARY {db}"
    ))?;
    let events = session.query(&format!(
        "SELECT EVENT_NAME, CONCAT_WS('\\n', EVENT_TYPE, CONCAT('at: ', EXECUTE_AT), \
         CONCAT('every: ', INTERVAL_VALUE, ' ', INTERVAL_FIELD), CONCAT('starts: ', STARTS), CONCAT('ends: ', ENDS), \
         STATUS, ON_COMPLETION, CONCAT('definer: ', DEFINER), CONCAT('sql_mode: ', SQL_MODE), \
         CONCAT('time zone: ', TIME_ZONE), CONCAT('comment: ', EVENT_COMMENT)), EVENT_DEFINITION, '' \
         FROM information_schema.EVENTS WHERE BINARY EVENT_SCHEMA = BINARY {db}"
    ))?;
    for (kind, found) in [("trigger", triggers), ("event", events)] {
        for row in found {
            let [name, properties, body, _] = four(row)?;
            fp.schema.push(SchemaObject::new(kind, name, &format!("{properties}\n{}", body.trim_end())));
        }
    }
    let routines = session.query(&format!(
        "SELECT ROUTINE_NAME, ROUTINE_TYPE, SQL_MODE, '' FROM information_schema.ROUTINES \
         WHERE BINARY ROUTINE_SCHEMA = BINARY {db}"
    ))?;
    for row in routines {
        let [name, kind, mode, _] = four(row)?;
        let text = shown(session, &format!("SHOW CREATE {kind} {}", ident(&name)), 2)?;
        if text == "NULL" {
            let what =
                format!("the definition of the {} {name} is hidden from this user", kind.to_lowercase());
            return Err(
                Error::refused("not-allowed", what).help("back up as a user who may see it, such as root")
            );
        }
        let definition = format!("sql_mode: {mode}\n{}", text.trim_end());
        fp.schema.push(SchemaObject::new(kind.to_lowercase(), name, &definition));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_no_part_of_a_definition() {
        let text = "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4";
        let want = "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
        assert_eq!(without_counter(text), want);
        assert_eq!(without_counter(want), want);
    }
}
