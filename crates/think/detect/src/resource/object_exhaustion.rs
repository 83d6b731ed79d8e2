//! Flags kernel objects that run out for the whole host although no cgroup counts them, and the container that holds them.
//!
//! Yang et al., "Demons in the Shared Kernel" (CCS 2021). The host's level is always read; who holds what is found by
//! looking at processes once a level moves. Not here: tasks of one container (`fork_storm.rs`).

use std::time::Duration;

use model::finding::{Family, Finding};
use model::usage::DeepUsage;
use state::{Account, Course, Growth, Object};

use crate::Case;

pub(crate) const ID: &str = "object_exhaustion";

/// Span over which a level's growth is measured.
const WINDOW: Duration = Duration::from_secs(20);

/// Share of the limit in use from which a level is high (ALGORITHMS §1.3).
const HIGH_SHARE: f64 = 0.8;

/// Time left until the limit from which a rise is told before it is high, and the share it must have reached.
const LEFT_MAX: Duration = Duration::from_secs(120);
const RISING_SHARE_MIN: f64 = 0.05;

/// Objects that one container may hold before it is told whatever the host has: more than any server we know needs.
const HELD_MIN: [(Held, u64); 5] = [
    (Held::Files, 50_000),
    (Held::InotifyWatches, 50_000),
    (Held::Ptys, 512),
    (Held::Mounts, 5_000),
    (Held::Sysv, 1_000),
];

/// Share of what is in use that makes one container the culprit.
const CULPRIT_SHARE_MIN: f64 = 0.4;

/// The host runs out, with a culprit and without; one container holds more than anything needs.
const CULPRIT_BITS: f64 = 10.0;
const NODE_BITS: f64 = 5.0;
const HELD_BITS: f64 = 8.0;

/// What a container can be seen to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Files,
    InotifyWatches,
    Ptys,
    Mounts,
    Sysv,
}

/// Judges the host's levels and what containers hold when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    let before = out.len();
    for (object, course) in case.state.objects() {
        if let Some(growth) = running_out(course) {
            out.push(scarce(case, object, course, &growth));
        }
    }
    if out.len() > before {
        return;
    }
    for account in case.running() {
        let Some((_, deep)) = account.deep() else { continue };
        for (held, least) in HELD_MIN {
            let (name, count) = count(held, deep);
            if count >= least {
                out.push(hoard(case, account, name, count));
            }
        }
    }
}

fn running_out(course: &Course) -> Option<Growth> {
    let growth = course.growth(WINDOW)?;
    let share = course.share()?;
    let is_soon = growth.seconds_to(course.limit()?).is_some_and(|left| left <= LEFT_MAX.as_secs_f64());
    let is_rising = is_soon && share >= RISING_SHARE_MIN && growth.rising_share >= 0.5 && growth.by >= 64.0;
    (share >= HIGH_SHARE || is_rising).then_some(growth)
}

fn scarce(case: &Case, object: Object, course: &Course, growth: &Growth) -> Finding {
    let (used, limit) = (course.used(), course.limit().unwrap_or_default());
    let name = object.name();
    let level = format!(
        "the host has {used:.0} {name} of {limit:.0}, {:.0} more than {:.0} s ago",
        growth.by, growth.seconds
    );
    let mut finding = match culprit(case, object, used) {
        Some((account, held)) => case
            .resource(account, ID, CULPRIT_BITS)
            .claiming(format!("{level}; it holds {held:.0} of them"))
            .with("held", held),
        None => Finding::about_node(&case.seen.event.node, ID, Family::Resource, case.at(), NODE_BITS)
            .claiming(format!("{level}; no single container is seen to hold most of them")),
    };
    finding.harm = true;
    finding.with("object", name).with("used", used).with("limit", limit).with("grown", growth.by)
}

/// What a container holds of an object: directly, or by what its kind comes with. System V objects and mounts of the
/// host's own namespaces are nobody's.
fn held_of(object: Object, account: &Account) -> Option<f64> {
    let deep = account.deep().map(|(_, deep)| deep);
    let count = match object {
        Object::Files | Object::Inodes => deep?.files,
        Object::Ptys => deep?.ptys,
        Object::Threads => account.usage()?.pids,
        Object::Ports | Object::Conntrack => deep?.sockets,
        Object::SysvShm | Object::SysvSem | Object::SysvMsg | Object::Mounts => None,
    };
    count.map(|count| count as f64)
}

fn culprit<'a>(case: &Case<'a>, object: Object, used: f64) -> Option<(&'a Account, f64)> {
    let held = |account: &'a Account| Some((account, held_of(object, account)?));
    let (account, held) = case.running().filter_map(held).max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (held >= CULPRIT_SHARE_MIN * used).then_some((account, held))
}

fn count(held: Held, deep: &DeepUsage) -> (&'static str, u64) {
    match held {
        Held::Files => ("open files", deep.files.unwrap_or_default()),
        Held::InotifyWatches => ("inotify watches", deep.inotify_watches.unwrap_or_default()),
        Held::Ptys => ("ends of pseudo terminals", deep.ptys.unwrap_or_default()),
        Held::Mounts => ("mounts", deep.mounts.unwrap_or_default()),
        Held::Sysv => {
            let all = [deep.sysv_shm, deep.sysv_sem, deep.sysv_msg];
            ("System V objects", all.into_iter().flatten().sum())
        }
    }
}

fn hoard(case: &Case, account: &Account, name: &'static str, count: u64) -> Finding {
    let mut finding = case
        .resource(account, ID, HELD_BITS)
        .claiming(format!("it holds {count} {name}, which no cgroup counts"))
        .with("object", name)
        .with("held", count);
    finding.harm = true;
    finding
}
