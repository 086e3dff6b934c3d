//! Where a storage is, and how to get in. Secrets are kept apart: they are in no URL, no Debug, no Display and no
//! serialised form.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::StorageError;
use super::options::known;

/// Kinds of storages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A directory here.
    Local,
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// A directory over SSH.
    Sftp,
    /// A directory over FTP, in the clear.
    Ftp,
    /// A directory over FTP with TLS (`AUTH TLS` on the ordinary port).
    Ftps,
    /// A WebDAV collection over HTTP, in the clear.
    Webdav,
    /// A WebDAV collection over HTTPS.
    Webdavs,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
    /// Dropbox.
    Dropbox,
}

/// Scheme, kind; the first of a kind is the one that is written.
const SCHEMES: [(&str, Kind); 14] = [
    ("file", Kind::Local),
    ("s3", Kind::S3),
    ("sftp", Kind::Sftp),
    ("ssh", Kind::Sftp),
    ("ftp", Kind::Ftp),
    ("ftps", Kind::Ftps),
    ("webdav", Kind::Webdav),
    ("dav", Kind::Webdav),
    ("webdavs", Kind::Webdavs),
    ("davs", Kind::Webdavs),
    ("gcs", Kind::Gcs),
    ("gs", Kind::Gcs),
    ("azblob", Kind::Azblob),
    ("dropbox", Kind::Dropbox),
];

impl Kind {
    /// The scheme of its URLs.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        SCHEMES.iter().find(|(_, k)| *k == self).map_or("", |(s, _)| s)
    }

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Kind::Local => "a local directory",
            Kind::S3 => "S3",
            Kind::Sftp => "SFTP",
            Kind::Ftp => "FTP",
            Kind::Ftps => "FTPS",
            Kind::Webdav | Kind::Webdavs => "WebDAV",
            Kind::Gcs => "Google Cloud Storage",
            Kind::Azblob => "Azure Blob Storage",
            Kind::Dropbox => "Dropbox",
        }
    }

    /// Whether the URL's host is a bucket or container, and not a server.
    fn has_bucket(self) -> bool {
        matches!(self, Kind::S3 | Kind::Gcs | Kind::Azblob)
    }

    fn has_host(self) -> bool {
        !matches!(self, Kind::Local | Kind::Dropbox)
    }
}

/// Where a storage is and how to get in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct StorageConfig {
    /// Which kind.
    pub(crate) kind: Kind,
    /// Server, bucket or container; empty for a local directory and for Dropbox.
    pub(crate) host: String,
    /// Port of the server, where the URL names one.
    pub(crate) port: Option<u16>,
    /// Directory, without `/` at its end. On a server and in a local directory it begins with `/` (a local one may be
    /// relative); in a bucket it does not.
    pub(crate) path: String,
    /// Options that anybody may see.
    options: BTreeMap<String, String>,
    /// Options that nobody may see.
    secrets: BTreeMap<String, SecretString>,
}

/// The serialised form: a URL alone, or a URL with options. Secrets are read from it, never written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Raw {
    Url(String),
    Full {
        url: String,
        #[serde(default)]
        options: BTreeMap<String, String>,
    },
}

impl TryFrom<Raw> for StorageConfig {
    type Error = StorageError;
    fn try_from(raw: Raw) -> Result<Self, StorageError> {
        match raw {
            Raw::Url(url) => StorageConfig::parse(&url),
            Raw::Full { url, options } => StorageConfig::parse(&url)?.with_options(options),
        }
    }
}

impl From<StorageConfig> for Raw {
    fn from(c: StorageConfig) -> Raw {
        Raw::Url(c.to_string())
    }
}

impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets: Vec<&str> = self.secrets.keys().map(String::as_str).collect();
        f.debug_struct("StorageConfig").field("url", &self.to_string()).field("secrets", &secrets).finish()
    }
}

