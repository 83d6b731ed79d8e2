/* Packets that sockets send and receive, booked on the cgroup that opened the socket: what the softirqs of the host are
 * spent on.
 *
 * Not here: packets without a socket of this host (forwarded, answered by the kernel itself), packet sockets, which
 * send below IP, and what XDP or a firewall drops first. Both programs let every packet pass.
 */
#pragma once

#include "books.h"

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

SEC("cgroup_skb/egress")
int on_sent_packet(struct __sk_buff *packet)
{
	struct counters *counters = counters_of_packet(packet);

	if (counters) {
		add(&counters->sent_packets, 1);
		add(&counters->sent_packet_bytes, packet->len);
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
	}
	return 1;
}
