use super::*;

/// Every way an image can be written, and what becomes of it.
#[test]
fn one_file() {
    let table: &[(&str, &str)] = &[
        // Plain, quoted, with comments, tabs before comments, trailing blanks.
        (
            "services:\n  db:\n    image: postgres:13 # pinned\n",
            "services:\n  db:\n    image: postgres:17 # pinned\n",
        ),
        (
            "services:\n  db:\n    image: 'postgres:13'   \n",
            "services:\n  db:\n    image: 'postgres:17'   \n",
        ),
        (
            "services:\n  db:\n    image: \"postgres:13\"\t# x\n",
            "services:\n  db:\n    image: \"postgres:17\"\t# x\n",
        ),
        ("services:\n  db:\n    image:   postgres:13", "services:\n  db:\n    image:   postgres:17"),
        (
            "services:\n  db: {image: postgres:13, ports: []}\n",
            "services:\n  db: {image: postgres:17, ports: []}\n",
        ),
        (
            "services:\r\n  db:\r\n    image: postgres:13\r\n",
            "services:\r\n  db:\r\n    image: postgres:17\r\n",
        ),
        (
            "\u{feff}services:\n  # é日本\n  db:\n    image: postgres:13\n",
            "\u{feff}services:\n  # é日本\n  db:\n    image: postgres:17\n",
        ),
        (
            "{\"services\": {\"db\": {\"image\": \"postgres:13\"}}}",
            "{\"services\": {\"db\": {\"image\": \"postgres:17\"}}}",
        ),
        (
            "---\nservices:\n  db:\n    image: postgres:13\n...\n",
            "---\nservices:\n  db:\n    image: postgres:17\n...\n",
        ),
        // A tag names content that the new image does not have.
        (
            "services:\n  db:\n    image: postgres:13@sha256:0123456789abcdef0123456789abcdef\n",
            "services:\n  db:\n    image: postgres:17\n",
        ),
        ("services:\n  db:\n    image: postgres\n", "services:\n  db:\n    image: postgres:17\n"),
        (
            "services:\n  db:\n    image: !!str postgres:13\n",
            "services:\n  db:\n    image: !!str postgres:17\n",
        ),
        // Defaults inside expressions.
        (
            "services:\n  db:\n    image: postgres:${PG:-13}\n",
            "services:\n  db:\n    image: postgres:${PG:-17}\n",
        ),
        (
            "services:\n  db:\n    image: ${IMG:-postgres:13}\n",
            "services:\n  db:\n    image: ${IMG:-postgres:17}\n",
        ),
        (
            "services:\n  db:\n    image: \"${IMG-${OLD:-postgres:13}}\"\n",
            "services:\n  db:\n    image: \"${IMG-${OLD:-postgres:17}}\"\n",
        ),
        (
            "services:\n  db:\n    image: ${R:-postgres}:${T:-13}\n",
            "services:\n  db:\n    image: ${R:-postgres}:${T:-17}\n",
        ),
        (
            "services:\n  db:\n    image: postgres:13${V:-}\n",
            "services:\n  db:\n    image: postgres:17${V:-}\n",
        ),
        // Another repository: the expression has to go.
        ("services:\n  db:\n    image: pgvector:${PG:-13}\n", "services:\n  db:\n    image: postgres:17\n"),
        // A variable without a value anywhere.
        ("services:\n  db:\n    image: postgres:$PG\n", "services:\n  db:\n    image: postgres:17\n"),
        ("services:\n  db:\n    image: ${PG:?no}\n", "services:\n  db:\n    image: postgres:17\n"),
        // An anchor that nothing else uses is edited; its service may be an alias whole.
        (
            "x-i: &i postgres:13\nservices:\n  db:\n    image: *i\n",
            "x-i: &i postgres:17\nservices:\n  db:\n    image: *i\n",
        ),
        (
            "x-db: &db\n  image: postgres:13\nservices:\n  db:\n    <<: *db\n    restart: no\n",
            "x-db: &db\n  image: postgres:17\nservices:\n  db:\n    <<: *db\n    restart: no\n",
        ),
        (
            "x-db: &db {image: postgres:13}\nservices:\n  db: *db\n",
            "x-db: &db {image: postgres:17}\nservices:\n  db: *db\n",
        ),
        // One that others use is left alone.
        (
            "x-i: &i postgres:13\nservices:\n  db:\n    image: *i # same\n  db2:\n    image: *i\n",
            "x-i: &i postgres:13\nservices:\n  db:\n    image: postgres:17 # same\n  db2:\n    image: *i\n",
        ),
        (
            "x-i: &i postgres:13\nservices:\n  db:\n    image: *i\n  app:\n    environment:\n      I: *i\n",
            "x-i: &i postgres:13\nservices:\n  db:\n    image: postgres:17\n  app:\n    environment:\n      I: *i\n",
        ),
        (
            "x-db: &db\n  image: postgres:13\nservices:\n  db:\n    # as ever\n    <<: *db\n  db2:\n    <<: *db\n",
            "x-db: &db\n  image: postgres:13\nservices:\n  db:\n    image: postgres:17\n    # as ever\n    <<: *db\n  db2:\n    <<: *db\n",
        ),
        (
            "x-a: &a {restart: no}\nx-db: &db {image: postgres:13}\nservices:\n  db: {<<: [*a, *db]}\n  db2: {<<: *db}\n",
            "x-a: &a {restart: no}\nx-db: &db {image: postgres:13}\nservices:\n  db: {image: postgres:17, <<: [*a, *db]}\n  db2: {<<: *db}\n",
        ),
        (
            "services:\r\n  base:\r\n    image: postgres:13\r\n  db:\r\n    extends: base\r\n",
            "services:\r\n  base:\r\n    image: postgres:13\r\n  db:\r\n    image: postgres:17\r\n    extends: base\r\n",
        ),
        (
            "services:\n  base:\n    image: postgres:13\n  db:\n    extends:\n      service: base",
            "services:\n  base:\n    image: postgres:13\n  db:\n    image: postgres:17\n    extends:\n      service: base",
        ),
    ];
    for (before, after) in table {
        assert_eq!(edited(before, |e| e.set_image("db", "postgres:17")), *after, "\n{before}");
    }
}

