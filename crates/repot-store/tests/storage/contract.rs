//! What every storage has to keep.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use repot_store::storage::{PART_BYTES, Storage};

/// Bytes that look like nothing, the same for the same seed.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[track_caller]
pub(crate) fn put(storage: &Storage, name: &str, content: &[u8]) {
    let mut w = storage.writer(name).expect("a writer");
    w.write_all(content).expect("written");
    assert_eq!(w.finish().expect("finished"), content.len() as u64);
}

#[track_caller]
pub(crate) fn get(storage: &Storage, name: &str) -> Vec<u8> {
    let mut back = Vec::new();
    storage.reader(name).expect("a reader").read_to_end(&mut back).expect("read");
    back
}

pub(crate) fn names(storage: &Storage, prefix: &str) -> Vec<String> {
    storage.list(prefix).expect("listed").into_iter().map(|e| e.name).collect()
}

/// Names of all files in the server's own directory.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).expect("a directory").map(|i| i.expect("an entry")) {
        if item.file_type().expect("a type").is_dir() {
            found.extend(files(&item.path()));
        } else {
            found.push(item.path().display().to_string());
        }
    }
    found
}

/// The whole contract. `data` is where the server keeps files, if it keeps one for each.
pub(crate) fn contract(storage: &Storage, data: Option<&Path>) {
    storage.check().expect("usable");
    absent(storage);
    sizes(storage);
    ranges(storage);
    appears_at_finish(storage);
    dropped_leaves_nothing(storage, data);
    odd_names(storage);
    removes_one_directory(storage);
    several_at_once(storage);
    if let Some(data) = data {
        let left: Vec<String> =
            files(data).into_iter().filter(|f| f.contains("partial") || f.contains("probe")).collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

fn absent(s: &Storage) {
    assert_eq!(names(s, ""), Vec::<String>::new());
    assert_eq!(names(s, "none"), Vec::<String>::new());
    assert_eq!(names(s, "none/deeper/"), Vec::<String>::new());
    for name in ["none", "none/deeper"] {
        assert!(s.stat(name).expect_err("absent").is_not_found());
        assert!(s.reader(name).expect_err("absent").is_not_found());
        assert!(!s.exists(name).expect("answered"));
        s.delete(name).expect("nothing to do");
    }
    s.remove_dir("none").expect("nothing to do");
}

fn sizes(s: &Storage) {
    for (i, size) in
        [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 12_345].into_iter().enumerate()
    {
        let name = format!("sizes/{size}");
        let content = noise(i as u64, size);
        let mut w = s.writer_of(&name, Some(size as u64)).expect("a writer");
        for piece in content.chunks(777_777) {
            w.write_all(piece).expect("written");
        }
        assert_eq!(w.size_bytes(), size as u64);
        assert_eq!(w.finish().expect("finished"), size as u64);
        let e = s.stat(&name).expect("there");
        assert_eq!((e.name.as_str(), e.size_bytes), (name.as_str(), size as u64));
        if let Some(t) = e.modified {
            let off = SystemTime::now().duration_since(t).unwrap_or_default();
            assert!(off < Duration::from_hours(26), "{t:?}");
        }
        assert_eq!(blake3::hash(&get(s, &name)), blake3::hash(&content), "{size} bytes");
    }
    let listed: Vec<(String, u64)> =
        s.list("sizes").expect("listed").into_iter().map(|e| (e.name, e.size_bytes)).collect();
    assert_eq!(listed.len(), 6);
    for (name, size) in listed {
        assert_eq!(name, format!("sizes/{size}"));
    }
}

fn ranges(s: &Storage) {
    let content = noise(9, 300_000);
    put(s, "ranges", &content);
    for (offset, length) in [
        (0, Some(1)),
        (0, None),
        (1, None),
        (299_999, None),
        (100_000, Some(100_000)),
        (299_000, Some(5_000)),
        (300_000, None),
        (400_000, None),
        (5, Some(0)),
    ] {
        let mut back = Vec::new();
        let mut r = s.reader_at("ranges", offset, length).expect("a reader");
        r.read_to_end(&mut back).expect("read");
        let from = usize::try_from(offset).expect("small").min(content.len());
        let to =
            length.map_or(content.len(), |l| (from + usize::try_from(l).expect("small")).min(content.len()));
        assert_eq!(r.length_bytes(), (to - from) as u64);
        assert!(back == content[from..to], "{offset} {length:?}");
    }
    // A reader that is given up does no harm.
    let mut r = s.reader("ranges").expect("a reader");
    r.read_exact(&mut [0; 10]).expect("read");
    drop(r);
    assert_eq!(get(s, "ranges").len(), 300_000);
}

fn appears_at_finish(s: &Storage) {
    let (old, new) = (noise(1, 1_000), noise(2, PART_BYTES + 5));
    let mut w = s.writer("late/file").expect("a writer");
    w.write_all(&new).expect("written");
    assert!(!s.exists("late/file").expect("answered"));
    assert_eq!(names(s, "late"), Vec::<String>::new());
    w.finish().expect("finished");
    assert_eq!(names(s, "late"), ["late/file"]);
    // Replacing: the old content is there until the new one is.
    put(s, "late/file", &old);
    assert!(get(s, "late/file") == old);
    let mut w = s.writer("late/file").expect("a writer");
    w.write_all(&new).expect("written");
    assert!(get(s, "late/file") == old);
    w.finish().expect("finished");
    assert!(get(s, "late/file") == new);
    s.delete("late/file").expect("deleted");
    assert!(!s.exists("late/file").expect("answered"));
}

fn dropped_leaves_nothing(s: &Storage, data: Option<&Path>) {
    let before = data.map(files);
    for size in [0, 10, PART_BYTES, 2 * PART_BYTES + 1] {
        let mut w = s.writer("dropped/file").expect("a writer");
        w.write_all(&noise(3, size)).expect("written");
        drop(w);
        assert!(!s.exists("dropped/file").expect("answered"), "{size} bytes");
        assert_eq!(names(s, "dropped"), Vec::<String>::new(), "{size} bytes");
    }
    assert_eq!(data.map(files), before);
    // And the name can be used again.
    put(s, "dropped/file", b"again");
    assert_eq!(get(s, "dropped/file"), b"again");
}

fn odd_names(s: &Storage) {
    let mut wanted: Vec<String> = [
        "a b.txt",
        "ü-日本.dump",
        "plus+and&amp=eq.tar",
        "100%25.txt",
        "it's(1)~[x]{y}!@$^,.bin",
        "d/e/e/p/file",
        ".dotted",
    ]
    .map(|n| format!("odd names/{n}"))
    .to_vec();
    for n in &wanted {
        put(s, n, n.as_bytes());
    }
    wanted.sort();
    assert_eq!(names(s, "odd names"), wanted);
    for n in &wanted {
        assert_eq!(get(s, n), n.as_bytes());
        assert_eq!(s.stat(n).expect("there").size_bytes, n.len() as u64);
    }
    s.remove_dir("odd names/").expect("removed");
    assert_eq!(names(s, "odd names"), Vec::<String>::new());
}

fn removes_one_directory(s: &Storage) {
    for n in ["set-1/a", "set-1/b/c", "set-10/a", "set-1.txt"] {
        put(s, n, b"x");
    }
    s.remove_dir("set-1").expect("removed");
    let left: Vec<String> = names(s, "").into_iter().filter(|n| n.starts_with("set")).collect();
    assert_eq!(left, ["set-1.txt", "set-10/a"]);
    put(s, "set-1/a", b"y");
    assert_eq!(names(s, "set-1"), ["set-1/a"]);
}

fn several_at_once(s: &Storage) {
    let content: Vec<Vec<u8>> = (0..3).map(|i| noise(20 + i, PART_BYTES + 100_000)).collect();
    std::thread::scope(|scope| {
        for (i, c) in content.iter().enumerate() {
            scope.spawn(move || {
                let name = format!("at once/{i}");
                put(s, &name, c);
                assert!(get(s, &name) == *c);
            });
        }
    });
    let mut writers: Vec<_> = (0..3).map(|i| s.writer(&format!("woven/{i}")).expect("a writer")).collect();
    for piece in 0..20 {
        for (w, c) in writers.iter_mut().zip(&content) {
            w.write_all(&c[piece * 1000..(piece + 1) * 1000]).expect("written");
        }
    }
    for (i, w) in writers.into_iter().enumerate() {
        w.finish().expect("finished");
        assert!(get(s, &format!("woven/{i}")) == content[i][..20_000]);
    }
}
