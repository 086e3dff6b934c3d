//! Putting a directory of media in place: unpacked beside the live one, swapped with it, the live one kept.
//!
//! All in helper containers with just that mount, as for data directories: no root on the host is needed, a remote
//! Docker host works too, and nothing but the mount can be written.
//!
//! Where the directory has a parent on the same filesystem, both names are beside each other and change by renames. Where
//! it has none (the root of a volume, a mounted disk), both are inside it, and its entries are moved; a marker says how
//! far that went, so that a swap that was cut off is finished or undone by the next one.

use super::data::in_store;
use super::host::ComposeHost;
use super::pipes;
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::exec::{Cmd, Way, last_lines};
use crate::host::docker::{Docker, MountArg, RunSpec};
use crate::host::{DataLocation, NO_TAR, Store};

/// How a directory is reached, and the names beside or inside it.
#[derive(Debug, Clone)]
pub struct Tree {
    /// What is mounted.
    pub store: Store,
    /// The directory below the mount; empty when it is the mount itself.
    pub dir: String,
    /// Where the new one is unpacked, below the mount.
    pub fresh: String,
    /// Where the live one is kept, below the mount.
    pub aside: String,
    /// Whether those two are inside the directory.
    pub inside: bool,
    /// Whether there is anything in it.
    pub exists: bool,
}

/// `$1` the directory. Says whether its parent is reached and on the same filesystem, and whether it has anything in it.
const LOOK: &str = r#"
d="/repot/$1"; p=$(dirname "$d")
if [ -L "${d%/}" ]; then echo link=1; fi
[ -n "$(ls -A "$d" 2>/dev/null | grep -v '^\.repot-')" ] && echo exists=1
if [ -n "$1" ]; then
  while [ ! -d "$p" ]; do p=$(dirname "$p"); done
  if [ ! -d "$d" ] || [ "$(stat -c %d "$d")" = "$(stat -c %d "$p")" ]; then echo beside=1; fi
fi
true
"#;

/// `$1` the directory, beside: a swap that was cut off between its two renames is undone, and what was unpacked is
/// removed.
const TIDY_BESIDE: &str = r#"
set -eu; cd /repot; n=$(basename "$1"); p=$(dirname "$1"); cd "$p" 2>/dev/null || exit 0
for f in "$n".repot-fresh-*; do
  [ -d "$f" ] || continue
  a="$n.repot-${f#"$n".repot-fresh-}"
  # Docker makes a directory that is missing, empty, when somebody starts the application meanwhile.
  if [ -d "$a" ]; then
    rmdir -- "$n" 2>/dev/null || true
    if [ ! -e "$n" ]; then mv -T -- "$a" "$n"; fi
  fi
  rm -rf -- "$f"
done
sync
"#;

/// `$1` the directory, inside: as above. While entries are moved out, moving them back is right; once the new ones come
/// in, the swap is finished.
const TIDY_INSIDE: &str = r#"
set -eu; cd "/repot/$1"
for m in .repot-swap-*; do
  [ -f "$m" ] || continue
  r="${m#.repot-swap-}"
  if [ "$(cat "$m")" = in ]; then
    if [ -d ".repot-fresh-$r" ]; then find ".repot-fresh-$r" -mindepth 1 -maxdepth 1 -exec mv --backup=numbered -t . -- {} +; fi
  elif [ -d ".repot-aside-$r" ]; then
    find ".repot-aside-$r" -mindepth 1 -maxdepth 1 -exec mv --backup=numbered -t . -- {} +; rmdir ".repot-aside-$r"
  fi
  rm -f -- "$m"
done
rm -rf -- .repot-fresh-*
sync
"#;

/// `$1` directory, `$2` fresh, `$3` aside.
const SWAP_BESIDE: &str = r#"
set -eu; cd /repot
if [ -e "$1" ]; then mv -T -- "$1" "$3"; fi
mv -T -- "$2" "$1"
rmdir -- "$3" 2>/dev/null || true
sync
"#;

/// `$1` directory, `$2` fresh, `$3` aside, `$4` marker. The directory gets what the new one's root has: owner and mode.
const SWAP_INSIDE: &str = r#"
set -eu; cd /repot
mkdir -- "$3"; chown "$(stat -c %u:%g "${1:-.}")" "$3"; chmod "$(stat -c %a "${1:-.}")" "$3"
echo out > "$4"; sync
find "./$1" -mindepth 1 -maxdepth 1 ! -name '.repot-*' -exec mv -t "$3" -- {} +
echo in > "$4"; sync
chown "$(stat -c %u:%g "$2")" "./$1"; chmod "$(stat -c %a "$2")" "./$1"
find "$2" -mindepth 1 -maxdepth 1 -exec mv -t "./$1" -- {} +
rmdir -- "$2"; rm -f -- "$4"
# Where there was nothing, nothing is kept.
rmdir -- "$3" 2>/dev/null || true
sync
"#;

/// `$1` where to. What is unpacked was inspected before: no name leads out of it.
const UNPACK: &str = r#"
tar --version 2>/dev/null | grep -q GNU || exit 45
set -eu; mkdir -p -- "/repot/$1"; cd "/repot/$1"
exec tar --extract --file=- --numeric-owner --same-owner --same-permissions --acls --xattrs --xattrs-include='user.*'
"#;

