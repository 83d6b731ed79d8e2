/* The programs: exec, exit and fork of processes, life of cgroups, states of TCP sockets; what only counts is in files
 * of its own.
 *
 * Not here: syscall tracepoints, which slow every syscall of the host; anything that could block or change what a
 * process does.
 */
#include "books.h"
#include "packets.h"
#include "requests.h"
#include "writes.h"

char LICENSE[] SEC("license") = "GPL";

struct ended {
	__u64 start;
	__u64 tgid;
};

/* Thread groups whose end was already told; needed only where the kernel does not tell the last thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ended);
	__type(value, __u32);
} ended_groups SEC(".maps");

/* Owners of sockets on v1-only hosts, where a socket knows no cgroup: noted while the owner itself runs. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct owner);
} socket_owners SEC(".maps");

/* Inode number of the pid namespace the task lives in; nsproxy has the one its children will get. */
static __always_inline __u32 pid_namespace_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct upid *last = (void *)__builtin_preserve_access_index(&pid->numbers[0]) + level * sizeof(struct upid);

	return BPF_CORE_READ(last, ns, ns.inum);
}

static __always_inline void read_arguments(struct exec_record *record, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	unsigned long start = BPF_CORE_READ(mm, arg_start);
	unsigned long full = BPF_CORE_READ(mm, arg_end) - start;
	__u32 len = full < EXEC_ARGS_BYTES ? full : EXEC_ARGS_BYTES;

	record->args_full = full < 0xffffffffUL ? full : 0xffffffffUL;
	/* The verifier must see the bound on the very register it checks. */
	asm volatile("" : "+r"(len));
	if (len > EXEC_ARGS_BYTES || bpf_probe_read_user(record->args, len, (void *)start))
		len = 0;
	record->args_len = len;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct owner owner = owner_of_task(task);
	struct counters *counters = counters_of(&owner);
	struct exec_record *record;
	long len;

	if (!counters)
		return 0;
	add(&counters->execs, 1);
	record = begin(counters, &owner, KIND_EXEC, sizeof(*record));
	if (!record)
		return 0;
	record->start = BPF_CORE_READ(task, group_leader, start_boottime);
	record->tgid = BPF_CORE_READ(task, tgid);
	record->parent = BPF_CORE_READ(task, real_parent, tgid);
	record->uid = BPF_CORE_READ(task, cred, uid.val);
	record->pid_ns = pid_namespace_of(task);
	record->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	record->net_ns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	record->zero = 0;
	BPF_CORE_READ_INTO(&record->comm, task, comm);
	len = bpf_probe_read_kernel_str(record->path, sizeof(record->path), BPF_CORE_READ(bprm, filename));
	record->path_len = len > 0 ? len - 1 : 0;
	read_arguments(record, task);
	submit(record);
	return 0;
}

/* Whether the thread that ends is the last of its process. Newer kernels say so in an argument the older ones do
 * not have; there `live` is 0, but two threads ending at once on two cores may both see that: the first tells. */
