use super::*;

#[test]
fn reads() {
    let text = "\u{feff}# comment\nA=1\n  export B = two # c\r\nC='a $A # \\' b' # c\nD=\"x\\ty\\$A ${A}\"\nE: yaml\nF=a#b\nG=\nnot a line\nH\nI=$A-${B:-z}\nJ=\"two\r\nlines\"\nA=9\nbad!=1\nK='open\n";
    let entries = parse_dotenv(text);
    let names: Vec<(&str, usize, usize)> =
        entries.iter().map(|e| (e.name.as_str(), e.line, e.column)).collect();
    assert_eq!(
        names,
        [
            ("A", 2, 3),
            ("B", 3, 14),
            ("C", 4, 4),
            ("D", 5, 4),
            ("E", 6, 4),
            ("F", 7, 3),
            ("G", 8, 3),
            ("H", 10, 2),
            ("I", 11, 3),
            ("J", 12, 4),
            ("A", 14, 3)
        ]
    );
    let values = resolve_dotenv(&entries, &BTreeMap::from([("H".to_owned(), "sh".to_owned())]));
    let want = [
        ("A", "9"),
        ("B", "two"),
        ("C", "a $A # ' b"),
        ("D", "x\ty$A 1"),
        ("E", "yaml"),
        ("F", "a#b"),
        ("G", ""),
        ("H", "sh"),
        ("I", "1-two"),
        ("J", "two\nlines"),
    ];
    assert_eq!(values, want.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
}

#[test]
fn sets() {
    let table = [
        ("A=1\n", "A", "2", "A=2\n"),
        ("A=1 # c\r\nB=2\r\n", "A", "9", "A=9 # c\r\nB=2\r\n"),
        ("export A='1' # c\n", "A", "2", "export A='2' # c\n"),
        ("A=\"1\"", "A", "a\"b$c\\", "A=\"a\\\"b\\$c\\\\\""),
        ("A=1\nA=2\n", "A", "3", "A=1\nA=3\n"),
        ("A=\r\nB=1\r\n", "A", "x", "A=x\r\nB=1\r\n"),
        ("A=1", "B", "2", "A=1\nB=2"),
        ("A=1\r\n", "B", "2", "A=1\r\nB=2\r\n"),
        ("", "B", "2", "B=2\n"),
        ("B\n", "B", "2", "B\nB=2\n"),
        ("A=1 # c\n", "A", "x #y", "A='x #y' # c\n"),
        ("A=1\n", "A", "$x", "A='$x'\n"),
        ("A=1\n", "A", "", "A=\n"),
        ("# A=1\n", "A", "2", "# A=1\nA=2\n"),
    ];
    for (text, name, value, after) in table {
        assert_eq!(set_dotenv(text, name, value).expect(text), after, "{text}");
    }
    assert_eq!(set_dotenv("", "a b", "1").map_err(|e| e.code), Err("variable-invalid"));
    let odd = set_dotenv("", "A", "a'\"\\ #$").expect("odd");
    assert_eq!(resolve_dotenv(&parse_dotenv(&odd), &BTreeMap::new())["A"], "a'\"\\ #$");
}

#[test]
fn editor_refuses_what_would_not_count() {
    assert_eq!(refused(sources(&[], None), |e| e.set_variable("A", "1")), "dotenv-missing");
    let mut shell = sources(&[], Some("A=1\n"));
    shell.shell.insert("A".into(), "0".into());
    assert_eq!(refused(shell, |e| e.set_variable("A", "1")), "variable-from-shell");
    let mut editor = Editor::new(sources(&[], Some("A=1\n")));
    editor.set_variable("A", "2").expect("set");
    assert_eq!(
        editor.finish(),
        vec![EditedFile { path: ".env".into(), before: "A=1\n".into(), after: "A=2\n".into() }]
    );
}

#[test]
fn a_shown_plan_holds_no_neighbouring_secret() {
    let compose = "services:\n  db:\n    image: postgres:13\n    environment: {POSTGRES_PASSWORD: hunter2}\n";
    let mut editor = Editor::new(sources(&[compose], Some("DB_PASSWORD=hunter2\nA=1\n# c\n")));
    editor.set_image("db", "postgres:17").expect("image");
    editor.set_variable("A", "2").expect("variable");
    let (debug, files) = (format!("{editor:?}"), editor.finish());
    let shown: String = files.iter().map(EditedFile::diff).collect();
    assert!(!shown.contains("hunter2") && !debug.contains("hunter2"), "{shown}");
    assert!(shown.contains("\n DB_PASSWORD= …\n-A=1\n+A=2\n # c\n"), "{shown}");
}
