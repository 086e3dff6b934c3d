//! Which settings of the old server go to the new one, and which cannot.

use serde::{Deserialize, Serialize};

use super::facts::{ClusterFacts, FileSetting};

/// A setting that a major version dropped, renamed or reads differently.
#[derive(Debug, Clone, Copy)]
pub struct RemovedSetting {
    /// Name in the old server.
    pub name: &'static str,
    /// First major that does not take it as it was.
    pub removed_in: u32,
    /// What it is called now; its own name where only the values changed.
    pub renamed_to: Option<&'static str>,
    /// The new value for an old one; the second argument is the WAL segment size in bytes.
    pub convert: Option<fn(&str, u64) -> Option<String>>,
    /// Whether the new server still takes the old name.
    pub alias: bool,
    /// What became of it, in a few words.
    pub why: &'static str,
}

const fn dropped(name: &'static str, removed_in: u32, why: &'static str) -> RemovedSetting {
    RemovedSetting { name, removed_in, renamed_to: None, convert: None, alias: false, why }
}

/// Settings that 12 to 18 dropped, renamed or read differently. Sources: the release notes (appendix E) of each
/// major, and the difference of `postgres --describe-config` between majors; `guc_tables.c` for what stayed as an
/// alias.
pub const REMOVED: [RemovedSetting; 16] = [
    dropped("default_with_oids", 12, "tables WITH OIDS no longer exist, so there is nothing to choose"),
    RemovedSetting {
        name: "wal_keep_segments",
        removed_in: 13,
        renamed_to: Some("wal_keep_size"),
        convert: Some(segments_to_size),
        alias: false,
        why: "it is now a size, not a number of files",
    },
    RemovedSetting {
        name: "effective_io_concurrency",
        removed_in: 13,
        renamed_to: Some("effective_io_concurrency"),
        convert: Some(io_concurrency),
        alias: true,
        why: "the number now counts requests rather than disks",
    },
    dropped("operator_precedence_warning", 14, "it helped with the move to 9.5 and was taken away"),
    dropped("vacuum_cleanup_index_scale_factor", 14, "VACUUM decides this by itself"),
    RemovedSetting {
        name: "password_encryption",
        removed_in: 14,
        renamed_to: Some("password_encryption"),
        convert: Some(encryption_method),
        alias: false,
        why: "it names a method; `on` is no longer understood",
    },
    dropped("stats_temp_directory", 15, "statistics are kept in memory"),
    RemovedSetting {
        name: "force_parallel_mode",
        removed_in: 16,
        renamed_to: Some("debug_parallel_query"),
        convert: None,
        alias: false,
        why: "it was renamed",
    },
    dropped("promote_trigger_file", 16, "a standby is promoted by `pg_ctl promote` or pg_promote()"),
    dropped("vacuum_defer_cleanup_age", 16, "hot_standby_feedback and replication slots do this"),
    dropped("old_snapshot_threshold", 17, "the feature was taken away"),
    dropped("db_user_namespace", 17, "the feature was taken away"),
    dropped("trace_recovery_messages", 17, "log_min_messages does this"),
    RemovedSetting {
        name: "ssl_ecdh_curve",
        removed_in: 18,
        renamed_to: Some("ssl_groups"),
        convert: None,
        alias: true,
        why: "it was renamed",
    },
    // Read-only since ever, but a configuration file may name them with the value they have.
    dropped("lc_collate", 16, "each database has its own"),
    dropped("lc_ctype", 16, "each database has its own"),
];

/// What becomes of `name` between two majors, if anything.
#[must_use]
pub fn removed(name: &str, source_major: u32, target_major: u32) -> Option<&'static RemovedSetting> {
    REMOVED.iter().find(|r| {
        r.name.eq_ignore_ascii_case(name) && source_major < r.removed_in && r.removed_in <= target_major
    })
}

fn segments_to_size(value: &str, segment_bytes: u64) -> Option<String> {
    let n: u64 = value.trim().parse().ok()?;
    let mb = segment_bytes.max(1 << 20) >> 20;
    Some(format!("{}MB", n.checked_mul(mb)?))
}

