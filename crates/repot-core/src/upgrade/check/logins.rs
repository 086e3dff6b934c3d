//! Roles with old passwords, and the rules of pg_hba.conf.

use super::Finding;
use super::database::{Look, names, value};
use super::words::{count, shell, some};
use crate::app::detect::Deployment;
use crate::engine::postgres::facts::{ClusterFacts, FileSetting};
use crate::engine::postgres::hba::{self, Rule};
use crate::engine::postgres::session::{Session, literal};
use crate::engine::postgres::settings::{access_file, access_path, from_arguments};
use crate::error::Result;
use crate::host::Host;

pub(super) fn roles(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let md5 = names(
        session,
        "SELECT rolname FROM pg_authid WHERE rolcanlogin AND rolpassword LIKE 'md5%' ORDER BY 1",
    )?;
    if md5.is_empty() {
        return Ok(Vec::new());
    }
    let scram_rules: Vec<String> = Rules::of(look, session)?
        .list
        .iter()
        .filter(|r| r.method == "scram-sha-256")
        .map(|r| r.line.to_string())
        .collect();
    let method = session.scalar("SELECT current_setting('password_encryption')")?;
    let title = format!("{} with an md5 password: {}", count(md5.len(), "role", "roles"), some(&md5, 6));
    let change = format!(
        "docker compose exec {} psql -U {} -d {} -c \"SET password_encryption = 'scram-sha-256'\" -c '\\password {}'",
        shell(&look.deployment.database.service),
        shell(&look.deployment.database.superuser),
        shell(look.home()),
        md5[0].replace('\'', "")
    );
    if !scram_rules.is_empty() || method == "scram-sha-256" {
        let mut detail = String::new();
        if !scram_rules.is_empty() {
            detail.push_str(&format!(
                "pg_hba.conf asks for scram-sha-256 on {} {}; where such a line applies, an md5 password is refused, today as after the upgrade. ",
                if scram_rules.len() == 1 { "line" } else { "lines" },
                some(&scram_rules, 6)
            ));
        }
        if method == "scram-sha-256" {
            detail.push_str(
                "New passwords are stored as scram-sha-256 (password_encryption), these are from before. ",
            );
        }
        detail.push_str("Passwords and pg_hba.conf are carried over as they are.");
        return Ok(vec![Finding::warning(
            "md5-passwords",
            title,
            detail,
            format!(
                "Give each of them its password anew, the same one if you like, so that it is stored the new way: {change}"
            ),
        )]);
    }
    let mut detail =
        "Passwords and pg_hba.conf are carried over as they are, so these logins go on working.".to_owned();
    if look.target_major >= 18 {
        detail.push_str(" PostgreSQL 18 calls md5 passwords deprecated; a later version will drop them.");
    }
    Ok(vec![Finding::info("md5-passwords", title, detail)])
}

/// The rules that the user's server has.
#[derive(Debug, Default)]
struct Rules {
    /// Their file, as the server sees it.
    path: String,
    /// Whether it is in the data directory, and so carried over by repot.
    inside: bool,
    list: Vec<Rule>,
    /// Lines with forms of `clientcert` that 14 dropped. A server shows them in its newer words.
    old_words: Vec<String>,
    /// How to make a correction known.
    then: String,
}

impl Rules {
    fn of(look: &Look<'_>, session: &Session) -> Result<Rules> {
        let facts = look.facts;
        let own = facts.hba_file == hba::OWN_FILE;
        let path = if own {
            access_path(facts, &from_arguments(&look.deployment.database.extras.arguments), "hba_file")
        } else {
            facts.hba_file.clone()
        };
        // An answer in hexadecimal: the file may be in any encoding.
        let sql =
            format!("SELECT encode(pg_read_binary_file({}, 0, {MOST_BYTES}, true), 'hex')", literal(&path));
        let bytes = session.query(&sql)?.first().map(|r| from_hex(&value(r, 0))).unwrap_or_default();
        let inside = facts.is_in_data_directory(&path);
        let mut rules = Rules::from_text(&String::from_utf8_lossy(&bytes), facts.major(), path, inside);
        rules.then = format!("reload it: {}", look.psql(look.home(), "SELECT pg_reload_conf()"));
        if !own {
            rules.list = shown(session)?;
        }
        Ok(rules)
    }