/// The URL, with every option that is not secret. [`StorageConfig::parse`] reads it back.
impl fmt::Display for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}://", self.kind.scheme());
        if let Some(user) = self.options.get("user") {
            text.push_str(&encoded(user));
            text.push('@');
        }
        text.push_str(&self.host);
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        if !self.path.starts_with('/') {
            // A relative local directory is written with a dot, so that it is not taken for a host.
            text.push_str(if self.kind == Kind::Local { "./" } else { "/" });
        }
        let path: Vec<String> = self.path.split('/').map(encoded).collect();
        text.push_str(&path.join("/"));
        let mut mark = '?';
        for (name, value) in self.options.iter().filter(|(n, _)| *n != "user") {
            text.push_str(&format!("{mark}{name}={}", encoded(value)));
            mark = '&';
        }
        f.write_str(&text)
    }
}

fn encoded(text: &str) -> String {
    // The url crate's own rule for form values encodes all that has a meaning in a URL, and a blank as `+`.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn decoded(text: &str) -> Result<String, StorageError> {
    // As a form value, except that `+` is itself.
    let guarded = text.replace('+', "%2B").replace('&', "%26");
    let value =
        url::form_urlencoded::parse(format!("x={guarded}").as_bytes()).next().map(|(_, v)| v.into_owned());
    match value {
        Some(v) if !v.contains(char::REPLACEMENT_CHARACTER) => Ok(v),
        _ => Err(StorageError::Config(format!("`{}` is not UTF-8 once decoded", text.escape_debug()))),
    }
}

impl StorageConfig {
    /// From a URL (`file:///backups`, `s3://bucket/prefix?endpoint=…`, `sftp://user@host:port/dir`, …) or a plain
    /// path. A URL with a password or another secret in it is refused: it would end up in logs and process lists.
    pub fn parse(location: &str) -> Result<Self, StorageError> {
        let bad = |why: &str| StorageError::Config(format!("this is no address of a storage: {why}"));
        if location.is_empty() || location.contains('\0') {
            return Err(bad("it is empty, or has a zero byte"));
        }
        let Some((scheme, rest)) = location.split_once("://") else {
            return Ok(Self::of(Kind::Local, location));
        };
        let scheme = scheme.to_ascii_lowercase();
        let Some(&(_, kind)) = SCHEMES.iter().find(|(s, _)| *s == scheme) else {
            let names: Vec<&str> = SCHEMES.iter().map(|(s, _)| *s).collect();
            return Err(bad(&format!("`{}` is none of {}", scheme.escape_debug(), names.join(", "))));
        };
        if kind == Kind::Local {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            if !path.starts_with('/') && !path.starts_with("./") {
                return Err(bad("write file:///directory with three slashes"));
            }
            // The dot stands for the working directory, and what follows for a path from there.
            let path = match path.strip_prefix("./") {
                Some("") => ".",
                Some(relative) => relative,
                None => path,
            };
            return Self::of(kind, &decoded(path)?).with_query(query);
        }
        // No URL in an error from here on: it may hold a password.
        let url = Url::parse(location).map_err(|e| bad(&e.to_string()))?;
        if url.password().is_some() {
            return Err(bad(
                "there is a password in it, which would end up in logs and process lists; give it as an option instead",
            ));
        }
        if url.fragment().is_some() {
            return Err(bad("it has a `#`; write %23 for one in a name"));
        }
        let host = decoded(url.host_str().unwrap_or_default())?;
        if kind.has_host() && host.is_empty() {
            return Err(bad("the server's or bucket's name is missing after ://"));
        }
        if !kind.has_host() && !host.is_empty() {
            return Err(bad("write dropbox:///directory with three slashes"));
        }
        if kind.has_bucket() && (url.port().is_some() || !url.username().is_empty()) {
            return Err(bad(
                "a bucket has neither port nor user; the server's address is the option `endpoint`",
            ));
        }
        let mut c = Self::of(kind, &decoded(url.path())?);
        c.host = host;
        c.port = url.port();
        if !url.username().is_empty() {
            c.set("user", &decoded(url.username())?)?;
        }
        c.with_query(url.query().unwrap_or_default())
    }

