/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Texts of the error numbers and the way from errno to them. Pure; called by everybody. Several errno values
 * fall together on purpose: a caller decides by what it can do about an error, not by where it came from.
 */
#include "base/err.h"

#include <errno.h>
#include <stddef.h>

static const struct {
	int err;
	const char *text;
} texts[] = {
#define X(name, num, text) { ZS_##name, text },
	ZS_ERR_MAP(X)
#undef X
};

static const struct {
	int errnum;
	int err;
} from_errno[] = {
	{ ENOMEM, ZS_ENOMEM },
	{ EINVAL, ZS_EINVAL },
	{ ENOENT, ZS_ENOENT },
	{ ENOTDIR, ZS_ENOENT },
	{ EEXIST, ZS_EEXIST },
	{ ENOTEMPTY, ZS_EEXIST },
	{ ENOSPC, ZS_ENOSPC },
	{ EDQUOT, ZS_ENOSPC },
	{ EAGAIN, ZS_EAGAIN },
	{ EINTR, ZS_EAGAIN },
	{ EBUSY, ZS_EAGAIN },
	{ ETIMEDOUT, ZS_ETIMEOUT },
	{ EACCES, ZS_EPERM },
	{ EPERM, ZS_EPERM },
	{ EROFS, ZS_EPERM },
	{ EMFILE, ZS_ELIMIT },
	{ ENFILE, ZS_ELIMIT },
	{ EFBIG, ZS_ELIMIT },
	{ EMSGSIZE, ZS_ELIMIT },
	{ ENAMETOOLONG, ZS_ELIMIT },
	{ ETOOMANYREFS, ZS_ELIMIT },
	{ EPIPE, ZS_ECLOSED },
	{ ECONNRESET, ZS_ECLOSED },
	{ ENOTCONN, ZS_ECLOSED },
	{ ESHUTDOWN, ZS_ECLOSED },
	{ ECONNREFUSED, ZS_EPEER },
	{ ECANCELED, ZS_ECANCEL },
};

const char *zs_strerror(int err)
{
	if (err == ZS_OK)
		return "success";
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (texts[i].err == err)
			return texts[i].text;
	return "unknown error";
}

int zs_from_errno(int errnum)
{
	for (size_t i = 0; i < sizeof from_errno / sizeof from_errno[0]; i++)
		if (from_errno[i].errnum == errnum)
			return from_errno[i].err;
	return ZS_EIO;
}
