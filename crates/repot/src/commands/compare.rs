//! `repot compare`.

use repot_core::engine::postgres::session::{Connector, UrlConnector};
use repot_core::progress::human_bytes;
use repot_core::verify::{TakeOptions, compare_databases, take};
use repot_core::{Error, Kind, Result};

use crate::cli::CompareArgs;
use crate::terminal::{out, out_json, say};

/// How many differences are printed; `--json` has them all.
const SHOWN: usize = 50;

#[allow(clippy::disallowed_methods, reason = "the binary reads the environment")]
pub fn run(args: &CompareArgs) -> Result<()> {
    let password = |names: &[&str]| names.iter().find_map(|n| std::env::var(n).ok()).map(Into::into);
    let source = UrlConnector::parse(&args.source, password(&["PGPASSWORD"]).as_ref())?;
    let target =
        UrlConnector::parse(&args.target, password(&["REPOT_TARGET_PASSWORD", "PGPASSWORD"]).as_ref())?;
    let read = |c: &UrlConnector| {
        let name = c.home_database().to_owned();
        let options = TakeOptions { jobs: 2, databases: Some(vec![name.clone()]), ..TakeOptions::default() };
        say(format!("reading {}/{name} ...", c.describe()));
        let fp = take(c, &options, &|_| {}).map_err(|e| e.with_kind(Kind::Failed))?;
        let database = fp.databases.get(&name).cloned();
        database.map(|d| (d, fp.server_version_num)).ok_or_else(|| {
            Error::failed("database-missing", format!("no database {name} on {}", c.describe()))
        })
    };
    let (a, b) = std::thread::scope(|s| {
        let a = s.spawn(|| read(&source));
        let b = read(&target);
        (a.join().unwrap_or_else(|_| Err(Error::failed("bug", "the comparison panicked"))), b)
    });
    let (a, b) = (a?, b?);
    let c = compare_databases((&a.0, a.1), (&b.0, b.1));
    if args.json {
        out_json(&c);
    } else {
        for n in &c.notes {
            say(format!("note: {n}"));
        }
        out(c.summary(SHOWN));
        out(format!(
            "{} tables, {} rows ({}), {} other objects compared: {}\n",
            c.tables,
            c.rows,
            human_bytes(c.bytes),
            c.objects,
            if c.same() { "equal".to_owned() } else { format!("{} differences", c.differences.len()) }
        ));
    }
    if c.same() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Differences,
        "differences",
        format!("the databases differ in {} places", c.differences.len()),
    ))
}
