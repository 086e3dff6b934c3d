//! Whether containers of this Docker see named pipes of this machine; see [`crate::exec::Pipes`].

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::host::unique;
use crate::exec::{Pipes, Way};
use crate::host::docker::{Docker, RunSpec};

/// Where containers see them.
const INSIDE: &str = "/repot-pipes";
/// What the attempt sends.
const WORD: &str = "repot";
/// How long the attempt may take. Where a virtual machine is between, its end of the pipe waits for ever.
const LIMIT: Duration = Duration::from_secs(20);

enum Known {
    NotYet,
    /// They do; the directory, while somebody uses it.
    Seen(Weak<Pipes>),
    NotSeen,
}

static KNOWN: Mutex<Known> = Mutex::new(Known::NotYet);

/// The directory of pipes for containers of `image`; none where they would not see it. The first call makes a short
/// container and tries.
pub(super) fn shared(image: &str, run: &str) -> Option<Arc<Pipes>> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let tried = match &*known {
        Known::NotSeen => return None,
        Known::Seen(weak) => {
            if let Some(pipes) = weak.upgrade() {
                return Some(pipes);
            }
            true
        }
        Known::NotYet => false,
    };
    let pipes = Pipes::new(INSIDE).ok().map(Arc::new).filter(|p| tried || seen(p, image, run));
    *known = pipes.as_ref().map_or(Known::NotSeen, |p| Known::Seen(Arc::downgrade(p)));
    pipes
}

/// A remote daemon has no such directory, one in a virtual machine has no such pipes, a user namespace or SELinux may
/// forbid them: only an attempt tells.
fn seen(pipes: &Arc<Pipes>, image: &str, run: &str) -> bool {
    let name = format!("repot-pipes-{:x}", unique());
    let spec = RunSpec {
        image: image.to_owned(),
        name: name.clone(),
        entrypoint: Some("sh".to_owned()),
        args: ["-c", &format!("printf {WORD}")].map(str::to_owned).to_vec(),
        network: "none".to_owned(),
        run: run.to_owned(),
        labels: vec![("repot.role".to_owned(), "helper".to_owned())],
        pipes: Some(pipes.clone()),
        ..RunSpec::default()
    };
    let mut said = Vec::new();
    let ended = spec.cmd().bulk(Way::Out).timeout(LIMIT).pump(None, &mut |chunk| {
        said.extend_from_slice(chunk);
        Ok(())
    });
    let good = ended.is_ok_and(|(status, _)| status.success()) && said == WORD.as_bytes();
    if !good {
        let _ = Docker.remove_container(&name);
    }
    good
}