#[test]
fn through_dotenv() {
    let table: &[(&str, &str, &str, &str)] = &[
        // (compose, .env, new compose, new .env)
        (
            "image: postgres:${PG_TAG:-13}",
            "PG_TAG=14 # lts\n",
            "image: postgres:${PG_TAG:-13}",
            "PG_TAG=17 # lts\n",
        ),
        ("image: postgres:$PG_TAG", "A=1\nPG_TAG='14'\n", "image: postgres:$PG_TAG", "A=1\nPG_TAG='17'\n"),
        (
            "image: ${IMG}",
            "export IMG=\"postgres:13\"\r\nB=2",
            "image: ${IMG}",
            "export IMG=\"postgres:17\"\r\nB=2",
        ),
        ("image: ${IMG:?set it}", "IMG=postgres:13", "image: ${IMG:?set it}", "IMG=postgres:17"),
        ("image: postgres:${PG_TAG:-13}", "PG_TAG=\n", "image: postgres:${PG_TAG:-17}", "PG_TAG=\n"),
        ("image: ${IMG:-postgres:${T}}", "T=13\n", "image: ${IMG:-postgres:${T}}", "T=17\n"),
        // Used by another value of the file, passed on by name, or named in .env itself: a literal instead.
        (
            "image: postgres:${T}\n    labels: [\"v=${T}\"]",
            "T=13\n",
            "image: postgres:17\n    labels: [\"v=${T}\"]",
            "T=13\n",
        ),
        (
            "image: postgres:${T}\n    environment: [T]",
            "T=13\n",
            "image: postgres:17\n    environment: [T]",
            "T=13\n",
        ),
        ("image: postgres:${T}", "T=13\nU=x$T\n", "image: postgres:17", "T=13\nU=x$T\n"),
        ("image: &i \"postgres:${T}\"\n    labels: {i: *i}", "T=13\n", "", ""),
        ("image: ${REG}/postgres:13", "REG=r.example:5000\n", "image: postgres:17", "REG=r.example:5000\n"),
    ];
    for (compose, env, new_compose, new_env) in table {
        let wrap = |body: &str| format!("services:\n  db:\n    {body}\n");
        let mut editor = Editor::new(sources(&[&wrap(compose)], Some(env)));
        if new_compose.is_empty() {
            // An alias of the value elsewhere: there is no edit that leaves it alone.
            assert_eq!(editor.set_image("db", "postgres:17").map_err(|e| e.code), Err("image-shared"));
            continue;
        }
        editor.set_image("db", "postgres:17").unwrap_or_else(|e| panic!("{compose}: {e}"));
        assert_eq!(editor.sources().compose[0].text, wrap(new_compose), "{compose}");
        assert_eq!(editor.sources().dotenv.as_ref().map(|f| f.text.as_str()), Some(*new_env), "{compose}");
    }
    let mut editor = Editor::new(sources(
        &["services: {db: {image: \"${REG}/postgres:13\"}}"],
        Some("REG=r.example:5000\n"),
    ));
    editor.set_image("db", "r.example:5000/postgres:17").expect("edit");
    assert_eq!(editor.finish()[0].after, "services: {db: {image: \"${REG}/postgres:17\"}}");
}

