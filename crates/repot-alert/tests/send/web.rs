//! A real HTTP receiver: the request that each service's published interface wants, and receivers that fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use repot_alert::{Channel, Event, Redactor, send_all, send_to};
use repot_testkit::servers::{Received, Receiver, receiver};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{alert, open, quick};

const ENV: [(&str, &str); 2] = [("TOKEN", "tk_0123456789abcdef"), ("SHORT", "tk")];

fn redactor() -> Redactor {
    Redactor::new([SecretString::from("s3cret-words".to_owned())])
}

#[track_caller]
fn arrives(r: &Receiver, c: Arc<Channel>, path: &str) -> (Received, Value) {
    assert_eq!(send_all(&[c], &alert(Event::Failed), &redactor(), quick()), []);
    let got = r.at(path);
    let body = got["body"].as_str().unwrap().to_owned();
    assert!(!body.contains("s3cret-words"), "{body}");
    assert!(got["headers"]["user-agent"].as_str().unwrap().starts_with("repot/"));
    let json = serde_json::from_str(&body).unwrap_or(Value::Null);
    (got, json)
}

#[track_caller]
fn starts(v: &Value, with: &str) {
    let text = v.as_str().unwrap();
    assert!(text.starts_with(with), "{text}");
    assert!(text.contains("It has failed since 2026-02-27T03:00:07Z"), "{text}");
    assert!(text.contains("inventree-20260226-030000-3c4d"), "{text}");
}

#[test]
fn ntfy_gets_its_json_and_token() {
    let r = receiver();
    let text =
        format!("type = \"ntfy\"\nurl = \"{}\"\ntopic = \"backups\"\ntoken_env = \"TOKEN\"", r.url("/ntfy"));
    let (got, body) = arrives(&r, open(&text, &ENV).unwrap(), "/ntfy");
    assert_eq!((got["method"].as_str(), got["path"].as_str()), (Some("POST"), Some("/ntfy")));
    assert_eq!(got["headers"]["authorization"], "Bearer tk_0123456789abcdef");
    assert_eq!(got["headers"]["content-type"], "application/json");
    assert_eq!(body["topic"], "backups");
    assert_eq!(body["title"], "[repot] InvenTree: backup failed");
    assert_eq!((&body["priority"], &body["tags"]), (&json!(4), &json!(["rotating_light"])));
    starts(&body["message"], "The backup of InvenTree (project inventree on web1) failed");
}

#[test]
fn slack_gets_text_with_its_three_characters_escaped() {
    let r = receiver();
    let url = r.url("/services/T0/B0/x");
    let c = open("type = \"slack\"\nurl_env = \"HOOK\"", &[("HOOK", &url)]).unwrap();
    let (got, body) = arrives(&r, c, "/services");
    assert_eq!(got["method"], "POST");
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["text"]);
    starts(&body["text"], "[repot] InvenTree: backup failed\n");
    assert!(body["text"].as_str().unwrap().contains("said &lt;no&gt; &amp; that's it: größer"));
}

#[test]
fn discord_gets_content_within_its_limit_and_calls_nobody() {
    let r = receiver();
    let url = r.url("/api/webhooks/1/x");
    let c = open("type = \"discord\"\nurl_env = \"HOOK\"", &[("HOOK", &url)]).unwrap();
    let mut long = alert(Event::Failed);
    long.failure.as_mut().unwrap().what = "@everyone 🌱".repeat(1000);
    assert_eq!(send_all(std::slice::from_ref(&c), &long, &redactor(), quick()), []);
    let got = r.at("/api/webhooks");
    let body: Value = serde_json::from_str(got["body"].as_str().unwrap()).unwrap();
    let units = body["content"].as_str().unwrap().encode_utf16().count();
    assert!((1990..=2000).contains(&units), "{units}");
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
}

