/* The programs: exec, exit and fork of processes, life of cgroups; sockets, packets and what only counts are in files of
 * their own.
 *
 * Not here: syscall tracepoints, which slow every syscall of the host; anything that could block or change what a
 * process does.
 */
#include "books.h"
#include "confines.h"
#include "descent.h"
#include "origins.h"
#include "packets.h"
#include "requests.h"
#include "sockets.h"
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

/* The network socket behind an open file, if that is what it is. */
static __always_inline struct sock *network_socket(struct file *file)
{
	struct socket *socket;
	struct sock *sk;
	__u16 family;

	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	return family == AF_INET || family == AF_INET6 ? sk : 0;
}

/* Which of the three standard streams are network sockets, and where the first of them leads. */
static __always_inline void read_streams(struct exec_record *record, struct task_struct *task)
{
	struct file **files = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file;
	struct sock *sk;

	record->streams = 0;
	record->stream_family = 0;
	record->stream_port = 0;
	record->zero = 0;
	__builtin_memset(record->stream_remote, 0, sizeof(record->stream_remote));
#pragma clang loop unroll(full)
	for (int stream = 0; stream < 3; stream++) {
		file = 0;
		bpf_probe_read_kernel(&file, sizeof(file), files + stream);
		sk = file ? network_socket(file) : 0;
		if (!sk)
			continue;
		record->streams |= 1U << stream;
		if (record->stream_family)
			continue;
		record->stream_family = BPF_CORE_READ(sk, __sk_common.skc_family);
		record->stream_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
		if (record->stream_family == AF_INET6)
			BPF_CORE_READ_INTO(&record->stream_remote, sk, __sk_common.skc_v6_daddr);
		else
			bpf_core_read(record->stream_remote, sizeof(__be32), &sk->__sk_common.skc_daddr);
	}
}

/* Who the task is, its parent, and whom it acts for. A macro: the fields have the same names in records of two types. */
#define READ_PROCESS(record, task, parent_of_it)                                                   \
	do {                                                                                       \
		struct task_struct *parent_task = (parent_of_it);                                  \
		(record)->start = BPF_CORE_READ(task, group_leader, start_boottime);               \
		(record)->tgid = BPF_CORE_READ(task, tgid);                                        \
		(record)->uid = BPF_CORE_READ(task, cred, uid.val);                                \
		(record)->pid_ns = pid_namespace_of(task);                                         \
		(record)->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);                  \
		(record)->net_ns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);                  \
		(record)->parent = BPF_CORE_READ(parent_task, tgid);                               \
		(record)->parent_cgroup = owner_of_task(parent_task).id;                           \
		(record)->parent_pid_ns = pid_namespace_of(parent_task);                           \
		(record)->parent_mnt_ns = BPF_CORE_READ(parent_task, nsproxy, mnt_ns, ns.inum);    \
		(record)->parent_net_ns = BPF_CORE_READ(parent_task, nsproxy, net_ns, ns.inum);    \
		(record)->login_uid = login_of(task);                                              \
		(record)->user_ns = BPF_CORE_READ(task, cred, user_ns, ns.inum);                   \
		(record)->has_terminal = BPF_CORE_READ(task, signal, tty) != 0;                    \
		BPF_CORE_READ_INTO(&(record)->comm, task, comm);                                   \
	} while (0)

/* Only kernels with auditing keep it. */
static __always_inline __u32 login_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->loginuid) ? BPF_CORE_READ(task, loginuid.val) : INVALID_UID;
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
	READ_PROCESS(record, task, BPF_CORE_READ(task, real_parent));
	len = bpf_probe_read_kernel_str(record->path, sizeof(record->path), BPF_CORE_READ(bprm, filename));
	record->path_len = len > 0 ? len - 1 : 0;
	read_arguments(record, task);
	read_streams(record, task);
	read_file(&record->file, task, BPF_CORE_READ(bprm, file));
	read_descent(record, task, is_interpreted(bprm));
	record->origin = record->file.origin;
	if ((record->origin == ORIGIN_IMAGE || record->origin == ORIGIN_UNKNOWN) && is_interpreted(bprm))
		record->origin = ORIGIN_SCRIPT;
	read_confines(&record->confines, task, BPF_CORE_READ(bprm, file));
	/* The first program of a container is started from outside of it; a script in one is looked at while it runs, and so is
	 * what a loader is given. */
	if (record->pid_ns != record->parent_pid_ns || record->mnt_ns != record->parent_mnt_ns ||
	    ((record->origin == ORIGIN_SCRIPT || is_loader(&record->file)) && BPF_CORE_READ(task, thread_pid, level) > 0))
		submit_urgent(record);
	else
		submit(record);
	return 0;
}

/* Tells of a process that executes nothing now. Its file may be let go already; `is_over` says that it will not execute
 * anything more, so that a root of its own counts only when there is anything in it. */
static __always_inline void tell_process(struct counters *counters, const struct owner *payer, struct task_struct *task,
					 struct task_struct *parent, bool is_over)
{
	struct process_record *record = begin(counters, payer, KIND_PROCESS, sizeof(*record));

	if (!record)
		return;
	record->header.cgroup = owner_of_task(task).id;
	READ_PROCESS(record, task, parent);
	record->zero = 0;
	read_confines(&record->confines, task, BPF_CORE_READ(task, mm, exe_file));
	if (is_over && !holds_anything(task))
		record->confines.flags &= ~OWN_ROOT;
	submit_urgent(record);
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
	/* It may have made its root and executed nothing. */
	if (BPF_CORE_READ(task, thread_pid, level) > 0 && BPF_CORE_READ(innermost(task), nr) == 1)
		tell_process(counters, &owner, task, BPF_CORE_READ(task, real_parent), true);
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

/* Whether a child has processes or mounts that its parent has not. Of nearly all forks two pointers say no. */
static __always_inline bool lives_elsewhere(struct task_struct *parent, struct task_struct *child)
{
	struct nsproxy *theirs = BPF_CORE_READ(parent, nsproxy), *its = BPF_CORE_READ(child, nsproxy);

	if (theirs != its && BPF_CORE_READ(theirs, mnt_ns) != BPF_CORE_READ(its, mnt_ns))
		return true;
	return BPF_CORE_READ(parent, thread_pid, level) != BPF_CORE_READ(child, thread_pid, level);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	bool is_thread = BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid);
	struct owner owner = owner_of_task(parent);
	struct counters *counters = counters_of(&owner);

	inherit(parent, child);
	if (!counters)
		return 0;
	add(is_thread ? &counters->threads : &counters->forks, 1);
	if (!is_thread && lives_elsewhere(parent, child))
		tell_process(counters, &owner, child, parent, false);
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
	record->pid_ns = moved ? pid_namespace_of(moved) : 0;
	record->mnt_ns = moved ? BPF_CORE_READ(moved, nsproxy, mnt_ns, ns.inum) : 0;
	record->net_ns = moved ? BPF_CORE_READ(moved, nsproxy, net_ns, ns.inum) : 0;
	record->by_cgroup = payer.id;
	record->by_tgid = bpf_get_current_pid_tgid() >> 32;
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
	if (!in_our_hierarchy(cgroup))
		return 0;
	note_removed(cgroup);
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
