use super::*;

fn change(source: Option<&str>, target: Option<&str>) -> MountChange {
    MountChange { new_source: source.map(str::to_owned), new_target: target.map(str::to_owned) }
}

const OLD: &str = "/var/lib/postgresql/data";
const NEW: &str = "/var/lib/postgresql";

#[test]
fn targets_and_sources() {
    let both = (Some("pg17"), Some(NEW));
    let target = (None, Some(NEW));
    let source = (Some("pg17"), None);
    let table = [
        (both, "- pg:/var/lib/postgresql/data # data", "- pg17:/var/lib/postgresql # data"),
        (target, "- \"pg:/var/lib/postgresql/data/:rw,z\"", "- \"pg:/var/lib/postgresql:rw,z\""),
        (source, "- 'pg:/var/lib/postgresql/data:Z'", "- 'pg17:/var/lib/postgresql/data:Z'"),
        (target, "- ${DATA:-./d}:/var/lib/postgresql/data", "- ${DATA:-./d}:/var/lib/postgresql"),
        (
            source,
            "- ${DATA:-./d}:${PGDATA:-/var/lib/postgresql/data}",
            "- pg17:${PGDATA:-/var/lib/postgresql/data}",
        ),
        (both, "- ${M:-pg:/var/lib/postgresql/data:ro}", "- pg17:/var/lib/postgresql:ro"),
        (source, "- /var/lib/postgresql/data", "- pg17:/var/lib/postgresql/data"),
        (target, "- C:\\pg:/var/lib/postgresql/data", "- C:\\pg:/var/lib/postgresql"),
        (target, "- ./a$$b:/var/lib/postgresql/data", "- ./a$$b:/var/lib/postgresql"),
        ((Some("./a$b"), None), "- pg:/var/lib/postgresql/data", "- ./a$$b:/var/lib/postgresql/data"),
        (
            both,
            "- type: volume\n        source: pg # s\n        target: /var/lib/postgresql/data\n        read_only: false",
            "- type: volume\n        source: pg17 # s\n        target: /var/lib/postgresql\n        read_only: false",
        ),
        (
            both,
            "- {type: bind, source: ./d, target: /var/lib/postgresql/data}",
            "- {type: volume, source: pg17, target: /var/lib/postgresql}",
        ),
        (
            source,
            "- type: volume\n        target: /var/lib/postgresql/data",
            "- source: pg17\n        type: volume\n        target: /var/lib/postgresql/data",
        ),
        (
            target,
            "- type: volume\n        source: ${V:-pg}\n        target: /var/lib/postgresql/data",
            "- type: volume\n        source: ${V:-pg}\n        target: /var/lib/postgresql",
        ),
    ];
    for ((s, t), before, after) in table {
        let wrap = |item: &str| {
            format!("services:\n  db:\n    volumes:\n      - x:/x\n      {item}\n      - y:/y\n")
        };
        assert_eq!(edited(&wrap(before), |e| e.set_mount("db", OLD, change(s, t))), wrap(after), "{before}");
    }
}

#[test]
fn the_winning_file_and_flow() {
    let mut editor = Editor::new(sources(
        &["services: {db: {volumes: [\"a:/d\"]}}", "services: {db: {volumes: ['b:/d', c:/e]}}"],
        None,
    ));
    editor.set_mount("db", "/d", change(Some("n"), None)).expect("set");
    editor.set_mount("db", "/e", change(None, Some("/f"))).expect("set");
    let files = editor.finish();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].after, "services: {db: {volumes: ['n:/d', c:/f]}}");
}

#[test]
fn mounts_listed() {
    let s = sources(
        &[
            "services: {b: {volumes: ['x:/x']}, db: {extends: b, volumes: ['${V:-a}:/d/', /tmp]}}",
            "services: {db: {volumes: ['n:/d']}}",
        ],
        None,
    );
    let got: Vec<(Option<String>, String, usize)> =
        s.mounts("db").expect("mounts").into_iter().map(|m| (m.source, m.target, m.line)).collect();
    let want = [(Some("n"), "/d"), (None, "/tmp"), (Some("x"), "/x")];
    assert_eq!(got, want.map(|(s, t)| (s.map(str::to_owned), t.to_owned(), 1)));
}

