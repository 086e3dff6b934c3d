//! Archives that were made to do harm: each is refused, and nothing outside the root changes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use repot_store::archive::{
    ArchiveError, InspectOptions, Inspector, Owners, Refusal, RestoreMode, UnpackOptions, inspect, unpack,
};
use tar::{EntryType, Header};

use crate::keeping;
use crate::tree::look;

/// A member as it stands in the archive, whatever it says.
pub(crate) fn member(name: &[u8], kind: EntryType, target: &[u8], content: &[u8]) -> Vec<u8> {
    raw(name, kind, target, content.len() as u64, content)
}

fn raw(name: &[u8], kind: EntryType, target: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn file(name: &str) -> Vec<u8> {
    member(name.as_bytes(), EntryType::Regular, b"", b"evil")
}

fn dir(name: &str) -> Vec<u8> {
    member(name.as_bytes(), EntryType::Directory, b"", b"")
}

fn link(name: &str, target: &str) -> Vec<u8> {
    member(name.as_bytes(), EntryType::Symlink, target.as_bytes(), b"")
}

fn hard(name: &str, target: &str) -> Vec<u8> {
    member(name.as_bytes(), EntryType::Link, target.as_bytes(), b"")
}

fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let len = (rest + 1..).find(|n| rest + n.to_string().len() == *n).expect("a length");
    format!("{len} {key}={value}\n")
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records.iter().map(|(k, v)| record(k, v)).collect();
    member(b"x", EntryType::XHeader, b"", text.as_bytes())
}

fn global(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records.iter().map(|(k, v)| record(k, v)).collect();
    member(b"g", EntryType::XGlobalHeader, b"", text.as_bytes())
}

