//! The same tree, packed by one and unpacked by another.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use repot_store::archive::{Depth, Inspected, PackOptions, compare, fingerprint_tree, inspect};

use crate::tree::{Fidelity, Made, build, look, same, set_mtime, trees};
use crate::{keeping, pack, run, text, unpack};

const GNU_UNPACK: &[&str] = &[
    "-xpf",
    "-",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--delay-directory-restore",
];

/// Unpacks with `filter` as older Pythons do: everything as it stands in the archive.
const PYTHON_UNPACK: &str = "
import sys, tarfile
t = tarfile.open(fileobj=sys.stdin.buffer, mode='r|')
t.errorlevel = 2
t.extraction_filter = staticmethod(lambda m, p: m)
t.extractall(sys.argv[1], numeric_owner=True)
";

const PYTHON_PACK: &str = "
import os, sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[2])) as t:
    os.chdir(sys.argv[1])
    for name in os.listdir('.'):
        t.add(name)
";

fn inspected(tar: &[u8], scratch: &Path) -> (Inspected, Vec<u8>) {
    let mut list = Vec::new();
    let found = inspect(tar, &keeping(scratch), Some(&mut list)).expect("a good archive");
    (found, list)
}

/// Ours, unpacked by us and by GNU tar, or by Python.
fn ours(tree: &[Made], fidelity: Fidelity) {
    let dir = tempfile::tempdir().unwrap();
    let [root, here, gnu, python] = ["root", "here", "gnu", "python"].map(|n| dir.path().join(n));
    for d in [&root, &here, &gnu, &python] {
        fs::create_dir(d).unwrap();
    }
    build(&root, tree);
    let original = look(&root);
    let (tar, packed, list) = pack(&root, dir.path());
    assert_eq!(packed.unsteady, 0);
    assert_eq!(packed.fingerprint.entries, original.len() as u64);
    assert_eq!(blake3::hash(&list).to_hex().as_str(), packed.fingerprint.digest);
    assert_eq!(list.iter().filter(|b| **b == b'\n').count(), original.len());
    assert_eq!(tar, pack(&root, dir.path()).0, "the same tree gives the same bytes");

    let unpacked = unpack(&tar, &here, dir.path());
    same(&original, &look(&here), "unpacked here");
    assert_eq!(unpacked.fingerprint, packed.fingerprint);
    assert_eq!(unpacked.written, packed.fingerprint.entries);
    let again = fingerprint_tree(&here, &PackOptions::new(dir.path()), None).unwrap();
    assert_eq!(again.fingerprint, packed.fingerprint);
    if fidelity == Fidelity::Full {
        let args: Vec<&str> = ["-C", text(&gnu)].iter().chain(GNU_UNPACK).copied().collect();
        run("tar", &args, Some(&tar));
        same(&original, &look(&gnu), "unpacked by GNU tar");
    } else {
        run("python3", &["-c", PYTHON_UNPACK, text(&python)], Some(&tar));
        let mut expected = original;
        let mut got = look(&python);
        // Python writes the holes of a file that it knows to be sparse, or not, as it likes.
        for seen in expected.values_mut().chain(got.values_mut()) {
            seen.hole_bytes = 0;
            // It does not set the times of links.
            if seen.target.is_some() {
                seen.mtime = (0, 0);
            }
        }
        same(&expected, &got, "unpacked by Python");
    }
}

/// Gives a directory as an archive.
type Packer<'a> = &'a dyn Fn(&Path) -> Vec<u8>;

