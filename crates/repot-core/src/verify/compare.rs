//! Telling two fingerprints apart, in words that name the object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::cluster::PASSWORD;
use super::fingerprint::{
    ClusterFingerprint, DatabaseFingerprint, LargeObjects, SchemaObject, SequenceFingerprint,
    TableFingerprint,
};
use super::schema::compared_from;

/// How many characters of each side a message shows.
const SHOWN_CHARS: usize = 300;

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// Stable name of the kind of difference: `missing`, `extra` (on one side only), `definition`, `property` (of a
    /// database or an extension), `password` (nothing but a role's), `rows`, `content`, `materialized-content` (a
    /// restore computes a materialized view anew, so one that was stale differs), `sequence`, `large-objects`,
    /// `not-compared`.
    pub code: String,
    /// The database; empty for what belongs to the whole server.
    pub database: String,
    /// Kind and name: `table public.part`, `role inventree`.
    pub object: String,
    /// What was, where it can be shown.
    pub old: Option<String>,
    /// What is, where it can be shown.
    pub new: Option<String>,
    /// All of it in one sentence.
    pub message: String,
}

/// What came of comparing.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Comparison {
    /// Empty when old and new are the same. All of them; a caller that prints shows some.
    pub differences: Vec<Difference>,
    /// What is different and may be, and what was not compared.
    pub notes: Vec<String>,
    /// Tables compared.
    pub tables: u64,
    /// Rows of the old side that were compared.
    pub rows: u64,
    /// Bytes on disk of the old side's tables and large objects.
    pub bytes: u64,
    /// Objects with a definition compared.
    pub objects: u64,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub fn same(&self) -> bool {
        self.differences.is_empty()
    }

    /// The first `limit` differences as lines, and how many more there are.
    #[must_use]
    pub fn summary(&self, limit: usize) -> String {
        let mut text = String::new();
        for d in self.differences.iter().take(limit) {
            let _ = writeln!(text, "{}", d.message);
        }
        if self.differences.len() > limit {
            let _ = writeln!(text, "and {} more", self.differences.len() - limit);
        }
        text
    }
}

/// Compares two servers.
#[must_use]
pub fn compare(old: &ClusterFingerprint, new: &ClusterFingerprint) -> Comparison {
    let mut c = Comparer::new(old.server_version_num, new.server_version_num);
    c.out.notes.extend(old.notes.iter().map(|n| format!("old: {n}")));
    c.out.notes.extend(new.notes.iter().map(|n| format!("new: {n}")));
    if old.cluster && new.cluster {
        c.objects(&old.roles, &new.roles);
        c.objects(&old.memberships, &new.memberships);
        c.objects(&old.tablespaces, &new.tablespaces);
    } else {
        c.out
            .notes
            .push("roles, memberships and tablespaces were not compared: that takes a superuser".into());
    }
    for name in old.databases.keys().chain(new.databases.keys()).collect::<BTreeSet<_>>() {
        c.database.clone_from(name);
        match (old.databases.get(name), new.databases.get(name)) {
            (Some(a), Some(b)) => c.databases(a, b),
            (Some(_), None) => c.missing("database", name, None),
            (None, _) => c.extra("database", name, None),
        }
    }
    c.out
}

/// Compares two databases, whatever they are called. The versions are those of their servers.
#[must_use]
pub fn compare_databases(
    (old, old_version): (&DatabaseFingerprint, u32),
    (new, new_version): (&DatabaseFingerprint, u32),
) -> Comparison {
    let mut c = Comparer::new(old_version, new_version);
    c.databases(old, new);
    c.out
}

struct Comparer {
    older: u32,
    database: String,
    out: Comparison,
}

impl Comparer {
    fn new(old: u32, new: u32) -> Self {
        Comparer { older: old.min(new), database: String::new(), out: Comparison::default() }
    }

    fn add(&mut self, code: &str, object: &str, old: Option<String>, new: Option<String>, what: &str) {
        let mut message = if self.database.is_empty() {
            format!("{object}: {what}")
        } else {
            format!("{}: {object}: {what}", self.database)
        };
        if old.is_some() || new.is_some() {
            let show = |v: &Option<String>| v.as_deref().map_or_else(|| "nothing".to_owned(), shorten);
            let _ = write!(message, " (old: {}; new: {})", show(&old), show(&new));
        }
        self.out.differences.push(Difference {
            code: code.to_owned(),
            database: self.database.clone(),
            object: object.to_owned(),
            old,
            new,
            message,
        });
    }

    fn missing(&mut self, kind: &str, name: &str, definition: Option<&str>) {
        let what = "is missing from the new side";
        self.add("missing", &format!("{kind} {name}"), definition.map(str::to_owned), None, what);
    }

