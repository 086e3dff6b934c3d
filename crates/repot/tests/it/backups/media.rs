//! Media: restored beside, compared, swapped with what was live; or filled in.

use repot_testkit::Sums;

use super::*;

/// A mini stack with media in the root of a volume, in a directory of a volume, and in a directory of the project.
fn with_media() -> Stack {
    let s = stack("mini");
    s.edit(
        "compose.yaml",
        "      - ./app.sh:/app.sh:ro\n",
        "      - ./app.sh:/app.sh:ro\n      - media:/media\n      - parts:/srv\n      - ./uploads:/uploads\n",
    );
    s.edit("compose.yaml", "volumes:\n  data:\n", "volumes:\n  data:\n  media:\n  parts:\n");
    let roots = [("pictures", "/media"), ("parts", "/srv/deep/parts"), ("uploads", "/uploads")];
    let roots: String = roots
        .iter()
        .map(|(n, p)| format!("\n[[media.roots]]\nname = \"{n}\"\nservice = \"app\"\npath = \"{p}\"\n"))
        .collect();
    let toml = s.read("mini.toml");
    s.write("mini.toml", &format!("{toml}{roots}"));
    s.up();
    let _ = s.exec("app", &["bash", "-c", FILL]).ok();
    s
}

/// Names, owners, modes, times, links, holes and attributes that a careless copy loses.
const FILL: &str = r#"
set -e; mkdir -p /srv/deep/parts; echo neighbour > /srv/deep/neighbour
for d in /media /srv/deep/parts /uploads; do
  cd "$d"; mkdir -p 'a b/ü' empty; head -c 300000 /dev/urandom > 'a b/ü/big'; echo x > '-n'; ln -- -n hard
  ln -s 'a b/ü' link; truncate -s 5M hole; echo y >> hole; chmod 640 -- -n; chmod 1770 empty
  chown -R 1000:2000 'a b'; touch -d '2001-02-03 04:05:06.789' 'a b/ü/big' empty; printf 'n' > "$(printf 'new\nline')"
done; chmod 2750 /media; chown 33:33 /media
"#;

const PLACES: [(&str, &str); 3] = [("parts", "deep/parts"), ("media", ""), ("uploads", "")];

fn sums(s: &Stack) -> Vec<Sums> {
    PLACES
        .iter()
        .map(|(v, below)| match *v {
            "uploads" => s.sums_of_dir("uploads"),
            v => Sums::of(&s.volume(v), below),
        })
        .collect()
}

#[track_caller]
fn same(before: &[Sums], after: &[Sums], what: &str) {
    for (b, a) in before.iter().zip(after) {
        b.assert_same(a, what);
    }
}

/// What was live must not be part of what is compared, nor of a backup.
fn without_aside(s: &Stack) {
    let _ = s.exec("app", &["bash", "-c", "rm -rf /media/.repot-*"]).ok();
}

#[test]
fn media_come_back_as_they_were_and_what_was_live_is_kept() {
    let s = with_media();
    let before = sums(&s);
    let set = back_up(&s, &[]);
    let _ = s.repot(&["verify", "--level", "restore"]).ok().prints(&["good (restore"]);
    let spoil = "rm -rf /media/* /srv/deep/parts/a* /uploads/hole; echo newer > /media/newer; echo newer > /uploads/newer";
    let _ = s.exec("app", &["bash", "-c", spoil]).ok();
    let spoilt = sums(&s);
    let args = ["restore", "--yes", "--only", "media"];
    // Cut off before the swap, nothing has changed; in the middle of it, some roots are old and some are new, each whole.
    for place in ["after-media", "before-names", "in-names"] {
        let _ = s.repot_failing(&args, &format!("restore::{place}=return(kill)")).was_killed();
        let _ = s.compose(&["up", "-d", "--force-recreate", "--wait"]).ok();
        let fresh = "rm -rf /media/.repot-fresh-*";
        let _ = s.exec("app", &["bash", "-c", fresh]).ok();
        same(&spoilt, &sums(&s), place);
    }
    let _ = s.repot_failing(&args, "restore::after-swap=return(kill)").was_killed();
    let _ = s.compose(&["up", "-d", "--force-recreate", "--wait"]).ok();
    without_aside(&s);
    let halfway = sums(&s);
    // The first one is swapped, the others are not.
    same(&before[..1], &halfway[..1], "after the first swap");
    same(&spoilt[1..], &halfway[1..], "after the first swap");
    let _ = s.repot(&args).ok().prints(&["media pictures", "what was live is kept as", "media uploads"]);
    let kept = s.exec("app", &["bash", "-c", "ls -d /media/.repot-aside-* | wc -l"]).ok();
    assert_eq!(kept.stdout.trim(), "1", "what was live is kept");
    without_aside(&s);
    same(&before, &sums(&s), "after the restore");
    assert_eq!(s.exec("app", &["cat", "/srv/deep/neighbour"]).ok().stdout, "neighbour\n");
    let beside = std::fs::read_dir(s.dir()).unwrap().flatten();
    let kept = beside.filter(|e| e.file_name().to_string_lossy().starts_with("uploads.repot-")).count();
    assert_eq!(kept, 1, "what was live is kept");
    only_the_application(&s);
    // Filled in: what is not in the set stays.
    let _ = s.exec("app", &["bash", "-c", "rm -f /uploads/hole; echo newer > /uploads/newer"]).ok();
    let _ = s
        .repot(&["restore", &set, "--yes", "--only", "media", "--replace"])
        .ok()
        .prints(&["what else is there stays"]);
    assert_eq!(s.exec("app", &["cat", "/uploads/newer"]).ok().stdout, "newer\n");
    let _ = s.exec("app", &["rm", "/uploads/newer"]).ok();
    same(&before, &sums(&s), "after filling in");
    // A part that is elsewhere in the set than the manifest says is not let in.
    let file = set_dir(&s, &set).join("media-uploads.tar.zst");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let _ = s.repot(&["restore", &set, "--yes", "--only", "media"]).exits(4).says(&["nothing was touched"]);
    assert!(sums(&s) == before);
}
