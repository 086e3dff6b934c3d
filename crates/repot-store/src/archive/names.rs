//! Which names are safe, and which came before.

use std::collections::HashMap;

use super::error::Refusal;

/// What Linux takes as a path (PATH_MAX without its NUL) and as one part of it (NAME_MAX).
const MAX_PATH_BYTES: usize = 4095;
const MAX_PART_BYTES: usize = 255;
/// Directories above a member, and itself. Real media are not that deep; a stack of this size is safe everywhere.
pub(super) const MAX_DEPTH: usize = 256;

/// The name with `./`, `//` and trailing `/` taken out; empty for the root itself.
pub(super) fn normalised(name: &[u8]) -> Result<Vec<u8>, Refusal> {
    if name.is_empty() || name.contains(&0) {
        return Err(Refusal::BadName);
    }
    if name[0] == b'/' {
        return Err(Refusal::Absolute);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut depth = 0;
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(Refusal::ParentReference),
            _ if part.len() > MAX_PART_BYTES => return Err(Refusal::NameTooLong),
            _ => {}
        }
        if depth > 0 {
            out.push(b'/');
        }
        depth += 1;
        out.extend(part);
    }
    if out.len() > MAX_PATH_BYTES || depth > MAX_DEPTH {
        return Err(Refusal::NameTooLong);
    }
    Ok(out)
}

/// How many directories a link's target climbs before it goes down; None if that cannot be told, or it is absolute.
///
/// Only leading `..` count: they climb through the directories that the link lies in, which are real ones, because
/// nothing may lie below a link. A `..` after a name climbs from wherever that name leads.
fn climbs(target: &[u8]) -> Option<usize> {
    if target.first()? == &b'/' {
        return None;
    }
    let mut climbs = 0;
    let mut below = false;
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if below => return None,
            b".." => climbs += 1,
            _ => below = true,
        }
    }
    Some(climbs)
}

/// How many directories lie between the root and the place of a path.
fn depth(path: &[u8]) -> usize {
    path.iter().filter(|b| **b == b'/').count()
}

/// Everything above the last `/`.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|b| *b == b'/').map(|i| &path[..i])
}

/// What a name stands for. One byte of tag, seven of where its entry is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// No member of its own yet: something lies in it.
    Implied,
    Directory,
    File,
    /// With what its target climbs; CLIMBS_OUT for what cannot be told.
    Symlink(u8),
}

const CLIMBS_OUT: u8 = 250;

impl Known {
    fn packed(self, at: u64) -> u64 {
        let tag = match self {
            Known::Implied => 0,
            Known::Directory => 1,
            Known::File => 2,
            Known::Symlink(n) => 3 + n.min(CLIMBS_OUT),
        };
        u64::from(tag) << 56 | at & ((1 << 56) - 1)
    }

    fn unpacked(value: u64) -> (Self, u64) {
        let known = match (value >> 56) as u8 {
            0 => Known::Implied,
            1 => Known::Directory,
            2 => Known::File,
            n => Known::Symlink(n - 3),
        };
        (known, value & ((1 << 56) - 1))
    }
}

/// What is to be entered under a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum New<'a> {
    Directory,
    File,
    Symlink { target: &'a [u8] },
    HardLink { target: &'a [u8] },
}

/// What came of entering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entered {
    /// A symbolic link that may lead outside.
    pub(super) outside: bool,
    /// For a hard link, where the entry of what it is a link to stands.
    pub(super) original: Option<u64>,
}

/// The names of an archive so far. Keyed hashes, so that nobody can prepare two names that are taken for one.
#[derive(Debug)]
pub(super) struct Names {
    key: [u8; 32],
    known: HashMap<[u8; 16], u64>,
    max: u64,
}

