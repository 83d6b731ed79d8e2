//! A made-up host on which a script is played: its containers run and are approved before anything happens, and the fold is told
//! what its sources would tell.
//!
//! Time passes in beats of half a second. Of a silence ten minutes are told, with a beat each; the rest is left out, so the beats
//! are bounded by what happens and not by how long it took. Not here: readings of what is spent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use engine::fold::{Fold, FoldConfig};
use model::approval::{Approval, Scope};
use model::coverage::{Health, Source, SourceReport};
use model::event::{Body, CgroupPath, Event, Exec, FileOrigin, Socket, Streams};
use model::finding::{Family, Finding};
use model::ids::{CgroupId, Namespaces, NodeId, ProcessKey};
use model::incident::ChangeKind;
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::traffic::{FLOWS_MAX, Flow, FlowCounts, FlowKey, Flows, InterfaceAddress};
use model::untrusted::Untrusted;

use crate::bundles::strategies;
use crate::communication::public::script::{Act, Script};

const BEAT: Duration = Duration::from_millis(500);
/// How long the containers have run when the log begins.
const BEFORE: Duration = Duration::from_secs(60);
/// How much of a silence is told; as much is told after the end, for judges that look back.
const SILENCE_TOLD: Duration = Duration::from_secs(600);
/// The kernel's probes tell of an address again after so long.
const CONTACT_AGAIN: Duration = Duration::from_secs(60);
const HOST: Namespaces = Namespaces { pid: 1, mnt: 2, net: 3 };
const IMAGES: &str = "registry.example/public";

/// What the judges of communication said, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// By judge and container.
    findings: BTreeMap<(String, String), u64>,
    /// When the first of them was made.
    pub(super) first: Option<Time>,
    /// Incidents that opened, of all families.
    pub(super) incidents: u64,
}

impl Heard {
    pub(super) fn judges(&self) -> Vec<&str> {
        let mut judges: Vec<&str> = self.findings.keys().map(|(judge, _)| judge.as_str()).collect();
        judges.dedup();
        judges
    }

    pub(super) fn by(&self, judge: &str) -> u64 {
        self.findings.iter().filter(|((by, _), _)| by == judge).map(|(_, count)| *count).sum()
    }

    pub(super) fn about(&self, judge: &str, container: &str) -> u64 {
        self.findings.get(&(judge.to_owned(), container.to_owned())).copied().unwrap_or_default()
    }

    fn hear(&mut self, finding: &Finding) {
        if finding.family != Family::Communication {
            return;
        }
        self.first.get_or_insert(finding.at);
        let container = finding.container.as_ref().map(|container| container.name.raw());
        let about = (finding.judge.to_string(), container.unwrap_or_default().to_owned());
        *self.findings.entry(about).or_default() += 1;
    }
}

/// The host.
pub(super) struct Stage {
    fold: Fold,
    node: NodeId,
    now: Time,
    next_beat: Time,
    numbers: [u64; Source::ALL.len()],
    /// What went over each flow since the second began.
    counts: BTreeMap<CgroupId, BTreeMap<FlowKey, FlowCounts>>,
    /// When a contact was last told, by the state of its socket.
    met: BTreeMap<(CgroupId, FlowKey, u8), Time>,
    heard: Heard,
}

impl Stage {
    /// The host, a minute before the script begins.
    pub(super) fn new(script: &Script) -> Result<Self> {
        let now = script.first().unwrap_or_default().minus(BEFORE);
        let mut stage = Self {
            fold: Fold::new(&strategies()?, FoldConfig::default()),
            node: NodeId::new("bench"),
            now,
            next_beat: now.plus(BEAT),
            numbers: [0; Source::ALL.len()],
            counts: BTreeMap::new(),
            met: BTreeMap::new(),
            heard: Heard::default(),
        };
        stage.begin();
        for (&address, &cgroup) in script.cast() {
            stage.start(address, cgroup);
        }
        let known = stage.fold.enrich().containers().count();
        ensure!(known == script.cast().len(), "{} addresses became {known} containers", script.cast().len());
        Ok(stage)
    }

    /// Plays the script to its end; gives what was heard.
    pub(super) fn play(mut self, script: &Script) -> Result<Heard> {
        self.play_acts(script);
        ensure!(self.fold.failed_judges().is_empty(), "judges failed: {:?}", self.fold.failed_judges());
        Ok(self.heard)
    }

