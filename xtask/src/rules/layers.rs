//! Dependencies point one way: repot -> repot-web -> repot-core -> repot-store.

use super::Complaint;
use crate::tree::File;

/// From the top down; each may use those below it.
const LAYERS: [&str; 4] = ["repot", "repot-web", "repot-core", "repot-store"];
/// Alerts: a leaf that only the binary uses, so that what leaves the machine can be read in one place.
const ALERT: &str = "repot-alert";
/// Real servers and faults for tests; nothing that is shipped uses it.
const TESTKIT: &str = "repot-testkit";

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    let mut found = Vec::new();
    for f in files.iter().filter(|f| f.path.starts_with("crates/") && f.is("/Cargo.toml")) {
        let name = f.path["crates/".len()..].trim_end_matches("/Cargo.toml");
        let rank = LAYERS.iter().position(|l| *l == name);
        if rank.is_none() && name != TESTKIT && name != ALERT {
            found.push(Complaint::failure("layers", &f.path, format!("the crate {name} has no place in the layers: give it one in xtask/src/rules/layers.rs and in ARCHITECTURE.md")));
        }
        for (line, dependency) in dependencies(f.text()) {
            let place = format!("{}:{line}", f.path);
            if dependency == TESTKIT {
                found.push(Complaint::failure(
                    "layers",
                    place,
                    format!("{TESTKIT} is for tests: make it a dev-dependency"),
                ));
            } else if name == ALERT && LAYERS.contains(&dependency)
                || dependency == ALERT && name != LAYERS[0]
            {
                found.push(Complaint::failure(
                    "layers",
                    place,
                    format!("{name} must not depend on {dependency}: {ALERT} uses no other crate of ours, and only {} uses it", LAYERS[0]),
                ));
            } else if let (Some(mine), Some(its)) = (rank, LAYERS.iter().position(|l| *l == dependency))
                && its <= mine
            {
                found.push(Complaint::failure(
                    "layers",
                    place,
                    format!(
                        "{name} must not depend on {dependency}: dependencies point {}",
                        LAYERS.join(" -> ")
                    ),
                ));
            }
        }
    }
    found
}

/// Names in `[dependencies]` and `[build-dependencies]`, with their lines; not `[dev-dependencies]`.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut shipped = false;
    let mut found = Vec::new();
    for (i, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            shipped = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
        } else if shipped && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                found.push((i + 1, name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file;

    #[test]
    fn only_downwards() {
        let ok = file(
            "crates/repot-core/Cargo.toml",
            "[dependencies]\nrepot-store.workspace = true\n[dev-dependencies]\nrepot-testkit = { path = \"x\" }\n",
        );
        assert_eq!(check(&[ok]), []);
        let up = file(
            "crates/repot-store/Cargo.toml",
            "[dependencies]\nserde = \"1\"\nrepot-core.workspace = true\n",
        );
        assert_eq!(check(&[up])[0].place, "crates/repot-store/Cargo.toml:3");
    }

    #[test]
    fn the_test_kit_is_for_tests() {
        let bad = file("crates/repot/Cargo.toml", "[dependencies]\nrepot-testkit.workspace = true\n");
        assert_eq!(check(&[bad]).len(), 1);
    }

    #[test]
    fn alerts_are_a_leaf_of_the_binary() {
        let at = |name: &str, dependency: &str| {
            let text = format!("[dependencies]\n{dependency}.workspace = true\n");
            check(&[file(&format!("crates/{name}/Cargo.toml"), &text)]).len()
        };
        assert_eq!(at("repot", "repot-alert"), 0);
        assert_eq!(at("repot-core", "repot-alert"), 1);
        assert_eq!(at("repot-alert", "repot-core"), 1);
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(check(&[file("crates/repot-new/Cargo.toml", "[dependencies]\n")]).len(), 1);
    }
}
