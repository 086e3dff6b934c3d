//! The new server's image against what the databases need of it.

use std::collections::BTreeMap;

use super::Finding;
use super::image::{ImageFacts, examine};
use super::words::{psql, some};
use crate::app::detect::Deployment;
use crate::app::version::Version;
use crate::engine::postgres::facts::{ClusterFacts, CollationFacts};
use crate::engine::postgres::settings::{from_arguments, removed, settings_to_carry};
use crate::error::{Kind, Result};

/// Compares the image of the new server, which must be present, with what the databases need. Part of
/// [`super::check`]; the upgrade asks again when it had to fetch the image first.
///
/// # Errors
/// When Docker or the running server fails. What does not fit is a finding.
pub fn check_image(
    deployment: &Deployment,
    facts: &ClusterFacts,
    image: &str,
    major: u32,
) -> Result<Vec<Finding>> {
    let mut settings = from_arguments(&deployment.database.extras.arguments);
    settings
        .retain(|(n, _)| !["config_file", "data_directory", "hba_file", "ident_file"].contains(&n.as_str()));
    let given = settings.len();
    settings.extend(settings_to_carry(facts, major).into_iter().map(|s| (s.name, s.value)));
    // Two containers at once: each takes a second or two, mostly waiting.
    let (target, source) = std::thread::scope(|s| {
        let source = s.spawn(|| examine(&deployment.database.source_image, &[]));
        let target = examine(image, &settings);
        (target, source.join().ok())
    });
    let source = match source {
        Some(Ok(f)) => f,
        Some(Err(e)) if e.kind == Kind::Interrupted => return Err(e),
        // It is not here yet; what it sorts by is told as not known.
        Some(Err(_)) | None => ImageFacts::default(),
    };
    let target = match target {
        Ok(f) => f,
        Err(e) if e.code == "image-unusable" => return Ok(vec![Finding::from_error(&e)]),
        Err(e) => return Err(e),
    };
    let mut found = whole(image, &target, major);
    if found.is_empty() {
        found.extend(extensions(deployment, facts, &target, image, major));
        found.extend(libraries(deployment, facts, &target, image));
        found.extend(locales(facts, &target, image));
        found.extend(sort_order(facts, &source, &target));
        let from_command: Vec<String> = settings[..given].iter().map(|(n, v)| format!("{n}={v}")).collect();
        found.extend(refused(deployment, facts, &target, &from_command, major));
    }
    Ok(found)
}

fn whole(image: &str, target: &ImageFacts, major: u32) -> Vec<Finding> {
    let remedy = "Name an image made like the official postgres image, of that version, as target_image in repot.toml.";
    if target.major.is_none() {
        return vec![Finding::blocker(
            "image-unusable",
            format!("There is no PostgreSQL server in the image {image}"),
            "No program `postgres` was found in it.",
            remedy,
        )];
    }
    if target.major != Some(major) {
        return vec![Finding::blocker(
            "target-image-major",
            format!("The image {image} does not hold PostgreSQL {major}"),
            format!("It holds {}.", target.server),
            remedy,
        )];
    }
    let missing: Vec<&str> =
        ["bash", "docker-entrypoint.sh"].into_iter().filter(|t| !target.tools.contains(*t)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Finding::blocker(
        "image-unusable",
        format!("The image {image} is not made like the official one"),
        format!("It has no {}, with which repot makes and starts the new server.", missing.join(" and no ")),
        remedy,
    )]
}

/// Extensions that need more than a dump, and what to do when they are gone: name, whether a dump cannot carry
/// them at all, advice.
const KNOWN_EXTENSIONS: [(&str, bool, &str); 9] = [
    (
        "timescaledb",
        true,
        "TimescaleDB has its own procedure (timescaledb_pre_restore, the same extension version on both sides); follow its manual for this database.",
    ),
    ("citus", true, "Citus keeps its data on several servers; follow its own upgrade manual."),
    ("adminpack", false, "PostgreSQL 17 dropped it; only old versions of pgAdmin used it. Remove it: "),
    ("old_snapshot", false, "PostgreSQL 17 dropped it with the feature it shows. Remove it: "),
    (
        "plpythonu",
        false,
        "Python 2 is gone since PostgreSQL 15. Write its functions anew for plpython3u, then remove it: ",
    ),
    (
        "plpython2u",
        false,
        "Python 2 is gone since PostgreSQL 15. Write its functions anew for plpython3u, then remove it: ",
    ),
    (
        "vectors",
        false,
        "pgvecto.rs was replaced by VectorChord. Follow the application's own migration first (Immich has one), or use an image that holds both.",
    ),
    ("chkpass", false, "PostgreSQL 11 dropped it. Change its columns to text, then remove it: "),
    ("timetravel", false, "PostgreSQL 12 dropped it. Remove it: "),
];

