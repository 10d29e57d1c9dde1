/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The challenge that proves that a private key belongs to the public key we publish. Type covered 0 first:
 * the octets can never be taken for an RRSIG's input (RFC 4034 3.1.8.1, type 0 is reserved by RFC 6895 3.1).
 */
#include "backend.h"

#include <string.h>

#include "base/err.h"
#include "base/rand.h"

int backend_challenge_make(uint8_t msg[CHALLENGE_LEN])
{
	static const char text[CHALLENGE_LEN - 32] = "\0\0zoneseal proves this key once";

	memcpy(msg, text, sizeof(text));
	return rand_bytes(msg + sizeof(text), 32);
}
