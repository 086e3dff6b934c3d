//! Where each value that matters comes from: file and line, through `.env`, `env_file`, overrides, anchors, defaults
//! and digests.

use std::path::Path;

use super::ValueSource;
use crate::app::detect::Deployment;
use crate::error::Result;
use crate::host::compose::edit::{ImageRef, Provenance, Sources, VariableSource, Via, parse_dotenv};
use crate::host::compose::project::read;

/// How many `env_file` entries of one service are looked at.
const ENV_FILES: usize = 20;

/// What stands in place of a password's value.
const HIDDEN: &str = "(not shown)";

/// The values that decide what runs on which data, and where each stands. A password's value is never among them.
///
/// # Errors
/// Those of [`Sources::service_value`]: a Compose file that repot could not edit either.
pub fn value_sources(deployment: &Deployment, sources: &Sources) -> Result<Vec<ValueSource>> {
    let db = &deployment.database;
    let at = Where { deployment, sources };
    let mut out = Vec::new();
    let mut add = |what: &str, value: &str, from: Option<String>| {
        if let Some(from) = from {
            out.push(ValueSource { what: what.to_owned(), value: value.to_owned(), from });
        }
    };
    add("image", &db.image, at.value(&db.service, &["image"])?);
    let pgdata = at.variable(&db.service, "PGDATA")?.unwrap_or_else(|| "the image's own default".to_owned());
    add("PGDATA", &db.data.pgdata(), Some(pgdata));
    let mount = sources.mounts(&db.service)?.into_iter().find(|m| m.target == db.data.target);
    add("data", &db.data.describe(), mount.map(|m| at.place(&m.file, m.line)));
    let superuser =
        at.given(&db.service, "POSTGRES_USER")?.unwrap_or_else(|| "the image's own default".to_owned());
    add("POSTGRES_USER", &db.superuser, Some(superuser));
    add("POSTGRES_PASSWORD", HIDDEN, at.given(&db.service, "POSTGRES_PASSWORD")?);
    // POSTGRES_DB only where it is what repot uses: the application's own setting goes first.
    let settings = &deployment.profile.database;
    let database = at.of_application(&settings.name)?;
    match database {
        Some((name, from)) => add(&name, &db.name, Some(from)),
        None => {
            let from = at.given(&db.service, "POSTGRES_DB")?;
            add("POSTGRES_DB", &db.name, from.or_else(|| Some("POSTGRES_USER (not set itself)".to_owned())));
        }
    }
    if let Some((name, from)) = at.of_application(&settings.user)? {
        add(&name, &db.application_user, Some(from));
    }
    if let Some((name, from)) = at.of_application(&settings.password)? {
        add(&name, HIDDEN, Some(from));
    }
    if let (Some(version), Some(service)) = (&deployment.application_version, at.versioned_service()) {
        add("application version", version, at.value(&service, &["image"])?);
    }
    Ok(out)
}

struct Where<'a> {
    deployment: &'a Deployment,
    sources: &'a Sources,
}

