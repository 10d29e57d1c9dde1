/* SPDX-License-Identifier: GPL-3.0-or-later */
/* As recent_few.c, for the crash campaign, whose changes are of one name or a few. */
extern const unsigned store_recent_from;

const unsigned store_recent_from = 12;
