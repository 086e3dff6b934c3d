//! The real Nautobot of PyPI, with Redis and Celery. Its image and its start take minutes, so this runs on request:
//! `make nautobot`.

use super::*;

/// What Nautobot writes at every start: its `post_upgrade` saves every job anew, with the time. And its health check
/// writes a row and removes it.
const OWN: [&str; 2] = ["public.extras_job", CHECKED];
const CHECKED: &str = "public.extras_healthchecktestmodel";

#[test]
fn a_real_nautobot_goes_from_13_to_17_and_back() {
    let s = stack("nautobot-real");
    let _ = s.compose(&["up", "-d", "--wait", "db"]).ok();
    s.wait_database();
    // What its migrations and some use come to; running them takes longer than the whole test.
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/nautobot-pg13.sql.gz");
    let sql = repot_testkit::run(std::process::Command::new("gunzip").arg("-c").arg(dump), None).ok();
    let _ = s.psql("nautobot", &sql.stdout);
    s.up();
    let growing: Vec<&str> = GROWING.iter().chain(&OWN).copied().collect();
    let files = s.files();
    let content = wait_for("no health check is at work", || {
        let c = Content::of(&s);
        (c.rows("nautobot", CHECKED) == 0).then_some(c)
    });
    let devices = || {
        let code = "from nautobot.dcim.models import Device; print('devices:', Device.objects.count())";
        let ran = s.exec("nautobot", &["nautobot-server", "shell", "--command", code]).ok();
        assert!(ran.stdout.contains("devices: 150"), "{ran}");
        let _ = s.exec("nautobot", &["nautobot-server", "health_check"]).ok();
    };
    devices();

    let _ = s.repot(&["check", "--to", "17"]).ok().prints(&["Nautobot", "17"]);
    let up = s.repot(&["upgrade", "--to", "17", "--yes"]).ok().prints(&[
        "moved from PostgreSQL 13 to 17",
        "Old and new were compared and are equal",
        "The application was down for",
    ]);
    println!("{}", up.stdout);
    assert_eq!(s.major(), 17);
    content.assert_still(&s, &growing, "after the upgrade");
    devices();

    let back =
        s.repot(&["rollback", "--yes", "--discard-new-writes"]).ok().prints(&["is on PostgreSQL 13 again"]);
    println!("{}", back.stdout);
    assert_eq!((s.major(), s.files()), (13, files));
    content.assert_still(&s, &growing, "after the rollback");
    devices();
}