/// Theirs, inspected and unpacked by us.
fn theirs(tree: &[Made], pack_with: &[(&str, Packer<'_>)]) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    build(&root, tree);
    let original = look(&root);
    let (_, ours, our_list) = pack(&root, dir.path());
    for (name, pack_with) in pack_with {
        let tar = pack_with(&root);
        let (found, list) = inspected(&tar, dir.path());
        let difference = compare(&our_list[..], &list[..], Depth::Everything, 3).unwrap();
        assert_eq!(difference.first, [], "{name}");
        assert_eq!(found.fingerprint, ours.fingerprint, "{name}");
        let here = dir.path().join("here");
        fs::create_dir(&here).unwrap();
        let unpacked = unpack(&tar, &here, dir.path());
        assert_eq!(unpacked.fingerprint, ours.fingerprint, "{name}");
        let mut got = look(&here);
        for (path, seen) in &mut got {
            // Whoever packs without holes has none to give back.
            if let Some(o) = original.get(path).filter(|_| !name.contains("sparse")) {
                seen.hole_bytes = o.hole_bytes;
            }
        }
        same(&original, &got, name);
        fs::remove_dir_all(&here).unwrap();
    }
}

fn gnu(args: &[&str]) -> impl Fn(&Path) -> Vec<u8> {
    move |root: &Path| {
        let mut all = vec!["-C", text(root), "-cf", "-", "--numeric-owner"];
        all.extend(args);
        all.push(".");
        run("tar", &all, None).stdout
    }
}

fn python(format: &'static str) -> impl Fn(&Path) -> Vec<u8> {
    move |root: &Path| run("python3", &["-c", PYTHON_PACK, text(root), format], None).stdout
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 30, ..ProptestConfig::default() })]

    #[test]
    fn ours_unpacked_by_gnu_tar_and_here(tree in trees(Fidelity::Full)) {
        ours(&tree, Fidelity::Full);
    }

    #[test]
    fn ours_unpacked_by_python(tree in trees(Fidelity::Python)) {
        ours(&tree, Fidelity::Python);
    }

    #[test]
    fn posix_format_of_gnu_tar(tree in trees(Fidelity::Full)) {
        theirs(&tree, &[
            ("posix", &gnu(&["--format=posix", "--xattrs", "--acls"])),
            ("posix sparse 0.0", &gnu(&["--format=posix", "--xattrs", "--acls", "--sparse", "--sparse-version=0.0"])),
            ("posix sparse 0.1", &gnu(&["--format=posix", "--xattrs", "--acls", "--sparse", "--sparse-version=0.1"])),
            ("posix sparse 1.0", &gnu(&["--format=posix", "--xattrs", "--acls", "--sparse", "--sparse-version=1.0"])),
        ]);
    }

    #[test]
    fn own_format_of_gnu_tar_and_python(tree in trees(Fidelity::Seconds)) {
        theirs(&tree, &[
            ("gnu", &gnu(&["--format=gnu"])),
            ("gnu sparse", &gnu(&["--format=gnu", "--sparse"])),
            ("python gnu", &python("GNU_FORMAT")),
        ]);
    }

    #[test]
    fn pax_format_of_python(tree in trees(Fidelity::Python)) {
        theirs(&tree, &[("python pax", &python("PAX_FORMAT"))]);
    }
}

#[test]
fn ustar_and_v7() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a".repeat(60)).join("b".repeat(60))).unwrap();
    fs::write(root.join("a".repeat(60)).join("b".repeat(60)).join("c"), "x").unwrap();
    for path in look(&root).keys().rev() {
        set_mtime(&root.join(std::str::from_utf8(path).unwrap()), (1_700_000_000, 0));
    }
    let (_, ours, _) = pack(&root, dir.path());
    let (found, _) = inspected(&gnu(&["--format=ustar"])(&root), dir.path());
    assert_eq!(found.fingerprint, ours.fingerprint);
    fs::rename(root.join("a".repeat(60)), root.join("a")).unwrap();
    fs::rename(root.join("a").join("b".repeat(60)), root.join("a/b")).unwrap();
    for path in ["a/b/c", "a/b", "a"] {
        set_mtime(&root.join(path), (1_700_000_000, 0));
    }
    let (_, ours, _) = pack(&root, dir.path());
    let (found, _) = inspected(&gnu(&["--format=v7"])(&root), dir.path());
    assert_eq!(found.fingerprint, ours.fingerprint);
}

