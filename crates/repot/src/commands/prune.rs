//! `repot prune`.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use repot_core::backup::prune::{Known, Pruning, carry_out, plan};
use repot_core::backup::sets::{Whose, all};
use repot_core::backup::source::place_of;
use repot_core::progress::human_bytes;
use repot_core::upgrade::run::Workspace;
use repot_core::{Error, Result};

use super::open;
use crate::cli::PruneArgs;
use crate::config::{Setting, setting};
use crate::storage::places;
use crate::terminal::{out, out_json, say};

pub fn run(args: &PruneArgs) -> Result<()> {
    let setting = setting(&args.at.dir)?;
    // One at a time: a set that is being written, or restored, is not to go.
    let mut workspace = open(&setting)?;
    let done = prune(&setting, &mut workspace, args, None)?;
    if args.at.json {
        out_json(&serde_json::json!({ "dry_run": args.dry_run, "storages": done }));
    } else {
        out(done.iter().map(|p| render(p, args.dry_run)).collect::<String>());
    }
    Ok(())
}

/// Prunes every storage; one that fails does not keep the others from it.
pub fn prune(
    setting: &Setting,
    workspace: &mut Workspace,
    args: &PruneArgs,
    place: Option<String>,
) -> Result<Vec<Pruning>> {
    let rules = &setting.keep_rules()?;
    let project = match &args.project {
        Some(p) => p.clone(),
        None => setting.project()?,
    };
    let here = place.or_else(|| if args.project.is_none() { place_of(&setting.dir) } else { None });
    let runs = workspace.runs()?;
    let verifications = workspace.catalog().verifications()?;
    let tz = TimeZone::system();
    let (mut done, mut first) = (Vec::new(), Ok(()));
    for place in places(setting, &args.storage.storage)? {
        let known = Known {
            project: &project,
            place: here.as_deref(),
            address: &place.address,
            verifications: &verifications,
            runs: &runs,
            now: Timestamp::now(),
            tz: &tz,
        };
        let pruned =
            all(&place.storage).map(|sets| plan(&place.storage, &sets, rules, &known)).and_then(|p| {
                if !args.dry_run {
                    carry_out(&place.storage, &p, &mut |item| {
                        workspace.catalog().forget_verifications(&place.address, &item.set)
                    })?;
                }
                Ok(p)
            });
        match pruned {
            Ok(p) => done.push(p),
            Err(e) if e.code == "interrupted" => return Err(e),
            Err(e) => {
                say(format!("the storage {} was not pruned: {e}", place.name));
                first = first.and(Err(e));
            }
        }
    }
    first?;
    if rules.is_empty() {
        say(
            "There are no rules: nothing is ever deleted. Write them under [keep] in repot.toml: docs/retention.md",
        );
    }
    Ok(done)
}

fn render(p: &Pruning, dry_run: bool) -> String {
    let mut t = String::new();
    let _ = writeln!(t, "In {}:", p.storage);
    if p.sets.is_empty() {
        let _ = writeln!(t, "  no sets of this project");
    }
    for s in &p.sets {
        let verdict = match (s.keep, dry_run) {
            (true, _) => "keep",
            (false, true) => "would delete",
            (false, false) => "deleted",
        };
        let (set, size) = (&s.set, human_bytes(s.size_bytes));
        let _ = writeln!(t, "  {verdict:<12}  {set}  {size:>8}  {}", s.reasons.join("; "));
    }
    let gone: Vec<u64> = p.sets.iter().filter(|s| !s.keep).map(|s| s.size_bytes).collect();
    if !gone.is_empty() {
        let verb = if dry_run { "would be free" } else { "are free" };
        let _ = writeln!(t, "  {} sets, {} {verb}", gone.len(), human_bytes(gone.iter().sum()));
    }
    if p.others > 0 {
        let _ = writeln!(t, "  {} sets of other projects or places were left alone", p.others);
    }
    t
}

impl Setting {
    /// Whose sets are meant here; nobody's where there is no Compose project.
    pub fn whose(&self) -> Option<Whose> {
        let project = self.project().ok()?;
        Some(Whose { project, place: place_of(&self.dir) })
    }
    /// Name of the Compose project, which the sets are known by.
    pub fn project(&self) -> Result<String> {
        repot_core::host::compose::project::locate(&self.dir, &self.env).map(|p| p.name).map_err(|e| {
            Error::usage("no-project", "there is no Compose project here, so it is not known whose sets are meant")
                .why(e.what)
                .help("name it with --project, as `repot backups --json` shows it; for a server by URL it is the database")
        })
    }
}
