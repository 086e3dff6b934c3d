//! Media roots: a tar made in a helper container, inspected on its way.

use std::io::Write;
use std::path::Path;

use repot_store::archive::{Fingerprint, Inspector};
use repot_store::stored::{FileSink, archive_error, inspect_options};

use super::codec_error;
use crate::app::detect::Deployment;
use crate::error::{Error, Result};
use crate::host::compose::project::{MountKind, Project};
use crate::host::{DataLocation, Host, NO_TAR, NO_TREE, Store};

/// Where a path of a service's container is on the host: in the mount that covers it.
pub(crate) fn locate(project: &Project, service: &str, path: &str) -> Option<DataLocation> {
    let mount = project
        .services
        .get(service)?
        .mounts
        .iter()
        .filter(|m| path == m.target || path.starts_with(&format!("{}/", m.target.trim_end_matches('/'))))
        .max_by_key(|m| m.target.len())?;
    let store = match mount.kind {
        MountKind::Bind => Store::Bind(mount.source.trim_end_matches('/').to_owned()),
        MountKind::Volume if mount.source.is_empty() => return None,
        MountKind::Volume => {
            let real = project.volumes.get(&mount.source).map_or(&mount.source, |(real, _)| real);
            Store::Volume(real.clone())
        }
    };
    let subdir = path[mount.target.len()..].trim_matches('/').to_owned();
    Some(DataLocation { store, target: mount.target.clone(), subdir, selinux: mount.selinux.clone() })
}

/// What became of a root.
pub(super) enum Packed {
    /// The file is written, but not finished; a note where something changed meanwhile.
    Tree(Box<FileSink>, Fingerprint, Option<String>),
    /// There is no such directory.
    Absent,
}

/// Streams a root into `sink`.
pub(super) fn pack(
    d: &Deployment,
    run: &str,
    at: &DataLocation,
    mut sink: FileSink,
    scratch_dir: &Path,
    name: &str,
    count: &(dyn Fn(u64) + Sync),
) -> Result<Packed> {
    let cmd = d.host(run).read_tree(&d.helper_image()?, at);
    let (from, mut to) = std::io::pipe().map_err(|e| Error::io("cannot make a pipe", &e))?;
    let (ended, inspected) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut inspector = match Inspector::new(from, &inspect_options(scratch_dir)) {
                Ok(i) => i,
                Err(e) => return Err(codec_error(name, archive_error(e))),
            };
            let mut buf = vec![0_u8; 256 << 10];
            loop {
                let read = std::io::Read::read(&mut inspector, &mut buf);
                let n = match read {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(e) => {
                        return Err(Error::failed("media-failed", format!("{name} cannot be packed")).why(e));
                    }
                };
                sink.write_all(&buf[..n]).map_err(|e| codec_error(name, e.into()))?;
                count(n as u64);
            }
            let found = inspector.finish(None).map_err(|e| codec_error(name, archive_error(e)))?;
            Ok((sink, found))
        });
        let ended = cmd.pump(None, &mut |chunk| {
            // The reader's own error is the one to tell.
            to.write_all(chunk).map_err(|_| Error::failed("media-failed", format!("{name} cannot be packed")))
        });
        drop(to);
        let inspected =
            reader.join().unwrap_or_else(|_| Err(Error::failed("bug", "the reader of the media panicked")));
        (ended, inspected)
    });
    let (status, stderr) = match (ended, &inspected) {
        (Ok(ended), _) => ended,
        // The reader gave up first, and its word says why.
        (Err(e), Err(r)) if e.code == "media-failed" => return Err(r.clone()),
        (Err(e), _) => return Err(e),
    };
    let failed = |why: String| Error::failed("media-failed", format!("{name} cannot be packed")).why(why);
    match status.code() {
        Some(0) => {}
        Some(1) => {}
        Some(c) if c == NO_TREE => return Ok(Packed::Absent),
        Some(c) if c == NO_TAR => {
            return Err(failed("the database's image has no GNU tar".to_owned())
                .help("leave media out with --skip-media, and copy them by other means"));
        }
        _ => return Err(failed(crate::exec::last_lines(&stderr, 4))),
    }
    let (sink, found) = inspected?;
    // The application runs: GNU tar says with 1 what changed while it was read.
    let note = (status.code() == Some(1)).then(|| {
        let line = crate::exec::last_lines(&stderr, 1);
        format!("{name}: something changed while it was read ({line})")
    });
    Ok(Packed::Tree(Box::new(sink), found.fingerprint, note))
}
