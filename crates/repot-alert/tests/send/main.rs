//! Alerts that arrive at real receivers, and those that cannot. `scripts/mail-server.sh` installs the mail server.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod mail;
mod web;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use repot_alert::{Alert, AlertsConfig, Channel, Event, Failure, Limits, Surroundings};

/// A channel as repot.toml would have it.
#[track_caller]
fn open(toml: &str, env: &[(&str, &str)]) -> Result<Arc<Channel>, String> {
    let text = format!("[channels.it]\n{toml}");
    let config: AlertsConfig = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let at = Surroundings { env: &env, dir: Path::new("/") };
    Channel::open("it", &config.channels["it"], &config, at).map(Arc::new)
}

fn quick() -> Limits {
    Limits { total: Duration::from_secs(10), attempts: 3, pause: Duration::from_millis(50) }
}

fn alert(event: Event) -> Alert {
    Alert {
        event,
        application: "InvenTree".to_owned(),
        project: "inventree".to_owned(),
        host: "web1".to_owned(),
        operation: "backup".to_owned(),
        at: "2026-03-01T03:00:09Z".to_owned(),
        failure: (event == Event::Failed).then(|| Failure {
            code: "login-refused".to_owned(),
            what: "the server said <no> & that's it: größer".to_owned(),
            why: Some("at postgres://pguser:s3cret-words@db/app".to_owned()),
            help: Some("correct it".to_owned()),
        }),
        since: (event == Event::Failed).then(|| "2026-02-27T03:00:07Z".to_owned()),
        failures: 3,
        set: None,
        last_good_set: Some("inventree-20260226-030000-3c4d".to_owned()),
        last_good_at: Some("2026-02-26T03:04:00Z".to_owned()),
        details: Vec::new(),
    }
}
