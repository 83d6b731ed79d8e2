//! Selectors of pods and of namespaces, as labels that containers must have.
//!
//! Of namespaces only the name can be told on a host: Kubernetes puts it on every container.

use model::expectation::{EndpointPattern, LabelPattern, PATTERN_PARTS_MAX};
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};
use serde_saphyr::Spanned;

use crate::manifest::{Expression, Peer, Selector};
use crate::pods::NAMESPACE_LABEL;
use crate::problem::Problems;

/// The label of a namespace that holds its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Pods of a namespace, or of any, with these labels.
pub(super) fn pods(namespace: Option<&str>, labels: Vec<LabelPattern>) -> EndpointPattern {
    EndpointPattern::Labels { namespace: namespace.map(Untrusted::new), labels }
}

/// What a selector wants of labels.
pub(super) fn select(selector: &Selector, problems: &mut Problems) -> Vec<LabelPattern> {
    let mut labels = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        if key.len().max(value.value.len()) > UNTRUSTED_BYTES_MAX {
            problems.note_at(value, "is no label: it is too long");
        }
        labels.push(LabelPattern {
            key: key.as_str().into(),
            values: vec![value.value.as_str().into()],
            is_not: false,
        });
    }
    for expression in selector.match_expressions.iter().flatten() {
        labels.extend(wanted(expression, problems));
    }
    if labels.len() > PATTERN_PARTS_MAX
        && let Some(first) = selector.match_expressions.iter().flatten().next()
    {
        problems.note_at(&first.operator, format!("more than {PATTERN_PARTS_MAX} labels in one selector"));
    }
    labels
}

/// The namespace by name, or what the label that names it must be; `None` when it cannot be told.
pub(super) fn namespaces(
    selector: &Selector,
    peer: &Spanned<Peer>,
    problems: &mut Problems,
) -> Option<(Option<String>, Vec<LabelPattern>)> {
    let mut labels = select(selector, problems);
    if labels.iter().any(|label| label.key.raw() != NAME_LABEL) {
        let message = "selects namespaces by labels that no container shows; only kubernetes.io/metadata.name can be told";
        problems.note_at(peer, message);
        return None;
    }
    if labels.is_empty() {
        // All namespaces: whatever is a pod.
        labels.push(LabelPattern { key: NAMESPACE_LABEL.into(), values: Vec::new(), is_not: false });
    }
    if let [LabelPattern { values, is_not: false, .. }] = &labels[..]
        && let [name] = &values[..]
    {
        return Some((Some(name.raw().to_owned()), Vec::new()));
    }
    labels.iter_mut().for_each(|label| label.key = NAMESPACE_LABEL.into());
    Some((None, labels))
}

fn wanted(expression: &Expression, problems: &mut Problems) -> Option<LabelPattern> {
    let values = expression.values.as_deref().unwrap_or_default();
    let operator = &expression.operator;
    let (needs_values, is_not) = match operator.value.as_str() {
        "In" => (true, false),
        "NotIn" => (true, true),
        "Exists" => (false, false),
        "DoesNotExist" => (false, true),
        other => {
            let message = format!("{:?} is none of In, NotIn, Exists, DoesNotExist", Untrusted::new(other));
            problems.note_at(operator, message);
            return None;
        }
    };
    if needs_values == values.is_empty() {
        let word = if needs_values { "needs" } else { "takes no" };
        problems.note_at(operator, format!("{} {word} values", operator.value));
        return None;
    }
    let longest = values.iter().map(String::len).max().unwrap_or(0).max(expression.key.len());
    if values.len() > PATTERN_PARTS_MAX || longest > UNTRUSTED_BYTES_MAX {
        problems
            .note_at(operator, format!("at most {PATTERN_PARTS_MAX} values of {UNTRUSTED_BYTES_MAX} bytes"));
        return None;
    }
    let values = values.iter().map(|value| Untrusted::new(value)).collect();
    Some(LabelPattern { key: expression.key.as_str().into(), values, is_not })
}
