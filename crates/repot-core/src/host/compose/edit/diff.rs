//! A small unified diff, for plans that people read.

/// Lines of context around a change.
const CONTEXT: usize = 1;
/// Beyond this many cells the table is not built; the differing middle is shown as replaced whole.
const MAX_CELLS: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// A unified diff of two texts with one line of context; empty when they are equal.
#[must_use]
pub fn diff(before: &str, after: &str, name: &str) -> String {
    if before == after {
        return String::new();
    }
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();

    let mut lines: Vec<Line<'_>> = old[..head].iter().map(|l| Line::Same(l)).collect();
    middle(&old[head..old.len() - tail], &new[head..new.len() - tail], &mut lines);
    lines.extend(old[old.len() - tail..].iter().map(|l| Line::Same(l)));
    render(&lines, name)
}

fn middle<'a>(old: &[&'a str], new: &[&'a str], out: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > MAX_CELLS {
        out.extend(old.iter().map(|l| Line::Old(l)));
        out.extend(new.iter().map(|l| Line::New(l)));
        return;
    }
    // Longest common subsequence of what remains from (i, j) on.
    let mut longest = vec![0u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]
        {
            out.push(Line::Old(old[i]));
            i += 1;
        } else {
            out.push(Line::New(new[j]));
            j += 1;
        }
    }
}

fn render(lines: &[Line<'_>], name: &str) -> String {
    let mut out = format!("--- {name}\n+++ {name}\n");
    let changed: Vec<usize> = (0..lines.len()).filter(|&i| !matches!(lines[i], Line::Same(_))).collect();
    let mut next = 0;
    // Line numbers reached so far, in the old and the new text.
    let (mut at, mut old_line, mut new_line) = (0, 1, 1);
    while next < changed.len() {
        let first = changed[next].saturating_sub(CONTEXT).max(at);
        let mut last = changed[next];
        while next < changed.len() && changed[next] <= last + 2 * CONTEXT + 1 {
            last = changed[next];
            next += 1;
        }
        let end = (last + CONTEXT + 1).min(lines.len());
        old_line += first - at;
        new_line += first - at;
        let hunk = &lines[first..end];
        let olds = hunk.iter().filter(|l| !matches!(l, Line::New(_))).count();
        let news = hunk.iter().filter(|l| !matches!(l, Line::Old(_))).count();
        let start = |line: usize, count: usize| if count == 0 { line - 1 } else { line };
        out.push_str(&format!("@@ -{},{olds} +{},{news} @@\n", start(old_line, olds), start(new_line, news)));
        for line in hunk {
            let (sign, text) = match line {
                Line::Same(t) => (' ', t),
                Line::Old(t) => ('-', t),
                Line::New(t) => ('+', t),
            };
            out.push(sign);
            out.push_str(text.trim_end_matches(['\n', '\r']));
            out.push('\n');
            if !text.ends_with('\n') {
                out.push_str("\\ No newline at end of file\n");
            }
        }
        old_line += olds;
        new_line += news;
        at = end;
    }
    out
}
