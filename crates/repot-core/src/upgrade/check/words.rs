//! Phrases that findings share: names for messages, commands that a person can copy.

use crate::app::detect::{Deployment, with_major};
use crate::host::compose::edit::ImageRef;

/// A word for a POSIX shell.
pub(super) fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    // Double quotes read better around SQL, which is full of single ones.
    if text.contains('\'') && !text.contains(['"', '$', '`', '\\', '!']) {
        return format!("\"{text}\"");
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// `docker compose exec SERVICE psql …` that runs `sql` in `database` as the superuser.
pub(super) fn psql(deployment: &Deployment, database: &str, sql: &str) -> String {
    let db = &deployment.database;
    format!(
        "docker compose exec {} psql -U {} -d {} -c {}",
        shell(&db.service),
        shell(&db.superuser),
        shell(database),
        shell(sql)
    )
}

/// The old server's image by a name that a person can write: a running container's is known by its hash alone.
pub(super) fn old_image(deployment: &Deployment) -> String {
    let db = &deployment.database;
    match (db.state.major, ImageRef::parse(&db.image)) {
        (Some(major), Ok(_)) if db.image_major == Some(major) => db.image.clone(),
        (Some(major), Ok(image)) if db.source_image.starts_with("sha256:") => with_major(&image, major),
        _ => db.source_image.clone(),
    }
}

/// At most `n` of `items`, and how many more there are.
pub(super) fn some<S: AsRef<str>>(items: &[S], n: usize) -> String {
    let shown: Vec<&str> = items.iter().take(n).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(n) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 index`, `3 indexes`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// `is` or `are`, by number.
pub(super) fn be(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words() {
        for (text, want) in [
            ("db", "db"),
            ("", "''"),
            ("SELECT 1", "'SELECT 1'"),
            ("ROLLBACK PREPARED 'x'", "\"ROLLBACK PREPARED 'x'\""),
            ("DROP TABLE \"it's\"", "'DROP TABLE \"it'\\''s\"'"),
        ] {
            assert_eq!(shell(text), want);
        }
    }

    #[test]
    fn lists() {
        assert_eq!(some(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(some(&["a"], 2), "a");
        assert_eq!(count(1, "index", "indexes"), "1 index");
    }
}
