//! From what is and what is wanted to a plan. Touches nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::check::{CheckReport, Request, Target};
use super::files::hash;
use super::plan::{AppMove, Destination, FileEdit, PLAN_FORMAT, Plan, Source, Step, new_run_id, now};
use super::prove::{Intended, prove};
use crate::app::detect::{Deployment, default_pgdata};
use crate::engine::postgres::facts::ClusterFacts;
use crate::error::{Error, Result};
use crate::host::compose::edit::{Editor, ImageRef, MountChange, SourceFile, Sources, diff};
use crate::host::compose::project::ProjectRef;
use crate::host::docker::Docker;
use crate::host::{DataLocation, SetAside, Store};

/// How data gets from old to new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Let repot choose.
    Auto,
    /// pg_dump into a backup set, restored into a fresh new server.
    Dump,
}

/// Choices beside the request.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--method`.
    pub method: Method,
    /// `--skip-backup`.
    pub skip_backup: bool,
    /// Environment of the calling shell: its variables beat `.env`.
    pub env: BTreeMap<String, String>,
}

/// A plan and the texts that go into the run's directory when it starts.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Texts of edited files, before and after.
    pub texts: Vec<String>,
}

/// Makes the plan.
pub fn plan(
    deployment: &Deployment,
    report: &CheckReport,
    request: &Request,
    options: &Options,
) -> Result<Planned> {
    let run = new_run_id();
    let database = &deployment.database;
    let major = deployment.source_major().ok_or_else(|| {
        Error::refused("no-data", format!("there is no PostgreSQL data in {}", database.data.describe()))
            .help("start the application once so that it makes its database, or correct the volume in the Compose file")
    })?;
    let destination = report.target.as_ref().map(|t| destination(deployment, t, &run, major)).transpose()?;
    let mut edits = Vec::new();
    let mut texts = Vec::new();
    let mut sources = sources(&deployment.project, &options.env)?;
    let originals = sources.clone();
    let mut images = Vec::new();
    // A bare id belongs to a container that is here, and cannot be fetched.
    if !database.source_image.starts_with("sha256:") {
        images.push(database.source_image.clone());
    }
    if let (Some((d, place)), Some(t)) = (&destination, &report.target) {
        let edited = edit_database(deployment, t, d, place, sources.clone())?;
        let intended = intended_database(deployment, t, d, place);
        stage(
            &deployment.project,
            &sources,
            &edited,
            Step::EditDatabaseFiles,
            intended,
            &mut edits,
            &mut texts,
        )?;
        sources = edited;
        images.push(t.image.clone());
    }
    let app_move = request.app_version.as_ref().map(|to| app_move(deployment, to));
    if let Some(app) = &app_move {
        let (edited, app_images, intended) = edit_application(deployment, app, sources.clone())?;
        stage(
            &deployment.project,
            &sources,
            &edited,
            Step::EditApplicationFiles,
            intended,
            &mut edits,
            &mut texts,
        )?;
        images.extend(app_images);
    }
    drop(originals);
    let destination = destination.map(|(d, _)| d);
    let skip = options.skip_backup && destination.is_none();
    let steps = steps(destination.is_some(), app_move.is_some(), skip);
    images.dedup();
    let reason = match (destination.is_some(), options.method) {
        (false, _) => "the database stays where it is".to_owned(),
        (true, Method::Dump) => "as asked".to_owned(),
        (true, Method::Auto) => "works everywhere and leaves the old data untouched".to_owned(),
    };
    let plan = Plan {
        format: PLAN_FORMAT,
        repot: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now(),
        profile: deployment.profile.clone(),
        application: deployment.application.clone(),
        application_version: deployment.application_version.clone(),
        project: deployment.project.clone(),
        service: database.service.clone(),
        extras: database.extras.clone(),
        services: deployment.services.clone(),
        method: if destination.is_some() { "dump".to_owned() } else { "none".to_owned() },
        method_reason: reason,
        source: Source {
            major,
            image: database.source_image.clone(),
            data: database.data.clone(),
            superuser: database.superuser.clone(),
            // Settings may hold passwords (primary_conninfo, archive_command): they stay out of the journal.
            facts: report.facts.clone().map(|f| ClusterFacts { file_settings: Vec::new(), ..f }),
            size_bytes: database.state.size_bytes,
        },
        destination,
        app_move,
        application_user: database.application_user.clone(),
        application_database: database.name.clone(),
        login_known: database.application_password.is_some(),
        backup_set: (!skip).then(|| request.backup_dir.join(format!("{}-{run}", deployment.project.name))),
        keep_backup: !options.skip_backup,
        images,
        edits,
        steps,
        run,
    };
    Ok(Planned { plan, texts })
}

