//! The sampler on made-up hosts.

use std::path::PathBuf;

use crossbeam_channel::Receiver;
use hostfs::layout::CgroupLayout;
use hostfs::process::process_cgroup;
use hostfs::root::HostRoot;
use model::coverage::{Health, Source};
use model::event::{Body, Event};
use model::ids::NodeId;
use model::untrusted::Untrusted;
use sources::outlet::Outlet;
use sources::sampler::deep::DEEPENED_MAX;
use sources::sampler::{Command, Sampler, SamplerConfig};
use testkit::host_tree::{FakeHost, FakeProcess, docker_cgroupfs};

use crate::contract;

struct Bench {
    host: FakeHost,
    sampler: Sampler,
    outlet: Outlet,
    queue: Receiver<Event>,
}

impl Bench {
    fn new(host: FakeHost) -> Self {
        let root = HostRoot::new(host.root());
        let layout = CgroupLayout::detect(&root).unwrap();
        let config = SamplerConfig { disks: vec!["/".into()] };
        let sampler = Sampler::new(&root, &layout, &config).unwrap();
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 1_000);
        Self { host, sampler, outlet, queue }
    }

    fn obey(&mut self, command: Command) {
        self.sampler.obey(command, &self.outlet);
    }

    fn beat(&mut self) {
        self.sampler.beat(&self.outlet);
    }

    fn take(&self) -> Vec<Event> {
        self.queue.try_iter().collect()
    }
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match &event.body {
        Body::Usage(_) => "usage",
        Body::Log(_) => "log",
        Body::Host(_) => "host",
        Body::Deep(_) => "deep",
        Body::Processes(_) => "processes",
        Body::Lost(_) => "lost",
        Body::Report(_) => "report",
        Body::Interfaces(_) => "interfaces",
        _ => "other",
    };
    events.iter().map(kind).collect()
}

#[test]
fn what_is_newly_watched_is_read_at_once_and_the_host_closes_every_beat() {
    for host in [FakeHost::v2().unwrap(), FakeHost::v1().unwrap(), FakeHost::hybrid().unwrap()] {
        let path = docker_cgroupfs(&"a".repeat(64));
        let cgroup = host.cgroup(&path).unwrap();
        host.write("log/a-json.log", b"0123456789").unwrap();
        let mut bench = Bench::new(host);
        bench.obey(Command::WatchCgroup { cgroup, path: PathBuf::from(&path) });
        let log = Untrusted::new("/log/a-json.log");
        bench.obey(Command::WatchLog { container_id: Untrusted::new("a"), path: log });
        let mut events = bench.take();
        assert_eq!(kinds(&events), ["usage", "log"]);
        bench.beat();
        bench.beat();
        let beats = bench.take();
        assert_eq!(
            kinds(&beats),
            ["usage", "log", "interfaces", "host", "report", "report", "usage", "log", "host"]
        );
        events.extend(beats);
        contract::check(&events, &[Source::Cgroups, Source::Host]);
        assert!(events.iter().any(|event| matches!(&event.body, Body::Log(log) if log.bytes == 10)));
        let files = |event: &Event| match &event.body {
            Body::Host(host) => host.objects.files,
            _ => None,
        };
        let used: Vec<u64> = events.iter().filter_map(files).map(|level| level.used).collect();
        assert_eq!(used, [385, 385], "in every reading of the host");
    }
}

#[test]
fn services_are_what_is_not_watched() {
    let host = FakeHost::v2().unwrap();
    let paths = ["/system.slice/ssh.service", "/docker/ab", "/docker/cd"];
    let [_, ab, cd] = paths.map(|path| host.cgroup(path).unwrap());
    let mut bench = Bench::new(host);
    let services = |bench: &mut Bench| -> Vec<String> {
        bench.beat();
        let host = bench.take().into_iter().find_map(|event| match event.body {
            Body::Host(host) => Some(host),
            _ => None,
        });
        host.unwrap().services.iter().map(|service| service.path.raw().to_owned()).collect()
    };
    bench.obey(Command::WatchCgroup { cgroup: ab, path: paths[1].into() });
    assert_eq!(services(&mut bench), ["/docker/cd", paths[0]]);
    bench.obey(Command::WatchCgroup { cgroup: cd, path: paths[2].into() });
    assert_eq!(services(&mut bench), [paths[0]]);
}