/// The release notes of 13: `SELECT round(sum(OLD / n::float)) FROM generate_series(1, OLD) s(n)`, at most 1000.
fn io_concurrency(value: &str, _: u64) -> Option<String> {
    let old: u32 = value.trim().parse().ok().filter(|n| *n <= 1000)?;
    let sum: f64 = (1..=old).map(|n| f64::from(old) / f64::from(n)).sum();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let new = sum.round().min(1000.0) as u32;
    Some(new.to_string())
}

fn encryption_method(value: &str, _: u64) -> Option<String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "md5" | "scram-sha-256" => Some(value.trim().to_ascii_lowercase()),
        // Until 13, `on` meant md5 (and `off` had been the same since 10).
        _ => Some("md5".to_owned()),
    }
}

/// Which file a setting goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingFile {
    /// postgresql.conf
    Conf,
    /// postgresql.auto.conf, which ALTER SYSTEM writes
    AutoConf,
}

/// A setting that the new server gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedSetting {
    /// Name in the new server.
    pub name: String,
    /// Value in the new server.
    pub value: String,
    /// What a person should know of it.
    pub note: Option<String>,
    /// Where it goes.
    pub file: SettingFile,
}

impl CarriedSetting {
    /// The setting as a line of a configuration file, without the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        // guc-file.l: a quote is doubled, a backslash escapes.
        format!("{} = '{}'", self.name, self.value.replace('\\', "\\\\").replace('\'', "''"))
    }
}

/// A setting that the new server does not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedSetting {
    /// Name in the old server.
    pub name: String,
    /// Its value there.
    pub value: String,
    /// The file it stands in.
    pub file: String,
    /// Why it stays behind.
    pub reason: String,
    /// Whether a person should know: false for what initdb writes by itself.
    pub notable: bool,
}

/// Settings that say where the old server is, or that it recovers or follows: meaningless to the new one.
const OF_THE_OLD_SERVER: [(&str, &str); 18] = [
    ("data_directory", "the new server has its own place"),
    ("config_file", "the new server has its own place"),
    ("external_pid_file", "the new server has its own place"),
    ("primary_conninfo", "it made the old server follow another one"),
    ("primary_slot_name", "it made the old server follow another one"),
    ("restore_command", "it belongs to a recovery of the old server"),
    ("recovery_end_command", "it belongs to a recovery of the old server"),
    ("archive_cleanup_command", "it belongs to a recovery of the old server"),
    ("recovery_min_apply_delay", "it belongs to a recovery of the old server"),
    ("recovery_target", "it belongs to a recovery of the old server"),
    ("recovery_target_action", "it belongs to a recovery of the old server"),
    ("recovery_target_inclusive", "it belongs to a recovery of the old server"),
    ("recovery_target_lsn", "it belongs to a recovery of the old server"),
    ("recovery_target_name", "it belongs to a recovery of the old server"),
    ("recovery_target_time", "it belongs to a recovery of the old server"),
    ("recovery_target_timeline", "it belongs to a recovery of the old server"),
    ("recovery_target_xid", "it belongs to a recovery of the old server"),
    ("synchronous_standby_names", "without its standbys every commit would wait for ever"),
];

/// What initdb (with the official image's sample file) writes into a new postgresql.conf by itself, 11 to 18.
const INITDB_WRITES: [(&str, &[&str]); 14] = [
    ("listen_addresses", &["*"]),
    ("max_connections", &["100"]),
    ("shared_buffers", &["128MB"]),
    ("dynamic_shared_memory_type", &["posix"]),
    ("max_wal_size", &["1GB"]),
    ("min_wal_size", &["80MB"]),
    ("log_timezone", &["UTC", "Etc/UTC", "GMT"]),
    ("timezone", &["UTC", "Etc/UTC", "GMT"]),
    ("datestyle", &["iso, mdy"]),
    ("lc_messages", &["en_US.utf8", "en_US.UTF-8"]),
    ("lc_monetary", &["en_US.utf8", "en_US.UTF-8"]),
    ("lc_numeric", &["en_US.utf8", "en_US.UTF-8"]),
    ("lc_time", &["en_US.utf8", "en_US.UTF-8"]),
    ("default_text_search_config", &["pg_catalog.english"]),
];

