//! Disk space: for the backup and for the new data, from measured sizes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stack::existing;
use super::words::shell;
use super::{Finding, Request};
use crate::app::detect::Deployment;
use crate::engine::postgres::facts::ClusterFacts;
use crate::error::Result;
use crate::host::Store;
use crate::host::docker::Docker;
use crate::progress::human_bytes;

/// What a new, empty cluster and its write-ahead log take beside the data, in bytes.
const CLUSTER_BYTES: u64 = 1_200_000_000;

/// Write-ahead log that the new server keeps at most while it loads (its max_wal_size), in bytes.
const WAL_BYTES: u64 = 16 << 30;

/// What a backup set takes beside the rows: definitions, manifest, in bytes.
const SET_BYTES: u64 = 1_000_000;

/// Space wanted and there, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// What the backup set will take, as far as can be told beforehand (compressed).
    pub backup_bytes: u64,
    /// Free where the backup goes.
    pub backup_free_bytes: u64,
    /// What the new data will take at most.
    pub data_bytes: u64,
    /// Free where the new data goes.
    pub data_free_bytes: u64,
    /// Whether both are on one filesystem.
    pub together: bool,
}

/// Measures, and tells where it is tight. `moves` says whether PostgreSQL moves, and not the application alone.
pub(super) fn check(
    deployment: &Deployment,
    request: &Request,
    facts: Option<&ClusterFacts>,
    moves: bool,
) -> Result<(Option<Room>, Option<Finding>)> {
    let state = &deployment.database.state;
    if state.major.is_none() || request.backup_dir.as_os_str().is_empty() {
        return Ok((None, None));
    }
    let place = existing(&request.backup_dir);
    let Ok(fs) = rustix::fs::statvfs(&place) else { return Ok((None, None)) };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let tables = facts.map_or(state.size_bytes, |f| f.databases.iter().map(|d| d.table_bytes).sum());
    let data = facts.map_or(state.size_bytes, ClusterFacts::size_bytes);
    let large_objects = facts.map_or(0, |f| f.databases.iter().map(|d| d.large_object_bytes).sum());
    let room = Room {
        backup_bytes: tables / 2 + SET_BYTES,
        backup_free_bytes: free,
        data_bytes: if moves { new_data_bytes(data, large_objects) } else { 0 },
        data_free_bytes: state.free_bytes,
        together: together(&place, free, deployment),
    };
    let finding = judge(&room, tables, &place, deployment);
    Ok((Some(room), finding))
}

/// What the new data takes at most while it is loaded, in bytes. Tables are loaded past the write-ahead log
/// (wal_level = minimal); large objects are written like any row and stand in it once more.
fn new_data_bytes(data: u64, large_objects: u64) -> u64 {
    data.saturating_add(CLUSTER_BYTES.min(data / 4 + 200_000_000))
        .saturating_add(large_objects.min(WAL_BYTES))
}

/// Whether the backup and the data share a filesystem.
fn together(place: &Path, free: u64, deployment: &Deployment) -> bool {
    let path = match &deployment.database.data.store {
        Store::Bind(path) => Some(path.clone()),
        Store::Volume(name) => {
            Docker.volume(name).ok().flatten().and_then(|v| v["Mountpoint"].as_str().map(str::to_owned))
        }
    };
    // A volume's directory is closed to ordinary users, but the device of the part above that they can see is
    // nearly always the same.
    let device =
        path.and_then(|p| Path::new(&p).ancestors().find_map(|a| a.metadata().ok()).map(|m| m.dev()));
    if let (Some(a), Ok(b)) = (device, place.metadata()) {
        return a == b.dev();
    }
    // The data is on another machine, most likely. Two filesystems with the same free space to within a hundredth
    // are taken for one, which errs on the careful side.
    let other = deployment.database.state.free_bytes;
    free.abs_diff(other) <= free.max(other) / 100
}

fn judge(room: &Room, tables: u64, place: &Path, deployment: &Deployment) -> Option<Finding> {
    let b = human_bytes;
    let data_at = deployment.database.data.describe();
    let (backup_short, data_short) = if room.together {
        let all = room.backup_bytes.saturating_add(room.data_bytes);
        (all > room.backup_free_bytes.min(room.data_free_bytes), false)
    } else {
        (room.backup_bytes > room.backup_free_bytes, room.data_bytes > room.data_free_bytes)
    };
    let wanted = format!(
        "about {} for the backup and up to {} for the new data",
        b(room.backup_bytes),
        b(room.data_bytes)
    );
    let there = if room.together {
        format!(
            "{} are free, for both together, on the disk of {}",
            b(room.backup_free_bytes),
            place.display()
        )
    } else {
        format!(
            "{} are free for the backup ({}) and {} for the data ({data_at})",
            b(room.backup_free_bytes),
            place.display(),
            b(room.data_free_bytes)
        )
    };
    if backup_short || data_short {
        return Some(Finding::blocker(
            "disk-space",
            "There is not enough free disk space",
            format!(
                "Wanted: {wanted}. {}. The old data stays where it is, so nothing becomes free meanwhile.",
                capital(&there)
            ),
            if data_short {
                "Free some space on the disk of the data, or enlarge it.".to_owned()
            } else {
                format!(
                    "Put the backup on another disk with --backup-dir, or free some space (`docker system df` and `df -h {}` show what is used).",
                    shell(&place.display().to_string())
                )
            },
        ));
    }
    // The backup is compressed text; how far it shrinks is known only afterwards.
    let at_worst = if room.together { tables.saturating_add(room.data_bytes) } else { tables };
    if at_worst > room.backup_free_bytes {
        return Some(Finding::warning(
            "disk-space-tight",
            "Disk space is enough, but not by much",
            format!("Wanted: {wanted}, more if the data does not compress well. {}.", capital(&there)),
            "Should the disk fill up, the upgrade stops, and `repot resume` or `repot rollback` goes on from there; nothing is lost. To be safe, use another disk with --backup-dir.",
        ));
    }
    None
}

fn capital(text: &str) -> String {
    let mut c = text.chars();
    c.next().map_or_else(String::new, |f| f.to_uppercase().chain(c).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_are_counted_once_more_up_to_what_the_log_may_hold() {
        const GB: u64 = 1 << 30;
        let without = new_data_bytes(30 * GB, 0);
        assert_eq!(without, 30 * GB + CLUSTER_BYTES);
        assert_eq!(new_data_bytes(30 * GB, 4 * GB), without + 4 * GB);
        assert_eq!(new_data_bytes(30 * GB, 25 * GB), without + 16 * GB);
        assert_eq!(new_data_bytes(u64::MAX, u64::MAX), u64::MAX);
    }
}
