//! Media archives against GNU tar, Python's tarfile, and archives that were made to do harm.

#![allow(clippy::disallowed_methods, reason = "tests start the real tools")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod damage;
mod evil;
mod local;
mod rounds;
mod tree;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use repot_store::archive::{
    InspectOptions, LinksOutside, Owners, PackOptions, Packed, RestoreMode, UnpackOptions, Unpacked,
};

/// Runs a program to its end; fails the test if it fails.
fn run(program: &str, args: &[&str], input: Option<&[u8]>) -> Output {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} does not start ({e}): run scripts/setup.sh"));
    let feeder = input.map(<[u8]>::to_vec).map(|input| {
        let mut stdin = child.stdin.take().expect("piped");
        std::thread::spawn(move || stdin.write_all(&input))
    });
    let out = child.wait_with_output().expect("it ends");
    if let Some(feeder) = feeder {
        feeder.join().expect("joined").expect("it reads its input");
    }
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Inspection that keeps links that lead outside, with scratch files in `dir`.
fn keeping(dir: &Path) -> InspectOptions {
    InspectOptions { links_outside: LinksOutside::Keep, ..InspectOptions::new(dir) }
}

fn pack(root: &Path, scratch: &Path) -> (Vec<u8>, Packed, Vec<u8>) {
    let (mut tar, mut list) = (Vec::new(), Vec::new());
    let packed = repot_store::archive::pack(root, &mut tar, &PackOptions::new(scratch), Some(&mut list))
        .expect("it can be packed");
    (tar, packed, list)
}

fn unpack(tar: &[u8], root: &Path, scratch: &Path) -> Unpacked {
    let options =
        UnpackOptions { inspect: keeping(scratch), mode: RestoreMode::Fresh, owners: Owners::Archived };
    repot_store::archive::unpack(tar, root, &options, None).expect("it can be unpacked")
}
