//! Flags many small containers that start together and spend much together, where each alone is below every gate.
//!
//! What they share is an image, or only the moment of their start. Not here: the replicas of an approved service, which
//! is what a scale-out looks like.

use std::collections::BTreeMap;
use std::time::Duration;

use model::finding::Finding;
use model::novelty::Provenance;
use state::Account;

use crate::Case;

pub(crate) const ID: &str = "herd";

/// Fewest members.
const MEMBERS_MIN: usize = 4;

/// Members started within so long of now.
const YOUNG: Duration = Duration::from_secs(300);

/// What members spend together, others' cost included, in cores or as a share of the host.
const CORES_MIN: f64 = 0.7;
const HOST_SHARE_MIN: f64 = 0.35;

/// What each must spend to be one of them, in cores.
const MEMBER_CORES_MIN: f64 = 0.02;

/// Age from which a start is over, in seconds.
const SECONDS_MIN: f64 = 2.5;

/// One source, and only one moment.
const SAME_IMAGE_BITS: f64 = 8.5;
const SAME_MOMENT_BITS: f64 = 6.0;

/// Longest time between the first and the last start of a crowd that shares no image.
const MOMENT: Duration = Duration::from_secs(30);

/// Judges all young containers that nobody approved when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    let cores_min = CORES_MIN.min(HOST_SHARE_MIN * f64::from(host.cores.max(1)));
    let members: Vec<&Account> = case.running().filter(|account| may_belong(case, account)).collect();
    if members.len() < MEMBERS_MIN {
        return;
    }
    let mut by_image: BTreeMap<&str, Vec<&Account>> = BTreeMap::new();
    for member in &members {
        by_image.entry(image(member)).or_default().push(member);
    }
    let herds = by_image.iter().filter(|(_, herd)| herd.len() >= MEMBERS_MIN);
    let before = out.len();
    for (image, herd) in herds {
        tell(case, herd, cores_min, (image, SAME_IMAGE_BITS), out);
    }
    if out.len() == before && started_together(&members) {
        tell(case, &members, cores_min, ("several images", SAME_MOMENT_BITS), out);
    }
}

fn may_belong(case: &Case, account: &Account) -> bool {
    let is_unapproved = matches!(account.provenance(), Provenance::Unclaimed | Provenance::Unapproved);
    let is_young = case.at().since(account.container().key.started) <= YOUNG;
    is_unapproved && is_young && account.true_cores() >= MEMBER_CORES_MIN && seconds(account) >= SECONDS_MIN
}

fn seconds(account: &Account) -> f64 {
    account.spent(5.0).map_or(0.0, |spent| spent.seconds)
}

fn image(account: &Account) -> &str {
    account.container().facts.known().map_or("no image known", |facts| facts.image.raw())
}

fn started_together(members: &[&Account]) -> bool {
    let starts = || members.iter().map(|member| member.container().key.started);
    match (starts().min(), starts().max()) {
        (Some(first), Some(last)) => last.since(first) <= MOMENT,
        _ => false,
    }
}

/// One finding on the member that spends most: a herd of one workload is one incident, and one of many workloads is
/// found at its head.
fn tell(case: &Case, herd: &[&Account], cores_min: f64, (image, bits): (&str, f64), out: &mut Vec<Finding>) {
    let total: f64 = herd.iter().map(|member| member.true_cores()).sum();
    let head = herd.iter().max_by(|a, b| {
        // Of equals the first started: it must not change from second to second.
        let tenths = |account: &Account| (account.true_cores() * 10.0).round() as i64;
        tenths(a).cmp(&tenths(b)).then(b.container().key.cgroup.cmp(&a.container().key.cgroup))
    });
    let Some(head) = head.filter(|_| total >= cores_min) else { return };
    let out_of_band: f64 = herd.iter().map(|member| member.out_of_band_cores()).sum();
    let image = model::untrusted::Untrusted::new(image);
    let claim = format!(
        "{} containers of {image} started within {} s and cost {total:.2} cores together, {out_of_band:.2} of them spent \
         by others",
        herd.len(),
        YOUNG.as_secs()
    );
    let mut finding = case
        .resource(head, ID, bits)
        .claiming(claim)
        .with("members", herd.len() as u64)
        .with("true_cpu_cores", total)
        .with("out_of_band_cpu_cores", out_of_band)
        .with("image", &image);
    finding.harm = out_of_band >= 0.25;
    out.push(finding);
}