#[test]
fn telegram_gets_send_message_with_the_chat_within_its_limit() {
    let r = receiver();
    let text =
        format!("type = \"telegram\"\nurl = \"{}\"\nchat = \"-100200\"\ntoken_env = \"TOKEN\"", r.url("/"));
    let c = open(&text, &[("TOKEN", "123:abc-DEF")]).unwrap();
    let (got, body) = arrives(&r, c.clone(), "sendMessage");
    assert_eq!(
        (got["method"].as_str(), got["path"].as_str()),
        (Some("POST"), Some("/bot123:abc-DEF/sendMessage"))
    );
    assert_eq!(body["chat_id"], "-100200");
    starts(&body["text"], "[repot] InvenTree: backup failed\n");
    let mut long = alert(Event::Failed);
    long.details = vec!["x".repeat(10_000)];
    assert_eq!(send_all(&[c], &long, &redactor(), quick()), []);
    let last = r.received().pop().unwrap();
    let body: Value = serde_json::from_str(last["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["text"].as_str().unwrap().encode_utf16().count(), 4096);
}

#[test]
fn matrix_gets_a_message_event_with_a_transaction_that_attempts_share() {
    let r = receiver();
    let text = format!(
        "type = \"matrix\"\nurl = \"{}\"\nroom = \"!a/b:example.org\"\ntoken_env = \"TOKEN\"",
        r.url("/once")
    );
    let (got, body) = arrives(&r, open(&text, &ENV).unwrap(), "/_matrix");
    assert_eq!(got["method"], "PUT");
    let path = got["path"].as_str().unwrap();
    let txn = path.strip_prefix("/once/_matrix/client/v3/rooms/%21a%2Fb%3Aexample.org/send/m.room.message/");
    assert!(txn.is_some_and(|t| t.starts_with("repot-inventree-")), "{path}");
    assert_eq!(got["headers"]["authorization"], "Bearer tk_0123456789abcdef");
    assert_eq!(body["msgtype"], "m.text");
    starts(&body["body"], "[repot] InvenTree: backup failed\n");
    let paths: Vec<_> = r.received().iter().map(|r| r["path"].clone()).collect();
    assert_eq!(paths.len(), 2, "the first was answered with 500");
    assert_eq!(paths[0], paths[1]);
    let alias = open(&text.replace("!a/b", "#a"), &ENV).expect_err("an alias is no id");
    assert!(alias.contains("begins with `!`"), "{alias}");
}

#[test]
fn a_webhook_has_method_headers_and_a_body_by_template() {
    let r = receiver();
    let text = format!(
        "type = \"webhook\"\nurl = \"{}\"\nmethod = \"put\"\nheaders = {{ X-Kind = \"backup\" }}\n\
         headers_env = {{ Authorization = \"TOKEN\" }}\n\
         body = '''{{\"who\": {{{{ application|tojson }}}}, \"code\": {{{{ failure.code|tojson }}}}, \"all\": {{{{ text|tojson }}}}}}'''",
        r.url("/hook")
    );
    let (got, body) = arrives(&r, open(&text, &ENV).unwrap(), "/hook");
    assert_eq!((got["method"].as_str(), &got["headers"]["x-kind"]), (Some("PUT"), &json!("backup")));
    assert_eq!(got["headers"]["authorization"], "tk_0123456789abcdef");
    assert_eq!(got["headers"]["content-type"], "application/json");
    assert_eq!((&body["who"], &body["code"]), (&json!("InvenTree"), &json!("login-refused")));
    starts(&body["all"], "The backup of InvenTree");
    let plain = format!("type = \"webhook\"\nurl = \"{}\"", r.url("/plain"));
    let (_, body) = arrives(&r, open(&plain, &ENV).unwrap(), "/plain");
    assert_eq!((&body["event"], &body["failures"]), (&json!("failed"), &json!(3)));
    let bad = open(&plain.replace("http://", "http://me:pw@"), &ENV).expect_err("a password");
    assert!(bad.contains("url_env"), "{bad}");
    assert!(open(&format!("{plain}\nbody = \"{{% if %}}\""), &ENV).expect_err("bad").contains("template"));
}

#[test]
fn a_ping_tells_start_success_and_failure_apart() {
    let r = receiver();
    let url = r.url("/ping/uuid?rid=1");
    let c = open("type = \"ping\"\nurl_env = \"CHECK\"", &[("CHECK", &url)]).unwrap();
    let all = [Event::Started, Event::Succeeded, Event::Failed, Event::Silent, Event::Test];
    for event in all {
        assert_eq!(send_all(std::slice::from_ref(&c), &alert(event), &redactor(), quick()), []);
    }
    let mut prune = alert(Event::Succeeded);
    prune.operation = "prune".to_owned();
    assert_eq!(send_all(&[c], &prune, &redactor(), quick()), []);
    let got = r.received();
    let paths: Vec<_> = got.iter().map(|g| g["path"].as_str().unwrap()).collect();
    let end = |e: &str| format!("/ping/uuid{e}?rid=1");
    assert_eq!(
        paths,
        [end("/start"), end(""), end("/fail"), end("/log")],
        "a test is no success, silence and prune are not told"
    );
    starts(&got[2]["body"], "[repot] InvenTree: backup failed\n");
}

#[test]
fn only_what_was_asked_for_is_told() {
    let r = receiver();
    let c = |path: &str, more: &str| {
        open(&format!("type = \"webhook\"\nurl = \"{}\"\n{more}", r.url(path)), &[]).unwrap()
    };
    let all = [
        c("/default", ""),
        c("/success", "on = [\"success\"]"),
        c("/others", "operations = [\"prune\"]"),
        c("/none", "on = []"),
    ];
    for event in [Event::Started, Event::Succeeded, Event::Failed, Event::Silent] {
        assert_eq!(send_all(&all, &alert(event), &redactor(), quick()), []);
    }
    let mut got: Vec<_> = r
        .received()
        .iter()
        .map(|g| {
            let body: Value = serde_json::from_str(g["body"].as_str().unwrap()).unwrap();
            format!("{} {}", g["path"].as_str().unwrap(), body["event"].as_str().unwrap())
        })
        .collect();
    got.sort();
    assert_eq!(got, ["/default failed", "/default silent", "/success succeeded"]);
}

#[track_caller]
fn why_not(path: &str, r: &Receiver) -> String {
    let text = format!(
        "type = \"webhook\"\nurl = \"{}\"\nheaders_env = {{ Authorization = \"TOKEN\" }}",
        r.url(path)
    );
    let mut limits = quick();
    limits.total = Duration::from_secs(2);
    let begun = Instant::now();
    let sent = send_to(&[open(&text, &ENV).unwrap()], &alert(Event::Test), &redactor(), limits);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    sent[0].1.clone().expect_err("it is not sent")
}

#[test]
fn receivers_that_fail_stall_refuse_or_send_elsewhere_end_in_words_and_in_time() {
    let mut r = receiver();
    assert!(why_not("/broken", &r).contains("500"));
    assert_eq!(r.received().len(), 3, "three attempts");
    let refused = why_not("/refuse", &r);
    assert!(refused.contains("403") && !refused.contains("tk_0123456789abcdef"), "{refused}");
    assert_eq!(r.received().len(), 4, "what is refused for good is not tried again");
    assert!(why_not("/moved", &r).contains("/elsewhere, which is not followed"));
    assert!(why_not("/stall", &r).contains("no answer within 2"), "a receiver that stalls");
    r.server.stop();
    let gone = why_not("/gone", &r);
    assert!(gone.to_lowercase().contains("connect") && !gone.contains("/gone"), "{gone}");
}

#[test]
fn one_that_is_busy_is_tried_again_after_the_pause_it_asks_for() {
    let r = receiver();
    for path in ["/once", "/slow-down"] {
        let c = open(&format!("type = \"webhook\"\nurl = \"{}\"", r.url(path)), &[]).unwrap();
        let begun = Instant::now();
        assert_eq!(send_all(&[c], &alert(Event::Failed), &redactor(), quick()), []);
        assert!(path == "/once" || begun.elapsed() >= Duration::from_secs(1), "Retry-After was 1");
    }
    assert_eq!(r.received().len(), 4);
}

#[test]
fn one_that_stalls_keeps_no_other_from_getting_it() {
    let r = receiver();
    let c = |path: &str| open(&format!("type = \"webhook\"\nurl = \"{}\"", r.url(path)), &[]).unwrap();
    let mut limits = quick();
    limits.total = Duration::from_secs(2);
    let begun = Instant::now();
    let failed =
        send_all(&[c("/stall"), c("/stall2"), c("/good")], &alert(Event::Failed), &redactor(), limits);
    assert_eq!(failed.len(), 2);
    assert!(begun.elapsed() < Duration::from_secs(4), "all at once: {:?}", begun.elapsed());
    let _ = r.at("/good");
}
