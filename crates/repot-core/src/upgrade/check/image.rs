//! What is in an image: its server, libraries, locales, and which settings it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exec::last_lines;
use crate::host::docker::RunSpec;

/// How long the look into an image may take.
const LOOK_TIMEOUT: Duration = Duration::from_mins(3);

/// Runs as nobody, since postgres refuses root; works with GNU and busybox tools. Standard input: `name=value`
/// lines, each tried on `postgres -C`, which reads the settings and exits before it would need any data.
const LOOK: &str = r#"
pg=$(command -v postgres || ls /usr/lib/postgresql/*/bin/postgres /usr/local/bin/postgres /opt/*/bin/postgres /opt/*/postgresql/bin/postgres 2>/dev/null | tail -n 1)
if [ -z "$pg" ]; then echo "server=none"; exit 0; fi
echo "server=$("$pg" --version)"
major=$("$pg" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
cfg="$(dirname "$(readlink -f "$pg")")/pg_config"; [ -x "$cfg" ] || cfg=$(command -v pg_config)
share=$("$cfg" --sharedir 2>/dev/null); lib=$("$cfg" --pkglibdir 2>/dev/null)
for d in "$share" "/usr/share/postgresql/$major" /usr/local/share/postgresql; do if [ -d "$d/extension" ]; then share="$d"; break; fi; done
for d in "$lib" "/usr/lib/postgresql/$major/lib" /usr/local/lib/postgresql; do if [ -d "$d" ]; then lib="$d"; break; fi; done
grep -H '^ *default_version' "$share"/extension/*.control 2>/dev/null | sed 's/^/control=/'
for f in "$lib"/*.so; do if [ -e "$f" ]; then f=${f##*/}; echo "library=${f%.so}"; fi; done
if glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null); then echo "libc=$glibc"; else echo "libc=musl $(ldd --version 2>&1 | sed -n 's/^Version //p')"; fi
ldd "$pg" 2>/dev/null | sed -n 's/.*libicuuc\.so\.\([0-9]*\).*/icu=\1/p' | head -n 1
locale -a 2>/dev/null | sed 's/^/locale=/'
if command -v bash >/dev/null 2>&1; then echo "tool=bash"; fi
if command -v docker-entrypoint.sh >/dev/null 2>&1; then echo "tool=docker-entrypoint.sh"; fi
t=$(mktemp -d); : > "$t/empty.conf"
while IFS= read -r line; do
  if [ -z "$line" ]; then continue; fi
  if ! said=$("$pg" -D "$t" -c "config_file=$t/empty.conf" -C port -c "$line" 2>&1); then
    echo "refused=$line	$(echo "$said" | grep -E 'FATAL|ERROR' | head -n 1 | sed 's/.*\(FATAL\|ERROR\): *//')"
  fi
done
"#;

/// What is in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFacts {
    /// `postgres --version`; empty: there is no server in it.
    pub server: String,
    /// Major of that server.
    pub major: Option<u32>,
    /// `glibc 2.41` or `musl 1.2.5`.
    pub libc: String,
    /// Major of the ICU library that the server uses.
    pub icu: Option<u32>,
    /// `locale -a`.
    pub locales: BTreeSet<String>,
    /// Extensions by name, with their default versions.
    pub extensions: BTreeMap<String, String>,
    /// Libraries in pkglibdir, without `.so`.
    pub libraries: BTreeSet<String>,
    /// Settings that were tried and refused: `name=value`, and why.
    pub refused: Vec<(String, String)>,
    /// Which of `bash` and `docker-entrypoint.sh` it has.
    pub tools: BTreeSet<String>,
}

impl ImageFacts {
    pub(super) fn is_musl(&self) -> bool {
        self.libc.starts_with("musl")
    }
    pub(super) fn has_locale(&self, name: &str) -> bool {
        // musl takes every name and treats all alike.
        matches!(name, "" | "C" | "POSIX")
            || self.is_musl()
            || self.locales.iter().any(|l| normal(l) == normal(name))
    }
}

/// `en_US.UTF-8` and `en_US.utf8` are one locale (glibc, `_nl_normalize_codeset`).
fn normal(locale: &str) -> String {
    let (name, rest) = locale.split_once('.').unwrap_or((locale, ""));
    let (codeset, modifier) = rest.split_once('@').unwrap_or((rest, ""));
    let codeset: String = codeset.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{name}.{}@{modifier}", codeset.to_ascii_lowercase())
}

