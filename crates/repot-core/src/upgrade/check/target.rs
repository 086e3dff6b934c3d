//! Where to go: the major, its image, and what the application says to it.

use std::time::Duration;

use super::words::{old_image, shell};
use super::{Finding, Recommendation, Request, Target};
use crate::app::detect::{Deployment, with_major};
use crate::app::profile::{NEWEST_MAJOR, OLDEST_MAJOR, Profile, django_minimum};
use crate::app::version::Version;
use crate::error::{Kind, Result};
use crate::exec::{Cmd, last_lines};
use crate::host::compose::edit::ImageRef;
use crate::host::docker::{Docker, RunSpec};

/// How long a registry may take to say whether it has an image.
const REGISTRY: Duration = Duration::from_secs(20);
/// How long a service may take to name its Django.
const PYTHON: Duration = Duration::from_secs(20);
/// How many services are asked for their Django.
const ASKED: usize = 6;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) target: Option<Target>,
    pub(super) recommendation: Option<Recommendation>,
    pub(super) nothing_to_do: bool,
    pub(super) application_images: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

/// What one version of the application wants of PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Needs {
    /// `InvenTree 1.2.0 (Django 5.2)`.
    who: String,
    least: Option<u32>,
    most: Option<u32>,
}

impl Needs {
    fn of(profile: &Profile, version: Option<&Version>, django: Option<&str>) -> Needs {
        let requirement = version.and_then(|v| profile.requirement(v));
        let release = django.map(str::to_owned).or_else(|| requirement.and_then(|r| r.django.clone()));
        let least =
            requirement.map(|r| r.postgresql).into_iter().chain(django.and_then(django_minimum)).max();
        let name = if profile.title == "application" { "the application" } else { profile.title.as_str() };
        let mut who = version.map_or_else(|| name.to_owned(), |v| format!("{name} {v}"));
        if let Some(d) = release {
            who.push_str(&format!(" (Django {d})"));
        }
        Needs { who, least, most: requirement.and_then(|r| r.postgresql_max) }
    }
    fn known(&self) -> bool {
        self.least.is_some() || self.most.is_some()
    }
    fn accepts(&self, major: u32) -> bool {
        self.least.is_none_or(|n| n <= major) && self.most.is_none_or(|n| major <= n)
    }
    /// `needs 14 or later`.
    fn words(&self) -> String {
        match (self.least, self.most) {
            (Some(a), Some(b)) => format!("works with PostgreSQL {a} to {b}"),
            (Some(a), None) => format!("works with PostgreSQL {a} and later"),
            (None, Some(b)) => format!("works with PostgreSQL up to {b}"),
            (None, None) => "says nothing of PostgreSQL versions that repot knows".to_owned(),
        }
    }
}

/// Decides on the target and tells what the application says to it.
pub(super) fn choose(deployment: &Deployment, request: &Request) -> Result<Choice> {
    let mut choice = Choice::default();
    let profile = &deployment.profile;
    let version = deployment.application_version.as_deref().and_then(Version::parse);
    let django = django_of_services(deployment)?;
    let present = Needs::of(profile, version.as_ref(), django.as_deref());
    let source = deployment.source_major();

    if let Some(source) = source {
        choice.findings.extend(source_supported(source));
    }
    if let (Some(to), Some(source)) = (request.to, source) {
        choice.findings.extend(direction(deployment, request, source, to));
        if to > source && to <= NEWEST_MAJOR {
            let image = image_for(deployment, request, to)?;
            let present = is_present(&image)?;
            if !present {
                choice.findings.push(fetchable(&image, "the new PostgreSQL", ANOTHER)?);
            }
            choice.target = Some(Target { major: to, image, present });
        }
    }
    let lands_on = choice.target.as_ref().map(|t| t.major).or(source);

    if let Some(wanted) = &request.app_version {
        application_moves(deployment, wanted, version.as_ref(), lands_on, &mut choice)?;
    } else if let Some(t) = &choice.target {
        choice.findings.push(accepts(&present, t.major));
    }
    if request.to.is_none() && request.app_version.is_none() {
        let newest = profile.version.newest.as_ref().map(|v| Needs::of(profile, Some(v), None));
        choice.recommendation = source.and_then(|s| recommend(profile, s, &present, newest.as_ref()));
        if let (None, Some(s)) = (&choice.recommendation, source) {
            choice.findings.push(Finding::info(
                "up-to-date",
                format!("There is no newer PostgreSQL to recommend than {s}"),
                format!("{} {}.", capital(&present.who), present.words()),
            ));
        }
    }
    let same_major =
        request.to.is_some() && request.to == source && deployment.database.image_major == source;
    let same_version =
        request.app_version.as_deref().and_then(Version::parse).is_none_or(|v| Some(v) == version);
    choice.nothing_to_do =
        same_version && (same_major || (request.to.is_none() && request.app_version.is_some()));
    if let (Some(source), false) = (source, choice.nothing_to_do) {
        choice.findings.extend(old_image_here(&deployment.database.source_image, source)?);
    }
    Ok(choice)
}

