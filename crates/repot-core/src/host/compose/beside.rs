//! Sessions and client programs beside the running database service, for work that takes longer than a check.
//!
//! Both go through one helper container of the service's own image that shares its network namespace. It ends with
//! repot, however that ends: a `docker exec` whose standard input repot holds asks its first process to stop.

use std::sync::Arc;

use secrecy::SecretString;

use super::host::ComposeHost;
use crate::engine::postgres::clients::{Clients, READ_WRITE};
use crate::engine::postgres::session::{Connector, Session, StreamConnector};
use crate::error::Result;
use crate::exec::{Cmd, Held};
use crate::host::docker::Docker;

/// The helper; removed when the last who uses it is gone.
struct Helper {
    name: String,
    lease: Option<Held>,
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.lease.take());
        // The lease's end stops it too, so a failure here is not for ever.
        let _ = Docker.remove_container(&self.name);
        super::host::forget(&self.name);
    }
}

struct Beside {
    helper: Arc<Helper>,
    user: String,
    password: Option<String>,
}

impl Clients for Beside {
    fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
        let mut all: Vec<(&str, &str)> = vec![
            ("PGHOST", "127.0.0.1"),
            ("PGUSER", &self.user),
            ("PGOPTIONS", READ_WRITE),
            ("PGDATABASE", "postgres"),
        ];
        if let Some(p) = &self.password {
            all.push(("PGPASSWORD", p));
        }
        all.extend(env.iter().copied());
        let mut c = Cmd::new("docker").args(["exec", "-i"]);
        for (k, v) in &all {
            // The value travels in the environment of the docker command, not in its arguments.
            c = c.args(["-e", k]).env(k, v);
        }
        c.arg(&self.helper.name).arg(name).args(args)
    }
}

/// A helper beside the service of any engine, for its client programs.
#[derive(Clone)]
pub struct BesideHelper(Arc<Helper>);

impl BesideHelper {
    /// A program of the service's image, in the network of the service.
    #[must_use]
    pub fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
        let exec = Cmd::new("docker").args(["exec", "-i"]);
        let c = env.iter().fold(exec, |c, (k, v)| c.args(["-e", k]).env(k, v));
        c.arg(&self.0.name).arg(name).args(args)
    }
}

impl ComposeHost {
    /// Starts such a helper. To be called from a thread that lives as long as the process.
    pub fn beside_helper(&self) -> Result<BesideHelper> {
        leased(self.service_helper(LIFE_S)?).map(BesideHelper)
    }
}

/// The end of a helper whose lease failed: a week, in seconds.
const LIFE_S: &str = "604800";

fn leased(name: String) -> Result<Arc<Helper>> {
    let mut helper = Helper { name, lease: None };
    let script = "cat > /dev/null; kill -TERM 1";
    helper.lease = Some(Cmd::new("docker").args(["exec", "-i", &helper.name, "sh", "-c", script]).hold()?);
    Ok(Arc::new(helper))
}

struct BesideConnector {
    inner: StreamConnector,
    _helper: Arc<Helper>,
}

impl Connector for BesideConnector {
    fn connect(&self, database: &str) -> Result<Session> {
        self.inner.connect(database)
    }
    fn home_database(&self) -> &str {
        self.inner.home_database()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Sessions and client programs beside the service of `host`. To be called from a thread that lives as long as the
/// process.
pub(super) fn beside_service(
    host: &ComposeHost,
    user: &str,
    password: Option<&str>,
    home: &str,
) -> Result<(Box<dyn Connector>, Box<dyn Clients>)> {
    let name = host.service_helper(LIFE_S)?;
    beside(name, format!("the service {}", host.service_name()), user, password, home)
}

/// Sessions and client programs through the helper container `name`, which ends with them.
pub(super) fn beside(
    name: String,
    label: String,
    user: &str,
    password: Option<&str>,
    home: &str,
) -> Result<(Box<dyn Connector>, Box<dyn Clients>)> {
    let helper = leased(name)?;
    let inner = StreamConnector {
        carrier: ComposeHost::carrier(&helper.name, "127.0.0.1"),
        user: user.to_owned(),
        password: password.map(SecretString::from),
        home: home.to_owned(),
        label,
    };
    let clients =
        Beside { helper: helper.clone(), user: user.to_owned(), password: password.map(str::to_owned) };
    Ok((Box::new(BesideConnector { inner, _helper: helper }), Box::new(clients)))
}
