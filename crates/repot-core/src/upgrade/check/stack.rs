//! What runs, from which files, on which data: everything outside the server.

use std::path::Path;

use serde_json::Value;

use super::words::{count, old_image, shell, some};
use super::{Finding, Request};
use crate::app::detect::{Deployment, major_of_tag};
use crate::error::Result;
use crate::host::compose::edit::ImageRef;
use crate::host::compose::project::{Mount, MountKind, Service};
use crate::host::docker::Docker;
use crate::host::{ClusterState, Store};

/// All of this file's findings.
pub(super) fn check(deployment: &Deployment, request: &Request) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    found.extend(versions(deployment, request));
    found.extend(definition(deployment));
    found.extend(files(deployment, request));
    found.extend(data(deployment));
    found.extend(health(deployment));
    found.extend(containers(deployment)?);
    Ok(found)
}

fn own(deployment: &Deployment) -> Option<&Service> {
    deployment.resolved.services.get(&deployment.database.service)
}

/// The server's version: PG_VERSION of the data against the image of the Compose file.
fn versions(deployment: &Deployment, request: &Request) -> Vec<Finding> {
    let db = &deployment.database;
    let mut found = Vec::new();
    let Some(data) = db.state.major else {
        let (title, detail) = if db.state.exists {
            ("holds something, but no PostgreSQL data", "There are files, but no PG_VERSION among them.")
        } else {
            ("holds no PostgreSQL data yet", "The directory is empty or does not exist.")
        };
        found.push(Finding::blocker(
            "no-data",
            format!("{} {title}", db.data.describe()),
            format!("{detail} repot looked there because the service {} keeps its data in {}.", db.service, db.data.pgdata()),
            "If the data is elsewhere, correct the volume or PGDATA in the Compose file. If there is none yet, write the new version into the Compose file and start it.",
        ));
        return found;
    };
    let reference = ImageRef::parse(&db.image).ok();
    let image = match db.image_major {
        Some(image) => image,
        None => {
            found.push(Finding::info(
                "floating-tag",
                format!("The image {} names no PostgreSQL version", db.image),
                format!("The data is PostgreSQL {data}. The Compose file gets a tag with the version, so that no later pull changes it by surprise."),
            ));
            data
        }
    };
    if image < data {
        found.push(Finding::blocker(
            "compose-older-than-data",
            format!("The data is PostgreSQL {data}, but the Compose file says {image} ({})", db.image),
            format!(
                "PG_VERSION in {} is {data}. Starting {image} on it would be a downgrade, which PostgreSQL cannot do; it fails to \
                 start and leaves the data as it is. Most likely the data was upgraded by hand and the Compose file was not.",
                db.data.describe()
            ),
            format!(
                "Write {} as the image of the service {} and start it with `docker compose up -d {}`. The data stays as it is. Then, for a newer version, run repot again.",
                old_image(deployment),
                db.service,
                shell(&db.service)
            ),
        ));
    }
    if image > data {
        let asked = match request.to {
            Some(to) => format!("repot starts from {} and goes to PostgreSQL {to}.", old_image(deployment)),
            None => format!(
                "Run `repot upgrade --to {image}` to bring the data to that version, or write {} back to go on as before.",
                old_image(deployment)
            ),
        };
        found.push(Finding::warning(
            "tag-bumped",
            format!("The Compose file says PostgreSQL {image} already, but the data is still {data}"),
            format!(
                "Somebody changed the image to {} before the data was upgraded. PostgreSQL {image} does not open the data of {data}: \
                 the service cannot start, and the data is unharmed.",
                db.image
            ),
            asked,
        ));
    }
    if let Some(r) = &reference {
        let tag = r.tag.as_deref().and_then(major_of_tag);
        if let (Some(tag), Some(inside)) = (tag, db.image_major)
            && tag != inside
        {
            found.push(Finding::warning(
                "tag-lies",
                format!("The image {} is tagged {tag} but holds PostgreSQL {inside}", db.image),
                "The tag was given to another image, here or in the registry.",
                format!("Fetch it anew with `docker pull {}`, or correct the tag.", shell(&db.image)),
            ));
        }
        if r.digest.is_some() {
            found.push(Finding::info(
                "digest-pinned",
                format!("The image of {} is pinned by its digest", db.service),
                "A digest names one exact image, so it cannot stay. The upgrade replaces it with the new version's tag; pin the new digest afterwards if you want that.",
            ));
        }
    }
    let official = if data >= 18 {
        format!("/var/lib/postgresql/{data}/docker")
    } else {
        "/var/lib/postgresql/data".to_owned()
    };
    if image == data && !db.pgdata_is_set && db.data.pgdata() != official {
        found.push(Finding::warning(
            "layout",
            format!("The data is in {}, not where PostgreSQL {data} keeps it", db.data.pgdata()),
            format!("The image's own place for it is {official}, and PGDATA is not set, so the service would start with an empty database."),
            format!("Set PGDATA to {} in the environment of the service {}, or mount the volume where the data belongs.", db.data.pgdata(), db.service),
        ));
    }
    if let Some(to) = request.to.filter(|to| *to >= 18 && data < 18) {
        let text = if db.pgdata_is_set {
            format!(
                "PGDATA is set to {}, so the data stays under that path; PostgreSQL {to} accepts that.",
                db.data.pgdata()
            )
        } else {
            format!(
                "From 18 on the official image keeps its data in /var/lib/postgresql/{to}/docker and wants the volume at \
                 /var/lib/postgresql. The Compose file is changed with the data; nothing has to be done."
            )
        };
        found.push(Finding::info(
            "layout-moves",
            format!("PostgreSQL {to} keeps its data in another place"),
            text,
        ));
    }
    found
}

