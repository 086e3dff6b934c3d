//! Files made of nothing, and real ones with pieces moved about: errors, never a panic, never other content.

use std::io::{Cursor, Read};
use std::sync::OnceLock;

use proptest::prelude::*;
use repot_store::codec::{Certificate, Cipher, CodecError, Compression, Encryption, Keys, Layers, SecretKey};

use super::gnupg::{Gnupg, Kind};
use super::{age_key, content, pack};

struct Sample {
    layers: Layers,
    file: Vec<u8>,
}

struct World {
    keys: Keys,
    plain: Vec<u8>,
    samples: Vec<Sample>,
}

/// Keys and files of each kind, made once.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let gpg = Gnupg::new();
        gpg.key("ada", Kind::Curve25519, None);
        let (recipient, identity) = age_key();
        let mut keys = gpg.keys("ada");
        keys.age.add_identities(&identity, None).unwrap();
        let plain = content(9_000);
        let encryptions = [Encryption::None, Encryption::Age(recipient), gpg.encryption_for(&["ada"])];
        let mut samples = Vec::new();
        for encryption in &encryptions {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let layers = Layers { compression, cipher: encryption.cipher() };
                if layers.suffix().is_empty() {
                    continue;
                }
                samples.push(Sample { layers, file: pack(&plain, compression, encryption) });
            }
        }
        let openpgp = Layers { compression: Compression::None, cipher: Cipher::OpenPgp };
        for options in [&["-r", "ada", "--armor", "--encrypt"][..], &["-r", "ada", "--sign", "--encrypt"]] {
            samples.push(Sample { layers: openpgp, file: gpg.encrypt(&plain, options) });
        }
        World { keys, plain, samples }
    })
}

fn read(layers: Layers, file: Vec<u8>, keys: &Keys) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    layers.reader(Cursor::new(file), keys)?.take(1 << 24).read_to_end(&mut out)?;
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) })]

    #[test]
    fn nothing_opens_as_something(
        head in prop::sample::select(vec![
            &b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"age-encryption.org/v1\n", b"age-encryption.org/v1\n-> X25519 ",
            b"-----BEGIN PGP MESSAGE-----\n\n", b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"\x84\x5e\x03",
            b"\xc1\x5e\x03", b"\xd2\xff\x01", b"\xc3\x0d\x04\x09\x03\x08", b"\xa3\x01", b"\xcb\xe9", b"\xd4\x10\x01\x09",
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let world = world();
        let bytes = [head, &tail].concat();
        let (cipher, compression) = (Cipher::detect(&bytes), Compression::detect(&bytes));
        for cipher in [Cipher::Age, Cipher::OpenPgp, cipher] {
            for compression in [Compression::Gzip, Compression::Zstd, compression] {
                let layers = Layers { compression, cipher };
                let read = read(layers, bytes.clone(), &world.keys);
                prop_assert!(layers.suffix().is_empty() || read.is_err(), "{layers:?}");
            }
        }
        prop_assert!(Certificate::read_all(&bytes).is_err());
        prop_assert!(SecretKey::read_all(&secrecy::SecretBox::from(bytes), None).is_err());
    }

    #[test]
    fn a_real_file_with_pieces_moved_is_refused_or_the_same(
        sample in 0_usize..10,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..40, 0_u8..4), 1..4),
    ) {
        let world = world();
        let sample = &world.samples[sample];
        let mut file = sample.file.clone();
        for (to, from, len, kind) in edits {
            let (to, from) = (to.index(file.len()), from.index(file.len()));
            let piece = file[from..(from + len).min(file.len())].to_vec();
            let end = (to + piece.len()).min(file.len());
            match kind {
                0 => file[to..end].copy_from_slice(&piece[..end - to]),
                1 => drop(file.splice(to..to, piece)),
                2 => drop(file.drain(to..end)),
                _ => file[to..end].reverse(),
            }
            if file.is_empty() {
                file.push(0);
            }
        }
        if let Ok(read) = read(sample.layers, file, &world.keys) {
            prop_assert!(read == world.plain, "{:?}", sample.layers);
        }
    }
}
