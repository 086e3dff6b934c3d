//! Which sets to keep: a pure function from what is there and the rules to one decision per set.
//!
//! # What a rule counts
//!
//! Retention looks at one *line* at a time: what one group (application, project and storage) holds of one database,
//! of the media, or of the configuration. `daily = 7` therefore means seven days of each database and seven days
//! of media, and a set that holds media only never takes the place of one that holds a database. A set is kept when
//! any of its lines keeps it, because a set is deleted as a whole. Grouping by server, or by file name, is how
//! others came to delete too much or nothing at all (databasement pull request 41, django-dbbackup #641).
//!
//! - `last = n`: the n newest.
//! - `hourly`, `daily`, `weekly`, `monthly`, `yearly = n`: of the n newest hours (days, ISO weeks, months, years)
//!   that have a set at all, the newest set of each. A day without a backup takes no place. Days begin at midnight
//!   of the given time zone, and an hour that the clock shows twice is two hours.
//! - `within = span`: everything younger than that, counted back from the newest set of the line and not from now.
//!   When backups stop, nothing further is deleted, and a clock set wrongly forward deletes nothing.
//! - `max_size_bytes`: not a rule that keeps, a limit: as long as the kept sets of a group are larger, the oldest
//!   goes, whatever rule kept it. What may never be deleted stays even above the limit.
//!
//! Every rule looks at all sets of its line, whatever another rule keeps (restic's `forget` does so; Borg's `prune`
//! does not count a set twice). So each line of the configuration can be read by itself: `weekly = 4` reaches four
//! weeks back whether `daily` is 3 or 30. The price is that `daily = 7` and `weekly = 4` overlap by a week.
//!
//! # Which rules apply
//!
//! The rules of `label` if the set's label has some, else of `database`, else of `content`, else the general ones.
//! They replace the general ones, they do not add to them. A set whose label has rules of its own is counted among
//! sets of that label only, so a set made by hand before an upgrade never pushes out a nightly one. Rules that are
//! present and empty keep everything they apply to.
//!
//! # What is never deleted
//!
//! Per line: the newest complete set (so also the only one) and the newest verified one. Then any set that a run
//! which is not finished needs, any set that repot did not write, and any set dated in the future, which may be
//! the work of a clock that was wrong for a while. Foreign, future and incomplete sets count for no rule, so
//! they never push out another. With no rule at all, everything is kept.
//!
//! Incomplete sets go when they are older than the grace period: until then somebody may be writing them.

mod bucket;
mod decide;
mod facts;
mod reason;
mod rules;
#[cfg(test)]
mod tests;

pub use decide::{Decision, decide};
pub use facts::{Content, Group, SetFacts};
pub use reason::{Line, Reason};
pub use rules::{Counts, KeepRules, Rule};