#[test]
fn what_is_gone_or_forgotten_is_no_longer_read() {
    let host = FakeHost::v2().unwrap();
    let (gone, forgotten) = (host.cgroup("/gone").unwrap(), host.cgroup("/forgotten").unwrap());
    let mut bench = Bench::new(host);
    bench.obey(Command::WatchCgroup { cgroup: gone, path: "/gone".into() });
    bench.obey(Command::WatchCgroup { cgroup: forgotten, path: "/forgotten".into() });
    bench.beat();
    assert_eq!(kinds(&bench.take()).iter().filter(|kind| **kind == "usage").count(), 4);
    bench.host.remove_cgroup("/gone").unwrap();
    bench.obey(Command::ForgetCgroup { cgroup: forgotten });
    // A file kept open on a directory tree that only plays a cgroup outlives it; a new reader does not.
    bench.obey(Command::ForgetCgroup { cgroup: gone });
    bench.obey(Command::WatchCgroup { cgroup: gone, path: "/gone".into() });
    bench.beat();
    assert_eq!(kinds(&bench.take()), ["host"]);
}

#[test]
fn a_host_that_cannot_be_read_is_said_and_so_is_its_return() {
    let mut bench = Bench::new(FakeHost::v2().unwrap());
    bench.beat();
    bench.take();
    let missing = PathBuf::from("/never/was");
    bench.obey(Command::WatchCgroup { cgroup: model::ids::CgroupId(7), path: missing });
    bench.beat();
    assert_eq!(
        kinds(&bench.take()),
        ["host"],
        "a cgroup that is gone before it is read is no trouble of ours"
    );
    let health = |events: &[Event]| -> Vec<Health> {
        let health = |event: &Event| match &event.body {
            Body::Report(report) => Some(report.health),
            _ => None,
        };
        events.iter().filter_map(health).collect()
    };
    bench.host.remove("proc").unwrap();
    bench.beat();
    assert_eq!(health(&bench.take()), [Health::Degraded; 2], "once for each source");
    (0..2).for_each(|_| bench.beat());
    assert_eq!(health(&bench.take()), [], "nothing else is wrong");
    bench.beat();
    assert_eq!(
        health(&bench.take()),
        [Health::Degraded; 2],
        "what is looked at less often cannot be read either"
    );
}

fn count(events: &[Event], wanted: &str) -> usize {
    kinds(events).iter().filter(|kind| **kind == wanted).count()
}

#[test]
fn a_watched_cgroup_is_read_in_depth_at_once_at_its_first_beats_and_then_every_other() {
    let host = FakeHost::hybrid().unwrap();
    let cgroup = host.cgroup("/docker/ab").unwrap();
    host.process(&FakeProcess::new(70, "web").contained("/docker/ab")).unwrap();
    host.members("/docker/ab", &[70]).unwrap();
    host.open_files(70, &["/dev/null", "socket:[1]"]).unwrap();
    let mut bench = Bench::new(host);
    bench.obey(Command::Deepen { cgroup });
    assert_eq!(kinds(&bench.take()), [""; 0], "it is not watched yet");
    bench.obey(Command::WatchCgroup { cgroup, path: "/docker/ab".into() });
    bench.obey(Command::Deepen { cgroup });
    bench.obey(Command::Deepen { cgroup });
    let events = bench.take();
    assert_eq!(kinds(&events), ["usage", "deep"]);
    let Body::Deep(deep) = &events[1].body else { unreachable!("found as a deep reading") };
    assert_eq!((deep.cgroup, deep.processes, deep.files, deep.sockets), (cgroup, 1, Some(2), Some(1)));
    (0..4).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), 4);
    (0..4).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), 2);
    bench.obey(Command::Shallow { cgroup });
    (0..2).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), 0);
    bench.obey(Command::Deepen { cgroup });
    bench.obey(Command::ForgetCgroup { cgroup });
    bench.take();
    (0..2).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), 0);
}

