/* Who exchanges what with whom: a line for each cgroup, direction, protocol, address and served port, and what is
 * remembered of each TCP connection meanwhile.
 *
 * Not here: when a line begins or grows (`sockets.h`, `packets.h`). User space reads the table once a second and deletes
 * lines that stand still: a line that is gone begins anew.
 */
#pragma once

#include "books.h"

/* New lines that one cgroup may begin, a second and at once, by class: with lines deleted after a minute it holds at most
 * some 12,000. What a creator's cgroups begin together is four times that. Whatever goes beyond is counted in a line for
 * its scope and protocol. */
#define A_SECOND_NS 1000000000ULL
#define CREATOR_LINES 4
/* How many seconds' lines may be begun at once. */
#define LINES_AHEAD_S 16

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

/* Lines for all that have none of their own: at most 18 for a cgroup. A table of their own, so that there is room for them
 * when the other is full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, struct flow_key);
	__type(value, struct flow);
} crowds SEC(".maps");

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

static __always_inline __u64 lines_interval(__u32 class)
{
	switch (class) {
	case LINE_LOOPBACK:
		return A_SECOND_NS / 16;
	case LINE_DATAGRAM:
		return A_SECOND_NS / 32;
	default:
		return A_SECOND_NS / 64;
	}
}

static __always_inline __u32 scope_of(const __u8 address[16])
{
	__u32 words[4];
	__u8 a, b;

	__builtin_memcpy(words, address, sizeof(words));
	if (!words[0] && !words[1] && words[2] == __builtin_bswap32(0xffff)) {
		a = address[12];
		b = address[13];
		if (a == 127)
			return SCOPE_LOOPBACK;
		if (a == 10 || a == 0 || a >= 224 || (a == 172 && b >> 4 == 1) || (a == 192 && b == 168) ||
		    (a == 169 && b == 254) || (a == 100 && b >> 6 == 1))
			return SCOPE_INSIDE;
		return SCOPE_OUTSIDE;
	}
	if (!words[0] && !words[1] && !words[2])
		return words[3] == __builtin_bswap32(1) ? SCOPE_LOOPBACK : SCOPE_INSIDE;
	a = address[0];
	b = address[1];
	if ((a == 0xfe && b >> 6 >= 2) || (a & 0xfe) == 0xfc || a == 0xff)
		return SCOPE_INSIDE;
	return SCOPE_OUTSIDE;
}

static __always_inline __u32 class_of(const struct flow_key *key, bool is_failed)
{
	if (scope_of(key->remote) == SCOPE_LOOPBACK)
		return LINE_LOOPBACK;
	if (key->protocol != IPPROTO_TCP)
		return LINE_DATAGRAM;
	return is_failed ? LINE_FAILED : LINE_STREAM;
}

/* Whether a cgroup, and whoever made it and others, may begin one more line of that class. */
static __always_inline bool may_begin(struct counters *counters, __u32 class)
{
	__u64 now = bpf_ktime_get_boot_ns(), whose = counters->creator;
	__u64 interval, burst;
	struct creator *creator;

	if (class >= LINE_CLASSES)
		return false;
	interval = lines_interval(class);
	burst = LINES_AHEAD_S * A_SECOND_NS;
	if (!within_spacing(&counters->flow_due[class], now, interval, burst))
		return false;
	/* What lies in a directory of the host is of many. */
	if (!(whose & (CREATOR_USER | CREATOR_CONTAINER)))
		return true;
	creator = bpf_map_lookup_elem(&creators, &whose);
	return !creator ||
	       within_spacing(&creator->counters.flow_due[class], now, interval / CREATOR_LINES, burst);
}

/* The line for all of a scope and protocol that have none of their own. */
static __noinline struct flow *line_of_all(struct flow_key *key)
{
	struct flow *line;
	struct flow fresh = {};
	__u32 scope = scope_of(key->remote);

	__builtin_memset(key->remote, 0, sizeof(key->remote));
	key->remote[0] = 1;
	key->remote[15] = scope;
	key->port = 0;
	/* A raw socket may choose among 256: told apart are those that programs use. */
	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP)
		key->protocol = 0;
	line = bpf_map_lookup_elem(&crowds, key);
	if (line)
		return line;
	bpf_map_update_elem(&crowds, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&crowds, key);
}

/* The line of a key, begun if there is none; `is_new` tells. The line for all of its scope when no more may be begun of its
 * class, or the table is full. */
static __always_inline struct flow *line_of(struct flow_key *key, struct counters *counters, bool is_failed,
					    bool *is_new)
{
	struct flow *line = bpf_map_lookup_elem(&flows, key);
	struct flow fresh = {};

	*is_new = false;
	if (line)
		return line;
	if (may_begin(counters, class_of(key, is_failed)) &&
	    bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST) == 0) {
		*is_new = true;
		return bpf_map_lookup_elem(&flows, key);
	}
	/* Another core may have begun it meanwhile. */
	line = bpf_map_lookup_elem(&flows, key);
	if (line)
		return line;
	add(&counters->crowded, 1);
	return line_of_all(key);
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
