//! Old and new are compared before the application is let back in.

use serde_json::{Value, json};

use super::Context;
use super::backup::{fingerprint_of, set_of};
use crate::error::{Error, Kind, Result};
use crate::host::Role;
use crate::verify::{TakeOptions, compare as compare_fingerprints, take};

/// How many differences a message shows; all of them are in comparison.json.
const SHOWN: usize = 10;

pub(super) fn compare(cx: &Context) -> Result<Value> {
    let facts = cx.facts()?;
    let (_, manifest) = set_of(cx)?;
    let old = fingerprint_of(&manifest)?;
    let connector = cx.host.server_connector(Role::New, &facts.superuser);
    let options = TakeOptions { jobs: 2, cluster: true, ..TakeOptions::default() };
    let mut new = take(connector.as_ref(), &options, &|p| cx.progress(p.table, p.done_bytes, p.total_bytes))?;
    if !old.databases.contains_key("postgres") {
        // Every new cluster has one; an old one whose owner dropped it has not, and nothing is lost by it.
        new.databases.remove("postgres");
    }
    cx.files.save("fingerprint-new.json", &serde_json::to_vec_pretty(&new).unwrap_or_default())?;
    let c = compare_fingerprints(&old, &new);
    cx.files.save("comparison.json", &serde_json::to_vec_pretty(&c).unwrap_or_default())?;
    for n in &c.notes {
        cx.note(n.clone());
    }
    if c.same() {
        return Ok(
            json!({ "tables": c.tables, "rows": c.rows, "bytes": c.bytes, "objects": c.objects, "differences": 0 }),
        );
    }
    Err(Error::new(
        Kind::Differences,
        "differences",
        format!("old and new differ in {} places", c.differences.len()),
    )
    .why(c.summary(SHOWN))
    .help(format!(
        "the application was not let in; `repot rollback` brings the old data back. All differences: {}",
        cx.files.path("comparison.json").display()
    )))
}
