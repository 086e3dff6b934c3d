//! `repot alerts`.

use jiff::Timestamp;
use repot_alert::Event;
use repot_core::backup::sets::{all, created};
use repot_core::journal::operations::{Ending, Operations, Outcome, last_backup};
use repot_core::schedule::silence;
use repot_core::{Error, Result};
use repot_store::MadeBy;

use crate::alerts::{Alerts, whole_second};
use crate::cli::{AlertsArgs, AlertsCommand};
use crate::config::{Setting, setting};
use crate::operation::catalog;
use crate::schedule::{duration, make_known};
use crate::storage::places;
use crate::terminal::{out, out_json, say};

pub fn run(args: &AlertsArgs) -> Result<()> {
    match &args.command {
        AlertsCommand::Test(at) => test(&setting(&at.dir)?, at.json),
        AlertsCommand::Check(at) => {
            let setting = setting(&at.dir)?;
            let after = setting.config.alerts.silence_after.as_deref().ok_or_else(|| {
                Error::usage("bad-config", "nothing says after how long silence is to be told")
                    .help("set `silence_after`, such as \"26h\", in [alerts] of repot.toml")
            })?;
            duration("silence_after", after)?;
            match check(&setting)? {
                None => {
                    if !at.json {
                        out("A backup has succeeded lately.\n");
                    }
                    Ok(())
                }
                Some(since) => Err(Error::failed("silent", format!("no backup has succeeded since {since}"))
                    .help("`repot backup` makes one and says what is in the way")),
            }
        }
    }
}

fn test(setting: &Setting, json: bool) -> Result<()> {
    if setting.config.alerts.channels.is_empty() {
        return Err(Error::usage("no-channel", "repot.toml names no channel for alerts")
            .help("add one under [alerts.channels.NAME]; docs/alerts.md has a recipe for each kind"));
    }
    let tried = Alerts::open(setting, None).test();
    if json {
        let each = tried.iter().map(
            |(name, r)| serde_json::json!({ "channel": name, "sent": r.is_ok(), "why": r.as_ref().err() }),
        );
        out_json(&serde_json::json!({ "channels": each.collect::<Vec<_>>() }));
    } else {
        for (name, r) in &tried {
            match r {
                Ok(()) => out(format!("{name}: sent\n")),
                Err(why) => out(format!("{name}: not sent: {why}\n")),
            }
        }
    }
    let failed = tried.iter().filter(|(_, r)| r.is_err()).count();
    if failed > 0 {
        return Err(Error::failed("alert-not-sent", format!("{failed} of {} channels failed", tried.len())));
    }
    Ok(())
}

/// Whether no backup has succeeded for too long, and since when; tells it when it is time to. The catalog is asked
/// first, then the storages: a lost catalog is no silence, and neither is a backup from another machine.
pub fn check(setting: &Setting) -> Result<Option<String>> {
    let Some(after) = &setting.config.alerts.silence_after else { return Ok(None) };
    let after = duration("silence_after", after)?;
    make_known(setting, &[])?;
    let mut catalog = catalog(setting)?;
    let operations = catalog.operations()?;
    let told = operations.iter().find(|o| o.kind == "silence" && o.outcome == Outcome::Failed);
    let known = operations.iter().rfind(|o| o.kind == "silence");
    let now = Timestamp::now();
    let known_since = known.map_or(now, |o| o.started_at);
    let in_catalog = last_backup(&operations, None);
    let mut good_at = in_catalog.and_then(|o| o.finished_at);
    let mut good_set = in_catalog.and_then(|o| o.set.clone());
    let last_told = told.map(|o| o.started_at);
    if silence(good_at, known_since, last_told, after, now).is_none() {
        return Ok(None);
    }
    let mut unread = Vec::new();
    match places(setting, &[]) {
        Ok(places) => {
            for place in places {
                match all(&place.storage) {
                    Ok(sets) => {
                        let made = |s: &&repot_store::stored::Stored| {
                            s.manifest().is_some_and(|m| m.made_by == MadeBy::Backup)
                        };
                        if let Some(s) = sets.iter().rfind(made)
                            && good_at.is_none_or(|g| created(s) > g)
                        {
                            good_at = Some(created(s));
                            good_set = Some(s.name.clone());
                        }
                    }
                    Err(e) => unread.push(format!("the storage {} cannot be read: {e}", place.name)),
                }
            }
        }
        Err(e) => unread.push(format!("the storages cannot be opened: {e}")),
    }
    let Some(silent) = silence(good_at, known_since, last_told, after, now) else { return Ok(None) };
    let since = whole_second(silent.since);
    if silent.tell {
        let alerts = Alerts::open(setting, None);
        alerts.say_unusable();
        let mut alert = alerts.alert(Event::Silent, "backup");
        alert.since = Some(since.clone());
        alert.last_good_set = good_set;
        alert.last_good_at = good_at.map(whole_second);
        alert.details = unread;
        say(format!("silence: no backup has succeeded since {since}; telling it"));
        let id = catalog.begin_operation("silence", "silence", false, Outcome::Running, now)?;
        alerts.tell(&alert);
        catalog.finish_operation(id, Outcome::Failed, Ending::default(), Timestamp::now())?;
    }
    Ok(Some(since))
}
