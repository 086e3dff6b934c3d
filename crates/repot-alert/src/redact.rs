//! Takes secrets out of what is about to leave the machine.
//!
//! Errors hold none by themselves; this is the second lock on the door, for words of servers and tools.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret was.
const MARK: &str = "***";
/// Shorter ones are no secrets, and would be found in every word.
const SHORTEST: usize = 3;
/// From this length on a secret is one inside a longer word too.
const ANYWHERE: usize = 8;

/// Knows secrets, and finds those it doesn't know by their place.
#[derive(Debug, Default)]
pub struct Redactor {
    /// The longest first: one may be a part of another.
    secrets: Vec<SecretString>,
}

impl Redactor {
    /// One that knows these.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let mut r = Redactor::default();
        for s in secrets {
            r.add(&s);
        }
        r
    }

    /// Adds one, in the form that it has in a URL too.
    pub fn add(&mut self, secret: &SecretString) {
        let plain = secret.expose_secret().trim();
        if plain.len() < SHORTEST {
            return;
        }
        let encoded = utf8_percent_encode(plain, NON_ALPHANUMERIC).to_string();
        for s in [plain.to_owned(), encoded] {
            if !self.secrets.iter().any(|k| k.expose_secret() == s) {
                self.secrets.push(SecretString::from(s));
            }
        }
        self.secrets.sort_by_key(|s| std::cmp::Reverse(s.expose_secret().len()));
    }

    /// The text without secrets: those it knows, passwords in URLs, and what follows `password=`.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for s in &self.secrets {
            text = without(&text, s.expose_secret());
        }
        assignments(&urls(&text))
    }
}

fn without(text: &str, secret: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        kept.push_str(before);
        let inside = kept.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
        if inside && secret.len() < ANYWHERE {
            // Not the whole of it: the next place may begin within.
            let step = secret.chars().next().map_or(1, char::len_utf8);
            kept.push_str(&secret[..step]);
            rest = &rest[at + step..];
        } else {
            kept.push_str(MARK);
            rest = after;
        }
    }
    kept.push_str(rest);
    kept
}

/// `scheme://user:password@host` without the password.
fn urls(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        kept.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'));
        let word = &after[..end.unwrap_or(after.len())];
        // A password may hold a slash where somebody forgot to encode it, so the last `@` is the end.
        match word.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, host)) => {
                kept.push_str(user);
                kept.push(':');
                kept.push_str(MARK);
                kept.push('@');
                kept.push_str(host);
            }
            None => kept.push_str(word),
        }
        rest = &after[word.len()..];
    }
    kept.push_str(rest);
    kept
}

/// `password=...` and the like, as connection strings and variables have them.
fn assignments(text: &str) -> String {
    const NAMES: [&str; 6] = ["password=", "passwd=", "secret=", "token=", "passphrase=", "secret_key="];
    let lower = text.to_ascii_lowercase();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let found = NAMES.iter().filter_map(|n| lower[at..].find(n).map(|i| i + at + n.len())).min();
        let Some(value) = found else { break };
        kept.push_str(&text[at..value]);
        let rest = &text[value..];
        let end = match rest.chars().next() {
            Some(q @ ('\'' | '"')) => rest[1..].find(q).map_or(rest.len(), |i| i + 2),
            _ => rest.find(|c: char| c.is_whitespace() || c == '&').unwrap_or(rest.len()),
        };
        if end > 0 {
            kept.push_str(MARK);
        }
        at = value + end;
    }
    kept.push_str(&text[at..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|s| SecretString::from((*s).to_owned())))
    }

    #[test]
    fn known_secrets_go_wherever_they_stand() {
        let r = knows(&["hunter2", "a/long secret!", "x"]);
        assert_eq!(r.clean("pw hunter2, hunter2."), "pw ***, ***.");
        assert_eq!(r.clean("hunter22 is another word"), "hunter22 is another word");
        assert_eq!(r.clean("xa/long secret!x a%2Flong%20secret%21"), "x***x ***");
    }

    #[test]
    fn passwords_are_found_by_their_place() {
        let r = Redactor::default();
        assert_eq!(r.clean("at postgres://me:p/w@db/x, again"), "at postgres://me:***@db/x, again");
        assert_eq!(r.clean("https://example.org/a:b"), "https://example.org/a:b");
        assert_eq!(
            r.clean("host=db password='a b' PGPASSWORD=x&TOKEN=\"q\""),
            "host=db password=*** PGPASSWORD=***&TOKEN=***"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_long_secret_survives(a in "\\PC{0,30}", s in "[a-zA-Z0-9/+=!%@:]{8,20}", b in "\\PC{0,30}") {
            let cleaned = knows(&[&s]).clean(&[a, s.clone(), b].concat());
            proptest::prop_assert!(!cleaned.contains(&s));
            let cleaned = Redactor::default().clean(&format!("s3://key:{s}@host/"));
            let (mark, s) = (":***@host", format!(":{s}@"));
            proptest::prop_assert!(cleaned.contains(mark) && !cleaned.contains(&s));
        }
    }
}
