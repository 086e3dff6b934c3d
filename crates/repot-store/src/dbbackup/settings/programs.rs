//! How pg_dump and pg_restore are started: what a connector's prefixes, suffixes, options and environments ask for, as
//! far as it is followed.
//!
//! django-dbbackup starts them as the application's role; repot starts them as the superuser. So what whoever writes the
//! application's configuration may say here is a list of what is allowed, not of what is forbidden: a program, a
//! library or a parameter that runs code would be the superuser's. And nothing is followed that changes what is in a
//! dump, because then it could not be compared.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::Connector;

/// How the programs that dump, and those that load, are started.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// pg_dump and pg_dumpall.
    pub dump: Way,
    /// pg_restore and psql.
    pub restore: Way,
}

/// How one program is started.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// Words before the program.
    pub prefix: Vec<String>,
    /// More arguments; for pg_dump and pg_restore only.
    pub suffix: Vec<String>,
    /// Variables of its environment, and no other place: a value may be a secret.
    pub env: BTreeMap<String, SecretString>,
}

impl Programs {
    /// Whether they are started as ever.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        [&self.dump, &self.restore]
            .iter()
            .all(|w| w.prefix.is_empty() && w.suffix.is_empty() && w.env.is_empty())
    }
}

/// Programs that give another one a place in the queues of the machine, or a time to end in, and nothing else.
const PREFIXES: [&str; 5] = ["nice", "ionice", "chrt", "taskset", "timeout"];
/// Options of pg_dump that leave its archive as it is.
const DUMP_OPTIONS: [&str; 5] =
    ["-v", "--verbose", "--no-sync", "--lock-wait-timeout", "--quote-all-identifiers"];
/// Options of pg_restore that leave the database as it was.
const RESTORE_OPTIONS: [&str; 2] = ["-v", "--verbose"];
/// Options that say what repot does in any case.
const ALREADY: [&str; 14] = [
    "-Fc",
    "--format=custom",
    "-w",
    "--no-password",
    "-Z",
    "--compress",
    "-1",
    "--single-transaction",
    "-e",
    "--exit-on-error",
    "-c",
    "--clean",
    "--if-exists",
    "--format",
];
/// Parameters of a session that PGOPTIONS may set: limits of time and memory, and how the network is watched.
const PARAMETERS: [&str; 16] = [
    "application_name",
    "client_min_messages",
    "effective_io_concurrency",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers_per_gather",
    "statement_timeout",
    "synchronous_commit",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "work_mem",
];
/// Variables of libpq about the encryption of a connection.
const TLS: [&str; 16] = [
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLSNI",
    "PGSSLCERTMODE",
    "PGSSLNEGOTIATION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGGSSENCMODE",
    "PGKRBSRVNAME",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
];
/// Other variables that are passed on.
const PLAIN: [&str; 3] = ["PGAPPNAME", "PGCONNECT_TIMEOUT", "PGTZ"];
/// Variables that say which server, and who.
const SERVER: [&str; 11] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
];

