//! A real SMTP server: STARTTLS, implicit TLS, login, none; and what goes wrong with each.

use std::sync::Arc;
use std::time::Instant;

use repot_alert::{Channel, Event, Redactor, send_all, send_to};
use repot_testkit::servers::{Mail, mail};
use secrecy::SecretString;

use crate::{alert, open, quick};

const PASSWORD: &str = "correct horse battery";

fn channel(m: &Mail, security: &str, more: &str) -> Arc<Channel> {
    let (port, ca) = (m.server.port, m.ca_file());
    let ca = if ca.exists() { format!("ca_file = {:?}\n", ca.display().to_string()) } else { String::new() };
    let text = format!(
        "type = \"email\"\nhost = \"localhost\"\nport = {port}\nsecurity = \"{security}\"\n\
         from = \"repot <repot@example.org>\"\n{ca}{more}"
    );
    open(&text, &[("MAIL_PASSWORD", PASSWORD), ("WRONG", "something else")]).unwrap()
}

const TO: &str = "to = [\"ops@example.org\", \"boss@example.org\"]\n";
const LOGIN: &str = "user = \"repot\"\npassword_env = \"MAIL_PASSWORD\"\n";

#[track_caller]
fn arrives(m: &Mail, c: &Arc<Channel>) -> serde_json::Value {
    let redactor = Redactor::new([SecretString::from("s3cret-words".to_owned())]);
    let failed = send_all(std::slice::from_ref(c), &alert(Event::Failed), &redactor, quick());
    assert_eq!(failed, [], "{}", m.server.log());
    m.received().last().unwrap().clone()
}

#[test]
fn with_starttls_and_login() {
    let m = mail("starttls", PASSWORD);
    let got = arrives(&m, &channel(&m, "starttls", &format!("{TO}{LOGIN}")));
    assert_eq!(m.received().len(), 2, "each recipient has his own");
    assert_eq!((&got["tls"], &got["user"], &got["helo"]), (&true.into(), &"repot".into(), &"web1".into()));
    assert_eq!(got["from"], "repot@example.org");
    assert_eq!(got["to"], serde_json::json!(["boss@example.org"]));
    let text = got["message"].as_str().unwrap();
    for part in [
        "Subject: [repot] InvenTree: backup failed",
        "Auto-Submitted: auto-generated",
        "To: ops@example.org, boss@example.org",
        "Message-ID: <repot-inventree-",
        "Date: ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("s3cret-words"), "{text}");
}

#[test]
fn with_tls_from_the_first_byte_and_login() {
    let m = mail("tls", PASSWORD);
    let got = arrives(&m, &channel(&m, "tls", &format!("{TO}{LOGIN}")));
    assert_eq!((&got["tls"], &got["user"]), (&true.into(), &"repot".into()));
}

#[test]
fn without_tls_through_a_relay_here_with_and_without_login() {
    let m = mail("plain", "");
    let got = arrives(&m, &channel(&m, "none", TO));
    assert_eq!((&got["tls"], &got["user"]), (&false.into(), &serde_json::Value::Null));
    let m = mail("plain-login-only", PASSWORD);
    assert_eq!(arrives(&m, &channel(&m, "none", &format!("{TO}{LOGIN}")))["user"], "repot");
}

#[track_caller]
fn why_not(c: &Arc<Channel>) -> String {
    let begun = Instant::now();
    let sent = send_to(std::slice::from_ref(c), &alert(Event::Test), &Redactor::default(), quick());
    assert!(begun.elapsed() < quick().total * 2);
    sent[0].1.clone().expect_err("it cannot be sent")
}

#[test]
fn a_wrong_password_a_strange_certificate_and_a_missing_starttls_are_refusals() {
    let m = mail("starttls", PASSWORD);
    let wrong = format!("{TO}user = \"repot\"\npassword_env = \"WRONG\"\n");
    let why = why_not(&channel(&m, "starttls", &wrong));
    assert!(why.contains("535") && !why.contains("something else"), "{why}");
    let port = m.server.port;
    let stranger = format!(
        "type = \"email\"\nhost = \"localhost\"\nport = {port}\nfrom = \"a@example.org\"\n{TO}{LOGIN}"
    );
    let why = why_not(&open(&stranger, &[("MAIL_PASSWORD", PASSWORD)]).unwrap());
    assert!(why.to_lowercase().contains("certificate"), "{why}");
    assert!(m.received().is_empty(), "nothing went out");
    let plain = mail("plain", "");
    let why = why_not(&channel(&plain, "starttls", TO));
    assert!(why.to_lowercase().contains("starttls"), "{why}");
    assert!(plain.received().is_empty(), "nothing went out unencrypted");
}

#[test]
fn one_recipient_that_is_refused_keeps_it_from_no_other_and_a_busy_one_is_asked_again() {
    let m = mail("plain", "");
    let to = "to = [\"nobody@example.org\", \"ops@example.org\", \"later@example.org\"]\n";
    let why = why_not(&channel(&m, "none", to));
    assert!(why.contains("nobody@example.org") && why.contains("no such person"), "{why}");
    assert!(!why.contains("ops@") && !why.contains("later@"), "{why}");
    let to: Vec<_> = m.received().iter().map(|r| r["to"][0].clone()).collect();
    assert_eq!(to, ["ops@example.org", "later@example.org"]);
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_ends_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let text = |port: u16| {
        format!(
            "type = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"none\"\nfrom = \"a@b.example\"\n{TO}"
        )
    };
    let mut limits = quick();
    limits.total = std::time::Duration::from_secs(2);
    let begun = Instant::now();
    let sent = send_to(&[open(&text(port), &[]).unwrap()], &alert(Event::Test), &Redactor::default(), limits);
    assert!(sent[0].1.is_err());
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    drop(silent);
    let why = why_not(&open(&text(port), &[]).unwrap());
    assert!(why.to_lowercase().contains("connection"), "{why}");
}

#[test]
fn what_cannot_be_sent_is_told_before_anything_is() {
    let bad = |more: &str| {
        let text = format!("type = \"email\"\nhost = \"mail.example.org\"\nfrom = \"a@b.example\"\n{more}");
        open(&text, &[("EMPTY", ""), ("P", "x")]).expect_err("refused")
    };
    assert!(bad("").contains("`to`"));
    assert!(bad("to = [\"not an address\"]").contains("no mail address"));
    assert!(bad(&format!("{TO}user = \"u\"")).contains("password_env"));
    assert!(bad(&format!("{TO}user = \"u\"\npassword_env = \"UNSET\"")).contains("UNSET"));
    assert!(bad(&format!("{TO}user = \"u\"\npassword_env = \"EMPTY\"")).contains("empty"));
    assert!(bad(&format!("{TO}user = \"u\"\npassword_file = \"/nowhere\"")).contains("/nowhere"));
    assert!(bad(&format!("{TO}user = \"u\"\npassword_env = \"P\"\nsecurity = \"none\"")).contains("TLS"));
    assert!(bad(&format!("{TO}topic = \"t\"")).contains("`topic` is not a key"));
}
