//! Steps that run, stop and move servers and their data.

use serde_json::{Value, json};

use super::Context;
use crate::app::detect::detect_again;
use crate::engine::postgres::facts::{ClusterFacts, gather};
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::host::{ClusterState, DataLocation, Host, InitSpec, Role, ServerSpec, SetAside};
use crate::journal::catalog::{Run, StepState};
use crate::upgrade::check::{Severity, check_database, check_image};
use crate::upgrade::plan::{Plan, Step};

pub(super) fn fence(cx: &Context) -> Result<Value> {
    super::application::stop_database(cx)?;
    let plan = cx.plan();
    let spec = ServerSpec {
        role: Role::Old,
        image: plan.source.image.clone(),
        data: plan.source.data.clone(),
        settings: [
            // Nothing writes while the data is read, not even the server itself.
            ("default_transaction_read_only", "on"),
            ("autovacuum", "off"),
            ("max_parallel_workers_per_gather", "2"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .to_vec(),
        init: None,
        superuser: plan.source.superuser.clone(),
    };
    cx.host.start_server(&spec, cx.observer)?;
    let connector = cx.host.server_connector(Role::Old, &plan.source.superuser);
    let facts = gather(connector.as_ref())?;
    // The database was down when the check ran, or has changed since: look again before anything moves.
    if let Some(d) = &plan.destination {
        let deployment = detect_again(&plan.project, &plan.profile, &plan.service)?;
        let mut findings = check_database(&deployment, &facts, connector.as_ref(), d.major)?;
        findings.extend(check_image(&deployment, &facts, &d.image, d.major)?);
        // With the server down, the check could not say these.
        for f in findings.iter().filter(|f| f.severity == Severity::Warning && plan.source.facts.is_none()) {
            cx.note(format!("{}: {}", f.title, f.remedy));
        }
        let blockers: Vec<String> = findings
            .iter()
            .filter(|f| f.severity == Severity::Blocker)
            .map(|f| format!("{}: {}", f.title, f.remedy))
            .collect();
        if !blockers.is_empty() {
            return Err(Error::failed("blocked", "the old server holds what the new one cannot take").why(blockers.join("\n")).help(
                "nothing was moved; `repot rollback` starts the application again, then correct what is named and try again",
            ));
        }
    }
    // Facts hold settings, and those may hold passwords: a file of the run (mode 0600), not the journal.
    cx.files.save("facts.json", &serde_json::to_vec(&facts).unwrap_or_default())?;
    // The next transaction's number tells, on a resume, whether anybody wrote in between.
    let next =
        connector.connect("template1")?.scalar("SELECT txid_snapshot_xmax(txid_current_snapshot())")?;
    Ok(json!({ "next_transaction": next }))
}

pub(super) fn old_is_shut_down(cx: &Context) -> Result<Option<Value>> {
    if cx.host.server_running(Role::Old)? {
        return Ok(None);
    }
    let state = cx.host.data_state(cx.plan().helper_image(), &cx.plan().source.data)?;
    if state.cluster != Some(ClusterState::ShutDown) {
        return Ok(None);
    }
    let control = control_hash(cx.plan(), cx.host, &cx.plan().source.data)?;
    Ok(Some(json!({ "state": "shut down", "size_bytes": state.size_bytes, "pg_control": control })))
}

pub(super) fn stop_old(cx: &Context) -> Result<Value> {
    let mut log = cx.host.stop_server(Role::Old)?;
    let data = &cx.plan().source.data;
    let mut state = cx.host.data_state(cx.plan().helper_image(), data)?;
    if state.cluster != Some(ClusterState::ShutDown) {
        // The server died before it was asked to stop (a power cut, a daemon that was restarted): let it
        // recover, then stop it in good order.
        fence(cx)?;
        log = cx.host.stop_server(Role::Old)?;
        state = cx.host.data_state(cx.plan().helper_image(), data)?;
    }
    match state.cluster {
        Some(ClusterState::ShutDown) => Ok(json!({
            "state": "shut down",
            "size_bytes": state.size_bytes,
            "pg_control": control_hash(cx.plan(), cx.host, data)?,
        })),
        other => Err(not_shut_down(
            format!("the old data ({}) is not cleanly shut down", data.describe()),
            other,
            &log,
            "`repot resume` starts and stops it once more; `repot rollback` brings the application back",
        )),
    }
}

/// Why a server that was asked to stop left its data unfinished: a full disk is the usual reason, and then that is
/// what has to be corrected first.
fn not_shut_down(what: String, found: Option<ClusterState>, log: &str, next: &str) -> Error {
    let full = speaks_of_full_disk(log);
    let why = format!("pg_control says `{}`\n{log}", found.map_or("unknown", ClusterState::words));
    Error::failed(if full { "disk-full" } else { "not-shut-down" }, what).why(why).help(if full {
        format!("free some space on that disk; {next}")
    } else {
        next.to_owned()
    })
}

const CONTROL: &str = "global/pg_control";

/// Hash of the pg_control of the old data in `place`: every server that opens the data changes it.
pub(crate) fn control_hash(plan: &Plan, host: &dyn Host, place: &DataLocation) -> Result<String> {
    let bytes = host.read_data_file(plan.helper_image(), place, CONTROL)?;
    Ok(crate::upgrade::files::hash(&bytes.unwrap_or_default()))
}

/// Where the old data is once its setting aside has begun: aside, or still in its place. A named volume is set
/// aside in its place.
pub(crate) fn old_data_place(plan: &Plan, host: &dyn Host) -> Result<DataLocation> {
    let Some(d) = &plan.destination else { return Ok(plan.source.data.clone()) };
    let SetAside::Rename { parent, aside, .. } = &d.set_aside else { return Ok(plan.source.data.clone()) };
    let subdir = [aside.as_str(), d.old_inner.as_str()].join("/").trim_end_matches('/').to_owned();
    let place = DataLocation { store: parent.clone(), target: String::new(), subdir, selinux: None };
    let there = host.read_data_file(plan.helper_image(), &place, CONTROL)?.is_some();
    Ok(if there { place } else { plan.source.data.clone() })
}

/// Whether somebody has run a server on the new data before repot handed it over: what is in it may be their work.
pub(crate) fn new_data_is_foreign(run: &Run, host: &dyn Host) -> Result<bool> {
    let begun =
        |s: Step| run.step(s).is_some_and(|r| !matches!(r.state, StepState::Pending | StepState::Undone));
    match &run.plan.destination {
        Some(d) if begun(Step::SetAside) && !begun(Step::StartDatabase) => {
            // Before the rename itself, what is in the place is the old data.
            let moved = host.is_set_aside(run.plan.helper_image(), &d.set_aside)?;
            Ok(moved && host.foreign_server_on(run.plan.helper_image(), &d.data)?)
        }
        _ => Ok(false),
    }
}

pub(super) fn is_set_aside(cx: &Context) -> Result<Option<Value>> {
    let done = cx.host.is_set_aside(cx.plan().helper_image(), &cx.destination()?.set_aside)?;
    Ok(done.then(|| json!({})))
}

/// Fails unless the old data is where it was put: without it there is nothing to go back to, and the new data is
/// all there is.
pub(crate) fn require_old_data(plan: &Plan, host: &dyn Host) -> Result<()> {
    let Some(d) = &plan.destination else { return Ok(()) };
    if host.old_data_present(plan.helper_image(), &d.set_aside, &d.old_inner, plan.source.major)? {
        return Ok(());
    }
    let place = crate::upgrade::report::where_aside(d);
    Err(Error::refused("old-data-missing", format!("the old data is not in {place} any more"))
        .why("somebody has moved or removed it; the new data is the only copy and stays as it is")
        .help(match &plan.backup_set {
            Some(set) => format!("the backup set of the run may still be there: {}", set.display()),
            None => "restore a backup of your own".to_owned(),
        }))
}

pub(super) fn set_aside(cx: &Context) -> Result<Value> {
    // Nothing may have the data open while it is renamed, whoever started it meanwhile.
    super::application::stop_database(cx)?;
    cx.host.set_aside(cx.plan().helper_image(), &cx.destination()?.set_aside)?;
    Ok(json!({}))
}

pub(super) fn put_back(cx: &Context) -> Result<()> {
    cx.host.stop_server(Role::New)?;
    // Somebody may have started services by hand: nothing may have the new data open while it is moved.
    super::application::stop_again(cx)?;
    super::application::stop_database(cx)?;
    require_old_data(cx.plan(), cx.host)?;
    cx.host.put_back(cx.plan().helper_image(), &cx.destination()?.set_aside, cx.keep_new)
}

/// Settings of a server that loads: durability comes from one flush at the end (`stop-new-server`), and a load
/// that is cut off starts again from nothing.
fn loading_settings(facts: &ClusterFacts, major: u32) -> Vec<(String, String)> {
    let mut s: Vec<(String, String)> = [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("archive_mode", "off"),
        ("autovacuum", "off"),
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "1d"),
        ("maintenance_work_mem", "512MB"),
        ("shared_buffers", "256MB"),
        ("wal_buffers", "16MB"),
        ("max_parallel_maintenance_workers", "2"),
        ("max_parallel_workers_per_gather", "2"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("default_transaction_read_only", "off"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .to_vec();
    if !facts.preload_libraries.is_empty() {
        s.push(("shared_preload_libraries".to_owned(), facts.preload_libraries.clone()));
    }
    // A restore in one transaction holds a lock on every object it makes.
    let locks = (facts.most_objects / 50).clamp(256, 1_000_000);
    s.push(("max_locks_per_transaction".to_owned(), locks.to_string()));
    if major < 13 {
        s.retain(|(k, _)| k != "max_parallel_maintenance_workers");
    }
    s
}

/// Quotes a word for the entrypoint's shell, which splits POSTGRES_INITDB_ARGS.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./@,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn initdb_args(facts: &ClusterFacts, major: u32) -> Vec<String> {
    let mut a = vec![format!("--encoding={}", facts.encoding)];
    if !facts.collate.is_empty() {
        a.push(format!("--lc-collate={}", facts.collate));
        a.push(format!("--lc-ctype={}", facts.ctype));
    }
    if major >= 15 && facts.locale_provider == "icu" {
        a.push("--locale-provider=icu".to_owned());
        a.extend(facts.icu_locale.iter().map(|l| format!("--icu-locale={l}")));
    } else if major >= 17 && facts.locale_provider == "builtin" {
        a.push("--locale-provider=builtin".to_owned());
        a.extend(facts.icu_locale.iter().map(|l| format!("--builtin-locale={l}")));
    }
    match (facts.data_checksums, major) {
        (true, _) => a.push("--data-checksums".to_owned()),
        // 18 turns them on unless told otherwise; what was off stays off, as a setting the user chose.
        (false, 18..) => a.push("--no-data-checksums".to_owned()),
        (false, _) => {}
    }
    if facts.wal_segment_bytes != 0 && facts.wal_segment_bytes != 16 << 20 {
        a.push(format!("--wal-segsize={}", facts.wal_segment_bytes >> 20));
    }
    a.iter().map(|w| shell_word(w)).collect()
}

pub(super) fn start_new(cx: &Context) -> Result<Value> {
    let plan = cx.plan();
    let d = cx.destination()?;
    let facts = cx.facts()?;
    // Whatever an earlier attempt left may be half a cluster, and somebody may have started the service on it.
    cx.host.stop_server(Role::New)?;
    super::application::stop_database(cx)?;
    require_old_data(plan, cx.host)?;
    if new_data_is_foreign(cx.run, cx.host)? {
        return Err(Error::failed(
            "new-data-in-use",
            format!("{} ({})", crate::upgrade::run::NOT_OURS, d.data.describe()),
        )
        .why("somebody has started the database service before the new data was complete, and may have written to it")
        .help("`repot rollback --discard-new-writes` goes back, and what is in it is set aside, not deleted"));
    }
    cx.host.clear_new(plan.helper_image(), &d.set_aside)?;
    let spec = ServerSpec {
        role: Role::New,
        image: d.image.clone(),
        data: d.data.clone(),
        settings: loading_settings(&facts, d.major),
        init: Some(InitSpec { initdb_args: initdb_args(&facts, d.major) }),
        superuser: facts.superuser.clone(),
    };
    cx.host.start_server(&spec, cx.observer)?;
    let session = cx.host.server_connector(Role::New, &facts.superuser).connect("postgres")?;
    let version = session.version_num()?;
    if version / 10_000 != d.major {
        return Err(Error::failed(
            "wrong-version",
            format!("the image {} runs PostgreSQL {}, not {}", d.image, version / 10_000, d.major),
        ));
    }
    Ok(json!({ "server_version_num": version }))
}

pub(super) fn stop_new(cx: &Context) -> Result<Value> {
    let d = cx.destination()?;
    let log = cx.host.stop_server(Role::New)?;
    cx.host.sync_data(&d.image, &d.data)?;
    let state = cx.host.data_state(&d.image, &d.data)?;
    if state.cluster != Some(ClusterState::ShutDown) || state.major != Some(d.major) {
        return Err(not_shut_down(
            format!("the new data ({}) is not cleanly shut down", d.data.describe()),
            state.cluster,
            &log,
            "`repot resume` loads it again from the backup set; `repot rollback` brings the old data back",
        ));
    }
    Ok(json!({ "size_bytes": state.size_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initdb_matches_the_old_cluster() {
        let facts = ClusterFacts {
            encoding: "UTF8".into(),
            collate: "de_DE.utf8".into(),
            ctype: "de_DE.utf8".into(),
            data_checksums: false,
            wal_segment_bytes: 64 << 20,
            ..ClusterFacts::default()
        };
        assert_eq!(
            initdb_args(&facts, 17),
            ["--encoding=UTF8", "--lc-collate=de_DE.utf8", "--lc-ctype=de_DE.utf8", "--wal-segsize=64"]
        );
        assert!(initdb_args(&facts, 18).contains(&"--no-data-checksums".to_owned()));
        let odd = ClusterFacts { collate: "it's; rm -rf /".into(), ..facts };
        assert!(initdb_args(&odd, 17).contains(&"'--lc-collate=it'\\''s; rm -rf /'".to_owned()));
    }
}
