//! Everything a person reads, as snapshots; times, numbers and paths of the machine are filtered out.

use repot_testkit::{Ran, Stack};

use crate::stack;

/// What differs from run to run.
fn filters(s: &Stack) -> Vec<(String, &'static str)> {
    vec![
        (regex_escape(&s.dir().display().to_string()), "DIR"),
        (regex_escape(s.project()), "PROJECT"),
        (r"\d{8}-\d{6}-[0-9a-f]{4}".to_owned(), "RUN"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d".to_owned(), "TIME"),
        (r" +\d+(\.\d)? (min \d+ )?s\b".to_owned(), " SECONDS"),
        (r"\d+(\.\d+)? [kMGT]?B\b".to_owned(), "SIZE"),
        (r"(13\.\d+|17\.\d+) \(Debian[^)]*\)".to_owned(), "VERSION"),
        (r"PostgreSQL 13\.\d+".to_owned(), "PostgreSQL 13.x"),
        // Only where old and new image come from different Debian releases.
        (r"  · The C library changes[^\n]*\n(      [^\n]*\n)+".to_owned(), ""),
        (r"\(the\s+same\s+disk\)".to_owned(), "(the same disk)"),
        (r"\d+ rows".to_owned(), "N rows"),
        (r"by process \d+".to_owned(), "by process N"),
        (r" +SIZE  ".to_owned(), " SIZE  "),
    ]
}

fn regex_escape(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_ascii_alphanumeric() { vec![c] } else { vec!['\\', c] }).collect()
}

/// Without the lines that tell of progress every so often where a step takes long.
fn steady(text: &str) -> String {
    let of_a_step = |l: &str| l.starts_with('[') && l.contains('/');
    let words = |l: &str| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let ended = |l: &str| {
        l.ends_with("failed")
            || words(l)
                .windows(2)
                .any(|w| w[0].parse::<f64>().is_ok() && matches!(w[1].as_str(), "s" | "min"))
    };
    text.lines().filter(|l| !of_a_step(l) || ended(l)).collect::<Vec<_>>().join("\n")
}

/// Compares with a stored snapshot.
#[track_caller]
fn same(s: &Stack, name: &str, text: &str) {
    let filters = filters(s);
    insta::with_settings!({
        filters => filters.iter().map(|(a, b)| (a.as_str(), *b)),
        omit_expression => true,
        prepend_module_to_snapshot => false,
        snapshot_path => "snapshots",
    }, {
        insta::assert_snapshot!(name.to_owned(), steady(text));
    });
}

/// Both streams and the status of a command.
fn all(ran: &Ran) -> String {
    format!(
        "status: {}\n--- stdout\n{}\n--- stderr\n{}",
        ran.status.code().unwrap_or(-1),
        ran.stdout.trim_end(),
        ran.stderr.trim_end()
    )
}

#[test]
fn help_of_every_command_reads_well() {
    let s = stack("mini");
    let main = s.repot(&["--help"]).ok();
    same(&s, "help", &main.stdout);
    for c in [
        "check",
        "upgrade",
        "status",
        "history",
        "resume",
        "rollback",
        "cleanup",
        "backup",
        "backups",
        "verify",
        "restore",
        "prune",
        "schedule",
        "agent",
        "alerts",
        "compare",
        "demo",
        "completions",
    ] {
        let ran = s.repot_plain(&[c, "--help"], &[]).ok();
        same(&s, &format!("help-{c}"), &ran.stdout);
    }
    let man = s.repot_plain(&["man"], &[]).ok();
    assert!(man.stdout.contains(".TH repot") && man.stdout.contains("discard\\-new\\-writes"), "{man}");
    for shell in ["bash", "zsh", "fish"] {
        let _ = s.repot_plain(&["completions", shell], &[]).ok().prints(&["repot", "rollback"]);
    }
    let version = s.repot_plain(&["--version"], &[]).ok();
    assert_eq!(version.stdout.trim(), concat!("repot ", env!("CARGO_PKG_VERSION")));
    // A wrong call.
    for wrong in
        [["upgrade", "--too", "17"].as_slice(), &["frobnicate"], &[], &["rollback", "--json", "a", "b"]]
    {
        let _ = s.repot_plain(wrong, &[]).exits(2);
    }
}

