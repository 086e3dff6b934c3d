//! Removing what stacks leave behind: their own, and that of test processes that were killed.
//!
//! Every stack's directory is `BASE/PROCESS-START/PROJECT`; the process's number and start time tell whether it
//! still lives, so one test never removes what another uses.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// Where all stacks live.
pub(crate) fn base() -> PathBuf {
    std::env::temp_dir().join("repot-tests")
}

/// When a process began, in the kernel's ticks; none: it is gone.
pub(crate) fn start_of(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(19).map(str::to_owned)
}

/// The directory of this process's stacks.
pub(crate) fn own_dir() -> PathBuf {
    let pid = std::process::id().to_string();
    let start = start_of(&pid).unwrap_or_default();
    base().join(format!("{pid}-{start}"))
}

fn output(args: &[&str]) -> Vec<String> {
    let out = Command::new("docker").args(args).output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).lines().map(str::to_owned).collect()).unwrap_or_default()
}

fn quiet(args: &[&str]) {
    let _ = Command::new("docker").args(args).output();
}

/// Removes everything of one project from Docker. Never fails: it runs while a test panics.
pub(crate) fn remove_project(project: &str) {
    let by_label = format!("label=com.docker.compose.project={project}");
    let by_project = format!("label=repot.project={project}");
    let by_name = format!("name=^/?repot-{project}-");
    let mut containers: Vec<String> = Vec::new();
    for filter in [&by_label, &by_project, &by_name] {
        containers.extend(output(&["ps", "-aq", "--no-trunc", "--filter", filter]));
    }
    let mut runs: Vec<String> = Vec::new();
    for id in &containers {
        runs.extend(output(&["inspect", "-f", "{{index .Config.Labels \"repot.run\"}}", id]));
    }
    // The backup sets name the runs, too: clients of a run carry only its label.
    runs.extend(runs_of(&project_dirs(project)));
    runs.sort();
    runs.dedup();
    for run in runs.iter().filter(|r| !r.is_empty() && *r != "check") {
        containers.extend(output(&[
            "ps",
            "-aq",
            "--no-trunc",
            "--filter",
            &format!("label=repot.run={run}"),
        ]));
    }
    containers.sort();
    containers.dedup();
    for id in &containers {
        quiet(&["rm", "-fv", id]);
    }
    let mut volumes = output(&["volume", "ls", "-q", "--filter", &by_label]);
    volumes.extend(output(&["volume", "ls", "-q", "--filter", &format!("name=^{project}_")]));
    for v in &volumes {
        quiet(&["volume", "rm", "-f", v]);
    }
    for n in output(&["network", "ls", "-q", "--filter", &by_label]) {
        quiet(&["network", "rm", &n]);
    }
}

fn project_dirs(project: &str) -> Vec<PathBuf> {
    let Ok(processes) = std::fs::read_dir(base()) else { return Vec::new() };
    processes.flatten().map(|p| p.path().join(project)).filter(|d| d.is_dir()).collect()
}

fn runs_of(dirs: &[PathBuf]) -> Vec<String> {
    let runs = dirs.iter().filter_map(|d| std::fs::read_dir(d.join(".repot/runs")).ok());
    runs.flat_map(|r| r.flatten()).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Unmounts what is mounted below a directory, and removes the directory, whoever owns its files.
pub(crate) fn remove_dir(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let below: Vec<&str> = mounts
        .lines()
        .filter_map(|l| l.split(' ').nth(1))
        .filter(|m| Path::new(m).starts_with(dir))
        .collect();
    for m in below.iter().rev() {
        let _ = Command::new("umount").args(["-l", m]).output();
    }
    let _ = Command::new("chattr").args(["-R", "-i"]).arg(dir).output();
    if std::fs::remove_dir_all(dir).is_err()
        && dir.exists()
        && let (Some(parent), Some(name)) = (dir.parent(), dir.file_name())
    {
        // Files of other users: a container may what an ordinary user may not.
        let mount = format!("{}:/at", parent.display());
        let name = format!("/at/{}", name.to_string_lossy());
        quiet(&[
            "run",
            "--rm",
            "--network=none",
            "--user=0:0",
            "--entrypoint=rm",
            "-v",
            &mount,
            "postgres:13",
            "-rf",
            &name,
        ]);
    }
}

/// Once in a process: removes what killed test processes have left behind.
pub(crate) fn sweep() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let Ok(processes) = std::fs::read_dir(base()) else { return };
        for process in processes.flatten() {
            let name = process.file_name().to_string_lossy().into_owned();
            let Some((pid, start)) = name.split_once('-') else { continue };
            if start_of(pid).as_deref() == Some(start) {
                continue;
            }
            for project in std::fs::read_dir(process.path()).into_iter().flatten().flatten() {
                remove_project(&project.file_name().to_string_lossy());
            }
            remove_dir(&process.path());
        }
    });
}
