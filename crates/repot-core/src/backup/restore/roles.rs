//! Roles of a set that a server lacks.

use std::collections::BTreeSet;

/// Roles of the globals that a server lacks, and the statements that make them.
pub(in crate::backup) fn missing_roles(
    globals: &str,
    there: &BTreeSet<String>,
) -> (Vec<String>, Vec<String>) {
    let unquoted = |id: &str| match id.strip_prefix('"').and_then(|i| i.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => id.to_owned(),
    };
    let ids: Vec<&str> = globals
        .lines()
        .filter_map(|l| l.strip_prefix("CREATE ROLE ")?.strip_suffix(';'))
        .filter(|id| !there.contains(&unquoted(id)))
        .collect();
    let about = |l: &str| {
        ids.iter().any(|id| {
            l == format!("CREATE ROLE {id};")
                || l.starts_with(&format!("ALTER ROLE {id} "))
                || l.starts_with(&format!("GRANT {id} TO "))
                || (l.starts_with("GRANT ")
                    && (l.contains(&format!(" TO {id};")) || l.contains(&format!(" TO {id} "))))
        })
    };
    let sql = globals.lines().filter(|l| about(l)).map(str::to_owned).collect();
    (ids.into_iter().map(unquoted).collect(), sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roles_that_are_missing_are_made() {
        let globals = "CREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nCREATE ROLE \"o\"\"dd\";\nALTER ROLE \"o\"\"dd\" WITH NOLOGIN;\nGRANT \"o\"\"dd\" TO app;\n";
        let (roles, sql) = missing_roles(globals, &BTreeSet::from(["app".to_owned()]));
        assert_eq!(roles, ["o\"dd"]);
        assert_eq!(sql.len(), 3, "{sql:?}");
        assert!(missing_roles(globals, &BTreeSet::from(["app".to_owned(), "o\"dd".to_owned()])).1.is_empty());
    }
}