impl Connector {
    /// How the programs are started, and what of it is not followed: sentences that begin with the option's name.
    /// `by_url`: the server is one that a URL names, not one beside which repot starts its programs.
    #[must_use]
    pub fn programs(&self, by_url: bool) -> (Programs, Vec<String>) {
        let mut notes = Vec::new();
        let mut p = Programs::default();
        for (name, words, way) in [
            ("DUMP_PREFIX", &self.dump_prefix, &mut p.dump),
            ("RESTORE_PREFIX", &self.restore_prefix, &mut p.restore),
        ] {
            match prefix(words) {
                Ok(()) => way.prefix.clone_from(words),
                Err(why) => notes.push(format!("`{name}` is not followed: {why}")),
            }
        }
        for (name, words) in [
            ("DUMP_SUFFIX", &self.dump_suffix),
            ("RESTORE_SUFFIX", &self.restore_suffix),
            ("PG_OPTIONS", &self.pg_options),
        ] {
            let dumps = name == "DUMP_SUFFIX";
            let (followed, left) = options(words, if dumps { &DUMP_OPTIONS } else { &RESTORE_OPTIONS });
            if dumps { &mut p.dump } else { &mut p.restore }.suffix.extend(followed);
            if !left.is_empty() {
                notes.push(format!(
                    "`{name}` is not followed in {}: it would change what is in the backup or in the restored database, which then could not be compared",
                    left.join(" ")
                ));
            }
        }
        for (name, cmd) in [("DUMP_CMD", &self.dump_cmd), ("RESTORE_CMD", &self.restore_cmd)] {
            if !cmd.is_empty() {
                let whose = if by_url { "those of PATH" } else { "those of the database's own image" };
                notes.push(format!("`{name}` is not followed: the programs are {whose}"));
            }
        }
        if self.extension.is_some() {
            notes.push("`EXTENSION` is not followed: a file's ending says what it is".to_owned());
        }
        // As in django-dbbackup, what is said for one command beats what is said for both.
        for (name, all) in
            [("ENV", &self.env), ("DUMP_ENV", &self.dump_env), ("RESTORE_ENV", &self.restore_env)]
        {
            let mut good = BTreeMap::new();
            for (variable, value) in all {
                match passed_on(variable, value.expose_secret(), by_url) {
                    Ok(()) => drop(good.insert(variable.clone(), value.clone())),
                    Err(why) => notes.push(format!("`{name}`: {variable} is not passed on: {why}")),
                }
            }
            if name != "RESTORE_ENV" {
                p.dump.env.extend(good.clone());
            }
            if name != "DUMP_ENV" {
                p.restore.env.extend(good);
            }
        }
        (p, notes)
    }
}

/// Whether words may stand before a program.
fn prefix(words: &[String]) -> Result<(), String> {
    let Some(first) = words.first() else { return Ok(()) };
    if let Some(word) = words.iter().find(|w| is_shell(w)) {
        return Err(format!("`{word}` is for a shell, and none is started"));
    }
    let known = |w: &str| PREFIXES.contains(&w);
    let other = words.iter().find(|w| !known(w) && !w.starts_with('-') && !is_figure(w));
    match other {
        None if known(first) => Ok(()),
        other => Err(format!(
            "`{}` is none of {}, their options and figures, and would run as the database's superuser",
            other.unwrap_or(first),
            PREFIXES.join(", ")
        )),
    }
}

fn is_shell(word: &str) -> bool {
    word.is_empty() || word.contains(['|', '&', ';', '<', '>', '(', ')', '$', '`', '\n', '*', '?', '#', '\\'])
}

/// A figure, a list of processors, a time: `19`, `0,2-3`, `0x3`, `10m`.
fn is_figure(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_hexdigit() || ",-.xsmh".contains(c))
}

/// The options that are followed, and those that are not. Those that say what repot does in any case are neither.
fn options(words: &[String], allowed: &[&str]) -> (Vec<String>, Vec<String>) {
    let (mut followed, mut left) = (Vec::new(), Vec::new());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        // An option's value may be a word of its own.
        let value = words.next_if(|w| !word.contains('=') && !w.starts_with('-'));
        let mut said = vec![word.clone()];
        said.extend(value.cloned());
        if allowed.contains(&name) && !said.iter().any(|w| is_shell(w)) {
            followed.extend(said);
        } else if !ALREADY.contains(&name) && !ALREADY.contains(&word.as_str()) {
            left.extend(said);
        }
    }
    (followed, left)
}

/// Whether a program gets a variable.
fn passed_on(variable: &str, value: &str, by_url: bool) -> Result<(), String> {
    match variable {
        "PGOPTIONS" => session_parameters(value),
        v if PLAIN.contains(&v) => Ok(()),
        v if TLS.contains(&v) && by_url => Ok(()),
        v if TLS.contains(&v) => {
            Err("repot's programs run beside the server and reach it without a network".to_owned())
        }
        v if SERVER.contains(&v) => {
            Err("repot finds the server by itself; for another one give its URL".to_owned())
        }
        _ => Err("only libpq's variables for a session and its encryption are".to_owned()),
    }
}

