//! One end of a declared edge, compiled: whether somebody is meant by it.
//!
//! Text that cannot be read means nobody; whoever declares is told so before (`triage`'s check).

use std::net::IpAddr;

use globset::{Glob, GlobMatcher};
use ipnet::IpNet;
use model::expectation::{EndpointPattern, LabelPattern};
use model::ids::WorkloadKey;
use model::runtime::ContainerFacts;
use model::traffic::{Endpoint, OWN_NETWORKS};
use model::untrusted::Untrusted;

use super::Side;

/// The label that names a pod's namespace on its containers.
pub(super) const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// Shortest prefix of a network that is somebody's: nobody has more than a 256th of the Internet.
const SOMEBODY_BITS_MIN: u8 = 8;

/// One end, compiled.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Workload { name: Untrusted, glob: Option<NameGlob> },
    Labels { namespace: Option<Untrusted>, labels: Vec<LabelPattern> },
    Host,
    Network(Network),
    Domain { name: String, glob: Option<NameGlob> },
    Any,
    Nobody,
}

/// A glob, and texts without which no name can match it.
#[derive(Clone, Debug)]
pub(super) struct NameGlob {
    texts: Vec<Box<str>>,
    glob: GlobMatcher,
}

/// A network without some of its parts.
#[derive(Clone, Debug)]
pub(super) struct Network {
    whole: IpNet,
    except: Vec<IpNet>,
}

impl Pattern {
    pub(super) fn new(pattern: &EndpointPattern) -> Self {
        match pattern {
            EndpointPattern::Workload { pattern } => {
                // A command that was declared as it is typed means its shape, as workloads have it.
                let name = Untrusted::new(WorkloadKey::new(pattern.raw()).raw());
                Self::Workload { glob: NameGlob::new(name.raw()), name }
            }
            EndpointPattern::Labels { namespace, labels } => {
                Self::Labels { namespace: namespace.clone(), labels: labels.clone() }
            }
            EndpointPattern::Host => Self::Host,
            EndpointPattern::Network { prefix, except } => {
                Network::parse(prefix, except).map_or(Self::Nobody, Self::Network)
            }
            EndpointPattern::Domain { pattern } => {
                let name = plain_domain(pattern.raw());
                Self::Domain { glob: NameGlob::new(&name), name }
            }
            EndpointPattern::Any => Self::Any,
        }
    }

    /// The name that only workloads of that name have, when it says no more than that: what rules are found by.
    pub(super) fn sole_name(&self) -> Option<&Untrusted> {
        match self {
            Self::Workload { name, .. } => {
                Some(name).filter(|name| !name.raw().contains(['*', '?', '[', '{', '\\']))
            }
            _ => None,
        }
    }

    /// Whether somebody in particular is meant, and not everybody outside.
    pub(super) fn is_somebody(&self) -> bool {
        match self {
            Self::Workload { .. } | Self::Labels { .. } | Self::Host => true,
            Self::Network(network) => network.whole.prefix_len() >= SOMEBODY_BITS_MIN,
            // Below a name of one part, as `com`, is half the Internet.
            Self::Domain { name, .. } => name.trim_matches(['*', '.']).contains('.'),
            Self::Any | Self::Nobody => false,
        }
    }

    /// The namespace that all who are meant are in.
    pub(super) fn namespace(&self) -> Option<&Untrusted> {
        match self {
            Self::Labels { namespace, .. } => namespace.as_ref(),
            _ => None,
        }
    }

    /// What is looked at before, since matching a glob costs microseconds: whether its texts are in the name at all.
    pub(super) fn may_cover(&self, side: &Side<'_>) -> bool {
        match self {
            Self::Workload { name, glob } => side.workload().is_some_and(|workload| {
                let may_match = glob.as_ref().is_some_and(|glob| glob.has_texts(workload.raw()));
                may_match || workload.raw().starts_with(name.raw())
            }),
            _ => true,
        }
    }

