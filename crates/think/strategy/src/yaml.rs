//! YAML from strangers: strict, bounded in depth, events and text, without anchors, and with the line of an error.
//!
//! Not here: front matter, which is cut out of its document before.

use model::untrusted::Untrusted;
use serde::de::DeserializeOwned;
use serde_saphyr::{MergeKeyPolicy, MessageFormatter, Options, Spanned, UserMessageFormatter};

use crate::bundle::{FILE_BYTES_MAX, Log};

/// Deepest nesting; our forms need six levels.
const DEPTH_MAX: usize = 16;
/// Most parser events; a long playbook has about a thousand.
const EVENTS_MAX: usize = 20_000;

/// Parses one YAML document, or notes why it cannot be.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str, log: &mut Log<'_>) -> Option<T> {
    match serde_saphyr::from_str_with_options(text, strict()) {
        Ok(value) => Some(value),
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            let message = UserMessageFormatter.format_message(error.without_snippet());
            log.note(file, line, Untrusted::new(&message).to_string());
            None
        }
    }
}

/// The line a value stands on, from 1.
pub(crate) fn line<T>(value: &Spanned<T>) -> u64 {
    value.referenced.line()
}

fn strict() -> Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEPTH_MAX,
        flow_nesting_limit: DEPTH_MAX,
        max_events: EVENTS_MAX,
        max_nodes: EVENTS_MAX,
        // Nothing of ours needs an anchor, and without them no document is larger than its text.
        max_anchors: 0,
        max_aliases: 0,
        max_documents: 1,
        max_total_scalar_bytes: FILE_BYTES_MAX,
    };
    serde_saphyr::options! {
        budget: budget,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}
