//! The rows of databases, by a way that shares nothing with repot's own fingerprint: psql, `row::text`, md5.

use std::collections::BTreeMap;

use crate::stack::Stack;

/// What one table held: the query that asks, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    query: String,
    answer: String,
    rows: u64,
}

/// Every table of every database. The columns are those of the first look, so that a column that a later version
/// of the application adds does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    tables: BTreeMap<(String, String), Table>,
}

const TABLES: &str = "\
SELECT format('%I.%I', n.nspname, c.relname), \
  format('SELECT %L, count(*), md5(coalesce(string_agg(t, E''\\n'' ORDER BY t COLLATE \"C\"), '''')) FROM (SELECT row(%s)::text AS t FROM ONLY %I.%I) x', \
    format('%I.%I', n.nspname, c.relname), \
    coalesce((SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), ''), \
    n.nspname, c.relname) \
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1";

const DATABASES: &str =
    "SELECT datname FROM pg_database WHERE datallowconn AND datname NOT LIKE 'template%' ORDER BY 1";

impl Content {
    /// Looks at every database of the stack's server.
    #[must_use]
    #[track_caller]
    pub fn of(stack: &Stack) -> Self {
        let mut tables = BTreeMap::new();
        for db in stack.psql("postgres", DATABASES).lines() {
            let list = stack.psql(db, TABLES);
            for (name, query) in list.lines().filter_map(|l| l.split_once('|')) {
                let table = Table { query: query.to_owned(), answer: String::new(), rows: 0 };
                tables.insert((db.to_owned(), name.to_owned()), table);
            }
        }
        let mut content = Content { tables };
        content.ask(stack);
        content
    }

    fn ask(&mut self, stack: &Stack) {
        let mut by_db: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for ((db, _), t) in &self.tables {
            by_db.entry(db).or_default().push(&t.query);
        }
        let mut answers = BTreeMap::new();
        for (db, queries) in by_db {
            // Pinned, because the defaults of databases and roles may differ from psql's.
            let pin = "SET extra_float_digits = 3; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET bytea_output = 'hex'; SET search_path = pg_catalog;";
            let sql = format!("{pin} {};", queries.join(";\n"));
            for line in stack.psql(db, &sql).lines() {
                let mut f = line.splitn(3, '|');
                if let (Some(name), Some(rows), Some(sum)) = (f.next(), f.next(), f.next()) {
                    answers.insert(
                        (db.to_owned(), name.to_owned()),
                        (rows.parse().unwrap_or(0), sum.to_owned()),
                    );
                }
            }
        }
        for (key, t) in &mut self.tables {
            let (rows, sum) = answers.remove(key).unwrap_or((0, "no answer".to_owned()));
            t.rows = rows;
            t.answer = sum;
        }
    }

    /// How many rows a table has, by `schema.table`.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, db: &str, table: &str) -> u64 {
        match self.tables.get(&(db.to_owned(), table.to_owned())) {
            Some(t) => t.rows,
            None => panic!("there is no table {table} in {db}; there are {:?}", self.tables.keys()),
        }
    }
    /// How many tables there are.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.tables.len()
    }
    /// All rows.
    #[must_use]
    pub fn total_rows(&self) -> u64 {
        self.tables.values().map(|t| t.rows).sum()
    }

    /// Asks the same again and fails the test unless every row is there with the same content. Tables in `growing`
    /// (which the application writes all the time) may have more rows, but not fewer.
    #[track_caller]
    pub fn assert_still(&self, stack: &Stack, growing: &[&str], what: &str) {
        let mut now = self.clone();
        now.ask(stack);
        let mut told = Vec::new();
        for (key, t) in &self.tables {
            let n = &now.tables[key];
            let same = if growing.iter().any(|g| key.1 == *g) { n.rows >= t.rows } else { t == n };
            if !same {
                told.push(format!(
                    "{}: {}: {} rows, {} -> {} rows, {}",
                    key.0, key.1, t.rows, t.answer, n.rows, n.answer
                ));
            }
        }
        assert!(
            told.is_empty(),
            "{what}: {} of {} tables differ\n{}",
            told.len(),
            self.tables.len(),
            told.join("\n")
        );
    }
}