#[test]
fn a_file_that_is_nearly_all_hole() {
    let dir = tempfile::tempdir().unwrap();
    let [root, here, gnu_dir] = ["root", "here", "gnu"].map(|n| dir.path().join(n));
    for d in [&root, &here, &gnu_dir] {
        fs::create_dir(d).unwrap();
    }
    let file = fs::File::create(root.join("large")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", 1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 1 << 29).unwrap();
    drop(file);
    let (tar, packed, _) = pack(&root, dir.path());
    assert!(tar.len() < 64 << 10, "{} bytes", tar.len());
    assert_eq!(packed.fingerprint.total_bytes, (1 << 30) + 3);
    unpack(&tar, &here, dir.path());
    let meta = fs::metadata(here.join("large")).unwrap();
    assert_eq!(meta.size(), (1 << 30) + 3);
    assert!(meta.blocks() < 1000);
    let args: Vec<&str> = ["-C", text(&gnu_dir)].iter().chain(GNU_UNPACK).copied().collect();
    run("tar", &args, Some(&tar));
    run("cmp", &[text(&here.join("large")), text(&gnu_dir.join("large"))], None);
    let theirs = gnu(&["--format=posix", "--sparse"])(&root);
    assert_eq!(inspected(&theirs, dir.path()).0.fingerprint, packed.fingerprint);
}

#[test]
fn access_control_lists_are_kept_and_rights_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let [root, here] = ["root", "here"].map(|n| dir.path().join(n));
    for d in [&root, &here] {
        fs::create_dir(d).unwrap();
    }
    // Version 2; owner rw, user 12345 r, group r, mask r, others none: as Linux stores it.
    let entry = |tag: u16, perm: u16, id: u32| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let acl = [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 6, u32::MAX),
        entry(2, 4, 12_345),
        entry(4, 4, u32::MAX),
        entry(16, 4, u32::MAX),
        entry(32, 0, u32::MAX),
    ]
    .concat();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "x").unwrap();
    let set = |path: &str, name: &str| {
        rustix::fs::setxattr(root.join(path), name, &acl, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("d/f", "system.posix_acl_access");
    set("d", "system.posix_acl_default");
    fs::write(root.join("setuid"), "x").unwrap();
    fs::set_permissions(root.join("setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::create_dir(root.join("setgid")).unwrap();
    fs::set_permissions(root.join("setgid"), fs::Permissions::from_mode(0o2775)).unwrap();

    let (tar, packed, _) = pack(&root, dir.path());
    let unpacked = unpack(&tar, &here, dir.path());
    assert_eq!(unpacked.notes.first.len(), 1);
    assert_eq!(unpacked.notes.first[0].path, "setuid");
    let (mut original, got) = (look(&root), look(&here));
    assert!(got[&b"d"[..]].xattrs.contains_key(&b"system.posix_acl_default"[..]));
    original.get_mut(&b"setuid"[..]).unwrap().mode &= !0o6000;
    same(&original, &got, "unpacked here");
    let theirs = gnu(&["--format=posix", "--xattrs", "--acls"])(&root);
    assert_eq!(inspected(&theirs, dir.path()).0.fingerprint, packed.fingerprint);
}

/// As dbbackup's `mediabackup` writes: names and sizes, nothing else.
const DBBACKUP_PACK: &str = "
import io, sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|') as t:
    for name in ['part_images/ä.png', 'top.txt']:
        m = tarfile.TarInfo(name)
        m.size = 5
        t.addfile(m, io.BytesIO(b'12345'))
";

/// As its `mediarestore` reads: every member that can be read as a file, under its name.
const DBBACKUP_READ: &str = "
import sys, tarfile
t = tarfile.open(fileobj=__import__('io').BytesIO(sys.stdin.buffer.read()), mode='r:*')
for m in t:
    f = t.extractfile(m)
    if f is not None:
        print(m.name, f.read().decode())
";

#[test]
fn archives_of_django_dbbackup_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("here");
    fs::create_dir(&here).unwrap();
    let theirs = run("python3", &["-c", DBBACKUP_PACK], None).stdout;
    let (found, _) = inspected(&theirs, dir.path());
    assert_eq!((found.fingerprint.entries, found.fingerprint.total_bytes), (2, 10));
    unpack(&theirs, &here, dir.path());
    assert_eq!(fs::read(here.join("part_images/ä.png")).unwrap(), b"12345");
    assert_eq!(fs::metadata(here.join("top.txt")).unwrap().mtime(), 0);

    fs::hard_link(here.join("top.txt"), here.join("uppermost.txt")).unwrap();
    symlink("top.txt", here.join("link")).unwrap();
    let (tar, _, _) = pack(&here, dir.path());
    let read = run("python3", &["-c", DBBACKUP_READ], Some(&tar)).stdout;
    let mut lines: Vec<_> = std::str::from_utf8(&read).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["link 12345", "part_images/ä.png 12345", "top.txt 12345", "uppermost.txt 12345"]);
}
