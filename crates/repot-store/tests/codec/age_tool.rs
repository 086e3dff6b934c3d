//! Both ways beside the `age` command.

use std::process::Command;

use repot_store::codec::{AgeRecipients, Cipher, CodecError, Compression, Encryption, Keys, Layers};
use tempfile::TempDir;

use super::gnupg::secret;
use super::{SIZES_BYTES, content, pack, tool, unpack};

const AGE: Layers = Layers { compression: Compression::None, cipher: Cipher::Age };

struct Age {
    dir: TempDir,
    recipient: String,
}

impl Age {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.txt");
        let _ = tool(Command::new("age-keygen").arg("-o").arg(&key));
        let recipient = tool(Command::new("age-keygen").arg("-y").arg(&key)).stdout;
        Age { dir, recipient }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn keys_of(&self, file: &str) -> Keys {
        let mut keys = Keys::default();
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        keys.age.add_identities(&secret(&text), None).unwrap();
        keys
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        std::fs::write(self.path("in"), input).unwrap();
        let _ = std::fs::remove_file(self.path("out"));
        let _ = tool(Command::new("age").args(args).args(["-o", &self.path("out"), &self.path("in")]));
        // age makes the file with its first byte, so there is none for nothing.
        std::fs::read(self.path("out")).unwrap_or_default()
    }

    /// `age` asks a terminal, and nothing else, for a passphrase.
    fn run_with_passphrase(&self, args: &[&str], passphrase: &str, input: &[u8]) -> Vec<u8> {
        const ASKED: &str = "import os,pty,sys\n\
            pid,fd=pty.fork()\n\
            if pid==0: os.execvp(sys.argv[2],sys.argv[2:])\n\
            while True:\n\
            \x20try: said=os.read(fd,1024)\n\
            \x20except OSError: break\n\
            \x20if not said: break\n\
            \x20if b'passphrase' in said and said.rstrip().endswith(b':'): os.write(fd,sys.argv[1].encode()+b'\\n')\n\
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid,0)[1]))\n";
        std::fs::write(self.path("in"), input).unwrap();
        let _ = std::fs::remove_file(self.path("out"));
        let mut c = Command::new("python3");
        c.args(["-c", ASKED, passphrase, "age"]).args(args).args(["-o", &self.path("out"), &self.path("in")]);
        let _ = tool(&mut c);
        std::fs::read(self.path("out")).unwrap()
    }
}

#[test]
fn both_ways_at_every_size() {
    let age = Age::new();
    let encryption = Encryption::Age(AgeRecipients::parse(&age.recipient).unwrap());
    let keys = age.keys_of("key.txt");
    let key = age.path("key.txt");
    for size in SIZES_BYTES {
        let plain = content(size);
        let there = age.run(&["-d", "-i", &key], &pack(&plain, Compression::None, &encryption));
        assert!(there == plain, "{size} bytes, written here");
        for args in [&["-r", age.recipient.trim()][..], &["-a", "-r", age.recipient.trim()]] {
            let packed = age.run(args, &plain);
            assert_eq!(Cipher::detect(&packed), Cipher::Age);
            assert!(unpack(AGE, packed, &keys).unwrap() == plain, "{size} bytes, written by age {args:?}");
        }
    }
}

#[test]
fn ssh_keys_work_both_ways() {
    let age = Age::new();
    let plain = content(200_000);
    for (kind, bits) in [("ed25519", "256"), ("rsa", "3072")] {
        let key = age.path(kind);
        let make = |passphrase: &str, file: &str| {
            let args = ["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "test", "-f", file];
            let _ = tool(Command::new("ssh-keygen").args(args));
        };
        make("", &key);
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
        let to = Encryption::Age(AgeRecipients::parse(&public).unwrap());
        assert!(age.run(&["-d", "-i", &key], &pack(&plain, Compression::None, &to)) == plain, "{kind}");
        let packed = age.run(&["-r", public.trim()], &plain);
        assert!(unpack(AGE, packed, &age.keys_of(kind)).unwrap() == plain, "{kind}");

        let locked = age.path(&format!("{kind}-locked"));
        make("open sesame", &locked);
        let text = secret(&std::fs::read_to_string(&locked).unwrap());
        let public = std::fs::read_to_string(format!("{locked}.pub")).unwrap();
        let packed =
            pack(&plain, Compression::None, &Encryption::Age(AgeRecipients::parse(&public).unwrap()));
        let mut keys = Keys::default();
        for wrong in [None, Some(secret("open barley"))] {
            assert!(matches!(
                keys.age.add_identities(&text, wrong.as_ref()),
                Err(CodecError::NeedsPassphrase)
            ));
        }
        keys.age.add_identities(&text, Some(&secret("open sesame"))).unwrap();
        assert!(unpack(AGE, packed, &keys).unwrap() == plain, "{kind}, locked");
    }
}

#[test]
fn passphrases_work_both_ways() {
    let age = Age::new();
    let plain = content(70_000);
    let encryption = Encryption::Age(AgeRecipients::passphrase(secret("open sesame")));
    let packed = pack(&plain, Compression::None, &encryption);
    assert!(age.run_with_passphrase(&["-d"], "open sesame", &packed) == plain);

    let packed = age.run_with_passphrase(&["-p"], "open sesame", &plain);
    let mut keys = age.keys_of("key.txt");
    assert!(matches!(unpack(AGE, packed.clone(), &keys), Err(CodecError::NeedsPassphrase)));
    keys.age.set_passphrase(secret("open barley"));
    assert!(matches!(unpack(AGE, packed.clone(), &keys), Err(CodecError::WrongKey)));
    keys.age.set_passphrase(secret("open sesame"));
    assert!(unpack(AGE, packed, &keys).unwrap() == plain);
    assert!(!format!("{keys:?} {encryption:?}").contains("sesame"));
}

#[test]
fn several_recipients_and_a_stranger() {
    let (ada, bob, eve) = (Age::new(), Age::new(), Age::new());
    let both = format!("# two of them\n{}\n\n{}", ada.recipient, bob.recipient);
    let packed = pack(b"content", Compression::Zstd, &Encryption::Age(AgeRecipients::parse(&both).unwrap()));
    let layers = Layers { compression: Compression::Zstd, cipher: Cipher::Age };
    for friend in [&ada, &bob] {
        assert_eq!(unpack(layers, packed.clone(), &friend.keys_of("key.txt")).unwrap(), b"content");
    }
    assert!(matches!(unpack(layers, packed.clone(), &eve.keys_of("key.txt")), Err(CodecError::WrongKey)));
    assert!(matches!(unpack(layers, packed, &Keys::default()), Err(CodecError::WrongKey)));
}

#[test]
fn what_is_no_key_is_said_to_be_none() {
    for text in ["", "# nobody\n", "age1nonsense", "-----BEGIN"] {
        assert!(matches!(AgeRecipients::parse(text), Err(CodecError::Unsupported(_))), "{text:?}");
        let added = Keys::default().age.add_identities(&secret(text), None);
        assert!(matches!(added, Err(CodecError::Unsupported(_))), "{text:?}: {added:?}");
    }
}