#[test]
fn a_deep_reading_too_many_is_told_as_lost_and_one_that_is_gone_makes_room() {
    let mut bench = Bench::new(FakeHost::v2().unwrap());
    let cgroups: Vec<_> = (0..=DEEPENED_MAX)
        .map(|number| {
            let path = format!("/docker/{number}");
            let cgroup = bench.host.cgroup(&path).unwrap();
            bench.obey(Command::WatchCgroup { cgroup, path: path.into() });
            cgroup
        })
        .collect();
    bench.take();
    cgroups.iter().for_each(|&cgroup| bench.obey(Command::Deepen { cgroup }));
    let events = bench.take();
    assert_eq!((count(&events, "deep"), count(&events, "lost")), (DEEPENED_MAX, 1));
    (0..4).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), 4 * DEEPENED_MAX, "each at its first beats");
    (0..2).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), DEEPENED_MAX, "each once in two beats");
    bench.host.remove_cgroup("/docker/0").unwrap();
    (0..2).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), DEEPENED_MAX - 1);
    bench.obey(Command::Deepen { cgroup: cgroups[DEEPENED_MAX] });
    assert_eq!(kinds(&bench.take()), ["deep"]);
}

#[test]
fn a_large_container_takes_nothing_from_the_readings_of_small_ones() {
    let host = FakeHost::v2().unwrap();
    let paths = ["/docker/large", "/docker/small"];
    let cgroups = paths.map(|path| host.cgroup(path).unwrap());
    for pid in 100..2_200 {
        let line = format!("{pid} (x) S 1 0 0 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 14 0 0\n");
        host.write(&format!("proc/{pid}/stat"), line.as_bytes()).unwrap();
    }
    host.members(paths[0], &(100..2_150).collect::<Vec<u32>>()).unwrap();
    host.members(paths[1], &(2_150..2_200).collect::<Vec<u32>>()).unwrap();
    let mut bench = Bench::new(host);
    for (cgroup, path) in cgroups.into_iter().zip(paths) {
        bench.obey(Command::WatchCgroup { cgroup, path: path.into() });
        bench.obey(Command::Deepen { cgroup });
    }
    bench.take();
    (0..4).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "deep"), 8, "both at their first beats");
    (0..4).for_each(|_| bench.beat());
    let mut left_out = [Vec::new(), Vec::new()];
    for event in bench.take() {
        if let Body::Deep(deep) = event.body {
            let which = usize::from(deep.cgroup == cgroups[1]);
            left_out[which].push(deep.left_out);
        }
    }
    let [large, small] = left_out;
    assert_eq!(small, [0, 0]);
    // All but the 2,000 of a beat, or what the small one leaves of them when both are due in the same.
    assert!(large.iter().all(|&left_out| left_out == 50 || left_out == 100), "{large:?}");
}

#[test]
fn the_busiest_processes_are_told_every_other_beat_while_asked_for() {
    let host = FakeHost::v2().unwrap();
    let busy = |cpu_ticks| FakeProcess { cpu_ticks, ..FakeProcess::new(70, "busy") };
    host.process(&busy(5)).unwrap();
    let mut bench = Bench::new(host);
    bench.beat();
    bench.take();
    bench.obey(Command::DeepenHost(true));
    bench.host.process(&busy(9)).unwrap();
    bench.obey(Command::DeepenHost(true));
    (0..2).for_each(|_| bench.beat());
    let told: Vec<_> = bench
        .take()
        .into_iter()
        .filter_map(|event| match event.body {
            Body::Processes(processes) => Some(processes),
            _ => None,
        })
        .collect();
    let [processes] = told.as_slice() else { panic!("once in two beats: {told:?}") };
    assert_eq!((processes.len(), processes[0].spent_ns, processes[0].name.raw()), (1, 40_000_000, "busy"));
    bench.obey(Command::DeepenHost(false));
    (0..2).for_each(|_| bench.beat());
    assert_eq!(count(&bench.take(), "processes"), 0);
}

