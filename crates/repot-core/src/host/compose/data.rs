//! What is done to data directories and volumes, always in a short-lived container of a PostgreSQL image with
//! just that directory mounted: so no root on the host is needed, and a remote Docker host works too.
//!
//! Invariant: nothing here removes old data. `put_back` and `clear_new` remove the directory in the live place
//! only while the old data stands beside it under its set-aside name; that name appears by one atomic rename.

use std::time::Duration;

use super::pipes;
use crate::error::{Error, Result, speaks_of_full_disk};
use crate::exec::{Cmd, Way};
use crate::host::docker::{Docker, MountArg, RunSpec};
use crate::host::{ClusterState, DataLocation, DataState, Role, SetAside, Store};

/// Where the directory under work is mounted in the helper.
const AT: &str = "/repot";

/// `"$1"` is the data directory. Prints `key=value` lines; works with GNU and busybox tools.
const LOOK: &str = r#"
d="$1"
if [ ! -d "$d" ]; then
  echo exists=0; p="$d"; while [ ! -d "$p" ]; do p=$(dirname "$p"); done
  [ -w "$p" ] && echo writable=1; echo "free_kb=$(df -Pk "$p" | awk 'NR==2{print $4}')"; exit 0
fi
[ -n "$(ls -A "$d" 2>/dev/null)" ] && echo exists=1 || echo exists=0
[ -s "$d/PG_VERSION" ] && echo "major=$(head -n 1 "$d/PG_VERSION")"
[ -f "$d/global/pg_control" ] && echo "state=$(od -An -tu4 -j16 -N4 "$d/global/pg_control" | tr -d ' ')"
[ -w "$d" ] && echo writable=1
echo "owner_mode=$(stat -c '%u:%g %a' "$d")"
echo "size_kb=$(du -sk "$d" 2>/dev/null | cut -f1)"
echo "free_kb=$(df -Pk "$d" | awk 'NR==2{print $4}')"
for t in "$d"/pg_tblspc/*; do if [ -L "$t" ]; then echo "tablespace=$(basename "$t") $(readlink "$t")"; fi; done
if [ -L "$d/pg_wal" ]; then echo "wal_link=$(readlink "$d/pg_wal")"; fi
true
"#;

/// `$1` name, `$2` aside. The new directory gets owner, mode, ACLs, extended attributes and SELinux label of the
/// old one; busybox knows only owner and mode.
const RENAME: &str = r#"
set -eu; cd /repot
if [ -L "$1" ]; then echo "$1 is a symbolic link" >&2; exit 1; fi
if [ ! -e "$2" ]; then mv -- "$1" "$2"; fi
if [ ! -e "$1" ]; then
  # Made under another name first: the live name appears with everything about it right, or not at all.
  n="$1.repot-new"; rm -rf -- "$n"; mkdir -- "$n"
  chown "$(stat -c %u:%g "$2")" "$n"; chmod "$(stat -c %a "$2")" "$n"
  if tar --version 2>/dev/null | grep -q GNU; then
    (cd "$2" && tar --no-recursion --acls --xattrs --selinux -cf - . 2>/dev/null) | (cd "$n" && tar --acls --xattrs --selinux -xpf - 2>/dev/null) || true
  fi
  mv -- "$n" "$1"
fi
sync
"#;

/// `$1` name, `$2` aside, `$3` where PG_VERSION is below them, `$4` the old major: whether the old data is there.
const PRESENT: &str = r#"
cd /repot
for n in "$2" "$1"; do
  f="$n/$3/PG_VERSION"
  if [ -s "$f" ] && [ "$(head -n 1 "$f")" = "$4" ]; then echo yes; exit 0; fi
done
echo no
"#;

/// `$1` name, `$2` aside, `$3` the name for new data or empty to remove it.
const PUT_BACK: &str = r#"
set -eu; cd /repot
if [ -e "$2" ]; then
  if [ -e "$1" ]; then
    if [ -n "$3" ]; then mv -- "$1" "$3"; else rm -rf -- "$1"; fi
  fi
  mv -- "$2" "$1"
fi
sync
"#;

/// `$1` name, `$2` aside: empties the live place, only while the old data stands aside.
const CLEAR: &str = r#"
set -eu; cd /repot
[ -e "$2" ] || { echo "the old data is not set aside as $2" >&2; exit 1; }
if [ -d "$1" ]; then find "$1" -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +; fi
"#;

/// Runs `script` with `args` in a helper container, `store` mounted at [`AT`].
pub fn in_store(
    _docker: &Docker,
    run: &str,
    image: &str,
    store: &Store,
    script: &str,
    args: &[&str],
    stdin: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let source = match store {
        Store::Bind(p) | Store::Volume(p) => p.clone(),
    };
    let mut words = vec!["-c".to_owned(), script.to_owned(), "repot".to_owned()];
    words.extend(args.iter().map(|a| (*a).to_owned()));
    let spec = RunSpec {
        image: image.to_owned(),
        entrypoint: Some("sh".to_owned()),
        args: words,
        mounts: vec![MountArg { source: source.clone(), target: AT.to_owned(), options: String::new() }],
        unconfined: true,
        network: "none".to_owned(),
        user: "0:0".to_owned(),
        run: run.to_owned(),
        labels: vec![("repot.role".to_owned(), "helper".to_owned())],
        interactive: stdin.is_some(),
        ..RunSpec::default()
    };
    let mut cmd = spec.cmd().uninterruptible().timeout(Duration::from_hours(2));
    if let Some(bytes) = stdin {
        cmd = cmd.stdin(bytes);
    }
    let out = cmd.output()?;
    if !out.ok() {
        let e = Error::failed("data-directory", format!("a helper container could not work on {source}"))
            .why(crate::exec::last_lines(&out.stderr, 4));
        let text = out.stderr.to_lowercase();
        return Err(if speaks_of_full_disk(&text) {
            Error { code: "disk-full", ..e }.help("free some space on that disk, then run `repot resume`")
        } else if text.contains("read-only file system") {
            Error { code: "read-only", ..e }
                .help("mount it read-write, then run `repot resume` or `repot rollback`")
        } else {
            e
        });
    }
    Ok(out.stdout)
}

/// See [`crate::host::Host::data_state`].
pub fn look(docker: &Docker, run: &str, image: &str, data: &DataLocation) -> Result<DataState> {
    if let Store::Volume(v) = &data.store
        && docker.volume(v)?.is_none()
    {
        return Ok(DataState { writable: true, free_bytes: u64::MAX, ..DataState::default() });
    }
    let dir = if data.subdir.is_empty() { AT.to_owned() } else { format!("{AT}/{}", data.subdir) };
    let out = match in_store(docker, run, image, &data.store, LOOK, &[&dir], None) {
        Err(e) if e.why.as_deref().is_some_and(|w| w.contains("bind source path does not exist")) => {
            return Ok(DataState { writable: true, free_bytes: u64::MAX, ..DataState::default() });
        }
        other => other?,
    };
    Ok(parse_look(&String::from_utf8_lossy(&out)))
}

fn parse_look(text: &str) -> DataState {
    let mut s = DataState::default();
    let kb = |v: &str| v.trim().parse::<u64>().unwrap_or(0).saturating_mul(1024);
    for (key, value) in text.lines().filter_map(|l| l.split_once('=')) {
        match key {
            "exists" => s.exists = value == "1",
            "major" => s.major = value.trim().split('.').next().and_then(|m| m.parse().ok()),
            "state" => s.cluster = value.trim().parse().ok().and_then(ClusterState::from_number),
            "writable" => s.writable = value == "1",
            "owner_mode" => s.owner_mode = value.trim().to_owned(),
            "size_kb" => s.size_bytes = kb(value),
            "free_kb" => s.free_bytes = kb(value),
            "tablespace" => s.tablespaces.push(value.to_owned()),
            "wal_link" => s.wal_link = Some(value.to_owned()),
            _ => {}
        }
    }
    s
}

/// See [`crate::host::Host::set_aside`].
pub fn set_aside(docker: &Docker, run: &str, image: &str, how: &SetAside) -> Result<()> {
    match how {
        SetAside::Rename { parent, name, aside, .. } => {
            in_store(docker, run, image, parent, RENAME, &[name, aside], None).map(drop)
        }
        SetAside::NewVolume { new, labels, .. } => {
            if docker.volume(new)?.is_some() && !made_by(docker, new, run)? {
                return Err(Error::failed(
                    "volume-exists",
                    format!("the volume {new} exists and is not repot's"),
                )
                .help("`repot rollback`, remove or rename that volume, then try again"));
            }
            let mut labels = labels.clone();
            labels.push((crate::host::docker::LABEL_RUN.to_owned(), run.to_owned()));
            docker.create_volume(new, &labels)
        }
    }
}

/// See [`crate::host::Host::is_set_aside`].
pub fn is_set_aside(docker: &Docker, run: &str, image: &str, how: &SetAside) -> Result<bool> {
    match how {
        SetAside::Rename { parent, name, aside, .. } => {
            let script = r#"cd /repot; if [ -e "$2" ] && [ -d "$1" ]; then echo yes; else echo no; fi"#;
            let out = in_store(docker, run, image, parent, script, &[name, aside], None)?;
            Ok(String::from_utf8_lossy(&out).trim() == "yes")
        }
        SetAside::NewVolume { new, .. } => made_by(docker, new, run),
    }
}

fn made_by(docker: &Docker, volume: &str, run: &str) -> Result<bool> {
    Ok(docker.volume(volume)?.is_some_and(|v| v["Labels"][crate::host::docker::LABEL_RUN] == run))
}

/// See [`crate::host::Host::old_data_present`].
pub fn old_present(
    docker: &Docker,
    run: &str,
    image: &str,
    how: &SetAside,
    inner: &str,
    major: u32,
) -> Result<bool> {
    let major = major.to_string();
    let (store, args): (Store, [&str; 4]) = match how {
        SetAside::Rename { parent, name, aside, .. } => (parent.clone(), [name, aside, inner, &major]),
        SetAside::NewVolume { old, .. } => {
            if docker.volume(old)?.is_none() {
                return Ok(false);
            }
            (Store::Volume(old.clone()), [".", ".", inner, &major])
        }
    };
    let out = in_store(docker, run, image, &store, PRESENT, &args, None)?;
    Ok(String::from_utf8_lossy(&out).trim() == "yes")
}

/// Whether `name` below `parent` is a symbolic link.
pub fn is_link(docker: &Docker, run: &str, image: &str, parent: &Store, name: &str) -> Result<bool> {
    let script = r#"if [ -L "/repot/$1" ]; then echo yes; fi"#;
    let out = in_store(docker, run, image, parent, script, &[name], None)?;
    Ok(!out.is_empty())
}

/// See [`crate::host::Host::put_back`].
pub fn put_back(docker: &Docker, run: &str, image: &str, how: &SetAside, keep_new: bool) -> Result<()> {
    match how {
        SetAside::Rename { parent, name, aside, new_aside } => {
            let kept = if keep_new { new_aside.as_str() } else { "" };
            in_store(docker, run, image, parent, PUT_BACK, &[name, aside, kept], None).map(drop)
        }
        SetAside::NewVolume { new, .. } => {
            if !keep_new && made_by(docker, new, run)? {
                // The service was started on it, and its stopped container would hold it.
                docker.remove_volume_and_users(new)?;
            }
            Ok(())
        }
    }
}

/// See [`crate::host::Host::clear_new`].
pub fn clear_new(docker: &Docker, run: &str, image: &str, how: &SetAside) -> Result<()> {
    match how {
        SetAside::Rename { parent, name, aside, .. } => {
            in_store(docker, run, image, parent, CLEAR, &[name, aside], None).map(drop)
        }
        SetAside::NewVolume { new, .. } => {
            if made_by(docker, new, run)? {
                // The service may have been tried on it, and its stopped container would hold it.
                docker.remove_volume_and_users(new)?;
            }
            set_aside(docker, run, image, how)
        }
    }
}

/// See [`crate::host::Host::set_aside_sizes`].
pub fn sizes(
    docker: &Docker,
    run: &str,
    image: &str,
    how: &SetAside,
    live: Role,
) -> Result<Vec<(String, u64)>> {
    let du = |store: &Store, name: &str| -> Result<Option<u64>> {
        let script = r#"if [ -e "$1" ]; then du -sk "$1" | cut -f1; fi"#;
        let out = in_store(docker, run, image, store, script, &[name], None)?;
        Ok(String::from_utf8_lossy(&out).trim().parse::<u64>().ok().map(|kb| kb * 1024))
    };
    let mut found = Vec::new();
    match how {
        SetAside::Rename { parent, aside, new_aside, .. } => {
            let (Store::Bind(base) | Store::Volume(base)) = parent;
            for name in [aside, new_aside] {
                if let Some(n) = du(parent, &format!("{AT}/{name}"))? {
                    found.push((format!("{base}/{name}"), n));
                }
            }
        }
        SetAside::NewVolume { old, new, .. } => {
            let idle = if live == Role::New { old } else { new };
            // After a rollback only a volume of this very run counts: another run may have taken the name.
            if docker.volume(idle)?.is_some()
                && (live == Role::New || made_by(docker, idle, run)?)
                && let Some(n) = du(&Store::Volume(idle.clone()), AT)?
            {
                found.push((format!("volume {idle}"), n));
            }
        }
    }
    Ok(found)
}

/// See [`crate::host::Host::remove_set_aside`].
pub fn remove(docker: &Docker, run: &str, image: &str, how: &SetAside, live: Role) -> Result<()> {
    match how {
        SetAside::Rename { parent, name, aside, new_aside } => {
            let script = r#"set -eu; cd /repot; [ -e "$1" ] || { echo "$1 is missing: nothing removed" >&2; exit 1; }; rm -rf -- "$2" "$3""#;
            in_store(docker, run, image, parent, script, &[name, aside, new_aside], None).map(drop)
        }
        SetAside::NewVolume { old, .. } if live == Role::New => docker.remove_volume(old),
        SetAside::NewVolume { new, .. } if made_by(docker, new, run)? => docker.remove_volume(new),
        SetAside::NewVolume { .. } => Ok(()),
    }
}

/// See [`crate::host::Host::read_tree`].
pub fn read_tree(run: &str, image: &str, data: &DataLocation) -> Cmd {
    let (Store::Bind(source) | Store::Volume(source)) = &data.store;
    let script = r#"
cd -- "$1" 2>/dev/null || exit 44
tar --version 2>/dev/null | grep -q GNU || exit 45
exec tar --create --file=- --format=posix --numeric-owner --acls --xattrs --sparse --exclude='./.repot-*' ."#;
    RunSpec {
        image: image.to_owned(),
        entrypoint: Some("sh".to_owned()),
        args: ["-c", script, "repot", &below(data, "")].map(str::to_owned).to_vec(),
        mounts: vec![MountArg { source: source.clone(), target: AT.to_owned(), options: "ro".to_owned() }],
        network: "none".to_owned(),
        user: "0:0".to_owned(),
        run: run.to_owned(),
        labels: vec![("repot.role".to_owned(), "helper".to_owned())],
        unconfined: true,
        pipes: pipes::shared(image, run),
        ..RunSpec::default()
    }
    .cmd()
    .bulk(Way::Out)
}

/// See [`crate::host::Host::read_data_file`].
pub fn read_file(
    docker: &Docker,
    run: &str,
    image: &str,
    data: &DataLocation,
    name: &str,
) -> Result<Option<Vec<u8>>> {
    let path = below(data, name);
    let script = r#"if [ -f "$1" ]; then echo yes; cat -- "$1"; else echo no; fi"#;
    let out = in_store(docker, run, image, &data.store, script, &[&path], None)?;
    Ok(out.strip_prefix(b"yes\n").map(<[u8]>::to_vec))
}

/// See [`crate::host::Host::write_data_file`].
pub fn write_file(
    docker: &Docker,
    run: &str,
    image: &str,
    data: &DataLocation,
    name: &str,
    content: &[u8],
) -> Result<()> {
    let path = below(data, name);
    let script = r#"
set -eu; f="$1"; d=$(dirname "$f"); t="$f.repot-new"
cat > "$t"
if [ -e "$f" ]; then chown "$(stat -c %u:%g "$f")" "$t"; chmod "$(stat -c %a "$f")" "$t"; else chown "$(stat -c %u:%g "$d")" "$t"; chmod 600 "$t"; fi
mv -f -- "$t" "$f"; sync
"#;
    in_store(docker, run, image, &data.store, script, &[&path], Some(content)).map(drop)
}

fn below(data: &DataLocation, name: &str) -> String {
    if data.subdir.is_empty() { format!("{AT}/{name}") } else { format!("{AT}/{}/{name}", data.subdir) }
}

/// See [`crate::host::Host::sync_data`]. initdb's `--sync-only` flushes every file of the directory, which a
/// load with fsync off has left to the kernel.
pub fn sync(docker: &Docker, run: &str, image: &str, data: &DataLocation) -> Result<()> {
    let dir = below(data, "");
    let script = r#"set -eu; d="${1%/}"; u=$(stat -c %u "$d"); g=$(stat -c %g "$d")
if command -v gosu >/dev/null 2>&1; then exec gosu "$u:$g" initdb --sync-only -D "$d"; fi
if command -v su-exec >/dev/null 2>&1; then exec su-exec "$u:$g" initdb --sync-only -D "$d"; fi
sync"#;
    in_store(docker, run, image, &data.store, script, &[&dir], None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_understood() {
        let s = parse_look(
            "exists=1\nmajor=13\nstate=1\nwritable=1\nowner_mode=999:999 700\nsize_kb=100\nfree_kb=2000\ntablespace=16385 /mnt/fast\n",
        );
        assert_eq!(s.major, Some(13));
        assert_eq!(s.cluster, Some(ClusterState::ShutDown));
        assert_eq!((s.size_bytes, s.free_bytes), (102_400, 2_048_000));
        assert_eq!(s.tablespaces, ["16385 /mnt/fast"]);
        assert_eq!(parse_look("exists=0").major, None);
        assert_eq!(parse_look("major=9.6").major, Some(9));
        assert_eq!(parse_look("state=77\nmajor=\nnonsense").cluster, None);
    }
}
