//! Disks that are too small and files that cannot be changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;

/// A small filesystem in memory, mounted below a stack's directory; it goes when the stack does.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `size_kb` kilobytes on `at`, which is made when missing. Wants root.
    #[must_use]
    #[track_caller]
    pub fn mount(at: &Path, size_kb: u64) -> Self {
        assert!(std::fs::create_dir_all(at).is_ok(), "cannot make {}", at.display());
        let options = format!("size={size_kb}k,mode=0755");
        let _ = run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at), None).ok();
        SmallDisk { at: at.to_owned() }
    }
    /// Makes it larger or smaller, as it is.
    #[track_caller]
    pub fn resize(&self, size_kb: u64) {
        let options = format!("remount,size={size_kb}k");
        let _ = run(Command::new("mount").args(["-o", &options]).arg(&self.at), None).ok();
    }
    /// Kilobytes in use.
    #[must_use]
    #[track_caller]
    pub fn used_kb(&self) -> u64 {
        let out = run(Command::new("df").args(["-k", "--output=used"]).arg(&self.at), None).ok().stdout;
        out.lines().nth(1).and_then(|l| l.trim().parse().ok()).unwrap_or(0)
    }
}

/// Mounts a directory on itself, read-only: what a user with a read-only disk sees, root included.
#[track_caller]
pub fn make_immutable(dir: &Path) {
    let _ = run(Command::new("mount").arg("--bind").arg(dir).arg(dir), None).ok();
    let _ = run(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(dir), None).ok();
}

/// Takes [`make_immutable`] back.
#[track_caller]
pub fn make_mutable(dir: &Path) {
    let _ = run(Command::new("umount").arg("-l").arg(dir), None).ok();
}