/// What to do where an image that has to be fetched does not exist.
const ANOTHER: &str = "Name an image that exists as target_image in repot.toml, or choose another version.";

/// The image that runs the old data: it is read with it, so without it nothing can begin.
fn old_image_here(image: &str, major: u32) -> Result<Option<Finding>> {
    // A bare id is a container's own image; Docker keeps it as long as the container.
    if image.starts_with("sha256:") || is_present(image)? {
        return Ok(None);
    }
    let remedy = format!(
        "Bring an image of PostgreSQL {major} that the data ran with (`docker pull`, or `docker load`) under any tag of the same \
         repository; repot finds it."
    );
    fetchable(image, &format!("PostgreSQL {major}, which alone can read the old data"), &remedy).map(Some)
}

fn capital(text: &str) -> String {
    let mut c = text.chars();
    c.next().map_or_else(String::new, |f| f.to_uppercase().chain(c).collect())
}

fn source_supported(source: u32) -> Option<Finding> {
    if (OLDEST_MAJOR..=NEWEST_MAJOR).contains(&source) {
        return None;
    }
    Some(Finding::blocker(
        "source-unsupported",
        format!("repot does not know PostgreSQL {source}, which the data is"),
        format!("It moves data from PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR}."),
        if source < OLDEST_MAJOR {
            format!(
                "Bring the data to {OLDEST_MAJOR} first with pg_dump and psql by hand, or ask for this version in repot's issues."
            )
        } else {
            "Install a newer repot.".to_owned()
        },
    ))
}

fn direction(deployment: &Deployment, request: &Request, source: u32, to: u32) -> Option<Finding> {
    let image = deployment.database.image_major;
    if to > NEWEST_MAJOR {
        return Some(Finding::blocker(
            "target-unknown",
            format!("repot does not know PostgreSQL {to}"),
            format!(
                "The newest it knows is {NEWEST_MAJOR}: its settings, its image's layout and what it dropped."
            ),
            format!("Choose --to {NEWEST_MAJOR} or lower, or install a newer repot."),
        ));
    }
    if to < source {
        return Some(Finding::blocker(
            "target-older",
            format!("The data is PostgreSQL {source}; it cannot go back to {to}"),
            "An older server reads neither the data nor, in general, a dump of a newer one.",
            format!("Choose a version above {source} with --to."),
        ));
    }
    if to > source {
        return None;
    }
    if image == Some(source) {
        return (request.app_version.is_none()).then(|| {
            Finding::info(
                "same-major",
                format!("The data is PostgreSQL {source} already"),
                "There is nothing to upgrade.",
            )
        });
    }
    Some(Finding::blocker(
        "same-major",
        format!("The data is PostgreSQL {source} already, but the Compose file does not say so"),
        format!("The service {} has the image {}.", deployment.database.service, deployment.database.image),
        format!("Write {} there, or choose a version above {source} with --to.", old_image(deployment)),
    ))
}