#[test]
fn a_whole_life_reads_well() {
    let s = stack("mini");
    s.up();
    same(&s, "status-before-any-run", &all(&s.repot(&["status"])));
    same(&s, "recommendation", &all(&s.repot(&["upgrade"])));
    same(&s, "check", &all(&s.repot(&["check", "--to", "17", "--app-version", "2"])));
    same(&s, "plan", &all(&s.repot(&["upgrade", "--to", "17", "--app-version", "2", "--dry-run"])));
    same(&s, "no-terminal", &all(&s.repot(&["upgrade", "--to", "17"])));
    let failed = s.repot_failing(
        &["upgrade", "--to", "17", "--app-version", "2", "--yes"],
        "analyze::before-intent=return(error)",
    );
    same(&s, "failed", &all(&failed));
    same(&s, "status-failed", &all(&s.repot(&["status"])));
    same(&s, "unfinished-in-the-way", &all(&s.repot(&["upgrade", "--to", "17", "--yes"])));
    same(&s, "resumed", &all(&s.repot(&["resume"])));
    same(&s, "status-done", &all(&s.repot(&["status"])));
    same(&s, "cleanup-dry-run", &all(&s.repot(&["cleanup", "--dry-run"])));
    let rows = || s.psql("app", "SELECT count(*) FROM beat WHERE version = 2").parse::<u64>().unwrap();
    repot_testkit::wait_for("the application writes", || (rows() > 2).then_some(()));
    same(&s, "rollback-refused", &all(&s.repot(&["rollback", "--yes"])));
    same(&s, "rolled-back", &all(&s.repot(&["rollback", "--yes", "--discard-new-writes"])));
    same(&s, "status-rolled-back", &all(&s.repot(&["status"])));
    same(&s, "history", &all(&s.repot(&["history"])));
    same(&s, "cleanup", &all(&s.repot(&["cleanup", "--yes"])));
    same(&s, "nothing-set-aside", &all(&s.repot(&["cleanup"])));
    same(&s, "nothing-to-resume", &all(&s.repot(&["resume"])));
}

#[test]
fn errors_read_well() {
    let s = stack("mini");
    s.up();
    let good = s.read("compose.yaml");
    same(&s, "error-no-docker", &all(&s.repot_env(&["check"], &[("PATH", "/nonexistent")])));
    same(&s, "error-no-run", &all(&s.repot(&["rollback", "no-such-run"])));
    same(&s, "error-older", &all(&s.repot(&["upgrade", "--to", "12", "--yes"])));
    same(&s, "error-unknown-version", &all(&s.repot(&["upgrade", "--to", "99", "--yes"])));
    same(&s, "error-application-refuses", &all(&s.repot(&["upgrade", "--app-version", "2", "--yes"])));
    same(&s, "error-no-service", &all(&s.repot(&["check", "--service", "nobody"])));
    s.edit(".env", "'clerk $secret'", "'clerk secret'");
    same(&s, "error-password", &all(&s.repot(&["check", "--to", "17"])));
    s.edit(".env", "'clerk secret'", "'clerk $secret'");
    s.write("compose.yaml", &good.replace("services:", "services: ["));
    same(&s, "error-compose", &all(&s.repot(&["check", "--to", "17"])));
    s.write(
        "compose.yaml",
        &good.replacen(
            "  app:",
            "  other:\n    image: postgres:13\n    volumes:\n      - data:/var/lib/postgresql/data\n  app:",
            1,
        ),
    );
    s.edit("mini.toml", "database = [\"db\"]", "database = []");
    same(&s, "error-two-services", &all(&s.repot(&["check", "--to", "17"])));
    s.write("compose.yaml", &good);
    s.write("repot.toml", "typo = 1\n");
    same(&s, "error-config", &all(&s.repot(&["check", "--to", "17"])));
}
