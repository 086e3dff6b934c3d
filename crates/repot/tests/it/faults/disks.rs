//! Disks that fill.

use super::*;

#[test]
fn a_disk_that_fills_during_the_backup_stops_the_run_and_resume_goes_on_once_there_is_room() {
    let s = mini();
    let before = Before::of(&s);
    let disk = SmallDisk::mount(&s.dir().join("backups"), 1 << 20);
    let place = s.dir().join("backups").display().to_string();
    let args = [&UPGRADE[..], &["--backup-dir", &place]].concat();
    let repot = stopped_at(&s, &args, "fence-database::after-record");
    disk.resize(16);
    repot.go_on();
    let _ = repot.wait().exits(1).says(&["space", "repot resume", "repot rollback", "the old data is whole"]);
    assert_eq!(s.files(), before.files, "no file is edited yet");
    // Still no room: the same again.
    let _ = s.repot(&["resume"]).exits(1).says(&["space"]);
    disk.resize(1 << 20);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn a_disk_that_fills_during_the_backup_can_be_rolled_back() {
    let s = mini();
    let before = Before::of(&s);
    let disk = SmallDisk::mount(&s.dir().join("backups"), 1 << 20);
    let place = s.dir().join("backups").display().to_string();
    let repot =
        stopped_at(&s, &[&UPGRADE[..], &["--backup-dir", &place]].concat(), "fence-database::after-record");
    disk.resize(16);
    repot.go_on();
    let _ = repot.wait().exits(1);
    roll_back(&s, &before, &[], None, "data");
}

#[test]
fn a_disk_that_fills_during_the_restore_stops_the_run_and_resume_goes_on_once_there_is_room() {
    let (s, disk) = mini_on_disk(2 << 20);
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "start-new-server::after-record");
    disk.resize(disk.used_kb() + 3000);
    repot.go_on();
    let _ = repot.wait().exits(1).says(&["space", "repot resume", "repot rollback", "set aside"]);
    disk.resize(2 << 20);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn a_disk_that_fills_during_the_restore_can_be_rolled_back_while_it_is_full() {
    let (s, disk) = mini_on_disk(2 << 20);
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, "start-new-server::after-record");
    let aside = std::fs::read_dir(s.dir().join("data"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    let aside = aside.into_iter().find(|n| n.ends_with("-pg13")).unwrap();
    let sums = s.sums_of_dir(&format!("data/{aside}"));
    disk.resize(disk.used_kb() + 3000);
    repot.go_on();
    let _ = repot.wait().exits(1);
    roll_back(&s, &before, &[], Some(&sums), "data/pg");
}
