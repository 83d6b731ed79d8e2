/* What a process asks others to do for it: a container engine through its socket, the kernel to load a module.
 *
 * Not here: an engine's socket under another name, or reached over TCP. The first still shows as a mount of the container
 * or as CPU of the engine, the second as a connection.
 */
#pragma once

#include "books.h"

#define NAME_BYTES 24
#define IS_NAMED(name, literal) (bpf_strncmp(name, NAME_BYTES, literal) == 0)

static __always_inline bool names_engine(const char *name)
{
	return IS_NAMED(name, "docker.sock") || IS_NAMED(name, "containerd.sock") || IS_NAMED(name, "podman.sock") ||
	       IS_NAMED(name, "crio.sock") || IS_NAMED(name, "cri-dockerd.sock") || IS_NAMED(name, "docker.raw.sock");
}

/* The last part of the path in a socket's address, which need not end with a zero. */
static __always_inline void read_name(char name[NAME_BYTES], const struct bpf_sock_addr_kern *to)
{
	const char *path = (const char *)BPF_CORE_READ(to, uaddr) + sizeof(__u16);
	__u64 size = BPF_CORE_READ(to, uaddrlen) - sizeof(__u16);
	char copy[UNIX_PATH_MAX + 1] = {};
	const char *last = path;

	if (size > UNIX_PATH_MAX)
		return;
	/* The helper ends a text with a zero within the size it is given. */
	bpf_probe_read_kernel_str(copy, size + 1, path);
	for (int at = 0; at < UNIX_PATH_MAX; at++) {
		if (!copy[at])
			break;
		if (copy[at] == '/')
			last = path + at + 1;
	}
	/* A name that is cut is longer than that of any engine. */
	size -= last - path;
	size = size < NAME_BYTES ? size + 1 : NAME_BYTES;
	/* The verifier must see the bound on the very register it checks. */
	asm volatile("" : "+r"(size));
	if (size <= NAME_BYTES)
		bpf_probe_read_kernel_str(name, size, last);
}

SEC("cgroup/connect_unix")
int on_engine_call(struct bpf_sock_addr *to)
{
	char name[NAME_BYTES] = {};
	struct counters *counters;

	read_name(name, plain(to));
	if (!names_engine(name))
		return 1;
	counters = counters_of_current();
	if (counters)
		add(&counters->engine_calls, 1);
	return 1;
}

SEC("raw_tp/module_request")
int on_module(void *ctx)
{
	struct counters *counters = counters_of_current();

	if (counters)
		add(&counters->module_requests, 1);
	return 0;
}
