//! Names of files as django-dbbackup 5 gives them, and what a name says of a file.
//!
//! django-dbbackup's own reading is by parts of names: a file with `.tar` anywhere in its name is media, one with
//! the database's name anywhere in it is that database's, and its retention counts by that. Here a name is read by
//! its template and its endings, and a database is told only where one reading is possible: a file whose owner is
//! not certain must not be counted, or removed, as another's.

use jiff::civil::DateTime;

use super::date_format::{DateFormat, DateFormatError};
pub use super::foreign::{Content, DumpFormat, ForeignFile, Wrapping};
pub use super::template::Template;
use super::template::{Field, Values, join_dashes};

/// django-dbbackup's default for databases.
pub const DEFAULT_DATABASE_TEMPLATE: &str = "{databasename}-{servername}-{datetime}.{extension}";
/// django-dbbackup's default for media.
pub const DEFAULT_MEDIA_TEMPLATE: &str = "{servername}-{datetime}.{extension}";
/// InvenTree's default for databases. It has no `{databasename}`: one database is all it can name.
pub const INVENTREE_DATABASE_TEMPLATE: &str = "InvenTree-db-{datetime}.{extension}";
/// InvenTree's default for media.
pub const INVENTREE_MEDIA_TEMPLATE: &str = "InvenTree-media-{datetime}.{extension}";

/// The longest name that file systems and object stores alike take, less the sidecar's ending.
const LONGEST_BYTES: usize = 255 - SIDECAR.len();
const SIDECAR: &str = ".metadata";

/// Why names cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// The template itself.
    #[error("the filename template `{template}` cannot be used: {why}")]
    Template {
        /// The template.
        template: String,
        /// Why, and what to do.
        why: String,
    },
    /// The date format.
    #[error(transparent)]
    Date(#[from] DateFormatError),
    /// Databases and media would share names, or could not be told apart.
    #[error(
        "databases and media have the same filename template `{0}`; give media another one, or put {{content_type}} into it"
    )]
    SameTemplate(String),
    /// Two databases, one name.
    #[error(
        "the databases `{first}` and `{second}` would have one file name under `{template}`, and one would overwrite the other; {advice}"
    )]
    SameName {
        /// One database.
        first: String,
        /// Another.
        second: String,
        /// The template.
        template: String,
        /// What to do.
        advice: &'static str,
    },
    /// A database that this naming was not made for.
    #[error("the database `{0}` is not one of those that the names are for; list it with the others")]
    UnknownDatabase(String),
    /// A value that names cannot hold.
    #[error("the {what} `{value}` cannot be part of a file name: {why}")]
    Value {
        /// `server name`, `database`, `extension`.
        what: &'static str,
        /// The value.
        value: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// django-dbbackup would read the name as something else.
    #[error("the name `{name}` would be misread: {why}; choose another template, date format or server name")]
    Misread {
        /// The name.
        name: String,
        /// What would be taken for what.
        why: String,
    },
}

/// What names are made of.
#[derive(Debug, Clone)]
pub struct NamingSpec<'a> {
    /// `DBBACKUP_FILENAME_TEMPLATE`.
    pub database_template: &'a str,
    /// `DBBACKUP_MEDIA_FILENAME_TEMPLATE`.
    pub media_template: &'a str,
    /// `DBBACKUP_DATE_FORMAT`.
    pub date_format: &'a str,
    /// `--servername`, or `DBBACKUP_HOSTNAME`.
    pub server: &'a str,
    /// The aliases of the databases that are backed up, as in Django's `DATABASES`.
    pub databases: &'a [&'a str],
    /// `EXTENSION` of connectors, where they have their own.
    pub extensions: &'a [&'a str],
}

/// Gives names and reads them.
#[derive(Debug, Clone)]
pub struct Naming {
    database: Template,
    media: Template,
    date: DateFormat,
    server: String,
    /// Aliases, and what is left of each in a name.
    databases: Vec<(String, String)>,
    extensions: Vec<String>,
}

