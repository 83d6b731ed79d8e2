//! The files of an idle cgroup without limits, as the kernel writes them.
//!
//! Not here: files that no reader uses.

const CPU_V2: [(&str, &str); 2] = [
    (
        "cpu.stat",
        "usage_usec 26004\nuser_usec 13002\nsystem_usec 13002\nnice_usec 0\ncore_sched.force_idle_usec 0\n\
         nr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n",
    ),
    ("cpu.max", "max 100000\n"),
];
const MEMORY_V2: [(&str, &str); 5] = [
    ("memory.current", "4096\n"),
    ("memory.max", "max\n"),
    ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"),
    ("memory.stat", "anon 1024\nfile 3072\ninactive_file 1024\nactive_file 2048\npgfault 40\npgmajfault 0\n"),
    ("memory.swap.current", "0\n"),
];
const PIDS: [(&str, &str); 2] = [("pids.current", "1\n"), ("pids.max", "max\n")];
const IO_V2: [(&str, &str); 1] = [("io.stat", "")];
const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7539\n\
                        full avg10=0.00 avg60=0.00 avg300=0.00 total=4355\n";
const PRESSURES: [(&str, &str); 3] =
    [("cpu.pressure", PRESSURE), ("memory.pressure", PRESSURE), ("io.pressure", PRESSURE)];
/// Where v1 has the controllers, v2 still counts CPU time.
const CPU_HYBRID: [(&str, &str); 1] =
    [("cpu.stat", "usage_usec 26004\nuser_usec 13002\nsystem_usec 13002\nnice_usec 0\n")];
const CPU_V1: [(&str, &str); 3] = [
    ("cpu.cfs_period_us", "100000\n"),
    ("cpu.cfs_quota_us", "-1\n"),
    ("cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\nnr_bursts 0\nburst_time 0\n"),
];
const CPUACCT_V1: [(&str, &str); 1] = [("cpuacct.usage", "26004669\n")];
const MEMORY_V1: [(&str, &str); 4] = [
    ("memory.usage_in_bytes", "4096\n"),
    ("memory.limit_in_bytes", "9223372036854771712\n"),
    ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
    (
        "memory.stat",
        "cache 0\nswap 7\npgmajfault 7\ninactive_file 7\ntotal_cache 3072\ntotal_swap 0\ntotal_pgmajfault 0\n\
         total_inactive_file 1024\n",
    ),
];
const BLKIO_V1: [(&str, &str); 2] =
    [("blkio.throttle.io_service_bytes", "Total 0\n"), ("blkio.throttle.io_serviced", "Total 0\n")];

type Files = &'static [(&'static str, &'static str)];

/// Names and contents in one hierarchy: that of v1 controllers or, when there are none, of v2.
pub(crate) fn files(
    controllers: &str,
    is_v2_alone: bool,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let sets: Vec<Files> = match (controllers, is_v2_alone) {
        ("", true) => vec![&CPU_V2, &MEMORY_V2, &PIDS, &IO_V2, &PRESSURES],
        ("", false) => vec![&CPU_HYBRID, &PRESSURES],
        (controllers, _) => controllers.split(',').map(v1).collect(),
    };
    let procs: Files = &[("cgroup.procs", "")];
    sets.into_iter().chain([procs]).flatten().copied()
}

fn v1(controller: &str) -> Files {
    match controller {
        "cpu" => &CPU_V1,
        "cpuacct" => &CPUACCT_V1,
        "memory" => &MEMORY_V1,
        "pids" => &PIDS,
        "blkio" => &BLKIO_V1,
        _ => &[],
    }
}
