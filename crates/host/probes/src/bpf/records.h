/* What crosses between the programs and user space: records in the ring buffer, counters, settings. All in the
 * machine's byte order, without padding; `layout.rs` reads exactly these layouts and must change with them.
 *
 * Not here: how they are filled.
 */
#pragma once

#include "kernel.h"

#define COMM_BYTES 16
#define EXEC_PATH_BYTES 256
#define EXEC_ARGS_BYTES 256
#define FILE_NAME_BYTES 32
/* The name of a container is the last part of its cgroup's path; nested Kubernetes nodes reach 330 bytes. */
#define CGROUP_PATH_BYTES 512
/* What UDP carries without fragments since RFC 1035; longer ones are cut, and the parser says so. */
#define DNS_BYTES 512
/* Most cgroups with counters of their own, and most that have some made. */
#define CGROUPS_MAX 32768
#define CREATORS_MAX 8192

enum kind {
	KIND_EXEC = 1,
	KIND_EXIT = 2,
	KIND_CGROUP_CREATED = 3,
	KIND_CGROUP_REMOVED = 4,
	KIND_CGROUP_ATTACHED = 5,
	KIND_SOCKET = 6,
	KIND_DNS = 7,
	KIND_PROCESS = 8,
};

struct header {
	__u32 kind;
	__u32 size;
	__u64 time; /* CLOCK_BOOTTIME */
	__u64 cgroup;
};

/* Where an executed file comes from. */
enum origin {
	ORIGIN_UNKNOWN = 0,
	ORIGIN_IMAGE = 1,
	ORIGIN_WRITTEN = 2,
	ORIGIN_MEMORY = 3,
	ORIGIN_DELETED = 4,
	ORIGIN_MOUNTED = 5,
	ORIGIN_SCRIPT = 6, /* `path` is what an interpreter runs; where that comes from is not known */
};

enum confinement {
	OWN_ROOT = 1,   /* the root is not that of the host's first process */
	IN_PLACE = 2,   /* the file is reached through a directory that is mounted at the path it has in its file system */
	ON_HOSTS = 4,   /* the file lies in the file system of the host's root */
	ROOTS_FILE = 8, /* the file is root's, in a file system that root mounted */
	OWN_USERS = 16, /* the user namespace is not that of the host's first process */
};

/* Where a process lives, beside its namespaces. */
struct confines {
	__u64 root_inode;
	__u64 capabilities; /* in force, in its own user namespace */
	__u32 root_device;
	__u32 file_device; /* of the program it runs; 0 when unknown */
	__u32 pid_inside;  /* its pid in its own pid namespace */
	__u32 flags;       /* enum confinement */
};

/* A file by what no name changes. */
struct file_record {
	__u64 device; /* the kernel's own number of it, major << 20 | minor */
	__u64 inode;
	__u64 changed_ns; /* its change time: content or rights; no process can set it */
	__u16 origin;
	__u16 is_mounted_alone; /* a single file that is mounted over another, as engines do with /etc/hosts */
	__u32 zero;
	char name[FILE_NAME_BYTES]; /* in its directory; cut when it is longer */
};

/* Which processes a task descends from, forks without exec included; zero when from none. */
struct descent_record {
	__u64 entry_start; /* what came into its mounts from outside of its cgroup */
	__u64 installer_start; /* what runs a file that is called like a package manager */
	__u32 entry;
	__u32 installer;
};

struct exec_record {
	struct header header;
	__u64 start;
	__u32 tgid;
	__u32 parent;
	__u32 uid;
	__u32 pid_ns;
	__u32 mnt_ns;
	__u32 net_ns;
	__u32 path_len;  /* bytes of `path`, without the final zero */
	__u32 args_len;  /* bytes of `args` */
	__u32 args_full; /* bytes the arguments have in all */
	__u32 streams;   /* which of the three standard streams are network sockets, a bit each */
	__u16 stream_family; /* of the first of them, as are the next two */
	__be16 stream_port;
	__u32 zero;
	__u8 stream_remote[16];
	__u64 parent_cgroup;
	__u32 parent_pid_ns;
	__u32 parent_mnt_ns;
	__u32 parent_net_ns;
	__u32 login_uid; /* all bits set when no login started it */
	__u32 user_ns;
	__u16 origin; /* as `file` has it, or that a script runs */
	__u16 has_terminal;
	struct confines confines;
	struct descent_record descent;
	struct file_record file; /* the program's; of a script its interpreter's */
	char comm[COMM_BYTES];
	char path[EXEC_PATH_BYTES];
	char args[EXEC_ARGS_BYTES];
};

struct exit_record {
	struct header header;
	__u64 start;
	__u32 tgid;
	__u32 code; /* as wait(2) gives it: status << 8 | core << 7 | signal */
	char comm[COMM_BYTES];
};

/* A process as it is, told without an exec: one that was cloned into namespaces which its parent does not have, and the
 * first of a pid namespace when it ends. */
struct process_record {
	struct header header;
	__u64 start;
	__u32 tgid;
	__u32 parent;
	__u32 uid;
	__u32 pid_ns;
	__u32 mnt_ns;
	__u32 net_ns;
	__u64 parent_cgroup;
	__u32 parent_pid_ns;
	__u32 parent_mnt_ns;
	__u32 parent_net_ns;
	__u32 login_uid;
	__u32 user_ns;
	__u16 zero;
	__u16 has_terminal;
	struct confines confines;
	char comm[COMM_BYTES];
};

struct cgroup_record {
	struct header header;
	__u64 start; /* of the process that was moved, as are the tgid and the namespaces; else 0 */
	__u32 tgid;
	__u32 pid_ns;
	__u32 mnt_ns;
	__u32 net_ns;
	__u64 by_cgroup; /* of who did it; one who moves itself is there already */
	__u32 by_tgid;
	__u32 path_len;
	char path[CGROUP_PATH_BYTES];
};

