//! What belongs to the server rather than to a database: access rules, settings, extensions, statistics.

use std::path::Path;

use repot_store::Manifest;
use serde_json::{Value, json};

use super::Context;
use super::backup::{config_name, set_of};
use crate::engine::postgres::session::ident;
use crate::engine::postgres::settings::{
    ACCESS_FILES, SettingFile, access_file, files_to_carry, from_arguments, settings_dropped,
    settings_to_carry,
};
use crate::error::{Error, Result};
use crate::host::Role;

const BEGIN: &str = "# --- carried over by repot ---";
const END: &str = "# --- end of what repot carried over ---";

/// The file's text with our block taken out, if an earlier attempt wrote one.
fn without_block(text: &str) -> String {
    match (text.find(BEGIN), text.find(END)) {
        (Some(a), Some(b)) if a < b => {
            format!("{}{}", &text[..a], text[b + END.len()..].trim_start_matches('\n'))
        }
        _ => text.to_owned(),
    }
}

/// `clientcert=1`, `=0` and `=no-verify` went with 14; `verify-ca` took the place of the first.
fn modern_hba(text: &str, major: u32) -> String {
    if major < 14 {
        return text.to_owned();
    }
    let mut text = text.replace("clientcert=1", "clientcert=verify-ca");
    for gone in ["clientcert=0", "clientcert=no-verify"] {
        for blank in [' ', '\t'] {
            text = text.replace(&format!("{blank}{gone}"), "");
        }
    }
    text
}

/// A file of the set; `None` where the old server had none. One that is in the set and cannot be read is an error.
fn stored(dir: &Path, manifest: &Manifest, name: &str) -> Result<Option<Vec<u8>>> {
    if !manifest.files.iter().any(|f| f.name == name) {
        return Ok(None);
    }
    let path = dir.join(name);
    std::fs::read(&path).map(Some).map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))
}