fn long(kind: EntryType, name: &str) -> Vec<u8> {
    member(b"././@LongLink", kind, b"", name.as_bytes())
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

/// What must come of it.
#[derive(Clone, Copy)]
enum Must {
    Refuse(Refusal),
    /// Refused unless links outside are kept; then it is unpacked, and still nothing outside changes.
    RefuseUnlessKept,
    Damaged,
    Cut,
}

fn evil() -> Vec<(&'static str, Vec<Vec<u8>>, Must)> {
    use Must::{Cut, Damaged, Refuse, RefuseUnlessKept};
    use Refusal::*;
    let deep = "d/".repeat(257);
    let part = "n".repeat(256);
    let path = format!("{}/x", vec!["p".repeat(200); 21].join("/"));
    let own = |name: &str, kind: u8| member(name.as_bytes(), EntryType::new(kind), b"", b"");
    vec![
        ("absolute name", vec![file("/tmp/evil")], Refuse(Absolute)),
        ("absolute name after ./", vec![pax(&[("path", "//canary")]), file("x")], Refuse(Absolute)),
        ("absolute name by pax", vec![pax(&[("path", "/canary")]), file("x")], Refuse(Absolute)),
        (
            "absolute name by GNU",
            vec![long(EntryType::GNULongName, "/canary\0"), file("x")],
            Refuse(Absolute),
        ),
        ("parent", vec![file("../canary")], Refuse(ParentReference)),
        ("parent in the middle", vec![dir("a/"), file("a/../../canary")], Refuse(ParentReference)),
        ("parent at the end", vec![dir("a/..")], Refuse(ParentReference)),
        ("parent by pax", vec![pax(&[("path", "a/../../canary")]), file("x")], Refuse(ParentReference)),
        (
            "parent by GNU",
            vec![long(EntryType::GNULongName, "../canary"), file("x")],
            Refuse(ParentReference),
        ),
        (
            "parent by sparse name",
            vec![
                pax(&[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.name", "../canary"),
                    ("GNU.sparse.realsize", "0"),
                ]),
                member(b"x", EntryType::Regular, b"", &[&b"0\n"[..], &[0; 510]].concat()),
            ],
            Refuse(ParentReference),
        ),
        (
            "parent behind a prefix",
            vec![{
                let mut h = file("x");
                let mut header = header_of(&h);
                header.as_ustar_mut().expect("ustar").prefix[..2].copy_from_slice(b"..");
                header.set_cksum();
                let bytes = *header.as_bytes();
                h[..512].copy_from_slice(&bytes);
                h
            }],
            Refuse(ParentReference),
        ),
        ("empty name", vec![member(b"", EntryType::Regular, b"", b"x")], Refuse(BadName)),
        ("the root as a file", vec![file(".")], Refuse(BadName)),
        ("the root as a link", vec![link("./", "..")], Must::Refuse(BadName)),
        ("NUL in a name", vec![pax(&[("path", "a\0b")]), file("x")], Refuse(BadName)),
        ("long part", vec![pax(&[("path", &part)]), file("x")], Refuse(NameTooLong)),
        ("long path", vec![pax(&[("path", &path)]), file("x")], Refuse(NameTooLong)),
        ("deep path", vec![pax(&[("path", &deep)]), dir("x/")], Refuse(NameTooLong)),
        ("link out, absolute", vec![link("l", "/etc")], RefuseUnlessKept),
        ("link out, relative", vec![link("l", "../canary")], RefuseUnlessKept),
        ("link out, from below", vec![dir("a/"), link("a/l", "../../canary")], RefuseUnlessKept),
        (
            "link out, by another link",
            vec![dir("a/"), link("a/up", ".."), link("l", "a/up/../canary")],
            RefuseUnlessKept,
        ),
        ("link out, by pax", vec![pax(&[("linkpath", "/etc")]), link("l", "x")], RefuseUnlessKept),
        ("link out, by GNU", vec![long(EntryType::GNULongLink, "/etc"), link("l", "x")], RefuseUnlessKept),
        ("link without target", vec![link("l", "")], Refuse(BadName)),
        ("write through a link", vec![link("l", ".."), file("l/canary")], Refuse(BelowNonDirectory)),
        (
            "write through a link inside",
            vec![dir("a/"), link("l", "a"), file("l/x")],
            Refuse(BelowNonDirectory),
        ),
        ("link below a link", vec![link("l", "."), link("l/m", "x")], Refuse(BelowNonDirectory)),
        ("directory below a link", vec![link("l", "."), dir("l/m/")], Refuse(BelowNonDirectory)),
        ("write below a file", vec![file("f"), file("f/x")], Refuse(BelowNonDirectory)),
        ("write below a hard link", vec![file("f"), hard("g", "f"), file("g/x")], Refuse(BelowNonDirectory)),
        ("directory becomes a link", vec![dir("a/"), link("a", "..")], Refuse(Twice)),
        ("implied directory becomes a link", vec![file("a/x"), link("a", "..")], Refuse(Twice)),
        ("directory becomes a link, otherwise written", vec![dir("a/"), link("./a", "..")], Refuse(Twice)),
        ("link becomes a directory", vec![link("a", "b"), dir("a/")], Refuse(Twice)),
        ("file over a link", vec![link("a", "b"), file("a")], Refuse(Twice)),
        ("file twice", vec![file("a"), file("a")], Refuse(Twice)),
        ("directory twice", vec![dir("a/"), dir("a/")], Refuse(Twice)),
        ("hard link out", vec![hard("h", "../canary")], Refuse(HardLink)),
        ("hard link out, absolute", vec![hard("h", "/etc/passwd")], Refuse(HardLink)),
        ("hard link to nothing", vec![hard("h", "x")], Refuse(HardLink)),
        ("hard link to what comes later", vec![hard("h", "x"), file("x")], Refuse(HardLink)),
        ("hard link to a directory", vec![dir("d/"), hard("h", "d")], Refuse(HardLink)),
        ("hard link through a link", vec![link("l", ".."), hard("h", "l/canary")], Refuse(HardLink)),
        (
            "hard link to a link, from higher up",
            vec![dir("a/"), link("a/l", "../x"), hard("h", "a/l")],
            RefuseUnlessKept,
        ),
        ("character device", vec![own("c", b'3')], Refuse(Special)),
        ("block device", vec![own("b", b'4')], Refuse(Special)),
        ("fifo", vec![own("p", b'6')], Refuse(Special)),
        ("contiguous file", vec![own("p", b'7')], Refuse(Special)),
        ("volume label", vec![own("V", b'V')], Refuse(Special)),
        ("multi-volume", vec![own("M", b'M')], Refuse(Special)),
        ("dump directory", vec![own("D", b'D')], Refuse(Special)),
        ("unknown type", vec![own("z", b'Z')], Refuse(Special)),
        ("owner that is none", vec![pax(&[("uid", "4294967295")]), file("x")], Refuse(Special)),
        ("file with a directory's name", vec![file("x/")], Damaged),
        (
            "directory with content",
            vec![raw(b"d/", EntryType::Directory, b"", 512, &file("../canary"))],
            Damaged,
        ),
        ("link with content", vec![raw(b"l", EntryType::Symlink, b"x", 512, &file("../canary"))], Damaged),
        (
            "hard link with content",
            vec![file("f"), raw(b"h", EntryType::Link, b"f", 512, &file("../canary"))],
            Damaged,
        ),
        (
            "two long names",
            vec![long(EntryType::GNULongName, "a"), pax(&[("path", "b")]), file("x")],
            Damaged,
        ),
        (
            "long name twice",
            vec![long(EntryType::GNULongName, "a"), long(EntryType::GNULongName, "b"), file("x")],
            Damaged,
        ),
        ("pax header twice", vec![pax(&[("path", "a")]), pax(&[("path", "b")]), file("x")], Damaged),
        ("pax key twice", vec![pax(&[("path", "a"), ("path", "../b")]), file("x")], Damaged),
        ("global path", vec![global(&[("path", "../canary")]), file("x")], Damaged),
        ("global size", vec![global(&[("size", "0")]), file("x")], Damaged),
        ("pax header without member", vec![pax(&[("path", "a")])], Damaged),
        ("pax header larger than any", vec![raw(b"x", EntryType::XHeader, b"", 1 << 40, b"")], Damaged),
        ("pax time that is none", vec![pax(&[("mtime", "1e99")]), file("x")], Damaged),
        ("size beyond every file", vec![pax(&[("size", "18446744073709551615")]), file("x")], Damaged),
        ("size that overflows", vec![pax(&[("size", "99999999999999999999")]), file("x")], Damaged),
        (
            "sparse map out of order",
            vec![
                pax(&[
                    ("GNU.sparse.map", "8,1,0,1"),
                    ("GNU.sparse.size", "9"),
                    ("GNU.sparse.numblocks", "2"),
                ]),
                member(b"x", EntryType::Regular, b"", b"ab"),
            ],
            Damaged,
        ),
        (
            "sparse map past the end",
            vec![
                pax(&[("GNU.sparse.map", "8,4"), ("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1")]),
                file("x"),
            ],
            Damaged,
        ),
        (
            "sparse map that overflows",
            vec![
                pax(&[
                    ("GNU.sparse.map", "18446744073709551615,4"),
                    ("GNU.sparse.size", "9"),
                    ("GNU.sparse.numblocks", "1"),
                ]),
                file("x"),
            ],
            Damaged,
        ),
        (
            "sparse map that is too short",
            vec![
                pax(&[("GNU.sparse.map", "0,2"), ("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1")]),
                file("x"),
            ],
            Damaged,
        ),
        (
            "endless hole",
            vec![
                pax(&[
                    ("GNU.sparse.map", "0,4"),
                    ("GNU.sparse.size", "9000000000000000000"),
                    ("GNU.sparse.numblocks", "1"),
                ]),
                file("x"),
            ],
            Refuse(HolesTooLarge),
        ),
        ("one block of zeros", vec![vec![0; 512], file("x")], Damaged),
        ("something behind the end", vec![end(), file("../canary")], Damaged),
        ("no end", vec![file("x")], Cut),
        ("nothing", vec![], Cut),
    ]
}

/// A copy of a member's header that can be changed.
fn header_of(member: &[u8]) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&member[..512]);
    header
}

