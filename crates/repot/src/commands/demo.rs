//! `repot demo`: a small real stack, upgraded before the user's eyes, and removed again.

use std::path::{Path, PathBuf};

use repot_core::exec::Cmd;
use repot_core::upgrade::files::make_private_dir;
use repot_core::upgrade::plan::new_run_id;
use repot_core::{Error, Kind, Result};

use crate::cli::{CheckArgs, DemoArgs, MethodArg, UpgradeArgs, Where};
use crate::terminal::{out, say};

const COMPOSE: &str = include_str!("../../demo/compose.yaml");
const SEED: &str = include_str!("../../demo/seed.sql");
const WRITER: &str = include_str!("../../demo/writer.sh");
/// Asked before and after: the same answer is what it is all about.
const PROOF: &str = "SELECT 'customers ' || count(*) || ', orders ' || (SELECT count(*) FROM orders) || \
    ', turnover ' || (SELECT sum(total) FROM orders) FROM customers";

/// Removes the stack when it goes out of scope, however the demo ends.
struct Stack {
    dir: PathBuf,
    keep: bool,
}

impl Stack {
    fn compose(&self) -> Cmd {
        Cmd::new("docker").arg("compose").cwd(&self.dir)
    }
    fn psql(&self, sql: &str) -> Result<String> {
        let c = self.compose().args([
            "exec",
            "-T",
            "db",
            "psql",
            "-U",
            "shop",
            "-d",
            "shop",
            "-Atq",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        Ok(c.stdin(sql).run()?.text())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let down =
            self.compose().args(["down", "-v", "--remove-orphans", "-t", "2"]).uninterruptible().output();
        let project = self.dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // The volume that was set aside is no longer in the Compose file, so `down -v` does not know it.
        for v in volumes_of(&project) {
            let _ = Cmd::new("docker").args(["volume", "rm", &v]).uninterruptible().output();
        }
        let gone = std::fs::remove_dir_all(&self.dir);
        if down.is_err() || gone.is_err() {
            say(format!("note: something of the demo may be left in {}", self.dir.display()));
        }
    }
}

fn volumes_of(project: &str) -> Vec<String> {
    let label = format!("label=com.docker.compose.project={project}");
    let list = Cmd::new("docker").args(["volume", "ls", "-q", "--filter", &label]).uninterruptible().output();
    list.map(|o| o.text().lines().map(str::to_owned).collect()).unwrap_or_default()
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text).map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
}

pub fn run(args: &DemoArgs) -> Result<()> {
    let dir = match &args.keep {
        Some(d) => {
            std::path::absolute(d).map_err(|e| Error::io(format!("cannot find {}", d.display()), &e))?
        }
        None => std::env::temp_dir().join(format!("repot-demo-{}", new_run_id())),
    };
    if dir.join("compose.yaml").exists() {
        return Err(Error::usage("exists", format!("{} holds a Compose project already", dir.display()))
            .help("name a new directory"));
    }
    make_private_dir(&dir)?;
    write(&dir, "compose.yaml", &COMPOSE.replace("postgres:13", &format!("postgres:{}", args.from)))?;
    write(&dir, "writer.sh", WRITER)?;
    let stack = Stack { dir: dir.clone(), keep: args.keep.is_some() };

    say(format!(
        "A shop on PostgreSQL {} in {}: a database, and an application that keeps writing to it.",
        args.from,
        dir.display()
    ));
    stack.compose().args(["up", "-d", "--wait"]).run().map_err(|e| {
        e.with_kind(Kind::Refused)
            .help("repot demo needs Docker with Compose, and the images postgres:N, present or pullable")
    })?;
    stack.psql(SEED)?;
    let (version, before) = (stack.psql("SHOW server_version")?, stack.psql(PROOF)?);
    out(format!("before: PostgreSQL {version}: {before}\n"));

    say(format!("\n$ repot upgrade --to {} --yes", args.to));
    let at = Where { dir: dir.clone(), json: false };
    let check = CheckArgs { at, to: Some(args.to), app_version: None, service: None, backup_dir: None };
    super::upgrade::run(&UpgradeArgs {
        check,
        method: MethodArg::Auto,
        skip_backup: false,
        dry_run: false,
        yes: true,
    })?;

    let (version, after) = (stack.psql("SHOW server_version")?, stack.psql(PROOF)?);
    out(format!("\nafter:  PostgreSQL {version}: {after}\n"));
    if before != after {
        return Err(Error::new(Kind::Differences, "differences", "before and after differ"));
    }
    let visits = stack.psql("SELECT count(*) FROM visits")?;
    out(format!("        the application writes again: {visits} visits so far\n"));
    if stack.keep {
        out(format!("The stack is left running in {}.\n", dir.display()));
    } else {
        say("\nRemoving the demo ...");
    }
    Ok(())
}
