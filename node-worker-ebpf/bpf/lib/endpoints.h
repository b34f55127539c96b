/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Endpoints: addresses, ports, protocol, family and state of sockets, packets and socket addresses. */
#ifndef LICTOR_ENDPOINTS_H
#define LICTOR_ENDPOINTS_H

#include "fields.h"

/* Headers between that of IPv6 and what it carries which are passed over: more than real packets have. */
#define EXTENSIONS_MAX 6
/* IPPROTO_* */
#define HOP_BY_HOP 0
#define TCP 6
#define UDP 17
#define DCCP 33
#define ROUTING 43
#define FRAGMENT 44
#define DESTINATION_OPTIONS 60
#define SCTP 132
#define UDPLITE 136

/*
 * Of a socket, the source is its own end. An IPv6 socket that talks IPv4 has both addresses within ::ffff:0:0/96; its own may
 * not be known yet while it connects. False when it cannot be read.
 */
static __always_inline bool endpoints_of_sock(struct sock *sk, struct lictor_endpoints *ends)
{
	__be32 address;

	if (bpf_core_read(&ends->family, sizeof(ends->family), &sk->__sk_common.skc_family))
		return false;
	ends->flags = LICTOR_ENDPOINTS_FAMILY | LICTOR_ENDPOINTS_STATE;
	ends->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	ends->type = BPF_CORE_READ(sk, sk_type);
	ends->mark = BPF_CORE_READ(sk, sk_mark);
	ends->priority = BPF_CORE_READ(sk, sk_priority);
	ends->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (ends->family == AF_INET) {
		address = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		*(__be32 *)ends->source = address;
		address = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		*(__be32 *)ends->destination = address;
	} else if (ends->family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		bpf_core_read(ends->source, sizeof(ends->source), &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(ends->destination, sizeof(ends->destination), &sk->__sk_common.skc_v6_daddr);
	} else {
		return true;
	}
	ends->flags |= LICTOR_ENDPOINTS_ADDRESSES | LICTOR_ENDPOINTS_PROTOCOL;
	ends->protocol = BPF_CORE_READ(sk, sk_protocol);
	/* Of a raw socket, the number is that of the protocol. */
	if (ends->type == SOCK_RAW)
		return true;
	ends->flags |= LICTOR_ENDPOINTS_PORTS;
	ends->source_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	ends->destination_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	return true;
}

/* The ports of a packet whose IP header is followed by `transport`, for protocols that have them at their beginning. */
static __always_inline void ports_of_packet(const __u8 *transport, struct lictor_endpoints *ends)
{
	__be16 ports[2];

	switch (ends->protocol) {
	case TCP:
	case UDP:
	case DCCP:
	case SCTP:
	case UDPLITE:
		break;
	default:
		return;
	}
	if (bpf_probe_read_kernel(ports, sizeof(ports), transport))
		return;
	ends->flags |= LICTOR_ENDPOINTS_PORTS;
	ends->source_port = __builtin_bswap16(ports[0]);
	ends->destination_port = __builtin_bswap16(ports[1]);
}

static __always_inline void endpoints_of_ipv4(const __u8 *header, struct lictor_endpoints *ends)
{
	__u8 bytes[20];

	if (bpf_probe_read_kernel(bytes, sizeof(bytes), header))
		return;
	ends->flags = LICTOR_ENDPOINTS_FAMILY | LICTOR_ENDPOINTS_ADDRESSES | LICTOR_ENDPOINTS_PROTOCOL;
	ends->family = AF_INET;
	ends->protocol = bytes[9];
	__builtin_memcpy(ends->source, &bytes[12], 4);
	__builtin_memcpy(ends->destination, &bytes[16], 4);
	/* Only the first fragment of a packet has the ports. */
	if (!(bytes[6] & 0x1f) && !bytes[7])
		ports_of_packet(header + (bytes[0] & 0x0f) * 4, ends);
}

static __always_inline void endpoints_of_ipv6(const __u8 *header, struct lictor_endpoints *ends)
{
	__u8 bytes[40], extension[4];

	if (bpf_probe_read_kernel(bytes, sizeof(bytes), header))
		return;
	ends->flags = LICTOR_ENDPOINTS_FAMILY | LICTOR_ENDPOINTS_ADDRESSES | LICTOR_ENDPOINTS_PROTOCOL;
	ends->family = AF_INET6;
	__builtin_memcpy(ends->source, &bytes[8], 16);
	__builtin_memcpy(ends->destination, &bytes[24], 16);
	ends->protocol = bytes[6];
	header += sizeof(bytes);
#pragma unroll
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u16 next = ends->protocol;

		if (next != HOP_BY_HOP && next != ROUTING && next != FRAGMENT && next != DESTINATION_OPTIONS)
			break;
		if (bpf_probe_read_kernel(extension, sizeof(extension), header))
			return;
		ends->protocol = extension[0];
		if (next == FRAGMENT && (extension[2] || extension[3] & 0xf8))
			return;
		header += next == FRAGMENT ? 8 : (extension[1] + 1) * 8;
	}
	ports_of_packet(header, ends);
}

