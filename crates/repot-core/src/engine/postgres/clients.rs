//! Client programs (pg_dump, pg_restore, psql, pg_dumpall) that talk to one server.

use crate::exec::Cmd;

/// Options of a session that loads: a database or role may be set to read only, and repot loads it all the same.
pub const READ_WRITE: &str = "-c default_transaction_read_only=off";

/// Where client programs are, and the server that they talk to.
pub trait Clients: Send + Sync {
    /// A program with its arguments; `env` comes after what says where the server is. Passwords travel in the
    /// environment of the child.
    fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd;
}

/// Programs of PATH.
#[derive(Debug, Clone)]
pub struct PathClients {
    /// libpq's variables that name the server.
    pub env: Vec<(String, String)>,
}

impl Clients for PathClients {
    fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
        let mut c = Cmd::new(name).args(args);
        for (k, v) in &self.env {
            c = c.env(k, v);
        }
        for (k, v) in env {
            c = c.env(k, v);
        }
        c
    }
}
