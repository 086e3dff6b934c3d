//! The decision itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::bucket::bucket;
use super::facts::{Group, SetFacts};
use super::reason::{Line, Reason};
use super::rules::{Counts, KeepRules, Rule};

/// What becomes of one set.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    /// The set's name.
    pub id: String,
    /// Whether it stays.
    pub keep: bool,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// Decides for each set, in the order given. Deletes nothing itself; see the module for what the rules mean.
///
/// `tz` says where days begin. `now` is used for two things only: to see that a date lies in the future, and that an
/// incomplete set is young.
#[must_use]
pub fn decide(sets: &[SetFacts], rules: &KeepRules, now: Timestamp, tz: &TimeZone) -> Vec<Decision> {
    let lines: Vec<BTreeSet<Line>> = sets.iter().map(SetFacts::lines).collect();
    let mut verdicts: Vec<Verdict> = sets.iter().map(|set| alone(set, rules, now, tz)).collect();
    let mut groups: BTreeMap<&Group, Vec<usize>> = BTreeMap::new();
    for i in newest_first(sets) {
        if counts(&sets[i], now) {
            groups.entry(&sets[i].group).or_default().push(i);
        }
    }
    for members in groups.values() {
        let present: BTreeSet<&Line> = members.iter().flat_map(|i| &lines[*i]).collect();
        for line in present {
            let of_line: Vec<usize> = members.iter().copied().filter(|i| lines[*i].contains(line)).collect();
            protect(sets, &of_line, line, &mut verdicts);
            apply_rules(sets, &of_line, line, rules, tz, &mut verdicts);
        }
        if let Some(max_size_bytes) = rules.max_size_bytes {
            cap(sets, members, max_size_bytes, &mut verdicts);
        }
    }
    sets.iter().zip(&lines).zip(verdicts).map(|((set, lines), v)| v.decision(set, lines)).collect()
}

/// What is known of one set so far.
#[derive(Default)]
struct Verdict {
    /// Reasons that no limit overrules.
    never: Vec<Why>,
    /// Reasons that the size limit overrules.
    rules: Vec<Why>,
    /// Why it goes, if nothing above keeps it.
    gone: Option<Reason>,
    over_cap: bool,
}

/// A reason and the line for which it holds.
struct Why {
    reason: Reason,
    line: Option<Line>,
}

impl Verdict {
    fn never(&mut self, reason: Reason, line: Option<&Line>) {
        self.never.push(Why { reason, line: line.cloned() });
    }
    fn keeps(&self) -> bool {
        !self.never.is_empty() || (!self.rules.is_empty() && !self.over_cap)
    }
    fn decision(self, set: &SetFacts, lines: &BTreeSet<Line>) -> Decision {
        let keep = self.keeps();
        let reasons = if keep {
            merged(self.never.into_iter().chain(self.rules), lines)
        } else {
            vec![self.gone.unwrap_or(Reason::NotKept)]
        };
        Decision { id: set.id.clone(), keep, reasons }
    }
}

/// What can be said of a set without looking at the others.
fn alone(set: &SetFacts, rules: &KeepRules, now: Timestamp, tz: &TimeZone) -> Verdict {
    let mut verdict = Verdict::default();
    if set.foreign {
        verdict.never(Reason::Foreign, None);
    }
    if set.needed_by_run {
        verdict.never(Reason::NeededByRun, None);
    }
    if set.created_at > now {
        verdict.never(Reason::Future, None);
    }
    if set.complete {
        return verdict;
    }
    let grace = rules.incomplete_grace;
    if rules.is_empty() {
        verdict.never(Reason::NoRules { lines: Vec::new() }, None);
    } else if set.created_at >= back(now, grace, tz) {
        verdict.never(Reason::BeingWritten { grace }, None);
    } else {
        verdict.gone = Some(Reason::Incomplete { grace });
    }
    verdict
}

/// Whether a set has a place in any rule. What does not count can push nothing out.
fn counts(set: &SetFacts, now: Timestamp) -> bool {
    set.complete && !set.foreign && set.created_at <= now
}

fn newest_first(sets: &[SetFacts]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by(|a, b| (sets[*b].created_at, &sets[*b].id).cmp(&(sets[*a].created_at, &sets[*a].id)));
    order
}

/// A moment so long before another; the beginning of time where that is further than dates go.
fn back(from: Timestamp, span: Span, tz: &TimeZone) -> Timestamp {
    from.to_zoned(tz.clone()).checked_sub(span).map_or(Timestamp::MIN, |z| z.timestamp())
}

