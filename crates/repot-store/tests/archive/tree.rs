//! Trees: made up, written to disk, and looked at by other means than the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

/// Which properties of a tree the other side can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fidelity {
    /// Everything.
    Full,
    /// Times that a double holds exactly (quarters of a second), no extended attributes: Python's tarfile.
    Python,
    /// Whole seconds, no extended attributes: GNU's own format, and ustar.
    Seconds,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Directory,
    /// Blocks of 4 KiB: None is a hole. And a tail.
    File(Vec<Option<u8>>, Vec<u8>),
    Symlink(Vec<u8>),
    /// To one of the files before.
    HardLink(Index),
}

#[derive(Debug, Clone)]
pub(crate) struct Made {
    above: Index,
    name: Vec<u8>,
    what: What,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, u32),
    xattrs: BTreeMap<String, Vec<u8>>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        4 => "[a-zA-Z0-9._ -]{1,12}".prop_map(String::into_bytes),
        2 => "[äöüßжя漢字🌱%=,'\"\\\\\n\t*?]{1,8}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(1_u8..=255, 1..10),
        1 => "[a-z]{90,120}".prop_map(String::into_bytes),
        1 => "[a-zé]{120}".prop_map(String::into_bytes),
    ];
    bytes.prop_filter("a name", |n| !n.contains(&b'/') && n != b"." && n != b"..")
}

fn what() -> impl Strategy<Value = What> {
    let small = proptest::collection::vec(any::<u8>(), 0..1500);
    let blocks = proptest::collection::vec(proptest::option::weighted(0.4, any::<u8>()), 0..24);
    prop_oneof![
        3 => Just(What::Directory),
        4 => small.prop_map(|tail| What::File(Vec::new(), tail)),
        2 => (blocks, proptest::collection::vec(any::<u8>(), 0..600)).prop_map(|(b, t)| What::File(b, t)),
        2 => prop_oneof![
            name(), Just(b"/etc/passwd".to_vec()), Just(b"../../outside".to_vec()),
            "[a-zü/]{101,130}".prop_map(String::into_bytes),
        ].prop_map(What::Symlink),
        2 => any::<Index>().prop_map(What::HardLink),
    ]
}

/// Up to thirty entries.
pub(crate) fn trees(fidelity: Fidelity) -> impl Strategy<Value = Vec<Made>> {
    let mode = prop_oneof![0_u32..0o1000, Just(0), Just(0o1777), Just(0o644), Just(0o755)];
    let owner = prop_oneof![Just((0, 0)), (0_u32..70_000, 0_u32..70_000), Just((3_000_000, 4_000_000_000))];
    // ext4 keeps years 1901 to 2446.
    let mtime = (prop_oneof![-2_000_000_000_i64..14_000_000_000, Just(0), Just(-1)], 0_u32..1_000_000_000);
    let xattrs = proptest::collection::btree_map(
        "[a-z=%é]{1,20}",
        proptest::collection::vec(any::<u8>(), 0..100),
        0..3,
    );
    let made = (any::<Index>(), name(), what(), mode, owner, mtime, xattrs).prop_map(
        move |(above, name, what, mode, owner, (s, ns), xattrs)| {
            let ns = match fidelity {
                Fidelity::Full => ns,
                Fidelity::Python => ns / 250_000_000 * 250_000_000,
                Fidelity::Seconds => 0,
            };
            let xattrs = if fidelity == Fidelity::Full { xattrs } else { BTreeMap::new() };
            Made { above, name, what, mode, owner, mtime: (s, ns), xattrs }
        },
    );
    proptest::collection::vec(made, 0..30)
}

