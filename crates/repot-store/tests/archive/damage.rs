//! Damage: every byte flipped, every cut, noise, and streams that come in pieces.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use repot_store::archive::{ArchiveError, Fingerprint, Inspector, inspect};

use crate::tree::set_mtime;
use crate::{keeping, pack, run, text};

/// Something of everything.
fn sample(root: &Path) {
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/ä"), "content").unwrap();
    fs::write(root.join("dir").join("long".repeat(30)), vec![3; 700]).unwrap();
    fs::hard_link(root.join("dir/ä"), root.join("hard")).unwrap();
    symlink("dir/ä", root.join("link")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"data", 256 << 10).unwrap();
    sparse.set_len(512 << 10).unwrap();
    rustix::fs::setxattr(root.join("hard"), "user.a", b"value", rustix::fs::XattrFlags::empty()).unwrap();
    fs::set_permissions(root.join("hard"), fs::Permissions::from_mode(0o600)).unwrap();
    let names = ["dir/ä", "empty", "link", "sparse", "dir"];
    for (i, name) in names.iter().enumerate() {
        set_mtime(&root.join(name), (1_600_000_000 - 800_000_000 * i as i64, 123_456_789));
    }
}

fn fingerprint(tar: &[u8], scratch: &Path) -> Result<Fingerprint, ArchiveError> {
    inspect(tar, &keeping(scratch), None).map(|i| i.fingerprint)
}

/// Positions of bytes that could be flipped without being noticed.
fn unnoticed(tar: &[u8], scratch: &Path) -> Vec<usize> {
    let right = fingerprint(tar, scratch).expect("whole");
    let mut bad = tar.to_vec();
    let mut out = Vec::new();
    for i in 0..tar.len() {
        // A different bit at each place, and at some all of them.
        let flip = if i % 9 == 8 { 0xff } else { 1 << (i % 9) };
        bad[i] ^= flip;
        if fingerprint(&bad, scratch).is_ok_and(|f| f == right) {
            out.push(i);
        }
        bad[i] ^= flip;
    }
    out
}

#[test]
fn every_flipped_byte_of_our_archives_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let (tar, _, _) = pack(&root, dir.path());
    assert_eq!(unnoticed(&tar, dir.path()), Vec::<usize>::new());
    println!("{} bytes flipped in turn, each noticed", tar.len());
}

/// GNU tar's archives hold access and change times, which are not part of the fingerprint, and names of owners.
#[test]
fn every_flipped_byte_of_gnu_archives_is_noticed_or_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    sample(&root);
    for format in ["--format=posix", "--format=gnu"] {
        let args =
            ["-C", text(&root), format, "--xattrs", "--sparse", "--blocking-factor=1", "-cf", "-", "."];
        let tar = run("tar", &args, None).stdout;
        let found = unnoticed(&tar, dir.path());
        for i in &found {
            let block = i / 512 * 512;
            let line = tar[block..*i].iter().rposition(|b| *b == b'\n').map_or(block, |n| block + n + 1);
            let record = tar[line..(line + 60).min(tar.len())].escape_ascii().to_string();
            let ignored = record.contains(" atime=") || record.contains(" ctime=");
            assert!(ignored, "{format}: byte {i} of `{record}`");
        }
        println!(
            "{format}: {} bytes flipped in turn, {} of them in times that are not kept",
            tar.len(),
            found.len()
        );
    }
}

#[test]
fn every_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let (tar, _, _) = pack(&root, dir.path());
    for len in 0..tar.len() {
        let e = fingerprint(&tar[..len], dir.path()).expect_err("cut");
        assert!(matches!(e, ArchiveError::Cut { at_bytes, .. } if at_bytes == len as u64), "{len}: {e}");
    }
    println!("{} cuts, each noticed", tar.len());
}

/// Gives a few bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(buffer.len()).min(self.0.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let dir = tempfile::tempdir().unwrap();
        prop_assert!(fingerprint(&noise, dir.path()).is_err());
    }

    /// Headers whose checksum is right, and the rest is not.
    #[test]
    fn noise_behind_a_good_checksum_does_not_panic(
        blocks in proptest::collection::vec(
            (proptest::collection::vec((0_usize..512, any::<u8>()), 0..12), proptest::sample::select(&b"0125xgLKS\0"[..]), 0_u64..3000),
            1..8,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = Vec::new();
        for (changes, kind, size) in blocks {
            let mut header = if kind == b'S' { tar::Header::new_gnu() } else { tar::Header::new_ustar() };
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.as_old_mut().name[0] = b'n';
            header.set_size(size);
            for (at, byte) in changes {
                header.as_mut_bytes()[at] = byte;
            }
            header.set_entry_type(tar::EntryType::new(kind));
            header.set_cksum();
            tar.extend(header.as_bytes());
            tar.extend(vec![b'1'; size as usize]);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        let _ = fingerprint(&tar, dir.path());
        tar.extend([0; 1024]);
        if let Ok(f) = fingerprint(&tar, dir.path()) {
            prop_assert_eq!(f.entries, f.files + f.directories + f.symlinks);
        }
    }

    /// However the stream is cut into pieces: the bytes pass unchanged, and the result is the same.
    #[test]
    fn pieces_of_any_size(piece in 1_usize..1500, wanted in 1_usize..1500) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        sample(&root);
        let (tar, packed, _) = pack(&root, dir.path());
        let mut inspector = Inspector::new(Drip(&tar, piece), &keeping(dir.path())).unwrap();
        let mut passed: Vec<u8> = Vec::new();
        let mut buffer = vec![0; wanted];
        loop {
            let n = inspector.read(&mut buffer).expect("whole");
            if n == 0 {
                break;
            }
            passed.extend(&buffer[..n]);
        }
        prop_assert!(passed == tar);
        let found = inspector.finish(None).expect("whole");
        prop_assert_eq!(found.fingerprint, packed.fingerprint);
        prop_assert_eq!(found.stream_bytes, tar.len() as u64);
    }
}
