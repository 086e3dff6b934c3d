//! Application versions and the ranges that profiles speak in.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A dotted version; `1.2` and `1.2.0` are equal, a pre-release (`1.2.0-rc1`, `1.2.0.dev3`) is below its release.
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    numbers: Vec<u64>,
    pre: Option<String>,
}

impl Version {
    /// Parses `1.2.3`, `v1.2.3`, `2.4.1-py3.11`, `1.0.0rc1`. `None` for words such as `stable` or `latest`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.trim().strip_prefix('v').unwrap_or(text.trim());
        if !body.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let end = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
        let numbers: Vec<u64> = body[..end]
            .split('.')
            .filter(|s| !s.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let rest = body[end..].trim_start_matches(['-', '.', '+', '_']).to_ascii_lowercase();
        let is_pre = ["a", "b", "rc", "dev", "alpha", "beta", "pre"].iter().any(|p| {
            rest.strip_prefix(p).is_some_and(|r| {
                r.is_empty() || r.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
            })
        });
        Some(Version { text: text.trim().to_owned(), numbers, pre: is_pre.then_some(rest) })
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Version {}
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let n = self.numbers.len().max(other.numbers.len());
        let at = |v: &Version, i: usize| v.numbers.get(i).copied().unwrap_or(0);
        (0..n).map(|i| at(self, i).cmp(&at(other, i))).find(|o| *o != Ordering::Equal).unwrap_or_else(|| {
            match (&self.pre, &other.pre) {
                (None, None) => Ordering::Equal,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            }
        })
    }
}
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}
impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Version::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a version")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order() {
        let sorted =
            ["0.9", "1.0.0rc1", "1.0", "1.1.12", "1.2.0-dev", "1.2.0", "1.10", "2.4.1-py3.11", "v10"];
        for pair in sorted.windows(2) {
            let (a, b) = (Version::parse(pair[0]).expect("parses"), Version::parse(pair[1]).expect("parses"));
            assert!(a < b, "{a} < {b}");
        }
        assert_eq!(Version::parse("1.2"), Version::parse("1.2.0"));
        assert!(Version::parse("stable").is_none());
        assert!(Version::parse("99999999999999999999999").is_none(), "too large is no version, not a panic");
    }

    proptest! {
        #[test]
        fn never_panics(s in any::<String>()) {
            let _ = Version::parse(&s);
        }
    }
}
