//! What went over each flow since the last look, out of the kernel's table, and which lines of it may go.
//!
//! Not here: the table (`probes`), and who the ends are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use model::event::Body;
use model::ids::CgroupId;
use model::traffic::{FLOWS_MAX, Flow, FlowCounts, FlowKey, Flows};
use probes::{Probes, ProbesError};

/// How long a line stands still before it is deleted; its next contact is then told as a first one again.
const IDLE_KEPT: Duration = Duration::from_secs(60);
/// The same for a cgroup that has many lines: what scans a network meets no address twice.
const CROWD_IDLE_KEPT: Duration = Duration::from_secs(10);
/// Lines from which a cgroup has many.
const CROWD_LINES: usize = 512;
/// Most lines deleted at one look: each costs a system call.
const DELETED_MAX: usize = 4_096;

/// The lines as they were at the last look.
#[derive(Debug, Default)]
pub(super) struct FlowTable {
    lines: HashMap<(CgroupId, FlowKey), Line>,
}

#[derive(Debug)]
struct Line {
    counts: FlowCounts,
    changed: Instant,
}

impl FlowTable {
    /// Looks at the table: what changed, by cgroup, as events; lines that stood still are deleted.
    pub(super) fn look(&mut self, probes: &mut Probes) -> Result<Vec<Body>, ProbesError> {
        let now = Instant::now();
        let mut grown: HashMap<CgroupId, Vec<Flow>> = HashMap::new();
        for (cgroup, key, counts) in probes.flows()? {
            let more = self.read((cgroup, key), counts, now);
            if !more.is_empty() {
                grown.entry(cgroup).or_default().push(Flow { key, counts: more });
            }
        }
        self.delete_idle(probes, now, &mut grown)?;
        Ok(grown.into_iter().flat_map(|(cgroup, flows)| told(cgroup, &flows)).collect())
    }

    /// A cgroup is gone, and so are its lines.
    pub(super) fn forget(&mut self, probes: &mut Probes, gone: CgroupId) -> Result<(), ProbesError> {
        let keys: Vec<FlowKey> =
            self.lines.keys().filter(|(cgroup, _)| *cgroup == gone).map(|(_, key)| *key).collect();
        for key in keys {
            self.lines.remove(&(gone, key));
            probes.forget_flow(gone, &key)?;
        }
        Ok(())
    }

    fn read(&mut self, line: (CgroupId, FlowKey), counts: FlowCounts, now: Instant) -> FlowCounts {
        match self.lines.entry(line) {
            Entry::Occupied(mut known) => {
                let more = counts.since(&known.get().counts);
                if !more.is_empty() {
                    known.insert(Line { counts, changed: now });
                }
                more
            }
            Entry::Vacant(new) => {
                new.insert(Line { counts, changed: now });
                counts
            }
        }
    }

    /// What a line still counted between the look and its deletion is told as well.
    fn delete_idle(
        &mut self,
        probes: &mut Probes,
        now: Instant,
        grown: &mut HashMap<CgroupId, Vec<Flow>>,
    ) -> Result<(), ProbesError> {
        for (cgroup, key) in self.idle(now) {
            let Some(line) = self.lines.remove(&(cgroup, key)) else { continue };
            let last = probes.forget_flow(cgroup, &key)?.unwrap_or(line.counts);
            let counts = last.since(&line.counts);
            if !counts.is_empty() {
                grown.entry(cgroup).or_default().push(Flow { key, counts });
            }
        }
        Ok(())
    }

    fn idle(&self, now: Instant) -> Vec<(CgroupId, FlowKey)> {
        let mut lines_of: HashMap<CgroupId, usize> = HashMap::new();
        for (cgroup, _) in self.lines.keys() {
            *lines_of.entry(*cgroup).or_default() += 1;
        }
        let kept = |cgroup: &CgroupId| match lines_of.get(cgroup) {
            Some(CROWD_LINES..) => CROWD_IDLE_KEPT,
            _ => IDLE_KEPT,
        };
        let is_idle = |(cgroup, _): &(CgroupId, FlowKey), line: &Line| {
            now.saturating_duration_since(line.changed) >= kept(cgroup)
        };
        let idle = self.lines.iter().filter(|(place, line)| is_idle(place, line));
        idle.map(|(place, _)| *place).take(DELETED_MAX).collect()
    }
}

fn told(cgroup: CgroupId, flows: &[Flow]) -> Vec<Body> {
    let batches = flows.chunks(FLOWS_MAX);
    batches.map(|flows| Body::Flows(Box::new(Flows { cgroup, flows: flows.to_vec() }))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use model::traffic::{Direction, Protocol};

    use super::*;

    fn key(port: u16) -> FlowKey {
        let remote = IpAddr::from([10, 0, 0, 2]);
        FlowKey { direction: Direction::Out, protocol: Protocol::TCP, remote, port }
    }

    fn opened(opened: u64) -> FlowCounts {
        FlowCounts { opened, ..FlowCounts::default() }
    }

    #[test]
    fn a_line_is_told_whole_at_first_and_then_what_it_grew() {
        let (mut table, now) = (FlowTable::default(), Instant::now());
        let line = (CgroupId(1), key(80));
        assert_eq!(table.read(line, opened(3), now), opened(3));
        assert_eq!(table.read(line, opened(3), now), FlowCounts::default());
        assert_eq!(table.read(line, opened(5), now), opened(2));
        assert_eq!(table.read(line, opened(1), now), opened(1), "it was deleted and began anew");
    }

    #[test]
    fn lines_that_stand_still_go_sooner_where_there_are_many() {
        let (mut table, now) = (FlowTable::default(), Instant::now());
        table.read((CgroupId(1), key(80)), opened(1), now);
        for port in 0..600 {
            table.read((CgroupId(2), key(port)), opened(1), now);
        }
        assert!(table.idle(now + Duration::from_secs(9)).is_empty());
        assert_eq!(table.idle(now + Duration::from_secs(11)).len(), 600);
        assert_eq!(table.idle(now + Duration::from_secs(61)).len(), 601);
    }

    #[test]
    fn many_flows_are_told_in_bounded_pieces() {
        let flows = vec![Flow { key: key(1), counts: opened(1) }; 300];
        let sizes: Vec<usize> = told(CgroupId(1), &flows)
            .iter()
            .map(|body| match body {
                Body::Flows(flows) => flows.flows.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(sizes, [128, 128, 44]);
    }
}