static __always_inline bool ends_process(unsigned long long *ctx, struct task_struct *task)
{
	struct ended ended = {};
	__u32 told = 1;

	/* Volatile: read earlier, as the compiler might, it would make older kernels refuse the program. */
	if (settings.exit_tells_group)
		return (*(volatile __u64 *)(ctx + 1) & 0xff) != 0;
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return false;
	ended.start = BPF_CORE_READ(task, group_leader, start_boottime);
	ended.tgid = BPF_CORE_READ(task, tgid);
	return bpf_map_update_elem(&ended_groups, &ended, &told, BPF_NOEXIST) == 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(unsigned long long *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct counters *counters;
	struct exit_record *record;
	struct owner owner;
	__u32 code;

	if (!ends_process(ctx, task))
		return 0;
	owner = owner_of_task(task);
	counters = counters_of(&owner);
	if (!counters)
		return 0;
	/* The same choice as wait_task_zombie() makes. */
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		code = BPF_CORE_READ(task, signal, group_exit_code);
	else
		code = BPF_CORE_READ(task, exit_code);
	add(&counters->exits, 1);
	if (code & 0x80)
		add(&counters->core_dumps, 1);
	record = begin(counters, &owner, KIND_EXIT, sizeof(*record));
	if (!record)
		return 0;
	record->start = BPF_CORE_READ(task, group_leader, start_boottime);
	record->tgid = BPF_CORE_READ(task, tgid);
	record->code = code;
	BPF_CORE_READ_INTO(&record->comm, task, group_leader, comm);
	submit(record);
	return 0;
}

/* CPU of all threads of a process that was reaped. Each thread is added to the sum as it is reaped, which one that
 * nobody waits for does itself, before its last moments are counted: of a single such thread the own sum is larger. */
static __always_inline __u64 cpu_of_ended(struct task_struct *leader)
{
	__u64 all = BPF_CORE_READ(leader, signal, sum_sched_runtime);
	__u64 own = BPF_CORE_READ(leader, se.sum_exec_runtime);

	return all > own ? all : own;
}

/* Reaped, and the last grace period is over: unlike at exit, the CPU time is whole. A child of a kernel thread is a
 * helper the kernel started. What the helper itself started and waited for is the helper's doing. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	struct counters *counters;
	struct owner owner;
	__u64 cpu_ns;

	if (BPF_CORE_READ(task, group_leader) != task || (BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return 0;
	owner = owner_of_task(task);
	counters = counters_of(&owner);
	if (!counters)
		return 0;
	cpu_ns = cpu_of_ended(task);
	add(&counters->ended_cpu_ns, cpu_ns);
	if (!(BPF_CORE_READ(task, real_parent, flags) & PF_KTHREAD))
		return 0;
	cpu_ns += BPF_CORE_READ(task, signal, cutime) + BPF_CORE_READ(task, signal, cstime);
	add(&counters->helpers, 1);
	add(&counters->helper_cpu_ns, cpu_ns);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	bool is_thread = BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid);
	struct owner owner = owner_of_task(parent);
	struct counters *counters = counters_of(&owner);

	if (counters)
		add(is_thread ? &counters->threads : &counters->forks, 1);
	return 0;
}

/* The cgroup of whoever acts pays, not the one acted on: a flood of new cgroups would else have a fresh budget
 * with each. */
static __always_inline void tell_cgroup(__u32 kind, struct cgroup *cgroup, const char *path, struct task_struct *moved)
{
	struct owner payer = owner_of_current();
	struct counters *counters = counters_of(&payer);
	struct cgroup_record *record;
	long len;

	if (!counters)
		return;
	record = begin(counters, &payer, kind, sizeof(*record));
	if (!record)
		return;
	record->header.cgroup = BPF_CORE_READ(cgroup, kn, id);
	record->start = moved ? BPF_CORE_READ(moved, group_leader, start_boottime) : 0;
	record->tgid = moved ? BPF_CORE_READ(moved, tgid) : 0;
	len = bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	record->path_len = len > 0 ? len - 1 : 0;
	submit(record);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	if (in_our_hierarchy(cgroup))
		tell_cgroup(KIND_CGROUP_CREATED, cgroup, path, 0);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	if (in_our_hierarchy(cgroup))
		tell_cgroup(KIND_CGROUP_REMOVED, cgroup, path, 0);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	if (in_our_hierarchy(cgroup))
		tell_cgroup(KIND_CGROUP_ATTACHED, cgroup, path, task);
	return 0;
}

/* What a change of state means; 0 for those that are no event. A listener's end is none: it carried no bytes. */
static __always_inline __u32 meaning(int old, int new)
{
	if (new == TCP_ESTABLISHED)
		return old == TCP_SYN_SENT ? SOCKET_CONNECTED : old == TCP_SYN_RECV ? SOCKET_ACCEPTED : 0;
	if (new == TCP_LISTEN)
		return SOCKET_LISTENING;
	if (new != TCP_CLOSE || old == TCP_CLOSE || old == TCP_LISTEN || old == TCP_SYN_RECV)
		return 0;
	return old == TCP_SYN_SENT ? SOCKET_FAILED : SOCKET_CLOSED;
}

/* The cgroup that opened the socket. Most changes of state run in a softirq on behalf of whoever was interrupted,
 * so the current task says nothing, except when a process calls connect or listen. */
static __always_inline struct owner owner_of_socket(const struct sock *sk, int new)
{
	__u64 key = (__u64)sk;
	struct owner owner = {};
	struct owner *noted;

	if (!settings.is_v1)
		return owner_of_cgroup(BPF_CORE_READ(sk, sk_cgrp_data.cgroup));
	if (new == TCP_SYN_SENT || new == TCP_LISTEN) {
		owner = owner_of_current();
		bpf_map_update_elem(&socket_owners, &key, &owner, BPF_ANY);
		return owner;
	}
	noted = bpf_map_lookup_elem(&socket_owners, &key);
	if (noted)
		owner = *noted;
	if (new == TCP_CLOSE)
		bpf_map_delete_elem(&socket_owners, &key);
	return owner;
}

/* Payload bytes the peer has. `bytes_acked` alone counts SYN and FIN as a byte each. */
static __always_inline __u64 sent_bytes(struct tcp_sock *tcp)
{
	__u64 acked = BPF_CORE_READ(tcp, bytes_acked);
	__u64 sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);

	return acked < sent ? acked : sent;
}