#[test]
fn several_files() {
    let (base, over) =
        ("services:\n  db:\n    image: postgres:13\n", "services:\n  db:\n    image: postgres:14\n");
    let mut editor = Editor::new(sources(&[base, over, "services: {db: {ports: []}}\n"], None));
    editor.set_image("db", "postgres:17").expect("edit");
    let files = editor.finish();
    assert_eq!(files.len(), 1);
    assert_eq!(
        (files[0].path.to_str(), files[0].after.as_str()),
        (Some("compose1.yml"), "services:\n  db:\n    image: postgres:17\n")
    );
}

#[test]
fn refusals() {
    let set = |e: &mut Editor| e.set_image("db", "postgres:17");
    let one = |text: &str| sources(&[text], None);
    let mut shell = one("services:\n  db:\n    image: postgres:${T:-13}\n");
    shell.shell.insert("T".into(), "14".into());
    assert_eq!(refused(shell, set), "image-from-shell");
    let table = [
        ("services: {app: {image: x}}", "service-unknown"),
        ("services: {db: {build: .}}", "image-missing"),
        ("services: {db: {image: [a]}}", "image-missing"),
        ("include: [other.yml]\nservices: {db: {image: postgres:13}}", "compose-include"),
        ("services: {db: {extends: {service: x, file: o.yml}}}", "compose-extends-file"),
        ("services:\n  db:\n    image: a\n    image: b\n", "compose-unparsable"),
        ("services: {db: {image: postgres:13}", "compose-unparsable"),
        ("services: {db: {image: postgres:13}}\n---\na: b\n", "compose-multi-document"),
        ("services:\n  db:\n    image: |-\n      postgres:13\n", "edit-unsupported"),
        ("services:\n  db: &db\n    image: postgres:13\n  db2:\n    <<: *db\n", "image-shared"),
        ("services:\n  db:\n    image: postgres:13\n  db2:\n    extends: db\n", "image-shared"),
        ("services:\n  db:\n    image: postgres:${1}\n", "interpolation-invalid"),
    ];
    for (text, code) in table {
        assert_eq!(refused(one(text), set), code, "{text}");
    }
    assert_eq!(
        refused(one("services: {db: {image: postgres:13}}"), |e| e.set_image("db", "Postgres 17")),
        "image-invalid"
    );
}

#[test]
fn references() {
    let table = [
        ("postgres", (None, "postgres", None, None)),
        ("postgres:13-alpine", (None, "postgres", Some("13-alpine"), None)),
        ("library/postgres:13", (None, "library/postgres", Some("13"), None)),
        ("localhost/pg", (Some("localhost"), "pg", None, None)),
        ("localhost:5000/pg", (Some("localhost:5000"), "pg", None, None)),
        ("ghcr.io/a/b:c", (Some("ghcr.io"), "a/b", Some("c"), None)),
        (
            "r.io:443/a/b:c@sha256:0123456789abcdef0123456789abcdef",
            (Some("r.io:443"), "a/b", Some("c"), Some("sha256:0123456789abcdef0123456789abcdef")),
        ),
    ];
    for (text, (registry, repository, tag, digest)) in table {
        let r = ImageRef::parse(text).expect(text);
        assert_eq!(
            (r.registry.as_deref(), r.repository.as_str(), r.tag.as_deref(), r.digest.as_deref()),
            (registry, repository, tag, digest)
        );
        assert_eq!(r.to_string(), text);
        assert_eq!(r.with_tag("9").tag.as_deref(), Some("9"));
        assert_eq!(r.with_tag("9").digest, None);
    }
    for bad in ["", ":13", "Postgres", "a b", "a:", "a@sha256:xyz", "a:b/c:", "/a", "a//b", "a:-x"] {
        assert_eq!(ImageRef::parse(bad).map_err(|e| e.code), Err("image-invalid"), "{bad}");
    }
}
