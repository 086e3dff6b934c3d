//! An error with all that it was caused by, in words.

use std::error::Error;

/// Causes are told this deep.
const MAX_DEPTH: usize = 8;

/// The whole chain: the clients' own word is often only that they could not send.
pub(crate) fn chain(e: &dyn Error) -> String {
    let mut words = e.to_string();
    let mut source = e.source();
    for _ in 0..MAX_DEPTH {
        let Some(s) = source else { break };
        let text = s.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        source = s.source();
    }
    words
}
