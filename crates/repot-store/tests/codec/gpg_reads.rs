//! Written here, opened by gpg.

use repot_store::codec::{CodecError, Compression, Encryption, OpenPgpRecipients};

use super::gnupg::{Gnupg, Kind};
use super::{SIZES_BYTES, content, pack};

#[test]
fn gpg_opens_files_of_every_size() {
    let gpg = Gnupg::new();
    gpg.key("ada", Kind::Curve25519, None);
    let encryption = gpg.encryption_for(&["ada"]);
    for size in SIZES_BYTES {
        let plain = content(size);
        let (decrypted, status) = gpg.decrypt(&pack(&plain, Compression::None, &encryption));
        assert!(decrypted == plain, "{size} bytes came back as {}", decrypted.len());
        for word in ["DECRYPTION_OKAY", "GOODMDC"] {
            assert!(status.contains(word), "{word} is missing for {size} bytes:\n{status}");
        }
    }
}

#[test]
fn gpg_opens_files_for_every_kind_of_key() {
    let plain = content(700_000);
    for kind in [Kind::Rsa2048, Kind::Rsa4096, Kind::Curve25519] {
        let gpg = Gnupg::new();
        gpg.key("ada", kind, None);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let packed = pack(&plain, compression, &gpg.encryption_for(&["ada"]));
            let (decrypted, _) = gpg.decrypt(&packed);
            let expected = pack(&plain, compression, &Encryption::None);
            assert!(decrypted == expected, "{kind:?} with {compression:?}");
        }
    }
}

#[test]
fn each_of_two_recipients_opens_and_gpg_finds_the_signature_good() {
    let ada = Gnupg::new();
    ada.key("ada", Kind::Curve25519, None);
    let bob = Gnupg::new();
    bob.key("bob", Kind::Rsa2048, None);
    let mut both = ada.certificates("ada", false);
    both.extend(bob.certificates("bob", true));
    let to = OpenPgpRecipients::new(&both).unwrap().signed_by(ada.secret_keys("ada").remove(0)).unwrap();
    let plain = content(1_500_000);
    let packed = pack(&plain, Compression::None, &Encryption::OpenPgp(to));

    let (decrypted, status) = ada.decrypt(&packed);
    assert!(decrypted == plain && status.contains("GOODSIG"), "{status}");
    // Bob has no key of Ada's: he can read it, and not check who wrote it.
    let (decrypted, status) = bob.decrypt_ends(&packed, 2);
    assert!(decrypted == plain && status.contains("ERRSIG") && status.contains("GOODMDC"), "{status}");

    let to = OpenPgpRecipients::new(&both).unwrap().signed_by(bob.secret_keys("bob").remove(0)).unwrap();
    let (_, status) = bob.decrypt(&pack(b"", Compression::None, &Encryption::OpenPgp(to)));
    assert!(status.contains("GOODSIG"), "an empty file, signed with RSA:\n{status}");
}

#[test]
fn keys_that_must_not_be_used_are_refused() {
    let gpg = Gnupg::new();
    let refused = |name: &str, word: &str| {
        let e = OpenPgpRecipients::new(&gpg.certificates(name, false)).unwrap_err();
        assert!(matches!(&e, CodecError::Unsupported(w) if w.contains(word)), "{name}: {e}");
    };
    gpg.key_with("past", Kind::Curve25519, None, &["--faked-system-time", "20200101T000000"]);
    refused("past", "expired");

    gpg.key("gone", Kind::Curve25519, None);
    let fingerprint = gpg.certificates("gone", false)[0].fingerprint();
    let revocation = gpg.dir().join(format!("openpgp-revocs.d/{}.rev", fingerprint.to_uppercase()));
    // gpg puts a colon before the armor, so that nobody revokes by accident.
    let text = std::fs::read_to_string(revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    let file = gpg.dir().join("revocation.asc");
    std::fs::write(&file, text).unwrap();
    let _ = gpg.run(&["--import", file.to_str().unwrap()]);
    refused("gone", "revoked");

    let _ =
        gpg.run(&["--passphrase", "", "--quick-generate-key", "signer@example.org", "ed25519", "sign", "0"]);
    refused("signer", "no valid key for encryption");
    assert!(matches!(OpenPgpRecipients::new(&[]), Err(CodecError::Unsupported(_))));
}