/// `$1` directory, `$2` fresh. Gives what was unpacked to whoever the live directory belongs to, or its parent.
const OWN: &str = r#"
set -eu; l="/repot/$1"; f="/repot/$2"
[ -d "$l" ] || l=$(dirname "$l")
chown -R -h -- "$(stat -c %u:%g "$l")" "$f"; chmod "$(stat -c %a "$l")" "$f"
"#;

impl ComposeHost {
    /// Gives what was unpacked from an archive without owners to the live directory's owner.
    pub fn own_tree(&self, image: &str, tree: &Tree, run: &str) -> Result<()> {
        in_store(&Docker, run, image, &tree.store, OWN, &[&tree.dir, &tree.fresh], None).map(drop)
    }

    /// Looks at the directory `at`.
    pub fn tree(&self, image: &str, at: &DataLocation, run: &str) -> Result<Tree> {
        let (store, dir) = match (&at.store, at.subdir.is_empty()) {
            (Store::Bind(source), true) => match source.rsplit_once('/') {
                Some((parent, name)) if !name.is_empty() => {
                    let parent = if parent.is_empty() { "/" } else { parent };
                    (Store::Bind(parent.to_owned()), name.to_owned())
                }
                _ => (at.store.clone(), String::new()),
            },
            _ => (at.store.clone(), at.subdir.clone()),
        };
        let out = in_store(&Docker, run, image, &store, LOOK, &[&dir], None)?;
        let said = String::from_utf8_lossy(&out).into_owned();
        let says = |what: &str| said.lines().any(|l| l == what);
        if says("link=1") {
            return Err(Error::refused("media-link", format!("{} is a symbolic link", at.describe()))
                .help("mount the directory that it points to"));
        }
        let inside = !says("beside=1");
        let (fresh, aside) = if inside {
            let below = |name: &str| {
                if dir.is_empty() { format!("{name}{run}") } else { format!("{dir}/{name}{run}") }
            };
            (below(".repot-fresh-"), below(".repot-aside-"))
        } else {
            (format!("{dir}.repot-fresh-{run}"), format!("{dir}.repot-{run}"))
        };
        Ok(Tree { store, dir, fresh, aside, inside, exists: says("exists=1") })
    }

    /// Undoes or finishes a swap that was cut off, and removes what was unpacked for it.
    pub fn tidy_tree(&self, image: &str, tree: &Tree, run: &str) -> Result<()> {
        let script = if tree.inside { TIDY_INSIDE } else { TIDY_BESIDE };
        in_store(&Docker, run, image, &tree.store, script, &[&tree.dir], None).map(drop)
    }

    /// A command that unpacks the tar on its standard input to the fresh place, or into the live directory.
    #[must_use]
    pub fn unpack_tree(&self, image: &str, tree: &Tree, live: bool, run: &str) -> Cmd {
        let (Store::Bind(source) | Store::Volume(source)) = &tree.store;
        let to = if live { &tree.dir } else { &tree.fresh };
        RunSpec {
            image: image.to_owned(),
            entrypoint: Some("sh".to_owned()),
            args: ["-c", UNPACK, "repot", to].map(str::to_owned).to_vec(),
            mounts: vec![MountArg::new(source.clone(), "/repot")],
            network: "none".to_owned(),
            user: "0:0".to_owned(),
            run: run.to_owned(),
            labels: vec![("repot.role".to_owned(), "helper".to_owned())],
            interactive: true,
            unconfined: true,
            pipes: pipes::shared(image, run),
            ..RunSpec::default()
        }
        .cmd()
        .bulk(Way::In)
    }

    /// Gives the fresh directory the name of the live one, which is kept aside.
    pub fn swap_tree(&self, image: &str, tree: &Tree, run: &str) -> Result<()> {
        let marker = tree.fresh.replace(".repot-fresh-", ".repot-swap-");
        let (script, args): (&str, &[&str]) = if tree.inside {
            (SWAP_INSIDE, &[&tree.dir, &tree.fresh, &tree.aside, &marker])
        } else {
            (SWAP_BESIDE, &[&tree.dir, &tree.fresh, &tree.aside])
        };
        in_store(&Docker, run, image, &tree.store, script, args, None).map(drop)
    }
}

impl Tree {
    /// The fresh place, for reading it back.
    #[must_use]
    pub fn fresh_location(&self) -> DataLocation {
        DataLocation {
            store: self.store.clone(),
            target: "/repot".to_owned(),
            subdir: self.fresh.clone(),
            selinux: None,
        }
    }

    /// Where the live one is kept, in words.
    #[must_use]
    pub fn describe_aside(&self) -> String {
        DataLocation { subdir: self.aside.clone(), ..self.fresh_location() }.describe()
    }
}

/// What an unpacking that failed means.
#[must_use]
pub fn unpack_error(name: &str, code: Option<i32>, stderr: &str) -> Error {
    let what = format!("{name} cannot be unpacked");
    if code == Some(NO_TAR) {
        return Error::refused("media-failed", what)
            .why("the database's image has no GNU tar")
            .help("nothing was touched; unpack it by hand, as the manifest says");
    }
    let full = speaks_of_full_disk(stderr);
    Error::failed(if full { "disk-full" } else { "media-failed" }, what)
        .why(last_lines(stderr, 4))
        .help("what was live was not touched; correct what is named and start it again")
}
