//! Taking a fingerprint: which databases and tables there are, and several of them read at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::postgres::session::{Connector, Row, Session, literal};
use crate::error::{Error, Result};
use crate::interrupt;

use super::content::{self, Table};
use super::fingerprint::{
    ClusterFingerprint, DatabaseFingerprint, Extension, FORMAT, SequenceFingerprint, TableFingerprint,
};
use super::schema;

/// The oldest version whose text forms are those of later ones: 12 changed how floats are printed.
const OLDEST: u32 = 120_000;
/// Tables below this size are read in one go with others, so that a database with thousands of them does not
/// cost a connection each.
const SMALL_BYTES: u64 = 4 << 20;
/// How many small tables go together.
const SMALL_TABLES: usize = 64;

/// What to take.
#[derive(Debug, Clone, Default)]
pub struct TakeOptions {
    /// How many sessions read at once; 0 counts as 1. Each may use two more processes of the server.
    pub jobs: usize,
    /// Which databases; all that can be connected to but `template0` when not given.
    pub databases: Option<Vec<String>>,
    /// By database, the identifier of a snapshot that some open transaction exported: what is read is what that
    /// transaction sees. A database without one is read as it is, in one snapshot a session.
    pub snapshots: BTreeMap<String, String>,
    /// Whether to read roles, memberships and tablespaces too; takes a superuser.
    pub cluster: bool,
}

/// How far the reading of rows is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Bytes on disk of the tables that are done.
    pub done_bytes: u64,
    /// Bytes on disk of all tables.
    pub total_bytes: u64,
    /// The table that is about to be read, with its database; empty at the end.
    pub table: &'a str,
}

