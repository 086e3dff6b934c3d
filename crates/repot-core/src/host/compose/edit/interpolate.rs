//! Compose's variable interpolation: `$VAR`, `${VAR}`, `${VAR:-d}`, `${VAR-d}`, `${VAR:?e}`, `${VAR?e}`, `${VAR:+x}`,
//! `${VAR+x}`, `$$`, nested. Rules from compose-go, package `template`.

use std::ops::Range;

use crate::error::{Error, Result};

const MAX_DEPTH: usize = 16;
/// Defaults that repeat a variable can grow exponentially; no Compose value is this long.
const MAX_VALUE_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// `-`: the argument when unset (or, with the colon, empty).
    Default,
    /// `?`: an error when unset (or empty).
    Require,
    /// `+`: the argument when set (and not empty).
    Alternate,
}

/// One part of a value; ranges are bytes of the raw text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Range<usize>),
    /// `$$`, which is one dollar.
    Dollar,
    Var(Var),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Var {
    pub(super) name: String,
    pub(super) op: Option<Op>,
    /// With a colon, empty counts as unset.
    pub(super) colon: bool,
    pub(super) arg: Range<usize>,
}

/// The value itself is not shown: it may be a password with a dollar sign in it.
fn invalid(why: &str) -> Error {
    Error::refused("interpolation-invalid", "a value has a dollar sign that Compose cannot interpolate")
        .why(why)
        .help("write a literal dollar sign as `$$`")
}

fn name_len(text: &str) -> usize {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first {
        text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
    } else {
        0
    }
}

/// Splits a raw value into its parts.
pub(super) fn pieces(raw: &str) -> Result<Vec<Piece>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let Some(dollar) = rest.find('$') else {
            out.push(Piece::Text(at..raw.len()));
            break;
        };
        if dollar > 0 {
            out.push(Piece::Text(at..at + dollar));
            at += dollar;
            continue;
        }
        let body = &rest[1..];
        if body.starts_with('$') {
            out.push(Piece::Dollar);
            at += 2;
        } else if let Some(inner) = body.strip_prefix('{') {
            let close = closing_brace(inner).ok_or_else(|| invalid("a `${` has no `}`"))?;
            out.push(Piece::Var(braced(raw, at + 2..at + 2 + close)?));
            at += 2 + close + 1;
        } else {
            let len = name_len(body);
            if len == 0 {
                return Err(invalid("a `$` is followed by no variable's name"));
            }
            out.push(Piece::Var(Var { name: body[..len].to_owned(), op: None, colon: false, arg: 0..0 }));
            at += 1 + len;
        }
    }
    Ok(out)
}

/// Where the brace that was open before `text` closes; every `{` in between opens another.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1usize;
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'{' => open += 1,
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

fn braced(raw: &str, range: Range<usize>) -> Result<Var> {
    let body = &raw[range.clone()];
    let len = name_len(body);
    if len == 0 {
        return Err(invalid("`${` is followed by no variable's name"));
    }
    let (name, rest) = body.split_at(len);
    let (colon, after) = match rest.strip_prefix(':') {
        Some(after) => (true, after),
        None => (false, rest),
    };
    let op = match after.bytes().next() {
        Some(b'-') => Op::Default,
        Some(b'?') => Op::Require,
        Some(b'+') => Op::Alternate,
        None if !colon => {
            return Ok(Var { name: name.to_owned(), op: None, colon: false, arg: range.end..range.end });
        }
        _ => {
            return Err(invalid("a variable's name is followed by none of `-`, `?`, `+`, `:-`, `:?`, `:+`"));
        }
    };
    Ok(Var {
        name: name.to_owned(),
        op: Some(op),
        colon,
        arg: range.start + len + usize::from(colon) + 1..range.end,
    })
}

/// The value of a raw text, variables looked up in `lookup`.
pub(super) fn expand(raw: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    expand_at(raw, lookup, 0)
}

fn expand_at(raw: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String> {
    if depth > MAX_DEPTH {
        return Err(invalid(&format!("variables are nested deeper than {MAX_DEPTH}")));
    }
    let mut out = String::new();
    for piece in pieces(raw)? {
        out.push_str(&value_of(raw, &piece, lookup, depth)?);
        if out.len() > MAX_VALUE_BYTES {
            return Err(invalid("its value is longer than a mebibyte"));
        }
    }
    Ok(out)
}

/// The value of one part.
pub(super) fn piece_value(
    raw: &str,
    piece: &Piece,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String> {
    value_of(raw, piece, lookup, 0)
}

fn value_of(
    raw: &str,
    piece: &Piece,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String> {
    let var = match piece {
        Piece::Text(range) => return Ok(raw[range.clone()].to_owned()),
        Piece::Dollar => return Ok("$".to_owned()),
        Piece::Var(var) => var,
    };
    let current = lookup(&var.name);
    let present = current.as_ref().is_some_and(|v| !(var.colon && v.is_empty()));
    let arg = || expand_at(&raw[var.arg.clone()], lookup, depth + 1);
    match var.op {
        Some(Op::Default) if !present => arg(),
        Some(Op::Alternate) => {
            if present {
                arg()
            } else {
                Ok(String::new())
            }
        }
        Some(Op::Require) if !present => Err(Error::refused(
            "variable-required",
            format!("the variable {} has no value, and the Compose file requires one", var.name),
        )
        .why(arg()?)
        .help(format!("set {} in .env or in the shell", var.name))),
        _ => Ok(current.unwrap_or_default()),
    }
}

/// Every variable that a raw text names, nested ones too; a text Compose would not take names none.
pub(super) fn names(raw: &str) -> Vec<String> {
    let mut out = Vec::new();
    collect(raw, 0, &mut out);
    out
}

fn collect(raw: &str, depth: usize, out: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    for piece in pieces(raw).unwrap_or_default() {
        if let Piece::Var(var) = piece {
            collect(&raw[var.arg.clone()], depth + 1, out);
            out.push(var.name);
        }
    }
}
