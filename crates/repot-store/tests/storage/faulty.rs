//! What is left when something fails, on every storage alike.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use repot_store::storage::{Call, Fault, Faults, PART_BYTES, Storage, StorageError};

use crate::contract::{get, names, noise, put};

/// Writes a file of three parts; where it fails, the error.
fn upload(s: &Storage, name: &str, content: &[u8]) -> Result<u64, StorageError> {
    let inner = |e: io::Error| e.downcast::<StorageError>().expect("the storage's own error");
    let mut w = s.writer(name)?;
    w.write_all(content).map_err(inner)?;
    w.finish()
}

/// Nothing that failed has a name, and what had it keeps it.
pub(crate) fn failed_uploads(s: &Storage) {
    let (old, new) = (noise(1, 1_000), noise(2, 2 * PART_BYTES + 10));
    put(s, "faults/old", &old);
    for (call, nth) in
        [(Call::Begin, 1), (Call::Part, 1), (Call::Part, 2), (Call::Part, 3), (Call::Finish, 1)]
    {
        let broken = |fault| s.with_faults(Faults::none().at(call, nth, fault));
        for name in ["faults/new", "faults/old"] {
            let e = upload(&broken(Fault::Fails), name, &new).expect_err("told to fail");
            assert!(matches!(e, StorageError::Unreachable(_)), "{e}");
        }
        assert_eq!(names(s, "faults"), ["faults/old"], "{call:?} {nth}");
        assert!(get(s, "faults/old") == old, "{call:?} {nth}");
    }
    // The size could not be compared.
    upload(&s.with_faults(Faults::none().at(Call::Stat, 1, Fault::Fails)), "faults/new", &new)
        .expect_err("told to fail");
    assert_eq!(names(s, "faults"), ["faults/old"]);
    // An answer that was lost: what has the name then is whole.
    for call in [Call::Part, Call::Finish, Call::Rename] {
        let lost = s.with_faults(Faults::none().at(call, 1, Fault::AnswerLost));
        if upload(&lost, "faults/lost", &new).is_err() && s.exists("faults/lost").expect("answered") {
            assert!(get(s, "faults/lost") == new, "{call:?}");
        }
        s.delete("faults/lost").expect("deleted");
    }
    // A writer that failed once does not go on.
    let broken = s.with_faults(Faults::none().at(Call::Part, 1, Fault::Fails));
    let mut w = broken.writer("faults/new").expect("a writer");
    w.write_all(&new).expect_err("told to fail");
    w.write_all(b"more").expect_err("failed before");
    w.finish().expect_err("failed before");
    assert_eq!(names(s, "faults"), ["faults/old"]);
    s.remove_dir("faults").expect("removed");
}

/// What comes back short or changed is noticed.
pub(crate) fn bad_reads(s: &Storage) {
    let content = noise(3, 200_000);
    put(s, "bad/file", &content);
    for cut in [0, 1, 100_000, 199_999] {
        let mut back = Vec::new();
        let e = s
            .with_faults(Faults::none().cut_reads_at(cut))
            .reader("bad/file")
            .expect("a reader")
            .read_to_end(&mut back)
            .expect_err("short");
        assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(back.len() as u64, cut);
    }
    for (offset, bit) in [(0, 0), (77_777, 3), (199_999, 7)] {
        let back = get(&s.with_faults(Faults::none().flip_reads_at(offset, bit)), "bad/file");
        assert_eq!(back.len(), content.len());
        // The manifest's BLAKE3 is what callers compare.
        assert_ne!(blake3::hash(&back), blake3::hash(&content));
    }
    let began = Instant::now();
    let slow = s.with_faults(Faults::none().at(Call::Open, 1, Fault::Stalls(Duration::from_millis(200))));
    assert!(get(&slow, "bad/file") == content);
    assert!(began.elapsed() >= Duration::from_millis(200));
    let broken =
        s.with_faults(Faults::none().at(Call::Delete, 1, Fault::Fails).at(Call::List, 1, Fault::Fails));
    broken.delete("bad/file").expect_err("told to fail");
    broken.list("").expect_err("told to fail");
    s.remove_dir("bad").expect("removed");
}
