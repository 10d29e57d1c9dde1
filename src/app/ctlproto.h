/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control protocol's frames and its request, for both ends: a 4-octet big-endian length, then that many
 * octets of JSON, at most 1 MiB. A request is {"v":1,"verb":"zone list","args":{...}}; an answer is a row of
 * frames, each with one of "data", "progress", "error", "end" beside "v". The last frame is an error or an
 * end. Pure.
 */
#ifndef ZONESEAL_SRC_APP_CTLPROTO_H
#define ZONESEAL_SRC_APP_CTLPROTO_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#define CTL_VERSION 1
#define CTL_FRAME_MAX (1u << 20) /* octets of JSON */
#define CTL_HEAD 4
#define CTL_VERB_MAX 64
#define CTL_TEXT_CHUNK (128u << 10) /* octets of text that a data frame carries at most, by our choice */

/* Length of the frame that begins with these four octets: 0 and *len,
 * or ZS_ELIMIT when nothing or too much would follow. */
int ctl_head(const uint8_t head[static CTL_HEAD], uint32_t *len);

struct ctl_request {
	char verb[CTL_VERB_MAX];
	json_t *args; /* an object */
};
/* One frame's octets. ZS_EFORMAT: not such a request; ZS_EVERSION: another protocol version.
 * The args are the caller's. */
int ctl_request_parse(const uint8_t *data, size_t len, struct ctl_request *out);
void ctl_request_clear(struct ctl_request *r);

/* A whole frame on the heap, head included. Steals msg. ZS_ELIMIT: over the bound, ZS_ENOMEM. */
int ctl_encode(json_t *msg, uint8_t **out, size_t *len);

/* A string of octets that a peer or a file may have given: what is no UTF-8 is replaced. */
json_t *ctl_text(const char *s);
/* {"v":1,"error":{"code","message","hint"}}; hint may be NULL. */
json_t *ctl_error_msg(const char *code, const char *message, const char *hint);
/* {"v":1,key:value}; steals value. */
json_t *ctl_msg(const char *key, json_t *value);

/* A version as operators name it: a number, or one that says of what: v12 version, s12 signed serial, u12
 * upstream's. */
struct ctl_point { char kind; /* 's', 'u', 'v'; 0: any, in this order */ uint64_t number; };
extern const char ctl_point_kinds[3];
int ctl_point_parse(const char *text, struct ctl_point *out); /* ZS_EFORMAT */

/*
 * Does a zone's name (absolute presentation form) match what an operator wrote? ASCII case is ignored and a
 * final dot may be left out; `*`, `?` and [sets] match as in file names, but a `*` also matches dots.
 */
int ctl_zone_match(const char *pattern, const char *name);
/* Does the pattern name more than one zone? */
int ctl_is_pattern(const char *pattern);

#endif