    pub(super) fn covers(&self, side: &Side<'_>) -> bool {
        match self {
            Self::Workload { name, glob } => side.workload().is_some_and(|workload| {
                let (raw, short) = (workload.raw(), workload.short());
                let matches = |glob: &NameGlob| glob.is_match(raw) || glob.is_match(short);
                // A name may hold what a glob would take for its own: `busybox [yes]`.
                name.raw() == raw || name.raw() == short || glob.as_ref().is_some_and(matches)
            }),
            Self::Labels { namespace, labels } => side.facts().is_some_and(|facts| {
                let is_there = |name: &Untrusted| facts.label(NAMESPACE_LABEL) == Some(name);
                namespace.as_ref().is_none_or(is_there) && labels.iter().all(|label| has(facts, label))
            }),
            Self::Host => *side.endpoint == Endpoint::Host,
            Self::Network(network) => network.covers(side),
            Self::Domain { name, glob } => side.domain().is_some_and(|domain| {
                let domain = plain_domain(domain);
                let is_below = domain
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                is_below || glob.as_ref().is_some_and(|glob| glob.is_match(&domain))
            }),
            Self::Any => true,
            Self::Nobody => false,
        }
    }
}

impl Network {
    fn parse(prefix: &Untrusted, except: &[Untrusted]) -> Option<Self> {
        // Without one of its exceptions it would cover more than was declared.
        let except = except.iter().map(|text| network(text.raw())).collect::<Option<_>>()?;
        Some(Self { whole: network(prefix.raw())?, except })
    }

    /// By the address; without one by what the other end is called.
    fn covers(&self, side: &Side<'_>) -> bool {
        if let Some(address) = side.address {
            return self.has(address.to_canonical());
        }
        match side.endpoint {
            Endpoint::Inside(name) | Endpoint::Outside(name) => match network(name.raw()) {
                Some(named) => self.has_all(&named),
                None => side.endpoint.is_outside() && self.is_all_outside(),
            },
            Endpoint::Anybody => self.is_all_outside(),
            Endpoint::Workload(_) | Endpoint::Host => false,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.whole.contains(&address) && !self.except.iter().any(|except| except.contains(&address))
    }

    fn has_all(&self, network: &IpNet) -> bool {
        let touches = |except: &IpNet| except.contains(network) || network.contains(except);
        self.whole.contains(network) && !self.except.iter().any(touches)
    }

    /// Whether it is every address but for such as nobody outside has.
    fn is_all_outside(&self) -> bool {
        let own: Vec<IpNet> = OWN_NETWORKS.iter().filter_map(|text| text.parse().ok()).collect();
        let is_own = |except: &IpNet| own.iter().any(|own| own.contains(except));
        self.whole.prefix_len() == 0 && self.except.iter().all(is_own)
    }
}

/// A prefix, or an address as the prefix of itself.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok();
    network.or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?))).map(|network| network.trunc())
}

fn has(facts: &ContainerFacts, label: &LabelPattern) -> bool {
    let value = facts.label(label.key.raw());
    let is_meant = value.is_some_and(|value| label.values.is_empty() || label.values.contains(value));
    is_meant != label.is_not
}

impl NameGlob {
    /// `*` crosses the parts of a name: those of workloads hold commands, those of domains lie below one another.
    fn new(pattern: &str) -> Option<Self> {
        let glob = Glob::new(pattern).ok()?.compile_matcher();
        let is_plain = !pattern.contains(['[', '{', '\\']);
        let texts = pattern.split(['*', '?']).filter(|text| is_plain && !text.is_empty());
        Some(Self { texts: texts.map(Into::into).collect(), glob })
    }

    fn is_match(&self, name: &str) -> bool {
        self.has_texts(name) && self.glob.is_match(name)
    }

    fn has_texts(&self, name: &str) -> bool {
        self.texts.iter().all(|text| name.contains(&**text))
    }
}

/// Names of domains are the same in capitals and with a final dot.
fn plain_domain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