    fn from_text(text: &str, major: u32, path: String, inside: bool) -> Rules {
        let list = hba::parse(text, major);
        let old = |r: &&Rule| {
            r.options
                .iter()
                .any(|o| matches!(o.as_str(), "clientcert=1" | "clientcert=0" | "clientcert=no-verify"))
        };
        let old_words = list.iter().filter(old).map(|r| r.line.to_string()).collect();
        Rules { path, inside, list, old_words, then: "run `repot check` again".to_owned() }
    }

    fn judge(&self, passes_14: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        let wrong: Vec<String> = self
            .list
            .iter()
            .filter(|r| !r.error.is_empty())
            .map(|r| format!("line {}: {}", r.line, r.error))
            .collect();
        if !wrong.is_empty() {
            found.push(Finding::blocker(
                "hba-invalid",
                "pg_hba.conf has mistakes",
                format!("{}. A server that runs still uses what it read before; one that starts with this file stops at once.", some(&wrong, 3)),
                format!("Correct {}, then {}", self.path, self.then),
            ));
        }
        if passes_14 && !self.old_words.is_empty() {
            let title = format!(
                "pg_hba.conf uses a form of `clientcert` that 14 dropped, on line {}",
                some(&self.old_words, 6)
            );
            found.push(if self.inside {
                Finding::info(
                    "hba-clientcert",
                    title,
                    "Only `verify-ca` and `verify-full` are left. The file is carried over with verify-ca for 1, and without the others.",
                )
            } else {
                Finding::blocker(
                    "hba-clientcert",
                    title,
                    "The new server would not read the file: only `verify-ca` and `verify-full` are left. It lies outside the data directory, so repot leaves it alone.",
                    format!("In {}, write clientcert=verify-ca for clientcert=1 (servers from 12 on read it), and take the others out. Then {}", self.path, self.then),
                )
            });
        }
        let own: Vec<String> = self
            .list
            .iter()
            .filter(|r| r.error.is_empty() && !is_ordinary(r))
            .map(|r| r.line.to_string())
            .collect();
        if !own.is_empty() {
            found.push(Finding::info(
                "hba-custom",
                format!("pg_hba.conf has rules of your own (line {})", some(&own, 8)),
                if self.inside { "They are carried over." } else { "The file stays where it is." },
            ));
        }
        found
    }
}

/// A pg_hba.conf is not read further than this, in bytes.
const MOST_BYTES: u32 = 1 << 20;

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |p: &[u8]| Some(digit(*p.first()?)? << 4 | digit(*p.get(1)?)?);
    text.as_bytes().chunks(2).map_while(pair).collect()
}

/// The rules as the running server shows them.
fn shown(session: &Session) -> Result<Vec<Rule>> {
    let rows = session.query(
        "SELECT line_number::text, coalesce(type, ''), array_to_string(coalesce(database, '{}'), ','), array_to_string(coalesce(user_name, '{}'), ','), \
         coalesce(address, ''), coalesce(auth_method, ''), coalesce(error, '') FROM pg_hba_file_rules",
    )?;
    let one = |r: &crate::engine::postgres::session::Row| Rule {
        line: value(r, 0).parse().unwrap_or(0),
        kind: value(r, 1),
        databases: vec![value(r, 2)],
        users: vec![value(r, 3)],
        address: value(r, 4),
        method: value(r, 5),
        options: Vec::new(),
        error: value(r, 6),
    };
    Ok(rows.iter().map(one).collect())
}

