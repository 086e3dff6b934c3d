//! `--json`: one document, whatever happens.

use super::*;

#[test]
fn every_command_with_json_prints_one_document() {
    let s = mini();
    let nothing = s.repot(&["status", "--json"]).exits(2);
    assert_eq!(nothing.json()["error"]["exit_status"], 2);
    let check = s.repot(&["check", "--to", "17", "--app-version", "2", "--json"]).ok();
    assert_eq!(check.json()["blocked"], false);
    let blocked = s.repot(&["check", "--to", "12", "--json"]).exits(3);
    assert_eq!(blocked.json()["blocked"], true);
    let refused = s.repot(&["upgrade", "--to", "12", "--yes", "--json"]).exits(3);
    assert_eq!(refused.json()["error"]["exit_status"], 3);
    let recommended = s.repot(&["upgrade", "--json", "--yes"]).ok();
    assert_eq!(recommended.json()["state"], "recommendation");
    let same = s.repot(&["upgrade", "--to", "13", "--json", "--yes"]).ok();
    assert_eq!(same.json()["state"], "nothing-to-do");
    let plan = s.repot(&["upgrade", "--to", "17", "--dry-run", "--json"]).ok();
    assert!(plan.json()["plan"]["steps"].as_array().unwrap().len() > 10);
    let failed = s.repot_env(
        &["upgrade", "--to", "17", "--yes", "--json"],
        &[("FAILPOINTS", "restore::before-intent=return(error)")],
    );
    assert_eq!(failed.exits(1).json()["error"]["code"], "failpoint");
    let done = s.repot(&["resume", "--json"]).ok().json();
    assert_eq!((&done["from"], &done["to"]), (&13.into(), &17.into()));
    assert_eq!(s.status()["state"], "done");
    let run = s.runs().pop().unwrap();
    assert_eq!(s.repot(&["history", "--json"]).ok().json()[0]["run"], run.as_str());
    assert_eq!(s.repot(&["history", &run, "--json"]).ok().json()["id"], run.as_str());
    let aside = s.repot(&["cleanup", "--dry-run", "--json"]).ok().json();
    assert_eq!(aside["removed"], false);
    assert_eq!(aside["set_aside"].as_array().unwrap().len(), 1);
    assert_eq!(s.repot(&["resume", "--json"]).ok().json()["state"], "nothing-to-do");
    let refused = s.repot(&["rollback", "--yes", "--json"]).exits(3).json();
    assert_eq!(refused["error"]["code"], "new-writes");
    let back = s.repot(&["rollback", "--yes", "--discard-new-writes", "--json"]).ok().json();
    assert_eq!(back["state"], "rolled-back");
    assert_eq!(s.repot(&["cleanup", "--yes", "--json"]).ok().json()["removed"], true);

    // Two databases by their addresses, which the machine that runs Docker can reach.
    let ip = run_ip(&s);
    s.psql("postgres", "CREATE DATABASE copy");
    s.psql("copy", "CREATE TABLE item (id int PRIMARY KEY, name text)");
    s.psql("postgres", "CREATE DATABASE twin TEMPLATE copy");
    let url = |db: &str| format!("postgresql://boss@{ip}:5432/{db}");
    let password = [("PGPASSWORD", "boss-secret")];
    let compare = |a: &str, b: &str| s.repot_plain(&["compare", &url(a), &url(b), "--json"], &password);
    let same = compare("copy", "twin").ok().json();
    assert_eq!(same["differences"].as_array().map(Vec::len), Some(0), "{same:#}");
    s.psql("twin", "INSERT INTO item VALUES (1, 'one')");
    let differ = compare("copy", "twin").exits(4);
    assert_eq!(differ.json()["differences"].as_array().map(Vec::len), Some(1));
    let _ = s.repot_plain(&["compare", &url("copy"), &url("twin")], &password).exits(4).prints(&["item"]);
}

fn run_ip(s: &Stack) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    run(Command::new("docker").args(["inspect", "-f", format, &s.db_container()]), None)
        .ok()
        .stdout
        .trim()
        .to_owned()
}
