//! Both ways beside gzip, zstd and Python, and writers that stop half way.

use std::io::{self, Cursor, Read, Write};
use std::num::NonZero;
use std::process::Command;

use repot_store::codec::{Cipher, CodecError, Compression, Effort, Encryption, Keys, Layers, verify_all};

use super::gnupg::{Gnupg, Kind};
use super::{SIZES_BYTES, age_key, content, file, pack, piped, tool, unpack};

fn plainly(compression: Compression) -> Layers {
    Layers { compression, cipher: Cipher::None }
}

fn packed(content: &[u8], compression: Compression) -> Vec<u8> {
    pack(content, compression, &Encryption::None)
}

fn opened(bytes: Vec<u8>, compression: Compression) -> Result<Vec<u8>, CodecError> {
    unpack(plainly(compression), bytes, &Keys::default())
}

#[test]
fn every_layer_comes_off_at_every_size() {
    for size in SIZES_BYTES {
        let plain = content(size);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let bytes = packed(&plain, compression);
            assert_eq!(Compression::detect(&bytes), compression);
            assert!(opened(bytes.clone(), compression).unwrap() == plain, "{size} bytes, {compression:?}");
            let reader = compression.reader(&bytes[..]).unwrap();
            let verified = verify_all(reader).unwrap();
            assert_eq!(verified.size_bytes, size as u64);
            assert_eq!(verified.blake3, *blake3::hash(&plain).as_bytes());
        }
    }
}

#[test]
fn gzip_and_python_read_what_is_written_here() {
    const PYTHON: &str = "import gzip,sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    for size in SIZES_BYTES.into_iter().chain([9 << 20]) {
        let plain = content(size);
        let (_dir, path) = file("f.gz", &packed(&plain, Compression::Gzip));
        let _ = tool(Command::new("gzip").arg("-t").arg(&path));
        assert!(piped("gzip", &["-dc"], &path) == plain, "{size} bytes with gzip");
        assert!(
            piped("python3", &["-c", PYTHON, path.to_str().unwrap()], &path) == plain,
            "{size} bytes in Python"
        );
        let listed = tool(Command::new("gzip").arg("-l").arg(&path)).stdout;
        assert!(listed.split_whitespace().any(|w| w == size.to_string()), "{listed}");
    }
}

#[test]
fn zstd_reads_what_is_written_here() {
    for size in SIZES_BYTES.into_iter().chain([9 << 20]) {
        let plain = content(size);
        let (_dir, path) = file("f.zst", &packed(&plain, Compression::Zstd));
        let _ = tool(Command::new("zstd").args(["-q", "-t"]).arg(&path));
        assert!(piped("zstd", &["-dc"], &path) == plain, "{size} bytes");
        let listed = tool(Command::new("zstd").args(["-lv"]).arg(&path));
        assert!(format!("{}{}", listed.stdout, listed.stderr).contains("XXH64"), "no checksum: {listed}");
    }
}

#[test]
fn files_of_gzip_python_and_zstd_open() {
    const PYTHON: &str = "import gzip,sys; f=gzip.GzipFile('named.sql','wb',9,sys.stdout.buffer); f.write(sys.stdin.buffer.read()); f.close()";
    for size in SIZES_BYTES {
        let plain = content(size);
        let (_dir, path) = file("f", &plain);
        for (program, args, kind) in [
            ("gzip", &["-c"][..], Compression::Gzip),
            ("gzip", &["-9", "-c"], Compression::Gzip),
            ("python3", &["-c", PYTHON], Compression::Gzip),
            ("zstd", &["-qc"], Compression::Zstd),
            ("zstd", &["-qc", "-19"], Compression::Zstd),
            ("zstd", &["-qc", "--no-check", "-T2"], Compression::Zstd),
        ] {
            let bytes = piped(program, args, &path);
            assert_eq!(Compression::detect(&bytes), kind);
            assert!(opened(bytes, kind).unwrap() == plain, "{size} bytes of {program} {args:?}");
        }
    }
}

#[test]
fn several_members_and_frames_are_one_file() {
    for kind in [Compression::Gzip, Compression::Zstd] {
        let mut bytes = packed(b"one, ", kind);
        bytes.extend(packed(b"", kind));
        bytes.extend(packed(b"two", kind));
        assert_eq!(opened(bytes.clone(), kind).unwrap(), b"one, two");
        for behind in [&b"x"[..], b"\0", b"not a member, whatever it is", &[0; 512]] {
            let mut longer = bytes.clone();
            longer.extend_from_slice(behind);
            let e = opened(longer, kind).unwrap_err();
            assert!(matches!(e, CodecError::Damaged(_) | CodecError::Truncated), "{kind:?} {behind:?}: {e}");
        }
        assert!(matches!(opened(Vec::new(), kind), Err(CodecError::Truncated)));
    }
    // pzstd starts its files with a frame that is to be skipped.
    let mut bytes = vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];
    bytes.extend(packed(b"content", Compression::Zstd));
    assert_eq!(Compression::detect(&bytes), Compression::Zstd);
    assert_eq!(opened(bytes, Compression::Zstd).unwrap(), b"content");
}

