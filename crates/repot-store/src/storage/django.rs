//! Storages as Django projects name them: `STORAGES` with django-storages' backends and their options (1.14).
//!
//! Every option is mapped, or named as not supported with the reason; one that is unknown is an error. Settings that
//! are not options (`AWS_*`, `GS_*`, …) and environment variables are the caller's to turn into options.

use serde_json::{Map, Value};

use super::{Kind, StorageConfig, StorageError};

/// A storage as a Django project names it.
#[derive(Debug)]
pub struct Mapped {
    /// The same storage here.
    pub config: StorageConfig,
    /// Options that have no meaning here, and why.
    pub not_supported: Vec<(String, &'static str)>,
}

/// What becomes of an option.
enum Rule {
    /// It is this option here.
    Is(&'static str),
    /// It is part of the address, or takes more than a name.
    Own,
    /// It is not supported.
    No(&'static str),
}
use Rule::{Is, No, Own};

const LINKS: &str = "only for links in web pages";
const NAMES: &str = "names of backups are unique, and a finished file replaces";
const MEMORY: &str = "memory is bounded by parts of 8 MiB";
const PACKED: &str = "backups are compressed already";
const CACHE: &str = "only for browsers";
const CLIENT: &str = "a setting of the Python client";
const LOGIN: &str = "a login object of the Python client: give key or file instead";

type Rules = &'static [(&'static str, Rule)];

const FILES: Rules = &[
    ("location", Own),
    ("file_permissions_mode", Own),
    ("directory_permissions_mode", Own),
    ("base_url", No(LINKS)),
    ("allow_overwrite", No(NAMES)),
];

const S3: Rules = &[
    ("bucket_name", Own),
    ("location", Own),
    ("access_key", Is("access_key_id")),
    ("secret_key", Is("secret_access_key")),
    ("security_token", Is("session_token")),
    ("session_profile", Own),
    ("region_name", Is("region")),
    ("endpoint_url", Is("endpoint")),
    ("addressing_style", Is("addressing_style")),
    ("default_acl", Is("acl")),
    ("object_parameters", Own),
    ("verify", Own),
    ("proxies", Own),
    ("signature_version", Own),
    ("use_ssl", Own),
    ("client_config", No(CLIENT)),
    ("transfer_config", No(CLIENT)),
    ("use_threads", No(CLIENT)),
    ("querystring_auth", No(LINKS)),
    ("querystring_expire", No(LINKS)),
    ("url_protocol", No(LINKS)),
    ("custom_domain", No(LINKS)),
    ("cloudfront_key", No(LINKS)),
    ("cloudfront_key_id", No(LINKS)),
    ("cloudfront_signer", No(LINKS)),
    ("file_overwrite", No(NAMES)),
    ("max_memory_size", No(MEMORY)),
    ("gzip", No(PACKED)),
    ("gzip_content_types", No(PACKED)),
];

const GCS: Rules = &[
    ("bucket_name", Own),
    ("location", Own),
    ("default_acl", Own),
    ("object_parameters", Own),
    ("project_id", No("only for making buckets, which repot does not do")),
    ("credentials", No(LOGIN)),
    ("custom_endpoint", No(LINKS)),
    ("querystring_auth", No(LINKS)),
    ("expiration", No(LINKS)),
    ("iam_sign_blob", No(LINKS)),
    ("sa_email", No(LINKS)),
    ("file_overwrite", No(NAMES)),
    ("max_memory_size", No(MEMORY)),
    ("blob_chunk_size", No(MEMORY)),
    ("gzip", No(PACKED)),
    ("gzip_content_types", No(PACKED)),
    ("cache_control", No(CACHE)),
];

const AZURE: Rules = &[
    ("azure_container", Own),
    ("location", Own),
    ("account_name", Is("account_name")),
    ("account_key", Is("account_key")),
    ("sas_token", Is("sas_token")),
    ("connection_string", Own),
    ("endpoint_suffix", Own),
    ("azure_ssl", Own),
    ("timeout", Is("timeout_s")),
    ("token_credential", No(LOGIN)),
    ("custom_domain", No(LINKS)),
    ("expiration_secs", No(LINKS)),
    ("overwrite_files", No(NAMES)),
    ("max_memory_size", No(MEMORY)),
    ("upload_max_conn", No(MEMORY)),
    ("cache_control", No(CACHE)),
    ("object_parameters", No("headers of objects are not set")),
    ("api_version", No(CLIENT)),
    ("client_options", No(CLIENT)),
    ("request_options", No(CLIENT)),
];

const DROPBOX: Rules = &[
    ("root_path", Own),
    ("oauth2_access_token", Is("access_token")),
    ("oauth2_refresh_token", Is("refresh_token")),
    ("app_key", Is("app_key")),
    ("app_secret", Is("app_secret")),
    ("timeout", Is("timeout_s")),
    ("write_mode", No(NAMES)),
];

const SFTP: Rules = &[
    ("host", Own),
    ("root_path", Own),
    ("params", Own),
    ("interactive", No("a backup asks nobody: log in with a key")),
    ("file_mode", No("the server's umask decides")),
    ("dir_mode", No("the server's umask decides")),
    ("uid", No("files belong to the user that logs in")),
    ("gid", No("files belong to the user that logs in")),
    ("known_host_file", No("ssh's own known_hosts is used: add the host's key there")),
    ("base_url", No(LINKS)),
];

const FTP: Rules = &[
    ("location", Own),
    ("allow_overwrite", No(NAMES)),
    ("encoding", No("names are UTF-8")),
    ("base_url", No(LINKS)),
];

/// Backend's names, kind, rules, options that must be there.
const BACKENDS: &[(&[&str], Kind, Rules, &[&str])] = &[
    (
        &[
            "django.core.files.storage.FileSystemStorage",
            "django.core.files.storage.filesystem.FileSystemStorage",
        ],
        Kind::Local,
        FILES,
        &["location"],
    ),
    (
        &["storages.backends.s3.S3Storage", "storages.backends.s3boto3.S3Boto3Storage"],
        Kind::S3,
        S3,
        &["bucket_name"],
    ),
    (&["storages.backends.gcloud.GoogleCloudStorage"], Kind::Gcs, GCS, &["bucket_name"]),
    (&["storages.backends.azure_storage.AzureStorage"], Kind::Azblob, AZURE, &["azure_container"]),
    (
        &["storages.backends.dropbox.DropBoxStorage", "storages.backends.dropbox.DropboxStorage"],
        Kind::Dropbox,
        DROPBOX,
        &[],
    ),
    (&["storages.backends.sftpstorage.SFTPStorage"], Kind::Sftp, SFTP, &["host"]),
    (&["storages.backends.ftp.FTPStorage"], Kind::Ftp, FTP, &["location"]),
];

/// Maps a Django storage: the backend's dotted name and its `OPTIONS`.
pub fn from_django(backend: &str, options: &Map<String, Value>) -> Result<Mapped, StorageError> {
    let Some((_, kind, rules, wanted)) = BACKENDS.iter().find(|(names, ..)| names.contains(&backend)) else {
        let known: Vec<&str> = BACKENDS.iter().filter_map(|(names, ..)| names.first().copied()).collect();
        return Err(StorageError::Config(format!(
            "the Django storage `{}` is not known; known are {}",
            backend.escape_debug(),
            known.join(", ")
        )));
    };
    for name in *wanted {
        if text(options, name)?.is_none() {
            return Err(bad(name, "is missing"));
        }
    }
    let mut m = Mapping { config: StorageConfig::of(*kind, ""), not_supported: Vec::new(), options };
    for (name, value) in options {
        let rule = rules.iter().find(|(n, _)| n == name).map(|(_, rule)| rule);
        match rule {
            None => return Err(bad(name, "is no option of this Django storage that repot knows")),
            Some(No(why)) => m.no(name, why),
            Some(Is(here)) => {
                if let Some(v) = plain(name, value)? {
                    m.config.set(here, &v)?;
                }
            }
            Some(Own) => {}
        }
    }
    match kind {
        Kind::Local => m.files()?,
        Kind::S3 => m.s3()?,
        Kind::Gcs => m.gcs()?,
        Kind::Azblob => m.azure()?,
        Kind::Dropbox => m.path("root_path")?,
        Kind::Sftp => m.sftp()?,
        _ => m.ftp()?,
    }
    Ok(Mapped { config: m.config, not_supported: m.not_supported })
}

fn bad(name: &str, why: &str) -> StorageError {
    StorageError::Config(format!("Django storage: the option `{}` {why}", name.escape_debug()))
}

/// A value as text; none for null and for what is empty.
fn plain(name: &str, value: &Value) -> Result<Option<String>, StorageError> {
    match value {
        Value::Null => Ok(None),
        Value::String(s) => Ok((!s.is_empty()).then(|| s.clone())),
        Value::Number(n) => Ok(Some(n.to_string())),
        Value::Bool(b) => Ok(Some(b.to_string())),
        _ => Err(bad(name, "is not a text or a number")),
    }
}

fn text(options: &Map<String, Value>, name: &str) -> Result<Option<String>, StorageError> {
    options.get(name).map_or(Ok(None), |v| plain(name, v))
}

struct Mapping<'a> {
    config: StorageConfig,
    not_supported: Vec<(String, &'static str)>,
    options: &'a Map<String, Value>,
}

impl Mapping<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, StorageError> {
        text(self.options, name)
    }

