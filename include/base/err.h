/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Error numbers of zoneseal. Every fallible function returns 0 (ZS_OK) or one of these negative numbers;
 * data comes back through out-parameters, which are left alone on error. Never stored on disk and never
 * sent on a wire.
 */
#ifndef ZONESEAL_BASE_ERR_H
#define ZONESEAL_BASE_ERR_H

#define ZS_ERR_MAP(X)                                                     \
	X(ENOMEM, 1, "out of memory or over a memory bound")              \
	X(EINVAL, 2, "invalid argument")                                  \
	X(EFORMAT, 3, "malformed data")                                   \
	X(ETRUNC, 4, "data ends too early")                               \
	X(ELIMIT, 5, "a configured or built-in limit is passed")          \
	X(ENOENT, 6, "not found")                                         \
	X(EEXIST, 7, "exists already")                                    \
	X(EIO, 8, "input/output error")                                   \
	X(ENOSPC, 9, "no space left on the device")                       \
	X(ECRC, 10, "checksum mismatch: stored data is damaged")          \
	X(EAGAIN, 11, "not now, try again")                               \
	X(ETIMEOUT, 12, "timed out")                                      \
	X(EAUTH, 13, "authentication failed")                             \
	X(EPERM, 14, "not permitted")                                     \
	X(EFULL, 15, "does not fit")                                      \
	X(ECANCEL, 16, "cancelled")                                       \
	X(ECONFIG, 17, "error in the configuration")                      \
	X(EVERSION, 18, "unknown format version")                         \
	X(EKEY, 19, "key not usable")                                     \
	X(EVAULT, 20, "key store not reachable")                          \
	X(EREFUSED, 21, "refused by the message guard")                   \
	X(EPOISON, 22, "request was open when the vault died twice")      \
	X(EBADSIG, 23, "signature does not verify")                       \
	X(EHELD, 24, "input is held")                                     \
	X(EVETO, 25, "candidate vetoed by the gate")                      \
	X(EPEER, 26, "the peer misbehaved or refused")                    \
	X(ESTALE, 27, "the base version has moved")                       \
	X(ECRYPTO, 28, "cryptographic library failure")                   \
	X(EPIN, 29, "the PIN latch is set: no login is tried")            \
	X(ECLOSED, 30, "closed by the other side")                        \
	X(EGIVENUP, 31, "given up: its snapshot kept the file from being reused")

enum zs_err {
	ZS_OK = 0,
#define X(name, num, text) ZS_##name = -(num),
	ZS_ERR_MAP(X)
#undef X
};

/* A static text for err; never NULL. */
const char *zs_strerror(int err);

/* The zs_err that fits a positive errno value; ZS_EIO for those without one of their own. */
int zs_from_errno(int errnum);

#endif
