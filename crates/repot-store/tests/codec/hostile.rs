//! Files that were made to hurt.

use std::io::{Cursor, Read};

use repot_store::codec::{Cipher, CodecError, Compression, Keys, Layers};

use super::gnupg::{Gnupg, Kind, secret};
use super::{content, pack, unpack};

/// An age header that asks scrypt for 2^40 rounds.
#[test]
fn an_absurd_work_factor_is_refused_at_once() {
    let file = format!(
        "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 40\n{}\n--- {}\n{}",
        "A".repeat(43),
        "A".repeat(43),
        "x".repeat(100)
    );
    let mut keys = Keys::default();
    keys.age.set_passphrase(secret("open sesame"));
    let started = std::time::Instant::now();
    let e = Layers { compression: Compression::None, cipher: Cipher::Age }
        .reader(Cursor::new(file.into_bytes()), &keys)
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(e, CodecError::Unsupported(_)), "{e:?}");
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

/// A gibibyte of zeros in a file of a mebibyte comes out piece by piece.
#[test]
fn a_bomb_is_read_as_a_stream() {
    use std::io::Write;
    let zeros = vec![0_u8; 1 << 20];
    for kind in [Compression::Gzip, Compression::Zstd] {
        let mut out = kind.writer(Vec::new(), Default::default()).unwrap();
        for _ in 0..64 {
            out.write_all(&zeros).unwrap();
        }
        let bomb = out.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        let mut reader = kind.reader(&bomb[..]).unwrap();
        let mut piece = [1; 4096];
        reader.read_exact(&mut piece).unwrap();
        assert_eq!(piece, [0; 4096]);
    }
}

/// The encrypted packet in parts of 512 bytes, the last of which says that another follows. rpgp by itself takes
/// that for the end and compares no code.
#[test]
fn the_check_for_changes_cannot_be_left_out() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let keys = gpg.keys("ada");
    let layers = Layers { compression: Compression::None, cipher: Cipher::OpenPgp };
    let plain = content(9_000);
    let file = pack(&plain, Compression::None, &gpg.encryption_for(&["ada"]));
    let data = 2 + usize::from(file[1]);
    assert_eq!(file[data], 0xd2, "encrypted data follows the session key");
    let length_bytes = match file[data + 1] {
        0..=191 => 1,
        192..=223 => 2,
        _ => 5,
    };
    let body = &file[data + 1 + length_bytes..];
    let mut attempts = 0;
    for (changed, filled_bytes) in [(false, 0), (true, 0), (true, 8 << 10), (true, 9_000), (true, 64 << 10)] {
        let mut body = body.to_vec();
        if changed {
            body[4_000] ^= 1;
        }
        body.resize(body.len() + filled_bytes, 0);
        for last in [&[0xe9][..], &[0xe0], &[0xc0], &[0xff, 0]] {
            let mut framed = file[..=data].to_vec();
            body.resize(body.len().next_multiple_of(512), 0);
            for part in body.chunks(512) {
                framed.push(0xe9);
                framed.extend_from_slice(part);
            }
            framed.extend_from_slice(last);
            let e = unpack(layers, framed, &keys).unwrap_err();
            assert!(matches!(e, CodecError::Damaged(_) | CodecError::Truncated), "{e:?}");
            attempts += 1;
        }
    }
    assert_eq!(attempts, 20);
    // The same parts with a proper end are read.
    let whole = body.len() / 512 * 512;
    let mut framed = file[..=data].to_vec();
    for part in body[..whole].chunks(512) {
        framed.push(0xe9);
        framed.extend_from_slice(part);
    }
    framed.push(255);
    framed.extend_from_slice(&((body.len() - whole) as u32).to_be_bytes());
    framed.extend_from_slice(&body[whole..]);
    assert!(unpack(layers, framed, &keys).unwrap() == plain);
}
