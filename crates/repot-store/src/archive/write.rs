//! Members as they are written: ustar headers, pax headers only where ustar cannot say it.
//!
//! Names are plain (`a/b`, no `./`), as django-dbbackup writes and expects them.

use tar::{EntryType, Header};

use super::header::BLOCK_BYTES;
use super::pax::{self, Time};
use super::sparse::{Segment, map_text};

/// Largest values of the header's octal fields.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;
const FIELD_NAME_BYTES: usize = 100;

/// What a member is to say.
pub(super) struct Spec<'a> {
    pub(super) path: &'a [u8],
    pub(super) kind: EntryType,
    pub(super) target: Option<&'a [u8]>,
    /// Size of the content, holes included.
    pub(super) size_bytes: u64,
    /// The parts that hold data, where there are holes.
    pub(super) segments: Option<&'a [Segment]>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// Everything that stands before the member's data.
pub(super) fn head(spec: &Spec<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    let mut name = spec.path.to_vec();
    if spec.kind == EntryType::Directory {
        name.push(b'/');
    }
    let map = spec.segments.map(map_text);
    let mut size = spec.size_bytes;
    if let (Some(map), Some(segments)) = (&map, spec.segments) {
        size = map.len() as u64 + segments.iter().map(|s| s.len).sum::<u64>();
        pax::append(&mut records, b"GNU.sparse.major", b"1");
        pax::append(&mut records, b"GNU.sparse.minor", b"0");
        pax::append(&mut records, b"GNU.sparse.name", &name);
        pax::append(&mut records, b"GNU.sparse.realsize", spec.size_bytes.to_string().as_bytes());
        // What a program that does not know the format would write the map and the data to.
        name = [b"GNUSparseFile.0/", spec.path].concat();
    } else if !fits(&name) {
        pax::append(&mut records, b"path", &name);
    }
    if let Some(target) = spec.target.filter(|t| !fits(t)) {
        pax::append(&mut records, b"linkpath", target);
    }
    if size > MAX_SIZE {
        pax::append(&mut records, b"size", size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], spec.uid), (b"gid", spec.gid)] {
        if id > MAX_ID {
            pax::append(&mut records, key, id.to_string().as_bytes());
        }
    }
    let mtime = u64::try_from(spec.mtime.s).ok().filter(|s| *s <= MAX_SIZE);
    if mtime.is_none() || spec.mtime.ns != 0 {
        pax::append(&mut records, b"mtime", pax::time_text(spec.mtime).as_bytes());
    }
    for (key, value) in spec.xattrs {
        pax::append(&mut records, &pax::xattr_key(key), value);
    }

    let mut out = Vec::new();
    if !records.is_empty() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        put(&mut header.as_old_mut().name, &[b"PaxHeaders.0/", spec.path].concat());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime.unwrap_or(0));
        header.set_size(records.len() as u64);
        header.set_cksum();
        out.extend(header.as_bytes());
        records.resize(records.len().next_multiple_of(BLOCK_BYTES), 0);
        out.extend(records);
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(spec.kind);
    put(&mut header.as_old_mut().name, &name);
    if let Some(target) = spec.target {
        put(&mut header.as_old_mut().linkname, target);
    }
    header.set_mode(spec.mode & 0o7777);
    header.set_uid(u64::from(spec.uid));
    header.set_gid(u64::from(spec.gid));
    header.set_mtime(mtime.unwrap_or(0));
    header.set_size(size);
    header.set_cksum();
    out.extend(header.as_bytes());
    out.extend(map.unwrap_or_default());
    out
}

/// Whether a name can stand in the header itself: short, and the same in every character set.
fn fits(name: &[u8]) -> bool {
    name.len() <= FIELD_NAME_BYTES && name.is_ascii()
}

/// Writes as much of a name as the field holds; what is not ASCII stands in the pax header.
fn put(field: &mut [u8; FIELD_NAME_BYTES], name: &[u8]) {
    for (to, from) in field.iter_mut().zip(name) {
        *to = if from.is_ascii() { *from } else { b'_' };
    }
    // A file's name that is cut behind a `/` would read as a directory's.
    if name.len() > FIELD_NAME_BYTES && field[FIELD_NAME_BYTES - 1] == b'/' {
        field[FIELD_NAME_BYTES - 1] = b'_';
    }
}

/// What stands behind the data of a member.
pub(super) fn padding(stored_bytes: u64) -> usize {
    (stored_bytes.next_multiple_of(BLOCK_BYTES as u64) - stored_bytes) as usize
}

#[cfg(test)]
mod tests {
    use super::super::error::Result;
    use super::super::parser::{Member, Parser, Sink};
    use super::*;

    struct Taken(Vec<Member>);

    impl Sink for Taken {
        fn member(&mut self, member: Member) -> Result<()> {
            self.0.push(member);
            Ok(())
        }
        fn data(&mut self, _: u64, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn end(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_octal_fields_cannot_hold_comes_back() {
        let spec = Spec {
            path: b"large",
            kind: EntryType::Regular,
            target: None,
            size_bytes: 9 << 30,
            segments: None,
            mode: 0o600,
            uid: u32::MAX - 1,
            gid: MAX_ID,
            mtime: Time { s: -7, ns: 5 },
            xattrs: &[],
        };
        let mut taken = Taken(Vec::new());
        Parser::new().feed(&head(&spec), &mut taken).expect("a header");
        let m = &taken.0[0];
        assert_eq!((m.size_bytes, m.uid, m.gid), (9 << 30, u64::from(u32::MAX) - 1, u64::from(MAX_ID)));
        assert_eq!(m.mtime, spec.mtime);
    }
}
