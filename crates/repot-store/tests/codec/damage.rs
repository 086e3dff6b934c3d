//! Every byte of head and tail, and many between, flipped and cut in turn: each damage is refused.

use std::io::{Cursor, Read};

use repot_store::codec::{Cipher, CodecError, Compression, Encryption, Keys, Layers};

use super::gnupg::{Gnupg, Kind};
use super::{age_key, content, pack};

const HEAD_BYTES: usize = 400;
const TAIL_BYTES: usize = 120;
const MIDDLE_PLACES: usize = 60;

#[derive(Default)]
struct Count {
    tried: usize,
    refused: usize,
    /// Read as the very same content: the changed bytes say nothing about it.
    harmless: Vec<usize>,
}

struct Case<'a> {
    name: &'a str,
    layers: Layers,
    keys: &'a Keys,
    plain: &'a [u8],
    file: Vec<u8>,
}

impl Case<'_> {
    /// What comes of a damaged file; `place` is where it was damaged.
    fn attempt(&self, count: &mut Count, damaged: Vec<u8>, place: usize, what: &str) {
        count.tried += 1;
        let mut out = Vec::new();
        let opened = self.layers.reader(Cursor::new(damaged), self.keys);
        let read = opened.and_then(|mut r| {
            let read = r.read_to_end(&mut out).map_err(CodecError::from);
            if read.is_err() {
                // Whoever reads on after an error gets no end of file either.
                assert!(r.read(&mut [0; 16]).is_err(), "{} {what} at {place}", self.name);
            }
            read
        });
        match read {
            Err(CodecError::Io(e)) => {
                panic!("{} {what} at {place} is called a failure of the disk: {e}", self.name)
            }
            Err(_) => count.refused += 1,
            Ok(_) => {
                assert!(out == self.plain, "{} {what} at {place} went through", self.name);
                count.harmless.push(place);
            }
        }
    }

    fn places(&self) -> Vec<usize> {
        let len = self.file.len();
        let middle =
            (1..MIDDLE_PLACES).map(|i| HEAD_BYTES + i * (len - HEAD_BYTES - TAIL_BYTES) / MIDDLE_PLACES);
        (0..HEAD_BYTES).chain(middle).chain(len - TAIL_BYTES..len).collect()
    }

    /// Where something begins that could be moved as a whole, and its size: exactly a chunk for age.
    fn first_chunk(&self) -> (usize, usize) {
        if self.layers.cipher != Cipher::Age {
            return (HEAD_BYTES, 16_384);
        }
        let mac = self.file.windows(5).position(|w| w == b"\n--- ").unwrap() + 1;
        let header_bytes = mac + self.file[mac..].iter().position(|b| *b == b'\n').unwrap() + 1;
        (header_bytes + 16, 65_536 + 16)
    }

    /// Flips, cuts, drops and repeats bytes; `silent` are the places whose bytes mean nothing.
    fn damage(&self, silent: &[usize]) -> Count {
        let mut count = Count::default();
        for place in self.places() {
            for mask in [1, 0x80, 0xff] {
                let mut damaged = self.file.clone();
                damaged[place] ^= mask;
                self.attempt(&mut count, damaged, place, "flipped");
            }
            self.attempt(&mut count, self.file[..place].to_vec(), usize::MAX, "cut");
            let mut damaged = self.file.clone();
            damaged.remove(place);
            self.attempt(&mut count, damaged, place, "one byte dropped");
            let mut damaged = self.file.clone();
            damaged.insert(place, damaged[place]);
            self.attempt(&mut count, damaged, place, "one byte repeated");
        }
        let (start, chunk_bytes) = self.first_chunk();
        let mut damaged = self.file.clone();
        damaged.drain(start..start + chunk_bytes);
        self.attempt(&mut count, damaged, usize::MAX, "a chunk dropped");
        let mut damaged = self.file.clone();
        damaged[start..start + 2 * chunk_bytes].rotate_left(chunk_bytes);
        self.attempt(&mut count, damaged, usize::MAX, "chunks exchanged");
        self.attempt(&mut count, self.file[..start + chunk_bytes].to_vec(), usize::MAX, "cut after a chunk");
        for behind in [&b"x"[..], &[0], &[0x1f, 0x8b], &self.file[..100]] {
            let mut damaged = self.file.clone();
            damaged.extend_from_slice(behind);
            self.attempt(&mut count, damaged, usize::MAX, "something behind it");
        }
        let harmless = count.harmless.iter().filter(|p| !silent.contains(p)).collect::<Vec<_>>();
        assert!(harmless.is_empty(), "{}: not noticed at {harmless:?}", self.name);
        assert_eq!(count.refused + count.harmless.len(), count.tried);
        println!(
            "{}: {} damages tried, {} refused, {} in bytes that say nothing",
            self.name,
            count.tried,
            count.refused,
            count.harmless.len()
        );
        count
    }
}

