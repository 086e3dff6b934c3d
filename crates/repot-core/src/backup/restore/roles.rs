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
    // From 16 on a membership names who granted it, who must be allowed to: a role of another server is not.
    let granted = |l: &str| match l.split_once(" GRANTED BY ") {
        Some((grant, by)) if !there.contains(&unquoted(by.trim_end_matches(';'))) => format!("{grant};"),
        _ => l.to_owned(),
    };
    let sql = globals.lines().filter(|l| about(l)).map(granted).collect();
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
        let granted = "CREATE ROLE a;\nGRANT b TO a WITH INHERIT TRUE GRANTED BY boss;\n";
        let (_, sql) = missing_roles(granted, &BTreeSet::from(["b".to_owned()]));
        assert_eq!(sql[1], "GRANT b TO a WITH INHERIT TRUE;");
        let (_, sql) = missing_roles(granted, &BTreeSet::from(["boss".to_owned()]));
        assert!(sql[1].ends_with("GRANTED BY boss;"), "{sql:?}");
        assert!(missing_roles(globals, &BTreeSet::from(["app".to_owned(), "o\"dd".to_owned()])).1.is_empty());
    }
}
