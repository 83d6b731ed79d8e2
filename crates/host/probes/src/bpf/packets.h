/* Packets that sockets send and receive: booked on the cgroup that opened the socket, what the softirqs of the host are
 * spent on; added to the lines of flows; and what they say about names.
 *
 * Not here: packets without a socket of this host (forwarded, answered by the kernel itself), packet sockets, which
 * send below IP, and what XDP or a firewall drops first. Both programs let every packet pass.
 */
#pragma once

#include "flows.h"

/* How often what an open connection carried is added to its line, at most. */
#define WRITE_DOWN_NS 500000000ULL

/* A bundle that segmentation offload keeps together is one packet: it costs the stack about as much as one. */
static __always_inline struct counters *counters_of_packet(struct __sk_buff *packet)
{
	__u64 id = bpf_skb_cgroup_id(packet);
	struct counters *counters = bpf_map_lookup_elem(&cgroups, &id);
	struct sk_buff *skb;
	struct owner owner;

	if (counters)
		return counters;
	skb = plain(packet);
	owner = owner_of_cgroup(BPF_CORE_READ(skb, sk, sk_cgrp_data.cgroup));
	return counters_of(&owner);
}

static __always_inline bool socket_is_of_root(struct __sk_buff *packet)
{
	struct sk_buff *skb = plain(packet);

	return BPF_CORE_READ(skb, sk, sk_cgrp_data.cgroup, level) == 0;
}

/* What an open connection carried so far: its end may be hours away. Its line may have been deleted while it stood still:
 * it begins anew with what was carried since. */
static __always_inline void follow_connection(struct bpf_sock *socket, struct counters *counters)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct connection *connection = bpf_sk_storage_get(&connections, socket, 0, 0);
	struct bpf_tcp_sock *tcp;
	struct flow_key key;
	struct flow *line;
	bool is_new;

	if (!connection || !connection->key.cgroup || now - connection->written < WRITE_DOWN_NS)
		return;
	connection->written = now;
	tcp = bpf_tcp_sock(socket);
	key = connection->key;
	line = tcp ? line_of(&key, counters, false, &is_new) : 0;
	if (!line)
		return;
	/* One byte acknowledged may be the SYN; the end corrects it. */
	write_down(line, connection, tcp->bytes_acked ? tcp->bytes_acked - 1 : 0, tcp->bytes_received);
	write_packets(line, connection, tcp->segs_out, tcp->segs_in);
}

/* The two ends of a packet. */
struct ends {
	__u8 local[16];
	__u8 remote[16];
	__be16 local_port;
	__be16 remote_port;
	__u32 family;
	__u32 protocol;
	__u32 payload; /* where what the protocol carries begins */
};

