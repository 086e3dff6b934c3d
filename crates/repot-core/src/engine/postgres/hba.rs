//! pg_hba.conf as text, for when no server can be asked: `pg_hba_file_rules` shows the file of the server that
//! answers, and a server of repot's own has one of its own.
//!
//! Sources: `src/backend/libpq/hba.c` (`next_token`, `parse_hba_line`) of 12 to 18.

use std::net::IpAddr;

/// One rule, or a line that is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Line of the file, from 1; the first one of a rule that goes over several.
    pub line: usize,
    /// `local`, `host`, `hostssl` and so on.
    pub kind: String,
    /// Databases.
    pub databases: Vec<String>,
    /// Roles.
    pub users: Vec<String>,
    /// Address as written, without its mask; empty for `local`.
    pub address: String,
    /// Method.
    pub method: String,
    /// `name=value`.
    pub options: Vec<String>,
    /// What is wrong with the line; empty for nothing.
    pub error: String,
}

/// Where a server of repot's own has its rules (`ComposeHost::start_server`): no file of the user's.
pub const OWN_FILE: &str = "/tmp/repot_hba.conf";

const METHODS: [&str; 15] = [
    "trust",
    "reject",
    "md5",
    "password",
    "scram-sha-256",
    "gss",
    "sspi",
    "ident",
    "peer",
    "pam",
    "bsd",
    "ldap",
    "cert",
    "radius",
    "oauth",
];

/// The fields of a line, each a list. A comma goes on with the list, a `#` outside quotes ends the line.
fn fields(line: &str) -> Vec<Vec<String>> {
    let mut out: Vec<Vec<String>> = Vec::new();
    let mut rest = line.chars().peekable();
    let mut goes_on = false;
    loop {
        while rest.next_if(|c| c.is_ascii_whitespace() || *c == ',').is_some() {}
        if rest.peek().is_none_or(|c| *c == '#') {
            return out;
        }
        let (mut token, mut quoted, mut after_quote, mut comma) = (String::new(), false, false, false);
        while let Some(c) = rest.next_if(|c| quoted || !(c.is_ascii_whitespace() || *c == '#')) {
            if c == ',' && !quoted {
                comma = true;
                break;
            }
            if c == '"' {
                // Two in a row are one that is meant.
                if !quoted && after_quote {
                    token.push('"');
                }
                quoted = !quoted;
                after_quote = !quoted;
            } else {
                after_quote = false;
                token.push(c);
            }
        }
        match out.last_mut().filter(|_| goes_on) {
            Some(list) => list.push(token),
            None => out.push(vec![token]),
        }
        goes_on = comma;
    }
}

/// Reads the rules of a server of version `major`. Files that it includes (from 16 on) are not followed.
#[must_use]
pub fn parse(text: &str, major: u32) -> Vec<Rule> {
    let mut out = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((i, first)) = lines.next() {
        let mut line = first.to_owned();
        // From 14 on, a backslash at the end goes on with the next line.
        while major >= 14 && line.ends_with('\\') {
            line.pop();
            let Some((_, next)) = lines.next() else { break };
            line.push_str(next);
        }
        let fields = fields(&line);
        if fields.is_empty() {
            continue;
        }
        out.extend(rule(i + 1, fields, major));
    }
    out
}

fn rule(line: usize, fields: Vec<Vec<String>>, major: u32) -> Option<Rule> {
    let mut rest = fields.into_iter();
    let mut rule = Rule { line, kind: rest.next()?.concat(), ..Rule::default() };
    if major >= 16 && ["include", "include_if_exists", "include_dir"].contains(&rule.kind.as_str()) {
        return None;
    }
    let known: &[&str] = match major {
        0..12 => &["local", "host", "hostssl", "hostnossl"],
        _ => &["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"],
    };
    if !known.contains(&rule.kind.as_str()) {
        rule.error = format!("invalid connection type \"{}\"", rule.kind);
        return Some(rule);
    }
    let mut missing = "";
    let mut next = |what: &'static str| {
        let list = rest.next();
        if list.is_none() && missing.is_empty() {
            missing = what;
        }
        list.unwrap_or_default()
    };
    rule.databases = next("database");
    rule.users = next("role");
    if rule.kind != "local" {
        rule.address = next("IP address").concat();
        if rule.address.parse::<IpAddr>().is_ok() && next("netmask").concat().parse::<IpAddr>().is_err() {
            rule.error = "invalid IP mask".to_owned();
        } else if let Some((address, mask)) = rule.address.clone().split_once('/') {
            let numbers = address.split('%').next().unwrap_or_default();
            if numbers.parse::<IpAddr>().is_ok() && mask.parse::<u8>().is_ok_and(|m| m <= 128) {
                address.clone_into(&mut rule.address);
            } else {
                rule.error = format!("invalid address \"{}\"", rule.address);
            }
        }
    }
    rule.method = next("authentication method").concat();
    if !missing.is_empty() {
        rule.error = format!("end-of-line before {missing}");
        return Some(rule);
    }
    if !METHODS.contains(&rule.method.as_str()) && rule.error.is_empty() {
        rule.error = format!("invalid authentication method \"{}\"", rule.method);
    }
    rule.options = rest.flatten().collect();
    if let Some(o) = rule.options.iter().find(|o| !o.contains('=')).filter(|_| rule.error.is_empty()) {
        rule.error = format!("authentication option not in name=value format: {o}");
    }
    Some(rule)
}

