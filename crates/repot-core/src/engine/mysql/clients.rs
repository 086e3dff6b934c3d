//! The client programs of one server: `mariadb` and `mariadb-dump`, or `mysql` and `mysqldump`.

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::host::compose::beside::BesideHelper;

/// Where client programs are.
#[derive(Clone)]
pub enum Place {
    /// In PATH.
    Path,
    /// In a helper container that shares the server's network.
    Beside(BesideHelper),
}

/// A client program, under either of its names.
#[derive(Debug, Clone, Copy)]
pub enum Program {
    /// `mariadb` or `mysql`.
    Client,
    /// `mariadb-dump` or `mysqldump`.
    Dump,
}

/// One server, and who logs in.
#[derive(Clone)]
pub struct Clients {
    /// Where the programs are.
    pub place: Place,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// With which password.
    pub password: Option<SecretString>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("server", &self.describe()).finish_non_exhaustive()
    }
}

impl Clients {
    /// From `mysql://user@host:3306/database` or `mariadb://...`, programs of PATH; the database with it.
    pub fn parse(url: &str, password: Option<SecretString>) -> Result<(Self, String)> {
        let bad = |why: &str| {
            Error::usage("bad-url", "this is not a connection URL of MariaDB or MySQL")
                .why(why)
                .help("write it as mysql://user@host:3306/database and give the password in MYSQL_PWD")
        };
        let (_, rest) = url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let (at, database) = rest.split_once('/').ok_or_else(|| bad("it names no database"))?;
        if database.contains(['?', '/', '#']) {
            return Err(bad("parameters are not understood"));
        }
        let (login, server) = at.rsplit_once('@').unwrap_or(("root", at));
        let (user, inside) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad("its port is no number"))?),
            None => (server, 3306),
        };
        let plain = |text: &str| percent_decoded(text).ok_or_else(|| bad("it has a broken %-escape"));
        let (user, database, host) = (plain(user)?, plain(database)?, plain(host.trim_matches(['[', ']']))?);
        if user.is_empty() || database.is_empty() || host.is_empty() {
            return Err(bad("user, host or database is missing"));
        }
        let inside = inside.map(plain).transpose()?.map(SecretString::from);
        Ok((Clients { place: Place::Path, host, port, user, password: inside.or(password) }, database))
    }

    /// The server in words, without a secret.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.place {
            Place::Path => format!("{}:{}", self.host, self.port),
            Place::Beside(_) => "the database service".to_owned(),
        }
    }

    /// A program with its arguments.
    #[must_use]
    pub fn program(&self, program: Program, args: &[&str]) -> Cmd {
        let (new, old) = match program {
            Program::Client => ("mariadb", "mysql"),
            Program::Dump => ("mariadb-dump", "mysqldump"),
        };
        let script = format!("command -v {new} >/dev/null && exec {new} \"$@\"; exec {old} \"$@\"");
        let port = self.port.to_string();
        let mut all = vec!["-c", &script, "sh"];
        if matches!(self.place, Place::Beside(_)) {
            all.push("--no-defaults");
        }
        let (host, user) = (format!("--host={}", self.host), format!("--user={}", self.user));
        let port = format!("--port={port}");
        all.extend(["--protocol=tcp", &host, &port, &user, "--default-character-set=utf8mb4"]);
        // A server makes its own certificate, which nobody knows. Inside its own network nobody is between.
        if matches!(self.place, Place::Beside(_)) {
            all.push("--loose-skip-ssl-verify-server-cert");
        }
        all.extend(args);
        let mut env = Vec::new();
        if let Some(p) = &self.password {
            env.push(("MYSQL_PWD", p.expose_secret()));
        }
        match &self.place {
            Place::Beside(helper) => helper.program("sh", &all, &env),
            Place::Path => env.iter().fold(Cmd::new("sh").args(&all), |c, (k, v)| c.env(k, v)),
        }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let (c, d) = Clients::parse("mysql://cl%40rk@db.example.org:3307/sh%6Fp", None).expect("parses");
        assert_eq!(
            (c.user.as_str(), c.host.as_str(), c.port, d.as_str()),
            ("cl@rk", "db.example.org", 3307, "shop")
        );
        let (c, _) = Clients::parse("mariadb://u:s3cret@h/d", None).expect("parses");
        assert_eq!(c.port, 3306);
        assert!(c.password.is_some() && !format!("{c:?}").contains("s3cret"));
        for bad in
            ["mysql://u@h", "mysql://u@h:x/d", "mysql://u@h/", "mysql://u@/d", "mysql://%zz@h/d", "h/d"]
        {
            assert_eq!(Clients::parse(bad, None).expect_err(bad).code, "bad-url");
        }
    }
}
