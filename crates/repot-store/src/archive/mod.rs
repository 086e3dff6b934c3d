//! Media archives: tar streams that are packed, inspected and unpacked with bounded memory.
//!
//! Media live in a host directory or in a Docker volume, possibly of another machine. In the second case GNU tar packs
//! and unpacks inside a helper container and the stream passes through this process: [`Inspector`] reads along. In the
//! first, [`pack`] and [`unpack`] do the work here, on the same parser.
//!
//! - [`Inspector`] lets a stream pass unchanged, refuses it at the first unsafe or damaged member, and takes the
//!   [`Fingerprint`].
//! - [`pack`] writes a directory as a tar that GNU tar and Python's tarfile read; [`unpack`] writes only below its root.
//! - [`compare`] names the paths by which two entry lists differ.
//!
//! # What is refused
//!
//! Absolute names, `..`, names that come twice, members below anything that is not a directory, devices, fifos, sockets,
//! hard links to what is not an earlier file of the same archive, over-long names, every structural damage, and an
//! archive without its end mark. Symbolic links that may lead outside the root are refused unless
//! [`LinksOutside::Keep`] is asked for; they are never followed in either case. Keep is meant for backups of what is
//! there (a media folder with a link to a larger disk, a virtual environment's `bin/python`, a Git checkout: all three
//! are met in InvenTree's and Nautobot's directories) and for restoring a set whose fingerprint is known; Refuse is the
//! default, for archives that come from elsewhere. "May lead outside" is decided by the text: an absolute target, more
//! `..` than directories above the link, or a `..` after a name (that name may be a link itself).
//!
//! # What is kept
//!
//! Path, kind, size, permission bits, numeric owner and group, modification time to the nanosecond, link targets, hard
//! links, holes, `user.*` extended attributes and POSIX access control lists. Not kept, and noted where met: setuid and
//! setgid bits of files, other extended attributes (`security.capability` gives rights like setuid does), and whatever a
//! pax header says beyond this. Access and change times and the names of owners are ignored.
//!
//! # Memory
//!
//! About 25 to 50 bytes for each name (a keyed 128-bit hash and a position), whatever its length; entry lists are spooled
//! to unlinked files in `scratch_dir` and sorted there. Packing also holds the names of the directories on the way down,
//! and the first path of each file with several names.
//!
//! # Why there is a parser here
//!
//! The crate tar takes an archive that was cut between two members for a whole one, does not know pax's sparse files,
//! and leaves it open which of two contradicting sizes counts. Its headers are used, its reader is not.

mod compare;
mod entry;
mod error;
mod header;
mod inspect;
mod names;
mod pack;
mod parser;
mod pax;
mod place;
mod sparse;
mod spool;
mod unpack;
mod write;

pub use compare::{Comparison, Depth, Difference, compare};
pub use entry::{Bytes, Entry, Kind};
pub use error::{ArchiveError, Note, Notes, Refusal};
pub use inspect::{Fingerprint, InspectOptions, Inspected, Inspector, LinksOutside, inspect};
pub use pack::{PackOptions, Packed, fingerprint_tree, pack};
pub use place::RootAttributes;
pub use unpack::{Owners, RestoreMode, UnpackOptions, Unpacked, unpack};
