//! Memory does not grow with the archive. A program of its own: the peak is the whole process's.

use std::io::{Read, Write};

use repot_store::archive::{Depth, InspectOptions, Owners, PackOptions, RestoreMode, UnpackOptions, compare};
use tar::{EntryType, Header};

const ENTRIES: u32 = 200_000;
const LIMIT_KIB: u64 = 100_000;

/// Makes the archive as it is read: files of 100 bytes with names of 80, in directories of 500.
struct Endless {
    next: u32,
    block: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() {
            self.at = 0;
            self.block.clear();
            if self.next < ENTRIES {
                let mut header = Header::new_ustar();
                let name = format!("{:040}/{:039}", self.next / 500, ENTRIES - self.next);
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_entry_type(EntryType::Regular);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(u64::from(self.next));
                header.set_size(100);
                header.set_cksum();
                self.block.extend(header.as_bytes());
                self.block.extend([b'c'; 100]);
                self.block.resize(1024, 0);
            } else if self.next == ENTRIES {
                self.block.resize(1024, 0);
            }
            self.next += 1;
        }
        let n = buffer.len().min(self.block.len() - self.at);
        buffer[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn two_hundred_thousand_entries() {
    let dir = tempfile::tempdir().expect("tempdir");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("made");
    let stream = || Endless { next: 0, block: Vec::new(), at: 0 };
    let before = peak_kib();
    let list = |name: &str| std::fs::File::create(dir.path().join(name)).expect("made");
    let open =
        |name: &str| std::io::BufReader::new(std::fs::File::open(dir.path().join(name)).expect("opened"));

    let options = InspectOptions::new(dir.path());
    let mut lines = std::io::BufWriter::new(list("inspected"));
    let found = repot_store::archive::inspect(stream(), &options, Some(&mut lines)).expect("a good archive");
    lines.flush().expect("written");
    assert_eq!(found.fingerprint.files, u64::from(ENTRIES));

    let how = UnpackOptions { inspect: options, mode: RestoreMode::Fresh, owners: Owners::Archived };
    let unpacked = repot_store::archive::unpack(stream(), &root, &how, None).expect("unpacked");
    assert_eq!(unpacked.fingerprint, found.fingerprint);

    let mut lines = std::io::BufWriter::new(list("packed"));
    repot_store::archive::pack(&root, std::io::sink(), &PackOptions::new(dir.path()), Some(&mut lines))
        .expect("packed");
    lines.flush().expect("written");
    // The archive had no members for its directories.
    let same = compare(open("inspected"), open("packed"), Depth::Content, 3).expect("compared");
    assert_eq!((same.left, same.right, &same.first[..]), (u64::from(ENTRIES), u64::from(ENTRIES), &[][..]));

    let grown = peak_kib() - before;
    println!("{ENTRIES} entries inspected, unpacked, packed and compared: the peak grew by {grown} KiB");
    assert!(grown < LIMIT_KIB, "the peak grew by {grown} KiB");
}