/// What the Compose file says of the database service.
fn definition(deployment: &Deployment) -> Vec<Finding> {
    let db = &deployment.database;
    let Some(service) = own(deployment) else { return Vec::new() };
    let raw = &deployment.resolved.resolved["services"][&db.service];
    let mut found = Vec::new();
    let state = deployment.services.iter().find(|s| s.service == db.service);
    let running = state.map_or(0, |s| s.containers.len());
    if service.replicas > 1 || running > 1 {
        found.push(Finding::blocker(
            "replicas",
            format!("The service {} is set to run more than one container", db.service),
            format!("{} asked for, {} there. Two servers must never open one data directory.", count(usize::try_from(service.replicas).unwrap_or(usize::MAX), "container", "containers"), running),
            format!("Remove `scale` and `deploy.replicas` from the service, run `docker compose up -d --scale {}=1 {0}`, then try again.", shell(&db.service)),
        ));
    }
    if raw["deploy"]["mode"] == "global" {
        found.push(Finding::blocker(
            "swarm",
            format!("The service {} is written for Docker Swarm (`deploy.mode: global`)", db.service),
            "repot moves one Compose project on one Docker host. Swarm would start the database again on its own.",
            "Run it as a plain Compose project while you upgrade.",
        ));
    }
    let entrypoint = &raw["entrypoint"];
    if !entrypoint.is_null() {
        found.push(Finding::warning(
            "entrypoint-custom",
            format!("The service {} replaces the image's entrypoint", db.service),
            format!("It starts with {}. repot starts the image's own entrypoint while it moves the data; the service's own runs again at the end.", words_of(entrypoint)),
            "See that this entrypoint works with the new version too.",
        ));
    }
    if !service.command.is_empty() && db.extras.arguments.is_empty() && service.command != ["postgres"] {
        found.push(Finding::warning(
            "command-script",
            format!("The service {} starts with a command of its own", db.service),
            format!("`{}` is not a plain list of server arguments, so repot cannot see which settings it gives and does without them while it moves the data.", service.command.join(" ")),
            "See that the command works with the new version too.",
        ));
    }
    if let Some(key) = &db.volume_key
        && let Some((real, definition)) = deployment.resolved.volumes.get(key)
    {
        let driver = definition["driver"].as_str().unwrap_or("local");
        let options = definition["driver_opts"].as_object().is_some_and(|o| !o.is_empty());
        if options || driver != "local" {
            found.push(Finding::blocker(
                "volume-driver",
                format!("The volume {key} has a driver or driver options of its own"),
                format!(
                    "Docker's volume {real} is made with driver {driver}{}. A new volume for the new version cannot be made with \
                     the same options: it would be the very same directory.",
                    if options { " and driver_opts" } else { "" }
                ),
                "If it stands for a directory of this machine, mount that directory itself (`- /the/directory:/var/lib/postgresql/data`); the data stays where it is. Then run repot again.",
            ));
        }
        if definition["external"] == true {
            found.push(Finding::info(
                "volume-external",
                format!("The volume {key} is external"),
                format!("Docker's volume {real} was made outside this Compose file. It is kept; the new version gets a new volume."),
            ));
        }
    }
    if let Some(ports) = raw["ports"].as_array().filter(|p| !p.is_empty()) {
        let list: Vec<String> = ports
            .iter()
            .filter_map(|p| {
                p["published"]
                    .as_str()
                    .map(str::to_owned)
                    .or_else(|| p["published"].as_u64().map(|n| n.to_string()))
            })
            .collect();
        found.push(Finding::info(
            "published-port",
            format!("The database can be reached from outside, on port {}", some(&list, 5)),
            "Programs outside this Compose project may use it. While the data moves nobody can connect, so they get errors until the upgrade is done.",
        ));
    }
    found
}

