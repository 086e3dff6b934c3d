//! A view's definition, the same whatever its database is called.
//!
//! The server leaves the database out where all tables are in the session's own, but keeps it, for columns at least, where
//! the view cannot be opened, for instance since its definer is not there.

/// A piece of a definition: a quoted name with what is in it, or what stands between.
enum Piece<'a> {
    Name(&'a str),
    Rest(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let quote = bytes[at];
        if !matches!(quote, b'`' | b'\'' | b'"') {
            at += 1;
            continue;
        }
        let begin = at;
        at += 1;
        while at < bytes.len() {
            if bytes[at] == quote {
                // A doubled quote stands for itself.
                if bytes.get(at + 1) == Some(&quote) {
                    at += 1;
                } else {
                    break;
                }
            } else if bytes[at] == b'\\' && quote != b'`' {
                at += 1;
            }
            at += 1;
        }
        at = (at + 1).min(bytes.len());
        if quote == b'`' {
            found.push(Piece::Rest(&text[from..begin]));
            found.push(Piece::Name(&text[begin..at]));
            from = at;
        }
    }
    found.push(Piece::Rest(&text[from..]));
    found
}

/// The definition without the name of the database `quoted`, where no table of another one is in it.
pub(super) fn unqualified(text: &str, quoted: &str) -> String {
    let all = pieces(text);
    let name = |i: usize| match all.get(i) {
        Some(Piece::Name(n)) => Some(*n),
        _ => None,
    };
    let rest = |i: usize| match all.get(i) {
        Some(Piece::Rest(r)) => *r,
        _ => "",
    };
    // Names stand at odd places.
    let dotted = |i: usize| rest(i + 1) == "." && name(i + 2).is_some();
    let is_table = |i: usize| {
        let before = rest(i - 1).trim_end_matches('(').to_ascii_lowercase();
        before.ends_with("from ") || before.ends_with("join ")
    };
    let names = || (1..all.len()).step_by(2);
    if names().any(|i| is_table(i) && dotted(i) && name(i) != Some(quoted)) {
        return text.to_owned();
    }
    // A table, or a column of a table; an alias of that name is neither.
    let goes = |i: usize| {
        name(i) == Some(quoted)
            && dotted(i)
            && rest(i - 1) != "."
            && (is_table(i) || (dotted(i + 2) && name(i + 4).is_some()))
    };
    let mut out = String::with_capacity(text.len());
    let mut skip_dot = false;
    for (i, piece) in all.iter().enumerate() {
        match piece {
            Piece::Name(_) if goes(i) => skip_dot = true,
            Piece::Rest(".") if skip_dot => skip_dot = false,
            Piece::Name(s) | Piece::Rest(s) => out.push_str(s),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_database_goes_and_only_where_it_is_alone() {
        let of = |text: &str| unqualified(text, "`app`");
        let short = "CREATE DEFINER=`app`@`%` VIEW `dear` AS select `item`.`name` AS `n`,'from `app`.' AS `x` from (`item` join `part` on(`item`.`id` = `part`.`item`)) where `item`.`price` > 1";
        let long = "CREATE DEFINER=`app`@`%` VIEW `dear` AS select `app`.`item`.`name` AS `n`,'from `app`.' AS `x` from (`app`.`item` join `app`.`part` on(`app`.`item`.`id` = `app`.`part`.`item`)) where `app`.`item`.`price` > 1";
        assert_eq!(of(long), short);
        assert_eq!(of(short), short);
        // As MariaDB 10.11 has it for a definer that is not there.
        let columns = "select `app`.`item`.`name` AS `name` from `item` where `app`.`item`.`price` > 1";
        assert_eq!(of(columns), "select `item`.`name` AS `name` from `item` where `item`.`price` > 1");
        let two = "VIEW `v` AS select `app`.`t`.`a` AS `a` from (`app`.`t` join `other`.`t` `u`)";
        assert_eq!(of(two), two);
        // A table and an alias that are called as the database.
        let table = "VIEW `v` AS select `app`.`a` AS `a` from `app`";
        assert_eq!(of(table), table);
        assert_eq!(of("VIEW `v` AS select `app`.`app`.`a` AS `a` from `app`.`app`"), table);
        let alias = "VIEW `v` AS select `app`.`a` AS `a` from `t` `app`";
        assert_eq!(of("VIEW `v` AS select `app`.`a` AS `a` from `app`.`t` `app`"), alias);
        let odd = "VIEW `v` AS select 'it\\'s `app`.`x`' AS `a``b` from `app";
        assert_eq!(of(odd), odd);
    }
}
