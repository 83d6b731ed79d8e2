//! YAML from strangers: strict, bounded in size, depth, events and documents, without anchors, and with the line of an error.

use model::untrusted::Untrusted;
use serde::de::DeserializeOwned;
use serde_saphyr::{MergeKeyPolicy, MessageFormatter, Options, UserMessageFormatter};

use crate::problem::Problems;

/// Largest file, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Deepest nesting; a policy in a list needs eleven levels.
const DEPTH_MAX: usize = 32;
/// Most parser events; a policy with ten rules has about three hundred.
const EVENTS_MAX: usize = 500_000;
/// Most documents of one file.
const DOCUMENTS_MAX: usize = 2_000;

/// Parses all documents of a text, or notes why they cannot be; empty ones are left out.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, problems: &mut Problems) -> Vec<T> {
    if text.len() > FILE_BYTES_MAX {
        problems.note(1, format!("{} bytes are more than the {FILE_BYTES_MAX} allowed", text.len()));
        return Vec::new();
    }
    serde_saphyr::from_multiple_with_options(text, strict()).unwrap_or_else(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let message = UserMessageFormatter.format_message(error.without_snippet());
        problems.note(line, Untrusted::new(&message).to_string());
        Vec::new()
    })
}

fn strict() -> Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEPTH_MAX,
        flow_nesting_limit: DEPTH_MAX,
        max_events: EVENTS_MAX,
        max_nodes: EVENTS_MAX,
        // Without anchors no document is larger than its text.
        max_anchors: 0,
        max_aliases: 0,
        max_documents: DOCUMENTS_MAX,
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
