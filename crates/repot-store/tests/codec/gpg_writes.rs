//! Written by gpg, opened here.

use std::io::Read;

use repot_store::codec::{Certificate, Cipher, CodecError, Compression, Keys, Layers, SecretKey};

use super::gnupg::{Gnupg, Kind, secret};
use super::{SIZES_BYTES, content, unpack};

const OPENPGP: Layers = Layers { compression: Compression::None, cipher: Cipher::OpenPgp };

#[test]
fn gpg_files_of_every_size_open() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let keys = gpg.keys("ada");
    for size in SIZES_BYTES {
        let plain = content(size);
        for options in
            [&["-r", "ada", "--encrypt"][..], &["-r", "ada", "--compress-algo", "none", "--encrypt"]]
        {
            let packed = gpg.encrypt(&plain, options);
            assert_eq!(Cipher::detect(&packed), Cipher::OpenPgp);
            let opened = unpack(OPENPGP, packed, &keys).unwrap();
            assert!(opened == plain, "{size} bytes with {options:?}");
        }
    }
}

#[test]
fn gpg_files_open_whatever_key_compression_and_armor() {
    let plain = content(300_000);
    let mut opened = 0;
    for kind in [Kind::Rsa2048, Kind::Rsa4096, Kind::Curve25519] {
        let gpg = Gnupg::new();
        gpg.key("ada", kind, None);
        let mut keys = gpg.keys("ada");
        keys.openpgp.require_signature_of(gpg.certificates("ada", true));
        let unasked = gpg.keys("ada");
        for algorithm in ["none", "zip", "zlib", "bzip2"] {
            for armor in [false, true] {
                for signed in [false, true] {
                    let mut options = vec!["-r", "ada", "--compress-algo", algorithm];
                    options.extend(armor.then_some("--armor"));
                    options.extend(signed.then_some("--sign"));
                    options.push("--encrypt");
                    let packed = gpg.encrypt(&plain, &options);
                    assert_eq!(Cipher::detect(&packed), Cipher::OpenPgp);
                    assert!(
                        unpack(OPENPGP, packed.clone(), &unasked).unwrap() == plain,
                        "{kind:?} {options:?}"
                    );
                    let asked = unpack(OPENPGP, packed, &keys);
                    if signed {
                        assert!(asked.unwrap() == plain, "{kind:?} {options:?}");
                    } else {
                        let e = asked.unwrap_err();
                        assert!(matches!(&e, CodecError::Damaged(w) if w == "it is not signed"), "{e}");
                    }
                    opened += 1;
                }
            }
        }
    }
    assert_eq!(opened, 3 * 4 * 2 * 2);
}

#[test]
fn a_signature_of_somebody_else_does_not_count() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    gpg.key("eve", Kind::Curve25519, None);
    let packed = gpg.encrypt(b"content", &["-r", "ada", "--local-user", "eve", "--sign", "--encrypt"]);
    let mut keys = gpg.keys("ada");
    keys.openpgp.require_signature_of(gpg.certificates("ada", true));
    let e = unpack(OPENPGP, packed.clone(), &keys).unwrap_err();
    assert!(matches!(&e, CodecError::Damaged(w) if w.contains("none of the given keys")), "{e}");
    keys.openpgp.require_signature_of(gpg.certificates("eve", true));
    assert_eq!(unpack(OPENPGP, packed, &keys).unwrap(), b"content");
}

#[test]
fn a_locked_key_needs_its_passphrase() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, Some("open sesame"));
    let file = gpg.secret_file("ada", Some("open sesame"));
    let read = |passphrase: Option<&str>| SecretKey::read_all(&file, passphrase.map(secret).as_ref());
    assert!(matches!(read(None), Err(CodecError::NeedsPassphrase)));
    assert!(matches!(read(Some("open barley")), Err(CodecError::NeedsPassphrase)));
    let mut keys = Keys::default();
    keys.openpgp.add_secret_keys(read(Some("open sesame")).unwrap());
    let packed = gpg.encrypt(b"gold", &["-r", "ada", "--encrypt"]);
    assert_eq!(unpack(OPENPGP, packed, &keys).unwrap(), b"gold");
    assert!(!format!("{keys:?}").contains("sesame"));
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_read() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    gpg.key("eve", Kind::Curve25519, None);
    let packed = gpg.encrypt(b"content", &["-r", "ada", "--encrypt"]);
    let open =
        |keys: &Keys, packed: &[u8]| OPENPGP.reader(std::io::Cursor::new(packed.to_vec()), keys).map(|_| ());
    assert!(matches!(open(&gpg.keys("eve"), &packed), Err(CodecError::WrongKey)));
    assert!(matches!(open(&Keys::default(), &packed), Err(CodecError::WrongKey)));
    // For nobody by name: any key may be the right one.
    let hidden = gpg.encrypt(b"content", &["-R", "ada", "--encrypt"]);
    assert_eq!(unpack(OPENPGP, hidden.clone(), &gpg.keys("ada")).unwrap(), b"content");
    assert!(matches!(open(&gpg.keys("eve"), &hidden), Err(CodecError::WrongKey)));
}

#[test]
fn files_with_a_passphrase_open_with_it() {
    let gpg = Gnupg::new();
    let plain = content(100_000);
    let packed = gpg.encrypt(&plain, &["--passphrase", "open sesame", "--symmetric"]);
    let mut keys = Keys::default();
    assert!(matches!(unpack(OPENPGP, packed.clone(), &keys), Err(CodecError::NeedsPassphrase)));
    keys.openpgp.set_passphrase(secret("open barley"));
    assert!(matches!(unpack(OPENPGP, packed.clone(), &keys), Err(CodecError::WrongKey)));
    keys.openpgp.set_passphrase(secret("open sesame"));
    assert!(unpack(OPENPGP, packed, &keys).unwrap() == plain);
}

#[test]
fn only_encrypted_files_with_integrity_are_taken() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let signed = gpg.encrypt(b"content", &["--local-user", "ada", "--sign"]);
    let e = unpack(OPENPGP, signed, &gpg.keys("ada")).unwrap_err();
    assert!(matches!(&e, CodecError::Unsupported(w) if w.contains("not encrypted")), "{e}");
    let old = gpg.encrypt(b"content", &["-r", "ada", "--rfc2440", "--disable-mdc", "--encrypt"]);
    match unpack(OPENPGP, old, &gpg.keys("ada")) {
        // GnuPG 2.2 writes the code whatever it is told.
        Ok(plain) => assert_eq!(plain, b"content"),
        Err(e) => assert!(matches!(&e, CodecError::Unsupported(w) if w.contains("modification")), "{e}"),
    }
    // Old packet headers and a fixed length: what gpg writes when it knows the size.
    let fixed =
        gpg.encrypt(&content(9_000), &["-r", "ada", "--rfc4880", "--compress-algo", "none", "--encrypt"]);
    let mut opened = Vec::new();
    OPENPGP.reader(std::io::Cursor::new(fixed), &gpg.keys("ada")).unwrap().read_to_end(&mut opened).unwrap();
    assert!(opened == content(9_000));
}

#[test]
fn what_is_no_key_is_said_to_be_none() {
    for bytes in [&b""[..], b"hello", &[0x99, 0, 1, 4], b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n"] {
        assert!(matches!(Certificate::read_all(bytes), Err(CodecError::Unsupported(_))), "{bytes:?}");
        let secret = secrecy::SecretBox::from(bytes.to_vec());
        assert!(matches!(SecretKey::read_all(&secret, None), Err(CodecError::Unsupported(_))), "{bytes:?}");
    }
}
