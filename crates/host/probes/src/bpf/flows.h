/* Who exchanges what with whom: a line for each cgroup, direction, protocol, address and served port, and what is
 * remembered of each TCP connection meanwhile.
 *
 * Not here: when a line begins or grows (`sockets.h`, `packets.h`). User space reads the table once a second and deletes
 * lines that stand still: a line that is gone begins anew.
 */
#pragma once

#include "books.h"

/* New lines that one cgroup may begin, a second and at once: with lines deleted after a minute it holds at most some
 * 5,000, a thirteenth of the table. Whatever goes beyond is counted in one line for all, whose address is zero. */
#define LINES_INTERVAL_NS (1000000000ULL / 64)
#define LINES_BURST_NS (1024 * LINES_INTERVAL_NS)

/* Ends of connections that are told of one line, a second and at once; the line counts all of them. Regular traffic of
 * programs that wait for each other is told in full, and so are beacons. */
#define ENDS_INTERVAL_NS (1000000000ULL / 8)
#define ENDS_BURST_NS (32 * ENDS_INTERVAL_NS)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* A TCP connection. */
struct connection {
	struct flow_key key; /* its cgroup is 0 until it is made */
	__u64 opened;
	__u64 written;       /* when its bytes were last added to its line */
	__u64 sent;          /* of these, those that the line has already */
	__u64 received;
	__u32 sent_packets;
	__u32 received_packets;
	struct owner owner;
	char comm[COMM_BYTES];
};

/* With the clone a connection that is accepted begins with what is known of its listener: on hosts with v1 only, where a
 * socket knows no cgroup, that is how its owner is known. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct connection);
} connections SEC(".maps");

/* A token bucket for one who acts on one core at a time, or may be a little wrong. */
static __always_inline bool within_spacing(__u64 *next, __u64 now, __u64 interval, __u64 burst)
{
	__u64 due = *(volatile __u64 *)next;
	__u64 from = due > now ? due : now;

	if (from - now > burst)
		return false;
	*(volatile __u64 *)next = from + interval;
	return true;
}

static __always_inline void map_address(__u8 mapped[16], __be32 address)
{
	__builtin_memset(mapped, 0, 10);
	mapped[10] = 0xff;
	mapped[11] = 0xff;
	__builtin_memcpy(mapped + 12, &address, 4);
}

/* The line of a key, begun if there is none; `is_new` tells. The line for all when the cgroup may begin no more, or the
 * table is full. */
static __always_inline struct flow *line_of(struct flow_key *key, struct counters *counters, bool *is_new)
{
	struct flow *line = bpf_map_lookup_elem(&flows, key);
	struct flow fresh = {};

	*is_new = false;
	if (line)
		return line;
	if (within_spacing(&counters->flow_due, bpf_ktime_get_boot_ns(), LINES_INTERVAL_NS, LINES_BURST_NS) &&
	    bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST) == 0) {
		*is_new = true;
		return bpf_map_lookup_elem(&flows, key);
	}
	/* Another core may have begun it meanwhile. */
	line = bpf_map_lookup_elem(&flows, key);
	if (line)
		return line;
	add(&counters->crowded, 1);
	__builtin_memset(key->remote, 0, sizeof(key->remote));
	key->port = 0;
	bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&flows, key);
}

/* Adds what a connection carried since it was last written down. */
static __always_inline void write_down(struct flow *line, struct connection *connection, __u64 sent, __u64 received)
{
	if (sent > connection->sent) {
		add(&line->sent, sent - connection->sent);
		connection->sent = sent;
	}
	if (received > connection->received) {
		add(&line->received, received - connection->received);
		connection->received = received;
	}
}

static __always_inline void write_packets(struct flow *line, struct connection *connection, __u32 sent, __u32 received)
{
	add(&line->sent_packets, (__u32)(sent - connection->sent_packets));
	add(&line->received_packets, (__u32)(received - connection->received_packets));
	connection->sent_packets = sent;
	connection->received_packets = received;
}