    fn extra(&mut self, kind: &str, name: &str, definition: Option<&str>) {
        let what = "is on the new side only";
        self.add("extra", &format!("{kind} {name}"), None, definition.map(str::to_owned), what);
    }

    fn property(&mut self, object: &str, what: &str, old: impl ToString, new: impl ToString) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.add("property", object, Some(old), Some(new), &format!("{what} differs"));
        }
    }

    fn databases(&mut self, old: &DatabaseFingerprint, new: &DatabaseFingerprint) {
        self.out.notes.extend(old.notes.iter().map(|n| format!("old: {n}")));
        self.out.notes.extend(new.notes.iter().map(|n| format!("new: {n}")));
        self.property("database", "encoding", &old.encoding, &new.encoding);
        if old.encoding != new.encoding {
            let note = "rows are hashed in their server's encoding: with two encodings every table with letters \
                beyond ASCII differs";
            self.out.notes.push(note.into());
        }
        self.property("database", "LC_COLLATE", locale(&old.collate), locale(&new.collate));
        self.property("database", "LC_CTYPE", locale(&old.ctype), locale(&new.ctype));
        self.property("database", "locale provider", &old.provider, &new.provider);
        self.property("database", "owner", &old.owner, &new.owner);
        self.property("database", "connection limit", old.connection_limit, new.connection_limit);
        self.property("database", "template", old.is_template, new.is_template);
        self.lines("database", "setting", &old.settings, &new.settings);
        self.lines("database", "privilege", &old.acl, &new.acl);
        self.extensions(old, new);
        let gone = self.objects(&old.schema, &new.schema);
        self.tables(&old.tables, &new.tables, &gone);
        self.sequences(&old.sequences, &new.sequences, &gone);
        self.large_objects(&old.large_objects, &new.large_objects);
    }

    fn lines(&mut self, object: &str, what: &str, old: &[String], new: &[String]) {
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
        let only = |x: &BTreeSet<&String>, y: &BTreeSet<&String>| {
            let lines: Vec<&str> = x.difference(y).map(|l| l.as_str()).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        };
        let (gone, come) = (only(&a, &b), only(&b, &a));
        if gone.is_some() || come.is_some() {
            self.add("property", object, gone, come, &format!("{what} differs"));
        }
    }

    fn extensions(&mut self, old: &DatabaseFingerprint, new: &DatabaseFingerprint) {
        let by_name = |d: &DatabaseFingerprint| -> BTreeMap<String, (String, String)> {
            d.extensions.iter().map(|e| (e.name.clone(), (e.version.clone(), e.schema.clone()))).collect()
        };
        let (a, b) = (by_name(old), by_name(new));
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            match (a.get(name), b.get(name)) {
                (Some((v, s)), Some((w, t))) => {
                    self.property(&format!("extension {name}"), "schema", s, t);
                    if v != w {
                        self.out
                            .notes
                            .push(format!("extension {name} is {v} on the old side and {w} on the new"));
                    }
                }
                (Some(_), None) => self.missing("extension", name, None),
                (None, _) => self.extra("extension", name, None),
            }
        }
    }

    /// Compares objects by kind and name; returns those that are on one side only.
    fn objects(&mut self, old: &[SchemaObject], new: &[SchemaObject]) -> BTreeSet<String> {
        fn by_name(all: &[SchemaObject], older: u32) -> BTreeMap<(&str, &str), &SchemaObject> {
            all.iter()
                .filter(|o| compared_from(&o.kind) <= older)
                .map(|o| ((o.kind.as_str(), o.name.as_str()), o))
                .collect()
        }
        let (a, b) = (by_name(old, self.older), by_name(new, self.older));
        let mut gone = BTreeSet::new();
        for key @ (kind, name) in a.keys().chain(b.keys()).copied().collect::<BTreeSet<_>>() {
            self.out.objects += 1;
            match (a.get(&key), b.get(&key)) {
                (Some(x), Some(y)) if x.digest == y.digest => {}
                (Some(x), Some(y)) => {
                    let (old, new) = unlike(&x.definition, &y.definition);
                    let password = |t: &str| t.starts_with(PASSWORD) && t.lines().count() == 1;
                    if kind == "role" && password(&old) && password(&new) {
                        self.add(
                            "password",
                            &format!("role {name}"),
                            Some(old),
                            Some(new),
                            "has another password",
                        );
                        continue;
                    }
                    if self.is_new_default(name, x, y) {
                        continue;
                    }
                    self.add(
                        "definition",
                        &format!("{kind} {name}"),
                        Some(old),
                        Some(new),
                        "is defined differently",
                    );
                }
                (Some(x), None) if kind == "index" && x.definition.lines().any(|l| l == "invalid") => {
                    let note = format!(
                        "index {name} is invalid (what a CREATE INDEX CONCURRENTLY that failed leaves) and is not \
                         carried over; it served no query"
                    );
                    self.out.notes.push(note);
                }
                (Some(x), None) => {
                    gone.insert(name.to_owned());
                    self.missing(kind, name, Some(&x.definition));
                }
                (None, Some(y)) => {
                    gone.insert(name.to_owned());
                    self.extra(kind, name, Some(&y.definition));
                }
                (None, None) => {}
            }
        }
        gone
    }

    /// From 15 nobody but its owner may create in `public`, and its owner is the database's. `template1` and
    /// `postgres` come with the server, so where the old ones had the old default, the new default is no loss.
    fn is_new_default(&mut self, name: &str, old: &SchemaObject, new: &SchemaObject) -> bool {
        let own = |o: &SchemaObject| -> Vec<String> {
            o.definition.lines().filter(|l| l.starts_with("grant: PUBLIC ")).map(str::to_owned).collect()
        };
        let default = old.kind == "schema"
            && name == "public"
            && ["template1", "postgres"].contains(&self.database.as_str())
            && own(old) == ["grant: PUBLIC CREATE,USAGE"]
            && own(new) == ["grant: PUBLIC USAGE"]
            && old.definition.replace("PUBLIC CREATE,USAGE", "PUBLIC USAGE") == new.definition;
        if default {
            let note = format!(
                "{}: only the owner may create in schema public, as is the default from 15",
                self.database
            );
            self.out.notes.push(note);
        }
        default
    }

    fn tables(&mut self, old: &[TableFingerprint], new: &[TableFingerprint], gone: &BTreeSet<String>) {
        let by_name = |all: &[TableFingerprint]| -> BTreeMap<(String, String), TableFingerprint> {
            all.iter().map(|t| ((t.schema.clone(), t.name.clone()), t.clone())).collect()
        };
        let (a, b) = (by_name(old), by_name(new));
        for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let name = quoted(&key.0, &key.1);
            match (a.get(key), b.get(key)) {
                (Some(x), Some(y)) => self.table(&name, x, y),
                // Already told as an object that is on one side only.
                _ if gone.contains(&name) => {}
                (Some(_), None) => self.missing("rows of table", &name, None),
                (None, _) => self.extra("rows of table", &name, None),
            }
        }
    }

    fn table(&mut self, name: &str, old: &TableFingerprint, new: &TableFingerprint) {
        self.out.tables += 1;
        self.out.rows += old.rows;
        self.out.bytes += old.bytes;
        let (object, code) = if old.materialized {
            (format!("materialized view {name}"), "materialized-content")
        } else {
            (format!("table {name}"), "content")
        };
        if old.method != new.method {
            let what =
                "could not be compared: one of the two servers could not hold the text of its rows in memory";
            self.add("not-compared", &object, None, None, what);
        } else if old.rows != new.rows {
            let (a, b) = (old.rows.to_string(), new.rows.to_string());
            let code = if old.materialized { code } else { "rows" };
            self.add(code, &object, Some(a), Some(b), "has another number of rows");
        } else if old.digest != new.digest {
            let (a, b) = (old.digest.clone(), new.digest.clone());
            let what = format!("its {} rows hold other values", old.rows);
            self.add(code, &object, Some(a), Some(b), &what);
        }
    }

    fn sequences(
        &mut self,
        old: &[SequenceFingerprint],
        new: &[SequenceFingerprint],
        gone: &BTreeSet<String>,
    ) {
        let by_name = |all: &[SequenceFingerprint]| -> BTreeMap<String, SequenceFingerprint> {
            all.iter().map(|s| (quoted(&s.schema, &s.name), s.clone())).collect()
        };
        let (a, b) = (by_name(old), by_name(new));
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let object = format!("sequence {name}");
            match (a.get(name), b.get(name)) {
                (Some(x), Some(y)) => {
                    let at = |s: &SequenceFingerprint| {
                        format!("{}{}", s.last_value, if s.is_called { "" } else { ", not given out yet" })
                    };
                    if at(x) != at(y) {
                        self.add("sequence", &object, Some(at(x)), Some(at(y)), "is at another value");
                    }
                    if x.params != y.params {
                        let (old, new) = (x.params.clone(), y.params.clone());
                        self.add("definition", &object, Some(old), Some(new), "is defined differently");
                    }
                }
                _ if gone.contains(name) => {}
                (Some(_), None) => self.missing("sequence", name, None),
                (None, _) => self.extra("sequence", name, None),
            }
        }
    }

    fn large_objects(&mut self, old: &LargeObjects, new: &LargeObjects) {
        self.out.bytes += old.bytes;
        if old.count != new.count {
            let (a, b) = (old.count.to_string(), new.count.to_string());
            self.add("large-objects", "large objects", Some(a), Some(b), "there is another number of them");
        }
        let each = old.count.max(new.count) <= LargeObjects::BY_OBJECT;
        // Parts of different kinds (by object, by last digits) cannot be set side by side.
        let alike = (old.count <= LargeObjects::BY_OBJECT) == (new.count <= LargeObjects::BY_OBJECT);
        if old.digest == new.digest || !alike {
            if old.digest != new.digest && old.count == new.count {
                self.add("large-objects", "large objects", None, None, "hold other bytes");
            }
            return;
        }
        for part in old.parts.keys().chain(new.parts.keys()).collect::<BTreeSet<_>>() {
            let (a, b) = (old.parts.get(part), new.parts.get(part));
            if a != b {
                let object = if each {
                    format!("large object {part}")
                } else {
                    format!("large objects whose number ends in {part:03}")
                };
                let what = match (a, b) {
                    (Some(_), None) => "is missing from the new side",
                    (None, Some(_)) => "is on the new side only",
                    _ => "other bytes",
                };
                self.add("large-objects", &object, None, None, what);
            }
        }
    }
}

