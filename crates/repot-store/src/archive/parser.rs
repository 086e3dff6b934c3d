//! The tar format as a machine that is fed bytes as they come, and tells what they are.

use super::error::{ArchiveError, Refusal, Result, shown};
use super::header::{BLOCK_BYTES, Dialect, Fields, fields};
use super::pax::{self, Pax, Time};
use super::sparse::{self, Form, MapReader, Segment};

/// Longest pax header that is read. A large map of holes or a few extended attributes of 64 KiB fit.
const MAX_PAX_BYTES: u64 = 8 << 20;
/// Longest name in GNU's own extension.
const MAX_LONG_NAME_BYTES: u64 = 64 << 10;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Directory,
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
}

/// A member, all extensions applied. Its name is as it stands in the archive: not checked yet.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) at_bytes: u64,
    pub(super) name: Vec<u8>,
    pub(super) typ: Type,
    /// Size of the content, holes included.
    pub(super) size_bytes: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: Time,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys of its pax header that are not kept.
    pub(super) unknown: Vec<Vec<u8>>,
}

/// Who is told. `data` comes with ascending offsets; what is left out is holes.
pub(super) trait Sink {
    fn member(&mut self, member: Member) -> Result<()>;
    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    fn end(&mut self) -> Result<()>;
}

#[derive(Debug)]
enum State {
    Header,
    /// An extension's content: its type, what is missing of it, with padding.
    Extension {
        typeflag: u8,
        len: usize,
        missing: usize,
    },
    OldSparse {
        fields: Box<Fields>,
        segments: Vec<Segment>,
        size: u64,
    },
    Map {
        member: Box<Member>,
        stored: u64,
        map: MapReader,
    },
    Data {
        segments: std::vec::IntoIter<Segment>,
        now: Segment,
        padding: usize,
    },
    Padding {
        missing: usize,
    },
    /// After the first of the two blocks of zeros.
    HalfEnded,
    Ended,
}

/// What came before a member and belongs to it.
#[derive(Debug, Default)]
struct Extensions {
    at_bytes: Option<u64>,
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Parser {
    state: State,
    block: [u8; BLOCK_BYTES],
    block_len: usize,
    content: Vec<u8>,
    extensions: Extensions,
    /// Bytes taken so far.
    at_bytes: u64,
}

impl Parser {
    pub(super) fn new() -> Self {
        Parser {
            state: State::Header,
            block: [0; BLOCK_BYTES],
            block_len: 0,
            content: Vec::new(),
            extensions: Extensions::default(),
            at_bytes: 0,
        }
    }

    fn damaged(&self, why: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { at_bytes: self.at_bytes, why: why.into() }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        // Each turn takes a byte at least, or changes into a state that does.
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Header | State::HalfEnded | State::OldSparse { .. } | State::Map { .. } => {
                    let n = bytes.len().min(BLOCK_BYTES - self.block_len);
                    self.block[self.block_len..self.block_len + n].copy_from_slice(&bytes[..n]);
                    self.block_len += n;
                    if self.block_len == BLOCK_BYTES {
                        self.block_len = 0;
                        self.whole_block(sink)?;
                    }
                    n
                }
                State::Extension { typeflag, len, missing } => {
                    let n = bytes.len().min(*missing);
                    self.content.extend_from_slice(&bytes[..n]);
                    *missing -= n;
                    if *missing == 0 {
                        let (typeflag, len) = (*typeflag, *len);
                        self.extension(typeflag, len)?;
                    }
                    n
                }
                State::Data { segments, now, padding } => {
                    let n = bytes.len().min(usize::try_from(now.len).unwrap_or(usize::MAX));
                    sink.data(now.offset, &bytes[..n])?;
                    now.offset += n as u64;
                    now.len -= n as u64;
                    if now.len == 0 {
                        match segments.next() {
                            Some(next) => *now = next,
                            None => {
                                let missing = *padding;
                                sink.end()?;
                                self.padding(missing);
                            }
                        }
                    }
                    n
                }
                State::Padding { missing } => {
                    let n = bytes.len().min(*missing);
                    *missing -= n;
                    if *missing == 0 {
                        self.state = State::Header;
                    }
                    self.zeros(&bytes[..n], "the padding behind a member is not zeros")?;
                    n
                }
                State::Ended => {
                    self.zeros(bytes, "something follows the end of the archive")?;
                    bytes.len()
                }
            };
            self.at_bytes += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Called when there are no more bytes.
    pub(super) fn finish(&self) -> Result<()> {
        let cut = |why| Err(ArchiveError::Cut { at_bytes: self.at_bytes, why });
        match self.state {
            State::Ended => Ok(()),
            State::Header if self.block_len == 0 && self.extensions.at_bytes.is_none() => {
                cut("without the two blocks of zeros that end an archive")
            }
            State::HalfEnded => cut("in the two blocks of zeros that end an archive"),
            State::Data { .. } | State::Padding { .. } | State::Map { .. } => cut("within a file's content"),
            _ => cut("within a header"),
        }
    }

