/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How much one version may change. In a file of its own, so that a test program can be linked with another
 * bound in front of this one (t/pages_fake.c); the daemon has no way to change it. Called by views, and by
 * whoever has to stay below their bound.
 */
#include "store/store.h"

size_t view_pages_max(void)
{
	return VIEW_PAGES_MAX;
}