#[test]
fn mounts_refused() {
    let set = |e: &mut Editor| e.set_mount("db", "/d", change(Some("n"), None));
    let one = |text: &str| sources(&[text], None);
    let table = [
        ("services: {db: {image: x}}", "mount-missing"),
        ("services: {x: {volumes: ['a:/d']}}", "service-unknown"),
        ("services: {x: {volumes: ['a:/d']}, db: {extends: x}}", "mount-shared"),
        ("services: {db: {volumes: ['a:/d']}, x: {extends: {service: db}}}", "mount-shared"),
        ("x-v: &v ['a:/d']\nservices: {db: {volumes: *v}, x: {volumes: *v}}", "mount-shared"),
    ];
    for (text, code) in table {
        assert_eq!(refused(one(text), set), code, "{text}");
    }
    assert_eq!(
        refused(one("services: {db: {volumes: ['a:/d']}}"), |e| e.set_mount(
            "db",
            "/d",
            change(Some("a:b"), None)
        )),
        "edit-not-exact"
    );
    // An anchor that only this service uses is its own.
    assert_eq!(
        edited("x-v: &v ['a:/d']\nservices: {db: {volumes: *v}}", set),
        "x-v: &v ['n:/d']\nservices: {db: {volumes: *v}}"
    );
}

#[test]
fn volumes() {
    let head = "services:\n  db:\n    image: postgres\n";
    let table = [
        ("volumes:\n  pg:\n", None, "volumes:\n  pg:\n  pg17:\n"),
        (
            "volumes:\n    pg:\n      driver: local # d\n\n# end\n",
            None,
            "volumes:\n    pg:\n      driver: local # d\n    pg17:\n\n# end\n",
        ),
        (
            "volumes:\n  pg:\nnetworks:\n  n:\n",
            Some("p_pg17"),
            "volumes:\n  pg:\n  pg17:\n    name: p_pg17\nnetworks:\n  n:\n",
        ),
        ("volumes:\n  pg:", None, "volumes:\n  pg:\n  pg17:"),
        ("volumes:\n  pg: # c", Some("x"), "volumes:\n  pg: # c\n  pg17:\n    name: x"),
        ("volumes: {a: , b: }\n", None, "volumes: {a: , b: , pg17: {} }\n"),
        ("volumes: {a: {}, b}\n", None, "volumes: {a: {}, b, pg17: {}}\n"),
        ("volumes: {}\n", Some("x"), "volumes: {pg17: {name: x}}\n"),
        ("volumes: {\n  a: {}\n}\n", None, "volumes: {\n  a: {},\n  pg17: {}\n}\n"),
        ("volumes:\n", None, "volumes:\n  pg17:\n"),
        ("volumes: # none\nnetworks:\n  n:\n", None, "volumes: # none\n  pg17:\nnetworks:\n  n:\n"),
        ("volumes: null\n", None, "volumes: {pg17: {}}\n"),
        ("", None, "volumes:\n  pg17:\n"),
        ("\nnetworks:\n  n:\n", Some("x"), "\nnetworks:\n  n:\n\nvolumes:\n  pg17:\n    name: x\n"),
        ("networks: {}", None, "networks: {}\nvolumes:\n  pg17:"),
    ];
    for (before, explicit, after) in table {
        for eol in ["\n", "\r\n"] {
            let wrap = |tail: &str| format!("{head}{tail}").replace('\n', eol);
            assert_eq!(
                edited(&wrap(before), |e| e.add_volume("pg17", "db", None, explicit)),
                wrap(after),
                "{before}"
            );
        }
    }
    let json = "{\n  \"services\": {\"db\": {\"image\": \"x\"}},\n  \"volumes\": {\n    \"pg\": {}\n  }\n}\n";
    assert_eq!(
        edited(json, |e| e.add_volume("pg17", "db", Some("pg"), Some("x"))),
        "{\n  \"services\": {\"db\": {\"image\": \"x\"}},\n  \"volumes\": {\n    \"pg\": {},\n    \"pg17\": {\"name\": \"x\"}\n  }\n}\n"
    );
    assert_eq!(
        edited("{\"services\": {\"db\": {}}}", |e| e.add_volume("pg17", "db", None, None)),
        "{\"services\": {\"db\": {}}, \"volumes\": {\"pg17\": {}}}"
    );
    let mut editor =
        Editor::new(sources(&["services: {db: {}}\nvolumes: {pg: {}}\n", "services: {db: {}}\n"], None));
    editor.add_volume("new", "db", Some("pg"), None).expect("add");
    editor.add_volume("m", "db", None, None).expect("add");
    let after: Vec<String> = editor.finish().into_iter().map(|f| f.after).collect();
    assert_eq!(
        after,
        ["services: {db: {}}\nvolumes: {pg: {}, new: {}}\n", "services: {db: {}}\nvolumes:\n  m:\n"]
    );
    let one = sources(&["services: {db: {}}\nvolumes: {pg: {}}\n"], None);
    assert_eq!(refused(one.clone(), |e| e.add_volume("pg", "db", None, None)), "volume-exists");
    assert_eq!(refused(one.clone(), |e| e.add_volume("a b", "db", None, None)), "volume-invalid");
    assert_eq!(refused(one, |e| e.add_volume("x", "web", None, None)), "service-unknown");
}

