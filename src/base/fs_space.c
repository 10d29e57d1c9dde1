/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What kind of file system a path is on and how much room it has. Called at start (state directory) and
 * before anything that writes much.
 */
#include "base/fs.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/err.h"

/*
 * f_type of the file systems whose files can change under us or whose locks and mappings do not reach other
 * machines (statfs(2), linux/magic.h). FUSE stands here whole: sshfs cannot be told from a local one.
 */
static const uint32_t network_types[] = {
	0x00006969, /* NFS */
	0x0000517b, /* SMB */
	0xff534d42, /* CIFS */
	0xfe534d42, /* SMB2 */
	0x01021997, /* 9p */
	0x65735546, /* FUSE, virtiofs */
	0x00c36400, /* Ceph */
	0x5346414f, /* AFS */
	0x6b414653, /* kAFS */
	0x73757245, /* Coda */
	0x0000564c, /* NCP */
	0x01161970, /* GFS2 */
	0x7461636f, /* OCFS2 */
	0x0bd00bd0, /* Lustre */
	0x47504653, /* GPFS */
	0x19830326, /* BeeGFS */
	0x20030528, /* OrangeFS */
	0x786f4256, /* VirtualBox shared folder */
	0xbacbacbc, /* VMware shared folder */
};

int fs_free_bytes(const char *path, uint64_t *out)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return zs_from_errno(errno);
	*out = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

int fs_is_network(const char *path, int *out)
{
	struct statfs st;
	int found = 0;

	if (statfs(path, &st) < 0)
		return zs_from_errno(errno);
	for (size_t i = 0; i < sizeof network_types / sizeof network_types[0]; i++)
		found |= network_types[i] == (uint32_t)st.f_type;
	*out = found;
	return 0;
}
