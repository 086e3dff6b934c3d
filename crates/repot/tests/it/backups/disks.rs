//! Disks that fill: of the storage, and of the database.

use repot_testkit::SmallDisk;

use super::*;
use crate::faults::mini_on_disk;

#[test]
fn a_storage_that_is_full_at_many_points_never_holds_a_set_that_looks_complete() {
    let s = mini(13);
    let disk = SmallDisk::mount(&s.dir().join("near"), 1 << 20);
    s.write("repot.toml", &(s.read("repot.toml") + "\n[backup]\nstorage = \"near\"\n[keep]\nlast = 1\n"));
    let first = back_up(&s, &["--compress", "none"]);
    let (used_kb, mut points) = (disk.used_kb(), 0);
    let sets = || s.repot(&["backups", "--json"]).ok().json()["sets"].as_array().unwrap().clone();
    // Room for less than a set, a little more each time, until there is enough.
    for spare_kb in (0..used_kb * 2).step_by(usize::try_from(used_kb / 8).unwrap()) {
        disk.resize(used_kb + spare_kb);
        let ran = s.repot(&["backup", "--compress", "none"]);
        if ran.status.success() {
            break;
        }
        points += 1;
        let _ = ran.exits(1).says(&["space"]);
        let now = sets();
        let whole: Vec<&str> =
            now.iter().filter(|x| x["state"] == "complete").map(|x| x["set"].as_str().unwrap()).collect();
        assert_eq!(whole, [first.as_str()], "with {spare_kb} kB of room: {now:?}");
    }
    println!("{points} points at which the disk was full");
    assert!(points >= 4, "{points}");
    assert_eq!(sets().len(), 2, "what failed has left nothing");
    // A full disk does not keep anybody from making room.
    disk.resize(disk.used_kb());
    let _ = s.repot(&["verify", "all"]).ok();
    let _ = s.repot(&["prune"]).ok().prints(&["deleted"]);
    let left = sets();
    assert!(left.len() == 1 && left[0]["set"] != first.as_str(), "{left:?}");
    disk.resize(1 << 20);
    lose(&s);
    let _ = s.repot(&["restore", "--yes"]).ok();
    assert_eq!(s.psql("app", "SELECT count(*) FROM item"), "500");
    only_the_application(&s);
}

#[test]
fn a_restore_that_fills_the_disk_of_the_database_leaves_what_was_live() {
    let (s, disk) = mini_on_disk(2 << 20);
    let before = Content::of(&s);
    let _ = s.psql(
        "app",
        "CREATE TABLE large AS SELECT g, repeat(md5(g::text), 20) AS t FROM generate_series(1, 20000) g",
    );
    let whole = Content::of(&s);
    let _ = back_up(&s, &[]);
    let _ = s.psql("app", "DROP TABLE large");
    let mut points = 0;
    for spare_kb in [300, 6_000, 12_000] {
        disk.resize(disk.used_kb() + spare_kb);
        let ran = s.repot(&["restore", "--yes"]);
        disk.resize(2 << 20);
        points += usize::from(!ran.status.success());
        let _ = ran.exits(1).says(&["space"]);
        wait_for("the server is well", || {
            let all = s.containers();
            all.iter().all(|c| c.service.is_empty() || c.health == "healthy").then_some(())
        });
        before.assert_still(&s, &GROWING, "what was live");
    }
    println!("{points} points at which the disk was full");
    let _ = s.repot(&["restore", "--yes"]).ok();
    whole.assert_still(&s, &GROWING, "once there is room");
    only_the_application(&s);
}
