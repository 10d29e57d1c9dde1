/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linked instead of src/store/recent_from.c: versions of a few names go aside, those of one do not always. */
extern const unsigned store_recent_from;

const unsigned store_recent_from = 24;
