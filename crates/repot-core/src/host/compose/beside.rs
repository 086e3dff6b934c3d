//! Sessions and client programs beside the running database service, for work that takes longer than a check.
//!
//! Both go through one helper container of the service's own image that shares its network namespace. It ends with
//! repot, however that ends: a `docker exec` whose standard input repot holds asks its first process to stop.

use std::sync::Arc;

use secrecy::SecretString;

use super::host::ComposeHost;
use super::relay::{Guard, Use, client_in, program_in};
use crate::engine::postgres::clients::Clients;
use crate::engine::postgres::session::{Connector, Session, StreamConnector};
use crate::error::Result;
use crate::exec::{Cmd, Held};

/// The helper; removed when the last who uses it is gone. The lease ends first: it stops the helper too, should the removal
/// fail.
struct Helper {
    _lease: Held,
    at: Guard,
}

struct Beside {
    helper: Arc<Helper>,
    user: String,
    password: Option<String>,
}

impl Clients for Beside {
    fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
        client_in(&self.helper.at.name, (&self.user, self.password.as_deref()), name, args, env)
    }
}

/// A helper beside the service of any engine, for its client programs.
#[derive(Clone)]
pub struct BesideHelper(Arc<Helper>);

impl BesideHelper {
    /// A program of the service's image, in the network of the service.
    #[must_use]
    pub fn program(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Cmd {
        program_in(&self.0.at.name, name, args, env)
    }
}

impl ComposeHost {
    /// Starts such a helper. To be called from a thread that lives as long as the process.
    pub fn beside_helper(&self) -> Result<BesideHelper> {
        helper(self.service_helper(Use::Streams)?)
    }
}

/// The helper container, which ends with this.
pub(super) fn helper(at: Guard) -> Result<BesideHelper> {
    leased(at).map(BesideHelper)
}

fn leased(at: Guard) -> Result<Arc<Helper>> {
    let script = "cat > /dev/null; kill -TERM 1";
    let lease = Cmd::new("docker").args(["exec", "-i", &at.name, "sh", "-c", script]).hold()?;
    Ok(Arc::new(Helper { _lease: lease, at }))
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
    let at = host.service_helper(Use::Streams)?;
    beside(at, format!("the service {}", host.service), user, password, home)
}

/// Sessions and client programs through a helper container, which ends with them.
pub(super) fn beside(
    at: Guard,
    label: String,
    user: &str,
    password: Option<&str>,
    home: &str,
) -> Result<(Box<dyn Connector>, Box<dyn Clients>)> {
    let helper = leased(at)?;
    let inner = StreamConnector {
        carrier: ComposeHost::carrier(&helper.at.name, "127.0.0.1"),
        user: user.to_owned(),
        password: password.map(SecretString::from),
        home: home.to_owned(),
        label,
    };
    let clients =
        Beside { helper: helper.clone(), user: user.to_owned(), password: password.map(str::to_owned) };
    Ok((Box::new(BesideConnector { inner, _helper: helper }), Box::new(clients)))
}
