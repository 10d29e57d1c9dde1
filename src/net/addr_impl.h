/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Address helpers of the net layer. */
#ifndef ZONESEAL_NET_ADDR_IMPL_H
#define ZONESEAL_NET_ADDR_IMPL_H

#include "net/acl.h"

/* The address octets, 4 (IPv4, v4-mapped) or 16, borrowed. */
unsigned addr_octets(const struct net_addr *a, const uint8_t **out);
/* Asks for the destination address of each datagram; 0 or -1 with errno. */
int addr_want_pktinfo(int fd, int family);
/* Microseconds of a clock that never steps, for durations in results and stall checks: the net layer's one
 * clock beside the timers of libevent. */
int64_t net_mono_us(void);

#endif
