//! OpenPGP files: what plain `gpg --decrypt` opens, and what gpg writes.
//!
//! Written are SEIPD version 1 packets (AES-256 with a modification detection code, MDC), because GnuPG 2.2 knows
//! nothing newer. The MDC is at the very end: **everything that a reader gives before its end of file is not yet
//! proved**, and a changed file shows only then. Go through the whole file first; see [`super::verify_all`].
//!
//! Secret keys on a smart card or in gpg-agent are out of reach here, and this crate starts no processes: for them there
//! is [`super::Opener`], which repot-core fills with `gpg --decrypt`.

mod framing;
mod keys;
mod read;
mod sign;
mod write;

pub use keys::{Certificate, SecretKey};
pub use read::OpenPgpKeys;
pub use sign::{Judgement, Signer, Signers};
pub use write::OpenPgpRecipients;
pub(super) use write::OpenPgpWriter;