impl Naming {
    /// Checks that no two files get one name, and that django-dbbackup finds what is named.
    pub fn new(spec: &NamingSpec<'_>) -> Result<Self, NamingError> {
        let database = Template::new(spec.database_template)?;
        let media = Template::new(spec.media_template)?;
        if database == media && !media.has(Field::ContentType) {
            return Err(NamingError::SameTemplate(database.as_str().to_owned()));
        }
        let value = |what, value: &str, why| NamingError::Value { what, value: value.to_owned(), why };
        if (database.has(Field::Server) || media.has(Field::Server))
            && spec.server.trim_matches('-').is_empty()
        {
            return Err(value("server name", spec.server, "it is empty; set DBBACKUP_HOSTNAME"));
        }
        if spec.server.contains('/') || spec.server.contains(char::is_control) {
            return Err(value("server name", spec.server, "it holds a slash or a control character"));
        }
        for extension in spec.extensions {
            let plain = !extension.is_empty()
                && extension.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
                && !extension.starts_with('.');
            if !plain
                || ["tar", "gz", "gpg", "metadata"].iter().any(|e| extension.split('.').any(|p| p == *e))
            {
                return Err(value(
                    "extension",
                    extension,
                    "letters and digits only, and not tar, gz, gpg or metadata",
                ));
            }
        }
        let mut naming = Naming {
            database,
            media,
            date: DateFormat::new(spec.date_format)?,
            server: spec.server.to_owned(),
            databases: Vec::new(),
            extensions: spec.extensions.iter().map(|e| (*e).to_owned()).collect(),
        };
        for alias in spec.databases {
            let short = short_name(alias);
            if short.is_empty() || short.starts_with('-') || short.ends_with('-') || short.contains("--") {
                return Err(value(
                    "database",
                    alias,
                    "dashes at an end or in a row do not survive; rename the alias",
                ));
            }
            let taken =
                |(_, other): &&(String, String)| *other == short || !naming.database.has(Field::Database);
            if let Some((first, _)) = naming.databases.iter().find(taken) {
                let advice = if naming.database.has(Field::Database) {
                    "a name takes what is before the first dot and after the last slash: rename one"
                } else {
                    "put {databasename} into the template"
                };
                return Err(NamingError::SameName {
                    first: first.clone(),
                    second: (*alias).to_owned(),
                    template: naming.database.as_str().to_owned(),
                    advice,
                });
            }
            naming.databases.push(((*alias).to_owned(), short));
        }
        Ok(naming)
    }

    /// Whether names say which database they hold. If not, there is one database, and every file is its.
    pub fn names_the_database(&self) -> bool {
        self.database.names_the_database()
    }

    /// How far apart, in seconds, two backups must be to get two names.
    pub fn resolution_s(&self) -> u32 {
        self.date.resolution_s()
    }

    /// The name of a database's file. `taken_at`: local time of the application. A name may be taken: by a backup
    /// within [`Naming::resolution_s`], or in the hour that comes twice when summer time ends.
    pub fn database_file(
        &self,
        database: &str,
        format: &DumpFormat,
        wrapping: Wrapping,
        taken_at: DateTime,
    ) -> Result<String, NamingError> {
        if !self.databases.iter().any(|(alias, _)| alias == database) {
            return Err(NamingError::UnknownDatabase(database.to_owned()));
        }
        self.generate(
            &short_name(database),
            Some(database),
            &Content::Database(format.clone()),
            wrapping,
            taken_at,
        )
    }

    /// The name of a media archive.
    pub fn media_file(&self, wrapping: Wrapping, taken_at: DateTime) -> Result<String, NamingError> {
        self.generate("", None, &Content::Media, wrapping, taken_at)
    }

    /// The name of a file's sidecar.
    pub fn sidecar(name: &str) -> String {
        format!("{name}{SIDECAR}")
    }

    fn generate(
        &self,
        short: &str,
        alias: Option<&str>,
        content: &Content,
        wrapping: Wrapping,
        taken_at: DateTime,
    ) -> Result<String, NamingError> {
        let datetime = self.date.write(taken_at);
        let mut name = self.template(content).fill(Values {
            database: short,
            server: &self.server,
            datetime: &datetime,
            extension: content.extension(),
            content_type: content.kind(),
        });
        name.push_str(wrapping.endings());
        match self.misreading(&name, alias, content, wrapping, &datetime, taken_at) {
            Some(why) => Err(NamingError::Misread { name, why }),
            None => Ok(name),
        }
    }

    /// What django-dbbackup, or [`Naming::parse`], would take for something else. Whatever in a template, a server's
    /// name or a date looks like another part is found here, at the first name, not at the restore.
    fn misreading(
        &self,
        name: &str,
        alias: Option<&str>,
        content: &Content,
        wrapping: Wrapping,
        datetime: &str,
        taken_at: DateTime,
    ) -> Option<String> {
        if name.len() > LONGEST_BYTES {
            return Some(format!("it has {} bytes, and {LONGEST_BYTES} are the most", name.len()));
        }
        for (mark, meant, word) in [
            (".tar", *content == Content::Media, "a media archive"),
            (".gz", wrapping.compressed, "compressed"),
            (".gpg", wrapping.encrypted, "encrypted"),
        ] {
            if name.contains(mark) != meant {
                return Some(format!("django-dbbackup takes every name with `{mark}` in it for {word}"));
            }
        }
        if name.ends_with(SIDECAR) || self.date.find(name) != Some(datetime) {
            return Some("another part of it looks like the date".to_owned());
        }
        let Some(read) = self.parse(name) else {
            return Some("it cannot be read back".to_owned());
        };
        if read.content != *content || read.wrapping != wrapping || !read.by_template || read.renamed {
            return Some("its parts cannot be told apart".to_owned());
        }
        if self.date.write(read.taken_at) != datetime || read.taken_at.date() != taken_at.date() {
            return Some("its date is read as another".to_owned());
        }
        let named = alias.filter(|_| self.names_the_database());
        if read.database.as_deref() != named {
            return Some("its database cannot be told".to_owned());
        }
        None
    }