pub(super) fn carry(cx: &Context) -> Result<Value> {
    let plan = cx.plan();
    let d = cx.destination()?;
    let facts = cx.facts()?;
    let (dir, manifest) = set_of(cx)?;
    let old = |name: &str| -> Result<Option<String>> {
        Ok(stored(&dir, &manifest, name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let arguments = from_arguments(&plan.extras.arguments);
    let mut files = Vec::new();
    for (setting, name) in ACCESS_FILES {
        // A file outside the data directory is mounted by the user and stays where it is.
        let ours = access_file(&facts, &arguments, setting).is_some();
        if let (true, Some(text)) = (ours, old(name)?) {
            let text = if name == "pg_hba.conf" { modern_hba(&text, d.major) } else { text };
            cx.host.write_data_file(&d.image, &d.data, name, text.as_bytes())?;
            files.push(name.to_owned());
        }
    }
    for path in files_to_carry(&facts, &arguments) {
        if let Some(bytes) = stored(&dir, &manifest, &config_name(&path))? {
            cx.host.write_data_file(&d.image, &d.data, &path, &bytes)?;
            files.push(path);
        }
    }
    let carried = settings_to_carry(&facts, d.major);
    for (file, name) in
        [(SettingFile::Conf, "postgresql.conf"), (SettingFile::AutoConf, "postgresql.auto.conf")]
    {
        let lines: String =
            carried.iter().filter(|s| s.file == file).map(|s| format!("{}\n", s.line())).collect();
        if lines.is_empty() {
            continue;
        }
        let bytes = cx.host.read_data_file(&d.image, &d.data, name)?.unwrap_or_default();
        let mut text = without_block(&String::from_utf8_lossy(&bytes));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let block =
            format!("{BEGIN}\n# from PostgreSQL {}, run {}\n{lines}{END}\n", plan.source.major, plan.run);
        cx.host.write_data_file(&d.image, &d.data, name, format!("{text}{block}").as_bytes())?;
        files.push(name.to_owned());
    }
    for s in &carried {
        if let Some(note) = &s.note {
            cx.note(format!("the setting {}: {note}", s.name));
        }
    }
    for s in settings_dropped(&facts, d.major).iter().filter(|s| s.notable) {
        cx.note(format!("the setting {} was not carried over: {}", s.name, s.reason));
    }
    let names: Vec<&str> = carried.iter().map(|s| s.name.as_str()).collect();
    Ok(json!({ "files": files, "settings": names }))
}

fn databases(cx: &Context) -> Result<Vec<String>> {
    let facts = cx.facts()?;
    let home = cx.host.server_connector(Role::New, &facts.superuser).connect("postgres")?;
    let rows = home.query("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1")?;
    Ok(rows.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect())
}

pub(super) fn update_extensions(cx: &Context) -> Result<Value> {
    let facts = cx.facts()?;
    let connector = cx.host.server_connector(Role::New, &facts.superuser);
    let mut updated = Vec::new();
    for db in databases(cx)? {
        let session = connector.connect(&db)?;
        let rows = session.query(
            "SELECT e.extname, e.extversion, a.default_version FROM pg_extension e \
             JOIN pg_available_extensions a ON a.name = e.extname WHERE a.default_version <> e.extversion",
        )?;
        for row in rows {
            if let [Some(name), Some(from), Some(to)] = row.as_slice() {
                session.execute(&format!("ALTER EXTENSION {} UPDATE", ident(name))).map_err(|e| {
                    Error::failed(
                        "extension-update",
                        format!("the extension {name} of {db} cannot be updated from {from} to {to}"),
                    )
                    .why(e)
                    .help("`repot rollback`, follow the extension's own upgrade notes, then try again")
                })?;
                updated.push(format!("{db}: {name} {from} -> {to}"));
            }
        }
    }
    Ok(json!({ "updated": updated }))
}

pub(super) fn analyze(cx: &Context) -> Result<Value> {
    let facts = cx.facts()?;
    let connector = cx.host.server_connector(Role::New, &facts.superuser);
    for db in databases(cx)? {
        cx.progress(format!("database {db}"), 0, 0);
        connector.connect(&db)?.execute("ANALYZE")?;
    }
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_block_is_written_once() {
        let base = "a = 1\n";
        let once = format!("{base}{BEGIN}\nx = '1'\n{END}\n");
        assert_eq!(without_block(&once), base);
        assert_eq!(without_block(base), base);
        assert_eq!(without_block(&format!("{END}{BEGIN}")), format!("{END}{BEGIN}"));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_an_error_and_one_that_never_was_is_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        let entry = json!({ "name": "server.key", "kind": "config", "database": null, "size_bytes": 1,
            "blake3": "", "sha256": "", "restore": "" });
        let manifest: Manifest = serde_json::from_value(json!({ "format": 1, "created_at": "", "repot": "",
            "application": "", "application_version": null, "project": "", "run": "", "server_version_num": 130_000,
            "client": "", "files": [entry], "fingerprint": null }))
        .expect("a manifest");
        assert!(stored(dir.path(), &manifest, "root.crt").expect("no error").is_none());
        assert!(stored(dir.path(), &manifest, "server.key").is_err(), "it was there and is gone");
        std::fs::write(dir.path().join("server.key"), "k").expect("written");
        assert_eq!(stored(dir.path(), &manifest, "server.key").expect("read"), Some(b"k".to_vec()));
    }

    #[test]
    fn old_words_of_pg_hba() {
        assert_eq!(
            modern_hba("hostssl all all all cert clientcert=1\n", 17),
            "hostssl all all all cert clientcert=verify-ca\n"
        );
        assert_eq!(modern_hba("x clientcert=1", 13), "x clientcert=1");
        assert_eq!(
            modern_hba("a cert clientcert=no-verify map=m\nb\tcert\tclientcert=0\n", 17),
            "a cert map=m\nb\tcert\n"
        );
    }

    proptest! {
        #[test]
        fn without_block_never_panics(text in any::<String>()) {
            let _ = without_block(&text);
        }
    }
}