/// The settings for the new server, in the order of the old files; of a name that stands twice, the last.
#[must_use]
pub fn settings_to_carry(facts: &ClusterFacts, target_major: u32) -> Vec<CarriedSetting> {
    sort(facts, target_major).0
}

/// The settings that stay behind, with reasons.
#[must_use]
pub fn settings_dropped(facts: &ClusterFacts, target_major: u32) -> Vec<DroppedSetting> {
    sort(facts, target_major).1
}

fn sort(facts: &ClusterFacts, target_major: u32) -> (Vec<CarriedSetting>, Vec<DroppedSetting>) {
    let (mut carried, mut left) = (Vec::new(), Vec::new());
    let config_stays = !facts.config_file.is_empty() && !facts.is_in_data_directory(&facts.config_file);
    for (i, s) in facts.file_settings.iter().enumerate() {
        // Two names of one setting: the later line wins, as in the server.
        if facts.file_settings[i + 1..].iter().any(|later| later.name.eq_ignore_ascii_case(&s.name)) {
            continue;
        }
        match fate(facts, s, target_major, config_stays) {
            Ok(c) => {
                carried.retain(|x: &CarriedSetting| !x.name.eq_ignore_ascii_case(&c.name));
                carried.push(c);
            }
            Err((reason, notable)) => left.push(DroppedSetting {
                name: s.name.clone(),
                value: s.value.clone(),
                file: s.file.clone(),
                reason,
                notable,
            }),
        }
    }
    (carried, left)
}

fn fate(
    facts: &ClusterFacts,
    s: &FileSetting,
    target_major: u32,
    config_stays: bool,
) -> Result<CarriedSetting, (String, bool)> {
    let name = s.name.to_ascii_lowercase();
    if let Some(error) = s.error.as_deref().filter(|e| *e != "setting could not be applied") {
        return Err((format!("the old server does not take it either: {error}"), true));
    }
    if config_stays && s.file == facts.config_file {
        return Err(("its file lies outside the data directory and stays where it is".to_owned(), false));
    }
    if let Some((_, why)) = OF_THE_OLD_SERVER.iter().find(|(n, _)| *n == name) {
        return Err(((*why).to_owned(), true));
    }
    if let Some((_, usual)) = ACCESS_FILES.iter().find(|(n, _)| *n == name)
        && let Some(path) = within(facts, &s.value)
    {
        return Err((format!("the file {path} itself is carried over, as {usual}"), path != *usual));
    }
    if let Some((_, values)) = INITDB_WRITES.iter().find(|(n, _)| *n == name)
        && values.iter().any(|v| v.eq_ignore_ascii_case(&s.value))
    {
        return Err(("the new server has the same by itself".to_owned(), false));
    }
    let file =
        if s.file.ends_with("postgresql.auto.conf") { SettingFile::AutoConf } else { SettingFile::Conf };
    let mut carried =
        CarriedSetting { name: s.name.clone(), value: s.value.clone(), note: note(&name), file };
    // The file comes along, and the new data directory may be called otherwise inside the container.
    if FILES.iter().any(|(n, _)| *n == name)
        && let Some(path) = within(facts, &s.value)
    {
        carried.value = path;
    }
    if let Some(r) = removed(&name, facts.major(), target_major) {
        let Some(to) = r.renamed_to else {
            return Err((format!("PostgreSQL {} no longer has it: {}", r.removed_in, r.why), true));
        };
        if let Some(convert) = r.convert {
            carried.value = convert(&s.value, facts.wal_segment_bytes).ok_or_else(|| {
                (
                    format!("its value cannot be turned into one for PostgreSQL {}: {}", r.removed_in, r.why),
                    true,
                )
            })?;
        }
        to.clone_into(&mut carried.name);
        if carried.name != s.name || carried.value != s.value {
            carried.note = Some(format!("was {} = {}: {}", s.name, s.value, r.why));
        }
    }
    Ok(carried)
}

