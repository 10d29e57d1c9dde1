/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every fuzz target defines; t/fuzz_main.c or a fuzzing engine calls it. */
#ifndef ZONESEAL_T_FUZZ_H
#define ZONESEAL_T_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
