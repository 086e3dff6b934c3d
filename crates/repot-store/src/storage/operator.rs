//! opendal's operators, from a [`StorageConfig`].

use opendal::layers::{RetryEvent, RetryLayer, TimeoutLayer};
use opendal::{Operator, services};

use super::config::Limits;
use super::{Kind, StorageConfig, StorageError};

/// How long a connection may take to come about, in seconds.
#[cfg(feature = "http")]
const CONNECT_TIMEOUT_S: u64 = 15;

/// Two ways to the same storage.
pub(crate) struct Operators {
    /// Tries again after passing faults. For what may be done twice.
    pub(crate) retrying: Operator,
    /// Tries once. For streams that a second attempt at a part would spoil.
    pub(crate) once: Operator,
}

/// Gives a builder those options that are set.
macro_rules! given {
    ($builder:ident, $config:ident, $($method:ident: $get:ident($name:literal)),+ $(,)?) => {
        $(if let Some(value) = $config.$get($name) {
            $builder = $builder.$method(value);
        })+
    };
}

pub(crate) fn open(config: &StorageConfig, limits: Limits) -> Result<Operators, StorageError> {
    let base = service(config)?;
    #[cfg(feature = "http")]
    let base = match config.kind() {
        Kind::Sftp => base,
        _ => {
            use opendal::{HttpTransporter, OperationContext};
            use opendal_http_transport_reqwest::ReqwestTransport;
            let transport = HttpTransporter::new(ReqwestTransport::new(http_client(config)?));
            base.with_context(OperationContext::new().with_http_transport(transport))
        }
    };
    let once =
        base.layer(TimeoutLayer::new().with_timeout(limits.timeout).with_io_timeout(limits.io_timeout));
    let retry = RetryLayer::new().with_max_times(limits.retries).with_jitter().with_notify(silent);
    Ok(Operators { retrying: once.clone().layer(retry), once })
}

/// Whether an attempt was made again is nobody's concern but the one's who waits, and it shows in the end.
fn silent(_: RetryEvent<'_>) {}

#[cfg(feature = "http")]
pub(crate) fn http_client(config: &StorageConfig) -> Result<reqwest::Client, StorageError> {
    let bad = |e: reqwest::Error| StorageError::Config(format!("HTTP cannot be set up: {}", e.without_url()));
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(super::tls::client(config)?)
        .connect_timeout(std::time::Duration::from_secs(CONNECT_TIMEOUT_S))
        .user_agent(concat!("repot/", env!("CARGO_PKG_VERSION")))
        // Not from the environment: a library does not look there.
        .no_proxy();
    if let Some(proxy) = config.option("proxy") {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(bad)?);
    }
    builder.build().map_err(bad)
}

#[cfg_attr(not(feature = "http"), allow(unused_variables, reason = "only SFTP"))]
fn service(config: &StorageConfig) -> Result<Operator, StorageError> {
    match config.kind() {
        #[cfg(feature = "s3")]
        Kind::S3 => s3(config),
        #[cfg(feature = "sftp")]
        Kind::Sftp => sftp(config),
        #[cfg(feature = "webdav")]
        Kind::Webdav | Kind::Webdavs => webdav(config),
        #[cfg(feature = "gcs")]
        Kind::Gcs => gcs(config),
        #[cfg(feature = "azblob")]
        Kind::Azblob => azblob(config),
        #[cfg(feature = "dropbox")]
        Kind::Dropbox => dropbox(config),
        kind => Err(super::not_built(kind)),
    }
}

fn built<B: opendal::Builder>(builder: B) -> Result<Operator, StorageError> {
    Operator::new(builder)
        .map_err(|e| StorageError::Config(format!("the storage cannot be set up: {}", e.message())))
}

#[cfg(feature = "s3")]
fn s3(config: &StorageConfig) -> Result<Operator, StorageError> {
    let mut b = services::S3::default().bucket(&config.host).root(&root(config));
    given!(b, config,
        endpoint: option("endpoint"),
        default_storage_class: option("storage_class"),
        default_acl: option("acl"),
        server_side_encryption: option("server_side_encryption"),
        server_side_encryption_aws_kms_key_id: option("sse_kms_key_id"),
        access_key_id: option("access_key_id"),
        secret_access_key: secret("secret_access_key"),
        session_token: secret("session_token"),
        role_arn: option("role_arn"),
        external_id: option("external_id"),
        profile: option("profile"),
    );
    b = b.region(config.option("region").unwrap_or("us-east-1"));
    // Bucket names with dots do not fit the wildcard certificate; servers of one's own rarely have one.
    let by_itself = config.option("endpoint").is_none() && !config.host.contains('.');
    match config.option("addressing_style") {
        Some("virtual") => b = b.enable_virtual_host_style(),
        None | Some("auto") if by_itself => b = b.enable_virtual_host_style(),
        None | Some("auto" | "path") => {}
        Some(other) => {
            return Err(StorageError::Config(format!(
                "`addressing_style` is `path` or `virtual`, not `{other}`"
            )));
        }
    }
    let keys = config.option("access_key_id").is_some() && config.secret("secret_access_key").is_some();
    match way_in(config, keys, "access_key_id and secret_access_key")? {
        WayIn::Keys => b = b.disable_config_load().disable_ec2_metadata(),
        WayIn::Anonymous => b = b.disable_config_load().disable_ec2_metadata().skip_signature(),
        WayIn::Ambient => {}
    }
    built(b)
}

