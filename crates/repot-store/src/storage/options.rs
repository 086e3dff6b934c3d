//! The options of every storage: which there are, what they mean, and which are secret.

use super::StorageError;
use super::config::Kind;

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// The storages that have it.
    pub kinds: &'static [Kind],
    /// Never in a URL, never shown, never written.
    pub secret: bool,
    /// What it means.
    pub meaning: &'static str,
}

const LOCAL: &[Kind] = &[Kind::Local];
const S3: &[Kind] = &[Kind::S3];
const SFTP: &[Kind] = &[Kind::Sftp];
const LOGIN: &[Kind] = &[Kind::Sftp, Kind::Ftp, Kind::Ftps, Kind::Webdav, Kind::Webdavs];
const PASSWORD: &[Kind] = &[Kind::Ftp, Kind::Ftps, Kind::Webdav, Kind::Webdavs];
const WEBDAV: &[Kind] = &[Kind::Webdav, Kind::Webdavs];
const TOKEN: &[Kind] = &[Kind::Webdav, Kind::Webdavs, Kind::Gcs];
const GCS: &[Kind] = &[Kind::Gcs];
const AZBLOB: &[Kind] = &[Kind::Azblob];
const DROPBOX: &[Kind] = &[Kind::Dropbox];
const CLOUD: &[Kind] = &[Kind::S3, Kind::Gcs, Kind::Azblob];
const CLASSED: &[Kind] = &[Kind::S3, Kind::Gcs];
const TLS: &[Kind] = &[Kind::S3, Kind::Ftps, Kind::Webdavs, Kind::Gcs, Kind::Azblob, Kind::Dropbox];
const HTTP: &[Kind] = &[Kind::S3, Kind::Webdav, Kind::Webdavs, Kind::Gcs, Kind::Azblob, Kind::Dropbox];
const REMOTE: &[Kind] = &[
    Kind::S3,
    Kind::Sftp,
    Kind::Ftp,
    Kind::Ftps,
    Kind::Webdav,
    Kind::Webdavs,
    Kind::Gcs,
    Kind::Azblob,
    Kind::Dropbox,
];

const fn plain(name: &'static str, kinds: &'static [Kind], meaning: &'static str) -> Known {
    Known { name, kinds, secret: false, meaning }
}

const fn secret(name: &'static str, kinds: &'static [Kind], meaning: &'static str) -> Known {
    Known { name, kinds, secret: true, meaning }
}

/// Every option there is.
pub const OPTIONS: &[Known] = &[
    plain("file_mode", LOCAL, "permissions of files, octal (600)"),
    plain("dir_mode", LOCAL, "permissions of directories that are made, octal (700)"),
    plain("endpoint", CLOUD, "address of the service, for example https://s3.example.com"),
    plain("region", S3, "region (us-east-1)"),
    plain("addressing_style", S3, "`path` (bucket in the path) or `virtual` (bucket in the host name)"),
    plain("storage_class", CLASSED, "storage class of new objects"),
    plain("acl", CLASSED, "canned access list of new objects"),
    plain("server_side_encryption", S3, "`AES256` or `aws:kms`"),
    plain("sse_kms_key_id", S3, "key for `aws:kms`"),
    plain("access_key_id", S3, "name of the access key"),
    secret("secret_access_key", S3, "the access key"),
    secret("session_token", S3, "token of temporary credentials"),
    plain("role_arn", S3, "role to assume"),
    plain("external_id", S3, "external id for the role"),
    plain("profile", S3, "profile of the AWS configuration files (with ambient_credentials)"),
    plain(
        "ambient_credentials",
        CLASSED,
        "`true`: take credentials from the service's own environment, files and machine metadata",
    ),
    plain("anonymous", CLOUD, "`true`: without credentials"),
    plain("user", LOGIN, "user name"),
    secret("password", PASSWORD, "password"),
    plain("key_file", SFTP, "file of the private key (ssh's own choice)"),
    plain(
        "known_hosts",
        SFTP,
        "host keys: `strict` (known ones only), `add` (remember new ones), `accept` (any: no protection)",
    ),
    secret("token", TOKEN, "bearer token"),
    plain("disable_create_dir", WEBDAV, "`true`: the server makes directories by itself"),
    plain("credential_file", GCS, "file of the service account's key, JSON"),
    secret("credential", GCS, "the service account's key itself, JSON in base64"),
    plain("account_name", AZBLOB, "storage account"),
    secret("account_key", AZBLOB, "key of the storage account"),
    secret("sas_token", AZBLOB, "shared access signature"),
    secret("access_token", DROPBOX, "access token (short-lived)"),
    secret("refresh_token", DROPBOX, "refresh token, with app_key and app_secret"),
    plain("app_key", DROPBOX, "key of the app"),
    secret("app_secret", DROPBOX, "secret of the app"),
    plain("ca_file", TLS, "certificates of further authorities to trust, PEM"),
    plain("proxy", HTTP, "address of an HTTP proxy"),
    plain("timeout_s", REMOTE, "seconds for one small request (60)"),
    plain("io_timeout_s", REMOTE, "seconds for one part of a file, 8 MiB or more (300)"),
    plain("retries", REMOTE, "further attempts after a passing fault (4)"),
];

/// The option of this name for this storage.
pub(crate) fn known(kind: Kind, name: &str) -> Result<&'static Known, StorageError> {
    if kind == Kind::Sftp && matches!(name, "password" | "passphrase") {
        return Err(StorageError::Config(
            "SFTP with a password is not supported: log in with a key (option key_file, or one that ssh or its \
             agent knows); a key with a passphrase works through ssh-agent"
                .to_owned(),
        ));
    }
    OPTIONS.iter().find(|o| o.name == name && o.kinds.contains(&kind)).ok_or_else(|| {
        let names: Vec<&str> = OPTIONS.iter().filter(|o| o.kinds.contains(&kind)).map(|o| o.name).collect();
        StorageError::Config(format!(
            "{} has no option `{}`; it has {}",
            kind.title(),
            name.escape_debug(),
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_sounds_secret_is_secret() {
        for o in OPTIONS {
            let sounds = ["password", "secret", "token", "account_key"].iter().any(|w| o.name.contains(w));
            assert_eq!(sounds || o.name == "credential", o.secret, "{}", o.name);
            assert!(!o.kinds.is_empty() && !o.meaning.is_empty());
        }
    }

    #[test]
    fn a_password_for_sftp_is_refused_in_words() {
        let text = known(Kind::Sftp, "password").expect_err("keys only").to_string();
        assert!(text.contains("key_file"), "{text}");
    }

    #[test]
    fn an_unknown_option_is_named_with_those_there_are() {
        let text = known(Kind::S3, "regoin").expect_err("a typing error").to_string();
        assert!(text.contains("`regoin`") && text.contains("region"), "{text}");
    }
}