/* Payload bytes received. `bytes_received` counts the peer's FIN, after which SOCK_DONE is set. */
static __always_inline __u64 received_bytes(const struct sock *sk)
{
	__u64 received = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);
	__u64 done = (BPF_CORE_READ(sk, __sk_common.skc_flags) >> bpf_core_enum_value(enum sock_flags, SOCK_DONE)) & 1;

	return received > done ? received - done : 0;
}

static __always_inline void read_addresses(struct socket_record *record, const struct sock *sk)
{
	record->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	/* Of the socket's two numbers of its port only this one is still set when it closes. */
	record->local_port = BPF_CORE_READ((struct inet_sock *)sk, inet_sport);
	record->remote_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	__builtin_memset(record->local, 0, sizeof(record->local));
	__builtin_memset(record->remote, 0, sizeof(record->remote));
	if (record->family == AF_INET6) {
		BPF_CORE_READ_INTO(&record->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&record->remote, sk, __sk_common.skc_v6_daddr);
		return;
	}
	bpf_core_read(record->local, sizeof(__be32), &sk->__sk_common.skc_rcv_saddr);
	bpf_core_read(record->remote, sizeof(__be32), &sk->__sk_common.skc_daddr);
}

static __always_inline void count_socket(struct counters *counters, __u32 state, __u64 sent, __u64 received)
{
	if (state == SOCKET_CONNECTED)
		add(&counters->connects, 1);
	if (state == SOCKET_ACCEPTED)
		add(&counters->accepts, 1);
	if (state == SOCKET_CLOSED) {
		add(&counters->sent_bytes, sent);
		add(&counters->received_bytes, received);
	}
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, const struct sock *sk, int old, int new)
{
	__u32 state = meaning(old, new);
	struct socket_record *record;
	struct counters *counters;
	__u64 sent, received;
	struct owner owner;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (!state && !(settings.is_v1 && new == TCP_SYN_SENT))
		return 0;
	owner = owner_of_socket(sk, new);
	counters = state ? counters_of(&owner) : 0;
	if (!counters)
		return 0;
	sent = sent_bytes((struct tcp_sock *)sk);
	received = received_bytes(sk);
	count_socket(counters, state, sent, received);
	record = begin(counters, &owner, KIND_SOCKET, sizeof(*record));
	if (!record)
		return 0;
	record->sent = sent;
	record->received = received;
	record->state = state;
	read_addresses(record, sk);
	submit(record);
	return 0;
}