/// How a cloud is to know us.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azblob"))]
enum WayIn {
    Keys,
    Anonymous,
    Ambient,
}

/// Exactly one way in, chosen by the caller: a client that looks around by itself may find somebody else's keys.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azblob"))]
fn way_in(config: &StorageConfig, keys: bool, names: &str) -> Result<WayIn, StorageError> {
    match (keys, config.flag("anonymous")?, config.flag("ambient_credentials")?) {
        (true, false, false) => Ok(WayIn::Keys),
        (false, true, false) => Ok(WayIn::Anonymous),
        (false, false, true) => Ok(WayIn::Ambient),
        (false, false, false) => Err(StorageError::Config(format!(
            "there are no credentials for {}: give {names}",
            config.describe()
        ))),
        _ => Err(StorageError::Config(format!(
            "there is more than one way into {}: keep one",
            config.describe()
        ))),
    }
}

#[cfg(feature = "http")]
fn root(config: &StorageConfig) -> String {
    format!("/{}", config.path.trim_start_matches('/'))
}

#[cfg(feature = "sftp")]
fn sftp(config: &StorageConfig) -> Result<Operator, StorageError> {
    let port = config.port.map(|p| format!(":{p}")).unwrap_or_default();
    let mut b = services::Sftp::default().endpoint(&format!("ssh://{}{port}", config.host));
    // Below the home directory the server's own default is the root, and the rest is part of every name.
    if home_dir(config).is_none() {
        b = b.root(if config.path.is_empty() { "/" } else { &config.path });
    }
    given!(b, config, user: option("user"), key: option("key_file"));
    match config.option("known_hosts").unwrap_or("strict") {
        strategy @ ("strict" | "add" | "accept") => b = b.known_hosts_strategy(strategy),
        other => {
            return Err(StorageError::Config(format!(
                "`known_hosts` is `strict`, `add` or `accept`, not `{other}`"
            )));
        }
    }
    built(b)
}

/// What follows `/~/` in the path: a directory below the user's home.
pub(crate) fn home_dir(config: &StorageConfig) -> Option<&str> {
    match config.path.as_str() {
        "/~" => Some(""),
        path if config.kind() == Kind::Sftp => path.strip_prefix("/~/"),
        _ => None,
    }
}

#[cfg(feature = "webdav")]
fn webdav(config: &StorageConfig) -> Result<Operator, StorageError> {
    let mut b = services::Webdav::default().endpoint(&http_endpoint(config)).root(&root(config));
    given!(b, config, username: option("user"), password: secret("password"), token: secret("token"));
    built(b.disable_create_dir(config.flag("disable_create_dir")?))
}

#[cfg(feature = "webdav")]
pub(crate) fn http_endpoint(config: &StorageConfig) -> String {
    let scheme = if config.kind() == Kind::Webdavs { "https" } else { "http" };
    let port = config.port.map(|p| format!(":{p}")).unwrap_or_default();
    format!("{scheme}://{}{port}", config.host)
}

#[cfg(feature = "gcs")]
fn gcs(config: &StorageConfig) -> Result<Operator, StorageError> {
    let mut b = services::Gcs::default().bucket(&config.host).root(&root(config));
    given!(b, config,
        endpoint: option("endpoint"),
        default_storage_class: option("storage_class"),
        predefined_acl: option("acl"),
        credential_path: option("credential_file"),
        credential: secret("credential"),
    );
    if let Some(token) = config.secret("token") {
        b = b.token(token.to_owned());
    }
    let keys = config.option("credential_file").is_some()
        || config.secret("credential").is_some()
        || config.secret("token").is_some();
    match way_in(config, keys, "credential_file")? {
        WayIn::Keys => b = b.disable_vm_metadata().disable_config_load(),
        WayIn::Anonymous => b = b.disable_vm_metadata().disable_config_load().skip_signature(),
        WayIn::Ambient => {}
    }
    built(b)
}

#[cfg(feature = "azblob")]
fn azblob(config: &StorageConfig) -> Result<Operator, StorageError> {
    let Some(account) = config.option("account_name") else {
        return Err(StorageError::Config("Azure Blob Storage wants the option `account_name`".to_owned()));
    };
    let endpoint = match config.option("endpoint") {
        Some(e) => e.to_owned(),
        None => format!("https://{account}.blob.core.windows.net"),
    };
    let mut b = services::Azblob::default()
        .container(&config.host)
        .root(&root(config))
        .endpoint(&endpoint)
        .account_name(account);
    given!(b, config, account_key: secret("account_key"), sas_token: secret("sas_token"));
    let keys = config.secret("account_key").is_some() || config.secret("sas_token").is_some();
    match way_in(config, keys, "account_key or sas_token")? {
        WayIn::Anonymous => b = b.skip_signature(),
        WayIn::Keys | WayIn::Ambient => {}
    }
    built(b)
}

#[cfg(feature = "dropbox")]
fn dropbox(config: &StorageConfig) -> Result<Operator, StorageError> {
    let mut b = services::Dropbox::default().root(&root(config));
    given!(b, config,
        access_token: secret("access_token"),
        refresh_token: secret("refresh_token"),
        client_id: option("app_key"),
        client_secret: secret("app_secret"),
    );
    built(b)
}