#[test]
fn the_host_s_addresses_are_told_at_the_start_and_when_they_change() {
    let mut bench = Bench::new(FakeHost::v2().unwrap());
    let mut told = |beats: u32| -> Vec<Vec<String>> {
        (0..beats).for_each(|_| bench.beat());
        let addresses = |event: Event| match event.body {
            Body::Interfaces(own) => {
                assert_eq!(event.source, Source::Host);
                Some(own.iter().map(|own| format!("{}/{}", own.address, own.prefix_bits)).collect())
            }
            _ => None,
        };
        let told = bench.take().into_iter().filter_map(addresses).collect();
        bench.host.write("proc/1/net/if_inet6", b"").unwrap();
        told
    };
    assert_eq!(told(1), [["127.0.0.1/8", "192.0.2.2/24", "::1/128", "fd00::2/64"]]);
    assert_eq!(told(1), [["127.0.0.1/8", "192.0.2.2/24"]]);
    assert_eq!(told(20), [[""; 0]; 0], "nothing has changed");
}

#[test]
fn addresses_that_cannot_be_read_are_said() {
    let host = FakeHost::v2().unwrap();
    host.remove("proc/1/net/fib_trie").unwrap();
    let mut bench = Bench::new(host);
    bench.beat();
    let said = bench.take().into_iter().any(|event| match event.body {
        Body::Report(report) => report.health == Health::Degraded && report.reason.raw().contains("fib_trie"),
        _ => false,
    });
    assert!(said);
}

#[test]
fn a_deep_reading_tells_of_engines_and_packets() {
    let host = FakeHost::v2().unwrap();
    let cgroup = host.cgroup("/docker/ab").unwrap();
    host.process(&FakeProcess::new(70, "agent").contained("/docker/ab")).unwrap();
    host.members("/docker/ab", &[70]).unwrap();
    let mounts = "1 0 0:70 / / rw - overlay overlay rw\n2 1 0:9 /docker.sock /d rw - tmpfs tmpfs rw\n";
    host.write("proc/70/mountinfo", mounts.as_bytes()).unwrap();
    host.write("proc/70/net/packet", b"sk RefCnt Type Proto\n00000000f3a1b2c4 3 3 0003\n").unwrap();
    let mut bench = Bench::new(host);
    bench.obey(Command::WatchCgroup { cgroup, path: "/docker/ab".into() });
    bench.obey(Command::Deepen { cgroup });
    let deep = bench.take().into_iter().find_map(|event| match event.body {
        Body::Deep(deep) => Some(deep),
        _ => None,
    });
    let deep = deep.unwrap();
    assert_eq!(deep.engine_sockets, [Untrusted::new("/docker.sock")]);
    assert_eq!(deep.packet_sockets, Some(1));
}

#[test]
fn this_host_and_our_own_cgroup_are_read_in_depth() {
    let root = HostRoot::new("/");
    let layout = CgroupLayout::detect(&root).unwrap();
    let own = process_cgroup(&root, &layout, std::process::id()).unwrap();
    let mut sampler = Sampler::new(&root, &layout, &SamplerConfig { disks: Vec::new() }).unwrap();
    let (outlet, queue) = Outlet::new(NodeId::new("node"), 1_000);
    sampler.obey(Command::WatchCgroup { cgroup: own.id, path: own.path }, &outlet);
    sampler.obey(Command::Deepen { cgroup: own.id }, &outlet);
    sampler.obey(Command::DeepenHost(true), &outlet);
    (0..2).for_each(|_| sampler.beat(&outlet));
    let events: Vec<Event> = queue.try_iter().collect();
    contract::check(&events, &[Source::Cgroups, Source::Host]);
    let bodies = || events.iter().map(|event| &event.body);
    let deep = bodies().find_map(|body| if let Body::Deep(deep) = body { Some(deep) } else { None }).unwrap();
    assert!(deep.processes >= 1 && deep.files >= Some(3) && deep.threads >= Some(2), "{deep:?}");
    let host = bodies().find_map(|body| if let Body::Host(host) = body { Some(host) } else { None }).unwrap();
    assert_eq!(host.kernel_work.is_some(), host.kernel_threads_ns.is_some());
    let threads = host.objects.threads.unwrap();
    assert_eq!((threads.used, threads.limit.is_some()), (host.tasks, true));
    assert!(bodies().any(|body| matches!(body, Body::Processes(_))));
}
