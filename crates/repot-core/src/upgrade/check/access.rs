//! Who can log in: repot as the superuser, the application as itself.

use secrecy::ExposeSecret;

use super::Finding;
use super::words::shell;
use crate::app::detect::Deployment;
use crate::error::{Error, Kind, Result};
use crate::host::Host;

/// The server runs, but the superuser cannot get in.
pub(super) fn no_way_in(deployment: &Deployment, e: &Error) -> Finding {
    let db = &deployment.database;
    let why = e.why.clone().unwrap_or_else(|| e.what.clone());
    if e.code == "login-refused" {
        return Finding::blocker(
            "superuser-login",
            format!("The server in {} refuses the superuser {}", db.service, db.superuser),
            format!(
                "repot logs in as POSTGRES_USER ({}) to look at every database. The server said: {why}",
                db.superuser
            ),
            format!(
                "If the password was changed inside the database, put the present one into POSTGRES_PASSWORD of the service {}. \
                 If the server was made with another superuser, put that name into POSTGRES_USER. Then run `repot check` again.",
                db.service
            ),
        );
    }
    Finding::blocker(
        "database-unreachable",
        format!("The service {} runs, but its server does not answer", db.service),
        why,
        format!(
            "Look at `docker compose logs --tail 50 {}`; when the server answers again, run `repot check` again.",
            shell(&db.service)
        ),
    )
}

/// Logs in as the application does. An upgrade is called done only when the application can log in again, so it
/// has to be able to do so now.
pub(super) fn application_login(deployment: &Deployment, host: &dyn Host) -> Result<Option<Finding>> {
    let db = &deployment.database;
    let (user, service) = (&db.application_user, &db.service);
    let Some(password) = &db.application_password else {
        return Ok(Some(Finding::warning(
            "application-password-unknown",
            format!("repot does not know the password of the application's role {user}"),
            "It is in no variable that repot knows of (it may be in a secret's file or a configuration file). The role and its \
             password are carried over as they are, but repot cannot prove by logging in that they work.",
            "Nothing has to be done. Afterwards, see that the application can log in; its health check shows that too.",
        )));
    };
    let Err(e) = host.login_as_application(user, password.expose_secret(), &db.name) else {
        return Ok(None);
    };
    if e.kind == Kind::Interrupted {
        return Err(e);
    }
    let why = e.why.clone().unwrap_or_else(|| e.what.clone());
    Ok(Some(match e.code {
        "login-refused" => Finding::blocker(
            "application-login",
            format!("The application's role {user} cannot log in to the database {}", db.name),
            format!(
                "repot tried the user and password from the Compose file, over the network, as the application does. The server \
                 said: {why}. After the upgrade nobody could tell whether the login was lost or had never worked."
            ),
            format!(
                "Correct the password where the application keeps it (.env or env_file), or set the role's password to that one: \
                 docker compose exec {} psql -U {} -d postgres -c '\\password {}'. Then run `repot check` again.",
                shell(service),
                shell(&db.superuser),
                user.replace('\'', "")
            ),
        ),
        "database-missing" => Finding::blocker(
            "application-database-missing",
            format!("There is no database {} on the server", db.name),
            format!("The Compose file names it as the application's database. The server said: {why}"),
            format!(
                "List the databases with `docker compose exec {} psql -U {} -l` and put the right name into the Compose file or .env.",
                shell(service),
                shell(&db.superuser)
            ),
        ),
        _ => Finding::warning(
            "application-login-untried",
            format!("repot could not try the application's login as {user}"),
            why,
            "Nothing has to be done now; the login is tried again at the end of the upgrade.",
        ),
    }))
}