/// The new server's image: the one asked for, the Compose file's own where it fits, else the same with another tag.
pub(super) fn image_for(deployment: &Deployment, request: &Request, major: u32) -> Result<String> {
    if let Some(image) = &request.target_image {
        return Ok(image.clone());
    }
    let db = &deployment.database;
    if db.image_major == Some(major) {
        return Ok(db.image.clone());
    }
    Ok(with_major(&ImageRef::parse(&db.image)?, major))
}

/// Whether an image is here.
pub(super) fn is_present(image: &str) -> Result<bool> {
    Ok(Docker.image(image)?.is_some())
}

/// An image that is not here: can it be fetched? `remedy` is for one that does not exist.
fn fetchable(image: &str, what: &str, remedy: &str) -> Result<Finding> {
    let asked = Cmd::new("docker").args(["manifest", "inspect", image]).timeout(REGISTRY).output();
    let said = match asked {
        Ok(out) if out.ok() => {
            return Ok(Finding::info(
                "image-to-fetch",
                format!("The image {image} is fetched first"),
                format!(
                    "It is {what} and is not on this machine yet; the registry has it. Its extensions, locales and settings are \
                     checked as soon as it is here, before anything is touched. To have that checked now: docker pull {}",
                    shell(image)
                ),
            ));
        }
        Ok(out) => last_lines(&format!("{}\n{}", out.text(), out.stderr), 2),
        Err(e) if e.kind == Kind::Interrupted => return Err(e),
        Err(e) => e.to_string(),
    };
    Ok(absent(image, what, &said, remedy))
}

fn absent(image: &str, what: &str, said: &str, remedy: &str) -> Finding {
    let text = said.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let title = format!("The image {image} is neither here nor can it be fetched");
    // The order matters: Docker Hub answers a name that does not exist with "denied" as well.
    if any(&["no such manifest", "manifest unknown", "not found", "name unknown"]) && !any(&["no such host"])
    {
        return Finding::blocker(
            "image-missing",
            title,
            format!("The registry has no such image ({what}). It said: {said}"),
            remedy,
        );
    }
    if any(&["unauthorized", "denied", "authentication required"]) {
        return Finding::blocker(
            "image-denied",
            title,
            format!("The registry wants a login, or there is no such image ({what}). It said: {said}"),
            format!("Log in with `docker login` if it is there. {remedy}"),
        );
    }
    Finding::blocker(
        "registry-unreachable",
        title,
        format!("The registry does not answer ({what}). It said: {said}"),
        format!(
            "Check this machine's network and proxy (`docker pull {}` shows the same error). Without a network, bring the image \
             on a disk: `docker save` on another machine, `docker load` here.",
            shell(image)
        ),
    )
}

fn accepts(needs: &Needs, major: u32) -> Finding {
    if !needs.known() {
        return Finding::info(
            "application-unknown",
            format!("Whether {} works with PostgreSQL {major} is not known to repot", needs.who),
            "Its release notes say which versions it supports. If it does not run afterwards, `repot rollback` goes back.",
        );
    }
    if needs.accepts(major) {
        return Finding::info(
            "application-accepts",
            format!("{} accepts PostgreSQL {major}", capital(&needs.who)),
            format!("It {}.", needs.words()),
        );
    }
    let too_old = needs.least.is_some_and(|n| major < n);
    Finding::blocker(
        "application-refuses",
        format!("{} does not accept PostgreSQL {major}", capital(&needs.who)),
        format!("It {}.", needs.words()),
        match (too_old, needs.least, needs.most) {
            (true, Some(n), _) => format!("Choose --to {n} or later."),
            (_, _, Some(n)) => {
                format!("Choose --to {n} or lower, or move the application too with --app-version.")
            }
            _ => "Choose another version with --to.".to_owned(),
        },
    )
}

