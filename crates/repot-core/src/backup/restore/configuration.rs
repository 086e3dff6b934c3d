//! Configuration is unpacked beside: nothing that is in use is overwritten.

use std::path::Path;

use repot_store::archive::{Owners, RestoreMode, UnpackOptions, unpack};
use repot_store::codec::Keys;
use repot_store::storage::Storage;
use repot_store::stored::{self, archive_error, inspect_options};
use repot_store::{FileEntry, FileKind, MadeBy, Manifest};

use super::Restore;
use crate::backup::codec_error;
use crate::error::Result;
use crate::upgrade::files::make_private_dir;

/// The files of a set that hold configuration. Those of an upgrade's set are the server's, and are not meant.
pub(super) fn files(manifest: &Manifest) -> impl Iterator<Item = &FileEntry> {
    let backup = manifest.made_by == MadeBy::Backup;
    manifest.files.iter().filter(move |f| backup && f.kind == FileKind::Config)
}

/// Unpacks a set's configuration into `dir`, which is made for nobody else to read.
pub fn restore_configuration(
    (storage, set, manifest): (&Storage, &str, &Manifest),
    keys: &Keys,
    scratch_dir: &Path,
    dir: &Path,
) -> Result<()> {
    if let Some(above) = dir.parent() {
        make_private_dir(above)?;
    }
    make_private_dir(dir)?;
    for entry in files(manifest) {
        let options = UnpackOptions {
            inspect: inspect_options(scratch_dir),
            mode: RestoreMode::FillIn { replace: true },
            owners: Owners::OfRoot,
        };
        let content = stored::read(storage, set, entry, keys).map_err(|e| codec_error(&entry.name, e))?;
        let _ =
            unpack(content, dir, &options, None).map_err(|e| codec_error(&entry.name, archive_error(e)))?;
    }
    Ok(())
}

impl Restore<'_> {
    pub(super) fn unpack_configuration(&self, dir: &Path) -> Result<()> {
        let set = (self.storage, self.set, self.manifest);
        restore_configuration(set, self.keys, &self.request.scratch_dir, dir)
    }
}