fn steps(database: bool, application: bool, skip_backup: bool) -> Vec<Step> {
    Step::ALL
        .into_iter()
        .filter(|s| match s {
            Step::SetAside
            | Step::EditDatabaseFiles
            | Step::StartNewServer
            | Step::Restore
            | Step::CarryConfiguration
            | Step::UpdateExtensions
            | Step::Analyze
            | Step::Compare
            | Step::StopNewServer => database,
            Step::FenceDatabase | Step::BackUp | Step::StopOldServer => !skip_backup,
            Step::EditApplicationFiles | Step::MigrateApplication => application,
            Step::FetchImages
            | Step::StopApplication
            | Step::StartDatabase
            | Step::CheckLogin
            | Step::StartApplication
            | Step::CheckHealth => true,
        })
        .collect()
}

/// What changes about the mount, beside the image.
struct Place {
    new_key: Option<(String, Option<String>)>,
    new_target: Option<String>,
}

fn split_path(path: &str) -> Result<(String, String)> {
    match path.rsplit_once('/') {
        Some(("", name)) if !name.is_empty() => Ok(("/".to_owned(), name.to_owned())),
        Some((parent, name)) if !name.is_empty() => Ok((parent.to_owned(), name.to_owned())),
        _ => Err(Error::refused(
            "odd-path",
            format!("the data directory {path} has no parent to set it aside in"),
        )
        .help("keep the data in a directory of its own")),
    }
}

/// `pgdata_15` of major 15 becomes `pgdata_17`; `pgdata` becomes `pgdata-pg17`.
fn next_name(name: &str, from: u32, to: u32) -> String {
    let tail = from.to_string();
    match name.strip_suffix(&tail) {
        Some(head) if head.ends_with(|c: char| !c.is_ascii_digit()) => format!("{head}{to}"),
        _ => format!("{name}-pg{to}"),
    }
}