/// Looks into an image that is present, in one short-lived container without network, and tries `settings` on its
/// server.
///
/// # Errors
/// `image-unusable` when no shell can be started from it.
pub fn examine(image: &str, settings: &[(String, String)]) -> Result<ImageFacts> {
    let lines: String = settings
        .iter()
        .filter(|(n, v)| !format!("{n}{v}").contains(['\n', '\r', '\0']))
        .map(|(n, v)| format!("{n}={v}\n"))
        .collect();
    let run = RunSpec {
        image: image.to_owned(),
        entrypoint: Some("sh".to_owned()),
        args: vec!["-c".to_owned(), LOOK.to_owned()],
        network: "none".to_owned(),
        user: "65534:65534".to_owned(),
        run: "check".to_owned(),
        labels: vec![("repot.role".to_owned(), "helper".to_owned())],
        interactive: true,
        ..RunSpec::default()
    };
    let out = run.cmd().stdin(lines).timeout(LOOK_TIMEOUT).output()?;
    if !out.ok() {
        return Err(Error::refused("image-unusable", format!("the image {image} cannot be looked into"))
            .why(last_lines(&out.stderr, 3))
            .help("name an image made like the official postgres image as target_image in repot.toml"));
    }
    Ok(parse(&String::from_utf8_lossy(&out.stdout)))
}

fn parse(text: &str) -> ImageFacts {
    let mut f = ImageFacts::default();
    for (key, value) in text.lines().filter_map(|l| l.split_once('=')) {
        match key {
            "server" if value != "none" => {
                value.clone_into(&mut f.server);
                let digits: String = value
                    .chars()
                    .skip_while(|c| !c.is_ascii_digit())
                    .take_while(char::is_ascii_digit)
                    .collect();
                f.major = digits.parse().ok();
            }
            "libc" => value.trim().clone_into(&mut f.libc),
            "icu" => f.icu = value.parse().ok(),
            "locale" => {
                f.locales.insert(value.to_owned());
            }
            "library" => {
                f.libraries.insert(value.to_owned());
            }
            "tool" => {
                f.tools.insert(value.to_owned());
            }
            "control" => {
                if let Some((path, rest)) = value.split_once(':')
                    && let Some(name) = path.rsplit('/').next().and_then(|n| n.strip_suffix(".control"))
                    && let Some(version) = rest.split('\'').nth(1)
                    && !name.contains("--")
                {
                    f.extensions.insert(name.to_owned(), version.to_owned());
                }
            }
            "refused" => {
                let (setting, why) = value.split_once('\t').unwrap_or((value, ""));
                f.refused.push((setting.to_owned(), why.trim().to_owned()));
            }
            _ => {}
        }
    }
    f
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: &str = "server=postgres (PostgreSQL) 17.6 (Debian 17.6-1)\ncontrol=/usr/share/postgresql/17/extension/pg_trgm.control:default_version = '1.6'\n\
        control=/x/pg_trgm--1.5.control:default_version = '1.5'\nlibrary=pg_trgm\nlibc=glibc 2.41\nicu=76\nlocale=C.utf8\nlocale=en_US.utf8\n\
        tool=bash\nrefused=work_mem=lots\tinvalid value for parameter \"work_mem\"\n";

    #[test]
    fn a_look_is_understood() {
        let f = parse(ANSWER);
        assert_eq!((f.major, f.icu, f.libc.as_str()), (Some(17), Some(76), "glibc 2.41"));
        assert_eq!(f.extensions.into_iter().collect::<Vec<_>>(), [("pg_trgm".to_owned(), "1.6".to_owned())]);
        assert_eq!(
            f.refused,
            [("work_mem=lots".to_owned(), "invalid value for parameter \"work_mem\"".to_owned())]
        );
        assert_eq!(parse("server=none\n").major, None);
    }

    #[test]
    fn locales_have_several_spellings() {
        let f = parse(ANSWER);
        for (name, want) in [
            ("en_US.UTF-8", true),
            ("en_US.utf8", true),
            ("C", true),
            ("C.UTF-8", true),
            ("de_DE.UTF-8", false),
            ("en_US", false),
        ] {
            assert_eq!(f.has_locale(name), want, "{name}");
        }
        assert!(
            ImageFacts { libc: "musl 1.2.5".to_owned(), ..ImageFacts::default() }.has_locale("de_DE.UTF-8")
        );
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in any::<String>()) {
            let _ = parse(&text);
            let _ = normal(&text);
        }
    }
}