fn note(name: &str) -> Option<String> {
    match name {
        "archive_mode" | "archive_command" | "archive_library" => Some(
            "the new server begins a new history: give its WAL archive a new place and make a new base backup".to_owned(),
        ),
        "hba_file" | "ident_file" => Some("the file lies outside the data directory and stays where it is".to_owned()),
        _ => None,
    }
}

/// Settings that name a file which the server reads at its start: certificates and keys, with what they are where
/// `ssl` is on and nothing else is said.
const FILES: [(&str, &str); 6] = [
    ("ssl_cert_file", "server.crt"),
    ("ssl_key_file", "server.key"),
    ("ssl_ca_file", ""),
    ("ssl_crl_file", ""),
    ("ssl_dh_params_file", ""),
    ("krb_server_keyfile", ""),
];

/// Settings that name the access rules, and the usual names of these files in the data directory.
pub const ACCESS_FILES: [(&str, &str); 2] = [("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")];

/// `path`, as a setting has it, relative to the data directory; `None` when it lies outside.
fn within(facts: &ClusterFacts, path: &str) -> Option<String> {
    let base = facts.data_directory.trim_end_matches('/');
    let relative = match path.strip_prefix(base).filter(|rest| !base.is_empty() && rest.starts_with('/')) {
        Some(rest) => rest.trim_start_matches('/'),
        None => path,
    };
    let plain = !relative.is_empty() && !relative.starts_with('/') && !relative.contains(':');
    (plain && !relative.split('/').any(|part| part == "..")).then(|| relative.to_owned())
}

