use proptest::prelude::*;

use super::*;

/// Compose files as people write them; also what the mutations below start from.
const SAMPLES: &[&str] = &[
    "x-common: &common\n  restart: unless-stopped\n  env_file: .env\nservices:\n  db: # the database\n    <<: *common\n    image: postgres:13\n    container_name: db\n    volumes:\n      - pg:/var/lib/postgresql/data/\n      # - old:/x\n    environment:\n      - PGDATA=/var/lib/postgresql/data/pgdb\n      - POSTGRES_USER=${DB_USER:?set it}\n  web:\n    <<: [*common]\n    image: 'inventree/inventree:${TAG:-stable}'\n    depends_on: [db]\n    command: >\n      run --all\n      --fast\nvolumes:\n  pg:\n    driver: local\n",
    "{\"services\": {\"db\": {\"image\": \"postgres:13\", \"volumes\": [\"pg:/d\"]}}, \"volumes\": {\"pg\": {}}}",
    "version: \"3.8\"\r\nservices:\r\n  db:\r\n    image: \"postgres:${PG_TAG:-13}\"\r\n    volumes:\r\n      - type: bind\r\n        source: ./data\r\n        target: /d\r\n  é: {image: &i a:1}\r\n  b:\r\n    image: *i\r\n    extends: {service: db}\r\n",
    "services:\n  db:\n    image: ${IMG}\n    ports: !reset []\n    volumes: [a:/d, 'b:/e:ro']\nvolumes: {a: , b: }",
];

/// A line that means nothing.
fn noise() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("\n".to_owned()),
        "( {0,6}# [a-zé:'\"{}#*& -]{0,12}\n){1,2}".prop_map(String::from)
    ]
}

/// A Compose file in which everything but the meaning varies, with `IMAGE` where the database's image stands.
fn compose() -> impl Strategy<Value = (String, String)> {
    let quotes = prop_oneof![Just(""), Just("'"), Just("\"")];
    (
        (1usize..6, 1usize..4, quotes, "( {1,3}# [a-zé:'\"]{0,9})?", any::<bool>(), any::<bool>(), any::<bool>()),
        proptest::collection::vec(noise(), 6),
        prop_oneof![Just("postgres:13"), Just("postgres:13-alpine"), Just("r.example:5000/pg/postgres:13"), Just("postgres")],
        any::<bool>(),
    )
        .prop_map(|((indent, gap, quote, comment, crlf, last_newline, bom), n, image, first)| {
            let i = " ".repeat(indent);
            let sp = " ".repeat(gap);
            let line = format!("{i}{i}image:{sp}{quote}IMAGE{quote}{comment}\n");
            let other = format!("{i}{i}restart:{sp}always\n{}", n[4]);
            let body = if first { format!("{line}{other}") } else { format!("{other}{line}") };
            let mut text = format!(
                "{}name: t\n{}services:\n{}{i}web: {{image: a:1}}\n{}{i}db:\n{}{body}{i}other:\n{i}{i}image: postgres:13\n{}volumes:\n{i}pg:\n",
                n[0], n[1], n[2], n[3], n[4], n[5]
            );
            if !last_newline {
                text.pop();
            }
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            if bom {
                text.insert(0, '\u{feff}');
            }
            (text, image.to_owned())
        })
}

fn mutated() -> impl Strategy<Value = String> {
    let char = proptest::sample::select(
        " \n\r\t:-?{}[]&*!|>'\"%@`#,$é日a1.~<\u{feff}\0".chars().collect::<Vec<_>>(),
    );
    let edit = (any::<proptest::sample::Index>(), 0usize..4, char, any::<proptest::sample::Index>());
    (proptest::sample::select(SAMPLES), proptest::collection::vec(edit, 0..8)).prop_map(|(text, edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, kind, c, other) in edits {
            let at = at.index(chars.len() + 1);
            match kind {
                0 => chars.insert(at, c),
                1 if at < chars.len() => chars[at] = c,
                2 => {
                    chars.drain(at..(at + other.index(8)).min(chars.len()));
                }
                _ => {
                    let from = other.index(chars.len() + 1);
                    let piece: Vec<char> = chars[from..(from + 12).min(chars.len())].to_vec();
                    chars.splice(at..at, piece);
                }
            }
        }
        chars.into_iter().collect()
    })
}

/// What of `old` is between the beginning and the end that it has in common with `new`.
fn removed<'a>(old: &'a str, new: &str) -> &'a str {
    let head: usize =
        old.chars().zip(new.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let ends = old[head..].chars().rev().zip(new[head..].chars().rev());
    let tail: usize = ends.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    &old[head..old.len() - tail]
}

