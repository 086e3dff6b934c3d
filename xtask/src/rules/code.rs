//! What product code must not do.

use super::{Complaint, at};
use crate::tree::File;

/// The one file that starts processes.
const EXEC: &str = "crates/repot-core/src/exec.rs";

/// A text that must not occur, where, and why.
struct Ban {
    rule: &'static str,
    texts: &'static [&'static str],
    applies: fn(&File) -> bool,
    why: &'static str,
}

const BANS: [Ban; 4] = [
    Ban {
        rule: "processes",
        texts: &["Command::new("],
        applies: |f| f.path != EXEC,
        why: "processes start in exec.rs only (`Cmd`): own process group, death signal, no secret in arguments",
    },
    Ban {
        rule: "environment",
        texts: &["env::var(", "env::var_os(", "env::vars(", "env::vars_os("],
        applies: is_library,
        why: "the libraries read no environment: take the value as an argument",
    },
    Ban {
        rule: "terminal",
        texts: &["println!(", "eprintln!(", "print!(", "eprint!(", "std::io::stdout(", "std::io::stderr("],
        applies: is_library,
        why: "the libraries talk to nobody: return a value or tell the observer",
    },
    Ban {
        rule: "unfinished",
        texts: &["todo!(", "dbg!(", "unimplemented!("],
        applies: |_| true,
        why: "finish it or return an error",
    },
];

fn is_library(f: &File) -> bool {
    ["crates/repot-core/", "crates/repot-store/", "crates/repot-alert/"].iter().any(|l| f.path.starts_with(l))
}

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    let mut found = Vec::new();
    for f in files.iter().filter(|f| f.is_product()) {
        let text = f.shipped();
        for ban in BANS.iter().filter(|b| (b.applies)(f)) {
            for banned in ban.texts {
                for (offset, _) in text.match_indices(banned) {
                    if is_word_start(text, offset) && !in_comment(text, offset) {
                        found.push(Complaint::failure(
                            ban.rule,
                            at(&f.path, text, offset),
                            format!("`{banned}…)`: {}", ban.why),
                        ));
                    }
                }
            }
        }
    }
    found
}

/// Whether no identifier goes on before `offset`: `eprintln!` holds a `println!`.
fn is_word_start(text: &str, offset: usize) -> bool {
    !text[..offset].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn in_comment(text: &str, offset: usize) -> bool {
    let line = &text[text[..offset].rfind('\n').map_or(0, |n| n + 1)..offset];
    line.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, String)> {
        check(&[file(path, text)]).into_iter().map(|c| (c.rule, c.place)).collect()
    }

    #[test]
    fn processes_start_in_one_place() {
        let code = "fn f() {\n    let c = Command::new(\"docker\");\n}\n";
        assert_eq!(
            rules("crates/repot-core/src/host.rs", code),
            [("processes", "crates/repot-core/src/host.rs:2".to_owned())]
        );
        assert!(rules(EXEC, code).is_empty());
        assert!(rules("crates/repot-testkit/src/lib.rs", code).is_empty());
        assert!(rules("crates/repot/tests/it.rs", code).is_empty());
    }

    #[test]
    fn libraries_read_no_environment_but_the_binary_may() {
        let code = "let x = std::env::var(\"HOME\");\n";
        assert_eq!(rules("crates/repot-core/src/a.rs", code).len(), 1);
        assert_eq!(rules("crates/repot-store/src/a.rs", code).len(), 1);
        assert!(rules("crates/repot/src/config.rs", code).is_empty());
    }

    #[test]
    fn tests_and_comments_may_name_them() {
        let code = "/// Not `println!(…)`.\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() { println!(\"x\"); dbg!(1); }\n}\n";
        assert!(rules("crates/repot-core/src/a.rs", code).is_empty());
    }

    #[test]
    fn a_longer_name_is_told_once() {
        assert_eq!(rules("crates/repot-core/src/a.rs", "eprintln!(\"x\");\n").len(), 1);
    }
}
