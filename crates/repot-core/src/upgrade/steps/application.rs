//! Steps that stop, start and update the application.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Context;
use crate::app::detect::{Credentials, credentials};
use crate::engine::postgres::session::Connector;
use crate::error::{Error, Kind, Result};
use crate::host::{Role, ServiceState};
use crate::interrupt;
use crate::upgrade::plan::Step;

pub(super) fn images_are_present(cx: &Context) -> Result<Option<Value>> {
    for image in &cx.plan().images {
        if cx.host.image_present(image)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(json!({ "fetched": [] })))
}

pub(super) fn fetch_images(cx: &Context) -> Result<Value> {
    let mut fetched = Vec::new();
    for image in &cx.plan().images {
        if cx.host.image_present(image)?.is_none() {
            cx.host.fetch_image(image, cx.observer)?;
            fetched.push(image.clone());
        }
    }
    Ok(json!({ "fetched": fetched }))
}

/// Services other than the database's that have containers now.
fn others(cx: &Context) -> Result<Vec<ServiceState>> {
    Ok(cx.host.services()?.into_iter().filter(|s| s.service != cx.plan().service).collect())
}

pub(super) fn is_stopped(cx: &Context) -> Result<Option<Value>> {
    let running = others(cx)?.iter().any(|s| s.running || s.restarting);
    Ok((!running).then(|| json!({})))
}

pub(super) fn stop(cx: &Context) -> Result<Value> {
    let up: Vec<ServiceState> = others(cx)?.into_iter().filter(|s| s.running || s.restarting).collect();
    cx.host.stop_services(&up, 0, cx.observer)?;
    Ok(json!({ "stopped": up.iter().map(|s| s.service.as_str()).collect::<Vec<_>>() }))
}

/// Stops the database service itself.
pub(super) fn stop_database(cx: &Context) -> Result<()> {
    let own: Vec<ServiceState> = cx
        .host
        .services()?
        .into_iter()
        .filter(|s| s.service == cx.plan().service && !s.containers.is_empty())
        .collect();
    cx.host.stop_services(&own, 600, cx.observer)
}

pub(super) fn start_as_it_was(cx: &Context) -> Result<()> {
    let plan = cx.plan();
    let names = |which: &dyn Fn(&ServiceState) -> bool| -> Vec<String> {
        plan.services.iter().filter(|s| which(s)).map(|s| s.service.clone()).collect()
    };
    // What ran is started again; what was well is waited for.
    let was_well = |s: &ServiceState| s.running && !s.restarting && s.health != "unhealthy";
    let database = names(&|s| s.service == plan.service && (s.running || s.restarting));
    let well = names(&|s| s.service == plan.service && was_well(s));
    cx.host.restore_restart_policies(&plan.services)?;
    cx.host.start_services(&database, false, cx.observer)?;
    cx.host.wait_healthy(&well, 300, cx.observer)?;
    // Where the database was down already, its dependants are started beside it as they were, not after it.
    cx.host.start_services(&plan.application_services(), !well.is_empty(), cx.observer)?;
    // Once more: what Compose has recreated has the policy of the file, what was set by hand comes back too.
    cx.host.restore_restart_policies(&plan.services)?;
    if well.is_empty() {
        return Ok(());
    }
    let others = names(&|s| s.service != plan.service && was_well(s));
    cx.host.wait_healthy(&others, plan.profile.health.timeout_s.unwrap_or(120), cx.observer)
}

pub(super) fn start_database(cx: &Context) -> Result<Value> {
    let service = vec![cx.plan().service.clone()];
    cx.host.start_services(&service, false, cx.observer)?;
    cx.host.wait_healthy(&service, 300, cx.observer)?;
    let connector = wait_for_service(cx)?;
    let version = connector.connect("postgres")?.scalar("SHOW server_version")?;
    let written = rows_written(connector.as_ref()).map_or(Value::Null, |n| json!(n));
    Ok(json!({ "server_version": version, "rows_written": written }))
}

/// Sees to it that the service's server answers: the machine may have been restarted since the step that started it.
fn database_answers(cx: &Context) -> Result<()> {
    let service = vec![cx.plan().service.clone()];
    let up = cx.host.services()?.iter().any(|s| s.service == cx.plan().service && s.running);
    if !up {
        cx.host.start_services(&service, false, cx.observer)?;
        cx.host.wait_healthy(&service, 300, cx.observer)?;
    }
    wait_for_service(cx).map(drop)
}

fn logins(cx: &Context) -> Result<Credentials> {
    credentials(&cx.plan().project, &cx.plan().profile, &cx.plan().service)
}