/// Reads a server's fingerprint.
pub fn take(
    connector: &dyn Connector,
    opts: &TakeOptions,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<ClusterFingerprint> {
    let taken_at = jiff::Timestamp::now().to_string();
    let home = connector.connect(connector.home_database())?;
    let version = home.version_num()?;
    if version < OLDEST {
        let what = format!("{}: a fingerprint needs PostgreSQL 12 or later", connector.describe());
        return Err(Error::refused("fingerprint-version", what).why(format!("it is {version}")));
    }
    let mut notes = Vec::new();
    let mut databases = databases(&home, version, opts, &mut notes)?;
    let (mut roles, mut memberships, mut tablespaces) = (Vec::new(), Vec::new(), Vec::new());
    if opts.cluster {
        super::cluster::roles(&home, &mut roles)?;
        super::cluster::memberships(&home, &mut memberships)?;
        super::cluster::tablespaces(&home, &mut tablespaces)?;
    }
    drop(home);

    let reader = Reader { connector, opts, stop: AtomicBool::new(false) };
    let names: Vec<String> = databases.keys().cloned().collect();
    let outlines = reader.each(names, |session, database| outline(session, database, version))?;
    let mut work = Vec::new();
    for (name, (found, tables, large_objects)) in outlines {
        let database = databases.entry(name.clone()).or_default();
        database.schema = found.schema;
        database.sequences = found.sequences;
        database.extensions = found.extensions;
        database.notes = found.notes;
        queue(&mut work, &name, tables, large_objects);
    }
    work.sort_by_key(|w| std::cmp::Reverse(w.bytes));

    let total_bytes = work.iter().map(|w| w.bytes).sum();
    let done = AtomicU64::new(0);
    let tell = |table: &str, bytes: u64| {
        let done_bytes = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        progress(Progress { done_bytes, total_bytes, table });
    };
    for (name, result) in reader.read(work, &tell)? {
        let database = databases.entry(name).or_default();
        match result {
            Done::Table(t) => database.tables.push(t),
            Done::LargeObjects(l) => database.large_objects = l,
        }
    }
    tell("", 0);
    for d in databases.values_mut() {
        d.tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    }
    Ok(ClusterFingerprint {
        format: FORMAT,
        server_version_num: version,
        taken_at,
        cluster: opts.cluster,
        roles,
        memberships,
        tablespaces,
        databases,
        notes,
    })
}

/// The databases to read, with what the cluster's own catalog says of them.
fn databases(
    home: &Session,
    version: u32,
    opts: &TakeOptions,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, DatabaseFingerprint>> {
    let mut found = super::cluster::databases(home, version)?;
    if let Some(wanted) = &opts.databases {
        if let Some(missing) = wanted.iter().find(|w| !found.contains_key(*w)) {
            return Err(Error::failed("database-missing", format!("there is no database `{missing}`")));
        }
        found.retain(|name, _| wanted.contains(name));
    } else {
        found.retain(|name, (_, connectable)| {
            if !*connectable && name != "template0" {
                notes.push(format!("database `{name}` was not read: it does not allow connections"));
            }
            *connectable && name != "template0"
        });
    }
    Ok(found.into_iter().map(|(name, (d, _))| (name, d)).collect())
}

/// Something to read in one go.
struct Work {
    database: String,
    bytes: u64,
    what: What,
}

enum What {
    Tables(Vec<Table>),
    LargeObjects(u64),
}

enum Done {
    Table(TableFingerprint),
    LargeObjects(super::LargeObjects),
}

/// How many large objects there are, and their bytes on disk.
type LargeObjectCount = (u64, u64);

fn queue(work: &mut Vec<Work>, database: &str, tables: Vec<Table>, large_objects: LargeObjectCount) {
    let (large, small): (Vec<Table>, Vec<Table>) = tables.into_iter().partition(|t| t.bytes >= SMALL_BYTES);
    let mut add = |what, bytes| work.push(Work { database: database.to_owned(), bytes, what });
    for t in large {
        let bytes = t.bytes;
        add(What::Tables(vec![t]), bytes);
    }
    for chunk in small.chunks(SMALL_TABLES) {
        add(What::Tables(chunk.to_vec()), chunk.iter().map(|t| t.bytes).sum());
    }
    let (count, bytes) = large_objects;
    if count > 0 {
        add(What::LargeObjects(count), bytes);
    }
}

/// Reads with several sessions at once.
struct Reader<'a> {
    connector: &'a dyn Connector,
    opts: &'a TakeOptions,
    stop: AtomicBool,
}

impl Reader<'_> {
    /// Runs `f` for each database.
    fn each<T: Send>(
        &self,
        databases: Vec<String>,
        f: impl Fn(&Session, &str) -> Result<T> + Sync,
    ) -> Result<Vec<(String, T)>> {
        self.spread(databases, |worker, name| {
            let t = f(worker.session(&name)?, &name)?;
            Ok(vec![(name, t)])
        })
    }

    fn read(&self, work: Vec<Work>, tell: &(dyn Fn(&str, u64) + Sync)) -> Result<Vec<(String, Done)>> {
        self.spread(work, |worker, work| {
            let mut done = Vec::new();
            match work.what {
                What::Tables(tables) => {
                    for t in tables {
                        interrupt::check()?;
                        tell(&format!("{}: {}", work.database, t.display()), 0);
                        let c = worker.table(&work.database, &t)?;
                        tell(&format!("{}: {}", work.database, t.display()), t.bytes);
                        done.push((
                            work.database.clone(),
                            Done::Table(TableFingerprint {
                                schema: t.schema,
                                name: t.name,
                                rows: c.rows,
                                digest: c.digest,
                                method: c.method,
                                materialized: t.materialized,
                                bytes: t.bytes,
                            }),
                        ));
                    }
                }
                What::LargeObjects(count) => {
                    let label = format!("{}: large objects", work.database);
                    tell(&label, 0);
                    let l = content::large_objects(worker.session(&work.database)?, count)
                        .map_err(|e| naming(e, &label))?;
                    tell(&label, work.bytes);
                    done.push((work.database, Done::LargeObjects(l)));
                }
            }
            Ok(done)
        })
    }

    /// Hands out `items` in order to as many workers as there are jobs; each has a session of its own, opened
    /// and used by its own thread (a carrier process dies with the thread that started it).
    fn spread<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        f: impl Fn(&mut Worker<'_>, I) -> Result<Vec<T>> + Sync,
    ) -> Result<Vec<T>> {
        let jobs = self.opts.jobs.max(1).min(items.len().max(1));
        let queue = Mutex::new(items.into_iter());
        let next = || queue.lock().ok().and_then(|mut q| q.next());
        let work = || -> Result<Vec<T>> {
            let mut worker = Worker { reader: self, open: None };
            let mut done = Vec::new();
            while !self.stop.load(Ordering::Relaxed) {
                interrupt::check()?;
                let Some(item) = next() else { break };
                match f(&mut worker, item) {
                    Ok(more) => done.extend(more),
                    Err(e) => {
                        self.stop.store(true, Ordering::Relaxed);
                        return Err(e);
                    }
                }
            }
            Ok(done)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::new();
            let mut first_error = None;
            for t in threads {
                match t.join() {
                    Ok(Ok(done)) => all.extend(done),
                    Ok(Err(e)) => first_error = first_error.or(Some(e)),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            first_error.map_or(Ok(all), Err)
        })
    }
}

/// One thread's session, reused while the database stays the same.
struct Worker<'a> {
    reader: &'a Reader<'a>,
    open: Option<(String, Session)>,
}

