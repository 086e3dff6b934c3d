//! Databases of a source that is no PostgreSQL server, for [`super::make`].

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use repot_store::{Engine, MovedSequence};

use super::source::Source;
use crate::app::detect::Deployment;
use crate::app::others::Other;
use crate::engine::mysql::clients::{Clients, Place};
use crate::engine::mysql::facts::{self, Version, databases};
use crate::engine::mysql::session::Session;
use crate::engine::{mysql, sqlite};
use crate::error::{Error, Result};
use crate::host::compose::host::ComposeHost;
use crate::interrupt;
use crate::upgrade::plan::now;
use crate::verify::{ClusterFingerprint, DatabaseFingerprint};

/// The databases, and how to reach them.
pub(super) struct Databases {
    pub(super) engine: Engine,
    /// The client that writes the dumps, as it calls itself.
    pub(super) client: String,
    pub(super) version: u32,
    pub(super) names: Vec<String>,
    pub(super) notes: Vec<String>,
    from: From,
}

enum From {
    Sqlite { paths: Vec<PathBuf>, scratch_dir: PathBuf, run: String },
    Mysql { clients: Clients, version: Version },
}

/// What was dumped.
pub(super) struct Dumped {
    pub(super) fingerprint: DatabaseFingerprint,
    pub(super) moved: Vec<MovedSequence>,
    pub(super) notes: Vec<String>,
}

/// The client programs of a Compose project's MariaDB or MySQL.
pub(super) fn mysql_clients(d: &Deployment, run: &str) -> Result<Clients> {
    let db = &d.database;
    if !db.running {
        return Err(Error::refused("database-down", format!("the service {} is not running", db.service))
            .help(format!("start it with `docker compose up -d {}`", db.service)));
    }
    let host: ComposeHost = d.host(run);
    Ok(Clients {
        place: Place::Beside(host.beside_helper()?),
        host: "127.0.0.1".to_owned(),
        port: 3306,
        user: db.superuser.clone(),
        password: db.password.clone(),
    })
}

/// Opens the databases of a source; none where it is PostgreSQL.
pub(super) fn open(source: &Source<'_>, run: &str, scratch_dir: &Path) -> Result<Option<Databases>> {
    match source {
        Source::Url(_) => Ok(None),
        Source::Sqlite(path) => {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            Ok(Some(sqlite_files(vec![(name, path.clone())], run, scratch_dir)))
        }
        Source::Mysql(clients, database) => mysql_server((**clients).clone(), Some(database)).map(Some),
        Source::Compose(d) => match &d.other {
            None => Ok(None),
            Some(Other::Sqlite(files)) => {
                let mut found = Vec::new();
                let mut notes = Vec::new();
                for f in files {
                    let path = f.host_path()?;
                    if path.is_file() {
                        found.push((f.name.clone(), path));
                    } else {
                        notes
                            .push(format!("there is no SQLite file {}, so it was left out", f.at.describe()));
                    }
                }
                if found.is_empty() {
                    return Err(Error::refused("sqlite-open", "the application's SQLite file is not there")
                        .why(notes.join("\n"))
                        .help("start the application once, or correct the path in the profile"));
                }
                Ok(Some(Databases { notes, ..sqlite_files(found, run, scratch_dir) }))
            }
            Some(Other::Mysql) => mysql_server(mysql_clients(d, run)?, None).map(Some),
        },
    }
}

fn sqlite_files(files: Vec<(String, PathBuf)>, run: &str, scratch_dir: &Path) -> Databases {
    let (names, paths) = files.into_iter().unzip();
    Databases {
        engine: Engine::Sqlite,
        client: format!("SQLite {}", sqlite::version()),
        version: sqlite::version_num(),
        names,
        notes: Vec::new(),
        from: From::Sqlite { paths, scratch_dir: scratch_dir.to_owned(), run: run.to_owned() },
    }
}