fn application_moves(
    deployment: &Deployment,
    wanted: &str,
    present: Option<&Version>,
    lands_on: Option<u32>,
    choice: &mut Choice,
) -> Result<()> {
    let profile = &deployment.profile;
    let images = application_images(deployment, wanted);
    if images.is_empty() {
        choice.findings.push(Finding::blocker(
            "app-version-unsupported",
            format!("repot does not know where the version of this application ({}) is kept", profile.title),
            "The profile names no image whose tag is the application's version.",
            "Change the application's image yourself after the database's upgrade, or write a profile that names it.",
        ));
        return Ok(());
    }
    let version = Version::parse(wanted);
    if let (Some(new), Some(old)) = (&version, present) {
        if new < old {
            choice.findings.push(Finding::blocker(
                "application-older",
                format!("{} is {old} now; {new} is older", profile.title),
                "An application's migrations go forward only; an older version does not understand the newer tables.",
                "Restore a backup of that time, or choose a newer version.",
            ));
            return Ok(());
        }
        if new == old {
            choice.findings.push(Finding::info(
                "same-app-version",
                format!("{} is {old} already", profile.title),
                "The application's version stays as it is.",
            ));
        }
    }
    let mut django = None;
    for image in &images {
        if is_present(image)? {
            django = django.or(django_of_image(image)?);
        } else {
            choice.findings.push(fetchable(image, "the application's new version", ANOTHER)?);
        }
    }
    choice.application_images = images;
    let needs = Needs::of(profile, version.as_ref(), django.as_deref());
    if let Some(major) = lands_on {
        if needs.known() && !needs.accepts(major) && choice.target.is_none() {
            let to = needs.least.unwrap_or(major);
            choice.findings.push(Finding::blocker(
                "application-needs-newer",
                format!("{} does not accept PostgreSQL {major}, which the database is", capital(&needs.who)),
                format!("It {}.", needs.words()),
                format!(
                    "Move both in one run: repot upgrade --to {} --app-version {}",
                    profile.recommended.unwrap_or(to).max(to),
                    shell(wanted)
                ),
            ));
        } else {
            choice.findings.push(accepts(&needs, major));
        }
    }
    Ok(())
}

/// The images of the application with `version` as their tag.
fn application_images(deployment: &Deployment, version: &str) -> Vec<String> {
    let mut images: Vec<String> = deployment
        .resolved
        .services
        .values()
        .filter_map(|s| ImageRef::parse(&s.image).ok())
        .filter(|r| {
            let last = r.repository.rsplit('/').next().unwrap_or_default();
            deployment.profile.version.images.iter().any(|i| i == last)
        })
        .map(|r| r.with_tag(version).to_string())
        .collect();
    images.sort();
    images.dedup();
    images
}

const ASK_DJANGO: &str = "import django; print(django.get_version())";

/// The Django release of the running application, where it is a Django application.
fn django_of_services(deployment: &Deployment) -> Result<Option<String>> {
    let running =
        |name: &str| deployment.services.iter().any(|s| s.service == name && s.running && !s.restarting);
    let mut names: Vec<&str> = deployment.application.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(deployment.resolved.services.keys().map(String::as_str));
    }
    names.retain(|n| *n != deployment.database.service && running(n));
    for name in names.into_iter().take(ASKED) {
        let cmd = deployment
            .project
            .compose()
            .args(["exec", "-T", name, "python3", "-c", ASK_DJANGO])
            .timeout(PYTHON);
        if let Some(v) = django_answer(cmd)? {
            return Ok(Some(v));
        }
    }
    Ok(None)
}

fn django_of_image(image: &str) -> Result<Option<String>> {
    let run = RunSpec {
        image: image.to_owned(),
        entrypoint: Some("python3".to_owned()),
        args: vec!["-c".to_owned(), ASK_DJANGO.to_owned()],
        network: "none".to_owned(),
        labels: vec![("repot.role".to_owned(), "helper".to_owned())],
        run: "check".to_owned(),
        ..RunSpec::default()
    };
    django_answer(run.cmd().timeout(PYTHON))
}

fn django_answer(cmd: Cmd) -> Result<Option<String>> {
    match cmd.output() {
        Ok(out) if out.ok() => Ok(out
            .text()
            .lines()
            .last()
            .map(str::trim)
            .filter(|v| Version::parse(v).is_some())
            .map(str::to_owned)),
        Err(e) if e.kind == Kind::Interrupted => Err(e),
        // No Python, no Django, too slow: then it is not known, which is no fault.
        Ok(_) | Err(_) => Ok(None),
    }
}

