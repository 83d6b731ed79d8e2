//! What workloads ask for names, by registered domain: whether somebody talks through the questions.
//!
//! Not here: which addresses the answers hold (`enrich`).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::identity::Container;
use model::ids::WorkloadKey;
use model::time::Time;
use model::traffic::DnsMessage;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::traffic::distinct::Salt;
use crate::traffic::domain::parts;
use crate::traffic::tunnel::{Message, Reading, Tunnel};

/// Domains followed of one workload, and workloads; the one asked for the longest ago makes room.
const DOMAINS_OF_ONE_MAX: usize = 256;
const WORKLOADS_MAX: usize = 4_096;

/// A domain that was asked about just now.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By whom.
    pub container: Arc<Container>,
    /// The registered domain.
    pub domain: Untrusted,
    /// The last name.
    pub name: Untrusted,
    /// What the questions show by now.
    pub reading: Reading,
    /// Workloads that ask about the domain, this one included.
    pub known_by: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Questions {
    #[serde(with = "model::pairs")]
    of: BTreeMap<WorkloadKey, BTreeMap<Untrusted, (Time, Tunnel)>>,
    known_by: BTreeMap<Untrusted, u32>,
}

impl Questions {
    pub(super) fn take(
        &mut self,
        message: &DnsMessage,
        (container, workload): (&Arc<Container>, &WorkloadKey),
        at: Time,
        salt: Salt,
    ) -> Option<Asked> {
        let (subdomain, domain) = parts(message.name.raw())?;
        let domain = Untrusted::new(&domain.to_ascii_lowercase());
        let tunnel = self.tunnel(workload, &domain, at)?;
        let (record_type, is_answer, code) = (message.record_type, message.is_answer, message.code);
        tunnel.take(at, Message { subdomain, record_type, is_answer, code }, salt);
        let reading = tunnel.reading(at);
        let known_by = self.known_by.get(&domain).copied().unwrap_or(0);
        Some(Asked {
            container: Arc::clone(container),
            domain,
            name: message.name.clone(),
            reading,
            known_by,
        })
    }

    fn tunnel(&mut self, workload: &WorkloadKey, domain: &Untrusted, at: Time) -> Option<&mut Tunnel> {
        if self.of.len() >= WORKLOADS_MAX && !self.of.contains_key(workload) {
            return None;
        }
        let domains = self.of.entry(workload.clone()).or_default();
        if !domains.contains_key(domain) {
            if domains.len() >= DOMAINS_OF_ONE_MAX {
                let oldest =
                    domains.iter().min_by_key(|(_, (last, _))| *last).map(|(domain, _)| domain.clone());
                if let Some(oldest) = oldest {
                    domains.remove(&oldest);
                    forget(&mut self.known_by, &oldest);
                }
            }
            *self.known_by.entry(domain.clone()).or_default() += 1;
        }
        let (last, tunnel) = domains.entry(domain.clone()).or_default();
        *last = at;
        Some(tunnel)
    }
}

fn forget(known_by: &mut BTreeMap<Untrusted, u32>, domain: &Untrusted) {
    if let Some(count) = known_by.get_mut(domain) {
        *count -= 1;
        if *count == 0 {
            known_by.remove(domain);
        }
    }
}
