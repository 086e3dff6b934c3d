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

/// The disk of the data is full from `point` on, but for `spare_kb`; then there is room again.
#[track_caller]
fn full_disk_of_the_data(point: &str, spare_kb: u64, title: &str) {
    let (s, disk) = mini_on_disk(2 << 20);
    let before = Before::of(&s);
    let repot = stopped_at(&s, &UPGRADE, point);
    disk.resize(disk.used_kb() + spare_kb);
    repot.go_on();
    let _ = repot.wait().exits(1).says(&[title, "space", "repot resume", "repot rollback", "set aside"]);
    disk.resize(2 << 20);
    let _ = s.repot(&["resume"]).ok().prints(&["are equal"]);
    before.assert_upgraded(&s);
}

#[test]
fn a_disk_that_fills_during_the_restore_stops_the_run_and_resume_goes_on_once_there_is_room() {
    // A new database alone takes more: a page in each of its three hundred files.
    full_disk_of_the_data("start-new-server::after-record", 500, "Restore");
}

#[test]
fn a_disk_that_fills_while_the_new_data_is_written_out_stops_the_run_and_resume_goes_on() {
    // What was restored stands in the server's memory in part until the checkpoint of its shutdown.
    full_disk_of_the_data("compare::after-record", 0, "Make the new data durable");
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