/// The value of `name` in a configuration file's text (postgresql.conf); the last one counts. Files that it includes
/// are not followed.
#[must_use]
pub fn setting(text: &str, name: &str) -> Option<String> {
    let one = |line: &str| {
        let line = line.trim();
        let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=')?;
        let value = line[end..].trim_start().trim_start_matches('=').trim_start();
        line[..end].eq_ignore_ascii_case(name).then(|| match value.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next().unwrap_or_default().to_owned(),
            None => value.split([' ', '\t', '#']).next().unwrap_or_default().to_owned(),
        })
    };
    text.lines().filter_map(one).next_back().filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What initdb and the image write, and what people add.
    const FILE: &str = "# PostgreSQL Client Authentication\n\nlocal   all             all                                     trust\n\
        host    all             all             127.0.0.1/32            trust # this machine\n\
        host    all             all             ::1/128                 trust\n\
        hostssl \"it's, all\",shop,  logs clerk 10.0.0.0 255.0.0.0 cert clientcert=1 map=\"a b\"\nhost all all all scram-sha-256\n";

    #[test]
    fn an_ordinary_file_is_read() {
        let rules = parse(FILE, 13);
        let all: Vec<(usize, &str, &str, &str)> =
            rules.iter().map(|r| (r.line, r.kind.as_str(), r.address.as_str(), r.method.as_str())).collect();
        assert_eq!(
            all,
            [
                (3, "local", "", "trust"),
                (4, "host", "127.0.0.1", "trust"),
                (5, "host", "::1", "trust"),
                (6, "hostssl", "10.0.0.0", "cert"),
                (7, "host", "all", "scram-sha-256"),
            ]
        );
        assert_eq!(rules[3].databases, ["it's, all", "shop", "logs"]);
        assert_eq!(rules[3].options, ["clientcert=1", "map=a b"]);
        assert!(rules.iter().all(|r| r.error.is_empty()), "{rules:?}");
    }

    #[test]
    fn mistakes_are_told() {
        for (line, words) in [
            ("hosts all all all md5", "connection type"),
            ("host all all md5", "before authentication method"),
            ("local all", "before role"),
            ("host all all 10.0.0.1 md5", "before authentication method"),
            ("host all all 10.0.0.1 md5 trust", "IP mask"),
            ("host all all 10.0.0.300/8 md5", "invalid address"),
            ("host all all all secret", "authentication method"),
            ("host all all all md5 clientcert", "name=value"),
        ] {
            let rules = parse(line, 13);
            assert!(rules.len() == 1 && rules[0].error.contains(words), "{line}: {rules:?}");
        }
        assert!(parse("host all all samenet md5", 13)[0].error.is_empty());
        assert!(parse("host all all .example.org md5", 13)[0].error.is_empty());
        assert!(parse("host all all fe80::1%eth0/64 md5", 13)[0].error.is_empty());
    }

    #[test]
    fn lines_that_go_on_and_files_that_are_included() {
        let text = "host all all \\\n all md5\ninclude more.conf\nlocal all all peer\n";
        let rules = parse(text, 16);
        assert_eq!(rules.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 4]);
        assert!(rules.iter().all(|r| r.error.is_empty()), "{rules:?}");
        assert!(parse(text, 13).iter().filter(|r| !r.error.is_empty()).count() >= 2, "13 knows neither");
    }

    #[test]
    fn a_setting_is_found_in_a_text() {
        let text = "#hba_file = 'ConfigDir/pg_hba.conf'\nHBA_FILE='/data/first.conf' # was\nhba_file /data/own.conf # now\nport = 1\n";
        assert_eq!(setting(text, "hba_file").as_deref(), Some("/data/own.conf"));
        assert_eq!(setting("hba_file = ''\n", "hba_file"), None);
        assert_eq!(setting("hba_files = 'x'\n", "hba_file"), None);
    }

    /// As a person would write it: in quotes where that is needed.
    fn written(list: &[String]) -> String {
        list.iter().map(|w| format!("\"{}\"", w.replace('"', "\"\""))).collect::<Vec<_>>().join(", ")
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), major in 11_u32..19) {
            let _ = parse(&text, major);
            let _ = setting(&text, "hba_file");
        }

        #[test]
        fn what_is_written_is_read(
            databases in prop::collection::vec("[a-z ,#\"'ä]{1,8}", 1..4),
            users in prop::collection::vec("[a-z+@ ]{1,8}", 1..3),
            address in prop::sample::select(vec!["all", "samenet", "10.1.2.3/8", "::1/128", "10.0.0.0 255.0.0.0"]),
            method in prop::sample::select(METHODS.to_vec()),
            options in prop::collection::vec("[a-z]{1,6}=[a-z0-9]{1,6}", 0..3),
        ) {
            let line = format!("hostssl\t{} {} {address} {method} {} # why\n", written(&databases), written(&users), options.join(" "));
            let rules = parse(&line, 17);
            prop_assert_eq!(rules.len(), 1);
            let r = &rules[0];
            prop_assert_eq!(r.error.as_str(), "");
            prop_assert_eq!(&r.databases, &databases);
            prop_assert_eq!(&r.users, &users);
            prop_assert!(address.starts_with(&r.address));
            prop_assert_eq!(r.method.as_str(), method);
            prop_assert_eq!(&r.options, &options);
        }
    }
}