fn check(name: &str, error: &ArchiveError, must: Must) {
    let right = match (must, error) {
        (Must::Refuse(wanted), ArchiveError::Refused { refusal, .. }) => *refusal == wanted,
        (Must::RefuseUnlessKept, ArchiveError::Refused { refusal, .. }) => *refusal == Refusal::LinkOutside,
        (Must::Damaged, ArchiveError::Damaged { .. }) | (Must::Cut, ArchiveError::Cut { .. }) => true,
        _ => false,
    };
    assert!(right, "{name}: {error}");
}

/// Counts what was asked of it.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1 += n as u64;
        Ok(n)
    }
}

#[test]
fn every_evil_archive_is_refused_and_nothing_outside_changes() {
    let suite = evil();
    for (name, members, must) in &suite {
        let outer = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("canary"), "sings").unwrap();
        let before = look(outer.path());
        let mut tar = members.concat();
        if !matches!(must, Must::Cut) {
            tar.extend(end());
        }
        let strict = InspectOptions::new(scratch.path());
        for options in [strict.clone(), keeping(scratch.path())] {
            let kept =
                matches!(must, Must::RefuseUnlessKept) && options.links_outside != strict.links_outside;
            // Where the way is a link, the strict setting refuses the link itself.
            let link_first = options.links_outside == strict.links_outside && name.contains("through a link");
            for mode in [
                RestoreMode::Fresh,
                RestoreMode::FillIn { replace: true },
                RestoreMode::FillIn { replace: false },
            ] {
                let root = outer.path().join("root");
                fs::create_dir(&root).unwrap();
                let how = UnpackOptions { inspect: options.clone(), mode, owners: Owners::Archived };
                let done = unpack(&tar[..], &root, &how, None);
                match &done {
                    Ok(_) => assert!(kept, "{name} was unpacked"),
                    Err(_) if kept => panic!("{name}: {done:?}"),
                    Err(ArchiveError::Refused { refusal: Refusal::LinkOutside, .. }) if link_first => {}
                    Err(e) => check(name, e, *must),
                }
                fs::remove_dir_all(&root).unwrap();
                let mut after = look(outer.path());
                for (path, seen) in &mut after {
                    assert_eq!(seen.content, before[path].content, "{name}");
                }
                assert_eq!(after, before, "{name}");
            }
            let found = inspect(&tar[..], &options, None);
            assert_eq!(found.is_ok(), kept, "{name}");
        }
    }
    println!("{} evil archives, each refused", suite.len());
}