fn extensions(
    deployment: &Deployment,
    facts: &ClusterFacts,
    target: &ImageFacts,
    image: &str,
    major: u32,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut used: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for d in &facts.databases {
        for (name, version) in &d.extensions {
            used.entry(name).or_default().push((&d.name, version));
        }
    }
    let mut newer = Vec::new();
    for (name, places) in used {
        let databases: Vec<&str> = places.iter().map(|p| p.0).collect();
        let known = KNOWN_EXTENSIONS.iter().find(|k| k.0 == name);
        if let Some((_, true, advice)) = known {
            found.push(Finding::blocker(
                "extension-own-procedure",
                format!("The extension {name} cannot be moved by a dump alone"),
                format!("It is installed in {}.", some(&databases, 4)),
                *advice,
            ));
            continue;
        }
        let Some(there) = target.extensions.get(name) else {
            let drop = psql(deployment, databases[0], &format!("DROP EXTENSION \"{name}\""));
            found.push(Finding::blocker(
                "extension-missing",
                format!("The extension {name} is not in the image {image}"),
                format!("The database {} uses it (version {}), so restoring it there would fail.", some(&databases, 4), places[0].1),
                match known {
                    Some((_, _, advice)) if advice.ends_with(": ") => format!("{advice}{drop}"),
                    Some((_, _, advice)) => (*advice).to_owned(),
                    None => format!(
                        "Name an image of PostgreSQL {major} that holds it as target_image in repot.toml. If nothing uses it (PostgreSQL says so when you try), remove it: {drop}"
                    ),
                },
            ));
            continue;
        };
        for (database, here) in &places {
            match (Version::parse(here), Version::parse(there)) {
                (Some(a), Some(b)) if b < a => {
                    found.push(Finding::blocker(
                        "extension-older",
                        format!("The image {image} has an older {name} than the database {database}"),
                        format!("Installed is {here}, the image has {there}. An older version does not know what the newer one made."),
                        format!("Name an image of PostgreSQL {major} with {name} {here} or later as target_image in repot.toml."),
                    ));
                }
                (Some(a), Some(b)) if a < b => newer.push(format!("{name} {here} → {there} ({database})")),
                _ => {}
            }
        }
    }
    if !newer.is_empty() {
        found.push(Finding::info(
            "extensions-updated",
            "Extensions come along in a newer version",
            format!("{}. They are made anew in the new server, in its version.", some(&newer, 8)),
        ));
    }
    found
}

