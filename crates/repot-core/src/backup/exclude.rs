//! Tables whose rows are left out of a backup, as django-dbbackup's `EXCLUDE` has it: sessions, mostly. The set's
//! fingerprint says of them that they are empty, so that a restore is compared with what was really written.

use crate::engine::postgres::session::ident;
use crate::verify::DatabaseFingerprint;

/// The digest of no row, as `verify` computes it.
const NO_ROWS: &str = "00000000000000000000000000000000";

/// Whether a name is one that pg_dump takes for a pattern. Those are not followed: what they meet would have to be
/// guessed.
fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '"', '[', '(', '|', '$']) || name.matches('.').count() > 1
}

fn parts(name: &str) -> (Option<&str>, &str) {
    name.split_once('.').map_or((None, name), |(schema, table)| (Some(schema), table))
}

/// pg_dump's arguments; none for databases that are not the application's.
pub(super) fn arguments(exclude: &[String], application: bool) -> Vec<String> {
    let plain = exclude.iter().filter(|n| application && !is_pattern(n));
    plain
        .map(|n| match parts(n) {
            (Some(schema), table) => format!("--exclude-table-data={}.{}", ident(schema), ident(table)),
            (None, table) => format!("--exclude-table-data={}", ident(table)),
        })
        .collect()
}

/// Says in a fingerprint that these tables are empty; what a person should read of it.
pub(super) fn leave_out(exclude: &[String], d: &mut DatabaseFingerprint) -> Vec<String> {
    let mut notes = Vec::new();
    for name in exclude {
        if is_pattern(name) {
            notes.push(format!(
                "EXCLUDE: `{name}` is a pattern; its tables are in the backup with their rows"
            ));
            continue;
        }
        let (schema, table) = parts(name);
        let mut rows = 0;
        let mut found = false;
        for t in &mut d.tables {
            if t.name == table && schema.is_none_or(|s| s == t.schema) && !t.materialized {
                found = true;
                rows += t.rows;
                t.rows = 0;
                t.digest = NO_ROWS.to_owned();
            }
        }
        if found {
            notes.push(format!("EXCLUDE: the {rows} rows of {name} are left out"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_patterns_are_not_followed() {
        let all = ["django_session".to_owned(), "a.Big".to_owned(), "log_*".to_owned()];
        assert_eq!(
            arguments(&all, true),
            [r#"--exclude-table-data="django_session""#, r#"--exclude-table-data="a"."Big""#]
        );
        assert!(arguments(&all, false).is_empty());
        let notes = leave_out(&all, &mut DatabaseFingerprint::default());
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}