fn words_of(v: &Value) -> String {
    match v {
        Value::Array(a) => a.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Value::String(s) => s.clone(),
        _ => "nothing".to_owned(),
    }
}

/// The first of `path` and its parents that exists.
pub(super) fn existing(path: &Path) -> std::path::PathBuf {
    path.ancestors().find(|p| p.exists()).map_or_else(|| Path::new("/").to_path_buf(), Path::to_path_buf)
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The files that the upgrade edits, and the place for the backup.
fn files(deployment: &Deployment, request: &Request) -> Vec<Finding> {
    let at = &deployment.project;
    let mut found = Vec::new();
    let mut closed: Vec<String> = Vec::new();
    for file in at.files.iter().chain(&at.env_file) {
        if !writable(file) {
            closed.push(file.display().to_string());
        }
        if let Some(dir) = file.parent()
            && !writable(dir)
        {
            closed.push(dir.display().to_string());
        }
    }
    closed.sort();
    closed.dedup();
    if !closed.is_empty() {
        found.push(Finding::blocker(
            "compose-unwritable",
            "repot cannot write the Compose files",
            format!("Not writable: {}. A changed file is written beside the old one and put in its place, so the directory must be writable too.", some(&closed, 4)),
            "Run repot as the user that owns these files, or give that user the right to write them (`ls -ld` shows owner and mode).",
        ));
    }
    if !request.backup_dir.as_os_str().is_empty() {
        let place = existing(&request.backup_dir);
        if !place.is_dir() || !writable(&place) {
            found.push(Finding::blocker(
                "backup-unwritable",
                format!("The backup cannot be written to {}", request.backup_dir.display()),
                format!(
                    "{} {}.",
                    place.display(),
                    if place.is_dir() { "is not writable for you" } else { "is not a directory" }
                ),
                "Name another place with --backup-dir.",
            ));
        }
    }
    found
}

/// The data directory, seen from outside.
fn data(deployment: &Deployment) -> Vec<Finding> {
    let db = &deployment.database;
    let state = &db.state;
    let mut found = Vec::new();
    if !state.writable {
        found.push(Finding::blocker(
            "data-unwritable",
            format!("{} cannot be written", db.data.describe()),
            "Not even root inside a container can write there: the filesystem is mounted read-only, or it is a network share that forbids it.",
            "Mount it read-write (`mount | grep ro,` shows read-only ones); after disk errors, look at `dmesg` first.",
        ));
    }
    if let (Store::Bind(path), true) = (&db.data.store, db.data.subdir.is_empty())
        && is_mount_point(path)
    {
        found.push(Finding::blocker(
            "data-is-mount-point",
            format!("{path} is a disk of its own, mounted just there"),
            "The old data is set aside by renaming its directory, and a mount point cannot be renamed.",
            format!(
                "Put the data one level lower, once: stop the project, make {path}/pgdata, move everything in {path} into it, mount \
                 {path}/pgdata in the Compose file instead, and start again."
            ),
        ));
    }
    if let Some(to) = &state.wal_link {
        found.push(Finding::blocker(
            "wal-elsewhere",
            "The write-ahead log (pg_wal) lies outside the data directory",
            format!("pg_wal is a link to {to} (POSTGRES_INITDB_WALDIR). Setting the old data aside would leave that part behind."),
            format!(
                "Bring it back, once: `docker compose stop {0}`, replace the link pg_wal in {1} by the directory it points to, start again. Then run repot.",
                shell(&db.service),
                db.data.describe()
            ),
        ));
    }
    if !state.tablespaces.is_empty() {
        found.push(tablespaces_outside(&state.tablespaces));
    }
    if !db.running
        && let Some(cluster) = state.cluster.filter(|c| *c != ClusterState::ShutDown)
    {
        found.push(Finding::info(
            "unclean-shutdown",
            "The server was not shut down cleanly",
            format!("pg_control says `{}`. PostgreSQL recovers by itself when repot starts the old version; nothing is lost by that.", cluster.words()),
        ));
    }
    found
}

fn tablespaces_outside(links: &[String]) -> Finding {
    Finding::blocker(
        "tablespaces",
        format!("The data directory has {} outside itself", count(links.len(), "tablespace", "tablespaces")),
        format!("Links in pg_tblspc: {}. Data there would not be set aside with the rest.", some(links, 5)),
        "Start the old server, move every table back with `ALTER TABLE … SET TABLESPACE pg_default` (or `ALTER DATABASE …`), and drop the tablespace.",
    )
}

/// Whether something is mounted exactly at `path` on this machine.
fn is_mount_point(path: &str) -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    mounted_at(&table, path)
}

