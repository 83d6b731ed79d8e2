/* TCP sockets: who connects, accepts, fails, ends and listens, told at the first contact with an address and at the end.
 *
 * Not here: other protocols, and what an open connection carries meanwhile (`packets.h`).
 */
#pragma once

#include "flows.h"

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

static __always_inline void read_key(struct flow_key *key, const struct sock *sk, __u32 direction)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6)
		BPF_CORE_READ_INTO(&key->remote, sk, __sk_common.skc_v6_daddr);
	else
		map_address(key->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	key->port = direction == DIRECTION_OUT ? BPF_CORE_READ(sk, __sk_common.skc_dport) :
						 BPF_CORE_READ((struct inet_sock *)sk, inet_sport);
	key->protocol = IPPROTO_TCP;
	key->direction = direction;
	key->zero = 0;
}

/* Most changes of state run in a softirq on behalf of whoever was interrupted, so the current task says nothing, except
 * when a process calls connect or listen: then it is noted who does. */
static __always_inline void note_caller(struct connection *connection, int new)
{
	if (new != TCP_SYN_SENT && new != TCP_LISTEN)
		return;
	connection->opened = bpf_ktime_get_boot_ns();
	bpf_get_current_comm(connection->comm, sizeof(connection->comm));
	if (settings.is_v1) {
		connection->owner = owner_of_current();
		connection->owner.cgroup = 0;
	}
}

/* The cgroup that opened the socket. */
static __always_inline struct owner owner_of_socket(const struct sock *sk, struct connection *connection)
{
	struct owner none = {};

	if (!settings.is_v1)
		return owner_of_cgroup(BPF_CORE_READ(sk, sk_cgrp_data.cgroup));
	return connection ? connection->owner : none;
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

static __always_inline void tell_socket(struct counters *counters, const struct owner *owner, const struct sock *sk,
					__u32 state, struct connection *connection)
{
	struct socket_record *record = begin(counters, owner, KIND_SOCKET, sizeof(*record));

	if (!record)
		return;
	record->sent = sent_bytes((struct tcp_sock *)sk);
	record->received = received_bytes(sk);
	record->lasted = connection && connection->opened ? record->header.time - connection->opened : 0;
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	record->state = state;
	record->protocol = IPPROTO_TCP;
	record->opener = connection && connection->key.cgroup ? connection->key.direction + 1 : 0;
	read_addresses(record, sk);
	if (connection)
		__builtin_memcpy(record->comm, connection->comm, sizeof(record->comm));
	else
		__builtin_memset(record->comm, 0, sizeof(record->comm));
	submit(record);
}

/* A connection was made, or could not be. Told when it is the first with that address in a while. */
static __always_inline void meet(struct counters *counters, const struct owner *owner, const struct sock *sk,
				 __u32 state, struct connection *connection)
{
	struct flow_key key = { .cgroup = owner->id };
	struct flow_key place;
	struct flow *line;
	bool is_new;

	read_key(&key, sk, state == SOCKET_ACCEPTED ? DIRECTION_IN : DIRECTION_OUT);
	place = key;
	line = line_of(&place, counters, state == SOCKET_FAILED, &is_new);
	if (!line)
		return;
	add(state == SOCKET_FAILED ? &line->failed : &line->opened, 1);
	if (connection) {
		/* One that has no line of its own now may have one later. */
		connection->key = key;
		if (state == SOCKET_ACCEPTED) {
			connection->opened = bpf_ktime_get_boot_ns();
			__builtin_memset(connection->comm, 0, sizeof(connection->comm));
		}
	}
	if (is_new)
		tell_socket(counters, owner, sk, state, connection);
}

/* A connection ended. Its line may have been deleted while it stood still. */
static __always_inline void part(struct counters *counters, const struct owner *owner, const struct sock *sk,
				 struct connection *connection)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct flow_key key;
	struct flow *line;
	bool is_new;

	/* Made before we looked: which end opened it is unknown, so it is in no line. */
	if (!connection || !connection->key.cgroup) {
		tell_socket(counters, owner, sk, SOCKET_CLOSED, connection);
		return;
	}
	key = connection->key;
	line = line_of(&key, counters, false, &is_new);
	if (!line)
		return;
	write_down(line, connection, sent_bytes((struct tcp_sock *)sk), received_bytes(sk));
	write_packets(line, connection, BPF_CORE_READ((struct tcp_sock *)sk, segs_out),
		      BPF_CORE_READ((struct tcp_sock *)sk, segs_in));
	add(&line->closed, 1);
	add(&line->lasted_ns, now - connection->opened);
	if (within_spacing(&line->due, now, ENDS_INTERVAL_NS, ENDS_BURST_NS))
		tell_socket(counters, owner, sk, SOCKET_CLOSED, connection);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, struct sock *sk, int old, int new)
{
	__u32 state = meaning(old, new);
	struct connection *connection;
	struct counters *counters;
	struct owner owner;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (!state && new != TCP_SYN_SENT)
		return 0;
	connection = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (connection)
		note_caller(connection, new);
	owner = owner_of_socket(sk, connection);
	counters = state ? counters_of(&owner) : 0;
	if (!counters)
		return 0;
	count_socket(counters, state, sent_bytes((struct tcp_sock *)sk), received_bytes(sk));
	if (state == SOCKET_LISTENING)
		tell_socket(counters, &owner, sk, state, connection);
	else if (state == SOCKET_CLOSED)
		part(counters, &owner, sk, connection);
	else
		meet(counters, &owner, sk, state, connection);
	return 0;
}