/// Everything an upgrade asks of one file, as the plan shows it.
#[test]
fn a_whole_upgrade() {
    let compose = "services:
    # The database
    inventree-db:
        image: postgres:13
        environment:
            - PGDATA=/var/lib/postgresql/data/pgdb
        volumes:
            # Kept outside of the container
            - ${EXT:?You must specify the 'EXT' variable}:/var/lib/postgresql/data:z
        restart: unless-stopped
    inventree-server:
        image: inventree/inventree:${TAG:-stable}
        volumes:
            - ${EXT}:/home/inventree/data:z
";
    let s = sources(&[compose], Some("EXT=./data\nTAG=1.1.12 # server and worker\n"));
    assert_eq!(s.mounts("inventree-db").expect("mounts")[0].source.as_deref(), Some("./data"));
    let mut editor = Editor::new(s);
    editor.set_image("inventree-db", "postgres:18").expect("image");
    editor.set_mount("inventree-db", OLD, change(Some("pg18"), Some(NEW))).expect("mount");
    editor.add_volume("pg18", "inventree-db", None, Some("inventree_pg18")).expect("volume");
    editor.set_image("inventree-server", "inventree/inventree:1.2.0").expect("server");
    let shown: String =
        editor.finish().iter().map(|f| diff(&f.before, &f.after, &f.path.display().to_string())).collect();
    let want = "--- compose0.yml
+++ compose0.yml
@@ -3,3 +3,3 @@
     inventree-db:
-        image: postgres:13
+        image: postgres:18
         environment:
@@ -8,3 +8,3 @@
             # Kept outside of the container
-            - ${EXT:?You must specify the 'EXT' variable}:/var/lib/postgresql/data:z
+            - pg18:/var/lib/postgresql:z
         restart: unless-stopped
@@ -14,1 +14,4 @@
             - ${EXT}:/home/inventree/data:z
+volumes:
+    pg18:
+        name: inventree_pg18
--- .env
+++ .env
@@ -1,2 +1,2 @@
 EXT=./data
-TAG=1.1.12 # server and worker
+TAG=1.2.0 # server and worker
";
    assert_eq!(shown, want);
}