/// The newest major that both the present and the newest known version accept; the project's own word first.
fn recommend(
    profile: &Profile,
    source: u32,
    present: &Needs,
    newest: Option<&Needs>,
) -> Option<Recommendation> {
    let fits = |m: &u32| present.accepts(*m) && newest.is_none_or(|n| n.accepts(*m));
    let all: Vec<u32> = (source + 1..=NEWEST_MAJOR).filter(fits).collect();
    let own = profile.recommended.filter(|r| all.contains(r));
    if own.is_none() && profile.recommended.is_some_and(|r| r <= source) {
        return None;
    }
    let to = own.or_else(|| all.last().copied())?;
    let mut why = match (own.is_some(), present.known(), newest.is_some_and(Needs::known)) {
        (true, _, _) => format!("{} itself recommends {to}", profile.title),
        (false, true, true) => format!("{to} is the newest that both accept"),
        (false, true, false) | (false, false, true) => format!("{to} is the newest that it accepts"),
        (false, false, false) => format!("{to} is the newest that repot knows"),
    };
    if present.known() {
        why.push_str(&format!("; {} {}", present.who, present.words()));
    }
    if let Some(n) = newest.filter(|n| n.known() && **n != *present) {
        why.push_str(&format!("; {}, the newest version repot knows, {}", n.who, n.words()));
    }
    why.push('.');
    Some(Recommendation { to, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Profile {
        Profile::built_in().expect("parse").into_iter().find(|p| p.name == name).expect("built in")
    }
    fn version(v: &str) -> Version {
        Version::parse(v).expect("version")
    }

    #[test]
    fn the_project_s_word_comes_first() {
        let p = profile("inventree");
        let present = Needs::of(&p, Some(&version("1.1.12")), Some("4.2.16"));
        let newest = Needs::of(&p, Some(&version("1.2.0")), None);
        let r = recommend(&p, 13, &present, Some(&newest)).expect("something");
        assert_eq!(r.to, 17);
        insta::assert_snapshot!(r.why, @"InvenTree itself recommends 17; InvenTree 1.1.12 (Django 4.2.16) works with PostgreSQL 12 and later; InvenTree 1.2.0 (Django 5.2), the newest version repot knows, works with PostgreSQL 14 and later.");
        assert_eq!(recommend(&p, 17, &present, Some(&newest)), None, "what it recommends is there already");
    }

    #[test]
    fn without_a_word_the_newest_that_fits() {
        let p = profile("generic");
        let r = recommend(&p, 15, &Needs::of(&p, None, None), None).expect("something");
        assert_eq!((r.to, r.why.as_str()), (18, "18 is the newest that repot knows."));
        let capped = Needs { who: "the application 3".to_owned(), least: Some(12), most: Some(16) };
        assert_eq!(recommend(&p, 13, &capped, None).map(|r| r.to), Some(16));
        assert_eq!(recommend(&p, 16, &capped, None), None);
    }

    #[test]
    fn django_counts_where_the_profile_is_silent() {
        let p = profile("generic");
        let needs = Needs::of(&p, None, Some("5.2.7"));
        assert_eq!((needs.least, needs.accepts(13), needs.accepts(14)), (Some(14), false, true));
        assert_eq!(accepts(&needs, 13).code, "application-refuses");
        assert_eq!(accepts(&needs, 17).code, "application-accepts");
        assert_eq!(accepts(&Needs::default(), 17).code, "application-unknown");
    }

    #[test]
    fn what_registries_say() {
        for (said, code) in [
            ("no such manifest: docker.io/library/postgres:99", "image-missing"),
            ("manifest unknown: manifest unknown", "image-missing"),
            ("unauthorized: authentication required", "image-denied"),
            (
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host",
                "registry-unreachable",
            ),
            ("net/http: request canceled while waiting for connection", "registry-unreachable"),
            ("`docker manifest inspect x` did not finish within 20 s", "registry-unreachable"),
        ] {
            assert_eq!(absent("x", "the new PostgreSQL", said, ANOTHER).code, code, "{said}");
        }
    }
}