/// Whether PGOPTIONS sets nothing but what [`PARAMETERS`] has.
fn session_parameters(value: &str) -> Result<(), String> {
    let words = shlex::split(value).ok_or("a quote is not closed")?;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let setting = match word.as_str() {
            "-c" => words.next().map_or("", String::as_str),
            w => w.strip_prefix("--").or_else(|| w.strip_prefix("-c")).unwrap_or(""),
        };
        let name = setting.split_once('=').map_or(setting, |(name, _)| name).replace('-', "_");
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(format!(
                "`{name}` is none of the parameters that may be set for a superuser's session: {}",
                PARAMETERS.join(", ")
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value, by_url: bool) -> (Programs, Vec<String>) {
        let Value::Object(map) = value else { panic!("no map") };
        let mut notes = Vec::new();
        Connector::read("c", &map, &mut notes).expect("read").programs(by_url)
    }

    #[test]
    fn what_is_followed() {
        let (p, notes) = read(
            json!({
                "DUMP_PREFIX": "nice -n 19 ionice -c 2 -n 7", "RESTORE_PREFIX": ["timeout", "2h"],
                "DUMP_SUFFIX": "--lock-wait-timeout 5s --no-sync --format=custom", "PG_OPTIONS": "-v --exit-on-error",
                "ENV": {"PGOPTIONS": "-c statement_timeout=0 --lock-timeout=1s", "PGAPPNAME": "both"},
                "DUMP_ENV": {"PGAPPNAME": "dump"}
            }),
            false,
        );
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(p.dump.prefix, ["nice", "-n", "19", "ionice", "-c", "2", "-n", "7"]);
        assert_eq!(p.restore.prefix, ["timeout", "2h"]);
        assert_eq!(p.dump.suffix, ["--lock-wait-timeout", "5s", "--no-sync"]);
        assert_eq!(p.restore.suffix, ["-v"]);
        let name = |w: &Way| w.env["PGAPPNAME"].expose_secret().to_owned();
        assert_eq!((name(&p.dump), name(&p.restore)), ("dump".to_owned(), "both".to_owned()));
        assert!(!format!("{p:?}").contains("statement_timeout"), "values are secrets");
        assert!(read(json!({}), false).0.is_plain());
    }

    #[test]
    fn what_is_not() {
        for (key, value, word) in [
            ("DUMP_PREFIX", json!("sudo -u postgres"), "`sudo` is none of"),
            ("DUMP_PREFIX", json!("nice sh -c true"), "`sh` is none of"),
            ("DUMP_PREFIX", json!("19"), "`19` is none of"),
            ("RESTORE_PREFIX", json!("nice; rm"), "for a shell"),
            ("DUMP_SUFFIX", json!("--exclude-schema=x"), "--exclude-schema=x: it would change"),
            ("DUMP_SUFFIX", json!("-f /etc/passwd"), "-f /etc/passwd: it would change"),
            ("RESTORE_SUFFIX", json!("--no-owner"), "--no-owner: it would change"),
            ("DUMP_CMD", json!("/opt/pg_dump"), "the database's own image"),
            ("ENV", json!({"LD_PRELOAD": "/x.so"}), "LD_PRELOAD is not passed on"),
            ("ENV", json!({"PATH": "/x"}), "PATH is not passed on"),
            ("ENV", json!({"PGHOST": "x"}), "finds the server by itself"),
            ("ENV", json!({"PGSSLMODE": "require"}), "beside the server"),
            (
                "ENV",
                json!({"PGOPTIONS": "-c session_preload_libraries=x"}),
                "`session_preload_libraries` is none",
            ),
            ("RESTORE_ENV", json!({"PGOPTIONS": "-d 5"}), "is none of the parameters"),
        ] {
            let (p, notes) = read(json!({ key: value }), false);
            assert!(p.is_plain(), "{key}: {p:?}");
            assert!(notes.len() == 1 && notes[0].contains(word), "{key}: {notes:?}");
        }
        let (p, notes) = read(json!({"ENV": {"PGSSLMODE": "verify-full"}}), true);
        assert!(notes.is_empty() && p.dump.env.contains_key("PGSSLMODE"), "{notes:?}");
    }

    proptest! {
        /// Whatever is written, no program comes in but those of the list.
        #[test]
        fn no_other_program_is_a_prefix(words in prop::collection::vec("[-/a-z0-9.=;$ ]{0,6}", 0..4)) {
            let good = prefix(&words).is_ok();
            let may = |w: &String| PREFIXES.contains(&w.as_str()) || w.starts_with('-') || is_figure(w);
            prop_assert!(!good || words.iter().all(|w| may(w) && !is_shell(w)));
        }
    }
}
