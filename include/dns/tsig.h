/* SPDX-License-Identifier: GPL-3.0-or-later */
/* TSIG (RFC 8945) over libknot: one exchange = one struct tsig.
 * Keys are immutable and may be shared by threads. */
#ifndef ZONESEAL_DNS_TSIG_H
#define ZONESEAL_DNS_TSIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tsig_key;
/* name: presentation; algorithm "hmac-sha1|-sha224|-sha256|-sha384|-sha512". ZS_EINVAL, ZS_ENOMEM. */
int tsig_key_new(const char *name, const char *algorithm, const uint8_t *secret, size_t len,
		 struct tsig_key **out);
void tsig_key_free(struct tsig_key *k); /* clears the secret; NULL is legal */
const uint8_t *tsig_key_name(const struct tsig_key *k); /* wire, lower case */
size_t tsig_key_room(const struct tsig_key *k); /* octets the record takes at most in a message */

#define TSIG_UNSIGNED_MAX 99 /* messages between signed ones of a transfer (RFC 8945 5.3.1) */

struct tsig; /* state of one exchange */
/* holds a reference of the key: its owner may free it meanwhile */
struct tsig *tsig_new(const struct tsig_key *key);
void tsig_free(struct tsig *t);

/* Client: signs a query in place (wire without TSIG, *len grows, cap >= len + tsig_key_room). */
int tsig_sign_query(struct tsig *t, uint8_t *wire, size_t *len, size_t cap);
/* Client: the next message of the answer, whole wire with its TSIG, if any; *len is cut to the message
 * without it. 0, ZS_EAUTH (bad, or an error TSIG), ZS_ELIMIT (over 99 unsigned).
 * *verified: everything up to here is. */
int tsig_verify_answer(struct tsig *t, uint8_t *wire, size_t *len, size_t tsig_pos, bool *verified);

/* Server: the key that a query names (wire at tsig_pos); lookup by the caller.
 * Writes the name, lower case. */
int tsig_query_key(const uint8_t *wire, size_t len, size_t tsig_pos, uint8_t name[static 255]);
/* Server: verifies a query; *len is cut. *rcode gets BADSIG/BADKEY/BADTIME for the answer on ZS_EAUTH. */
int tsig_verify_query(struct tsig *t, uint8_t *wire, size_t *len, size_t tsig_pos, uint16_t *rcode);
/* Server: signs the next message of the answer; the first over the request MAC, later ones as a stream. */
int tsig_sign_answer(struct tsig *t, uint8_t *wire, size_t *len, size_t cap);
/* Server: appends an unsigned error TSIG (BADKEY, BADSIG) to an answer, from the query's TSIG at tsig_pos. */
int tsig_add_error(const uint8_t *query, size_t qlen, size_t tsig_pos, uint16_t rcode, uint8_t *wire,
		   size_t *len, size_t cap);

#endif
