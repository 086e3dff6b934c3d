//! A session: the client program in batch mode, kept running. It speaks whatever the server speaks (passwords, TLS),
//! also where no port leads to.

use super::clients::{Clients, Program};
use crate::error::{Error, Result};
use crate::exec::{Conversation, last_lines};

/// What changes how values or definitions turn into text.
const PINNED: &str = "SET SESSION sql_mode = '', time_zone = '+00:00', sql_quote_show_create = 1, \
    character_set_results = utf8mb4, collation_connection = utf8mb4_bin, wait_timeout = 28800";

/// One row; NULL is the text `NULL`.
pub type Row = Vec<String>;

/// An open session.
pub struct Session {
    talk: Conversation,
    server: String,
    asked: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a session; in `database`, where one is named.
    pub fn open(clients: &Clients, database: Option<&str>) -> Result<Session> {
        let named = database.map(|d| format!("--database={d}"));
        let mut args = vec!["--batch", "--skip-column-names", "--unbuffered", "--skip-reconnect"];
        args.extend(named.as_deref());
        let talk = clients.program(Program::Client, &args).converse()?;
        let mut session = Session { talk, server: clients.describe(), asked: 0 };
        session.execute(PINNED)?;
        Ok(session)
    }

    /// Runs one statement and gives its rows.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.asked += 1;
        let end = format!("repot end of answer {}", self.asked);
        // An answer's last line: no value of ours stands alone in a row like this.
        let sent = self.talk.send(&format!("{sql};\nSELECT '{end}';\n"));
        let mut rows = Vec::new();
        loop {
            match self.talk.line()? {
                Some(line) if line == end => return Ok(rows),
                Some(line) => rows.push(line.split('\t').map(unescaped).collect()),
                None => return Err(self.ended(sql, sent.err())),
            }
        }
    }

    /// Runs one statement for its effect.
    pub fn execute(&mut self, sql: &str) -> Result<()> {
        self.query(sql).map(drop)
    }

    /// The first value of the first row.
    pub fn scalar(&mut self, sql: &str) -> Result<String> {
        let first = self.query(sql)?.into_iter().next().and_then(|r| r.into_iter().next());
        first.ok_or_else(|| Error::failed("no-row", format!("{}: no value for `{sql}`", self.server)))
    }

    /// The client ends with the first error, and says why.
    fn ended(&mut self, sql: &str, sent: Option<Error>) -> Error {
        let words = last_lines(&self.talk.stderr(), 3);
        let begin: String = sql.chars().take(60).collect();
        let at = |code, what: String| Error::failed(code, what).why(&words);
        let number =
            words.split("ERROR ").nth(1).and_then(|w| w.split([' ', ':']).next()).unwrap_or_default();
        match number {
            "1045" | "1698" | "1044" => {
                at("login-refused", format!("{} does not let this user in", self.server)).help(
                    "correct the password where the application keeps it; for a URL, it comes from MYSQL_PWD",
                )
            }
            "2002" | "2003" | "2005" | "2013" | "2006" => {
                at("database-unreachable", format!("{} does not answer", self.server)).retryable()
            }
            "1049" => at("database-missing", format!("{} has no such database", self.server)),
            "1227" | "1142" | "1143" | "1370" => {
                at("privilege", format!("{} refuses `{begin}`", self.server))
            }
            "1205" => at("lock-timeout", format!("{}: `{begin}` waited too long", self.server)).retryable(),
            _ if words.contains("not found") => {
                at("no-client", format!("there is no client program for {}", self.server))
                    .help("install mariadb-client (or mysql-client) where repot runs")
            }
            _ => match sent {
                Some(e) if words.is_empty() => e,
                _ => at("query-failed", format!("{}: `{begin}` failed", self.server)),
            },
        }
    }
}

/// Takes back what batch mode escapes.
fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// A name as SQL has it.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL has it, whatever `sql_mode` says of backslashes.
#[must_use]
pub fn literal(text: &str) -> String {
    let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
    if hex.is_empty() { "''".to_owned() } else { format!("CONVERT(x'{hex}' USING utf8mb4)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_mode_is_taken_back() {
        assert_eq!(unescaped(r"a\tb\\n\nc\0"), "a\tb\\n\nc\0");
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(literal("a'"), "CONVERT(x'6127' USING utf8mb4)");
    }
}