    pub(crate) fn of(kind: Kind, path: &str) -> Self {
        let trimmed = path.trim_end_matches('/');
        let path = match kind {
            Kind::Local if trimmed.is_empty() => "/",
            Kind::Local => trimmed,
            k if k.has_bucket() || k == Kind::Dropbox => trimmed.trim_start_matches('/'),
            _ => trimmed,
        };
        StorageConfig {
            kind,
            host: String::new(),
            port: None,
            path: path.to_owned(),
            options: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// Undoes percent-encoding.
    pub(crate) fn decode(text: &str) -> Result<String, StorageError> {
        decoded(text)
    }

    fn with_query(mut self, query: &str) -> Result<Self, StorageError> {
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if known(self.kind, &name)?.secret {
                return Err(StorageError::Config(format!(
                    "`{name}` is a secret, and must not be part of a URL: give it as an option"
                )));
            }
            self.set(&name, &value)?;
        }
        Ok(self)
    }

    /// Adds options, secret ones too. An unknown one is an error, and so is one that the URL gives another value.
    pub fn with_options<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, StorageError> {
        for (name, value) in options {
            self.set(name.as_ref(), value.as_ref())?;
        }
        Ok(self)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), StorageError> {
        let option = known(self.kind, name)?;
        if value.is_empty() || value.chars().any(|c| matches!(c, '\0' | '\r' | '\n') && !option.secret) {
            return Err(StorageError::Config(format!("the option `{name}` is empty or has a line break")));
        }
        if option.secret {
            self.secrets.insert(name.to_owned(), value.into());
            return Ok(());
        }
        if let Some(before) = self.options.insert(name.to_owned(), value.to_owned())
            && before != value
        {
            return Err(StorageError::Config(format!(
                "the option `{name}` is given twice: `{before}` and `{value}`"
            )));
        }
        Ok(())
    }

    /// The kind of storage.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// The value goes to the storage's client, and nowhere else.
    pub(crate) fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(ExposeSecret::expose_secret)
    }

    /// The text without any secret's value.
    #[cfg(any(feature = "remote", feature = "ftp"))]
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.values().map(ExposeSecret::expose_secret).filter(|s| s.len() > 3) {
            text = text.replace(secret, "…");
            text = text.replace(&encoded(secret), "…");
        }
        text
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, StorageError> {
        match self.option(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(StorageError::Config(format!("`{name}` is `true` or `false`, not `{other}`"))),
        }
    }

    pub(crate) fn number(&self, name: &str, default: u64, max: u64) -> Result<u64, StorageError> {
        match self.option(name).map(str::parse::<u64>) {
            None => Ok(default),
            Some(Ok(n)) if n <= max => Ok(n),
            _ => Err(StorageError::Config(format!("`{name}` is a whole number up to {max}"))),
        }
    }

    pub(crate) fn limits(&self) -> Result<Limits, StorageError> {
        Ok(Limits {
            timeout: Duration::from_secs(self.number("timeout_s", 60, 3600)?.max(1)),
            io_timeout: Duration::from_secs(self.number("io_timeout_s", 300, 86_400)?.max(1)),
            retries: usize::try_from(self.number("retries", 4, 20)?).unwrap_or(4),
        })
    }

    /// For people: kind, place and user. Never a secret.
    #[must_use]
    pub fn describe(&self) -> String {
        let server = match self.port {
            Some(p) => format!("{}:{p}", self.host),
            None => self.host.clone(),
        };
        let user = self.option("user").map(|u| format!(", as {u}")).unwrap_or_default();
        let at = self.option("endpoint").map(|e| format!(" at {e}")).unwrap_or_default();
        let below = if self.path.is_empty() { String::new() } else { format!(", {}/", self.path) };
        match self.kind {
            Kind::Local => format!("the directory {}", self.path),
            Kind::S3 => format!("the S3 bucket {}{at}{below}", self.host),
            Kind::Gcs => format!("the Google Cloud Storage bucket {}{at}{below}", self.host),
            Kind::Azblob => format!("the Azure container {}{at}{below}", self.host),
            Kind::Dropbox => format!("Dropbox, /{}", self.path),
            k => format!("{} server {server}{user}, {}/", k.title(), self.path),
        }
    }
}