#[test]
fn a_window_too_large_is_said_to_be_that() {
    let (_dir, path) = file("f", &content(100_000));
    let bytes = piped("zstd", &["-qc", "--long=28"], &path);
    let e = opened(bytes, Compression::Zstd).unwrap_err();
    assert!(matches!(&e, CodecError::Unsupported(w) if w.contains("--long=31")), "{e:?}");
}

#[test]
fn the_same_content_gives_the_same_file_whatever_the_threads() {
    let plain = content(11 << 20);
    for kind in [Compression::Gzip, Compression::Zstd] {
        let with = |threads, piece_bytes| {
            let effort = Effort { level: None, threads: NonZero::new(threads) };
            let mut out = kind.writer(Vec::new(), effort).unwrap();
            for piece in plain.chunks(piece_bytes) {
                out.write_all(piece).unwrap();
            }
            out.finish().unwrap()
        };
        let one = with(1, 1 << 20);
        assert!(one == with(3, 4_099), "{kind:?}");
        assert!(one.len() < plain.len() * 2 / 3, "{kind:?}: {} bytes of {}", one.len(), plain.len());
    }
}

#[test]
fn levels_are_checked_and_work() {
    let plain = content(300_000);
    for (kind, last) in [(Compression::Gzip, 9), (Compression::Zstd, 19)] {
        let mut sizes = Vec::new();
        for level in [1, last] {
            let mut out = kind.writer(Vec::new(), Effort { level: Some(level), threads: None }).unwrap();
            out.write_all(&plain).unwrap();
            let bytes = out.finish().unwrap();
            sizes.push(bytes.len());
            assert!(opened(bytes, kind).unwrap() == plain);
        }
        assert!(sizes[1] < sizes[0], "{kind:?}: {sizes:?}");
        for level in [0, last + 1] {
            let e = kind.writer(Vec::new(), Effort { level: Some(level), threads: None }).unwrap_err();
            assert!(matches!(e, CodecError::Unsupported(_)));
        }
    }
}

/// Shares what was written, so that it can be looked at after the writer is gone.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>, Option<usize>);

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap();
        if self.1.is_some_and(|limit| bytes.len() + buf.len() > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_stops_half_way_leaves_nothing_that_looks_whole() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let (recipient, identity) = age_key();
    let mut keys = gpg.keys("ada");
    keys.age.add_identities(&identity, None).unwrap();
    let plain = content(3 << 20);
    let mut tried = 0;
    for encryption in [Encryption::None, Encryption::Age(recipient), gpg.encryption_for(&["ada"])] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let layers = Layers { compression, cipher: encryption.cipher() };
            if layers == plainly(Compression::None) {
                continue;
            }
            for written in [0, 1, 70_000, plain.len()] {
                // Given up.
                let out = Shared::default();
                let mut w =
                    compression.writer(encryption.writer(out.clone()).unwrap(), Effort::default()).unwrap();
                w.write_all(&plain[..written]).unwrap();
                drop(w);
                // The thread that encrypts may still be at it; what it leaves must be refused at any moment.
                std::thread::sleep(std::time::Duration::from_millis(20));
                let left = out.0.lock().unwrap().clone();
                let e = unpack(layers, left, &keys).unwrap_err();
                assert!(
                    matches!(e, CodecError::Damaged(_) | CodecError::Truncated),
                    "{layers:?} {written}: {e:?}"
                );
                tried += 1;
            }
            for room in [0, 5, 1_000, 1_000_000] {
                // The disk is full: an error, even when the one who writes goes on regardless.
                let out = Shared(Default::default(), Some(room));
                let e = (|| {
                    let mut w = compression.writer(encryption.writer(out.clone())?, Effort::default())?;
                    let _ = w.write_all(&plain);
                    Ok::<_, CodecError>(w.finish()?.finish().map(|_| ())?)
                })();
                assert!(e.is_err(), "{layers:?} with room for {room}");
                let left = out.0.lock().unwrap().clone();
                assert!(unpack(layers, left, &keys).is_err(), "{layers:?} with room for {room}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 8 * 8);
}

#[test]
fn a_failing_source_is_not_called_damage() {
    struct Lost(Cursor<Vec<u8>>);
    impl Read for Lost {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
                n => Ok(n),
            }
        }
    }
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let (recipient, identity) = age_key();
    let mut keys = gpg.keys("ada");
    keys.age.add_identities(&identity, None).unwrap();
    let encryptions = [Encryption::None, Encryption::Age(recipient), gpg.encryption_for(&["ada"])];
    for (encryption, compression) in
        encryptions.iter().zip([Compression::Gzip, Compression::Zstd, Compression::None])
    {
        let layers = Layers { compression, cipher: encryption.cipher() };
        let bytes = pack(&content(400_000), compression, encryption);
        for cut in [0, 1, 30, 200, 100_000] {
            let lost = Lost(Cursor::new(bytes[..cut].to_vec()));
            let e = layers.reader(lost, &keys).and_then(verify_all).unwrap_err();
            assert!(
                matches!(&e, CodecError::Io(e) if e.to_string() == "the server hung up"),
                "{layers:?} {cut}: {e:?}"
            );
        }
    }
}
