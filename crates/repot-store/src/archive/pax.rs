//! Records of pax extended headers: `LENGTH KEY=VALUE\n`, LENGTH counting the whole record.

use super::sparse::PaxSparse;

/// A moment, nanoseconds counted upwards from the whole second below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) s: i64,
    pub(super) ns: u32,
}

/// What an extended header says.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size_bytes: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
    /// Keys that carry something which is not kept.
    pub(super) unknown: Vec<Vec<u8>>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Reads the records of one member's header.
pub(super) fn parse(mut text: &[u8]) -> Result<Pax, String> {
    let mut pax = Pax::default();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    while !text.is_empty() {
        let (key, value, rest) = record(text).ok_or("a record of its extended header is not well formed")?;
        text = rest;
        // Twice the same key: one program takes the first, another the last. Only GNU's sparse format 0.0 needs it.
        if !key.starts_with(b"GNU.sparse.") {
            if seen.iter().any(|k| k == key) {
                return Err(format!("its extended header has `{}` twice", super::error::shown(key)));
            }
            seen.push(key.to_vec());
        }
        take(&mut pax, key, value).ok_or_else(|| {
            format!("`{}` of its extended header has no usable value", super::error::shown(key))
        })?;
    }
    Ok(pax)
}

/// Whether a global header says nothing that would change a member.
pub(super) fn is_harmless_global(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some((key, _, rest)) = record(text) else { return false };
        if key != b"comment" {
            return false;
        }
        text = rest;
    }
    true
}

fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = text.iter().take(20).position(|b| *b == b' ')?;
    let len = usize::try_from(decimal(&text[..blank])?).ok()?;
    if len > text.len() || len < blank + 3 {
        return None;
    }
    let (record, rest) = text.split_at(len);
    let body = record[blank + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

fn take(pax: &mut Pax, key: &[u8], value: &[u8]) -> Option<()> {
    match key {
        b"path" => pax.path = Some(value.to_vec()),
        b"linkpath" => pax.target = Some(value.to_vec()),
        b"size" => pax.size_bytes = Some(decimal(value)?),
        b"uid" => pax.uid = Some(decimal(value)?),
        b"gid" => pax.gid = Some(decimal(value)?),
        b"mtime" => pax.mtime = Some(time(value)?),
        // Names of owners and other times are not kept; names may be in any character set.
        b"atime" | b"ctime" | b"uname" | b"gname" | b"comment" | b"hdrcharset" => {}
        _ if key.starts_with(b"GNU.sparse.") => return pax.sparse.take(&key[b"GNU.sparse.".len()..], value),
        _ if key.starts_with(XATTR) => {
            let name = unescape(&key[XATTR.len()..]);
            if name.is_empty() || name.contains(&0) {
                return None;
            }
            pax.xattrs.push((name, value.to_vec()));
        }
        _ => pax.unknown.push(key.to_vec()),
    }
    Some(())
}

/// Digits only, as a number.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0_u64, |n, b| match b {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut ns = 0_u32;
    if let Some(fraction) = parts.next() {
        if fraction.iter().any(|b| !b.is_ascii_digit()) {
            return None;
        }
        // Past the ninth digit there is nothing that a file system keeps.
        for i in 0..9 {
            ns = ns * 10 + u32::from(fraction.get(i).map_or(0, |b| b - b'0'));
        }
    }
    match (negative, ns) {
        (false, _) => Some(Time { s: whole, ns }),
        (true, 0) => Some(Time { s: -whole, ns }),
        (true, _) => Some(Time { s: -whole - 1, ns: 1_000_000_000 - ns }),
    }
}

/// A time as a pax value.
pub(super) fn time_text(t: Time) -> String {
    let (sign, s, ns) = match (t.s < 0, t.ns) {
        (false, ns) => ("", t.s.unsigned_abs(), ns),
        (true, 0) => ("-", t.s.unsigned_abs(), 0),
        (true, ns) => ("-", (t.s + 1).unsigned_abs(), 1_000_000_000 - ns),
    };
    if ns == 0 {
        return format!("{sign}{s}");
    }
    format!("{sign}{s}.{ns:09}").trim_end_matches('0').to_owned()
}

/// GNU tar writes `%` and `=` of an attribute's name as `%25` and `%3D`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(b"%3D") {
            out.push(b'=');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(b"%25") {
            out.push(b'%');
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// The key of an extended attribute.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = XATTR.to_vec();
    for b in name {
        match b {
            b'%' => key.extend(b"%25"),
            b'=' => key.extend(b"%3D"),
            _ => key.push(*b),
        }
    }
    key
}

/// Appends one record.
pub(super) fn append(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    // The length counts its own digits; adding them may add one more.
    while rest + digits(len) != len {
        len = rest + digits(len);
    }
    out.extend(len.to_string().as_bytes());
    out.push(b' ');
    out.extend(key);
    out.push(b'=');
    out.extend(value);
    out.push(b'\n');
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_before_1970_as_gnu_tar_writes_them() {
        assert_eq!(time(b"-1.5"), Some(Time { s: -2, ns: 500_000_000 }));
        assert_eq!(time(b"-0.25"), Some(Time { s: -1, ns: 750_000_000 }));
        assert_eq!(time(b"5."), Some(Time { s: 5, ns: 0 }));
        assert_eq!(time(b"1e5"), None);
        assert_eq!(time(b""), None);
    }

    proptest! {
        #[test]
        fn times_come_back(s in -5_000_000_000_i64..5_000_000_000, ns in 0_u32..1_000_000_000) {
            let t = Time { s, ns };
            prop_assert_eq!(time(time_text(t).as_bytes()), Some(t));
        }

        #[test]
        fn records_come_back(name in proptest::collection::vec(1_u8..=255, 1..2000), value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut text = Vec::new();
            append(&mut text, b"path", &name);
            append(&mut text, &xattr_key(&name), &value);
            let pax = parse(&text).expect("parsed");
            prop_assert_eq!(pax.path, Some(name.clone()));
            prop_assert_eq!(pax.xattrs, vec![(name, value)]);
        }

        #[test]
        fn noise_is_read_or_refused(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&noise);
            prop_assert!(noise.is_empty() || record(&noise).is_none() || noise.contains(&b'='));
        }
    }
}