fn mounted_at(table: &str, path: &str) -> bool {
    // proc(5): the fifth field is the mount point, with spaces as \040.
    let wanted =
        path.trim_end_matches('/').replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    table.lines().any(|l| l.split(' ').nth(4) == Some(wanted.as_str()))
}

/// Whether the application is well before anything is done to it.
fn health(deployment: &Deployment) -> Vec<Finding> {
    let mut found = Vec::new();
    for s in &deployment.services {
        if s.service == deployment.database.service {
            continue;
        }
        if s.restarting || s.health == "unhealthy" {
            let what = if s.restarting { "keeps restarting" } else { "is unhealthy" };
            found.push(Finding::warning(
                "service-unhealthy",
                format!("The service {} {what} already", s.service),
                if deployment.database.running {
                    "At the end of the upgrade every service must be well; this one would fail then, for a reason of its own."
                } else {
                    "The database is down, which may be the reason."
                },
                format!("Look at `docker compose logs --tail 50 {}` and put it right first if you can.", shell(&s.service)),
            ));
        }
    }
    let stopped: Vec<&str> = deployment
        .resolved
        .services
        .keys()
        .filter(|n| **n != deployment.database.service)
        .filter(|n| !deployment.services.iter().any(|s| s.service == **n && s.running))
        .map(String::as_str)
        .collect();
    if !stopped.is_empty() && deployment.services.iter().any(|s| s.running) {
        found.push(Finding::info(
            "services-stopped",
            format!(
                "{} not running: {}",
                if stopped.len() == 1 { "One service is" } else { "Some services are" },
                some(&stopped, 6)
            ),
            "What does not run now is not started by the upgrade either.",
        ));
    }
    found
}

/// Whether the service is set to an image of another major than its data: such a server ends at once.
pub(super) fn cannot_open(deployment: &Deployment) -> bool {
    let db = &deployment.database;
    // A container from before the change of the file still runs the right one.
    let own_image = db.source_image.starts_with("sha256:");
    !own_image && db.image_major.is_some() && db.image_major != db.state.major
}

