//! Certificates of the user's GnuPG keyring, for recipients that are named as django-dbbackup names them.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::exec::{Cmd, last_lines};

/// The certificates of these recipients, as `gpg --export` writes them.
pub fn certificates(recipients: &[String]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for r in recipients {
        let cmd = Cmd::new("gpg").args(["--batch", "--no-tty", "--export", "--"]).arg(r);
        let mut found = Vec::new();
        let (status, stderr) = cmd.timeout(Duration::from_secs(60)).pump(None, &mut |chunk| {
            found.extend_from_slice(chunk);
            Ok(())
        })?;
        if !status.success() || found.is_empty() {
            return Err(Error::usage("no-recipients", format!("there is no key of {r} in the GnuPG keyring of this user"))
                .why(last_lines(&stderr, 2))
                .help("import it (`gpg --import KEY`), or name files with `openpgp_recipients` in [backup] of repot.toml"));
        }
        all.extend(found);
    }
    Ok(all)
}