/*
 * By the packet's own header: what the kernel notes beside it is not there yet, or no longer, at some places. False when the
 * packet cannot be read.
 */
static __always_inline bool endpoints_of_skb(struct sk_buff *skb, struct lictor_endpoints *ends)
{
	const __u8 *header = BPF_CORE_READ(skb, head);
	__u16 protocol = __builtin_bswap16(BPF_CORE_READ(skb, protocol));
	__u8 version = 0;

	/* Every packet has one. */
	if (!header)
		return false;
	ends->mark = BPF_CORE_READ(skb, mark);
	ends->priority = BPF_CORE_READ(skb, priority);
	ends->hash = BPF_CORE_READ(skb, hash);
	ends->length = BPF_CORE_READ(skb, len);
	header += BPF_CORE_READ(skb, network_header);
	if (bpf_probe_read_kernel(&version, sizeof(version), header))
		return true;
	version >>= 4;
	if (version == 4 && (!protocol || protocol == ETH_P_IP))
		endpoints_of_ipv4(header, ends);
	else if (version == 6 && (!protocol || protocol == ETH_P_IPV6))
		endpoints_of_ipv6(header, ends);
	return true;
}

/* In the memory of the process or, once the kernel has copied it, its own. False when it cannot be read. */
static __always_inline bool endpoints_of_sockaddr(__u64 from, struct lictor_endpoints *ends)
{
	/* Family, port, IPv4 address or flow label, IPv6 address: struct sockaddr_in6 without its scope. */
	__u8 bytes[24];

	if (read_memory(&ends->family, sizeof(ends->family), from))
		return false;
	ends->flags = LICTOR_ENDPOINTS_FAMILY;
	if (ends->family == AF_INET) {
		if (read_memory(bytes, 8, from))
			return false;
		__builtin_memcpy(ends->source, &bytes[4], 4);
	} else if (ends->family == AF_INET6) {
		if (read_memory(bytes, sizeof(bytes), from))
			return false;
		__builtin_memcpy(ends->source, &bytes[8], 16);
	} else {
		return true;
	}
	ends->flags |= LICTOR_ENDPOINTS_ADDRESSES | LICTOR_ENDPOINTS_PORTS;
	ends->source_port = bytes[2] << 8 | bytes[3];
	return true;
}

/* Fills e->endpoints and its status for a field. */
__noinline int read_endpoints(struct event *e, __u32 field)
{
	struct lictor_endpoints *ends;
	struct socket *socket;
	__u64 from;

	if (!e)
		return 0;
	ends = &e->endpoints;
	__builtin_memset(ends, 0, sizeof(*ends));
	e->endpoints_status = LICTOR_FIELD_ABSENT;
	from = e->raw[field & 7];
	/* An error in place of a pointer is none. */
	if (!from || from >= (__u64)-MAX_ERRNO)
		return 0;
	e->endpoints_status = LICTOR_FIELD_UNRESOLVED;
	if (shape.fields[field & 7].kind == LICTOR_FIELD_SOCKET) {
		socket = (struct socket *)from;
		if (bpf_core_read(&ends->cookie, sizeof(ends->cookie), &socket->sk))
			return 0;
		from = ends->cookie;
		ends->cookie = 0;
		if (!from) {
			e->endpoints_status = LICTOR_FIELD_ABSENT;
			return 0;
		}
	}
	switch (shape.fields[field & 7].kind) {
	case LICTOR_FIELD_SKB:
		if (!endpoints_of_skb((struct sk_buff *)from, ends))
			return 0;
		break;
	case LICTOR_FIELD_SOCKADDR:
	case LICTOR_FIELD_SOCKADDR_UN:
		if (!endpoints_of_sockaddr(from, ends))
			return 0;
		break;
	default:
		if (!endpoints_of_sock((struct sock *)from, ends))
			return 0;
	}
	e->endpoints_status = LICTOR_FIELD_OK;
	return 0;
}