/// The finding for a database that does not run; `said` is what came of an attempt to reach it.
pub(super) fn database_down(deployment: &Deployment, said: &str) -> Finding {
    let db = &deployment.database;
    let state = deployment.services.iter().find(|s| s.service == db.service);
    let again = !said.is_empty() || state.is_some_and(|s| s.restarting);
    let bumped = db.image_major.is_some() && db.image_major != db.state.major;
    if again && !bumped {
        return Finding::blocker(
            "database-crashing",
            format!("The database service {} fails to start, again and again", db.service),
            "Its image fits the data, so something else is wrong, and a server that repot starts would fail in the same way.",
            format!(
                "Its log says why: docker compose logs --tail 50 {}. Correct that; when the server runs, run `repot check` again.",
                shell(&db.service)
            ),
        );
    }
    let why = match state {
        Some(_) if again => "it starts again and again",
        Some(_) => "its container is stopped",
        None => "it has no container",
    };
    let start = if bumped {
        "Nothing has to be done.".to_owned()
    } else {
        format!(
            "Nothing has to be done. To have everything checked now, start it: docker compose up -d {}",
            shell(&db.service)
        )
    };
    Finding::warning(
        "database-down",
        format!("The database service {} is not running: {why}", db.service),
        format!(
            "What can be seen from outside was checked. The rest (what is in the databases, settings, extensions) is checked when \
             repot has started the server from {} for itself, and before anything is moved.",
            old_image(deployment)
        ),
        start,
    )
}

/// Other containers on the same data.
fn containers(deployment: &Deployment) -> Result<Vec<Finding>> {
    let db = &deployment.database;
    let docker = Docker;
    let (Store::Bind(source) | Store::Volume(source)) = &db.data.store;
    let mut found = Vec::new();
    for id in docker.containers(&[format!("volume={source}")])? {
        let Some(c) = docker.container(&id)? else { continue };
        let labels = &c["Config"]["Labels"];
        let name = c["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        if labels["com.docker.compose.project"] == deployment.project.name.as_str()
            || labels.get(crate::host::docker::LABEL_RUN).is_some()
            || c["State"]["Running"] != true
        {
            continue;
        }
        if labels.get("com.docker.stack.namespace").is_some() {
            found.push(Finding::blocker(
                "swarm",
                format!("Docker Swarm runs {name} on this data"),
                format!("The container mounts {source}. Swarm starts what repot stops."),
                "Remove the stack (`docker stack rm`), run it as a plain Compose project, then upgrade.",
            ));
            continue;
        }
        let image = c["Config"]["Image"].as_str().unwrap_or_default();
        let destinations: Vec<&str> =
            c["Mounts"].as_array().into_iter().flatten().filter_map(|m| m["Destination"].as_str()).collect();
        let server =
            image.contains("postgres") || destinations.iter().any(|d| d.starts_with("/var/lib/postgresql"));
        let detail = format!(
            "It mounts {source} and was started from {image}, outside the Compose project {}.",
            deployment.project.name
        );
        let remedy = format!("Stop it first: docker stop {}", shell(&name));
        found.push(if server {
            Finding::blocker(
                "data-in-use",
                format!("Another container, {name}, uses the same data"),
                detail,
                remedy,
            )
        } else {
            Finding::warning(
                "data-mounted-elsewhere",
                format!("Another container, {name}, sees the same data"),
                detail,
                remedy,
            )
        });
    }
    // A second service of the project on the named volume keeps looking at the old volume after the upgrade.
    if let (Some(key), true) = (&db.volume_key, db.data.subdir.is_empty()) {
        let same = |m: &Mount| m.kind == MountKind::Volume && m.source == *key;
        let others: Vec<&str> = deployment
            .resolved
            .services
            .values()
            .filter(|s| s.name != db.service && s.mounts.iter().any(same))
            .map(|s| s.name.as_str())
            .collect();
        if !others.is_empty() {
            found.push(Finding::warning(
                "volume-shared",
                format!("The volume {key} is mounted by {} too", some(&others, 4)),
                "The new version gets a new volume; these services would go on looking at the old one.",
                "If they copy the data directory as a backup, point them to the new volume afterwards (better: use backups made by pg_dump).",
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_seen() {
        let table = "36 35 98:0 / /mnt/pg\\040data rw,noatime - ext4 /dev/sda1 rw\n37 35 98:0 /x /srv/pg rw - ext4 /dev/sdb1 rw\n";
        assert!(mounted_at(table, "/mnt/pg data"));
        assert!(mounted_at(table, "/srv/pg/"));
        assert!(!mounted_at(table, "/srv"));
    }

    #[test]
    fn the_nearest_parent_that_exists() {
        assert_eq!(existing(Path::new("/tmp/no/such/dir")), Path::new("/tmp"));
    }
}