impl Worker<'_> {
    fn session(&mut self, database: &str) -> Result<&Session> {
        if self.open.as_ref().is_none_or(|(name, _)| name != database) {
            self.open = None;
            let session = self.reader.connector.connect(database)?;
            session.execute(content::SETTINGS)?;
            self.begin(&session, database)?;
            self.open = Some((database.to_owned(), session));
        }
        match &self.open {
            Some((_, session)) => Ok(session),
            None => Err(Error::failed("no-session", format!("no session with database `{database}`"))),
        }
    }

    fn begin(&self, session: &Session, database: &str) -> Result<()> {
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        match self.reader.opts.snapshots.get(database) {
            Some(id) => session.execute(&format!("SET TRANSACTION SNAPSHOT {}", literal(id))),
            None => Ok(()),
        }
    }

    fn table(&mut self, database: &str, table: &Table) -> Result<content::Content> {
        let name = format!("table {} of database `{database}`", table.display());
        match content::rows(self.session(database)?, table) {
            Err(e) if content::too_long(&e) => {
                // The error ended the transaction; the second way starts a new one on the same snapshot.
                let session = self.session(database)?;
                session.execute("ROLLBACK")?;
                if let Some((_, session)) = &self.open {
                    self.begin(session, database)?;
                }
                content::values(self.session(database)?, table)
            }
            other => other,
        }
        .map_err(|e| naming(e, &name))
    }
}

/// Says what was being read when the server said no.
fn naming(mut e: Error, what: &str) -> Error {
    if e.code != "interrupted" {
        e.what = format!("cannot read {what} ({})", e.what);
    }
    e
}

fn unreadable(what: &str) -> Error {
    Error::failed("not-allowed", format!("this role may not read {what}"))
        .help("connect as a superuser or the owner, or as a member of pg_read_all_data (14 and later)")
}

/// Everything of a database but its rows.
fn outline(
    session: &Session,
    database: &str,
    version: u32,
) -> Result<(DatabaseFingerprint, Vec<Table>, LargeObjectCount)> {
    let naming = |e| naming(e, &format!("the catalogs of database `{database}`"));
    let mut d = DatabaseFingerprint {
        schema: schema::objects(session, version).map_err(naming)?,
        ..DatabaseFingerprint::default()
    };
    for r in session.query(
        "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e \
         JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1",
    )? {
        let [name, version, schema] = texts(r);
        d.extensions.push(Extension { name, version, schema });
    }
    let tables = tables(session, &mut d.notes)?;
    d.sequences = sequences(session)?;
    let foreign = session.scalar("SELECT count(*) FROM pg_foreign_table")?;
    if foreign != "0" {
        d.notes.push(format!("the rows of {foreign} foreign tables were not read: they are elsewhere"));
    }
    let count = session.scalar("SELECT count(*) FROM pg_largeobject_metadata")?;
    let bytes = session.scalar("SELECT pg_table_size('pg_largeobject')")?;
    Ok((d, tables, (count.parse().unwrap_or(0), bytes.parse().unwrap_or(0))))
}

/// A row's first values, NULL as an empty text.
fn texts<const N: usize>(row: Row) -> [String; N] {
    let mut values = row.into_iter();
    std::array::from_fn(|_| values.next().flatten().unwrap_or_default())
}

