/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Both faces on the network. Everything runs on the one loop thread (a libevent base) except where it says
 * "worker".
 */
#ifndef ZONESEAL_NET_NET_H
#define ZONESEAL_NET_NET_H

#include "net/acl.h"
#include "net/pub.h"
#include "net/query.h"
#include "net/server.h"
#include "net/xfrin.h"

#endif
