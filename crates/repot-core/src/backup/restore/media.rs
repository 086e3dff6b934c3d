//! Media: unpacked beside the live directory, read back and compared, then swapped.

use std::io::Read;

use repot_store::archive::Inspector;
use repot_store::stored::{self, archive_error, inspect_options};
use repot_store::{FileEntry, FileKind};
use serde::Serialize;

use super::{Plan, Restore};
use crate::app::detect::Deployment;
use crate::backup::{codec_error, media::locate};
use crate::error::{Error, Kind, Result};
use crate::exec::last_lines;
use crate::host::Host;
use crate::host::compose::tree::{Tree, unpack_error};
use crate::interrupt;
use crate::progress::{Event, Observer};
use crate::upgrade::failpoint::reach;

/// What becomes of a media root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaAction {
    /// It takes the place of the live one, which is kept.
    Replaces,
    /// There is nothing there.
    Made,
    /// Files of the set are put into the live one; what else is there stays.
    FillsIn,
}

/// One media root of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct MediaPlan {
    /// Its name in the profile.
    pub root: String,
    /// The live directory, in words.
    pub place: String,
    /// What becomes of it.
    pub action: MediaAction,
    /// Where the live one is kept, in words.
    pub aside: Option<String>,
    /// How many files come.
    pub files: Option<u64>,
    #[serde(skip)]
    tree: Tree,
    #[serde(skip)]
    entry: FileEntry,
}