    fn template(&self, content: &Content) -> &Template {
        if *content == Content::Media { &self.media } else { &self.database }
    }

    /// What a name says. `None` for names without a date or without a known extension.
    pub fn parse(&self, name: &str) -> Option<ForeignFile> {
        if name.contains('/') || name.len() > 1024 {
            return None;
        }
        let (data, sidecar) = match name.strip_suffix(SIDECAR) {
            Some(data) => (data, true),
            None => (name, false),
        };
        let plain = self.parse_data(data);
        let original = || originals(data).iter().filter_map(|o| self.parse_data(o)).find(|f| f.by_template);
        let (mut file, renamed) = match plain {
            Some(file) if file.by_template => (file, false),
            plain => match original() {
                Some(file) => (file, true),
                None => (plain?, false),
            },
        };
        file.name = name.to_owned();
        file.sidecar = sidecar;
        file.renamed = renamed;
        Some(file)
    }

    fn parse_data(&self, data: &str) -> Option<ForeignFile> {
        let (stem, content, wrapping) = self.endings(data)?;
        let datetime = self.date.find(data)?;
        let taken_at = self.date.read(data)?;
        let (database, server, by_template) = self.owner(stem, datetime, &content);
        Some(ForeignFile {
            name: data.to_owned(),
            sidecar: false,
            content,
            wrapping,
            database,
            server,
            taken_at,
            by_template,
            renamed: false,
        })
    }

    /// Database and server, where the template leaves no choice, and whether the name is by the template.
    fn owner(&self, stem: &str, datetime: &str, content: &Content) -> (Option<String>, Option<String>, bool) {
        let known: Vec<String> = self.databases.iter().map(|(_, short)| short.clone()).collect();
        let template = self.template(content);
        let mut readings = template.readings(stem, datetime, content.kind(), &known);
        if readings.is_empty() && !known.is_empty() {
            readings = template.readings(stem, datetime, content.kind(), &[]);
        }
        let by_template = !readings.is_empty();
        // A server's name with dashes can be split in two ways; the one that is this server's is right.
        let here = join_dashes(&self.server);
        let ours =
            |s: &Option<String>| s.as_ref().is_some_and(|s| s.trim_matches('-') == here.trim_matches('-'));
        if readings.iter().any(|r| ours(&r.server)) {
            readings.retain(|r| ours(&r.server));
        }
        let database = only(readings.iter().map(|r| &r.database)).map(|short| {
            let known = self.databases.iter().find(|(_, s)| *s == short);
            known.map_or(short, |(alias, _)| alias.clone())
        });
        (database, only(readings.iter().map(|r| &r.server)), by_template)
    }

    /// Takes `.gpg`, `.gz` and the extension off a name.
    fn endings<'a>(&self, name: &'a str) -> Option<(&'a str, Content, Wrapping)> {
        let (rest, encrypted) = name.strip_suffix(".gpg").map_or((name, false), |r| (r, true));
        let (rest, compressed) = rest.strip_suffix(".gz").map_or((rest, false), |r| (r, true));
        let wrapping = Wrapping { compressed, encrypted };
        let own = self.extensions.iter().map(|e| Content::Database(DumpFormat::Other(e.clone())));
        let usual =
            [DumpFormat::PgCustom, DumpFormat::PgSql, DumpFormat::Sqlite, DumpFormat::Dump, DumpFormat::Json];
        let mut all: Vec<Content> =
            usual.into_iter().map(Content::Database).chain([Content::Media]).chain(own).collect();
        // `psql.bin` before a connector's own `bin`.
        all.sort_by_key(|c| std::cmp::Reverse(c.extension().len()));
        all.into_iter().find_map(|content| {
            let stem = rest.strip_suffix(content.extension())?.strip_suffix('.')?;
            (!stem.is_empty()).then_some((stem, content, wrapping))
        })
    }
}

/// What django-dbbackup keeps of a database's alias: after the last slash, before the first dot.
fn short_name(alias: &str) -> String {
    let base = alias.rsplit('/').next().unwrap_or_default();
    base.split('.').next().unwrap_or_default().to_owned()
}

/// What a name may have been before Django's `get_alternative_name`: it puts `_` and seven letters or digits before
/// the first dot (Django 5) or before the last (older).
fn originals(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (dot, _) in name.match_indices('.').take(16) {
        if let Some((original, random)) = name[..dot].rsplit_once('_')
            && random.len() == 7
            && random.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            found.push(format!("{original}{}", &name[dot..]));
        }
    }
    found
}

/// The value that all have in common.
fn only<'a>(mut values: impl Iterator<Item = &'a Option<String>>) -> Option<String> {
    let first = values.next()?;
    if values.all(|v| v == first) { first.clone() } else { None }
}

#[cfg(test)]
mod tests;