fn destination(
    deployment: &Deployment,
    target: &Target,
    run: &str,
    from: u32,
) -> Result<(Destination, Place)> {
    let db = &deployment.database;
    // The image's own place moved with 18; a PGDATA that the user has set stays what it is.
    let (new_target, subdir) = if db.pgdata_is_set {
        (db.data.target.clone(), db.data.subdir.clone())
    } else {
        let pgdata = default_pgdata(target.major);
        if target.major >= 18 {
            ("/var/lib/postgresql".to_owned(), pgdata["/var/lib/postgresql/".len()..].to_owned())
        } else {
            (
                db.data.target.clone(),
                pgdata.strip_prefix(&db.data.target).unwrap_or_default().trim_start_matches('/').to_owned(),
            )
        }
    };
    let moved = (new_target != db.data.target).then(|| new_target.clone());
    let shared = |source: &str| {
        deployment
            .resolved
            .services
            .values()
            .any(|s| s.name != db.service && s.mounts.iter().any(|m| m.source == source))
    };
    // With the image's own layout from 18 on, the mount as a whole is the unit; with a directory chosen by the
    // user, the directory is, since other files may live beside it.
    let whole_mount = db.data.subdir.is_empty() || !db.pgdata_is_set;
    let names = |name: &str| {
        (format!("{name}.repot-{run}-pg{from}"), format!("{name}.repot-{run}-pg{}-new", target.major))
    };
    let (store, set_aside, new_key) = match &db.data.store {
        Store::Bind(path) => {
            let (parent, name) =
                if whole_mount { split_path(path)? } else { (path.clone(), db.data.subdir.clone()) };
            let (aside, new_aside) = names(&name);
            (
                db.data.store.clone(),
                SetAside::Rename { parent: Store::Bind(parent), name, aside, new_aside },
                None,
            )
        }
        Store::Volume(volume) if !whole_mount && db.volume_key.as_deref().is_some_and(shared) => {
            let name = db.data.subdir.clone();
            let (aside, new_aside) = names(&name);
            (
                db.data.store.clone(),
                SetAside::Rename { parent: Store::Volume(volume.clone()), name, aside, new_aside },
                None,
            )
        }
        Store::Volume(volume) => {
            let key = db.volume_key.clone().unwrap_or_else(|| volume.clone());
            let project = &deployment.project.name;
            let mut new_key = next_name(&key, from, target.major);
            // A name that is not the project's own (`name:`, `external:`) gets a sibling of the same kind.
            let explicit = *volume != format!("{project}_{key}");
            let real = |k: &str| {
                if explicit {
                    next_name(volume, from, target.major) + &k[next_name(&key, from, target.major).len()..]
                } else {
                    format!("{project}_{k}")
                }
            };
            let base = new_key.clone();
            let mut n = 1;
            while deployment.resolved.volumes.contains_key(&new_key)
                || Docker.volume(&real(&new_key))?.is_some()
            {
                n += 1;
                if n > 99 {
                    return Err(Error::refused(
                        "volume-names",
                        format!("the volumes {base} to {base}-99 all exist already"),
                    )
                    .help("remove those you do not need"));
                }
                new_key = format!("{base}-{n}");
            }
            let new = real(&new_key);
            let labels = vec![
                ("com.docker.compose.project".to_owned(), project.clone()),
                ("com.docker.compose.volume".to_owned(), new_key.clone()),
            ];
            (
                Store::Volume(new.clone()),
                SetAside::NewVolume { old: volume.clone(), new: new.clone(), labels },
                Some((new_key, explicit.then_some(new))),
            )
        }
    };
    let d = Destination {
        major: target.major,
        image: target.image.clone(),
        data: DataLocation { store, target: new_target, subdir, selinux: db.data.selinux.clone() },
        set_aside,
        old_inner: if whole_mount { db.data.subdir.clone() } else { String::new() },
    };
    if let SetAside::Rename { parent, name, .. } = &d.set_aside
        && crate::host::compose::data::is_link(&Docker, "check", &deployment.helper_image()?, parent, name)?
    {
        let what = format!("the data directory {} is a symbolic link", db.data.describe());
        return Err(Error::refused("data-is-link", what)
            .why("setting it aside would rename the link, not the data")
            .help("write the real path into the Compose file, then try again"));
    }
    Ok((d, Place { new_key, new_target: moved }))
}

/// The project's files as they are on disk now.
pub(super) fn sources(at: &ProjectRef, shell: &BTreeMap<String, String>) -> Result<Sources> {
    let read = |p: &PathBuf| -> Result<SourceFile> {
        Ok(SourceFile { path: p.clone(), text: crate::host::compose::project::read(p)? })
    };
    Ok(Sources {
        compose: at.files.iter().map(read).collect::<Result<_>>()?,
        dotenv: at.env_file.as_ref().map(read).transpose()?,
        shell: shell.clone(),
    })
}

fn edit_database(
    deployment: &Deployment,
    target: &Target,
    _d: &Destination,
    place: &Place,
    sources: Sources,
) -> Result<Sources> {
    let db = &deployment.database;
    let mut editor = Editor::new(sources);
    if db.image != target.image {
        editor.set_image(&db.service, &target.image)?;
    }
    if let Some((key, explicit)) = &place.new_key {
        editor.add_volume(key, &db.service, db.volume_key.as_deref(), explicit.as_deref())?;
    }
    if place.new_key.is_some() || place.new_target.is_some() {
        let change = MountChange {
            new_source: place.new_key.as_ref().map(|(k, _)| k.clone()),
            new_target: place.new_target.clone(),
        };
        editor.set_mount(&db.service, &db.data.target, change)?;
    }
    Ok(editor.sources().clone())
}

