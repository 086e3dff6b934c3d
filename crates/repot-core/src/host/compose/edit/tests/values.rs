use super::*;

#[test]
fn interpolation() {
    let mut s = sources(&[], Some("A=1\nE=\nN=${A}2\nB=env\n"));
    s.shell.insert("B".into(), "sh".into());
    let table = [
        ("plain", "plain"),
        ("$A-${A}", "1-1"),
        ("$$A $${A}", "$A ${A}"),
        ("${U:-d}${U-d}${E:-d}${E-d}", "ddd"),
        ("${A:+x}${E:+x}${E+x}${U+x}", "xx"),
        ("${A:?no}${E?no}", "1"),
        ("${U:-${E:-${A}}}", "1"),
        ("${U:-a:b-c?d+e}", "a:b-c?d+e"),
        ("$B$N$U", "sh12"),
        ("${U:-}", ""),
        ("é$A日", "é1日"),
    ];
    for (raw, value) in table {
        assert_eq!(s.interpolate(raw).expect(raw), value, "{raw}");
    }
    for raw in ["$", "a$1", "${", "${}", "${A", "${1}", "${A!}", "${A:}", "${A :-x}"] {
        assert_eq!(s.interpolate(raw).map_err(|e| e.code), Err("interpolation-invalid"), "{raw}");
    }
    for raw in ["${U:?say}", "${U?}", "${E:?x}"] {
        assert_eq!(s.interpolate(raw).map_err(|e| e.code), Err("variable-required"), "{raw}");
    }
}

#[test]
fn provenance() {
    let base = "x-db: &db\n  image: postgres:${T:-13}\n  environment:\n    - POSTGRES_DB=inv\n    - P=${Q}\nservices:\n  db:\n    <<: *db\n  app:\n    extends: db\n    environment:\n      K: é\n";
    let mut s = sources(
        &[base, "services:\n  app:\n    image: x@sha256:0123456789abcdef0123456789abcdef\n"],
        Some("# c\nQ=1\n"),
    );
    let get = |s: &Sources, service: &str, path: &[&str]| s.service_value(service, path).expect("value");
    let hit = get(&s, "db", &["image"]).expect("hit");
    assert_eq!(
        (hit.file.to_str(), hit.line, hit.column, hit.raw.as_str()),
        (Some("compose0.yml"), 2, 10, "postgres:${T:-13}")
    );
    assert_eq!(
        hit.via,
        [Via::Merge("db".into()), Via::Variable { name: "T".into(), from: VariableSource::Default }]
    );
    let hit = get(&s, "db", &["environment", "POSTGRES_DB"]).expect("hit");
    assert_eq!((hit.line, hit.column, hit.raw.as_str()), (4, 19, "inv"));
    let hit = get(&s, "db", &["environment", "P"]).expect("hit");
    assert_eq!(hit.via[1], Via::Variable { name: "Q".into(), from: VariableSource::Dotenv { line: 2 } });
    let hit = get(&s, "app", &["environment", "POSTGRES_DB"]).expect("hit");
    assert_eq!(hit.via[0], Via::Extends("db".into()));
    let hit = get(&s, "app", &["image"]).expect("hit");
    assert_eq!(
        hit.via,
        [Via::Override("compose0.yml".into()), Via::Digest("sha256:0123456789abcdef0123456789abcdef".into())]
    );
    assert_eq!(get(&s, "app", &["ports"]), None);
    assert_eq!(get(&s, "app", &["environment"]).map(|h| h.raw).as_deref(), Some("K: é"));
    assert_eq!(s.services().expect("services"), ["db", "app"]);
    s.shell.insert("T".into(), "9".into());
    assert_eq!(
        get(&s, "db", &["image"]).expect("hit").via[1],
        Via::Variable { name: "T".into(), from: VariableSource::Shell }
    );
    // `!reset` takes an earlier file's value away.
    let s = sources(&["services: {db: {image: a, ports: [x]}}", "services: {db: {ports: !reset []}}"], None);
    assert_eq!(s.service_value("db", &["ports"]).expect("value"), None);
}

#[test]
fn aliases_that_blow_up_end() {
    let mut text = String::from("a0: &a0 {k: v}\n");
    for i in 1..40 {
        text.push_str(&format!("a{i}: &a{i} {{<<: [*a{0}, *a{0}, *a{0}]}}\n", i - 1));
    }
    text.push_str("services: {db: {<<: *a30, image: x}}\n");
    let s = sources(&[&text], None);
    assert_eq!(s.service_value("db", &["nothing"]).map_err(|e| e.code), Err("compose-too-complex"));
    let s = sources(&["services: &s {db: {image: x, y: *s}}"], None);
    assert_eq!(refused(s, |e| e.set_image("db", "y")), "compose-too-complex");
}

#[test]
fn diffs() {
    assert_eq!(diff("a\n", "a\n", "f"), "");
    let before = "a\nb\nc\nd\ne\nf\ng\nh\n";
    let after = "a\nB\nc\nd\ne\nf\ng\nH";
    let want = "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -7,2 +7,2 @@\n g\n-h\n+H\n\\ No newline at end of file\n";
    assert_eq!(diff(before, after, "f"), want);
    assert_eq!(diff("", "a\n", "f"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a\n");
    assert_eq!(diff("a\nc\n", "a\nb\nc\n", "f"), "--- f\n+++ f\n@@ -1,2 +1,3 @@\n a\n+b\n c\n");
}