fn library_name(text: &str) -> Option<&str> {
    let name = text.trim().trim_matches('"').trim_start_matches("$libdir/").trim_end_matches(".so");
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn libraries(
    deployment: &Deployment,
    facts: &ClusterFacts,
    target: &ImageFacts,
    image: &str,
) -> Vec<Finding> {
    let db = &deployment.database;
    let mut found = Vec::new();
    let missing = |name: &str| {
        !target.libraries.contains(name) && !target.libraries.contains(name.trim_start_matches("plugins/"))
    };
    let gone: Vec<&str> =
        facts.preload_libraries.split(',').filter_map(library_name).filter(|n| missing(n)).collect();
    if !gone.is_empty() {
        found.push(Finding::blocker(
            "preload-missing",
            format!("The image {image} lacks a library that the server loads at start: {}", gone.join(", ")),
            format!("shared_preload_libraries is `{}`; without the library the new server would not start.", facts.preload_libraries),
            format!(
                "Name an image that holds it as target_image in repot.toml; or, if you do not need it, take it out of \
                 shared_preload_libraries (in the Compose file's command, or with ALTER SYSTEM) and restart {}.",
                db.service
            ),
        ));
    }
    for d in &facts.databases {
        let gone: Vec<String> =
            d.libraries.iter().filter(|l| library_name(l).is_none_or(missing)).cloned().collect();
        if !gone.is_empty() {
            found.push(Finding::blocker(
                "library-missing",
                format!("Functions in the database {} need a library that the image {image} lacks", d.name),
                format!("Functions written in C, of no extension, call {}.", some(&gone, 5)),
                "Name an image that holds the library as target_image in repot.toml, or drop the functions if nothing uses them.",
            ));
        }
    }
    found
}

fn locales(facts: &ClusterFacts, target: &ImageFacts, image: &str) -> Vec<Finding> {
    let mut gone: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut icu = Vec::new();
    for d in &facts.databases {
        for l in [&d.collate, &d.ctype] {
            if !target.has_locale(l) {
                gone.entry(l.clone()).or_default().push(format!("database {}", d.name));
            }
        }
        if d.locale_provider == "icu" {
            icu.push(format!("database {}", d.name));
        }
    }
    for n in &facts.databases {
        for CollationFacts { name, provider, locale } in &n.collations {
            if provider == "libc" && !target.has_locale(locale) {
                gone.entry(locale.clone())
                    .or_default()
                    .push(format!("collation {name} in database {}", n.name));
            }
            if provider == "icu" {
                icu.push(format!("collation {name} in database {}", n.name));
            }
        }
    }
    let mut found = Vec::new();
    for (locale, mut users) in gone {
        users.dedup();
        let language = locale.split(['.', '@']).next().unwrap_or_default().to_owned();
        found.push(Finding::blocker(
            "locale-missing",
            format!("The image {image} does not know the locale {locale}"),
            format!("It is used by the {}. Without it the database cannot be made on the new server.", some(&users, 4)),
            format!(
                "Make an image that has it and name it as target_image in repot.toml. Its Dockerfile has two lines: \
                 `FROM {image}` and `RUN localedef -i {language} -c -f UTF-8 -A /usr/share/locale/locale.alias {language}.UTF-8`"
            ),
        ));
    }
    if target.icu.is_none() && !icu.is_empty() {
        found.push(Finding::blocker(
            "icu-missing",
            format!("The server in {image} is built without ICU"),
            format!("ICU sorts for the {}.", some(&icu, 4)),
            "Name an image whose server has ICU as target_image in repot.toml (the official ones have it).",
        ));
    }
    found
}

/// Differences in what decides the order of text. The dump method builds every index anew, so a difference corrupts
/// nothing; what people see may still be in another order.
fn sort_order(facts: &ClusterFacts, source: &ImageFacts, target: &ImageFacts) -> Vec<Finding> {
    let sorts = |d: &&crate::engine::postgres::facts::DatabaseFacts| {
        d.locale_provider == "libc" && !matches!(d.collate.as_str(), "C" | "POSIX")
    };
    let by_libc = facts.databases.iter().any(|d| sorts(&d));
    let mut found = Vec::new();
    if source.libc.is_empty() || target.libc.is_empty() {
        if by_libc {
            found.push(Finding::info(
                "libc-unknown",
                "Whether text is sorted by the same rules cannot be told",
                "One of the two images could not be asked for its C library, most likely because it is not here yet. Every index is built anew, \
                 so nothing is corrupted; lists may come in another order.",
            ));
        }
        return found;
    }
    if source.is_musl() != target.is_musl() {
        found.push(Finding::warning(
            "libc-changes",
            format!("Text will be sorted by other rules: {} → {}", source.libc, target.libc),
            "The old image is built on another C library (Alpine has musl, Debian glibc); musl sorts all text by its bytes. Every index is built anew, so nothing is corrupted, \
             but lists may come in another order, and two values that counted as different may count as equal.",
            "Nothing has to be done. To keep the order, name an image of the same kind as target_image in repot.toml.",
        ));
    } else if source.libc != target.libc && by_libc {
        found.push(Finding::info(
            "libc-changes",
            format!("The C library changes from {} to {}", source.libc, target.libc),
            "Now and then a version sorts some characters differently. That corrupts indexes where files are taken over as they are; here every index is built anew.",
        ));
    }
    let by_icu = facts.databases.iter().any(|d| d.locale_provider == "icu");
    if let (Some(a), Some(b)) = (source.icu, target.icu)
        && a != b
        && by_icu
    {
        found.push(Finding::info(
            "icu-changes",
            format!("ICU changes from version {a} to {b}"),
            "It may sort some characters differently. Every index is built anew, so nothing is corrupted.",
        ));
    }
    found
}

fn refused(
    deployment: &Deployment,
    facts: &ClusterFacts,
    target: &ImageFacts,
    from_command: &[String],
    major: u32,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (setting, why) in &target.refused {
        let name = setting.split('=').next().unwrap_or_default();
        let in_command = from_command.contains(setting);
        // The database part tells of these, by name and with what to write instead.
        if in_command && removed(name, facts.major(), major).is_some() {
            continue;
        }
        let (place, remedy) = if in_command {
            (
                format!("the `command:` of the service {}", deployment.database.service),
                "Take it out of `command:` in the Compose file, or write a value that the new version takes."
                    .to_owned(),
            )
        } else {
            (
                "the old server's configuration".to_owned(),
                format!(
                    "Reset it on the old server: {} (a line in postgresql.conf is put a # in front of). If its value names something \
                     of the old image, correct the value.",
                    psql(deployment, "postgres", &format!("ALTER SYSTEM RESET {name}"))
                ),
            )
        };
        found.push(Finding::blocker(
            "setting-refused",
            format!("PostgreSQL {major} does not take the setting {setting}"),
            format!("It stands in {place}. The new server, asked, said: {why}"),
            remedy,
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_by_any_name() {
        assert_eq!(library_name("$libdir/pg_stat_statements"), Some("pg_stat_statements"));
        assert_eq!(library_name(" auto_explain.so "), Some("auto_explain"));
        assert_eq!(library_name("/opt/x/y.so"), None);
    }
}
