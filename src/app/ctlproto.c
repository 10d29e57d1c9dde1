/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frames and requests of the control protocol. Everything that arrives is bounded before it is parsed and
 * typed before it is used. Called by control.c on the loop, by zonesealctl, and by their tests.
 */
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "ctlproto.h"

#define PATTERN_MAX 1100

int ctl_head(const uint8_t head[static CTL_HEAD], uint32_t *len)
{
	uint32_t n = be32(head);

	if (n == 0 || n > CTL_FRAME_MAX)
		return ZS_ELIMIT;
	*len = n;
	return 0;
}

int ctl_request_parse(const uint8_t *data, size_t len, struct ctl_request *out)
{
	json_t *msg = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL), *v, *verb, *args;
	int err = ZS_EFORMAT;

	if (!json_is_object(msg))
		goto out;
	v = json_object_get(msg, "v");
	verb = json_object_get(msg, "verb");
	args = json_object_get(msg, "args");
	if (!json_is_integer(v) || (args && !json_is_object(args)))
		goto out;
	if (json_integer_value(v) != CTL_VERSION) {
		err = ZS_EVERSION;
		goto out;
	}
	if (!json_is_string(verb) || json_string_length(verb) >= sizeof(out->verb) ||
	    strlen(json_string_value(verb)) != json_string_length(verb))
		goto out;
	memcpy(out->verb, json_string_value(verb), json_string_length(verb) + 1);
	out->args = args ? json_incref(args) : json_object();
	err = out->args ? 0 : ZS_ENOMEM;
out:
	json_decref(msg);
	return err;
}

void ctl_request_clear(struct ctl_request *r)
{
	json_decref(r->args);
	r->args = NULL;
	r->verb[0] = 0;
}

int ctl_encode(json_t *msg, uint8_t **out, size_t *len)
{
	size_t n = msg ? json_dumpb(msg, NULL, 0, JSON_COMPACT) : 0;
	uint8_t *p = NULL;
	int err = n == 0 ? ZS_ENOMEM : n > CTL_FRAME_MAX ? ZS_ELIMIT : 0;

	if (!err && !(p = malloc(CTL_HEAD + n)))
		err = ZS_ENOMEM;
	if (!err) {
		put_be32(p, (uint32_t)n);
		json_dumpb(msg, (char *)p + CTL_HEAD, n, JSON_COMPACT);
		*out = p;
		*len = CTL_HEAD + n;
	}
	json_decref(msg);
	return err;
}

json_t *ctl_text(const char *s)
{
	json_t *j = json_string(s);
	char *copy;

	if (j)
		return j;
	copy = strdup(s);
	if (!copy)
		return NULL;
	for (char *p = copy; *p; p++)
		if ((uint8_t)*p >= 0x80)
			*p = '?';
	j = json_string(copy);
	free(copy);
	return j;
}

json_t *ctl_msg(const char *key, json_t *value)
{
	return json_pack("{s:i, s:o}", "v", CTL_VERSION, key, value);
}

json_t *ctl_error_msg(const char *code, const char *message, const char *hint)
{
	json_t *e = json_pack("{s:s, s:o}", "code", code, "message", ctl_text(message));

	if (hint)
		json_object_set_new(e, "hint", ctl_text(hint));
	return ctl_msg("error", e);
}

int ctl_is_pattern(const char *pattern)
{
	return strpbrk(pattern, "*?[") != NULL;
}

int ctl_zone_match(const char *pattern, const char *name)
{
	char full[PATTERN_MAX];
	size_t n = strlen(pattern);

	if (n == 0 || n + 2 > sizeof(full))
		return 0;
	memcpy(full, pattern, n + 1);
	if (full[n - 1] != '.')
		memcpy(full + n, ".", 2);
	if (strcasecmp(full, name) == 0)
		return 1;
	return ctl_is_pattern(full) && fnmatch(full, name, FNM_NOESCAPE | FNM_CASEFOLD) == 0;
}

const char ctl_point_kinds[3] = { 's', 'u', 'v' };

int ctl_point_parse(const char *text, struct ctl_point *out)
{
	bool named = *text && memchr(ctl_point_kinds, *text, sizeof(ctl_point_kinds));
	uint64_t n;

	if (text_u64(text + named, UINT64_MAX, &n) != 0)
		return ZS_EFORMAT;
	out->kind = named ? *text : 0;
	out->number = n;
	return 0;
}
