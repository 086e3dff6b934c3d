mod dotenv;
mod images;
mod mounts;
mod properties;
mod values;

use super::*;
use crate::error::Result;

pub(super) fn sources(compose: &[&str], dotenv: Option<&str>) -> Sources {
    let file = |i: usize, text: &&str| SourceFile {
        path: format!("compose{i}.yml").into(),
        text: (*text).to_owned(),
    };
    Sources {
        compose: compose.iter().enumerate().map(|(i, t)| file(i, t)).collect(),
        dotenv: dotenv.map(|t| SourceFile { path: ".env".into(), text: t.to_owned() }),
        shell: BTreeMap::new(),
    }
}

/// What an edit makes of one Compose file.
pub(super) fn edited(text: &str, edit: impl FnOnce(&mut Editor) -> Result<()>) -> String {
    let mut editor = Editor::new(sources(&[text], None));
    edit(&mut editor).unwrap_or_else(|e| panic!("{text}\n{e}"));
    editor.sources().compose[0].text.clone()
}

/// The code of the error an edit ends with; nothing may have changed.
pub(super) fn refused(sources: Sources, edit: impl FnOnce(&mut Editor) -> Result<()>) -> &'static str {
    let mut editor = Editor::new(sources);
    let error = edit(&mut editor).expect_err("the edit should have been refused");
    assert!(error.help.is_some() || error.why.is_some(), "{error}");
    assert_eq!(editor.finish(), vec![]);
    error.code
}
