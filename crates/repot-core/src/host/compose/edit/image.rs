//! Image references: `[registry/]repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// One image reference, as written: no registry, tag or `library/` is filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// Host, with a port if one is written: `ghcr.io`, `localhost:5000`.
    pub registry: Option<String>,
    /// Name within the registry: `postgres`, `library/postgres`, `pgvector/pgvector`.
    pub repository: String,
    /// What follows the colon.
    pub tag: Option<String>,
    /// What follows the `@`, with its algorithm: `sha256:…`.
    pub digest: Option<String>,
}

impl ImageRef {
    /// Parses a reference by the rules of the distribution project (`reference` package).
    ///
    /// # Errors
    /// `image-invalid` when Docker would not take it either.
    pub fn parse(text: &str) -> Result<ImageRef> {
        let bad = |why: &str| {
            Error::usage("image-invalid", format!("`{text}` is not an image reference"))
                .why(why)
                .help("write it as `repository:tag`, such as `postgres:17` or `registry.example:5000/team/postgres:17`")
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if let Some(d) = digest {
            let hex = d.split_once(':').filter(|(algorithm, hex)| {
                !algorithm.is_empty()
                    && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || "+._-".contains(c))
                    && hex.len() >= 32
                    && hex.chars().all(|c| c.is_ascii_hexdigit())
            });
            hex.ok_or_else(|| bad("a digest is `algorithm:hexadecimal digits`"))?;
        }
        // The last colon begins a tag only where no slash follows it: `host:5000/name` has none.
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        if let Some(t) = tag {
            let ok = t.len() <= 128
                && t.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && t.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
            if !ok {
                return Err(bad("a tag is up to 128 letters, digits, `_`, `.` and `-`"));
            }
        }
        let (registry, repository) = match path.split_once('/') {
            Some((host, rest))
                if host.contains(['.', ':'])
                    || host == "localhost"
                    || host.chars().any(|c| c.is_ascii_uppercase()) =>
            {
                (Some(host), rest)
            }
            _ => (None, path),
        };
        if registry.is_some_and(|h| {
            h.is_empty() || !h.chars().all(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(c))
        }) {
            return Err(bad("the registry's host name is not one"));
        }
        let part_ok = |p: &str| {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            edge(p.chars().next())
                && edge(p.chars().next_back())
                && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        if repository.len() > 255 || !repository.split('/').all(part_ok) {
            return Err(bad(
                "a repository is lower-case letters, digits, `.`, `_` and `-`, in parts divided by `/`",
            ));
        }
        Ok(ImageRef {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The same image with another tag. The digest goes: it named the old content.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> ImageRef {
        ImageRef { tag: Some(tag.to_owned()), digest: None, ..self.clone() }
    }
}

impl FromStr for ImageRef {
    type Err = Error;
    fn from_str(text: &str) -> Result<ImageRef> {
        ImageRef::parse(text)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}
