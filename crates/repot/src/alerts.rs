//! The channels of `[alerts]`, and what their messages say of this place.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use repot_alert::{
    Alert, Channel, Event, Failure, Limits, NotSent, Redactor, Surroundings, send_all, send_to,
};
use repot_core::Error;
use repot_core::host::compose::edit::{parse_dotenv, resolve_dotenv};
use secrecy::SecretString;

use crate::config::Setting;
use crate::terminal::say;

/// How long the application is looked for, to call it by its name; Docker may be what failed.
const LOOK: Duration = Duration::from_secs(10);

/// The channels, ready.
pub struct Alerts {
    pub channels: Vec<Arc<Channel>>,
    /// Channels that cannot be used, with the reason.
    pub unusable: Vec<(String, String)>,
    redactor: Redactor,
    host: String,
    application: String,
    project: String,
}

impl Alerts {
    /// Opens the channels; nothing is sent, and nothing fails: what cannot be used is kept by name.
    pub fn open(setting: &Setting, application: Option<String>) -> Alerts {
        let (mut channels, mut unusable) = (Vec::new(), Vec::new());
        let config = &setting.config.alerts;
        for c in Channel::open_all(config, Surroundings { env: &setting.env, dir: &setting.dir }) {
            match c {
                Ok(c) => channels.push(Arc::new(c)),
                Err(bad) => unusable.push(bad),
            }
        }
        let mut redactor = Redactor::new(secrets(setting));
        channels.iter().flat_map(|c| c.secrets()).for_each(|s| redactor.add(&s));
        let host = config.host_name.clone().unwrap_or_else(host_name);
        let dir = setting.dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        // Who is called costs some calls of Docker; nobody needs it where nothing is sent.
        let named = if channels.is_empty() || application.is_some() { None } else { look(setting) };
        let (name, project) = named.unwrap_or_else(|| (dir.clone(), dir));
        Alerts { channels, unusable, redactor, host, application: application.unwrap_or(name), project }
    }

    /// An alert of this place, to be filled in.
    pub fn alert(&self, event: Event, operation: &str) -> Alert {
        Alert {
            event,
            application: self.application.clone(),
            project: self.project.clone(),
            host: self.host.clone(),
            operation: operation.to_owned(),
            at: whole_second(Timestamp::now()),
            failure: None,
            since: None,
            failures: 0,
            set: None,
            last_good_set: None,
            last_good_at: None,
            details: Vec::new(),
        }
    }

    /// Sends it to those who want it. What does not go out is said, and is nobody's failure.
    pub fn tell(&self, alert: &Alert) {
        for NotSent { channel, why } in send_all(&self.channels, alert, &self.redactor, Limits::default()) {
            say(format!("note: the alert did not go out by {channel}: {why}"));
        }
    }

    /// Says which channels cannot be used.
    pub fn say_unusable(&self) {
        for (name, why) in &self.unusable {
            say(format!("note: the alert channel {name} cannot be used: {why}"));
        }
    }

    /// Sends a test message by every channel; each one's result.
    pub fn test(&self) -> Vec<(String, Result<(), String>)> {
        let mut all: Vec<_> =
            self.unusable.iter().map(|(name, why)| (name.clone(), Err(why.clone()))).collect();
        let alert = self.alert(Event::Test, "test");
        all.extend(send_to(&self.channels, &alert, &self.redactor, Limits::default()));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// An error as an alert has it.
pub fn failure(e: &Error) -> Failure {
    Failure { code: e.code.to_owned(), what: e.what.clone(), why: e.why.clone(), help: e.help.clone() }
}

/// A time as people read it in a message.
pub fn whole_second(t: Timestamp) -> String {
    Timestamp::from_second(t.as_second()).unwrap_or(t).to_string()
}

/// The application's name and the project's; nothing where Docker does not answer in time.
fn look(setting: &Setting) -> Option<(String, String)> {
    let (tell, told) = mpsc::channel();
    let again = crate::config::setting(&setting.dir).ok()?;
    std::thread::spawn(move || {
        let found = again.detect(None).map(|d| (d.profile.title.clone(), d.project.name.clone()));
        let _ = tell.send(found.ok());
    });
    told.recv_timeout(LOOK).ok().flatten()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

/// Values of variables, here and in `.env`, whose names say what they are.
fn secrets(setting: &Setting) -> Vec<SecretString> {
    const WORDS: [&str; 6] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "_KEY"];
    let dotenv = std::fs::read_to_string(setting.dir.join(".env")).unwrap_or_default();
    let dotenv = resolve_dotenv(&parse_dotenv(&dotenv), &setting.env);
    let is_secret = |name: &str| WORDS.iter().any(|w| name.to_uppercase().contains(w));
    let all = setting.env.iter().chain(&dotenv);
    all.filter(|(n, _)| is_secret(n)).map(|(_, v)| SecretString::from(v.clone())).collect()
}
