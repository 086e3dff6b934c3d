//! SFTP by OpenSSH's server, run by the user that tests, with keys of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, start, write};
use crate::run;

/// An sshd with everything that a client needs.
#[derive(Debug)]
pub struct Sshd {
    /// The server.
    pub server: Server,
    /// A key that it lets in.
    pub key: PathBuf,
    /// A key that it does not let in.
    pub stranger: PathBuf,
    /// A directory to put first in `PATH`: its `ssh` knows this server's key, and nothing of the user's own
    /// configuration or agent.
    pub client: PathBuf,
    /// The same, knowing no server.
    pub wary_client: PathBuf,
}

#[track_caller]
fn make_key(path: &Path) {
    let mut c = Command::new("ssh-keygen");
    let _ = run(c.args(["-q", "-t", "ed25519", "-N", "", "-C", "repot-test", "-f"]).arg(path), None).ok();
}

#[track_caller]
fn make_client(dir: &Path, known: &str) -> PathBuf {
    let (known_hosts, config, ssh) = (dir.join("known_hosts"), dir.join("config"), dir.join("ssh"));
    write(&known_hosts, known.as_bytes());
    let text = format!(
        "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\nIdentitiesOnly yes\n",
        known_hosts.display()
    );
    write(&config, text.as_bytes());
    write(&ssh, format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", config.display()).as_bytes());
    if let Err(e) = std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)) {
        panic!("cannot make {} a program: {e}", ssh.display());
    }
    dir.to_owned()
}

/// Starts an sshd for the user that tests.
#[must_use]
#[track_caller]
pub fn sftp() -> Sshd {
    let server = start("sshd", |dir, port| {
        for key in ["host", "key", "stranger"] {
            make_key(&dir.join(key));
        }
        let public = std::fs::read(dir.join("key.pub")).unwrap_or_default();
        write(&dir.join("authorized_keys"), &public);
        // Root's sshd wants its directory for unprivileged children.
        if rustix::process::getuid().is_root() {
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized_keys\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n\
             PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp -d {0}/data\n",
            dir.display()
        );
        write(&dir.join("sshd_config"), config.as_bytes());
        let mut c = Command::new("/usr/sbin/sshd");
        c.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config"));
        c
    });
    let host = std::fs::read_to_string(server.dir().join("host.pub")).unwrap_or_default();
    let known = format!("[127.0.0.1]:{} {host}", server.port);
    Sshd {
        key: server.dir().join("key"),
        stranger: server.dir().join("stranger"),
        client: make_client(&server.dir().join("client"), &known),
        wary_client: make_client(&server.dir().join("wary-client"), ""),
        server,
    }
}
