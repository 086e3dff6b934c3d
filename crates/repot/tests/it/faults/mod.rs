//! Bad input and faults: a clear error, the promised exit status, nothing lost, and a way on and back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use repot_testkit::{
    Container, Content, FileState, Running, SmallDisk, Stack, Sums, make_immutable, make_mutable, run,
    wait_for,
};
use rustix::process::Signal;

use crate::{GROWING, stack};

mod broken;
mod by_hand;
mod disks;
mod json;
mod refused;
mod signals;

const UPGRADE: [&str; 6] = ["upgrade", "--to", "17", "--app-version", "2", "--yes"];

fn mini() -> Stack {
    let s = stack("mini");
    s.up();
    s
}

/// The mini stack with its data in `data/pg`, on a small disk of its own.
pub(crate) fn mini_on_disk(size_kb: u64) -> (Stack, SmallDisk) {
    let s = stack("mini");
    s.edit("compose.yaml", "- data:/var/lib", "- ./data/pg:/var/lib");
    s.edit("compose.yaml", "\nvolumes:\n  data:\n", "");
    let disk = SmallDisk::mount(&s.dir().join("data"), size_kb);
    s.up();
    (s, disk)
}

/// What a refusal or a rollback must leave as it was.
struct Before {
    files: BTreeMap<PathBuf, FileState>,
    content: Content,
    containers: Vec<Container>,
    volumes: Vec<String>,
}

impl Before {
    fn of(s: &Stack) -> Self {
        Before { files: s.files(), content: Content::of(s), containers: s.containers(), volumes: s.volumes() }
    }
    /// Nothing at all was touched.
    #[track_caller]
    fn assert_untouched(&self, s: &Stack) {
        assert_eq!(s.files(), self.files);
        assert_eq!(s.containers(), self.containers);
        assert_eq!(s.volumes(), self.volumes);
        self.content.assert_still(s, &GROWING, "nothing should have been touched");
    }
    /// The application is there again, in the old version.
    #[track_caller]
    fn assert_again(&self, s: &Stack) {
        assert_eq!(s.files(), self.files);
        let names = |l: &[Container]| -> Vec<(String, String, String, String)> {
            l.iter()
                .map(|c| (c.service.clone(), c.image.clone(), c.state.clone(), c.restart.clone()))
                .collect()
        };
        assert_eq!(names(&s.containers()), names(&self.containers));
        assert_eq!(s.major(), 13);
        self.content.assert_still(s, &GROWING, "after the rollback");
        assert_writing(s, 1);
    }
    #[track_caller]
    fn assert_upgraded(&self, s: &Stack) {
        assert_eq!(s.state(), "done");
        assert_eq!(s.major(), 17);
        self.content.assert_still(s, &GROWING, "after the upgrade");
        assert_writing(s, 2);
        assert!(
            s.containers().iter().all(|c| !c.service.is_empty() && c.health == "healthy"),
            "{:?}",
            s.containers()
        );
    }
}

#[track_caller]
fn assert_writing(s: &Stack, version: u32) {
    let rows = || {
        s.psql("app", &format!("SELECT count(*) FROM beat WHERE version = {version}")).parse::<u64>().unwrap()
    };
    let n = rows();
    wait_for("the application writes", || (rows() > n).then_some(()));
}

/// Stops at a failpoint, lets the test do something, and goes on.
#[must_use]
#[track_caller]
fn stopped_at(s: &Stack, args: &[&str], point: &str) -> Running {
    let mut repot = s.start_repot(args, &[("FAILPOINTS", &format!("{point}=return(stop)"))]);
    repot.wait_stopped();
    repot
}

/// Rolls back and checks that all is as before, the old data by its checksums.
#[track_caller]
fn roll_back(s: &Stack, before: &Before, args: &[&str], at_rest: Option<&Sums>, data: &str) {
    let all = [&["rollback", "--yes"], args].concat();
    let repot = stopped_at(s, &all, "undo-stop-application::before-intent");
    if let Some(sums) = at_rest {
        let now = if data.contains('/') { s.sums_of_dir(data) } else { s.sums_of_volume(data) };
        sums.assert_same(&now, "the old data");
    }
    repot.go_on();
    let _ = repot.wait().ok();
    assert_eq!(s.state(), "rolled-back");
    before.assert_again(s);
}
