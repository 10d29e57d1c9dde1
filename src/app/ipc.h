/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What parent and engine say to each other, over base/frame.h. Payloads are big-endian fields written with
 * base/buf.h; texts run to the end of the frame. The parent trusts nothing that comes from the engine: keys
 * are generated only for zones and policies of its own config.
 */
#ifndef ZONESEAL_SRC_APP_IPC_H
#define ZONESEAL_SRC_APP_IPC_H

enum ipc_type {
	/* parent -> engine */
	IPC_BUNDLE_PART = 1, /* octets of conf_bundle_pack(), at most IPC_PART_MAX a frame */
	IPC_BUNDLE,       /* that was all: the config to run with; first, and after each reload */
	IPC_DNS,          /* fds: bound sockets, all in one or more frames */
	IPC_CONTROL,      /* fd: listening control socket */
	IPC_STATS,        /* fds: listening stats sockets */
	IPC_START,        /* everything was sent: go */
	IPC_VAULT,        /* text: key store; fd: socket of its (re)started vault */
	IPC_GENERATED,    /* u64 request, u32 -result, public key */
	IPC_RELOADED,     /* u64 request, u8 ok, text: errors and warnings */
	IPC_HSM,          /* u64 request, u32 -result, text */
	IPC_REOPEN,       /* open log files anew */
	IPC_PAGE,         /* fd: the page for fault marks (faultmark.h) */
	IPC_QUARANTINE,   /* u64 zone: two faults within an hour, leave it alone */
	IPC_QUIT,
	IPC_BACKUP_DIR,   /* u64 request, u32 -result, text: why not; fds: directories for zones and
			   * register */
	IPC_BACKED_UP,    /* u64 request, u32 -result, text: why not, or how many file keys */
	IPC_REOPENED,     /* u64 request, u32 -result: the parent's part of IPC_LOG_REOPEN */
	/* engine -> parent */
	IPC_READY = 64,   /* config loaded, sockets taken */
	IPC_GENERATE,     /* u64 request, 16 octets key id, u8 zone length, zone, u8 role */
	IPC_RELOAD,       /* u64 request */
	IPC_HSM_TEST,     /* u64 request, text: key store */
	IPC_HSM_RETRY,    /* u64 request, text: key store */
	IPC_STOP,         /* an operator said stop */
	IPC_BACKUP,       /* u64 request, text: directory, which the parent makes */
	IPC_BACKUP_END,   /* u64 request, u8: 1 the engine's part is written, 0 it was given up */
	IPC_LOG_REOPEN,   /* u64 request: it is the parent who can make the new file */
};

#define IPC_PART_MAX (4u << 20)
#define IPC_OUT_MAX (256u << 20) /* octets waiting in one direction */

#endif