/// Whether initdb or the image writes such a rule by itself.
fn is_ordinary(r: &Rule) -> bool {
    let whom = matches!(r.databases.join(",").as_str(), "all" | "replication") && r.users.join(",") == "all";
    let near = r.kind == "local" || matches!(r.address.as_str(), "127.0.0.1" | "::1");
    whom && ((near && r.method == "trust") || (r.kind == "host" && r.address == "all"))
}

/// The rules of a server that is down, from its data directory.
pub(super) fn rules_at_rest(
    deployment: &Deployment,
    host: &dyn Host,
    to: Option<u32>,
) -> Result<Vec<Finding>> {
    let db = &deployment.database;
    let Some(major) = db.state.major else { return Ok(Vec::new()) };
    let image = deployment.helper_image()?;
    let arguments = from_arguments(&db.extras.arguments);
    let mut facts = ClusterFacts { data_directory: db.data.pgdata(), ..ClusterFacts::default() };
    for file in ["postgresql.conf", "postgresql.auto.conf"] {
        let text = host.read_data_file(&image, &db.data, file)?.unwrap_or_default();
        if let Some(path) = hba::setting(&String::from_utf8_lossy(&text), "hba_file") {
            let name = "hba_file".to_owned();
            facts.file_settings.push(FileSetting { name, value: path, ..FileSetting::default() });
        }
    }
    let path = access_path(&facts, &arguments, "hba_file");
    let inside = access_file(&facts, &arguments, "hba_file")
        .filter(|_| !arguments.iter().any(|(n, _)| n == "config_file"));
    let text = match inside {
        Some(name) => host.read_data_file(&image, &db.data, &name)?,
        None => None,
    };
    let Some(text) = text else {
        return Ok(vec![Finding::info(
            "hba-unread",
            "pg_hba.conf has not been looked at",
            "It is not in the data directory, and the server that could show it is down. It is looked at when repot has started the server for \
             itself, before anything is moved.",
        )]);
    };
    let rules = Rules::from_text(&String::from_utf8_lossy(&text), major, path, true);
    Ok(rules.judge(to.is_some_and(|to| major < 14 && to >= 14)))
}

pub(super) fn access_rules(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let rules = Rules::of(look, session)?;
    let mut found = rules.judge(look.passes(14));
    for (what, path) in [
        ("postgresql.conf", &look.facts.config_file),
        ("pg_hba.conf", &rules.path),
        ("pg_ident.conf", &look.facts.ident_file),
    ] {
        if !path.is_empty() && !look.facts.is_in_data_directory(path) {
            found.push(Finding::info(
                "config-outside",
                format!("{what} lies outside the data directory, in {path}"),
                "It is mounted or named by the Compose file and stays as it is; the new server reads the same file.",
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str, inside: bool) -> Vec<(String, super::super::Severity)> {
        let rules = Rules::from_text(text, 13, "/x/pg_hba.conf".to_owned(), inside);
        rules.judge(true).into_iter().map(|f| (f.code, f.severity)).collect()
    }

    #[test]
    fn a_text_is_judged_as_a_server_s_answer_is() {
        use super::super::Severity::{Blocker, Info};
        let stock = "local all all trust\nhost all all 127.0.0.1/32 trust\nlocal replication all trust\nhost all all all md5\n";
        assert!(codes(stock, true).is_empty());
        let old = format!("{stock}hostssl all all all cert clientcert=1\n");
        let of = |c: &str, s| (c.to_owned(), s);
        assert_eq!(codes(&old, true), [of("hba-clientcert", Info), of("hba-custom", Info)]);
        assert_eq!(codes(&old, false)[0], of("hba-clientcert", Blocker));
        assert_eq!(codes("host all all\n", true), [of("hba-invalid", Blocker)]);
    }

    #[test]
    fn hexadecimal_is_bytes() {
        assert_eq!(from_hex("686261ff"), b"hba\xff");
        assert!(from_hex("").is_empty() && from_hex("x").is_empty());
    }
}