impl Restore<'_> {
    pub(super) fn plan_media(&self, run: &str) -> Result<Vec<MediaPlan>> {
        let Some(d) = self.to.deployment() else { return Ok(Vec::new()) };
        let (host, image) = (d.host(run), d.helper_image()?);
        let mut all = Vec::new();
        for entry in self.manifest.files.iter().filter(|f| f.kind == FileKind::Media) {
            let name = entry.root.clone().unwrap_or_default();
            let at = d
                .profile
                .media
                .roots
                .iter()
                .find(|r| r.name == name)
                .and_then(|r| locate(&d.resolved, &r.service, &r.path))
                .ok_or_else(|| {
                    Error::refused(
                        "media-nowhere",
                        format!("no service mounts anything for the media {name}"),
                    )
                    .why(format!("the set {} holds {}", self.set, entry.name))
                    .help(format!("add --skip-media, and unpack it by hand: {}", entry.restore))
                })?;
            let tree = host.tree(&image, &at, run)?;
            let action = match (self.request.replace, tree.exists) {
                (true, _) => MediaAction::FillsIn,
                (false, true) => MediaAction::Replaces,
                (false, false) => MediaAction::Made,
            };
            all.push(MediaPlan {
                root: name,
                place: at.describe(),
                action,
                aside: (action == MediaAction::Replaces).then(|| tree.describe_aside()),
                files: entry.tree.as_ref().map(|t| t.files),
                tree,
                entry: entry.clone(),
            });
        }
        Ok(all)
    }

    /// Unpacks what is to be swapped in, beside, and compares it.
    pub(super) fn unpack_media(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        let Some(d) = self.to.deployment() else { return Ok(()) };
        for m in &plan.media {
            interrupt::check()?;
            d.host(&plan.run).tidy_tree(&d.helper_image()?, &m.tree, &plan.run)?;
            if m.action == MediaAction::FillsIn {
                continue;
            }
            self.unpack_one(d, plan, m, false, observer)?;
            reach("restore", "after-media")?;
            self.compare_media(d, plan, m, observer)?;
        }
        Ok(())
    }

    fn unpack_one(
        &self,
        d: &Deployment,
        plan: &Plan,
        m: &MediaPlan,
        live: bool,
        observer: &dyn Observer,
    ) -> Result<()> {
        let name = &m.entry.name;
        let cmd = d.host(&plan.run).unpack_tree(&d.helper_image()?, &m.tree, live, &plan.run);
        let content =
            stored::read(self.storage, self.set, &m.entry, self.keys).map_err(|e| codec_error(name, e))?;
        let total_bytes = m.entry.plain.as_ref().map_or(m.entry.size_bytes, |p| p.size_bytes);
        let mut done_bytes = 0;
        // Refuses an unsafe member before tar sees it.
        let inspector = Inspector::new(content, &inspect_options(&self.request.scratch_dir))
            .map_err(|e| codec_error(name, archive_error(e)))?;
        let mut counted = Counted {
            inner: inspector,
            seen: &mut |n| {
                done_bytes += n;
                let what = format!("media {}", m.root);
                observer.event(Event::Progress { what, done_bytes, total_bytes });
            },
        };
        let (status, stderr) = cmd.pump(Some(&mut counted), &mut |_| Ok(()))?;
        let found = counted.inner.finish(None).map_err(|e| codec_error(name, archive_error(e)))?;
        if !status.success() {
            return Err(unpack_error(name, status.code(), &stderr));
        }
        match &m.entry.tree {
            Some(want) if found.fingerprint != *want => Err(Error::new(
                Kind::Differences,
                "set-damaged",
                format!("{name} does not hold what the manifest says"),
            )),
            _ => Ok(()),
        }
    }

    /// Reads back what was unpacked.
    fn compare_media(
        &self,
        d: &Deployment,
        plan: &Plan,
        m: &MediaPlan,
        observer: &dyn Observer,
    ) -> Result<()> {
        let Some(want) = &m.entry.tree else { return Ok(()) };
        let what = format!("comparing media {}", m.root);
        observer.event(Event::Progress { what, done_bytes: 0, total_bytes: 0 });
        let cmd = d.host(&plan.run).read_tree(&d.helper_image()?, &m.tree.fresh_location());
        let failed = |why: String| {
            Error::failed("media-failed", format!("the media {} cannot be read back", m.root)).why(why)
        };
        let (from, mut to) = std::io::pipe().map_err(|e| Error::io("cannot make a pipe", &e))?;
        let scratch = &self.request.scratch_dir;
        let (ended, found) = std::thread::scope(|scope| {
            let reader = scope
                .spawn(move || Inspector::new(from, &inspect_options(scratch)).and_then(|i| i.finish(None)));
            let ended = cmd.pump(None, &mut |chunk| {
                std::io::Write::write_all(&mut to, chunk).map_err(|e| failed(e.to_string()))
            });
            drop(to);
            (ended, reader.join())
        });
        let (status, stderr) = ended?;
        if !status.success() {
            return Err(failed(last_lines(&stderr, 3)));
        }
        let found = found
            .map_err(|_| Error::failed("bug", "the reader of the media panicked"))?
            .map_err(|e| failed(e.to_string()))?;
        if found.fingerprint == *want {
            return Ok(());
        }
        let (f, w) = (&found.fingerprint, want);
        Err(Error::new(
            Kind::Differences,
            "restored-differs",
            format!("the media {}, unpacked from the set, are not what they were", m.root),
        )
        .why(format!(
            "{} entries with {} bytes instead of {} with {}, or owners, modes, times or contents differ",
            f.entries, f.total_bytes, w.entries, w.total_bytes
        ))
        .help("what was live was not touched; does the filesystem keep owners, modes and times?"))
    }

    /// Removes what was unpacked, as far as that can be done; what cannot goes before the next restore.
    pub(super) fn drop_unpacked(&self, plan: &Plan) {
        let Some((d, image)) = self.to.deployment().and_then(|d| Some((d, d.helper_image().ok()?))) else {
            return;
        };
        for m in &plan.media {
            let _ = d.host(&plan.run).tidy_tree(&image, &m.tree, &plan.run);
        }
    }

    /// With the application stopped: what was unpacked takes its place.
    pub(super) fn swap_media(&self, plan: &Plan, observer: &dyn Observer) -> Result<()> {
        let Some(d) = self.to.deployment() else { return Ok(()) };
        for m in &plan.media {
            if m.action == MediaAction::FillsIn {
                self.unpack_one(d, plan, m, true, observer).map_err(|e| {
                    e.help(
                        "the live directory holds a part of the set now; start it again to fill it in wholly",
                    )
                })?;
            } else {
                d.host(&plan.run).swap_tree(&d.helper_image()?, &m.tree, &plan.run)?;
            }
            reach("restore", "after-swap")?;
        }
        Ok(())
    }
}

struct Counted<'a, R> {
    inner: R,
    seen: &'a mut (dyn FnMut(u64) + Send),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        (self.seen)(n as u64);
        Ok(n)
    }
}