fn intended_database(deployment: &Deployment, target: &Target, _d: &Destination, place: &Place) -> Intended {
    let db = &deployment.database;
    let service = format!("services.{}", db.service);
    let mut intended = Intended::default();
    if db.image != target.image {
        intended.must.push((format!("{service}.image"), target.image.clone()));
    }
    let index = deployment.resolved.resolved["services"][&db.service]["volumes"].as_array().and_then(|a| {
        a.iter().position(|m| m["target"].as_str().map(|t| t.trim_end_matches('/')) == Some(&db.data.target))
    });
    if let Some(i) = index {
        if let Some((key, _)) = &place.new_key {
            intended.must.push((format!("{service}.volumes.{i}.source"), key.clone()));
        }
        if let Some(t) = &place.new_target {
            intended.must.push((format!("{service}.volumes.{i}.target"), t.clone()));
        }
    }
    if let Some((key, _)) = &place.new_key {
        intended.may.push(format!("volumes.{key}"));
        // Compose leaves a volume that nobody uses any more out of what it prints.
        intended.may.extend(db.volume_key.iter().map(|k| format!("volumes.{k}")));
    }
    intended
}

fn app_move(deployment: &Deployment, to: &str) -> AppMove {
    let update = &deployment.profile.update;
    AppMove {
        from: deployment.application_version.clone(),
        to: to.to_owned(),
        service: deployment.application.clone(),
        command: if deployment.application.is_some() { update.command.clone() } else { Vec::new() },
        environment: update.environment.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}

fn edit_application(
    deployment: &Deployment,
    app: &AppMove,
    sources: Sources,
) -> Result<(Sources, Vec<String>, Intended)> {
    let profile = &deployment.profile;
    let mut intended = Intended::default();
    let mut images = Vec::new();
    let mut editor = Editor::new(sources);
    let own: Vec<_> = deployment
        .resolved
        .services
        .values()
        .filter_map(|s| {
            let r = ImageRef::parse(&s.image).ok()?;
            let last = r.repository.rsplit('/').next()?;
            profile.version.images.iter().any(|i| i == last).then_some((s, r.clone()))
        })
        .collect();
    if own.is_empty() {
        return Err(Error::usage(
            "no-application-image",
            format!(
                "no service of {} runs an image whose tag is the application's version",
                deployment.project.name
            ),
        )
        .help("leave --app-version out, or add a profile that names the image"));
    }
    let variable = profile.version.variable.as_ref().filter(|v| {
        own.iter().any(|(s, _)| {
            editor
                .sources()
                .service_value(&s.name, &["image"])
                .ok()
                .flatten()
                .is_some_and(|p| p.raw.contains(v.as_str()))
        })
    });
    if let Some(v) = variable {
        editor.set_variable(v, &app.to)?;
        intended.variables.push((v.clone(), app.to.clone()));
    }
    for (s, r) in own {
        let next = r.with_tag(&app.to).to_string();
        if variable.is_none() {
            editor.set_image(&s.name, &next)?;
        }
        intended.must.push((format!("services.{}.image", s.name), next.clone()));
        if !images.contains(&next) {
            images.push(next);
        }
    }
    Ok((editor.sources().clone(), images, intended))
}

/// Records the edits of one stage and proves, with Compose's own reading, that they change what they should.
fn stage(
    at: &ProjectRef,
    before: &Sources,
    after: &Sources,
    step: Step,
    mut intended: Intended,
    edits: &mut Vec<FileEdit>,
    texts: &mut Vec<String>,
) -> Result<()> {
    let pairs = before.compose.iter().zip(&after.compose).chain(before.dotenv.iter().zip(&after.dotenv));
    for (b, a) in pairs.filter(|(b, a)| b.text != a.text) {
        let name = b.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Only changed lines: those around them may hold passwords.
        let shown: String = diff(&b.text, &a.text, &name)
            .lines()
            .filter(|l| {
                (l.starts_with('-') || l.starts_with('+')) && !l.starts_with("---") && !l.starts_with("+++")
            })
            .map(|l| format!("{l}\n"))
            .collect();
        edits.push(FileEdit {
            path: b.path.clone(),
            stage: step,
            before: hash(b.text.as_bytes()),
            after: hash(a.text.as_bytes()),
            diff: shown,
        });
        texts.push(b.text.clone());
        texts.push(a.text.clone());
    }
    if let (Some(b), Some(a)) = (&before.dotenv, &after.dotenv) {
        intended.variables.extend(changed_variables(&b.text, &a.text));
    }
    let scratch = Scratch::new(at)?;
    prove(&scratch.resolve(before)?, &scratch.resolve(after)?, &intended)
}

fn changed_variables(before: &str, after: &str) -> Vec<(String, String)> {
    let old = crate::host::compose::edit::parse_dotenv(before);
    crate::host::compose::edit::parse_dotenv(after)
        .into_iter()
        .filter(|e| !old.iter().any(|o| o.name == e.name && o.value == e.value))
        .map(|e| (e.name, e.value))
        .collect()
}

/// Copies of a project's files beside each other, for Compose to read without touching the real ones.
struct Scratch<'a> {
    at: &'a ProjectRef,
    dir: PathBuf,
}

