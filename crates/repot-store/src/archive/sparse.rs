//! Maps of sparse files: old GNU, and pax 0.0, 0.1 and 1.0.

use super::header::{BLOCK_BYTES, unsigned};
use super::pax::decimal;

/// Segments of one file; a map beyond is refused. At 16 bytes each, 16 MiB.
pub(super) const MAX_SEGMENTS: usize = 1 << 20;

/// A part of a file that the archive holds; everything between is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// Segments in order, without overlap, within the size, with all of the stored bytes. An empty one marks a
/// hole at the end, and is dropped.
pub(super) fn checked(
    segments: Vec<Segment>,
    size_bytes: u64,
    stored_bytes: u64,
) -> Result<Vec<Segment>, String> {
    let mut end = 0_u64;
    let mut total = 0_u64;
    for s in &segments {
        if s.len == 0 && s.offset != size_bytes {
            return Err("its map of holes has an empty part before the end".to_owned());
        }
        let after = s.offset.checked_add(s.len).filter(|a| s.offset >= end && *a <= size_bytes);
        end = after.ok_or("its map of holes contradicts itself")?;
        total += s.len;
    }
    if total != stored_bytes {
        return Err("its map of holes does not fit its size".to_owned());
    }
    Ok(segments.into_iter().filter(|s| s.len > 0).collect())
}

/// What a pax header says of a sparse file.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    real_size: Option<u64>,
    count: Option<u64>,
    segments: Vec<Segment>,
    offset: Option<u64>,
    map: bool,
}

/// Which form a sparse file has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not sparse.
    Plain,
    /// The map was in the header.
    Mapped(Vec<Segment>, u64),
    /// The map stands before the data; the size is known.
    MapFollows(u64),
}