fn case<'a>(
    name: &'a str,
    compression: Compression,
    encryption: &Encryption,
    keys: &'a Keys,
    plain: &'a [u8],
) -> Case<'a> {
    let layers = Layers { compression, cipher: encryption.cipher() };
    Case { name, layers, keys, plain, file: pack(plain, compression, encryption) }
}

#[test]
fn gzip() {
    let (keys, plain) = (Keys::default(), content(250_000));
    let case = case("gzip", Compression::Gzip, &Encryption::None, &keys, &plain);
    // A flag for "text", the time, the effort and the system; and bits that fill up a byte, before the mark of the
    // sync flush and in the empty last block. A CRC knows the content only.
    let len = case.file.len();
    let count = case.damage(&[3, 4, 5, 6, 7, 8, 9, len - 15, len - 9]);
    assert!(count.harmless.len() <= 9 * 5 && count.refused > 3_000);
}

#[test]
fn zstd() {
    let (keys, plain) = (Keys::default(), content(250_000));
    let count = case("zstd", Compression::Zstd, &Encryption::None, &keys, &plain)
        // An unused bit, and a window that is larger than need be.
        .damage(&[4, 5]);
    assert!(count.harmless.len() <= 2 * 5 && count.refused > 3_000);
}

#[test]
fn age() {
    let (recipient, identity) = age_key();
    let encryption = Encryption::Age(recipient);
    let mut keys = Keys::default();
    keys.age.add_identities(&identity, None).unwrap();
    let plain = content(400_000);
    for (name, compression) in [("age", Compression::None), ("age over zstd", Compression::Zstd)] {
        let count = case(name, compression, &encryption, &keys, &plain).damage(&[]);
        assert!(count.harmless.is_empty() && count.refused > 3_000);
    }
}

#[test]
fn openpgp() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let keys = gpg.keys("ada");
    let plain = content(250_000);
    let encryption = gpg.encryption_for(&["ada"]);
    // In the session key: the length of the point in bits, the mark before it, and the bit that X25519 ignores.
    let silent = [13, 14, 46];
    for (name, compression) in [("openpgp", Compression::None), ("openpgp over gzip", Compression::Gzip)] {
        let count = case(name, compression, &encryption, &keys, &plain).damage(&silent);
        assert!(count.harmless.len() <= 3 * 5 && count.refused > 3_000);
    }
    let layers = Layers { compression: Compression::None, cipher: Cipher::OpenPgp };
    for (name, algorithm) in [("gpg's, zlib inside", "zlib"), ("gpg's, nothing inside", "none")] {
        let file = gpg.encrypt(&plain, &["-r", "ada", "--compress-algo", algorithm, "--encrypt"]);
        let count = Case { name, layers, keys: &keys, plain: &plain, file }.damage(&silent);
        assert!(count.harmless.len() <= 3 * 5 && count.refused > 3_000);
    }
}