impl<'a> Scratch<'a> {
    fn new(at: &'a ProjectRef) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("repot-{}", new_run_id()));
        super::files::make_private_dir(&dir)?;
        Ok(Scratch { at, dir })
    }
    fn resolve(&self, sources: &Sources) -> Result<Value> {
        let write = |i: usize, f: &SourceFile| -> Result<PathBuf> {
            let p =
                self.dir.join(format!("{i}-{}", f.path.file_name().unwrap_or_default().to_string_lossy()));
            std::fs::write(&p, &f.text)
                .map_err(|e| Error::io(format!("cannot write {}", p.display()), &e))?;
            Ok(p)
        };
        let mut at = self.at.clone();
        at.files = sources.compose.iter().enumerate().map(|(i, f)| write(i, f)).collect::<Result<_>>()?;
        at.env_file = sources.dotenv.as_ref().map(|f| write(sources.compose.len(), f)).transpose()?;
        Ok(at.load()?.resolved)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Where runs of this project are recorded when nothing else is said: beside its Compose file, so that whoever
/// works on the project next finds them.
#[must_use]
pub fn default_state_dir(project_dir: &Path) -> PathBuf {
    project_dir.join(".repot")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn volumes_are_named_for_the_major() {
        for (name, want) in [
            ("pgdata", "pgdata-pg17"),
            ("pgdata_13", "pgdata_17"),
            ("pg13", "pg17"),
            ("db-pg13", "db-pg17"),
            ("data113", "data113-pg17"),
            ("13", "13-pg17"),
        ] {
            assert_eq!(next_name(name, 13, 17), want);
        }
    }

    #[test]
    fn steps_keep_their_order_and_the_compare_is_before_every_writer() {
        for (database, application, skip) in
            [(true, true, false), (true, false, false), (false, true, false), (false, true, true)]
        {
            let s = steps(database, application, skip);
            assert!(s.windows(2).all(|w| w[0] < w[1]), "{s:?}");
            let at = |x: Step| s.iter().position(|y| *y == x);
            if database {
                assert!(at(Step::Compare) < at(Step::StartDatabase));
                assert!(s.iter().filter(|x| x.lets_writers_in()).all(|w| at(*w) > at(Step::Compare)));
                assert!(
                    at(Step::BackUp) < at(Step::SetAside) && at(Step::StopOldServer) < at(Step::SetAside)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_new_volume_name_is_never_the_old_one(name in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,30}", from in 11_u32..18) {
            prop_assert_ne!(next_name(&name, from, from + 1), name);
        }
    }
}