/// The sets of a line that no rule may delete. `of_line` has the newest first.
fn protect(sets: &[SetFacts], of_line: &[usize], line: &Line, verdicts: &mut [Verdict]) {
    let Some(newest) = of_line.first() else { return };
    let reason = if of_line.len() == 1 {
        Reason::OnlyComplete { lines: Vec::new() }
    } else {
        Reason::NewestComplete { lines: Vec::new() }
    };
    verdicts[*newest].never(reason, Some(line));
    if let Some(verified) = of_line.iter().find(|i| sets[**i].verified_at.is_some()) {
        verdicts[*verified].never(Reason::NewestVerified { lines: Vec::new() }, Some(line));
    }
}

/// Applies each rule to all sets of the line; sets whose label has rules of its own are counted by themselves.
fn apply_rules(
    sets: &[SetFacts],
    of_line: &[usize],
    line: &Line,
    rules: &KeepRules,
    tz: &TimeZone,
    verdicts: &mut [Verdict],
) {
    let mut pools: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for i in of_line {
        pools.entry(rules.own_label(sets[*i].label.as_deref())).or_default().push(*i);
    }
    for (label, pool) in pools {
        let block = rules.counts(line, label);
        let mut keep = |i: usize, reason: Reason| {
            verdicts[i].rules.push(Why { reason, line: Some(line.clone()) });
        };
        if block.is_empty() {
            pool.iter().for_each(|i| keep(*i, Reason::NoRules { lines: Vec::new() }));
            continue;
        }
        for rule in Rule::ALL {
            for (i, place) in chosen(sets, &pool, rule, block, tz) {
                let (of, label) = (block.count(rule), label.map(str::to_owned));
                keep(i, Reason::Counted { rule, place, of, label, lines: Vec::new() });
            }
        }
        if let (Some(span), Some(newest)) = (block.within, pool.first()) {
            let since = back(sets[*newest].created_at, span, tz);
            for i in pool.iter().filter(|i| sets[**i].created_at >= since) {
                keep(*i, Reason::Within { span, label: label.map(str::to_owned), lines: Vec::new() });
            }
        }
    }
}

/// What one rule keeps, and the place of each. `pool` has the newest first, so the first of a bucket is its newest.
fn chosen(sets: &[SetFacts], pool: &[usize], rule: Rule, block: &Counts, tz: &TimeZone) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    // Not only the bucket before: St. John's used to set its clock back at one minute past midnight, so that a day
    // began, went on with the day before, and began again.
    let (mut place, mut seen) = (0, BTreeSet::new());
    for i in pool {
        if place == block.count(rule) {
            break;
        }
        if bucket(rule, sets[*i].created_at, tz).is_none_or(|b| seen.insert(b)) {
            place += 1;
            found.push((*i, place));
        }
    }
    found
}

/// Lets the oldest go until the rest is small enough, or only what may never go is left.
fn cap(sets: &[SetFacts], members: &[usize], max_size_bytes: u64, verdicts: &mut [Verdict]) {
    let kept = members.iter().filter(|i| verdicts[**i].keeps());
    let mut total_bytes: u128 = kept.map(|i| u128::from(sets[*i].size_bytes)).sum();
    for i in members.iter().rev() {
        if total_bytes <= u128::from(max_size_bytes) {
            return;
        }
        if verdicts[*i].keeps() && verdicts[*i].never.is_empty() {
            verdicts[*i].over_cap = true;
            verdicts[*i].gone = Some(Reason::SizeCap { max_size_bytes });
            total_bytes -= u128::from(sets[*i].size_bytes);
        }
    }
}

/// Says what several lines have in common once, and leaves the lines out where they are the whole set.
fn merged(all: impl Iterator<Item = Why>, lines: &BTreeSet<Line>) -> Vec<Reason> {
    let mut found: Vec<(String, Reason, Vec<Line>)> = Vec::new();
    for Why { reason, line } in all {
        let text = reason.to_string();
        match found.iter_mut().find(|(t, ..)| *t == text) {
            Some((.., of)) => of.extend(line),
            None => found.push((text, reason, line.into_iter().collect())),
        }
    }
    found
        .into_iter()
        .map(|(_, mut reason, mut of)| {
            if of.len() == lines.len() {
                of.clear();
            }
            match &mut reason {
                Reason::Counted { lines, .. }
                | Reason::Within { lines, .. }
                | Reason::NoRules { lines }
                | Reason::OnlyComplete { lines }
                | Reason::NewestComplete { lines }
                | Reason::NewestVerified { lines } => *lines = of,
                _ => {}
            }
            reason
        })
        .collect()
}
