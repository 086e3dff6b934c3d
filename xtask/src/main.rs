//! House rules that run, and pages that are generated.
//!
//! `cargo xtask tidy` checks what rustfmt and clippy cannot see; `cargo xtask docs` writes the generated pages.
//! Standard library only, so that it builds in a second wherever the project does.

#![allow(
    clippy::disallowed_methods,
    reason = "the rules are for what is shipped; this is a tool of the project"
)]

mod reference;
mod rules;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rules::Complaint;

const USAGE: &str = "usage: cargo xtask COMMAND

  tidy [--quick]   check the house rules; --quick leaves out what needs a build
  docs [--check]   write docs/reference.md from the command line's definition; --check only compares
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy(&root, true),
        ["tidy", "--quick"] => tidy(&root, false),
        ["docs"] => reference::write(&root),
        ["docs", "--check"] => reference::check(&root).and_then(|stale| report(&stale, "docs")),
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace: the directory above this crate's.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn tidy(root: &Path, build: bool) -> Result<(), String> {
    let tree = tree::load(root)?;
    let mut found = rules::all(&tree, root);
    if build {
        found.extend(reference::check(root)?);
    }
    report(&found, "tidy")
}

/// Prints warnings and failures; an error where something fails.
fn report(found: &[Complaint], what: &str) -> Result<(), String> {
    for c in found {
        eprintln!("{c}");
    }
    let failures = found.iter().filter(|c| c.fails).count();
    if failures == 0 {
        let warnings = found.len();
        println!(
            "{what}: all rules kept{}",
            if warnings == 0 { String::new() } else { format!(" ({warnings} warnings)") }
        );
        return Ok(());
    }
    Err(format!("{what}: {failures} failures"))
}
