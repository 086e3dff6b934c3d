//! Files that were made to hurt.

use std::io::{Cursor, Read};

use repot_store::codec::{Cipher, CodecError, Compression, Keys, Layers};

use super::gnupg::secret;

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