    fn play_acts(&mut self, script: &Script) {
        for (at, act) in script.acts() {
            self.pass(*at);
            self.now = *at;
            self.act(act);
        }
        self.pass(self.now.plus(SILENCE_TOLD));
    }

    fn begin(&mut self) {
        for source in Source::ALL {
            let report = SourceReport { source, health: Health::Up, reason: Untrusted::default() };
            self.tell(source, Body::Report(report));
        }
        let init = exec(1, CgroupId(1), HOST, "/sbin/init");
        self.tell(Source::Scan, Body::Process(Box::new(init)));
        // An address that no log of the data has.
        let own = InterfaceAddress { address: [198, 51, 100, 1].into(), prefix_bits: 24 };
        self.tell(Source::Scan, Body::Interfaces(vec![own]));
        self.tell(Source::Docker, Body::listed(Vec::new()));
        let scope = Scope::Pattern { pattern: Untrusted::new(&format!("{IMAGES}/*")) };
        let (owner, note) = ("bench".into(), Untrusted::default());
        let approval = Approval { id: 1, scope, owner, at: self.now, note };
        self.tell(Source::Operator, Body::Approved(Box::new(approval)));
    }

    /// A container with that address, of a workload of its own.
    fn start(&mut self, address: IpAddr, cgroup: CgroupId) {
        let path = Untrusted::new(&format!("/docker/{}", id(cgroup).raw()));
        let first = 4 * cgroup.0 as u32;
        let namespaces = Namespaces { pid: first, mnt: first + 1, net: first + 2 };
        let init = exec(pid(cgroup), cgroup, namespaces, "/srv/app/server");
        self.tell(Source::Kernel, Body::CgroupCreated(CgroupPath { cgroup, path }));
        self.tell(Source::Kernel, Body::Exec(Box::new(init)));
        let facts = facts(address, cgroup, self.now);
        self.tell(Source::Docker, Body::Container(Box::new(facts)));
    }

    /// Lets time pass until then, beat by beat, as far as it is told.
    fn pass(&mut self, until: Time) {
        let told = until.min(self.now.plus(SILENCE_TOLD));
        while self.next_beat <= told {
            self.beat();
        }
        if self.next_beat <= until {
            let left_out = until.since(self.next_beat).as_millis() / BEAT.as_millis();
            self.next_beat = self.next_beat.plus(BEAT * u32::try_from(left_out).unwrap_or(u32::MAX));
            self.beat();
        }
    }

    fn beat(&mut self) {
        let began = self.next_beat.ns() / 1_000_000_000 * 1_000_000_000;
        self.now = self.next_beat;
        self.next_beat = self.now.plus(BEAT);
        if self.now.since(Time::from_ns(began)) < BEAT {
            self.tell_counts();
        }
        self.tell(Source::Engine, Body::Tick);
    }

    fn tell_counts(&mut self) {
        for (cgroup, flows) in std::mem::take(&mut self.counts) {
            let flows: Vec<Flow> = flows.into_iter().map(|(key, counts)| Flow { key, counts }).collect();
            for flows in flows.chunks(FLOWS_MAX) {
                let flows = Flows { cgroup, flows: flows.to_vec() };
                self.tell(Source::Kernel, Body::Flows(Box::new(flows)));
            }
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Contact(socket) => self.meet(socket),
            Act::Tell(body) => self.tell(Source::Kernel, body.clone()),
            Act::Count(cgroup, key, counts) => {
                self.counts.entry(*cgroup).or_default().entry(*key).or_default().add(counts);
            }
        }
    }

    fn meet(&mut self, socket: &Socket) {
        let Some(flow) = socket.flow() else { return };
        let key = (socket.cgroup, flow, socket.state as u8);
        let is_new = self.met.get(&key).is_none_or(|last| self.now.since(*last) >= CONTACT_AGAIN);
        if is_new {
            self.met.insert(key, self.now);
            self.tell(Source::Kernel, Body::Socket(Box::new(socket.clone())));
        }
    }

    fn tell(&mut self, source: Source, body: Body) {
        let number = &mut self.numbers[source as usize];
        let (node, time) = (self.node.clone(), self.now);
        let event = Event { node, source, seq: *number, time, seen: time, body };
        *number += 1;
        let heard = &mut self.heard;
        let step =
            self.fold.step_with(event, |findings| findings.iter().for_each(|finding| heard.hear(finding)));
        let opened = step.changes.iter().filter(|change| change.kind == ChangeKind::Opened);
        self.heard.incidents += opened.count() as u64;
    }
}

