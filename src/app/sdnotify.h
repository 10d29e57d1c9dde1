/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The service manager's notification socket ($NOTIFY_SOCKET): one datagram, no library. */
#ifndef ZONESEAL_SRC_APP_SDNOTIFY_H
#define ZONESEAL_SRC_APP_SDNOTIFY_H

/* "READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1". Does nothing without the variable. */
void sd_notify_state(const char *state);

#endif