fn tables(session: &Session, notes: &mut Vec<String>) -> Result<Vec<Table>> {
    // A partitioned table has no rows of its own. The rows of an extension's table go into a dump only where the
    // extension says so (pg_extension_config_dump), under a condition.
    let rows = session.query(
        "SELECT n.nspname, c.relname, pg_table_size(c.oid), c.relkind = 'm', c.relispopulated, \
           c.relkind = 'r' AND NOT c.relispartition AND EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid), \
           e.extname, e.configured, e.condition, c.oid, \
           has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN LATERAL (SELECT x.extname, c.oid = ANY (x.extconfig) AS configured, \
             x.extcondition[array_position(x.extconfig, c.oid)] AS condition \
           FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid \
           WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS e ON true \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2",
    )?;
    let mut found = Vec::new();
    for r in rows {
        let [
            schema,
            name,
            bytes,
            materialized,
            populated,
            child,
            extension,
            configured,
            condition,
            oid,
            readable,
        ] = texts(r);
        if !extension.is_empty() && configured != "t" {
            notes.push(format!(
                "the rows of {schema}.{name} were not read: it belongs to extension {extension}"
            ));
            continue;
        }
        if readable != "t" {
            return Err(unreadable(&format!("table {schema}.{name}")));
        }
        let columns = if child == "t" {
            let list = session.query(&format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped \
                 ORDER BY attname COLLATE \"C\""
            ))?;
            Some(list.into_iter().map(texts::<1>).map(|[n]| n).collect())
        } else {
            None
        };
        found.push(Table {
            schema,
            name,
            bytes: bytes.parse().unwrap_or(0),
            materialized: materialized == "t",
            populated: populated == "t",
            columns,
            condition,
        });
    }
    Ok(found)
}

/// The query for the values of sequences, one row each, in their order: a UNION alone promises none.
fn values_of(sequences: &[&str]) -> String {
    let one = |(i, s): (usize, &&str)| format!("SELECT {i}, last_value, is_called FROM {s}");
    let all: Vec<String> = sequences.iter().enumerate().map(one).collect();
    format!("{} ORDER BY 1", all.join(" UNION ALL "))
}

pub(crate) fn sequences(session: &Session) -> Result<Vec<SequenceFingerprint>> {
    let rows = session.query(
        "SELECT n.nspname, c.relname, format('%s start %s increment %s from %s to %s cache %s%s%s', \
             format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, \
             CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END, \
             (SELECT format(' owned by %s.%I', d.refobjid::regclass, a.attname) FROM pg_depend d \
              JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass \
                AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0)), \
           format('%I.%I', n.nspname, c.relname), \
           has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT') \
         FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
           AND NOT EXISTS (SELECT 1 FROM pg_depend d LEFT JOIN pg_extension x ON x.oid = d.refobjid \
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
               AND NOT (c.oid = ANY (coalesce(x.extconfig, '{}')))) \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"",
    )?;
    let mut found = Vec::with_capacity(rows.len());
    let all: Vec<[String; 5]> = rows.into_iter().map(texts).collect();
    if let Some([schema, name, ..]) = all.iter().find(|[_, _, _, _, readable]| readable != "t") {
        return Err(unreadable(&format!("sequence {schema}.{name}")));
    }
    for chunk in all.chunks(200) {
        let places: Vec<&str> = chunk.iter().map(|[_, _, _, place, _]| place.as_str()).collect();
        let values = session.query(&values_of(&places)).map_err(|e| naming(e, "the sequences"))?;
        if values.len() != chunk.len() {
            let what =
                format!("{} sequences were asked for their values, {} answered", chunk.len(), values.len());
            return Err(Error::failed("odd-answer", what));
        }
        for ([schema, name, params, ..], value) in chunk.iter().zip(values) {
            let [_, last_value, is_called] = texts(value);
            let last_value = last_value.parse().map_err(|_| {
                Error::failed("odd-answer", format!("sequence {schema}.{name} is at `{last_value}`"))
            })?;
            found.push(SequenceFingerprint {
                schema: schema.clone(),
                name: name.clone(),
                last_value,
                is_called: is_called == "t",
                params: params.clone(),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_sequences_come_in_the_order_of_their_names() {
        assert_eq!(
            values_of(&["public.a", "public.\"B\""]),
            "SELECT 0, last_value, is_called FROM public.a UNION ALL SELECT 1, last_value, is_called FROM public.\"B\" ORDER BY 1"
        );
        assert_eq!(values_of(&["s.x"]), "SELECT 0, last_value, is_called FROM s.x ORDER BY 1");
    }
}
