//! The files of `/proc`, as the kernel writes them.
//!
//! Not here: files that no reader uses.

use std::fmt::Write;

use super::{FakeProcess, Hierarchy};

const PRESSURE: &str = "some avg10=0.89 avg60=0.73 avg300=1.71 total=23054811\n\
                        full avg10=0.10 avg60=0.05 avg300=0.01 total=1000\n";

const SOCKSTAT: &str = "sockets: used 29\nTCP: inuse 3 orphan 0 tw 5 alloc 3 mem 350\nUDP: inuse 2 mem 0\n\
                        UDPLITE: inuse 70\nRAW: inuse 80\nFRAG: inuse 90 memory 0\n";
const SOCKSTAT6: &str =
    "TCP6: inuse 4\nUDP6: inuse 1\nUDPLITE6: inuse 70\nRAW6: inuse 80\nFRAG6: inuse 90 memory 0\n";

/// Routes of a host that is 192.0.2.2/24, and its loopback interface. The kernel shows those to itself in both tables.
const FIB_TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
        +-- 192.0.2.0/30 2 0 2
           |-- 192.0.2.0
              /24 link UNICAST
           |-- 192.0.2.2
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
";
const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
                        fd000000000000000000000000000002 04 40 00 82     eth0\n";

/// Files of a host with two cores that was booted at 1,700,000,000.
pub(crate) const FILES: [(&str, &str); 29] = [
    (
        "proc/stat",
        "cpu  40596 4 5439 232653 464 1 108 78 0 0\ncpu0 19882 0 2378 117229 77 0 36 39 0 0\n\
         cpu1 20714 4 3061 115424 387 1 72 39 0 0\nintr 347859 0 0\nctxt 458462\nbtime 1700000000\n\
         processes 12654\nprocs_running 3\nprocs_blocked 0\nsoftirq 189721 0 28712\n",
    ),
    (
        "proc/meminfo",
        "MemTotal:       24683656 kB\nMemFree:        23934516 kB\nMemAvailable:   24246308 kB\nBuffers: 4080 kB\n",
    ),
    ("proc/loadavg", "0.02 0.44 0.35 1/121 12654\n"),
    ("proc/pressure/cpu", PRESSURE),
    ("proc/pressure/memory", PRESSURE),
    ("proc/pressure/io", PRESSURE),
    ("proc/sys/kernel/pid_max", "32768\n"),
    ("proc/sys/kernel/hostname", "fake-host\n"),
    ("proc/sys/kernel/random/boot_id", "4da8a86d-7132-4228-ac16-d70944b38a7f\n"),
    ("proc/sys/kernel/threads-max", "192729\n"),
    ("proc/sys/kernel/pty/nr", "3\n"),
    ("proc/sys/kernel/pty/max", "4096\n"),
    ("proc/sys/kernel/shmmni", "4096\n"),
    ("proc/sys/kernel/sem", "32000\t1024000000\t500\t32000\n"),
    ("proc/sys/kernel/msgmni", "32000\n"),
    ("proc/sys/fs/file-nr", "385\t0\t2466174\n"),
    ("proc/sys/fs/inode-nr", "190086\t86\n"),
    ("proc/sys/fs/mount-max", "100000\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/1/net/sockstat", SOCKSTAT),
    ("proc/1/net/sockstat6", SOCKSTAT6),
    ("proc/1/net/fib_trie", FIB_TRIE),
    ("proc/1/net/if_inet6", IF_INET6),
    ("proc/1/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n"),
    (
        "proc/sysvipc/shm",
        "       key      shmid perms                  size\n         0          1   600                   100\n",
    ),
    ("proc/sysvipc/sem", "       key      semid perms      nsems\n"),
    ("proc/sysvipc/msg", "       key      msqid perms      cbytes\n"),
];

/// The mount table.
pub(crate) fn mountinfo(hierarchies: &[Hierarchy]) -> String {
    let mut table = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                     27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                     28 27 254:1 / /mnt/a\\040b rw,relatime shared:2 master:1 - ext4 /dev/vdb rw\n"
        .to_owned();
    for (index, (directory, controllers, _)) in hierarchies.iter().enumerate() {
        let point = format!("/sys/fs/cgroup/{directory}");
        let point = point.trim_end_matches('/');
        let (kind, options) = if controllers.is_empty() {
            ("cgroup2", "rw,nsdelegate".to_owned())
        } else {
            ("cgroup", format!("rw,{controllers}"))
        };
        let number = 32 + index;
        let _ = writeln!(
            table,
            "{number} 31 0:{number} / {point} rw,relatime shared:9 - {kind} {kind} {options}"
        );
    }
    table
}

/// `/proc/cgroups`.
pub(crate) fn cgroups(hierarchies: &[Hierarchy]) -> String {
    let mut table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_owned();
    for name in ["cpu", "cpuacct", "memory", "pids", "blkio"] {
        let number =
            hierarchies.iter().find(|(_, controllers, _)| controllers.split(',').any(|part| part == name));
        let _ = writeln!(table, "{name}\t{}\t2\t1", number.map_or(0, |hierarchy| hierarchy.2));
    }
    table
}

/// `/proc/PID/cgroup`: newest hierarchy first, v2 last.
pub(crate) fn cgroup_lines(hierarchies: &[Hierarchy], path: &str) -> String {
    let mut sorted = hierarchies.to_vec();
    sorted.sort_by_key(|&(_, _, number)| std::cmp::Reverse(number));
    sorted.iter().map(|(_, controllers, number)| format!("{number}:{controllers}:{path}\n")).collect()
}

impl FakeProcess {
    pub(crate) fn stat(&self) -> Vec<u8> {
        let flags = match (self.is_kernel_thread, self.is_cloned) {
            (true, _) => 0x0020_8040,
            (false, true) => 0x0040_0040,
            (false, false) => 0x0040_0000,
        };
        let Self { pid, state, parent_pid: parent, start_ticks: start, threads, .. } = self;
        let (user, system) = (self.cpu_ticks / 2, self.cpu_ticks - self.cpu_ticks / 2);
        let mut line = format!("{pid} (").into_bytes();
        line.extend_from_slice(&self.name);
        let rest = format!(
            ") {state} {parent} {pid} {pid} 0 -1 {flags} 98 0 0 0 {user} {system} 0 0 20 0 {threads} 0 {start} 3133440 379 \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        line.extend_from_slice(rest.as_bytes());
        line
    }

    pub(crate) fn status(&self) -> String {
        let (uid, pid, parent) = (self.uid, self.pid, self.parent_pid);
        format!(
            "Name:\tx\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{parent}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t0\t0\t0\t0\n"
        )
    }

    pub(crate) fn cmdline(&self) -> Vec<u8> {
        self.args.iter().flat_map(|arg| arg.iter().copied().chain([0])).collect()
    }

    pub(crate) fn namespace_inodes(&self) -> [(&'static str, u32); 3] {
        [("pid", self.namespaces.pid), ("mnt", self.namespaces.mnt), ("net", self.namespaces.net)]
    }
}