static __always_inline bool has_ports(__u32 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* The first of its fragments tells the ports; the others count as a flow without. */
static __always_inline bool read_ends(struct __sk_buff *packet, struct ends *ends, bool is_sent)
{
	__u8 *from = is_sent ? ends->local : ends->remote, *to = is_sent ? ends->remote : ends->local;
	__be16 ports[2] = {};
	__u8 head[40] = {};
	__u32 length = 40;

	if (bpf_skb_load_bytes(packet, 0, head, 20))
		return false;
	if (head[0] >> 4 == 4) {
		__be32 source, target;

		__builtin_memcpy(&source, head + 12, 4);
		__builtin_memcpy(&target, head + 16, 4);
		map_address(from, source);
		map_address(to, target);
		ends->family = AF_INET;
		ends->protocol = head[9];
		length = (head[0] & 0xf) * 4;
		if ((head[6] & 0x1f) || head[7])
			length = 0;
	} else {
		if (bpf_skb_load_bytes(packet, 0, head, 40))
			return false;
		__builtin_memcpy(from, head + 8, 16);
		__builtin_memcpy(to, head + 24, 16);
		ends->family = AF_INET6;
		ends->protocol = head[6];
	}
	ends->payload = length + 8;
	if (length && has_ports(ends->protocol) && bpf_skb_load_bytes(packet, length, ports, sizeof(ports)) == 0) {
		ends->local_port = is_sent ? ports[0] : ports[1];
		ends->remote_port = is_sent ? ports[1] : ports[0];
	}
	return true;
}

static __always_inline void tell_packet(struct counters *counters, const struct owner *owner, const struct ends *ends,
					bool is_sent)
{
	struct socket_record *record = begin(counters, owner, KIND_SOCKET, sizeof(*record));
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (!record)
		return;
	record->sent = 0;
	record->received = 0;
	record->lasted = 0;
	record->net_ns = 0;
	record->state = is_sent ? SOCKET_CONNECTED : SOCKET_ACCEPTED;
	record->family = AF_INET6;
	record->protocol = ends->protocol;
	record->opener = (is_sent ? DIRECTION_OUT : DIRECTION_IN) + 1;
	record->local_port = ends->local_port;
	record->remote_port = ends->remote_port;
	__builtin_memcpy(record->local, ends->local, sizeof(record->local));
	__builtin_memcpy(record->remote, ends->remote, sizeof(record->remote));
	__builtin_memset(record->comm, 0, sizeof(record->comm));
	/* A packet is sent by whoever runs, or in a softirq that interrupted anybody. */
	if (is_sent && owner_of_task(task).id == owner->id)
		BPF_CORE_READ_INTO(&record->comm, task, comm);
	submit(record);
}

/* The line that a packet belongs to: that of the end which sent the first packet. */
static __always_inline struct flow *line_of_packet(struct flow_key *key, const struct ends *ends,
						   struct counters *counters, bool is_sent, bool *is_new)
{
	struct flow *line;

	/* The other direction first: this packet may be an answer. */
	key->direction = is_sent ? DIRECTION_IN : DIRECTION_OUT;
	key->port = is_sent ? ends->local_port : ends->remote_port;
	*is_new = false;
	line = bpf_map_lookup_elem(&flows, key);
	if (line)
		return line;
	key->direction = is_sent ? DIRECTION_OUT : DIRECTION_IN;
	key->port = is_sent ? ends->remote_port : ends->local_port;
	return line_of(key, counters, false, is_new);
}

static __always_inline void follow_packet(struct __sk_buff *packet, struct counters *counters, const struct ends *ends,
					  const struct owner *owner, bool is_sent)
{
	struct flow_key key = { .cgroup = owner->id, .protocol = ends->protocol };
	struct flow *line;
	bool is_new;

	__builtin_memcpy(key.remote, ends->remote, sizeof(key.remote));
	line = line_of_packet(&key, ends, counters, is_sent, &is_new);
	if (!line)
		return;
	add(is_sent ? &line->sent : &line->received, packet->len);
	add(is_sent ? &line->sent_packets : &line->received_packets, 1);
	if (is_new) {
		add(&line->opened, 1);
		tell_packet(counters, owner, ends, is_sent);
	}
}

/* A message of the domain name system, as it is: user space reads it with a library. */
static __always_inline void tell_names(struct __sk_buff *packet, struct counters *counters, const struct ends *ends,
				       const struct owner *owner)
{
	struct dns_record *record;
	__u32 full = packet->len - ends->payload;
	__u32 len = full < DNS_BYTES ? full : DNS_BYTES;

	if (packet->len <= ends->payload)
		return;
	record = begin(counters, owner, KIND_DNS, sizeof(*record));
	if (!record)
		return;
	record->family = AF_INET6;
	record->zero = 0;
	record->zero_too = 0;
	record->full = full;
	__builtin_memcpy(record->server, ends->remote, sizeof(record->server));
	__builtin_memset(record->message, 0, sizeof(record->message));
	/* The verifier must see both bounds on the very register it checks. Two comparisons would be made one, of another
	 * register, which older kernels (6.1) do not follow. */
	asm volatile("" : "+r"(len));
	len = ((len - 1) & (DNS_BYTES - 1)) + 1;
	if (bpf_skb_load_bytes(packet, ends->payload, record->message, len))
		len = 0;
	record->len = len;
	submit(record);
}

static __always_inline void follow(struct __sk_buff *packet, struct counters *counters, bool is_sent)
{
	struct bpf_sock *socket = packet->sk;
	struct owner owner = { .id = bpf_skb_cgroup_id(packet) };
	struct ends ends = {};
	bool asks_names;

	socket = socket ? bpf_sk_fullsock(socket) : 0;
	if (!socket)
		return;
	if (socket->protocol == IPPROTO_TCP && socket->type == SOCK_STREAM) {
		follow_connection(socket, counters);
		return;
	}
	if (!read_ends(packet, &ends, is_sent))
		return;
	owner.is_root = socket_is_of_root(packet);
	follow_packet(packet, counters, &ends, &owner, is_sent);
	/* The port that the program asked for, where the host sends its questions elsewhere, as engines do. */
	asks_names = ends.remote_port == __builtin_bswap16(DNS_PORT) || socket->dst_port == __builtin_bswap16(DNS_PORT);
	if (ends.protocol == IPPROTO_UDP && asks_names)
		tell_names(packet, counters, &ends, &owner);
}

SEC("cgroup_skb/egress")
int on_sent_packet(struct __sk_buff *packet)
{
	struct counters *counters = counters_of_packet(packet);

	if (counters) {
		add(&counters->sent_packets, 1);
		add(&counters->sent_packet_bytes, packet->len);
		follow(packet, counters, true);
	}
	return 1;
}

SEC("cgroup_skb/ingress")
int on_got_packet(struct __sk_buff *packet)
{
	struct counters *counters = counters_of_packet(packet);

	if (counters) {
		add(&counters->received_packets, 1);
		add(&counters->received_packet_bytes, packet->len);
		follow(packet, counters, false);
	}
	return 1;
}
