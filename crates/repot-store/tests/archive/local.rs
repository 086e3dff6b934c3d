//! Packing and unpacking a directory: what changes meanwhile, what is there already, what is compared.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use repot_store::archive::{
    ArchiveError, Depth, Owners, PackOptions, RestoreMode, RootAttributes, UnpackOptions, compare,
    fingerprint_tree, inspect, unpack,
};

use crate::tree::{look, same};
use crate::{keeping, pack};

fn dirs<const N: usize>(names: [&str; N]) -> (tempfile::TempDir, [PathBuf; N]) {
    let dir = tempfile::tempdir().unwrap();
    let paths = names.map(|n| dir.path().join(n));
    for p in &paths {
        fs::create_dir(p).unwrap();
    }
    (dir, paths)
}

/// Does something when a marker first passes.
struct When<F> {
    out: Vec<u8>,
    marker: &'static [u8],
    what: Option<F>,
}

impl<F: FnOnce()> Write for When<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend(bytes);
        if bytes.windows(self.marker.len()).any(|w| w == self.marker)
            && let Some(what) = self.what.take()
        {
            what();
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_changes_while_it_is_read_is_noted_and_the_archive_stays_whole() {
    let (dir, [root]) = dirs(["root"]);
    for name in ["a-shrinks", "b-grows", "c-vanishes", "e-becomes-a-link"] {
        fs::write(root.join(name), vec![b'x'; 1 << 20]).unwrap();
    }
    fs::create_dir(root.join("d-vanishes")).unwrap();
    let r = root.clone();
    let mut out = When {
        out: Vec::new(),
        marker: b"a-shrinks",
        what: Some(move || {
            fs::OpenOptions::new().write(true).open(r.join("a-shrinks")).unwrap().set_len(1000).unwrap();
            fs::remove_file(r.join("c-vanishes")).unwrap();
            fs::remove_dir(r.join("d-vanishes")).unwrap();
            fs::remove_file(r.join("e-becomes-a-link")).unwrap();
            symlink("/etc/passwd", r.join("e-becomes-a-link")).unwrap();
        }),
    };
    let packed =
        repot_store::archive::pack(&root, &mut out, &PackOptions::new(dir.path()), None).expect("packed");
    assert_eq!(packed.unsteady, 3, "{:?}", packed.notes);
    let noted: Vec<_> = packed.notes.first.iter().map(|n| n.path.as_str()).collect();
    assert_eq!(noted, ["a-shrinks", "c-vanishes", "d-vanishes", "e-becomes-a-link"]);
    let found = inspect(&out.out[..], &keeping(dir.path()), None).expect("whole");
    assert_eq!(found.fingerprint, packed.fingerprint);
    // Padded to the size that the header says.
    assert_eq!(found.fingerprint.total_bytes, 2 << 20);

    let r = root.clone();
    let mut out = When {
        out: Vec::new(),
        marker: b"b-grows",
        what: Some(move || {
            fs::OpenOptions::new().append(true).open(r.join("b-grows")).unwrap().write_all(b"more").unwrap();
        }),
    };
    let packed =
        repot_store::archive::pack(&root, &mut out, &PackOptions::new(dir.path()), None).expect("packed");
    assert_eq!((packed.unsteady, packed.notes.first[0].path.as_str()), (1, "b-grows"));
    assert!(inspect(&out.out[..], &keeping(dir.path()), None).is_ok());
}

#[test]
fn sockets_and_fifos_are_left_out_and_noted() {
    let (dir, [root]) = dirs(["root"]);
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let (packed_tar, packed, _) = pack(&root, dir.path());
    assert_eq!((packed.fingerprint.entries, packed.notes.total), (0, 1));
    assert_eq!(packed_tar, [0; 1024]);
}

#[test]
fn excluded_paths_are_left_out_with_what_is_below() {
    let (dir, [root]) = dirs(["root"]);
    for name in ["backup", "media/backup", "media/x"] {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join("f"), "x").unwrap();
    }
    let mut options = PackOptions::new(dir.path());
    options.exclude.insert(b"backup".to_vec());
    options.exclude.insert(b"media/x/f".to_vec());
    let mut list = Vec::new();
    fingerprint_tree(&root, &options, Some(&mut list)).unwrap();
    let paths: Vec<String> = String::from_utf8(list)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str::<repot_store::archive::Entry>(l).unwrap().path.to_string())
        .collect();
    assert_eq!(paths, ["media", "media/backup", "media/backup/f", "media/x"]);
}

fn fill(tar: &[u8], root: &Path, scratch: &Path, replace: bool) -> Result<(u64, u64), ArchiveError> {
    let mode = RestoreMode::FillIn { replace };
    let options = UnpackOptions { inspect: keeping(scratch), mode, owners: Owners::Archived };
    unpack(tar, root, &options, None).map(|u| (u.written, u.kept))
}

