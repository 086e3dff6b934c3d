//! Client programs started as the application's backup settings want it: niced, with variables of their own.

use repot_store::dbbackup::settings::{Programs, Way};
use secrecy::ExposeSecret;

use super::source::Server;
use crate::engine::postgres::clients::{Clients, READ_WRITE};
use crate::exec::Cmd;

struct Started {
    inner: Box<dyn Clients>,
    programs: Programs,
}

impl Clients for Started {
    fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
        let (way, takes_options) = match name {
            "pg_dump" => (&self.programs.dump, true),
            "pg_dumpall" => (&self.programs.dump, false),
            "pg_restore" => (&self.programs.restore, true),
            "psql" => (&self.programs.restore, false),
            _ => return self.inner.program(name, args, env),
        };
        // Asked whether it is there: a prefix that fails is not to look like a program that is missing.
        if args.contains(&"--version") {
            return self.inner.program(name, args, env);
        }
        let (words, variables) = started(way, takes_options, name, args);
        let mut all: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
        all.extend(env);
        match words.split_first() {
            Some((first, rest)) => self.inner.program(first, rest, &all),
            None => self.inner.program(name, args, &all),
        }
    }
}

/// The words of a command, and its variables.
fn started<'a>(
    way: &'a Way,
    takes_options: bool,
    name: &'a str,
    args: &[&'a str],
) -> (Vec<&'a str>, Vec<(&'a str, String)>) {
    let mut words: Vec<&str> = way.prefix.iter().map(String::as_str).collect();
    words.push(name);
    words.extend(args);
    // What only asks for a list is not given more to do.
    if takes_options && !args.contains(&"--list") {
        words.extend(way.suffix.iter().map(String::as_str));
    }
    let variables = way.env.iter().map(|(k, v)| {
        let v = v.expose_secret();
        (k.as_str(), if k == "PGOPTIONS" { format!("{READ_WRITE} {v}") } else { v.to_owned() })
    });
    (words, variables.collect())
}

impl Server {
    /// The server, with its programs started in this way.
    pub(super) fn started(self, programs: &Programs) -> Self {
        if programs.is_plain() {
            return self;
        }
        let clients = Box::new(Started { inner: self.clients, programs: programs.clone() });
        Server { connector: self.connector, clients }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_variables() {
        let way = Way {
            prefix: vec!["nice".to_owned(), "-n".to_owned(), "19".to_owned()],
            suffix: vec!["--no-sync".to_owned()],
            env: [("PGOPTIONS".to_owned(), "-c jit=off".to_owned().into())].into(),
        };
        let (words, variables) = started(&way, true, "pg_dump", &["--format=custom"]);
        assert_eq!(words, ["nice", "-n", "19", "pg_dump", "--format=custom", "--no-sync"]);
        assert_eq!(variables, [("PGOPTIONS", "-c default_transaction_read_only=off -c jit=off".to_owned())]);
        assert_eq!(started(&way, true, "pg_restore", &["--list"]).0.last(), Some(&"--list"));
        assert_eq!(started(&way, false, "pg_dumpall", &["-g"]).0.last(), Some(&"-g"));
    }
}
