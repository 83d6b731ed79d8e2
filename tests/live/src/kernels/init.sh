#!/bin/sh
# Init of the guest: a host with cgroup v2 only, Tidewatch, and a container made by hand that burns a core.
# What the test reads stands between markers on the console.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
echo "+cpu +memory +pids +io" > /sys/fs/cgroup/cgroup.subtree_control
hostname tw-live-guest
ip link set lo up

show() {
    part=$1
    shift
    echo "=== begin $part ==="
    "$@" 2>>/tmp/complaints
    echo
    echo "=== end $part ==="
}

# Asks until the answer is there: emulation is slow.
wait_for() {
    left=$1
    shift
    while [ "$left" -gt 0 ] && ! "$@"; do
        left=$((left - 1))
        sleep 1
    done
}

answers() { tidewatch status --json --data-dir /data 2>/dev/null | grep -q containers; }
follows_kernel() { tidewatch status --data-dir /data 2>/dev/null | grep -q "source kernel"; }
opened() { tidewatch incidents list --json --all --data-dir /data 2>/dev/null | grep -q made-by-hand; }

burn() {
    mkdir /sys/fs/cgroup/made-by-hand
    sh -c 'echo $$ > /sys/fs/cgroup/made-by-hand/cgroup.procs &&
        exec unshare -p -m -n -f sh -c "while :; do :; done"' &
}

# A file system that no kernel has: it asks for a module, and starts a helper that would load it.
ask_for_modules() {
    mkdir /sys/fs/cgroup/asks-for-modules
    sh -c 'echo $$ > /sys/fs/cgroup/asks-for-modules/cgroup.procs
        for name in one two three; do mount -t "nofs$name" none /tmp; done' 2>/dev/null
}

# The last counts of the cgroup in that directory.
counts_of() {
    id=$(stat -c %i "$1")
    grep '"kind":"counts"' /tmp/recorded | grep "\"cgroup\":$id," | tail -n 1
}

tidewatch run --data-dir /data > /tmp/log 2>&1 &
wait_for 60 answers
tidewatch record --data-dir /data --out /tmp/recorded > /dev/null 2>>/tmp/complaints &
recorder=$!
wait_for 30 follows_kernel
ask_for_modules
burn
wait_for 60 opened
# The figures of the first reading may cover half a second of burning only.
sleep 5
kill -INT "$recorder"
wait "$recorder"

show kernel uname -srm
show doctor tidewatch doctor --json --data-dir /data
show status tidewatch status --json --data-dir /data
show incidents tidewatch incidents list --json --all --data-dir /data
show asker counts_of /sys/fs/cgroup/asks-for-modules
show root counts_of /sys/fs/cgroup
show log tail -n 40 /tmp/log
show complaints cat /tmp/complaints
poweroff -f
