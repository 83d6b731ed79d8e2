//! Whom an expectation is about, spelt out so that no two are spelt alike: what its name is made from.
//!
//! Not here: what people read, which shortens and escapes.

use std::fmt::Write;

use super::{EdgePattern, EndpointPattern, Expected, LabelPattern};
use crate::traffic::Direction;
use crate::untrusted::Untrusted;

impl Expected {
    /// The bare pattern of what has one; else all parts, each with its length in front.
    pub(super) fn spelt(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Image { pattern } | Self::Workload { pattern } => pattern.raw().clone_into(&mut out),
            Self::Edge(edge) => edge.spell(&mut out),
            Self::NothingElse { who, direction } => {
                who.spell(&mut out);
                put(&mut out, side(Some(*direction)));
            }
        }
        out
    }
}

impl EdgePattern {
    fn spell(&self, out: &mut String) {
        self.from.spell(out);
        self.to.spell(out);
        let (low, high) = self.ports.unwrap_or_default();
        let protocol = self.protocol.map_or(String::new(), |protocol| protocol.0.to_string());
        for text in [&low.to_string(), &high.to_string(), &protocol, side(self.side)] {
            put(out, text);
        }
    }
}

impl EndpointPattern {
    fn spell(&self, out: &mut String) {
        match self {
            Self::Workload { pattern } => put_all(out, &["workload", pattern.raw()]),
            Self::Labels { namespace, labels } => {
                let is_given = if namespace.is_some() { "in" } else { "anywhere" };
                let namespace = namespace.as_ref().map_or("", Untrusted::raw);
                put_all(out, &["labels", is_given, namespace, &labels.len().to_string()]);
                labels.iter().for_each(|label| label.spell(out));
            }
            Self::Host => put(out, "host"),
            Self::Network { prefix, except } => {
                put_all(out, &["network", prefix.raw(), &except.len().to_string()]);
                except.iter().for_each(|except| put(out, except.raw()));
            }
            Self::Domain { pattern } => put_all(out, &["domain", pattern.raw()]),
            Self::Any => put(out, "any"),
        }
    }
}

impl LabelPattern {
    fn spell(&self, out: &mut String) {
        let sign = if self.is_not { "!=" } else { "=" };
        put_all(out, &[self.key.raw(), sign, &self.values.len().to_string()]);
        self.values.iter().for_each(|value| put(out, value.raw()));
    }
}

fn side(side: Option<Direction>) -> &'static str {
    match side {
        Some(Direction::Out) => "out",
        Some(Direction::In) => "in",
        None => "both",
    }
}

fn put_all(out: &mut String, texts: &[&str]) {
    texts.iter().for_each(|text| put(out, text));
}

/// A text with its length in front cannot run into the next.
fn put(out: &mut String, text: &str) {
    // Writing into a string cannot fail.
    let _written = write!(out, "{}:{text},", text.len());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::traffic::Protocol;

    fn label(key: &str, values: &[&str], is_not: bool) -> LabelPattern {
        LabelPattern { key: key.into(), values: values.iter().map(|value| (*value).into()).collect(), is_not }
    }

    fn labels(namespace: Option<&str>, labels: Vec<LabelPattern>) -> EndpointPattern {
        EndpointPattern::Labels { namespace: namespace.map(Untrusted::new), labels }
    }

    fn network(except: &[&str]) -> EndpointPattern {
        let except = except.iter().map(|text| (*text).into()).collect();
        EndpointPattern::Network { prefix: "0.0.0.0/0".into(), except }
    }

    fn to(to: EndpointPattern) -> EdgePattern {
        EdgePattern { from: EndpointPattern::Host, to, ports: None, protocol: None, side: None }
    }

    #[test]
    fn no_two_are_spelt_alike() {
        let web = || EndpointPattern::Workload { pattern: "web".into() };
        let edges = [
            to(web()),
            to(EndpointPattern::Domain { pattern: "web".into() }),
            to(EndpointPattern::Any),
            to(network(&[])),
            to(network(&["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"])),
            to(network(&["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.5.0.0/16"])),
            to(labels(None, vec![label("a", &["b", "c", "=", "1", "d"], false)])),
            to(labels(None, vec![label("a", &["b"], false), label("c", &["d"], false)])),
            to(labels(Some(""), vec![label("a", &["b"], true)])),
            to(labels(None, vec![label("a", &["b"], true)])),
            EdgePattern { ports: Some((1, 2)), ..to(web()) },
            EdgePattern { ports: Some((1, 1)), protocol: Some(Protocol(2)), ..to(web()) },
            EdgePattern { side: Some(Direction::In), ..to(web()) },
            EdgePattern { side: Some(Direction::Out), ..to(web()) },
        ];
        let alone = [Direction::In, Direction::Out]
            .map(|direction| Expected::NothingElse { who: web(), direction }.spelt());
        let spelt = edges.iter().map(|edge| Expected::Edge(Box::new(edge.clone())).spelt()).chain(alone);
        assert_eq!(spelt.collect::<BTreeSet<String>>().len(), edges.len() + 2);
    }
}
