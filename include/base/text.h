/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Octets to text and back. Decoders refuse what is not exactly right. */
#ifndef ZONESEAL_BASE_TEXT_H
#define ZONESEAL_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* dst holds 2 * len + 1 octets; lower case; returns dst. */
char *text_hex(char *dst, const void *src, size_t len);
/* Decodes exactly 2 * len hex digits followed by NUL. 0 or ZS_EFORMAT. */
int text_unhex(uint8_t *dst, size_t len, const char *src);
/* RFC 4648 base64 with padding. dst holds TEXT_B64_LEN(len) octets. */
#define TEXT_B64_LEN(len) (((len) + 2) / 3 * 4 + 1)
char *text_b64(char *dst, const void *src, size_t len);
/* White space is skipped. *len: room in dst, then octets written. ZS_EFORMAT, ZS_EFULL. */
int text_unb64(uint8_t *dst, size_t *len, const char *src, size_t srclen);
/* RFC 4648 base32hex without padding, lower case (NSEC3 owners). 20 octets give 32 characters + NUL. */
char *text_b32hex(char *dst, const void *src, size_t len);

/* "90s" "5m" "12h" "14d" "2w" -> seconds; "64k" "100M" "1G" "1T" -> octets (powers of 1,024); plain digits
 * are taken as they are, signs and spaces are refused. 0, ZS_EFORMAT, ZS_ELIMIT (overflow). */
int text_duration(const char *s, int64_t *seconds);
int text_size(const char *s, uint64_t *octets);
int text_u64(const char *s, uint64_t max, uint64_t *out);

#endif
