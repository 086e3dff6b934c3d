//! `DBBACKUP_FILENAME_TEMPLATE` and `DBBACKUP_MEDIA_FILENAME_TEMPLATE`: names written by them, and taken apart again.
//!
//! django-dbbackup fills a template with Python's `str.format`, makes one dash of every row of dashes and takes away
//! one at the beginning (`utils.filename_generate`).

use super::naming::NamingError;

/// More readings than this and a name is ambiguous in any case.
const MOST_READINGS: usize = 32;
/// Bound on the work for one name, whatever the template.
const MOST_TRIES: usize = 20_000;

/// What a template is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Database,
    Server,
    DateTime,
    Extension,
    ContentType,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Field(Field),
}

/// A template for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

/// The values for one name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) database: &'a str,
    pub(super) server: &'a str,
    pub(super) datetime: &'a str,
    pub(super) extension: &'a str,
    pub(super) content_type: &'a str,
}

/// One way to read a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) database: Option<String>,
    pub(super) server: Option<String>,
}

impl Template {
    /// Reads a template. Plain fields and doubled braces only: Python's conversions and format specifications
    /// (`{servername:>10}`) are refused by name.
    pub fn new(text: &str) -> Result<Self, NamingError> {
        let bad = |why: String| NamingError::Template { template: text.to_owned(), why };
        let mut segments: Vec<Segment> = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(c);
                rest = &rest[2..];
            } else if c == '{' {
                let end = rest.find('}').ok_or_else(|| bad("a `{` is never closed".to_owned()))?;
                let field = match &rest[1..end] {
                    "databasename" => Field::Database,
                    "servername" => Field::Server,
                    "datetime" => Field::DateTime,
                    "extension" => Field::Extension,
                    "content_type" => Field::ContentType,
                    other => {
                        return Err(bad(format!(
                            "`{{{other}}}` is no field; there are {{databasename}}, {{servername}}, {{datetime}}, {{extension}} and {{content_type}}, without format specifications"
                        )));
                    }
                };
                if !literal.is_empty() {
                    segments.push(Segment::Literal(std::mem::take(&mut literal)));
                }
                segments.push(Segment::Field(field));
                rest = &rest[end + 1..];
            } else if c == '}' {
                return Err(bad("a `}` was never opened".to_owned()));
            } else if c == '/' || c.is_control() {
                return Err(bad(format!(
                    "{c:?} must not be in a name; the directory belongs to the storage"
                )));
            } else {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        let template = Template { text: text.to_owned(), segments };
        template.check().map_err(bad)?;
        Ok(template)
    }

    /// What makes two files of one name, or a name that says too little.
    fn check(&self) -> Result<(), String> {
        if !self.has(Field::DateTime) {
            return Err("without {datetime} every backup has the name of the one before; add it".to_owned());
        }
        let dot = matches!(self.segments.iter().rev().nth(1), Some(Segment::Literal(l)) if l.ends_with('.'));
        if !dot || self.segments.last() != Some(&Segment::Field(Field::Extension)) {
            return Err("it must end in `.{extension}`, which says what a file is and how it is compressed"
                .to_owned());
        }
        if self.segments.iter().filter(|s| **s == Segment::Field(Field::Extension)).count() > 1 {
            return Err("{extension} is in it twice; keep the one at the end".to_owned());
        }
        Ok(())
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.segments.contains(&Segment::Field(field))
    }

    /// Whether names by this template say which database they hold.
    pub fn names_the_database(&self) -> bool {
        self.has(Field::Database)
    }

    /// The template as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn fill(&self, values: Values<'_>) -> String {
        let filled: String = self
            .segments
            .iter()
            .map(|s| match s {
                Segment::Literal(l) => l,
                Segment::Field(Field::Database) => values.database,
                Segment::Field(Field::Server) => values.server,
                Segment::Field(Field::DateTime) => values.datetime,
                Segment::Field(Field::Extension) => values.extension,
                Segment::Field(Field::ContentType) => values.content_type,
            })
            .collect();
        let name = join_dashes(&filled);
        name.strip_prefix('-').map(str::to_owned).unwrap_or(name)
    }

    /// All ways to read `stem` (a name without the extension and the dot before it). `databases`: those that there
    /// are; empty if any may be.
    pub(super) fn readings(
        &self,
        stem: &str,
        datetime: &str,
        content_type: &str,
        databases: &[String],
    ) -> Vec<Reading> {
        let mut segments: Vec<Segment> = self
            .segments
            .iter()
            .filter(|s| **s != Segment::Field(Field::Extension))
            .map(|s| match s {
                Segment::Field(Field::ContentType) => Segment::Literal(content_type.to_owned()),
                Segment::Literal(l) => Segment::Literal(join_dashes(l)),
                field => field.clone(),
            })
            .collect();
        if let Some(Segment::Literal(first)) = segments.first_mut()
            && let Some(rest) = first.strip_prefix('-')
        {
            *first = rest.to_owned();
        }
        if let Some(Segment::Literal(last)) = segments.last_mut() {
            last.pop(); // The dot before the extension.
        }
        let mut reader = Reader { datetime, databases, found: Vec::new(), tries: 0 };
        reader.read(&segments, stem, &Reading::default());
        if reader.tries >= MOST_TRIES { Vec::new() } else { reader.found }
    }
}

struct Reader<'a> {
    datetime: &'a str,
    databases: &'a [String],
    found: Vec<Reading>,
    tries: usize,
}

impl Reader<'_> {
    fn read(&mut self, segments: &[Segment], rest: &str, so_far: &Reading) {
        self.tries += 1;
        if self.tries >= MOST_TRIES || self.found.len() >= MOST_READINGS {
            return;
        }
        let Some((segment, later)) = segments.split_first() else {
            if rest.is_empty() && !self.found.contains(so_far) {
                self.found.push(so_far.clone());
            }
            return;
        };
        match segment {
            Segment::Literal(text) => {
                if let Some(rest) = rest.strip_prefix(text.as_str()) {
                    self.read(later, rest, so_far);
                }
            }
            Segment::Field(Field::DateTime) => {
                if let Some(rest) = rest.strip_prefix(self.datetime) {
                    self.read(later, rest, so_far);
                }
            }
            Segment::Field(field) => {
                let known = if *field == Field::Database { &so_far.database } else { &so_far.server };
                if let Some(known) = known {
                    if let Some(rest) = rest.strip_prefix(known.as_str()) {
                        self.read(later, rest, so_far);
                    }
                    return;
                }
                let databases = self.databases;
                let candidates: Vec<&str> = if *field == Field::Database && !databases.is_empty() {
                    databases.iter().map(String::as_str).filter(|d| rest.starts_with(d)).collect()
                } else {
                    rest.char_indices().map(|(i, c)| &rest[..i + c.len_utf8()]).collect()
                };
                for value in candidates {
                    let mut reading = so_far.clone();
                    let place =
                        if *field == Field::Database { &mut reading.database } else { &mut reading.server };
                    *place = Some(value.to_owned());
                    self.read(later, &rest[value.len()..], &reading);
                }
            }
        }
    }
}

/// One dash for every row of dashes.
pub(super) fn join_dashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '-' || !out.ends_with('-') {
            out.push(c);
        }
    }
    out
}