/// The lines that only one of two definitions has, with their order where only that differs.
fn unlike(old: &str, new: &str) -> (String, String) {
    let (a, b): (BTreeSet<&str>, BTreeSet<&str>) = (old.lines().collect(), new.lines().collect());
    let only = |text: &str, other: &BTreeSet<&str>| {
        text.lines().filter(|l| !other.contains(l)).collect::<Vec<_>>().join("\n")
    };
    let (x, y) = (only(old, &b), only(new, &a));
    if x.is_empty() && y.is_empty() {
        // The same lines in another order, or a difference beyond what is kept.
        return (old.to_owned(), new.to_owned());
    }
    (x, y)
}

/// One line, not too long.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "nothing".into();
    }
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// `en_US.UTF-8` and `en_US.utf8` are one locale of the C library.
fn locale(name: &str) -> String {
    match name.split_once('.') {
        Some((place, charset)) => format!("{place}.{}", charset.to_lowercase().replace('-', "")),
        None => name.to_owned(),
    }
}

/// A qualified name as the server's `quote_ident` writes it, but for keywords, which it quotes too. Engines whose
/// databases have no schemas give none, and the name is as it is.
pub(crate) fn quoted(schema: &str, name: &str) -> String {
    let part = |s: &str| {
        let plain = s.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain { s.to_owned() } else { format!("\"{}\"", s.replace('"', "\"\"")) }
    };
    if schema.is_empty() { name.to_owned() } else { format!("{}.{}", part(schema), part(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(schema: &[(&str, &str, &str)]) -> DatabaseFingerprint {
        let schema = schema.iter().map(|(k, n, d)| SchemaObject::new(*k, *n, d)).collect();
        DatabaseFingerprint { schema, ..DatabaseFingerprint::default() }
    }

    #[test]
    fn an_invalid_index_may_stay_behind() {
        let old = with(&[("index", "s.i", "CREATE INDEX i ON s.t USING btree (a)\ninvalid")]);
        let c = compare_databases((&old, 130_000), (&with(&[]), 170_000));
        assert!(c.same() && c.notes.iter().any(|n| n.contains("s.i is invalid")), "{c:?}");
        let c = compare_databases((&with(&[]), 130_000), (&old, 170_000));
        assert_eq!(c.differences[0].code, "extra");
    }

    #[test]
    fn what_an_old_version_cannot_know_is_compared_from_the_next_on() {
        let new = with(&[("maintain privilege", "s.t", "grant: a MAINTAIN")]);
        assert!(compare_databases((&with(&[]), 160_000), (&new, 170_000)).same());
        assert!(!compare_databases((&with(&[]), 170_000), (&new, 180_000)).same());
    }

    #[test]
    fn the_lines_that_differ_are_shown() {
        let old = with(&[("table", "s.t", "owner: a\ncolumn x integer\ncolumn y text")]);
        let new = with(&[("table", "s.t", "owner: a\ncolumn x bigint\ncolumn y text")]);
        let c = compare_databases((&old, 1), (&new, 1));
        let message = "table s.t: is defined differently (old: column x integer; new: column x bigint)";
        assert_eq!(c.differences[0].message, message);
        let swapped = with(&[("table", "s.t", "owner: a\ncolumn y text\ncolumn x integer")]);
        assert!(!compare_databases((&old, 1), (&swapped, 1)).same());
    }

    #[test]
    fn one_locale_has_two_spellings() {
        let d = |name: &str| DatabaseFingerprint { collate: name.into(), ..DatabaseFingerprint::default() };
        assert!(compare_databases((&d("en_US.utf8"), 1), (&d("en_US.UTF-8"), 1)).same());
        assert!(!compare_databases((&d("en_US.utf8"), 1), (&d("C.UTF-8"), 1)).same());
    }
}
