//! Sending: every channel at once, each within its time.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::alert::Alert;
use crate::channel::{Channel, Target};
use crate::{Redactor, http, mail, request};

/// How long sending may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For one channel, all attempts and pauses included.
    pub total: Duration,
    /// How often it is tried.
    pub attempts: u32,
    /// The pause between attempts.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { total: Duration::from_secs(30), attempts: 3, pause: Duration::from_secs(2) }
    }
}

/// An alert that did not go out, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSent {
    /// The channel's name.
    pub channel: String,
    /// Why.
    pub why: String,
}

/// Sends an alert to every channel that wants it, all at once; returns what did not go out. Takes no longer than the
/// limit, whatever the receivers do.
#[must_use]
pub fn send_all(
    channels: &[Arc<Channel>],
    alert: &Alert,
    redactor: &Redactor,
    limits: Limits,
) -> Vec<NotSent> {
    let wanting: Vec<_> = channels.iter().filter(|c| c.wants(alert)).cloned().collect();
    let sent = send_to(&wanting, alert, redactor, limits);
    sent.into_iter().filter_map(|(channel, r)| r.err().map(|why| NotSent { channel, why })).collect()
}

/// Sends an alert to these channels, whether they asked for it or not; returns each channel's name with its result.
#[must_use]
pub fn send_to(
    channels: &[Arc<Channel>],
    alert: &Alert,
    redactor: &Redactor,
    limits: Limits,
) -> Vec<(String, Result<(), String>)> {
    let deadline = Instant::now() + limits.total;
    let alert = Arc::new(alert.clone().cleaned(redactor));
    let id = id(&alert);
    let waiting: Vec<_> = channels
        .iter()
        .map(|channel| {
            let (tell, told) = mpsc::channel();
            let (mine, alert, id) = (channel.clone(), alert.clone(), id.clone());
            // A thread of its own that nobody waits for beyond the limit: a name server that does not answer
            // heeds no time limit of ours.
            std::thread::spawn(move || {
                let _ = tell.send(one(&mine, &alert, &id, &limits));
            });
            (channel, told)
        })
        .collect();
    waiting
        .into_iter()
        .map(|(channel, told)| {
            // A little more, so that the channel's own words about its limit arrive.
            let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(500);
            let late = || Err(format!("no answer within {} s", limits.total.as_secs_f32()));
            let sent = told.recv_timeout(left).unwrap_or_else(|_| late());
            // What a receiver says may repeat what it was sent.
            let own = Redactor::new(channel.secrets());
            let clean = |why: String| redactor.clean(&own.clean(&why));
            (channel.name.clone(), sent.map_err(clean))
        })
        .collect()
}

fn one(channel: &Channel, alert: &Alert, id: &str, limits: &Limits) -> Result<(), String> {
    match &channel.target {
        Target::Email(e) => mail::send(e, channel, alert, id, limits),
        _ => http::send(&request::request(channel, alert, id)?, channel.ca_file.as_deref(), limits),
    }
}

/// Unlike any other: Matrix and mail tell a repeated message by it.
fn id(alert: &Alert) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let plain: String = alert.project.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("repot-{plain}-{}-{}", now.as_nanos(), std::process::id())
}
