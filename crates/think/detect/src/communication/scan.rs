//! Flags a container whose first contacts fail as those of somebody who searches do, and one that meets far more than it
//! ever did.
//!
//! T1046. Wald's sequential test (Jung et al., IEEE S&P 2004): decided after seven failures, once in a hundred thousand for
//! nothing. Not here: contacts that go on with whoever was found.

use model::finding::Finding;
use state::graph::Scanning;

use crate::Case;
use crate::communication::contact;

pub(crate) const ID: &str = "scan";

/// The test is wrong once in 10^5 decisions (16.6 bits); networks that lose half of what they carry are not in its model.
const SEARCH_BITS: f64 = 13.0;
/// Meeting very many says less: crawlers do.
const FAN_OUT_BITS: f64 = 5.0;

/// Ports and addresses from which one of them is what is searched.
const MANY: f64 = 4.0;

/// Judges every container whose contacts tell so.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for scanning in &case.state.graph().news().scans {
        let bits = if scanning.is_search { SEARCH_BITS } else { FAN_OUT_BITS };
        let mut finding = contact(case, &scanning.container, ID, bits)
            .claiming(claim(scanning))
            .with("contacts", u64::from(scanning.contacts))
            .with("failed", u64::from(scanning.failed))
            .with("addresses", scanning.addresses)
            .with("ports", scanning.ports)
            .with("destinations_in_ten_minutes", scanning.destinations);
        if let Some((address, port)) = scanning.latest {
            finding = finding.with("latest", format!("{address} port {port}").as_str());
        }
        out.push(finding);
    }
}

fn claim(scanning: &Scanning) -> String {
    let Scanning { contacts, failed, addresses, ports, destinations, usual_destinations, .. } = scanning;
    if !scanning.is_search {
        let usual =
            usual_destinations.map_or_else(String::new, |usual| format!(", at most {usual:.0} before"));
        return format!("it met {destinations:.0} addresses and ports in ten minutes{usual}");
    }
    let what = match (*ports >= MANY, *addresses >= MANY) {
        (true, false) => "ports",
        (false, true) => "addresses",
        _ => "addresses and ports",
    };
    format!("it searches {what}: {failed} of its last {contacts} first contacts failed")
}