impl Names {
    pub(super) fn new(max: u64) -> Self {
        use std::hash::{BuildHasher, RandomState};
        // The standard library's own random keys: the one source of randomness that needs no crate.
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&RandomState::new().hash_one(0_u8).to_le_bytes());
        }
        Names { key, known: HashMap::new(), max }
    }

    fn id(&self, path: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.key, path);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        id
    }

    fn set(&mut self, path: &[u8], known: Known, at: u64) -> Result<(), Refusal> {
        if self.known.len() as u64 >= self.max {
            return Err(Refusal::TooMany);
        }
        self.known.insert(self.id(path), known.packed(at));
        Ok(())
    }

    fn get(&self, path: &[u8]) -> Option<(Known, u64)> {
        self.known.get(&self.id(path)).map(|v| Known::unpacked(*v))
    }

    /// Enters a member under its normalised path; `at` is where its entry will stand.
    pub(super) fn enter(&mut self, path: &[u8], new: New<'_>, at: u64) -> Result<Entered, Refusal> {
        match (self.get(path), new) {
            (None, _) | (Some((Known::Implied, _)), New::Directory) => {}
            (Some(_), _) => return Err(Refusal::Twice),
        }
        self.enter_parents(path)?;
        let mut entered = Entered { outside: false, original: None };
        let mut place = at;
        let known = match new {
            New::Directory => Known::Directory,
            New::File => Known::File,
            New::Symlink { target } => {
                let climbs = climbs(target).and_then(|n| u8::try_from(n).ok());
                entered.outside = climbs.is_none_or(|n| usize::from(n) > depth(path));
                Known::Symlink(climbs.unwrap_or(CLIMBS_OUT))
            }
            New::HardLink { target } => {
                let (known, original) = self.get(target).ok_or(Refusal::HardLink)?;
                match known {
                    Known::File => {}
                    // The same target means another place from another directory.
                    Known::Symlink(n) => {
                        entered.outside = n >= CLIMBS_OUT || usize::from(n) > depth(path);
                    }
                    Known::Implied | Known::Directory => return Err(Refusal::HardLink),
                }
                entered.original = Some(original);
                // A link to a link finds the first of them.
                place = original;
                known
            }
        };
        self.set(path, known, place)?;
        Ok(entered)
    }

    /// Enters the directories above as far as they are new. What is known as a directory has known parents.
    fn enter_parents(&mut self, path: &[u8]) -> Result<(), Refusal> {
        let mut new = Vec::new();
        let mut at = path;
        while let Some(up) = parent(at) {
            match self.get(up) {
                Some((Known::Implied | Known::Directory, _)) => break,
                Some(_) => return Err(Refusal::BelowNonDirectory),
                None => new.push(up),
            }
            at = up;
        }
        new.into_iter().try_for_each(|up| self.set(up, Known::Implied, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_normalised_or_refused() {
        assert_eq!(normalised(b"./a//b/./c/"), Ok(b"a/b/c".to_vec()));
        assert_eq!(normalised(b"./"), Ok(vec![]));
        assert_eq!(normalised(b"a/.."), Err(Refusal::ParentReference));
        assert_eq!(normalised(b"/a"), Err(Refusal::Absolute));
        assert_eq!(normalised(b""), Err(Refusal::BadName));
        assert_eq!(normalised(&[b'a'; 256]), Err(Refusal::NameTooLong));
        assert_eq!(normalised(&b"a/".repeat(257)), Err(Refusal::NameTooLong));
    }

    #[test]
    fn link_targets() {
        assert_eq!(climbs(b"../../x/y"), Some(2));
        assert_eq!(climbs(b"x/../y"), None);
        assert_eq!(climbs(b"/x"), None);
        assert_eq!(climbs(b""), None);
        assert_eq!(climbs(b"./.././x"), Some(1));
    }

    #[test]
    fn a_hard_link_to_a_link_is_judged_from_its_own_place() {
        let mut names = Names::new(100);
        let link = names.enter(b"a/b/l", New::Symlink { target: b"../.." }, 7).expect("inside");
        assert!(!link.outside);
        let hard = names.enter(b"m", New::HardLink { target: b"a/b/l" }, 9).expect("entered");
        assert_eq!(hard, Entered { outside: true, original: Some(7) });
    }

    proptest! {
        /// Whatever the target: a link that is called inside resolves inside when each step is taken by hand.
        #[test]
        fn what_is_called_inside_is_inside(parts in proptest::collection::vec(prop_oneof![Just(".."), Just("."), Just("n"), Just("")], 1..8), depth_of_link in 0_usize..4) {
            let target = parts.join("/");
            let path = format!("{}l", "d/".repeat(depth_of_link));
            let mut names = Names::new(100);
            let entered = names.enter(path.as_bytes(), New::Symlink { target: target.as_bytes() }, 0).expect("entered");
            let mut level = depth_of_link as i64;
            let mut lowest = level;
            for part in &parts {
                level += match *part { ".." => -1, "n" => 1, _ => 0 };
                lowest = lowest.min(level);
            }
            if !entered.outside {
                prop_assert!(lowest >= 0 && !target.starts_with('/'));
            }
        }

        #[test]
        fn a_normalised_name_stays_as_it_is(name in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(n) = normalised(&name) {
                prop_assert!(n.is_empty() || normalised(&n) == Ok(n.clone()));
            }
        }
    }
}
