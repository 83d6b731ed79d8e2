//! Rankings of made-up hosts and of this one.

use expect_test::expect;
use testkit::host_tree::{FakeHost, FakeProcess, docker_systemd};

use super::*;

fn ranking(host: &FakeHost) -> ProcessRanking {
    let root = HostRoot::new(host.root());
    ProcessRanking::new(&root, &CgroupLayout::detect(&root).unwrap()).unwrap()
}

fn show(ranking: &mut ProcessRanking) -> String {
    let line = |usage: &ProcessUsage| {
        let [cpu, spent] = [usage.cpu_ns, usage.spent_ns].map(|ns| ns / 1_000_000);
        format!(
            "{} {} in {:?}: {spent} of {cpu} ms\n",
            usage.process.pid,
            usage.name,
            usage.cgroup_path.raw()
        )
    };
    ranking.read().unwrap().iter().map(line).collect()
}

#[test]
fn the_busiest_come_first_with_their_groups_and_the_idle_not_at_all() {
    let expected = expect![[r#"
        72 busy in "/system.slice/docker-ab.scope": 40 of 40 ms
        73 busy in "/": 40 of 40 ms
        70 busy in "/": 20 of 520 ms
        74 kworker/0:1 in "/": 10 of 10 ms
    "#]];
    let hosts = [FakeHost::v1().unwrap(), FakeHost::v2().unwrap(), FakeHost::hybrid().unwrap()];
    let [v1, v2, hybrid] = hosts.map(|host| {
        let scope = docker_systemd("ab");
        host.cgroup(&scope).unwrap();
        let busy = |pid, cpu_ticks| FakeProcess { cpu_ticks, ..FakeProcess::new(pid, "busy") };
        host.process(&busy(70, 50)).unwrap();
        host.process(&busy(71, 1000)).unwrap();
        host.process(&busy(72, 3)).unwrap();
        let mut ranking = ranking(&host);
        assert_eq!(show(&mut ranking), "", "nothing was spent since");
        host.process(&busy(70, 52)).unwrap();
        // The pid goes to another process.
        host.process(&FakeProcess { start_ticks: 9999, ..busy(72, 4) }.contained(&scope)).unwrap();
        host.process(&busy(73, 4)).unwrap();
        let kernel = FakeProcess { cpu_ticks: 1, ..FakeProcess::kernel_thread(74, "kworker/0:1") };
        host.process(&kernel).unwrap();
        host.write("proc/75/stat", b"75 (torn").unwrap();
        show(&mut ranking)
    });
    expected.assert_eq(&v2);
    assert_eq!((&v1, &hybrid), (&v2, &v2));
}

#[test]
fn no_more_than_a_few_are_told_and_no_more_than_the_limit_looked_at() {
    let host = FakeHost::v2().unwrap();
    let mut ranking = ranking(&host);
    let last = 100 + u32::try_from(RANKED_MAX).unwrap();
    for pid in 100..last {
        let line = format!("{pid} (x) S 1 0 0 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 14 0 0\n");
        host.write(&format!("proc/{pid}/stat"), line.as_bytes()).unwrap();
    }
    let told = ranking.read().unwrap();
    assert_eq!((told.len(), told[0].process.pid, told[0].cgroup_path.raw()), (TOLD_MAX, 100, ""));
    // Pids 1 and 2 are there as well.
    assert_eq!(ranking.left_out(), 2);
}

#[test]
fn a_host_without_processes_cannot_be_ranked() {
    let host = FakeHost::v2().unwrap();
    let mut ranking = ranking(&host);
    host.remove("proc").unwrap();
    assert!(ranking.read().is_err());
}

#[test]
fn this_process_is_among_the_busiest_when_it_spins() {
    let root = HostRoot::new("/");
    let layout = CgroupLayout::detect(&root).unwrap();
    let mut ranking = ProcessRanking::new(&root, &layout).unwrap();
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(300) {
        std::hint::spin_loop();
    }
    let told = ranking.read().unwrap();
    let own = told.iter().find(|usage| usage.process.pid == std::process::id());
    assert!(
        own.is_some_and(|own| own.spent_ns >= 20_000_000 && own.cgroup_path.raw().starts_with('/')),
        "{told:?}"
    );
}