/// One database, or all that this user sees.
fn mysql_server(clients: Clients, database: Option<&str>) -> Result<Databases> {
    let out = clients.program(mysql::clients::Program::Dump, &["--version"]).output()?;
    if !out.ok() {
        return Err(Error::refused("no-client", "there is no mariadb-dump and no mysqldump")
            .why(crate::exec::last_lines(&out.stderr, 2))
            .help("use the database's own image, or install mariadb-client where repot runs"));
    }
    let mut session = Session::open(&clients, database)?;
    let version = facts::version(&mut session)?;
    let names = match database {
        Some(one) => vec![one.to_owned()],
        None => databases(&mut session)?,
    };
    drop(session);
    Ok(Databases {
        engine: version.engine,
        client: out.text(),
        version: version.num,
        names,
        notes: vec!["users and their rights are not in the set; a restore needs them to be there".to_owned()],
        from: From::Mysql { clients, version },
    })
}

/// The fingerprint of what was dumped, and the counters that went on meanwhile.
pub(super) fn gathered(
    of: &Databases,
    dumped: Vec<(String, Dumped)>,
) -> (ClusterFingerprint, Vec<MovedSequence>) {
    let (mut databases, mut moved) = (BTreeMap::new(), Vec::new());
    for (name, d) in dumped {
        databases.insert(name, d.fingerprint);
        moved.extend(d.moved);
    }
    let found = ClusterFingerprint {
        format: crate::verify::fingerprint::FORMAT,
        server_version_num: of.version,
        taken_at: now(),
        cluster: false,
        roles: Vec::new(),
        memberships: Vec::new(),
        tablespaces: Vec::new(),
        databases,
        notes: Vec::new(),
    };
    (found, moved)
}

impl Databases {
    /// The file that a database goes into, without layers.
    pub(super) fn file_name(&self, i: usize) -> String {
        let name = &self.names[i];
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && name.len() < 100
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let stem = if plain { name.clone() } else { format!("database-{i}") };
        match self.engine {
            Engine::Sqlite if [".sqlite3", ".sqlite", ".db"].iter().any(|e| stem.ends_with(e)) => stem,
            Engine::Sqlite => format!("{stem}.sqlite3"),
            _ => format!("{stem}.sql"),
        }
    }

    /// What takes a database's content from standard input, for restoring by hand.
    pub(super) fn by_hand(&self, i: usize) -> String {
        let quoted = format!("'{}'", self.names[i].replace('\'', r"'\''"));
        match self.engine {
            Engine::Sqlite => format!("cat > {quoted}"),
            Engine::Mysql => format!("mysql --binary-mode --default-character-set=utf8mb4 {quoted}"),
            _ => format!("mariadb --binary-mode --default-character-set=utf8mb4 {quoted}"),
        }
    }

    /// Streams a database into `sink`; what it holds.
    pub(super) fn dump(
        &self,
        i: usize,
        sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
        tell: &dyn Fn(String),
    ) -> Result<Dumped> {
        let name = &self.names[i];
        match &self.from {
            From::Sqlite { paths, scratch_dir, run } => {
                let seen = |done, all| tell(format!("{name}, page {done} of {all}"));
                let mut copy = sqlite::Copy::of(&paths[i], scratch_dir, &format!("{run}-{i}"), &seen)?;
                tell(format!("{name}, fingerprint"));
                let (fingerprint, _) = sqlite::take(&copy.connection, &paths[i])?;
                let mut buf = vec![0_u8; 256 << 10];
                loop {
                    interrupt::check()?;
                    match copy.file.read(&mut buf) {
                        Ok(0) => break,
                        Ok(n) => sink(&buf[..n])?,
                        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(Error::io(format!("cannot read the copy of {name}"), &e)),
                    }
                }
                Ok(Dumped { fingerprint, moved: Vec::new(), notes: Vec::new() })
            }
            From::Mysql { clients, version } => {
                let d = mysql::dump::dump(clients, name, version, sink)?;
                let moved = d.moved.into_iter().map(|(from, to)| MovedSequence {
                    database: name.clone(),
                    schema: from.schema,
                    name: from.name,
                    from: from.last_value,
                    to: to.last_value,
                });
                Ok(Dumped { fingerprint: d.fingerprint, moved: moved.collect(), notes: d.notes })
            }
        }
    }
}