/// What a setting is given as: the server's arguments win over the files.
fn given<'a>(facts: &'a ClusterFacts, arguments: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let files = facts.file_settings.iter().map(|s| (s.name.as_str(), s.value.as_str()));
    let mut all = files.chain(arguments.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    all.rfind(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

/// Where the access rules of `setting` (one of [`ACCESS_FILES`]) are, relative to the data directory; `None` when
/// they lie outside, where they stay. `arguments` are those of [`from_arguments`].
///
/// Not from `facts.hba_file`: a server of repot's own has rules of its own.
#[must_use]
pub fn access_file(facts: &ClusterFacts, arguments: &[(String, String)], setting: &str) -> Option<String> {
    let usual = ACCESS_FILES.iter().find(|(n, _)| *n == setting).map_or(setting, |(_, usual)| usual);
    match given(facts, arguments, setting) {
        Some(path) => within(facts, path),
        None => Some(usual.to_owned()),
    }
}

/// The full path of the access rules of `setting` (one of [`ACCESS_FILES`]), as the server's settings have it.
#[must_use]
pub fn access_path(facts: &ClusterFacts, arguments: &[(String, String)], setting: &str) -> String {
    let inside = |path: &str| format!("{}/{path}", facts.data_directory.trim_end_matches('/'));
    match (access_file(facts, arguments, setting), given(facts, arguments, setting)) {
        (Some(path), _) => inside(&path),
        (None, Some(path)) => path.to_owned(),
        (None, None) => inside(setting),
    }
}

/// Files of the data directory, relative to it, that settings speak of: certificates and keys.
#[must_use]
pub fn files_to_carry(facts: &ClusterFacts, arguments: &[(String, String)]) -> Vec<String> {
    let ssl = given(facts, arguments, "ssl").is_some_and(is_on);
    FILES
        .iter()
        .filter_map(|(name, default)| {
            let default = if ssl { default } else { "" };
            within(facts, given(facts, arguments, name).unwrap_or(default))
        })
        .collect()
}

/// Settings that stay where they are and name a file inside the data directory, which the new server would look for
/// there and not find: name, value and whether it is an argument of the server (else it stands in a configuration
/// file outside the data directory).
#[must_use]
pub fn stuck_files(facts: &ClusterFacts, arguments: &[(String, String)]) -> Vec<(String, String, bool)> {
    let config_stays = !facts.config_file.is_empty() && !facts.is_in_data_directory(&facts.config_file);
    let files = facts.file_settings.iter().filter(|s| config_stays && s.file == facts.config_file);
    let all = files.map(|s| (&s.name, &s.value, false)).chain(arguments.iter().map(|(n, v)| (n, v, true)));
    all.filter(|(name, value, _)| {
        let is = |n: &str| n.eq_ignore_ascii_case(name);
        // Certificates are carried to the same place, which is the same as long as it is not written in full.
        let rules = is("config_file") || ACCESS_FILES.iter().any(|(n, _)| is(n));
        let certificate = FILES.iter().any(|(n, _)| is(n)) && value.starts_with('/');
        (rules || certificate) && within(facts, value).is_some()
    })
    .map(|(n, v, argument)| (n.clone(), v.clone(), argument))
    .collect()
}

/// A boolean setting's value, as PostgreSQL reads it.
#[must_use]
pub fn is_on(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "on" | "true" | "tru" | "tr" | "t" | "yes" | "ye" | "y" | "1"
    )
}

/// Settings given as server arguments (`command:` of the Compose file): `-c a=b`, `--a-b=c` and the short
/// options that stand for a setting (postmaster.c, `PostmasterMain`).
#[must_use]
pub fn from_arguments(arguments: &[String]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    let assignment = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, "on"));
        (name.replace('-', "_"), value.to_owned())
    };
    while let Some(word) = rest.next() {
        if let Some(long) = word.strip_prefix("--") {
            if !long.is_empty() {
                out.push(assignment(long));
            }
            continue;
        }
        let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
        let Some(letter) = letters.next() else { continue };
        let attached = letters.as_str();
        if let Some(flag) = match letter {
            'F' => Some(("fsync", "off")),
            'i' => Some(("listen_addresses", "*")),
            'l' => Some(("ssl", "on")),
            'e' => Some(("datestyle", "euro")),
            _ => None,
        } {
            out.push((flag.0.to_owned(), flag.1.to_owned()));
            continue;
        }
        if !"cBNphkSdDCfPrtWo".contains(letter) {
            continue;
        }
        let value = if attached.is_empty() { rest.next().unwrap_or_default() } else { attached };
        match letter {
            'c' if !value.is_empty() => out.push(assignment(value)),
            'B' => out.push(("shared_buffers".to_owned(), value.to_owned())),
            'N' => out.push(("max_connections".to_owned(), value.to_owned())),
            'p' => out.push(("port".to_owned(), value.to_owned())),
            'h' => out.push(("listen_addresses".to_owned(), value.to_owned())),
            'k' => out.push(("unix_socket_directories".to_owned(), value.to_owned())),
            'S' => out.push(("work_mem".to_owned(), value.to_owned())),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(settings: &[(&str, &str, &str)]) -> ClusterFacts {
        ClusterFacts {
            version_num: 120_022,
            data_directory: "/var/lib/postgresql/data".to_owned(),
            config_file: "/var/lib/postgresql/data/postgresql.conf".to_owned(),
            wal_segment_bytes: 16 << 20,
            file_settings: settings
                .iter()
                .map(|(file, name, value)| FileSetting {
                    file: format!("/var/lib/postgresql/data/{file}"),
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                    applied: true,
                    error: None,
                })
                .collect(),
            ..ClusterFacts::default()
        }
    }

    fn lines(f: &ClusterFacts, to: u32) -> Vec<String> {
        settings_to_carry(f, to).iter().map(CarriedSetting::line).collect()
    }

    #[test]
    fn what_initdb_writes_is_left_to_initdb() {
        let f = facts(&[
            ("postgresql.conf", "listen_addresses", "*"),
            ("postgresql.conf", "max_connections", "100"),
            ("postgresql.conf", "TimeZone", "Etc/UTC"),
            ("postgresql.conf", "shared_buffers", "1GB"),
            ("postgresql.conf", "lc_messages", "de_DE.utf8"),
        ]);
        assert_eq!(lines(&f, 17), ["shared_buffers = '1GB'", "lc_messages = 'de_DE.utf8'"]);
        assert!(settings_dropped(&f, 17).iter().all(|d| !d.notable));
    }

    #[test]
    fn renamed_settings_are_converted() {
        let f = facts(&[
            ("postgresql.conf", "wal_keep_segments", "64"),
            ("postgresql.conf", "force_parallel_mode", "off"),
            ("postgresql.conf", "password_encryption", "on"),
            ("postgresql.conf", "effective_io_concurrency", "2"),
            ("postgresql.conf", "ssl_ecdh_curve", "prime256v1"),
        ]);
        assert_eq!(
            lines(&f, 18),
            [
                "wal_keep_size = '1024MB'",
                "debug_parallel_query = 'off'",
                "password_encryption = 'md5'",
                "effective_io_concurrency = '3'",
                "ssl_groups = 'prime256v1'",
            ]
        );
        assert_eq!(lines(&f, 12).len(), 5);
        assert!(lines(&f, 12).contains(&"wal_keep_segments = '64'".to_owned()));
    }

    #[test]
    fn dropped_settings_say_why() {
        let f = facts(&[
            ("postgresql.conf", "old_snapshot_threshold", "1h"),
            ("postgresql.auto.conf", "synchronous_standby_names", "a"),
            ("postgresql.conf", "primary_conninfo", "host=x"),
            ("postgresql.conf", "data_directory", "/x"),
            ("postgresql.conf", "hba_file", "/etc/postgresql/pg_hba.conf"),
        ]);
        assert_eq!(lines(&f, 17), ["hba_file = '/etc/postgresql/pg_hba.conf'"]);
        let dropped = settings_dropped(&f, 17);
        assert_eq!(dropped.iter().filter(|d| d.notable).count(), 4);
        assert!(dropped[0].reason.contains("17"), "{dropped:?}");
    }

    #[test]
    fn the_last_line_wins_and_a_bad_one_stays_behind() {
        let mut f = facts(&[
            ("postgresql.conf", "work_mem", "4MB"),
            ("postgresql.auto.conf", "WORK_MEM", "64MB"),
            ("postgresql.conf", "nonsense", "1"),
        ]);
        f.file_settings[2].error = Some("unrecognized configuration parameter".to_owned());
        assert_eq!(lines(&f, 17), ["WORK_MEM = '64MB'"]);
        assert_eq!(settings_to_carry(&f, 17)[0].file, SettingFile::AutoConf);
    }

    #[test]
    fn a_configuration_file_outside_stays() {
        let mut f = facts(&[("postgresql.conf", "work_mem", "64MB")]);
        f.config_file = "/etc/postgresql/postgresql.conf".to_owned();
        f.file_settings[0].file.clone_from(&f.config_file);
        assert!(settings_to_carry(&f, 17).is_empty());
    }

    #[test]
    fn certificates_come_along() {
        let f = facts(&[
            ("postgresql.conf", "ssl", "on"),
            ("postgresql.conf", "ssl_ca_file", "/var/lib/postgresql/data/root.crt"),
        ]);
        assert_eq!(files_to_carry(&f, &[]), ["server.crt", "server.key", "root.crt"]);
        assert_eq!(
            lines(&f, 18),
            ["ssl = 'on'", "ssl_ca_file = 'root.crt'"],
            "wherever the new directory is"
        );
        let off = facts(&[("postgresql.conf", "ssl", "off")]);
        assert!(files_to_carry(&off, &[]).is_empty());
        let on = [("ssl".to_owned(), "on".to_owned())];
        assert_eq!(files_to_carry(&off, &on), ["server.crt", "server.key"], "the arguments win");
    }

    #[test]
    fn access_rules_are_found_where_they_are() {
        let at = |f: &ClusterFacts, arguments: &[(String, String)]| access_file(f, arguments, "hba_file");
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(at(&facts(&[]), &[]), text("pg_hba.conf"));
        let mut f = facts(&[("postgresql.conf", "hba_file", "/var/lib/postgresql/data/rules/own.conf")]);
        // What the fenced server says of itself decides nothing.
        "/tmp/repot_hba.conf".clone_into(&mut f.hba_file);
        assert_eq!(at(&f, &[]), text("rules/own.conf"));
        assert!(lines(&f, 17).is_empty());
        assert!(settings_dropped(&f, 17)[0].notable, "the file changes its name");
        let outside = [("hba_file".to_owned(), "/etc/postgresql/pg_hba.conf".to_owned())];
        assert_eq!(at(&f, &outside), None);
        assert_eq!(access_path(&f, &outside, "hba_file"), "/etc/postgresql/pg_hba.conf");
        assert_eq!(access_path(&f, &[], "hba_file"), "/var/lib/postgresql/data/rules/own.conf");
        let climbs = facts(&[("postgresql.conf", "hba_file", "/var/lib/postgresql/data/../own.conf")]);
        assert_eq!(at(&climbs, &[]), None);
        assert_eq!(lines(&climbs, 17).len(), 1, "it stays where it is, and so does the setting");
    }

    #[test]
    fn what_names_a_file_of_the_old_directory_and_stays_is_seen() {
        let argument = |n: &str, v: &str| vec![(n.to_owned(), format!("/var/lib/postgresql/data/{v}"))];
        for name in ["hba_file", "ident_file", "config_file", "ssl_cert_file"] {
            assert_eq!(stuck_files(&facts(&[]), &argument(name, "own.conf")).len(), 1, "{name}");
        }
        assert!(stuck_files(&facts(&[]), &argument("log_directory", "log")).is_empty());
        let relative = [("ssl_key_file".to_owned(), "own.key".to_owned())];
        assert!(stuck_files(&facts(&[]), &relative).is_empty(), "it is carried");
        let outside = [("hba_file".to_owned(), "/etc/postgresql/pg_hba.conf".to_owned())];
        assert!(stuck_files(&facts(&[]), &outside).is_empty());

        let mut f = facts(&[("postgresql.conf", "hba_file", "/var/lib/postgresql/data/own.conf")]);
        assert!(stuck_files(&f, &[]).is_empty());
        "/etc/postgresql/postgresql.conf".clone_into(&mut f.config_file);
        f.file_settings[0].file.clone_from(&f.config_file);
        assert!(!stuck_files(&f, &[])[0].2);
    }

    #[test]
    fn arguments_are_settings() {
        let v = |a: &[&str]| from_arguments(&a.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(
            v(&["-c", "max_connections=200", "--shared-buffers=1GB", "-N", "50", "-cwork_mem=8MB", "-F"]),
            [
                pair("max_connections", "200"),
                pair("shared_buffers", "1GB"),
                pair("max_connections", "50"),
                pair("work_mem", "8MB"),
                pair("fsync", "off"),
            ]
        );
        assert!(v(&["-c", "", "-", "--", "word", "-c"]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_removed_is_carried(
            settings in prop::collection::vec((prop_oneof![
                "[a-z_.]{1,20}",
                prop::sample::select(REMOVED.iter().map(|r| r.name.to_owned()).collect::<Vec<_>>()),
                prop::sample::select(INITDB_WRITES.iter().map(|r| r.0.to_owned()).collect::<Vec<_>>()),
            ], any::<String>(), any::<bool>()), 0..12),
            source in 11_u32..18,
            ahead in 1_u32..8,
            segment in any::<u64>(),
        ) {
            let target = source + ahead;
            let f = ClusterFacts {
                version_num: source * 10_000,
                wal_segment_bytes: segment,
                data_directory: "/d".to_owned(),
                file_settings: settings.into_iter().map(|(name, value, auto)| FileSetting {
                    file: if auto { "/d/postgresql.auto.conf" } else { "/d/postgresql.conf" }.to_owned(),
                    name, value, applied: true, error: None,
                }).collect(),
                ..ClusterFacts::default()
            };
            let carried = settings_to_carry(&f, target);
            for c in &carried {
                let gone = removed(&c.name, source, target);
                prop_assert!(gone.is_none_or(|r| r.renamed_to == Some(r.name)), "{c:?}");
            }
            let mut names: Vec<String> = carried.iter().map(|c| c.name.to_ascii_lowercase()).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), carried.len(), "each name once");
            let _ = (files_to_carry(&f, &[]), stuck_files(&f, &[]));
        }

        #[test]
        fn arguments_never_panic(words in prop::collection::vec(any::<String>(), 0..8)) {
            let _ = from_arguments(&words);
        }
    }
}