fn facts(address: IpAddr, cgroup: CgroupId, started: Time) -> ContainerFacts {
    let image = Untrusted::new(&format!("{IMAGES}/{}", address.to_string().replace(':', "-")));
    ContainerFacts {
        id: id(cgroup),
        name: Untrusted::new(&address.to_string()),
        digest: Untrusted::new(&format!("sha256:{}", id(cgroup).raw())),
        image,
        command: Untrusted::new("/srv/app/server"),
        labels: Vec::new(),
        labels_dropped: 0,
        pid: Some(pid(cgroup)),
        state: RunState::Running,
        created: Some(started),
        started: Some(started),
        log_driver: Untrusted::new("none"),
        log_path: None,
        network_mode: Untrusted::new("bridge"),
        addresses: vec![address],
        published: Vec::new(),
        ..ContainerFacts::default()
    }
}

fn id(cgroup: CgroupId) -> Untrusted {
    Untrusted::new(&format!("{:064x}", cgroup.0))
}

fn pid(cgroup: CgroupId) -> u32 {
    300_000 + cgroup.0 as u32
}

fn exec(pid: u32, cgroup: CgroupId, namespaces: Namespaces, command: &str) -> Exec {
    Exec {
        process: ProcessKey { pid, start_ns: 0 },
        parent_pid: 1,
        uid: 1000,
        cgroup,
        namespaces,
        name: Untrusted::new("server"),
        path: Untrusted::new(command),
        args: Untrusted::new(command),
        streams: Streams::default(),
        origin: FileOrigin::default(),
        script: Untrusted::default(),
        is_by_loader: false,
        file: None,
        descent: model::program::Descent::default(),
        lineage: None,
        confines: None,
    }
}

#[cfg(test)]
mod tests {
    use formats::record::{End, FlowRecord, Parsed};
    use model::traffic::Protocol;

    use super::*;

    /// The same contact at each of these seconds, played.
    fn played(seconds: &[i64]) -> Stage {
        let (source, server) = (End::at([10, 0, 0, 5].into(), 40_000), End::at([192, 0, 2, 1].into(), 53));
        let flow = |second: &i64| {
            let at = Some(Time::from_secs(*second));
            FlowRecord::new(at, Protocol::UDP, source.clone(), server.clone())
        };
        let script = Script::of(&Parsed { flows: seconds.iter().map(flow).collect(), ..Parsed::default() });
        let mut stage = Stage::new(&script).unwrap();
        stage.play_acts(&script);
        stage
    }

    fn told(stage: &Stage, source: Source) -> u64 {
        stage.numbers[source as usize]
    }

    #[test]
    fn of_a_long_silence_ten_minutes_are_told() {
        let (once, apart) = (played(&[1_000]), played(&[1_000, 1_000_000_000]));
        let beats = told(&apart, Source::Engine) - told(&once, Source::Engine);
        assert!((1_200..=1_202).contains(&beats), "{beats}");
        assert_eq!(apart.now, Time::from_secs(1_000_000_600));
    }

    #[test]
    fn an_address_is_told_again_after_a_minute_and_counted_each_second() {
        let spoken = |seconds: &[i64]| told(&played(seconds), Source::Kernel);
        let once = spoken(&[1_000]);
        assert_eq!(spoken(&[1_000, 1_000]), once, "the same second");
        assert_eq!(spoken(&[1_000, 1_010]), once + 1, "counts of another second");
        assert_eq!(spoken(&[1_000, 1_070]), once + 2, "and the contact");
    }

    #[test]
    fn findings_of_communication_are_counted_by_judge_and_container() {
        let stage = played(&[1_000]);
        let container = stage.fold.enrich().containers().next().unwrap().clone();
        let at = Time::from_secs(1_001);
        let mut heard = Heard::default();
        for family in [Family::Communication, Family::Resource, Family::Communication] {
            heard.hear(&Finding::about(&container, "scan", family, at, 5.0));
        }
        assert_eq!((heard.about("scan", "10.0.0.5"), heard.by("scan"), heard.by("beacon")), (2, 2, 0));
        assert_eq!((heard.judges(), heard.first), (vec!["scan"], Some(at)));
    }
}