/// All operations, each on its own; what one hands out must say what was asked for.
fn all_operations(text: &str, dotenv: &str, word: &str) {
    let base = sources(&[text, SAMPLES[0]], Some(dotenv));
    let alone = sources(&[text], Some(dotenv));
    for s in [base, alone] {
        let services = s.services().unwrap_or_default();
        let target = MountChange { new_source: Some(word.to_owned()), new_target: Some("/new".to_owned()) };
        for service in services.iter().map(String::as_str).chain(["db", word]) {
            for path in [
                &["image"][..],
                &["environment", "PGDATA"],
                &["volumes", "0"],
                &["volumes"],
                &["environment"],
                &[],
            ] {
                let _ = s.service_value(service, path);
            }
            let _ = s.mounts(service);
            let mut e = Editor::new(s.clone());
            if e.set_image(service, "postgres:17").is_ok() {
                let value = e.sources().service_value(service, &["image"]).expect("readable").expect("there");
                assert_eq!(e.sources().interpolate(&value.raw).expect("value"), "postgres:17");
                for (old, new) in s.compose.iter().zip(&e.sources().compose) {
                    assert!(!removed(&old.text, &new.text).contains('\n'), "{}", new.text);
                }
            }
            let _ = e.set_image(service, word);
            for at in ["/d", "/var/lib/postgresql/data", word] {
                let _ = e.set_mount(service, at, target.clone());
            }
            if e.add_volume("pg17", service, Some("pg"), Some("x_pg17")).is_ok() {
                assert!(e.add_volume("pg17", service, None, None).is_err());
            }
            let _ = e.add_volume(word, service, None, Some(word));
            let _ = e.set_variable("PG_TAG", word);
            for file in e.finish() {
                assert!(!diff(&file.before, &file.after, "f").is_empty());
            }
        }
    }
}

proptest! {
    #[test]
    fn only_the_image_changes((text, image) in compose()) {
        let start = text.replace("IMAGE", &image);
        let s = sources(&[&start], None);
        let mut editor = Editor::new(s);
        editor.set_image("db", "ghcr.io/x/postgres:17").expect("there");
        prop_assert_eq!(&editor.sources().compose[0].text, &text.replace("IMAGE", "ghcr.io/x/postgres:17"));
        editor.set_image("db", &image).expect("back");
        prop_assert_eq!(&editor.sources().compose[0].text, &start);
        prop_assert_eq!(editor.finish(), vec![]);
    }

    #[test]
    fn a_volume_is_only_added((text, image) in compose()) {
        let start = text.replace("IMAGE", &image);
        let mut editor = Editor::new(sources(&[&start], None));
        editor.add_volume("pg17", "db", Some("pg"), Some("t_pg17")).expect("added");
        let after = &editor.sources().compose[0].text;
        let added: Vec<&str> = after.lines().filter(|l| l.contains("pg17")).collect();
        prop_assert_eq!(added.len(), 2);
        let kept: Vec<&str> = after.lines().filter(|l| !l.contains("pg17")).collect();
        prop_assert_eq!(kept, start.lines().collect::<Vec<_>>());
        prop_assert_eq!(after.ends_with('\n'), start.ends_with('\n'));
    }

    #[test]
    fn any_text_is_survived(text in any::<String>(), dotenv in any::<String>(), word in any::<String>()) {
        all_operations(&text, &dotenv, &word);
        let _ = ImageRef::parse(&text).map(|i| assert_eq!(i.to_string(), text));
        let _ = sources(&[], Some(&dotenv)).interpolate(&text);
        let _ = diff(&text, &dotenv, &word);
    }

    #[test]
    fn any_yaml_like_text_is_survived(text in "[ \n\r:\\-?{}\\[\\]&*!|>'\"#,$a<~é]{0,60}", word in "[ a$:{}'\"/\\\\#.-]{0,8}") {
        all_operations(&text, &text, &word);
        let _ = sources(&[], Some(&text)).interpolate(&word);
    }

    #[test]
    fn any_damaged_compose_file_is_survived(text in mutated(), word in "[ a$:{}'\"/\\\\#.-]{0,8}") {
        all_operations(&text, "PG_TAG=13\nIMG='postgres:13'\nDB_USER=x\n", &word);
    }

    #[test]
    fn dotenv_values_read_back(
        before in "(A=[a-z'\" #$]{0,8}\r?\n|export B = '[a-z# ]{0,5}' # c\n|# [a-z]{0,5}\n|B: \"[a-z\\\\$ ]{0,6}\"\n|[ a-z]{0,5}\n|C\n){0,6}",
        name in "[ABCD]", value in "[a-zé'\"\\\\$# \n={}]{0,10}",
    ) {
        if let Ok(after) = set_dotenv(&before, &name, &value) {
            let entries = parse_dotenv(&after);
            prop_assert_eq!(&resolve_dotenv(&entries, &BTreeMap::new())[&name], &value);
            let others = |t: &str| parse_dotenv(t).into_iter().filter(|e| e.name != name).map(|e| (e.name, e.value)).collect::<Vec<_>>();
            prop_assert_eq!(others(&after), others(&before));
            prop_assert_eq!(set_dotenv(&after, &name, &value).ok(), Some(after));
        }
    }

    #[test]
    fn images_read_back(text in "([a-z.]{1,6}(:[0-9]{1,4})?/)?[a-z/._-]{1,9}(:[a-zA-Z0-9_.-]{1,6})?") {
        if let Ok(image) = ImageRef::parse(&text) {
            prop_assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn diffs_count(old in "([ab]\n){0,12}[ab]?", new in "([ab]\n){0,12}[ab]?") {
        let text = diff(&old, &new, "f");
        let count = |sign: char| text.lines().skip(2).filter(|l| l.starts_with(sign)).count();
        prop_assert_eq!(old.lines().count() + count('+'), new.lines().count() + count('-'));
    }
}