#[test]
fn filling_in_keeps_or_replaces_and_never_deletes() {
    let (dir, [root, here]) = dirs(["root", "here"]);
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/a"), "new").unwrap();
    fs::write(root.join("d/b"), "new").unwrap();
    fs::hard_link(root.join("d/b"), root.join("d/c")).unwrap();
    symlink("a", root.join("d/l")).unwrap();
    fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o750)).unwrap();
    let (tar, packed, _) = pack(&root, dir.path());

    fs::create_dir(here.join("d")).unwrap();
    fs::write(here.join("d/a"), "old").unwrap();
    fs::write(here.join("d/mine"), "mine").unwrap();
    symlink("elsewhere", here.join("d/l")).unwrap();
    assert_eq!(fill(&tar, &here, dir.path(), false).unwrap(), (2, 3));
    assert_eq!(fs::read(here.join("d/a")).unwrap(), b"old");
    assert_eq!(fs::read(here.join("d/c")).unwrap(), b"new");
    assert_eq!(fs::read_link(here.join("d/l")).unwrap(), Path::new("elsewhere"));
    assert_ne!(fs::metadata(here.join("d")).unwrap().mode() & 0o7777, 0o750);

    // Twice: the second time the hard links are there already.
    for _ in 0..2 {
        assert_eq!(fill(&tar, &here, dir.path(), true).unwrap(), (packed.fingerprint.entries, 0));
        let mut seen = look(&here);
        assert!(seen.remove(&b"d/mine"[..]).is_some());
        same(&look(&root), &seen, "replaced");
    }

    fs::remove_file(here.join("d/a")).unwrap();
    fs::create_dir(here.join("d/a")).unwrap();
    assert!(matches!(fill(&tar, &here, dir.path(), true), Err(ArchiveError::Place { .. })));
    assert!(here.join("d/a").is_dir());
    let names: Vec<_> = fs::read_dir(here.join("d")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|n| !n.to_string_lossy().starts_with(".repot")), "{names:?}");
}

#[test]
fn a_fresh_place_must_be_empty_and_a_failed_fill_in_leaves_whole_files() {
    let (dir, [root, here]) = dirs(["root", "here"]);
    fs::write(root.join("a"), vec![b'n'; 100_000]).unwrap();
    let (tar, _, _) = pack(&root, dir.path());
    fs::write(here.join("a"), "old").unwrap();
    let options =
        UnpackOptions { inspect: keeping(dir.path()), mode: RestoreMode::Fresh, owners: Owners::Archived };
    assert!(matches!(unpack(&tar[..], &here, &options, None), Err(ArchiveError::Place { .. })));
    assert!(matches!(fill(&tar[..5000], &here, dir.path(), true), Err(ArchiveError::Cut { .. })));
    assert_eq!(look(&here).len(), 1);
    assert_eq!(fs::read(here.join("a")).unwrap(), b"old");
}

#[test]
fn a_comparison_names_what_differs() {
    let (dir, [a, b]) = dirs(["a", "b"]);
    for root in [&a, &b] {
        for name in ["content", "mode", "same", "time"] {
            fs::write(root.join(name), "x").unwrap();
            crate::tree::set_mtime(&root.join(name), (5, 5));
        }
        symlink("x", root.join("link")).unwrap();
        crate::tree::set_mtime(&root.join("link"), (5, 5));
    }
    fs::write(a.join("first"), "x").unwrap();
    fs::write(b.join("second"), "x").unwrap();
    fs::write(b.join("content"), "y").unwrap();
    crate::tree::set_mtime(&b.join("content"), (5, 5));
    crate::tree::set_mtime(&b.join("time"), (5, 6));
    fs::set_permissions(a.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(b.join("mode"), fs::Permissions::from_mode(0o644)).unwrap();
    let list = |root: &Path| {
        let mut list = Vec::new();
        fingerprint_tree(root, &PackOptions::new(dir.path()), Some(&mut list)).unwrap();
        list
    };
    let (a, b) = (list(&a), list(&b));
    let found = compare(&a[..], &b[..], Depth::Everything, 10).unwrap();
    let words: Vec<_> = found.first.iter().map(|d| format!("{}: {}", d.path, d.what)).collect();
    assert_eq!(
        words,
        [
            "content: content",
            "first: only in the first",
            "mode: mode 0600, then 0644",
            "second: only in the second",
            "time: modification time 5 s 5 ns, then 5 s 6 ns",
        ]
    );
    assert_eq!((found.left, found.right, found.differing), (6, 6, 5));
    let content = compare(&a[..], &b[..], Depth::Content, 1).unwrap();
    assert_eq!((content.differing, content.first.len()), (3, 1));
    assert_eq!(compare(&a[..], &a[..], Depth::Everything, 1).unwrap().differing, 0);

    let turned: Vec<u8> = a.split_inclusive(|b| *b == b'\n').rev().flatten().copied().collect();
    assert!(matches!(
        compare(&a[..], &turned[..], Depth::Everything, 1),
        Err(ArchiveError::List { which: "second", line: 2, .. })
    ));
    assert!(matches!(
        compare(&a[..a.len() - 1], &b[..], Depth::Everything, 1),
        Err(ArchiveError::List { .. })
    ));
}

#[test]
fn the_attributes_of_the_root_are_carried_over() {
    let (_dir, [a, b]) = dirs(["a", "b"]);
    fs::set_permissions(&a, fs::Permissions::from_mode(0o2770)).unwrap();
    crate::tree::set_mtime(&a, (7, 9));
    let attributes = RootAttributes::of(&a).unwrap();
    attributes.apply(&b).unwrap();
    assert_eq!(RootAttributes::of(&b).unwrap(), attributes);
    assert_eq!((attributes.mode, attributes.mtime_s, attributes.mtime_ns), (0o2770, 7, 9));
}