    fn zeros(&self, bytes: &[u8], otherwise: &str) -> Result<()> {
        if bytes.iter().all(|b| *b == 0) { Ok(()) } else { Err(self.damaged(otherwise)) }
    }

    fn padding(&mut self, missing: usize) {
        self.state = if missing == 0 { State::Header } else { State::Padding { missing } };
    }

    fn whole_block(&mut self, sink: &mut impl Sink) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Header) {
            State::Header if self.block.iter().all(|b| *b == 0) => {
                if self.extensions.at_bytes.is_some() {
                    return Err(self.damaged("an extended header has no member"));
                }
                self.state = State::HalfEnded;
                Ok(())
            }
            State::HalfEnded => {
                self.zeros(&self.block, "a single block of zeros stands between members")?;
                self.state = State::Ended;
                Ok(())
            }
            State::OldSparse { fields, mut segments, size } => {
                let more = sparse::old_extension(&self.block, &mut segments).map_err(|e| self.damaged(e))?;
                if more {
                    self.state = State::OldSparse { fields, segments, size };
                    return Ok(());
                }
                let stored = fields.size_bytes;
                let member = self.member(*fields)?;
                self.begin_file(member, segments, size, stored, sink)
            }
            State::Map { member, stored, mut map } => {
                let stored = stored
                    .checked_sub(BLOCK_BYTES as u64)
                    .ok_or_else(|| self.damaged("a map of holes is longer than its member"))?;
                if map.block(&self.block).map_err(|e| self.damaged(e))? {
                    let size = member.size_bytes;
                    self.begin_file(*member, map.finish(), size, stored, sink)
                } else {
                    self.state = State::Map { member, stored, map };
                    Ok(())
                }
            }
            _ => self.header(sink),
        }
    }

    fn header(&mut self, sink: &mut impl Sink) -> Result<()> {
        let fields = fields(&self.block).map_err(|e| self.damaged(e))?;
        let begins = self.at_bytes - (self.at_bytes % BLOCK_BYTES as u64);
        let first = self.extensions.at_bytes.is_none();
        match fields.typeflag {
            b'x' | b'g' | b'L' | b'K' => {
                let limit =
                    if fields.typeflag.is_ascii_lowercase() { MAX_PAX_BYTES } else { MAX_LONG_NAME_BYTES };
                let twice = match fields.typeflag {
                    b'x' => self.extensions.pax.is_some(),
                    b'L' => self.extensions.long_name.is_some(),
                    b'K' => self.extensions.long_target.is_some(),
                    _ => !first,
                };
                if twice {
                    return Err(self.damaged("an extended header has no member"));
                }
                if fields.size_bytes > limit || fields.size_bytes == 0 {
                    return Err(self.damaged("an extended header has a size that none has"));
                }
                if fields.typeflag != b'g' && first {
                    self.extensions.at_bytes = Some(begins);
                }
                let len = fields.size_bytes as usize;
                self.content.clear();
                let missing = len.next_multiple_of(BLOCK_BYTES);
                self.state = State::Extension { typeflag: fields.typeflag, len, missing };
                Ok(())
            }
            b'S' if fields.dialect == Dialect::Gnu => {
                if self.extensions.pax.is_some() {
                    return Err(self.damaged("an old GNU sparse file has a pax header"));
                }
                let (segments, more, size) = sparse::old_header(&self.block).map_err(|e| self.damaged(e))?;
                if more {
                    self.state = State::OldSparse { fields: Box::new(fields), segments, size };
                    return Ok(());
                }
                let stored = fields.size_bytes;
                let member = self.member(fields)?;
                self.begin_file(member, segments, size, stored, sink)
            }
            _ => {
                let stored =
                    self.extensions.pax.as_ref().and_then(|p| p.size_bytes).unwrap_or(fields.size_bytes);
                let form = match &mut self.extensions.pax {
                    Some(pax) => pax.sparse.form(),
                    None => Ok(Form::Plain),
                };
                let form = form.map_err(|e| self.damaged(e))?;
                let mut member = self.member(fields)?;
                match (form, &member.typ) {
                    (Form::Plain, Type::File) => {
                        let whole = vec![Segment { offset: 0, len: stored }];
                        self.begin_file(member, whole, stored, stored, sink)
                    }
                    (Form::Mapped(segments, size), Type::File) => {
                        self.begin_file(member, segments, size, stored, sink)
                    }
                    (Form::MapFollows(size), Type::File) => {
                        member.size_bytes = size;
                        let map = MapReader::default();
                        self.state = State::Map { member: Box::new(member), stored, map };
                        Ok(())
                    }
                    // Some programs skip such content, others take it for the next header.
                    (Form::Plain, _) if stored != 0 => {
                        Err(self.damaged("a member that is not a file has content"))
                    }
                    (Form::Plain, _) => {
                        sink.member(member)?;
                        sink.end()
                    }
                    _ => Err(self.damaged("a member that is not a file has a map of holes")),
                }
            }
        }
    }

    /// Puts a member together, and uses up the extensions.
    fn member(&mut self, fields: Fields) -> Result<Member> {
        let extensions = std::mem::take(&mut self.extensions);
        let begins = self.at_bytes - (self.at_bytes % BLOCK_BYTES as u64);
        let at_bytes = extensions.at_bytes.unwrap_or(begins);
        let pax = extensions.pax.unwrap_or_default();
        if pax.path.is_some() && extensions.long_name.is_some()
            || pax.target.is_some() && extensions.long_target.is_some()
        {
            return Err(self.damaged("a member has two long names"));
        }
        let name = pax.sparse.name.or(pax.path).or(extensions.long_name).unwrap_or(fields.name);
        let target = pax.target.or(extensions.long_target).unwrap_or(fields.target);
        let slash = name.ends_with(b"/");
        let typ = match fields.typeflag {
            b'5' => Type::Directory,
            // Unix V7 had no type for directories.
            0 if slash => Type::Directory,
            0 | b'0' | b'S' if !slash => Type::File,
            b'2' => Type::Symlink { target },
            b'1' => Type::HardLink { target },
            b'0' | b'S' => return Err(self.damaged("the name of a file ends in `/`")),
            _ => {
                return Err(ArchiveError::Refused {
                    member: shown(&name),
                    at_bytes,
                    refusal: Refusal::Special,
                });
            }
        };
        Ok(Member {
            at_bytes,
            name,
            typ,
            size_bytes: 0,
            mode: fields.mode,
            uid: pax.uid.unwrap_or(fields.uid),
            gid: pax.gid.unwrap_or(fields.gid),
            mtime: pax.mtime.unwrap_or(Time { s: fields.mtime_s, ns: 0 }),
            xattrs: pax.xattrs,
            unknown: pax.unknown,
        })
    }

    fn begin_file(
        &mut self,
        mut member: Member,
        segments: Vec<Segment>,
        size_bytes: u64,
        stored: u64,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let segments = sparse::checked(segments, size_bytes, stored).map_err(|e| self.damaged(e))?;
        // Offsets must fit a file system's, which are signed.
        if size_bytes > i64::MAX as u64 {
            return Err(self.damaged("a file's size is beyond what a file can have"));
        }
        let padding = (stored.next_multiple_of(BLOCK_BYTES as u64) - stored) as usize;
        member.size_bytes = size_bytes;
        sink.member(member)?;
        let mut segments = segments.into_iter();
        match segments.next() {
            Some(now) => self.state = State::Data { segments, now, padding },
            None => {
                sink.end()?;
                self.padding(padding);
            }
        }
        Ok(())
    }

    fn extension(&mut self, typeflag: u8, len: usize) -> Result<()> {
        self.state = State::Header;
        let mut content = std::mem::take(&mut self.content);
        self.zeros(&content[len..], "the padding behind an extended header is not zeros")?;
        content.truncate(len);
        match typeflag {
            b'x' => self.extensions.pax = Some(pax::parse(&content).map_err(|e| self.damaged(e))?),
            b'g' => {
                if !pax::is_harmless_global(&content) {
                    return Err(self.damaged("it has a global header that changes its members"));
                }
            }
            _ => {
                // GNU tar counts a NUL at the end, others do not.
                if content.last() == Some(&0) {
                    content.pop();
                }
                if content.contains(&0) {
                    return Err(self.damaged("a long name has a NUL byte"));
                }
                let place = if typeflag == b'L' {
                    &mut self.extensions.long_name
                } else {
                    &mut self.extensions.long_target
                };
                *place = Some(content);
            }
        }
        if self.content.capacity() == 0 && len <= BLOCK_BYTES {
            self.content.reserve(BLOCK_BYTES);
        }
        Ok(())
    }
}