/// The service's server, once it answers (its container runs before its server listens).
fn wait_for_service(cx: &Context) -> Result<Box<dyn Connector>> {
    let deadline = Instant::now() + Duration::from_mins(5);
    let logins = logins(cx)?;
    loop {
        interrupt::check()?;
        let connector =
            cx.host.service_connector(&cx.plan().source.superuser, logins.superuser_password(), "postgres");
        let error = match connector.and_then(|c| c.connect("postgres").map(|_| c)) {
            Ok(c) => return Ok(c),
            Err(e) => e,
        };
        if !(error.retryable || error.code == "database-down") || Instant::now() > deadline {
            return Err(error);
        }
        cx.progress(format!("waiting for {}", cx.plan().service), 0, 0);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Rows inserted, updated and deleted in user tables since the server's statistics began, over all databases.
pub(crate) fn rows_written(connector: &dyn Connector) -> Result<u64> {
    let home = connector.connect("postgres")?;
    let mut sum = 0;
    for row in home.query("SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template0'")? {
        let Some(Some(name)) = row.into_iter().next() else { continue };
        let n = connector.connect(&name)?.scalar(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables",
        )?;
        sum += n.parse::<u64>().unwrap_or(0);
    }
    Ok(sum)
}

/// How many rows were written to the new server since the run let writers in; `None` when it cannot be told.
pub(crate) fn rows_written_since(cx: &Context) -> Option<u64> {
    // What the update command wrote is not the users' work.
    let counted = |s: Step| cx.result(s)["rows_written"].as_u64();
    let before = match cx.plan().app_move {
        Some(_) => counted(Step::MigrateApplication),
        None => counted(Step::StartDatabase),
    }?;
    let logins = logins(cx).ok()?;
    let connector = cx
        .host
        .service_connector(&cx.plan().source.superuser, logins.superuser_password(), "postgres")
        .ok()?;
    rows_written(connector.as_ref()).ok()?.checked_sub(before)
}

pub(super) fn check_login(cx: &Context) -> Result<Value> {
    let plan = cx.plan();
    // First of all: a password that is kept in a file can be read only while the service runs.
    database_answers(cx)?;
    let logins = logins(cx)?;
    let Some(password) = logins.application_password() else {
        cx.note(format!(
            "no password for the role {} is in the Compose files, so its login could not be tried",
            plan.application_user
        ));
        return Ok(json!({ "tried": false }));
    };
    cx.host
        .login_as_application(&plan.application_user, password, &plan.application_database)
        .map_err(|e| {
            let help = "the data is whole; `repot rollback` brings the old server back, or correct the password and `repot resume`";
            Error { help: Some(help.to_owned()), ..e }
        })?;
    Ok(json!({ "tried": true, "user": plan.application_user }))
}

pub(super) fn migrate(cx: &Context) -> Result<Value> {
    let Some(app) = &cx.plan().app_move else { return Ok(json!({})) };
    database_answers(cx)?;
    let result = match (&app.service, app.command.is_empty()) {
        (Some(service), false) => {
            cx.host.run_in_service(service, &app.command, &app.environment, cx.observer)?;
            json!({ "command": app.command.join(" ") })
        }
        _ => json!({ "note": "the application updates its own schema when it starts" }),
    };
    let connector = wait_for_service(cx)?;
    let written = rows_written(connector.as_ref()).map_or(Value::Null, |n| json!(n));
    let mut result = result;
    result["rows_written"] = written;
    Ok(result)
}

pub(super) fn start(cx: &Context) -> Result<Value> {
    let names = cx.plan().application_services();
    // Before the start: an application that leans on being restarted until its database is there needs it then.
    cx.host.restore_restart_policies(&cx.plan().services)?;
    cx.host.start_services(&names, true, cx.observer)?;
    cx.host.restore_restart_policies(&cx.plan().services)?;
    Ok(json!({ "started": names }))
}

pub(super) fn stop_again(cx: &Context) -> Result<()> {
    stop(cx).map(drop)
}

pub(super) fn check_health(cx: &Context) -> Result<Value> {
    let plan = cx.plan();
    let timeout_s = plan.profile.health.timeout_s.unwrap_or(120);
    let deadline = Instant::now() + Duration::from_secs(timeout_s);
    let mut names = plan.application_services();
    names.push(plan.service.clone());
    cx.host.wait_healthy(&names, timeout_s, cx.observer)?;
    let command = &plan.profile.health.command;
    let probed = match &plan.application {
        Some(service) if !command.is_empty() && names.contains(service) => {
            loop {
                interrupt::check()?;
                let error = match cx.host.exec_in_service(service, command, 60) {
                    Ok(()) => break,
                    Err(e) if e.kind == Kind::Interrupted => return Err(e),
                    Err(e) => e,
                };
                if Instant::now() > deadline {
                    return Err(Error::failed("unhealthy", format!("the application ({service}) is not well after {timeout_s} s"))
                        .why(error.why.unwrap_or(error.what))
                        .help(format!("look at `docker compose logs {service}`, correct it and `repot resume`; or `repot rollback`")));
                }
                cx.progress(format!("waiting for {service}"), 0, 0);
                std::thread::sleep(Duration::from_secs(1));
            }
            true
        }
        _ => false,
    };
    debug_assert!(!cx.host.server_running(Role::Old).unwrap_or(false));
    Ok(json!({ "services": names, "probed": probed }))
}
