/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A vault process of the tests: descriptor 3 is the parent's socket. */
#include <unistd.h>

#include "base/log.h"
#include "vault/vault.h"

int main(void)
{
	log_open("stderr", LL_INFO, "vault");
	_exit(vault_main(3));
}