    fn no(&mut self, name: impl Into<String>, why: &'static str) {
        self.not_supported.push((name.into(), why));
    }

    fn path(&mut self, name: &str) -> Result<(), StorageError> {
        let path = self.text(name)?.unwrap_or_default();
        self.config.path = StorageConfig::of(self.config.kind, &path).path;
        Ok(())
    }

    fn bucket(&mut self, name: &str) -> Result<(), StorageError> {
        self.config.host = self.text(name)?.unwrap_or_default();
        self.path("location")
    }

    /// The members of an option that is a table.
    fn table(&self, name: &str) -> Result<Vec<(String, Value)>, StorageError> {
        match self.options.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(o)) => Ok(o.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
            Some(_) => Err(bad(name, "is not a table")),
        }
    }

    fn files(&mut self) -> Result<(), StorageError> {
        self.path("location")?;
        for (theirs, ours) in
            [("file_permissions_mode", "file_mode"), ("directory_permissions_mode", "dir_mode")]
        {
            match self.options.get(theirs) {
                None | Some(Value::Null) => {}
                // Python's 0o640 arrives as the number 416.
                Some(Value::Number(n)) => {
                    let mode = n.as_u64().ok_or_else(|| bad(theirs, "is no file mode"))?;
                    self.config.set(ours, &format!("{mode:o}"))?;
                }
                Some(Value::String(s)) => self.config.set(ours, s.trim_start_matches("0o"))?,
                Some(_) => return Err(bad(theirs, "is no file mode")),
            }
        }
        Ok(())
    }

    fn s3(&mut self) -> Result<(), StorageError> {
        self.bucket("bucket_name")?;
        for (name, value) in self.table("object_parameters")? {
            let ours = match name.as_str() {
                "StorageClass" => "storage_class",
                "ServerSideEncryption" => "server_side_encryption",
                "SSEKMSKeyId" => "sse_kms_key_id",
                "ACL" => "acl",
                _ => {
                    self.no(format!("object_parameters.{name}"), "this header of objects is not set");
                    continue;
                }
            };
            if let Some(v) = plain(&name, &value)? {
                self.config.set(ours, &v)?;
            }
        }
        if let Some(profile) = self.text("session_profile")? {
            self.config.set("profile", &profile)?;
            self.config.set("ambient_credentials", "true")?;
        } else if self.text("access_key")?.is_none() {
            // boto3 looks around by itself when it is given no key.
            self.config.set("ambient_credentials", "true")?;
        }
        match self.options.get("verify") {
            None | Some(Value::Null | Value::Bool(true)) => {}
            Some(Value::Bool(false)) => {
                self.no("verify", "certificates are always checked; name the authority's file")
            }
            Some(v) => {
                if let Some(file) = plain("verify", v)? {
                    self.config.set("ca_file", &file)?;
                }
            }
        }
        for (scheme, value) in self.table("proxies")? {
            match plain(&scheme, &value)? {
                Some(v) if scheme == "https" => self.config.set("proxy", &v)?,
                _ => self.no(format!("proxies.{scheme}"), "one proxy serves all: the one for https"),
            }
        }
        if !matches!(self.text("signature_version")?.as_deref(), None | Some("s3v4")) {
            self.no("signature_version", "requests are signed with version 4");
        }
        if self.text("use_ssl")?.as_deref() == Some("false") && self.text("endpoint_url")?.is_none() {
            self.no("use_ssl", "without an endpoint_url of http:// the connection is encrypted");
        }
        Ok(())
    }

    fn gcs(&mut self) -> Result<(), StorageError> {
        self.bucket("bucket_name")?;
        // The same lists have other names in the protocol that opendal speaks.
        if let Some(acl) = self.text("default_acl")? {
            self.config.set(
                "acl",
                &acl.replace("Read", "-read")
                    .replace("bucketOwner", "bucket-owner")
                    .replace("FullControl", "-full-control")
                    .to_lowercase(),
            )?;
        }
        for (name, value) in self.table("object_parameters")? {
            match (name.as_str(), plain(&name, &value)?) {
                ("storage_class", Some(v)) => self.config.set("storage_class", &v)?,
                _ => self.no(format!("object_parameters.{name}"), "this property of objects is not set"),
            }
        }
        self.config.set("ambient_credentials", "true")
    }

    fn azure(&mut self) -> Result<(), StorageError> {
        self.bucket("azure_container")?;
        let http = self.text("azure_ssl")?.as_deref() == Some("false");
        let mut scheme = if http { "http" } else { "https" }.to_owned();
        let mut suffix = self.text("endpoint_suffix")?;
        let mut endpoint = None;
        let connection = self.text("connection_string")?.unwrap_or_default();
        for pair in connection.split(';').filter(|p| !p.trim().is_empty()) {
            // Keys end with `=`, so only the first one divides.
            let (key, value) =
                pair.split_once('=').ok_or_else(|| bad("connection_string", "has a part without `=`"))?;
            match key.trim().to_ascii_lowercase().as_str() {
                "accountname" => self.config.set("account_name", value)?,
                "accountkey" => self.config.set("account_key", value)?,
                "sharedaccesssignature" => self.config.set("sas_token", value)?,
                "blobendpoint" => endpoint = Some(value.to_owned()),
                "endpointsuffix" => suffix = Some(value.to_owned()),
                "defaultendpointsprotocol" => value.clone_into(&mut scheme),
                _ => self.no(format!("connection_string.{}", key.trim()), "not needed for blobs"),
            }
        }
        let account = self.config.option("account_name").map(str::to_owned);
        if endpoint.is_none() && (suffix.is_some() || scheme != "https") {
            let account = account.ok_or_else(|| bad("account_name", "is missing"))?;
            endpoint = Some(format!(
                "{scheme}://{account}.blob.{}",
                suffix.as_deref().unwrap_or("core.windows.net")
            ));
        }
        match endpoint {
            Some(e) => self.config.set("endpoint", &e),
            None => Ok(()),
        }
    }

    fn sftp(&mut self) -> Result<(), StorageError> {
        self.config.host = self.text("host")?.unwrap_or_default();
        // A relative path is below the home directory.
        let path = self.text("root_path")?.unwrap_or_default();
        let path = if path.starts_with('/') { path } else { format!("/~/{path}") };
        self.config.path = StorageConfig::of(Kind::Sftp, &path).path;
        for (name, value) in self.table("params")? {
            let value = plain(&name, &value);
            match name.as_str() {
                "port" => {
                    let port = value?
                        .map(|v| v.parse())
                        .transpose()
                        .map_err(|_| bad("params.port", "is no port"))?;
                    self.config.port = port;
                }
                "username" => {
                    if let Some(v) = value? {
                        self.config.set("user", &v)?;
                    }
                }
                "key_filename" => {
                    if let Some(v) = value? {
                        self.config.set("key_file", &v)?;
                    }
                }
                // Says that keys are wanted.
                "password" | "passphrase" => {
                    if let Some(v) = value? {
                        self.config.set(&name, &v)?;
                    }
                }
                "pkey" => self.no("params.pkey", LOGIN),
                _ => self.no(format!("params.{name}"), "ssh's own configuration decides"),
            }
        }
        Ok(())
    }

    /// `ftp://user:password@host:port/path`, `ftps://` for TLS, `aftp://` for active mode.
    fn ftp(&mut self) -> Result<(), StorageError> {
        let location = self.text("location")?.unwrap_or_default();
        // Not repeated in errors: it has the password.
        let url = url::Url::parse(&location).ok().filter(|_| location.contains("://"));
        let url = url.ok_or_else(|| bad("location", "is no URL"))?;
        let kind = match url.scheme() {
            "ftp" => Kind::Ftp,
            "ftps" => Kind::Ftps,
            "aftp" => {
                return Err(bad("location", "asks for active mode, which is not supported: write ftp://"));
            }
            _ => return Err(bad("location", "is no ftp:// or ftps:// URL")),
        };
        let password = url.password().map(str::to_owned);
        let mut bare = url.clone();
        if bare.set_password(None).is_err() {
            return Err(bad("location", "has no host"));
        }
        self.config = StorageConfig::parse(bare.as_str())?;
        self.config.kind = kind;
        match password {
            Some(p) => self.config.set("password", &StorageConfig::decode(&p)?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "django_tests.rs"]
mod tests;