/// Bounds of one storage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    #[cfg_attr(
        not(any(feature = "remote", feature = "ftp")),
        allow(dead_code, reason = "for remote storages")
    )]
    pub(crate) timeout: Duration,
    #[cfg_attr(
        not(any(feature = "remote", feature = "ftp")),
        allow(dead_code, reason = "for remote storages")
    )]
    pub(crate) io_timeout: Duration,
    pub(crate) retries: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(location: &str) -> StorageConfig {
        StorageConfig::parse(location).expect(location)
    }

    #[test]
    fn urls_are_understood() {
        let c = parse("s3://bucket/a/b/?endpoint=http%3A%2F%2F127.0.0.1%3A9000&region=eu-1");
        assert_eq!((c.kind, c.host.as_str(), c.path.as_str()), (Kind::S3, "bucket", "a/b"));
        assert_eq!(c.option("endpoint"), Some("http://127.0.0.1:9000"));
        let c = parse("sftp://me@host:2222/srv/my%20backups");
        assert_eq!((c.host.as_str(), c.port, c.path.as_str()), ("host", Some(2222), "/srv/my backups"));
        assert_eq!(c.option("user"), Some("me"));
        assert_eq!(parse("file:///backups/").path, "/backups");
        assert_eq!(parse("backups").path, "backups");
        assert_eq!(parse("file://./backups/").path, "backups");
        assert_eq!(parse("file://./").path, ".");
        assert_eq!(parse("/").path, "/");
        assert_eq!(parse("dropbox:///Backups").path, "Backups");
        assert_eq!(parse("gs://my_bucket").host, "my_bucket");
    }

    #[test]
    fn secrets_do_not_belong_in_urls() {
        for url in
            ["ftp://me:hunter2@host/", "s3://b/?secret_access_key=hunter2", "webdavs://h/?password=hunter2"]
        {
            let text = StorageConfig::parse(url).expect_err(url).to_string();
            assert!(!text.contains("hunter2") && text.contains("option"), "{text}");
        }
    }

    #[test]
    fn secrets_are_nowhere_to_be_seen() {
        let c = parse("ftps://me@host/dir").with_options([("password", "hunter2")]).expect("fine");
        let json = serde_json::to_string(&c).expect("serialises");
        for text in [c.to_string(), format!("{c:?}"), format!("{c:#?}"), c.describe(), json] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(c.secret("password"), Some("hunter2"));
    }

    #[test]
    fn a_table_in_a_file_is_a_storage() {
        let c: StorageConfig = serde_json::from_str(
            r#"{"url": "s3://b/p", "options": {"access_key_id": "A", "secret_access_key": "S"}}"#,
        )
        .expect("parses");
        assert_eq!((c.option("access_key_id"), c.secret("secret_access_key")), (Some("A"), Some("S")));
        assert!(
            serde_json::from_str::<StorageConfig>(r#"{"url": "s3://b", "options": {"nonsense": "1"}}"#)
                .is_err()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for url in [
            "",
            "gopher://x/",
            "s3:///x",
            "file://host/x",
            "dropbox://host/x",
            "s3://b:80/x",
            "s3://b/?x=1",
            "ftp://h/#x",
        ] {
            assert!(StorageConfig::parse(url).is_err(), "{url}");
        }
        let twice = parse("s3://b/?region=a").with_options([("region", "b")]);
        assert!(twice.is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(path in "[a-zA-Z0-9 ü%+&=?#/._-]{1,30}", user in "[a-z@:%]{1,8}", region in "\\PC{1,12}") {
            for mut c in [StorageConfig::of(Kind::Local, &path), StorageConfig::of(Kind::Sftp, &format!("/x{path}")), StorageConfig::of(Kind::S3, &path)] {
                match c.kind {
                    Kind::Sftp => { c.host = "host".into(); c.set("user", &user).expect("user"); }
                    Kind::S3 => { c.host = "bucket".into(); c.set("region", &region).expect("region"); }
                    _ => {}
                }
                // The url crate resolves dots, as every URL's reader may.
                prop_assume!(!c.path.split('/').any(|p| p == "." || p == ".." ));
                let again = StorageConfig::parse(&c.to_string()).expect("parses");
                prop_assert_eq!(again.to_string(), c.to_string());
                prop_assert_eq!(&again.path, &c.path);
            }
        }

        #[test]
        fn noise_never_panics(text in "\\PC{0,60}|(s3|ftp|file|sftp)://\\PC{0,40}") {
            let _ = StorageConfig::parse(&text);
        }
    }
}