#[test]
fn a_bad_member_is_refused_before_what_follows_is_read_or_passed_on() {
    let scratch = tempfile::tempdir().unwrap();
    let good = member(b"good", EntryType::Regular, b"", &vec![7; 3 << 20]);
    let bad = file("../canary");
    let tar = [&good[..], &bad, &vec![1; 3 << 20]].concat();
    let mut counted = Counted(&tar[..], 0);
    let mut passed = Vec::new();
    let mut inspector = Inspector::new(&mut counted, &InspectOptions::new(scratch.path())).unwrap();
    let error = inspector.read_to_end(&mut passed).expect_err("refused");
    assert!(matches!(
        Inspector::<&[u8]>::refusal(&error),
        Some(ArchiveError::Refused { refusal: Refusal::ParentReference, at_bytes, .. }) if *at_bytes == good.len() as u64
    ));
    assert!(inspector.read(&mut [0; 10]).is_err(), "and it stays refused");
    assert!(passed.len() <= good.len());
    assert_eq!(passed, tar[..passed.len()]);
    assert!(counted.1 < good.len() as u64 + (1 << 20));
}

#[test]
fn a_link_that_was_planted_in_the_place_is_not_followed() {
    let outer = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::create_dir(outer.path().join("outside")).unwrap();
    fs::write(outer.path().join("canary"), "sings").unwrap();
    let fill = |tar: Vec<Vec<u8>>, root: &Path, replace| {
        let mode = RestoreMode::FillIn { replace };
        let how = UnpackOptions { inspect: keeping(scratch.path()), mode, owners: Owners::OfRoot };
        unpack(&[tar.concat(), end()].concat()[..], root, &how, None)
    };
    for replace in [true, false] {
        symlink("../outside", root.join("d")).unwrap();
        symlink("../canary", root.join("f")).unwrap();
        assert!(matches!(fill(vec![file("d/x")], &root, replace), Err(ArchiveError::Place { .. })));
        assert!(matches!(fill(vec![dir("d/")], &root, replace), Err(ArchiveError::Place { .. })));
        let done = fill(vec![file("f")], &root, replace).expect("a link is replaced or stays");
        assert_eq!((done.written, done.kept), if replace { (1, 0) } else { (0, 1) });
        assert_eq!(root.join("f").is_symlink(), !replace);
        assert_eq!(fs::read(outer.path().join("canary")).unwrap(), b"sings");
        assert_eq!(fs::read_dir(outer.path().join("outside")).unwrap().count(), 0);
        fs::remove_file(root.join("d")).unwrap();
        fs::remove_file(root.join("f")).unwrap();
    }
}

/// What Python makes of the same tricks; not every archive that harms comes from a header by hand.
#[test]
fn evil_archives_by_python() {
    const MAKE: &str = "
import io, sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[1])) as t:
    for name, kind, target in eval(sys.argv[2]):
        m = tarfile.TarInfo(name)
        m.type, m.linkname = kind, target
        t.addfile(m)
";
    let scratch = tempfile::tempdir().unwrap();
    for format in ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"] {
        for what in [
            "[('../x', b'0', '')]",
            "[('/x', b'0', '')]",
            "[('a/' * 60 + '../' * 61 + 'x', b'0', '')]",
            "[('l', b'2', '..'), ('l/x', b'0', '')]",
            "[('l', b'2', '/'), ('l/x', b'5', '')]",
            "[('h', b'1', '../x')]",
            "[('p', b'6', '')]",
            "[('c', b'3', '')]",
            "[('a', b'5', ''), ('a', b'2', '..')]",
        ] {
            let tar =
                std::process::Command::new("python3").args(["-c", MAKE, format, what]).output().unwrap();
            // ustar has no room for one of the names.
            if tar.status.success() {
                let e = inspect(&tar.stdout[..], &keeping(scratch.path()), None).expect_err(what);
                assert!(matches!(e, ArchiveError::Refused { .. }), "{what}: {e}");
            } else {
                assert!(format == "USTAR_FORMAT" && what.contains("* 60"), "{what}");
            }
        }
    }
}