impl Where<'_> {
    /// `compose.yaml:7`, relative to the project's directory.
    fn place(&self, file: &Path, line: usize) -> String {
        let shown = file.strip_prefix(&self.deployment.project.dir).unwrap_or(file);
        format!("{}:{line}", shown.display())
    }

    fn value(&self, service: &str, path: &[&str]) -> Result<Option<String>> {
        Ok(self.sources.service_value(service, path)?.map(|p| self.words(&p)))
    }

    /// A variable of a service: its `environment`, else the last of its `env_file`s that has it.
    fn variable(&self, service: &str, name: &str) -> Result<Option<String>> {
        if let Some(from) = self.value(service, &["environment", name])? {
            return Ok(Some(from));
        }
        let mut found = None;
        for (path, via) in self.env_files(service)? {
            // One that is not there or not text was Compose's affair; it is no reason to say nothing at all.
            let Ok(text) = read(&path) else { continue };
            if let Some(entry) =
                parse_dotenv(&text).into_iter().rev().find(|e| e.name == name && !e.inherited)
            {
                found = Some(format!("{} (env_file of {via})", self.place(&path, entry.line)));
            }
        }
        Ok(found)
    }

    /// The variable itself, or the file that its `_FILE` twin names.
    fn given(&self, service: &str, name: &str) -> Result<Option<String>> {
        let file = format!("{name}_FILE");
        if let Some(from) = self.variable(service, name)? {
            return Ok(Some(from));
        }
        let inside =
            self.deployment.resolved.services.get(service).and_then(|s| s.environment.get(&file).cloned());
        Ok(self.variable(service, &file)?.map(|from| match inside {
            Some(path) => format!("the file {path} in the container, named by {file} in {from}"),
            None => from,
        }))
    }

    fn env_files(&self, service: &str) -> Result<Vec<(std::path::PathBuf, String)>> {
        let mut raw = Vec::new();
        let Some(whole) = self.sources.service_value(service, &["env_file"])? else { return Ok(Vec::new()) };
        for i in 0..ENV_FILES {
            let i = i.to_string();
            let entry = match self.sources.service_value(service, &["env_file", &i, "path"])? {
                Some(p) => Some(p),
                None => self.sources.service_value(service, &["env_file", &i])?,
            };
            match entry {
                Some(p) => raw.push(p),
                None => break,
            }
        }
        if raw.is_empty() {
            raw.push(whole);
        }
        let mut files = Vec::new();
        for p in raw {
            let path = self.deployment.project.dir.join(self.sources.interpolate(&p.raw)?);
            files.push((path, self.place(&p.file, p.line)));
        }
        Ok(files)
    }

    /// The first of `names` that a service beside the database has, as detection finds it.
    fn of_application(&self, names: &[String]) -> Result<Option<(String, String)>> {
        for s in
            self.deployment.resolved.services.values().filter(|s| s.name != self.deployment.database.service)
        {
            for name in names.iter().filter(|n| s.environment.get(*n).is_some_and(|v| !v.is_empty())) {
                if let Some(from) = self.variable(&s.name, name)? {
                    return Ok(Some((name.clone(), from)));
                }
            }
        }
        Ok(None)
    }

    /// The service whose image's tag is the application's version.
    fn versioned_service(&self) -> Option<String> {
        let images = &self.deployment.profile.version.images;
        self.deployment.resolved.services.values().find_map(|s| {
            let r = ImageRef::parse(&s.image).ok()?;
            let last = r.repository.rsplit('/').next()?;
            images.iter().any(|i| i == last).then(|| s.name.clone())
        })
    }

    fn words(&self, p: &Provenance) -> String {
        let mut text = self.place(&p.file, p.line);
        let short =
            |f: &Path| f.strip_prefix(&self.deployment.project.dir).unwrap_or(f).display().to_string();
        for via in &p.via {
            let word = match via {
                Via::Anchor(name) => format!("the anchor &{name}"),
                Via::Merge(name) if name.is_empty() => "a merged mapping".to_owned(),
                Via::Merge(name) => format!("the merge of &{name}"),
                Via::Extends(service) => format!("extends {service}"),
                Via::Digest(_) => "pinned by digest".to_owned(),
                Via::Override(file) => format!("over {}", short(file)),
                Via::Variable { name, from } => match from {
                    VariableSource::Dotenv { line } => {
                        let file = self
                            .sources
                            .dotenv
                            .as_ref()
                            .map_or_else(|| ".env".to_owned(), |f| short(&f.path));
                        format!("{name} in {file}:{line}")
                    }
                    VariableSource::Shell => format!("{name} of your shell"),
                    VariableSource::Default => format!("the default of {name}"),
                    VariableSource::Unset => format!("{name}, which is not set"),
                },
            };
            text.push_str(", ");
            text.push_str(&word);
        }
        text
    }
}
