//! The fields of one 512-byte header. More strictly than the crate tar reads them: what two programs may read in two
//! ways is damage.

use tar::Header;

/// Size of every block of a tar archive.
pub(super) const BLOCK_BYTES: usize = 512;

/// Which dialect a header is in; it decides what the bytes behind the link name mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// No magic: Unix V7.
    V7,
    /// `ustar\0`: POSIX, with a prefix for the name.
    Ustar,
    /// `ustar  \0`: old GNU.
    Gnu,
}

/// What a header says, before any extension changes it.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) dialect: Dialect,
    pub(super) typeflag: u8,
    pub(super) name: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) size_bytes: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime_s: i64,
}

/// Reads a header, whose checksum must be right.
pub(super) fn fields(block: &[u8; BLOCK_BYTES]) -> Result<Fields, String> {
    let header = Header::from_byte_slice(block);
    let old = header.as_old();
    let typeflag = old.linkflag[0];
    let mut name = text(&old.name).to_vec();
    let magic = &block[257..265];
    check_sum(block, &old.cksum, magic.starts_with(b"ustar"))?;
    let dialect = match header.as_ustar() {
        Some(ustar) if magic == b"ustar\x0000" => {
            let prefix = text(&ustar.prefix);
            if !prefix.is_empty() {
                name = [prefix, b"/", &name].concat();
            }
            Dialect::Ustar
        }
        _ if magic == b"ustar  \0" => Dialect::Gnu,
        _ if magic.iter().all(|b| *b == 0) => Dialect::V7,
        _ => return Err("the header has an unknown magic".to_owned()),
    };
    Ok(Fields {
        dialect,
        typeflag,
        name,
        target: text(&old.linkname).to_vec(),
        size_bytes: unsigned(&old.size).ok_or("its size is not a number")?,
        mode: unsigned(&old.mode).ok_or("its mode is not a number")? as u32 & 0o7777,
        uid: unsigned(&old.uid).ok_or("its owner is not a number")?,
        gid: unsigned(&old.gid).ok_or("its group is not a number")?,
        mtime_s: number(&old.mtime)
            .and_then(|n| i64::try_from(n).ok())
            .ok_or("its modification time is not a number")?,
    })
}

/// What stands before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Old programs summed signed bytes; GNU tar and Python accept both sums, so both are accepted here.
///
/// The field itself is not covered by the sum. So since there is a magic, it must be written as every program does: six
/// digits, NUL, blank, or seven digits and NUL.
fn check_sum(block: &[u8; BLOCK_BYTES], field: &[u8; 8], strict: bool) -> Result<(), String> {
    let digits = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'7'));
    if strict && !(digits(&field[..6]) && (field[6..] == *b"\0 " || digits(&field[6..7]) && field[7] == 0)) {
        return Err("the header's checksum is not written as one".to_owned());
    }
    let stated = number(field).ok_or("the header's checksum is not a number")?;
    let blanked = || block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b });
    let sum: i128 = blanked().map(i128::from).sum();
    let signed: i128 = blanked().map(|b| i128::from(b.cast_signed())).sum();
    if stated == sum || stated == signed { Ok(()) } else { Err("the header's checksum is wrong".to_owned()) }
}

/// A number that must not be negative.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    u64::try_from(number(field)?).ok()
}

/// Octal digits between blanks and a blank or NUL, or GNU's base 256 (first byte 0x80 or 0xff). Empty is 0.
pub(super) fn number(field: &[u8]) -> Option<i128> {
    match field.first()? {
        0x80 | 0xff => {
            let negative = field[0] == 0xff;
            let (head, tail) = field.split_at(field.len().saturating_sub(8));
            // Everything before the last eight bytes only carries the sign.
            let fill = if negative { 0xff } else { 0 };
            if head.iter().skip(1).any(|b| *b != fill) {
                return None;
            }
            let mut value: i128 = if negative { -1 } else { 0 };
            let skip = usize::from(head.is_empty());
            for b in tail.iter().skip(skip) {
                value = value << 8 | i128::from(*b);
            }
            Some(value)
        }
        _ => {
            let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
            let digits = &field[start..];
            let end = digits.iter().position(|b| *b == b' ' || *b == 0).unwrap_or(digits.len());
            if digits[end..].iter().any(|b| *b != b' ' && *b != 0) {
                return None;
            }
            digits[..end].iter().try_fold(0_i128, |n, b| match b {
                b'0'..=b'7' => Some(n << 3 | i128::from(b - b'0')),
                _ => None,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_both_kinds() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"00006x4\0"), None);
        assert_eq!(number(b"644\x00001\0\0\0"), None);
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 1]), Some(1));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), None);
    }

    proptest! {
        #[test]
        fn noise_is_read_or_refused(noise in proptest::collection::vec(any::<u8>(), 1..13), block in proptest::array::uniform32(any::<u8>())) {
            let _ = number(&noise);
            let mut b = [0; BLOCK_BYTES];
            b[140..172].copy_from_slice(&block);
            prop_assert!(fields(&b).is_err() || number(&b[148..156]).is_some());
        }
    }
}
