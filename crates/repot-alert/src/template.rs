//! Bodies of webhooks, by minijinja (the language of Jinja).

use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::alert::Alert;
use crate::words;

/// What a template may do, in minijinja's steps; more is a loop without an end.
const FUEL: u64 = 100_000;

/// What a template sees: the alert, and its words.
#[derive(Serialize)]
struct Seen<'a> {
    #[serde(flatten)]
    alert: &'a Alert,
    subject: String,
    text: String,
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env
}

/// Whether it is a template at all.
pub(crate) fn check(template: &str) -> Result<(), String> {
    environment().template_from_str(template).map(|_| ()).map_err(|e| format!("`body` is no template: {e}"))
}

/// The body for an alert; without a template, all there is as JSON.
pub(crate) fn render(template: Option<&str>, alert: &Alert, prefix: &str) -> Result<String, String> {
    let seen = Seen { alert, subject: words::subject(alert, prefix), text: words::text(alert) };
    match template {
        None => serde_json::to_string(&seen).map_err(|e| e.to_string()),
        Some(t) => environment().render_str(t, &seen).map_err(|e| format!("`body` cannot be filled in: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Event, sample};

    #[test]
    fn a_template_sees_the_alert_and_its_words() {
        let t = r#"{"m": {{ subject|tojson }}, "code": {{ failure.code|tojson }}, "n": {{ failures }}}"#;
        let made = render(Some(t), &sample(Event::Failed), "[x] ").expect("renders");
        assert_eq!(made, r#"{"m": "[x] InvenTree: backup failed", "code": "docker-unreachable", "n": 3}"#);
        let none =
            render(Some("{{ failure.code }}{% if set %}{{ set }}{% endif %}"), &sample(Event::Test), "");
        assert!(none.is_ok() || none.is_err_and(|e| e.contains("body")));
    }

    #[test]
    fn a_template_without_an_end_ends() {
        let t = "{% for a in range(90000) %}{% for b in range(90000) %}{{ a }}{% endfor %}{% endfor %}";
        let e = render(Some(t), &sample(Event::Test), "").expect_err("bounded");
        assert!(e.contains("body"), "{e}");
        assert!(check("{% if %}").is_err());
    }

    #[test]
    fn without_a_template_it_is_json() {
        let made = render(None, &sample(Event::Failed), "").expect("renders");
        let v: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        assert_eq!(v["event"], "failed");
        assert_eq!(v["failure"]["code"], "docker-unreachable");
        assert_eq!(v["last_good_set"], "inventree-20260226-030000-3c4d");
    }
}