enum socket_state {
	SOCKET_CONNECTED = 1,
	SOCKET_ACCEPTED = 2,
	SOCKET_FAILED = 3,
	SOCKET_CLOSED = 4,
	SOCKET_LISTENING = 5,
};

struct socket_record {
	struct header header;
	__u64 sent;
	__u64 received;
	__u64 lasted;
	__u32 net_ns;
	__u16 state;
	__u16 family;
	__be16 local_port;
	__be16 remote_port;
	__u16 protocol;
	__u16 opener; /* of what ended: 1 for the cgroup itself, 2 for the other end, 0 when unknown */
	__u8 local[16];
	__u8 remote[16];
	char comm[COMM_BYTES]; /* who connected; empty for who was connected to */
};

struct dns_record {
	struct header header;
	__u16 family;
	__u16 zero;
	__u32 len;  /* bytes of `message` */
	__u32 full; /* bytes that it has in all */
	__u32 zero_too;
	__u8 server[16];
	__u8 message[DNS_BYTES];
};

/* What lines of the table of flows are budgeted by, so that none of these uses up the room of another. */
enum line_class {
	LINE_LOOPBACK = 0, /* whatever the protocol */
	LINE_DATAGRAM = 1,
	LINE_FAILED = 2,   /* a TCP connection that could not be made: it carries nothing */
	LINE_STREAM = 3,   /* a TCP connection */
	LINE_CLASSES = 4,
};

/* How far an address is away. What has no line of its own is counted in the one of its scope, whose address is 100::SCOPE:
 * 100::/64 goes nowhere (RFC 6666). */
enum scope {
	SCOPE_LOOPBACK = 1,
	SCOPE_INSIDE = 2,  /* private, shared, of one link, for many */
	SCOPE_OUTSIDE = 3,
};

enum direction {
	DIRECTION_OUT = 0,
	DIRECTION_IN = 1,
};

/* A line of the table of flows. An IPv4 address is written as an IPv6 one (::ffff:a.b.c.d), so that both sort alike. */
struct flow_key {
	__u64 cgroup;
	__u8 remote[16];
	__be16 port; /* the one that is served: the other end's when the cgroup opens, else its own */
	__u8 protocol;
	__u8 direction;
	__u32 zero;
};

struct flow {
	__u64 opened;
	__u64 failed;
	__u64 closed;
	__u64 sent;
	__u64 received;
	__u64 sent_packets;
	__u64 received_packets;
	__u64 lasted_ns;
	__u64 due; /* of the budget of ends: when the next would be due at the steady rate */
};

struct counters {
	__u64 forks;
	__u64 threads;
	__u64 execs;
	__u64 exits;
	__u64 core_dumps;
	__u64 ended_cpu_ns;
	__u64 helpers;
	__u64 helper_cpu_ns;
	__u64 module_requests;
	__u64 connects;
	__u64 accepts;
	__u64 engine_calls;
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 sent_packets;
	__u64 sent_packet_bytes;
	__u64 received_packets;
	__u64 received_packet_bytes;
	__u64 whole_syncs;
	__u64 file_syncs;
	__u64 submitted;
	__u64 over_budget;
	__u64 no_room;
	__u64 due; /* of the budget: when the next event would be due at the steady rate */
	__u64 crowded;  /* contacts that were given no line of their own in the table of flows */
	__u64 creator;  /* whose share of the table of counters the entry is of */
	__u64 flow_due[LINE_CLASSES]; /* of the budgets of such lines */
};

/* A creator of cgroups, and all of its cgroups that have no entry of their own. */
struct creator {
	struct counters counters;
	__u64 made;      /* entries that its cgroups were given; `released` has how many of them are gone */
	__u64 untracked; /* times that one of its cgroups was given none */
	__u64 latest;    /* the latest of those */
};

/* Whatever has no entry and no creator: cgroups already removed, and those of creators the table had no room for. */
struct rest {
	struct counters counters;
	__u64 untracked; /* times the table of creators had no room */
	__u64 made;      /* entries that were given to all */
};

struct settings {
	__u64 interval_ns; /* between two events at the steady rate */
	__u64 burst_ns;    /* how far ahead of the steady rate a cgroup may run */
	__u64 host_interval_ns;
	__u64 host_burst_ns;
	__u64 wake_bytes;  /* unread bytes from which the reader is woken */
	__u32 hierarchy_id;
	__u16 is_v1;
	__u16 exit_tells_group; /* whether this kernel's sched_process_exit says that the group is dead */
};

_Static_assert(sizeof(struct header) == 24, "layout.rs");
_Static_assert(sizeof(struct exec_record) == 776, "layout.rs");
_Static_assert(sizeof(struct process_record) == 136, "layout.rs");
_Static_assert(sizeof(struct file_record) == 64, "layout.rs");
_Static_assert(sizeof(struct exit_record) == 56, "layout.rs");
_Static_assert(sizeof(struct cgroup_record) == 576, "layout.rs");
_Static_assert(sizeof(struct socket_record) == 112, "layout.rs");
_Static_assert(sizeof(struct dns_record) == 568, "layout.rs");
_Static_assert(sizeof(struct flow_key) == 32, "layout.rs");
_Static_assert(sizeof(struct flow) == 72, "layout.rs");
_Static_assert(sizeof(struct counters) == 240, "layout.rs");
_Static_assert(sizeof(struct creator) == 264, "layout.rs");
_Static_assert(sizeof(struct rest) == 256, "layout.rs");
_Static_assert(sizeof(struct settings) == 48, "layout.rs");