/* Whether column i asks about endpoints. */
static __always_inline bool asks_endpoints(__u32 i)
{
	__u32 source = shape.columns[i].source;

	return source >= LICTOR_FROM_SOURCE_PORT && source <= LICTOR_FROM_DESTINATION_ADDRESS;
}

/* Makes e->endpoints those that column i asks about. False when they cannot be read. */
static __always_inline bool endpoints_of_column(struct event *e, __u32 i)
{
	__u32 before = (i - 1) & (LICTOR_MAX_COLUMNS - 1);

	/* Columns are looked at in their order, each one before the next. */
	if (!i || !asks_endpoints(before) || shape.columns[before].field != shape.columns[i].field)
		read_endpoints(e, shape.columns[i].field);
	return e->endpoints_status != LICTOR_FIELD_UNRESOLVED;
}

static __always_inline __u64 endpoints_number(const struct lictor_endpoints *ends, __u32 source)
{
	__u64 number;
	__u32 flag;

	switch (source) {
	case LICTOR_FROM_SOURCE_PORT:
		flag = LICTOR_ENDPOINTS_PORTS;
		number = ends->source_port;
		break;
	case LICTOR_FROM_DESTINATION_PORT:
		flag = LICTOR_ENDPOINTS_PORTS;
		number = ends->destination_port;
		break;
	case LICTOR_FROM_PROTOCOL:
		flag = LICTOR_ENDPOINTS_PROTOCOL;
		number = ends->protocol;
		break;
	case LICTOR_FROM_FAMILY:
		flag = LICTOR_ENDPOINTS_FAMILY;
		number = ends->family;
		break;
	default:
		flag = LICTOR_ENDPOINTS_STATE;
		number = ends->state;
	}
	return ends->flags & flag ? number : LICTOR_NO_NUMBER;
}

/* Four bytes in the order of the network, as eight digits. */
static __always_inline __u64 digits_of(__u32 word, __u8 digit)
{
	__u64 spread = __builtin_bswap32(word);

	spread = (spread | spread << 16) & 0x0000ffff0000ffffULL;
	spread = (spread | spread << 8) & 0x00ff00ff00ff00ffULL;
	spread = (spread | spread << 4) & 0x0f0f0f0f0f0f0f0fULL;
	return __builtin_bswap64(spread | 0x0101010101010101ULL * digit);
}

/* Spells an address at the front of s->text. Returns its length without NUL. */
__noinline __u32 address_text(struct event *e, struct scratch *s, bool destination)
{
	__u64 *to;
	__u32 *words;
	__u32 length = 0;

	if (!e || !s)
		return 0;
	to = (__u64 *)s->text;
	words = (__u32 *)(destination ? e->endpoints.destination : e->endpoints.source);
	if (e->endpoints.flags & LICTOR_ENDPOINTS_ADDRESSES) {
		length = 8;
		if (e->endpoints.family == AF_INET) {
			to[0] = digits_of(words[0], LICTOR_DIGIT_IPV4);
		} else if (!words[0] && !words[1] && words[2] == __builtin_bswap32(0xffff)) {
			to[0] = digits_of(words[3], LICTOR_DIGIT_IPV4);
		} else {
			length = 32;
			to[0] = digits_of(words[0], LICTOR_DIGIT_IPV6);
			to[1] = digits_of(words[1], LICTOR_DIGIT_IPV6);
			to[2] = digits_of(words[2], LICTOR_DIGIT_IPV6);
			to[3] = digits_of(words[3], LICTOR_DIGIT_IPV6);
		}
	}
	s->text[length & TEXT_MASK] = 0;
	return length;
}

#endif