/// Writes a tree below an empty directory. What collides is left out.
pub(crate) fn build(root: &Path, tree: &[Made]) {
    let mut directories = vec![root.to_owned()];
    let mut files = Vec::new();
    let mut done = Vec::new();
    for made in tree {
        let path = made.above.get(&directories).join(OsStr::from_bytes(&made.name));
        if path.symlink_metadata().is_ok() || path.as_os_str().len() > 3000 {
            continue;
        }
        match &made.what {
            What::Directory => {
                fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            What::File(blocks, tail) => {
                let file = fs::File::create(&path).unwrap();
                for (i, block) in blocks.iter().enumerate() {
                    if let Some(byte) = block {
                        file.write_all_at(&[*byte; 4096], i as u64 * 4096).unwrap();
                    }
                }
                file.set_len(blocks.len() as u64 * 4096).unwrap();
                file.write_all_at(tail, blocks.len() as u64 * 4096).unwrap();
                files.push(path.clone());
            }
            What::Symlink(target) => symlink(OsStr::from_bytes(target), &path).unwrap(),
            What::HardLink(to) => {
                if !files.is_empty() {
                    fs::hard_link(to.get(&files), &path).unwrap();
                }
                continue;
            }
        }
        done.push((path, made));
    }
    // Backwards: what is in a directory comes before it.
    for (path, made) in done.iter().rev() {
        set(path, made);
    }
}

fn set(path: &Path, made: &Made) {
    let link = matches!(made.what, What::Symlink(_));
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = made.owner;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(
            CWD,
            path,
            Some(rustix::fs::Uid::from_raw(uid)),
            Some(rustix::fs::Gid::from_raw(gid)),
            flags,
        )
        .unwrap();
    }
    if !link {
        for (name, value) in &made.xattrs {
            rustix::fs::setxattr(path, format!("user.{name}"), value, XattrFlags::empty())
                .expect("the temporary directory's file system takes user.* attributes");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(made.mode)).unwrap();
    }
    set_mtime(path, made.mtime);
}

pub(crate) fn set_mtime(path: &Path, (s, ns): (i64, u32)) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 1, tv_nsec: 1 },
        last_modification: Timespec { tv_sec: s, tv_nsec: ns.into() },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// What is seen of one entry from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) content: Option<blake3::Hash>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// All names of the file, if there are several.
    pub(crate) names: BTreeSet<Vec<u8>>,
    /// How much of the file takes no space.
    pub(crate) hole_bytes: u64,
}

/// Everything below a directory.
pub(crate) fn look(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut out = BTreeMap::new();
    let mut inodes: BTreeMap<(u64, u64), BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let meta = path.symlink_metadata().unwrap();
            let mut xattrs = BTreeMap::new();
            if !meta.is_symlink() {
                let mut list = vec![0; 1 << 16];
                let n = rustix::fs::listxattr(&path, list.as_mut_slice()).unwrap();
                for attr in list[..n].split(|b| *b == 0).filter(|a| !a.is_empty()) {
                    let mut value = vec![0; 1 << 16];
                    let n = rustix::fs::getxattr(&path, attr, value.as_mut_slice()).unwrap();
                    xattrs.insert(attr.to_vec(), value[..n].to_vec());
                }
            }
            if meta.is_dir() {
                todo.push(path.clone());
            } else {
                inodes.entry((meta.dev(), meta.ino())).or_default().insert(name.clone());
                places.insert(name.clone(), (meta.dev(), meta.ino()));
            }
            let seen = Seen {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                mtime: (meta.mtime(), meta.mtime_nsec()),
                target: meta
                    .is_symlink()
                    .then(|| fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()),
                content: meta.is_file().then(|| blake3::hash(&fs::read(&path).unwrap())),
                xattrs,
                names: BTreeSet::new(),
                hole_bytes: if meta.is_file() { meta.size().saturating_sub(meta.blocks() * 512) } else { 0 },
            };
            out.insert(name, seen);
        }
    }
    for (name, inode) in places {
        if inodes[&inode].len() > 1 {
            out.get_mut(&name).unwrap().names = inodes[&inode].clone();
        }
    }
    out
}

/// Holes of at least this size do not vanish in a copy that keeps holes; how many blocks a file takes is the file
/// system's own affair.
const SURE_HOLE_BYTES: u64 = 64 << 10;

/// Fails with the path that differs.
#[track_caller]
pub(crate) fn same(original: &BTreeMap<Vec<u8>, Seen>, copy: &BTreeMap<Vec<u8>, Seen>, whose: &str) {
    let paths: BTreeSet<_> = original.keys().chain(copy.keys()).collect();
    for path in paths {
        let (a, mut b) = (original.get(path), copy.get(path).cloned());
        if let (Some(a), Some(b)) = (a, &mut b)
            && (a.hole_bytes < SURE_HOLE_BYTES || b.hole_bytes > 0)
        {
            b.hole_bytes = a.hole_bytes;
        }
        assert_eq!(a, b.as_ref(), "{whose}: {}", path.escape_ascii());
    }
}