impl PaxSparse {
    /// Takes the value of `GNU.sparse.KEY`. None: not a value.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
            place.replace(value).is_none().then_some(())
        }
        match key {
            b"major" => once(&mut self.major, decimal(value)?),
            b"minor" => once(&mut self.minor, decimal(value)?),
            b"name" => once(&mut self.name, value.to_vec()),
            b"size" => once(&mut self.size, decimal(value)?),
            b"realsize" => once(&mut self.real_size, decimal(value)?),
            b"numblocks" => once(&mut self.count, decimal(value)?),
            b"offset" => once(&mut self.offset, decimal(value)?),
            b"numbytes" => {
                let segment = Segment { offset: self.offset.take()?, len: decimal(value)? };
                self.push(segment)
            }
            b"map" => {
                if std::mem::replace(&mut self.map, true) || !self.segments.is_empty() {
                    return None;
                }
                let mut numbers = value.split(|b| *b == b',');
                while let Some(offset) = numbers.next().filter(|_| !value.is_empty()) {
                    let segment = Segment { offset: decimal(offset)?, len: decimal(numbers.next()?)? };
                    self.push(segment)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn push(&mut self, segment: Segment) -> Option<()> {
        self.segments.push(segment);
        (self.segments.len() <= MAX_SEGMENTS).then_some(())
    }

    /// What all of it means together.
    pub(super) fn form(&mut self) -> Result<Form, String> {
        let contradicts = || "what its extended header says of holes contradicts itself".to_owned();
        if self.offset.is_some() {
            return Err(contradicts());
        }
        let segments = std::mem::take(&mut self.segments);
        match (self.major, self.minor) {
            (Some(1), Some(0)) => match (self.real_size, self.size, self.count) {
                (Some(size), None, None) if segments.is_empty() && !self.map => Ok(Form::MapFollows(size)),
                _ => Err(contradicts()),
            },
            (None | Some(0), None | Some(0 | 1)) => match (self.size, self.real_size, self.count) {
                (None, None, None) if segments.is_empty() && !self.map && self.name.is_none() => {
                    Ok(Form::Plain)
                }
                (Some(size), None, Some(count)) if count == segments.len() as u64 => {
                    Ok(Form::Mapped(segments, size))
                }
                _ => Err(contradicts()),
            },
            _ => Err("it is a sparse file in a newer format".to_owned()),
        }
    }
}

/// Reads the map that stands before the data in format 1.0, as it comes.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    number: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    segments: Vec<Segment>,
}

impl MapReader {
    /// Takes the next block. True: the map is whole (what is left of the block is padding).
    pub(super) fn block(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<bool, String> {
        let bad = || "the map of holes before its data is not one".to_owned();
        for (i, b) in block.iter().enumerate() {
            if *b != b'\n' {
                self.number.push(*b);
                if self.number.len() > 20 {
                    return Err(bad());
                }
                continue;
            }
            let n = decimal(&self.number).ok_or_else(bad)?;
            self.number.clear();
            match (self.count, self.offset.take()) {
                (None, _) if n as usize > MAX_SEGMENTS => return Err(bad()),
                (None, _) => self.count = Some(n),
                (_, None) => self.offset = Some(n),
                (_, Some(offset)) => self.segments.push(Segment { offset, len: n }),
            }
            if self.offset.is_none() && self.count == Some(self.segments.len() as u64) {
                return if block[i + 1..].iter().all(|b| *b == 0) { Ok(true) } else { Err(bad()) };
            }
        }
        Ok(false)
    }

    pub(super) fn finish(self) -> Vec<Segment> {
        self.segments
    }
}

/// Writes a map as format 1.0 wants it, padded to whole blocks.
pub(super) fn map_text(segments: &[Segment]) -> Vec<u8> {
    let mut out = format!("{}\n", segments.len()).into_bytes();
    for s in segments {
        out.extend(format!("{}\n{}\n", s.offset, s.len).as_bytes());
    }
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    out
}

/// Where the four maps of an old GNU header begin, where it says that more follow, and the size of the whole file.
const OLD_MAP: usize = 386;
const OLD_MORE: usize = 482;
const OLD_REAL_SIZE: usize = 483;
const EXTENSION_MORE: usize = 504;
const PAIR_BYTES: usize = 24;

/// The part of the map that is in an old GNU header, whether more follows, and the size of the whole file.
pub(super) fn old_header(block: &[u8; BLOCK_BYTES]) -> Result<(Vec<Segment>, bool, u64), String> {
    let mut segments = Vec::new();
    pairs(&block[OLD_MAP..OLD_MORE], &mut segments)?;
    let size = unsigned(&block[OLD_REAL_SIZE..OLD_REAL_SIZE + 12]).ok_or("its real size is not a number")?;
    Ok((segments, block[OLD_MORE] != 0, size))
}

/// A block that continues the map of an old GNU header; true if more follow.
pub(super) fn old_extension(block: &[u8; BLOCK_BYTES], segments: &mut Vec<Segment>) -> Result<bool, String> {
    pairs(&block[..EXTENSION_MORE], segments)?;
    // Nothing but this check covers these bytes: an extension has no checksum.
    if block[EXTENSION_MORE] > 1 || block[EXTENSION_MORE + 1..].iter().any(|b| *b != 0) {
        return Err("a block of its map of holes is not one".to_owned());
    }
    Ok(block[EXTENSION_MORE] != 0)
}

fn pairs(field: &[u8], segments: &mut Vec<Segment>) -> Result<(), String> {
    let bad = || "its map of holes has what is not a number".to_owned();
    for pair in field.chunks_exact(PAIR_BYTES) {
        let (offset, len) = pair.split_at(PAIR_BYTES / 2);
        // GNU tar stops at the first pair whose length is empty.
        if len[0] == 0 {
            if pair.iter().any(|b| *b != 0) {
                return Err(bad());
            }
            continue;
        }
        segments
            .push(Segment { offset: unsigned(offset).ok_or_else(bad)?, len: unsigned(len).ok_or_else(bad)? });
        if segments.len() > MAX_SEGMENTS {
            return Err("its map of holes is too long".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn maps_come_back(lens in proptest::collection::vec((1_u64..1_000_000_000, 1_u64..1_000_000), 0..200)) {
            let mut end = 0;
            let segments: Vec<Segment> = lens
                .iter()
                .map(|(hole, len)| {
                    let s = Segment { offset: end + hole, len: *len };
                    end = s.offset + s.len;
                    s
                })
                .collect();
            let text = map_text(&segments);
            let mut reader = MapReader::default();
            let mut whole = false;
            for block in text.as_chunks::<BLOCK_BYTES>().0 {
                prop_assert!(!whole);
                whole = reader.block(block).expect("a map");
            }
            prop_assert!(whole);
            let stored = segments.iter().map(|s| s.len).sum();
            prop_assert_eq!(checked(reader.finish(), end, stored).expect("in order"), segments);
        }

        #[test]
        fn noise_is_read_or_refused(noise in proptest::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            let block: &[u8; BLOCK_BYTES] = noise.as_slice().try_into().expect("a block");
            let _ = MapReader::default().block(block);
            let mut segments = Vec::new();
            prop_assert!(old_extension(block, &mut segments).is_err() || block[505..].iter().all(|b| *b == 0));
            let _ = old_header(block);
        }
    }
}
